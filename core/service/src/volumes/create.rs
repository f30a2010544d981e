//! Making a volume: blank, from a snapshot, or from another volume.

use parpen_base::Boxed;
use parpen_block::Rights;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{Health, Life, LifeEvent, Usage, When, life};
use parpen_model::ports::Made;
use parpen_model::{
    Attributes, Condition, GroupId, Handle, JobId, Kind, Label, NewBytes, Pin, PinId, Pool, PoolId,
    ProjectId, Scope, Snapshot, SnapshotId, Source, Stamp, Subject, Volume, VolumeId, VolumeType,
    VolumeTypeId, WantedLimits, WriteTx, look, write,
};
use serde::{Deserialize, Serialize};

use super::core_size;
use crate::jobs::{Commit, JobStep, StepCx, plan};
use crate::media::{WantedPlacement, place};
use crate::names::{self, Naming};
use crate::quotas::{self, Need};
use crate::{Ports, Started, data, groups, parts, seal, snapshots, types};

pub(crate) const KIND: &str = "volume-create@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Make, &DropSource];

/// What a new volume begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// Zeros.
    #[default]
    Blank,
    /// A snapshot's content.
    Snapshot(SnapshotId),
    /// A volume's content at this instant.
    Volume(VolumeId),
}

/// Where and by which policy.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The pool; absent: the type's, the placement group's, else `local`.
    pub pool: Option<PoolId>,
    /// The policy.
    pub volume_type: Option<VolumeTypeId>,
    /// Replicas.
    pub placement: WantedPlacement,
    /// Ceilings; absent parts are the type's.
    pub limits: WantedLimits,
}

/// A volume to be made.
#[derive(Clone, Debug, Default)]
pub struct NewVolume {
    /// Its id, where the caller needs to know it before; else one is drawn.
    pub id: Option<VolumeId>,
    /// Its names.
    pub naming: Naming,
    /// Bytes; absent: the type's size, else the source's.
    pub size: Option<u64>,
    /// What it begins with.
    pub from: From,
    /// Where.
    pub place: Place,
    /// Shared, attributes and what becomes of it when making it fails.
    pub options: Options,
}

/// The rest of what can be said of a new volume.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The project; absent: the actor's.
    pub project: Option<ProjectId>,
    /// More than one host may attach it.
    pub shared: bool,
    /// What the API keeps with it.
    pub attributes: Attributes,
    /// The group it belongs to from the beginning.
    pub group: Option<GroupId>,
    /// How the volume or snapshot that it is made from may stand.
    pub source: When,
    /// When making it fails, it stays and shows the error; else it leaves no trace.
    pub keep_failed: bool,
}

#[derive(Serialize, Deserialize)]
struct Args {
    volume: VolumeId,
    /// The snapshot whose bytes it gets.
    from: Option<SnapshotId>,
    /// The volume that this snapshot is to be taken of first, and dropped afterwards.
    via: Option<VolumeId>,
    keep_failed: bool,
    /// Why no pool takes it; then there is nothing to be made.
    #[serde(default)]
    refused: Option<Condition>,
}

/// Makes a volume. The answer shows it `creating`; the job makes its bytes.
pub async fn create(ports: &Ports, actor: &Actor, new: NewVolume) -> Result<Started<Volume>, Condition> {
    let project = new.options.project.unwrap_or(actor.project);
    may(actor, Power::Write, Some(project))?;
    names::check(&new.naming.name)?;
    if let Some(space) = &new.naming.own {
        names::check_in(space, &new.naming.name)?;
    }
    let id = new.id.unwrap_or_else(|| VolumeId(ports.entropy.uuid()));
    let via_id = SnapshotId(ports.entropy.uuid());
    let pin_id = PinId(ports.entropy.uuid());
    let (ports_in, scope, stamp) = (ports.clone(), actor.scope, Stamp::at(ports.clock.now()));
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut source = find_source(tx, scope, &new)?;
        let (mut volume, refused) = draft_to_show(tx, scope, id, project, &new, source.as_ref(), stamp)?;
        let mut via = None;
        if refused.is_some() {
            (volume.parent, source) = (None, None);
        } else if let From::Volume(of) = new.from {
            let mut snap = transient(tx, of, via_id, stamp)?;
            tx.insert(&mut snap)?;
            volume.parent = Some(snap.id);
            (via, source) = (Some(of), Some(snap));
        }
        quotas::admit(tx.read(), project, &Need::volume(&volume))?;
        tx.insert(&mut volume)?;
        let (from, keep_failed) = (source.map(|s| s.id), new.options.keep_failed);
        let args = Args { volume: id, from, via, keep_failed, refused };
        let mut job = plan(&ports_in, KIND, project, Some(id.into()), &args)?;
        tx.insert(&mut job)?;
        if let Some(snapshot) = args.from {
            tx.insert(&mut Pin { id: pin_id, snapshot, job: job.id, stamp })?;
        }
        Ok((volume, job))
    })
    .await?;
    let id = job.id;
    ports.jobs.begin(job);
    Ok(Started { now, job: id, generation })
}

