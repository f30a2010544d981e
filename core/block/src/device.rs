//! A block device in one screen: a closed set of operations, their results, and what a device says of itself.
//!
//! Ordering: requests in flight together may take effect in any order. A `Flush` covers every request that
//! was *completed* before the flush was submitted, on whatever queue of the device. A request with `fua` is
//! durable when it completes.

use std::sync::Arc;

use parpen_base::Buf;

use crate::Refusal;

/// What is asked of a device. Offsets and lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Fills the request's buffer (its length is the request's `len`).
    Read,
    /// Stores the request's buffer; with `fua` it is durable when it completes.
    Write {
        /// Durable when completed.
        fua: bool,
    },
    /// Makes everything completed so far durable. `offset` and `len` are 0.
    Flush,
    /// The range reads as zeros afterwards.
    Zero {
        /// Durable when completed.
        fua: bool,
        /// The space may be given back.
        unmap: bool,
        /// Refuse with [`IoError::NotSupported`] rather than be as slow as a write.
        fast: bool,
    },
    /// The content of the range is no longer needed. Ranges that are given back read as zeros.
    Discard,
    /// Asks for the map of the range; the answer's buffer holds `(length: u64 le, zero: u64 le)` pairs from
    /// `offset` on.
    Extents,
    /// The range will be read soon.
    Prefetch,
}

/// One request. `tag` is the submitter's and unique among its requests in flight on that queue.
#[derive(Debug)]
pub struct Request {
    /// The submitter's name for it.
    pub tag: u32,
    /// What to do.
    pub op: Op,
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub len: u32,
    /// Read: where the bytes go (`buf.len() == len`). Write: the bytes. Else none.
    pub buf: Option<Buf>,
}

/// The end of one request; its buffer comes home with it.
#[derive(Debug)]
pub struct Completion {
    /// The request's tag.
    pub tag: u32,
    /// Bytes done (always the whole request), or why nothing can be said of them.
    pub result: Result<u32, IoError>,
    /// The request's buffer.
    pub buf: Option<Buf>,
    /// A read found nothing but zeros and did not have to look (the buffer is zeroed all the same).
    pub all_zero: bool,
}

/// Why a request failed; the transport's own error numbers are made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IoError {
    /// No space left: nothing of the request is guaranteed, nothing else is harmed.
    #[error("no space left")]
    NoSpace,
    /// The range is not within the device, or the request is malformed.
    #[error("invalid request")]
    Invalid,
    /// Write to a device that was opened read-only.
    #[error("read-only")]
    ReadOnly,
    /// The device cannot do this.
    #[error("not supported")]
    NotSupported,
    /// The bytes that were stored are lost or damaged; they are never replaced by others.
    #[error("data lost")]
    DataLost,
    /// The medium failed. After a failed flush or write the disk is fenced: every later request ends so.
    #[error("input/output error")]
    Io,
    /// The session was cut: another holder has the device now.
    #[error("access was taken away")]
    Fenced,
}

/// Size and preferred sizes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Size of the device; a multiple of 512.
    pub size: u64,
    /// Granularity at which nothing has to be read first.
    pub block: u32,
    /// Preferred I/O size.
    pub preferred: u32,
    /// Largest request.
    pub maximum: u32,
}

/// What a device can do beyond reading, writing and flushing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Writes only end in [`IoError::ReadOnly`].
    pub read_only: bool,
    /// `fua` is honoured without a flush of everything.
    pub fua: bool,
    /// [`Op::Zero`] is faster than a write.
    pub zero: bool,
    /// [`Op::Discard`] gives space back.
    pub discard: bool,
    /// [`Op::Extents`] is answered.
    pub extents: bool,
    /// [`Op::Prefetch`] is worth sending.
    pub prefetch: bool,
    /// A flush on one queue covers the writes of all.
    pub multi_conn: bool,
}

/// The number of a reactor within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReactorId(pub u32);

/// A thread on which queues of some devices may be opened and used.
pub trait Home: Send + Sync {
    /// Which reactor this is.
    fn id(&self) -> ReactorId;
    /// Runs `f` on that thread, soon, in the order of the calls of one caller. Dropped unrun when the
    /// reactor has ended.
    fn run(&self, f: Box<dyn FnOnce() + Send>);
}

/// Tells the owner of a queue, from any thread, that there is something to reap or room to submit.
/// It may be called more often than needed and does no work itself.
#[derive(Clone)]
pub struct Wake(Arc<dyn Fn() + Send + Sync>);

impl Wake {
    /// A wake that calls `f`.
    pub fn new(f: impl Fn() + Send + Sync + 'static) -> Wake {
        Wake(Arc::new(f))
    }

    /// Wakes.
    pub fn wake(&self) {
        (self.0)()
    }
}

/// What a device is; shared by all its connections.
pub trait BlockDevice: Send + Sync {
    /// Size and block sizes; changes on resize. It is asked for each request, so it takes no lock that is
    /// held long.
    fn geometry(&self) -> Geometry;
    /// What it can do.
    fn capabilities(&self) -> Capabilities;
    /// Where `open` must be called and its queue lives; `None`: on any thread.
    fn home(&self) -> Option<Arc<dyn Home>>;
    /// Opens a queue of at most `depth` requests in flight; the only allocation, once a connection.
    fn open(&self, depth: u16, wake: Wake) -> Result<Box<dyn Queue>, Refusal>;
}

/// One connection to a device, on one thread. Filters wrap queues.
///
/// Dropping a queue finishes or disowns what is in flight; buffers are owned, so nothing writes freed memory.
pub trait Queue {
    /// Takes a request; never blocks. `Err` gives it back: the queue is full or held, wait for the wake.
    fn submit(&mut self, r: Request) -> Result<(), Request>;
    /// Ends a batch: one system call or one wake for many requests.
    fn kick(&mut self);
    /// The next completion, in any order; each accepted tag exactly once.
    fn reap(&mut self) -> Option<Completion>;
}

impl<Q: Queue + ?Sized> Queue for Box<Q> {
    fn submit(&mut self, r: Request) -> Result<(), Request> {
        (**self).submit(r)
    }

    fn kick(&mut self) {
        (**self).kick();
    }

    fn reap(&mut self) -> Option<Completion> {
        (**self).reap()
    }
}
