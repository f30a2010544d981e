//! Taking snapshots.

use std::collections::BTreeSet;

use parpen_base::Boxed;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{Health, Life, LifeEvent, When, life};
use parpen_model::{
    Attributes, Condition, Handle, Kind, Label, ReadTx, Scope, Snapshot, SnapshotId, Stamp, Volume, VolumeId,
    look, write,
};
use serde::{Deserialize, Serialize};

use crate::jobs::{Commit, JobStep, StepCx, nothing, plan};
use crate::names::{self, Naming};
use crate::quotas::{self, Need};
use crate::{Ports, Started, data, parts};

pub(crate) const KIND: &str = "snapshot-create@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Take];

/// A snapshot to be taken.
#[derive(Clone, Debug, Default)]
pub struct NewSnapshot {
    /// Its id, where the caller needs to know it before; else one is drawn.
    pub id: Option<SnapshotId>,
    /// Its names. An empty name lets the service make one.
    pub naming: Naming,
    /// It lives only as long as something was made from it.
    pub bound: bool,
    /// What the API keeps with it.
    pub attributes: Attributes,
    /// The states of the volume that it is allowed from.
    pub when: When,
}

#[derive(Serialize, Deserialize)]
struct Args {
    snapshots: Vec<SnapshotId>,
}

/// Takes a snapshot of a volume as it is at one instant of the job.
pub async fn create(
    ports: &Ports,
    actor: &Actor,
    of: VolumeId,
    new: NewSnapshot,
) -> Result<Started<Snapshot>, Condition> {
    let Started { mut now, job, generation } = group(ports, actor, vec![(of, new)]).await?;
    match now.pop() {
        Some(now) => Ok(Started { now, job, generation }),
        None => Err(Condition::internal("a snapshot without its row")),
    }
}

/// Takes snapshots of several volumes of one pool, all at the same instant of the job.
pub async fn group(
    ports: &Ports,
    actor: &Actor,
    all: Vec<(VolumeId, NewSnapshot)>,
) -> Result<Started<Vec<Snapshot>>, Condition> {
    if all.is_empty() {
        return Err(Condition::invalid("volumes", "name at least one"));
    }
    let mut of: Vec<VolumeId> = all.iter().map(|(of, _)| *of).collect();
    of.sort();
    if of.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Condition::invalid("volumes", "each volume is named once"));
    }
    let mut wanted = Vec::new();
    for (of, new) in all {
        names::check(&new.naming.name)?;
        let id = new.id.unwrap_or_else(|| SnapshotId(ports.entropy.uuid()));
        wanted.push((of, id, new));
    }
    let (ports_in, actor_in, stamp) = (ports.clone(), actor.clone(), Stamp::at(ports.clock.now()));
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut now: Vec<Snapshot> = Vec::new();
        for (of, id, new) in &wanted {
            let v: Volume = tx.read().get(actor_in.scope, *of)?;
            may(&actor_in, Power::Write, Some(v.project))?;
            if now.first().is_some_and(|first| first.pool != v.pool) {
                let why = "they are in different pools, which have no instant in common";
                return Err(Condition::invalid("volumes", why));
            }
            new.when.check(Kind::Volume, v.id, v.standing())?;
            refuse_taken(tx.read(), &v, &new.naming)?;
            let mut s = draft(tx.read(), &v, *id, &new.naming, stamp)?;
            s.bound = new.bound;
            s.auto_named = new.naming.name.is_empty();
            s.attributes = new.attributes.clone();
            quotas::admit(tx.read(), s.project, &Need::snapshot(&s))?;
            tx.insert(&mut s)?;
            now.push(s);
        }
        let first = now.first().ok_or_else(|| Condition::internal("a group without volumes"))?;
        let args = Args { snapshots: now.iter().map(|s| s.id).collect() };
        let mut job = plan(&ports_in, KIND, first.project, Some(first.id.into()), &args)?;
        tx.insert(&mut job)?;
        Ok((now, job))
    })
    .await?;
    let id = job.id;
    ports.jobs.begin_first(job).await;
    Ok(Started { now, job: id, generation })
}

/// Refuses a name that its side knows already: service-wide, or within the volume.
fn refuse_taken(tx: &dyn ReadTx, v: &Volume, naming: &Naming) -> Result<(), Condition> {
    let Some(space) = naming.own.as_ref().filter(|_| !naming.name.is_empty()) else { return Ok(()) };
    let taken = if space.within == v.id.to_string() {
        names::snapshot_of(tx, v, space.api, &naming.name)?.is_some()
    } else {
        names::find(tx, Scope::All, space, &naming.name)?.is_some()
    };
    if taken { Err(Condition::exists(Kind::Snapshot, &naming.name)) } else { Ok(()) }
}

