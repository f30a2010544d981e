//! The SQLite adapter: the shared suite, and what only a database on a disk can show.
#![allow(clippy::unwrap_used)] // every line of this file is a test

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parpen_meta::{OpenError, Store, suite};
use parpen_model::ports::MetaStore;
use parpen_model::{Condition, Kind, Query, ReadTx, Row, look, read, write};
use uuid::Uuid;

fn row(n: u128) -> Row {
    let names = vec![("handle".to_string(), format!("v{n}"))];
    let id = Uuid::from_u128(n);
    let (project, parent, source) = (None, None, None);
    Row { id, project, parent, source, watched: false, seq: 0, revision: 1, doc: "{}".into(), names }
}

fn block_on<T>(f: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(f)
}

fn add(store: &Store, n: u128) -> Result<u64, Condition> {
    let work = move |tx: &mut dyn parpen_model::WriteTx| tx.add(Kind::Volume, &row(n)).map(|_| ());
    block_on(write(store, work)).map(|(_, generation)| generation)
}

fn ids(store: &Store) -> Vec<u128> {
    let rows = block_on(read(store, |tx: &dyn ReadTx| tx.rows(Kind::Volume, &Query::default()))).unwrap();
    rows.iter().map(|r| r.id.as_u128()).collect()
}

#[test]
fn the_memory_store_passes_the_suite() {
    suite::suite(|| Arc::new(Store::memory().unwrap()));
}

#[test]
fn the_file_store_passes_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    let made = AtomicUsize::new(0);
    suite::suite(|| {
        let n = made.fetch_add(1, Ordering::Relaxed);
        Arc::new(Store::open(&dir.path().join(format!("{n}.sqlite"))).unwrap())
    });
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    suite::reopening(|| Arc::new(Store::open(&dir.path().join("meta.sqlite")).unwrap()));
}

#[test]
fn a_read_does_not_wait_for_a_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&dir.path().join("meta.sqlite")).unwrap());
    add(&store, 1).unwrap();
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let slow = write(&*store, move |tx| {
        tx.add(Kind::Volume, &row(2))?;
        begun.send(()).unwrap();
        may_go_on.recv_timeout(Duration::from_secs(20)).map_err(Condition::internal)
    });
    let reads = async {
        has_begun.recv_timeout(Duration::from_secs(20)).unwrap();
        // The write is open and stays open until this read is answered.
        let seen = read(&*store, |tx: &dyn ReadTx| tx.rows(Kind::Volume, &Query::default())).await.unwrap();
        assert_eq!(seen.len(), 1);
        go_on.send(()).unwrap();
    };
    block_on(async {
        let (written, ()) = tokio::join!(slow, reads);
        written.unwrap();
    });
    assert_eq!(ids(&store), [1, 2]);
}

#[test]
fn a_look_does_not_wait_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&dir.path().join("meta.sqlite")).unwrap());
    add(&store, 1).unwrap();
    let other = store.clone();
    let first = look(&*store, move |_: &dyn ReadTx| {
        // On this thread, so that who looks meanwhile is on another one.
        let second =
            move || block_on(look(&*other, |tx: &dyn ReadTx| tx.row(Kind::Volume, Uuid::from_u128(1))));
        std::thread::Builder::new().spawn(second).unwrap().join().unwrap()
    });
    assert!(block_on(first).unwrap().is_some());
    store.close();
    let late = block_on(look(&*store, |tx: &dyn ReadTx| tx.row(Kind::Volume, Uuid::from_u128(1))));
    assert!(matches!(late, Err(Condition::Unavailable(_))), "{late:?}");
}

#[test]
fn a_write_waits_for_another_program_and_a_closed_store_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta.sqlite");
    let store = Store::open(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let write = write(&store, |tx| tx.add(Kind::Volume, &row(1)).map(|_| ()));
    let release = async {
        other.execute_batch("COMMIT").unwrap();
    };
    block_on(async { tokio::join!(write, release).0.unwrap() });
    store.close();
    store.close();
    assert!(matches!(add(&store, 2), Err(Condition::Unavailable(_))));
    drop(store);
    drop(other);
    assert_eq!(ids(&Store::open(&path).unwrap()), [1]);
}

