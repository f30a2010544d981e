//! Files and devices of pools: their names, their sizes, and what stands on them before they are ours.

use std::fs;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parpen_base::{GIB, MIB, TIB, format_size};
use parpen_engine::FileDisk;
use parpen_model::{Condition, DiskPlace, Pool};

use super::refused;

/// Smallest disk, in bytes.
pub(super) const SMALLEST: u64 = 64 * MIB;
/// Bounds of a disk whose size nobody said, in bytes.
const UNSAID: (u64, u64) = (8 * GIB, 16 * TIB);
/// How often, and how long between, a disk that another process holds is tried again.
const LOCK_TRIES: usize = 25;
const LOCK_PAUSE: Duration = Duration::from_millis(200);
/// How much of a device's ends must be zeros before it is formatted.
const LOOKED_AT: usize = MIB as usize;
/// At how many places a device is looked at.
const LOOKS: u64 = 64;

/// The disk of a pool for which nobody named one, below the data directory.
pub(super) fn own_path(pool: &str, number: Option<u16>) -> String {
    match number {
        None => format!("pools/{pool}.disk"),
        Some(n) => format!("pools/{pool}-{n}.disk"),
    }
}

/// Whether a disk of this pool was named by us.
pub(super) fn is_own(pool: &Pool, place: &DiskPlace) -> bool {
    let named = |n: &str| n.is_empty() || n.strip_prefix('-').is_some_and(|n| n.parse::<u16>().is_ok());
    let middle =
        place.path.strip_prefix(&format!("pools/{}", pool.name)).and_then(|p| p.strip_suffix(".disk"));
    middle.is_some_and(named)
}

/// Where a file is until it is formatted, so that a crash never leaves half a disk under its own name. Below a path that
/// somebody named, even this name may be somebody's: then it is one that nobody has.
pub(super) fn unfinished(path: &Path, own: bool, unique: impl FnOnce() -> String) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unfinished");
    if !own {
        name.push(format!("-{}", unique()));
    }
    PathBuf::from(name)
}

/// A new sparse file; what an earlier attempt left under this name goes.
pub(super) fn make(path: &Path, bytes: u64) -> Result<(), Condition> {
    // A device that was there when it was asked for may be gone by now.
    no_device(path)?;
    let failed = |e: std::io::Error| refused(format!("{}: {e}", path.display()));
    let parent = path.parent().ok_or_else(|| Condition::invalid("path", "it names no file"))?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
    remove(path)?;
    FileDisk::create(path, bytes).map_err(refused)
}

/// Removes a file; absent = done.
pub(super) fn remove(path: &Path) -> Result<(), Condition> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(refused(format!("{}: {e}", path.display()))),
    }
}

/// Gives a finished file its own name, durably.
pub(super) fn finish(from: &Path, to: &Path) -> Result<(), Condition> {
    let failed = |e: std::io::Error| refused(format!("{}: {e}", to.display()));
    fs::rename(from, to).map_err(failed)?;
    let parent = to.parent().ok_or_else(|| Condition::invalid("path", "it names no file"))?;
    fs::File::open(parent).and_then(|d| d.sync_all()).map_err(failed)
}

/// Waits for a process that was killed, which may hold its disk a moment longer than it lives. A disk that stays held is
/// said by whoever opens it.
pub(super) async fn unlocked(path: &Path) -> bool {
    for _ in 0..LOCK_TRIES {
        let Ok(file) = fs::File::open(path) else { return true };
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            _ => return true,
        }
    }
    false
}

/// Room on the file system that is kept back for recovery: 1/64 of the pool, 4 to 64 MiB.
pub(super) fn take_ballast(path: &Path, capacity: u64) -> std::io::Result<()> {
    let bytes = (capacity / 64).clamp(4 * MIB, 64 * MIB);
    let file = fs::File::create(path)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
    file.sync_all()
}

