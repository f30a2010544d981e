//! Filling: blocks of any lineage, also a frozen one, get exactly the bytes and marks that another disk has.
//!
//! The rule of ownership must outlive it: versions that share a disk block are connected in the tree. So the
//! descendants that shared the block which is replaced follow to the new one. (Whoever copies goes from older
//! versions to younger ones and compares each in its turn, so what followed wrongly is filled itself.)

use std::rc::Rc;

use parpen_base::Buf;

use crate::alloc::Run;
use crate::codec::Malformed;
use crate::digest::mark_of;
use crate::engine::Engine;
use crate::layout::BLOCK;
use crate::map::{Data, SpanMap};
use crate::marks::BlockMark;
use crate::record::{Crcs, FillPiece, Filling, Op, Piece, Source};
use crate::room::{Keep, Need};
use crate::state::{Cause, Freed, Span, State};
use crate::wal::{RECORD_HEADER, cut};
use crate::wants::Needs;
use crate::write::Part;
use crate::{Disk, DiskError, EngineError, Rules};

const B: usize = BLOCK as usize;

/// One block of a span is mapped anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) at: usize,
    pub(crate) old: Option<Data>,
    pub(crate) new: Option<Data>,
}

fn phys(data: Option<Data>) -> u64 {
    data.map_or(0, |d| d.phys)
}

impl State {
    /// The nearest versions of an object below a lineage.
    pub(crate) fn versions_below(&self, lineage: u64, index: u64) -> Vec<usize> {
        let mut found = Vec::new();
        let children = |l: &u64| self.nodes.get(l).map_or(&[][..], |n| n.children.as_slice());
        let mut open: Vec<u64> = children(&lineage).to_vec();
        while let Some(l) = open.pop() {
            match self.slot(l, index) {
                Some(slot) => found.push(slot),
                None => open.extend(children(&l)),
            }
        }
        found
    }

    /// The versions below a lineage that change with it, each with the changes that reach it: what inherits the
    /// span, and what shares the disk block that is replaced.
    pub(crate) fn followers(
        &self,
        lineage: u64,
        index: u64,
        span: usize,
        changes: Rc<[Change]>,
    ) -> Vec<(usize, Rc<[Change]>)> {
        let mut all = Vec::new();
        let mut open = vec![(lineage, changes)];
        while let Some((lineage, changes)) = open.pop() {
            for slot in self.versions_below(lineage, index) {
                let theirs: Rc<[Change]> = match &self.version(slot).row().spans[span] {
                    Span::Inherit => changes.clone(),
                    Span::Holes => continue,
                    Span::Stored => unreachable!("maps are loaded before they are asked for"),
                    Span::Here(map) => {
                        let shares = |c: &&Change| c.old.is_some_and(|d| map.phys(c.at) == d.phys);
                        changes.iter().filter(shares).copied().collect()
                    }
                };
                if !theirs.is_empty() {
                    all.push((slot, theirs.clone()));
                    open.push((self.version(slot).lineage, theirs));
                }
            }
        }
        all
    }

    /// The version of a lineage, made if it is missing; a new one stands between existing ones and reads as
    /// before.
    pub(crate) fn version_for_fill(&mut self, lineage: u64, index: u64) -> usize {
        if let Some(slot) = self.slot(lineage, index) {
            return slot;
        }
        let parent = self.lookup(lineage, index);
        let below = self.versions_below(lineage, index);
        let slot = self.add_version(lineage, index, parent);
        for child in below {
            self.version_mut(child).set_parent(Some(slot));
        }
        self.forget_far();
        slot
    }

    /// `cause`: why what it replaces is no longer needed.
    pub(crate) fn apply_fill(
        &mut self,
        f: &Filling,
        cause: Cause,
        freed: &mut Freed,
    ) -> Result<(), Malformed> {
        let known = self.nodes.get(&f.lineage).is_some_and(|n| n.is_lineage());
        let within = u64::from(f.start) + f.blocks() <= self.object_blocks && f.index <= self.last_object();
        let disk_blocks = self.disk_blocks;
        let on_disk = |p: &FillPiece| match p.source {
            Source::Data { phys, .. } => {
                phys > 0 && phys.checked_add(u64::from(p.len)).is_some_and(|end| end <= disk_blocks)
            }
            _ => true,
        };
        if !known || !within || !f.pieces.iter().all(on_disk) || f.marked() != f.crcs.len() as u64 {
            return Err(Malformed);
        }
        let slot = self.version_for_fill(f.lineage, f.index);
        let mut changes: Vec<(usize, Change)> = Vec::new();
        for (block, what) in f.each() {
            let Some(placed) = what else { continue };
            let (span, at) = (block as usize / self.span_blocks, block as usize % self.span_blocks);
            let old = self.resolve(slot, span).and_then(|m| m.get(at));
            // The span is the version's own from here on, also where recovery, which does not believe all that came
            // before, finds nothing to change: what comes next above it must not show here.
            self.own(slot, span);
            let new = match placed {
                Placed::Before => continue,
                Placed::Hole => None,
                Placed::Data(d) => Some(d),
                Placed::Shared(mark) => match self.inherited(slot, span).and_then(|m| m.get(at)) {
                    Some(d) if BlockMark::from(d) == mark => Some(d),
                    // Recovery did not believe the parent's block: then this one stays as it was, too.
                    _ => continue,
                },
            };
            if phys(old) != phys(new) {
                changes.push((span, Change { at, old, new }));
            }
        }
        for of_span in changes.chunk_by(|a, b| a.0 == b.0) {
            let span = of_span[0].0;
            self.refill(slot, span, of_span.iter().map(|(_, c)| *c).collect(), cause, freed);
        }
        self.version_mut(slot).write_version += 1;
        self.dirty.version_pages.insert(slot);
        Ok(())
    }

