//! The table of operations together with the backend that carries them out.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::Backend;
use crate::shared::Shared;
use crate::table::{Key, Op, Outcome, Payload, Table};
use crate::threads::Threads;
use crate::uring::Uring;

/// How long a turn may wait for something to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    No,
    AtMost(Duration),
    Forever,
}

#[allow(clippy::large_enum_variant)] // there is one a thread
enum Engine {
    Uring(Uring),
    Threads(Threads),
}

/// Carries out the operations of one reactor; lives on its thread.
pub(crate) struct Driver {
    table: Table,
    engine: Engine,
}

impl Driver {
    /// `Auto` takes io_uring where the kernel gives it.
    pub(crate) fn new(backend: Backend, shared: &Arc<Shared>) -> io::Result<Driver> {
        let uring = || Ok::<_, io::Error>(Engine::Uring(Uring::new(shared.clone())?));
        let threads = || Ok::<_, io::Error>(Engine::Threads(Threads::new(shared.clone())?));
        let engine = match backend {
            Backend::Uring => uring()?,
            Backend::Threads => threads()?,
            Backend::Auto => uring().or_else(|refused| {
                tracing::info!(%refused, "no io_uring here; threads do the work");
                threads()
            })?,
        };
        Ok(Driver { table: Table::default(), engine })
    }

    pub(crate) fn backend(&self) -> Backend {
        match self.engine {
            Engine::Uring(_) => Backend::Uring,
            Engine::Threads(_) => Backend::Threads,
        }
    }

    pub(crate) fn start(&mut self, op: Op, fd: Arc<OwnedFd>, payload: Payload) -> Key {
        let key = self.table.insert(op, fd, payload);
        match &mut self.engine {
            Engine::Uring(uring) => uring.start(&mut self.table, key),
            Engine::Threads(threads) => threads.start(&mut self.table, key),
        }
        key
    }

    pub(crate) fn poll(&mut self, key: Key, cx: &Context<'_>) -> (Poll<(Outcome, Payload)>, Option<Waker>) {
        match self.table.poll(key, cx.waker()) {
            Ok(done) => (Poll::Ready(done), None),
            Err(replaced) => (Poll::Pending, replaced),
        }
    }

    /// The future of this operation was dropped: the memory stays here until the operation has ended.
    pub(crate) fn forget(&mut self, key: Key) {
        if !self.table.disown(key) {
            return;
        }
        match &mut self.engine {
            Engine::Uring(uring) => uring.cancel(&mut self.table, key),
            Engine::Threads(threads) => threads.cancel(&mut self.table, key),
        }
    }

    /// Whether nothing has ended that the table does not know of.
    pub(crate) fn may_sleep(&self) -> bool {
        match &self.engine {
            Engine::Uring(_) => true, // an unseen completion ends the wait at once
            Engine::Threads(threads) => threads.may_sleep(),
        }
    }

    /// Hands over what was started, waits as told, and enters what has ended into the table.
    pub(crate) fn turn(&mut self, wait: Wait, woken: &mut Vec<Waker>) -> io::Result<()> {
        let wait = if self.table.woken.is_empty() { wait } else { Wait::No };
        let result = match &mut self.engine {
            Engine::Uring(uring) => uring.turn(&mut self.table, wait),
            Engine::Threads(threads) => threads.turn(&mut self.table, wait),
        };
        woken.append(&mut self.table.woken);
        result
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // the pool's threads own what they work on, and its own drop waits for them
        let Engine::Uring(uring) = &mut self.engine else { return };
        // Freed only once the kernel has let go of it: after an error, or a panic in here, it is better lost.
        let mut lent = ManuallyDrop::new((std::mem::take(&mut self.table), uring.take_memory()));
        match uring.drain(&mut lent.0) {
            Ok(()) => drop(ManuallyDrop::into_inner(lent)),
            Err(error) => {
                tracing::error!(%error, "operations in flight could not be ended; their memory is lost")
            }
        }
    }
}
