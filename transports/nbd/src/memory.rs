//! One ceiling on the payload that all connections of a server hold together.
//!
//! Each connection has [`FLOOR`] bytes for itself, so that small requests are served whatever others do. What it needs
//! beyond that it takes from one common store, first come, first served; while that has too little, the socket is not
//! read. When somebody waits, all who hold more than they use give it back, and a client that neither takes its replies
//! nor sends the rest of its payload is cut after a while, so that nobody can keep others waiting for ever.

use std::collections::{BTreeMap, VecDeque};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parpen_ring::{Socket, sleep, spawn_local};

/// Bytes that each connection has for itself.
pub(crate) const FLOOR: usize = 256 << 10;
/// What is taken from the common store is a multiple of this, in bytes.
const UNIT: usize = 1 << 20;

/// What a connection says of its client.
#[derive(Default)]
pub(crate) struct Meter {
    /// Counts what the client has taken and given.
    pub(crate) moves: AtomicU64,
    /// Replies wait for the client to take them.
    pub(crate) sending: AtomicBool,
    /// A payload waits for the client to send its rest.
    pub(crate) receiving: AtomicBool,
}

struct Holder {
    waker: Waker,
    meter: Arc<Meter>,
    socket: Socket,
    /// Moves at the last look, if it waited for its client then.
    stuck_at: Option<u64>,
}

#[derive(Default)]
struct State {
    left: usize,
    last: u64,
    /// Who waits, oldest first.
    waiting: VecDeque<(u64, Waker)>,
    holders: BTreeMap<u64, Holder>,
    /// A task looks after those that wait.
    relieving: bool,
}

/// What is left for all.
pub(crate) struct Memory {
    state: Mutex<State>,
    /// Somebody waits.
    wanted: AtomicBool,
    patience: Duration,
}

impl Memory {
    /// `bytes` for all; who keeps others waiting is cut after one to two times `patience`.
    pub(crate) fn new(bytes: usize, patience: Duration) -> Arc<Memory> {
        let state = State { left: bytes / UNIT * UNIT, ..State::default() };
        Arc::new(Memory { state: Mutex::new(state), wanted: AtomicBool::new(false), patience })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // numbers and lists, changed by code that cannot panic half-way
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection's share.
    pub(crate) fn share(self: &Arc<Self>, socket: &Socket) -> Share {
        let mut state = self.lock();
        state.last += 1;
        let (id, meter) = (state.last, Arc::default());
        drop(state);
        Share { memory: self.clone(), id, granted: 0, waits: false, meter, socket: socket.clone() }
    }

    /// Whether somebody waits for memory.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Looks at all holders, and cuts those whose clients have not moved since the last look. False if nobody waits.
    fn relieve(&self) -> bool {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            state.relieving = false;
            return false;
        }
        for holder in state.holders.values_mut() {
            let meter = &holder.meter;
            let waits = meter.sending.load(Ordering::Relaxed) || meter.receiving.load(Ordering::Relaxed);
            let moves = meter.moves.load(Ordering::Relaxed);
            if waits && holder.stuck_at == Some(moves) {
                tracing::warn!("an NBD client that stands still is cut: others wait for the memory it holds");
                // an error says that the client was faster
                let _ = holder.socket.shutdown(Shutdown::Both);
            }
            holder.stuck_at = waits.then_some(moves);
        }
        true
    }

    /// Starts to look after those that wait, on the reactor of this thread.
    fn look_after(self: &Arc<Self>) {
        let memory = self.clone();
        spawn_local(async move {
            loop {
                sleep(memory.patience).await;
                if !memory.relieve() {
                    return;
                }
            }
        });
    }
}

/// What one connection may hold. Dropped, it gives all back.
pub(crate) struct Share {
    memory: Arc<Memory>,
    id: u64,
    granted: usize,
    /// It stands in the queue.
    waits: bool,
    pub(crate) meter: Arc<Meter>,
    socket: Socket,
}

impl Share {
    /// Bytes that the connection may hold now.
    pub(crate) fn room(&self) -> usize {
        FLOOR + self.granted
    }

    /// Whether others wait for memory.
    pub(crate) fn is_wanted(&self) -> bool {
        self.memory.is_wanted()
    }

