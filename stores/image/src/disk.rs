//! What is in an image's file: a disk that can be read from any place.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use parpen_model::Condition;

use crate::qcow2::Qcow2;

/// Formats that can be put into a volume and made from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The disk's bytes as they are.
    Raw,
    /// QEMU's copy-on-write format, versions 2 and 3.
    Qcow2,
}

impl Format {
    /// The format of that name.
    pub fn parse(name: &str) -> Result<Format, Condition> {
        match name {
            "raw" => Ok(Format::Raw),
            "qcow2" => Ok(Format::Qcow2),
            other => Err(Condition::Unsupported(format!(
                "images of the format {other:?} are only kept; raw and qcow2 can be volumes"
            ))),
        }
    }
}

/// Something that can be read at any place: a file, or bytes in tests and fuzzers.
pub trait ReadAt: Send {
    /// Bytes in all.
    fn size(&self) -> io::Result<u64>;
    /// Fills the buffer from `offset` on.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn size(&self) -> io::Result<u64> {
        self.metadata().map(|m| m.len())
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buf, offset)
    }
}

impl ReadAt for &[u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).ok().and_then(|o| self.get(o..o.checked_add(buf.len())?));
        buf.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// The disk in an image's file.
pub enum Disk<R> {
    /// The file itself.
    Raw(R, u64),
    /// A qcow2 file.
    Qcow2(Qcow2<R>),
}

impl<R: ReadAt> Disk<R> {
    /// Opens the disk in `file`; what is malformed or cannot be read here is refused with the reason.
    pub fn open(file: R, format: Format) -> Result<Disk<R>, Condition> {
        match format {
            Format::Raw => {
                let size = file.size().map_err(unreadable)?;
                Ok(Disk::Raw(file, size))
            }
            Format::Qcow2 => Qcow2::open(file).map(Disk::Qcow2),
        }
    }

    /// Bytes of the disk.
    pub fn size(&self) -> u64 {
        match self {
            Disk::Raw(_, size) => *size,
            Disk::Qcow2(q) => q.size(),
        }
    }

    /// Fills the buffer from `offset` on, which lies within the disk with all of it.
    pub fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Condition> {
        match self {
            Disk::Raw(file, _) => file.read_at(buf, offset).map_err(unreadable),
            Disk::Qcow2(q) => q.read(offset, buf),
        }
    }
}

/// The medium below an image failed.
pub(crate) fn unreadable(e: io::Error) -> Condition {
    match e.kind() {
        io::ErrorKind::UnexpectedEof => Condition::DataLost("the image ends before its disk does".into()),
        io::ErrorKind::StorageFull => Condition::NoSpace("the file system of the images is full".into()),
        _ => {
            tracing::error!(error = %e, "an image's file failed");
            Condition::Unavailable(
                "an image's file cannot be read or written; the server's log says more".into(),
            )
        }
    }
}
