//! Removing a group, with or without its members.

use parpen_base::Boxed;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{AttachState, Life, LifeEvent, Standing, When, life};
use parpen_model::{
    Attachment, Condition, Group, GroupId, GroupSnapshot, Kind, Scope, Snapshot, SnapshotId, Subject, Volume,
    VolumeId, WriteTx, write,
};
use serde::{Deserialize, Serialize};

use super::list::members;
use crate::jobs::{Commit, JobStep, StepCx, nothing, plan};
use crate::volumes::delete as volume;
use crate::{Ports, Started, access, backups, parts, snapshots};

pub(crate) const KIND: &str = "group-delete@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Close, &Remove];

#[derive(Serialize, Deserialize)]
struct Args {
    group: GroupId,
    members: Vec<VolumeId>,
    /// The service's own, which backups of members kept.
    #[serde(default)]
    snapshots: Vec<SnapshotId>,
}

/// Deletes a group. One that has members is refused unless they may be deleted with it.
pub async fn delete(
    ports: &Ports,
    actor: &Actor,
    id: GroupId,
    with_members: bool,
) -> Result<Started<Group>, Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut g: Group = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Write, Some(g.project))?;
        if !with_members {
            When::Only(&[Standing::Free, Standing::Error]).check(Kind::Group, g.id, g.standing())?;
        }
        if !tx.read().children::<GroupSnapshot>(id)?.is_empty() {
            return Err(Condition::invalid("group", "Group has existing snapshots."));
        }
        let all = members(tx.read(), &g)?;
        if !all.is_empty() && !with_members {
            let why = format!(
                "Group {id} still contains volumes. The delete-volumes flag is required to delete it."
            );
            return Err(Condition::invalid("group", why));
        }
        let members = all.iter().map(|v| v.id).collect();
        let mut args = Args { group: id, members, snapshots: Vec::new() };
        for v in all {
            let of = v.id;
            mark(tx, &g, v)?;
            args.snapshots.extend(backups::let_go(tx, of)?);
        }
        g.life = life(g.life, LifeEvent::Remove).map_err(|r| r.about(Kind::Group, g.id))?;
        g.declared = None;
        tx.update(&mut g)?;
        let mut job = plan(&ports_in, KIND, g.project, None, &args)?;
        tx.insert(&mut job)?;
        Ok((g, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// A member is to go too.
fn mark(tx: &mut dyn WriteTx, g: &Group, mut v: Volume) -> Result<(), Condition> {
    if tx.read().children::<Attachment>(v.id)?.iter().any(|a| a.state == AttachState::Attached) {
        let why = format!("Volume in group {} is attached. Need to detach first.", g.id);
        return Err(Condition::invalid("group", why));
    }
    if tx.read().children::<Snapshot>(v.id)?.iter().any(|s| !s.transient) {
        return Err(Condition::invalid("group", "Volume in group still has dependent snapshots."));
    }
    if let Some(w) = v.work.first() {
        let (what, name) = (Kind::Volume, v.id.to_string());
        return Err(Condition::WrongState { what, name, actual: w.to_string(), wanted: "at rest".into() });
    }
    if v.life != Life::Deleting {
        v.life = life(v.life, LifeEvent::Remove).map_err(|r| r.about(Kind::Volume, v.id))?;
    }
    parts::refuse_frozen(tx.read(), v.pool)?;
    v.declared = None;
    v.epoch += 1;
    tx.update(&mut v)
}

struct Close;
impl JobStep for Close {
    fn name(&self) -> &'static str {
        "close"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let members = args.members.into_iter().map(Subject::from);
            for s in members.chain(args.snapshots.into_iter().map(Subject::from)) {
                let _fenced = access::shut_all(&cx.world.gate, &*cx.world.meta, s, false).await?;
            }
            Ok(nothing())
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let commit: Commit = Box::new(move |tx| {
                for id in &args.members {
                    volume::spare_volume(tx, *id)?;
                }
                args.snapshots.iter().try_for_each(|s| snapshots::spare(tx, *s))?;
                let Some(mut g) = tx.read().find::<Group>(Scope::All, args.group)? else { return Ok(()) };
                let event = if g.fault.is_some() { LifeEvent::Broke } else { LifeEvent::Spare };
                g.life = life(g.life, event).map_err(|r| r.about(Kind::Group, g.id))?;
                tx.update(&mut g)
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
            let mut commits = Vec::new();
            for id in args.members {
                commits.push(volume::remove(cx, id).await?);
            }
            commits.push(snapshots::remove(cx, args.snapshots).await?);
            let commit: Commit = Box::new(move |tx| {
                commits.iter_mut().try_for_each(|c| c(tx))?;
                tx.delete::<Group>(args.group).map(|_| ())
            });
            Ok(commit)
        })
    }
}
