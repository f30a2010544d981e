//! Starting a reactor, and the handle that other threads hold.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parpen_block::{Home, ReactorId, Timer};

use crate::local::{Local, current, spawn_local};
use crate::shared::Shared;
use crate::timer::sleep;

/// Who carries out the I/O of a reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// io_uring where the kernel gives it, threads elsewhere.
    Auto,
    /// io_uring.
    Uring,
    /// A pool of threads for files, poll(2) for sockets.
    Threads,
}

/// One thread that runs tasks and their I/O.
pub struct Reactor;

/// A reactor as other threads see it. The reactor runs until [`shutdown`](Handle::shutdown), also without handles.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({} {:?} {:?})", self.0.name, self.0.id, self.backend())
    }
}

/// Numbers are never used twice in one process.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Reactor {
    /// Starts the thread and waits until it runs. `name` is shown by the system's tools (its first 15 bytes).
    pub fn start(name: &str, backend: Backend) -> io::Result<Handle> {
        let shared = Arc::new(Shared::new(ReactorId(NEXT.fetch_add(1, Ordering::Relaxed)), name)?);
        let (report, started) = mpsc::channel();
        let on_thread = shared.clone();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let local = match Local::enter(on_thread, backend) {
                Ok(local) => local,
                Err(error) => {
                    // the starter waits for this and nothing else
                    let _ = report.send(Err(error));
                    return Ok(());
                }
            };
            let _ = report.send(Ok(()));
            let end = catch_unwind(AssertUnwindSafe(|| local.run()));
            local.finish();
            match end {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => {
                    tracing::error!(%error, "a reactor has ended: the kernel refuses to go on");
                    Err(error)
                }
                Err(panic) => resume_unwind(panic),
            }
        })?;
        started.recv().map_err(|_| ended())??;
        shared.keep(thread);
        Ok(Handle(shared))
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the reactor has ended")
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Handle {
        Handle(shared)
    }

    /// Who carries out the I/O; never [`Backend::Auto`].
    pub fn backend(&self) -> Backend {
        self.0.backend()
    }

    /// The name it was started with.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Makes a future on the reactor and runs it there. Dropped unrun when the reactor has ended.
    pub fn spawn<F>(&self, make: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        self.0.post(Box::new(move || spawn_local(make())));
    }

    /// Makes a future on the reactor, runs it there and waits for its value: the way in from ordinary threads.
    /// An error if the reactor ends first, or if this is its own thread (which would wait for itself).
    pub fn block_on<F, T>(&self, make: impl FnOnce() -> F + Send + 'static) -> io::Result<T>
    where
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        self.refuse_own_thread()?;
        let (give, take) = mpsc::channel();
        self.spawn(move || {
            let future = make();
            // if nobody waits any more, nobody misses it
            async move { drop(give.send(future.await)) }
        });
        take.recv().map_err(|_| ended())
    }

    /// Asks the reactor to end. Its tasks are dropped; what the kernel works on is waited for.
    pub fn shutdown(&self) {
        self.0.stop();
    }

    /// Waits until the thread has ended; the first who joins learns why: `Ok` after [`shutdown`](Handle::shutdown),
    /// an error if the kernel refused to go on, a task panicked, or this is the reactor's own thread.
    pub fn join(&self) -> io::Result<()> {
        self.refuse_own_thread()?;
        match self.0.take_thread() {
            None => Ok(()),
            Some(thread) => thread.join().map_err(|_| io::Error::other("a task of the reactor panicked"))?,
        }
    }

    fn refuse_own_thread(&self) -> io::Result<()> {
        match current() {
            Some(own) if own.id() == self.id() => {
                Err(io::Error::new(io::ErrorKind::Deadlock, "a reactor cannot wait for itself"))
            }
            _ => Ok(()),
        }
    }
}

impl Home for Handle {
    fn id(&self) -> ReactorId {
        self.0.id
    }

    fn run(&self, f: Box<dyn FnOnce() + Send>) {
        self.0.post(f);
    }
}

impl Timer for Handle {
    fn after(&self, ms: u32, f: Box<dyn FnOnce() + Send>) {
        self.spawn(move || async move {
            sleep(Duration::from_millis(u64::from(ms))).await;
            f();
        });
    }
}
