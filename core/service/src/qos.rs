//! Quality-of-service specs: named, and pointed at by volume types.

use std::collections::BTreeMap;

use parpen_identity::{Actor, Power, may};
use parpen_model::{
    Condition, Kind, Limits, Qos, QosConsumer, QosId, Query, ReadTx, Scope, Stamp, VolumeType, VolumeTypeId,
    read, write,
};

use crate::{Ports, names};

/// What specs are to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Who keeps to them.
    pub consumer: QosConsumer,
    /// As they were given.
    pub specs: BTreeMap<String, String>,
}

/// What the service itself keeps to of some specs; may be run again.
pub type Bind = Box<dyn Fn(&Wanted) -> Limits + Send>;

/// Changes specs; may be run again.
pub type Change = Box<dyn FnMut(&mut Wanted) -> Result<(), Condition> + Send>;

/// Makes specs of a new name.
pub async fn create(
    ports: &Ports,
    actor: &Actor,
    name: &str,
    want: Wanted,
    bind: Bind,
) -> Result<(Qos, u64), Condition> {
    may(actor, Power::Operate, None)?;
    names::check(name)?;
    let id = QosId(ports.entropy.uuid());
    let (name, stamp) = (name.to_string(), Stamp::at(ports.clock.now()));
    write(&*ports.meta, move |tx| {
        if tx.read().named("qos", &name)?.is_some() {
            return Err(Condition::exists(Kind::Qos, &name));
        }
        let (limits, Wanted { consumer, specs }) = (bind(&want), want.clone());
        let mut row = Qos { id, name: name.clone(), consumer, specs, limits, stamp };
        tx.insert(&mut row)?;
        Ok(row)
    })
    .await
}

/// All specs, the oldest first.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<Qos>, Condition> {
    may(actor, Power::Operate, None)?;
    read(&*ports.meta, |tx| tx.list(Scope::All, &Query::default())).await
}

/// Specs by id.
pub async fn get(ports: &Ports, actor: &Actor, id: QosId) -> Result<Qos, Condition> {
    may(actor, Power::Operate, None)?;
    read(&*ports.meta, move |tx| tx.get(Scope::All, id)).await
}

/// Changes specs. New volumes of the types that point at them are bound by the new ones.
pub async fn edit(
    ports: &Ports,
    actor: &Actor,
    id: QosId,
    mut change: Change,
    bind: Bind,
) -> Result<(Qos, u64), Condition> {
    may(actor, Power::Operate, None)?;
    let now = ports.clock.now();
    write(&*ports.meta, move |tx| {
        let mut q: Qos = tx.read().get(Scope::All, id)?;
        let mut want = Wanted { consumer: q.consumer, specs: q.specs.clone() };
        change(&mut want)?;
        q.limits = bind(&want);
        (q.consumer, q.specs) = (want.consumer, want.specs);
        q.stamp.updated = Some(now);
        tx.update(&mut q)?;
        Ok(q)
    })
    .await
}

/// The types that point at some specs.
fn pointing(tx: &dyn ReadTx, id: QosId) -> Result<Vec<VolumeType>, Condition> {
    let all: Vec<VolumeType> = tx.list(Scope::All, &Query::default())?;
    Ok(all.into_iter().filter(|t| t.qos == Some(id)).collect())
}

/// Deletes specs. Types that point at them are a reason to refuse, unless `force`, which lets them point nowhere.
pub async fn delete(ports: &Ports, actor: &Actor, id: QosId, force: bool) -> Result<u64, Condition> {
    may(actor, Power::Operate, None)?;
    let (_, generation) = write(&*ports.meta, move |tx| {
        let q: Qos = tx.read().get(Scope::All, id)?;
        let types = pointing(tx.read(), id)?;
        if !types.is_empty() && !force {
            let by = types.iter().map(|t| format!("volume type {}", t.name)).collect();
            return Err(Condition::in_use(Kind::Qos, &q.name, by));
        }
        for mut t in types {
            t.qos = None;
            tx.update(&mut t)?;
        }
        tx.delete::<Qos>(id)
    })
    .await?;
    Ok(generation)
}

/// The types that point at some specs, the oldest first.
pub async fn associations(ports: &Ports, actor: &Actor, id: QosId) -> Result<Vec<VolumeType>, Condition> {
    may(actor, Power::Operate, None)?;
    read(&*ports.meta, move |tx| {
        tx.get::<Qos>(Scope::All, id)?;
        pointing(tx, id)
    })
    .await
}

/// Lets a type point at specs; one that points at others already is refused.
pub async fn associate(ports: &Ports, actor: &Actor, id: QosId, of: VolumeTypeId) -> Result<u64, Condition> {
    may(actor, Power::Operate, None)?;
    let (_, generation) = write(&*ports.meta, move |tx| {
        tx.read().get::<Qos>(Scope::All, id)?;
        let mut t: VolumeType = tx.read().get(Scope::All, of)?;
        match t.qos {
            Some(other) if other != id => {
                return Err(Condition::in_use(Kind::VolumeType, &t.name, vec![other.to_string()]));
            }
            Some(_) => return Ok(()),
            None => t.qos = Some(id),
        }
        tx.update(&mut t)
    })
    .await?;
    Ok(generation)
}

/// Lets one type, or all that do, point at these specs no longer.
pub async fn disassociate(
    ports: &Ports,
    actor: &Actor,
    id: QosId,
    of: Option<VolumeTypeId>,
) -> Result<u64, Condition> {
    may(actor, Power::Operate, None)?;
    let (_, generation) = write(&*ports.meta, move |tx| {
        tx.read().get::<Qos>(Scope::All, id)?;
        if let Some(of) = of {
            tx.read().get::<VolumeType>(Scope::All, of)?;
        }
        for mut t in pointing(tx.read(), id)?.into_iter().filter(|t| of.is_none_or(|of| of == t.id)) {
            t.qos = None;
            tx.update(&mut t)?;
        }
        Ok(())
    })
    .await?;
    Ok(generation)
}

/// The specs that a type points at.
pub(crate) fn of_type(tx: &dyn ReadTx, t: &VolumeType) -> Result<Option<Qos>, Condition> {
    t.qos.map_or(Ok(None), |id| tx.find(Scope::All, id))
}

/// What the host that attaches a volume of this type is told of quality of service.
pub async fn told_to_host(
    ports: &Ports,
    of: Option<VolumeTypeId>,
) -> Result<Option<BTreeMap<String, String>>, Condition> {
    let Some(of) = of else { return Ok(None) };
    let found = read(&*ports.meta, move |tx| match tx.find::<VolumeType>(Scope::All, of)? {
        Some(t) => of_type(tx, &t),
        None => Ok(None),
    })
    .await?;
    Ok(found.filter(|q| q.consumer.tells_the_host()).map(|q| q.specs))
}
