//! A device that can be led to another place while it is in use.
//!
//! All sessions of one volume share a [`Route`]. While it tracks, every range that was written, zeroed or discarded is
//! noted when its request *ends*. A mover that copies everything, then what was noted meanwhile, again and again, and
//! once more while the exports are held (nothing in flight, so every request has ended), has missed nothing: a write
//! that reached the device before the mover read is in the copy, and one that reached it later ended later, so that it
//! is noted after the mover took its list. [`Route::lead`] under the same hold sends all queues to the other device:
//! each opens it at its next request, and none has a request in flight on the old one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::filter::Answers;
use crate::{
    BlockDevice, Capabilities, Completion, Geometry, Home, IoError, Op, Queue, Refusal, Request, Wake,
};

/// What was written is noted in pieces of this size, in bytes.
const GRAIN: u64 = 64 << 10;

struct Inner {
    device: RwLock<Arc<dyn BlockDevice>>,
    /// Counts up with every lead.
    turn: AtomicU64,
    tracking: AtomicBool,
    dirty: Mutex<BTreeSet<u64>>,
    /// Nobody is let in at this moment.
    frozen: Mutex<bool>,
}

/// A device that can be led elsewhere; clones are the same route.
#[derive(Clone)]
pub struct Route(Arc<Inner>);

/// Keeps new sessions out of a route until it is dropped.
#[must_use = "dropping it lets sessions in again"]
pub struct Frozen(Route);

impl Drop for Frozen {
    fn drop(&mut self) {
        *self.0.gate() = false;
    }
}

/// Names a route without keeping it.
#[derive(Clone)]
pub struct WeakRoute(std::sync::Weak<Inner>);

impl WeakRoute {
    /// The route, while somebody uses it.
    pub fn get(&self) -> Option<Route> {
        self.0.upgrade().map(Route)
    }
}

impl Route {
    /// A route to `device`.
    pub fn new(device: Arc<dyn BlockDevice>) -> Route {
        Route(Arc::new(Inner {
            device: RwLock::new(device),
            turn: AtomicU64::new(0),
            tracking: AtomicBool::new(false),
            dirty: Mutex::default(),
            frozen: Mutex::new(false),
        }))
    }

    /// A name for it that does not keep it.
    pub fn downgrade(&self) -> WeakRoute {
        WeakRoute(Arc::downgrade(&self.0))
    }

