//! Which blocks are free: groups of blocks whose bits come into memory when they are needed, and counts of
//! all.
//!
//! A group has two planes (see [`Bits`]): *used* says what may be taken, *recorded* what the next checkpoint
//! will say. Of a group that is not in memory the two are the same, but for what is queued here since; and
//! nothing is taken from it.
//!
//! Placement: each stream (an object, or the metadata) goes on behind its last block; when that is taken it
//! moves to another chunk, so that streams written side by side stay contiguous. Chunks that were used before
//! and have room come before those that never were: a sparse file grows only when it must.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use smallvec::SmallVec;

use crate::codec::BlobRef;
use crate::group::{Bits, CHUNK, Chunk};

/// Most blocks of a group: what one page of bits holds.
const GROUP_MAX: u64 = 63 * CHUNK;
/// From this many blocks on a write looks for a wholly free chunk.
const LARGE: u64 = 16;

/// A run of disk blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) phys: u64,
    pub(crate) len: u64,
}

/// Runs; a single one without an allocation.
pub(crate) type Runs = SmallVec<[Run; 1]>;

/// What happens to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// A map or a checkpoint has it.
    Record,
    /// No map or checkpoint has it any more.
    Forget,
    /// It may be taken again.
    Release,
}

#[derive(Default)]
struct Group {
    /// Where its bits stand since the last checkpoint; none: nothing is recorded there.
    leaf: BlobRef,
    /// Blocks that are recorded there.
    recorded: u32,
    free: u32,
    bits: Option<Box<Bits>>,
    /// Blocks that are used, not recorded and not apart.
    held: u32,
    /// What happened since to a group that is not in memory.
    queued: Vec<(Event, u32, u32)>,
    /// Its bits are not what stands on the disk.
    dirty: bool,
    /// Its bits cannot be read: nothing is taken from it or given back to it.
    lost: bool,
}

/// Bits of all groups at one instant, and which of them differ from what stands on the disk.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) bits: BTreeMap<usize, Rc<Vec<u64>>>,
    pub(crate) dirty: BTreeSet<usize>,
    /// Groups of which nothing is known any more.
    pub(crate) lost: BTreeSet<usize>,
}

/// In the table of groups: nothing is known of it, and all of it counts as used.
pub(crate) const LOST: BlobRef = BlobRef { block: 0, indirect: false, len: 1, crc: 0 };

/// The free blocks of a disk.
pub(crate) struct Alloc {
    blocks: u64,
    group_blocks: u64,
    groups: Vec<Group>,
    /// Groups in memory, and the order in which they came.
    here: BTreeSet<usize>,
    order: VecDeque<usize>,
    /// Pieces within one group that are used and never recorded: superblocks, the log, root and bits.
    apart: BTreeMap<u64, u32>,
    free: u64,
    /// Free blocks of groups that must be read before anything is taken from them.
    away: u64,
    /// Chunks in memory that were used before and have much room, and those that are wholly free again.
    roomy: usize,
    empty: usize,
    /// No group below this one has a virgin chunk.
    virgin: usize,
    cursor: (usize, usize),
    broken: u64,
    /// Groups whose bits the checkpoint in flight writes.
    writing: BTreeSet<usize>,
    /// Groups that were lost since the last checkpoint.
    newly_lost: BTreeSet<usize>,
}

