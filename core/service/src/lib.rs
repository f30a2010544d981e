//! Use cases, jobs, exports. Every API and the command line call these functions; none of them decides anything itself.
//!
//! A use case checks who may, writes one transaction and, where bytes or sessions are concerned, starts a job; the
//! caller waits for the job where its protocol wants that. Only job steps call a pool's store.
#![forbid(unsafe_code)]

pub mod access;
pub mod adopt;
pub mod alarms;
pub mod attachments;
mod backends;
pub mod backups;
pub mod capacity;
mod copies;
pub mod data;
pub mod disks;
mod exports;
pub mod groups;
pub mod hosts;
pub mod images;
pub mod jobs;
pub mod locks;
pub mod media;
pub mod messages;
pub mod names;
pub mod objects;
pub mod parts;
pub mod pools;
mod ports;
pub mod projects;
pub mod qos;
pub mod quotas;
mod restored;
mod seal;
pub mod snapshots;
mod start;
pub mod transfers;
pub mod types;
pub mod volumes;

pub use backends::Backends;
pub use copies::Copies;
pub use exports::HouseExports;
pub use ports::{Figures, OpenSessions, Ports, Started};
pub use start::{Start, first_pools, open_pools, start};
