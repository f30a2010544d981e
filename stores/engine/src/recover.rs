//! Formatting and opening: the newest superblock, its checkpoint, the log after it, and the outcome made
//! durable.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use parpen_base::{Buf, Entropy};
use uuid::Uuid;

use crate::alloc::{Alloc, Run};
use crate::blob::{Blobs, Plan};
use crate::checkpoint::{Boot, repair_superblocks, write_superblocks};
use crate::codec::{BlobRef, Identity, Type, begin, seal};
use crate::engine::{Engine, Log, Room, Turns};
use crate::layout::BLOCK;
use crate::load::{Loaded, load};
use crate::paging::Loads;
use crate::state::{Freed, Span, State};
use crate::superblock::{self, Superblock, offsets, wal_start};
use crate::sync::RangeLocks;
use crate::tail::verify_op;
use crate::wal::{At, Queue, Record, RecordHead, Ring};
use crate::wants::Needs;
use crate::{Disk, EngineError, Format, OpenError, Rules, features};

/// What never holds data: the superblocks and the log.
pub(crate) fn fixed_runs(sb: &Superblock) -> Vec<Run> {
    let log = Run { phys: wal_start(sb.disk_bytes) / BLOCK, len: sb.layout.wal_bytes / BLOCK };
    offsets(sb.disk_bytes).into_iter().map(|at| Run { phys: at / BLOCK, len: 1 }).chain([log]).collect()
}

/// A disk on which only superblocks and log are in use.
fn bare(sb: &Superblock) -> Alloc {
    let mut alloc = Alloc::new(sb.disk_bytes / BLOCK, sb.layout.ag_blocks);
    fixed_runs(sb).into_iter().for_each(|run| alloc.set_apart(run));
    alloc
}

