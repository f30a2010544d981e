//! Moving a volume to another pool while it is in use.
//!
//! The bytes are copied while writes go on; what they change is noted by the volume's route and copied again, in rounds
//! that get shorter. For the last round the exports are held: nothing is in flight, the target gets the rest and is
//! flushed, the row names the other pool, and the route leads there. Sessions go on without noticing. A crash before the
//! row was changed leaves the volume where it was, one after it where it went; the job then removes the other copy.

use parpen_base::Boxed;
use parpen_block::{Rights, Route, Whom, copy_ranges};
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{Declaration, Life, Migration, Standing, When, Work, declare};
use parpen_model::{
    Backup, Condition, Kind, Label, Limits, NewBytes, Pin, Pool, PoolId, ReadTx, Scope, Snapshot, SnapshotId,
    Source, Volume, VolumeId, VolumeTypeId, WriteTx, read, write,
};
use serde::{Deserialize, Serialize};

use super::resize::at_rest;
use crate::data::{self, JobSession, Way};
use crate::jobs::{Commit, JobStep, StepCx, nothing, plan};
use crate::media::{WantedPlacement, place};
use crate::{Ports, Started, access, backups, parts, snapshots};

pub(crate) const KIND: &str = "volume-move@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&MakeTarget, &Move, &DropOld];

/// The states from which a volume can be moved.
const MOVABLE: When = When::Only(&[Standing::Free, Standing::Attached]);
/// Rounds of copying what was changed meanwhile, before the exports are held.
const ROUNDS: usize = 8;
/// With so little left to copy, in bytes, the exports may be held.
const LITTLE: u64 = 16 << 20;

/// How a volume is moved.
#[derive(Clone, Copy, Debug, Default)]
pub struct MoveTerms {
    /// Nobody may work with it meanwhile, if nobody does now.
    pub shelve: bool,
}

/// What changes with the type when a volume has arrived.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct NewType {
    pub(crate) volume_type: Option<VolumeTypeId>,
    pub(crate) shared: bool,
    pub(crate) limits: Limits,
}

#[derive(Serialize, Deserialize)]
struct Args {
    volume: VolumeId,
    from: PoolId,
    to: PoolId,
    retype: Option<NewType>,
    /// The service's own, which go with the old copy.
    #[serde(default)]
    snapshots: Vec<SnapshotId>,
}

/// Moves a volume to another pool.
pub async fn migrate(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    to: PoolId,
    terms: MoveTerms,
) -> Result<Started<Volume>, Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut v: Volume = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Operate, Some(v.project))?;
        MOVABLE.check(Kind::Volume, v.id, v.standing())?;
        if terms.shelve && v.standing() == Standing::Free {
            v.declared = declare(v.standing(), Declaration::Shelve).map_err(|r| r.about(Kind::Volume, id))?;
        }
        let job = begin(tx, &ports_in, &mut v, to, None)?;
        Ok((v, job))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// Marks a volume as moving and plans the job, if it may be moved.
pub(crate) fn begin(
    tx: &mut dyn WriteTx,
    ports: &Ports,
    v: &mut Volume,
    to: PoolId,
    retype: Option<NewType>,
) -> Result<parpen_model::JobId, Condition> {
    at_rest(v)?;
    if v.migration.is_some_and(Migration::is_under_way) {
        return Err(Condition::in_use(Kind::Volume, &v.handle, vec!["a move that is under way".into()]));
    }
    if v.group.is_some() {
        return Err(Condition::in_use(Kind::Volume, &v.handle, vec!["its group".into()]));
    }
    refuse_snapshots(tx.read(), v)?;
    if to == v.pool {
        return Err(Condition::invalid("pool", "the volume lives there already"));
    }
    let pool: Pool = tx.read().get(Scope::All, to)?;
    if pool.life != Life::Ready {
        return Err(Condition::Unavailable(format!("the pool {:?} is {}", pool.name, pool.life)));
    }
    parts::refuse_disabled(tx.read(), &pool)?;
    parts::refuse_frozen(tx.read(), pool.id)?;
    parts::refuse_frozen(tx.read(), v.pool)?;
    v.work.push(Work::Moving);
    v.migration = Some(Migration::Starting);
    tx.update(v)?;
    let args = Args { volume: v.id, from: v.pool, to, retype, snapshots: backups::let_go(tx, v.id)? };
    let mut job = plan(ports, KIND, v.project, Some(v.id.into()), &args)?;
    tx.insert(&mut job)?;
    Ok(job.id)
}

