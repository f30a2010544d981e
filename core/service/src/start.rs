//! Starting the core: what an earlier life left is put in order, the first pools are made, jobs run.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parpen_base::{Clock, Entropy};
use parpen_block::{Ceilings, Gate, Home, Timer};
use parpen_identity::Actor;
use parpen_model::lifecycle::{Life, LifeEvent, life};
use parpen_model::ports::{Drivers, MetaStore};
use parpen_model::{
    Attachment, Attributes, Backup, Condition, Driver, Found, Job, JobId, JobState, Label, Lock, Pin, Pool,
    Query, Scope, Snapshot, Stamp, Subject, Transfer, Volume, WriteTx, read, write,
};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::alarms::Alarms;
use crate::exports::Doors;
use crate::jobs::{Runner, World};
use crate::media::FIRST_POOL;
use crate::pools::{self, NewDisk, NewPool};
use crate::{Backends, Copies, HouseExports, Ports, images, restored, seal};

/// Time that passes on the control plane's runtime.
struct RuntimeTimer(Handle);

impl Timer for RuntimeTimer {
    fn after(&self, ms: u32, f: Box<dyn FnOnce() + Send>) {
        self.0.spawn(async move {
            tokio::time::sleep(Duration::from_millis(u64::from(ms))).await;
            f();
        });
    }
}

/// What the core is given by the binary.
pub struct Start {
    /// Rows.
    pub meta: Arc<dyn MetaStore>,
    /// Makes and opens stores.
    pub drivers: Arc<dyn Drivers>,
    /// Where copies outside the pools are kept.
    pub copies: Copies,
    /// Where queues of devices without a home of their own live.
    pub home: Arc<dyn Home>,
    /// The gate, which the binary keeps for its figures.
    pub gate: Gate,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Whether the rows are an older copy that was put back: see [`crate::restored`].
    pub restored: bool,
}

/// Puts rows in order and wires the core. The caller runs the runner; use cases answer as soon as it does.
pub async fn start(s: Start) -> Result<(Ports, HouseExports, Runner), Condition> {
    if s.restored {
        let now = s.clock.now();
        write(&*s.meta, move |tx| restored::settle(tx, now)).await?;
    }
    write(&*s.meta, forget_memory).await?;
    forget_uploads(&s).await?;
    let (entropy, now) = (s.entropy.clone(), s.clock.now());
    write(&*s.meta, move |tx| drop_left_overs(tx, &*entropy, now)).await?;
    write(&*s.meta, unpark).await?;
    let backends = Arc::new(Backends::new(s.drivers, s.copies.keys.clone()));
    let timer = Arc::new(RuntimeTimer(Handle::current()));
    let ceilings = Arc::new(Ceilings::new(s.clock.clone(), timer));
    let world = World {
        meta: s.meta.clone(),
        backends: backends.clone(),
        copies: s.copies.clone(),
        gate: s.gate.clone(),
        ceilings: ceilings.clone(),
        home: s.home.clone(),
        clock: s.clock.clone(),
        entropy: s.entropy.clone(),
    };
    seal::warn_of_loss(&world).await?;
    let (jobs, runner) = Runner::new(world);
    let doors =
        Doors { backends: backends.clone(), gate: s.gate.clone(), ceilings: ceilings.clone(), home: s.home };
    let exports = HouseExports::new(s.meta.clone(), doors, Handle::current());
    let ports = Ports {
        meta: s.meta,
        jobs,
        figures: backends,
        images: s.copies.images,
        sessions: Arc::new(s.gate),
        alarms: Alarms::default(),
        ceilings,
        clock: s.clock,
        entropy: s.entropy,
        origin: None,
    };
    Ok((ports, exports, runner))
}

/// Images whose bytes broke off with an earlier life wait for others. What came of them goes first: a death in between
/// finds the row as it was.
async fn forget_uploads(s: &Start) -> Result<(), Condition> {
    let broken = read(&*s.meta, |tx| images::broken(tx)).await?;
    for id in &broken {
        if let Err(error) = s.copies.images.remove(*id).await {
            tracing::warn!(image = %id, %error, "parts of an upload that broke off stay until the image gets its bytes");
        }
    }
    write(&*s.meta, move |tx| images::forget(tx, &broken)).await.map(|_| ())
}

