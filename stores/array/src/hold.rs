//! Who waits for whom.
//!
//! A request of one object with one replica takes no lock of the array: its engine's is enough. Everything that
//! must exclude such requests makes the array *careful* first, so that later ones take the array's range locks,
//! and then waits for those that had begun: a *grace period*.
//!
//! The order of waiting is: range locks of volumes, by id; then the lock of the catalogue; then engines. Nobody
//! who holds the catalogue waits for a range, so nobody waits in a circle.

use std::cell::Cell;

use parpen_engine::sync::{Event, RangeGuard, RangeLocks};
use uuid::Uuid;

/// The locks of an array.
#[derive(Default)]
pub(crate) struct Holds {
    pub(crate) ranges: RangeLocks,
    catalogue: RangeLocks,
    grace: Grace,
    /// How many want everybody to take range locks.
    careful: Cell<u32>,
    pub(crate) eras: EraGate,
    requests: Cell<u64>,
}

impl Holds {
    /// How many were ever counted in.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.get()
    }

    /// One change of the catalogue, the members or the placement at a time.
    pub(crate) async fn catalogue(&self) -> RangeGuard<'_> {
        self.catalogue.lock(Uuid::nil(), 0, 0).await
    }

    /// Counts a request in until the answer is dropped.
    pub(crate) fn enter(&self) -> Inside<'_> {
        self.requests.set(self.requests.get() + 1);
        self.grace.enter()
    }

    /// Waits until every request that is inside now has left.
    pub(crate) async fn grace(&self) {
        self.grace.wait().await;
    }

    pub(crate) fn is_careful(&self) -> bool {
        self.careful.get() > 0
    }

    /// Everybody takes range locks from here on, and nobody is inside who did not.
    pub(crate) async fn careful(&self) -> Careful<'_> {
        self.careful.set(self.careful.get() + 1);
        let careful = Careful(self);
        self.grace().await;
        careful
    }
}

/// While it lives, all requests take range locks.
pub(crate) struct Careful<'a>(&'a Holds);

impl Drop for Careful<'_> {
    fn drop(&mut self) {
        self.0.careful.set(self.0.careful.get() - 1);
    }
}

/// Two counts of requests, of which new ones use one.
#[derive(Default)]
struct Grace {
    inside: [Cell<u32>; 2],
    side: Cell<usize>,
    waiting: Cell<bool>,
    left: Event,
}

/// A request that is counted.
pub(crate) struct Inside<'a> {
    grace: &'a Grace,
    side: usize,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let count = &self.grace.inside[self.side];
        count.set(count.get() - 1);
        if count.get() == 0 && self.grace.waiting.get() {
            self.grace.left.fire();
        }
    }
}

/// Says that nobody waits any more, however the waiting ends.
struct Waiting<'a>(&'a Grace);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(false);
        self.0.left.fire();
    }
}

impl Grace {
    fn enter(&self) -> Inside<'_> {
        let side = self.side.get();
        self.inside[side].set(self.inside[side].get() + 1);
        Inside { grace: self, side }
    }

    async fn wait(&self) {
        while self.waiting.get() {
            self.left.wait().await;
        }
        self.waiting.set(true);
        let _waiting = Waiting(self);
        // Those who were left on the other side by an abandoned wait count, too.
        for _ in 0..2 {
            let side = self.side.get();
            self.side.set(1 - side);
            while self.inside[side].get() > 0 {
                self.left.wait().await;
            }
        }
    }
}

/// Keeps the writes of all replicas of a piece in one era: they pass while it is open, and the era changes only
/// while nobody is inside.
#[derive(Default)]
pub(crate) struct EraGate {
    writing: Cell<u32>,
    shut: Cell<bool>,
    changed: Event,
}

/// A write between its first and its last replica.
pub(crate) struct Passing<'a>(&'a EraGate);

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.0.writing.set(self.0.writing.get() - 1);
        if self.0.shut.get() {
            self.0.changed.fire();
        }
    }
}

/// Opens the gate again, however the change ends.
struct Shut<'a>(&'a EraGate);

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        self.0.shut.set(false);
        self.0.changed.fire();
    }
}

impl EraGate {
    pub(crate) async fn pass(&self) -> Passing<'_> {
        while self.shut.get() {
            self.changed.wait().await;
        }
        self.writing.set(self.writing.get() + 1);
        Passing(self)
    }

    /// Runs `f` while no write is between its replicas. The caller holds the catalogue.
    pub(crate) async fn alone(&self, f: impl FnOnce()) {
        self.shut.set(true);
        let _shut = Shut(self);
        while self.writing.get() > 0 {
            self.changed.wait().await;
        }
        f();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    fn poll<F: Future>(f: Pin<&mut F>) -> Poll<F::Output> {
        f.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_grace_period_waits_for_those_before_it_only() {
        let holds = Holds::default();
        let before = holds.enter();
        let mut careful = pin!(holds.careful());
        assert!(poll(careful.as_mut()).is_pending());
        assert!(holds.is_careful(), "later requests know at once");
        let after = holds.enter();
        let mut second = pin!(holds.grace());
        assert!(poll(second.as_mut()).is_pending());
        drop(before);
        assert!(poll(careful.as_mut()).is_pending(), "the other side is looked at, too");
        drop(after);
        assert!(poll(careful.as_mut()).is_ready());
        assert!(poll(second.as_mut()).is_ready());
    }

    #[test]
    fn the_era_changes_between_writes() {
        let gate = EraGate::default();
        let mut one = pin!(gate.pass());
        let Poll::Ready(one) = poll(one.as_mut()) else { panic!("the gate is open") };
        let changed = Cell::new(false);
        let mut change = pin!(gate.alone(|| changed.set(true)));
        assert!(poll(change.as_mut()).is_pending());
        let mut two = pin!(gate.pass());
        assert!(poll(two.as_mut()).is_pending());
        drop(one);
        assert!(poll(change.as_mut()).is_ready() && changed.get());
        assert!(poll(two.as_mut()).is_ready());
    }
}