    /// Maps blocks of a version anew, together with all that shared them below it.
    pub(crate) fn refill(
        &mut self,
        slot: usize,
        span: usize,
        changes: Rc<[Change]>,
        cause: Cause,
        freed: &mut Freed,
    ) {
        let (lineage, index) = (self.version(slot).lineage, self.version(slot).index);
        let followers = self.followers(lineage, index, span, changes.clone());
        self.own(slot, span);
        let above = self.inherited(slot, span).cloned();
        let owns = |at: usize, phys: u64| phys != 0 && above.as_ref().is_none_or(|p| p.phys(at) != phys);
        let (mut lost, mut gained) = (0, 0);
        for c in changes.iter() {
            if owns(c.at, phys(c.old)) {
                freed.push(phys(c.old), cause);
                lost += 1;
            }
            gained += u64::from(owns(c.at, phys(c.new)));
        }
        self.own_blocks(slot, gained, lost);
        self.remap(slot, span, &changes);
        for (follower, changes) in followers {
            self.remap(follower, span, &changes);
        }
    }

    /// The map and the digest of one version; a span that inherits has changed already.
    fn remap(&mut self, slot: usize, span: usize, changes: &[Change]) {
        let blocks = self.span_blocks;
        let v = self.version_mut(slot);
        for c in changes {
            let block = span * blocks + c.at;
            v.digest ^= mark_of(block, c.old) ^ mark_of(block, c.new);
        }
        if matches!(v.row().spans[span], Span::Holes) {
            self.set_span(slot, span, Span::Here(Rc::new(SpanMap::empty(blocks))));
        }
        if let Span::Here(map) = &mut self.version_mut(slot).row_mut().spans[span] {
            let m = Rc::make_mut(map);
            for c in changes {
                m.set(c.at, c.new);
            }
            if m.mapped() == 0 {
                self.set_span(slot, span, Span::Holes);
            }
            self.dirty.spans.insert((slot, span));
        }
        self.dirty.version_pages.insert(slot);
    }
}

/// What a block of a filling becomes.
pub(crate) enum Placed {
    /// As it was, in a span of the version's own.
    Before,
    Hole,
    Data(Data),
    /// As in the parent version, which has this mark there.
    Shared(BlockMark),
}

/// What must be done for one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Keep,
    Hole,
    Share(BlockMark),
    Write(BlockMark),
}

/// What a filling does, and what it dirties.
struct FillPlan {
    steps: Vec<Step>,
    spans: u64,
    /// Younger versions have maps of their own that change with it.
    follows: bool,
}

