//! Making a group: empty, from a snapshot of a group, or from a group as it is at one instant.

use parpen_base::Boxed;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{Life, LifeEvent, Standing, When, life};
use parpen_model::{
    Attributes, Condition, Group, GroupId, GroupSnapshot, GroupSource, GroupType, GroupTypeId, Kind, Pin,
    PinId, Scope, Snapshot, SnapshotId, Stamp, Subject, Volume, VolumeId, VolumeTypeId, WriteTx, write,
};
use serde::{Deserialize, Serialize};

use super::list::members;
use crate::jobs::{Commit, JobStep, StepCx, nothing, plan};
use crate::names::{self, Naming};
use crate::quotas::{self, Need};
use crate::volumes::create as volume;
use crate::volumes::{From, NewVolume, Options, Place};
use crate::{Ports, Started, snapshots};

pub(crate) const KIND: &str = "group-create@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&SnapshotSources, &MakeAll, &DropSources];

/// A group to be made.
#[derive(Clone, Debug)]
pub struct NewGroup {
    /// Free text.
    pub name: String,
    /// What the API keeps with it.
    pub attributes: Attributes,
}

/// What the members of a group that is made from another are given.
#[derive(Clone)]
pub struct Members {
    /// How each is called, by its id.
    pub naming: fn(VolumeId) -> Naming,
    /// What the API keeps with each.
    pub attributes: Attributes,
    /// And what it takes over from the snapshot that the member grows from, or from the volume of that.
    pub inherit: fn(&Snapshot, Option<&Volume>, &mut Attributes),
}

/// One member that is made.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Member {
    volume: VolumeId,
    from: SnapshotId,
}

#[derive(Serialize, Deserialize)]
struct Args {
    group: GroupId,
    members: Vec<Member>,
    /// Those of the sources that are taken first and dropped afterwards.
    via: Vec<SnapshotId>,
}

fn draft(ports: &Ports, actor: &Actor, new: &NewGroup, group_type: GroupTypeId) -> Group {
    Group {
        id: GroupId(ports.entropy.uuid()),
        name: new.name.clone(),
        project: actor.project,
        group_type,
        volume_types: Vec::new(),
        made_from: None,
        life: Life::Creating,
        declared: None,
        attributes: new.attributes.clone(),
        fault: None,
        stamp: Stamp::at(ports.clock.now()),
    }
}

fn made(g: &mut Group) -> Result<(), Condition> {
    g.life = life(g.life, LifeEvent::Made).map_err(|r| r.about(Kind::Group, g.id))?;
    Ok(())
}

/// Makes an empty group.
pub async fn create(
    ports: &Ports,
    actor: &Actor,
    new: NewGroup,
    group_type: GroupTypeId,
    volume_types: Vec<Option<VolumeTypeId>>,
) -> Result<Group, Condition> {
    may(actor, Power::Write, Some(actor.project))?;
    names::check(&new.name)?;
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let (group, _) = write(&*ports.meta, move |tx| {
        tx.read().get::<GroupType>(Scope::All, group_type)?;
        let mut g = draft(&ports_in, &actor_in, &new, group_type);
        g.volume_types = volume_types.clone();
        made(&mut g)?;
        quotas::admit(tx.read(), g.project, &Need::group())?;
        tx.insert(&mut g)?;
        Ok(g)
    })
    .await?;
    Ok(group)
}