impl Alloc {
    /// All `blocks` are free. Groups are of at most `group_blocks`.
    pub(crate) fn new(blocks: u64, group_blocks: u32) -> Alloc {
        let group_blocks = u64::from(group_blocks).next_multiple_of(64).min(GROUP_MAX);
        let mut a = Alloc {
            blocks,
            group_blocks,
            groups: Vec::new(),
            here: BTreeSet::new(),
            order: VecDeque::new(),
            apart: BTreeMap::new(),
            free: blocks,
            away: 0,
            roomy: 0,
            empty: 0,
            virgin: 0,
            cursor: (0, 0),
            broken: 0,
            writing: BTreeSet::new(),
            newly_lost: BTreeSet::new(),
        };
        for g in 0..blocks.div_ceil(group_blocks) as usize {
            a.groups.push(Group { free: a.size(g), ..Group::default() });
        }
        a
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    pub(crate) fn free(&self) -> u64 {
        self.free
    }

    /// Free blocks that can be taken without reading anything.
    pub(crate) fn reachable(&self) -> u64 {
        self.free - self.away
    }

    /// Blocks that were freed while they were free, or taken by two: each one is a broken invariant.
    pub(crate) fn broken(&self) -> u64 {
        self.broken
    }

    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Words of a group's bits.
    pub(crate) fn words(&self) -> usize {
        (self.group_blocks / 64) as usize
    }

    fn size(&self, g: usize) -> u32 {
        self.group_blocks.min(self.blocks - g as u64 * self.group_blocks) as u32
    }

    fn start(&self, g: usize) -> u64 {
        g as u64 * self.group_blocks
    }

    pub(crate) fn group_of(&self, phys: u64) -> usize {
        (phys / self.group_blocks) as usize
    }

    /// A run cut at the ends of groups: group, first block within it, blocks.
    fn cut(&self, run: Run) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let size = self.group_blocks;
        let end = run.phys.saturating_add(run.len).min(self.blocks);
        let mut at = run.phys;
        std::iter::from_fn(move || {
            let left = end.checked_sub(at).filter(|left| *left > 0)?;
            let (g, i) = (at / size, at % size);
            let n = left.min(size - i);
            at += n;
            Some((g as usize, i as usize, n as usize))
        })
    }

    /// Whether a block is in use; of a group that is not in memory, whether it may be.
    pub(crate) fn is_used(&self, phys: u64) -> bool {
        let bits = self.groups.get(self.group_of(phys)).and_then(|g| g.bits.as_ref());
        bits.is_none_or(|b| b.is_used((phys % self.group_blocks) as usize))
    }

    /// Whether the next checkpoint will say that a block is in use. Its group is in memory.
    pub(crate) fn is_recorded(&self, phys: u64) -> bool {
        let bits = self.groups.get(self.group_of(phys)).and_then(|g| g.bits.as_ref());
        bits.is_some_and(|b| b.is_recorded((phys % self.group_blocks) as usize))
    }

    /// Changes one block of a group in memory, with all counts.
    fn with(&mut self, g: usize, i: usize, change: impl FnOnce(&mut Bits)) {
        let Some(bits) = &mut self.groups[g].bits else { return };
        let at = i / CHUNK as usize;
        let was = bits.chunks[at];
        change(bits);
        let now = bits.chunks[at];
        self.roomy = self.roomy + usize::from(now.is_roomy()) - usize::from(was.is_roomy());
        self.empty = self.empty + usize::from(now.is_empty()) - usize::from(was.is_empty());
    }

    fn count_free(&mut self, g: usize, more: u64, less: u64) {
        self.free = (self.free + more).saturating_sub(less);
        let group = &mut self.groups[g];
        group.free = (u64::from(group.free) + more).saturating_sub(less) as u32;
        if group.bits.is_none() && !group.leaf.is_none() {
            self.away = (self.away + more).saturating_sub(less);
        }
    }

    fn claim(&mut self, g: usize, i: usize) {
        self.with(g, i, |bits| bits.take(i));
        self.count_free(g, 0, 1);
    }

    /// Brings a group into memory: what stands on the disk (`None`: nothing is recorded), and what was
    /// queued.
    pub(crate) fn install(&mut self, g: usize, recorded: Option<Vec<u64>>) {
        if self.groups[g].bits.is_some() || self.groups[g].lost {
            return;
        }
        if !self.groups[g].leaf.is_none() {
            self.away = self.away.saturating_sub(u64::from(self.groups[g].free));
        }
        let size = self.size(g) as usize;
        let mut bits = Bits::new(recorded.unwrap_or_else(|| vec![0; self.words()]), size);
        let start = self.start(g);
        let apart = self.apart.range(start..start + size as u64);
        for i in apart.flat_map(|(at, n)| (*at - start) as usize..(*at - start) as usize + *n as usize) {
            if bits.is_used(i) {
                self.broken += 1;
            } else {
                bits.take(i);
            }
        }
        self.roomy += bits.chunks.iter().filter(|c| c.is_roomy()).count();
        self.empty += bits.chunks.iter().filter(|c| c.is_empty()).count();
        let group = &mut self.groups[g];
        group.bits = Some(Box::new(bits));
        let queued = std::mem::take(&mut group.queued);
        self.here.insert(g);
        self.order.push_back(g);
        self.virgin = self.virgin.min(g);
        // Counted when it was queued.
        let counted = (self.groups[g].free, self.free);
        for (event, i, n) in queued {
            (i..i + n).for_each(|i| self.happens(event, g, i as usize));
        }
        (self.groups[g].free, self.free) = counted;
    }

