//! The gate: nobody gets a device except through it, and it can shut, cut and hold what it gave.
//!
//! # Why nothing of the old holder lands after [`Fenced`]
//!
//! 1. Each session has one atomic word: a count of the requests that the device has and the flags SHUT and
//!    HELD. A submit first adds one to the word and looks at the flags *that same addition* returned; with
//!    a flag set it takes the one back and the device never sees the request. A cut sets SHUT in the same
//!    word. All changes of one atomic are in one order, so each submit is either before the cut (its one is
//!    in the count that the cut waits for) or after it (refused). There is no third case, and no lock on
//!    the way.
//! 2. The one is taken off only when the *device* has given the completion out of `reap`, the moment from
//!    which the device no longer works on the request. Nothing else takes it off, dropping a queue
//!    included: a device may disown what is in flight then, and a disowned write can still land. So a
//!    dropped queue with requests in flight is kept on its home thread until the device has answered them
//!    all (`queue.rs`); where a device has no home the drop itself waits. When that thread ends first, the
//!    count never falls and the cut never resolves: no proof is better than a false one, and the process is
//!    ending anyway.
//! 3. No session can be added behind the back of a cut: `admit`, `publish`, `close` and the list that `cut`
//!    waits for are under one mutex, a cut closes the export to those it means until the next publish, and
//!    a session stays in the list until the session, all its queues and all it has in flight are gone.
//! 4. The waiter cannot sleep through the end: it stores its waker and then looks at the counts, both under
//!    the mutex; whoever takes the last one off a flagged word takes the mutex afterwards and wakes it.
//! 5. [`Fenced`] has private fields and is made in one place, after that wait.
//!
//! The same word makes a hold an instant: once every count is 0 under HELD, nothing is in the devices and
//! nothing enters until the release. Besides, `admit` keeps a new holder out while one who is no longer let
//! in still has requests in the device, so that two publishes without a cut between cannot make two holders
//! overlap.

mod queue;
mod session;
#[cfg(test)]
mod tests;
mod wait;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::{
    AccessTable, BlockDevice, ExportId, HostId, IoError, Peer, Refusal, Rights, SessionInfo, Timer, Whom,
    decide,
};

use session::{Live, Ticket};
use wait::Drained;

pub use session::Session;
pub use wait::{Fenced, Held};

/// Keeps who may use which export, and every open session. One per process; clones are the same gate.
#[derive(Clone, Default)]
pub struct Gate(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    exports: HashMap<ExportId, Entry>,
    /// Who waits for a drain, by a number of its own.
    waiters: HashMap<u64, Waker>,
}

#[derive(Default)]
struct Entry {
    /// `None`: not published, or gone. Nobody is let in.
    table: Option<AccessTable>,
    /// The newest epoch heard of.
    epoch: u64,
    /// Closed to these until the next publish.
    closed: Vec<Whom>,
    /// Holds that are not released.
    holds: usize,
    /// Sessions with a handle, a queue or a request in flight.
    live: Vec<Arc<Live>>,
    /// Nothing here is worth keeping once the sessions and holds are gone.
    gone: bool,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic leaves the state half changed, so a poisoned mutex still guards a sound
        // state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a session off the list; the last one of a gone export takes the export along.
    fn leave(&self, live: &Live) {
        let mut state = self.lock();
        let e = live.info.export;
        if let Some(entry) = state.exports.get_mut(&e) {
            entry.live.retain(|l| l.number != live.number);
        }
        state.tidy(e);
    }

    /// Wakes all who wait for a drain; each looks again.
    fn notify(&self) {
        let waiters = std::mem::take(&mut self.lock().waiters);
        waiters.into_values().for_each(Waker::wake);
    }
}

impl State {
    fn tidy(&mut self, e: ExportId) {
        if self.exports.get(&e).is_some_and(|x| x.gone && x.live.is_empty() && x.holds == 0) {
            self.exports.remove(&e);
        }
    }
}

impl Entry {
    fn is_closed_to(&self, host: Option<HostId>) -> bool {
        self.closed.iter().any(|whom| whom.means(host))
    }

    fn close(&mut self, whom: Whom) {
        if !self.closed.contains(&whom) {
            self.closed.push(whom);
        }
    }

    fn admit(&self, host: Option<HostId>) -> Result<Rights, Refusal> {
        let table = self.table.as_ref().ok_or(Refusal::Unknown)?;
        if self.is_closed_to(host) {
            return Err(Refusal::Forbidden(
                "this export is being taken away or handed over; try again in a moment".into(),
            ));
        }
        let rights = decide(table, host)?;
        let former = |l: &Live| decide(table, l.info.host).is_err() && l.in_flight() > 0;
        if self.live.iter().any(|l| former(l)) {
            return Err(Refusal::Unavailable(
                "the last requests of the former holder are still being finished; try again in a moment"
                    .into(),
            ));
        }
        Ok(rights)
    }

    fn meant(&self, whom: Whom) -> Vec<Arc<Live>> {
        self.live.iter().filter(|l| whom.means(l.info.host)).map(Arc::clone).collect()
    }
}

