//! Late and disordered answers, without a thread that sleeps.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use parpen_base::{Entropy, SeededEntropy};

use crate::{BlockDevice, Capabilities, Completion, Geometry, Home, Queue, Refusal, Request, Timer, Wake};

/// A device whose completions come late: each by a time of its own, so that their order changes too.
#[derive(Clone)]
pub struct Delay {
    inner: Arc<dyn BlockDevice>,
    timer: Arc<dyn Timer>,
    dice: Arc<SeededEntropy>,
    at_most_ms: u32,
}

impl Delay {
    /// Keeps each completion of `inner` back for 0 to `at_most_ms` milliseconds, by the seed.
    pub fn new(inner: Arc<dyn BlockDevice>, timer: Arc<dyn Timer>, seed: u64, at_most_ms: u32) -> Delay {
        Delay { inner, timer, dice: Arc::new(SeededEntropy::new(seed)), at_most_ms }
    }
}

impl BlockDevice for Delay {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn home(&self) -> Option<Arc<dyn Home>> {
        self.inner.home()
    }

    fn open(&self, depth: u16, wake: Wake) -> Result<Box<dyn Queue>, Refusal> {
        let inner = self.inner.open(depth, wake.clone())?;
        let due = Arc::new(Mutex::new(VecDeque::new()));
        Ok(Box::new(DelayQueue { inner, delay: self.clone(), due, wake, room: depth.max(1), taken: 0 }))
    }
}

struct DelayQueue {
    inner: Box<dyn Queue>,
    delay: Delay,
    /// Whose time has come.
    due: Arc<Mutex<VecDeque<Completion>>>,
    wake: Wake,
    room: u16,
    /// Those that the device has answered and the owner has not got are in flight for the owner.
    taken: u16,
}

impl Queue for DelayQueue {
    fn submit(&mut self, r: Request) -> Result<(), Request> {
        if self.taken == self.room {
            return Err(r);
        }
        self.inner.submit(r)?;
        self.taken += 1;
        Ok(())
    }

    fn kick(&mut self) {
        self.inner.kick();
    }

    fn reap(&mut self) -> Option<Completion> {
        while let Some(c) = self.inner.reap() {
            let ms = self.delay.dice.u64() % (u64::from(self.delay.at_most_ms) + 1);
            let (due, wake) = (Arc::clone(&self.due), self.wake.clone());
            let arrive = move || {
                due.lock().unwrap_or_else(PoisonError::into_inner).push_back(c);
                wake.wake();
            };
            self.delay.timer.after(ms as u32, Box::new(arrive));
        }
        let c = self.due.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
        self.taken -= 1;
        Some(c)
    }
}
