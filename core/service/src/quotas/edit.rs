//! Setting ceilings.

use std::collections::BTreeMap;

use parpen_identity::{Actor, Power, may};
use parpen_model::{
    Among, Ceiling, Condition, Counted, ProjectId, Quota, QuotaId, ReadTx, Stamp, Whose, WriteTx, read, write,
};

use super::usage::{Counter, things};
use super::{Ceilings, DEFAULT_CLASS, row};
use crate::Ports;

/// A ceiling to be set; `limit` none: any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is counted.
    pub counted: Counted,
    /// Over what.
    pub among: Among,
    /// So many at most.
    pub limit: Option<u64>,
}

fn put(
    tx: &mut dyn WriteTx,
    id: QuotaId,
    stamp: Stamp,
    whose: &Whose,
    new: &[Limit],
) -> Result<(), Condition> {
    let old = row(tx.read(), whose)?;
    let known = old.is_some();
    let blank = || Quota { id, whose: whose.clone(), ceilings: Vec::new(), stamp };
    let mut q = old.unwrap_or_else(blank);
    for Limit { counted, among, limit } in new.iter().copied() {
        q.ceilings.retain(|c| c.counted != counted || c.among != among);
        q.ceilings.push(Ceiling { counted, among, limit });
    }
    q.stamp.updated = Some(stamp.created);
    if known { tx.update(&mut q) } else { tx.insert(&mut q) }
}

/// Sets ceilings of a project. One that was set before may not be lowered below what there is.
pub async fn set_project(
    ports: &Ports,
    actor: &Actor,
    project: ProjectId,
    new: Vec<Limit>,
) -> Result<u64, Condition> {
    may(actor, Power::Operate, None)?;
    let (id, stamp) = (QuotaId(ports.entropy.uuid()), Stamp::at(ports.clock.now()));
    let (_, generation) = write(&*ports.meta, move |tx| {
        let whose = Whose::Project(project);
        if let Some(set) = row(tx.read(), &whose)? {
            refuse_below_use(tx.read(), project, &set, &new)?;
        }
        put(tx, id, stamp, &whose, &new)
    })
    .await?;
    Ok(generation)
}

fn refuse_below_use(
    tx: &dyn ReadTx,
    project: ProjectId,
    set: &Quota,
    new: &[Limit],
) -> Result<(), Condition> {
    let mut counter = Counter::new(tx, project);
    for n in new.iter().filter(|n| set.ceiling(n.counted, n.among).is_some()) {
        let Some(limit) = n.limit else { continue };
        let figure = counter.figure(n.counted, n.among)?;
        let used = figure.in_use + figure.reserved;
        if limit < used {
            let what = super::key(tx, n.counted, n.among)?;
            return Err(Condition::QuotaExceeded { what, limit, used, asked: 0 });
        }
    }
    Ok(())
}

/// Forgets the ceilings of a project: those of the default class hold again.
pub async fn reset(ports: &Ports, actor: &Actor, project: ProjectId) -> Result<u64, Condition> {
    may(actor, Power::Operate, None)?;
    let (_, generation) = write(&*ports.meta, move |tx| match row(tx.read(), &Whose::Project(project))? {
        Some(q) => tx.delete::<Quota>(q.id).map(|_| ()),
        None => Ok(()),
    })
    .await?;
    Ok(generation)
}

/// Sets ceilings of a class.
pub async fn set_class(ports: &Ports, actor: &Actor, name: &str, new: Vec<Limit>) -> Result<u64, Condition> {
    may(actor, Power::Operate, None)?;
    crate::names::check(name)?;
    let (id, stamp) = (QuotaId(ports.entropy.uuid()), Stamp::at(ports.clock.now()));
    let whose = Whose::Class(name.to_string());
    let (_, generation) = write(&*ports.meta, move |tx| put(tx, id, stamp, &whose, &new)).await?;
    Ok(generation)
}

type Table = BTreeMap<(Counted, Among), Option<u64>>;

async fn table(ports: &Ports, name: String) -> Result<Table, Condition> {
    read(&*ports.meta, move |tx| {
        let own = row(tx, &Whose::Class(name.clone()))?;
        let default = row(tx, &Whose::Class(DEFAULT_CLASS.into()))?;
        let ceilings = Ceilings { own, default };
        Ok(things(tx)?.into_iter().map(|(c, a)| ((c, a), ceilings.limit(c, a))).collect())
    })
    .await
}

/// Every ceiling of a class; what was not set is that of the default class.
pub async fn class(ports: &Ports, actor: &Actor, name: &str) -> Result<Table, Condition> {
    may(actor, Power::Operate, None)?;
    table(ports, name.to_string()).await
}

/// The ceilings that hold for projects without any of their own.
pub async fn classes_default(ports: &Ports, actor: &Actor) -> Result<Table, Condition> {
    may(actor, Power::Read, None)?;
    table(ports, DEFAULT_CLASS.to_string()).await
}
