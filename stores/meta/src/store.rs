//! The database: opening, its lanes, closing.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use parpen_base::Boxed;
use parpen_model::ports::{MetaStore, ReadWork, WriteWork};
use parpen_model::{Condition, Kind};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use crate::lane::{Job, Jobs, Lane, Written, start};
use crate::{OpenError, migrate};

/// Lanes that read. Two let a short read pass a long one; more would only fight for the same pages.
const READERS: usize = 2;
/// How long a statement waits for another program (a backup, a person's shell) that holds the database.
const BUSY: Duration = Duration::from_secs(5);
/// Prepared statements kept by each connection; all of this crate's fit.
const STATEMENTS: usize = 32;
/// Kibibytes of pages that each connection keeps.
const CACHE: i64 = 4096;

/// The control plane's rows on SQLite. A transaction that was begun is run to its end even if its caller goes
/// away.
pub struct Store {
    reads: Arc<Jobs>,
    writes: Arc<Jobs>,
    written: Arc<Written>,
    /// For who takes a few rows: used on the caller's thread. Locked for the time of one look; gone when closed, and
    /// not there in memory.
    near: Mutex<Option<Lane>>,
    /// Readers first, the writer last.
    lanes: Mutex<Vec<JoinHandle<Connection>>>,
}

impl Store {
    /// Opens the database at `path`, making it if it is not there. One of a newer version is refused
    /// untouched.
    pub fn open(path: &Path) -> Result<Store, OpenError> {
        if path.exists() {
            // Only reads, so that a refused database is left as it is.
            let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            conn.busy_timeout(BUSY)?;
            migrate::check(&conn)?;
        }
        // Made by us, so that nobody else can read it: SQLite gives the log the same mode.
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        let mut writer = Connection::open(path)?;
        let mode: String = writer.query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0))?;
        if mode != "wal" {
            return Err(OpenError::NoWal(mode));
        }
        spread_log(&writer)?;
        set_up(&writer)?;
        migrate::run(&mut writer)?;
        let reader = || {
            let conn = Connection::open(path)?;
            set_up(&conn)?;
            conn.pragma_update(None, "query_only", true)?;
            Ok::<_, OpenError>(conn)
        };
        let readers = (0..READERS).map(|_| reader()).collect::<Result<_, _>>()?;
        Store::with(writer, readers, Some(reader()?))
    }

    /// A database in memory, which nobody else sees and which is gone afterwards. Its reads take turns with
    /// writes.
    pub fn memory() -> Result<Store, OpenError> {
        let mut conn = Connection::open_in_memory()?;
        set_up(&conn)?;
        migrate::run(&mut conn)?;
        Store::with(conn, Vec::new(), None)
    }

    /// Starts the lanes. Without readers the writer reads too.
    fn with(
        writer: Connection,
        readers: Vec<Connection>,
        near: Option<Connection>,
    ) -> Result<Store, OpenError> {
        let writes = Arc::new(Jobs::default());
        let reads = if readers.is_empty() { writes.clone() } else { Arc::default() };
        let written = Arc::<Written>::default();
        let mut lanes = Vec::new();
        for conn in readers {
            lanes.push(start("meta-read", conn, reads.clone(), written.clone())?);
        }
        lanes.push(start("meta-write", writer, writes.clone(), written.clone())?);
        let near = near.map(|conn| Lane::new(conn, written.clone()));
        Ok(Store { reads, writes, written, near: Mutex::new(near), lanes: Mutex::new(lanes) })
    }

    /// Finishes what was asked for, refuses everything later, and closes the database. Blocks until that is
    /// done; said twice, done once. Dropping does the same.
    pub fn close(&self) {
        self.reads.close();
        self.writes.close();
        let lanes = std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
        let near = self.near.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended: Vec<_> = lanes.into_iter().map(JoinHandle::join).collect();
        // In this order, so that the writer is the last one out: it folds the log into the database.
        for conn in near.map(Lane::end).map(Ok).into_iter().chain(ended) {
            let closed = conn.map(Connection::close);
            if let Ok(Err((_, e))) = closed {
                tracing::warn!(error = %e, "not closed cleanly; its log is replayed next time");
            }
        }
    }
}

fn closed() -> Condition {
    Condition::Unavailable("the database is closed; the service is stopping".into())
}

/// Gives the log the length that it comes to between two checkpoints, by a transaction that is larger than the cache and
/// is not committed. A commit then overwrites a part of the file instead of adding to it, and its flush has no need to
/// wait for the file system's own journal. Where that cannot be done, commits only take longer.
fn spread_log(writer: &Connection) -> rusqlite::Result<()> {
    let spread = writer.execute_batch(
        "PRAGMA cache_size = 16; BEGIN IMMEDIATE; CREATE TABLE log_space (x);
         INSERT INTO log_space VALUES (zeroblob(4400000))",
    );
    if let Err(e) = spread {
        tracing::info!(error = %e, "the log of the database grows as it is written");
    }
    if writer.is_autocommit() { Ok(()) } else { writer.execute_batch("ROLLBACK") }
}

fn set_up(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // FULL: a commit is on the disk before it is answered. The log is cut back after a burst.
    conn.pragma_update(None, "cache_size", -CACHE)?;
    conn.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 16777216;",
    )
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl MetaStore for Store {
    fn read(&self, f: ReadWork) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move {
            let (answer, result) = oneshot::channel();
            self.reads.push(Job::Read(f, answer)).map_err(|_| closed())?;
            result.await.unwrap_or_else(|_| Err(closed()))
        })
    }

    fn look(&self, f: ReadWork) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move {
            // Whoever comes second takes the longer way rather than wait here.
            if let Ok(mut near) = self.near.try_lock()
                && let Some(lane) = &mut *near
            {
                return lane.read(f);
            }
            self.read(f).await
        })
    }

    fn write(&self, f: WriteWork) -> Boxed<'_, Result<u64, Condition>> {
        Box::pin(async move {
            let (answer, result) = oneshot::channel();
            self.writes.push(Job::Write(f, answer)).map_err(|_| closed())?;
            result.await.unwrap_or_else(|_| Err(closed()))
        })
    }

    fn writes(&self, of: &[Kind]) -> Option<u64> {
        Some(self.written.of(of))
    }
}