impl State {
    fn plan_fill(
        &self,
        lineage: u64,
        first: u64,
        marks: &[Option<BlockMark>],
    ) -> Result<FillPlan, EngineError> {
        let node = self.nodes.get(&lineage).filter(|n| n.is_lineage()).ok_or(EngineError::NotFound)?;
        let now = self.entries(lineage, first, marks.len());
        let above = self.entries(node.parent, first, marks.len());
        let step = |((want, now), above): ((&Option<BlockMark>, &Option<Data>), &Option<Data>)| match want {
            None => now.map_or(Step::Keep, |_| Step::Hole),
            Some(mark) if above.is_some_and(|d| BlockMark::from(d) == *mark) => {
                if phys(*now) == phys(*above) { Step::Keep } else { Step::Share(*mark) }
            }
            Some(mark) if now.is_some_and(|d| BlockMark::from(d) == *mark) => Step::Keep,
            Some(mark) => Step::Write(*mark),
        };
        let steps: Vec<Step> = marks.iter().zip(&now).zip(&above).map(step).collect();
        let index = first / self.object_blocks;
        let (mut spans, mut follows) = (0, false);
        let mut at = 0;
        while at < steps.len() {
            let within = (first + at as u64) % self.object_blocks;
            let (span, i) = ((within / self.span_blocks as u64) as usize, within as usize % self.span_blocks);
            let n = (self.span_blocks - i).min(steps.len() - at);
            let changes: Rc<[Change]> = (at..at + n)
                .filter(|k| steps[*k] != Step::Keep)
                .map(|k| Change { at: i + k - at, old: now[k], new: None })
                .collect();
            if !changes.is_empty() {
                let inherits = |slot: usize| matches!(self.version(slot).row().spans[span], Span::Inherit);
                let dirtied = self.followers(lineage, index, span, changes);
                let own = dirtied.iter().filter(|(slot, _)| !inherits(*slot)).count() as u64;
                spans += 1 + own;
                follows |= own > 0;
            }
            at += n;
        }
        Ok(FillPlan { steps, spans, follows })
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Makes blocks of a lineage, from block `start` of an object on, hold exactly these bytes under these
    /// marks (`None`: a hole); durable after a later [`Engine::flush`]. The lineage may be frozen or a ghost.
    /// What the parent version holds under the same mark is shared with it. Descendants that shared a block
    /// which is replaced follow.
    ///
    /// Of one object, older versions are filled before younger ones, and while a volume's head is filled, the
    /// caller lets no other write reach the blocks.
    pub async fn fill(
        &self,
        lineage: u64,
        index: u64,
        start: u32,
        marks: &[Option<BlockMark>],
        buf: Buf,
    ) -> (Result<(), EngineError>, Buf) {
        let checked = match buf.len() == marks.len() * B {
            true => self.check_blocks_of(lineage, index, start, marks.len() as u64),
            false => Err(EngineError::Invalid("a filling has one mark for each block")),
        };
        let first = index.saturating_mul(u64::from(self.layout.object_blocks)) + u64::from(start);
        let good = |(i, mark): (usize, &Option<BlockMark>)| {
            let data = &buf[i * B..(i + 1) * B];
            mark.is_none_or(|m| self.checksum(m.origin, first + i as u64, data) == m.crc)
        };
        let checked = checked.and_then(|()| match marks.iter().enumerate().all(good) {
            true => Ok(()),
            false => Err(EngineError::DataLost),
        });
        if let Err(e) = checked {
            return (Err(e), buf);
        }
        let most = self.fill_blocks() as usize;
        if marks.len() <= most {
            return self.fill_part(lineage, first, marks, buf).await;
        }
        let mut at = first;
        for (marks, bytes) in marks.chunks(most).zip(buf.chunks(most * B)) {
            if let (Err(e), _) = self.fill_part(lineage, at, marks, Buf::copy_of(bytes)).await {
                return (Err(e), buf);
            }
            at += marks.len() as u64;
        }
        (Ok(()), buf)
    }

    /// Blocks that one filling covers at most, so that it fits a record and an eighth of the ring.
    fn fill_blocks(&self) -> u64 {
        let most = cut(self.layout.wal_bytes).min(self.layout.wal_bytes / 8) as usize - RECORD_HEADER;
        let each = Filling::most_bytes(1) - Filling::most_bytes(0);
        (((most - Filling::most_bytes(0)) / each) as u64).max(1)
    }

    async fn fill_part(
        &self,
        lineage: u64,
        first: u64,
        marks: &[Option<BlockMark>],
        mut buf: Buf,
    ) -> (Result<(), EngineError>, Buf) {
        loop {
            let done;
            (done, buf) = self.try_fill(lineage, first, marks, buf).await;
            match done {
                Ok(false) => {}
                Ok(true) => return (Ok(()), buf),
                Err(e) => return (Err(e), buf),
            }
        }
    }

    fn plan_now(
        &self,
        lineage: u64,
        first: u64,
        marks: &[Option<BlockMark>],
    ) -> Result<FillPlan, EngineError> {
        self.alive()?;
        self.state.borrow().plan_fill(lineage, first, marks)
    }

    /// One attempt; `Ok(false)` when the versions around it changed meanwhile.
    async fn try_fill(
        &self,
        lineage: u64,
        first: u64,
        marks: &[Option<BlockMark>],
        buf: Buf,
    ) -> (Result<bool, EngineError>, Buf) {
        let blocks = u64::from(self.layout.object_blocks);
        let looked_at = |state: &State, needs: &mut Needs| {
            state.need_fill(lineage, first / blocks, first % blocks, marks.len() as u64, needs);
        };
        let _held = match self.load(looked_at).await {
            Ok(held) => held,
            Err(e) => return (Err(e), buf),
        };
        let plan = match self.plan_now(lineage, first, marks) {
            Ok(plan) if plan.steps.iter().all(|s| *s == Step::Keep) => return (Ok(true), buf),
            Ok(plan) => plan,
            Err(e) => return (Err(e), buf),
        };
        if plan.follows
            && let Err(e) = self.settle_tail().await
        {
            return (Err(e), buf);
        }
        let log = Filling::most_bytes(marks.len() as u64);
        let data = plan.steps.iter().filter(|s| matches!(s, Step::Write(_))).count() as u64;
        let need = Need { blocks: data, spans: plan.spans, log, keep: Keep::All };
        if let Err(e) = self.make_room(need).await {
            return (Err(e), buf);
        }
        let _pledge = self.pledge(plan.spans);
        let index = first / u64::from(self.layout.object_blocks);
        let Some(runs) = self.take_data(lineage, index, data) else {
            return (Err(EngineError::NoSpace), buf);
        };
        let filling = self.filling(lineage, first, &plan.steps, &runs);
        let (written, buf) = self.write_parts(&[filling.to_write()], first, buf).await;
        if written == Err(DiskError::Io) {
            self.fence();
        }
        // Others may have filled the log meanwhile.
        let written = match written {
            Ok(()) => self.make_ready(Need { log, ..Need::default() }, looked_at).await,
            Err(e) => Err(e.into()),
        };
        let now = written.and_then(|held| self.plan_now(lineage, first, marks).map(|now| (now, held)));
        let _ready = match now {
            Ok((now, held)) if now.steps == plan.steps => held,
            other => {
                self.return_data(runs);
                return (other.map(|_| false), buf);
            }
        };
        self.room.borrow_mut().in_flight -= data;
        let changed = self.change(Op::Fill(filling));
        (changed.and(self.bound_tail(data * BLOCK).await).map(|()| true), buf)
    }

    /// Makes durable what came before an operation that other versions follow. Who follows shows in who shares
    /// the old block; if the mapping of that block stood in the same tail of the log, recovery might not
    /// believe it (the block is free by then), and the followers would stay behind.
    pub(crate) async fn settle_tail(&self) -> Result<(), EngineError> {
        if R::SETTLE_BEFORE_FOLLOW { self.flush().await } else { Ok(()) }
    }

    fn filling(&self, lineage: u64, first: u64, steps: &[Step], runs: &[Run]) -> Filling {
        let object_blocks = u64::from(self.layout.object_blocks);
        let mut places = runs.iter().flat_map(|r| r.phys..r.phys + r.len);
        let (index, start) = (first / object_blocks, (first % object_blocks) as u32);
        let mut filling = Filling { lineage, index, start, pieces: Vec::new(), crcs: Vec::new() };
        for step in steps {
            match step {
                Step::Keep => filling.push(Source::Keep, None),
                Step::Hole => filling.push(Source::Hole, None),
                Step::Share(m) => filling.push(Source::Shared { origin: m.origin }, Some(m.crc)),
                Step::Write(m) => {
                    let phys = places.next().unwrap_or(0);
                    filling.push(Source::Data { phys, origin: m.origin }, Some(m.crc));
                }
            }
        }
        filling
    }
}

impl Filling {
    /// Puts one more block at the end.
    fn push(&mut self, source: Source, crc: Option<u32>) {
        self.crcs.extend(crc);
        match self.pieces.last_mut() {
            Some(p) if p.source.goes_on(p.len, source) => p.len += 1,
            _ => self.pieces.push(FillPiece { source, len: 1 }),
        }
    }

