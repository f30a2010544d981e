//! Waiting on one thread: an event, a lock on ranges of blocks, and running futures together. No executor is
//! assumed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;
use uuid::Uuid;

/// Wakes everybody who waits at the moment of [`Event::fire`].
#[derive(Default)]
pub struct Event {
    fired: Cell<u64>,
    wakers: RefCell<Vec<Waker>>,
}

impl Event {
    /// Wakes them.
    pub fn fire(&self) {
        self.fired.set(self.fired.get() + 1);
        let wakers = std::mem::take(&mut *self.wakers.borrow_mut());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends at the next [`Event::fire`] after this call (not after the first poll).
    pub fn wait(&self) -> impl Future<Output = ()> + '_ {
        let seen = self.fired.get();
        std::future::poll_fn(move |cx| {
            if self.fired.get() != seen {
                return Poll::Ready(());
            }
            let mut wakers = self.wakers.borrow_mut();
            if !wakers.iter().any(|w| w.will_wake(cx.waker())) {
                wakers.push(cx.waker().clone());
            }
            Poll::Pending
        })
    }
}

struct Claim {
    ticket: u64,
    first: u64,
    last: u64,
    waker: Option<Waker>,
}

/// Exclusive locks on ranges of blocks per volume, granted in the order of asking.
#[derive(Default)]
pub struct RangeLocks {
    claims: RefCell<BTreeMap<Uuid, SmallVec<[Claim; 2]>>>,
    tickets: Cell<u64>,
}

/// Holds (or waits for) a range; dropping it gives the range back.
pub struct RangeGuard<'a> {
    locks: &'a RangeLocks,
    id: Uuid,
    ticket: u64,
}

impl RangeLocks {
    /// Waits until no earlier claim overlaps `first..=last`.
    pub async fn lock(&self, id: Uuid, first: u64, last: u64) -> RangeGuard<'_> {
        let ticket = self.tickets.get();
        self.tickets.set(ticket + 1);
        let claim = Claim { ticket, first, last, waker: None };
        self.claims.borrow_mut().entry(id).or_default().push(claim);
        let guard = RangeGuard { locks: self, id, ticket };
        std::future::poll_fn(|cx| guard.poll(cx)).await;
        guard
    }
}

impl RangeGuard<'_> {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut claims = self.locks.claims.borrow_mut();
        let queue = claims.get_mut(&self.id).expect("the guard's own claim is in the queue");
        let at = queue
            .iter()
            .position(|c| c.ticket == self.ticket)
            .expect("the guard's own claim is in the queue");
        let (first, last) = (queue[at].first, queue[at].last);
        if queue[..at].iter().any(|c| c.first <= last && first <= c.last) {
            queue[at].waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        queue[at].waker = None;
        Poll::Ready(())
    }
}

impl Drop for RangeGuard<'_> {
    fn drop(&mut self) {
        let mut claims = self.locks.claims.borrow_mut();
        let Some(queue) = claims.get_mut(&self.id) else { return };
        let at = queue.iter().position(|c| c.ticket == self.ticket);
        let gone = at.map(|at| queue.remove(at));
        let overlaps = |c: &&mut Claim| gone.as_ref().is_some_and(|g| g.first <= c.last && c.first <= g.last);
        let wake: Vec<Waker> = queue.iter_mut().filter(overlaps).filter_map(|c| c.waker.take()).collect();
        if queue.is_empty() {
            claims.remove(&self.id);
        }
        drop(claims);
        wake.into_iter().for_each(Waker::wake);
    }
}

/// A future, or what it answered.
enum Running<F: Future> {
    Going(Pin<Box<F>>),
    Done(F::Output),
}

/// Runs futures together on the task that asks; answers in their order.
pub async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut all: Vec<Running<F>> = futures.into_iter().map(|f| Running::Going(Box::pin(f))).collect();
    std::future::poll_fn(|cx| {
        let mut pending = false;
        for one in &mut all {
            if let Running::Going(f) = one {
                match f.as_mut().poll(cx) {
                    Poll::Ready(v) => *one = Running::Done(v),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    let answer = |one| if let Running::Done(v) = one { Some(v) } else { None };
    all.into_iter().filter_map(answer).collect()
}

/// Which of two futures ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either {
    /// The first.
    First,
    /// The second.
    Second,
}

/// Ends with the first of two futures that ends; the other is dropped.
pub async fn either(first: impl Future<Output = ()>, second: impl Future<Output = ()>) -> Either {
    let (mut first, mut second) = (pin!(first), pin!(second));
    std::future::poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(Either::First),
        Poll::Pending => second.as_mut().poll(cx).map(|()| Either::Second),
    })
    .await
}

/// Lets other tasks run.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Wake;

    struct Nothing;
    impl Wake for Nothing {
        fn wake(self: Arc<Self>) {}
    }

    fn poll<F: Future>(f: &mut Pin<Box<F>>) -> Poll<F::Output> {
        f.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(Nothing))))
    }

    #[test]
    fn overlapping_ranges_wait_in_order_and_others_do_not() {
        let locks = RangeLocks::default();
        let id = Uuid::from_u128(1);
        let mut a = Box::pin(locks.lock(id, 0, 9));
        let Poll::Ready(a) = poll(&mut a) else { panic!("nobody holds it") };
        let mut all = Box::pin(locks.lock(id, 0, u64::MAX));
        assert!(poll(&mut all).is_pending());
        let mut later = Box::pin(locks.lock(id, 20, 21));
        assert!(poll(&mut later).is_pending(), "it must not overtake the one that waits for everything");
        let mut other = Box::pin(locks.lock(Uuid::from_u128(2), 0, 9));
        assert!(poll(&mut other).is_ready());
        drop(all);
        assert!(poll(&mut later).is_ready());
        drop((a, later, other));
        assert!(locks.claims.borrow().is_empty());
    }

    #[test]
    fn an_event_counts_from_the_call() {
        let e = Event::default();
        let mut before = Box::pin(e.wait());
        e.fire();
        assert!(poll(&mut before).is_ready());
        let mut after = Box::pin(e.wait());
        assert!(poll(&mut after).is_pending());
    }

    #[test]
    fn joined_answers_keep_their_order() {
        let mut all = Box::pin(join_all(
            (0..5)
                .map(|i| async move {
                    yield_now().await;
                    i
                })
                .collect(),
        ));
        while poll(&mut all).is_pending() {}
        let mut none = Box::pin(join_all(Vec::<std::future::Ready<()>>::new()));
        assert!(poll(&mut none).is_ready());
    }
}
