//! The typed layer over a store of rows. A store keeps [`Row`]s and their names and knows no noun; this module turns
//! nouns into rows and back, once for every store.

use std::sync::{Arc, Mutex};

use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::ports::{MetaStore, ReadWork};
use crate::{Condition, Kind, ProjectId, Stamp};

/// Which rows a caller may see. What is out of scope is not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every project.
    All,
    /// One project (and what belongs to none).
    Project(ProjectId),
}

impl Scope {
    /// Whether a row of `project` is seen.
    pub fn sees(&self, project: Option<ProjectId>) -> bool {
        match (self, project) {
            (Scope::All, _) | (_, None) => true,
            (Scope::Project(mine), Some(p)) => *mine == p,
        }
    }
}

/// One row as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: Uuid,
    /// The project it belongs to, if any.
    pub project: Option<Uuid>,
    /// The row it belongs to (a snapshot's volume, an attachment's subject), if any.
    pub parent: Option<Uuid>,
    /// The row it grew from (a volume's or snapshot's parent in the tree of copies), if any.
    pub source: Option<Uuid>,
    /// Whether it is one of the few that [`Query::watched`] finds.
    pub watched: bool,
    /// Order of creation within the store; given by the store.
    pub seq: i64,
    /// +1 per change; given by the store.
    pub revision: i64,
    /// The noun as JSON.
    pub doc: String,
    /// Its unique names, as (space, name). Left empty in what is read.
    pub names: Vec<(String, String)>,
}

/// A selection of rows, in order of creation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query {
    /// Only rows of this project and those that belong to none; `None`: of every project.
    pub project: Option<ProjectId>,
    /// Only rows that belong to this one.
    pub parent: Option<Uuid>,
    /// Only rows that grew from this one.
    pub source: Option<Uuid>,
    /// Only rows that are looked through again and again.
    pub watched: bool,
    /// Only rows after this `seq`.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// A noun that is kept as a row.
pub trait Noun: Serialize + DeserializeOwned + Clone {
    /// Its kind, which names the table.
    const KIND: Kind;
    /// Its id.
    fn id(&self) -> Uuid;
    /// What people call it, for messages.
    fn title(&self) -> String;
    /// The project it belongs to; `None`: to everybody.
    fn project(&self) -> Option<ProjectId> {
        None
    }
    /// The row it belongs to.
    fn parent(&self) -> Option<Uuid> {
        None
    }
    /// The row it grew from.
    fn source(&self) -> Option<Uuid> {
        None
    }
    /// Whether it is one of few of its kind that somebody looks through again and again.
    fn watched(&self) -> bool {
        false
    }
    /// Its unique names as (space, name); the store refuses a second row of the same.
    fn names(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    /// Its order, revision and times.
    fn stamp(&self) -> &Stamp;
    /// Its order, revision and times, to be filled by the store.
    fn stamp_mut(&mut self) -> &mut Stamp;
}

/// Reading within one transaction. Implemented by stores; callers use the typed functions below.
pub trait ReadTx {
    /// The row of that id.
    fn row(&self, kind: Kind, id: Uuid) -> Result<Option<Row>, Condition>;
    /// The rows of a selection, in order of creation.
    fn rows(&self, kind: Kind, query: &Query) -> Result<Vec<Row>, Condition>;
    /// Who has that name.
    fn named(&self, space: &str, name: &str) -> Result<Option<(Kind, Uuid)>, Condition>;
    /// The service-wide configuration generation.
    fn generation(&self) -> Result<u64, Condition>;
}

/// Writing within one transaction.
pub trait WriteTx: ReadTx {
    /// Adds a row; answers its `seq`. A taken name is [`Condition::Exists`] with that name.
    fn add(&mut self, kind: Kind, row: &Row) -> Result<i64, Condition>;
    /// Replaces the row where id and revision are the given ones; answers whether there was such a row.
    fn replace(&mut self, kind: Kind, row: &Row) -> Result<bool, Condition>;
    /// Removes the row and its names; answers whether there was one.
    fn remove(&mut self, kind: Kind, id: Uuid) -> Result<bool, Condition>;
    /// Makes the commit move the configuration generation.
    fn touch(&mut self);
}

fn decode<N: Noun>(row: Row) -> Result<N, Condition> {
    let mut noun: N = serde_json::from_str(&row.doc)
        .map_err(|e| Condition::internal(format!("{} {} cannot be read: {e}", N::KIND.word(), row.id)))?;
    noun.stamp_mut().seq = row.seq;
    noun.stamp_mut().revision = row.revision;
    Ok(noun)
}

fn encode<N: Noun>(noun: &N) -> Result<Row, Condition> {
    Ok(Row {
        id: noun.id(),
        project: noun.project().map(Uuid::from),
        parent: noun.parent(),
        source: noun.source(),
        watched: noun.watched(),
        seq: noun.stamp().seq,
        revision: noun.stamp().revision,
        doc: serde_json::to_string(noun).map_err(Condition::internal)?,
        names: noun.names(),
    })
}

impl dyn ReadTx + '_ {
    /// The noun of that id, if it is in scope.
    pub fn find<N: Noun>(&self, scope: Scope, id: impl Into<Uuid>) -> Result<Option<N>, Condition> {
        let Some(row) = self.row(N::KIND, id.into())? else { return Ok(None) };
        let noun: N = decode(row)?;
        Ok(scope.sees(noun.project()).then_some(noun))
    }

