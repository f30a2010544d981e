//! The twin without io_uring: a fixed pool of threads for files, poll(2) for sockets. No `unsafe`; same behaviour.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use parpen_base::Buf;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags};

use crate::driver::Wait;
use crate::shared::Shared;
use crate::table::{Key, Op, Outcome, Payload, Table};

/// File operations that run at the same time.
const THREADS: usize = 16;
/// They call the kernel and nothing else.
const STACK: usize = 128 << 10;

/// One file operation with everything it touches; so the pool needs no look at the table.
struct Job {
    key: Key,
    op: Op,
    fd: Arc<OwnedFd>,
    payload: Payload,
}

struct Done {
    key: Key,
    outcome: Outcome,
    payload: Payload,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    stop: bool,
}

struct Pool {
    queue: Mutex<Queue>,
    more: Condvar,
    done: Mutex<Vec<Done>>,
    shared: Arc<Shared>,
}

/// Every holder does one push, pop or take: a panic cannot leave either list torn.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Pool {
    fn work(&self) {
        loop {
            let job = {
                let mut queue = lock(&self.queue);
                loop {
                    if queue.stop {
                        return;
                    }
                    match queue.jobs.pop_front() {
                        Some(job) => break job,
                        None => {
                            queue = self.more.wait(queue).unwrap_or_else(|poisoned| poisoned.into_inner());
                        }
                    }
                }
            };
            let Job { key, op, fd, mut payload } = job;
            let outcome = on_file(op, &fd, &mut payload);
            drop(fd);
            lock(&self.done).push(Done { key, outcome, payload });
            self.shared.ring();
        }
    }
}

pub(crate) struct Threads {
    pool: Arc<Pool>,
    workers: Vec<JoinHandle<()>>,
    /// File operations started in this turn.
    started: Vec<Job>,
    /// Socket operations in flight, oldest first; those from `fresh` on were not tried yet.
    sockets: Vec<Key>,
    fresh: usize,
    shared: Arc<Shared>,
}

impl Threads {
    pub(crate) fn new(shared: Arc<Shared>) -> io::Result<Threads> {
        let (queue, more, done) = (Mutex::default(), Condvar::new(), Mutex::default());
        let pool = Arc::new(Pool { queue, more, done, shared: shared.clone() });
        let mut threads =
            Threads { pool, workers: Vec::new(), started: Vec::new(), sockets: Vec::new(), fresh: 0, shared };
        for n in 0..THREADS {
            let pool = threads.pool.clone();
            let thread = std::thread::Builder::new().name(format!("file-{n}")).stack_size(STACK);
            threads.workers.push(thread.spawn(move || pool.work())?);
        }
        Ok(threads)
    }

    pub(crate) fn start(&mut self, table: &mut Table, key: Key) {
        let slot = table.flying(key).expect("an operation is in flight when it starts");
        if slot.op.is_socket() {
            self.sockets.push(key);
            return;
        }
        let payload = std::mem::replace(&mut slot.payload, Payload::None);
        let fd = slot.fd.clone().expect("a flying operation has its descriptor");
        self.started.push(Job { key, op: slot.op, fd, payload });
    }

    /// A socket operation is only a wish until poll(2) says yes, so it ends at once. Those on files run on.
    pub(crate) fn cancel(&mut self, table: &mut Table, key: Key) {
        if table.flying(key).is_some_and(|slot| slot.op.is_socket()) {
            let at = self.sockets.iter().position(|k| *k == key).expect("it is in flight");
            self.sockets.remove(at);
            self.fresh -= usize::from(at < self.fresh);
            table.complete(key, Err(Errno::CANCELED));
        }
    }

    pub(crate) fn may_sleep(&self) -> bool {
        lock(&self.pool.done).is_empty()
    }

    pub(crate) fn turn(&mut self, table: &mut Table, wait: Wait) -> io::Result<()> {
        if !self.started.is_empty() {
            let n = self.started.len();
            lock(&self.pool.queue).jobs.extend(self.started.drain(..));
            if n == 1 { self.pool.more.notify_one() } else { self.pool.more.notify_all() }
        }
        let untried = self.sockets.split_off(self.fresh);
        self.sockets.extend(untried.into_iter().filter(|key| !try_socket(table, *key)));
        self.fresh = self.sockets.len();
        let time = match wait {
            _ if !table.woken.is_empty() => Some(Duration::ZERO),
            Wait::No => Some(Duration::ZERO),
            Wait::AtMost(time) => Some(time),
            Wait::Forever => None,
        };
        self.wait(table, time)?;
        for done in std::mem::take(&mut *lock(&self.pool.done)) {
            let slot = table.flying(done.key).expect("each operation ends once");
            slot.payload = done.payload;
            table.complete(done.key, done.outcome);
        }
        Ok(())
    }

