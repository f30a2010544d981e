//! One admitted connection: its word of flags and count, its hooks, and the handle that transports hold.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::filter::Check;
use crate::pinned;
use crate::{BlockDevice, Capabilities, Geometry, Home, Queue, Refusal, Rights, SessionInfo, Wake};

use super::Inner;
use super::queue::{Gated, Lane};

/// The session was cut: what is submitted ends in `Fenced`.
const SHUT: u64 = 1 << 63;
/// Requests are given back for a while.
const HELD: u64 = 1 << 62;
const FLAGS: u64 = SHUT | HELD;

/// What the gate knows of one session.
pub(super) struct Live {
    pub(super) info: SessionInfo,
    pub(super) number: u64,
    /// SHUT, HELD and the number of requests that the device has; see the argument in the module's head.
    word: AtomicU64,
    lanes: Mutex<Vec<Arc<Lane>>>,
    hooks: Mutex<Hooks>,
}

#[derive(Default)]
struct Hooks {
    told: bool,
    waiting: Vec<Box<dyn Fn() + Send + Sync>>,
}

/// Whether a request may go to the device.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Enter {
    /// It is counted; `leave` when the device has answered it.
    Go,
    /// Not now.
    Held,
    /// Never again.
    Shut,
}

impl Live {
    pub(super) fn new(info: SessionInfo, held: bool) -> Live {
        Live {
            info,
            number: pinned::number(),
            word: AtomicU64::new(if held { HELD } else { 0 }),
            lanes: Mutex::default(),
            hooks: Mutex::default(),
        }
    }

    /// Counts one request in, unless a flag is set.
    pub(super) fn enter(&self, gate: &Inner) -> Enter {
        let mut word = self.word.load(Ordering::SeqCst);
        if word & FLAGS == 0 {
            word = self.word.fetch_add(1, Ordering::SeqCst);
            if word & FLAGS == 0 {
                return Enter::Go;
            }
            self.leave(gate);
        }
        if word & SHUT != 0 { Enter::Shut } else { Enter::Held }
    }

    /// Counts one request out.
    pub(super) fn leave(&self, gate: &Inner) {
        let before = self.word.fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before & !FLAGS > 0, "a request left that had not entered");
        if before & !FLAGS == 1 && before & FLAGS != 0 {
            gate.notify();
        }
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.word.load(Ordering::SeqCst) & !FLAGS
    }

    /// From here on nothing new reaches the device.
    pub(super) fn shut(&self) {
        self.word.fetch_or(SHUT, Ordering::SeqCst);
    }

    pub(super) fn is_shut(&self) -> bool {
        self.word.load(Ordering::SeqCst) & SHUT != 0
    }

    pub(super) fn set_held(&self, held: bool) {
        if held {
            self.word.fetch_or(HELD, Ordering::SeqCst);
        } else {
            self.word.fetch_and(!HELD, Ordering::SeqCst);
        }
    }

    /// Calls the hooks of a shut session and wakes its queues. Not under the gate's mutex: hooks may use
    /// the gate.
    pub(super) fn tell(&self) {
        let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        hooks.told = true;
        let waiting = std::mem::take(&mut hooks.waiting);
        drop(hooks);
        waiting.iter().for_each(|hook| hook());
        self.wake();
    }

    /// Wakes the owners of all queues: a flag has changed.
    pub(super) fn wake(&self) {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        lanes.iter().for_each(|lane| lane.wake_owner());
    }

    fn on_cut(&self, hook: Box<dyn Fn() + Send + Sync>) {
        let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        if hooks.told {
            drop(hooks);
            hook();
        } else {
            hooks.waiting.push(hook);
        }
    }

    fn add(&self, lane: Arc<Lane>) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
    }

    pub(super) fn remove(&self, lane: &Arc<Lane>) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).retain(|l| !Arc::ptr_eq(l, lane));
    }
}

