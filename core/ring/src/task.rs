//! Tasks: `!Send` futures of one reactor, their wakers and the queue of those that are ready.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use crate::local;
use crate::shared::Shared;

type Future = Pin<Box<dyn std::future::Future<Output = ()>>>;

/// Wakes whatever task stands at `index`. One is made per place, not per task: a place that was given to another
/// task may be woken in vain, which every future must bear anyhow.
struct TaskWaker {
    index: u32,
    /// Set while the index stands in a queue, so that it stands there once.
    queued: AtomicBool,
    shared: Arc<Shared>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        if !local::make_ready(self.shared.id, self.index) {
            self.shared.wake_task(self.index);
        }
    }
}

struct Place {
    /// None while the place is free or its task is being polled.
    future: Option<Future>,
    state: Arc<TaskWaker>,
    waker: Waker,
}

/// All tasks of one reactor.
#[derive(Default)]
pub(crate) struct Tasks {
    places: RefCell<Vec<Place>>,
    free: RefCell<Vec<u32>>,
    ready: RefCell<VecDeque<u32>>,
    /// The task that is being polled.
    polled: Cell<Option<u32>>,
    /// Tasks that woke themselves while they were polled, to let others run: ready when I/O was looked at.
    yielded: RefCell<Vec<u32>>,
}

impl Tasks {
    /// Takes a task; it is polled in this or the next turn.
    pub(crate) fn spawn(&self, shared: &Arc<Shared>, future: Future) {
        let index = match self.free.borrow_mut().pop() {
            Some(index) => index,
            None => {
                let mut places = self.places.borrow_mut();
                let index = u32::try_from(places.len()).expect("memory ends before four billion tasks");
                let state =
                    Arc::new(TaskWaker { index, queued: AtomicBool::new(false), shared: shared.clone() });
                let waker = Waker::from(state.clone());
                places.push(Place { future: None, state, waker });
                index
            }
        };
        let waker = {
            let mut places = self.places.borrow_mut();
            let place = &mut places[index as usize];
            place.future = Some(future);
            place.waker.clone()
        };
        waker.wake();
    }

    /// Puts a task into the queue; its `queued` mark is set already.
    pub(crate) fn make_ready(&self, index: u32) {
        if self.polled.get() == Some(index) {
            self.yielded.borrow_mut().push(index);
        } else {
            self.ready.borrow_mut().push_back(index);
        }
    }

    /// Whether a task waits for a poll.
    pub(crate) fn any_ready(&self) -> bool {
        !self.ready.borrow().is_empty() || !self.yielded.borrow().is_empty()
    }

    /// Polls at most `budget` ready tasks, so that tasks which wake each other cannot starve I/O and timers. One that
    /// wakes itself is polled again in the next turn.
    pub(crate) fn run(&self, budget: usize) {
        self.ready.borrow_mut().extend(self.yielded.borrow_mut().drain(..));
        for _ in 0..budget {
            let Some(index) = self.ready.borrow_mut().pop_front() else { return };
            let (future, waker) = {
                let mut places = self.places.borrow_mut();
                let place = &mut places[index as usize];
                place.state.queued.store(false, Ordering::Release);
                (place.future.take(), place.waker.clone())
            };
            // a task that has ended since it was woken
            let Some(mut future) = future else { continue };
            self.polled.set(Some(index));
            let pending = future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending();
            self.polled.set(None);
            if pending {
                self.places.borrow_mut()[index as usize].future = Some(future);
            } else {
                drop(future);
                self.free.borrow_mut().push(index);
            }
        }
    }

    /// Drops every task, also those that the drops spawn.
    pub(crate) fn clear(&self) {
        let mut index = 0;
        loop {
            let future = match self.places.borrow_mut().get_mut(index) {
                Some(place) => place.future.take(),
                None => break,
            };
            drop(future);
            index += 1;
        }
        self.ready.borrow_mut().clear();
        self.yielded.borrow_mut().clear();
    }
}
