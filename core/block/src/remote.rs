//! A session for those who are not on the device's thread: the control plane's imports, exports and copies.

use std::sync::Arc;

use parpen_base::Buf;

use crate::line::{Job, Line, Reply};
use crate::oneshot::{Sender, oneshot};
use crate::{Capabilities, Completion, Geometry, Home, IoError, Op, Refusal, Request, Session, SessionInfo};

/// A stretch of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Length in bytes.
    pub len: u64,
    /// It reads as zeros.
    pub zero: bool,
}

/// A session that any thread and any runtime may use; its queue lives on the device's home. Clones are the
/// same session. When the last one is dropped the queue is closed on its thread and the session leaves the
/// gate.
///
/// A future that is dropped takes back what the device has not seen yet; the rest is finished and forgotten.
#[derive(Clone)]
pub struct Remote(Arc<Line<Sender<Completion>>>);

impl Reply for Sender<Completion> {
    fn is_abandoned(&self) -> bool {
        Sender::is_abandoned(self)
    }

    fn give(self, answer: Completion) {
        self.send(answer);
    }
}

impl Remote {
    /// Opens a queue of `depth` requests in flight on the device's home, or on `fallback` where it has
    /// none. More requests than that wait their turn.
    pub async fn open(session: Session, depth: u16, fallback: Arc<dyn Home>) -> Result<Remote, Refusal> {
        Ok(Remote(Arc::new(Line::open(Arc::new(session), depth, fallback).await?)))
    }

    /// Who it was given to.
    pub fn info(&self) -> &SessionInfo {
        self.0.session.info()
    }

    /// Size and preferred sizes.
    pub fn geometry(&self) -> Geometry {
        self.0.session.geometry()
    }

    /// What can be done.
    pub fn capabilities(&self) -> Capabilities {
        self.0.session.capabilities()
    }

    /// Runs one request; its buffer comes back with the completion, whose tag means nothing. When the
    /// device's thread ends meanwhile this is [`IoError::Io`], without the buffer.
    pub async fn run(&self, op: Op, offset: u64, len: u32, buf: Option<Buf>) -> Completion {
        let (reply, done) = oneshot();
        self.0.send([Job { request: Request { tag: 0, op, offset, len, buf }, reply }]);
        let lost = Completion { tag: 0, result: Err(IoError::Io), buf: None, all_zero: false };
        done.await.unwrap_or(lost)
    }

    /// Reads `len` bytes.
    pub async fn read(&self, offset: u64, len: u32) -> Result<Buf, IoError> {
        let c = self.run(Op::Read, offset, len, Some(Buf::zeroed(len as usize))).await;
        c.result?;
        c.buf.ok_or(IoError::Io)
    }

    /// Writes a buffer; with `fua` it is durable then.
    pub async fn write(&self, offset: u64, buf: Buf, fua: bool) -> Result<(), IoError> {
        let len = u32::try_from(buf.len()).map_err(|_| IoError::Invalid)?;
        self.run(Op::Write { fua }, offset, len, Some(buf)).await.result.map(drop)
    }

    /// Makes a range read as zeros, giving its space back where that can be.
    pub async fn zero(&self, offset: u64, len: u32) -> Result<(), IoError> {
        let op = Op::Zero { fua: false, unmap: true, fast: false };
        self.run(op, offset, len, None).await.result.map(drop)
    }

    /// Makes a range read as zeros, and touches nothing that does already where the device can say so.
    pub async fn clear(&self, offset: u64, len: u32) -> Result<(), IoError> {
        if !self.capabilities().extents {
            return self.zero(offset, len).await;
        }
        let mut at = offset;
        for extent in self.extents(offset, len).await? {
            if !extent.zero {
                self.zero(at, extent.len as u32).await?;
            }
            at += extent.len;
        }
        Ok(())
    }

    /// Says that a range's content is not needed any more.
    pub async fn discard(&self, offset: u64, len: u32) -> Result<(), IoError> {
        self.run(Op::Discard, offset, len, None).await.result.map(drop)
    }

    /// Makes everything completed before the call durable.
    pub async fn flush(&self) -> Result<(), IoError> {
        self.run(Op::Flush, 0, 0, None).await.result.map(drop)
    }