    /// Waits until the connection may hold `bytes` in all.
    pub(crate) fn poll_room(&mut self, bytes: usize, cx: &Context<'_>) -> Poll<()> {
        let want = bytes.saturating_sub(FLOOR).next_multiple_of(UNIT).saturating_sub(self.granted);
        if want == 0 {
            self.leave();
            return Poll::Ready(());
        }
        let mut state = self.memory.lock();
        let first = state.waiting.front().is_none_or(|(id, _)| *id == self.id);
        if first && state.left >= want {
            state.left -= want;
            let (waker, meter, socket) = (cx.waker().clone(), self.meter.clone(), self.socket.clone());
            state.holders.entry(self.id).or_insert(Holder { waker, meter, socket, stuck_at: None });
            drop(state);
            self.granted += want;
            self.leave();
            return Poll::Ready(());
        }
        if self.waits {
            let own = state.waiting.iter_mut().find(|(id, _)| *id == self.id);
            own.expect("who waits stands in the queue").1.clone_from(cx.waker());
            return Poll::Pending;
        }
        self.waits = true;
        state.waiting.push_back((self.id, cx.waker().clone()));
        self.memory.wanted.store(true, Ordering::Relaxed);
        let others: Vec<Waker> =
            state.holders.iter().filter(|(id, _)| **id != self.id).map(|(_, h)| h.waker.clone()).collect();
        let alone = std::mem::replace(&mut state.relieving, true);
        drop(state);
        if !alone {
            self.memory.look_after();
        }
        others.into_iter().for_each(Waker::wake);
        Poll::Pending
    }

    /// Leaves the queue; the next one's turn has come.
    fn leave(&mut self) {
        if std::mem::take(&mut self.waits) {
            let mut state = self.memory.lock();
            state.waiting.retain(|(id, _)| *id != self.id);
            self.memory.wanted.store(!state.waiting.is_empty(), Ordering::Relaxed);
            let next = state.waiting.front().map(|(_, waker)| waker.clone());
            drop(state);
            next.into_iter().for_each(Waker::wake);
        }
    }

    /// Gives back what is not needed to hold `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let keep = bytes.saturating_sub(FLOOR).next_multiple_of(UNIT);
        if keep >= self.granted {
            return;
        }
        let mut state = self.memory.lock();
        state.left += self.granted - keep;
        self.granted = keep;
        let gone = (keep == 0).then(|| state.holders.remove(&self.id));
        let next = state.waiting.front().map(|(_, waker)| waker.clone());
        drop(state);
        drop(gone);
        next.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.leave();
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn share(memory: &Arc<Memory>) -> Share {
        memory.share(&Socket::new(UnixStream::pair().unwrap().0).unwrap())
    }

    /// On a reactor, because who waits is looked after there.
    fn on_reactor(test: impl FnOnce(&Context<'_>) + Send + 'static) {
        let reactor = parpen_ring::Reactor::start("memory", parpen_ring::Backend::Auto).unwrap();
        reactor.block_on(move || async move { test(&Context::from_waker(Waker::noop())) }).unwrap();
        reactor.shutdown();
        reactor.join().unwrap();
    }

    #[test]
    fn what_all_hold_is_bounded_and_given_in_turn() {
        on_reactor(|cx| {
            let memory = Memory::new(4 * UNIT + 5, Duration::from_secs(9));
            let (mut a, mut b, mut c) = (share(&memory), share(&memory), share(&memory));
            assert!(a.poll_room(FLOOR, cx).is_ready() && a.granted == 0);
            assert!(a.poll_room(FLOOR + 3 * UNIT, cx).is_ready());
            assert!(b.poll_room(FLOOR + 2 * UNIT, cx).is_pending() && memory.is_wanted());
            assert!(c.poll_room(FLOOR + 1, cx).is_pending(), "nobody overtakes");
            assert!(c.poll_room(FLOOR, cx).is_ready(), "its own memory is always there");
            a.shrink(FLOOR + 2 * UNIT);
            assert!(c.poll_room(FLOOR + 1, cx).is_pending());
            assert!(b.poll_room(FLOOR + 2 * UNIT, cx).is_ready());
            drop(a);
            assert!(c.poll_room(FLOOR + 1, cx).is_ready() && !memory.is_wanted());
            drop((b, c));
            let state = memory.lock();
            assert_eq!((state.left, state.holders.len()), (4 * UNIT, 0));
        });
    }

    #[test]
    fn only_a_client_that_stands_still_is_cut() {
        on_reactor(|cx| {
            let memory = Memory::new(4 * UNIT, Duration::from_secs(9));
            let (ours, theirs) = UnixStream::pair().unwrap();
            let mut stuck = memory.share(&Socket::new(ours).unwrap());
            theirs.set_nonblocking(true).unwrap();
            let is_cut = || std::io::Read::read(&mut &theirs, &mut [0]).is_ok();
            assert!(stuck.poll_room(FLOOR + 4 * UNIT, cx).is_ready());
            assert!(!memory.relieve(), "nobody waits");
            let mut waits = share(&memory);
            assert!(waits.poll_room(FLOOR + UNIT, cx).is_pending());
            // its device is slow, which is not the client's fault
            assert!(memory.relieve() && memory.relieve() && !is_cut());
            stuck.meter.sending.store(true, Ordering::Relaxed);
            assert!(memory.relieve() && !is_cut());
            stuck.meter.moves.fetch_add(1, Ordering::Relaxed);
            assert!(memory.relieve() && !is_cut(), "it has moved");
            assert!(memory.relieve() && is_cut());
        });
    }
}
