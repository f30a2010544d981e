//! A volume or snapshot as a block device: each request of a queue is a task of the engine's reactor.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use parpen_base::{Buf, MIB};
use parpen_block::{
    BlockDevice, Capabilities, Completion, Geometry, Home, IoError, Op, Queue, Refusal, Request, Wake,
};
use uuid::Uuid;

use crate::engine::Engine;
use crate::layout::BLOCK;
use crate::store::{Shared, here};
use crate::{Disk, EngineError, Rules};

/// A future that stays on its thread.
pub type LocalTask<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Largest request, in bytes.
const MAXIMUM: u32 = 32 * MIB as u32;

impl From<EngineError> for IoError {
    fn from(e: EngineError) -> IoError {
        match e {
            EngineError::NoSpace => IoError::NoSpace,
            EngineError::Io | EngineError::Fenced | EngineError::Closed => IoError::Io,
            EngineError::DataLost => IoError::DataLost,
            EngineError::NotFound => IoError::Fenced,
            EngineError::ReadOnly => IoError::ReadOnly,
            EngineError::Exists | EngineError::Invalid(_) => IoError::Invalid,
        }
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
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
                    self.durable_if(result, r.op == Op::Write { fua: true }).await
                }
            },
            Op::Flush => self.flush().await,
            Op::Zero { fua, .. } => {
                let result = self.zero(id, r.offset, len).await;
                self.durable_if(result, fua).await
            }
            Op::Discard => self.discard(id, r.offset, len).await,
            Op::Extents => self.extents(id, r.offset, len).await.map(|map| {
                let pairs = map.iter().flat_map(|e| [e.len, u64::from(e.zero)]).flat_map(u64::to_le_bytes);
                r.buf = Some(Buf::copy_of(&pairs.collect::<Vec<u8>>()));
            }),
            Op::Prefetch => self.extents(id, r.offset, 0).await.map(|_| ()),
        };
        Completion { tag: r.tag, result: done.map(|()| r.len).map_err(IoError::from), buf: r.buf, all_zero }
    }

    async fn durable_if(&self, result: Result<(), EngineError>, fua: bool) -> Result<(), EngineError> {
        result?;
        if fua { self.flush().await } else { Ok(()) }
    }
}

/// A volume or snapshot of a [`crate::Store`]. Queues are opened and used on the store's home.
pub struct EngineDevice {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: Uuid,
}

impl BlockDevice for EngineDevice {
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
        let engine = here(self.shared.key)
            .ok_or_else(|| Refusal::Unavailable("its store is closed, or this is not its home".into()))?;
        if self.shared.seen(self.id).is_none() {
            return Err(Refusal::Unknown);
        }
        let line = Rc::new(Line { done: RefCell::default(), wake });
        let room = usize::from(depth).max(1);
        Ok(Box::new(EngineQueue {
            engine,
            shared: self.shared.clone(),
            id: self.id,
            line,
            room,
            taken: Cell::new(0),
        }))
    }
}

/// Completions on their way to the owner of a queue.
struct Line {
    done: RefCell<VecDeque<Completion>>,
    wake: Wake,
}

struct EngineQueue {
    engine: Rc<dyn crate::store::Local>,
    shared: Arc<Shared>,
    id: Uuid,
    line: Rc<Line>,
    room: usize,
    /// Accepted and not reaped yet.
    taken: Cell<usize>,
}

impl Queue for EngineQueue {
    fn submit(&mut self, r: Request) -> Result<(), Request> {
        if self.taken.get() >= self.room {
            return Err(r);
        }
        self.taken.set(self.taken.get() + 1);
        // The task outlives the queue if it must: a write that has begun is finished, its completion goes
        // nowhere.
        let (engine, line, id) = (self.engine.clone(), self.line.clone(), self.id);
        (self.shared.spawn)(Box::pin(async move {
            let completion = engine.serve(id, r).await;
            line.done.borrow_mut().push_back(completion);
            line.wake.wake();
        }));
        Ok(())
    }

    fn kick(&mut self) {}

    fn reap(&mut self) -> Option<Completion> {
        let completion = self.line.done.borrow_mut().pop_front()?;
        self.taken.set(self.taken.get() - 1);
        Some(completion)
    }
}
