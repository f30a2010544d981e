//! Pools: places for volumes.

use parpen_base::Boxed;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{Life, LifeEvent, life};
use parpen_model::{
    Attributes, BalanceVerb, Condition, DiskPlace, Driver, JobId, Kind, Pool, PoolId, Query, ReadTx, Scope,
    Service, Snapshot, Space, Stamp, Upkeep, Volume, check_pool_name, read, write,
};
use serde::{Deserialize, Serialize};

use crate::disks::media;
use crate::jobs::{Commit, JobStep, StepCx, nothing, plan};
use crate::volumes::ChangeAttributes;
use crate::{Ports, Started};

pub(crate) const KIND_CREATE: &str = "pool-create@1";
pub(crate) const STEPS_CREATE: &[&dyn JobStep] = &[&Make];
pub(crate) const KIND_DELETE: &str = "pool-delete@1";
pub(crate) const STEPS_DELETE: &[&dyn JobStep] = &[&Destroy];
pub(crate) const KIND_UPKEEP: &str = "pool-upkeep@1";
pub(crate) const STEPS_UPKEEP: &[&dyn JobStep] = &[&KeepUp];

/// A pool to be made.
#[derive(Clone, Debug)]
pub struct NewPool {
    /// Unique.
    pub name: String,
    /// What keeps the bytes.
    pub driver: Driver,
    /// Its disks; none named: a file below the data directory. Not for memory.
    pub disks: Vec<NewDisk>,
    /// How far it may grow, in bytes, all disks together; absent: what the media below allow.
    pub capacity: Option<u64>,
    /// Replicas of its volumes that ask for no number; absent: one.
    pub replication: Option<u8>,
    /// In words.
    pub description: String,
    /// What the API keeps with it.
    pub attributes: Attributes,
}

/// A disk to be taken.
#[derive(Clone, Debug, Default)]
pub struct NewDisk {
    /// A file or block device; absent: a file below the data directory.
    pub path: Option<String>,
    /// No moving parts; absent: what the medium below says.
    pub ssd: Option<bool>,
    /// In words.
    pub description: String,
}

impl NewDisk {
    /// The disk at `path`.
    pub fn at(path: impl Into<String>) -> NewDisk {
        NewDisk { path: Some(path.into()), ..NewDisk::default() }
    }
}

#[derive(Serialize, Deserialize)]
struct Args {
    pool: PoolId,
}

#[derive(Serialize, Deserialize)]
struct UpkeepArgs {
    pool: PoolId,
    /// Somebody asked just now that it be balanced.
    balance: bool,
}

