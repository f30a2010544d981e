//! The local copy-on-write engine: volumes, snapshots and clones on one linear space that may fail at any
//! moment.
//!
//! It has no clock, randomness, threads or files of its own: it is given a [`Disk`] and
//! [`parpen_base::Entropy`], which is what makes the simulator possible. `FORMAT.md` beside this crate is the
//! format, byte by byte.
#![forbid(unsafe_code)]

mod adopt;
mod adoption;
mod alloc;
mod apply;
mod blob;
mod cache;
mod catalogue;
mod check;
mod checkpoint;
mod codec;
mod commit;
mod diff;
mod digest;
mod disk;
mod engine;
mod error;
mod evict;
mod features;
mod figures;
mod fill;
mod graft;
mod group;
mod heal;
mod identify;
mod layout;
mod load;
mod map;
mod marks;
mod paging;
#[doc(hidden)]
pub mod parse;
mod read;
mod rebase;
mod rebase_state;
mod reclaim;
mod record;
mod records;
mod recover;
mod room;
mod rules;
mod settle;
mod space;
mod state;
mod superblock;
pub mod sync;
mod tail;
mod view;
mod wal;
mod wants;
mod write;

pub use adopt::{Heads, ImageKind, NodeImage};
pub use disk::{Disk, DiskError, FileDisk, FileError, Part, RamDisk};
pub use engine::Engine;
pub use error::{EngineError, OpenError};
pub use heal::Verified;
pub use identify::{Kin, Named};
pub use layout::{BLOCK, Format, LABEL_MAX, Layout, VOLUME_MAX};
pub use marks::{BlockMark, VersionInfo};
pub use rebase::Rebased;
pub use rules::{Rules, Sound};
pub use superblock::identify;
pub use view::{Change, Extent, Figures, Found, Kind, Space, Violation};
