//! A disk in a sparse file or on a block device, by the reactor of the thread. Direct I/O where it is given,
//! through the page cache where it is refused; one process at a time.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parpen_base::Buf;
use parpen_ring::{Allocate, File};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{Part, worst};
use crate::cache::CACHE_BYTES;
use crate::layout::BLOCK;
use crate::{Disk, DiskError};

/// Why a file cannot be a disk; one sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Another process has it.
    #[error("{0} is in use by another process; stop that one first")]
    Locked(PathBuf),
    /// It is neither a file nor a block device.
    #[error("{0} is neither a file nor a block device")]
    NoDisk(PathBuf),
    /// The system refuses; says why.
    #[error("{path} cannot be opened as a disk: {error}")]
    System {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// A file or block device. Its requests run on the reactor of the thread that polls them.
pub struct FileDisk {
    file: File,
    size: u64,
    direct: bool,
    /// The medium takes no space back: not asked again.
    no_discard: Cell<bool>,
    map_cache: usize,
}

fn open_with(path: &Path, flags: OFlags) -> io::Result<std::fs::File> {
    let flags = flags.bits() as i32;
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
}

/// Whether this file system really reads directly: some accept the flag and refuse the read.
fn reads_directly(file: &std::fs::File) -> io::Result<bool> {
    let mut block = Buf::zeroed(BLOCK as usize);
    match file.read_at(&mut block, 0) {
        Ok(_) => Ok(true),
        Err(e) if Errno::from_io_error(&e) == Some(Errno::INVAL) => Ok(false),
        Err(e) => Err(e),
    }
}

/// After a flush that failed the page cache may hold what the medium does not have, and call it written: an opening
/// must see what is really there.
fn forget_cache(file: &std::fs::File) -> io::Result<()> {
    file.sync_data()?;
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

fn open_best(path: &Path) -> io::Result<(std::fs::File, bool)> {
    match open_with(path, OFlags::DIRECT) {
        Ok(file) if reads_directly(&file)? => Ok((file, true)),
        Err(e) if Errno::from_io_error(&e) != Some(Errno::INVAL) => Err(e),
        _ => Ok((open_with(path, OFlags::empty())?, false)),
    }
}

impl FileDisk {
    /// Makes a sparse file of `size` bytes (rounded down to whole blocks); it must not exist.
    pub fn create(path: &Path, size: u64) -> Result<(), FileError> {
        let made = || -> io::Result<()> {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.set_len(size / BLOCK * BLOCK)?;
            file.sync_all()?;
            match path.parent().filter(|p| !p.as_os_str().is_empty()) {
                Some(parent) => std::fs::File::open(parent)?.sync_all(),
                None => std::fs::File::open(".")?.sync_all(),
            }
        };
        made().map_err(|error| FileError::System { path: path.into(), error })
    }

    /// Opens a file or block device for this process alone.
    pub fn open(path: &Path) -> Result<FileDisk, FileError> {
        let system = |error| FileError::System { path: path.into(), error };
        let (mut file, direct) = open_best(path).map_err(system)?;
        let kind = file.metadata().map_err(system)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(FileError::NoDisk(path.into()));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(FileError::Locked(path.into())),
            Err(std::fs::TryLockError::Error(error)) => return Err(system(error)),
        }
        if !direct {
            forget_cache(&file).map_err(system)?;
        }
        let size = file.seek(SeekFrom::End(0)).map_err(system)? / BLOCK * BLOCK;
        Ok(FileDisk {
            file: File::new(file),
            size,
            direct,
            no_discard: Cell::new(false),
            map_cache: CACHE_BYTES,
        })
    }

    /// Sets how many bytes of the disk's maps stay in memory although they could be read again; 64 MiB otherwise.
    pub fn with_map_cache(self, bytes: usize) -> FileDisk {
        FileDisk { map_cache: bytes, ..self }
    }

    /// Whether the page cache is passed by.
    pub fn is_direct(&self) -> bool {
        self.direct
    }
}

fn failed(what: &'static str, offset: u64, error: io::Error) -> DiskError {
    match Errno::from_io_error(&error) {
        Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => DiskError::NoSpace,
        _ => {
            tracing::error!(what, offset, %error, "the medium failed");
            DiskError::Io
        }
    }
}

impl Disk for FileDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn map_cache(&self) -> usize {
        self.map_cache
    }

    async fn read(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        let len = buf.len();
        let (result, buf) = self.file.read_at(buf, 0..len, offset).await;
        let result = match result {
            Ok(n) if n == len => Ok(()),
            Ok(_) => Err(failed("read", offset, io::ErrorKind::UnexpectedEof.into())),
            Err(e) => Err(failed("read", offset, e)),
        };
        (result, buf)
    }

    async fn write(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        let len = buf.len();
        if offset.checked_add(len as u64).is_none_or(|end| end > self.size) {
            return (Err(failed("write", offset, io::ErrorKind::InvalidInput.into())), buf);
        }
        let (result, buf) = self.file.write_at(buf, 0..len, offset).await;
        (result.map_err(|e| failed("write", offset, e)), buf)
    }

    async fn read_parts(&self, parts: Vec<Part>, buf: Buf) -> (Result<(), DiskError>, Buf) {
        let offsets: Vec<u64> = parts.iter().map(|p| p.offset).collect();
        let (results, buf) = self.file.read_parts(buf, parts).await;
        let results = results.into_iter().zip(offsets);
        (worst(results.map(|(result, at)| result.map_err(|e| failed("read", at, e)))), buf)
    }

    async fn write_parts(&self, parts: Vec<Part>, buf: Buf) -> (Result<(), DiskError>, Buf) {
        let beyond = |p: &Part| p.offset.checked_add(p.range.len() as u64).is_none_or(|end| end > self.size);
        if let Some(part) = parts.iter().find(|p| beyond(p)) {
            return (Err(failed("write", part.offset, io::ErrorKind::InvalidInput.into())), buf);
        }
        let offsets: Vec<u64> = parts.iter().map(|p| p.offset).collect();
        let (results, buf) = self.file.write_parts(buf, parts).await;
        let results = results.into_iter().zip(offsets);
        (worst(results.map(|(result, at)| result.map_err(|e| failed("write", at, e)))), buf)
    }

    async fn flush(&self) -> Result<(), DiskError> {
        self.file.sync(true).await.map_err(|e| failed("flush", 0, e))
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        if self.no_discard.get() {
            return Ok(());
        }
        match self.file.allocate(Allocate::Punch, offset, len).await {
            Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::OPNOTSUPP | Errno::NOSYS)) => {
                self.no_discard.set(true);
                Ok(())
            }
            other => other.map_err(|e| failed("discard", offset, e)),
        }
    }
}
