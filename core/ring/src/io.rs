//! Files and sockets. Memory is given to an operation and comes back with its result.

use std::io;
use std::marker::PhantomData;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parpen_base::Buf;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};

use crate::Gather;
use crate::local;
use crate::table::{Key, Op, Outcome, Parts, Payload, Place};

/// The most bytes that the kernel moves in one call.
const MOST: usize = 0x7fff_f000;
/// The most pieces that are sent without waiting in one call.
const PIECES: usize = 64;

/// One operation. Started at the first poll; if dropped in flight, the reactor keeps its memory until it has ended.
struct Submit {
    new: Option<(Op, Arc<OwnedFd>, Payload)>,
    key: Option<Key>,
    /// A key means something to the reactor that gave it, so the future stays on its thread.
    not_send: PhantomData<*const ()>,
}

fn submit(op: Op, fd: &Arc<OwnedFd>, payload: Payload) -> Submit {
    Submit { new: Some((op, fd.clone(), payload)), key: None, not_send: PhantomData }
}

impl Future for Submit {
    type Output = (Outcome, Payload);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = local::with(|local| {
            local.with_driver(|driver| {
                if let Some((op, fd, payload)) = this.new.take() {
                    this.key = Some(driver.start(op, fd, payload));
                }
                driver.poll(this.key.expect("an operation is not polled after its end"), cx)
            })
        });
        let (polled, replaced) = polled.expect("a reactor that has ended polls no task");
        drop(replaced);
        if polled.is_ready() {
            this.key = None;
        }
        polled
    }
}

impl Drop for Submit {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            // after the reactor's end there is nothing left to be abandoned
            local::try_with(|local| local.with_driver(|driver| driver.forget(key)));
        }
    }
}

async fn submit_buf(op: Op, fd: &Arc<OwnedFd>, buf: Buf) -> (Outcome, Buf) {
    match submit(op, fd, Payload::Buf(buf)).await {
        (outcome, Payload::Buf(buf)) => (outcome, buf),
        (_, other) => unreachable!("a buffer went out and {other:?} came back"),
    }
}

async fn submit_bare(op: Op, fd: &Arc<OwnedFd>) -> io::Result<()> {
    loop {
        match submit(op, fd, Payload::None).await.0 {
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(e) => return Err(e.into()),
            Ok(_) => return Ok(()),
        }
    }
}

/// Refuses a range that is not within the buffer before anything is started.
fn check(buf: &Buf, range: &Range<usize>) {
    assert!(
        range.start <= range.end && range.end <= buf.len(),
        "{range:?} is not within a buffer of {} bytes",
        buf.len()
    );
}

/// The kernel's offsets are signed, and one of them, -1, means the current position: none may come near that.
fn check_offset(offset: u64, len: usize) -> io::Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= i64::MAX as u64 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "beyond what a file can hold")),
    }
}

/// A part of a buffer and its place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where in the buffer.
    pub range: Range<usize>,
    /// Where in the file.
    pub offset: u64,
}

/// Reads or writes all parts, and again what the kernel left over, until nothing is left or nothing moves.
async fn on_parts(fd: Arc<OwnedFd>, write: bool, buf: Buf, parts: Vec<Part>) -> (Vec<io::Result<()>>, Buf) {
    let stuck = if write { io::ErrorKind::WriteZero } else { io::ErrorKind::UnexpectedEof };
    let mut results: Vec<io::Result<()>> = Vec::with_capacity(parts.len());
    // what is left of each: number, place
    let mut left: Vec<(usize, Part)> = Vec::with_capacity(parts.len());
    for (n, part) in parts.into_iter().enumerate() {
        check(&buf, &part.range);
        results.push(check_offset(part.offset, part.range.len()));
        if results[n].is_ok() && !part.range.is_empty() {
            left.push((n, part));
        }
    }
    let mut buf = buf;
    while !left.is_empty() {
        let place = |(_, p): &(usize, Part)| Place {
            start: p.range.start,
            len: p.range.len().min(MOST) as u32,
            offset: p.offset,
            outcome: Ok(0),
        };
        let parts = Parts { buf, places: left.iter().map(place).collect(), left: 0 };
        let (_, back) = submit(Op::Parts { write }, &fd, Payload::Parts(parts)).await;
        let Payload::Parts(back) = back else { unreachable!("the parts come back as they went out") };
        buf = back.buf;
        let mut outcomes = back.places.into_iter().map(|place| place.outcome);
        left.retain_mut(|(n, part)| {
            match outcomes.next().expect("each part has an outcome") {
                Ok(0) => results[*n] = Err(stuck.into()),
                Ok(done) => {
                    part.range.start += done as usize;
                    part.offset += u64::from(done);
                }
                Err(Errno::INTR | Errno::AGAIN) => return true,
                Err(e) => results[*n] = Err(e.into()),
            }
            results[*n].is_ok() && !part.range.is_empty()
        });
    }
    (results, buf)
}

