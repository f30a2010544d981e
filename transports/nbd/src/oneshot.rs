//! One value from any thread to one task.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

struct State<T> {
    value: Option<T>,
    /// Given, or never will be.
    over: bool,
    waker: Option<Waker>,
}

type Shared<T> = Arc<Mutex<State<T>>>;

fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, State<T>> {
    // plain moves of fields; a panic cannot leave them torn
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the value; dropped without, the taker gets none.
pub(crate) struct Give<T>(Shared<T>);

/// Resolves to the value.
pub(crate) struct Take<T>(Shared<T>);

/// Both ends.
pub(crate) fn oneshot<T>() -> (Give<T>, Take<T>) {
    let shared = Arc::new(Mutex::new(State { value: None, over: false, waker: None }));
    (Give(shared.clone()), Take(shared))
}

impl<T> Give<T> {
    pub(crate) fn give(self, value: T) {
        lock(&self.0).value = Some(value);
    }
}

impl<T> Drop for Give<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = lock(&self.0);
            state.over = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Take<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(&self.0);
        if state.over {
            return Poll::Ready(state.value.take());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
