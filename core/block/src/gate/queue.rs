//! The gate's own queue: counts what the device has, gives back while held, fences after a cut, and never
//! lets go of a device queue before the device is done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::filter::Answers;
use crate::pinned::{self, Poker};
use crate::{Completion, Home, IoError, Queue, Request, Wake};

use super::session::{Enter, Ticket};

/// What other threads may touch of a queue: whom a wake of the device goes to.
pub(super) struct Lane {
    owner: Wake,
    /// The owner has dropped the queue; wakes go to whoever drains it.
    left: AtomicBool,
    drain: Drain,
}

enum Drain {
    /// On the home thread, as a pump of this poker's number.
    Home(Arc<Poker>, u64),
    /// By the dropping thread, which waits here.
    Here(Mutex<bool>, Condvar),
}

impl Lane {
    pub(super) fn new(home: Option<Arc<dyn Home>>, owner: Wake) -> Arc<Lane> {
        let drain = match home {
            Some(home) => {
                let number = pinned::number();
                // A home that has ended takes its queues along; `Ticket` speaks of what was in flight.
                Drain::Home(Poker::new(home, number, || ()), number)
            }
            None => Drain::Here(Mutex::new(false), Condvar::new()),
        };
        Arc::new(Lane { owner, left: AtomicBool::new(false), drain })
    }

    /// The wake that the device is given.
    pub(super) fn device_wake(self: &Arc<Lane>) -> Wake {
        let lane = Arc::clone(self);
        Wake::new(move || lane.woken())
    }

    fn woken(&self) {
        if !self.left.load(Ordering::SeqCst) {
            return self.owner.wake();
        }
        match &self.drain {
            Drain::Home(poker, _) => poker.poke(),
            Drain::Here(news, bell) => {
                *news.lock().unwrap_or_else(PoisonError::into_inner) = true;
                bell.notify_all();
            }
        }
    }

    pub(super) fn wake_owner(&self) {
        if !self.left.load(Ordering::SeqCst) {
            self.owner.wake();
        }
    }
}

/// A device queue and how many requests it has.
struct Counted {
    inner: Box<dyn Queue>,
    in_flight: u32,
    // Fields are dropped in this order: the device queue goes before the session leaves the gate.
    ticket: Arc<Ticket>,
}

impl Counted {
    fn reap(&mut self) -> Option<Completion> {
        let c = self.inner.reap()?;
        if self.in_flight == 0 {
            // Taking it off would make the count of others wrong, and with it the proof of a cut.
            tracing::error!(tag = c.tag, "a device answered a request that it did not have");
            return None;
        }
        self.in_flight -= 1;
        self.ticket.live.leave(&self.ticket.gate);
        Some(c)
    }

    /// Takes what is finished; `true` when the device has nothing left.
    fn drain(&mut self) -> bool {
        while self.in_flight > 0 && self.reap().is_some() {}
        self.in_flight == 0
    }
}

/// The queue that a session gives.
pub(super) struct Gated {
    /// `None` only while it is being dropped.
    counted: Option<Counted>,
    lane: Arc<Lane>,
    fenced: Answers,
}

impl Gated {
    pub(super) fn new(
        inner: Box<dyn Queue>,
        lane: Arc<Lane>,
        ticket: Arc<Ticket>,
        depth: u16,
        wake: Wake,
    ) -> Gated {
        let counted = Counted { inner, in_flight: 0, ticket };
        Gated { counted: Some(counted), lane, fenced: Answers::new(depth, wake) }
    }

    fn counted(&mut self) -> &mut Counted {
        self.counted.as_mut().expect("only drop takes the device queue out")
    }
}

impl Queue for Gated {
    fn submit(&mut self, r: Request) -> Result<(), Request> {
        let counted = self.counted();
        let ticket = &counted.ticket;
        match ticket.live.enter(&ticket.gate) {
            Enter::Go => match counted.inner.submit(r) {
                Ok(()) => {
                    counted.in_flight += 1;
                    Ok(())
                }
                Err(back) => {
                    ticket.live.leave(&ticket.gate);
                    Err(back)
                }
            },
            Enter::Held => Err(r),
            Enter::Shut => self.fenced.fail(r, IoError::Fenced),
        }
    }

    fn kick(&mut self) {
        self.counted().inner.kick();
    }

    fn reap(&mut self) -> Option<Completion> {
        self.fenced.next().or_else(|| self.counted().reap())
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        let Some(mut counted) = self.counted.take() else { return };
        counted.ticket.live.remove(&self.lane);
        // First the flag, then the look: what the device finishes before the flag is seen here, what it
        // finishes afterwards wakes the one who drains.
        self.lane.left.store(true, Ordering::SeqCst);
        counted.inner.kick();
        if counted.drain() {
            return;
        }
        match &self.lane.drain {
            Drain::Home(_, number) => {
                // Wakes of this thread's device can only run after this one returns to its reactor; wakes
                // from others are run here too. So nothing looks for the pump before it is kept.
                pinned::keep(*number, Box::new(move || counted.drain()));
            }
            Drain::Here(news, bell) => {
                while !counted.drain() {
                    let mut rung = news.lock().unwrap_or_else(PoisonError::into_inner);
                    while !*rung {
                        rung = bell.wait(rung).unwrap_or_else(PoisonError::into_inner);
                    }
                    *rung = false;
                }
            }
        }
    }
}
