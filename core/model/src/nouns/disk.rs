//! Disks as their pool's store sees them, what may be asked of them, and the work they do in the background.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::PoolId;

/// How a disk fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskState {
    /// In use.
    Up,
    /// It came back and is brought up to date; only what is up to date is read from it.
    Resyncing,
    /// It is not there; what only it holds cannot be reached.
    Absent,
    /// It failed or was ejected, and is not used any more.
    Failed,
    /// Its data moves elsewhere.
    Ejecting,
    /// Its data was moving elsewhere; paused.
    Paused,
}

impl DiskState {
    /// Whether it serves, if only in part.
    pub fn is_there(self) -> bool {
        match self {
            DiskState::Up | DiskState::Resyncing | DiskState::Ejecting | DiskState::Paused => true,
            DiskState::Absent | DiskState::Failed => false,
        }
    }

    /// Its word. Stable.
    pub fn word(self) -> &'static str {
        match self {
            DiskState::Up => "up",
            DiskState::Resyncing => "resyncing",
            DiskState::Absent => "absent",
            DiskState::Failed => "failed",
            DiskState::Ejecting => "ejecting",
            DiskState::Paused => "paused",
        }
    }
}

/// What a reading of every stored byte has found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// It runs now.
    pub running: bool,
    /// It waits to be continued.
    pub paused: bool,
    /// Bytes read by this or the last one.
    pub bytes: u64,
    /// Bytes to be read by it.
    pub of: u64,
    /// Blocks that did not match their checksums, since the store was opened.
    pub bad: u64,
    /// Of those, blocks that were repaired from another replica.
    pub repaired: u64,
    /// Of those, blocks of which no good copy was found.
    pub lost: u64,
}

/// How safe what a pool holds is, in objects (32 MiB pieces of volumes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolHealth {
    /// Objects of which any disk that is there knows.
    pub objects: u64,
    /// Of those, objects with fewer good copies than they are to have.
    pub short: u64,
    /// Of those, objects that only a disk that is away may have.
    pub away: u64,
    /// Of those, objects all of whose disks are gone for good.
    pub lost: u64,
}

/// One medium of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Disk {
    /// Its number, 0 to 4095.
    pub id: u16,
    /// Its unique id; nil while it is absent and was never seen.
    pub uuid: Uuid,
    /// The pool.
    pub pool: PoolId,
    /// Path of the file or device.
    pub path: String,
    /// In words.
    pub description: String,
    /// No moving parts.
    pub ssd: bool,
    /// How it fares.
    pub state: DiskState,
    /// Why it is not used, in plain words.
    pub fault: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// Allocated bytes.
    pub used: u64,
    /// Bytes still to be had; none while it does not serve.
    pub free: u64,
    /// Of the allocated bytes, those of volumes and snapshots.
    pub stored: u64,
    /// It is away, and an operator said that it is to be left out of what is counted.
    pub ignored: bool,
    /// Objects (32 MiB pieces of volumes) it holds.
    pub objects: u64,
    /// Objects it could hold.
    pub objects_max: u64,
    /// Mapped blocks.
    pub entries: u64,
    /// Blocks it could map.
    pub entries_max: u64,
    /// Bytes of one allocation group.
    pub group_size: u64,
    /// Reading every stored byte.
    pub scrub: Scrubbed,
}

/// Reading every stored byte of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScrubVerb {
    /// From the beginning.
    Start,
    /// Keeps its place.
    Pause,
    /// From its place.
    Continue,
    /// Gives up.
    Stop,
}

/// What may be asked of a disk that a pool has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskVerb {
    /// Its data moves to others while it is used.
    SoftEject,
    /// That waits.
    PauseEject,
    /// That is given up; what has moved stays where it is.
    CancelEject,
    /// It is not used from now on, whatever it holds.
    Eject,
    /// It never comes back; refused while it holds the only good copy of anything.
    Forget,
    /// It never comes back, and what only it has is lost.
    Abandon,
    /// It is taken again after it was ejected or away; what it lacks is brought to it.
    Return,
    /// Its content is read and verified.
    Scrub(ScrubVerb),
}

impl DiskVerb {
    /// Whether the pool has the disk no more afterwards.
    pub fn is_final(self) -> bool {
        matches!(self, DiskVerb::Forget | DiskVerb::Abandon)
    }
}

/// Why data moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskClass {
    /// To a disk that lacks it.
    Recovery,
    /// Away from a disk that is to go.
    SoftEject,
    /// To where its placement wants it.
    Relocation,
    /// To disks with more room.
    Balance,
    /// It is only read.
    Scrub,
}

impl TaskClass {
    /// Its word. Stable.
    pub fn word(self) -> &'static str {
        match self {
            TaskClass::Recovery => "recovery",
            TaskClass::SoftEject => "soft-eject",
            TaskClass::Relocation => "relocation",
            TaskClass::Balance => "balance",
            TaskClass::Scrub => "scrub",
        }
    }
}

/// Background work on one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// The disk.
    pub disk: u16,
    /// The whole that it is a part of: one per reason.
    pub transaction: u64,
    /// Why.
    pub class: TaskClass,
    /// Objects to do.
    pub objects: u64,
    /// Objects that are done.
    pub done: u64,
    /// Objects under way.
    pub under_way: u64,
    /// Bytes moved or read so far.
    pub bytes: u64,
    /// It waits to be continued.
    pub paused: bool,
}

/// How even a pool's disks are filled, and how they would be.
#[derive(Clone, Debug, PartialEq)]
pub struct BalancePlan {
    /// Objects that would move.
    pub moves: u64,
    /// Bytes that would move.
    pub bytes: u64,
    /// Each disk that takes part.
    pub disks: Vec<BalanceShare>,
    /// It is being carried out.
    pub running: bool,
}

/// What a plan makes of one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalanceShare {
    /// Its number.
    pub disk: u16,
    /// Used bytes when the plan was made.
    pub before: u64,
    /// Used bytes when it is carried out.
    pub after: u64,
    /// Versions of objects that it gets, counted as a disk's objects are.
    pub gets: u64,
    /// Versions of objects that leave it.
    pub gives: u64,
}

/// What may be asked of a pool's balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BalanceVerb {
    /// Make a plan and keep it.
    Plan,
    /// Carry the plan out.
    Commit,
    /// Stop; what has moved stays.
    Stop,
}
