//! Requests and replies of one open export: reads, asks the device, answers in whatever order it finishes.
//!
//! One task does both directions. A request is *open* from the moment it is taken until its reply was sent; at most
//! [`DEPTH`] requests with at most [`PAYLOAD`] bytes are open at a time, and while there is no room the socket is not
//! read, so a client that does not take its replies stops itself.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use parpen_base::Buf;
use parpen_block::{Completion, Home, Op, Queue, Request as BlockRequest, Session, Wake};
use parpen_ring::{Gather, Socket, current};

use crate::handshake::{MAX_REQUEST, Offer};
use crate::pool::Pool;
use crate::request::{Errno, REQUEST_LEN, Request, Verdict, reply};

/// Requests of one connection that are open at a time.
const DEPTH: u16 = 128;
/// Bytes of payload that they may have together; one request of the largest size always fits.
const PAYLOAD: usize = MAX_REQUEST as usize;
/// Bytes that are received at once where requests are small; payloads are copied out of them.
const INPUT: usize = 64 << 10;
/// Writes from this size on are received in place: after one, only so much is read ahead as to find the next request.
const LARGE: u32 = 32 << 10;
const AHEAD: usize = 4096;
/// Memory for a write's payload that a client gets for the asking; more comes as its bytes do.
const TRUST: usize = 2 << 20;
/// Read data up to this size is copied beside its header rather than sent as a piece of its own.
const SMALL: usize = 512;

