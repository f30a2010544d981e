//! The oracle's picture of one device: for each block what it must hold now, and what it may hold after a
//! crash.

use crate::content::{Block, CELL, CELLS, ZEROS};

/// The names of requests under way.
pub type RequestId = u32;

/// Cells `from..from + stamps` of one block are overwritten.
#[derive(Clone, Debug)]
pub struct Patch {
    from: usize,
    stamps: Vec<u32>,
}

impl Patch {
    fn apply(&self, block: &Block) -> Block {
        let mut out = *block;
        out[self.from..self.from + self.stamps.len()].copy_from_slice(&self.stamps);
        out
    }
}

#[derive(Clone, Debug)]
struct Version {
    content: Block,
    /// When the request that made it was answered.
    done: u64,
}

/// One block.
#[derive(Clone, Debug)]
struct State {
    versions: Vec<Version>,
    /// The version that is surely durable: a crash leaves it or a later one. Older ones are only kept for
    /// snapshots under way.
    durable: usize,
    running: Vec<(RequestId, Patch)>,
    /// Two requests ran on it at once since the last durable version: then each cell is judged by itself,
    /// since the order in which the device took them is its own business.
    mixed: bool,
    /// A request on it failed, or a snapshot was taken while one ran: any version from this index on may be
    /// the present one, until a read tells.
    unsure: Option<usize>,
    /// Since then disks are gone that alone may have had what no flush covered.
    doubt: Option<u64>,
    /// A read has shown that answered writes are gone.
    lost: bool,
}

impl State {
    fn holding(content: Block) -> State {
        State {
            versions: vec![Version { content, done: 0 }],
            durable: 0,
            running: Vec::new(),
            mixed: false,
            unsure: None,
            doubt: None,
            lost: false,
        }
    }

    fn latest(&self) -> &Block {
        &self.versions.last().expect("a block has a version at all times").content
    }

    fn is_unflushed(&self) -> bool {
        self.durable + 1 < self.versions.len() || !self.running.is_empty()
    }

    /// The index of the version that was the present one at `time`.
    fn at(&self, time: u64) -> usize {
        self.versions.iter().rposition(|v| v.done <= time).unwrap_or(0)
    }

    /// The first version that may have been the present one at `time` or later.
    fn possible_since(&self, time: u64) -> usize {
        let surely = if self.doubt.is_some() { self.durable } else { usize::MAX };
        self.at(time).min(self.unsure.unwrap_or(usize::MAX)).min(surely)
    }

    /// Whether `found` may be read when everything from version `from` on is possible.
    fn allows(&self, from: usize, found: &Block, by_cell: bool) -> bool {
        let running = || self.running.iter().map(|(_, p)| p.apply(self.latest()));
        let versions = || self.versions[from..].iter().map(|v| v.content);
        if !by_cell && !self.mixed {
            return versions().chain(running()).any(|v| v == *found);
        }
        (0..CELLS).all(|i| versions().chain(running()).any(|v| v[i] == found[i]))
    }

    /// The same block when nothing runs any more and any of its versions may be the present one.
    fn doubted(&self) -> State {
        let mut out = self.clone();
        for (_, patch) in out.running.drain(..) {
            let content = patch.apply(self.latest());
            out.versions.push(Version { content, done: 0 });
        }
        out.versions.iter_mut().for_each(|v| v.done = 0);
        (out.durable, out.doubt, out.lost) = (0, None, false);
        out.unsure = (out.versions.len() > 1).then_some(0);
        out.mixed &= out.unsure.is_some();
        out
    }

    fn pin(&mut self, found: Block, now: u64) {
        self.versions.push(Version { content: found, done: now });
        (self.unsure, self.doubt) = (None, None);
    }

    fn flushed(&mut self, submitted: u64) {
        let first_unsure = self.unsure.unwrap_or(usize::MAX);
        self.durable = self.at(submitted).min(first_unsure).max(self.durable);
        if self.doubt.is_some_and(|since| since < submitted) {
            self.doubt = None;
        }
        if self.durable + 1 == self.versions.len() && self.running.is_empty() {
            self.mixed = false;
        }
    }

