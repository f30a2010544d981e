//! How what volumes and snapshots hold is stored on disks, for people who look.

mod held;
mod spread;

use std::collections::{BTreeMap, HashMap, HashSet};

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::Health;
use parpen_model::{Condition, Due, Keeping, Pool, PoolId, Query, Scope, read};
use uuid::Uuid;

use crate::Ports;

pub use held::{Part, all_on_disk, on_disk};
pub use spread::{Share, Spread, is_feasible, places, spread};

/// Objects that are asked for in one go.
const PAGE: u64 = 4096;

/// How everything is kept.
#[derive(Debug, Default)]
pub struct Kept {
    all: HashMap<Uuid, Keeping>,
    /// Pools that did not say.
    silent: HashSet<PoolId>,
    /// What is due to move, by disk.
    pub due: BTreeMap<u16, Due>,
}

impl Kept {
    /// How many volumes and snapshots have objects that move or are due to.
    pub fn due_volumes(&self) -> usize {
        self.all.values().filter(|k| k.due > 0).count()
    }

    /// How a volume or snapshot of this pool and size is kept. While its pool does not say, nothing of it can be reached.
    pub fn of(&self, pool: PoolId, id: impl Into<Uuid>, size: u64) -> Keeping {
        match self.silent.contains(&pool) {
            true => Keeping { away: 1, unreachable_bytes: size, ..Keeping::default() },
            false => self.all.get(&id.into()).cloned().unwrap_or_default(),
        }
    }
}

/// Whether the balancer can do nothing for it now: disks of it are away or are being emptied.
pub fn is_blocked(k: &Keeping) -> bool {
    [&k.needed, &k.missing, &k.missing_targets, &k.leaving].iter().any(|disks| !disks.is_empty())
}

/// How volumes and snapshots of all pools are kept.
pub async fn kept(ports: &Ports, actor: &Actor) -> Result<Kept, Condition> {
    may(actor, Power::Read, None)?;
    let pools: Vec<Pool> = read(&*ports.meta, |tx| tx.list(Scope::All, &Query::default())).await?;
    let mut kept = Kept::default();
    for pool in &pools {
        match in_pool(ports, pool).await {
            Ok((all, due)) => {
                kept.all.extend(all);
                kept.due.extend(due);
            }
            Err(error) => {
                tracing::warn!(pool = %pool.name, ?error, "a pool does not tell how it keeps its objects");
                kept.silent.insert(pool.id);
            }
        }
    }
    Ok(kept)
}

type InPool = (HashMap<Uuid, Keeping>, BTreeMap<u16, Due>);

async fn in_pool(ports: &Ports, pool: &Pool) -> Result<InPool, Condition> {
    if let Some(survey) = ports.figures.survey(pool).await? {
        return Ok((survey.all, survey.due));
    }
    // Without disks there is one copy, where the store is.
    let stored = |n| Keeping { stored: n, on_disk: n, ..Keeping::default() };
    let found = ports.figures.inventory(pool).await?;
    Ok((found.into_iter().map(|f| (f.subject.uuid(), stored(f.stored))).collect(), BTreeMap::new()))
}

/// How well a volume or snapshot is whose row says `row`.
pub fn health(row: Health, k: &Keeping) -> Health {
    match () {
        () if k.lost > 0 || row == Health::DataLost => Health::DataLost,
        () if k.away > 0 || row == Health::Down => Health::Down,
        () if k.soon > 0 || row == Health::UpSoon => Health::UpSoon,
        () => Health::Up,
    }
}

fn check_count(count: usize, most: usize) -> Result<(), Condition> {
    match count > most {
        true => {
            let why =
                format!("it has more than {most} objects, which is too long a list; ask for their counts");
            Err(Condition::Unsupported(why))
        }
        false => Ok(()),
    }
}
