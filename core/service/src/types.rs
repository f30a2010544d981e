//! Volume types: named policies.

use parpen_identity::{Actor, Power, may};
use parpen_model::{Condition, Kind, Query, Scope, Stamp, Volume, VolumeType, VolumeTypeId, read, write};

use crate::Ports;
use crate::media::{WantedPlacement, place};
use crate::names;

/// Makes a volume type. The caller fills everything but id and stamp; the placement is checked now.
pub async fn create(
    ports: &Ports,
    actor: &Actor,
    mut new: VolumeType,
) -> Result<(VolumeType, u64), Condition> {
    may(actor, Power::Operate, None)?;
    names::check(&new.name)?;
    new.id = VolumeTypeId(ports.entropy.uuid());
    new.stamp = Stamp::at(ports.clock.now());
    write(&*ports.meta, move |tx| {
        if tx.read().named("volume type", &new.name)?.is_some() {
            return Err(Condition::exists(Kind::VolumeType, &new.name));
        }
        let (all, tail) = (new.place_all.clone(), new.place_tail.clone());
        place(tx.read(), new.pool, &WantedPlacement { all, tail, replication: new.replication })?;
        let mut row = new.clone();
        tx.insert(&mut row)?;
        Ok(row)
    })
    .await
}

/// All volume types, the oldest first.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<VolumeType>, Condition> {
    may(actor, Power::Read, None)?;
    read(&*ports.meta, |tx| tx.list(Scope::All, &Query::default())).await
}

/// A volume type by name or id.
pub async fn get(ports: &Ports, actor: &Actor, name: &str) -> Result<VolumeType, Condition> {
    may(actor, Power::Read, None)?;
    let name = name.to_string();
    read(&*ports.meta, move |tx| tx.get_text(Scope::All, "volume type", &name)).await
}

/// Deletes a volume type that no volume is linked to.
pub async fn delete(ports: &Ports, actor: &Actor, id: VolumeTypeId) -> Result<u64, Condition> {
    may(actor, Power::Operate, None)?;
    let (_, generation) = write(&*ports.meta, move |tx| {
        let t: VolumeType = tx.read().get(Scope::All, id)?;
        let volumes: Vec<Volume> = tx.read().list(Scope::All, &Query::default())?;
        let linked = volumes.iter().filter(|v| v.volume_type == Some(id));
        let by: Vec<String> = linked.map(|v| format!("volume {}", v.handle)).collect();
        if !by.is_empty() {
            return Err(Condition::in_use(Kind::VolumeType, &t.name, by));
        }
        tx.delete::<VolumeType>(id)
    })
    .await?;
    Ok(generation)
}
