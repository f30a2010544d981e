//! The disks of pools: taking more, moving data off them, letting them go, reading them through; and what they do in
//! the background.

use parpen_base::Boxed;
use parpen_identity::{Actor, Power, may};
use parpen_model::ports::{Media, VolumeBackend};
use parpen_model::{
    BalancePlan, BalanceVerb, Condition, Disk, DiskPlace, DiskState, DiskVerb, Kind, Pool, PoolId, Query,
    Scope, Task, WriteTx, read, write,
};
use serde::{Deserialize, Serialize};

use crate::jobs::{Commit, JobStep, StepCx, nothing, plan};
use crate::pools::{self, NewDisk};
use crate::{Ports, Started};

pub(crate) const KIND_ADD: &str = "disk-add@1";
pub(crate) const STEPS_ADD: &[&dyn JobStep] = &[&Join];
pub(crate) const KIND_CHANGE: &str = "disk-change@1";
pub(crate) const STEPS_CHANGE: &[&dyn JobStep] = &[&Change];
pub(crate) const KIND_BALANCE: &str = "pool-balance@1";
pub(crate) const STEPS_BALANCE: &[&dyn JobStep] = &[&Rebalance];

#[derive(Clone, Serialize, Deserialize)]
struct AddArgs {
    pool: PoolId,
    number: u16,
}

#[derive(Clone, Serialize, Deserialize)]
struct ChangeArgs {
    pool: PoolId,
    number: u16,
    verb: DiskVerb,
}

#[derive(Clone, Serialize, Deserialize)]
struct BalanceArgs {
    pool: PoolId,
    verb: BalanceVerb,
}

async fn all_pools(ports: &Ports) -> Result<Vec<Pool>, Condition> {
    read(&*ports.meta, |tx| tx.list::<Pool>(Scope::All, &Query::default())).await
}

/// All disks of all pools, by number.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<Disk>, Condition> {
    may(actor, Power::Read, None)?;
    let mut all = Vec::new();
    for pool in all_pools(ports).await?.iter() {
        all.extend(of_pool(ports, pool).await?);
    }
    all.sort_by_key(|d| d.id);
    Ok(all)
}

/// The disks of one pool, with what its row says of them.
pub(crate) async fn of_pool(ports: &Ports, pool: &Pool) -> Result<Vec<Disk>, Condition> {
    if pool.disks.is_empty() {
        return Ok(Vec::new());
    }
    let mut all = ports.figures.disks(pool).await?;
    for d in &mut all {
        if let Some(place) = pool.disks.iter().find(|p| p.number == d.id) {
            d.description = place.description.clone();
            d.ignored = place.ignored && !is_whole(d);
        }
    }
    Ok(all)
}

/// The disks that are away and waited for, and those that are brought up to date. A pool whose store does not answer has
/// all of its disks away.
pub async fn incomplete(ports: &Ports, actor: &Actor) -> Result<(Vec<u16>, Vec<u16>), Condition> {
    may(actor, Power::Read, None)?;
    let (mut away, mut behind) = (Vec::new(), Vec::new());
    for pool in all_pools(ports).await?.iter() {
        match of_pool(ports, pool).await {
            Ok(all) => {
                away.extend(all.iter().filter(|d| !d.state.is_there() && !d.ignored).map(|d| d.id));
                behind.extend(all.iter().filter(|d| d.state == DiskState::Resyncing).map(|d| d.id));
            }
            Err(error) => {
                tracing::warn!(pool = %pool.name, ?error, "a pool does not tell of its disks; all count as away");
                away.extend(pool.disks.iter().filter(|d| !d.ignored).map(|d| d.number));
            }
        }
    }
    Ok((away, behind))
}

/// Whether a disk serves and has everything: nobody misses it any more.
pub(crate) fn is_whole(d: &Disk) -> bool {
    d.state.is_there() && d.state != DiskState::Resyncing
}

/// One disk.
pub async fn get(ports: &Ports, actor: &Actor, number: u16) -> Result<Disk, Condition> {
    let all = list(ports, actor).await?;
    all.into_iter().find(|d| d.id == number).ok_or_else(|| unknown(number))
}

/// What all disks do in the background.
pub async fn tasks(ports: &Ports, actor: &Actor) -> Result<Vec<Task>, Condition> {
    may(actor, Power::Read, None)?;
    let mut all = Vec::new();
    for pool in all_pools(ports).await?.iter().filter(|p| !p.disks.is_empty()) {
        all.extend(ports.figures.tasks(pool).await?);
    }
    Ok(all)
}

/// The balancing plans of all pools that have one, with what each pool does by itself; makes none.
pub async fn planned(ports: &Ports, actor: &Actor) -> Result<Vec<(Pool, Option<BalancePlan>)>, Condition> {
    may(actor, Power::Read, None)?;
    let mut all = Vec::new();
    for pool in all_pools(ports).await?.into_iter().filter(|p| !p.disks.is_empty()) {
        let plan = ports.figures.planned(&pool).await?;
        all.push((pool, plan));
    }
    Ok(all)
}

