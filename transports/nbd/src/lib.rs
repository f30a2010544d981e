//! The NBD server: fixed newstyle handshake, simple and structured replies, over TCP and unix sockets.
//!
//! Handshake and requests are machines without I/O; a connection is one task of a reactor that runs them over its
//! socket. [`parpen_block::Exports`] decides who gets what; this crate does not know what a volume is. A client that
//! breaks the protocol, sends nonsense or stalls costs its own connection and a bounded amount of memory.
#![forbid(unsafe_code)]

mod connection;
pub mod fuzz;
mod handshake;
mod input;
mod memory;
mod oneshot;
mod pool;
mod registry;
mod reply;
mod request;
mod server;
mod transmission;
mod wire;

#[cfg(test)]
mod testing;

pub use registry::{ConnectionInfo, Limits};
pub use server::{Listen, Server};
