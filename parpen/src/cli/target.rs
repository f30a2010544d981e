//! Files that commands write bytes to.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Context, bail};

/// A file to write to. What is there keeps its bytes without `force`; pipes and their like have none to lose.
pub(super) fn create(file: &Path, force: bool) -> anyhow::Result<File> {
    let cannot = || format!("cannot make {}", file.display());
    let streams = fs::metadata(file).is_ok_and(|m| m.file_type().is_char_device() || m.file_type().is_fifo());
    if force || streams {
        return File::create(file).with_context(cannot);
    }
    match File::create_new(file) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists; --force writes over it", file.display())
        }
        made => made.with_context(cannot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_written_over_only_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bytes");
        create(&file, false).unwrap();
        fs::write(&file, "mine").unwrap();
        assert!(create(&file, false).unwrap_err().to_string().contains("--force"));
        assert_eq!(fs::read(&file).unwrap(), b"mine");
        create(&file, true).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"");
        create(Path::new("/dev/null"), false).unwrap();
    }
}
