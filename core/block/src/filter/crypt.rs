//! Encryption of every sector between a queue's user and its device.
//!
//! The device stores what the cipher made, at the same place and of the same length, so snapshots, clones and copies of
//! what is stored stay readable with the same key. A stored sector of zeros was never written: it reads as zeros, and
//! zeroing and discarding reach the device as they are, so holes stay holes. (That a sector encrypts to zeros happens
//! once in 2^4096.)
//!
//! Requests that do not begin and end with a sector need the rest of it: the sectors at their edges are read, decrypted,
//! completed and written back. Nothing else may change them meanwhile, so such a request waits until no other write of
//! the volume is in flight, and those wait for it ([`Turns`]).

mod job;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::VecDeque;
use std::sync::Arc;

use parpen_base::SECTOR;

use crate::{
    BlockDevice, Capabilities, Completion, Geometry, Home, IoError, Op, Queue, Refusal, Request,
    SectorCipher, Wake,
};

use job::Job;
pub use turns::Turns;

/// A device of which everything that is stored is encrypted.
#[derive(Clone)]
pub struct Crypt {
    inner: Arc<dyn BlockDevice>,
    cipher: Arc<dyn SectorCipher>,
    turns: Turns,
}

impl Crypt {
    /// Encrypts what `inner` stores. All wrappings of one volume must share their `turns`.
    pub fn new(inner: Arc<dyn BlockDevice>, cipher: Arc<dyn SectorCipher>, turns: Turns) -> Crypt {
        Crypt { inner, cipher, turns }
    }
}

impl BlockDevice for Crypt {
    fn geometry(&self) -> Geometry {
        let inner = self.inner.geometry();
        Geometry { block: inner.block.max(SECTOR as u32), ..inner }
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn home(&self) -> Option<Arc<dyn Home>> {
        self.inner.home()
    }

    fn open(&self, depth: u16, wake: Wake) -> Result<Box<dyn Queue>, Refusal> {
        let depth = depth.max(1);
        Ok(Box::new(CryptQueue {
            inner: self.inner.open(depth, wake.clone())?,
            device: Arc::clone(&self.inner),
            cipher: Arc::clone(&self.cipher),
            turn: self.turns.join(wake.clone()),
            wake,
            slots: (0..depth).map(|_| None).collect(),
            free: (0..u32::from(depth)).collect(),
            waiting: VecDeque::new(),
            due: VecDeque::new(),
            ended: VecDeque::new(),
        }))
    }
}

struct CryptQueue {
    inner: Box<dyn Queue>,
    device: Arc<dyn BlockDevice>,
    cipher: Arc<dyn SectorCipher>,
    turn: turns::Seat,
    wake: Wake,
    /// What each of the device's tags works for.
    slots: Vec<Option<Job>>,
    free: Vec<u32>,
    /// Taken, and waiting for their turn.
    waiting: VecDeque<u32>,
    /// Requests that the device could not take yet; their tags are slots.
    due: VecDeque<Request>,
    ended: VecDeque<Completion>,
}

impl CryptQueue {
    /// Starts what may start, and hands the device what it can take.
    fn advance(&mut self) {
        while let Some(slot) = self.waiting.front().copied() {
            let Some(turn) = self.slots[slot as usize].as_ref().map(Job::turn) else { break };
            if !self.turn.enter(turn) {
                break;
            }
            self.waiting.pop_front();
            self.next(slot);
        }
        while let Some(request) = self.due.pop_front() {
            if let Err(back) = self.inner.submit(request) {
                self.due.push_front(back);
                return;
            }
        }
    }

    /// Takes the next step of a job, or ends it.
    fn next(&mut self, slot: u32) {
        let maximum = u64::from(self.device.geometry().maximum) / SECTOR * SECTOR;
        let Some(job) = self.slots[slot as usize].as_mut() else { return };
        match job.next(&*self.cipher, maximum.max(SECTOR)) {
            Some(mut request) => {
                request.tag = slot;
                self.due.push_back(request);
            }
            None => self.end(slot, Ok(())),
        }
    }

    fn end(&mut self, slot: u32, result: Result<(), IoError>) {
        let Some(job) = self.slots[slot as usize].take() else { return };
        self.turn.leave(job.turn());
        self.free.push(slot);
        self.ended.push_back(job.completion(result));
    }
}

impl Queue for CryptQueue {
    fn submit(&mut self, r: Request) -> Result<(), Request> {
        let Some(slot) = self.free.pop() else { return Err(r) };
        self.slots[slot as usize] = Some(Job::new(r));
        self.waiting.push_back(slot);
        self.advance();
        if !self.ended.is_empty() {
            self.wake.wake();
        }
        Ok(())
    }

    fn kick(&mut self) {
        self.advance();
        self.inner.kick();
    }

    fn reap(&mut self) -> Option<Completion> {
        loop {
            if let Some(done) = self.ended.pop_front() {
                return Some(done);
            }
            let Some(c) = self.inner.reap() else { break };
            let slot = c.tag;
            match self.slots[slot as usize].as_mut().map(|job| job.heard(c, &*self.cipher)) {
                Some(Ok(())) => self.next(slot),
                Some(Err(why)) => self.end(slot, Err(why)),
                None => {}
            }
            self.advance();
            self.inner.kick();
        }
        // Somebody else's turn may have ended meanwhile.
        self.advance();
        self.inner.kick();
        self.ended.pop_front()
    }
}

impl Drop for CryptQueue {
    fn drop(&mut self) {
        for slot in 0..self.slots.len() as u32 {
            if !self.waiting.contains(&slot)
                && let Some(job) = &self.slots[slot as usize]
            {
                self.turn.leave(job.turn());
            }
        }
    }
}

/// Whether an operation changes what is stored.
fn changes(op: Op) -> bool {
    matches!(op, Op::Write { .. } | Op::Zero { .. } | Op::Discard)
}
