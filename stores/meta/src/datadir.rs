//! The data directory belongs to one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The version of the directory's layout.
const VERSION: u32 = 1;

/// A data directory that this process holds; given back when dropped, or by the kernel when the process dies.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Holds the lock as long as it is open.
    _lock: File,
}

/// Why a data directory cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Another process has it.
    #[error("{} is in use by {}; stop that first", .path.display(), holder(.pid))]
    Held {
        /// The directory.
        path: PathBuf,
        /// The process, if it has said so already.
        pid: Option<u32>,
    },
    /// It was written by a newer version.
    #[error(
        "{} is of version {found}, and this program knows versions up to {known}: start the newer program; \
         nothing was changed",
        .path.display()
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// Its version cannot be read.
    #[error("{} holds no number: it is no data directory or damaged; nothing was changed", .0.display())]
    Damaged(PathBuf),
    /// The file system refused.
    #[error("{}: {why}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Its reason.
        why: std::io::Error,
    },
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_string(), |p| format!("process {p}"))
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Refused + use<'_> {
    move |why| Refused::Io { path: path.to_path_buf(), why }
}

impl DataDir {
    /// Takes the directory, making it (for its owner alone) if it is not there.
    pub fn lock(path: &Path) -> Result<DataDir, Refused> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io(path))?;
        // Before anything is written: a newer version's directory stays as it is.
        let version = check_version(path)?;
        let name = path.join("lock");
        let mut options = OpenOptions::new();
        let mut lock = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&name)
            .map_err(io(&name))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                lock.read_to_string(&mut text).map_err(io(&name))?;
                return Err(Refused::Held { path: path.to_path_buf(), pid: text.trim().parse().ok() });
            }
            Err(TryLockError::Error(why)) => return Err(Refused::Io { path: name, why }),
        }
        let said = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        said.map_err(io(&name))?;
        if version.is_none() {
            write_version(path)?;
        }
        Ok(DataDir { path: path.to_path_buf(), _lock: lock })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the database of this directory is.
    pub fn database(&self) -> PathBuf {
        self.path.join("meta.sqlite")
    }

    fn restored_mark(&self) -> PathBuf {
        self.path.join("meta.restored")
    }

    /// Whether the database is a copy that was put back, and nobody has settled yet what was under way in it.
    pub fn is_restored(&self) -> bool {
        self.restored_mark().exists()
    }

    /// The database is about to be a copy that was made some time ago.
    pub(crate) fn mark_restored(&self) -> std::io::Result<()> {
        File::create(self.restored_mark())?.sync_all()?;
        File::open(&self.path)?.sync_all()
    }

    /// What was under way in a copy is settled, durably.
    pub fn settled(&self) -> std::io::Result<()> {
        match std::fs::remove_file(self.restored_mark()) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => File::open(&self.path)?.sync_all(),
        }
    }
}

fn check_version(dir: &Path) -> Result<Option<u32>, Refused> {
    let name = dir.join("version");
    let text = match std::fs::read_to_string(&name) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(Refused::Io { path: name, why }),
    };
    let found: u32 = text.trim().parse().map_err(|_| Refused::Damaged(name))?;
    if found > VERSION {
        return Err(Refused::Newer { path: dir.to_path_buf(), found, known: VERSION });
    }
    Ok(Some(found))
}

/// Written whole or not at all, whenever the power fails.
fn write_version(dir: &Path) -> Result<(), Refused> {
    let (draft, name) = (dir.join("version.new"), dir.join("version"));
    let mut file = File::create(&draft).map_err(io(&draft))?;
    writeln!(file, "{VERSION}").and_then(|()| file.sync_all()).map_err(io(&draft))?;
    std::fs::rename(&draft, &name).map_err(io(&name))?;
    File::open(dir).and_then(|d| d.sync_all()).map_err(io(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_refused_with_the_pid_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/data");
        let first = DataDir::lock(&path).unwrap();
        let refused = DataDir::lock(&path).unwrap_err();
        assert!(matches!(&refused, Refused::Held { pid, .. } if *pid == Some(std::process::id())));
        assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        let again = DataDir::lock(&path).unwrap();
        assert_eq!(again.database(), path.join("meta.sqlite"));
        assert_eq!(std::fs::read_to_string(again.path().join("version")).unwrap(), "1\n");
    }

    #[test]
    fn a_newer_or_unreadable_directory_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        for (text, newer) in [("2\n", true), ("two", false), ("", false)] {
            std::fs::write(dir.path().join("version"), text).unwrap();
            let refused = DataDir::lock(dir.path()).unwrap_err();
            assert_eq!(matches!(refused, Refused::Newer { found: 2, known: 1, .. }), newer, "{refused}");
            assert_eq!(matches!(refused, Refused::Damaged(_)), !newer, "{refused}");
            let left: Vec<_> =
                std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(left, ["version"]);
            assert_eq!(std::fs::read_to_string(dir.path().join("version")).unwrap(), text);
        }
    }
}
