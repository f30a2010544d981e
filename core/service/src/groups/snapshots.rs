//! Snapshots of groups: all members at one instant.

use parpen_base::Boxed;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{Life, LifeEvent, Standing, When, life};
use parpen_model::{
    Attributes, Condition, Group, GroupId, GroupSnapshot, GroupSnapshotId, Kind, Pin, ProjectId, Query,
    ReadTx, Scope, Snapshot, SnapshotId, Stamp, Volume, read, write,
};
use serde::{Deserialize, Serialize};

use super::create::NewGroup;
use super::list::members;
use crate::jobs::{Commit, JobStep, StepCx, nothing, plan};
use crate::names::Naming;
use crate::quotas::{self, Need};
use crate::{Ports, Started, access, snapshots};

pub(crate) const KIND_CREATE: &str = "group-snapshot-create@1";
pub(crate) const STEPS_CREATE: &[&dyn JobStep] = &[&Take];
pub(crate) const KIND_DELETE: &str = "group-snapshot-delete@1";
pub(crate) const STEPS_DELETE: &[&dyn JobStep] = &[&Close, &Remove];

#[derive(Serialize, Deserialize)]
struct Args {
    group_snapshot: GroupSnapshotId,
    parts: Vec<SnapshotId>,
}

/// The snapshots of which a snapshot of a group consists, the oldest first.
pub(super) fn parts(tx: &dyn ReadTx, gs: &GroupSnapshot) -> Result<Vec<Snapshot>, Condition> {
    let query = Query { project: Some(gs.project), ..Query::default() };
    let all = tx.list::<Snapshot>(Scope::All, &query)?;
    Ok(all.into_iter().filter(|s| s.group_snapshot == Some(gs.id)).collect())
}

/// What the parts of a group's snapshot are given.
#[derive(Clone)]
pub struct Parts {
    /// How each is called, by its id.
    pub naming: fn(SnapshotId) -> Naming,
    /// What the API keeps with each.
    pub attributes: Attributes,
    /// And what it takes over from the volume.
    pub inherit: fn(&Volume, &mut Attributes),
}

/// Takes a snapshot of all members of a group at one instant.
pub async fn create(
    ports: &Ports,
    actor: &Actor,
    of: GroupId,
    new: NewGroup,
    parts: Parts,
) -> Result<Started<GroupSnapshot>, Condition> {
    crate::names::check(&new.name)?;
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let g: Group = tx.read().get(actor_in.scope, of)?;
        may(&actor_in, Power::Write, Some(g.project))?;
        let stamp = Stamp::at(ports_in.clock.now());
        let mut gs = GroupSnapshot {
            id: GroupSnapshotId(ports_in.entropy.uuid()),
            name: new.name.clone(),
            project: g.project,
            group: of,
            group_type: g.group_type,
            life: Life::Creating,
            declared: None,
            attributes: new.attributes.clone(),
            fault: None,
            stamp,
        };
        tx.insert(&mut gs)?;
        let mut args = Args { group_snapshot: gs.id, parts: Vec::new() };
        for v in members(tx.read(), &g)? {
            When::Only(&[Standing::Free, Standing::Attached]).check(Kind::Volume, v.id, v.standing())?;
            let id = SnapshotId(ports_in.entropy.uuid());
            let naming = Naming { name: new.name.clone(), ..(parts.naming)(id) };
            let mut s = snapshots::draft(tx.read(), &v, id, &naming, stamp)?;
            s.group_snapshot = Some(gs.id);
            s.auto_named = new.name.is_empty();
            s.attributes = parts.attributes.clone();
            (parts.inherit)(&v, &mut s.attributes);
            quotas::admit(tx.read(), s.project, &Need::snapshot(&s))?;
            tx.insert(&mut s)?;
            args.parts.push(id);
        }
        let mut job = plan(&ports_in, KIND_CREATE, g.project, None, &args)?;
        tx.insert(&mut job)?;
        Ok((gs, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// One snapshot of a group.
pub async fn get(ports: &Ports, actor: &Actor, id: GroupSnapshotId) -> Result<GroupSnapshot, Condition> {
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| tx.get(scope, id)).await
}

/// Snapshots of groups that the actor sees, of one project or all, the oldest first.
pub async fn list(
    ports: &Ports,
    actor: &Actor,
    project: Option<ProjectId>,
) -> Result<Vec<GroupSnapshot>, Condition> {
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| tx.list(scope, &Query { project, ..Query::default() })).await
}

/// Lets an operator say how a snapshot of a group stands.
pub async fn say(
    ports: &Ports,
    actor: &Actor,
    id: GroupSnapshotId,
    standing: Standing,
) -> Result<(), Condition> {
    let (actor, now) = (actor.clone(), ports.clock.now());
    write(&*ports.meta, move |tx| {
        let mut gs: GroupSnapshot = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Operate, Some(gs.project))?;
        gs.declared = None;
        gs.declared = Some(standing).filter(|s| *s != gs.standing());
        gs.stamp.updated = Some(now);
        tx.update(&mut gs)
    })
    .await
    .map(|_| ())
}

