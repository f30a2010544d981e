//! Many disks as one store: every pool is an array of engines, also one of a single disk.
#![forbid(unsafe_code)]

mod answer;
mod array;
mod balance;
mod catalogue;
mod codec;
mod copy;
mod device;
mod diff;
mod disks;
mod fault;
mod hold;
mod lineage;
mod local;
mod manage;
mod member;
mod mover;
mod open;
mod order;
mod pace;
mod place;
mod placing;
mod read;
mod resync;
mod scrub;
mod store;
mod witness;
mod write;

pub use array::Array;
pub use balance::{Fill, Plan};
pub use device::StoreDevice;
pub use local::{LocalTask, NewVolume};
pub use manage::{MemberInfo, State, TaskInfo};
pub use member::{About, Faults};
pub use mover::{Class, Did};
pub use open::{ArrayError, NewDisk, Offer, Opening};
pub use order::Order;
pub use pace::{Host, Rates, Sleep, Spawn};
pub use place::{Family, Policy, REPLICAS_MAX, Tuple};
pub use store::{DiskSource, NewSource, OldSource, Store, StoreError, WitnessSource};
pub use witness::{EraMark, NoWitness, Witness};
