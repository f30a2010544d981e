//! Looking at snapshots.

use parpen_identity::{Actor, Power, may};
use parpen_model::{
    Condition, Kind, Pool, Query, ReadTx, Scope, Snapshot, SnapshotId, Subject, Volume, VolumeId, VolumeType,
    look, read,
};

use crate::Ports;
use crate::names::{self, Space};
use crate::volumes::list::{Attached, Surroundings, attached_to};

/// A snapshot and what belongs to it.
#[derive(Clone, Debug)]
pub struct View {
    /// The row.
    pub snapshot: Snapshot,
    /// Its volume, while that exists.
    pub origin: Option<Volume>,
    /// Its pool.
    pub pool: Pool,
    /// Its policy.
    pub volume_type: Option<VolumeType>,
    /// The snapshot before it, while that exists.
    pub parent: Option<Snapshot>,
    /// Who attaches it.
    pub attachments: Vec<Attached>,
}

/// Which snapshot is meant.
#[derive(Clone, Debug)]
pub enum Key {
    /// By id.
    Id(SnapshotId),
    /// By a service-wide name that one side knows.
    Named(Space, String),
    /// By its name within its volume, as one side knows it.
    Of(VolumeId, parpen_model::Api, String),
}

fn view(tx: &dyn ReadTx, around: &Surroundings, s: Snapshot) -> Result<View, Condition> {
    Ok(View {
        origin: tx.find(Scope::All, s.origin)?,
        pool: around.pool(s.pool)?,
        volume_type: around.volume_type(s.volume_type),
        parent: around.snapshot(s.parent),
        attachments: around.attached(s.id.0),
        snapshot: s,
    })
}

/// One snapshot's surroundings by look-ups, so that a show does not read the whole database.
fn view_one(tx: &dyn ReadTx, s: Snapshot) -> Result<View, Condition> {
    Ok(View {
        origin: tx.find(Scope::All, s.origin)?,
        pool: tx.get(Scope::All, s.pool)?,
        volume_type: s.volume_type.map(|t| tx.find(Scope::All, t)).transpose()?.flatten(),
        parent: s.parent.map(|p| tx.find(Scope::All, p)).transpose()?.flatten(),
        attachments: attached_to(tx, s.id)?,
        snapshot: s,
    })
}

fn found(tx: &dyn ReadTx, scope: Scope, key: &Key) -> Result<Snapshot, Condition> {
    let (hit, name) = match key {
        Key::Id(id) => return tx.get(scope, *id),
        Key::Named(space, name) => match names::find(tx, scope, space, name)? {
            Some(Subject::Snapshot(id)) => (tx.find(scope, id)?, name),
            _ => (None, name),
        },
        Key::Of(volume, api, name) => {
            let v: Volume = tx.get(scope, *volume)?;
            (names::snapshot_of(tx, &v, *api, name)?, name)
        }
    };
    hit.ok_or_else(|| Condition::not_found(Kind::Snapshot, name))
}

/// One snapshot.
pub async fn get(ports: &Ports, actor: &Actor, key: &Key) -> Result<View, Condition> {
    let (scope, key) = (actor.scope, key.clone());
    let v = look(&*ports.meta, move |tx| view_one(tx, found(tx, scope, &key)?)).await?;
    may(actor, Power::Read, Some(v.snapshot.project))?;
    Ok(v)
}

/// A snapshot as its caller was told that it is, with what belongs to it. Its job may be over by now, and if that failed
/// the row is gone, which is for the next call to say.
pub async fn as_told(ports: &Ports, s: Snapshot) -> Result<View, Condition> {
    look(&*ports.meta, move |tx| view_one(tx, s)).await
}

/// Snapshots, the oldest first; of one volume, or all. The service's own for the time of a copy are among them only
/// where `transient` asks for them.
pub async fn list(
    ports: &Ports,
    actor: &Actor,
    of: Option<VolumeId>,
    transient: bool,
) -> Result<Vec<View>, Condition> {
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| {
        let rows = tx.list::<Snapshot>(scope, &Query { parent: of.map(Into::into), ..Query::default() })?;
        let around = Surroundings::all(tx)?;
        rows.into_iter().filter(|s| transient || !s.transient).map(|s| view(tx, &around, s)).collect()
    })
    .await
}
