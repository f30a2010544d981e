//! Making a family on one disk what it is on another: maps are compared, and only blocks that differ are read
//! and written.

use std::rc::Rc;

use parpen_base::Buf;
use parpen_engine::{BLOCK, BlockMark, Disk, Engine, EngineError, Rules};

use crate::Array;
use crate::place::Family;

/// Blocks that are compared under one lock and copied together, at most.
const STRIDE: u32 = 128;
const B: usize = BLOCK as usize;

/// How far a copy came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing differs any more (of what was looked at under no lock).
    Equal,
    /// The budget is used up.
    Paused,
}

impl<D: Disk, R: Rules> Array<D, R> {
    /// Whether all lineages of a family read the same on two disks.
    pub(crate) fn is_same(&self, f: Family, a: &Engine<D, R>, b: &Engine<D, R>) -> bool {
        self.differing(f, a, b).is_empty()
    }

    /// The lineages of a family that read differently on two disks, older ones first. (Ghosts are each disk's own,
    /// and each lets go of what nobody needs there; but when anything differs, those that both have are made equal,
    /// too, so that what clones share stays shared.)
    pub(crate) fn differing(&self, f: Family, a: &Engine<D, R>, b: &Engine<D, R>) -> Vec<u64> {
        let all: Vec<u64> = b.lineages(f.0).into_iter().filter(|l| self.differs_in(f, *l, a, b)).collect();
        if all.iter().any(|l| a.has_name(*l) || b.has_name(*l)) { all } else { Vec::new() }
    }

    /// Whether a lineage that both disks have reads differently.
    fn differs_in(&self, f: Family, lineage: u64, a: &Engine<D, R>, b: &Engine<D, R>) -> bool {
        a.has_lineage(lineage) && a.digest(lineage, f.1) != b.digest(lineage, f.1)
    }

    /// Copies what differs, with at most `budget` bytes (which it lowers) while it locks out writers of what it
    /// copies. With `locked` the caller has done that.
    pub(crate) async fn copy_family(
        &self,
        f: Family,
        from: &Rc<Engine<D, R>>,
        to: &Rc<Engine<D, R>>,
        budget: &mut u64,
        locked: bool,
    ) -> Result<Progress, EngineError> {
        let blocks = self.object_blocks() as u32;
        if self.is_same(f, from, to) {
            return Ok(Progress::Equal);
        }
        // What is filled into a lineage is followed by younger ones that shared the block, so each is asked at its turn.
        for lineage in to.lineages(f.0) {
            if !self.differs_in(f, lineage, from, to) {
                continue;
            }
            for start in (0..blocks).step_by(STRIDE as usize) {
                if *budget == 0 {
                    return Ok(Progress::Paused);
                }
                let count = STRIDE.min(blocks - start);
                let first = f.1 * self.object_blocks() + u64::from(start);
                let _lock = match from.head_of(lineage).filter(|_| !locked) {
                    Some(id) => Some(self.holds.ranges.lock(id, first, first + u64::from(count) - 1).await),
                    None => None,
                };
                let copied = self.copy_blocks(from, to, (lineage, f.1), start, count).await?;
                *budget = budget.saturating_sub(copied);
            }
        }
        Ok(Progress::Equal)
    }

    /// Makes some blocks of a lineage on one disk what they are on another; says how many bytes were copied. No
    /// write of them may be in flight.
    pub(crate) async fn copy_blocks(
        &self,
        from: &Engine<D, R>,
        to: &Engine<D, R>,
        (lineage, index): (u64, u64),
        start: u32,
        count: u32,
    ) -> Result<u64, EngineError> {
        match self.try_copy_blocks(from, to, (lineage, index), start, count).await {
            // A ghost that was dissolved meanwhile.
            Err(EngineError::NotFound) if !from.has_lineage(lineage) || !to.has_lineage(lineage) => Ok(0),
            other => other,
        }
    }

    async fn try_copy_blocks(
        &self,
        from: &Engine<D, R>,
        to: &Engine<D, R>,
        (lineage, index): (u64, u64),
        start: u32,
        count: u32,
    ) -> Result<u64, EngineError> {
        let theirs = from.marks(lineage, index, start, count).await?;
        let ours = to.marks(lineage, index, start, count).await?;
        let mut copied = 0;
        let mut at = 0;
        while at < theirs.len() {
            if theirs[at] == ours[at] {
                at += 1;
                continue;
            }
            let len = (at..theirs.len()).take_while(|i| theirs[*i] != ours[*i]).count();
            let run = &theirs[at..at + len];
            copied += match self.copy_run(from, to, (lineage, index), start + at as u32, run).await {
                // No name is read there. Those who still need some of it differ, too, and are asked at their turn: they
                // get what they can of it, or say that it is lost.
                Err(EngineError::DataLost) if !from.has_name(lineage) && !to.has_name(lineage) => 0,
                result => result?,
            };
            at += len;
        }
        Ok(copied)
    }

    async fn copy_run(
        &self,
        from: &Engine<D, R>,
        to: &Engine<D, R>,
        (lineage, index): (u64, u64),
        start: u32,
        marks: &[Option<BlockMark>],
    ) -> Result<u64, EngineError> {
        let buf = Buf::zeroed(marks.len() * B);
        let buf = if marks.iter().all(Option::is_none) {
            buf
        } else {
            match from.read_version(lineage, index, start, buf).await {
                (Ok(_), buf) => buf,
                (Err(EngineError::DataLost | EngineError::Io), buf) => {
                    self.gather((lineage, index), start, marks, buf).await?
                }
                (Err(e), _) => return Err(e),
            }
        };
        to.fill(lineage, index, start, marks, buf).await.0?;
        Ok((marks.iter().flatten().count() * B) as u64)
    }

    /// Blocks with these marks, one by one, from whoever has them.
    async fn gather(
        &self,
        (lineage, index): (u64, u64),
        start: u32,
        marks: &[Option<BlockMark>],
        mut buf: Buf,
    ) -> Result<Buf, EngineError> {
        for (i, mark) in marks.iter().enumerate() {
            let Some(mark) = mark else {
                buf[i * B..(i + 1) * B].fill(0);
                continue;
            };
            let block = self.good_block((0, index), lineage, start + i as u32, *mark, 0).await;
            let block = block.ok_or(EngineError::DataLost)?;
            buf[i * B..(i + 1) * B].copy_from_slice(&block);
        }
        Ok(buf)
    }
}

#[cfg(test)]
#[path = "copy_tests.rs"]
pub(crate) mod tests;