/// Why a connection ended otherwise than by the client's wish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The client broke the protocol.
    #[error("{0}")]
    Protocol(&'static str),
    /// The socket failed, or was shut.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// The device gave no queue.
    #[error(transparent)]
    Refused(#[from] parpen_block::Refusal),
}

/// The offer that a session makes now.
pub(crate) fn offer(session: &Session) -> Offer {
    Offer { geometry: session.geometry(), capabilities: session.capabilities() }
}

/// A request that the device has.
#[derive(Clone, Copy)]
struct Open {
    cookie: u64,
    /// A flush has to follow before the reply.
    flush: bool,
    /// Its bytes go to the client.
    read: bool,
    payload: usize,
}

/// Replies that one send carries, and what is free again when it has ended.
#[derive(Clone, Copy, Default)]
struct Batch {
    replies: usize,
    payload: usize,
}

struct State {
    queue: Box<dyn Queue>,
    /// Given back by the queue, to be submitted again, in this order.
    held: VecDeque<BlockRequest>,
    /// Something was submitted since the last kick.
    submitted: bool,
    slots: Vec<Open>,
    free: Vec<u32>,
    pool: Pool,
    /// Replies that wait for a send.
    replies: Gather,
    waiting: Batch,
    /// All that is open.
    open: Batch,
    /// No more requests come.
    over: bool,
    /// The reader found no room for a payload of so many bytes.
    starved: Option<usize>,
}

impl State {
    fn new(queue: Box<dyn Queue>) -> State {
        let none = Open { cookie: 0, flush: false, read: false, payload: 0 };
        State {
            queue,
            held: VecDeque::new(),
            submitted: false,
            slots: vec![none; usize::from(DEPTH)],
            free: (0..u32::from(DEPTH)).rev().collect(),
            pool: Pool::default(),
            replies: Gather::new(),
            waiting: Batch::default(),
            open: Batch::default(),
            over: false,
            starved: None,
        }
    }

    fn has_room(&self, payload: usize) -> bool {
        let fits = self.open.payload + payload <= PAYLOAD;
        self.held.is_empty() && self.open.replies < usize::from(DEPTH) && fits
    }

    fn submit(&mut self, request: BlockRequest) {
        match self.queue.submit(request) {
            Ok(()) => self.submitted = true,
            Err(back) => self.held.push_back(back),
        }
    }

    fn start(&mut self, request: &Request, op: Op, flush: bool, buf: Option<Buf>) {
        let tag = self.free.pop().expect("there are as many slots as requests may be open");
        let payload = buf.as_ref().map_or(0, |buf| buf.len());
        let open = Open { cookie: request.cookie, flush, read: op == Op::Read, payload };
        self.slots[tag as usize] = open;
        self.submit(BlockRequest { tag, op, offset: request.offset, len: request.len, buf });
    }

    /// Submits what was given back, ends the batch, and turns what the device has finished into replies.
    fn pump(&mut self) {
        for _ in 0..self.held.len() {
            match self.held.pop_front().map(|request| self.queue.submit(request)) {
                Some(Err(back)) => {
                    self.held.push_front(back);
                    break;
                }
                _ => self.submitted = true,
            }
        }
        loop {
            if std::mem::take(&mut self.submitted) {
                self.queue.kick();
            }
            while let Some(done) = self.queue.reap() {
                self.complete(done);
            }
            if !self.submitted {
                return;
            }
        }
    }

    fn complete(&mut self, done: Completion) {
        let slot = &mut self.slots[done.tag as usize];
        if done.result.is_ok() && std::mem::take(&mut slot.flush) {
            let flush = BlockRequest { tag: done.tag, op: Op::Flush, offset: 0, len: 0, buf: None };
            return self.submit(flush);
        }
        let slot = *slot;
        self.free.push(done.tag);
        let result = done.result.map(drop).map_err(Errno::from);
        self.reply(result, slot.cookie, slot.payload);
        match done.buf {
            Some(buf) if slot.read && result.is_ok() && buf.len() <= SMALL => {
                self.replies.copy(&buf);
                self.pool.put(buf);
            }
            Some(buf) if slot.read && result.is_ok() => self.replies.push(buf),
            Some(buf) => self.pool.put(buf),
            None => {}
        }
    }

    /// Queues a reply; `payload` bytes are free when it was sent.
    fn reply(&mut self, result: Result<(), Errno>, cookie: u64, payload: usize) {
        self.replies.copy(&reply(result, cookie));
        self.waiting.replies += 1;
        self.waiting.payload += payload;
    }

    /// Swaps the waiting replies into `empty`: pending while there are none, none when none will come.
    fn take_batch(&mut self, empty: &mut Gather) -> Poll<Option<Batch>> {
        if self.waiting.replies > 0 {
            std::mem::swap(&mut self.replies, empty);
            return Poll::Ready(Some(std::mem::take(&mut self.waiting)));
        }
        if self.over && self.open.replies == 0 { Poll::Ready(None) } else { Poll::Pending }
    }

    fn sent(&mut self, batch: Batch, gather: &mut Gather) {
        let pool = &mut self.pool;
        gather.clear(|buf| pool.put(buf));
        self.open.replies -= batch.replies;
        self.open.payload -= batch.payload;
    }
}

/// Bytes received and not yet understood.
struct Input {
    buf: Buf,
    start: usize,
    end: usize,
    /// How much to ask for when there is nothing.
    ask: usize,
}

impl Input {
    fn new(rest: &[u8]) -> Input {
        let mut buf = Buf::zeroed(INPUT.max(rest.len()));
        buf[..rest.len()].copy_from_slice(rest);
        Input { buf, start: 0, end: rest.len(), ask: INPUT }
    }

    fn bytes(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// Takes up to `n` bytes that are there.
    fn take(&mut self, n: usize) -> &[u8] {
        let start = self.start;
        self.start = self.end.min(start + n);
        &self.buf[start..self.start]
    }

    /// Waits for more; 0 bytes at the end of the stream.
    async fn fill(&mut self, socket: &Socket) -> io::Result<usize> {
        self.buf.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let until = self.buf.len().min(self.end + self.ask);
        let buf = std::mem::replace(&mut self.buf, Buf::zeroed(0));
        let (n, buf) = socket.recv(buf, self.end..until).await;
        self.buf = buf;
        let n = n?;
        self.end += n;
        Ok(n)
    }
}

const CUT_SHORT: Fault = Fault::Protocol("the stream ended within a request");

/// Takes requests until the client says goodbye or hangs up.
async fn read(state: &RefCell<State>, session: &Session, socket: &Socket, rest: &[u8]) -> Result<(), Fault> {
    let mut input = Input::new(rest);
    let mut terms = offer(session);
    loop {
        let Some(request) = Request::parse(input.bytes()).map_err(Fault::Protocol)? else {
            if input.fill(socket).await? > 0 {
                continue;
            }
            return if input.bytes().is_empty() { Ok(()) } else { Err(CUT_SHORT) };
        };
        input.take(REQUEST_LEN);
        let mut verdict = request.judge(&terms);
        if matches!(verdict, Verdict::Refuse(_)) {
            // the device may have grown since
            terms = offer(session);
            verdict = request.judge(&terms);
        }
        let payload = match verdict {
            Verdict::Disconnect => return Ok(()),
            Verdict::Do { op: Op::Read | Op::Write { .. }, .. } => request.len as usize,
            Verdict::Do { .. } | Verdict::Refuse(_) => 0,
        };
        room(state, payload).await;
        input.ask = if request.payload() >= LARGE { AHEAD } else { INPUT };
        match verdict {
            Verdict::Do { op, flush } => {
                let buf = match op {
                    Op::Read => Some(state.borrow_mut().pool.get(payload)),
                    Op::Write { .. } => {
                        let first = state.borrow_mut().pool.get(payload.min(TRUST));
                        Some(receive(first, payload, &mut input, socket).await?)
                    }
                    _ => None,
                };
                state.borrow_mut().start(&request, op, flush, buf);
            }
            Verdict::Refuse(errno) => {
                skip(request.payload(), &mut input, socket).await?;
                state.borrow_mut().reply(Err(errno), request.cookie, 0);
            }
            Verdict::Disconnect => return Ok(()),
        }
    }
}

/// Waits until one more request with this payload may be open, and opens it.
async fn room(state: &RefCell<State>, payload: usize) {
    poll_fn(|_| {
        let mut state = state.borrow_mut();
        state.starved = (!state.has_room(payload)).then_some(payload);
        if state.starved.is_some() {
            return Poll::Pending;
        }
        state.open.replies += 1;
        state.open.payload += payload;
        Poll::Ready(())
    })
    .await;
}

/// The payload of `len` bytes that follows, in `buf`, which grows as it arrives.
async fn receive(mut buf: Buf, len: usize, input: &mut Input, socket: &Socket) -> Result<Buf, Fault> {
    let there = input.take(buf.len());
    let mut at = there.len();
    buf[..at].copy_from_slice(there);
    while at < len {
        if at == buf.len() {
            buf.resize(len.min(2 * at));
        }
        let end = buf.len();
        let (n, back) = socket.recv(buf, at..end).await;
        buf = back;
        match n? {
            0 => return Err(CUT_SHORT),
            n => at += n,
        }
    }
    Ok(buf)
}

/// Throws away a payload that nobody wants, in bounded memory.
async fn skip(mut left: u32, input: &mut Input, socket: &Socket) -> Result<(), Fault> {
    loop {
        left -= input.take(left as usize).len() as u32;
        if left == 0 {
            return Ok(());
        }
        if input.fill(socket).await? == 0 {
            return Err(CUT_SHORT);
        }
    }
}

/// Sends replies, all that there are at once, until the last one was sent.
async fn write(state: &RefCell<State>, socket: &Socket) -> Result<(), Fault> {
    let mut gather = Gather::new();
    while let Some(batch) = poll_fn(|_| state.borrow_mut().take_batch(&mut gather)).await {
        let (sent, back) = socket.send_gather(gather).await;
        gather = back;
        state.borrow_mut().sent(batch, &mut gather);
        sent?;
    }
    Ok(())
}

/// Serves an open export on this thread, which must be the device's home if it has one. `rest` came with the
/// handshake.
pub(crate) async fn run(session: &Session, socket: &Socket, rest: &[u8]) -> Result<(), Fault> {
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let wake = Wake::new(move || waker.wake_by_ref());
    let here: Arc<dyn Home> = Arc::new(current().expect("connections are tasks of a reactor"));
    let state = RefCell::new(State::new(session.open_on(&here, DEPTH, wake)?));
    let mut reader = pin!(read(&state, session, socket, rest));
    let mut writer = pin!(write(&state, socket));
    poll_fn(|cx| {
        loop {
            if !state.borrow().over
                && let Poll::Ready(end) = reader.as_mut().poll(cx)
            {
                end?;
                state.borrow_mut().over = true;
            }
            state.borrow_mut().pump();
            if let Poll::Ready(end) = writer.as_mut().poll(cx) {
                return Poll::Ready(end);
            }
            let state = state.borrow();
            // what the writer has freed may be what the reader waits for
            if !state.starved.is_some_and(|payload| state.has_room(payload)) {
                return Poll::Pending;
            }
        }
    })
    .await
}