/// The snapshot that the new volume grows from; for a volume source, what stands in for it until one is taken.
fn find_source(tx: &mut dyn WriteTx, scope: Scope, new: &NewVolume) -> Result<Option<Snapshot>, Condition> {
    let ready = |l: Life, kind, name: String| match l {
        Life::Ready => Ok(()),
        other => {
            Err(Condition::WrongState { what: kind, name, actual: other.to_string(), wanted: "ready".into() })
        }
    };
    let by_type = match new.place.volume_type {
        Some(t) if new.from == From::Blank => tx.read().get::<VolumeType>(Scope::All, t)?.parent,
        _ => None,
    };
    let id = match (new.from, by_type) {
        (From::Snapshot(s), _) => s,
        (From::Blank, Some(s)) => s,
        (From::Blank, None) => return Ok(None),
        (From::Volume(v), _) => {
            let v: Volume = tx.read().get(scope, v)?;
            new.options.source.check(Kind::Volume, v.id, v.standing())?;
            ready(v.life, Kind::Volume, v.handle.to_string())?;
            return Ok(None);
        }
    };
    let s: Snapshot = tx.read().get(scope, id)?;
    if matches!(new.from, From::Snapshot(_)) {
        new.options.source.check(Kind::Snapshot, s.id, s.standing())?;
    }
    ready(s.life, Kind::Snapshot, s.handle.to_string())?;
    Ok(Some(s))
}

/// The row of the new volume, with everything decided; refused when no pool takes it now.
pub(crate) fn draft(
    tx: &mut dyn WriteTx,
    scope: Scope,
    id: VolumeId,
    project: ProjectId,
    new: &NewVolume,
    source: Option<&Snapshot>,
    stamp: Stamp,
) -> Result<Volume, Condition> {
    let (volume, refused) = drafted(tx, scope, id, project, new, source, stamp)?;
    refused.map_or(Ok(volume), Err)
}

/// Like [`draft`], but what is to show its failure is not refused: its job is to end with the reason that is answered.
pub(crate) fn draft_to_show(
    tx: &mut dyn WriteTx,
    scope: Scope,
    id: VolumeId,
    project: ProjectId,
    new: &NewVolume,
    source: Option<&Snapshot>,
    stamp: Stamp,
) -> Result<(Volume, Option<Condition>), Condition> {
    let (volume, refused) = drafted(tx, scope, id, project, new, source, stamp)?;
    if let Some(group) = new.options.group {
        groups::take_in(tx.read(), scope, group, &volume)?;
    }
    match refused {
        Some(why) if !new.options.keep_failed => Err(why),
        other => Ok((volume, other)),
    }
}

/// The row of the new volume, and why no pool takes it now; then its row names the first choice of those that could.
fn drafted(
    tx: &mut dyn WriteTx,
    scope: Scope,
    id: VolumeId,
    project: ProjectId,
    new: &NewVolume,
    source: Option<&Snapshot>,
    stamp: Stamp,
) -> Result<(Volume, Option<Condition>), Condition> {
    if let Some(space) = &new.naming.own
        && names::find(tx.read(), Scope::All, space, &new.naming.name)?.is_some()
    {
        return Err(Condition::exists(Kind::Volume, &new.naming.name));
    }
    let of = match new.from {
        From::Volume(v) => Some(tx.read().get::<Volume>(scope, v)?),
        _ => None,
    };
    let kind = new.place.volume_type.map(|t| types::usable(tx.read(), scope, project, t)).transpose()?;
    let from_size = source.map(|s| s.size).or(of.as_ref().map(|v| v.size));
    let from_pool = source.map(|s| s.pool).or(of.as_ref().map(|v| v.pool));
    let (pool, placement, refused) = placed(tx, &new.place, kind.as_ref(), from_pool)?;
    if pool.life != Life::Ready {
        return Err(Condition::Unavailable(format!("the pool {:?} is {}", pool.name, pool.life)));
    }
    let size = new.size.or(kind.as_ref().and_then(|t| t.size)).or(from_size);
    let size =
        core_size(size.ok_or_else(|| Condition::invalid("size", "say how large the volume is to be"))?)?;
    if from_size.is_some_and(|s| s > size) {
        return Err(Condition::invalid("size", "it must be at least as large as what it is made from"));
    }
    let places = [pool.id.0, project.0];
    let handle = names::free_handle(tx.read(), &places, |n| Handle::from_name(&new.naming.name, id.0, n))?;
    types::check_size(kind.as_ref(), size)?;
    let demanded = types::limits_of(tx.read(), kind.as_ref())?;
    let from_key = source.and_then(|s| s.key.as_ref()).or(of.as_ref().and_then(|v| v.key.as_ref()));
    let key = seal::inherited(from_key, source.is_some() || of.is_some(), kind.as_ref())?;
    let volume = Volume {
        id,
        name: new.naming.name.clone(),
        aliases: names::aliases(&new.naming, handle.as_str()),
        handle,
        project,
        pool: pool.id,
        size,
        volume_type: kind.as_ref().map(|t| t.id),
        placement,
        limits: new.place.limits.over(demanded),
        readonly: false,
        shared: new.options.shared || kind.is_some_and(|t| t.rules.shared),
        parent: source.map(|s| s.id),
        made_from: match new.from {
            From::Volume(v) => Some(Subject::Volume(v)),
            _ => source.map(|s| Subject::Snapshot(s.id)),
        },
        life: Life::Creating,
        usage: Usage::Free,
        work: Vec::new(),
        health: Health::Up,
        declared: None,
        migration: None,
        group: new.options.group,
        hidden: Vec::new(),
        epoch: 1,
        key,
        attributes: new.options.attributes.clone(),
        fault: None,
        stamp,
    };
    Ok((volume, refused))
}

