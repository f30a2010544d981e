//! The socket as the HTTP library sees it: every byte read passes through a [`Framer`], slow clients are timed out.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::framing::{Framer, HeadLimits, Refused, Seen};

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the first byte of a head to its last.
    pub head: Duration,
    /// Between two pieces of a body.
    pub body: Duration,
    /// Between an answer and the next request.
    pub idle: Duration,
    /// For reading on after the last answer, so that a client still sending gets to see it.
    pub linger: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            head: Duration::from_secs(15),
            body: Duration::from_secs(60),
            idle: Duration::from_secs(120),
            linger: Duration::from_secs(2),
        }
    }
}

/// What the reading side and the side that answers share.
struct Shared {
    framer: Framer,
    /// Read, framed, not yet given to the library.
    ready: Vec<u8>,
    given: usize,
    /// Requests being answered.
    busy: usize,
    waker: Option<Waker>,
    /// A body is malformed: reading fails here, after what was good has been read.
    broken: Option<Refused>,
}

/// The answering side's handle of a connection.
#[derive(Clone)]
pub(crate) struct Desk(Arc<Mutex<Shared>>);

/// Counts one request as being answered until it is dropped.
pub(crate) struct Busy(Desk);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lock().busy -= 1;
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The request that the library has just handed over, as it was sent.
    pub(crate) fn take(&self) -> Option<(Seen, Busy)> {
        let mut shared = self.lock();
        let seen = shared.framer.take_seen()?;
        shared.busy += 1;
        drop(shared);
        Some((seen, Busy(self.clone())))
    }

    /// Whether the present request may be answered with an upgrade.
    pub(crate) fn can_upgrade(&self) -> bool {
        self.lock().framer.is_undecided()
    }

    /// Says how the present request, if it asked for an upgrade, was answered.
    pub(crate) fn decide(&self, upgraded: bool) {
        let mut guard = self.lock();
        let shared = &mut *guard;
        if let Err(refused) = shared.framer.decide(upgraded, &mut shared.ready) {
            shared.broken = Some(refused);
        }
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
    }
}

/// What is waited for, to know which patience applies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Nothing,
    Idle,
    Head,
    Body,
}

/// The adapter over a socket.
pub(crate) struct Wire<S> {
    inner: S,
    desk: Desk,
    patience: Patience,
    wait: Wait,
    timer: Pin<Box<Sleep>>,
    scratch: Box<[u8]>,
    /// Set while the connection is closed politely: bytes that may still be read and thrown away.
    lingering: Option<usize>,
}

const SCRATCH: usize = 16 << 10;
const LINGER_BYTES: usize = 1 << 20;

impl<S> Wire<S> {
    /// Wraps a fresh connection.
    pub(crate) fn new(inner: S, limits: HeadLimits, patience: Patience) -> (Wire<S>, Desk) {
        let framer = Framer::new(limits);
        let shared = Shared { framer, ready: Vec::new(), given: 0, busy: 0, waker: None, broken: None };
        let desk = Desk(Arc::new(Mutex::new(shared)));
        let wire = Wire {
            inner,
            desk: desk.clone(),
            patience,
            wait: Wait::Nothing,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            lingering: None,
        };
        (wire, desk)
    }

    /// Something else is waited for now: its time starts.
    fn arm(&mut self, wait: Wait) {
        let length = match wait {
            Wait::Nothing => None,
            Wait::Idle => Some(self.patience.idle),
            Wait::Head => Some(self.patience.head),
            Wait::Body => Some(self.patience.body),
        };
        if let Some(length) = length {
            self.timer = Box::pin(tokio::time::sleep(length));
        }
        self.wait = wait;
    }
}

fn give(shared: &mut Shared, buf: &mut ReadBuf<'_>) {
    let n = buf.remaining().min(shared.ready.len() - shared.given);
    buf.put_slice(&shared.ready[shared.given..shared.given + n]);
    shared.given += n;
    if shared.given == shared.ready.len() {
        shared.ready.clear();
        shared.given = 0;
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// The timer has run out: what that means where we are.
    fn late(&mut self) -> io::Result<bool> {
        let mut guard = self.desk.lock();
        let shared = &mut *guard;
        match self.wait {
            Wait::Nothing => Ok(false),
            Wait::Idle => Ok(true),
            Wait::Head => {
                let why = "the head of the request took too long".to_string();
                shared.framer.refuse(Refused { status: StatusCode::REQUEST_TIMEOUT, why }, &mut shared.ready);
                Ok(false)
            }
            Wait::Body => Err(io::Error::new(io::ErrorKind::TimedOut, "the client stopped sending its body")),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let wait = {
                let mut shared = this.desk.lock();
                if shared.given < shared.ready.len() {
                    give(&mut shared, buf);
                    return Poll::Ready(Ok(()));
                }
                if let Some(refused) = &shared.broken {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refused.why.clone())));
                }
                if shared.framer.is_dead() {
                    // The stand-in asked to close; until that is done the library must not see an end.
                    return Poll::Pending;
                }
                if shared.framer.is_undecided() {
                    shared.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                match () {
                    _ if shared.framer.in_body() => Wait::Body,
                    _ if shared.framer.in_head() => Wait::Head,
                    _ if shared.framer.is_idle() && shared.busy == 0 => Wait::Idle,
                    _ => Wait::Nothing,
                }
            };
            let mut piece = ReadBuf::new(&mut this.scratch);
            match Pin::new(&mut this.inner).poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) if piece.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {
                    if wait == Wait::Body {
                        this.wait = Wait::Nothing; // every piece of a body has its own time
                    }
                    let mut guard = this.desk.lock();
                    let shared = &mut *guard;
                    shared.broken = shared.framer.push(piece.filled(), &mut shared.ready).err();
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {
                    if wait != this.wait {
                        this.arm(wait);
                    }
                    if this.wait == Wait::Nothing || this.timer.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    if this.late()? {
                        return Poll::Ready(Ok(()));
                    }
                    this.wait = Wait::Nothing;
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// Closing while the client still sends would make the kernel throw the answer away (a reset), so after the
    /// sending side is shut, what comes in is read and dropped for a bounded while.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            this.timer = Box::pin(tokio::time::sleep(this.patience.linger));
            this.lingering = Some(LINGER_BYTES);
        }
        while let Some(left) = this.lingering.filter(|left| *left > 0) {
            let mut piece = ReadBuf::new(&mut this.scratch);
            match Pin::new(&mut this.inner).poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) if !piece.filled().is_empty() => {
                    this.lingering = Some(left.saturating_sub(piece.filled().len()));
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(this.timer.as_mut().poll(cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
