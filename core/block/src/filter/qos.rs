//! Ceilings per volume: one token bucket for all queues of a device, changed live.
//!
//! A request goes on while nothing is owed, and then owes its whole cost; so a request larger than a bucket
//! passes, and the rate over time is exact. While idle a tenth of a second's worth is saved up. What has to
//! wait is given back to its owner, who is woken in time: a filter never sits on a request, or a cut would
//! wait for the ceiling.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use parpen_base::Clock;

use crate::{
    BlockDevice, Capabilities, Completion, Geometry, Home, Op, Queue, Refusal, Request, Timer, Wake, pinned,
};

/// Ceilings per second; `None` is unlimited, 0 lets nothing pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes read and written together.
    pub bytes: Option<u64>,
    /// Operations, of every kind but flush.
    pub ops: Option<u64>,
}

const NANO: i128 = 1_000_000_000;
/// The part of a second that is saved up while idle.
const SAVED: i128 = 10;

/// One ceiling. Counted in billionths, so that the smallest rate loses nothing to rounding.
#[derive(Clone, Copy)]
struct Bucket {
    rate: Option<u64>,
    tokens: i128,
}

impl Bucket {
    fn new(rate: Option<u64>) -> Bucket {
        Bucket { rate, tokens: i128::from(rate.unwrap_or(0)) * NANO / SAVED }
    }

    fn refill(&mut self, passed: Duration) {
        // The fastest rate for as long as a clock can count fits.
        self.earn(i128::from(self.rate.unwrap_or(0)) * i128::from(passed.as_nanos() as u64));
    }

    fn earn(&mut self, tokens: i128) {
        let most = i128::from(self.rate.unwrap_or(0)) * NANO / SAVED;
        self.tokens = self.tokens.saturating_add(tokens).min(most);
    }

    /// Keeps what is owed: it is paid back at the new rate.
    fn change(&mut self, rate: Option<u64>) {
        self.tokens = match rate {
            None => 0,
            Some(rate) => self.tokens.min(i128::from(rate) * NANO / SAVED),
        };
        self.rate = rate;
    }

    /// How long until nothing is owed; `None`: for ever.
    fn wait(&self) -> Option<Duration> {
        match self.rate {
            None => Some(Duration::ZERO),
            Some(0) => None,
            Some(rate) => {
                let owed = (-self.tokens).max(0) as u128;
                let nanos = owed.div_ceil(u128::from(rate));
                Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
            }
        }
    }

    fn pay(&mut self, cost: u64) {
        if self.rate.is_some() {
            self.tokens -= i128::from(cost) * NANO;
        }
    }
}

struct Shared {
    /// Both are unlimited: nobody needs the mutex.
    open: AtomicBool,
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
}

struct State {
    bytes: Bucket,
    ops: Bucket,
    filled: Duration,
    /// Owners to wake, one for each queue.
    waiting: Vec<(u64, Wake)>,
    /// When the timer calls; `None`: it is not set.
    alarm: Option<Duration>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the price of a request, or has `wake` woken when it is worth trying again.
    fn pass(self: &Arc<Shared>, bytes: u64, ops: u64, queue: u64, wake: &Wake) -> bool {
        let mut state = self.lock();
        let now = self.clock.steady();
        state.refill(now);
        let wait = match (state.bytes.wait(), state.ops.wait()) {
            (Some(a), Some(b)) => Some(a.max(b)),
            _ => None,
        };
        if wait == Some(Duration::ZERO) {
            state.bytes.pay(bytes);
            state.ops.pay(ops);
            return true;
        }
        if !state.waiting.iter().any(|(q, _)| *q == queue) {
            state.waiting.push((queue, wake.clone()));
        }
        // Without a wait only new limits can help, and they wake everybody.
        if let Some(wait) = wait {
            let due = now.saturating_add(wait);
            if state.alarm.is_none_or(|alarm| alarm > due) {
                state.alarm = Some(due);
                drop(state);
                self.set_alarm(due, wait);
            }
        }
        false
    }

