//! Serves one memory device, for measurements: `serve_memory SOCKET SIZE [uring|threads]`. Every export name opens it.

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use parpen_base::parse_size;
use parpen_block::{
    AccessTable, Admits, Claim, ExportId, Exports, Gate, Memory, Peer, Refusal, Rights, Session,
};
use parpen_nbd::{Limits, Listen, Server};
use parpen_ring::{Backend, Reactor};

/// Every name is this device.
struct One {
    gate: Gate,
    memory: Memory,
}

const EXPORT: ExportId = ExportId(uuid::Uuid::nil());

impl Exports for One {
    fn admit(&self, claim: Claim, answer: Box<dyn FnOnce(Result<Session, Refusal>) + Send>) {
        answer(self.gate.admit(EXPORT, None, claim.peer, Arc::new(self.memory.clone())));
    }

    fn visible(&self, _: Peer, answer: Box<dyn FnOnce(Vec<String>) + Send>) {
        answer(vec!["memory".into()]);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (socket, size, backend) = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [socket, size] => (socket, size, Backend::Auto),
        [socket, size, "uring"] => (socket, size, Backend::Uring),
        [socket, size, "threads"] => (socket, size, Backend::Threads),
        _ => return Err("usage: serve_memory SOCKET SIZE [uring|threads]".into()),
    };
    let gate = Gate::new();
    gate.publish(EXPORT, AccessTable { rights: Rights::ReadWrite, admits: Admits::Everyone }, 1);
    let exports = Arc::new(One { gate, memory: Memory::new(parse_size(size)?) });
    let reactor = Reactor::start("nbd", backend)?;
    let listener = UnixListener::bind(socket)?;
    let _server =
        Server::start(std::slice::from_ref(&reactor), [Listen::Unix(listener)], exports, Limits::default());
    writeln!(std::io::stdout(), "nbd+unix:///memory?socket={socket} ({:?})", reactor.backend())?;
    Ok(reactor.join()?)
}
