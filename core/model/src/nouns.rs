//! The nouns: plain data with public fields.

mod access;
mod common;
mod copies;
mod disk;
mod group;
mod job;
mod object;
mod policy;
mod pool;
mod service;
mod volume;

pub use access::*;
pub use common::*;
pub use copies::*;
pub use disk::*;
pub use group::*;
pub use job::*;
pub use object::*;
pub use policy::*;
pub use pool::*;
pub use service::*;
pub use volume::*;