    /// Waits for the bell or a socket, at most `time`, and tries the sockets that are said to be ready.
    fn wait(&mut self, table: &mut Table, time: Option<Duration>) -> io::Result<()> {
        let mut ready = Vec::with_capacity(self.sockets.len());
        for key in &self.sockets {
            let slot = table.flying(*key).expect("what stands in the list is in flight");
            let events = match slot.op {
                Op::Send { .. } | Op::SendGather => PollFlags::OUT,
                _ => PollFlags::IN,
            };
            ready.push((slot.fd.clone().expect("a flying operation has its descriptor"), events));
        }
        let mut fds = vec![PollFd::new(self.shared.bell(), PollFlags::IN)];
        fds.extend(ready.iter().map(|(fd, events)| PollFd::new(fd, *events)));
        // A time that does not fit is more than any machine's life: wait for ever.
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        match rustix::event::poll(&mut fds, time.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let rang = !fds[0].revents().is_empty();
        let tried: Vec<bool> = fds[1..].iter().map(|fd| !fd.revents().is_empty()).collect();
        if rang {
            let mut count = [0; 8];
            rustix::io::read(self.shared.bell(), &mut count)?;
        }
        let mut tried = tried.into_iter();
        self.sockets.retain(|key| !(tried.next() == Some(true) && try_socket(table, *key)));
        self.fresh = self.sockets.len();
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        {
            let mut queue = lock(&self.pool.queue);
            queue.stop = true;
            queue.jobs.clear();
        }
        self.pool.more.notify_all();
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a thread of the file pool has panicked");
            }
        }
    }
}

/// The part of a buffer that an operation works on; a wrong range is a bug of the caller and panics here.
fn bytes(buf: &mut Buf, start: usize, len: u32) -> &mut [u8] {
    &mut buf[start..start + len as usize]
}

fn on_file(op: Op, fd: &OwnedFd, payload: &mut Payload) -> Outcome {
    match (op, payload) {
        (Op::Read { offset, start, len }, Payload::Buf(buf)) => {
            rustix::io::pread(fd, bytes(buf, start, len), offset).map(|n| n as u32)
        }
        (Op::Write { offset, start, len }, Payload::Buf(buf)) => {
            rustix::io::pwrite(fd, bytes(buf, start, len), offset).map(|n| n as u32)
        }
        (Op::Parts { write }, Payload::Parts(parts)) => {
            for place in &mut parts.places {
                let bytes = bytes(&mut parts.buf, place.start, place.len);
                let done = match write {
                    true => rustix::io::pwrite(fd, bytes, place.offset),
                    false => rustix::io::pread(fd, bytes, place.offset),
                };
                place.outcome = done.map(|n| n as u32);
            }
            Ok(0)
        }
        (Op::Sync { data_only: true }, Payload::None) => rustix::fs::fdatasync(fd).map(|()| 0),
        (Op::Sync { data_only: false }, Payload::None) => rustix::fs::fsync(fd).map(|()| 0),
        (Op::Allocate { mode, offset, len }, Payload::None) => {
            rustix::fs::fallocate(fd, mode, offset, len).map(|()| 0)
        }
        (op, payload) => unreachable!("{op:?} was started with {payload:?}"),
    }
}

/// Tries a socket operation without waiting; true if it has ended.
fn try_socket(table: &mut Table, key: Key) -> bool {
    let slot = table.flying(key).expect("what stands in the list is in flight");
    let fd = slot.fd.as_ref().expect("a flying operation has its descriptor");
    let send = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let outcome = match (slot.op, &mut slot.payload) {
        (Op::Recv { start, len }, Payload::Buf(buf)) => {
            rustix::net::recv(fd, bytes(buf, start, len), RecvFlags::DONTWAIT).map(|(n, _)| n as u32)
        }
        (Op::RecvTwo { start, end, ahead }, Payload::Two(first, second)) => {
            let first = io::IoSliceMut::new(&mut first[start..end]);
            let mut parts = [first, io::IoSliceMut::new(&mut second[ahead..])];
            let mut control = RecvAncillaryBuffer::default();
            rustix::net::recvmsg(fd, &mut parts, &mut control, RecvFlags::DONTWAIT).map(|m| m.bytes as u32)
        }
        (Op::Send { start, len }, Payload::Buf(buf)) => {
            rustix::net::send(fd, bytes(buf, start, len), send).map(|n| n as u32)
        }
        (Op::SendGather, Payload::Gather(gather)) => {
            let parts: Vec<_> = gather.pieces().take(1024).map(io::IoSlice::new).collect();
            rustix::net::sendmsg(fd, &parts, &mut SendAncillaryBuffer::default(), send).map(|n| n as u32)
        }
        (Op::Accept, payload) => {
            let accepted = rustix::io::ioctl_fionbio(fd, true)
                .and_then(|()| rustix::net::accept_with(fd, SocketFlags::CLOEXEC));
            accepted.map(|socket| {
                *payload = Payload::Socket(socket);
                0
            })
        }
        (op, payload) => unreachable!("{op:?} was started with {payload:?}"),
    };
    let waits = matches!(outcome, Err(Errno::AGAIN));
    if !waits {
        table.complete(key, outcome);
    }
    !waits
}
