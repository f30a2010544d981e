//! The nouns: plain data with public fields.

mod access;
mod common;
mod disk;
mod job;
mod pool;
mod volume;

pub use access::*;
pub use common::*;
pub use disk::*;
pub use job::*;
pub use pool::*;
pub use volume::*;