/// Pool and placement: what was asked for, else the type's, else the source's pool; and why it takes nothing now.
fn placed(
    tx: &mut dyn WriteTx,
    asked: &Place,
    kind: Option<&VolumeType>,
    from_pool: Option<PoolId>,
) -> Result<(Pool, parpen_model::Placement, Option<Condition>), Condition> {
    let want = WantedPlacement {
        all: asked.placement.all.clone().or(kind.and_then(|t| t.place_all.clone())),
        tail: asked.placement.tail.clone().or(kind.and_then(|t| t.place_tail.clone())),
        replication: asked.placement.replication.or(kind.and_then(|t| t.replication)),
    };
    let (demanded, missing) = match kind.map(|t| types::named_pool(tx.read(), t)) {
        Some(Err(why @ Condition::Invalid { .. })) => (None, Some(why)),
        other => (other.transpose()?.flatten().map(|p| p.id), None),
    };
    let pool = asked.pool.or(demanded).or(kind.and_then(|t| t.pool));
    let pool = if want.all.is_none() && want.tail.is_none() { pool.or(from_pool) } else { pool };
    let implied = pool.is_none() && want.all.is_none() && want.tail.is_none();
    let (mut at, mut placement) = place(tx.read(), pool, &want)?;
    if implied {
        let other = parts::instead_of(tx.read(), at)?;
        (at, placement) = place(tx.read(), Some(other.id), &want)?;
    }
    let open = parts::refuse_disabled(tx.read(), &at).and_then(|()| parts::refuse_frozen(tx.read(), at.id));
    let refused = match open {
        Err(why @ Condition::Invalid { .. }) => Some(why),
        other => other.map(|()| None)?,
    };
    Ok((at, placement, missing.or(refused)))
}

/// The service's own snapshot of a volume, for the time of a copy.
pub(crate) fn transient(
    tx: &mut dyn WriteTx,
    of: VolumeId,
    id: SnapshotId,
    stamp: Stamp,
) -> Result<Snapshot, Condition> {
    let v: Volume = tx.read().get(Scope::All, of)?;
    let mut s = snapshots::draft(tx.read(), &v, id, &Naming::default(), stamp)?;
    s.transient = true;
    s.auto_named = true;
    Ok(s)
}

struct Make;
impl JobStep for Make {
    fn name(&self) -> &'static str {
        "make"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            if let Some(why) = args.refused {
                return Err(why);
            }
            let mut taken = take_source(cx, &args).await?;
            let mut made = make(cx, args.volume, args.from).await?;
            let commit: Commit = Box::new(move |tx| {
                taken(tx)?;
                made(tx)
            });
            Ok(commit)
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let mut unmade = unmake(cx, args.volume, args.from, args.keep_failed).await?;
            let mut dropped = drop_source(cx).await.unwrap_or_else(|e| {
                tracing::warn!(id = %cx.job.id, error = ?e, "a copy's own snapshot stays for now");
                crate::jobs::nothing()
            });
            let commit: Commit = Box::new(move |tx| {
                unmade(tx)?;
                dropped(tx)
            });
            Ok(commit)
        })
    }
}

