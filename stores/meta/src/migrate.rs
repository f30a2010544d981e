//! Numbered migrations, each applied once, in order, in a transaction of its own.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::OpenError;

/// The steps, in order; the first is number 1. A step that was ever released is never edited: the next one
/// corrects it.
const STEPS: &[&str] =
    &[include_str!("../migrations/0001_rows.sql"), include_str!("../migrations/0002_sources.sql")];

const TABLE: &str = "CREATE TABLE IF NOT EXISTS migrations (
    number INTEGER PRIMARY KEY, checksum INTEGER NOT NULL) STRICT";

fn checksum(sql: &str) -> u32 {
    parpen_base::crc32c_seeded(0, sql.as_bytes())
}

/// Refuses what this program must not touch; answers the database's version, 0 for an empty one. Only reads.
pub fn check(conn: &Connection) -> Result<usize, OpenError> {
    check_against(conn, STEPS)
}

/// Brings the database to this program's version.
pub fn run(conn: &mut Connection) -> Result<(), OpenError> {
    run_steps(conn, STEPS)
}

fn check_against(conn: &Connection, steps: &[&str]) -> Result<usize, OpenError> {
    let there = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'";
    if conn.query_row(there, [], |_| Ok(())).optional()?.is_none() {
        return Ok(0);
    }
    let mut query = conn.prepare("SELECT number, checksum FROM migrations ORDER BY number")?;
    let applied =
        query.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Result<Vec<(u32, u32)>, _>>()?;
    if let Some((found, _)) = applied.last().filter(|(n, _)| *n as usize > steps.len()) {
        return Err(OpenError::Newer { found: *found, known: steps.len() as u32 });
    }
    for (at, (number, sum)) in applied.iter().enumerate() {
        if *number as usize != at + 1 || *sum != checksum(steps[at]) {
            return Err(OpenError::Changed(*number));
        }
    }
    Ok(applied.len())
}

fn run_steps(conn: &mut Connection, steps: &[&str]) -> Result<(), OpenError> {
    conn.execute_batch(TABLE)?;
    let done = check_against(conn, steps)?;
    for (at, sql) in steps.iter().enumerate().skip(done) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(sql)?;
        tx.execute("INSERT INTO migrations VALUES (?1, ?2)", params![at as u32 + 1, checksum(sql)])?;
        tx.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "CREATE TABLE a (x)";
    const B: &str = "CREATE TABLE b (x)";

    fn applied(conn: &Connection) -> i64 {
        conn.query_row("SELECT count(*) FROM migrations", [], |r| r.get(0)).unwrap()
    }

    #[test]
    fn steps_are_applied_once_and_later_ones_follow() {
        let mut conn = Connection::open_in_memory().unwrap();
        assert_eq!(check_against(&conn, &[A]).unwrap(), 0);
        run_steps(&mut conn, &[A]).unwrap();
        run_steps(&mut conn, &[A]).unwrap();
        assert_eq!(applied(&conn), 1);
        run_steps(&mut conn, &[A, B]).unwrap();
        assert_eq!(applied(&conn), 2);
        conn.execute("INSERT INTO b VALUES (1)", []).unwrap();
    }

    #[test]
    fn a_newer_or_altered_database_is_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        run_steps(&mut conn, &[A, B]).unwrap();
        let newer = run_steps(&mut conn, &[A]).unwrap_err();
        assert!(matches!(newer, OpenError::Newer { found: 2, known: 1 }), "{newer}");
        let altered = run_steps(&mut conn, &[A, "CREATE TABLE c (x)"]).unwrap_err();
        assert!(matches!(altered, OpenError::Changed(2)), "{altered}");
    }

    #[test]
    fn what_rows_grew_from_is_taken_from_their_documents() {
        let mut conn = Connection::open_in_memory().unwrap();
        run_steps(&mut conn, &STEPS[..1]).unwrap();
        let parent = "0a0b0c0d-0102-0304-0506-0708090a0b0c";
        for (kind, n, doc) in [
            ("volume", 1u8, format!("{{\"parent\":\"{parent}\"}}")),
            ("volume", 2, "{\"parent\":null}".into()),
            ("snapshot", 3, format!("{{\"parent\":\"{parent}\",\"bound\":true}}")),
            ("snapshot", 4, "{\"bound\":false}".into()),
            ("job", 5, format!("{{\"parent\":\"{parent}\",\"bound\":true}}")),
        ] {
            let add = "INSERT INTO rows (kind, id, revision, doc) VALUES (?1, ?2, 1, ?3)";
            conn.execute(add, params![kind, [n; 16], doc]).unwrap();
        }
        run(&mut conn).unwrap();
        let mut query = conn.prepare("SELECT hex(source), watched FROM rows ORDER BY seq").unwrap();
        let found: Vec<(String, bool)> =
            query.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap().map(Result::unwrap).collect();
        let hex = parent.replace('-', "").to_uppercase();
        let rows = [(hex.as_str(), false), ("", false), (hex.as_str(), true), ("", false), ("", false)];
        assert_eq!(found, rows.map(|(source, watched)| (source.to_string(), watched)));
    }

    #[test]
    fn a_failing_step_leaves_nothing_behind() {
        let mut conn = Connection::open_in_memory().unwrap();
        assert!(run_steps(&mut conn, &[A, "CREATE TABLE b (x); CREATE TABLE a (x)"]).is_err());
        assert_eq!(applied(&conn), 1);
        assert_eq!(check_against(&conn, &[A]).unwrap(), 1);
        run_steps(&mut conn, &[A, B]).unwrap();
    }
}
