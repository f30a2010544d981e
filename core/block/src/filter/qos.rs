//! Ceilings per volume: one token bucket for all its queues, changed live.
//!
//! A request goes on while nothing is owed, and then owes its whole cost; so a request larger than a bucket
//! passes, and the rate over time is exact. While idle a tenth of a second's worth is saved up. What has to
//! wait is given back to its owner, who is woken when it is its turn: a filter never sits on a request, or a cut would
//! wait for the ceiling. Queues that wait pass in turn, one request each.

use std::collections::VecDeque;
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
/// How long a queue that was called keeps its turn without coming.
const PATIENCE: Duration = Duration::from_millis(5);

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

/// A bucket of both kinds, for all queues that are to share it. Clones are the same.
#[derive(Clone)]
pub struct Throttle(Arc<Shared>);

pub(crate) struct Shared {
    /// Both are unlimited: nobody needs the mutex.
    open: AtomicBool,
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
}

/// A queue that was refused, and comes again when it is woken.
struct Waiting {
    queue: u64,
    wake: Wake,
    /// It was told that it is its turn. If it does not come before the next alarm, it has lost it.
    called: bool,
}

struct State {
    bytes: Bucket,
    ops: Bucket,
    filled: Duration,
    /// In the order in which they were refused; one passes after the other, so none starves.
    waiting: VecDeque<Waiting>,
    /// When the timer calls; `None`: it is not set.
    alarm: Option<Duration>,
}

/// What is to be done after the mutex is let go.
#[derive(Default)]
struct Next {
    wake: Option<Wake>,
    alarm: Option<(Duration, Duration)>,
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
        let first = state.waiting.front().is_none_or(|w| w.queue == queue);
        let passes = first && state.wait() == Some(Duration::ZERO);
        if passes {
            state.bytes.pay(bytes);
            state.ops.pay(ops);
            state.waiting.pop_front();
        } else if let Some(again) = state.waiting.iter_mut().find(|w| w.queue == queue) {
            again.called = false;
        } else {
            state.waiting.push_back(Waiting { queue, wake: wake.clone(), called: false });
        }
        let next = state.call(now);
        drop(state);
        self.go_on(next);
        passes
    }

    fn go_on(self: &Arc<Shared>, next: Next) {
        if let Some((due, wait)) = next.alarm {
            self.set_alarm(due, wait);
        }
        if let Some(wake) = next.wake {
            wake.wake();
        }
    }

    /// The device was full: the request has not gone on after all.
    fn give_back(&self, bytes: u64, ops: u64) {
        let mut state = self.lock();
        state.bytes.earn(i128::from(bytes) * NANO);
        state.ops.earn(i128::from(ops) * NANO);
    }

    /// A queue that is gone takes no turn.
    fn leave(self: &Arc<Shared>, queue: u64) {
        let mut state = self.lock();
        state.waiting.retain(|w| w.queue != queue);
        let now = self.clock.steady();
        state.refill(now);
        let next = state.call(now);
        drop(state);
        self.go_on(next);
    }

    fn set_alarm(self: &Arc<Shared>, due: Duration, wait: Duration) {
        let ms = u32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
        let shared: Weak<Shared> = Arc::downgrade(self);
        self.timer.after(
            ms,
            Box::new(move || {
                if let Some(shared) = shared.upgrade() {
                    shared.ring(due);
                }
            }),
        );
    }

    /// The alarm of that time. One that a nearer one has replaced does nothing.
    fn ring(self: &Arc<Shared>, due: Duration) {
        let mut state = self.lock();
        if state.alarm != Some(due) {
            return;
        }
        state.alarm = None;
        while state.waiting.front().is_some_and(|w| w.called) {
            state.waiting.pop_front();
        }
        let now = self.clock.steady();
        state.refill(now);
        let next = state.call(now);
        drop(state);
        self.go_on(next);
    }
}

impl State {
    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.filled);
        self.bytes.refill(passed);
        self.ops.refill(passed);
        self.filled = now;
    }

    /// How long until nothing is owed; `None`: for ever.
    fn wait(&self) -> Option<Duration> {
        Some(self.bytes.wait()?.max(self.ops.wait()?))
    }

    /// Calls the first who waits when it is worth it, and has the alarm set for that or, once it was called, for
    /// the case that it does not come.
    fn call(&mut self, now: Duration) -> Next {
        // Without a wait only new limits can help, and they call again.
        let (Some(wait), Some(first)) = (self.wait(), self.waiting.front_mut()) else {
            return Next::default();
        };
        let mut next = Next::default();
        let mut wait = wait;
        if wait == Duration::ZERO {
            if !first.called {
                first.called = true;
                next.wake = Some(first.wake.clone());
            }
            wait = PATIENCE;
        }
        let due = now.saturating_add(wait);
        if self.alarm.is_none_or(|alarm| alarm > due) {
            self.alarm = Some(due);
            next.alarm = Some((due, wait));
        }
        next
    }
}

impl Throttle {
    /// A bucket with these ceilings.
    pub fn new(clock: Arc<dyn Clock>, timer: Arc<dyn Timer>, limits: Limits) -> Throttle {
        let state = State {
            bytes: Bucket::new(limits.bytes),
            ops: Bucket::new(limits.ops),
            filled: clock.steady(),
            waiting: VecDeque::new(),
            alarm: None,
        };
        let open = AtomicBool::new(limits == Limits::default());
        Throttle(Arc::new(Shared { open, state: Mutex::new(state), clock, timer }))
    }

    /// Changes the ceilings now; who waits tries again as soon as they allow it.
    pub fn set(&self, limits: Limits) {
        let mut state = self.0.lock();
        let now = self.0.clock.steady();
        state.refill(now);
        state.bytes.change(limits.bytes);
        state.ops.change(limits.ops);
        self.0.open.store(limits == Limits::default(), Ordering::SeqCst);
        // An alarm for the old ceilings may be far off.
        state.alarm = None;
        if limits == Limits::default() {
            let all = std::mem::take(&mut state.waiting);
            drop(state);
            return all.iter().for_each(|w| w.wake.wake());
        }
        let next = state.call(now);
        drop(state);
        self.0.go_on(next);
    }

    /// The present ceilings.
    pub fn limits(&self) -> Limits {
        let state = self.0.lock();
        Limits { bytes: state.bytes.rate, ops: state.ops.rate }
    }

    /// Puts the ceilings on a device.
    pub fn around(&self, inner: Arc<dyn BlockDevice>) -> Qos {
        Qos { inner, shared: Arc::clone(&self.0) }
    }

    pub(crate) fn downgrade(&self) -> Weak<Shared> {
        Arc::downgrade(&self.0)
    }

    pub(crate) fn upgrade(weak: &Weak<Shared>) -> Option<Throttle> {
        weak.upgrade().map(Throttle)
    }
}

/// A device with ceilings.
#[derive(Clone)]
pub struct Qos {
    inner: Arc<dyn BlockDevice>,
    shared: Arc<Shared>,
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

impl Drop for QosQueue {
    fn drop(&mut self) {
        self.shared.leave(self.number);
    }
}
