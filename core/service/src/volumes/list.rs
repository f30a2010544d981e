//! Looking at volumes.

use std::collections::HashMap;

use parpen_identity::{Actor, Power, may};
use parpen_model::{
    Attachment, Condition, Host, HostId, Kind, Lock, Pool, PoolId, ProjectId, Query, ReadTx, Scope, Snapshot,
    SnapshotId, Volume, VolumeId, VolumeType, VolumeTypeId, look, read,
};
use uuid::Uuid;

use crate::Ports;
use crate::names::{self, Space};

/// A volume and what belongs to it.
#[derive(Clone, Debug)]
pub struct View {
    /// The row.
    pub volume: Volume,
    /// Its pool.
    pub pool: Pool,
    /// Its policy.
    pub volume_type: Option<VolumeType>,
    /// The snapshot its head grew from, while that exists.
    pub parent: Option<Snapshot>,
    /// Who attaches it.
    pub attachments: Vec<Attached>,
    /// Who has locked it.
    pub lock: Option<Lock>,
}

/// An attachment and its host.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The row.
    pub attachment: Attachment,
    /// The host, once it is known.
    pub host: Option<Host>,
}

/// Which volume is meant.
#[derive(Clone, Debug)]
pub enum Key {
    /// By id.
    Id(VolumeId),
    /// By the name that one side knows.
    Named(Space, String),
}

/// Which volumes; absent parts select all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Of one pool.
    pub pool: Option<PoolId>,
    /// Of one project.
    pub project: Option<ProjectId>,
}

/// What views are put together from, read once for many.
pub(crate) struct Surroundings {
    pools: HashMap<PoolId, Pool>,
    types: HashMap<VolumeTypeId, VolumeType>,
    hosts: HashMap<HostId, Host>,
    attachments: HashMap<Uuid, Vec<Attachment>>,
    locks: HashMap<VolumeId, Lock>,
    parents: HashMap<SnapshotId, Snapshot>,
}

impl Surroundings {
    /// Everything, for lists.
    pub(crate) fn all(tx: &dyn ReadTx) -> Result<Surroundings, Condition> {
        let every = Query::default();
        let mut attachments: HashMap<Uuid, Vec<Attachment>> = HashMap::new();
        for a in tx.list::<Attachment>(Scope::All, &every)? {
            attachments.entry(a.subject.uuid()).or_default().push(a);
        }
        let by = |s: Snapshot| (s.id, s);
        Ok(Surroundings {
            pools: tx.list::<Pool>(Scope::All, &every)?.into_iter().map(|p| (p.id, p)).collect(),
            types: tx.list::<VolumeType>(Scope::All, &every)?.into_iter().map(|t| (t.id, t)).collect(),
            hosts: tx.list::<Host>(Scope::All, &every)?.into_iter().map(|h| (h.id, h)).collect(),
            locks: tx.list::<Lock>(Scope::All, &every)?.into_iter().map(|l| (l.volume, l)).collect(),
            parents: tx.list::<Snapshot>(Scope::All, &every)?.into_iter().map(by).collect(),
            attachments,
        })
    }

    /// Who attaches a volume or snapshot.
    pub(crate) fn attached(&self, subject: Uuid) -> Vec<Attached> {
        let rows = self.attachments.get(&subject).cloned().unwrap_or_default();
        let with_host = |a: Attachment| Attached {
            host: a.host.and_then(|h| self.hosts.get(&h).cloned()),
            attachment: a,
        };
        rows.into_iter().map(with_host).collect()
    }

    pub(crate) fn pool(&self, id: PoolId) -> Result<Pool, Condition> {
        self.pools
            .get(&id)
            .cloned()
            .ok_or_else(|| Condition::internal(format!("a row names the absent pool {id}")))
    }

    pub(crate) fn volume_type(&self, id: Option<VolumeTypeId>) -> Option<VolumeType> {
        id.and_then(|t| self.types.get(&t).cloned())
    }

    pub(crate) fn snapshot(&self, id: Option<SnapshotId>) -> Option<Snapshot> {
        id.and_then(|s| self.parents.get(&s).cloned())
    }

    fn view(&self, v: Volume) -> Result<View, Condition> {
        Ok(View {
            pool: self.pool(v.pool)?,
            volume_type: self.volume_type(v.volume_type),
            parent: self.snapshot(v.parent),
            attachments: self.attached(v.id.0),
            lock: self.locks.get(&v.id).cloned(),
            volume: v,
        })
    }
}

/// Who attaches one volume or snapshot.
pub(crate) fn attached_to(tx: &dyn ReadTx, subject: impl Into<Uuid>) -> Result<Vec<Attached>, Condition> {
    let with_host = |a: Attachment| {
        let host = a.host.map(|h| tx.find::<Host>(Scope::All, h)).transpose()?.flatten();
        Ok(Attached { attachment: a, host })
    };
    tx.children::<Attachment>(subject)?.into_iter().map(with_host).collect()
}

/// One volume's surroundings by look-ups, so that a show does not read the whole database.
fn view_one(tx: &dyn ReadTx, v: Volume) -> Result<View, Condition> {
    Ok(View {
        pool: tx.get(Scope::All, v.pool)?,
        volume_type: v.volume_type.map(|t| tx.find(Scope::All, t)).transpose()?.flatten(),
        parent: v.parent.map(|s| tx.find(Scope::All, s)).transpose()?.flatten(),
        attachments: attached_to(tx, v.id)?,
        lock: crate::access::lock_of(tx, &v)?,
        volume: v,
    })
}

/// One volume.
pub async fn get(ports: &Ports, actor: &Actor, key: &Key) -> Result<View, Condition> {
    let (scope, key) = (actor.scope, key.clone());
    let view = look(&*ports.meta, move |tx| {
        let volume = match &key {
            Key::Id(id) => tx.get::<Volume>(scope, *id)?,
            Key::Named(space, name) => names::volume(tx, scope, space, name)?
                .ok_or_else(|| Condition::not_found(Kind::Volume, name))?,
        };
        view_one(tx, volume)
    })
    .await?;
    may(actor, Power::Read, Some(view.volume.project))?;
    Ok(view)
}

/// Volumes, the oldest first.
pub async fn list(ports: &Ports, actor: &Actor, filter: Filter) -> Result<Vec<View>, Condition> {
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| {
        let query =
            Query { project: filter.project, parent: filter.pool.map(Uuid::from), ..Query::default() };
        let rows = tx.list::<Volume>(scope, &query)?;
        let around = Surroundings::all(tx)?;
        rows.into_iter().map(|v| around.view(v)).collect()
    })
    .await
}

/// Bytes that the volumes and snapshots of a pool hold on their own account, by id.
pub async fn stored(ports: &Ports, pool: &Pool) -> Result<HashMap<Uuid, u64>, Condition> {
    let found = ports.figures.inventory(pool).await?;
    Ok(found.into_iter().map(|f| (f.subject.uuid(), f.stored)).collect())
}