    /// The bits of a group cannot be read.
    pub(crate) fn lose(&mut self, g: usize) {
        if self.groups[g].bits.is_some() || self.groups[g].lost {
            return;
        }
        let free = u64::from(self.groups[g].free);
        self.count_free(g, 0, free);
        let group = &mut self.groups[g];
        group.queued.clear();
        (group.lost, group.dirty) = (true, false);
        self.newly_lost.insert(g);
    }

    pub(crate) fn is_lost(&self, g: usize) -> bool {
        self.groups[g].lost
    }

    fn happens(&mut self, event: Event, g: usize, i: usize) {
        let Some(bits) = &self.groups[g].bits else { return };
        let (used, recorded) = (bits.is_used(i), bits.is_recorded(i));
        match (event, used, recorded) {
            (Event::Record, false, false) => {
                self.claim(g, i);
                self.mark(g, i, true);
            }
            (Event::Record, true, false) => {
                self.mark(g, i, true);
                self.groups[g].held = self.groups[g].held.saturating_sub(1);
            }
            (Event::Forget, _, true) => {
                self.mark(g, i, false);
                self.groups[g].held += 1;
            }
            (Event::Release, true, false) => {
                self.with(g, i, |bits| bits.give(i));
                self.count_free(g, 1, 0);
                self.groups[g].held = self.groups[g].held.saturating_sub(1);
            }
            _ => self.broken += 1,
        }
    }

    fn mark(&mut self, g: usize, i: usize, on: bool) {
        self.with(g, i, |bits| bits.set_recorded(i, on));
        self.groups[g].dirty = true;
    }

    fn happen(&mut self, event: Event, run: Run) {
        for (g, i, n) in self.cut(run) {
            if self.groups[g].lost {
                continue;
            }
            if self.groups[g].bits.is_none() && self.groups[g].leaf.is_none() {
                self.install(g, None);
            }
            if self.groups[g].bits.is_some() {
                (i..i + n).for_each(|i| self.happens(event, g, i));
                continue;
            }
            self.groups[g].queued.push((event, i as u32, n as u32));
            match event {
                Event::Record => self.count_free(g, 0, n as u64),
                Event::Release => self.count_free(g, n as u64, 0),
                Event::Forget => {}
            }
        }
    }

    /// A map or a checkpoint has these blocks: they were taken before, or they are free and replay takes
    /// them.
    pub(crate) fn record(&mut self, run: Run) {
        self.happen(Event::Record, run);
    }

    /// No map or checkpoint has these blocks any more; they are not free yet.
    pub(crate) fn forget(&mut self, run: Run) {
        self.happen(Event::Forget, run);
    }

    /// Makes used blocks, which nothing records, free again.
    pub(crate) fn release(&mut self, run: Run) {
        self.happen(Event::Release, run);
    }

    /// Blocks that were taken stand apart from what is recorded; or free ones do.
    pub(crate) fn set_apart(&mut self, run: Run) {
        for (g, i, n) in self.cut(run) {
            self.apart.insert(self.start(g) + i as u64, n as u32);
            let here = self.groups[g].bits.is_some();
            for i in i..i + n {
                if here && self.is_used(self.start(g) + i as u64) {
                    self.groups[g].held = self.groups[g].held.saturating_sub(1);
                } else {
                    self.claim(g, i);
                }
            }
        }
    }

    /// Blocks that stood apart are free.
    pub(crate) fn free_apart(&mut self, run: Run) {
        for (g, i, n) in self.cut(run) {
            if self.apart.remove(&(self.start(g) + i as u64)) != Some(n as u32) {
                self.broken += 1;
                continue;
            }
            for i in i..i + n {
                self.with(g, i, |bits| bits.give(i));
            }
            if !self.groups[g].lost {
                self.count_free(g, n as u64, 0);
            }
        }
    }

    /// The checkpoint that is written now has these blocks and is the truth: as [`Alloc::record`], but the
    /// disk says so already.
    pub(crate) fn recorded(&mut self, run: Run) {
        self.quietly(run, |a| a.record(run));
    }

