//! Timers: an ordered map of deadlines, looked at once a turn; the nearest one bounds the wait in the kernel.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::local;

/// A deadline, and a number that tells equal ones apart.
type Key = (Duration, u64);

/// All timers of one reactor.
#[derive(Default)]
pub(crate) struct Timers {
    waiting: RefCell<BTreeMap<Key, Waker>>,
    last: Cell<u64>,
}

impl Timers {
    fn add(&self, deadline: Duration, waker: Waker) -> Key {
        self.last.set(self.last.get() + 1);
        let key = (deadline, self.last.get());
        self.waiting.borrow_mut().insert(key, waker);
        key
    }

    fn remove(&self, key: &Key) -> Option<Waker> {
        self.waiting.borrow_mut().remove(key)
    }

    /// The nearest deadline.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.waiting.borrow().first_key_value().map(|(key, _)| key.0)
    }

    /// Wakes everything whose time has come.
    pub(crate) fn fire(&self, now: Duration) {
        loop {
            let waker = {
                let mut waiting = self.waiting.borrow_mut();
                match waiting.first_entry() {
                    Some(first) if first.key().0 <= now => first.remove(),
                    _ => return,
                }
            };
            waker.wake();
        }
    }
}

/// Ends when its time has come. Made by [`sleep`].
#[derive(Debug)]
pub struct Sleep {
    deadline: Duration,
    key: Option<Key>,
}

/// Waits for `time`. Must be polled on a reactor thread.
///
/// # Panics
/// On a thread that is no reactor.
pub fn sleep(time: Duration) -> Sleep {
    Sleep { deadline: local::now().saturating_add(time), key: None }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        local::with(|local| {
            if let Some(key) = self.key.take() {
                drop(local.timers.remove(&key));
            }
            if local.now() >= self.deadline {
                return Poll::Ready(());
            }
            self.key = Some(local.timers.add(self.deadline, cx.waker().clone()));
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let waker = local::try_with(|local| local.timers.remove(&key)).flatten();
        drop(waker);
    }
}

/// The future's result, or `None` if it took longer than `time`; then it is dropped.
pub async fn timeout<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut sleep = pin!(sleep(time));
    poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        sleep.as_mut().poll(cx).map(|()| None)
    })
    .await
}
