//! Group commit: one record (or a few) and one flush of the disk for all who ask at the same time.

use parpen_base::Buf;

use crate::alloc::Run;
use crate::codec::Identity;
use crate::engine::{Engine, Log};
use crate::layout::BLOCK;
use crate::state::Cause;
use crate::superblock::wal_start;
use crate::sync::{join_all, yield_now};
use crate::wal::{self, Queue, RECORD_HEADER, RecordHead, cut};
use crate::{Disk, DiskError, EngineError, Rules};

/// Dirty spans that ask for a checkpoint: bounds its length and the room it needs.
const DIRTY_SPANS_MAX: usize = 8192;
/// Freed runs at least this long are given back to the medium, in blocks.
const GIVE_BACK_BLOCKS: u64 = 16;
/// Freed runs that become reusable between two chances for others to run.
const RUNS_AT_ONCE: usize = 512;

/// How a commit makes things durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// By the log if it fits, else by a checkpoint.
    Log,
    Checkpoint,
}

/// Fences the engine when a commit is abandoned half-way: nobody knows what it has done.
struct Leading<'a, D: Disk, R: Rules>(&'a Engine<D, R>, bool);

impl<D: Disk, R: Rules> Drop for Leading<'_, D, R> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.fence();
        }
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Makes everything that was answered before this call durable: one flush of the disk, shared by
    /// concurrent calls.
    pub async fn flush(&self) -> Result<(), EngineError> {
        self.commit(By::Log).await
    }

    /// Flushes and writes a checkpoint, so that the next opening is quick.
    pub async fn close(&self) -> Result<(), EngineError> {
        self.commit(By::Checkpoint).await
    }

    /// A checkpoint now: makes deferred frees reusable and the dirty set empty.
    pub(crate) async fn tidy_up(&self) -> Result<(), EngineError> {
        self.commit(By::Checkpoint).await
    }

    /// Joins the next turn that starts after this call, or leads it.
    async fn commit(&self, by: By) -> Result<(), EngineError> {
        let turns = &self.turns;
        let target = turns.started.get() + 1;
        loop {
            self.alive()?;
            // A turn that others lead may have been by the log only; a checkpoint is always led by who wants
            // it.
            if turns.done.get() >= target && by == By::Log {
                return Ok(());
            }
            if !turns.running.get() {
                return self.lead(by).await;
            }
            turns.ended.wait().await;
        }
    }

    async fn lead(&self, by: By) -> Result<(), EngineError> {
        let turns = &self.turns;
        self.moved();
        turns.running.set(true);
        turns.started.set(turns.started.get() + 1);
        let mut leading = Leading(self, false);
        let turn = turns.started.get();
        let result = match by {
            By::Log => self.commit_log().await,
            By::Checkpoint => self.checkpoint(None).await.map(|()| Vec::new()),
        };
        let result = match result {
            Ok(freed) => {
                turns.done.set(turn);
                turns.ended.fire();
                self.after_commit(freed).await;
                Ok(())
            }
            Err(e) => Err(e),
        };
        leading.1 = true;
        self.moved();
        turns.running.set(false);
        turns.ended.fire();
        result
    }

    /// What need not be waited for: giving space back, and a checkpoint when the log or the dirty set is half
    /// full.
    async fn after_commit(&self, freed: Vec<(Run, Cause)>) {
        self.make_reusable(freed).await;
        let used = {
            let log = self.log.borrow();
            log.pos - self.superblock.get().wal_first_pos
        };
        let dirty = self.state.borrow().dirty.spans.len();
        if (used > self.layout.wal_bytes / 2 || dirty > DIRTY_SPANS_MAX)
            && let Err(error) = self.checkpoint(None).await
        {
            // The commit itself stands. The next one tries again, and a failed medium has fenced the engine.
            tracing::warn!(%error, "no checkpoint could be written");
        }
    }

    /// Logs and flushes what is pending; gives what is reusable now.
    async fn commit_log(&self) -> Result<Vec<(Run, Cause)>, EngineError> {
        if self.log.borrow().pending.is_empty() {
            return Ok(Vec::new());
        }
        let Some((writes, freed)) = self.cut_records() else {
            self.checkpoint(None).await?;
            return Ok(Vec::new());
        };
        let last = self.log.borrow().next_seq - 1;
        let written = join_all(writes.into_iter().map(|(at, buf)| self.disk.write(at, buf)).collect()).await;
        let written: Result<(), DiskError> = written.into_iter().try_for_each(|(r, _)| r);
        let flushed = match written {
            Ok(()) => self.disk.flush().await,
            Err(e) => Err(e),
        };
        if let Err(e) = flushed {
            self.fence();
            return Err(e.into());
        }
        self.log.borrow_mut().durable_upto = last;
        Ok(freed)
    }

    /// Turns what is pending into records at their places in the ring; `None` when they do not fit.
    #[allow(clippy::type_complexity)] // a pair that lives for one line
    fn cut_records(&self) -> Option<(Vec<(u64, Buf)>, Vec<(Run, Cause)>)> {
        let mut log = self.log.borrow_mut();
        let ring = self.layout.wal_bytes;
        let most = cut(ring) as usize - RECORD_HEADER;
        let pending = std::mem::take(&mut log.pending);
        let packed = pending.pack(most);
        let size = |ops: &[u8]| ((RECORD_HEADER + ops.len()) as u64).next_multiple_of(BLOCK);
        let needed: u64 = packed.iter().map(|(_, ops)| size(ops)).sum();
        let sb = self.superblock.get();
        if needed > ring - (log.pos - sb.wal_first_pos) {
            log.pending = pending;
            return None;
        }
        let mut writes = Vec::new();
        for (count, ops) in packed {
            let bytes = log.record(self.id, sb.boot_epoch, count, ops);
            place(&mut writes, wal_start(sb.disk_bytes), ring, log.pos, &bytes);
            log.pos += size(ops);
        }
        log.tail = 0;
        Some((writes, std::mem::take(&mut log.freed)))
    }

    /// Freed blocks whose freeing is durable: long runs that were given up go back to the medium, then all
    /// can be taken again. (A run is not taken while the medium discards it.)
    pub(crate) async fn make_reusable(&self, freed: Vec<(Run, Cause)>) {
        let mut given_up = Vec::new();
        for (n, (run, cause)) in freed.into_iter().enumerate() {
            if cause == Cause::Overwritten {
                self.release_deferred(run);
            } else {
                given_up.push(run);
            }
            breathe(n).await;
        }
        given_up.sort_by_key(|r: &Run| r.phys);
        let mut merged: Vec<Run> = Vec::new();
        for run in given_up {
            match merged.last_mut() {
                Some(last) if last.phys + last.len == run.phys => last.len += run.len,
                _ => merged.push(run),
            }
        }
        for (n, run) in merged.iter().enumerate() {
            if run.len >= GIVE_BACK_BLOCKS {
                self.give_back(*run).await;
            }
            self.release_deferred(*run);
            breathe(n).await;
        }
        // Crumbs that add up to a whole chunk go back together; a chunk within one run has gone already.
        for (n, run) in merged.into_iter().enumerate() {
            breathe(n).await;
            let chunks = self.room.borrow().alloc.chunks_of(run);
            for chunk in chunks {
                let taken = self.room.borrow_mut().alloc.take_chunk(chunk);
                let Some(whole) = taken else { continue };
                if whole.phys < run.phys || whole.phys + whole.len > run.phys + run.len {
                    self.give_back(whole).await;
                }
                self.room.borrow_mut().alloc.release_virgin(whole);
            }
        }
    }

    async fn give_back(&self, run: Run) {
        if let Err(error) = self.disk.discard(run.phys * BLOCK, run.len * BLOCK).await {
            // A hint: the blocks are as good as before.
            tracing::debug!(%error, "the medium did not take space back");
        }
    }

    fn release_deferred(&self, run: Run) {
        let mut room = self.room.borrow_mut();
        room.deferred -= run.len;
        room.alloc.release(run);
    }
}

