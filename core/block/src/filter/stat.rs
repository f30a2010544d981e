//! Counts what a device does: operations, bytes, errors, time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parpen_base::Clock;

use crate::{BlockDevice, Capabilities, Completion, Geometry, Home, Queue, Refusal, Request, Wake};

use super::Kind;

/// Classes of latency: class `i` holds what took less than `2^i` microseconds and fits no smaller one; the
/// last one holds the rest.
pub const BUCKETS: usize = 25;

/// The running counters of a device; read them at any time from any thread.
#[derive(Default)]
pub struct Counters {
    kinds: [Cells; Kind::ALL.len()],
    in_flight: AtomicU64,
}

#[derive(Default)]
struct Cells {
    ops: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    nanos: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

/// What was counted of one kind of operation, since the device was wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Ended operations, failed ones included.
    pub ops: u64,
    /// Bytes of those that succeeded.
    pub bytes: u64,
    /// Failed ones.
    pub errors: u64,
    /// The time that all of them took together.
    pub time: Duration,
    /// How many fell into each class of latency.
    pub latency: [u64; BUCKETS],
}

impl Counters {
    /// What was counted of a kind.
    pub fn of(&self, kind: Kind) -> Totals {
        let cells = &self.kinds[kind as usize];
        Totals {
            ops: cells.ops.load(Relaxed),
            bytes: cells.bytes.load(Relaxed),
            errors: cells.errors.load(Relaxed),
            time: Duration::from_nanos(cells.nanos.load(Relaxed)),
            latency: std::array::from_fn(|i| cells.buckets[i].load(Relaxed)),
        }
    }

    /// Requests that the device has now.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    fn ended(&self, kind: Kind, result: &Result<u32, crate::IoError>, took: Duration) {
        let cells = &self.kinds[kind as usize];
        cells.ops.fetch_add(1, Relaxed);
        match result {
            Ok(bytes) => cells.bytes.fetch_add(u64::from(*bytes), Relaxed),
            Err(_) => cells.errors.fetch_add(1, Relaxed),
        };
        cells.nanos.fetch_add(took.as_nanos() as u64, Relaxed);
        let micros = took.as_micros() as u64;
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        cells.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Relaxed);
    }
}

/// A device whose operations are counted.
#[derive(Clone)]
pub struct Stat {
    inner: Arc<dyn BlockDevice>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
}

impl Stat {
    /// Counts what `inner` does from now on.
    pub fn new(inner: Arc<dyn BlockDevice>, clock: Arc<dyn Clock>) -> Stat {
        Stat { inner, clock, counters: Arc::default() }
    }

    /// The counters of all its queues together.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

impl BlockDevice for Stat {
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
        let inner = self.inner.open(depth, wake)?;
        let depth = u32::from(depth.max(1));
        let idle = Slot { tag: 0, kind: Kind::Flush, since: Duration::ZERO };
        Ok(Box::new(StatQueue {
            inner,
            clock: Arc::clone(&self.clock),
            counters: Arc::clone(&self.counters),
            slots: vec![idle; depth as usize],
            free: (0..depth).collect(),
        }))
    }
}

/// A request in flight. The device gets its index as tag, so that the end finds the beginning without a
/// search.
#[derive(Clone, Copy)]
struct Slot {
    tag: u32,
    kind: Kind,
    since: Duration,
}

struct StatQueue {
    inner: Box<dyn Queue>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Queue for StatQueue {
    fn submit(&mut self, mut r: Request) -> Result<(), Request> {
        let Some(slot) = self.free.pop() else { return Err(r) };
        let (tag, kind) = (r.tag, Kind::of(r.op));
        self.slots[slot as usize] = Slot { tag, kind, since: self.clock.steady() };
        r.tag = slot;
        match self.inner.submit(r) {
            Ok(()) => {
                self.counters.in_flight.fetch_add(1, Relaxed);
                Ok(())
            }
            Err(mut back) => {
                self.free.push(slot);
                back.tag = tag;
                Err(back)
            }
        }
    }

    fn kick(&mut self) {
        self.inner.kick();
    }

    fn reap(&mut self) -> Option<Completion> {
        let mut c = self.inner.reap()?;
        let slot = self.slots[c.tag as usize];
        self.free.push(c.tag);
        self.counters.in_flight.fetch_sub(1, Relaxed);
        self.counters.ended(slot.kind, &c.result, self.clock.steady().saturating_sub(slot.since));
        c.tag = slot.tag;
        Some(c)
    }
}

impl Drop for StatQueue {
    fn drop(&mut self) {
        let left = self.slots.len() - self.free.len();
        self.counters.in_flight.fetch_sub(left as u64, Relaxed);
    }
}
