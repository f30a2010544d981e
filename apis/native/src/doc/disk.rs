//! Documents about disks and what they do.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::AlarmDoc;

/// A disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DiskDoc {
    /// Its number.
    pub disk: u16,
    /// Its unique id.
    pub uuid: Uuid,
    /// The pool's name.
    pub pool: String,
    /// `up`, `resyncing`, `absent`, `failed`, `ejecting` or `paused`.
    pub state: String,
    /// `ssd` or `hdd`.
    pub medium: String,
    /// The file or device.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Allocated bytes.
    pub used: u64,
    /// Bytes still to be had; none while it does not serve.
    pub free: u64,
    /// Objects it holds.
    pub objects: u64,
    /// `idle`, `running` or `paused`.
    pub scrub: String,
    /// Bytes that the running or last scrub has read, and has to read.
    pub scrubbed: [u64; 2],
    /// Blocks that did not match their checksums since the store was opened.
    pub bad_blocks: u64,
    /// Of those, blocks that were repaired.
    pub repaired_blocks: u64,
    /// In words.
    pub description: String,
    /// Why it is not used.
    pub fault: Option<String>,
    /// It is away, and left out of what is counted and warned of.
    pub ignored: bool,
    /// What to look at.
    pub alarms: Vec<AlarmDoc>,
}

/// Background work of one disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskDoc {
    /// The disk.
    pub disk: u16,
    /// The whole that it is a part of.
    pub transaction: u64,
    /// `recovery`, `soft-eject`, `relocation`, `balance` or `scrub`.
    pub class: String,
    /// Objects to do.
    pub objects: u64,
    /// Objects that are done.
    pub done: u64,
    /// Objects under way.
    pub under_way: u64,
    /// Bytes moved or read.
    pub bytes: u64,
    /// It waits to be continued.
    pub paused: bool,
}

/// What balancing would do, or does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BalanceDoc {
    /// Objects that would move.
    pub moves: u64,
    /// Bytes that would move.
    pub bytes: u64,
    /// It is being carried out.
    pub running: bool,
    /// Each disk.
    pub disks: Vec<FillDoc>,
}

/// How full a disk is, and would be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FillDoc {
    /// The disk.
    pub disk: u16,
    /// Used bytes now.
    pub used: u64,
    /// Used bytes afterwards.
    pub after: u64,
}

/// `POST /api/disks`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskWish {
    /// The pool's name; absent: the first pool.
    pub pool: Option<String>,
    /// The file or device; absent: a file below the data directory.
    pub path: Option<String>,
    /// How large a file is made, in bytes.
    pub capacity: Option<u64>,
    /// `ssd` or `hdd`; absent: what the system says.
    pub medium: Option<String>,
    /// In words.
    #[serde(default)]
    pub description: String,
}

/// `PATCH /api/disks/{disk}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskChange {
    /// In words.
    pub description: String,
}
