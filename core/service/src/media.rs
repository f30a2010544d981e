//! Placement groups: where replicas may be.

use parpen_identity::{Actor, Power, may};
use parpen_model::{Condition, Kind, Placement, Pool, Query, ReadTx, Scope, read};

use crate::Ports;

/// The pool that new volumes go to when nothing else is said.
pub const FIRST_POOL: &str = "local";
/// The placement groups of the first pool: all disks, those with moving parts, those without.
const FIRST_GROUPS: [&str; 3] = ["default", "hdd", "ssd"];

/// A named set of disks of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacementGroup {
    /// Its number.
    pub id: u16,
    /// Its name.
    pub name: String,
    /// The pool it belongs to.
    pub pool: parpen_model::PoolId,
    /// Disk numbers; none for a pool without media of its own.
    pub disks: Vec<u16>,
}

/// The disks of a group. Of a pool that has only one sort of disk every group has all: its volumes must live somewhere.
pub fn members(group: &str, pool: &Pool) -> Vec<u16> {
    let all = || pool.disks.iter().map(|d| d.number).collect();
    let sort =
        |ssd: bool| -> Vec<u16> { pool.disks.iter().filter(|d| d.ssd == ssd).map(|d| d.number).collect() };
    let some = match group {
        "hdd" if pool.name == FIRST_POOL => sort(false),
        "ssd" if pool.name == FIRST_POOL => sort(true),
        _ => all(),
    };
    if some.is_empty() { all() } else { some }
}

/// The placement groups of a pool.
pub fn group_names(pool: &Pool) -> Vec<String> {
    match pool.name.as_str() {
        FIRST_POOL => FIRST_GROUPS.iter().map(|g| g.to_string()).collect(),
        other => vec![other.to_string()],
    }
}

/// The disks where a volume of a pool is placed that asks for no group.
pub(crate) fn default_disks(pool: &Pool) -> Vec<u16> {
    group_names(pool).first().map(|name| members(name, pool)).unwrap_or_default()
}

fn groups_of(pools: &[Pool]) -> Vec<PlacementGroup> {
    let named = pools.iter().flat_map(|p| group_names(p).into_iter().map(move |n| (n, p)));
    let group = |(i, (name, p)): (usize, (String, &Pool))| PlacementGroup {
        id: i as u16 + 1,
        disks: members(&name, p),
        name,
        pool: p.id,
    };
    named.enumerate().map(group).collect()
}

/// All placement groups.
pub async fn groups(ports: &Ports, actor: &Actor) -> Result<Vec<PlacementGroup>, Condition> {
    may(actor, Power::Read, None)?;
    read(&*ports.meta, |tx| Ok(groups_of(&tx.list::<Pool>(Scope::All, &Query::default())?))).await
}

/// What was asked for on placement; absent parts fall back to the type's and then to the pool's.
#[derive(Clone, Debug, Default)]
pub struct WantedPlacement {
    /// Group of all replicas but the last.
    pub all: Option<String>,
    /// Group of the last replica.
    pub tail: Option<String>,
    /// Number of replicas.
    pub replication: Option<u8>,
}

/// The pool and the placement of something new: the named pool, else that of the group, else `local`.
pub(crate) fn place(
    tx: &dyn ReadTx,
    pool: Option<parpen_model::PoolId>,
    want: &WantedPlacement,
) -> Result<(Pool, Placement), Condition> {
    let pools = tx.list::<Pool>(Scope::All, &Query::default())?;
    let groups = groups_of(&pools);
    let group = |name: &String| {
        groups
            .iter()
            .find(|g| g.name == *name)
            .ok_or_else(|| Condition::not_found(Kind::PlacementGroup, name))
    };
    let all = want.all.as_ref().map(group).transpose()?;
    let tail = want.tail.as_ref().map(group).transpose()?;
    let named = pool.map(|id| tx.get::<Pool>(Scope::All, id)).transpose()?;
    let pool = match (named, all.or(tail)) {
        (Some(p), _) => p,
        (None, Some(g)) => tx.get(Scope::All, g.pool)?,
        (None, None) => tx
            .find_named(Scope::All, "pool", FIRST_POOL)?
            .ok_or_else(|| Condition::not_found(Kind::Pool, FIRST_POOL))?,
    };
    if [all, tail].into_iter().flatten().any(|g| g.pool != pool.id) {
        return Err(Condition::invalid(
            "placement",
            "both placement groups must belong to the volume's pool",
        ));
    }
    let first = groups
        .iter()
        .find(|g| g.pool == pool.id)
        .ok_or_else(|| Condition::internal("a pool without group"))?;
    let all = all.unwrap_or(first);
    let tail = tail.unwrap_or(all);
    let replication = want.replication.unwrap_or(pool.replication);
    // The last replica is on a disk of `tail`, the others on other disks of `all`. A pool without disks has one copy.
    let apart = tail.disks.iter().any(|d| !all.disks.contains(d));
    let room = (all.disks.len() + usize::from(apart)).max(1);
    if replication == 0 || replication > 3 {
        return Err(Condition::invalid("replication", "replication is 1, 2 or 3"));
    }
    if usize::from(replication) > room {
        return Err(Condition::NoSpace(format!(
            "replication {replication} needs as many disks; the placement group {:?} has {room}",
            all.name
        )));
    }
    Ok((pool, Placement { all: all.name.clone(), tail: tail.name.clone(), replication }))
}
