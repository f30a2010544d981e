//! A copy of the database in one file, taken while it is used, and putting one back.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::{DataDir, OpenError, migrate};

/// How long the copy waits for a writer.
const BUSY: Duration = Duration::from_secs(30);

/// Why a copy was not taken or not put back.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The target is there.
    #[error("{} exists already; nothing was changed", .0.display())]
    Exists(PathBuf),
    /// The source is not there, or no database of ours.
    #[error("{} is no database of this program: {}; nothing was changed", .0.display(), .1)]
    NotOurs(PathBuf, String),
    /// The file system refused.
    #[error("{}: {}", .0.display(), .1)]
    Io(PathBuf, std::io::Error),
    /// The database refused.
    #[error("the copy failed: {0}")]
    Sql(#[from] rusqlite::Error),
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> CopyError + use<'_> {
    |e| CopyError::Io(path.to_path_buf(), e)
}

/// Looks without changing anything: a sound database of a version that this program knows.
fn look(path: &Path) -> Result<Connection, CopyError> {
    let not_ours = |why: String| CopyError::NotOurs(path.to_path_buf(), why);
    if !path.is_file() {
        return Err(not_ours("there is no such file".into()));
    }
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.busy_timeout(BUSY)?;
    match migrate::check(&conn) {
        Ok(0) => Err(not_ours("it holds no rows of parpen".into())),
        Ok(_) => Ok(conn),
        Err(OpenError::Sql(e)) => Err(not_ours(e.to_string())),
        Err(e) => Err(not_ours(e.to_string())),
    }
}

/// Copies the database at `from`, which may be in use, to the new file `to`: one consistent state, for its owner's
/// eyes only, on the disk when this answers.
pub fn backup(from: &Path, to: &Path) -> Result<(), CopyError> {
    let conn = look(from)?;
    // Made first, so that the copy never has another mode, not even for a moment. SQLite fills an empty file.
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(to) {
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(CopyError::Exists(to.to_path_buf()));
        }
        Err(e) => return Err(CopyError::Io(to.to_path_buf(), e)),
    }
    let copied = conn.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map_err(CopyError::from);
    let durable = copied.and_then(|_| File::open(to).and_then(|f| f.sync_all()).map_err(io(to)));
    if durable.is_err() {
        // Half a copy only misleads; that it cannot be removed changes nothing about the failure.
        let _ = std::fs::remove_file(to);
    }
    durable
}

/// Puts a copy in the place of the database of a data directory that nobody serves. A database that is there is kept
/// beside it under the name that is answered. The directory is marked as [restored](DataDir::is_restored).
pub fn restore(into: &DataDir, from: &Path) -> Result<Option<PathBuf>, CopyError> {
    look(from)?
        .query_row("PRAGMA integrity_check", [], |r| r.get::<_, String>(0))
        .map_err(CopyError::from)
        .and_then(|said| match said.as_str() {
        "ok" => Ok(()),
        why => Err(CopyError::NotOurs(from.to_path_buf(), why.to_string())),
    })?;
    let database = into.database();
    let draft = into.path().join("meta.sqlite.restoring");
    match std::fs::remove_file(&draft) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(CopyError::Io(draft, e)),
        _ => {}
    }
    backup(from, &draft)?;
    // Before it is in place: jobs that were open when it was made must not be taken up.
    into.mark_restored().map_err(io(&database))?;
    let kept = if database.exists() { Some(set_aside(&database)?) } else { None };
    std::fs::rename(&draft, &database).map_err(io(&database))?;
    File::open(into.path()).and_then(|d| d.sync_all()).map_err(io(into.path()))?;
    Ok(kept)
}

/// Moves the present database, folded into one file, to the first free name `meta.sqlite.<n>`.
fn set_aside(database: &Path) -> Result<PathBuf, CopyError> {
    let name = (1..).map(|n| database.with_extension(format!("sqlite.{n}"))).find(|p| !p.exists());
    let kept = name.expect("numbers do not end");
    // Opening and closing it alone folds its log into it; one that cannot be opened is kept with its log as it is.
    if let Ok(conn) = Connection::open(database) {
        let _ = conn.pragma_update(None, "wal_checkpoint", "TRUNCATE");
    }
    for suffix in ["-wal", "-shm"] {
        let beside = PathBuf::from(format!("{}{suffix}", database.display()));
        if beside.exists() {
            let to = PathBuf::from(format!("{}{suffix}", kept.display()));
            std::fs::rename(&beside, to).map_err(io(&beside))?;
        }
    }
    std::fs::rename(database, &kept).map_err(io(database))?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::Store;

    fn count(path: &Path) -> i64 {
        let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        conn.query_row("SELECT count(*) FROM migrations", [], |r| r.get(0)).unwrap()
    }

    #[test]
    fn a_database_in_use_is_copied_and_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::lock(&dir.path().join("data")).unwrap();
        let open = Store::open(&data.database()).unwrap();
        let copy = dir.path().join("copy.sqlite");
        backup(&data.database(), &copy).unwrap();
        open.close();
        assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(backup(&data.database(), &copy), Err(CopyError::Exists(_))));
        let steps = count(&copy);
        assert!(steps > 0);
        assert!(!data.is_restored());
        let kept = restore(&data, &copy).unwrap().unwrap();
        assert!(data.is_restored());
        data.settled().unwrap();
        assert!(!data.is_restored());
        assert_eq!(count(&kept), steps);
        assert_eq!(count(&data.database()), steps);
        Store::open(&data.database()).unwrap().close();
        std::fs::remove_file(data.database()).unwrap();
        assert_eq!(restore(&data, &copy).unwrap(), None);
        assert_eq!(count(&data.database()), steps);
    }

    #[test]
    fn what_is_no_database_of_ours_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::lock(dir.path()).unwrap();
        Store::open(&data.database()).unwrap().close();
        let before = std::fs::read(data.database()).unwrap();
        let strange = dir.path().join("strange");
        assert!(matches!(restore(&data, &strange), Err(CopyError::NotOurs(..))));
        std::fs::write(&strange, [7; 9000]).unwrap();
        assert!(matches!(restore(&data, &strange), Err(CopyError::NotOurs(..))));
        Connection::open(dir.path().join("other")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(matches!(restore(&data, &dir.path().join("other")), Err(CopyError::NotOurs(..))));
        assert_eq!(std::fs::read(data.database()).unwrap(), before);
    }
}
