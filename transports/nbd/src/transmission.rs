//! Requests and replies of one open export: reads, asks the device, answers in whatever order it finishes.
//!
//! One task does both directions. A request is *open* from the moment it is taken until its reply was sent; at most
//! [`DEPTH`] requests with at most [`PAYLOAD`] bytes are open at a time, and no more than the connection's share of the
//! server's memory. While there is no room the socket is not read, so a client that does not take its replies stops
//! itself.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, ready};

use parpen_base::Buf;
use parpen_block::{Completion, Home, Mailbox, Op, Queue, Request as BlockRequest, Session, Wake};
use parpen_ring::{Gather, Socket, current};

use crate::handshake::{Dialect, MAX_REQUEST, Offer};
use crate::input::{CUT_SHORT, Input, TRUST};
use crate::memory::Share;
use crate::pool::{KEPT, Pool};
use crate::reply::{self, Shape};
use crate::request::{Errno, REQUEST_LEN, Request, Verdict};

/// Requests of one connection that are open at a time.
const DEPTH: u16 = 128;
/// Bytes of payload that they may have together; one request of the largest size always fits.
const PAYLOAD: usize = MAX_REQUEST as usize;
/// The longest range whose map the device is asked for at once, and the most bytes that this map takes.
const MAPPED: u32 = 256 << 20;
const MAP_BYTES: usize = 1 << 20;

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
    offset: u64,
    len: u32,
    /// A flush has to follow before the reply.
    flush: bool,
    shape: Shape,
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
    share: Share,
}

impl State {
    fn new(queue: Box<dyn Queue>, share: Share) -> State {
        let none = Open { cookie: 0, offset: 0, len: 0, flush: false, shape: Shape::Simple, payload: 0 };
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
            share,
        }
    }

    /// Whether one more request with this payload may be open, as far as it is up to this connection.
    fn may_open(&self, payload: usize) -> bool {
        let fits = self.open.payload + payload <= PAYLOAD;
        self.held.is_empty() && self.open.replies < usize::from(DEPTH) && fits
    }

    /// Whether the reader need not wait for room any more.
    fn has_room(&self, payload: usize) -> bool {
        self.may_open(payload) && self.open.payload + payload <= self.share.room()
    }

    /// Keeps a buffer for the next requests, if the share allows.
    fn keep(&mut self, buf: Buf) {
        let spare = self.share.room().saturating_sub(self.open.payload);
        self.pool.put(buf, spare);
    }

    /// Gives back memory that is not used: all of it when others wait, else what is worth it.
    fn give_back(&mut self) {
        let kept = if self.share.is_wanted() { 0 } else { KEPT };
        if self.share.room() > self.open.payload + kept {
            self.share.shrink(self.open.payload + kept);
            self.pool.trim(self.share.room().saturating_sub(self.open.payload));
        }
    }

    fn submit(&mut self, request: BlockRequest) {
        match self.queue.submit(request) {
            Ok(()) => self.submitted = true,
            Err(back) => self.held.push_back(back),
        }
    }

    fn start(&mut self, request: &Request, op: Op, open: Open, buf: Option<Buf>) {
        let tag = self.free.pop().expect("there are as many slots as requests may be open");
        self.slots[tag as usize] = open;
        self.submit(BlockRequest { tag, op, offset: request.offset, len: open.len, buf });
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
        self.waiting.replies += 1;
        if slot.shape == Shape::Simple {
            // what was written is with the device, so its memory is free before the reply is sent
            self.open.payload -= slot.payload;
        } else {
            self.waiting.payload += slot.payload;
        }
        let to = &mut self.replies;
        let back = match (done.result, slot.shape, done.buf) {
            (Err(e), shape, buf) => {
                reply::failure(to, shape, e, slot.cookie);
                buf
            }
            (Ok(_), Shape::SimpleData, Some(buf)) => reply::simple_data(to, slot.cookie, buf),
            (Ok(_), Shape::Chunks { whole }, Some(buf)) => {
                reply::chunks(to, slot.cookie, slot.offset, whole, done.all_zero, buf)
            }
            (Ok(_), Shape::Map { one }, Some(buf)) => {
                reply::map(to, slot.cookie, one, slot.len, &buf);
                None // of any size, and not worth keeping
            }
            (Ok(_), Shape::Simple, buf) => {
                to.copy(&reply::simple(Ok(()), slot.cookie));
                buf
            }
            (Ok(_), shape, None) => {
                tracing::error!("a bug: a device answered a read without its buffer");
                reply::refusal(to, shape, Errno::Io, slot.cookie);
                None
            }
        };
        if let Some(buf) = back {
            self.keep(buf);
        }
    }

    /// Answers a request that the device does not get.
    fn answer(&mut self, result: Result<(), Errno>, shape: Shape, cookie: u64) {
        match result {
            Ok(()) => self.replies.copy(&reply::simple(Ok(()), cookie)),
            Err(errno) => reply::refusal(&mut self.replies, shape, errno, cookie),
        }
        self.waiting.replies += 1;
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
        self.open.replies -= batch.replies;
        self.open.payload -= batch.payload;
        gather.clear(|buf| self.keep(buf));
        self.give_back();
    }
}