/// Keeps a session on the gate's list: the handle and each queue have a share of it.
pub(super) struct Ticket {
    pub(super) gate: Arc<Inner>,
    pub(super) live: Arc<Live>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        match self.live.in_flight() {
            0 => self.gate.leave(&self.live),
            // Only when a thread ended with a queue on it. The device may still work on these: the session
            // stays on the list for good, so that no cut proves what is not known.
            n => tracing::error!(
                export = %self.live.info.export.0,
                in_flight = n,
                "a thread ended before its device had answered; until a restart this export cannot be cut"
            ),
        }
    }
}

/// One admitted connection to a device. Dropping it leaves the gate, as soon as its queues are dropped and
/// drained.
pub struct Session {
    ticket: Arc<Ticket>,
    device: Arc<dyn BlockDevice>,
}

impl Session {
    pub(super) fn new(ticket: Arc<Ticket>, device: Arc<dyn BlockDevice>) -> Session {
        Session { ticket, device }
    }

    /// Who it was given to, and with what rights.
    pub fn info(&self) -> &SessionInfo {
        &self.ticket.live.info
    }

    /// Size and preferred sizes of the device, as they are now.
    pub fn geometry(&self) -> Geometry {
        self.device.geometry()
    }

    /// What can be done through this session: `read_only` if the device is, or these rights are.
    pub fn capabilities(&self) -> Capabilities {
        let mut c = self.device.capabilities();
        c.read_only |= self.info().rights == Rights::ReadOnly;
        c
    }

    /// Where [`Session::open`] must be called and its queues live; `None`: on any thread.
    pub fn home(&self) -> Option<Arc<dyn Home>> {
        self.device.home()
    }

    /// Whether the session was cut; then everything submitted ends in [`crate::IoError::Fenced`].
    pub fn is_cut(&self) -> bool {
        self.ticket.live.is_shut()
    }

    /// Calls `hook` once when the session is cut, on the thread of whoever cuts, or now if it has been. The
    /// hook shuts the socket or the like, whose owner then drops its queues; it must not block, and must
    /// not own the session.
    pub fn on_cut(&self, hook: Box<dyn Fn() + Send + Sync>) {
        self.ticket.live.on_cut(hook);
    }

    /// Opens a queue of at most `depth` requests in flight, on the device's home thread. Arguments are
    /// checked, the rights are kept, and after a cut every submitted request ends in
    /// [`crate::IoError::Fenced`].
    ///
    /// The queue of a device without a home lives on the calling thread, and dropping it waits for the
    /// device to answer what is in flight; [`Session::open_on`] avoids the wait.
    pub fn open(&self, depth: u16, wake: Wake) -> Result<Box<dyn Queue>, Refusal> {
        self.open_with(self.device.home(), depth, wake)
    }

    /// As [`Session::open`], for a caller on a reactor: where the device has no home, `here`, which must be
    /// the home of the calling thread, finishes the queue when it is dropped.
    pub fn open_on(&self, here: &Arc<dyn Home>, depth: u16, wake: Wake) -> Result<Box<dyn Queue>, Refusal> {
        let home = self.device.home().unwrap_or_else(|| Arc::clone(here));
        self.open_with(Some(home), depth, wake)
    }

    fn open_with(
        &self,
        home: Option<Arc<dyn Home>>,
        depth: u16,
        wake: Wake,
    ) -> Result<Box<dyn Queue>, Refusal> {
        if self.is_cut() {
            return Err(Refusal::Forbidden("access was taken away".into()));
        }
        let lane = Lane::new(home, wake.clone());
        let inner = self.device.open(depth, lane.device_wake())?;
        self.ticket.live.add(Arc::clone(&lane));
        let gated = Gated::new(inner, lane, Arc::clone(&self.ticket), depth, wake.clone());
        let read_only = self.capabilities().read_only;
        Ok(Box::new(Check::new(gated, Arc::clone(&self.device), read_only, depth, wake)))
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("info", self.info()).field("cut", &self.is_cut()).finish()
    }
}