/// Makes a group with members like those of a snapshot of a group, or of a group.
pub async fn create_from(
    ports: &Ports,
    actor: &Actor,
    new: NewGroup,
    source: GroupSource,
    like: Members,
) -> Result<Started<Group>, Condition> {
    may(actor, Power::Write, Some(actor.project))?;
    names::check(&new.name)?;
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let (old, sources, via) = sources(tx, &ports_in, &actor_in, source)?;
        if sources.is_empty() {
            let why = match source {
                GroupSource::Snapshot(_) => "Group snapshot is empty. No group will be created.",
                GroupSource::Group(_) => "Source Group is empty. No group will be created.",
            };
            return Err(Condition::invalid("group", why));
        }
        let mut g = draft(&ports_in, &actor_in, &new, old.group_type);
        g.volume_types = old.volume_types.clone();
        g.made_from = Some(source);
        quotas::admit(tx.read(), g.project, &Need::group())?;
        tx.insert(&mut g)?;
        let mut args = Args { group: g.id, members: Vec::new(), via };
        for s in &sources {
            args.members.push(member(tx, &ports_in, &actor_in, &g, s, &like)?);
        }
        let mut job = plan(&ports_in, KIND, g.project, None, &args)?;
        tx.insert(&mut job)?;
        for m in &args.members {
            let (id, stamp) = (PinId(ports_in.entropy.uuid()), Stamp::at(ports_in.clock.now()));
            tx.insert(&mut Pin { id, snapshot: m.from, job: job.id, stamp })?;
        }
        Ok((g, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

type Sources = (Group, Vec<Snapshot>, Vec<SnapshotId>);

/// The group that the new one is like, the snapshots its members grow from, and those of them that are yet to be taken.
fn sources(
    tx: &mut dyn WriteTx,
    ports: &Ports,
    actor: &Actor,
    source: GroupSource,
) -> Result<Sources, Condition> {
    match source {
        GroupSource::Snapshot(id) => {
            let gs: GroupSnapshot = tx.read().get(actor.scope, id)?;
            When::Only(&[Standing::Free]).check(Kind::GroupSnapshot, gs.id, gs.standing())?;
            let group: Group = tx.read().get(actor.scope, gs.group)?;
            Ok((group, super::snapshots::parts(tx.read(), &gs)?, Vec::new()))
        }
        GroupSource::Group(id) => {
            let group: Group = tx.read().get(actor.scope, id)?;
            When::Only(&[Standing::Free]).check(Kind::Group, group.id, group.standing())?;
            let mut taken = Vec::new();
            for v in members(tx.read(), &group)? {
                let (id, stamp) = (SnapshotId(ports.entropy.uuid()), Stamp::at(ports.clock.now()));
                let mut s = volume::transient(tx, v.id, id, stamp)?;
                tx.insert(&mut s)?;
                taken.push(s);
            }
            let via = taken.iter().map(|s| s.id).collect();
            Ok((group, taken, via))
        }
    }
}

/// The row of one member.
fn member(
    tx: &mut dyn WriteTx,
    ports: &Ports,
    actor: &Actor,
    group: &Group,
    from: &Snapshot,
    like: &Members,
) -> Result<Member, Condition> {
    let id = VolumeId(ports.entropy.uuid());
    let origin: Option<Volume> = tx.read().find(Scope::All, from.origin)?;
    let mut attributes = like.attributes.clone();
    (like.inherit)(from, origin.as_ref(), &mut attributes);
    let new = NewVolume {
        id: Some(id),
        naming: (like.naming)(id),
        size: None,
        from: From::Snapshot(from.id),
        place: Place { volume_type: from.volume_type, ..Place::default() },
        options: Options {
            shared: origin.is_some_and(|v| v.shared),
            attributes,
            group: Some(group.id),
            ..Options::default()
        },
    };
    let stamp = Stamp::at(ports.clock.now());
    let mut v = volume::draft(tx, actor.scope, id, group.project, &new, Some(from), stamp)?;
    if from.transient {
        // It is there for the time of the copy alone: what was copied is the volume.
        v.made_from = Some(Subject::Volume(from.origin));
    }
    quotas::admit(tx.read(), v.project, &Need::volume(&v))?;
    tx.insert(&mut v)?;
    Ok(Member { volume: id, from: from.id })
}

struct SnapshotSources;
impl JobStep for SnapshotSources {
    fn name(&self) -> &'static str {
        "snapshot-sources"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            if args.via.is_empty() { Ok(nothing()) } else { snapshots::take(cx, args.via).await }
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let why = cx.job.error.as_ref().map(Condition::to_string);
            let mut dropped = snapshots::remove(cx, args.via).await?;
            let commit: Commit = Box::new(move |tx| {
                dropped(tx)?;
                let Some(mut g) = tx.read().find::<Group>(Scope::All, args.group)? else { return Ok(()) };
                g.life = life(g.life, LifeEvent::Broke).map_err(|r| r.about(Kind::Group, g.id))?;
                g.fault = why.clone();
                tx.update(&mut g)
            });
            Ok(commit)
        })
    }
}

struct MakeAll;
impl JobStep for MakeAll {
    fn name(&self) -> &'static str {
        "make"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let mut commits = Vec::new();
            for m in &args.members {
                commits.push(volume::make(cx, m.volume, Some(m.from)).await?);
            }
            let commit: Commit = Box::new(move |tx| {
                commits.iter_mut().try_for_each(|c| c(tx))?;
                let mut g: Group = tx.read().get(Scope::All, args.group)?;
                made(&mut g)?;
                tx.update(&mut g)
            });
            Ok(commit)
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let mut commits = Vec::new();
            for m in &args.members {
                commits.push(volume::unmake(cx, m.volume, Some(m.from), true).await?);
            }
            let commit: Commit = Box::new(move |tx| commits.iter_mut().try_for_each(|c| c(tx)));
            Ok(commit)
        })
    }
}

struct DropSources;
impl JobStep for DropSources {
    fn name(&self) -> &'static str {
        "drop-sources"
    }
    fn applies(&self, cx: &StepCx) -> Result<bool, Condition> {
        Ok(!cx.args::<Args>()?.via.is_empty())
    }
    fn no_way_back(&self) -> bool {
        true
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            snapshots::remove(cx, args.via).await
        })
    }
}
