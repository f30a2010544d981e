//! Bringing pieces of the maps into memory, for somebody at work, until that work is done.
//!
//! A load waits for the medium and for nothing else: no lock, no commit, no room. So whoever holds a lock may
//! load, and a load can never be part of a deadlock.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use uuid::Uuid;

use crate::alloc::Run;
use crate::blob::{self, DEPTH};
use crate::cache::Want;
use crate::codec::BlobRef;
use crate::engine::Engine;
use crate::layout::BLOCK;
use crate::load::version_page;
use crate::map::SpanMap;
use crate::record::Op;
use crate::room::Need;
use crate::state::{Span, State};
use crate::sync::{Event, join_all};
use crate::wants::{Needs, Wants};
use crate::{Disk, EngineError, OpenError, Rules};

/// Times that a piece is read whose checksum does not match before it counts as lost.
const TRIES: usize = 2;

/// What is being loaded; who needs the same waits for that one load.
#[derive(Default)]
pub(crate) struct Loads {
    running: RefCell<BTreeSet<Want>>,
    ended: Event,
}

struct Busy<'a>(&'a Loads, Want);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.running.borrow_mut().remove(&self.1);
        self.0.ended.fire();
    }
}

/// Pieces that stay in memory while this lives.
pub(crate) struct Pinned<'a, D: Disk, R: Rules> {
    engine: &'a Engine<D, R>,
    all: Wants,
}

impl<'a, D: Disk, R: Rules> Pinned<'a, D, R> {
    fn new(engine: &'a Engine<D, R>, all: Wants) -> Pinned<'a, D, R> {
        let mut state = engine.state.borrow_mut();
        all.iter().for_each(|want| state.cache.pin(*want));
        Pinned { engine, all }
    }
}

impl<D: Disk, R: Rules> Drop for Pinned<'_, D, R> {
    fn drop(&mut self) {
        let mut state = self.engine.state.borrow_mut();
        self.all.iter().for_each(|want| state.cache.unpin(*want));
        state.evict(!R::KEEP_DIRTY);
    }
}

