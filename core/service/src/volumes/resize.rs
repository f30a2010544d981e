//! Changing a volume's size.

use parpen_base::Boxed;
use parpen_block::{SessionInfo, Whom};
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{Life, When, Work};
use parpen_model::{Condition, Job, JobId, Kind, Scope, Volume, VolumeId, VolumeType, WriteTx, look, write};
use serde::{Deserialize, Serialize};

use super::core_size;
use crate::jobs::{Commit, JobStep, StepCx, plan};
use crate::quotas::{self, Need};
use crate::{Ports, Started, access, attachments, parts, types};

pub(crate) const KIND: &str = "volume-resize@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Resize];

/// What an API allows when it resizes.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResizeTerms {
    /// What lies beyond the new end may be lost.
    pub allow_shrink: bool,
    /// The volume must not be attached.
    pub require_detached: bool,
    /// Cut whoever has it open, when it shrinks.
    pub force: bool,
    /// A size that is not larger than the present one is a refusal.
    pub grow_only: bool,
    /// The states it is allowed from.
    pub when: When,
}

/// The size that is wanted, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewSize {
    /// This.
    To(u64),
    /// So much more than it has in the moment of the change.
    By(u64),
}

impl From<u64> for NewSize {
    fn from(bytes: u64) -> NewSize {
        NewSize::To(bytes)
    }
}

impl NewSize {
    fn of(self, now: u64) -> Result<u64, Condition> {
        match self {
            NewSize::To(bytes) => core_size(bytes),
            NewSize::By(more) => core_size(now.saturating_add(more)),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Args {
    volume: VolumeId,
    to: u64,
    force: bool,
}

/// Changes a volume's size.
pub async fn resize(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    size: impl Into<NewSize>,
    terms: ResizeTerms,
) -> Result<Started<Volume>, Condition> {
    let size = size.into();
    let open = ports.sessions.of(access::plain_export(id.into()));
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut v: Volume = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Write, Some(v.project))?;
        let job = begin(tx, &ports_in, &mut v, size, terms, &open)?;
        tx.update(&mut v)?;
        Ok((v, job))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// The size that a resizing job makes, in bytes.
pub(crate) fn target(job: &Job) -> Option<u64> {
    let args: Args = serde_json::from_value(job.args.clone()).ok().filter(|_| job.kind == KIND)?;
    Some(args.to)
}

/// What a new size changes at once in a volume that the caller stores; the job that is inserted does the rest.
pub(crate) fn begin(
    tx: &mut dyn WriteTx,
    ports: &Ports,
    v: &mut Volume,
    size: NewSize,
    terms: ResizeTerms,
    open: &[SessionInfo],
) -> Result<JobId, Condition> {
    let to = size.of(v.size)?;
    if terms.grow_only && to <= v.size {
        return Err(Condition::invalid("size", "it must be larger than the present size"));
    }
    terms.when.check(Kind::Volume, v.id, v.standing())?;
    at_rest(v)?;
    let shrinks = to < v.size;
    parts::refuse_frozen(tx.read(), v.pool)?;
    let kind = v.volume_type.map(|t| tx.read().get::<VolumeType>(Scope::All, t)).transpose()?;
    types::check_size(kind.as_ref(), to)?;
    quotas::admit(tx.read(), v.project, &Need::growth(v, to))?;
    if shrinks && !terms.allow_shrink {
        return Err(Condition::invalid("size", "it is smaller than the volume; shrinking loses data"));
    }
    let held = attachments::holders(tx.read(), v.id.into())?;
    if !held.is_empty() && (terms.require_detached || shrinks) {
        return Err(Condition::in_use(Kind::Volume, &v.handle, held));
    }
    if shrinks && !open.is_empty() && !terms.force {
        return Err(access::in_use_by(Kind::Volume, &v.handle, open));
    }
    v.work.push(Work::Resizing);
    let args = Args { volume: v.id, to, force: terms.force };
    let mut job = plan(ports, KIND, v.project, Some(v.id.into()), &args)?;
    tx.insert(&mut job)?;
    Ok(job.id)
}

/// Refuses while the volume is not ready or other work changes it.
pub(crate) fn at_rest(v: &Volume) -> Result<(), Condition> {
    let actual = match (v.life, v.work.first()) {
        (Life::Ready, None) => return Ok(()),
        (Life::Ready, Some(w)) => w.to_string(),
        (other, _) => other.to_string(),
    };
    let (what, name) = (Kind::Volume, v.handle.to_string());
    Err(Condition::WrongState { what, name, actual, wanted: "ready and at rest".into() })
}

/// Takes a kind of work off a volume that may be gone.
pub(crate) fn work_done(
    work: Work,
    id: VolumeId,
    mut also: impl FnMut(&mut Volume) + Send + 'static,
) -> Commit {
    Box::new(move |tx| {
        let Some(mut v) = tx.read().find::<Volume>(Scope::All, id)? else { return Ok(()) };
        v.work.retain(|w| *w != work);
        v.epoch += 1;
        also(&mut v);
        tx.update(&mut v)
    })
}

struct Resize;
impl JobStep for Resize {
    fn name(&self) -> &'static str {
        "resize"
    }
    fn no_way_back(&self) -> bool {
        true
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let v: Volume = look(&*cx.world.meta, move |tx| tx.get(Scope::All, args.volume)).await?;
            if args.to < v.size {
                let _fenced =
                    access::shut(&cx.world.gate, &*cx.world.meta, v.id.into(), Whom::Everyone, args.force)
                        .await?;
            }
            cx.world.store(v.pool).await?.resize(v.id, args.to).await?;
            let now = cx.world.clock.now();
            Ok(work_done(Work::Resizing, v.id, move |v| {
                v.size = args.to;
                v.stamp.updated = Some(now);
            }))
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            Ok(work_done(Work::Resizing, args.volume, |_| ()))
        })
    }
}