/// A memory pool is empty after a restart: its rows leave, and so do the jobs about them.
fn forget_memory(tx: &mut dyn WriteTx) -> Result<(), Condition> {
    let every = Query::default();
    let pools: Vec<Pool> = tx.read().list(Scope::All, &every)?;
    let memory: HashSet<_> = pools.iter().filter(|p| p.driver == Driver::Memory).map(|p| p.id).collect();
    let mut gone: HashSet<Uuid> = HashSet::new();
    for v in tx.read().list::<Volume>(Scope::All, &every)?.into_iter().filter(|v| memory.contains(&v.pool)) {
        tx.delete::<Volume>(v.id)?;
        gone.insert(v.id.0);
    }
    for s in tx.read().list::<Snapshot>(Scope::All, &every)?.into_iter().filter(|s| memory.contains(&s.pool))
    {
        tx.delete::<Snapshot>(s.id)?;
        gone.insert(s.id.0);
    }
    for id in &gone {
        for a in tx.read().children::<Attachment>(*id)? {
            tx.delete::<Attachment>(a.id)?;
        }
        for l in tx.read().children::<Lock>(*id)? {
            tx.delete::<Lock>(l.id)?;
        }
        for p in tx.read().children::<Pin>(*id)? {
            tx.delete::<Pin>(p.id)?;
        }
        for t in tx.read().children::<Transfer>(*id)? {
            tx.delete::<Transfer>(t.id)?;
        }
    }
    for j in tx.read().list::<Job>(Scope::All, &every)? {
        if j.subject.map(Subject::uuid).is_some_and(|s| gone.contains(&s)) {
            tx.delete::<Job>(j.id)?;
        }
    }
    Ok(())
}

/// A parked job goes on in this life: what stopped it in the last one is no answer for those who wait now.
fn unpark(tx: &mut dyn WriteTx) -> Result<(), Condition> {
    let jobs = tx.read().list::<Job>(Scope::All, &Query::default())?;
    for mut job in jobs.into_iter().filter(|j| j.state == JobState::Running && j.error.is_some()) {
        job.error = None;
        tx.update(&mut job)?;
    }
    Ok(())
}

/// Pins and the service's own snapshots whose job is over or gone: the pins leave, the snapshots are deleted by a job.
fn drop_left_overs(
    tx: &mut dyn WriteTx,
    entropy: &dyn Entropy,
    now: jiff::Timestamp,
) -> Result<(), Condition> {
    let every = Query::default();
    let open: Vec<Job> =
        tx.read().list::<Job>(Scope::All, &every)?.into_iter().filter(|j| !j.is_final()).collect();
    for pin in tx.read().list::<Pin>(Scope::All, &every)? {
        if !open.iter().any(|j| j.id == pin.job) {
            tx.delete::<Pin>(pin.id)?;
        }
    }
    let backups = tx.read().list::<Backup>(Scope::All, &every)?;
    let held: HashSet<_> = backups.iter().filter_map(|b| b.held).collect();
    for mut s in tx.read().list::<Snapshot>(Scope::All, &every)?.into_iter().filter(|s| s.transient) {
        let id = s.id.to_string();
        if held.contains(&s.id) || open.iter().any(|j| j.args.to_string().contains(&id)) {
            continue;
        }
        // Whatever stood in the way of its maker, it ends through the same states as every other.
        for event in [LifeEvent::Broke, LifeEvent::Remove] {
            s.life = life(s.life, event).unwrap_or(s.life);
        }
        tx.update(&mut s)?;
        let mut job = crate::snapshots::removal(JobId(entropy.uuid()), &s, Stamp::at(now))?;
        tx.insert(&mut job)?;
    }
    Ok(())
}

/// The disks of the first pool: files, two that count as hard disks and one as a solid one, so that placement, replicas
/// and moving data can be tried at once.
fn first_disks() -> Vec<NewDisk> {
    let disk = |(ssd, description): (bool, &str)| NewDisk {
        path: None,
        ssd: Some(ssd),
        description: format!("a file, counted as {description}"),
    };
    [(false, "a hard disk"), (false, "a hard disk"), (true, "a solid-state disk")].map(disk).into()
}

