//! The witness of a pool: a small file in the data directory that remembers the newest era of the pool's disks, so
//! that an old disk that comes up alone is recognised.
//!
//! Two blocks are written in turn, in place: a crash leaves the other one, and a full file system does not matter.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use parpen_array::{EraMark, LocalTask, Witness, WitnessSource};
use parpen_base::crc32c_seeded;
use parpen_engine::DiskError;
use uuid::Uuid;

const MAGIC: &[u8; 8] = b"parpenEW";
const SLOT: usize = 4096;
/// Magic, number of the note, era, nonce.
const BODY: usize = 8 + 8 + 4 + 8;

/// Where the witness of a pool is kept.
pub(super) fn path_of(data: &Path, pool: Uuid) -> PathBuf {
    data.join(format!("pools/{pool}.witness"))
}

/// The witness of a pool, made on the thread that asks it.
pub(super) fn of_pool(data: &Path, pool: Uuid) -> WitnessSource {
    let path = path_of(data, pool);
    Box::new(move || Rc::new(FileWitness(path)))
}

struct FileWitness(PathBuf);

fn encode(number: u64, mark: EraMark) -> Vec<u8> {
    let mut slot = MAGIC.to_vec();
    slot.extend(number.to_le_bytes());
    slot.extend(mark.era.to_le_bytes());
    slot.extend(mark.nonce.to_le_bytes());
    slot.extend(crc32c_seeded(0, &slot).to_le_bytes());
    slot.resize(SLOT, 0);
    slot
}

fn decode(slot: &[u8]) -> Option<(u64, EraMark)> {
    let (body, rest) = slot.split_at_checked(BODY)?;
    let crc = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?);
    if &body[..8] != MAGIC || crc32c_seeded(0, body) != crc {
        return None;
    }
    let number = u64::from_le_bytes(body[8..16].try_into().ok()?);
    let era = u32::from_le_bytes(body[16..20].try_into().ok()?);
    let nonce = u64::from_le_bytes(body[20..28].try_into().ok()?);
    Some((number, EraMark { era, nonce }))
}

impl FileWitness {
    /// The newest note and its number.
    fn newest(&self) -> io::Result<Option<(u64, EraMark)>> {
        match fs::read(&self.0) {
            Ok(bytes) => Ok(bytes.chunks(SLOT).filter_map(decode).max_by_key(|(number, _)| *number)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn write(&self, mark: EraMark) -> io::Result<()> {
        let number = self.newest()?.map_or(0, |(number, _)| number) + 1;
        let file = match OpenOptions::new().write(true).open(&self.0) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => self.make()?,
            Err(e) => return Err(e),
        };
        file.write_all_at(&encode(number, mark), number % 2 * SLOT as u64)?;
        file.sync_all()
    }

    /// Both slots get their place on the medium before the first note.
    fn make(&self) -> io::Result<File> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.0)?;
        file.write_all_at(&[0; 2 * SLOT], 0)?;
        file.sync_all()?;
        File::open(folder)?.sync_all()?;
        Ok(file)
    }
}

fn failed(path: &Path, error: io::Error) -> DiskError {
    tracing::error!(path = %path.display(), %error, "the witness of a pool cannot be used");
    if error.kind() == ErrorKind::StorageFull { DiskError::NoSpace } else { DiskError::Io }
}

impl Witness for FileWitness {
    fn read(&self) -> LocalTask<'_, Result<Option<EraMark>, DiskError>> {
        Box::pin(async { self.newest().map(|n| n.map(|(_, mark)| mark)).map_err(|e| failed(&self.0, e)) })
    }

    fn note(&self, mark: EraMark) -> LocalTask<'_, Result<(), DiskError>> {
        Box::pin(async move { self.write(mark).map_err(|e| failed(&self.0, e)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_note_is_remembered_and_a_torn_one_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let w = FileWitness(path_of(dir.path(), Uuid::from_u128(7)));
        assert_eq!(w.newest().unwrap(), None);
        for era in 1..=3 {
            w.write(EraMark { era, nonce: 9 }).unwrap();
            assert_eq!(w.newest().unwrap(), Some((u64::from(era), EraMark { era, nonce: 9 })));
        }
        let mut bytes = fs::read(&w.0).unwrap();
        bytes[SLOT + 20] ^= 1;
        fs::write(&w.0, bytes).unwrap();
        assert_eq!(w.newest().unwrap(), Some((2, EraMark { era: 2, nonce: 9 })));
    }
}
