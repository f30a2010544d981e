//! A volume or snapshot as a block device: its requests are served by tasks of the store's reactor.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parpen_base::{Buf, MIB};
use parpen_block::{
    BlockDevice, Capabilities, Completion, Geometry, Home, IoError, Op, Queue, Refusal, Request, Wake,
};
use parpen_engine::{BLOCK, Disk, EngineError, Rules};
use uuid::Uuid;

use crate::Array;
use crate::local::{Local, here};
use crate::store::Shared;

/// Largest request, in bytes.
const MAXIMUM: u32 = 32 * MIB as u32;

impl<D: Disk, R: Rules> Array<D, R> {
    /// Carries out one request of a block device on a volume or snapshot.
    pub async fn serve(&self, id: Uuid, mut r: Request) -> Completion {
        let (mut all_zero, len) = (false, u64::from(r.len));
        let done = match r.op {
            Op::Read | Op::Write { .. } => match r.buf.take().filter(|b| b.len() == r.len as usize) {
                None => Err(EngineError::Invalid("the buffer has not the length of the request")),
                Some(buf) if buf.len() > MAXIMUM as usize => {
                    r.buf = Some(buf);
                    Err(EngineError::Invalid("the request is too large"))
                }
                Some(buf) if r.op == Op::Read => {
                    let (result, buf) = self.read(id, r.offset, buf).await;
                    all_zero = result == Ok(true);
                    r.buf = Some(buf);
                    result.map(|_| ())
                }
                Some(buf) => {
                    let (result, buf) = self.write(id, r.offset, buf).await;
                    r.buf = Some(buf);
                    self.durable_if(id, result, r.op == Op::Write { fua: true }).await
                }
            },
            Op::Flush => self.flush_of(id).await,
            Op::Zero { fua, .. } => {
                let result = self.zero(id, r.offset, len).await;
                self.durable_if(id, result, fua).await
            }
            Op::Discard => self.discard(id, r.offset, len).await,
            Op::Extents => self.extents(id, r.offset, len).map(|map| {
                let pairs = map.iter().flat_map(|e| [e.len, u64::from(e.zero)]).flat_map(u64::to_le_bytes);
                r.buf = Some(Buf::copy_of(&pairs.collect::<Vec<u8>>()));
            }),
            Op::Prefetch => self.extents(id, r.offset, 0).map(|_| ()),
        };
        Completion { tag: r.tag, result: done.map(|()| r.len).map_err(IoError::from), buf: r.buf, all_zero }
    }

    async fn durable_if(
        &self,
        id: Uuid,
        result: Result<(), EngineError>,
        fua: bool,
    ) -> Result<(), EngineError> {
        result?;
        if fua { self.flush_of(id).await } else { Ok(()) }
    }
}

/// A volume or snapshot of a [`crate::Store`]. Queues are opened and used on the store's home.
pub struct StoreDevice {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: Uuid,
}

impl BlockDevice for StoreDevice {
    fn geometry(&self) -> Geometry {
        let size = self.shared.seen(self.id).map_or(0, |s| s.bytes);
        Geometry { size, block: BLOCK as u32, preferred: 64 << 10, maximum: MAXIMUM }
    }

    fn capabilities(&self) -> Capabilities {
        let writable = self.shared.seen(self.id).is_some_and(|s| !s.read_only);
        Capabilities {
            read_only: !writable,
            fua: writable,
            zero: writable,
            discard: writable,
            extents: true,
            prefetch: false,
            multi_conn: true,
        }
    }

    fn home(&self) -> Option<Arc<dyn Home>> {
        Some(self.shared.home.clone())
    }

    fn open(&self, depth: u16, wake: Wake) -> Result<Box<dyn Queue>, Refusal> {
        let array = here(self.shared.key)
            .ok_or_else(|| Refusal::Unavailable("its store is closed, or this is not its home".into()))?;
        if self.shared.seen(self.id).is_none() {
            return Err(Refusal::Unknown);
        }
        let line = Rc::new(Line {
            id: self.id,
            wake,
            desks: RefCell::default(),
            free: RefCell::default(),
            done: RefCell::default(),
            closed: Cell::new(false),
        });
        let (shared, room) = (self.shared.clone(), usize::from(depth).max(1));
        Ok(Box::new(StoreQueue { array, shared, line, room, taken: 0 }))
    }
}

/// What a queue and its workers share. A worker is a task that serves one request after the other; it is made when
/// all others are busy and lasts as long as the queue, so that a request costs no new task and no new memory.
pub(crate) struct Line {
    id: Uuid,
    wake: Wake,
    /// One for each worker.
    desks: RefCell<Vec<Desk>>,
    /// The desks whose workers are idle.
    free: RefCell<Vec<usize>>,
    /// Completions on their way to the owner of the queue.
    done: RefCell<VecDeque<Completion>>,
    /// The queue is gone: workers finish what they have and end.
    closed: Cell<bool>,
}

#[derive(Default)]
struct Desk {
    request: Option<Request>,
    waker: Option<Waker>,
}

impl Line {
    /// Hands a request to an idle worker; without one it comes back.
    fn hand(&self, r: Request) -> Result<(), Request> {
        let Some(desk) = self.free.borrow_mut().pop() else { return Err(r) };
        let waker = {
            let desk = &mut self.desks.borrow_mut()[desk];
            desk.request = Some(r);
            desk.waker.take()
        };
        // a worker that was not polled yet has none and will look
        waker.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// A new desk with a request on it; somebody has to work at it.
    fn furnish(&self, r: Request) -> usize {
        let mut desks = self.desks.borrow_mut();
        desks.push(Desk { request: Some(r), waker: None });
        desks.len() - 1
    }

    fn poll(&self, desk: usize, cx: &Context<'_>) -> Poll<Option<Request>> {
        let desk = &mut self.desks.borrow_mut()[desk];
        match desk.request.take() {
            Some(r) => Poll::Ready(Some(r)),
            None if self.closed.get() => Poll::Ready(None),
            None => {
                desk.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn close(&self) {
        self.closed.set(true);
        let wakers: Vec<Waker> = self.desks.borrow_mut().iter_mut().filter_map(|d| d.waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Serves what is laid on a desk until the queue is gone. A write that has begun is finished also then; its
/// completion goes nowhere.
pub(crate) async fn work<D: Disk, R: Rules>(array: Rc<Array<D, R>>, line: Rc<Line>, desk: usize) {
    while let Some(r) = poll_fn(|cx| line.poll(desk, cx)).await {
        let completion = array.serve(line.id, r).await;
        line.done.borrow_mut().push_back(completion);
        line.free.borrow_mut().push(desk);
        line.wake.wake();
    }
}

struct StoreQueue {
    array: Rc<dyn Local>,
    shared: Arc<Shared>,
    line: Rc<Line>,
    room: usize,
    /// Accepted and not reaped yet.
    taken: usize,
}

impl Queue for StoreQueue {
    fn submit(&mut self, r: Request) -> Result<(), Request> {
        if self.taken >= self.room {
            return Err(r);
        }
        self.taken += 1;
        if let Err(r) = self.line.hand(r) {
            let desk = self.line.furnish(r);
            (self.shared.spawn)(self.array.clone().work(self.line.clone(), desk));
        }
        Ok(())
    }

    fn kick(&mut self) {}

    fn reap(&mut self) -> Option<Completion> {
        let completion = self.line.done.borrow_mut().pop_front()?;
        self.taken -= 1;
        Some(completion)
    }
}

impl Drop for StoreQueue {
    fn drop(&mut self) {
        self.line.close();
    }
}