/// Takes the snapshot that stands in for a volume. Nobody needs it without what is made from it, so both have one commit.
async fn take_source(cx: &mut StepCx, args: &Args) -> Result<Commit, Condition> {
    let (Some(_), Some(id)) = (args.via, args.from) else { return Ok(crate::jobs::nothing()) };
    // Versions before this one took it in a step of its own.
    let life = look(&*cx.world.meta, move |tx| Ok(tx.get::<Snapshot>(Scope::All, id)?.life)).await?;
    if life == Life::Ready { Ok(crate::jobs::nothing()) } else { snapshots::take(cx, vec![id]).await }
}

/// Makes the bytes of a volume whose row is there; the commit makes it ready.
pub(crate) async fn make(
    cx: &mut StepCx,
    id: VolumeId,
    from: Option<SnapshotId>,
) -> Result<Commit, Condition> {
    let v = seal::ensure(&cx.world, id).await?;
    if v.life == Life::Ready {
        return Ok(crate::jobs::nothing());
    }
    let store = cx.world.store(v.pool).await?;
    let source = from.map_or(Source::Blank, Source::Snapshot);
    let label = Label::of_volume(&v);
    if store.create(v.id, &source, &NewBytes { size: v.size, placement: v.placement.clone() }, &label).await?
        == Made::CopyInto
    {
        let from = from.ok_or_else(|| Condition::internal("a blank volume needs no copy"))?;
        copy_in(cx, from, v.id).await?;
    }
    let job = cx.job.id;
    Ok(Box::new(move |tx| {
        let mut v: Volume = tx.read().get(Scope::All, id)?;
        v.life = life(v.life, LifeEvent::Made).map_err(|r| r.about(Kind::Volume, &v.handle))?;
        v.epoch += 1;
        unpin(tx, from, job)?;
        tx.update(&mut v)
    }))
}

/// Removes what was made of a volume; the commit removes its row, or keeps it to show the error.
pub(crate) async fn unmake(
    cx: &mut StepCx,
    id: VolumeId,
    from: Option<SnapshotId>,
    keep_failed: bool,
) -> Result<Commit, Condition> {
    let v: Option<Volume> = look(&*cx.world.meta, move |tx| tx.find(Scope::All, id)).await?;
    // What is ready is somebody's data, whatever else of the job failed.
    let Some(v) = v.filter(|v| v.life == Life::Creating) else { return Ok(crate::jobs::nothing()) };
    // A store that does not answer may still hold bytes of it: then the row stays, in error, to be deleted later.
    let removed = match cx.world.store(v.pool).await {
        Ok(store) => store.delete(v.id.into()).await,
        Err(e) => Err(e),
    };
    let keep = keep_failed || removed.is_err();
    let why = cx.job.error.as_ref().map(Condition::to_string);
    let job = cx.job.id;
    Ok(Box::new(move |tx| {
        unpin(tx, from, job)?;
        let Some(mut v) = tx.read().find::<Volume>(Scope::All, id)? else { return Ok(()) };
        if !keep {
            return tx.delete::<Volume>(v.id).map(|_| ());
        }
        v.life = life(v.life, LifeEvent::Broke).map_err(|r| r.about(Kind::Volume, &v.handle))?;
        v.fault = why.clone();
        tx.update(&mut v)
    }))
}

/// The job needs the snapshot no longer.
fn unpin(tx: &mut dyn WriteTx, snapshot: Option<SnapshotId>, job: JobId) -> Result<(), Condition> {
    let Some(snapshot) = snapshot else { return Ok(()) };
    for pin in tx.read().children::<Pin>(snapshot)?.into_iter().filter(|p| p.job == job) {
        tx.delete::<Pin>(pin.id)?;
    }
    Ok(())
}

/// Copies a snapshot's bytes into a volume of another pool, through the gate like everybody else.
async fn copy_in(cx: &mut StepCx, from: SnapshotId, to: VolumeId) -> Result<(), Condition> {
    let source = data::open_for_job(&cx.world, from.into(), Rights::ReadOnly).await?;
    let target = data::open_for_job(&cx.world, to.into(), Rights::ReadWrite).await?;
    data::copy(&source, &target, cx).await
}

struct DropSource;
impl JobStep for DropSource {
    fn name(&self) -> &'static str {
        "drop-source"
    }
    fn applies(&self, cx: &StepCx) -> Result<bool, Condition> {
        Ok(cx.args::<Args>()?.via.is_some())
    }
    fn no_way_back(&self) -> bool {
        true
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move { drop_source(cx).await })
    }
}

async fn drop_source(cx: &mut StepCx) -> Result<Commit, Condition> {
    let args: Args = cx.args()?;
    match (args.via, args.from) {
        (Some(_), Some(snap)) => snapshots::remove(cx, vec![snap]).await,
        _ => Ok(crate::jobs::nothing()),
    }
}
