//! One group of neighbouring blocks: which are in use, and which the next checkpoint will say are.

use std::rc::Rc;

/// Blocks in a chunk (2 MiB).
pub(crate) const CHUNK: u64 = 512;
/// A chunk with at least this many free blocks is worth going to for small writes.
const ROOMY: u16 = 32;

/// A chunk.
#[derive(Clone, Copy, Default)]
pub(crate) struct Chunk {
    pub(crate) free: u16,
    /// Blocks from here on were never used: on a sparse file they take no space yet.
    pub(crate) fill: u16,
    /// Free blocks below `fill`.
    reusable: u16,
}

impl Chunk {
    pub(crate) fn is_empty(self) -> bool {
        u64::from(self.free) == CHUNK && self.fill > 0
    }

    pub(crate) fn is_roomy(self) -> bool {
        self.reusable >= ROOMY
    }

    pub(crate) fn is_virgin(self) -> bool {
        self.fill == 0 && self.free > 0
    }
}

fn bit(i: usize) -> u64 {
    1 << (i % 64)
}

/// The blocks of a group that is in memory, by their place in it.
pub(crate) struct Bits {
    /// In use: nobody else may take it.
    used: Box<[u64]>,
    /// The next checkpoint will say that it is in use. What is not recorded but used holds data that is not
    /// mapped yet, was freed and is not reusable yet, or stands on its own (superblocks, the log, these very
    /// bits).
    recorded: Rc<Vec<u64>>,
    pub(crate) chunks: Box<[Chunk]>,
}

impl Bits {
    /// `recorded` as it stands on the disk, of `blocks` that exist.
    pub(crate) fn new(recorded: Vec<u64>, blocks: usize) -> Bits {
        let chunks = (recorded.len() * 64).div_ceil(CHUNK as usize);
        let mut bits = Bits {
            used: vec![0; recorded.len()].into(),
            recorded: Rc::new(vec![0; recorded.len()]),
            chunks: vec![Chunk::default(); chunks].into(),
        };
        for (n, chunk) in bits.chunks.iter_mut().enumerate() {
            chunk.free = blocks.saturating_sub(n * CHUNK as usize).min(CHUNK as usize) as u16;
        }
        for beyond in blocks..recorded.len() * 64 {
            bits.used[beyond / 64] |= bit(beyond);
        }
        for i in (0..blocks).filter(|i| recorded[i / 64] & bit(*i) != 0) {
            bits.take(i);
        }
        bits.recorded = Rc::new(recorded);
        bits
    }

    pub(crate) fn is_used(&self, i: usize) -> bool {
        self.used.get(i / 64).is_none_or(|w| w & bit(i) != 0)
    }

    pub(crate) fn is_recorded(&self, i: usize) -> bool {
        self.recorded[i / 64] & bit(i) != 0
    }

    /// What the next checkpoint will say, as it stands now.
    pub(crate) fn record(&self) -> Rc<Vec<u64>> {
        self.recorded.clone()
    }

    pub(crate) fn set_recorded(&mut self, i: usize, on: bool) {
        let word = &mut Rc::make_mut(&mut self.recorded)[i / 64];
        *word = if on { *word | bit(i) } else { *word & !bit(i) };
    }

    /// A free block is in use.
    pub(crate) fn take(&mut self, i: usize) {
        self.used[i / 64] |= bit(i);
        let (c, at) = (&mut self.chunks[i / CHUNK as usize], (i % CHUNK as usize) as u16);
        c.free -= 1;
        if at < c.fill {
            c.reusable -= 1;
        } else {
            c.reusable += at - c.fill;
            c.fill = at + 1;
        }
    }

    /// A used block is free.
    pub(crate) fn give(&mut self, i: usize) {
        self.used[i / 64] &= !bit(i);
        let c = &mut self.chunks[i / CHUNK as usize];
        c.free += 1;
        c.reusable += 1;
    }

    /// A chunk is as good as never used.
    pub(crate) fn make_virgin(&mut self, chunk: usize) {
        let c = &mut self.chunks[chunk];
        (c.fill, c.reusable) = (0, 0);
    }

    /// The first free block of a chunk, if there is one.
    pub(crate) fn first_free(&self, chunk: usize) -> Option<usize> {
        let words = CHUNK as usize / 64;
        let from = chunk * words;
        let all = &self.used[from..self.used.len().min(from + words)];
        let word = all.iter().position(|w| *w != u64::MAX)?;
        Some((from + word) * 64 + all[word].trailing_ones() as usize)
    }
}
