//! The list of open connections.

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parpen_block::{Peer, SessionInfo};
use parpen_ring::Socket;

use crate::handshake::MAX_REQUEST;
use crate::memory::{Memory, Share};

/// What clients may cost together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are open at a time; one peer gets at most seven eighths of them. Each costs 100 KiB and may hold
    /// 256 KiB of payload.
    pub connections: usize,
    /// Bytes of payload, besides those, that all connections may hold together, at least 32 MiB. A client for whose
    /// request there is no room is not read from until there is.
    pub memory: usize,
    /// How long a client may take for each option and each answer of the handshake, and the house for a decision. After
    /// one to two times this, a client that stands still while others wait for the memory it holds is cut.
    pub patience: Duration,
}

impl Default for Limits {
    /// 1000 connections, 256 MiB, 30 seconds.
    fn default() -> Limits {
        Limits { connections: 1000, memory: 256 << 20, patience: Duration::from_secs(30) }
    }
}

/// An open connection, for people.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Counts up from 1 over the life of the server.
    pub id: u64,
    /// Who is at the other end.
    pub peer: Peer,
    /// The name that the client asked for and the session that it was given, once there is one.
    pub export: Option<(String, SessionInfo)>,
}

struct Live {
    info: ConnectionInfo,
    socket: Socket,
}

#[derive(Default)]
struct State {
    last: u64,
    live: BTreeMap<u64, Live>,
    closed: bool,
}

/// All connections of one server.
pub(crate) struct Registry {
    limits: Limits,
    memory: Arc<Memory>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Registry {
    pub(crate) fn new(limits: Limits) -> Arc<Registry> {
        // the largest request must fit
        let memory = Memory::new(limits.memory.max(MAX_REQUEST as usize), limits.patience);
        Arc::new(Registry { limits, memory, state: Mutex::default(), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // inserts and removes only; a panic cannot leave the list torn
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection, or why there is none.
    pub(crate) fn seat(self: &Arc<Self>, peer: &Peer, socket: &Socket) -> Result<Seat, &'static str> {
        let mut state = self.lock();
        if state.closed {
            return Err("the server is about to stop");
        }
        if state.live.len() >= self.limits.connections {
            return Err("there are too many connections");
        }
        let theirs = state.live.values().filter(|live| live.info.peer.address == peer.address).count();
        if theirs >= self.limits.connections - self.limits.connections / 8 {
            return Err("this peer has too many connections");
        }
        state.last += 1;
        let id = state.last;
        let info = ConnectionInfo { id, peer: peer.clone(), export: None };
        state.live.insert(id, Live { info, socket: socket.clone() });
        Ok(Seat { registry: self.clone(), id })
    }

    pub(crate) fn list(&self) -> Vec<ConnectionInfo> {
        self.lock().live.values().map(|live| live.info.clone()).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().live.len()
    }

    /// Takes no more connections; lets the open ones answer what they have received, at most for `time`, then cuts
    /// them. Waits until all are gone or `time` is over, and says how many had to be cut.
    pub(crate) fn drain(&self, time: Duration) -> usize {
        let mut state = self.lock();
        state.closed = true;
        // Errors say that the peer was faster.
        state.live.values().for_each(|live| drop(live.socket.shutdown(Shutdown::Read)));
        let (state, _) = self
            .changed
            .wait_timeout_while(state, time, |state| !state.live.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        state.live.values().for_each(|live| drop(live.socket.shutdown(Shutdown::Both)));
        state.live.len()
    }
}

/// A connection's place on the list; dropping it leaves.
pub(crate) struct Seat {
    registry: Arc<Registry>,
    id: u64,
}

impl Seat {
    /// How long the handshake waits for each thing it waits for.
    pub(crate) fn patience(&self) -> Duration {
        self.registry.limits.patience
    }

    /// What the connection may hold.
    pub(crate) fn share(&self, socket: &Socket) -> Share {
        self.registry.memory.share(socket)
    }

    /// The connection has opened an export.
    pub(crate) fn opened(&self, name: &str, session: &SessionInfo) {
        if let Some(live) = self.registry.lock().live.get_mut(&self.id) {
            live.info.export = Some((name.to_owned(), session.clone()));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let gone = self.registry.lock().live.remove(&self.id);
        drop(gone);
        self.registry.changed.notify_all();
    }
}
