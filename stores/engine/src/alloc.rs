//! Which blocks are free: one bit each, with counts per chunk of 512 blocks so that nothing is searched
//! twice.
//!
//! Placement: each stream (an object, or the metadata) goes on behind its last block; when that is taken it
//! moves to another chunk, so that streams written side by side stay contiguous. Chunks that were used before
//! and have room come before those that never were: a sparse file grows only when it must.

/// Blocks in a chunk (2 MiB).
const CHUNK: u64 = 512;
const WORDS: usize = (CHUNK / 64) as usize;
/// A chunk with at least this many free blocks is worth going to for small writes.
const ROOMY: u16 = 32;
/// From this many blocks on a write looks for a wholly free chunk.
const LARGE: u64 = 16;

/// A run of disk blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) phys: u64,
    pub(crate) len: u64,
}

/// A chunk.
#[derive(Clone, Copy, Default)]
struct Chunk {
    free: u16,
    /// Blocks from here on were never used: on a sparse file they take no space yet.
    fill: u16,
    /// Free blocks below `fill`.
    reusable: u16,
}

impl Chunk {
    fn is_empty(self) -> bool {
        u64::from(self.free) == CHUNK && self.fill > 0
    }

    fn is_roomy(self) -> bool {
        self.reusable >= ROOMY
    }
}

/// The free blocks of a disk.
pub(crate) struct Alloc {
    /// Set bit: in use.
    used: Vec<u64>,
    blocks: u64,
    free: u64,
    chunks: Vec<Chunk>,
    /// Chunks that were used before and have much room, and those that are wholly free again.
    roomy: usize,
    empty: usize,
    /// No chunk below this one is virgin.
    virgin: usize,
    cursor: usize,
    freed_twice: u64,
}

impl Alloc {
    /// All `blocks` are free.
    pub(crate) fn new(blocks: u64) -> Alloc {
        let chunks = blocks.div_ceil(CHUNK) as usize;
        let mut a = Alloc {
            used: vec![0; chunks * WORDS],
            blocks,
            free: blocks,
            chunks: vec![Chunk { free: CHUNK as u16, fill: 0, reusable: 0 }; chunks],
            roomy: 0,
            empty: 0,
            virgin: 0,
            cursor: 0,
            freed_twice: 0,
        };
        for beyond in blocks..chunks as u64 * CHUNK {
            a.used[(beyond / 64) as usize] |= 1 << (beyond % 64);
        }
        if !blocks.is_multiple_of(CHUNK) {
            a.chunks[chunks - 1].free = (blocks % CHUNK) as u16;
        }
        a
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    pub(crate) fn free(&self) -> u64 {
        self.free
    }

    /// Blocks that were freed while they were free: each one is a broken invariant.
    pub(crate) fn freed_twice(&self) -> u64 {
        self.freed_twice
    }

    pub(crate) fn is_used(&self, phys: u64) -> bool {
        self.used.get((phys / 64) as usize).is_none_or(|w| w >> (phys % 64) & 1 == 1)
    }

    fn replace(&mut self, at: usize, new: Chunk) {
        let was = std::mem::replace(&mut self.chunks[at], new);
        self.roomy = self.roomy + usize::from(new.is_roomy()) - usize::from(was.is_roomy());
        self.empty = self.empty + usize::from(new.is_empty()) - usize::from(was.is_empty());
    }

    /// Marks a free block as used; false when it was used already or does not exist.
    pub(crate) fn claim(&mut self, phys: u64) -> bool {
        if self.is_used(phys) {
            return false;
        }
        self.used[(phys / 64) as usize] |= 1 << (phys % 64);
        self.free -= 1;
        let (chunk, at) = ((phys / CHUNK) as usize, (phys % CHUNK) as u16);
        let mut c = self.chunks[chunk];
        c.free -= 1;
        if at < c.fill {
            c.reusable -= 1;
        } else {
            c.reusable += at - c.fill;
            c.fill = at + 1;
        }
        self.replace(chunk, c);
        true
    }

    /// Makes used blocks free again.
    pub(crate) fn release(&mut self, run: Run) {
        for phys in run.phys..run.phys + run.len {
            if !self.is_used(phys) || phys >= self.blocks {
                self.freed_twice += 1;
                continue;
            }
            self.used[(phys / 64) as usize] &= !(1 << (phys % 64));
            self.free += 1;
            let mut c = self.chunks[(phys / CHUNK) as usize];
            c.free += 1;
            c.reusable += 1;
            self.replace((phys / CHUNK) as usize, c);
        }
    }

    /// The chunks that a run touches.
    pub(crate) fn chunks_of(run: Run) -> std::ops::Range<usize> {
        (run.phys / CHUNK) as usize..(run.phys + run.len).div_ceil(CHUNK) as usize
    }

    /// Takes a chunk that was used and is wholly free again, to give it back to the medium.
    pub(crate) fn take_chunk(&mut self, chunk: usize) -> Option<Run> {
        let run = Run { phys: chunk as u64 * CHUNK, len: CHUNK };
        self.chunks.get(chunk).filter(|c| c.is_empty())?;
        let all = (run.phys..run.phys + run.len).all(|b| self.claim(b));
        debug_assert!(all, "every block of an empty chunk is free");
        Some(run)
    }

    /// The medium has a chunk back: it is as good as never used.
    pub(crate) fn release_virgin(&mut self, run: Run) {
        self.release(run);
        let chunk = (run.phys / CHUNK) as usize;
        self.replace(chunk, Chunk { free: CHUNK as u16, fill: 0, reusable: 0 });
        self.virgin = self.virgin.min(chunk);
    }

    /// Takes `want` blocks, from `near` on where that is free; `None` (and nothing taken) when there are not
    /// so many.
    pub(crate) fn take(&mut self, near: u64, want: u64) -> Option<Vec<Run>> {
        if want > self.free {
            return None;
        }
        let mut runs = Vec::new();
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
        if !phys.is_multiple_of(CHUNK) {
            return true;
        }
        let Some(c) = self.chunks.get((phys / CHUNK) as usize) else { return false };
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
            self.claim(phys + len);
            len += 1;
        }
        Run { phys, len }
    }

