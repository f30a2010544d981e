//! The engine's face: what callers may ask of one disk.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use parpen_base::{Buf, Entropy};
use uuid::Uuid;

use crate::{Disk, EngineError, Format, OpenError, Rules, Sound};

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Can be written.
    Volume,
    /// Never changes.
    Snapshot,
}

/// A volume or snapshot as it stands on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: Uuid,
    /// What it is.
    pub kind: Kind,
    /// A snapshot: the volume it was taken of. A volume: the snapshot it was made from. (May be gone by now.)
    pub of: Option<Uuid>,
    /// The nearest snapshot it shares blocks with that still has a name.
    pub parent: Option<Uuid>,
    /// Its size.
    pub bytes: u64,
    /// Its label, as it was given.
    pub label: Vec<u8>,
    /// +1 with each change of the label; starts at 1.
    pub label_version: u64,
    /// Bytes on the disk that it does not share with its parent.
    pub stored: u64,
}

/// How full the disk is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What data and metadata can use together.
    pub capacity: u64,
    /// Mapped data.
    pub data: u64,
    /// Checkpointed metadata.
    pub metadata: u64,
    /// Freed, but not reusable before the next commit.
    pub deferred: u64,
    /// What new data can still take (without the reserve).
    pub free: u64,
}

/// A piece of a volume's map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Length in bytes.
    pub len: u64,
    /// It reads as zeros and takes no space.
    pub zero: bool,
}

/// An invariant that does not hold, in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

/// One disk with everything on it. Single-threaded; share it by `Rc`.
///
/// Futures that change something must be polled to their end: one that is dropped within a commit fences the engine.
pub struct Engine<D: Disk, R: Rules = Sound> {
    disk: D,
    rules: PhantomData<R>,
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Makes an empty store of the disk; whatever was there is lost.
    pub async fn format(_disk: &D, _options: Format) -> Result<(), EngineError> {
        Err(EngineError::Fenced)
    }

    /// Opens the disk: recovers, makes the outcome durable, then serves.
    pub async fn open(_disk: D, _entropy: Arc<dyn Entropy>) -> Result<Rc<Self>, OpenError> {
        Err(OpenError::NotOurs)
    }

    /// Makes a volume, empty or from a snapshot (then at least as large).
    pub async fn create(
        &self,
        _id: Uuid,
        _bytes: u64,
        _from: Option<Uuid>,
        _label: &[u8],
    ) -> Result<(), EngineError> {
        Err(EngineError::Fenced)
    }

    /// Takes snapshots of all these volumes at one instant: `(volume, snapshot, label)`.
    pub async fn snapshot(&self, _all: &[(Uuid, Uuid, Vec<u8>)]) -> Result<(), EngineError> {
        Err(EngineError::Fenced)
    }

    /// Changes the size of a volume; what is cut off is gone, what is added reads as zeros.
    pub async fn resize(&self, _volume: Uuid, _bytes: u64) -> Result<(), EngineError> {
        Err(EngineError::Fenced)
    }

    /// Gives a volume the content and size of a snapshot; the snapshot stays.
    pub async fn rollback(&self, _volume: Uuid, _snapshot: Uuid) -> Result<(), EngineError> {
        Err(EngineError::Fenced)
    }

    /// Deletes a volume or snapshot; one that is not there is deleted already.
    pub async fn delete(&self, _id: Uuid) -> Result<(), EngineError> {
        Err(EngineError::Fenced)
    }

    /// Replaces the label.
    pub async fn relabel(&self, _id: Uuid, _label: &[u8]) -> Result<(), EngineError> {
        Err(EngineError::Fenced)
    }

    /// All volumes and snapshots, by id.
    pub fn inventory(&self) -> Vec<Found> {
        Vec::new()
    }

    /// How full the disk is.
    pub fn space(&self) -> Space {
        Space { capacity: self.disk.size(), data: 0, metadata: 0, deferred: 0, free: 0 }
    }

    /// Fills `buf` from `offset`; `Ok(true)` when nothing but unmapped zeros was there.
    pub async fn read(&self, _id: Uuid, _offset: u64, buf: Buf) -> (Result<bool, EngineError>, Buf) {
        (Err(EngineError::Fenced), buf)
    }

    /// Stores `buf` at `offset`; durable after a later flush.
    pub async fn write(&self, _id: Uuid, _offset: u64, buf: Buf) -> (Result<(), EngineError>, Buf) {
        (Err(EngineError::Fenced), buf)
    }

    /// The range reads as zeros afterwards and its space is given back.
    pub async fn zero(&self, _id: Uuid, _offset: u64, _len: u64) -> Result<(), EngineError> {
        Err(EngineError::Fenced)
    }

    /// Whole blocks within the range are given back and read as zeros afterwards; partial ones stay as they are.
    pub async fn discard(&self, _id: Uuid, _offset: u64, _len: u64) -> Result<(), EngineError> {
        Err(EngineError::Fenced)
    }

    /// Makes everything that was answered before this call durable: one flush of the disk, shared by concurrent calls.
    pub async fn flush(&self) -> Result<(), EngineError> {
        Err(EngineError::Fenced)
    }

    /// The map of a range, from `offset` on.
    pub fn extents(&self, _id: Uuid, _offset: u64, _len: u64) -> Result<Vec<Extent>, EngineError> {
        Err(EngineError::Fenced)
    }

    /// The configuration generation that later writes are stamped with.
    pub fn set_generation(&self, _generation: u64) {}

    /// Flushes and writes a checkpoint, so that the next opening is quick.
    pub async fn close(&self) -> Result<(), EngineError> {
        Err(EngineError::Fenced)
    }

    /// The invariants of the state in memory.
    pub fn check(&self) -> Vec<Violation> {
        Vec::new()
    }

    /// [`Engine::check`], and with `data` every block of every volume and snapshot is read and verified.
    pub async fn fsck(&self, _data: bool) -> Result<Vec<Violation>, EngineError> {
        Err(EngineError::Fenced)
    }
}