/// Lets others run now and then.
async fn breathe(n: usize) {
    if n % RUNS_AT_ONCE == RUNS_AT_ONCE - 1 {
        yield_now().await;
    }
}

impl Log {
    /// The next record: sequence and chain go on.
    fn record(&mut self, of: Identity, epoch: u64, count: u32, ops: &[u8]) -> Vec<u8> {
        let head = RecordHead { seq: self.next_seq, epoch, prev: self.hash, durable_upto: self.durable_upto };
        let sealed = wal::encode(of, head, count, ops);
        self.next_seq += 1;
        self.hash = sealed.hash;
        sealed.bytes
    }

    /// Takes back what a failed checkpoint had taken; it stays in front of what came since.
    pub(crate) fn restore(&mut self, mut pending: Queue, mut freed: Vec<(Run, Cause)>) {
        pending.append(std::mem::take(&mut self.pending));
        freed.append(&mut self.freed);
        (self.pending, self.freed) = (pending, freed);
    }
}

/// Cuts a record at the end of the ring where it must.
fn place(writes: &mut Vec<(u64, Buf)>, start: u64, ring: u64, pos: u64, bytes: &[u8]) {
    let at = pos % ring;
    let (head, tail) = bytes.split_at(bytes.len().min((ring - at) as usize));
    for (at, part) in [(at, head), (0, tail)] {
        if !part.is_empty() {
            let mut buf = Buf::zeroed(part.len().next_multiple_of(BLOCK as usize));
            buf[..part.len()].copy_from_slice(part);
            writes.push((start + at, buf));
        }
    }
}