#[test]
fn closing_finishes_what_was_asked_for_and_leaves_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta.sqlite");
    let store = Store::open(&path).unwrap();
    for n in 0..10 {
        add(&store, n).unwrap();
    }
    store.close();
    let left: Vec<PathBuf> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, std::slice::from_ref(&path));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_log_has_its_length_before_the_first_commit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta.sqlite");
    let store = Store::open(&path).unwrap();
    let length = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().len();
    let before = length("meta.sqlite-wal");
    assert!(before > 4 << 20, "{before}");
    for n in 0..50 {
        add(&store, n).unwrap();
    }
    assert_eq!(length("meta.sqlite-wal"), before, "commits overwrite");
    store.close();
    assert!(length("meta.sqlite") < 1 << 20, "nothing of it is in the database");
}

#[test]
fn writes_are_counted_by_the_kinds_of_rows_that_they_changed() {
    let store = Store::memory().unwrap();
    let volumes = || (store.writes(&[Kind::Volume]), store.writes(&[Kind::Token, Kind::Project]));
    let before = volumes();
    add(&store, 1).unwrap();
    assert!(volumes().0 > before.0);
    assert_eq!(volumes().1, before.1);
    let nothing = |tx: &mut dyn parpen_model::WriteTx| tx.remove(Kind::Token, Uuid::from_u128(9)).map(|_| ());
    block_on(write(&store, nothing)).unwrap();
    assert_eq!(volumes().1, before.1, "there was nothing to remove");
}

#[test]
fn a_newer_database_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta.sqlite");
    Store::open(&path).unwrap().close();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute("INSERT INTO migrations VALUES (1000, 0)", []).unwrap();
    drop(conn);
    let before = std::fs::read(&path).unwrap();
    let refused = Store::open(&path).err().unwrap();
    assert!(matches!(refused, OpenError::Newer { found: 1000, known: 1..1000 }), "{refused}");
    assert!(std::fs::read(&path).unwrap() == before);
}

#[test]
fn a_file_that_is_no_database_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta.sqlite");
    std::fs::write(&path, "not a database, but long enough to be read as the header of one".repeat(99))
        .unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = Store::open(&path).err().unwrap();
    assert!(matches!(refused, OpenError::Sql(_)), "{refused}");
    assert!(std::fs::read(&path).unwrap() == before);
}

const CHILD: &str = "PARPEN_META_KILLED_AT";
const THIS: &str = "every_answered_write_survives_kill_9";

/// Adds row after row and prints each one's number when its commit was answered, until it is killed.
fn write_until_killed(path: &Path) {
    let store = Store::open(path).unwrap();
    let first = ids(&store).last().map_or(0, |n| n + 1);
    for n in first.. {
        add(&store, n).unwrap();
        println!("\nanswered {n}");
    }
}

/// The test starts itself as the process that is killed.
#[test]
fn every_answered_write_survives_kill_9() {
    if let Some(path) = std::env::var_os(CHILD) {
        return write_until_killed(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta.sqlite");
    let mut answered = 0;
    for round in 1..=3u128 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([THIS, "--exact", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut numbers = lines.map_while(|l| Some(l.ok()?.strip_prefix("answered ").map(str::to_string)));
        for number in numbers.by_ref().flatten() {
            answered = number.parse::<u128>().unwrap();
            if answered >= 100 * round {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still said between the last line read and its end was answered too.
        answered = numbers.flatten().last().map_or(answered, |n| n.parse().unwrap());
        assert!(answered >= 100 * round, "the writer ended early, after {answered}");
        let there = ids(&Store::open(&path).unwrap());
        assert!(there.iter().copied().eq(0..there.len() as u128), "a hole in {there:?}");
        assert!(there.len() as u128 > answered, "{answered} was answered, {} rows are there", there.len());
    }
}
