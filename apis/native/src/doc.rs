//! The documents of the native API; the command line prints the same structs. Sizes are bytes, times RFC 3339.

mod copies;

use std::collections::BTreeMap;

mod admin;
mod disk;
mod lineage;

pub use admin::*;
pub use disk::*;
pub use lineage::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use copies::*;

/// A pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PoolDoc {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// `local` or `memory`.
    pub driver: String,
    /// Its life.
    pub state: String,
    /// The files or devices.
    pub disks: Vec<String>,
    /// How far it may grow: all disks, every copy counted.
    pub capacity: u64,
    /// Used bytes on its disks; absent when the store does not answer.
    pub used: Option<u64>,
    /// Free bytes on its disks; absent when the store does not answer.
    pub free: Option<u64>,
    /// Bytes of volumes and snapshots on its disks, every copy counted; absent when the store does not answer.
    pub stored: Option<u64>,
    /// Replicas of a volume that asks for no number.
    pub replication: u8,
    /// What such volumes could hold together; absent when the store does not answer.
    pub usable: Option<u64>,
    /// What they can still take; absent when the store does not answer.
    pub usable_free: Option<u64>,
    /// Data moves between its disks where it has to.
    pub relocate: bool,
    /// It is balanced by itself: with each new disk, and when disks have drifted apart.
    pub auto_balance: bool,
    /// In words.
    pub description: String,
    /// Why it is in error.
    pub fault: Option<String>,
    /// What one should know of its media.
    pub remark: Option<String>,
    /// What to look at.
    #[serde(default)]
    pub alarms: Vec<AlarmDoc>,
}

/// Something to look at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AlarmDoc {
    /// `<kind>:<subject>`, the same as long as it stands.
    pub id: String,
    /// `pool-full`, `pool-unavailable`, `disk-full`, `disk-away`, `objects-short`, `objects-away`, `data-lost`,
    /// `blocks-lost` or `bad-blocks`.
    pub kind: String,
    /// The pool's name.
    pub pool: String,
    /// The disk, if it is about one.
    pub disk: Option<u16>,
    /// `warning` or `critical`.
    pub severity: String,
    /// What is so, and what to do.
    pub text: String,
    /// Since when, or since the server was started.
    pub since: String,
}

/// Who holds a volume.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HolderDoc {
    /// The host or instance.
    pub host: String,
    /// `read-only` or `read-write`.
    pub rights: String,
    /// Where the attachment stands.
    pub state: String,
}

/// A volume.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VolumeDoc {
    /// Its id.
    pub id: Uuid,
    /// Its unique handle.
    pub handle: String,
    /// Its free-text name.
    pub name: String,
    /// The name that each API shows.
    pub aliases: BTreeMap<String, String>,
    /// Its pool.
    pub pool: String,
    /// Its project.
    pub project: Uuid,
    /// Size in bytes.
    pub size: u64,
    /// Copies on different disks.
    pub replication: u8,
    /// The placement group of all copies but the last.
    pub place: String,
    /// The placement group of the last copy, which is read.
    pub place_tail: String,
    /// Its life.
    pub state: String,
    /// Its use.
    pub usage: String,
    /// What is being done to it.
    pub work: Vec<String>,
    /// Its health.
    pub health: String,
    /// Most bytes per second that pass; absent: unlimited.
    pub bytes_per_second: Option<u64>,
    /// Most requests per second that pass; absent: unlimited.
    pub requests_per_second: Option<u64>,
    /// The snapshot it grew from.
    pub parent: Option<String>,
    /// The host whose lock is on it.
    pub lock: Option<String>,
    /// Who holds it.
    pub holders: Vec<HolderDoc>,
    /// What it costs; absent in lists, after changes, and where the store cannot tell.
    pub space: Option<CostDoc>,
    /// Where NBD clients find it.
    pub nbd: String,
    /// When it was made.
    pub created: String,
    /// Why it is in error.
    pub fault: Option<String>,
}

/// A snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SnapshotDoc {
    /// Its id.
    pub id: Uuid,
    /// Its unique handle.
    pub handle: String,
    /// Its name within its volume.
    pub name: String,
    /// The name that each API shows.
    pub aliases: BTreeMap<String, String>,
    /// The volume's handle, or its id when it is gone.
    pub volume: String,
    /// Its pool.
    pub pool: String,
    /// Size in bytes.
    pub size: u64,
    /// Its life.
    pub state: String,
    /// What it costs; absent in lists, after changes, and where the store cannot tell.
    pub space: Option<CostDoc>,
    /// Where NBD clients find it, read-only.
    pub nbd: String,
    /// When it was taken.
    pub created: String,
}

