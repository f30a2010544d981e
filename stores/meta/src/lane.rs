//! A lane: a thread of this crate that owns one connection and runs one transaction after the other.

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use parpen_model::ports::{ReadWork, WriteWork};
use parpen_model::{Condition, Kind, ReadTx, WriteTx};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::{condition, is_broken, is_busy};
use crate::tx::Tx;

/// How often a write is run again when another program holds the database, each time after the busy timeout.
const ATTEMPTS: u32 = 3;

/// One transaction to run, and where its answer goes. Nobody may be waiting for the answer any more; it is
/// run still.
pub enum Job {
    /// On one consistent view.
    Read(ReadWork, oneshot::Sender<Result<(), Condition>>),
    /// Alone, committed durably.
    Write(WriteWork, oneshot::Sender<Result<u64, Condition>>),
}

/// Jobs for one or more lanes, the first come first. Each job wakes one lane and no more.
#[derive(Default)]
pub struct Jobs {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Jobs {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, unless they are closed.
    pub fn push(&self, job: Job) -> Result<(), Job> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(job);
        }
        waiting.jobs.push_back(job);
        drop(waiting);
        self.more.notify_one();
        Ok(())
    }

    /// Takes no more; what is there is still run.
    pub fn close(&self) {
        self.waiting().closed = true;
        self.more.notify_all();
    }

    /// The next one; none once they are closed and all have been taken.
    fn pop(&self) -> Option<Job> {
        let idle = |w: &mut Waiting| w.jobs.is_empty() && !w.closed;
        let waiting = self.more.wait_while(self.waiting(), idle);
        waiting.unwrap_or_else(PoisonError::into_inner).jobs.pop_front()
    }
}

/// How many transactions changed rows of each kind.
#[derive(Default)]
pub struct Written([AtomicU64; Kind::ALL.len()]);

impl Written {
    fn count(&self, changed: &BTreeSet<Kind>) {
        for kind in changed {
            self.0[*kind as usize].fetch_add(1, Ordering::SeqCst);
        }
    }

    /// How many changed rows of these kinds; one that changed several counts for each.
    pub fn of(&self, kinds: &[Kind]) -> u64 {
        kinds.iter().map(|kind| self.0[*kind as usize].load(Ordering::SeqCst)).sum()
    }
}

/// Starts a lane that counts what it commits in `written`. It ends when its jobs are closed and done, and gives its
/// connection back.
pub fn start(
    name: &str,
    conn: Connection,
    jobs: Arc<Jobs>,
    written: Arc<Written>,
) -> std::io::Result<JoinHandle<Connection>> {
    // SQLite blocks: on a thread of its own it holds up neither the control runtime nor a reactor.
    std::thread::Builder::new().name(name.to_string()).spawn(move || {
        let mut lane = Lane::new(conn, written);
        while let Some(job) = jobs.pop() {
            lane.run(job);
        }
        lane.end()
    })
}

/// One connection and what became of it.
pub struct Lane {
    conn: Connection,
    /// The medium failed during a write: what the kernel's cache shows now may not be on it.
    broken: bool,
    written: Arc<Written>,
}

/// Why a write did not commit.
enum Failure {
    /// The closure refused, or nothing can be done about it.
    Final(Condition),
    /// The database's own error.
    Sql(rusqlite::Error),
}

impl Lane {
    /// On a connection of its own; what it commits is counted in `written`.
    pub fn new(conn: Connection, written: Arc<Written>) -> Lane {
        Lane { conn, broken: false, written }
    }

    /// Gives the connection back.
    pub fn end(self) -> Connection {
        self.conn
    }

    fn run(&mut self, job: Job) {
        // An answer that nobody waits for is no error: the caller was cancelled.
        match job {
            Job::Read(work, answer) => drop(answer.send(self.read(work))),
            Job::Write(work, answer) => drop(answer.send(self.write(work))),
        }
    }

    /// Runs `work` on one consistent view, here and now.
    pub fn read(&mut self, work: ReadWork) -> Result<(), Condition> {
        self.conn.execute_batch("BEGIN").map_err(|e| condition(&e))?;
        let tx = Tx::new(&self.conn);
        let result = caught(|| work(&tx as &dyn ReadTx));
        let failure = tx.into_failure();
        self.roll_back();
        match failure {
            Some(e) => Err(logged(&e)),
            None => result,
        }
    }

    fn write(&mut self, mut work: WriteWork) -> Result<u64, Condition> {
        let mut attempt = 1;
        loop {
            if self.broken {
                return Err(Condition::Unavailable(
                    "the disk of the database failed, so nothing more is written; repair it and start again"
                        .into(),
                ));
            }
            let failure = match self.attempt(&mut work) {
                Ok(generation) => return Ok(generation),
                Err(failure) => failure,
            };
            self.roll_back();
            match failure {
                Failure::Final(why) => return Err(why),
                Failure::Sql(e) if is_busy(&e) && attempt < ATTEMPTS => attempt += 1,
                Failure::Sql(e) => {
                    self.broken |= is_broken(&e);
                    return Err(logged(&e));
                }
            }
        }
    }