    /// Forgets versions before `from`.
    fn trim(&mut self, from: usize) {
        self.versions.drain(..from);
        self.durable = self.durable.saturating_sub(from);
        self.unsure = self.unsure.map(|i| i.saturating_sub(from));
    }
}

/// One device, or one frozen content.
#[derive(Clone, Debug)]
pub struct Image {
    size: u64,
    blocks: Vec<State>,
}

/// What the judge found wrong with one block.
#[derive(Debug)]
pub struct Wrong {
    /// The block.
    pub block: usize,
    /// What it holds.
    pub found: Block,
    /// What it might hold.
    pub allowed: Vec<Block>,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "block {} holds {} but may hold", self.block, show(&self.found))?;
        self.allowed.iter().try_for_each(|b| write!(f, " {}", show(b)))
    }
}

/// A block in few characters: runs of stamps that count up are shortened.
fn show(block: &Block) -> String {
    let mut out = String::from("[");
    let mut i = 0;
    while i < CELLS {
        let follows = |j: usize| match block[i] {
            0 => block[j] == 0,
            first => block[j] == first.wrapping_add((j - i) as u32),
        };
        let end = (i..CELLS).find(|j| !follows(*j)).unwrap_or(CELLS);
        let gap = if i == 0 { "" } else { " " };
        out += &match end - i {
            1 => format!("{gap}{}", block[i]),
            n => format!("{gap}{}x{n}", block[i]),
        };
        i = end;
    }
    out + "]"
}

fn block_count(size: u64) -> usize {
    (size as usize).div_ceil(CELL * CELLS)
}

