//! The medium, as the engine sees it: one linear space of 4 KiB blocks, asynchronous, on one thread.

mod file;
mod ram;

use parpen_base::Buf;
pub use parpen_ring::Part;

use crate::sync::join_all;

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

/// What can be said of several requests together: that the medium failed matters more than that there is no space.
pub(crate) fn worst(results: impl Iterator<Item = Result<(), DiskError>>) -> Result<(), DiskError> {
    let errors: Vec<DiskError> = results.filter_map(Result::err).collect();
    match errors.first() {
        None => Ok(()),
        Some(_) if errors.contains(&DiskError::Io) => Err(DiskError::Io),
        Some(first) => Err(*first),
    }
}

/// A raw device or one big file. Offsets and lengths are multiples of 4096 bytes.
///
/// Requests may be in flight together and take effect in any order; a write that was answered is readable at
/// once, and durable only after a flush that was submitted after the answer. After a failed flush nothing is
/// known of any write since the last good one, and a later flush that succeeds proves nothing.
pub trait Disk {
    /// Size in bytes; fixed for the life of the handle.
    fn size(&self) -> u64;
    /// Bytes of maps of this disk that stay in memory although they could be read again.
    fn map_cache(&self) -> usize {
        crate::cache::CACHE_BYTES
    }
    /// Fills `buf` from `offset`.
    fn read(&self, offset: u64, buf: Buf) -> impl Future<Output = (Result<(), DiskError>, Buf)>;
    /// Stores `buf` at `offset`.
    fn write(&self, offset: u64, buf: Buf) -> impl Future<Output = (Result<(), DiskError>, Buf)>;
    /// Fills parts of `buf` from their places; in any order, and all of them are tried.
    fn read_parts(&self, parts: Vec<Part>, buf: Buf) -> impl Future<Output = (Result<(), DiskError>, Buf)> {
        async move {
            let read = |p: &Part| self.read(p.offset, Buf::zeroed(p.range.len()));
            let all = join_all(parts.iter().map(read).collect()).await;
            let mut buf = buf;
            for (part, (_, bytes)) in parts.iter().zip(&all) {
                buf[part.range.clone()].copy_from_slice(bytes);
            }
            (worst(all.into_iter().map(|(result, _)| result)), buf)
        }
    }
    /// Stores parts of `buf` at their places; in any order, and all of them are tried.
    fn write_parts(&self, parts: Vec<Part>, buf: Buf) -> impl Future<Output = (Result<(), DiskError>, Buf)> {
        async move {
            let write = |p: &Part| self.write(p.offset, Buf::copy_of(&buf[p.range.clone()]));
            let all = join_all(parts.iter().map(write).collect()).await;
            (worst(all.into_iter().map(|(result, _)| result)), buf)
        }
    }
    /// Makes every write that was answered before this call durable.
    fn flush(&self) -> impl Future<Output = Result<(), DiskError>>;
    /// The bytes are not needed any more: the medium may give the space back. Content is undefined
    /// afterwards; a hint.
    fn discard(&self, offset: u64, len: u64) -> impl Future<Output = Result<(), DiskError>>;
}
