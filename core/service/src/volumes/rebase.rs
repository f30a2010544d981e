//! Cutting a volume or snapshot off snapshots that it comes from, while it is used.

use std::time::Duration;

use parpen_base::Boxed;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{Life, Work};
use parpen_model::{
    Condition, Kind, Pool, ReadTx, Scope, Snapshot, SnapshotId, Subject, Volume, WriteTx, read, write,
};
use serde::{Deserialize, Serialize};

use super::resize::at_rest;
use crate::backends::cannot;
use crate::jobs::{Commit, JobStep, StepCx, plan};
use crate::{Ports, Started};

pub(crate) const KIND: &str = "volume-rebase@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Rebase];

/// Bytes of one step: between two of them those who use the disk come first.
const PIECE: u64 = 4 << 20;
/// Longest rest between two steps.
const REST_MAX: Duration = Duration::from_millis(200);

#[derive(Serialize, Deserialize)]
struct Args {
    what: Subject,
    onto: Option<SnapshotId>,
}

/// Cuts a volume or snapshot off everything between it and a snapshot that it comes from (`None`: off all). Its bytes
/// stay as they are, and whoever has it open notices nothing.
pub async fn rebase(
    ports: &Ports,
    actor: &Actor,
    what: Subject,
    onto: Option<SnapshotId>,
) -> Result<Started<()>, Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let (job, generation) = write(&*ports.meta, move |tx| {
        let project = match what {
            Subject::Volume(id) => {
                let mut v: Volume = tx.read().get(actor_in.scope, id)?;
                may(&actor_in, Power::Write, Some(v.project))?;
                at_rest(&v)?;
                check_above(tx.read(), v.parent, onto)?;
                v.work.push(Work::Rebasing);
                tx.update(&mut v)?;
                v.project
            }
            Subject::Snapshot(id) => {
                let s: Snapshot = tx.read().get(actor_in.scope, id)?;
                may(&actor_in, Power::Write, Some(s.project))?;
                if s.life != Life::Ready {
                    let (what, name) = (Kind::Snapshot, s.handle.to_string());
                    let actual = s.life.to_string();
                    return Err(Condition::WrongState { what, name, actual, wanted: "ready".into() });
                }
                check_above(tx.read(), s.parent, onto)?;
                s.project
            }
        };
        let mut job = plan(&ports_in, KIND, project, Some(what), &Args { what, onto })?;
        tx.insert(&mut job)?;
        Ok(job.id)
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now: (), job, generation })
}

/// Refuses what is no snapshot above the given parent.
fn check_above(
    tx: &dyn ReadTx,
    mut parent: Option<SnapshotId>,
    onto: Option<SnapshotId>,
) -> Result<(), Condition> {
    let Some(onto) = onto else { return Ok(()) };
    while let Some(id) = parent {
        if id == onto {
            return Ok(());
        }
        parent = tx.find::<Snapshot>(Scope::All, id)?.and_then(|s| s.parent);
    }
    Err(Condition::invalid("parent", "it is no snapshot that this comes from"))
}

struct Rebase;

impl Rebase {
    /// Takes the work off, and with `cut` notes the new parent.
    fn ended(tx: &mut dyn WriteTx, args: &Args, cut: bool) -> Result<(), Condition> {
        match args.what {
            Subject::Volume(id) => {
                let Some(mut v) = tx.read().find::<Volume>(Scope::All, id)? else { return Ok(()) };
                v.work.retain(|w| *w != Work::Rebasing);
                if cut {
                    v.parent = args.onto;
                }
                tx.update(&mut v)
            }
            Subject::Snapshot(id) => {
                let found = tx.read().find::<Snapshot>(Scope::All, id)?;
                let Some(mut s) = found.filter(|_| cut) else { return Ok(()) };
                s.parent = args.onto;
                tx.update(&mut s)
            }
        }
    }
}

impl JobStep for Rebase {
    fn name(&self) -> &'static str {
        "rebase"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let what = args.what;
            let pool: Pool = read(&*cx.world.meta, move |tx| crate::data::pool_of(tx, what)).await?;
            let store = cx.world.backends.of(&pool).await?;
            let lineage = store.lineage().ok_or_else(|| cannot(&pool))?;
            let all = lineage.figures(what).await?.shared;
            let mut copied = 0;
            loop {
                let began = cx.world.clock.steady();
                let step = lineage.rebase(what, args.onto, PIECE).await?;
                copied += step.copied;
                cx.progress(copied.min(all), all);
                if step.done {
                    break;
                }
                // As long a rest as the step took: at least half of the disk is the foreground's.
                let took = cx.world.clock.steady().saturating_sub(began);
                tokio::time::sleep(took.min(REST_MAX)).await;
            }
            let commit: Commit = Box::new(move |tx| Rebase::ended(tx, &args, true));
            Ok(commit)
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            // What was copied is no harm: the volume owns it, and the link is as it was.
            let commit: Commit = Box::new(move |tx| Rebase::ended(tx, &args, false));
            Ok(commit)
        })
    }
}