/// Snapshots stay where they are, so a volume that has any does too. Those that its backups keep for the next ones are
/// no reason: nobody sees them, and the backups do without.
fn refuse_snapshots(tx: &dyn ReadTx, v: &Volume) -> Result<(), Condition> {
    let kept: Vec<_> = tx.children::<Backup>(v.id)?.into_iter().filter_map(|b| b.held).collect();
    let mut by = Vec::new();
    for s in tx.children::<Snapshot>(v.id)? {
        if !s.transient || !kept.contains(&s.id) || !tx.children::<Pin>(s.id)?.is_empty() {
            by.push(format!("snapshot {}", s.handle));
        }
    }
    if by.is_empty() { Ok(()) } else { Err(Condition::in_use(Kind::Volume, &v.handle, by)) }
}

/// Takes the marks of a move off a volume that may be gone.
fn over(id: VolumeId, how: Migration) -> Commit {
    Box::new(move |tx| {
        let Some(mut v) = tx.read().find::<Volume>(Scope::All, id)? else { return Ok(()) };
        v.work.retain(|w| *w != Work::Moving);
        v.migration = Some(how);
        v.declared = v.declared.filter(|d| !matches!(d, Standing::Maintenance | Standing::Retyping));
        tx.update(&mut v)
    })
}

async fn row(cx: &StepCx, id: VolumeId) -> Result<Volume, Condition> {
    read(&*cx.world.meta, move |tx| tx.get(Scope::All, id)).await
}

struct MakeTarget;
impl JobStep for MakeTarget {
    fn name(&self) -> &'static str {
        "make-target"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let v = row(cx, args.volume).await?;
            let store = cx.world.store(args.to).await?;
            store
                .create(
                    v.id,
                    &Source::Blank,
                    &NewBytes { size: v.size, placement: v.placement.clone() },
                    &Label::of_volume(&v),
                )
                .await?;
            let commit: Commit = Box::new(move |tx| {
                let mut v: Volume = tx.read().get(Scope::All, args.volume)?;
                v.migration = Some(Migration::Migrating);
                tx.update(&mut v)
            });
            Ok(commit)
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let v = row(cx, args.volume).await?;
            // Once the row names the new place, the copy that goes is the old one.
            let (gone, how) =
                if v.pool == args.to { (args.from, Migration::Success) } else { (args.to, Migration::Error) };
            if let Err(e) = async { cx.world.store(gone).await?.delete(v.id.into()).await }.await {
                tracing::warn!(volume = %v.id, pool = %gone, error = ?e, "a copy could not be removed");
            }
            let mut ended = over(v.id, how);
            // Nobody keeps them any more; the next start removes what is left of the service's own.
            let commit: Commit = Box::new(move |tx| {
                args.snapshots.iter().try_for_each(|s| snapshots::spare(tx, *s))?;
                ended(tx)
            });
            Ok(commit)
        })
    }
}

struct Move;
impl JobStep for Move {
    fn name(&self) -> &'static str {
        "move"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let id = args.volume;
            let v = row(cx, id).await?;
            // The row is changed within this step: found so, a former life did it.
            if v.pool == args.to {
                return Ok(nothing());
            }
            let Way::Routed(route) = data::bytes(&*cx.world.meta, &cx.world.backends, id.into()).await?.way
            else {
                return Err(Condition::internal("a volume without a route"));
            };
            route.track();
            let moved = shift(cx, &route, args).await;
            route.untrack();
            moved?;
            Ok(nothing())
        })
    }
}

