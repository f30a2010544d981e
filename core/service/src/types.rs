//! Volume types: named policies.

mod edit;
mod retune;
mod status;
mod uses;

use parpen_identity::{Actor, Power, may};
use parpen_model::{
    Condition, Group, Kind, Project, Query, Quota, ReadTx, Scope, Stamp, Volume, VolumeType, VolumeTypeId,
    read, write,
};

use crate::Ports;
use crate::media::{WantedPlacement, place};
use crate::names;

pub use edit::{ChangeType, Edit, Encryption, admit, change_rules, edit, encrypt, expel, unencrypt};
pub use retune::{Retune, retune};
pub use status::{Use, status};
pub(crate) use uses::{check_size, limits_of, named_pool, usable};
pub use uses::{default_of, defaults, set_default};

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

/// Whether somebody may see and use a type: operators all, others the public ones and those their project was let
/// in to.
fn seen_by(actor: &Actor, t: &VolumeType) -> bool {
    actor.scope == Scope::All || t.public || t.access.contains(&actor.project)
}

/// The volume types that the actor may use, the oldest first.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<VolumeType>, Condition> {
    may(actor, Power::Read, None)?;
    let all = read(&*ports.meta, |tx| tx.list::<VolumeType>(Scope::All, &Query::default())).await?;
    Ok(all.into_iter().filter(|t| seen_by(actor, t)).collect())
}

/// A volume type by name or id, if the actor may use it.
pub async fn get(ports: &Ports, actor: &Actor, name: &str) -> Result<VolumeType, Condition> {
    may(actor, Power::Read, None)?;
    let text = name.to_string();
    let t: VolumeType = read(&*ports.meta, move |tx| tx.get_text(Scope::All, "volume type", &text)).await?;
    if seen_by(actor, &t) { Ok(t) } else { Err(Condition::not_found(Kind::VolumeType, name)) }
}

/// Deletes a volume type that no volume is linked to, no group may have and that is no project's default.
pub async fn delete(ports: &Ports, actor: &Actor, id: VolumeTypeId) -> Result<u64, Condition> {
    may(actor, Power::Operate, None)?;
    let (_, generation) = write(&*ports.meta, move |tx| {
        let t: VolumeType = tx.read().get(Scope::All, id)?;
        let defaults: Vec<Project> = tx.read().list(Scope::All, &Query::default())?;
        if let Some(p) = defaults.iter().find(|p| p.default_type == Some(id)) {
            let why = format!("it is the default type of the project {}", p.name);
            return Err(Condition::Conflict(why));
        }
        refuse_used(tx.read(), &t)?;
        let groups: Vec<Group> = tx.read().list(Scope::All, &Query::default())?;
        let named: Vec<&Group> = groups.iter().filter(|g| g.volume_types.contains(&Some(id))).collect();
        if !named.is_empty() {
            let by = named.iter().map(|g| format!("group {}", g.id)).collect();
            return Err(Condition::in_use(Kind::VolumeType, &t.name, by));
        }
        for mut q in tx.read().list::<Quota>(Scope::All, &Query::default())? {
            let before = q.ceilings.len();
            q.ceilings.retain(|c| c.among != parpen_model::Among::OfType(Some(id)));
            if q.ceilings.len() != before {
                tx.update(&mut q)?;
            }
        }
        tx.delete::<VolumeType>(id)
    })
    .await?;
    Ok(generation)
}

/// Refuses while volumes are linked to the type.
fn refuse_used(tx: &dyn ReadTx, t: &VolumeType) -> Result<(), Condition> {
    let volumes: Vec<Volume> = tx.list(Scope::All, &Query::default())?;
    let linked = volumes.iter().filter(|v| v.volume_type == Some(t.id));
    let by: Vec<String> = linked.map(|v| format!("volume {}", v.handle)).collect();
    if by.is_empty() { Ok(()) } else { Err(Condition::in_use(Kind::VolumeType, &t.name, by)) }
}
