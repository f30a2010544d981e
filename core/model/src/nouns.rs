//! The nouns: plain data with public fields.

mod access;
mod common;
mod group;
mod job;
mod pool;
mod volume;

pub use access::{Attachment, Export, Host, Lock, Pin, Rights};
pub use common::{Alias, Api, Attributes, Stamp, Subject, alias_space};
pub use group::{Group, GroupSnapshot, GroupSource, GroupType, Transfer};
pub use job::{Job, JobState};
pub use pool::{Disk, Driver, Found, NewBytes, Pool, Project, Source, Space, VolumeType};
pub use volume::{HANDLES, Limits, Placement, Snapshot, Volume};
