//! One transaction: the port's verbs as SQL. Nothing here begins or commits.

use std::cell::RefCell;
use std::collections::BTreeSet;

use parpen_model::{Condition, Kind, Query, ReadTx, Row, WriteTx};
use rusqlite::{Connection, OptionalExtension, Params, params};
use uuid::Uuid;

use crate::error::condition;

/// The columns of a row, in the order in which [`row_of`] reads them.
macro_rules! select_rows {
    ($filter:literal) => {
        concat!(
            "SELECT id, project, parent, source, watched, seq, revision, doc FROM rows WHERE kind = ?1 ",
            $filter
        )
    };
}

const ROW: &str = select_rows!("AND id = ?2");
const ROWS: &str = select_rows!("AND seq > ?2 ");
const NAMES_OF: &str = "SELECT space, name FROM names WHERE kind = ?1 AND id = ?2";
const HOLDER: &str = "SELECT kind, id FROM names WHERE space = ?1 AND name = ?2";
const ADD_NAME: &str = "INSERT INTO names (space, name, kind, id) VALUES (?1, ?2, ?3, ?4)";
const DROP_NAME: &str = "DELETE FROM names WHERE space = ?1 AND name = ?2";
const ADD: &str = "INSERT INTO rows (kind, id, project, parent, source, watched, revision, doc)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING seq";
const REPLACE: &str =
    "UPDATE rows SET doc = ?4, revision = revision + 1 WHERE kind = ?1 AND id = ?2 AND revision = ?3";
const MOVE: &str = "UPDATE rows SET project = ?3, parent = ?4 WHERE kind = ?1 AND id = ?2";
const GROW: &str = "UPDATE rows SET source = ?3, watched = ?4 WHERE kind = ?1 AND id = ?2";
const REMOVE: &str = "DELETE FROM rows WHERE kind = ?1 AND id = ?2";
const GENERATION: &str = "SELECT value FROM counters WHERE name = 'generation'";
const MOVE_GENERATION: &str = "UPDATE counters SET value = value + 1 WHERE name = 'generation'";

/// A transaction that is open on `conn`. A statement that failed for the database's own reasons ends it:
/// every later verb answers the same, and it cannot be committed, whatever the closure makes of it. (SQLite
/// may have rolled back by itself by then, and later statements would commit one by one.)
pub struct Tx<'c> {
    conn: &'c Connection,
    touched: bool,
    changed: BTreeSet<Kind>,
    failed: RefCell<Option<rusqlite::Error>>,
}

impl<'c> Tx<'c> {
    /// The transaction that was begun on `conn`.
    pub fn new(conn: &'c Connection) -> Tx<'c> {
        Tx { conn, touched: false, changed: BTreeSet::new(), failed: RefCell::new(None) }
    }

    /// What made it impossible to commit, if anything did.
    pub fn into_failure(self) -> Option<rusqlite::Error> {
        self.failed.into_inner()
    }

    /// The kinds of the rows that were changed.
    pub fn take_changed(&mut self) -> BTreeSet<Kind> {
        std::mem::take(&mut self.changed)
    }

    /// Moves the generation if the transaction asked for it; answers the one after the commit.
    pub fn settle_generation(&mut self) -> Result<u64, Condition> {
        if std::mem::take(&mut self.touched) {
            self.execute(MOVE_GENERATION, [])?;
        }
        self.generation()
    }

    fn guarded<T>(&self, f: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Condition> {
        if let Some(e) = self.failed.borrow().as_ref() {
            return Err(condition(e));
        }
        f(self.conn).map_err(|e| {
            let heard = condition(&e);
            *self.failed.borrow_mut() = Some(e);
            heard
        })
    }

    fn execute(&self, sql: &str, args: impl Params) -> Result<usize, Condition> {
        self.guarded(|c| c.prepare_cached(sql)?.execute(args))
    }

    fn names_of(&self, kind: Kind, id: Uuid) -> Result<BTreeSet<(String, String)>, Condition> {
        self.guarded(|c| {
            let mut query = c.prepare_cached(NAMES_OF)?;
            query.query_map(params![kind.word(), id.as_bytes()], |r| Ok((r.get(0)?, r.get(1)?)))?.collect()
        })
    }

    /// Refuses names that another row has. Done before anything is changed, so that a caller may try another
    /// name in the same transaction.
    fn refuse_taken<'n>(
        &self,
        names: impl IntoIterator<Item = &'n (String, String)>,
    ) -> Result<(), Condition> {
        for (space, name) in names {
            if let Some((holder, _)) = self.named(space, name)? {
                return Err(Condition::exists(holder, name));
            }
        }
        Ok(())
    }

    fn add_names<'n>(
        &self,
        kind: Kind,
        id: Uuid,
        names: impl IntoIterator<Item = &'n (String, String)>,
    ) -> Result<(), Condition> {
        for (space, name) in names {
            self.execute(ADD_NAME, params![space, name, kind.word(), id.as_bytes()])?;
        }
        Ok(())
    }
}

fn bytes(id: Option<Uuid>) -> Option<[u8; 16]> {
    id.map(Uuid::into_bytes)
}