/// What the checkpoint says of the blocks; false when it contradicts itself.
fn load_alloc(alloc: &mut Alloc, loaded: &Loaded) -> bool {
    let leaves = loaded.groups.iter().map(|(_, leaf, _)| leaf).filter(|leaf| !leaf.is_none());
    let apart: Vec<Run> =
        leaves.map(|leaf| Run { phys: leaf.block, len: leaf.blocks() }).chain(loaded.apart.clone()).collect();
    let blocks = alloc.blocks();
    let within = |run: &Run| run.len > 0 && run.phys.checked_add(run.len).is_some_and(|end| end <= blocks);
    if !apart.iter().all(within) || loaded.groups.iter().any(|(_, leaf, _)| leaf.indirect) {
        return false;
    }
    apart.into_iter().for_each(|run| alloc.set_apart(run));
    loaded.groups.iter().all(|(g, leaf, recorded)| alloc.load_group(*g, *leaf, *recorded))
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Makes an empty store of the disk; whatever was there is lost.
    pub async fn format(disk: &D, options: Format) -> Result<(), EngineError> {
        let disk_bytes = disk.size() / BLOCK * BLOCK;
        options.layout.validate(disk_bytes)?;
        let id = Identity { store: options.store, disk: options.disk };
        // Old copies go first: a half-made format must not look like the old store.
        let blank = offsets(disk_bytes).map(|at| (at, BLOCK));
        let wal = (wal_start(disk_bytes), options.layout.wal_bytes);
        for (at, len) in blank.into_iter().chain([wal]) {
            for offset in (at..at + len).step_by(1 << 20) {
                let len = (at + len - offset).min(1 << 20);
                disk.write(offset, Buf::zeroed(len as usize)).await.0?;
            }
        }
        disk.flush().await?;
        let mut sb = Superblock {
            id,
            sequence: 1,
            incompat: features::INCOMPAT,
            ro_compat: features::RO_COMPAT,
            disk_bytes,
            layout: options.layout,
            boot_epoch: 1,
            root: BlobRef::default(),
            wal_first_seq: 1,
            wal_first_pos: 0,
            chain: 1,
        };
        let mut alloc = bare(&sb);
        let mut root = begin(Type::Root, id);
        root.u64(1);
        root.u64(0);
        root.u64(0);
        root.u64(0);
        let mut plan = Plan::default();
        let placed = Blobs::default().place(&mut alloc, id, &seal(root), &mut plan);
        sb.root = placed.ok_or(EngineError::Invalid("the disk is too small for its log and reserve"))?;
        plan.write(disk).await?;
        disk.flush().await?;
        write_superblocks(disk, &sb).await?;
        Ok(())
    }

    /// Opens the disk: recovers, makes the outcome durable, then serves.
    pub async fn open(disk: D, entropy: Arc<dyn Entropy>) -> Result<Rc<Self>, OpenError> {
        Self::open_store(disk, entropy, None).await
    }

    /// [`Engine::open`], but only a disk of this store.
    pub async fn open_store(
        disk: D,
        entropy: Arc<dyn Entropy>,
        store: Option<Uuid>,
    ) -> Result<Rc<Self>, OpenError> {
        let cache = disk.map_cache();
        Self::open_cached(disk, entropy, store, cache).await
    }

    /// [`Engine::open_store`] with `cache` as in [`Engine::set_cache`] from the first byte on.
    pub async fn open_cached(
        disk: D,
        entropy: Arc<dyn Entropy>,
        store: Option<Uuid>,
        cache: usize,
    ) -> Result<Rc<Self>, OpenError> {
        let engine = Self::recover(disk, entropy, store, cache).await?;
        // What deletions had begun goes on where it stopped.
        engine.reclaim_quietly().await.map_err(|_| OpenError::Io)?;
        Ok(engine)
    }

    /// [`Engine::open_store`] for one disk of many: what was deleted keeps all that it holds until
    /// [`Engine::release_ghosts`], since the other disks may not know that it was.
    pub async fn open_member(
        disk: D,
        entropy: Arc<dyn Entropy>,
        store: Option<Uuid>,
    ) -> Result<Rc<Self>, OpenError> {
        let cache = disk.map_cache();
        let engine = Self::recover(disk, entropy, store, cache).await?;
        if R::KEEP_NEW_GHOSTS {
            *engine.may_go.borrow_mut() = Some(BTreeSet::new());
        } else {
            engine.reclaim_quietly().await.map_err(|_| OpenError::Io)?;
        }
        Ok(engine)
    }

    async fn recover(
        disk: D,
        entropy: Arc<dyn Entropy>,
        store: Option<Uuid>,
        cache: usize,
    ) -> Result<Rc<Self>, OpenError> {
        let verdict = superblock::load(&disk).await?;
        let sb = verdict.chosen;
        if let Some(wanted) = store.filter(|s| *s != sb.id.store) {
            return Err(OpenError::OtherStore { found: sb.id.store, wanted });
        }
        let loaded = load(&disk, &sb, R::GHOSTS).await?;
        let (records, log) = read_log::<D, R>(&disk, &sb).await?;
        let mut alloc = bare(&sb);
        let counted = sb.incompat & features::SPACE != 0;
        if !load_alloc(&mut alloc, &loaded) {
            return Err(OpenError::Damaged { what: "the table of free blocks" });
        }
        let boot = Boot { epoch: verdict.max_epoch.saturating_add(1), nonce: entropy.u64() };
        let engine = Rc::new(Engine {
            disk,
            id: sb.id,
            layout: sb.layout,
            state: RefCell::new(loaded.state),
            room: RefCell::new(Room::new(alloc, loaded.blobs)),
            log: RefCell::new(log),
            pages: RefCell::new(loaded.pages),
            superblock: Cell::new(sb),
            max_sequence: Cell::new(verdict.max_sequence),
            turns: Turns::default(),
            fenced: Cell::new(false),
            pledged: Cell::new(0),
            locks: RangeLocks::default(),
            generation: Cell::new(0),
            era: Cell::new(0),
            reclaiming: Cell::new(false),
            may_go: RefCell::default(),
            linked: RefCell::default(),
            loads: Loads::default(),
            moves: Cell::new(0),
            rebases: RefCell::default(),
            rules: PhantomData,
        });
        engine.set_cache(cache);
        if !counted {
            engine.survey(&loaded.runs).await?;
        } else if engine.room.borrow().alloc.any_lost() {
            engine.rebuild(&loaded.runs).await?;
        }
        engine.replay(records).await?;
        // The tail may have been in the medium's cache alone, left by a process that died, and what it freed is free.
        if R::FLUSH_FOUND {
            engine.disk.flush().await.map_err(|_| OpenError::Io)?;
        }
        repair_superblocks(&engine.disk, &sb, verdict.stale).await?;
        if R::FIX_OUTCOME {
            engine.checkpoint(Some(boot)).await.map_err(|e| match e {
                EngineError::NoSpace => OpenError::NoSpace,
                _ => OpenError::Io,
            })?;
        }
        Ok(engine)
    }
}

/// The chain of records after the checkpoint, and where the log goes on.
async fn read_log<D: Disk, R: Rules>(disk: &D, sb: &Superblock) -> Result<(Vec<Record>, Log), OpenError> {
    let mut ring = Ring::new(disk, sb.id, sb.disk_bytes, sb.layout.wal_bytes);
    let mut log = Log {
        pending: Queue::default(),
        captured: 0,
        freed: Vec::new(),
        tail: 0,
        next_seq: sb.wal_first_seq,
        pos: sb.wal_first_pos,
        hash: sb.chain,
        durable_upto: sb.wal_first_seq - 1,
    };
    let mut records: Vec<Record> = Vec::new();
    loop {
        let follows = |h: &RecordHead| h.seq == log.next_seq && (!R::CHAIN || h.prev == log.hash);
        let record = match ring.at(log.pos).await? {
            At::Record(r) if follows(&r.head) => r,
            At::Senseless(h) if follows(&h) => {
                return Err(OpenError::Damaged { what: "a record of the log (or it is of a newer kind)" });
            }
            _ => break,
        };
        log.next_seq = record.head.seq.checked_add(1).ok_or(OpenError::Damaged { what: "the log" })?;
        log.pos += record.size;
        log.hash = record.hash;
        records.push(record);
        if log.pos - sb.wal_first_pos >= sb.layout.wal_bytes {
            break;
        }
    }
    if ring.vouched(log.next_seq, sb.boot_epoch).await? {
        return Err(OpenError::Damaged { what: "a record of the log that was durable once" });
    }
    log.durable_upto = log.next_seq - 1;
    Ok((records, log))
}

