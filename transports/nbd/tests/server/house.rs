//! A house for the tests: memory devices behind a real gate, a reactor, and the server on a unix and a TCP socket.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use parpen_block::{
    AccessTable, Admits, BlockDevice, Claim, ExportId, Exports, Gate, Memory, Peer, Refusal, Rights, Session,
};
use parpen_nbd::{Limits, Listen, Server};
use parpen_ring::{Backend, Handle, Reactor};

type Shown = (ExportId, Arc<dyn BlockDevice>);

/// Names and what they show.
#[derive(Default)]
pub struct Names {
    pub gate: Gate,
    exports: Mutex<BTreeMap<String, Shown>>,
}

impl Names {
    pub fn add(&self, name: &str, device: Arc<dyn BlockDevice>, rights: Rights, admits: Admits) -> ExportId {
        let mut exports = self.exports.lock().unwrap();
        let id = ExportId(uuid::Uuid::from_u128(exports.len() as u128 + 1));
        self.gate.publish(id, AccessTable { rights, admits }, 1);
        exports.insert(name.into(), (id, device));
        id
    }

    fn decide(&self, claim: Claim) -> Result<Session, Refusal> {
        let (id, device) = self.exports.lock().unwrap().get(&claim.name).cloned().ok_or(Refusal::Unknown)?;
        self.gate.admit(id, None, claim.peer, device)
    }
}

/// Answers from another thread, as the real one does.
struct Elsewhere(Arc<Names>);

fn elsewhere(f: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().spawn(f).unwrap();
}

impl Exports for Elsewhere {
    fn admit(&self, claim: Claim, answer: Box<dyn FnOnce(Result<Session, Refusal>) + Send>) {
        let names = self.0.clone();
        elsewhere(move || answer(names.decide(claim)));
    }

    fn visible(&self, _: Peer, answer: Box<dyn FnOnce(Vec<String>) + Send>) {
        // nbdinfo gives up at the first listed export that it may not open
        let mut names: Vec<String> = self.0.exports.lock().unwrap().keys().cloned().collect();
        names.retain(|name| name != "locked");
        elsewhere(move || answer(names));
    }
}

/// Size of the export `disk`, in bytes.
pub const SIZE: u64 = 64 << 20;

pub struct House {
    pub names: Arc<Names>,
    pub reactors: Vec<Handle>,
    pub server: Server,
    pub tcp: SocketAddr,
    pub unix: PathBuf,
    /// The export `disk`.
    pub disk: ExportId,
    pub memory: Memory,
    _dir: tempfile::TempDir,
}

impl House {
    /// Serves `disk` (64 MiB, writable), `snap` (the same bytes, read-only) and `locked` (admits nobody).
    pub fn open(backend: Backend) -> House {
        House::open_with(backend, Limits::default())
    }

    pub fn open_with(backend: Backend, limits: Limits) -> House {
        House::open_on(1, backend, limits)
    }

    /// Serves on so many reactors; the devices have no home.
    pub fn open_on(reactors: usize, backend: Backend, limits: Limits) -> House {
        let names = Arc::new(Names::default());
        let memory = Memory::new(SIZE);
        let device: Arc<dyn BlockDevice> = Arc::new(memory.clone());
        let disk = names.add("disk", device.clone(), Rights::ReadWrite, Admits::Everyone);
        names.add("snap", device.clone(), Rights::ReadOnly, Admits::Everyone);
        names.add("locked", device, Rights::ReadWrite, Admits::Nobody("locked by host b".into()));
        let dir = tempfile::tempdir().unwrap();
        let unix = dir.path().join("nbd.socket");
        let reactors: Vec<Handle> = (0..reactors).map(|_| Reactor::start("nbd", backend).unwrap()).collect();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let listeners = [Listen::Tcp(tcp), Listen::Unix(UnixListener::bind(&unix).unwrap())];
        let server = Server::start(&reactors, listeners, Arc::new(Elsewhere(names.clone())), limits);
        House { names, reactors, server, tcp: address, unix, disk, memory, _dir: dir }
    }

    /// Serves one more writable device.
    pub fn add(&self, name: &str, device: impl BlockDevice + 'static) {
        self.names.add(name, Arc::new(device), Rights::ReadWrite, Admits::Everyone);
    }

    /// `nbd+unix:///disk?socket=...`, which every client of today understands.
    pub fn uri(&self, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.unix.display())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        for reactor in &self.reactors {
            reactor.shutdown();
            let end = reactor.join();
            assert!(end.is_ok() || std::thread::panicking(), "a reactor ended with {end:?}");
        }
    }
}
