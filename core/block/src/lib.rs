//! What a block device is, who may open one, and the one mover of bytes.
//!
//! Transports (above) and stores (below) meet only here: a store implements [`BlockDevice`], a transport asks
//! [`Exports`] for a [`Session`] and talks to the [`Queue`] it opens. No tokio, no HTTP, no SQL, no volumes.
#![forbid(unsafe_code)]

mod access;
mod ceilings;
pub mod conformance;
mod copy;
mod device;
pub mod filter;
mod gate;
mod line;
mod mailbox;
mod memory;
mod oneshot;
mod pinned;
mod remote;
mod route;
#[cfg(test)]
mod testing;
mod timer;

pub use access::{
    AccessTable, Address, Admits, Claim, ExportId, Exports, HostId, Peer, Refusal, Rights, SessionInfo, Whom,
    decide,
};
pub use ceilings::{Ceilings, Class};
pub use copy::{Progress, copy, copy_ranges};
pub use device::{
    BlockDevice, Capabilities, Completion, Geometry, Home, IoError, Op, Queue, ReactorId, Request, Wake,
};
pub use filter::{Crypt, SectorCipher, Turns};
pub use gate::{Fenced, Gate, Held, Session};
pub use mailbox::Mailbox;
pub use memory::Memory;
pub use remote::{Extent, Remote};
pub use route::{Frozen, Route, WeakRoute};
pub use timer::Timer;
