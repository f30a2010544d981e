//! The medium, as the engine sees it: one linear space of 4 KiB blocks, asynchronous, on one thread.

mod file;
mod ram;

use parpen_base::Buf;

pub use file::{FileDisk, FileError};
pub use ram::RamDisk;

/// What a medium can do wrong and say so. What it does wrong silently is found by checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// The host has no space for this write (a sparse file on a full file system).
    #[error("the file system below has no space left")]
    NoSpace,
    /// The medium failed.
    #[error("the medium failed")]
    Io,
}

/// A raw device or one big file. Offsets and lengths are multiples of 4096 bytes.
///
/// Requests may be in flight together and take effect in any order; a write that was answered is readable at
/// once, and durable only after a flush that was submitted after the answer. After a failed flush nothing is
/// known of any write since the last good one, and a later flush that succeeds proves nothing.
pub trait Disk {
    /// Size in bytes; fixed for the life of the handle.
    fn size(&self) -> u64;
    /// Fills `buf` from `offset`.
    fn read(&self, offset: u64, buf: Buf) -> impl Future<Output = (Result<(), DiskError>, Buf)>;
    /// Stores `buf` at `offset`.
    fn write(&self, offset: u64, buf: Buf) -> impl Future<Output = (Result<(), DiskError>, Buf)>;
    /// Makes every write that was answered before this call durable.
    fn flush(&self) -> impl Future<Output = Result<(), DiskError>>;
    /// The bytes are not needed any more: the medium may give the space back. Content is undefined
    /// afterwards; a hint.
    fn discard(&self, offset: u64, len: u64) -> impl Future<Output = Result<(), DiskError>>;
}