/// Makes a pool; the job makes its store.
pub async fn create(ports: &Ports, actor: &Actor, new: NewPool) -> Result<Started<Pool>, Condition> {
    may(actor, Power::Operate, None)?;
    check_pool_name(&new.name)?;
    if new.driver == Driver::Memory && !new.disks.is_empty() {
        return Err(Condition::invalid("path", "a memory pool has no path"));
    }
    let places = places(ports, &new)?;
    let capacity = match new.driver {
        Driver::Local => places.iter().map(|d| d.capacity).sum(),
        Driver::Memory => ports.figures.capacity_for(new.driver, None, new.capacity, 1)?,
    };
    let replication = new.replication.unwrap_or(1);
    check_replication(replication, places.len())?;
    let (ports_in, project) = (ports.clone(), actor.project);
    let (id, stamp) = (PoolId(ports.entropy.uuid()), Stamp::at(ports.clock.now()));
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        if tx.read().named("pool", &new.name)?.is_some() {
            return Err(Condition::exists(Kind::Pool, &new.name));
        }
        let mut pool = Pool {
            id,
            name: new.name.clone(),
            driver: new.driver,
            disks: numbered(tx.read(), &places)?,
            spent: Vec::new(),
            capacity,
            replication,
            upkeep: Upkeep::default(),
            description: new.description.clone(),
            attributes: new.attributes.clone(),
            life: Life::Creating,
            fault: None,
            stamp,
        };
        tx.insert(&mut pool)?;
        let mut job = plan(&ports_in, KIND_CREATE, project, None, &Args { pool: id })?;
        tx.insert(&mut job)?;
        Ok((pool, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// Refuses a number of replicas that a pool with so many disks cannot have. A pool without disks of its own has one.
fn check_replication(replication: u8, disks: usize) -> Result<(), Condition> {
    if !(1..=3).contains(&replication) {
        return Err(Condition::invalid("replication", "replication is 1, 2 or 3"));
    }
    if usize::from(replication) > disks.max(1) {
        return Err(Condition::invalid(
            "replication",
            format!("replication {replication} needs as many disks; the pool has {disks}"),
        ));
    }
    Ok(())
}

/// Where the disks of a new pool will be; their numbers are not known yet.
fn places(ports: &Ports, new: &NewPool) -> Result<Vec<DiskPlace>, Condition> {
    if new.driver == Driver::Memory {
        return Ok(Vec::new());
    }
    let own = [NewDisk::default()];
    let wanted = if new.disks.is_empty() { &own[..] } else { &new.disks };
    let place = |(i, d): (usize, &NewDisk)| {
        let path = d.path.clone().unwrap_or_else(|| {
            let number = (wanted.len() > 1).then_some(i as u16 + 1);
            ports.figures.default_path(&new.name, number)
        });
        let share = new.capacity.map(|c| c / wanted.len() as u64);
        let capacity = ports.figures.capacity_for(new.driver, Some(&path), share, wanted.len() as u64)?;
        let ssd = d.ssd.unwrap_or_else(|| ports.figures.is_ssd(&path));
        Ok(DiskPlace { number: 0, path, capacity, ssd, description: d.description.clone(), ignored: false })
    };
    wanted.iter().enumerate().map(place).collect()
}

/// Gives each disk that has no number the lowest that none has yet, and refuses one that a pool has already.
pub(crate) fn numbered(tx: &dyn ReadTx, places: &[DiskPlace]) -> Result<Vec<DiskPlace>, Condition> {
    let pools = tx.list::<Pool>(Scope::All, &Query::default())?;
    let there: Vec<&DiskPlace> = pools.iter().flat_map(|p| &p.disks).collect();
    let mut given: Vec<DiskPlace> = Vec::new();
    for place in places {
        if there.iter().copied().chain(&given).any(|d| d.path == place.path) {
            return Err(Condition::exists(Kind::Disk, &place.path));
        }
        let spent = |n: &u16| pools.iter().any(|p| p.spent.contains(n));
        let used = |n: &u16| there.iter().copied().chain(&given).any(|d| d.number == *n) || spent(n);
        let lowest = || (1..4096).find(|n| !used(n));
        let number = match place.number {
            0 => lowest().ok_or_else(|| Condition::NoSpace("all 4095 disk numbers are in use".into()))?,
            n => n,
        };
        if let Some(other) = there.iter().find(|d| d.number == number) {
            return Err(Condition::Conflict(format!(
                "it is disk {number}, which is looked for at {}; bring it there, then say `parpen disk return {number}`",
                other.path
            )));
        }
        given.push(DiskPlace { number, ..place.clone() });
    }
    Ok(given)
}

/// All pools, the oldest first.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<Pool>, Condition> {
    may(actor, Power::Read, None)?;
    read(&*ports.meta, |tx| tx.list(Scope::All, &Query::default())).await
}

/// A pool by name or id.
pub async fn get(ports: &Ports, actor: &Actor, name: &str) -> Result<Pool, Condition> {
    may(actor, Power::Read, None)?;
    let name = name.to_string();
    read(&*ports.meta, move |tx| tx.get_text(Scope::All, "pool", &name)).await
}

/// Capacity and use of a pool.
pub async fn space(ports: &Ports, actor: &Actor, pool: &Pool) -> Result<Space, Condition> {
    may(actor, Power::Read, None)?;
    ports.figures.space(pool).await
}

/// What is changed of a pool; what is absent stays.
#[derive(Default)]
pub struct Edit {
    /// In words.
    pub description: Option<String>,
    /// Replicas of its next volumes that ask for no number.
    pub replication: Option<u8>,
    /// [`Upkeep::relocate`].
    pub relocate: Option<bool>,
    /// [`Upkeep::balance`].
    pub balance: Option<bool>,
    /// What the API keeps with it.
    pub attributes: Option<ChangeAttributes>,
}

/// Changes what is said of a pool and what it does. Where that is more than words there is a job, which answers when the
/// pool's store has heard it.
pub async fn edit(
    ports: &Ports,
    actor: &Actor,
    id: PoolId,
    mut edit: Edit,
) -> Result<(Pool, Option<JobId>), Condition> {
    may(actor, Power::Operate, None)?;
    let (ports_in, project, now) = (ports.clone(), actor.project, ports.clock.now());
    let ((pool, job), _) = write(&*ports.meta, move |tx| {
        let mut p: Pool = tx.read().get(Scope::All, id)?;
        if let Some(d) = &edit.description {
            p.description = d.clone();
        }
        if let Some(r) = edit.replication {
            check_replication(r, p.disks.len())?;
            p.replication = r;
        }
        if let Some(change) = &mut edit.attributes {
            change(&mut p.attributes);
        }
        let wishes = edit.relocate.is_some() || edit.balance.is_some();
        if wishes && p.disks.is_empty() {
            return Err(Condition::Unsupported(format!("pool {:?} has no disks of its own", p.name)));
        }
        p.upkeep.relocate = edit.relocate.unwrap_or(p.upkeep.relocate);
        p.upkeep.balance = edit.balance.unwrap_or(p.upkeep.balance);
        p.stamp.updated = Some(now);
        tx.update(&mut p)?;
        if !wishes {
            return Ok((p, None));
        }
        let args = UpkeepArgs { pool: id, balance: edit.balance == Some(true) };
        let mut job = plan(&ports_in, KIND_UPKEEP, project, None, &args)?;
        tx.insert(&mut job)?;
        Ok((p, Some(job.id)))
    })
    .await?;
    if let Some(job) = job {
        ports.jobs.begin(job);
    }
    Ok((pool, job))
}

/// Deletes an empty pool; the job removes its store.
pub async fn delete(ports: &Ports, actor: &Actor, id: PoolId) -> Result<Started<Pool>, Condition> {
    may(actor, Power::Operate, None)?;
    let (ports_in, project) = (ports.clone(), actor.project);
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut p: Pool = tx.read().get(Scope::All, id)?;
        let volumes = tx.read().children::<Volume>(id)?;
        let snapshots: Vec<Snapshot> = tx.read().list(Scope::All, &Query::default())?;
        let by: Vec<String> = volumes
            .iter()
            .map(|v| format!("volume {}", v.handle))
            .chain(snapshots.iter().filter(|s| s.pool == id).map(|s| format!("snapshot {}", s.handle)))
            .collect();
        if !by.is_empty() {
            return Err(Condition::in_use(Kind::Pool, &p.name, by));
        }
        p.life = life(p.life, LifeEvent::Remove).map_err(|r| r.about(Kind::Pool, &p.name))?;
        tx.update(&mut p)?;
        let mut job = plan(&ports_in, KIND_DELETE, project, None, &Args { pool: id })?;
        tx.insert(&mut job)?;
        Ok((p, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

async fn pool_of(cx: &StepCx) -> Result<Option<Pool>, Condition> {
    let args: Args = cx.args()?;
    read(&*cx.world.meta, move |tx| tx.find(Scope::All, args.pool)).await
}

struct Make;
impl JobStep for Make {
    fn name(&self) -> &'static str {
        "make"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let Some(pool) = pool_of(cx).await? else { return Ok(nothing()) };
            cx.world.backends.of(&pool).await?;
            let commit: Commit = Box::new(move |tx| {
                let mut p: Pool = tx.read().get(Scope::All, pool.id)?;
                p.life = life(p.life, LifeEvent::Made).map_err(|r| r.about(Kind::Pool, &p.name))?;
                tx.update(&mut p)
            });
            Ok(commit)
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        // A store that could not be made may be somebody else's disk: it is left alone, only the row goes.
        Box::pin(async move {
            let args: Args = cx.args()?;
            let commit: Commit = Box::new(move |tx| tx.delete::<Pool>(args.pool).map(|_| ()));
            Ok(commit)
        })
    }
}

struct Destroy;
impl JobStep for Destroy {
    fn name(&self) -> &'static str {
        "destroy"
    }
    fn no_way_back(&self) -> bool {
        true
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let Some(pool) = pool_of(cx).await? else { return Ok(nothing()) };
            cx.world.backends.destroy(&pool).await?;
            let commit: Commit = Box::new(move |tx| {
                for switched in tx.read().children::<Service>(pool.id)? {
                    tx.delete::<Service>(switched.id)?;
                }
                tx.delete::<Pool>(pool.id).map(|_| ())
            });
            Ok(commit)
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let why = cx.job.error.as_ref().map(Condition::to_string);
            let commit: Commit = Box::new(move |tx| {
                let Some(mut p) = tx.read().find::<Pool>(Scope::All, args.pool)? else { return Ok(()) };
                p.life = life(p.life, LifeEvent::Broke).map_err(|r| r.about(Kind::Pool, &p.name))?;
                p.fault = why.clone();
                tx.update(&mut p)
            });
            Ok(commit)
        })
    }
}

struct KeepUp;
impl JobStep for KeepUp {
    fn name(&self) -> &'static str {
        "keep-up"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: UpkeepArgs = cx.args()?;
            let row = async || read(&*cx.world.meta, move |tx| tx.find::<Pool>(Scope::All, args.pool)).await;
            let Some(mut pool) = row().await? else { return Ok(nothing()) };
            let store = cx.world.backends.of(&pool).await?;
            let disks = media(&*store)?;
            loop {
                disks.keep_up(pool.upkeep).await?;
                // Of two that were said one after the other the last one holds, whichever job comes last.
                match row().await? {
                    Some(now) if now.upkeep != pool.upkeep => pool = now,
                    _ => break,
                }
            }
            if args.balance && pool.upkeep.balance {
                let plan = disks.balance().await?;
                if plan.moves > 0 && !plan.running {
                    disks.rebalance(BalanceVerb::Commit).await?;
                }
            }
            Ok(nothing())
        })
    }
}
