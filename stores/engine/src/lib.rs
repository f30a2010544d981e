//! The local copy-on-write engine: volumes, snapshots and clones on one linear space that may fail at any
//! moment.
//!
//! It has no clock, randomness, threads or files of its own: it is given a [`Disk`] and
//! [`parpen_base::Entropy`], which is what makes the simulator possible. `FORMAT.md` beside this crate is the
//! format, byte by byte.
#![forbid(unsafe_code)]

mod alloc;
mod apply;
mod blob;
mod cache;
mod catalogue;
mod check;
mod checkpoint;
mod codec;
mod commit;
mod device;
mod disk;
mod engine;
mod error;
mod layout;
mod load;
mod map;
mod paging;
#[doc(hidden)]
pub mod parse;
mod read;
mod reclaim;
mod record;
mod recover;
mod room;
mod rules;
mod settle;
mod state;
mod store;
mod superblock;
mod sync;
mod view;
mod wal;
mod wants;
mod write;

pub use device::{EngineDevice, LocalTask};
pub use disk::{Disk, DiskError, FileDisk, FileError, RamDisk};
pub use engine::Engine;
pub use error::{EngineError, OpenError};
pub use layout::{BLOCK, Format, LABEL_MAX, Layout, VOLUME_MAX};
pub use rules::{Rules, Sound};
pub use store::{Spawn, Store, StoreError, ring_spawn};
pub use view::{Extent, Found, Kind, Space, Violation};
