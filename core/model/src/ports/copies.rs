//! Where copies outside the pools are kept.

use std::sync::Arc;

use parpen_base::{Boxed, ByteRange};
use parpen_block::{Progress, Remote, SectorCipher};

use crate::{BackupId, Condition, VolumeId};

/// Where one backup is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A name for a set of backups; part of their addresses.
    pub container: String,
    /// The volume that was backed up.
    pub volume: VolumeId,
    /// The backup.
    pub backup: BackupId,
}

/// A backup to be written.
#[derive(Clone, Debug)]
pub struct NewArchive {
    /// Where.
    pub place: Place,
    /// The backup of the same volume and container that it is compared with; only what differs is stored.
    pub base: Option<BackupId>,
    /// What may differ from the base; `None`: everything has to be looked at.
    pub changed: Option<Vec<ByteRange>>,
    /// What the service knows of it, so that it can be imported elsewhere.
    pub facts: serde_json::Value,
}

/// Figures of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Bytes of the volume.
    pub size: u64,
    /// Bytes that it added to the store.
    pub stored: u64,
    /// Objects that it added to the store.
    pub objects: u64,
}

/// Where the bytes of a backup go.
pub struct Target {
    /// The device; at least as large as the backup. What it has beyond stays.
    pub to: Remote,
    /// It is known to read as zeros everywhere.
    pub blank: bool,
    /// Makes plain bytes of the stored ones.
    pub cipher: Option<Arc<dyn SectorCipher>>,
}

/// A store of backups. Every verb is idempotent: said twice, it is done once.
pub trait Archive: Send + Sync {
    /// Writes a backup of all that `from` holds; what an interrupted call has stored is found again.
    fn store<'a>(
        &'a self,
        new: &'a NewArchive,
        from: &'a Remote,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<Archived, Condition>>;
    /// Writes a backup's bytes into a device, each block once.
    fn load<'a>(
        &'a self,
        at: &'a Place,
        to: &'a Target,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<(), Condition>>;
    /// Reads all of a backup and proves every block against its checksum.
    fn verify<'a>(
        &'a self,
        at: &'a Place,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<Archived, Condition>>;
    /// What the service knew of a backup, and its figures.
    fn facts<'a>(&'a self, at: &'a Place) -> Boxed<'a, Result<(serde_json::Value, Archived), Condition>>;
    /// Ends a backup, also one that was never finished: nobody can read it any more, and what no other backup needs is
    /// removed. Absent = done.
    fn remove<'a>(&'a self, at: &'a Place) -> Boxed<'a, Result<(), Condition>>;
}
