//! Rows and conditional updates behind one port; SQLite.
//!
//! [`Store`] is the control plane's database: one writer, readers that never wait for a commit. [`DataDir`]
//! is the folder it lives in, held by one process at a time. [`suite`] is what every adapter of the port must
//! pass.
#![forbid(unsafe_code)]

mod copy;
mod datadir;
mod error;
mod lane;
mod migrate;
mod store;
pub mod suite;
mod tx;

pub use copy::{CopyError, backup, restore};
pub use datadir::{DataDir, Refused};
pub use error::OpenError;
pub use store::Store;