/// A host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostDoc {
    /// Its id.
    pub id: Uuid,
    /// The first spelling.
    pub name: String,
    /// All spellings.
    pub spellings: Vec<String>,
}

/// Long work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobDoc {
    /// Its id.
    pub id: Uuid,
    /// What it does.
    pub kind: String,
    /// What it is about.
    pub subject: Option<Uuid>,
    /// `running`, `undoing`, `done` or `failed`.
    pub state: String,
    /// Steps that are done.
    pub done: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Bytes done and in all, where they are counted.
    pub progress: Option<(u64, u64)>,
    /// When it began.
    pub created: String,
}

/// An open session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionDoc {
    /// The volume's, snapshot's or attachment's id.
    pub export: Uuid,
    /// By which transport.
    pub transport: String,
    /// From where.
    pub address: String,
    /// `read-only` or `read-write`.
    pub rights: String,
}

/// The service at a glance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusDoc {
    /// The program's version.
    pub version: String,
    /// The configuration generation.
    pub generation: u64,
    /// Volumes.
    pub volumes: usize,
    /// Snapshots.
    pub snapshots: usize,
    /// Jobs that run.
    pub jobs: Vec<JobDoc>,
    /// Pools.
    pub pools: Vec<PoolDoc>,
    /// Open sessions.
    pub sessions: Vec<SessionDoc>,
    /// What to look at, the gravest first.
    pub alarms: Vec<AlarmDoc>,
}

/// `POST /api/pools`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolWish {
    /// Its name.
    pub name: String,
    /// `local` or `memory`.
    pub driver: String,
    /// The files or devices.
    #[serde(default)]
    pub disks: Vec<String>,
    /// How far it may grow.
    pub capacity: Option<u64>,
    /// Replicas of a volume that asks for no number; absent: one.
    pub replication: Option<u8>,
    /// In words.
    #[serde(default)]
    pub description: String,
}

/// `PATCH /api/pools/{pool}`. What is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolChange {
    /// Replicas of the next volumes that ask for no number.
    pub replication: Option<u8>,
    /// In words.
    pub description: Option<String>,
    /// Whether data moves between its disks.
    pub relocate: Option<bool>,
    /// Whether it is balanced by itself: now, with each new disk, and when disks drift apart.
    pub auto_balance: Option<bool>,
}

/// `POST /api/volumes`. The source is a volume's handle or id, or a snapshot's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeWish {
    /// Its name.
    pub name: String,
    /// Bytes; may be absent where there is a source.
    pub size: Option<u64>,
    /// The pool's name.
    pub pool: Option<String>,
    /// What it begins with.
    pub source: Option<String>,
    /// Copies on different disks, 1 to 3.
    #[serde(default)]
    pub replication: Option<u8>,
    /// The placement group of all copies but the last.
    #[serde(default)]
    pub place: Option<String>,
    /// The placement group of the last copy, which is read.
    #[serde(default)]
    pub place_tail: Option<String>,
}

/// `PATCH /api/volumes/{volume}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeChange {
    /// The new name and handle.
    pub name: Option<String>,
    /// The new size in bytes.
    pub size: Option<u64>,
    /// What lies beyond a smaller size may be lost.
    #[serde(default)]
    pub shrink: bool,
    /// Cut whoever has it open, where it shrinks.
    #[serde(default)]
    pub force: bool,
    /// Ceilings on I/O.
    #[serde(default)]
    pub limits: LimitsWish,
}

/// Ceilings that are to be different.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsWish {
    /// Bytes per second; 0 lets nothing pass.
    pub bytes_per_second: Option<CeilingDoc>,
    /// Requests per second; 0 lets nothing pass.
    pub requests_per_second: Option<CeilingDoc>,
}

/// A number, or the word `unlimited`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CeilingDoc {
    /// So much per second.
    At(u64),
    /// `unlimited`.
    Word(String),
}

/// `POST /api/volumes/{volume}/snapshots`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotWish {
    /// Its name within the volume.
    pub name: String,
}

/// `POST /api/volumes/{volume}/rollback`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackWish {
    /// The snapshot's name within the volume, handle or id.
    pub snapshot: String,
    /// Cut whoever has it open.
    #[serde(default)]
    pub force: bool,
}

/// `POST /api/hosts/join`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinWish {
    /// A spelling of the host that stays.
    pub host: String,
    /// The spelling that becomes one of its.
    pub other: String,
}

/// `POST /api/credentials/rotate`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateWish {
    /// The sides, by their words; none: all.
    #[serde(default)]
    pub apis: Vec<String>,
}