/// How a range of a file is changed by [`File::allocate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocate {
    /// Space is reserved; the size grows if the range lies beyond it.
    Reserve,
    /// The range reads as zeros and stays allocated, where the file system can do that.
    Zero,
    /// The range reads as zeros and its space is given back.
    Punch,
}

/// An open file or block device. Cheap to clone: all clones are the same open file.
#[derive(Clone, Debug)]
pub struct File(Arc<OwnedFd>);

impl File {
    /// Takes a descriptor that was opened by the caller, with `O_DIRECT` or without.
    pub fn new(fd: impl Into<OwnedFd>) -> File {
        File(Arc::new(fd.into()))
    }

    /// Reads from `offset` into `buf[range]`. Goes on after a short read, so that fewer bytes than asked for mean the
    /// end of the file.
    ///
    /// # Panics
    /// If the range is not within the buffer, or if polled on a thread that is no reactor.
    pub fn read_at(
        &self,
        buf: Buf,
        range: Range<usize>,
        offset: u64,
    ) -> impl Future<Output = (io::Result<usize>, Buf)> + use<> {
        check(&buf, &range);
        let fd = self.0.clone();
        async move {
            let (mut buf, mut at) = (buf, range.start);
            if let Err(e) = check_offset(offset, range.len()) {
                return (Err(e), buf);
            }
            while at < range.end {
                let done = (at - range.start) as u64;
                let len = (range.end - at).min(MOST) as u32;
                let op = Op::Read { offset: offset + done, start: at, len };
                let (outcome, back) = submit_buf(op, &fd, buf).await;
                buf = back;
                match outcome {
                    Ok(0) => break,
                    Ok(n) => at += n as usize,
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    // O_DIRECT: a read that ended at an unaligned end of file cannot go on from there
                    Err(Errno::INVAL) if !done.is_multiple_of(512) => break,
                    Err(e) => return (Err(e.into()), buf),
                }
            }
            (Ok(at - range.start), buf)
        }
    }

