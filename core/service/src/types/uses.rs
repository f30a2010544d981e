//! What a type means for new volumes, and which one a project takes by default.

use parpen_identity::{Actor, Power, may};
use parpen_model::{
    Condition, Kind, Limits, Pool, Project, ProjectId, Query, ReadTx, Scope, VolumeType, VolumeTypeId, read,
    write,
};

use crate::{Ports, qos};

/// The type, if volumes of the project may be linked to it by somebody who sees `scope`.
pub(crate) fn usable(
    tx: &dyn ReadTx,
    scope: Scope,
    project: ProjectId,
    id: VolumeTypeId,
) -> Result<VolumeType, Condition> {
    let t: VolumeType = tx.get(Scope::All, id)?;
    match scope == Scope::All || t.public || t.access.contains(&project) {
        true => Ok(t),
        false => Err(Condition::not_found(Kind::VolumeType, id)),
    }
}

/// The pool that a type demands by name; an error where no pool has what it demands.
pub(crate) fn named_pool(tx: &dyn ReadTx, t: &VolumeType) -> Result<Option<Pool>, Condition> {
    let none = |what: &str| {
        let why = format!("no pool can hold it: the type {:?} demands {what}", t.name);
        Condition::invalid("volume_type", why)
    };
    if let Some(what) = &t.rules.lacking {
        return Err(none(what));
    }
    let Some(name) = &t.rules.pool else { return Ok(None) };
    let pool: Option<Pool> = tx.find_named(Scope::All, "pool", name)?;
    pool.map(Some).ok_or_else(|| none(&format!("the pool {name:?}")))
}

/// Refuses a size that the type does not allow.
pub(crate) fn check_size(t: Option<&VolumeType>, bytes: u64) -> Result<(), Condition> {
    let Some(t) = t else { return Ok(()) };
    let (low, high) = (t.rules.smallest, t.rules.largest);
    if low.is_some_and(|low| bytes < low) || high.is_some_and(|high| bytes > high) {
        let bound = |b: Option<u64>| b.map_or_else(|| "any".into(), parpen_base::format_size);
        let why = format!(
            "the type {:?} has volumes of at least {} and at most {}",
            t.name,
            bound(low),
            bound(high)
        );
        return Err(Condition::invalid("size", why));
    }
    Ok(())
}

/// The ceilings that a type gives: those of its quality of service before its own.
pub(crate) fn limits_of(tx: &dyn ReadTx, kind: Option<&VolumeType>) -> Result<Limits, Condition> {
    let Some(t) = kind else { return Ok(Limits::default()) };
    let qos = qos::of_type(tx, t)?.map(|q| q.limits).unwrap_or_default();
    Ok(Limits {
        bytes_per_second: qos.bytes_per_second.or(t.limits.bytes_per_second),
        requests_per_second: qos.requests_per_second.or(t.limits.requests_per_second),
    })
}

/// The types that projects take by default, by project.
pub async fn defaults(ports: &Ports, actor: &Actor) -> Result<Vec<(ProjectId, VolumeTypeId)>, Condition> {
    may(actor, Power::Operate, None)?;
    let all = read(&*ports.meta, |tx| tx.list::<Project>(Scope::All, &Query::default())).await?;
    Ok(all.into_iter().filter_map(|p| Some((p.id, p.default_type?))).collect())
}

/// The type that new volumes of a project take when they name none.
pub async fn default_of(
    ports: &Ports,
    actor: &Actor,
    project: ProjectId,
) -> Result<Option<VolumeTypeId>, Condition> {
    may(actor, Power::Read, Some(project))?;
    let p: Project = read(&*ports.meta, move |tx| tx.get(Scope::All, project)).await?;
    Ok(p.default_type)
}

/// Sets or clears it. The project may use the type from then on only if it may use it otherwise.
pub async fn set_default(
    ports: &Ports,
    actor: &Actor,
    project: ProjectId,
    to: Option<VolumeTypeId>,
) -> Result<u64, Condition> {
    may(actor, Power::Operate, None)?;
    let (_, generation) = write(&*ports.meta, move |tx| {
        let mut p: Project = tx.read().get(Scope::All, project)?;
        if let Some(id) = to {
            tx.read().get::<VolumeType>(Scope::All, id)?;
        }
        p.default_type = to;
        tx.update(&mut p)
    })
    .await?;
    Ok(generation)
}
