//! What operators should look at: found from the facts of pools and disks, said once when it begins, when it becomes
//! worse or better, and when it is over.

mod board;
mod rules;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex as Short, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::Life;
use parpen_model::{Condition, Pool, PoolHealth, PoolId, Query, Scope, read};
use tokio::sync::{Mutex, watch};

use crate::{Ports, capacity, disks, jobs};
use board::Board;
pub use board::{Alarm, Severity};
use rules::Facts;

/// Between two looks that nobody asked for.
const ROUND: Duration = Duration::from_secs(60);
/// So old what is known of the objects may be when somebody asks: it takes a look at each of them.
const STALE: SignedDuration = SignedDuration::from_secs(10);

/// The alarms of the service. Clones are the same.
#[derive(Clone, Default)]
pub struct Alarms {
    /// One look at a time, so that each crossing is seen by one of them.
    looking: Arc<Mutex<Looked>>,
    current: Arc<Short<Vec<Alarm>>>,
}

#[derive(Default)]
struct Looked {
    board: Board,
    health: HashMap<PoolId, Known>,
    /// Pools of which a disk did not serve, or lacked something.
    behind: HashSet<PoolId>,
}

impl Looked {
    /// Whether all disks of a pool serve again that did not.
    fn is_whole_again(&mut self, pool: PoolId, facts: &Facts) -> bool {
        if facts.disks.iter().all(disks::is_whole) {
            return self.behind.remove(&pool);
        }
        self.behind.insert(pool);
        false
    }
}

/// The state of a pool's objects, as it was.
struct Known {
    at: Timestamp,
    left_out: Vec<u16>,
    health: Option<PoolHealth>,
}

impl Alarms {
    /// The alarms of the last look.
    pub fn current(&self) -> Vec<Alarm> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// All alarms as they are now, the gravest first.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<Alarm>, Condition> {
    may(actor, Power::Read, None)?;
    look(ports, STALE).await
}

/// Looks each minute until `stop` is told.
pub async fn keep_watch(ports: Ports, mut stop: watch::Receiver<bool>) {
    let round = async {
        loop {
            if let Err(error) = look(&ports, SignedDuration::ZERO).await {
                tracing::warn!(%error, "the alarms could not be looked after");
            }
            tokio::time::sleep(ROUND).await;
        }
    };
    // A look may wait long for a store; the end of the service does not.
    tokio::select! {
        _ = stop.wait_for(|s| *s) => {}
        () = round => {}
    }
}

async fn look(ports: &Ports, stale: SignedDuration) -> Result<Vec<Alarm>, Condition> {
    let mut looked = ports.alarms.looking.lock().await;
    let pools: Vec<Pool> = read(&*ports.meta, |tx| tx.list(Scope::All, &Query::default())).await?;
    let ready: Vec<&Pool> = pools.iter().filter(|p| p.life == Life::Ready).collect();
    looked.health.retain(|id, _| ready.iter().any(|p| p.id == *id));
    looked.behind.retain(|id| ready.iter().any(|p| p.id == *id));
    let (mut found, mut whole) = (Vec::new(), Vec::new());
    for pool in ready {
        found.extend(match facts(ports, pool, &mut looked.health, stale).await {
            Ok(facts) => {
                whole.extend(looked.is_whole_again(pool.id, &facts).then_some(pool.id));
                rules::of_pool(pool, &facts, |id| looked.board.level(id))
            }
            Err(e) => {
                looked.behind.insert(pool.id);
                vec![rules::unavailable(pool, &e)]
            }
        });
    }
    if !whole.is_empty()
        // What could not go on without them can now.
        && let Err(error) = jobs::go_on(ports, whole.clone(), |_| true).await
    {
        tracing::warn!(%error, "what waits for disks that are back is taken up later");
        looked.behind.extend(whole);
    }
    for crossing in looked.board.update(found, ports.clock.now()) {
        crossing.log();
    }
    let all = looked.board.all();
    *ports.alarms.current.lock().unwrap_or_else(PoisonError::into_inner) = all.clone();
    Ok(all)
}

async fn facts(
    ports: &Ports,
    pool: &Pool,
    known: &mut HashMap<PoolId, Known>,
    stale: SignedDuration,
) -> Result<Facts, Condition> {
    let raw = ports.figures.space(pool).await?;
    let disks = disks::of_pool(ports, pool).await?;
    if disks.is_empty() {
        let health = PoolHealth::default();
        return Ok(Facts { room: capacity::room(pool, raw, &disks), disks, health });
    }
    disks::stop_ignoring_returned(ports, pool, &disks).await?;
    let left_out: Vec<u16> = disks.iter().filter(|d| d.ignored).map(|d| d.id).collect();
    let now = ports.clock.now();
    let is_fresh = |k: &&Known| k.left_out == left_out && now.duration_since(k.at) < stale;
    let health = match known.get(&pool.id).filter(is_fresh) {
        Some(k) => k.health,
        None => {
            let health = ports.figures.health(pool, &left_out).await?;
            known.insert(pool.id, Known { at: now, left_out, health });
            health
        }
    };
    Ok(Facts { room: capacity::room(pool, raw, &disks), disks, health: health.unwrap_or_default() })
}