    fn device(&self) -> Arc<dyn BlockDevice> {
        Arc::clone(&self.0.device.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn gate(&self) -> MutexGuard<'_, bool> {
        self.0.frozen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dirty(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what lets a session in, unless the route is frozen; while it runs the route cannot be frozen.
    pub fn enter<T>(&self, f: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
        let frozen = self.gate();
        if *frozen {
            return Err(Refusal::Unavailable("it is just being moved; try again in a moment".into()));
        }
        f()
    }

    /// Lets no session in until the answer is dropped.
    pub fn freeze(&self) -> Frozen {
        *self.gate() = true;
        Frozen(self.clone())
    }

    /// Notes from now on what is changed, beginning with nothing.
    pub fn track(&self) {
        self.dirty().clear();
        self.0.tracking.store(true, Ordering::SeqCst);
    }

    /// Notes nothing any more.
    pub fn untrack(&self) {
        self.0.tracking.store(false, Ordering::SeqCst);
        self.dirty().clear();
    }

    /// What was changed since the last call, as ranges of offset and length in bytes, neighbours joined.
    pub fn take_changes(&self) -> Vec<(u64, u64)> {
        let grains = std::mem::take(&mut *self.dirty());
        let size = self.geometry().size;
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for at in grains.into_iter().map(|g| g * GRAIN).filter(|at| *at < size) {
            let len = GRAIN.min(size - at);
            match ranges.last_mut() {
                Some((start, n)) if *start + *n == at => *n += len,
                _ => ranges.push((at, len)),
            }
        }
        ranges
    }

    /// Whether queues can be led to `device` while they are open: it lives on the same thread.
    pub fn can_lead(&self, device: &dyn BlockDevice) -> bool {
        match (self.device().home(), device.home()) {
            (Some(a), Some(b)) => a.id() == b.id(),
            (None, None) => true,
            _ => false,
        }
    }

    /// Sends all that comes to `device` from now on. Nothing may be in flight: the exports are held or cut.
    pub fn lead(&self, device: Arc<dyn BlockDevice>) {
        *self.0.device.write().unwrap_or_else(PoisonError::into_inner) = device;
        self.0.turn.fetch_add(1, Ordering::SeqCst);
    }

    fn note(&self, offset: u64, len: u64) {
        if self.0.tracking.load(Ordering::SeqCst) && len > 0 {
            self.dirty().extend(offset / GRAIN..=(offset + len - 1) / GRAIN);
        }
    }
}

impl BlockDevice for Route {
    // Asked for each request: it looks without taking a share.
    fn geometry(&self) -> Geometry {
        self.0.device.read().unwrap_or_else(PoisonError::into_inner).geometry()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.device.read().unwrap_or_else(PoisonError::into_inner).capabilities()
    }

    fn home(&self) -> Option<Arc<dyn Home>> {
        self.device().home()
    }

    fn open(&self, depth: u16, wake: Wake) -> Result<Box<dyn Queue>, Refusal> {
        let turn = self.0.turn.load(Ordering::SeqCst);
        let inner = self.device().open(depth, wake.clone())?;
        let answers = Answers::new(depth, wake.clone());
        let queue = RouteQueue {
            route: self.clone(),
            inner,
            turn,
            depth,
            wake,
            changes: Vec::new(),
            flying: 0,
            answers,
        };
        Ok(Box::new(queue))
    }
}

/// A change that is under way.
struct Change {
    tag: u32,
    offset: u64,
    len: u32,
}

struct RouteQueue {
    route: Route,
    inner: Box<dyn Queue>,
    turn: u64,
    depth: u16,
    wake: Wake,
    /// Writes and their like that are in flight; at most as many as the queue is deep.
    changes: Vec<Change>,
    flying: u32,
    /// Of requests that could not be sent to the new place.
    answers: Answers,
}

impl RouteQueue {
    /// Opens the present device if the route was led elsewhere since.
    fn follow(&mut self) -> Result<(), Refusal> {
        let turn = self.route.0.turn.load(Ordering::SeqCst);
        if turn != self.turn {
            self.inner = self.route.device().open(self.depth, self.wake.clone())?;
            self.turn = turn;
        }
        Ok(())
    }
}

impl Queue for RouteQueue {
    fn submit(&mut self, r: Request) -> Result<(), Request> {
        if self.flying == 0
            && let Err(why) = self.follow()
        {
            tracing::error!(?why, "a queue could not follow its device to another place");
            return self.answers.fail(r, IoError::Io);
        }
        let changes = matches!(r.op, Op::Write { .. } | Op::Zero { .. } | Op::Discard);
        let change = Change { tag: r.tag, offset: r.offset, len: r.len };
        self.inner.submit(r)?;
        self.flying += 1;
        if changes {
            self.changes.push(change);
        }
        Ok(())
    }

    fn kick(&mut self) {
        self.inner.kick();
    }

    fn reap(&mut self) -> Option<Completion> {
        if let Some(c) = self.answers.next() {
            return Some(c);
        }
        let c = self.inner.reap()?;
        self.flying -= 1;
        if let Some(at) = self.changes.iter().position(|x| x.tag == c.tag) {
            let change = self.changes.swap_remove(at);
            // A change that failed may have been done in part.
            self.route.note(change.offset, change.len.into());
        }
        Some(c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;
    use parpen_base::Buf;

    fn run(queue: &mut dyn Queue, op: Op, offset: u64, bytes: &[u8]) -> Completion {
        let (len, buf) = (bytes.len() as u32, Some(Buf::copy_of(bytes)));
        let buf = buf.filter(|_| matches!(op, Op::Write { .. } | Op::Read));
        queue.submit(Request { tag: 7, op, offset, len, buf }).expect("there is room");
        queue.kick();
        loop {
            if let Some(c) = queue.reap() {
                return c;
            }
        }
    }

    const WRITE: Op = Op::Write { fua: false };

    #[test]
    fn what_is_changed_is_noted_and_queues_follow() {
        let (old, new) = (Memory::new(1 << 20), Memory::new(1 << 20));
        let route = Route::new(Arc::new(old));
        let mut queue = route.open(4, Wake::new(|| ())).unwrap();
        assert_eq!(run(&mut *queue, WRITE, 0, &[1; 512]).result, Ok(512));
        assert!(route.take_changes().is_empty(), "it does not track yet");
        route.track();
        run(&mut *queue, WRITE, GRAIN - 512, &[2; 1024]);
        run(&mut *queue, Op::Discard, 5 * GRAIN, &[0; 512]);
        run(&mut *queue, Op::Read, 9 * GRAIN, &[0; 512]);
        assert_eq!(route.take_changes(), [(0, 2 * GRAIN), (5 * GRAIN, GRAIN)]);
        assert!(route.take_changes().is_empty());
        assert!(route.can_lead(&new));
        route.lead(Arc::new(new.clone()));
        run(&mut *queue, WRITE, 512, &[3; 512]);
        let mut there = new.open(1, Wake::new(|| ())).unwrap();
        let got = run(&mut *there, Op::Read, 512, &[0; 512]);
        assert_eq!(&got.buf.unwrap()[..], &[3; 512]);
    }

    #[test]
    fn nobody_enters_a_frozen_route() {
        let route = Route::new(Arc::new(Memory::new(512)));
        let frozen = route.freeze();
        assert!(matches!(route.enter(|| Ok(())), Err(Refusal::Unavailable(_))));
        drop(frozen);
        assert!(route.enter(|| Ok(())).is_ok());
    }
}
