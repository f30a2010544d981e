//! The documents of the native API; the command line prints the same structs. Sizes are bytes, times RFC 3339.

use std::collections::BTreeMap;

mod disk;

pub use disk::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
    /// How far it may grow.
    pub capacity: u64,
    /// Used bytes; absent when the store does not answer.
    pub used: Option<u64>,
    /// Free bytes; absent when the store does not answer.
    pub free: Option<u64>,
    /// In words.
    pub description: String,
    /// Why it is in error.
    pub fault: Option<String>,
    /// What one should know of its media.
    pub remark: Option<String>,
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
    /// Its life.
    pub state: String,
    /// Its use.
    pub usage: String,
    /// What is being done to it.
    pub work: Vec<String>,
    /// Its health.
    pub health: String,
    /// The snapshot it grew from.
    pub parent: Option<String>,
    /// The host whose lock is on it.
    pub lock: Option<String>,
    /// Who holds it.
    pub holders: Vec<HolderDoc>,
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
    /// In words.
    #[serde(default)]
    pub description: String,
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