/// What balancing a pool would do, or does.
pub async fn balance(ports: &Ports, actor: &Actor, pool: &Pool) -> Result<BalancePlan, Condition> {
    may(actor, Power::Read, None)?;
    ports.figures.balance(pool).await
}

fn unknown(number: u16) -> Condition {
    Condition::not_found(Kind::Disk, number)
}

/// The pool that has a disk.
fn owner(pools: Vec<Pool>, number: u16) -> Result<Pool, Condition> {
    pools.into_iter().find(|p| p.disks.iter().any(|d| d.number == number)).ok_or_else(|| unknown(number))
}

/// Gives a pool one more disk; the job formats it, or takes it back if it is one of the pool's that was away.
pub async fn add(
    ports: &Ports,
    actor: &Actor,
    pool: PoolId,
    new: NewDisk,
    capacity: Option<u64>,
) -> Result<Started<DiskPlace>, Condition> {
    may(actor, Power::Operate, None)?;
    let (ports_in, project) = (ports.clone(), actor.project);
    let known = known(ports, pool, new.path.as_deref()).await?;
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut p: Pool = tx.read().get(Scope::All, pool)?;
        if p.disks.is_empty() {
            return Err(Condition::Unsupported(format!("pool {:?} has no disks of its own", p.name)));
        }
        let numbers = p.disks.iter().map(|d| d.number).chain(p.spent.iter().copied());
        let next = numbers.max().unwrap_or_default() + 1;
        let path = new.path.clone().unwrap_or_else(|| ports_in.figures.default_path(&p.name, Some(next)));
        let capacity = ports_in.figures.capacity_for(p.driver, Some(&path), capacity, 1)?;
        let ssd = new.ssd.unwrap_or_else(|| ports_in.figures.is_ssd(&path));
        let wanted = DiskPlace {
            number: known.unwrap_or_default(),
            path,
            capacity,
            ssd,
            description: new.description.clone(),
            ignored: false,
        };
        let given = pools::numbered(tx.read(), &[wanted])?;
        p.disks.extend(given.iter().cloned());
        tx.update(&mut p)?;
        let place = given.into_iter().next().ok_or_else(|| Condition::internal("a disk was lost"))?;
        let args = AddArgs { pool, number: place.number };
        let mut job = plan(&ports_in, KIND_ADD, project, None, &args)?;
        tx.insert(&mut job)?;
        Ok((place, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// The number that the disk at a path has in a pool already: placements name it by that, so its row does, too.
async fn known(ports: &Ports, pool: PoolId, path: Option<&str>) -> Result<Option<u16>, Condition> {
    let Some(path) = path else { return Ok(None) };
    let pool: Pool = read(&*ports.meta, move |tx| tx.get(Scope::All, pool)).await?;
    ports.figures.knows(&pool, path).await
}

/// Does something with a disk; the job answers when the pool's store has taken it durably. Data that has to move for
/// it goes on moving afterwards: see [`tasks`].
pub async fn change(
    ports: &Ports,
    actor: &Actor,
    number: u16,
    verb: DiskVerb,
) -> Result<Started<()>, Condition> {
    may(actor, Power::Operate, None)?;
    let (ports_in, project) = (ports.clone(), actor.project);
    let (job, generation) = write(&*ports.meta, move |tx| {
        let pool = owner(tx.read().list(Scope::All, &Query::default())?, number)?.id;
        let mut job = plan(&ports_in, KIND_CHANGE, project, None, &ChangeArgs { pool, number, verb })?;
        tx.insert(&mut job)?;
        Ok(job.id)
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now: (), job, generation })
}

/// Says something else of a disk.
pub async fn describe(ports: &Ports, actor: &Actor, number: u16, text: &str) -> Result<(), Condition> {
    may(actor, Power::Operate, None)?;
    let text = text.to_string();
    write(&*ports.meta, move |tx| {
        let mut p = owner(tx.read().list(Scope::All, &Query::default())?, number)?;
        for d in p.disks.iter_mut().filter(|d| d.number == number) {
            d.description = text.clone();
        }
        tx.update(&mut p)
    })
    .await
    .map(|_| ())
}

/// Leaves a disk that cannot be reached out of what is counted and warned of, or counts it again. It is counted again by
/// itself when it has come back and has everything.
pub async fn ignore(ports: &Ports, actor: &Actor, number: u16, on: bool) -> Result<(), Condition> {
    may(actor, Power::Operate, None)?;
    let now = get(ports, actor, number).await?;
    if on && now.state.is_there() {
        return Err(Condition::Conflict(format!(
            "disk {number} is there and in use; only one that is away can be ignored: soft-eject it, or eject it first"
        )));
    }
    mark(ports, now.pool, vec![number], on).await
}

async fn mark(ports: &Ports, pool: PoolId, numbers: Vec<u16>, on: bool) -> Result<(), Condition> {
    write(&*ports.meta, move |tx| {
        let mut p: Pool = tx.read().get(Scope::All, pool)?;
        for d in p.disks.iter_mut().filter(|d| numbers.contains(&d.number)) {
            d.ignored = on;
        }
        tx.update(&mut p)
    })
    .await
    .map(|_| ())
}

/// Counts those disks again that were ignored and are whole.
pub(crate) async fn stop_ignoring_returned(
    ports: &Ports,
    pool: &Pool,
    disks: &[Disk],
) -> Result<(), Condition> {
    let back = |p: &&DiskPlace| p.ignored && disks.iter().any(|d| d.id == p.number && is_whole(d));
    let back: Vec<u16> = pool.disks.iter().filter(back).map(|p| p.number).collect();
    match back.is_empty() {
        true => Ok(()),
        false => mark(ports, pool.id, back, false).await,
    }
}

/// Begins or ends balancing a pool.
pub async fn rebalance(
    ports: &Ports,
    actor: &Actor,
    pool: PoolId,
    verb: BalanceVerb,
) -> Result<Started<()>, Condition> {
    may(actor, Power::Operate, None)?;
    let (ports_in, project) = (ports.clone(), actor.project);
    let (job, generation) = write(&*ports.meta, move |tx| {
        tx.read().get::<Pool>(Scope::All, pool)?;
        let mut job = plan(&ports_in, KIND_BALANCE, project, None, &BalanceArgs { pool, verb })?;
        tx.insert(&mut job)?;
        Ok(job.id)
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now: (), job, generation })
}

/// The disks of a store.
pub(crate) fn media(store: &dyn VolumeBackend) -> Result<&dyn Media, Condition> {
    store.media().ok_or_else(|| Condition::Unsupported("this pool has no disks of its own".into()))
}

/// Lets a pool's row say where its disks were found. One that leaves would take the path of another with it otherwise.
async fn follow(cx: &StepCx, pool: PoolId, found: Vec<DiskPlace>) -> Result<(), Condition> {
    let row: Pool = read(&*cx.world.meta, move |tx| tx.get(Scope::All, pool)).await?;
    let path = move |d: &DiskPlace| found.iter().find(|f| f.number == d.number).map(|f| f.path.clone());
    if row.disks.iter().all(|d| path(d).is_none_or(|p| p == d.path)) {
        return Ok(());
    }
    write(&*cx.world.meta, move |tx| {
        let mut p: Pool = tx.read().get(Scope::All, pool)?;
        for d in &mut p.disks {
            d.path = path(d).unwrap_or_else(|| d.path.clone());
        }
        tx.update(&mut p)
    })
    .await
    .map(|_| ())
}

/// Takes a disk out of its pool's row, and its number out of use if the store knew it.
fn leave(tx: &mut dyn WriteTx, pool: PoolId, number: u16, is_spent: bool) -> Result<(), Condition> {
    let Some(mut p) = tx.read().find::<Pool>(Scope::All, pool)? else { return Ok(()) };
    p.disks.retain(|d| d.number != number);
    if is_spent && !p.spent.contains(&number) {
        p.spent.push(number);
    }
    p.capacity = p.disks.iter().map(|d| d.capacity).sum();
    tx.update(&mut p)
}

struct Join;
impl JobStep for Join {
    fn name(&self) -> &'static str {
        "join"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: AddArgs = cx.args()?;
            let pool: Pool = read(&*cx.world.meta, move |tx| tx.get(Scope::All, args.pool)).await?;
            let place = pool.disks.iter().find(|d| d.number == args.number);
            let place = place.ok_or_else(|| unknown(args.number))?;
            let store = cx.world.backends.of(&pool).await?;
            media(&*store)?.add(place).await?;
            let commit: Commit = Box::new(move |tx| {
                let mut p: Pool = tx.read().get(Scope::All, args.pool)?;
                p.capacity = p.disks.iter().map(|d| d.capacity).sum();
                tx.update(&mut p)
            });
            Ok(commit)
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: AddArgs = cx.args()?;
            let commit: Commit = Box::new(move |tx| leave(tx, args.pool, args.number, false));
            Ok(commit)
        })
    }
}

struct Change;
impl JobStep for Change {
    fn name(&self) -> &'static str {
        "change"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: ChangeArgs = cx.args()?;
            let store = cx.world.store(args.pool).await?;
            let media = media(&*store)?;
            if args.verb.is_final() {
                follow(cx, args.pool, media.found()).await?;
            }
            media.change(args.number, args.verb).await?;
            if !args.verb.is_final() {
                return Ok(nothing());
            }
            let commit: Commit = Box::new(move |tx| leave(tx, args.pool, args.number, true));
            Ok(commit)
        })
    }
}

struct Rebalance;
impl JobStep for Rebalance {
    fn name(&self) -> &'static str {
        "rebalance"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: BalanceArgs = cx.args()?;
            let store = cx.world.store(args.pool).await?;
            media(&*store)?.rebalance(args.verb).await?;
            Ok(nothing())
        })
    }
}
