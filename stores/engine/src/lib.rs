//! The local copy-on-write engine: volumes, snapshots and clones on one linear space that may fail at any moment.
//!
//! It has no clock, randomness, threads or files of its own: it is given a [`Disk`] and [`parpen_base::Entropy`],
//! which is what makes the simulator possible. `FORMAT.md` beside this crate is the format, byte by byte.
#![forbid(unsafe_code)]

mod disk;
mod engine;
mod error;
mod layout;
mod rules;

pub use disk::{Disk, DiskError};
pub use engine::{Engine, Extent, Found, Kind, Space, Violation};
pub use error::{EngineError, OpenError};
pub use layout::{BLOCK, Format, LABEL_MAX, Layout, VOLUME_MAX};
pub use rules::{Rules, Sound};