/// What opening says when a map that it needs cannot be had.
fn no_map(e: EngineError) -> OpenError {
    match e {
        EngineError::Io => OpenError::Io,
        _ => OpenError::Damaged { what: "the map of an object" },
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Applies the records; of those that may not have been durable, only mappings whose data is there.
    async fn replay(&self, records: Vec<Record>) -> Result<(), OpenError> {
        let durable = records.last().map_or(0, |r| r.head.durable_upto);
        for record in records {
            let tail = record.head.seq > durable;
            for mut op in record.ops {
                if tail && R::VERIFY_TAIL {
                    verify_op::<D, R>(&self.disk, &self.superblock.get(), &mut op).await?;
                }
                let _held = self.load(|state, needs| state.need_op(&op, needs)).await.map_err(no_map)?;
                let mut freed = Freed::default();
                let applied = self.state.borrow_mut().apply(&op, &mut freed);
                applied
                    .map_err(|_| OpenError::Damaged { what: "the log (it contradicts the checkpoint)" })?;
                self.account(&op, &freed.0);
                let mut room = self.room.borrow_mut();
                freed.0.into_iter().for_each(|(run, _)| room.alloc.release(run));
            }
        }
        // A block that two want is damage, and better found now than by overwriting somebody's data.
        self.settle_groups().await;
        match self.room.borrow().alloc.broken() {
            0 => Ok(()),
            _ => Err(OpenError::Damaged { what: "the map of free blocks (two structures share a block)" }),
        }
    }

    /// Finds out anew which blocks are in use, as the checkpoint's own account of it is damaged. Where a map
    /// is damaged, too, that cannot be known: then the groups whose bits are lost stay as they are, all used.
    async fn rebuild(&self, runs: &[Run]) -> Result<(), OpenError> {
        tracing::warn!("the map of free blocks is damaged: it is made anew from all maps");
        self.room.borrow_mut().alloc.restart();
        let error = match self.survey(runs).await {
            Err(error @ OpenError::Damaged { .. }) => error,
            other => return other,
        };
        tracing::warn!(%error, "the map of free blocks cannot be made anew");
        let sb = self.superblock.get();
        let loaded = load(&self.disk, &sb, R::GHOSTS).await?;
        let mut alloc = bare(&sb);
        load_alloc(&mut alloc, &loaded);
        let cache = self.state.borrow().cache.ceiling;
        *self.state.borrow_mut() = loaded.state;
        self.state.borrow_mut().cache.ceiling = cache;
        *self.room.borrow_mut() = Room::new(alloc, loaded.blobs);
        *self.pages.borrow_mut() = loaded.pages;
        Ok(())
    }

    /// Walks over all maps of a disk whose checkpoint does not say which blocks are in use: finds that, and
    /// what the versions own and, where it is not known, read as.
    async fn survey(&self, runs: &[Run]) -> Result<(), OpenError> {
        let claim = |run: Run| self.room.borrow_mut().alloc.record(run);
        runs.iter().for_each(|run| claim(*run));
        self.state.borrow_mut().forget_owned();
        let digests = self.superblock.get().ro_compat & features::DIGESTS == 0;
        let slots: Vec<usize> = self.state.borrow().slots().collect();
        for slot in slots {
            let row = |state: &State, needs: &mut Needs| {
                state.need_row(slot, needs);
            };
            let _row = self.load(row).await.map_err(no_map)?;
            let leaves = self.state.borrow().version(slot).row().leaves.clone();
            for leaf in leaves.iter().filter(|leaf| !leaf.is_none()) {
                self.runs_of(*leaf).await.map_err(no_map)?.into_iter().for_each(claim);
            }
            for span in 0..leaves.len() {
                let _both = self.load(|state, needs| state.need_both(slot, span, needs)).await;
                let _both = _both.map_err(no_map)?;
                self.survey_span(slot, span, digests);
            }
            self.state.borrow_mut().dirty.version_pages.insert(slot);
        }
        match self.room.borrow().alloc.broken() {
            0 => Ok(()),
            _ => Err(OpenError::Damaged { what: "the maps (two objects share a block)" }),
        }
    }

    fn survey_span(&self, slot: usize, span: usize, digests: bool) {
        let mut state = self.state.borrow_mut();
        if digests {
            let digest = state.digest_of_span(slot, span);
            let v = state.version_mut(slot);
            v.digest = digest ^ if span == 0 { 0 } else { v.digest };
        }
        let Span::Here(map) = &state.version(slot).row().spans[span] else { return };
        let above = state.inherited(slot, span);
        let mine: Vec<u64> = map
            .iter()
            .filter(|(i, d)| above.is_none_or(|p| p.phys(*i) != d.phys))
            .map(|(_, d)| d.phys)
            .collect();
        let mut room = self.room.borrow_mut();
        mine.iter().for_each(|phys| room.alloc.record(Run { phys: *phys, len: 1 }));
        state.own_blocks(slot, mine.len() as u64, 0);
    }
}