    /// The next free block behind `phys` in its chunk.
    fn next_in_chunk(&self, phys: u64) -> Option<u64> {
        let chunk = (phys / CHUNK) as usize;
        let end = (chunk as u64 + 1).saturating_mul(CHUNK);
        let started = self.chunks.get(chunk).is_some_and(|c| c.free > 0 && c.fill > 0);
        if started { (phys + 1..end).find(|p| !self.is_used(*p)) } else { None }
    }

    /// A free block to go on at. Space that was used before comes first, so that a sparse file does not grow
    /// while it has room inside; then virgin chunks; then crumbs. There is at least one free block.
    fn next_place(&mut self, want: u64) -> u64 {
        if want >= LARGE && self.empty > 0 {
            return self.search(Chunk::is_empty);
        }
        if want < LARGE && self.roomy > 0 {
            return self.search(Chunk::is_roomy);
        }
        let virgin = |c: &usize| self.chunks[*c].fill == 0 && self.chunks[*c].free > 0;
        self.virgin = (self.virgin..self.chunks.len()).find(virgin).unwrap_or(self.chunks.len());
        if self.virgin < self.chunks.len() {
            return self.first_free(self.virgin);
        }
        if self.roomy > 0 { self.search(Chunk::is_roomy) } else { self.search(|c| c.free > 0) }
    }

    /// The next chunk of a sort, from the cursor round; there is one.
    fn search(&mut self, sort: fn(Chunk) -> bool) -> u64 {
        let from = self.cursor.min(self.chunks.len());
        let mut order = (from..self.chunks.len()).chain(0..from);
        let chunk = order.find(|c| sort(self.chunks[*c])).expect("the counts say that there is such a chunk");
        self.cursor = chunk + 1;
        self.first_free(chunk)
    }

    fn first_free(&self, chunk: usize) -> u64 {
        let words = &self.used[chunk * WORDS..(chunk + 1) * WORDS];
        let word =
            words.iter().position(|w| *w != u64::MAX).expect("the chunk's count says that a block is free");
        (chunk * WORDS + word) as u64 * 64 + u64::from(words[word].trailing_ones())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn agrees_with_a_set(blocks in 1u64..3000, ops in proptest::collection::vec((any::<u64>(), 0u64..700), 1..60)) {
            let mut a = Alloc::new(blocks);
            let mut held: Vec<Run> = Vec::new();
            let mut used = BTreeSet::new();
            for (x, n) in ops {
                if x % 3 == 0 && !held.is_empty() {
                    let run = held.swap_remove((x / 3) as usize % held.len());
                    a.release(run);
                    (run.phys..run.phys + run.len).for_each(|p| { used.remove(&p); });
                } else {
                    match a.take(x % (blocks + 100), n) {
                        None => prop_assert!(n > blocks - used.len() as u64),
                        Some(runs) => {
                            prop_assert_eq!(runs.iter().map(|r| r.len).sum::<u64>(), n);
                            for r in runs {
                                (r.phys..r.phys + r.len).for_each(|p| assert!(p < blocks && used.insert(p)));
                                held.push(r);
                            }
                        }
                    }
                }
                prop_assert_eq!(a.free(), blocks - used.len() as u64);
                prop_assert!((0..blocks).all(|p| a.is_used(p) == used.contains(&p)));
            }
        }
    }

    #[test]
    fn overwriting_stays_within_the_space_that_was_used() {
        let mut a = Alloc::new(1000 * CHUNK);
        let mut held: Vec<u64> =
            a.take(0, 4 * CHUNK).unwrap().iter().flat_map(|r| r.phys..r.phys + r.len).collect();
        let mut seed = 1u64;
        let mut near = 0;
        for _ in 0..50_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (seed >> 33) as usize % held.len();
            let new = a.take(near, 1).unwrap()[0].phys;
            near = new + 1;
            a.release(Run { phys: std::mem::replace(&mut held[at], new), len: 1 });
        }
        let touched = a.chunks.iter().filter(|c| c.fill > 0).count();
        assert!(touched <= 8, "{touched} chunks for 4 chunks of data");
        for phys in held.drain(..) {
            a.release(Run { phys, len: 1 });
        }
        for chunk in 0..1000 {
            if let Some(run) = a.take_chunk(chunk) {
                assert_eq!(Alloc::chunks_of(run), chunk..chunk + 1);
                a.release_virgin(run);
            }
        }
        assert_eq!((a.free, a.roomy, a.empty), (1000 * CHUNK, 0, 0));
        let large = a.take(0, 100).unwrap();
        assert!(large.len() <= 2, "large writes get whole chunks: {large:?}");
    }

    #[test]
    fn streams_written_side_by_side_stay_contiguous() {
        let mut a = Alloc::new(64 * CHUNK);
        let (mut x, mut y) = (u64::MAX, u64::MAX);
        for _ in 0..100 {
            for stream in [&mut x, &mut y] {
                let runs = a.take(*stream, 4).unwrap();
                assert_eq!(runs.len(), 1);
                *stream = runs[0].phys + 4;
            }
        }
        assert!(x.abs_diff(y) >= CHUNK / 2);
        assert_eq!(Alloc::new(0).take(0, 1), None);
        assert_eq!(Alloc::new(5).take(99, 0), Some(vec![]));
    }
}