    /// The checkpoint that is the truth now has let these blocks go: they are free, and the disk says so
    /// already.
    pub(crate) fn retired(&mut self, run: Run) {
        for (g, i, n) in self.cut(run) {
            let group = &self.groups[g];
            if group.bits.is_some() {
                let part = Run { phys: self.start(g) + i as u64, len: n as u64 };
                self.quietly(part, |a| {
                    a.forget(part);
                    a.release(part);
                });
            } else if !group.lost {
                // What will be read of it says so.
                self.count_free(g, n as u64, 0);
            }
        }
    }

    fn quietly(&mut self, run: Run, f: impl FnOnce(&mut Alloc)) {
        let was: Vec<(usize, bool)> = self.cut(run).map(|(g, _, _)| (g, self.groups[g].dirty)).collect();
        f(self);
        was.into_iter().for_each(|(g, dirty)| self.groups[g].dirty = dirty);
    }

    /// Where a group's bits stand, if they must be read.
    pub(crate) fn leaf(&self, g: usize) -> BlobRef {
        self.groups[g].leaf
    }

    pub(crate) fn is_here(&self, g: usize) -> bool {
        self.groups[g].bits.is_some()
    }

    /// Sets what the checkpoint says of a group: where its bits stand and how many blocks they record.
    pub(crate) fn load_group(&mut self, g: usize, leaf: BlobRef, recorded: u32) -> bool {
        let Some(group) = self.groups.get(g) else { return leaf.is_none() && recorded == 0 };
        if leaf == LOST {
            self.lose(g);
            self.newly_lost.remove(&g);
            return true;
        }
        if leaf.is_none() || recorded > group.free {
            return leaf.is_none() && recorded == 0;
        }
        (self.groups[g].leaf, self.groups[g].recorded) = (leaf, recorded);
        self.away += u64::from(self.groups[g].free);
        self.count_free(g, 0, u64::from(recorded));
        true
    }

    /// Forgets what the disk says of all groups: all that is used will be recorded anew.
    pub(crate) fn restart(&mut self) {
        for g in 0..self.groups.len() {
            let Group { leaf, recorded, .. } = self.groups[g];
            self.groups[g] = Group { leaf, recorded, dirty: true, ..Group::default() };
        }
        (self.here, self.order, self.newly_lost) = Default::default();
        (self.free, self.away, self.roomy, self.empty, self.virgin) = (0, 0, 0, 0, 0);
        for g in 0..self.groups.len() {
            let (start, size) = (self.start(g), u64::from(self.size(g)));
            let apart: u32 = self.apart.range(start..start + size).map(|(_, n)| *n).sum();
            self.groups[g].free = size as u32 - apart;
            self.free += u64::from(self.groups[g].free);
            self.away += if self.groups[g].leaf.is_none() { 0 } else { u64::from(self.groups[g].free) };
            self.install(g, None);
        }
    }

    /// Any group of which nothing is known.
    pub(crate) fn any_lost(&self) -> bool {
        self.groups.iter().any(|g| g.lost)
    }

    /// A group's bits stand elsewhere now.
    pub(crate) fn moved(&mut self, g: usize, leaf: BlobRef, recorded: u32) {
        let away = |group: &Group| if group.bits.is_none() && !group.leaf.is_none() { group.free } else { 0 };
        let was = away(&self.groups[g]);
        (self.groups[g].leaf, self.groups[g].recorded) = (leaf, recorded);
        self.away = self.away + u64::from(away(&self.groups[g])) - u64::from(was);
        if leaf.is_none() {
            self.virgin = self.virgin.min(g);
        }
    }

    /// The blocks of a group.
    pub(crate) fn blocks_of(&self, g: usize) -> std::ops::Range<u64> {
        self.start(g)..self.start(g) + u64::from(self.size(g))
    }

    /// What the table of groups says of one: where its bits stand, and how many blocks they record.
    pub(crate) fn entry(&self, g: usize) -> (BlobRef, u32) {
        match self.groups.get(g) {
            Some(group) if group.lost => (LOST, 0),
            Some(group) => (group.leaf, group.recorded),
            None => (BlobRef::default(), 0),
        }
    }

    /// Groups to which something happened while they were not in memory.
    pub(crate) fn unsettled(&self) -> Vec<usize> {
        let open = |g: &usize| !self.groups[*g].queued.is_empty();
        (0..self.groups.len()).filter(open).collect()
    }