    fn attempt(&self, work: &mut WriteWork) -> Result<u64, Failure> {
        self.conn.execute_batch("BEGIN IMMEDIATE").map_err(Failure::Sql)?;
        let mut tx = Tx::new(&self.conn);
        let result = caught(|| work(&mut tx as &mut dyn WriteTx)).and_then(|()| tx.settle_generation());
        let changed = tx.take_changed();
        if let Some(e) = tx.into_failure() {
            return Err(Failure::Sql(e));
        }
        let generation = result.map_err(Failure::Final)?;
        let committed = self.conn.execute_batch("COMMIT");
        // One that failed may be there nevertheless.
        self.written.count(&changed);
        committed.map_err(Failure::Sql)?;
        Ok(generation)
    }

    /// Ends the transaction unless SQLite ended it by itself.
    fn roll_back(&mut self) {
        if self.conn.is_autocommit() {
            return;
        }
        if let Err(e) = self.conn.execute_batch("ROLLBACK") {
            tracing::error!(error = %e, "a transaction could not be rolled back; nothing more is written");
            self.broken = true;
        }
    }
}

/// A panic in a closure is a bug of its caller; it must not take the database away from everybody else.
fn caught<T>(f: impl FnOnce() -> Result<T, Condition>) -> Result<T, Condition> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| Err(Condition::internal("a transaction panicked")))
}

fn logged(e: &rusqlite::Error) -> Condition {
    tracing::error!(error = %e, "the database failed");
    condition(e)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use parpen_model::{Query, Row};
    use uuid::Uuid;

    fn row(n: u128, bytes: usize) -> Row {
        let (id, doc) = (Uuid::from_u128(n), "x".repeat(bytes));
        let (project, parent, source, names) = (None, None, None, Vec::new());
        Row { id, project, parent, source, watched: false, seq: 0, revision: 1, doc, names }
    }

    /// A lane on a database that cannot grow beyond a few pages.
    fn small() -> Lane {
        let mut conn = Connection::open_in_memory().unwrap();
        crate::migrate::run(&mut conn).unwrap();
        conn.execute_batch("PRAGMA max_page_count = 40").unwrap();
        Lane { conn, broken: false, written: Arc::default() }
    }

    fn ids(lane: &mut Lane) -> Vec<u128> {
        let (send, seen) = mpsc::channel();
        let look: ReadWork = Box::new(move |tx| {
            send.send(tx.rows(Kind::Volume, &Query::default())?).map_err(Condition::internal)
        });
        lane.read(look).unwrap();
        seen.recv().unwrap().iter().map(|r| r.id.as_u128()).collect()
    }

    #[test]
    fn a_full_disk_rolls_back_and_the_lane_goes_on() {
        let mut lane = small();
        let too_much = lane.write(Box::new(|tx| {
            tx.add(Kind::Volume, &row(1, 10))?;
            tx.add(Kind::Volume, &row(2, 1 << 20)).map(|_| ())
        }));
        assert!(matches!(too_much, Err(Condition::NoSpace(_))), "{too_much:?}");
        assert_eq!(ids(&mut lane), []);
        assert_eq!(lane.write(Box::new(|tx| tx.add(Kind::Volume, &row(3, 10)).map(|_| ()))), Ok(0));
        assert_eq!(ids(&mut lane), [3]);
    }

    #[test]
    fn an_error_that_the_closure_ignores_still_keeps_it_from_committing() {
        let mut lane = small();
        let ignored = lane.write(Box::new(|tx| {
            tx.add(Kind::Volume, &row(1, 10))?;
            assert!(tx.add(Kind::Volume, &row(2, 1 << 20)).is_err());
            assert!(tx.add(Kind::Volume, &row(3, 10)).is_err(), "the transaction is over");
            Ok(())
        }));
        assert!(matches!(ignored, Err(Condition::NoSpace(_))), "{ignored:?}");
        assert_eq!(ids(&mut lane), []);
    }

    #[test]
    fn after_a_failure_of_the_medium_nothing_is_written_but_everything_can_be_read() {
        let mut lane = small();
        lane.write(Box::new(|tx| tx.add(Kind::Volume, &row(1, 10)).map(|_| ()))).unwrap();
        lane.broken = true;
        let refused = lane.write(Box::new(|tx| tx.add(Kind::Volume, &row(2, 10)).map(|_| ())));
        assert!(matches!(refused, Err(Condition::Unavailable(_))), "{refused:?}");
        assert_eq!(ids(&mut lane), [1]);
    }
}