/// A structure that must be there is not.
fn lost(e: OpenError) -> EngineError {
    match e {
        OpenError::Io => EngineError::Io,
        _ => EngineError::DataLost,
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Bytes of maps that stay in memory although they could be read again.
    pub fn set_cache(&self, bytes: usize) {
        {
            let mut state = self.state.borrow_mut();
            state.cache.ceiling = bytes;
            state.evict(!R::KEEP_DIRTY);
        }
        let most = self.groups_max();
        self.room.borrow_mut().alloc.evict(most);
    }

    /// Loads what `wants` names; it stays until the answer is dropped. What it names may change at the next
    /// wait: see [`Engine::has_all`].
    pub(crate) async fn load(
        &self,
        wants: impl Fn(&State, &mut Needs),
    ) -> Result<Pinned<'_, D, R>, EngineError> {
        let mut held = Pinned::new(self, Wants::new());
        loop {
            let mut needs = Needs::default();
            wants(&self.state.borrow(), &mut needs);
            let nice = needs.nice.map(Want::Page);
            needs.all.extend(nice);
            held = {
                let more = Pinned::new(self, needs.all);
                drop(held);
                more
            };
            if needs.missing.is_empty() && nice.is_none() {
                return Ok(held);
            }
            if let Some(Want::Page(page)) = nice
                && self.bring(Want::Page(page)).await.is_err()
            {
                self.state.borrow_mut().cache.bad_pages.insert(page);
            }
            let missing: Vec<Want> = needs.missing.into_iter().collect();
            for chunk in missing.chunks(DEPTH) {
                let all = join_all(chunk.iter().map(|want| self.bring(*want)).collect()).await;
                all.into_iter().collect::<Result<(), _>>()?;
            }
        }
    }

    /// Whether all that `wants` names is in memory.
    pub(crate) fn has_all(&self, wants: impl Fn(&State, &mut Needs)) -> bool {
        let mut needs = Needs::default();
        wants(&self.state.borrow(), &mut needs);
        needs.missing.is_empty()
    }

    /// Loads what [`State::entries`] looks at; whatever `id` names by then.
    pub(crate) async fn load_range(
        &self,
        id: Uuid,
        first: u64,
        count: usize,
    ) -> Result<Pinned<'_, D, R>, EngineError> {
        self.load(|state, needs| {
            if let Some((lineage, _)) = state.named(id) {
                state.need_range(lineage, first, count, needs);
            }
        })
        .await
    }

    /// Loads what an operation looks at, makes room for it, and makes the change.
    pub(crate) async fn change_loaded(
        &self,
        need: Need,
        op: impl Fn() -> Result<Op, EngineError>,
    ) -> Result<(), EngineError> {
        loop {
            let first = op()?;
            let _held = self.load(|state, needs| state.need_op(&first, needs)).await?;
            self.make_room(need).await?;
            let op = op()?;
            if self.has_all(|state, needs| state.need_op(&op, needs)) {
                return self.change(op);
            }
        }
    }

    pub(crate) async fn bring(&self, want: Want) -> Result<(), EngineError> {
        let busy = self.loads.running.borrow().contains(&want);
        if busy {
            self.loads.ended.wait().await;
            return Ok(());
        }
        self.loads.running.borrow_mut().insert(want);
        let _busy = Busy(&self.loads, want);
        let mut tries = 1;
        loop {
            let result = match want {
                Want::Page(page) => self.bring_page(page).await,
                Want::Span(slot, span) => self.bring_span(slot, span).await,
                Want::Group(group) => self.bring_group(group).await,
            };
            if result != Err(EngineError::DataLost) || tries == TRIES {
                return result;
            }
            tries += 1;
        }
    }

    pub(crate) async fn read_blob(&self, blob: BlobRef) -> Result<Vec<u8>, EngineError> {
        let disk_blocks = self.superblock.get().disk_bytes / BLOCK;
        let (bytes, runs) =
            blob::read(&self.disk, self.id, blob, disk_blocks, "a map").await.map_err(lost)?;
        if blob.indirect {
            self.room.borrow_mut().blobs.lists.insert(blob.block, runs);
        }
        Ok(bytes)
    }

    /// The blocks of a blob.
    pub(crate) async fn runs_of(&self, blob: BlobRef) -> Result<Vec<Run>, EngineError> {
        if !blob.indirect || self.room.borrow().blobs.lists.contains_key(&blob.block) {
            return Ok(self.room.borrow().blobs.runs(blob));
        }
        let disk_blocks = self.superblock.get().disk_bytes / BLOCK;
        let runs = blob::runs(&self.disk, self.id, blob, disk_blocks, "a map").await.map_err(lost)?;
        self.room.borrow_mut().blobs.lists.insert(blob.block, runs.clone());
        Ok(runs)
    }

    /// A checkpoint may put a page elsewhere while it is read here: then its old place may hold anything, and
    /// the caller looks again.
    async fn bring_page(&self, page: usize) -> Result<(), EngineError> {
        let place = || self.pages.borrow().versions.get(page).copied().unwrap_or_default();
        let leaf = place();
        let read = if leaf.is_none() { Ok(Vec::new()) } else { self.read_blob(leaf).await };
        let mut state = self.state.borrow_mut();
        if leaf != place() || state.pages_here[page] {
            return Ok(());
        }
        let mut rows = Vec::new();
        if !leaf.is_none() {
            let disk_blocks = state.disk_blocks;
            rows = version_page(&read?, self.id, page, &self.layout, disk_blocks)
                .map_err(|_| EngineError::DataLost)?;
        }
        let there = |slot: usize| state.versions[slot].as_ref().map(|v| (slot, (v.lineage, v.index)));
        let want: Vec<_> = state.page_slots(page).filter_map(there).collect();
        if !want.iter().copied().eq(rows.iter().map(|r| (r.slot, r.key))) {
            return Err(EngineError::DataLost);
        }
        for row in rows {
            state.version_mut(row.slot).row = Some(Box::new(row.row));
        }
        state.page_came(page);
        Ok(())
    }

    async fn bring_span(&self, slot: usize, span: usize) -> Result<(), EngineError> {
        let look = || {
            let state = self.state.borrow();
            let v = state.versions[slot].as_ref()?;
            let row = v.row.as_deref()?;
            matches!(row.spans[span], Span::Stored).then(|| (v.birth, v.index, row.leaves[span]))
        };
        let Some(found) = look() else { return Ok(()) };
        let (_, index, leaf) = found;
        let read = self.read_blob(leaf).await;
        if look() != Some(found) {
            return Ok(());
        }
        let mut state = self.state.borrow_mut();
        let (blocks, disk_blocks) = (state.span_blocks, state.disk_blocks);
        let map = SpanMap::decode(&read?, self.id, (index, span as u32), blocks, disk_blocks)
            .map_err(|_| EngineError::DataLost)?;
        state.set_span(slot, span, Span::Here(Rc::new(map)));
        Ok(())
    }
}