    /// Groups whose bits the next checkpoint writes, at least.
    pub(crate) fn dirty(&self) -> usize {
        self.here.iter().filter(|g| self.groups[**g].dirty).count()
    }

    /// What the next checkpoint will say, at this instant; all groups count as written.
    pub(crate) fn capture(&mut self) -> Record {
        let mut record = Record::default();
        for g in &self.here {
            let group = &mut self.groups[*g];
            if let Some(bits) = &group.bits {
                record.bits.insert(*g, bits.record());
            }
            if std::mem::take(&mut group.dirty) {
                record.dirty.insert(*g);
            }
        }
        self.writing = record.dirty.clone();
        record.lost = std::mem::take(&mut self.newly_lost);
        record
    }

    /// The checkpoint was not written.
    pub(crate) fn uncapture(&mut self, record: &Record) {
        record.dirty.iter().for_each(|g| self.groups[*g].dirty = true);
        self.newly_lost.extend(&record.lost);
        self.writing.clear();
    }

    /// The checkpoint was written.
    pub(crate) fn written(&mut self) {
        self.writing.clear();
    }

    /// Lets go groups that are as they stand on the disk, down to `most`.
    pub(crate) fn evict(&mut self, most: usize) {
        for _ in 0..self.order.len().min(64) {
            if self.here.len() <= most {
                return;
            }
            let Some(g) = self.order.pop_front() else { return };
            let group = &mut self.groups[g];
            if group.dirty || group.held > 0 || self.writing.contains(&g) {
                self.order.push_back(g);
                continue;
            }
            let Some(bits) = group.bits.take() else { continue };
            self.here.remove(&g);
            self.roomy -= bits.chunks.iter().filter(|c| c.is_roomy()).count();
            self.empty -= bits.chunks.iter().filter(|c| c.is_empty()).count();
            if self.groups[g].leaf.is_none() {
                self.virgin = self.virgin.min(g);
            } else {
                self.away += u64::from(self.groups[g].free);
            }
        }
    }

    /// A group with free blocks that is not in memory: the one with most.
    pub(crate) fn best_away(&self) -> Option<usize> {
        let away = |g: &usize| {
            let group = &self.groups[*g];
            group.bits.is_none() && !group.leaf.is_none() && !group.lost && group.free > 0
        };
        (0..self.groups.len()).filter(away).max_by_key(|g| self.groups[*g].free)
    }

    fn chunk_id(&self, phys: u64) -> (usize, usize) {
        (self.group_of(phys), (phys % self.group_blocks / CHUNK) as usize)
    }

    fn chunk(&self, (g, at): (usize, usize)) -> Option<Chunk> {
        self.groups.get(g)?.bits.as_ref()?.chunks.get(at).copied()
    }

    /// The chunks that a run touches, by their first blocks.
    pub(crate) fn chunks_of(&self, run: Run) -> Vec<u64> {
        let chunk = CHUNK as usize;
        let of = |(g, i, n): (usize, usize, usize)| {
            let start = self.start(g);
            (i / chunk..(i + n).div_ceil(chunk)).map(move |c| start + c as u64 * CHUNK)
        };
        self.cut(run).flat_map(of).collect()
    }

    /// Takes a chunk that was used and is wholly free again, to give it back to the medium.
    pub(crate) fn take_chunk(&mut self, first: u64) -> Option<Run> {
        let run = Run { phys: first, len: CHUNK };
        self.chunk(self.chunk_id(first)).filter(|c| c.is_empty())?;
        (run.phys..run.phys + run.len).for_each(|b| self.hold(b));
        Some(run)
    }

    /// The medium has a chunk back: it is as good as never used.
    pub(crate) fn release_virgin(&mut self, run: Run) {
        self.release(run);
        let (g, at) = self.chunk_id(run.phys);
        self.with(g, at * CHUNK as usize, |bits| bits.make_virgin(at));
        self.virgin = self.virgin.min(g);
    }

    /// A free block of a group in memory is taken.
    fn hold(&mut self, phys: u64) {
        let (g, i) = (self.group_of(phys), (phys % self.group_blocks) as usize);
        self.claim(g, i);
        self.groups[g].held += 1;
    }

