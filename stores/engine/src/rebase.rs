//! Freezing a volume, and cutting a volume or snapshot off its parents, while everything is used.
//!
//! A rebase goes object by object: what the lineage inherits from between becomes its own, what others use, too, is
//! copied to fresh places. All that changes nothing that anybody reads, so it may end anywhere and be begun again: what
//! was done is found done. Then one operation moves the link.

use std::collections::BTreeMap;

use parpen_base::Buf;
use uuid::Uuid;

use crate::alloc::Run;
use crate::catalogue::{SHRINK, check_label};
use crate::engine::Engine;
use crate::layout::BLOCK;
use crate::map::Data;
use crate::reclaim::SMALL_OP;
use crate::record::{FROZEN, Mapping, Op, Piece, Taken};
use crate::room::{Keep, Need};
use crate::state::{NodeKind, State};
use crate::sync::{join_all, yield_now};
use crate::wants::Needs;
use crate::{Disk, DiskError, EngineError, Rules};

/// Blocks that are read and written as one.
const RUN: usize = 64;
/// Runs under way at a time: the foreground has the disk before and after.
const ABREAST: usize = 4;
/// Times that something is read before it counts as damaged.
const TRIES: usize = 3;
/// Objects that one step looks at, at most.
const OBJECTS: usize = 64;

/// What one step of a rebase did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebased {
    /// Bytes that were copied.
    pub copied: u64,
    /// The link is where it was wanted, durably; otherwise another step is needed.
    pub done: bool,
}

/// How far rebases have come since the disk was opened: by lineage, the ancestor it is to have, and the first object
/// not looked at. All objects before hold nothing that the cut would take from them.
pub(crate) type Rebases = BTreeMap<u64, (u64, u64)>;

/// What is cut off from what.
#[derive(Clone, Copy)]
struct Cut<'a> {
    /// The lineage and the ancestor that it keeps (0: none).
    ends: (u64, u64),
    /// Whether the rebase is still about these.
    wanted: &'a dyn Fn() -> Result<bool, EngineError>,
    /// Blocks that are damaged are copied as they are, with the checksum that says so; otherwise they are an error.
    damaged_too: bool,
}

/// Neighbouring blocks of one object that are neighbours on the disk and have one origin.
struct Stretch {
    start: u32,
    blocks: Vec<Data>,
}