/// The row of a new snapshot, with everything decided.
pub(crate) fn draft(
    tx: &dyn ReadTx,
    v: &Volume,
    id: SnapshotId,
    naming: &Naming,
    stamp: Stamp,
) -> Result<Snapshot, Condition> {
    parts::refuse_frozen(tx, v.pool)?;
    if v.life != Life::Ready || !v.work.is_empty() {
        return Err(Condition::WrongState {
            what: Kind::Volume,
            name: v.handle.to_string(),
            actual: v.work.first().map_or(v.life.to_string(), |w| w.to_string()),
            wanted: "ready".into(),
        });
    }
    let places = [v.pool.0, v.project.0, v.id.0];
    let handle = names::free_handle(tx, &places, |n| Handle::of_snapshot(&v.handle, &naming.name, id.0, n))?;
    // Within its volume a snapshot shows the last part of its handle; service-wide the whole of it.
    let within = naming.own.as_ref().is_some_and(|s| !s.within.is_empty());
    let shown = match (within, handle.as_str().rsplit_once('@')) {
        (true, Some((_, short))) => short.to_string(),
        _ => handle.to_string(),
    };
    let aliases =
        if naming.name.is_empty() { naming.aliases.clone() } else { names::aliases(naming, &shown) };
    Ok(Snapshot {
        id,
        name: naming.name.clone(),
        handle,
        aliases,
        project: v.project,
        pool: v.pool,
        origin: v.id,
        parent: v.parent,
        size: v.size,
        volume_type: v.volume_type,
        placement: v.placement.clone(),
        limits: v.limits,
        auto_named: false,
        bound: false,
        transient: false,
        life: Life::Creating,
        health: Health::Up,
        declared: None,
        group_snapshot: None,
        hidden: Vec::new(),
        key: v.key.clone(),
        attributes: Attributes::default(),
        fault: None,
        stamp,
    })
}

/// Takes the snapshots whose rows are there; the commit makes them ready and their volumes grow from them.
pub(crate) async fn take(cx: &mut StepCx, ids: Vec<SnapshotId>) -> Result<Commit, Condition> {
    let rows = look(&*cx.world.meta, move |tx| {
        ids.iter().map(|id| tx.get::<Snapshot>(Scope::All, *id)).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    let pools: BTreeSet<_> = rows.iter().map(|s| s.pool).collect();
    // One store takes all of its snapshots at one instant. For several it is made one: nobody's request is in flight.
    let still = match pools.len() {
        0 => return Ok(nothing()),
        1 => None,
        _ => Some(data::still(&cx.world, rows.iter().map(|s| s.origin).collect()).await?),
    };
    for pool in pools {
        let here = rows.iter().filter(|s| s.pool == pool);
        let labels: Vec<_> = here.map(|s| (s.origin, s.id, Label::of_snapshot(s))).collect();
        cx.world.store(pool).await?.snapshot(&labels).await?;
    }
    drop(still);
    Ok(Box::new(move |tx| {
        for s in &rows {
            let mut s: Snapshot = tx.read().get(Scope::All, s.id)?;
            s.life = life(s.life, LifeEvent::Made).map_err(|r| r.about(Kind::Snapshot, &s.handle))?;
            if let Some(mut v) = tx.read().find::<Volume>(Scope::All, s.origin)? {
                s.parent = v.parent;
                s.size = v.size;
                v.parent = Some(s.id);
                tx.update(&mut v)?;
            }
            tx.update(&mut s)?;
        }
        Ok(())
    }))
}

/// Rows of snapshots that failed and stay to be deleted.
pub(crate) fn broken(ids: Vec<SnapshotId>, why: Option<String>) -> Commit {
    Box::new(move |tx| {
        for id in &ids {
            let Some(mut s) = tx.read().find::<Snapshot>(Scope::All, *id)? else { continue };
            s.life = life(s.life, LifeEvent::Broke).map_err(|r| r.about(Kind::Snapshot, &s.handle))?;
            s.fault = why.clone();
            tx.update(&mut s)?;
        }
        Ok(())
    })
}

struct Take;
impl JobStep for Take {
    fn name(&self) -> &'static str {
        "take"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            take(cx, args.snapshots).await
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            match super::remove(cx, args.snapshots.clone()).await {
                Ok(commit) => Ok(commit),
                // A store that does not answer may still hold them: the rows stay, in error, to be deleted later.
                Err(_) => Ok(broken(args.snapshots, cx.job.error.as_ref().map(Condition::to_string))),
            }
        })
    }
}