    /// The noun of that id, or [`Condition::NotFound`].
    pub fn get<N: Noun>(&self, scope: Scope, id: impl Into<Uuid>) -> Result<N, Condition> {
        let id = id.into();
        self.find(scope, id)?.ok_or_else(|| Condition::not_found(N::KIND, id))
    }

    /// The nouns of a selection that are in scope, in order of creation.
    pub fn list<N: Noun>(&self, scope: Scope, query: &Query) -> Result<Vec<N>, Condition> {
        let mut query = *query;
        if let (Scope::Project(p), None) = (scope, query.project) {
            query.project = Some(p);
        }
        let nouns = self.rows(N::KIND, &query)?.into_iter().map(decode).collect::<Result<Vec<N>, _>>()?;
        Ok(nouns.into_iter().filter(|n| scope.sees(n.project())).collect())
    }

    /// Everything of that kind that belongs to `parent`.
    pub fn children<N: Noun>(&self, parent: impl Into<Uuid>) -> Result<Vec<N>, Condition> {
        self.list(Scope::All, &Query { parent: Some(parent.into()), ..Query::default() })
    }

    /// Everything of that kind that grew from `source`.
    pub fn grown_from<N: Noun>(&self, source: impl Into<Uuid>) -> Result<Vec<N>, Condition> {
        self.list(Scope::All, &Query { source: Some(source.into()), ..Query::default() })
    }

    /// The noun that has a unique name in a space, if it is of this kind and in scope.
    pub fn find_named<N: Noun>(&self, scope: Scope, space: &str, name: &str) -> Result<Option<N>, Condition> {
        match self.named(space, name)? {
            Some((kind, id)) if kind == N::KIND => self.find(scope, id),
            _ => Ok(None),
        }
    }
}

impl dyn ReadTx + '_ {
    /// The noun that people mean by `text`: its unique name in a space, else its id.
    pub fn find_text<N: Noun>(&self, scope: Scope, space: &str, text: &str) -> Result<Option<N>, Condition> {
        match (self.find_named(scope, space, text)?, Uuid::parse_str(text)) {
            (None, Ok(id)) => self.find(scope, id),
            (found, _) => Ok(found),
        }
    }

    /// Like [`find_text`](Self::find_text), or [`Condition::NotFound`].
    pub fn get_text<N: Noun>(&self, scope: Scope, space: &str, text: &str) -> Result<N, Condition> {
        self.find_text(scope, space, text)?.ok_or_else(|| Condition::not_found(N::KIND, text))
    }
}

