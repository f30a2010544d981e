//! A lane: a thread of this crate that owns one connection and runs one transaction after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use parpen_model::ports::{ReadWork, WriteWork};
use parpen_model::{Condition, ReadTx, WriteTx};
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

/// Jobs for one or more lanes.
pub type Jobs = Arc<Mutex<mpsc::Receiver<Job>>>;

/// Starts a lane. It ends when the senders of its jobs are gone, and gives its connection back.
pub fn start(name: &str, conn: Connection, jobs: Jobs) -> std::io::Result<JoinHandle<Connection>> {
    // SQLite blocks: on a thread of its own it holds up neither the control runtime nor a reactor.
    std::thread::Builder::new().name(name.to_string()).spawn(move || {
        let mut lane = Lane { conn, broken: false };
        loop {
            let next = jobs.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).recv();
            match next {
                Ok(job) => lane.run(job),
                Err(mpsc::RecvError) => return lane.conn,
            }
        }
    })
}

struct Lane {
    conn: Connection,
    /// The medium failed during a write: what the kernel's cache shows now may not be on it.
    broken: bool,
}

/// Why a write did not commit.
enum Failure {
    /// The closure refused, or nothing can be done about it.
    Final(Condition),
    /// The database's own error.
    Sql(rusqlite::Error),
}

impl Lane {
    fn run(&mut self, job: Job) {
        // An answer that nobody waits for is no error: the caller was cancelled.
        match job {
            Job::Read(work, answer) => drop(answer.send(self.read(work))),
            Job::Write(work, answer) => drop(answer.send(self.write(work))),
        }
    }

    fn read(&mut self, work: ReadWork) -> Result<(), Condition> {
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
        if let Some(e) = tx.into_failure() {
            return Err(Failure::Sql(e));
        }
        let generation = result.map_err(Failure::Final)?;
        self.conn.execute_batch("COMMIT").map_err(Failure::Sql)?;
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
