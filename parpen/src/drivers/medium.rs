//! What the system says of the medium below a path.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The block device that a file or device is on, as `major:minor`; none below what is no block device (tmpfs, overlay).
pub(super) fn device_of(path: &Path) -> Option<(u32, u32)> {
    let there = path.ancestors().find(|p| p.exists())?;
    let meta = fs::metadata(there).ok()?;
    let id = if meta.file_type().is_block_device() { meta.rdev() } else { meta.dev() };
    Some((rustix::fs::major(id), rustix::fs::minor(id)))
}

/// Whether it has no moving parts. What the system does not say has none: memory and network have no arm.
pub(super) fn is_ssd(path: &Path) -> bool {
    let Some((major, minor)) = device_of(path) else { return true };
    let of = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    // A partition has no queue of its own; its disk's is one level up.
    let said =
        ["queue/rotational", "../queue/rotational"].iter().find_map(|f| fs::read_to_string(of.join(f)).ok());
    said.is_none_or(|text| text.trim() != "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_a_path_that_is_not_there_yet_counts() {
        let dir = tempfile::tempdir().unwrap();
        let below = device_of(dir.path());
        assert!(below.is_some());
        assert_eq!(device_of(&dir.path().join("a/b")), below);
        assert!(is_ssd(Path::new("/proc/none")), "no block device, no arm");
    }
}
