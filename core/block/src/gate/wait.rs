//! Waiting for devices to finish: the drain, the proof that it ended, and holds.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use crate::{ExportId, IoError, Whom, pinned};

use super::Inner;
use super::session::Live;

/// The proof that at the given epoch nobody of `whom` can reach the device through this export any more:
/// nothing of theirs is in flight and nothing new gets in until rules are published. Only
/// [`super::Gate::cut`] makes one, and only with one may the row that hands the device over be written.
#[derive(Debug)]
#[must_use = "it is the proof that the final row may be written"]
pub struct Fenced {
    export: ExportId,
    whom: Whom,
    epoch: u64,
}

impl Fenced {
    pub(super) fn new(export: ExportId, whom: Whom, epoch: u64) -> Fenced {
        Fenced { export, whom, epoch }
    }

    /// The export that was cut.
    pub fn export(&self) -> ExportId {
        self.export
    }

    /// Who was cut.
    pub fn whom(&self) -> Whom {
        self.whom
    }

    /// The newest epoch that the gate knew of when it shut them; 0 for an export it never heard of.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Resolves when none of the sessions has a request in its device.
pub(super) struct Drained {
    gate: Arc<Inner>,
    sessions: Vec<Arc<Live>>,
    number: u64,
    unless: Option<Arc<Hold>>,
}

impl Drained {
    pub(super) fn of(gate: Arc<Inner>, sessions: Vec<Arc<Live>>) -> Drained {
        Drained { gate, sessions, number: pinned::number(), unless: None }
    }

    /// Resolves too when the hold is broken.
    pub(super) fn unless(mut self, held: &Held) -> Drained {
        self.unless = Some(Arc::clone(&held.0));
        self
    }
}

impl Future for Drained {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let mut state = this.gate.lock();
        let old = state.waiters.insert(this.number, cx.waker().clone());
        // A session that was seen drained stays so: it is shut or held, and a broken hold ends the wait.
        this.sessions.retain(|l| l.in_flight() > 0);
        let broken = this.unless.as_ref().is_some_and(|h| h.released.load(Ordering::SeqCst));
        let ended = this.sessions.is_empty() || broken;
        let own = if ended { state.waiters.remove(&this.number) } else { None };
        drop(state);
        // Not under the mutex: the last waker of a task drops what the task owns, a hold for example.
        drop((old, own));
        if ended { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let own = self.gate.lock().waiters.remove(&self.number);
        drop(own);
    }
}

/// Keeps exports still: nothing of theirs is in flight and nothing gets in. Dropping it lets them go on.
#[derive(Debug)]
#[must_use = "dropping it lets the exports go on"]
pub struct Held(Arc<Hold>);

struct Hold {
    gate: Arc<Inner>,
    exports: Vec<ExportId>,
    released: AtomicBool,
}

impl Held {
    /// Stops new requests and says whose old ones are to be waited for.
    pub(super) fn start(gate: &Arc<Inner>, es: &[ExportId]) -> (Held, Vec<Arc<Live>>) {
        let mut exports = es.to_vec();
        exports.sort_unstable();
        exports.dedup();
        let mut sessions = Vec::new();
        let mut state = gate.lock();
        for e in &exports {
            // An export that is published while the hold lasts is held from its first session on.
            let entry =
                state.exports.entry(*e).or_insert_with(|| super::Entry { gone: true, ..Default::default() });
            entry.holds += 1;
            entry.live.iter().for_each(|l| l.set_held(true));
            sessions.extend(entry.live.iter().map(Arc::clone));
        }
        drop(state);
        (Held(Arc::new(Hold { gate: Arc::clone(gate), exports, released: AtomicBool::new(false) })), sessions)
    }

    /// What the timer calls when the time is over. It keeps nothing alive.
    pub(super) fn breaker(&self) -> Box<dyn FnOnce() + Send> {
        let hold: Weak<Hold> = Arc::downgrade(&self.0);
        Box::new(move || {
            if let Some(hold) = hold.upgrade()
                && hold.release()
            {
                hold.gate.notify();
            }
        })
    }

    /// Whether the time ran out and the exports go on already.
    pub fn is_broken(&self) -> bool {
        self.0.released.load(Ordering::SeqCst)
    }

    /// Lets the exports go on; [`IoError::Io`] when they did so before, because the time had run out. What
    /// was done under a broken hold is not of one instant and has to be undone.
    pub fn release(self) -> Result<(), IoError> {
        if self.0.release() { Ok(()) } else { Err(IoError::Io) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Hold {
    /// Releases once; `true` for the call that did it.
    fn release(&self) -> bool {
        if self.released.swap(true, Ordering::SeqCst) {
            return false;
        }
        let mut freed = Vec::new();
        let mut state = self.gate.lock();
        for e in &self.exports {
            if let Some(entry) = state.exports.get_mut(e) {
                entry.holds -= 1;
                if entry.holds == 0 {
                    entry.live.iter().for_each(|l| l.set_held(false));
                    freed.extend(entry.live.iter().map(Arc::clone));
                }
            }
            state.tidy(*e);
        }
        drop(state);
        freed.iter().for_each(|l| l.wake());
        true
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold").field("exports", &self.exports).finish()
    }
}