    /// The map of a range: stretches that cover it exactly. What the device does not speak of counts as data.
    pub async fn extents(&self, offset: u64, len: u32) -> Result<Vec<Extent>, IoError> {
        let c = self.run(Op::Extents, offset, len, None).await;
        c.result?;
        let pairs = c.buf.ok_or(IoError::Io)?;
        let (mut found, mut rest) = (Vec::new(), u64::from(len));
        for pair in pairs.chunks_exact(16) {
            let number = |at: usize| pair[at..at + 8].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
            let stretch = number(0).min(rest);
            if stretch > 0 {
                found.push(Extent { len: stretch, zero: number(8) != 0 });
            }
            rest -= stretch;
        }
        if rest > 0 {
            found.push(Extent { len: rest, zero: false });
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::testing::*;
    use crate::{AccessTable, Admits, BlockDevice, Gate, Memory, Rights, Whom};

    fn session(device: impl BlockDevice + 'static) -> (Gate, Session) {
        let g = Gate::new();
        g.publish(export(1), AccessTable { rights: Rights::ReadWrite, admits: Admits::Everyone }, 1);
        let s = g.admit(export(1), None, peer(), Arc::new(device)).unwrap();
        (g, s)
    }

    #[test]
    fn is_used_from_any_thread_and_closes_with_its_last_user() {
        let home = ThreadHome::start();
        let (g, s) = session(Memory::new(1 << 20));
        let r = block_on(Remote::open(s, 2, home.clone())).unwrap();
        block_on(async {
            r.write(5, Buf::copy_of(b"stone"), true).await.unwrap();
            r.flush().await.unwrap();
            assert_eq!(&r.read(4, 7).await.unwrap()[..], b"\0stone\0");
            let map = r.extents(0, 8192).await.unwrap();
            assert_eq!(map, [Extent { len: 4096, zero: false }, Extent { len: 4096, zero: true }]);
            r.zero(0, 4096).await.unwrap();
            r.discard(0, 8192).await.unwrap();
            assert!(r.read(0, 9).await.unwrap().iter().all(|b| *b == 0));
            assert_eq!(r.read((1 << 20) - 1, 2).await.unwrap_err(), IoError::Invalid);
        });
        let other = r.clone();
        drop(r);
        assert_eq!(g.all_sessions().len(), 1);
        drop(other);
        home.ask(|| ());
        assert_eq!(g.all_sessions(), []);
        home.stop();
    }

    #[test]
    fn keeps_to_its_depth_and_takes_back_what_nobody_waits_for() {
        let home = ThreadHome::start();
        let d = HandDevice::at(&home);
        let (_g, s) = session(d.clone());
        let r = block_on(Remote::open(s, 2, home.clone())).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let mut three: Vec<_> = (0..3).map(|i| Box::pin(r.write(i * 512, Buf::zeroed(512), false))).collect();
        three.iter_mut().for_each(|f| assert!(f.as_mut().poll(&mut cx).is_pending()));
        home.ask(|| ());
        assert_eq!(d.has(), 2);
        three.pop();
        d.finish(2);
        let mut flush = pin!(r.flush());
        assert!(flush.as_mut().poll(&mut cx).is_pending());
        home.ask(|| ());
        assert_eq!(d.has(), 1, "the flush, not the abandoned write");
        d.finish(1);
        three.into_iter().for_each(|f| block_on(f).unwrap());
        block_on(flush).unwrap();
        home.stop();
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // the users are on threads of their own
    fn loses_no_wake_among_many_users() {
        let home = ThreadHome::start();
        let (_g, s) = session(Memory::new(1 << 20));
        let r = block_on(Remote::open(s, 3, home.clone())).unwrap();
        let users: Vec<_> = (0..6u8)
            .map(|user| {
                let r = r.clone();
                std::thread::spawn(move || {
                    for round in 0..300u64 {
                        let (at, byte) = (u64::from(user) * 1000 + round % 7, user ^ round as u8);
                        block_on(r.write(at, Buf::copy_of(&[byte; 900]), round % 9 == 0)).unwrap();
                        assert!(block_on(r.read(at, 900)).unwrap().iter().all(|b| *b == byte));
                    }
                })
            })
            .collect();
        users.into_iter().for_each(|u| u.join().unwrap());
        home.stop();
    }

    #[test]
    fn a_cut_and_an_ended_home_are_answered() {
        let home = ThreadHome::start();
        let d = HandDevice::at(&home);
        let (g, s) = session(d.clone());
        let r = block_on(Remote::open(s, 2, home.clone())).unwrap();
        let _proof = block_on(g.cut(export(1), Whom::Everyone));
        assert_eq!(block_on(r.flush()), Err(IoError::Fenced));

        let (_g, s) = session(d.clone());
        let r = block_on(Remote::open(s, 2, home.clone())).unwrap();
        let mut stuck = pin!(r.flush());
        assert!(stuck.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        home.stop();
        assert_eq!(block_on(stuck), Err(IoError::Io));
        assert_eq!(block_on(r.flush()), Err(IoError::Io));
        let (_g, s) = session(d);
        assert!(matches!(block_on(Remote::open(s, 2, home)), Err(Refusal::Unavailable(_))));
    }
}