fn stretches(blocks: Vec<(u32, Data)>, most: usize) -> Vec<Stretch> {
    let mut out: Vec<Stretch> = Vec::new();
    for (at, d) in blocks {
        let joins = |s: &&mut Stretch| {
            let n = s.blocks.len();
            let next = s.blocks.first().map(|f| (f.phys + n as u64, f.origin));
            n < most && s.start + n as u32 == at && next == Some((d.phys, d.origin))
        };
        match out.last_mut().filter(joins) {
            Some(s) => s.blocks.push(d),
            None => out.push(Stretch { start: at, blocks: vec![d] }),
        }
    }
    out
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// The volume ends and goes on as this snapshot, with all its bytes.
    pub async fn freeze(&self, volume: Uuid, snapshot: Uuid, label: &[u8]) -> Result<(), EngineError> {
        check_label(label)?;
        if snapshot.is_nil() || snapshot == volume {
            return Err(EngineError::Invalid("the snapshot needs an id of its own"));
        }
        let _one = self.lock_catalogue().await;
        let _all = self.lock_blocks(volume, 0, u64::MAX).await;
        match (self.find(snapshot, |_, n| (n.kind, n.of)), self.writable(volume)) {
            (Err(EngineError::NotFound), Ok(_)) => {}
            (Ok((NodeKind::Snapshot, of)), Err(EngineError::NotFound)) if of == volume => {
                return self.flush().await;
            }
            (Ok(_), _) => return Err(EngineError::Exists),
            (Err(EngineError::NotFound), Err(e)) | (Err(e), _) => return Err(e),
        }
        self.catalogue_room([label.len()].into_iter()).await?;
        let (lineage, _) = self.writable(volume)?;
        self.change(Op::Snapshot(vec![Taken { lineage, head: FROZEN, snapshot, label: label.to_vec() }]))?;
        self.flush().await
    }

    /// Lineage and ancestor of a rebase: `onto` must be above `id` (`None` is above all).
    fn ends(&self, id: Uuid, onto: Option<Uuid>) -> Result<(u64, u64), EngineError> {
        let lineage = self.find(id, |lineage, _| lineage)?;
        let ancestor = match onto {
            None => 0,
            Some(onto) => match self.find(onto, |lineage, n| (lineage, n.kind))? {
                (lineage, NodeKind::Snapshot) => lineage,
                _ => return Err(EngineError::Invalid("only a snapshot can be a parent")),
            },
        };
        match self.state.borrow().between(lineage, ancestor) {
            Some(_) => Ok((lineage, ancestor)),
            None => Err(EngineError::Invalid("that is no snapshot that it comes from")),
        }
    }

    /// The whole of a rebase: the volume or snapshot keeps its bytes, and shares with `onto`, one of the snapshots it
    /// comes from (`None`: with nothing), and with nothing between any more.
    pub async fn rebase(&self, id: Uuid, onto: Option<Uuid>) -> Result<(), EngineError> {
        while !self.rebase_step(id, onto, 4 << 20).await?.done {}
        Ok(())
    }

    /// A part of it, which copies about `most` bytes. Said again until it is done. A restart begins anew, and finds
    /// done what was.
    pub async fn rebase_step(&self, id: Uuid, onto: Option<Uuid>, most: u64) -> Result<Rebased, EngineError> {
        let mut step = self.rebase_prepare(id, onto, most).await?;
        if step.done {
            let ends = self.ends(id, onto)?;
            let wanted = || Ok(self.ends(id, onto)? == ends);
            let cut = Cut { ends, wanted: &wanted, damaged_too: false };
            step.done = self.is_there(ends) || self.cut(cut).await?;
        }
        Ok(step)
    }

    /// [`Engine::rebase_step`] without its end: `done` says that only the link has still to move.
    pub async fn rebase_prepare(
        &self,
        id: Uuid,
        onto: Option<Uuid>,
        most: u64,
    ) -> Result<Rebased, EngineError> {
        let ends = self.ends(id, onto)?;
        let wanted = || Ok(self.ends(id, onto)? == ends);
        self.prepare(Cut { ends, wanted: &wanted, damaged_too: false }, most).await
    }

    /// A lineage is cut off from all between it and an ancestor, as it was on other disks, which may have what is
    /// damaged here. Nobody else uses this disk.
    pub(crate) async fn relink(&self, lineage: u64, ancestor: u64) -> Result<(), EngineError> {
        let ends = (lineage, ancestor);
        let wanted = || Ok(self.state.borrow().between(lineage, ancestor).is_some());
        let cut = Cut { ends, wanted: &wanted, damaged_too: true };
        while wanted()? && !self.is_there(ends) {
            if self.prepare(cut, u64::MAX).await?.done && !self.is_there(ends) {
                self.cut(cut).await?;
            }
        }
        Ok(())
    }

    async fn prepare(&self, cut: Cut<'_>, most: u64) -> Result<Rebased, EngineError> {
        let ends = cut.ends;
        // The blocks that are to be copied must be durable: recovery may still doubt their mappings, and would doubt the
        // copies of others.
        self.flush().await?;
        if self.is_there(ends) {
            return Ok(Rebased { copied: 0, done: true });
        }
        let mut copied = 0;
        for _ in 0..OBJECTS {
            if !(cut.wanted)()? {
                return Ok(Rebased { copied, done: false });
            }
            let next = self.progress(ends);
            let Some(index) = self.state.borrow().first_object_of(&self.between(ends), next) else {
                return Ok(Rebased { copied, done: true });
            };
            copied += self.rebase_object(cut, index, most.saturating_sub(copied)).await?;
            if copied >= most.max(BLOCK) {
                break;
            }
            yield_now().await;
        }
        Ok(Rebased { copied, done: false })
    }

    /// Whether the link is where it is wanted.
    fn is_there(&self, (lineage, ancestor): (u64, u64)) -> bool {
        self.state.borrow().nodes.get(&lineage).is_some_and(|n| n.parent == ancestor)
    }

    fn between(&self, (lineage, ancestor): (u64, u64)) -> Vec<u64> {
        self.state.borrow().between(lineage, ancestor).unwrap_or_default()
    }

    /// What gives other lineages other blocks makes what was looked at of them count no more.
    pub(crate) fn note_for_rebases(&self, op: &Op) {
        match op {
            Op::Copy(m) => self.rebases.borrow_mut().retain(|l, _| *l == m.lineage),
            Op::Fill(_) | Op::Evict { .. } | Op::Adopt(_) => self.rebases.borrow_mut().clear(),
            _ => {}
        }
    }

    fn progress(&self, (lineage, ancestor): (u64, u64)) -> u64 {
        let rebases = self.rebases.borrow();
        rebases.get(&lineage).filter(|(to, _)| *to == ancestor).map_or(0, |(_, next)| *next)
    }

    /// One object, or as much of it as `most` bytes allow.
    async fn rebase_object(&self, cut: Cut<'_>, index: u64, most: u64) -> Result<u64, EngineError> {
        let ends @ (lineage, ancestor) = cut.ends;
        let spans = self.state.borrow().detach_spans(&self.between(ends), index);
        let looked_at = |state: &State, needs: &mut Needs| state.need_detach(ends, index, needs);
        let need = Need { blocks: 0, spans, log: SMALL_OP, keep: Keep::All };
        let _held = self.make_ready(need, looked_at).await?;
        // From here to the change nothing else runs.
        if !(cut.wanted)()? || self.between(ends).is_empty() {
            return Ok(0);
        }
        if !self.is_ready(ends, index) {
            let is_new = self.state.borrow().slot(lineage, index).is_none();
            self.change(Op::Detach { lineage, ancestor, index })?;
            // A version of its own stands between others and what they are to be cut from now. (Only once: two that
            // looked again at each other's every step would never end.)
            if is_new {
                self.rebases.borrow_mut().retain(|l, _| *l == lineage);
            }
        }
        let mut blocks = self.state.borrow().to_copy(ends, index, 0..self.layout.object_blocks);
        if blocks.is_empty() {
            // While this one was made ready, the objects before it may have come to count no more.
            let first = self.state.borrow().first_object_of(&self.between(ends), self.progress(ends));
            if first == Some(index) {
                self.rebases.borrow_mut().insert(lineage, (ancestor, index + 1));
            }
            return Ok(0);
        }
        blocks.truncate((most / BLOCK).max(1) as usize);
        let longest = RUN.min(self.op_blocks() as usize);
        let mut copied = 0;
        for some in stretches(blocks, longest).chunks(ABREAST) {
            let all = some.iter().map(|s| self.copy_stretch(cut, index, s)).collect();
            for bytes in join_all(all).await {
                copied += bytes?;
            }
        }
        Ok(copied)
    }

    /// Whether [`Op::Detach`] would change nothing that matters.
    fn is_ready(&self, ends: (u64, u64), index: u64) -> bool {
        let (between, state) = (self.between(ends), self.state.borrow());
        let nearest_ghost =
            between.first().and_then(|l| state.nodes.get(l)).is_some_and(|n| n.kind == NodeKind::Ghost);
        !nearest_ghost && state.is_detached(ends.0, ends.1, &between, index)
    }

    async fn copy_stretch(&self, cut: Cut<'_>, index: u64, s: &Stretch) -> Result<u64, EngineError> {
        let ends = cut.ends;
        let n = s.blocks.len() as u64;
        let spans = self.spans_of(n) * self.state.borrow().count_below(ends.0, index);
        let log = Mapping::most_bytes(n);
        self.make_room(Need { blocks: n, spans, log, keep: Keep::All }).await?;
        let _pledge = self.pledge(spans);
        let Some(runs) = self.take_data(ends.0, index, n) else { return Err(EngineError::NoSpace) };
        let looked_at = |state: &State, needs: &mut Needs| {
            state.need_detach(ends, index, needs);
            state.need_fill(ends.0, index, u64::from(s.start), n, needs);
        };
        let result = match self.copy_data(cut, index, s, &runs).await {
            Ok(true) => self.make_ready(Need { log, ..Need::default() }, looked_at).await.map(Some),
            other => other.map(|_| None),
        };
        // From here to the change nothing else runs.
        let _held = match result {
            Ok(Some(held)) if self.still_wants(ends, index, s) => held,
            other => {
                self.return_data(runs);
                return other.map(|_| 0);
            }
        };
        self.room.borrow_mut().in_flight -= n;
        let pieces = runs.iter().map(|r| Piece { phys: r.phys, len: r.len as u32 }).collect();
        let crcs = s.blocks.iter().map(|d| d.crc).collect();
        let (origin, generation) = (s.blocks.first().map_or(0, |d| d.origin), self.generation.get());
        let mapping = Mapping { lineage: ends.0, origin, index, generation, start: s.start, pieces, crcs };
        self.change(Op::Copy(mapping))?;
        self.bound_tail(n * BLOCK).await?;
        Ok(n * BLOCK)
    }

    /// Whether all these blocks still stand where they were read, and still belong to somebody else.
    fn still_wants(&self, (lineage, ancestor): (u64, u64), index: u64, s: &Stretch) -> bool {
        let state = self.state.borrow();
        if state.between(lineage, ancestor).is_none_or(|b| b.is_empty()) {
            return false;
        }
        let wanted = state.to_copy((lineage, ancestor), index, s.start..s.start + s.blocks.len() as u32);
        wanted.into_iter().map(|(_, d)| d).eq(s.blocks.iter().copied())
    }

    /// Copies the bytes. `false`: they are no longer wanted.
    async fn copy_data(
        &self,
        cut: Cut<'_>,
        index: u64,
        s: &Stretch,
        to: &[Run],
    ) -> Result<bool, EngineError> {
        let Some(first) = s.blocks.first() else { return Ok(false) };
        let len = s.blocks.len() * BLOCK as usize;
        let base = index * u64::from(self.layout.object_blocks) + u64::from(s.start);
        let (mut buf, mut verified) = (Buf::zeroed(len), Ok(()));
        // What is copied though it is damaged must not be so by a bad read alone.
        for _ in 0..if cut.damaged_too { TRIES } else { 1 } {
            let result;
            (result, buf) = self.disk.read(first.phys * BLOCK, buf).await;
            let mut numbered = buf.chunks_exact(BLOCK as usize).zip(&s.blocks).zip(base..);
            verified = result.map_err(EngineError::from).and_then(|()| {
                let good = numbered.all(|((bytes, d), block)| self.matches(d, block, bytes));
                if good { Ok(()) } else { Err(EngineError::DataLost) }
            });
            if verified.is_ok() {
                break;
            }
        }
        if let Err(e) = verified {
            // What was overwritten meanwhile may have been given to others: only what still counts is an error.
            let _held = self.load(|state, needs| state.need_detach(cut.ends, index, needs)).await?;
            match self.still_wants(cut.ends, index, s) {
                true if cut.damaged_too => {}
                true => return Err(e),
                false => return Ok(false),
            }
        }
        let mut at = 0;
        for run in to {
            let end = at + (run.len * BLOCK) as usize;
            let (result, _) = self.disk.write(run.phys * BLOCK, Buf::copy_of(&buf[at..end])).await;
            if result == Err(DiskError::Io) {
                self.fence();
            }
            result?;
            at = end;
        }
        Ok(true)
    }

    /// Moves the link, if all objects are done; says whether it did.
    async fn cut(&self, cut: Cut<'_>) -> Result<bool, EngineError> {
        let ends = cut.ends;
        {
            let _one = self.lock_catalogue().await;
            // If recovery doubted a write that made a copy needless, the cut would find the block where it was.
            if R::FLUSH_BEFORE_CUT {
                self.flush().await?;
            }
            let link = Op::Rebase { lineage: ends.0, parent: ends.1 };
            let looked_at = |state: &State, needs: &mut Needs| state.need_op(&link, needs);
            let _held = self.make_ready(SHRINK, looked_at).await?;
            let next = self.progress(ends);
            let more = self.state.borrow().first_object_of(&self.between(ends), next).is_some();
            if more || !(cut.wanted)()? {
                return Ok(false);
            }
            if !self.is_there(ends) {
                self.change(Op::Rebase { lineage: ends.0, parent: ends.1 })?;
            }
            self.rebases.borrow_mut().remove(&ends.0);
            self.flush().await?;
        }
        self.reclaim_quietly().await.map(|()| true)
    }
}
