//! Removing a backup. Those that were compared with it keep the bytes they need.

use parpen_base::Boxed;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{BackupEvent, BackupState, LifeEvent, life};
use parpen_model::{
    Backup, BackupId, Condition, Kind, Pin, Scope, Snapshot, SnapshotId, VolumeId, WriteTx, read, write,
};
use serde::{Deserialize, Serialize};

use super::step;
use crate::jobs::{Commit, JobStep, StepCx, nothing, plan};
use crate::{Ports, Started, snapshots};

pub(crate) const KIND: &str = "backup-delete@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Remove];

/// What an API allows when it deletes.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeleteTerms {
    /// Others may have been compared with it.
    pub dependents: bool,
}

#[derive(Serialize, Deserialize)]
struct Args {
    backup: BackupId,
    /// The volume that it is of, which need not be there any more: whoever looks for what failed finds it by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    volume: Option<VolumeId>,
}

/// Deletes a backup; the job removes what no other one needs.
pub async fn delete(
    ports: &Ports,
    actor: &Actor,
    id: BackupId,
    terms: DeleteTerms,
) -> Result<Started<Backup>, Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut b: Backup = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Write, Some(b.project))?;
        let dependents: Vec<Backup> =
            tx.read().children::<Backup>(b.volume)?.into_iter().filter(|o| o.base == Some(id)).collect();
        // One that is being made reads this one's list of bytes.
        let blocking = |o: &&Backup| !terms.dependents || o.state == BackupState::Creating;
        let by: Vec<String> =
            dependents.iter().filter(blocking).map(|o| format!("backup {}", o.id)).collect();
        if !by.is_empty() {
            return Err(Condition::in_use(Kind::Backup, id, by));
        }
        step(&mut b, BackupEvent::Remove)?;
        tx.update(&mut b)?;
        let args = Args { backup: id, volume: Some(b.volume) };
        let mut job = plan(&ports_in, KIND, b.project, None, &args)?;
        tx.insert(&mut job)?;
        Ok((b, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// The service's own snapshots of a volume that goes: its backups do without them from now on, and the caller removes them.
pub(crate) fn let_go(tx: &mut dyn WriteTx, of: VolumeId) -> Result<Vec<SnapshotId>, Condition> {
    let mut gone = Vec::new();
    for mut b in tx.read().children::<Backup>(of)? {
        let Some(held) = b.held.take() else { continue };
        tx.update(&mut b)?;
        let Some(mut s) = tx.read().find::<Snapshot>(Scope::All, held)? else { continue };
        // A backup that is being made drops what it has pinned by itself.
        if tx.read().children::<Pin>(held)?.is_empty() {
            s.life = life(s.life, LifeEvent::Remove).map_err(|r| r.about(Kind::Snapshot, &s.handle))?;
            tx.update(&mut s)?;
            gone.push(held);
        }
    }
    Ok(gone)
}

/// Bytes may be gone when it breaks off: undoing it leaves the backup in error, to be deleted again and never restored.
struct Remove;
impl JobStep for Remove {
    fn name(&self) -> &'static str {
        "remove"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let b: Option<Backup> = read(&*cx.world.meta, move |tx| tx.find(Scope::All, args.backup)).await?;
            let Some(b) = b else { return Ok(nothing()) };
            cx.world.copies.archive.remove(&b.place()).await?;
            let mut dropped = snapshots::remove(cx, b.held.into_iter().collect()).await?;
            let commit: Commit = Box::new(move |tx| {
                dropped(tx)?;
                for mut o in tx.read().children::<Backup>(b.volume)? {
                    if o.base == Some(b.id) {
                        o.base = b.base;
                        tx.update(&mut o)?;
                    }
                }
                tx.delete::<Backup>(b.id).map(|_| ())
            });
            Ok(commit)
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let why = cx.job.error.as_ref().map(Condition::to_string);
            let commit: Commit = Box::new(move |tx| {
                let Some(mut b) = tx.read().find::<Backup>(Scope::All, args.backup)? else { return Ok(()) };
                if b.state == BackupState::Deleting {
                    step(&mut b, BackupEvent::Broke)?;
                    b.fault = why.clone();
                    tx.update(&mut b)?;
                }
                Ok(())
            });
            Ok(commit)
        })
    }
}
