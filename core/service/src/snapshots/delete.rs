//! Removing snapshots. What grew from one keeps its bytes: the stores see to that.

use parpen_base::Boxed;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{LifeEvent, When, life};
use parpen_model::{
    Attachment, Condition, Job, JobId, JobState, Kind, Pin, Scope, Snapshot, SnapshotId, Stamp, Volume,
    WriteTx, look, write,
};
use serde::{Deserialize, Serialize};

use crate::jobs::{Commit, JobStep, StepCx, nothing, plan};
use crate::{Ports, Started, access, attachments, parts};

pub(crate) const KIND: &str = "snapshot-delete@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Close, &Remove];

/// What an API allows when it deletes.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeleteTerms {
    /// Cut whoever has it open or attached.
    pub force: bool,
    /// The snapshots that were taken together with it are respected.
    pub respect: bool,
    /// The states it is allowed from.
    pub when: When,
}

#[derive(Serialize, Deserialize)]
struct Args {
    snapshot: SnapshotId,
    force: bool,
}

/// Deletes a snapshot; the job removes its bytes.
pub async fn delete(
    ports: &Ports,
    actor: &Actor,
    id: SnapshotId,
    terms: DeleteTerms,
) -> Result<Started<Snapshot>, Condition> {
    let open = ports.sessions.of(access::plain_export(id.into()));
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut s: Snapshot = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Write, Some(s.project))?;
        parts::refuse_frozen(tx.read(), s.pool)?;
        terms.when.check(Kind::Snapshot, s.id, s.standing())?;
        if terms.respect && s.group_snapshot.is_some() {
            return Err(Condition::in_use(Kind::Snapshot, &s.handle, vec!["a snapshot of a group".into()]));
        }
        let held = attachments::holders(tx.read(), id.into())?;
        if !held.is_empty() && !terms.force {
            return Err(Condition::in_use(Kind::Snapshot, &s.handle, held));
        }
        if !open.is_empty() && !terms.force {
            return Err(access::in_use_by(Kind::Snapshot, &s.handle, &open));
        }
        if !tx.read().children::<Pin>(id)?.is_empty() {
            return Err(Condition::in_use(
                Kind::Snapshot,
                &s.handle,
                vec!["a volume that is being made from it".into()],
            ));
        }
        s.life = life(s.life, LifeEvent::Remove).map_err(|r| r.about(Kind::Snapshot, &s.handle))?;
        s.declared = None;
        tx.update(&mut s)?;
        let args = Args { snapshot: id, force: terms.force };
        let mut job = plan(&ports_in, KIND, s.project, Some(id.into()), &args)?;
        tx.insert(&mut job)?;
        Ok((s, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// A job that removes the service's own snapshot whose maker is gone.
pub(crate) fn removal(id: JobId, s: &Snapshot, stamp: Stamp) -> Result<Job, Condition> {
    Ok(Job {
        id,
        kind: KIND.to_string(),
        project: s.project,
        subject: Some(s.id.into()),
        args: serde_json::to_value(Args { snapshot: s.id, force: true }).map_err(Condition::internal)?,
        done: Vec::new(),
        state: JobState::Running,
        progress: None,
        origin: None,
        error: None,
        stamp,
    })
}

/// Removes snapshots from their stores; the commit removes the rows and lets what grew from them grow from theirs.
pub(crate) async fn remove(cx: &mut StepCx, ids: Vec<SnapshotId>) -> Result<Commit, Condition> {
    let wanted = ids.clone();
    let rows = look(&*cx.world.meta, move |tx| {
        let found = wanted.iter().map(|id| tx.find::<Snapshot>(Scope::All, *id));
        Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect::<Vec<_>>())
    })
    .await?;
    for s in &rows {
        cx.world.store(s.pool).await?.delete(s.id.into()).await?;
        cx.world.gate.forget(access::plain_export(s.id.into()));
    }
    Ok(Box::new(move |tx| rows.iter().try_for_each(|s| forget(tx, s.id))))
}

fn forget(tx: &mut dyn WriteTx, id: SnapshotId) -> Result<(), Condition> {
    let Some(gone) = tx.read().find::<Snapshot>(Scope::All, id)? else { return Ok(()) };
    for mut v in tx.read().grown_from::<Volume>(id)? {
        v.parent = gone.parent;
        tx.update(&mut v)?;
    }
    for mut s in tx.read().grown_from::<Snapshot>(id)? {
        s.parent = gone.parent;
        tx.update(&mut s)?;
    }
    for a in tx.read().children::<Attachment>(id)? {
        tx.delete::<Attachment>(a.id)?;
    }
    tx.delete::<Snapshot>(id).map(|_| ())
}

/// Calls the removal of a snapshot off: nothing was lost yet.
pub(crate) fn spare(tx: &mut dyn WriteTx, id: SnapshotId) -> Result<(), Condition> {
    let Some(mut s) = tx.read().find::<Snapshot>(Scope::All, id)? else { return Ok(()) };
    // What was in error before is so again.
    let event = if s.fault.is_some() { LifeEvent::Broke } else { LifeEvent::Spare };
    if let Ok(next) = life(s.life, event) {
        s.life = next;
        tx.update(&mut s)?;
    }
    Ok(())
}

struct Close;
impl JobStep for Close {
    fn name(&self) -> &'static str {
        "close"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            // The row goes in the next step; what matters here is that this one ends only when all are fenced.
            let _fenced =
                access::shut_all(&cx.world.gate, &*cx.world.meta, args.snapshot.into(), args.force).await?;
            Ok(nothing())
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let commit: Commit = Box::new(move |tx| spare(tx, args.snapshot));
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
            remove(cx, vec![args.snapshot]).await
        })
    }
}
