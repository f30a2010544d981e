//! The nouns: plain data with public fields.

mod access;
mod common;
mod job;
mod policy;
mod pool;
mod service;
mod volume;

pub use access::{Attachment, Export, Host, Lock, Pin, Rights};
pub use common::{Alias, Api, Attributes, Stamp, Subject, alias_space};
pub use job::{Job, JobState};
pub use policy::{Among, Ceiling, Counted, Qos, QosConsumer, Quota, Whose};
pub use pool::{
    ControlLocation, Disk, Driver, Found, NewBytes, Pool, Project, Source, Space, TypeEncryption, TypeRules,
    VolumeType,
};
pub use service::{Message, Part, Service};
pub use volume::{HANDLES, Limits, Placement, Snapshot, Volume};
