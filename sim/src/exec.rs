//! A single-threaded executor whose next task is chosen by the seed.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use crate::rng::Rng;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Where the result of a task appears.
pub struct Answer<T>(Rc<RefCell<Option<T>>>);

impl<T> Answer<T> {
    /// Takes the result, if the task has ended.
    pub fn take(&self) -> Option<T> {
        self.0.borrow_mut().take()
    }
}

/// The slots that want to be polled. Wakers must be `Send`, hence the lock; it is never contended.
#[derive(Default)]
struct Ready(Mutex<Vec<usize>>);

impl Ready {
    fn list(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

struct SlotWaker {
    slot: usize,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.list().push(self.slot);
        }
    }
}

struct Slot {
    task: Option<Task>,
    signal: Arc<SlotWaker>,
    waker: Waker,
}

/// Runs futures that need not be `Send`, one poll at a time.
#[derive(Default)]
pub struct Executor {
    slots: Vec<Slot>,
    free: Vec<usize>,
    ready: Arc<Ready>,
}

impl Executor {
    /// An executor without tasks.
    pub fn new() -> Executor {
        Executor::default()
    }

    /// Starts a task; its result appears in the answer.
    pub fn spawn<T: 'static>(&mut self, future: impl Future<Output = T> + 'static) -> Answer<T> {
        let cell = Rc::new(RefCell::new(None));
        let out = cell.clone();
        self.start(Box::pin(async move {
            let value = future.await;
            *out.borrow_mut() = Some(value);
        }));
        Answer(cell)
    }

    fn start(&mut self, task: Task) {
        let slot = self.free.pop().unwrap_or_else(|| {
            let signal = Arc::new(SlotWaker {
                slot: self.slots.len(),
                queued: AtomicBool::new(false),
                ready: self.ready.clone(),
            });
            self.slots.push(Slot { task: None, waker: Waker::from(signal.clone()), signal });
            self.slots.len() - 1
        });
        self.slots[slot].task = Some(task);
        self.slots[slot].signal.wake_by_ref();
    }

    /// How many tasks want to be polled.
    pub fn ready(&self) -> usize {
        self.ready.list().len()
    }

    /// How many tasks have not ended.
    pub fn alive(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Polls one ready task, chosen by `rng`; false if none is ready.
    pub fn step(&mut self, rng: &mut Rng) -> bool {
        let slot = {
            let mut ready = self.ready.list();
            match ready.len() {
                0 => return false,
                1 => ready.pop().expect("its length is 1"),
                n => ready.swap_remove(rng.below(n)),
            }
        };
        let entry = &mut self.slots[slot];
        entry.signal.queued.store(false, Ordering::Relaxed);
        let Some(task) = entry.task.as_mut() else { return true }; // a late wake of a task that has ended
        if let Poll::Ready(()) = task.as_mut().poll(&mut Context::from_waker(&entry.waker)) {
            entry.task = None;
            self.free.push(slot);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn yield_once() {
        let mut first = true;
        std::future::poll_fn(|cx| {
            if std::mem::take(&mut first) {
                cx.waker().wake_by_ref();
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    fn order(seed: u64) -> Vec<usize> {
        let mut exec = Executor::new();
        let mut rng = Rng::new(seed);
        let log = Rc::new(RefCell::new(Vec::new()));
        let answers: Vec<_> = (0..6)
            .map(|i| {
                let log = log.clone();
                exec.spawn(async move {
                    for _ in 0..3 {
                        log.borrow_mut().push(i);
                        yield_once().await;
                    }
                    i * 10
                })
            })
            .collect();
        while exec.step(&mut rng) {}
        assert_eq!(exec.alive(), 0);
        assert_eq!(
            answers.iter().map(Answer::take).collect::<Vec<_>>(),
            (0..6).map(|i| Some(i * 10)).collect::<Vec<_>>()
        );
        log.take()
    }

    #[test]
    fn a_seed_names_one_order_and_seeds_differ() {
        assert_eq!(order(1), order(1));
        assert!((2..10).any(|seed| order(seed) != order(1)));
    }
}
