//! The nouns: plain data with public fields.

mod access;
mod common;
mod copies;
mod job;
mod pool;
mod volume;

pub use access::{Attachment, Export, Host, Lock, Pin, Rights};
pub use common::{Alias, Api, Attributes, Stamp, Subject, alias_space};
pub use copies::{Backup, DataKey, Image, Visibility};
pub use job::{Job, JobState};
pub use pool::{
    ControlLocation, Disk, Driver, Found, NewBytes, Pool, Project, Source, Space, TypeEncryption, VolumeType,
};
pub use volume::{HANDLES, Limits, Placement, Snapshot, Volume};
