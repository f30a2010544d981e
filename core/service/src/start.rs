//! Starting the core: what an earlier life left is put in order, the first pools are made, jobs run.

use std::collections::HashSet;
use std::sync::Arc;

use parpen_base::{Clock, Entropy};
use parpen_block::{Gate, Home};
use parpen_identity::Actor;
use parpen_model::ports::{Drivers, MetaStore};
use parpen_model::{
    Attachment, Attributes, Condition, Driver, Job, Lock, Pin, Pool, Query, Scope, Snapshot, Subject, Volume,
    WriteTx, read, write,
};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::exports::Doors;
use crate::jobs::{Runner, World};
use crate::media::FIRST_POOL;
use crate::pools::{self, NewPool};
use crate::{Backends, HouseExports, Ports};

/// What the core is given by the binary.
pub struct Start {
    /// Rows.
    pub meta: Arc<dyn MetaStore>,
    /// Makes and opens stores.
    pub drivers: Arc<dyn Drivers>,
    /// Where queues of devices without a home of their own live.
    pub home: Arc<dyn Home>,
    /// The gate, which the binary keeps for its figures.
    pub gate: Gate,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Puts rows in order and wires the core. The caller runs the runner; use cases answer as soon as it does.
pub async fn start(s: Start) -> Result<(Ports, HouseExports, Runner), Condition> {
    write(&*s.meta, forget_memory).await?;
    let backends = Arc::new(Backends::new(s.drivers));
    let world = World {
        meta: s.meta.clone(),
        backends: backends.clone(),
        gate: s.gate.clone(),
        home: s.home.clone(),
        clock: s.clock.clone(),
        entropy: s.entropy.clone(),
    };
    let (jobs, runner) = Runner::new(world);
    let doors = Doors { backends: backends.clone(), gate: s.gate.clone(), home: s.home };
    let exports = HouseExports::new(s.meta.clone(), doors, Handle::current());
    let ports = Ports {
        meta: s.meta,
        jobs,
        figures: backends,
        sessions: Arc::new(s.gate),
        clock: s.clock,
        entropy: s.entropy,
    };
    Ok((ports, exports, runner))
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
    }
    for j in tx.read().list::<Job>(Scope::All, &every)? {
        if j.subject.map(Subject::uuid).is_some_and(|s| gone.contains(&s)) {
            tx.delete::<Job>(j.id)?;
        }
    }
    Ok(())
}

/// Makes the first two pools of a fresh data directory: `local` on a file, `dummy` in memory.
pub async fn first_pools(ports: &Ports, actor: &Actor) -> Result<(), Condition> {
    let there: Vec<Pool> = read(&*ports.meta, |tx| tx.list(Scope::All, &Query::default())).await?;
    if !there.is_empty() {
        return Ok(());
    }
    for (name, driver, description) in [
        (FIRST_POOL, Driver::Local, "the first pool, on a file"),
        ("dummy", Driver::Memory, "in memory, empty after a restart"),
    ] {
        let new = NewPool {
            name: name.to_string(),
            driver,
            path: None,
            capacity: None,
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
        if let Err(e) = ports.figures.space(&pool).await {
            tracing::error!(pool = pool.name, error = %e, "the pool could not be opened; its volumes are unavailable");
        }
    }
}
