//! The local copy-on-write engine: volumes, snapshots and clones on one linear space that may fail at any moment.
//!
//! It has no clock, randomness, threads or files of its own: it is given a [`Disk`] and [`parpen_base::Entropy`], which is what makes
//! the simulator possible. `FORMAT.md` beside this crate is the format, byte by byte.
#![forbid(unsafe_code)]

mod disk;

pub use disk::{Disk, DiskError};
