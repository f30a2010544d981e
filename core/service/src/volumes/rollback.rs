//! Putting a volume back to one of its snapshots.

use parpen_base::Boxed;
use parpen_block::Whom;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{Life, When, Work};
use parpen_model::{Condition, Kind, Scope, Snapshot, SnapshotId, Volume, VolumeId, read, write};
use serde::{Deserialize, Serialize};

use super::resize::{at_rest, work_done};
use crate::jobs::{Commit, JobStep, StepCx, plan};
use crate::{Ports, Started, access, attachments, parts};

pub(crate) const KIND: &str = "volume-rollback@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Rollback];

/// What an API allows when it rolls back.
#[derive(Clone, Copy, Debug, Default)]
pub struct RollbackTerms {
    /// Only the newest snapshot will do.
    pub only_latest: bool,
    /// Cut whoever has it open.
    pub force: bool,
    /// The host that asks, where the side names one: its own lock is no hindrance.
    pub host: Option<parpen_model::HostId>,
    /// A lock is no reason to refuse.
    pub ignore_lock: bool,
    /// The snapshot must have the volume's present size.
    pub same_size: bool,
    /// The states it is allowed from.
    pub when: When,
}

#[derive(Serialize, Deserialize)]
struct Args {
    volume: VolumeId,
    to: SnapshotId,
    force: bool,
}

/// Makes the volume's content and size those of the snapshot, which stays.
pub async fn rollback(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    to: SnapshotId,
    terms: RollbackTerms,
) -> Result<Started<Volume>, Condition> {
    let open = ports.sessions.of(access::plain_export(id.into()));
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut v: Volume = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Write, Some(v.project))?;
        parts::refuse_frozen(tx.read(), v.pool)?;
        let all = tx.read().children::<Snapshot>(id)?;
        let mut ready = all.iter().filter(|s| s.life == Life::Ready && !s.transient);
        let Some(s) = all.iter().find(|s| s.id == to && s.life == Life::Ready) else {
            return Err(Condition::not_found(Kind::Snapshot, to));
        };
        if terms.only_latest && ready.next_back().is_some_and(|newest| newest.id != s.id) {
            return Err(Condition::invalid("snapshot", "only the newest snapshot can be gone back to here"));
        }
        if terms.same_size && s.size != v.size {
            return Err(Condition::invalid("size", "the volume has another size than the snapshot"));
        }
        terms.when.check(Kind::Volume, v.id, v.standing())?;
        terms.when.check(Kind::Snapshot, s.id, s.standing())?;
        at_rest(&v)?;
        if !terms.ignore_lock {
            access::check_lock(tx.read(), &v, terms.host.map(Into::into))?;
        }
        let held = attachments::holders(tx.read(), id.into())?;
        if !held.is_empty() {
            return Err(Condition::in_use(Kind::Volume, &v.handle, held));
        }
        if !open.is_empty() && !terms.force {
            return Err(access::in_use_by(Kind::Volume, &v.handle, &open));
        }
        v.work.push(Work::RollingBack);
        v.epoch += 1;
        tx.update(&mut v)?;
        let args = Args { volume: id, to, force: terms.force };
        let mut job = plan(&ports_in, KIND, v.project, Some(id.into()), &args)?;
        tx.insert(&mut job)?;
        Ok((v, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

struct Rollback;
impl JobStep for Rollback {
    fn name(&self) -> &'static str {
        "rollback"
    }
    fn no_way_back(&self) -> bool {
        true
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let (v, s) = read(&*cx.world.meta, move |tx| {
                Ok((tx.get::<Volume>(Scope::All, args.volume)?, tx.get::<Snapshot>(Scope::All, args.to)?))
            })
            .await?;
            let _fenced =
                access::shut(&cx.world.gate, &*cx.world.meta, v.id.into(), Whom::Everyone, args.force)
                    .await?;
            let store = cx.world.store(v.pool).await?;
            let Some(rollback) = store.rollback() else {
                return Err(Condition::Unsupported(
                    "this pool cannot put a volume back to a snapshot".into(),
                ));
            };
            rollback.rollback(v.id, s.id).await?;
            let now = cx.world.clock.now();
            Ok(work_done(Work::RollingBack, v.id, move |v| {
                v.size = s.size;
                v.parent = Some(s.id);
                v.stamp.updated = Some(now);
            }))
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            Ok(work_done(Work::RollingBack, args.volume, |_| ()))
        })
    }
}