/// Deletes a snapshot of a group with all its parts.
pub async fn delete(
    ports: &Ports,
    actor: &Actor,
    id: GroupSnapshotId,
) -> Result<Started<GroupSnapshot>, Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut gs: GroupSnapshot = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Write, Some(gs.project))?;
        When::Only(&[Standing::Free, Standing::Error]).check(Kind::GroupSnapshot, gs.id, gs.standing())?;
        let mut args = Args { group_snapshot: id, parts: Vec::new() };
        for mut s in parts(tx.read(), &gs)? {
            if !tx.read().children::<Pin>(s.id)?.is_empty() {
                let by = vec!["a group that is being made from it".into()];
                return Err(Condition::in_use(Kind::GroupSnapshot, gs.id, by));
            }
            if s.life != Life::Deleting {
                s.life = life(s.life, LifeEvent::Remove).map_err(|r| r.about(Kind::Snapshot, &s.handle))?;
            }
            s.declared = None;
            tx.update(&mut s)?;
            args.parts.push(s.id);
        }
        gs.life = life(gs.life, LifeEvent::Remove).map_err(|r| r.about(Kind::GroupSnapshot, gs.id))?;
        gs.declared = None;
        tx.update(&mut gs)?;
        let mut job = plan(&ports_in, KIND_DELETE, gs.project, None, &args)?;
        tx.insert(&mut job)?;
        Ok((gs, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

struct Take;
impl JobStep for Take {
    fn name(&self) -> &'static str {
        "take"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let mut taken = snapshots::take(cx, args.parts).await?;
            let commit: Commit = Box::new(move |tx| {
                taken(tx)?;
                let mut gs: GroupSnapshot = tx.read().get(Scope::All, args.group_snapshot)?;
                gs.life = life(gs.life, LifeEvent::Made).map_err(|r| r.about(Kind::GroupSnapshot, gs.id))?;
                tx.update(&mut gs)
            });
            Ok(commit)
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let why = cx.job.error.as_ref().map(Condition::to_string);
            let mut dropped = match snapshots::remove(cx, args.parts.clone()).await {
                Ok(commit) => commit,
                // A store that does not answer may still hold them: the rows stay, in error, to be deleted later.
                Err(_) => snapshots::broken(args.parts, why.clone()),
            };
            let commit: Commit = Box::new(move |tx| {
                dropped(tx)?;
                let id = args.group_snapshot;
                let Some(mut gs) = tx.read().find::<GroupSnapshot>(Scope::All, id)? else { return Ok(()) };
                gs.life = life(gs.life, LifeEvent::Broke).map_err(|r| r.about(Kind::GroupSnapshot, gs.id))?;
                gs.fault = why.clone();
                tx.update(&mut gs)
            });
            Ok(commit)
        })
    }
}

struct Close;
impl JobStep for Close {
    fn name(&self) -> &'static str {
        "close"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            for id in args.parts {
                let _fenced = access::shut_all(&cx.world.gate, &*cx.world.meta, id.into(), false).await?;
            }
            Ok(nothing())
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let commit: Commit = Box::new(move |tx| {
                for id in &args.parts {
                    snapshots::spare(tx, *id)?;
                }
                let id = args.group_snapshot;
                let Some(mut gs) = tx.read().find::<GroupSnapshot>(Scope::All, id)? else { return Ok(()) };
                let event = if gs.fault.is_some() { LifeEvent::Broke } else { LifeEvent::Spare };
                gs.life = life(gs.life, event).map_err(|r| r.about(Kind::GroupSnapshot, gs.id))?;
                tx.update(&mut gs)
            });
            Ok(commit)
        })
    }
}

struct Remove;
impl JobStep for Remove {
    fn name(&self) -> &'static str {
        "remove"
    }
    fn no_way_back(&self) -> bool {
        true
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let mut removed = snapshots::remove(cx, args.parts).await?;
            let commit: Commit = Box::new(move |tx| {
                removed(tx)?;
                tx.delete::<GroupSnapshot>(args.group_snapshot).map(|_| ())
            });
            Ok(commit)
        })
    }
}
