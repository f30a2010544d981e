//! What remembers, outside the disks, which of them were the newest: without it a disk that comes up alone
//! cannot know that the others went on without it.

use parpen_engine::DiskError;

use crate::local::LocalTask;

/// One era of one history of a store. The nonce tells apart histories that reached the same number without
/// knowing of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EraMark {
    /// The number; +1 with each change of who is in sync.
    pub era: u32,
    /// Random, made together with the number.
    pub nonce: u64,
}

/// A small durable memory outside the disks.
pub trait Witness {
    /// What was noted last; `None`: nothing was ever noted, or nobody remembers.
    fn read(&self) -> LocalTask<'_, Result<Option<EraMark>, DiskError>>;
    /// Durable when it answers. A crash leaves either the old mark or this one.
    fn note(&self, mark: EraMark) -> LocalTask<'_, Result<(), DiskError>>;
}

/// Remembers nothing: for memory pools, and for looking at disks without their data directory. Without a witness
/// the newest disk *among those that are there* is believed.
pub struct NoWitness;

impl Witness for NoWitness {
    fn read(&self) -> LocalTask<'_, Result<Option<EraMark>, DiskError>> {
        Box::pin(async { Ok(None) })
    }

    fn note(&self, _: EraMark) -> LocalTask<'_, Result<(), DiskError>> {
        Box::pin(async { Ok(()) })
    }
}