impl Gate {
    /// A gate without exports: it lets nobody in.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Sets the rules of an export and ends what was closed; ignored when `epoch` is older than one already
    /// heard of. Every live session is decided anew: one that is no longer let in, or may do less than it
    /// was given, is shut at once and its `on_cut` hooks are called. This does not wait for its last
    /// requests; [`Gate::cut`] does.
    pub fn publish(&self, e: ExportId, table: AccessTable, epoch: u64) {
        let mut state = self.0.lock();
        let entry = state.exports.entry(e).or_default();
        if epoch < entry.epoch {
            tracing::debug!(export = %e.0, epoch, known = entry.epoch, "ignored rules of an older epoch");
            return;
        }
        let out: Vec<Arc<Live>> = entry
            .live
            .iter()
            .filter(|l| match decide(&table, l.info.host) {
                Ok(Rights::ReadOnly) => l.info.rights == Rights::ReadWrite,
                Ok(Rights::ReadWrite) => false,
                Err(_) => true,
            })
            .map(Arc::clone)
            .collect();
        entry.epoch = epoch;
        entry.table = Some(table);
        entry.closed.clear();
        entry.gone = false;
        out.iter().for_each(|l| l.shut());
        drop(state);
        out.iter().for_each(|l| l.tell());
    }

    /// Lets `host` in, if the rules of `e` do; `device` is what it gets.
    pub fn admit(
        &self,
        e: ExportId,
        host: Option<HostId>,
        peer: Peer,
        device: Arc<dyn BlockDevice>,
    ) -> Result<Session, Refusal> {
        let mut state = self.0.lock();
        let entry = state.exports.get_mut(&e).ok_or(Refusal::Unknown)?;
        let rights = entry.admit(host)?;
        let live = Arc::new(Live::new(SessionInfo { export: e, host, peer, rights }, entry.holds > 0));
        entry.live.push(Arc::clone(&live));
        drop(state);
        Ok(Session::new(Arc::new(Ticket { gate: Arc::clone(&self.0), live }), device))
    }

    /// Lets none of `whom` in from now until the next [`Gate::publish`], and says which of them are inside.
    /// A close of an older epoch than one already heard of closes nothing.
    pub fn close(&self, e: ExportId, whom: Whom, epoch: u64) -> Vec<SessionInfo> {
        let mut state = self.0.lock();
        let entry = state.exports.entry(e).or_default();
        if epoch >= entry.epoch {
            entry.epoch = epoch;
            entry.gone = false;
            entry.close(whom);
        }
        entry.meant(whom).iter().map(|l| l.info.clone()).collect()
    }

    /// Closes `e` to `whom`, shuts the queues they have, calls their `on_cut` hooks, and resolves when the
    /// devices have nothing of theirs in flight any more. Dropping the future leaves them shut; cut again
    /// to get the proof.
    pub async fn cut(&self, e: ExportId, whom: Whom) -> Fenced {
        let (epoch, out) = self.shut(e, whom);
        out.iter().for_each(|l| l.tell());
        Drained::of(Arc::clone(&self.0), out).await;
        Fenced::new(e, whom, epoch)
    }

    fn shut(&self, e: ExportId, whom: Whom) -> (u64, Vec<Arc<Live>>) {
        let mut state = self.0.lock();
        // An export that was never heard of lets nobody in as it is.
        let Some(entry) = state.exports.get_mut(&e) else { return (0, Vec::new()) };
        entry.close(whom);
        let out = entry.meant(whom);
        out.iter().for_each(|l| l.shut());
        (entry.epoch, out)
    }

    /// Stops new requests of these exports (they are given back, none fails) and resolves when nothing of
    /// theirs is in flight. Dropping the [`Held`], or this future, lets them go on. After `at_most_ms` from
    /// the call they go on in any case, so that no client hangs on a job that does: before the drain this
    /// is [`IoError::Io`], after it [`Held::release`] tells.
    pub async fn hold(&self, es: &[ExportId], at_most_ms: u32, timer: &dyn Timer) -> Result<Held, IoError> {
        let (held, sessions) = Held::start(&self.0, es);
        timer.after(at_most_ms, held.breaker());
        Drained::of(Arc::clone(&self.0), sessions).unless(&held).await;
        if held.is_broken() { Err(IoError::Io) } else { Ok(held) }
    }

    /// The sessions of an export, those included that are shut and still have requests in flight.
    pub fn sessions(&self, e: ExportId) -> Vec<SessionInfo> {
        let state = self.0.lock();
        state.exports.get(&e).into_iter().flat_map(|x| &x.live).map(|l| l.info.clone()).collect()
    }

    /// The sessions of all exports.
    pub fn all_sessions(&self) -> Vec<SessionInfo> {
        self.0.lock().exports.values().flat_map(|x| &x.live).map(|l| l.info.clone()).collect()
    }

    /// The export is gone: nobody is let in any more, and when its last session has left nothing remembers
    /// it.
    pub fn forget(&self, e: ExportId) {
        let mut state = self.0.lock();
        if let Some(entry) = state.exports.get_mut(&e) {
            entry.table = None;
            entry.gone = true;
            state.tidy(e);
        }
    }
}
