//! Removing a volume.

use parpen_base::Boxed;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{AttachState, Life, LifeEvent, When, life};
use parpen_model::{
    Attachment, Condition, Kind, Lock, Pin, Scope, Snapshot, SnapshotId, Subject, Transfer, Volume, VolumeId,
    WriteTx, look, write,
};
use serde::{Deserialize, Serialize};

use crate::jobs::{Commit, JobStep, StepCx, plan};
use crate::{Ports, Started, access, attachments, backups, names, parts, snapshots};

pub(crate) const KIND: &str = "volume-delete@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Close, &Remove];

/// What becomes of a volume's snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Snapshots {
    /// A volume that has any is not deleted.
    #[default]
    Refuse,
    /// They are deleted with it.
    Delete,
    /// They stay, without their volume.
    Keep,
}

/// What an API allows when it deletes.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeleteTerms {
    /// Its snapshots.
    pub snapshots: Snapshots,
    /// Cut whoever has it open or attached.
    pub force: bool,
    /// A lock is no reason to refuse.
    pub ignore_lock: bool,
    /// Those who hold it and those who are together with it in a group are respected, also with `force`.
    pub respect: bool,
    /// What is being deleted already is gone: whoever comes second hears that there is none, not that it is busy.
    pub once: bool,
    /// The states it is allowed from.
    pub when: When,
}

#[derive(Serialize, Deserialize)]
struct Args {
    volume: VolumeId,
    snapshots: Vec<SnapshotId>,
    force: bool,
}

/// Deletes a volume; the job removes its bytes.
pub async fn delete(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    terms: DeleteTerms,
) -> Result<Started<Volume>, Condition> {
    let open = ports.sessions.of(access::plain_export(id.into()));
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut v: Volume = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Write, Some(v.project))?;
        if terms.once && v.life == Life::Deleting {
            return Err(Condition::not_found(Kind::Volume, &v.handle));
        }
        parts::refuse_frozen(tx.read(), v.pool)?;
        terms.when.check(Kind::Volume, v.id, v.standing())?;
        refuse_held(tx, &v, terms)?;
        if !open.is_empty() && !terms.force {
            return Err(access::in_use_by(Kind::Volume, &v.handle, &open));
        }
        let kept: Vec<Snapshot> =
            tx.read().children::<Snapshot>(id)?.into_iter().filter(|s| !s.transient).collect();
        if terms.respect && kept.iter().any(|s| s.group_snapshot.is_some()) {
            return Err(Condition::in_use(Kind::Volume, &v.handle, vec!["a snapshot of its group".into()]));
        }
        let foreign = kept.iter().any(|s| s.project != v.project);
        if foreign || !kept.is_empty() && terms.snapshots == Snapshots::Refuse {
            let name = |s: &Snapshot| match s.project == v.project {
                true => format!("snapshot {}", names::short(s)),
                false => "a snapshot of another project".to_string(),
            };
            let by = kept.iter().map(name).collect();
            return Err(Condition::in_use(Kind::Volume, &v.handle, by));
        }
        v.life = life(v.life, LifeEvent::Remove).map_err(|r| r.about(Kind::Volume, &v.handle))?;
        v.declared = None;
        v.epoch += 1;
        tx.update(&mut v)?;
        let mut args = Args { volume: id, snapshots: Vec::new(), force: terms.force };
        args.snapshots.extend(backups::let_go(tx, id)?);
        if terms.snapshots == Snapshots::Delete {
            for mut s in kept {
                if !tx.read().children::<Pin>(s.id)?.is_empty() {
                    let by =
                        vec![format!("a volume that is being made from its snapshot {}", names::short(&s))];
                    return Err(Condition::in_use(Kind::Volume, &v.handle, by));
                }
                s.life = life(s.life, LifeEvent::Remove).map_err(|r| r.about(Kind::Snapshot, &s.handle))?;
                s.declared = None;
                tx.update(&mut s)?;
                args.snapshots.push(s.id);
            }
        }
        let mut job = plan(&ports_in, KIND, v.project, Some(id.into()), &args)?;
        tx.insert(&mut job)?;
        Ok((v, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// Attachments, locks and running work are reasons to refuse.
fn refuse_held(tx: &mut dyn WriteTx, v: &Volume, terms: DeleteTerms) -> Result<(), Condition> {
    if terms.respect && v.group.is_some() {
        return Err(Condition::in_use(Kind::Volume, &v.handle, vec!["its group".into()]));
    }
    let held = attachments::holders(tx.read(), v.id.into())?;
    let attached = terms.respect
        && tx.read().children::<Attachment>(v.id)?.iter().any(|a| a.state == AttachState::Attached);
    if !held.is_empty() && (!terms.force || attached) {
        return Err(Condition::in_use(Kind::Volume, &v.handle, held));
    }
    if !terms.ignore_lock && !terms.force {
        access::check_lock(tx.read(), v, None)?;
    }
    match v.work.first() {
        Some(w) => Err(Condition::WrongState {
            what: Kind::Volume,
            name: v.handle.to_string(),
            actual: w.to_string(),
            wanted: "at rest".into(),
        }),
        None => Ok(()),
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
            let subjects = std::iter::once(Subject::Volume(args.volume))
                .chain(args.snapshots.iter().map(|s| Subject::Snapshot(*s)));
            for s in subjects {
                // The rows go in the next step; what matters here is that this one ends only when all are fenced.
                let _fenced = access::shut_all(&cx.world.gate, &*cx.world.meta, s, args.force).await?;
            }
            Ok(crate::jobs::nothing())
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let commit: Commit = Box::new(move |tx| {
                spare_volume(tx, args.volume)?;
                args.snapshots.iter().try_for_each(|s| snapshots::spare(tx, *s))
            });
            Ok(commit)
        })
    }
}

/// Calls the removal of a volume off: nothing was lost yet.
pub(crate) fn spare_volume(tx: &mut dyn WriteTx, id: VolumeId) -> Result<(), Condition> {
    if let Some(mut v) = tx.read().find::<Volume>(Scope::All, id)?
        && v.life == Life::Deleting
    {
        // What was in error before is so again.
        let event = if v.fault.is_some() { LifeEvent::Broke } else { LifeEvent::Spare };
        v.life = life(v.life, event).map_err(|r| r.about(Kind::Volume, &v.handle))?;
        v.epoch += 1;
        tx.update(&mut v)?;
    }
    Ok(())
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
            let mut volume = remove(cx, args.volume).await?;
            let mut snapshots = snapshots::remove(cx, args.snapshots).await?;
            let commit: Commit = Box::new(move |tx| {
                volume(tx)?;
                snapshots(tx)
            });
            Ok(commit)
        })
    }
}

/// Removes a volume from its store; the commit removes its rows.
pub(crate) async fn remove(cx: &mut StepCx, id: VolumeId) -> Result<Commit, Condition> {
    let v: Option<Volume> = look(&*cx.world.meta, move |tx| tx.find(Scope::All, id)).await?;
    let Some(v) = v else { return Ok(crate::jobs::nothing()) };
    cx.world.store(v.pool).await?.delete(v.id.into()).await?;
    cx.world.gate.forget(access::plain_export(v.id.into()));
    Ok(Box::new(move |tx| {
        for a in tx.read().children::<Attachment>(id)? {
            tx.delete::<Attachment>(a.id)?;
        }
        for l in tx.read().children::<Lock>(id)? {
            tx.delete::<Lock>(l.id)?;
        }
        for t in tx.read().children::<Transfer>(id)? {
            tx.delete::<Transfer>(t.id)?;
        }
        tx.delete::<Volume>(id).map(|_| ())
    }))
}