    /// The device was full: the request has not gone on after all.
    fn give_back(&self, bytes: u64, ops: u64) {
        let mut state = self.lock();
        state.bytes.earn(i128::from(bytes) * NANO);
        state.ops.earn(i128::from(ops) * NANO);
    }

    fn set_alarm(self: &Arc<Shared>, due: Duration, wait: Duration) {
        let ms = u32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
        let shared: Weak<Shared> = Arc::downgrade(self);
        self.timer.after(
            ms,
            Box::new(move || {
                if let Some(shared) = shared.upgrade() {
                    shared.ring(Some(due));
                }
            }),
        );
    }

    /// Wakes who waits; each asks again. An alarm that a nearer one has replaced wakes too: that costs one
    /// more asking.
    fn ring(&self, due: Option<Duration>) {
        let mut state = self.lock();
        if due.is_none() || state.alarm == due {
            state.alarm = None;
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.iter().for_each(|(_, wake)| wake.wake());
    }
}

impl State {
    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.filled);
        self.bytes.refill(passed);
        self.ops.refill(passed);
        self.filled = now;
    }
}

/// A device with ceilings.
#[derive(Clone)]
pub struct Qos {
    inner: Arc<dyn BlockDevice>,
    shared: Arc<Shared>,
}

impl Qos {
    /// Puts ceilings on `inner`.
    pub fn new(
        inner: Arc<dyn BlockDevice>,
        clock: Arc<dyn Clock>,
        timer: Arc<dyn Timer>,
        limits: Limits,
    ) -> Qos {
        let state = State {
            bytes: Bucket::new(limits.bytes),
            ops: Bucket::new(limits.ops),
            filled: clock.steady(),
            waiting: Vec::new(),
            alarm: None,
        };
        let open = AtomicBool::new(limits == Limits::default());
        Qos { inner, shared: Arc::new(Shared { open, state: Mutex::new(state), clock, timer }) }
    }

    /// Changes the ceilings now; who waits tries again at once.
    pub fn set(&self, limits: Limits) {
        {
            let mut state = self.shared.lock();
            state.refill(self.shared.clock.steady());
            state.bytes.change(limits.bytes);
            state.ops.change(limits.ops);
            self.shared.open.store(limits == Limits::default(), Ordering::SeqCst);
        }
        self.shared.ring(None);
    }

    /// The present ceilings.
    pub fn limits(&self) -> Limits {
        let state = self.shared.lock();
        Limits { bytes: state.bytes.rate, ops: state.ops.rate }
    }
}

impl BlockDevice for Qos {
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
        Ok(Box::new(QosQueue { inner, shared: Arc::clone(&self.shared), number: pinned::number(), wake }))
    }
}

struct QosQueue {
    inner: Box<dyn Queue>,
    shared: Arc<Shared>,
    number: u64,
    wake: Wake,
}

fn price(r: &Request) -> (u64, u64) {
    match r.op {
        Op::Read | Op::Write { .. } => (u64::from(r.len), 1),
        Op::Flush => (0, 0),
        Op::Zero { .. } | Op::Discard | Op::Extents | Op::Prefetch => (0, 1),
    }
}

impl Queue for QosQueue {
    fn submit(&mut self, r: Request) -> Result<(), Request> {
        let (bytes, ops) = price(&r);
        if ops == 0 || self.shared.open.load(Ordering::Relaxed) {
            return self.inner.submit(r);
        }
        if !self.shared.pass(bytes, ops, self.number, &self.wake) {
            return Err(r);
        }
        self.inner.submit(r).inspect_err(|_| self.shared.give_back(bytes, ops))
    }

    fn kick(&mut self) {
        self.inner.kick();
    }

    fn reap(&mut self) -> Option<Completion> {
        self.inner.reap()
    }
}
