//! What can go wrong, by what the caller should do about it.

use parpen_block::IoError;
use uuid::Uuid;

use crate::DiskError;

/// Why the engine did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// No room, on the disk or in the file system below it: nothing of a write is guaranteed, a change of the
    /// catalogue was not begun, nothing else is harmed. Delete or discard something, or give the file system
    /// space.
    #[error("no space left on the disk")]
    NoSpace,
    /// The medium failed this read; other requests may still succeed.
    #[error("the medium failed")]
    Io,
    /// A write or flush failed before: the engine answers nothing more, so that no lie is told. Open it
    /// again.
    #[error("the disk failed earlier and is fenced; open it again")]
    Fenced,
    /// The store was closed, or the reactor that it lived on has ended.
    #[error("the store is closed")]
    Closed,
    /// The stored bytes are damaged or not the ones that were written there; they are never replaced by
    /// others.
    #[error("the stored data is damaged")]
    DataLost,
    /// No such volume or snapshot.
    #[error("no such volume or snapshot")]
    NotFound,
    /// The id is taken by something that was made differently.
    #[error("that id exists already and is something else")]
    Exists,
    /// A snapshot cannot be written.
    #[error("a snapshot is read-only")]
    ReadOnly,
    /// The request makes no sense; says why.
    #[error("invalid request: {0}")]
    Invalid(&'static str),
}

impl From<DiskError> for EngineError {
    fn from(e: DiskError) -> Self {
        match e {
            DiskError::NoSpace => EngineError::NoSpace,
            DiskError::Io => EngineError::Io,
        }
    }
}

impl From<EngineError> for IoError {
    fn from(e: EngineError) -> IoError {
        match e {
            EngineError::NoSpace => IoError::NoSpace,
            EngineError::Io | EngineError::Fenced | EngineError::Closed => IoError::Io,
            EngineError::DataLost => IoError::DataLost,
            EngineError::NotFound => IoError::Fenced,
            EngineError::ReadOnly => IoError::ReadOnly,
            EngineError::Exists | EngineError::Invalid(_) => IoError::Invalid,
        }
    }
}

/// Why a disk was not opened: one plain sentence that says what it is and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No superblock at all.
    #[error("this is not a parpen disk (no superblock was found); check the path, or format it first")]
    NotOurs,
    /// Some copies are valid but no two agree.
    #[error("only {valid} of 4 superblock copies can be read and no two agree; restore the disk from a copy")]
    NoQuorum {
        /// Copies that are intact by themselves.
        valid: usize,
    },
    /// Another store's disk.
    #[error("this disk belongs to store {found}, not {wanted}; attach the right disk")]
    OtherStore {
        /// What stands on the disk.
        found: Uuid,
        /// What was asked for.
        wanted: Uuid,
    },
    /// Written by a later major format.
    #[error("this disk has format {found}, this program knows {known}; use a newer parpen")]
    NewerFormat {
        /// On disk.
        found: u16,
        /// Known here.
        known: u16,
    },
    /// It uses features that this program does not know.
    #[error("this disk uses features this program does not know (bits {bits:#x}); use a newer parpen")]
    UnknownFeatures {
        /// The unknown bits.
        bits: u64,
    },
    /// The medium is smaller than it was.
    #[error("this disk was {recorded} bytes and is now {actual}: it was cut short; restore its full length")]
    Truncated {
        /// Size when formatted.
        recorded: u64,
        /// Size now.
        actual: u64,
    },
    /// A structure below the superblock is damaged.
    #[error("{what} is damaged, so the disk cannot be opened safely; restore it from a copy")]
    Damaged {
        /// Which structure.
        what: &'static str,
    },
    /// The medium failed while it was read or repaired.
    #[error("the medium failed while it was opened; check the device, then try again")]
    Io,
    /// There was no room to write the outcome of the recovery.
    #[error("there is no room to finish opening; give the file system below some space, then try again")]
    NoSpace,
}

impl From<DiskError> for OpenError {
    fn from(e: DiskError) -> Self {
        match e {
            DiskError::NoSpace => OpenError::NoSpace,
            DiskError::Io => OpenError::Io,
        }
    }
}
