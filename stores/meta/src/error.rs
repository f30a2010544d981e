//! From the database's errors to conditions and to reasons not to start.

use parpen_model::Condition;
use rusqlite::ErrorCode;

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was written by a newer version.
    #[error(
        "the database is of version {found}, and this program knows versions up to {known}: \
         start the newer program; nothing was changed"
    )]
    Newer {
        /// The version of the database.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// A migration that was applied is not the one that this program carries.
    #[error("migration {0} of the database is not the one of this program; nothing was changed")]
    Changed(u32),
    /// It cannot write ahead here, so that reads would wait for commits.
    #[error("the database cannot keep a write-ahead log here (journal mode {0:?}); take a local file system")]
    NoWal(String),
    /// The file could not be made.
    #[error("the database cannot be opened: {0}")]
    File(#[from] std::io::Error),
    /// The database failed.
    #[error("the database cannot be opened: {0}")]
    Sql(#[from] rusqlite::Error),
}

/// Whether somebody else holds the database for a moment; the transaction may be run again.
pub fn is_busy(e: &rusqlite::Error) -> bool {
    matches!(e.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether the medium failed, so that nothing written later could be trusted.
pub fn is_broken(e: &rusqlite::Error) -> bool {
    use ErrorCode::{DatabaseCorrupt, NotADatabase, SystemIoFailure};
    matches!(e.sqlite_error_code(), Some(SystemIoFailure | DatabaseCorrupt | NotADatabase))
}

/// What a caller hears of a failed statement.
pub fn condition(e: &rusqlite::Error) -> Condition {
    if is_busy(e) {
        return Condition::Unavailable("another program holds the database; try again".into());
    }
    if is_broken(e) {
        return Condition::Unavailable("the disk of the database failed; see the log".into());
    }
    match e.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            Condition::NoSpace("the file system of the data directory has no space left".into())
        }
        Some(ErrorCode::TooBig) => Condition::invalid("document", "it is larger than the database takes"),
        _ => Condition::internal(format!("database: {e}")),
    }
}
