//! A line to a device from threads that are not its home: requests go there together, each answer comes back its own way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::oneshot::oneshot;
use crate::pinned::{self, Poker};
use crate::{Completion, Home, Queue, Refusal, Request, Session};

/// How the answer to one request gets to whoever sent it. Dropped without one, it must tell that, too.
pub(crate) trait Reply: Send + 'static {
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;
    /// Gives the answer; its tag means nothing.
    fn give(self, answer: Completion);
}

/// A request on its way. Its tag means nothing.
pub(crate) struct Job<R> {
    pub(crate) request: Request,
    pub(crate) reply: R,
}

/// One queue on the device's home. When the line is dropped the queue is closed on its thread and the session leaves the
/// gate.
pub(crate) struct Line<R: Reply> {
    pub(crate) session: Arc<Session>,
    inbox: Arc<Inbox<R>>,
    poker: Arc<Poker>,
}

/// What was sent and the home has not taken yet.
struct Inbox<R>(Mutex<Jobs<R>>);

struct Jobs<R> {
    waiting: VecDeque<Job<R>>,
    /// The users are gone, or the home is: nothing is taken any more.
    closed: bool,
}

impl<R> Inbox<R> {
    fn lock(&self) -> MutexGuard<'_, Jobs<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes nothing more and lets go of what waits, which tells those who wait.
    fn close(&self) {
        let jobs = {
            let mut inbox = self.lock();
            inbox.closed = true;
            std::mem::take(&mut inbox.waiting)
        };
        drop(jobs);
    }
}

impl<R: Reply> Drop for Line<R> {
    fn drop(&mut self) {
        self.inbox.close();
        self.poker.poke();
    }
}

impl<R: Reply> Line<R> {
    /// Opens a queue of `depth` requests in flight on the device's home, or on `fallback` where it has
    /// none. More requests than that wait their turn.
    pub(crate) async fn open(
        session: Arc<Session>,
        depth: u16,
        fallback: Arc<dyn Home>,
    ) -> Result<Line<R>, Refusal> {
        let home = session.home().unwrap_or(fallback);
        let inbox = Arc::new(Inbox(Mutex::new(Jobs { waiting: VecDeque::new(), closed: false })));
        let number = pinned::number();
        let lost = Arc::clone(&inbox);
        let poker = Poker::new(Arc::clone(&home), number, move || lost.close());
        let line = Line { session, inbox: Arc::clone(&inbox), poker: Arc::clone(&poker) };
        let (answer, opened) = oneshot();
        let (here, session) = (Arc::clone(&home), Arc::clone(&line.session));
        home.run(Box::new(move || {
            let queue = session.open_on(&here, depth, poker.wake());
            answer.send(queue.map(|queue| {
                let mut pump = Pump::new(queue, inbox, depth);
                pinned::keep(number, Box::new(move || pump.run()));
                // Whoever asked may be gone by now, and its poke may have been here first.
                pinned::poke(number);
            }));
        }));
        match opened.await {
            Some(Ok(())) => Ok(line),
            Some(Err(why)) => Err(why),
            None => Err(Refusal::Unavailable("the thread of this device has ended".into())),
        }
    }

    /// Sends requests. When the home has ended their replies are dropped.
    pub(crate) fn send(&self, jobs: impl IntoIterator<Item = Job<R>>) {
        let mut jobs = jobs.into_iter();
        let taken = {
            let mut inbox = self.inbox.lock();
            let open = !inbox.closed;
            if open {
                inbox.waiting.extend(jobs.by_ref());
            }
            open
        };
        if taken {
            self.poker.poke();
        } else {
            jobs.for_each(drop);
        }
    }
}

/// The part that lives on the home thread.
struct Pump<R: Reply> {
    queue: Box<dyn Queue>,
    inbox: Arc<Inbox<R>>,
    /// Whose request each tag is.
    slots: Vec<Option<R>>,
    free: Vec<u32>,
}

impl<R: Reply> Pump<R> {
    fn new(queue: Box<dyn Queue>, inbox: Arc<Inbox<R>>, depth: u16) -> Pump<R> {
        let depth = u32::from(depth.max(1));
        Pump { queue, inbox, slots: (0..depth).map(|_| None).collect(), free: (0..depth).collect() }
    }

    /// Moves requests in and completions out; `true` when the users are gone.
    fn run(&mut self) -> bool {
        loop {
            if self.inbox.lock().closed {
                return true;
            }
            if self.submit() {
                self.queue.kick();
            }
            if !self.reap() {
                return false;
            }
        }
    }

    fn submit(&mut self) -> bool {
        let mut any = false;
        while let Some(tag) = self.free.pop() {
            let Some(mut job) = self.inbox.lock().waiting.pop_front() else {
                self.free.push(tag);
                break;
            };
            if job.reply.is_abandoned() {
                self.free.push(tag);
                continue;
            }
            job.request.tag = tag;
            match self.queue.submit(job.request) {
                Ok(()) => {
                    self.slots[tag as usize] = Some(job.reply);
                    any = true;
                }
                Err(request) => {
                    self.inbox.lock().waiting.push_front(Job { request, reply: job.reply });
                    self.free.push(tag);
                    break;
                }
            }
        }
        any
    }

    fn reap(&mut self) -> bool {
        let mut any = false;
        while let Some(c) = self.queue.reap() {
            any = true;
            if let Some(reply) = self.slots.get_mut(c.tag as usize).and_then(Option::take) {
                self.free.push(c.tag);
                reply.give(c);
            }
        }
        any
    }
}

impl<R: Reply> Drop for Pump<R> {
    fn drop(&mut self) {
        // Also when the thread ends: whoever waits is told, now and from now on.
        self.inbox.close();
    }
}