/// Both ends of a move.
struct Ends {
    source: JobSession,
    target: JobSession,
}

impl Ends {
    async fn open(cx: &StepCx, args: &Args) -> Result<Ends, Condition> {
        let (from, to) = (args.from, args.to);
        let (from, to) = read(&*cx.world.meta, move |tx| {
            Ok((tx.get::<Pool>(Scope::All, from)?, tx.get::<Pool>(Scope::All, to)?))
        })
        .await?;
        let id = args.volume.into();
        Ok(Ends {
            source: data::open_in(&cx.world, &from, id, Rights::ReadOnly).await?,
            target: data::open_in(&cx.world, &to, id, Rights::ReadWrite).await?,
        })
    }

    /// Copies what was changed since the last round; answers how many bytes that were.
    async fn round(&self, route: &Route) -> Result<u64, Condition> {
        let changes = route.take_changes();
        copy_ranges(self.source.opened()?, self.target.opened()?, &changes).await?;
        Ok(changes.iter().map(|(_, len)| len).sum())
    }
}

async fn shift(cx: &mut StepCx, route: &Route, args: Args) -> Result<(), Condition> {
    let ends = Ends::open(cx, &args).await?;
    data::copy(&ends.source, &ends.target, cx).await?;
    for _ in 0..ROUNDS {
        if ends.round(route).await? <= LITTLE {
            break;
        }
    }
    switch(cx, route, &ends, args).await
}

/// The last round and the change of place, while nobody's request is in flight.
async fn switch(cx: &StepCx, route: &Route, ends: &Ends, args: Args) -> Result<(), Condition> {
    let (world, id) = (&cx.world, args.volume);
    let to = args.to;
    let pool: Pool = read(&*world.meta, move |tx| tx.get(Scope::All, to)).await?;
    let device = data::device(&world.backends, &pool, id.into()).await?;
    let frozen = route.freeze();
    let exports = read(&*world.meta, move |tx| data::exports_of(tx, id)).await?;
    let follow = route.can_lead(&*device);
    let held = if follow {
        Some(world.gate.hold(&exports, u32::MAX, &data::Never).await?)
    } else {
        for export in &exports {
            let _proof = world.gate.cut(*export, Whom::Everyone).await;
        }
        None
    };
    let switched = async {
        ends.round(route).await?;
        write(&*world.meta, move |tx| arrive(tx, &args)).await
    }
    .await;
    if switched.is_ok() {
        route.lead(device);
    }
    drop(held);
    drop(frozen);
    if !follow {
        access::republish(&world.gate, &*world.meta, id.into()).await?;
    }
    let ((), generation) = switched?;
    world.backends.at_generation(generation).await;
    Ok(())
}

/// The row names the new place.
fn arrive(tx: &mut dyn WriteTx, args: &Args) -> Result<(), Condition> {
    let mut v: Volume = tx.read().get(Scope::All, args.volume)?;
    if let Some(new) = args.retype {
        (v.volume_type, v.shared, v.limits) = (new.volume_type, new.shared, new.limits);
    }
    let want = WantedPlacement { replication: Some(v.placement.replication), ..WantedPlacement::default() };
    let (pool, placement) = place(tx.read(), Some(args.to), &want)?;
    v.pool = pool.id;
    v.placement = placement;
    v.migration = Some(Migration::Completing);
    tx.update(&mut v)
}

struct DropOld;
impl JobStep for DropOld {
    fn name(&self) -> &'static str {
        "drop-old"
    }
    fn no_way_back(&self) -> bool {
        true
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            cx.world.store(args.from).await?.delete(args.volume.into()).await?;
            let (mut dropped, mut ended) =
                (snapshots::remove(cx, args.snapshots).await?, over(args.volume, Migration::Success));
            let commit: Commit = Box::new(move |tx| {
                dropped(tx)?;
                ended(tx)
            });
            Ok(commit)
        })
    }
}