    /// Writes all of `buf[range]` at `offset`, or says why some of it may be missing.
    ///
    /// # Panics
    /// If the range is not within the buffer, or if polled on a thread that is no reactor.
    pub fn write_at(
        &self,
        buf: Buf,
        range: Range<usize>,
        offset: u64,
    ) -> impl Future<Output = (io::Result<()>, Buf)> + use<> {
        check(&buf, &range);
        let fd = self.0.clone();
        async move {
            let (mut buf, mut at) = (buf, range.start);
            if let Err(e) = check_offset(offset, range.len()) {
                return (Err(e), buf);
            }
            while at < range.end {
                let done = (at - range.start) as u64;
                let len = (range.end - at).min(MOST) as u32;
                let op = Op::Write { offset: offset + done, start: at, len };
                let (outcome, back) = submit_buf(op, &fd, buf).await;
                buf = back;
                match outcome {
                    Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buf),
                    Ok(n) => at += n as usize,
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(e) => return (Err(e.into()), buf),
                }
            }
            (Ok(()), buf)
        }
    }

    /// Fills parts of `buf` from places of the file, all together; says for each why it may not be filled. Bytes of the
    /// buffer that are in no part stay.
    ///
    /// # Panics
    /// If a part is not within the buffer, or if polled on a thread that is no reactor.
    pub fn read_parts(
        &self,
        buf: Buf,
        parts: Vec<Part>,
    ) -> impl Future<Output = (Vec<io::Result<()>>, Buf)> + use<> {
        on_parts(self.0.clone(), false, buf, parts)
    }

    /// Writes parts of `buf` to places of the file, all together; says for each why some of it may be missing.
    ///
    /// # Panics
    /// If a part is not within the buffer, or if polled on a thread that is no reactor.
    pub fn write_parts(
        &self,
        buf: Buf,
        parts: Vec<Part>,
    ) -> impl Future<Output = (Vec<io::Result<()>>, Buf)> + use<> {
        on_parts(self.0.clone(), true, buf, parts)
    }

    /// Makes what was written durable; with `data_only` without times and the like (fdatasync).
    pub fn sync(&self, data_only: bool) -> impl Future<Output = io::Result<()>> + use<> {
        let fd = self.0.clone();
        async move { submit_bare(Op::Sync { data_only }, &fd).await }
    }

    /// Changes how `len` bytes from `offset` are stored. Except for [`Allocate::Reserve`] the size stays.
    pub fn allocate(
        &self,
        how: Allocate,
        offset: u64,
        len: u64,
    ) -> impl Future<Output = io::Result<()>> + use<> {
        let mode = match how {
            Allocate::Reserve => FallocateFlags::empty(),
            Allocate::Zero => FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
            Allocate::Punch => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        };
        let fd = self.0.clone();
        async move { submit_bare(Op::Allocate { mode, offset, len }, &fd).await }
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A connected stream socket. Cheap to clone: all clones are the same socket. At most one receive and one send
/// at a time make sense.
#[derive(Clone, Debug)]
pub struct Socket(Arc<OwnedFd>);

impl Socket {
    /// Takes a connected socket; it is set to blocking, which is what both backends want.
    pub fn new(fd: impl Into<OwnedFd>) -> io::Result<Socket> {
        let fd = fd.into();
        rustix::io::ioctl_fionbio(&fd, false)?;
        Ok(Socket(Arc::new(fd)))
    }

    /// Has the kernel find out (in hours, by default) that a silent peer is gone. For TCP.
    pub fn keep_alive(&self) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_socket_keepalive(&self.0, true)?)
    }

    /// Asks for room for so many bytes between us and the peer; the system may give less. For unix sockets, whose room
    /// does not grow by itself.
    pub fn ask_for_room(&self, bytes: usize) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_socket_send_buffer_size(&self.0, bytes)?)
    }

    /// Receives what there is, at least one byte, into `buf[range]`; 0 bytes mean the end of the stream (or an empty
    /// range). Bytes that arrive for a dropped receive are lost.
    ///
    /// # Panics
    /// If the range is not within the buffer, or if polled on a thread that is no reactor.
    pub fn recv(
        &self,
        buf: Buf,
        range: Range<usize>,
    ) -> impl Future<Output = (io::Result<usize>, Buf)> + use<> {
        check(&buf, &range);
        let fd = self.0.clone();
        async move {
            let mut buf = buf;
            let op = Op::Recv { start: range.start, len: range.len().min(MOST) as u32 };
            if range.is_empty() {
                return (Ok(0), buf);
            }
            loop {
                let (outcome, back) = submit_buf(op, &fd, buf).await;
                buf = back;
                match outcome {
                    Err(Errno::INTR) => {}
                    other => return (other.map(|n| n as usize).map_err(Into::into), buf),
                }
            }
        }
    }

    /// Receives what there is, at least one byte, into `buf[range]` and, when that is full, into `ahead[from..]`; says
    /// how many bytes in all. 0 bytes mean the end of the stream (or that there was no room).
    ///
    /// # Panics
    /// If a range is not within its buffer, or if polled on a thread that is no reactor.
    pub fn recv_two(
        &self,
        buf: Buf,
        range: Range<usize>,
        ahead: Buf,
        from: usize,
    ) -> impl Future<Output = (io::Result<usize>, Buf, Buf)> + use<> {
        check(&buf, &range);
        check(&ahead, &(from..ahead.len()));
        let fd = self.0.clone();
        async move {
            let (mut buf, mut ahead) = (buf, ahead);
            let op = Op::RecvTwo { start: range.start, end: range.end, ahead: from };
            if range.is_empty() && from == ahead.len() {
                return (Ok(0), buf, ahead);
            }
            loop {
                let (outcome, back) = submit(op, &fd, Payload::Two(buf, ahead)).await;
                let Payload::Two(first, second) = back else {
                    unreachable!("both come back as they went out")
                };
                (buf, ahead) = (first, second);
                match outcome {
                    Err(Errno::INTR) => {}
                    other => return (other.map(|n| n as usize).map_err(Into::into), buf, ahead),
                }
            }
        }
    }

    /// Sends all of `buf[range]`.
    ///
    /// # Panics
    /// If the range is not within the buffer, or if polled on a thread that is no reactor.
    pub fn send(&self, buf: Buf, range: Range<usize>) -> impl Future<Output = (io::Result<()>, Buf)> + use<> {
        check(&buf, &range);
        let fd = self.0.clone();
        async move {
            let (mut buf, mut at) = (buf, range.start);
            while at < range.end {
                let op = Op::Send { start: at, len: (range.end - at).min(MOST) as u32 };
                let (outcome, back) = submit_buf(op, &fd, buf).await;
                buf = back;
                match outcome {
                    Ok(n) => at += n as usize,
                    Err(Errno::INTR) => {}
                    Err(e) => return (Err(e.into()), buf),
                }
            }
            (Ok(()), buf)
        }
    }

    /// Sends all that is left in `gather`, in as few calls as it takes. The first poll already hands over what the
    /// socket has room for, which is mostly all: an operation of the ring would end at once, too, but cost a turn of
    /// the reactor in which nothing else has happened.
    pub fn send_gather(&self, gather: Gather) -> impl Future<Output = (io::Result<()>, Gather)> + use<> {
        let fd = self.0.clone();
        async move {
            let mut gather = gather;
            if gather.is_empty() {
                return (Ok(()), gather);
            }
            match send_now(&fd, &gather) {
                Ok(n) => gather.advance(n),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(e) => return (Err(e.into()), gather),
            }
            while !gather.is_empty() {
                let sent = submit(Op::SendGather, &fd, Payload::Gather(gather));
                let (outcome, Payload::Gather(back)) = sent.await else {
                    unreachable!("the list comes back as it went out")
                };
                gather = back;
                match outcome {
                    Ok(n) => gather.advance(n as usize),
                    Err(Errno::INTR) => {}
                    Err(e) => return (Err(e.into()), gather),
                }
            }
            (Ok(()), gather)
        }
    }

    /// Ends one direction or both now, on any thread. Without reading: a receive in flight, and each later one, gets
    /// what has arrived and then 0 bytes. Without writing: sends fail. An error only says that the peer was faster.
    pub fn shutdown(&self, how: std::net::Shutdown) -> io::Result<()> {
        let how = match how {
            std::net::Shutdown::Read => rustix::net::Shutdown::Read,
            std::net::Shutdown::Write => rustix::net::Shutdown::Write,
            std::net::Shutdown::Both => rustix::net::Shutdown::Both,
        };
        Ok(rustix::net::shutdown(&self.0, how)?)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends what fits without waiting.
fn send_now(fd: &OwnedFd, gather: &Gather) -> Result<usize, Errno> {
    let mut pieces = [io::IoSlice::new(&[]); PIECES];
    let mut n = 0;
    for (piece, place) in gather.pieces().zip(&mut pieces) {
        *place = io::IoSlice::new(piece);
        n += 1;
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::net::sendmsg(fd, &pieces[..n], &mut SendAncillaryBuffer::default(), flags)
}

/// A listening socket.
#[derive(Clone, Debug)]
pub struct Listener(Arc<OwnedFd>);

impl Listener {
    /// Takes a listening socket, such as `std::net::TcpListener`.
    pub fn new(fd: impl Into<OwnedFd>) -> Listener {
        Listener(Arc::new(fd.into()))
    }

    /// The next connection. Most errors concern that one connection, or a lack of descriptors that may pass.
    pub fn accept(&self) -> impl Future<Output = io::Result<OwnedFd>> + use<> {
        let fd = self.0.clone();
        async move {
            loop {
                match submit(Op::Accept, &fd, Payload::None).await {
                    (Ok(_), Payload::Socket(socket)) => return Ok(socket),
                    (Ok(_), other) => unreachable!("accept brought {other:?}"),
                    (Err(Errno::INTR | Errno::AGAIN), _) => {}
                    (Err(e), _) => return Err(e.into()),
                }
            }
        }
    }
}
