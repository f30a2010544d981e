//! The mailbox of a reactor: what other threads may touch.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;

use parpen_block::ReactorId;
use rustix::event::EventfdFlags;

use crate::Backend;

/// A closure that was posted to the reactor.
pub(crate) type Call = Box<dyn FnOnce() + Send>;

/// What waits for the reactor.
#[derive(Default)]
pub(crate) struct Inbox {
    /// Posted closures, oldest first.
    pub(crate) calls: VecDeque<Call>,
    /// Tasks that were woken from other threads.
    pub(crate) woken: Vec<u32>,
    /// Somebody asked the reactor to end.
    pub(crate) stop: bool,
    /// The reactor has ended: nothing is taken any more.
    pub(crate) closed: bool,
}

impl Inbox {
    fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.woken.is_empty() && !self.stop
    }
}

/// The part of a reactor that other threads see.
pub(crate) struct Shared {
    pub(crate) id: ReactorId,
    pub(crate) name: String,
    /// Set once, by the thread itself, before its starter goes on.
    backend: OnceLock<Backend>,
    /// Taken by the first who joins.
    thread: Mutex<Option<JoinHandle<std::io::Result<()>>>>,
    inbox: Mutex<Inbox>,
    /// Set while the reactor waits in the kernel or is about to; whoever clears it rings the bell. So a busy
    /// reactor costs its callers no system call.
    sleeping: AtomicBool,
    /// An eventfd that the waiting backend watches.
    bell: OwnedFd,
}

impl Shared {
    pub(crate) fn new(id: ReactorId, name: &str) -> std::io::Result<Shared> {
        // blocking on purpose: io_uring answers EAGAIN for non-blocking descriptors instead of waiting
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC)?;
        let (name, backend, thread) = (name.to_owned(), OnceLock::new(), Mutex::default());
        let (inbox, sleeping) = (Mutex::default(), AtomicBool::new(false));
        Ok(Shared { id, name, backend, thread, inbox, sleeping, bell })
    }

    /// Who carries out the I/O; `Auto` until the thread has found out.
    pub(crate) fn backend(&self) -> Backend {
        self.backend.get().copied().unwrap_or(Backend::Auto)
    }

    pub(crate) fn set_backend(&self, backend: Backend) {
        let first = self.backend.set(backend).is_ok();
        assert!(first, "a reactor chooses its backend once");
    }

    /// Keeps the thread for [`take_thread`](Shared::take_thread).
    pub(crate) fn keep(&self, thread: JoinHandle<std::io::Result<()>>) {
        *self.thread.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(thread);
    }

    pub(crate) fn take_thread(&self) -> Option<JoinHandle<std::io::Result<()>>> {
        self.thread.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }

    pub(crate) fn bell(&self) -> &OwnedFd {
        &self.bell
    }

    /// A panicking holder leaves the inbox whole: every change is one push or one take.
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Queues a closure; drops it if the reactor has ended.
    pub(crate) fn post(&self, call: Call) {
        let refused = {
            let mut inbox = self.lock();
            if inbox.closed {
                Some(call)
            } else {
                inbox.calls.push_back(call);
                None
            }
        };
        match refused {
            // dropped outside the lock: what it captured may post in turn
            Some(call) => drop(call),
            None => self.ring(),
        }
    }

    /// Wakes a task from another thread.
    pub(crate) fn wake_task(&self, index: u32) {
        self.lock().woken.push(index);
        self.ring();
    }

    /// Asks the reactor to end.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.ring();
    }

    /// Takes everything; `into` must be empty and is swapped in, so no memory is allocated in the steady state.
    pub(crate) fn take(&self, into: &mut Inbox) {
        let mut inbox = self.lock();
        std::mem::swap(&mut inbox.calls, &mut into.calls);
        std::mem::swap(&mut inbox.woken, &mut into.woken);
        into.stop = inbox.stop;
    }

    /// Takes nothing from now on and hands out what is left, for dropping.
    pub(crate) fn close(&self) -> Inbox {
        let mut inbox = self.lock();
        inbox.closed = true;
        Inbox {
            calls: std::mem::take(&mut inbox.calls),
            woken: std::mem::take(&mut inbox.woken),
            ..Inbox::default()
        }
    }

    /// Ends a wait of the reactor, if it waits.
    pub(crate) fn ring(&self) {
        if self.sleeping.swap(false, Ordering::SeqCst) {
            // An eventfd write fails only when its counter is full: then the bell rings already.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    /// Announces a wait; false if there is something to do instead.
    pub(crate) fn may_sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::SeqCst);
        let empty = self.lock().is_empty();
        if !empty {
            self.sleeping.store(false, Ordering::SeqCst);
        }
        empty
    }

    /// The wait is over.
    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Ordering::SeqCst);
    }
}