impl Image {
    /// A device of zeros.
    pub fn zeros(size: u64) -> Image {
        Image { size, blocks: vec![State::holding(ZEROS); block_count(size)] }
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Size in cells.
    pub fn cells(&self) -> usize {
        self.size as usize / CELL
    }

    /// Whether a write of these cells would have to be ordered with one under way, or the present content
    /// is unsure.
    pub fn is_busy(&self, first: usize, stamps: usize) -> bool {
        pieces(first, stamps).any(|(block, from, n)| {
            let state = &self.blocks[block];
            let clash = |p: &Patch| p.from < from + n && from < p.from + p.stamps.len();
            state.unsure.or(state.doubt.map(|_| 0)).is_some()
                || state.running.len() > 1
                || state.running.iter().any(|(_, p)| clash(p))
        })
    }

    /// Requests under way on any block.
    pub fn running(&self) -> usize {
        self.blocks.iter().map(|b| b.running.len()).sum()
    }

    /// A request that overwrites the cells from `first` on was submitted.
    pub fn submit(&mut self, id: RequestId, first: usize, stamps: &[u32]) {
        for (block, from, n) in pieces(first, stamps.len()) {
            let at = block * CELLS + from - first;
            let state = &mut self.blocks[block];
            state.mixed |= !state.running.is_empty();
            state.running.push((id, Patch { from, stamps: stamps[at..at + n].to_vec() }));
        }
    }

    /// The request was answered well at `now`.
    pub fn complete(&mut self, id: RequestId, now: u64) {
        for state in &mut self.blocks {
            let Some(i) = state.running.iter().position(|(other, _)| *other == id) else { continue };
            let (_, patch) = state.running.remove(i);
            let content = patch.apply(state.latest());
            state.versions.push(Version { content, done: now });
        }
    }

    /// The request failed: each of its blocks holds the old or the new content.
    pub fn fail(&mut self, id: RequestId, now: u64) {
        for state in &mut self.blocks {
            let Some(i) = state.running.iter().position(|(other, _)| *other == id) else { continue };
            let (_, patch) = state.running.remove(i);
            let old = state.versions.len() - 1;
            let content = patch.apply(state.latest());
            state.versions.push(Version { content, done: now });
            state.unsure = Some(state.unsure.unwrap_or(old));
        }
    }

    /// A flush that was submitted at `submitted` was answered well.
    pub fn flushed(&mut self, submitted: u64) {
        self.blocks.iter_mut().for_each(|b| b.flushed(submitted));
    }

    /// Disks are gone that alone may have had what no flush covered.
    pub fn doubt(&mut self, now: u64) {
        for state in &mut self.blocks {
            if state.is_unflushed() {
                state.doubt = Some(now);
            }
        }
    }

    /// Whether it has anything that no flush covered.
    pub fn is_unflushed(&self) -> bool {
        self.blocks.iter().any(State::is_unflushed)
    }

    /// Whether anything is gone, or may be, that was answered and not flushed.
    pub fn is_doubtful(&self) -> bool {
        self.blocks.iter().any(|b| b.doubt.is_some() || b.lost)
    }

    /// Whether a read has shown that answered writes are gone: then no flush may be answered well any more.
    pub fn has_lost(&self) -> bool {
        self.blocks.iter().any(|b| b.lost)
    }

    /// Forgets what neither a read nor a crash can show any more. Not while a snapshot is under way, which
    /// may show it.
    pub fn trim(&mut self) {
        self.blocks.iter_mut().for_each(|b| b.trim(b.durable));
    }

    /// Judges what a read that ran from `submitted` to `now` found in whole blocks from `first` on.
    pub fn judge(&mut self, first: usize, found: &[u32], submitted: u64, now: u64) -> Result<(), Wrong> {
        for (block, from, n) in pieces(first, found.len()) {
            let state = &mut self.blocks[block];
            let at = block * CELLS + from - first;
            let mut seen = *state.latest();
            seen[from..from + n].copy_from_slice(&found[at..at + n]);
            let quiet = state.running.is_empty();
            let since = state.possible_since(submitted);
            let kept = state.at(submitted).min(state.unsure.unwrap_or(usize::MAX));
            state.lost |= state.doubt.is_some() && !state.allows(kept, &seen, n < CELLS || !quiet);
            if !state.allows(since, &seen, n < CELLS || !quiet) {
                let allowed = state.versions[since..].iter().map(|v| v.content).collect();
                return Err(Wrong { block, found: seen, allowed });
            }
            let later = state.versions.last().is_some_and(|v| v.done < submitted);
            if (state.unsure.is_some() || state.doubt.is_some()) && n == CELLS && quiet && later {
                state.pin(seen, now);
            }
        }
        Ok(())
    }

    /// Judges the whole device as it was found after a crash, and holds it to that from now on. `None` is a
    /// block that the engine says is lost; it keeps its doubts.
    pub fn judge_after_crash(&mut self, found: &[Option<Block>]) -> Result<(), Wrong> {
        let mut held = Vec::with_capacity(self.blocks.len());
        for (block, (state, found)) in self.blocks.iter().zip(found).enumerate() {
            let Some(seen) = *found else {
                let mut state = state.clone();
                state.trim(state.durable);
                held.push(state.doubted());
                continue;
            };
            if !state.allows(state.durable, &seen, false) {
                let allowed = state.versions[state.durable..].iter().map(|v| v.content).collect();
                return Err(Wrong { block, found: seen, allowed });
            }
            held.push(State::holding(seen));
        }
        self.blocks = held;
        Ok(())
    }

    /// What a snapshot that was asked for at `submitted` and answered now holds. One that was never
    /// answered, `None`, may hold whatever a crash may leave.
    pub fn frozen(&self, submitted: Option<u64>) -> Image {
        let freeze = |state: &State| {
            let mut out = state.clone();
            if let Some(time) = submitted {
                out.trim(state.possible_since(time));
            }
            out.doubted()
        };
        Image { size: self.size, blocks: self.blocks.iter().map(freeze).collect() }
    }

    /// The device has this size now: what is cut off is gone, what is new is zeros.
    pub fn resize(&mut self, size: u64) {
        self.size = size;
        self.blocks.resize(block_count(size), State::holding(ZEROS));
        let kept = self.cells() % CELLS;
        if let (true, Some(last)) = (kept != 0, self.blocks.last_mut()) {
            last.versions.iter_mut().for_each(|v| v.content[kept..].fill(0));
        }
    }

    /// Nothing is left to doubt: the contents that the present device must read.
    pub fn settled(&self) -> bool {
        self.blocks.iter().all(|b| b.unsure.is_none() && b.running.is_empty())
    }
}

/// The parts of `n` cells from `first` on that lie in one block each: `(block, first cell in it, cells)`.
fn pieces(first: usize, n: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let mut at = first;
    std::iter::from_fn(move || {
        let left = (first + n).checked_sub(at).filter(|left| *left > 0)?;
        let (block, from) = (at / CELLS, at % CELLS);
        let n = left.min(CELLS - from);
        at += n;
        Some((block, from, n))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = (2 * CELLS * CELL) as u64;

    fn block(stamp: u32) -> Vec<u32> {
        vec![stamp; CELLS]
    }

    fn whole(stamps: &[u32]) -> Vec<Option<Block>> {
        stamps.chunks_exact(CELLS).map(|c| c.try_into().ok()).collect()
    }

    fn device(image: &Image) -> Vec<u32> {
        image.blocks.iter().flat_map(|b| *b.latest()).collect()
    }

    fn written(image: &mut Image, id: u32, first: usize, stamps: &[u32], now: u64) {
        image.submit(id, first, stamps);
        image.complete(id, now);
    }

    #[test]
    fn after_a_crash_the_flushed_value_or_a_later_one() {
        let mut image = Image::zeros(SIZE);
        for (i, now) in [(1, 1), (2, 3), (3, 5)] {
            written(&mut image, i, 0, &block(i), now);
        }
        image.flushed(4);
        image.submit(4, 0, &block(4));
        let found = |n: u32| [block(n), block(0)].concat();
        for (n, fine) in [(0, false), (1, false), (2, true), (3, true), (4, true)] {
            assert_eq!(image.clone().judge_after_crash(&whole(&found(n))).is_ok(), fine, "{n}");
        }
        image.judge_after_crash(&whole(&found(3))).unwrap();
        assert!(
            image.clone().judge_after_crash(&whole(&found(2))).is_err(),
            "a recovery is held to what it showed"
        );
        assert!(image.judge(0, &found(4), 9, 9).is_err());
    }

    #[test]
    fn a_block_is_never_a_mixture_unless_two_requests_met_on_it() {
        let mut image = Image::zeros(SIZE);
        written(&mut image, 1, 0, &[1, 2], 1);
        written(&mut image, 2, 4, &[3, 4], 2);
        let mut found = device(&image);
        found[0] = 0; // the first write undone, the second kept
        assert!(image.clone().judge_after_crash(&whole(&found)).is_err());
        image.flushed(3);
        image.submit(3, 0, &[7, 8]);
        image.submit(4, 4, &[9, 9]);
        let mut found = device(&image);
        (found[4], found[5]) = (9, 9);
        image.clone().judge_after_crash(&whole(&found)).unwrap();
        found[9] = 9;
        assert!(image.judge_after_crash(&whole(&found)).is_err());
    }

    #[test]
    fn a_snapshot_taken_beside_a_write_is_one_or_the_other_and_stays_that() {
        let mut image = Image::zeros(SIZE);
        written(&mut image, 1, 0, &block(1), 1);
        image.submit(2, 0, &block(2));
        let mut snapshot = image.frozen(Some(5));
        assert!(!snapshot.settled());
        let (old, new) = ([block(1), block(0)].concat(), [block(2), block(0)].concat());
        assert!(snapshot.judge(0, &[block(3), block(0)].concat(), 6, 6).is_err());
        snapshot.judge(0, &new, 6, 6).unwrap();
        assert!(snapshot.settled() && snapshot.judge(0, &old, 7, 7).is_err());
    }

    #[test]
    fn a_failed_write_is_one_or_the_other_and_a_shrink_leaves_zeros() {
        let mut image = Image::zeros(SIZE);
        written(&mut image, 1, 0, &[5; 2 * CELLS], 1);
        image.submit(2, 0, &[6]);
        image.fail(2, 2);
        assert!(image.is_busy(0, 1) && !image.is_busy(CELLS, 1));
        image.flushed(3);
        let found = [vec![6], vec![5; 2 * CELLS - 1]].concat();
        image.judge(0, &found, 3, 4).unwrap();
        assert!(!image.is_busy(0, 1));
        image.resize(SIZE / 2 + 512);
        image.resize(SIZE);
        let mut kept = found;
        kept[CELLS + 2..].fill(0);
        image.judge(0, &kept, 5, 5).unwrap();
    }
}