/// Makes the first two pools of a fresh data directory: `local` on files, `dummy` in memory.
pub async fn first_pools(ports: &Ports, actor: &Actor) -> Result<(), Condition> {
    let there: Vec<Pool> = read(&*ports.meta, |tx| tx.list(Scope::All, &Query::default())).await?;
    if !there.is_empty() {
        return Ok(());
    }
    for (name, driver, description) in [
        (FIRST_POOL, Driver::Local, "the first pool, on files"),
        ("dummy", Driver::Memory, "in memory, empty after a restart"),
    ] {
        let new = NewPool {
            name: name.to_string(),
            driver,
            disks: if driver == Driver::Local { first_disks() } else { Vec::new() },
            capacity: None,
            replication: None,
            description: description.to_string(),
            attributes: Attributes::default(),
        };
        let started = pools::create(ports, actor, new).await?;
        ports.jobs.wait(started.job).await?;
    }
    Ok(())
}

/// Opens every pool now, so that a disk that cannot be opened is said at the start; its volumes stay unavailable.
pub async fn open_pools(ports: &Ports) {
    let pools = match read(&*ports.meta, |tx| tx.list::<Pool>(Scope::All, &Query::default())).await {
        Ok(pools) => pools,
        Err(e) => return tracing::error!(error = ?e, "the pools could not be listed"),
    };
    for pool in pools {
        match ports.figures.inventory(&pool).await {
            Ok(found) => {
                compare(ports, &pool, &found.iter().map(|f| f.subject.uuid()).collect()).await;
                renew_labels(ports, &pool, &found).await;
            }
            Err(e) => {
                tracing::error!(pool = pool.name, error = %e, "the pool could not be opened; its volumes are unavailable");
            }
        }
    }
}

/// Labels follow the rows; one that a crash or a store that was away left behind is renewed.
async fn renew_labels(ports: &Ports, pool: &Pool, found: &[Found]) {
    let held: HashMap<Uuid, Vec<u8>> = found.iter().map(|f| (f.subject.uuid(), f.label.clone())).collect();
    let id = pool.id;
    let stale = read(&*ports.meta, move |tx| {
        let every = Query::default();
        let volumes = tx.list::<Volume>(Scope::All, &every)?.into_iter().filter(|v| v.pool == id);
        let snapshots = tx.list::<Snapshot>(Scope::All, &every)?.into_iter().filter(|s| s.pool == id);
        let wanted = volumes.map(|v| Label::of_volume(&v)).chain(snapshots.map(|s| Label::of_snapshot(&s)));
        Ok(wanted.filter(|l| held.get(&l.id).is_some_and(|kept| *kept != l.to_bytes())).collect::<Vec<_>>())
    });
    let renewed = match stale.await {
        Ok(stale) => {
            let mut all = Ok(());
            for label in stale {
                all = all.and(ports.figures.relabel(id, label).await);
            }
            all
        }
        Err(e) => Err(e),
    };
    if let Err(error) = renewed {
        tracing::warn!(pool = pool.name, %error, "labels on disk are older than the rows; the next start renews them");
    }
}

/// Says when rows and disk do not agree, as after a database was restored from an older copy. Nothing is changed.
async fn compare(ports: &Ports, pool: &Pool, on_disk: &HashSet<Uuid>) {
    let id = pool.id;
    let rows = read(&*ports.meta, move |tx| {
        let every = Query::default();
        let ready = |life| life == Life::Ready;
        let volumes = tx.list::<Volume>(Scope::All, &every)?.into_iter().filter(|v| v.pool == id);
        let snapshots = tx.list::<Snapshot>(Scope::All, &every)?.into_iter().filter(|s| s.pool == id);
        let held = volumes.map(|v| (v.id.0, ready(v.life))).chain(snapshots.map(|s| (s.id.0, ready(s.life))));
        let quiet = tx.list::<Job>(Scope::All, &every)?.iter().all(Job::is_final);
        Ok((held.collect::<Vec<_>>(), quiet))
    });
    let Ok((held, true)) = rows.await else { return };
    let missing = held.iter().filter(|(id, ready)| *ready && !on_disk.contains(id)).count();
    let known: HashSet<Uuid> = held.iter().map(|(id, _)| *id).collect();
    let strange = on_disk.difference(&known).count();
    if missing + strange > 0 {
        tracing::error!(
            pool = pool.name,
            missing,
            strange,
            "database and disk do not agree: `parpen fsck` on the stopped data directory names each; was an older \
             meta.sqlite restored?"
        );
    }
}
