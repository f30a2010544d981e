//! Reading a whole backup to see that it can be restored.

use parpen_base::Boxed;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::BackupState;
use parpen_model::{Backup, BackupId, Condition, Kind, Scope, read, write};
use serde::{Deserialize, Serialize};

use crate::jobs::{Commit, JobStep, StepCx, plan};
use crate::{Ports, Started, data};

pub(crate) const KIND: &str = "backup-verify@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Verify];

#[derive(Serialize, Deserialize)]
struct Args {
    backup: BackupId,
}

/// Verifies a backup; the job fails where a byte of it is lost, and the backup then says so.
pub async fn verify(ports: &Ports, actor: &Actor, id: BackupId) -> Result<Started<Backup>, Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let b: Backup = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Write, Some(b.project))?;
        if !matches!(b.state, BackupState::Available | BackupState::Restoring) {
            let (what, name, actual) = (Kind::Backup, b.id.to_string(), b.state.to_string());
            return Err(Condition::WrongState { what, name, actual, wanted: "available".into() });
        }
        let mut job = plan(&ports_in, KIND, b.project, None, &Args { backup: id })?;
        tx.insert(&mut job)?;
        Ok((b, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// What was found stands in the row until the next look.
fn found(id: BackupId, fault: Option<String>) -> Commit {
    Box::new(move |tx| {
        let Some(mut b) = tx.read().find::<Backup>(Scope::All, id)? else { return Ok(()) };
        b.fault = fault.clone();
        tx.update(&mut b)
    })
}

struct Verify;
impl JobStep for Verify {
    fn name(&self) -> &'static str {
        "verify"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let b: Backup = read(&*cx.world.meta, move |tx| tx.get(Scope::All, args.backup)).await?;
            let progress = data::progress(cx, b.size);
            cx.world.copies.archive.verify(&b.place(), &progress).await?;
            Ok(found(args.backup, None))
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            match &cx.job.error {
                Some(why @ (Condition::DataLost(_) | Condition::NotFound { .. })) => {
                    Ok(found(args.backup, Some(why.to_string())))
                }
                _ => Ok(crate::jobs::nothing()),
            }
        })
    }
}