    /// Its blocks within the object, and what each becomes; `None`: it stays.
    pub(crate) fn each(&self) -> impl Iterator<Item = (u64, Option<Placed>)> + '_ {
        let mut crcs = self.crcs.iter().copied();
        let blocks = self.pieces.iter().flat_map(|p| (0..u64::from(p.len)).map(|i| (p.source, i)));
        blocks.enumerate().map(move |(n, (source, i))| {
            let mut crc = || crcs.next().unwrap_or_default();
            let placed = match source {
                Source::Keep => None,
                Source::Doubted => Some(Placed::Before),
                Source::Hole => Some(Placed::Hole),
                Source::Data { phys, origin } => {
                    Some(Placed::Data(Data { phys: phys + i, crc: crc(), origin }))
                }
                Source::Shared { origin } => Some(Placed::Shared(BlockMark { origin, crc: crc() })),
            };
            (u64::from(self.start) + n as u64, placed)
        })
    }

    /// What of it goes to the disk.
    fn to_write(&self) -> Part {
        let place = |p: &FillPiece| match p.source {
            Source::Data { phys, .. } => Piece { phys, len: p.len },
            _ => Piece { phys: 0, len: p.len },
        };
        let pieces = self.pieces.iter().map(place).collect();
        Part { index: self.index, start: self.start, pieces, crcs: Crcs::new() }
    }
}