/// The size of a blank file or device in bytes; refuses one that holds anything or is too small.
pub(super) fn blank(path: &Path) -> Result<u64, Condition> {
    let look = || -> std::io::Result<(u64, bool)> {
        let mut f = fs::File::open(path)?;
        let size = f.seek(SeekFrom::End(0))?;
        // A file tells where it has data; of a device many places are looked at, the ends among them.
        let mut clean = match f.metadata()?.is_file() {
            true => {
                matches!(rustix::fs::seek(&f, rustix::fs::SeekFrom::Data(0)), Err(rustix::io::Errno::NXIO))
            }
            false => true,
        };
        let last = size.saturating_sub(LOOKED_AT as u64);
        for at in (0..=LOOKS).map(|i| last / LOOKS * i).chain([last]) {
            f.seek(SeekFrom::Start(at))?;
            let mut piece = Vec::with_capacity(LOOKED_AT);
            f.by_ref().take(LOOKED_AT as u64).read_to_end(&mut piece)?;
            clean &= piece.iter().all(|b| *b == 0);
        }
        Ok((size, clean))
    };
    match look() {
        Ok((size, true)) if size < SMALLEST => {
            let least = format_size(SMALLEST);
            Err(Condition::invalid(
                "path",
                format!("{} is too small: a disk has at least {least}", path.display()),
            ))
        }
        Ok((size, true)) => Ok(size),
        Ok((_, false)) => Err(Condition::invalid(
            "path",
            format!(
                "{} holds something that is no parpen disk; wipe it first if it is not needed",
                path.display()
            ),
        )),
        Err(e) => Err(refused(format!("{}: {e}", path.display()))),
    }
}

/// What the file system at or above `path` has free, in bytes.
pub(super) fn free_bytes(path: &Path) -> Result<u64, Condition> {
    let there = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    let stat = rustix::fs::statvfs(there).map_err(|e| refused(format!("{}: {e}", there.display())))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Refuses a path among the devices at which nothing is: a file made there would lie in memory, under a device's name.
fn no_device(path: &Path) -> Result<(), Condition> {
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let there = path.ancestors().find_map(|p| fs::canonicalize(p).ok());
    // What lies in /dev/shm are files, by everybody's custom.
    match there.is_some_and(|p| p.starts_with("/dev") && !p.starts_with("/dev/shm")) {
        true => Err(Condition::invalid("path", format!("there is no device {}", path.display()))),
        false => Ok(()),
    }
}

/// How large a disk at `path` is to be, in bytes: a device as it is, a file as was asked for, else its part of 90 % of
/// what is free.
pub(super) fn capacity(path: &Path, asked: Option<u64>, sharers: u64) -> Result<u64, Condition> {
    no_device(path)?;
    if fs::metadata(path).is_ok_and(|m| m.file_type().is_block_device()) {
        let end = fs::File::open(path).and_then(|mut f| f.seek(SeekFrom::End(0)));
        return end.map_err(|e| refused(format!("{}: {e}", path.display())));
    }
    let part = |free: u64| (free / 10 * 9).clamp(UNSAID.0, UNSAID.1) / sharers.max(1);
    asked.map_or_else(|| free_bytes(path).map(part), Ok)
}

/// The pool that a file of ours was made for, by its name: `<pool>.disk` or `<pool>-<number>.disk`.
pub(super) fn pool_of(path: &Path) -> String {
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    match stem.rsplit_once('-') {
        Some((pool, number)) if number.parse::<u16>().is_ok() => pool.to_string(),
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_made_among_the_devices() {
        for path in ["/dev/no-such-disk", "/dev/no-such-folder/disk", "/dev/shm/../no-such-disk"] {
            for refused in [capacity(Path::new(path), Some(GIB), 1).map(|_| ()), make(Path::new(path), GIB)] {
                let text = refused.unwrap_err().to_string();
                assert!(text.contains(&format!("there is no device {path}")), "{text}");
            }
            assert!(fs::symlink_metadata(path).is_err(), "{path}");
        }
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(capacity(&dir.path().join("new/disk"), Some(GIB), 1), Ok(GIB));
    }
}