    /// Takes `want` blocks, from `near` on where that is free; `None` (and nothing taken) when there are not
    /// so many within reach.
    pub(crate) fn take(&mut self, near: u64, want: u64) -> Option<Runs> {
        if want > self.reachable() {
            return None;
        }
        let mut runs = Runs::new();
        let mut left = want;
        let mut at = near;
        while left > 0 {
            if self.is_used(at) || !self.may_enter(at, left) {
                let here = if left < LARGE { self.next_in_chunk(at) } else { None };
                at = here.unwrap_or_else(|| self.next_place(left));
            }
            let run = self.claim_run(at, left);
            left -= run.len;
            at = run.phys + run.len;
            match runs.last_mut() {
                Some(Run { phys, len }) if *phys + *len == run.phys => *len += run.len,
                _ => runs.push(run),
            }
        }
        Some(runs)
    }

    /// Whether a write that goes on at `phys` may: into another chunk only if that is wholly free, which
    /// keeps streams apart, and into a virgin one only if nothing that was used before will do.
    fn may_enter(&self, phys: u64, left: u64) -> bool {
        if !(phys % self.group_blocks).is_multiple_of(CHUNK) {
            return true;
        }
        let Some(c) = self.chunk(self.chunk_id(phys)) else { return false };
        u64::from(c.free) == CHUNK && (c.fill > 0 || !self.has_reusable(left))
    }

    fn has_reusable(&self, want: u64) -> bool {
        if want < LARGE { self.roomy > 0 } else { self.empty > 0 }
    }

    /// Claims up to `most` blocks from the free block `phys` on.
    fn claim_run(&mut self, phys: u64, most: u64) -> Run {
        let mut len = 0;
        while len < most && !self.is_used(phys + len) && (len == 0 || self.may_enter(phys + len, most - len))
        {
            self.hold(phys + len);
            len += 1;
        }
        Run { phys, len }
    }

    /// The next free block behind `phys` in its chunk.
    fn next_in_chunk(&self, phys: u64) -> Option<u64> {
        let (g, at) = self.chunk_id(phys);
        self.chunk((g, at)).filter(|c| c.free > 0 && c.fill > 0)?;
        let end = self.start(g) + ((at as u64 + 1) * CHUNK).min(self.group_blocks);
        (phys + 1..end).find(|p| !self.is_used(*p))
    }

    /// A free block to go on at. Space that was used before comes first, so that a sparse file does not grow
    /// while it has room inside; then virgin chunks; then crumbs. There is at least one free block in reach.
    fn next_place(&mut self, want: u64) -> u64 {
        if want >= LARGE && self.empty > 0 {
            return self.search(Chunk::is_empty);
        }
        if want < LARGE && self.roomy > 0 {
            return self.search(Chunk::is_roomy);
        }
        if let Some(place) = self.next_virgin() {
            return place;
        }
        if self.roomy > 0 { self.search(Chunk::is_roomy) } else { self.search(|c| c.free > 0) }
    }

    /// The first block of the first virgin chunk within reach.
    fn next_virgin(&mut self) -> Option<u64> {
        while self.virgin < self.groups.len() {
            let g = self.virgin;
            if self.groups[g].leaf.is_none() {
                self.install(g, None);
            }
            let chunks = self.groups[g].bits.as_ref().map(|b| &b.chunks[..]).unwrap_or_default();
            let found = chunks.iter().position(|c| c.is_virgin());
            if let Some(free) = found.and_then(|c| self.groups[g].bits.as_ref()?.first_free(c)) {
                return Some(self.start(g) + free as u64);
            }
            self.virgin += 1;
        }
        None
    }

    /// The next chunk of a sort, from the cursor round; there is one.
    fn search(&mut self, sort: fn(Chunk) -> bool) -> u64 {
        let (group, chunk) = self.cursor;
        let after = self.here.range(group..).copied().map(|g| (g, if g == group { chunk } else { 0 }));
        let before = self.here.range(..=group).copied().map(|g| (g, 0));
        let fits = |(g, from): (usize, usize)| {
            let chunks = &self.groups[g].bits.as_ref()?.chunks;
            (from..chunks.len()).find(|c| sort(chunks[*c])).map(|c| (g, c))
        };
        let (g, c) = after.chain(before).find_map(fits).expect("the counts say that there is such a chunk");
        self.cursor = (g, c + 1);
        let bits = self.groups[g].bits.as_ref().expect("the chunk is in memory");
        self.start(g) + bits.first_free(c).expect("the chunk's count says that a block is free") as u64
    }
}

#[cfg(test)]
#[path = "alloc_tests.rs"]
mod tests;