impl dyn WriteTx + '_ {
    /// The reading half.
    pub fn read(&self) -> &dyn ReadTx {
        self
    }

    /// Adds a noun and fills its `seq` and `revision`.
    pub fn insert<N: Noun>(&mut self, noun: &mut N) -> Result<(), Condition> {
        noun.stamp_mut().revision = 1;
        let row = encode(noun)?;
        noun.stamp_mut().seq = self.add(N::KIND, &row)?;
        if N::KIND.is_configuration() {
            self.touch();
        }
        Ok(())
    }

    /// Stores a changed noun if nobody changed it since it was read, and counts its revision up.
    pub fn update<N: Noun>(&mut self, noun: &mut N) -> Result<(), Condition> {
        let row = encode(noun)?;
        if !self.replace(N::KIND, &row)? {
            return Err(match self.row(N::KIND, noun.id())? {
                None => Condition::not_found(N::KIND, noun.title()),
                Some(_) => Condition::Conflict(format!(
                    "{} {:?} was changed by somebody else meanwhile; read it again and retry",
                    N::KIND.word(),
                    noun.title()
                )),
            });
        }
        noun.stamp_mut().revision += 1;
        if N::KIND.is_configuration() {
            self.touch();
        }
        Ok(())
    }

    /// Removes a noun; answers whether there was one.
    pub fn delete<N: Noun>(&mut self, id: impl Into<Uuid>) -> Result<bool, Condition> {
        let gone = self.remove(N::KIND, id.into())?;
        if gone && N::KIND.is_configuration() {
            self.touch();
        }
        Ok(gone)
    }
}

fn take<T>(slot: &Mutex<Option<T>>) -> Result<T, Condition> {
    let mut slot = slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    slot.take().ok_or_else(|| Condition::internal("the store answered without running the transaction"))
}

/// Where a transaction leaves what it made.
type Slot<T> = Arc<Mutex<Option<T>>>;

/// `f` as the store takes it, and where its answer will be.
fn into_slot<T: Send + 'static>(
    f: impl FnOnce(&dyn ReadTx) -> Result<T, Condition> + Send + 'static,
) -> (ReadWork, Slot<T>) {
    let slot = Slot::<T>::default();
    let out = slot.clone();
    let work = move |tx: &dyn ReadTx| {
        *out.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(f(tx)?);
        Ok(())
    };
    (Box::new(work), slot)
}

/// Runs `f` in a read transaction and brings back what it made.
pub async fn read<T: Send + 'static>(
    meta: &dyn MetaStore,
    f: impl FnOnce(&dyn ReadTx) -> Result<T, Condition> + Send + 'static,
) -> Result<T, Condition> {
    let (work, slot) = into_slot(f);
    meta.read(work).await?;
    take(&slot)
}

/// [`read`] for an `f` that takes a few rows by id or name; see [`MetaStore::look`].
pub async fn look<T: Send + 'static>(
    meta: &dyn MetaStore,
    f: impl FnOnce(&dyn ReadTx) -> Result<T, Condition> + Send + 'static,
) -> Result<T, Condition> {
    let (work, slot) = into_slot(f);
    meta.look(work).await?;
    take(&slot)
}

/// Runs `f` in a write transaction and brings back what it made, with the generation after the commit. An error
/// leaves everything as it was.
pub async fn write<T: Send + 'static>(
    meta: &dyn MetaStore,
    mut f: impl FnMut(&mut dyn WriteTx) -> Result<T, Condition> + Send + 'static,
) -> Result<(T, u64), Condition> {
    let slot = Arc::new(Mutex::new(None));
    let out = slot.clone();
    let generation = meta
        .write(Box::new(move |tx| {
            *out.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(f(tx)?);
            Ok(())
        }))
        .await?;
    Ok((take(&slot)?, generation))
}
