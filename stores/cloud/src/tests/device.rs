//! A volume in memory, for the tests of what reads and writes volumes from outside; the archive's use it, too.

use std::sync::{Arc, mpsc};

use parpen_base::Buf;
use parpen_block::{
    AccessTable, Address, Admits, ExportId, Gate, Home, Memory, Peer, Progress, ReactorId, Remote, Rights,
};
use uuid::Uuid;

struct Thread(mpsc::Sender<Box<dyn FnOnce() + Send>>);

impl Home for Thread {
    fn id(&self) -> ReactorId {
        ReactorId(1)
    }
    fn run(&self, f: Box<dyn FnOnce() + Send>) {
        // A test that has ended needs nothing more.
        let _ = self.0.send(f);
    }
}

#[allow(clippy::disallowed_methods)] // a test's own thread
fn home() -> Arc<dyn Home> {
    let (send, receive) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
    std::thread::spawn(move || receive.into_iter().for_each(|f| f()));
    Arc::new(Thread(send))
}

/// A device as a job has it.
pub(super) async fn remote(device: &Memory) -> Remote {
    let (gate, export) = (Gate::new(), ExportId(Uuid::from_u128(1)));
    gate.publish(export, AccessTable { rights: Rights::ReadWrite, admits: Admits::Everyone }, 1);
    let peer = Peer { transport: "test", address: Address::Local, tls_name: None };
    let session = gate.admit(export, None, peer, Arc::new(device.clone())).unwrap();
    Remote::open(session, 8, home()).await.unwrap()
}

/// A device with these bytes.
pub(super) async fn device(bytes: &[u8]) -> Remote {
    let r = remote(&Memory::new(bytes.len() as u64)).await;
    for (i, piece) in bytes.chunks(65536).enumerate().filter(|(_, p)| p.iter().any(|b| *b != 0)) {
        r.write(i as u64 * 65536, Buf::copy_of(piece), false).await.unwrap();
    }
    r
}

/// All of a device's bytes.
pub(super) async fn bytes_of(r: &Remote) -> Vec<u8> {
    let (mut all, size) = (Vec::new(), r.geometry().size);
    while (all.len() as u64) < size {
        let at = all.len() as u64;
        all.extend_from_slice(&r.read(at, (size - at).min(65536) as u32).await.unwrap());
    }
    all
}

/// Tells nobody.
pub(super) struct Quiet;
impl Progress for Quiet {
    fn moved(&self, _offset: u64) {}
    fn durable(&self, _offset: u64) {}
}
