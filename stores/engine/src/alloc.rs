//! Which blocks are free: one bit each, with counts per chunk of 512 blocks so that nothing is searched twice.
//!
//! Placement: each stream (an object, or the metadata) goes on behind its last block; when that is taken it moves to
//! the next wholly free chunk, so that streams written side by side stay contiguous; only a full disk gives crumbs.

/// Blocks in a chunk (2 MiB).
const CHUNK: u64 = 512;
const WORDS: usize = (CHUNK / 64) as usize;

/// A run of disk blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) phys: u64,
    pub(crate) len: u64,
}

/// The free blocks of a disk.
pub(crate) struct Alloc {
    /// Set bit: in use.
    used: Vec<u64>,
    blocks: u64,
    free: u64,
    free_in: Vec<u16>,
    empty_chunks: usize,
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
            free_in: vec![CHUNK as u16; chunks],
            empty_chunks: chunks,
            cursor: 0,
            freed_twice: 0,
        };
        for beyond in blocks..chunks as u64 * CHUNK {
            a.used[(beyond / 64) as usize] |= 1 << (beyond % 64);
        }
        if !blocks.is_multiple_of(CHUNK) {
            a.free_in[chunks - 1] = (blocks % CHUNK) as u16;
            a.empty_chunks -= 1;
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

    /// Marks a free block as used; false when it was used already or does not exist.
    pub(crate) fn claim(&mut self, phys: u64) -> bool {
        if self.is_used(phys) {
            return false;
        }
        self.used[(phys / 64) as usize] |= 1 << (phys % 64);
        self.free -= 1;
        let chunk = (phys / CHUNK) as usize;
        if u64::from(self.free_in[chunk]) == CHUNK {
            self.empty_chunks -= 1;
        }
        self.free_in[chunk] -= 1;
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
            let chunk = (phys / CHUNK) as usize;
            self.free_in[chunk] += 1;
            if u64::from(self.free_in[chunk]) == CHUNK {
                self.empty_chunks += 1;
            }
        }
    }

    /// Takes `want` blocks, from `near` on where that is free; `None` (and nothing taken) when there are not so many.
    pub(crate) fn take(&mut self, near: u64, want: u64) -> Option<Vec<Run>> {
        if want > self.free {
            return None;
        }
        let mut runs = Vec::new();
        let mut left = want;
        let mut at = near;
        while left > 0 {
            if self.is_used(at) {
                at = self.next_place();
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

    /// Claims up to `most` blocks from the free block `phys` on. Goes on into the next chunk only if that is wholly
    /// free or this stream has just filled one, which keeps streams apart.
    fn claim_run(&mut self, phys: u64, most: u64) -> Run {
        let mut len = 0;
        while len < most && !self.is_used(phys + len) {
            let next = phys + len;
            let entering = len > 0 && next.is_multiple_of(CHUNK);
            if entering && u64::from(self.free_in[(next / CHUNK) as usize]) < CHUNK {
                break;
            }
            self.claim(next);
            len += 1;
        }
        Run { phys, len }
    }

    /// A free block to go on at: the next wholly free chunk, else the next free block. There is at least one free.
    fn next_place(&mut self) -> u64 {
        let chunks = self.free_in.len();
        let wanted = if self.empty_chunks > 0 { CHUNK as u16 } else { 1 };
        for step in 0..chunks {
            let chunk = (self.cursor + step) % chunks;
            if self.free_in[chunk] >= wanted {
                self.cursor = if wanted == 1 { chunk } else { (chunk + 1) % chunks };
                return self.first_free(chunk);
            }
        }
        unreachable!("take() counted at least one free block");
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
    fn streams_written_side_by_side_stay_contiguous() {
        let mut a = Alloc::new(64 * CHUNK);
        let (mut x, mut y) = (0, 0);
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