fn row_of(r: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: Uuid::from_bytes(r.get(0)?),
        project: r.get::<_, Option<[u8; 16]>>(1)?.map(Uuid::from_bytes),
        parent: r.get::<_, Option<[u8; 16]>>(2)?.map(Uuid::from_bytes),
        source: r.get::<_, Option<[u8; 16]>>(3)?.map(Uuid::from_bytes),
        watched: r.get(4)?,
        seq: r.get(5)?,
        revision: r.get(6)?,
        doc: r.get(7)?,
        names: Vec::new(),
    })
}

impl ReadTx for Tx<'_> {
    fn row(&self, kind: Kind, id: Uuid) -> Result<Option<Row>, Condition> {
        self.guarded(|c| {
            c.prepare_cached(ROW)?.query_row(params![kind.word(), id.as_bytes()], row_of).optional()
        })
    }

    fn rows(&self, kind: Kind, query: &Query) -> Result<Vec<Row>, Condition> {
        let filters = [
            (query.parent.is_some(), "AND parent = ?3 "),
            (query.project.is_some(), "AND (project = ?4 OR project IS NULL) "),
            (query.source.is_some(), "AND source = ?5 "),
            (query.watched, "AND watched "),
            (true, "ORDER BY seq LIMIT ?6"),
        ];
        let chosen = filters.iter().filter(|(wanted, _)| *wanted).map(|(_, sql)| *sql);
        let sql: String = std::iter::once(ROWS).chain(chosen).collect();
        let limit = query.limit.map_or(-1, i64::from);
        let after = query.after.unwrap_or(i64::MIN);
        let project = bytes(query.project.map(Uuid::from));
        self.guarded(|c| {
            let args = params![kind.word(), after, bytes(query.parent), project, bytes(query.source), limit];
            c.prepare_cached(&sql)?.query_map(args, row_of)?.collect()
        })
    }

    fn named(&self, space: &str, name: &str) -> Result<Option<(Kind, Uuid)>, Condition> {
        let found: Option<(String, [u8; 16])> = self.guarded(|c| {
            let mut query = c.prepare_cached(HOLDER)?;
            query.query_row(params![space, name], |r| Ok((r.get(0)?, r.get(1)?))).optional()
        })?;
        let Some((word, id)) = found else { return Ok(None) };
        let kind = Kind::from_word(&word).ok_or_else(|| {
            Condition::internal(format!("the name {name:?} belongs to an unknown {word:?}"))
        })?;
        Ok(Some((kind, Uuid::from_bytes(id))))
    }

    fn generation(&self) -> Result<u64, Condition> {
        let value: i64 = self.guarded(|c| c.prepare_cached(GENERATION)?.query_row([], |r| r.get(0)))?;
        u64::try_from(value).map_err(|_| Condition::internal(format!("the generation is {value}")))
    }
}

impl WriteTx for Tx<'_> {
    fn add(&mut self, kind: Kind, row: &Row) -> Result<i64, Condition> {
        let there =
            self.guarded(|c| c.prepare_cached(ROW)?.exists(params![kind.word(), row.id.as_bytes()]))?;
        if there {
            return Err(Condition::exists(kind, row.id));
        }
        let names: BTreeSet<_> = row.names.iter().cloned().collect();
        self.refuse_taken(&names)?;
        let seq = self.guarded(|c| {
            let (project, parent) = (bytes(row.project), bytes(row.parent));
            let (id, source) = (row.id.as_bytes(), bytes(row.source));
            let args = params![kind.word(), id, project, parent, source, row.watched, row.revision, row.doc];
            c.prepare_cached(ADD)?.query_row(args, |r| r.get(0))
        })?;
        self.add_names(kind, row.id, &names)?;
        self.changed.insert(kind);
        Ok(seq)
    }

    fn replace(&mut self, kind: Kind, row: &Row) -> Result<bool, Condition> {
        let Some(was) = self.row(kind, row.id)?.filter(|was| was.revision == row.revision) else {
            return Ok(false);
        };
        let old = self.names_of(kind, row.id)?;
        let new: BTreeSet<_> = row.names.iter().cloned().collect();
        self.refuse_taken(new.difference(&old))?;
        self.execute(REPLACE, params![kind.word(), row.id.as_bytes(), row.revision, row.doc])?;
        // Seldom, and every index would be written anew for it.
        if (was.project, was.parent) != (row.project, row.parent) {
            let (project, parent) = (bytes(row.project), bytes(row.parent));
            self.execute(MOVE, params![kind.word(), row.id.as_bytes(), project, parent])?;
        }
        if (was.source, was.watched) != (row.source, row.watched) {
            self.execute(GROW, params![kind.word(), row.id.as_bytes(), bytes(row.source), row.watched])?;
        }
        for (space, name) in old.difference(&new) {
            self.execute(DROP_NAME, params![space, name])?;
        }
        self.add_names(kind, row.id, new.difference(&old))?;
        self.changed.insert(kind);
        Ok(true)
    }

    fn remove(&mut self, kind: Kind, id: Uuid) -> Result<bool, Condition> {
        let removed = self.execute(REMOVE, params![kind.word(), id.as_bytes()])? > 0;
        if removed {
            self.changed.insert(kind);
        }
        Ok(removed)
    }

    fn touch(&mut self) {
        self.touched = true;
    }
}