/// How a request is answered, and the payload that it holds until then.
fn terms_of(request: &Request, verdict: Verdict, dialect: Dialect) -> (Shape, usize) {
    let len = request.len as usize;
    match verdict {
        Verdict::Do { op: Op::Read, .. } if dialect.structured => {
            (Shape::Chunks { whole: request.is_whole() }, len)
        }
        Verdict::Do { op: Op::Read, .. } => (Shape::SimpleData, len),
        Verdict::Do { op: Op::Write { .. }, .. } => (Shape::Simple, len),
        Verdict::Do { op: Op::Extents, .. } => (Shape::Map { one: request.wants_one() }, MAP_BYTES),
        Verdict::Refuse(_) if dialect.structured && request.wants_bytes() => {
            (Shape::Chunks { whole: true }, 0)
        }
        Verdict::Do { .. } | Verdict::Done | Verdict::Refuse(_) | Verdict::Disconnect => (Shape::Simple, 0),
    }
}

/// Takes requests until the client says goodbye or hangs up.
async fn read(
    state: &RefCell<State>,
    session: &Session,
    socket: &Socket,
    dialect: Dialect,
    rest: &[u8],
) -> Result<(), Fault> {
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
        let mut verdict = request.judge(&terms, dialect);
        if matches!(verdict, Verdict::Refuse(_)) {
            // the device may have grown since
            terms = offer(session);
            verdict = request.judge(&terms, dialect);
        }
        if verdict == Verdict::Disconnect {
            return Ok(());
        }
        let (shape, payload) = terms_of(&request, verdict, dialect);
        room(state, payload).await;
        match verdict {
            Verdict::Do { op, flush } => {
                let buf = match op {
                    Op::Read => Some(state.borrow_mut().pool.get(payload)),
                    Op::Write { .. } => Some(receive(state, payload, &mut input, socket).await?),
                    _ => None,
                };
                let len = if op == Op::Extents { request.len.min(MAPPED) } else { request.len };
                let (cookie, offset) = (request.cookie, request.offset);
                let open = Open { cookie, offset, len, flush, shape, payload };
                state.borrow_mut().start(&request, op, open, buf);
            }
            Verdict::Done => state.borrow_mut().answer(Ok(()), shape, request.cookie),
            Verdict::Refuse(errno) => {
                input.skip(request.payload(), socket).await?;
                state.borrow_mut().answer(Err(errno), shape, request.cookie);
            }
            Verdict::Disconnect => return Ok(()),
        }
    }
}

/// Waits until one more request with this payload may be open, and opens it.
async fn room(state: &RefCell<State>, payload: usize) {
    poll_fn(|cx| {
        let mut state = state.borrow_mut();
        state.starved = Some(payload);
        if !state.may_open(payload) {
            return Poll::Pending;
        }
        let bytes = state.open.payload + payload;
        ready!(state.share.poll_room(bytes, cx));
        state.starved = None;
        state.open.replies += 1;
        state.open.payload += payload;
        Poll::Ready(())
    })
    .await;
}

/// The payload of a write.
async fn receive(
    state: &RefCell<State>,
    len: usize,
    input: &mut Input,
    socket: &Socket,
) -> Result<Buf, Fault> {
    let (buf, meter) = {
        let mut state = state.borrow_mut();
        (state.pool.get(len.min(TRUST)), state.share.meter.clone())
    };
    meter.receiving.store(true, Ordering::Relaxed);
    let moved = || {
        meter.moves.fetch_add(1, Ordering::Relaxed);
    };
    let received = input.receive(buf, len, socket, moved).await;
    meter.receiving.store(false, Ordering::Relaxed);
    received
}

/// Sends replies, all that there are at once, until the last one was sent.
async fn write(state: &RefCell<State>, socket: &Socket) -> Result<(), Fault> {
    let mut gather = Gather::new();
    let meter = state.borrow().share.meter.clone();
    while let Some(batch) = poll_fn(|_| state.borrow_mut().take_batch(&mut gather)).await {
        meter.sending.store(true, Ordering::Relaxed);
        let (sent, back) = socket.send_gather(gather).await;
        meter.sending.store(false, Ordering::Relaxed);
        meter.moves.fetch_add(1, Ordering::Relaxed);
        gather = back;
        state.borrow_mut().sent(batch, &mut gather);
        sent?;
    }
    Ok(())
}

/// A queue for this thread: one that lives on it, or one that leads to the device's home.
async fn open(session: &Arc<Session>, wake: Wake) -> Result<Box<dyn Queue>, parpen_block::Refusal> {
    let here: Arc<dyn Home> = Arc::new(current().expect("connections are tasks of a reactor"));
    match session.home() {
        Some(home) if home.id() != here.id() => {
            Ok(Box::new(Mailbox::open(Arc::clone(session), DEPTH, here, wake).await?))
        }
        _ => session.open_on(&here, DEPTH, wake),
    }
}

/// Serves an open export on this thread. `rest` came with the handshake.
pub(crate) async fn run(
    session: &Arc<Session>,
    socket: &Socket,
    dialect: Dialect,
    share: Share,
    rest: &[u8],
) -> Result<(), Fault> {
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let wake = Wake::new(move || waker.wake_by_ref());
    let state = RefCell::new(State::new(open(session, wake).await?, share));
    let mut reader = pin!(read(&state, session, socket, dialect, rest));
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
            let mut state = state.borrow_mut();
            if state.share.is_wanted() {
                state.give_back();
            }
            // what the writer has freed may be what the reader waits for
            if !state.starved.is_some_and(|payload| state.has_room(payload)) {
                return Poll::Pending;
            }
        }
    })
    .await
}
