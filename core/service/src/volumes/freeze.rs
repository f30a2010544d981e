//! Turning a volume into a snapshot of the same name.

use parpen_base::Boxed;
use parpen_block::Whom;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{Health, Life, Work};
use parpen_model::{
    Condition, Kind, Label, Lock, Pool, Scope, Snapshot, SnapshotId, Stamp, Volume, VolumeId, read, write,
};
use serde::{Deserialize, Serialize};

use super::resize::{at_rest, work_done};
use crate::backends::cannot;
use crate::jobs::{Commit, JobStep, StepCx, nothing, plan};
use crate::{Ports, Started, access, attachments};

pub(crate) const KIND: &str = "volume-freeze@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Freeze];

#[derive(Serialize, Deserialize)]
struct Args {
    volume: VolumeId,
    snapshot: SnapshotId,
    force: bool,
}

/// Makes a volume a snapshot, which has its names and bytes; nobody can write them any more. With `force` whoever has
/// it open is cut.
pub async fn freeze(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    force: bool,
) -> Result<Started<Volume>, Condition> {
    let open = ports.sessions.of(access::plain_export(id.into()));
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut v: Volume = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Write, Some(v.project))?;
        at_rest(&v)?;
        access::check_lock(tx.read(), &v, None)?;
        let held = attachments::holders(tx.read(), id.into())?;
        if !held.is_empty() {
            return Err(Condition::in_use(Kind::Volume, &v.handle, held));
        }
        if !open.is_empty() && !force {
            return Err(access::in_use_by(Kind::Volume, &v.handle, &open));
        }
        v.work.push(Work::Freezing);
        v.epoch += 1;
        tx.update(&mut v)?;
        let args = Args { volume: id, snapshot: SnapshotId(ports_in.entropy.uuid()), force };
        let mut job = plan(&ports_in, KIND, v.project, Some(id.into()), &args)?;
        tx.insert(&mut job)?;
        Ok((v, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// The row that takes the volume's place.
fn frozen(v: &Volume, id: SnapshotId, stamp: Stamp) -> Snapshot {
    Snapshot {
        id,
        name: v.name.clone(),
        handle: v.handle.clone(),
        aliases: v.aliases.clone(),
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
        key: v.key.clone(),
        hidden: v.hidden.clone(),
        declared: None,
        group_snapshot: None,
        life: Life::Ready,
        health: Health::Up,
        attributes: v.attributes.clone(),
        fault: None,
        stamp,
    }
}

struct Freeze;
impl JobStep for Freeze {
    fn name(&self) -> &'static str {
        "freeze"
    }
    fn no_way_back(&self) -> bool {
        true
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let found = read(&*cx.world.meta, move |tx| {
                let v = tx.find::<Volume>(Scope::All, args.volume)?;
                v.map(|v| Ok((tx.get::<Pool>(Scope::All, v.pool)?, v))).transpose()
            })
            .await?;
            let Some((pool, v)) = found else { return Ok(nothing()) };
            let _fenced =
                access::shut(&cx.world.gate, &*cx.world.meta, v.id.into(), Whom::Everyone, args.force)
                    .await?;
            let store = cx.world.backends.of(&pool).await?;
            let lineage = store.lineage().ok_or_else(|| cannot(&pool))?;
            let s = frozen(&v, args.snapshot, Stamp::at(cx.world.clock.now()));
            lineage.freeze(v.id, s.id, &Label::of_snapshot(&s)).await?;
            cx.world.gate.forget(access::plain_export(v.id.into()));
            let commit: Commit = Box::new(move |tx| {
                for l in tx.read().children::<Lock>(v.id)? {
                    tx.delete::<Lock>(l.id)?;
                }
                // The names go from one to the other.
                tx.delete::<Volume>(v.id)?;
                tx.insert(&mut s.clone())
            });
            Ok(commit)
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            Ok(work_done(Work::Freezing, args.volume, |_| ()))
        })
    }
}
