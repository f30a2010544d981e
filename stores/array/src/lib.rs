//! Many disks as one store: every pool is an array of engines, also one of a single disk.
#![forbid(unsafe_code)]

mod answer;
mod array;
mod device;
mod local;
mod store;

pub use array::Array;
pub use device::StoreDevice;
pub use local::LocalTask;
pub use store::{Spawn, Store, StoreError, ring_spawn};
