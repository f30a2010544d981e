//! A queue for a thread that is not the device's home: a connection may stay on its reactor while its volume lives on
//! another.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::line::{Job, Line, Reply};
use crate::{Completion, Home, IoError, Queue, Refusal, Request, Session, Wake};

/// A session's queue, used from afar. What is submitted goes to the device's home with the kick, together.
pub struct Mailbox {
    line: Line<Post>,
    /// Submitted, and not sent yet.
    batch: Vec<Job<Post>>,
    back: Arc<Back>,
    /// Answers that were fetched.
    here: VecDeque<Completion>,
    in_flight: u16,
    depth: u16,
}

/// Where answers arrive.
struct Back {
    arrived: Mutex<VecDeque<Completion>>,
    wake: Wake,
}

impl Back {
    fn put(&self, c: Completion) {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).push_back(c);
        self.wake.wake();
    }
}

/// The way back of one answer.
struct Post {
    tag: u32,
    /// None once it was used.
    to: Option<Arc<Back>>,
}

impl Reply for Post {
    fn is_abandoned(&self) -> bool {
        false
    }

    fn give(mut self, answer: Completion) {
        if let Some(to) = self.to.take() {
            to.put(Completion { tag: self.tag, ..answer });
        }
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        // The home has ended: what became of the request is not known.
        if let Some(to) = self.to.take() {
            to.put(Completion { tag: self.tag, result: Err(IoError::Io), buf: None, all_zero: false });
        }
    }
}

impl Mailbox {
    /// Opens a queue of at most `depth` requests in flight on the device's home, or on `fallback` where it has none.
    pub async fn open(
        session: Arc<Session>,
        depth: u16,
        fallback: Arc<dyn Home>,
        wake: Wake,
    ) -> Result<Mailbox, Refusal> {
        let line = Line::open(session, depth, fallback).await?;
        let back = Arc::new(Back { arrived: Mutex::default(), wake });
        let (batch, here) = (Vec::new(), VecDeque::new());
        Ok(Mailbox { line, batch, back, here, in_flight: 0, depth: depth.max(1) })
    }
}

impl Queue for Mailbox {
    fn submit(&mut self, request: Request) -> Result<(), Request> {
        if self.in_flight == self.depth {
            return Err(request);
        }
        self.in_flight += 1;
        let reply = Post { tag: request.tag, to: Some(Arc::clone(&self.back)) };
        self.batch.push(Job { request, reply });
        Ok(())
    }

    fn kick(&mut self) {
        if !self.batch.is_empty() {
            self.line.send(self.batch.drain(..));
        }
    }

    fn reap(&mut self) -> Option<Completion> {
        if self.here.is_empty() {
            let mut arrived = self.back.arrived.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut *arrived, &mut self.here);
        }
        let next = self.here.pop_front()?;
        self.in_flight -= 1;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{self, TestDevice};
    use crate::testing::*;
    use crate::{AccessTable, Admits, BlockDevice, Capabilities, Gate, Geometry, Memory, Op, Rights};

    fn session(device: Arc<dyn BlockDevice>) -> (Gate, Arc<Session>) {
        let g = Gate::new();
        g.publish(export(1), AccessTable { rights: Rights::ReadWrite, admits: Admits::Everyone }, 1);
        let s = g.admit(export(1), None, peer(), device).unwrap();
        (g, Arc::new(s))
    }

    /// A device on another thread, used from the caller's by mailboxes.
    struct Afar {
        session: Arc<Session>,
        home: Arc<ThreadHome>,
    }

    impl BlockDevice for Afar {
        fn geometry(&self) -> Geometry {
            self.session.geometry()
        }
        fn capabilities(&self) -> Capabilities {
            self.session.capabilities()
        }
        fn home(&self) -> Option<Arc<dyn Home>> {
            None
        }
        fn open(&self, depth: u16, wake: Wake) -> Result<Box<dyn Queue>, Refusal> {
            let opened = Mailbox::open(Arc::clone(&self.session), depth, self.home.clone(), wake);
            Ok(Box::new(block_on(opened)?))
        }
    }

    #[test]
    fn is_a_queue_like_any_other() {
        conformance::run(|size| {
            let home = ThreadHome::start();
            let (gate, session) = session(Arc::new(Memory::new(size)));
            let device = Afar { session, home: home.clone() };
            TestDevice::new(Arc::new(device)).ending(move || {
                home.ask(|| ());
                assert_eq!(gate.all_sessions(), [], "the queues were closed on their thread");
                home.stop();
            })
        });
    }

    #[test]
    fn an_ended_home_answers_what_it_had_and_what_it_gets() {
        let home = ThreadHome::start();
        let device = HandDevice::at(&home);
        let (_gate, session) = session(Arc::new(device.clone()));
        let mut mailbox = block_on(Mailbox::open(session, 2, home.clone(), Wake::new(|| ())))
            .unwrap_or_else(|e| panic!("{e}"));
        mailbox.submit(request(7, Op::Flush, 0, 0)).unwrap();
        mailbox.kick();
        home.ask(|| ());
        assert_eq!((device.has(), mailbox.reap().is_none()), (1, true));
        mailbox.submit(request(8, Op::Flush, 0, 0)).unwrap();
        assert!(mailbox.submit(request(9, Op::Flush, 0, 0)).is_err(), "it has two already");
        home.stop();
        mailbox.kick();
        let mut ends: Vec<_> = std::iter::from_fn(|| mailbox.reap()).map(|c| (c.tag, c.result)).collect();
        ends.sort_by_key(|(tag, _)| *tag);
        assert_eq!(ends, [(7, Err(IoError::Io)), (8, Err(IoError::Io))]);
    }
}
