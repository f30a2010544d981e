//! Changing what a group is called and who belongs to it.

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{Standing, When};
use parpen_model::{Condition, Group, GroupId, Kind, ReadTx, Scope, Volume, VolumeId, WriteTx, write};

use super::list::members;
use crate::volumes::ChangeAttributes;
use crate::{Ports, names};

/// What is to be different; absent parts stay.
#[derive(Default)]
pub struct GroupEdit {
    /// The free-text name.
    pub name: Option<String>,
    /// What APIs keep with it.
    pub attributes: Option<ChangeAttributes>,
    /// Who joins.
    pub add: Vec<VolumeId>,
    /// Who leaves.
    pub remove: Vec<VolumeId>,
}

const JOINING: When = When::Only(&[Standing::Free, Standing::Attached]);
const LEAVING: When =
    When::Only(&[Standing::Free, Standing::Attached, Standing::Error, Standing::ErrorDeleting]);

/// Changes a group in one transaction.
pub async fn update(
    ports: &Ports,
    actor: &Actor,
    id: GroupId,
    mut edit: GroupEdit,
) -> Result<Group, Condition> {
    if let Some(name) = &edit.name {
        names::check(name)?;
    }
    let (actor, now) = (actor.clone(), ports.clock.now());
    let (group, _) = write(&*ports.meta, move |tx| {
        let mut g: Group = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Write, Some(g.project))?;
        let present = members(tx.read(), &g)?;
        let joining: Vec<VolumeId> =
            edit.add.iter().copied().filter(|v| !present.iter().any(|p| p.id == *v)).collect();
        for v in &joining {
            join(tx, &actor, &g, *v)?;
        }
        for v in &edit.remove {
            leave(tx, &g, present.iter().find(|p| p.id == *v), *v)?;
        }
        if !joining.is_empty() || !edit.remove.is_empty() {
            When::Only(&[Standing::Free]).check(Kind::Group, g.id, g.standing())?;
        }
        if let Some(name) = &edit.name {
            g.name = name.clone();
        }
        if let Some(change) = &mut edit.attributes {
            change(&mut g.attributes);
        }
        g.stamp.updated = Some(now);
        tx.update(&mut g)?;
        Ok(g)
    })
    .await?;
    Ok(group)
}

fn refused(what: &str, v: VolumeId, g: &Group, why: &str) -> Condition {
    let way = if what == "add" { "to" } else { "from" };
    Condition::invalid("volume", format!("Cannot {what} volume {v} {way} group {} because {why}", g.id))
}

/// Refuses a new volume that is to be born into a group and does not fit in.
pub(crate) fn take_in(tx: &dyn ReadTx, scope: Scope, id: GroupId, v: &Volume) -> Result<(), Condition> {
    let g: Group = tx.get(scope, id)?;
    if v.project != g.project {
        return Err(Condition::not_found(Kind::Group, id));
    }
    When::Only(&[Standing::Free]).check(Kind::Group, id, g.standing())?;
    if !g.volume_types.contains(&v.volume_type) {
        return Err(Condition::invalid("group", format!("the type of the volume is none of group {id}'s")));
    }
    Ok(())
}

fn join(tx: &mut dyn WriteTx, actor: &Actor, g: &Group, id: VolumeId) -> Result<(), Condition> {
    let no = |why: &str| refused("add", id, g, why);
    let Some(mut v) = tx.read().find::<Volume>(actor.scope, id)? else {
        return Err(no("volume cannot be found."));
    };
    if let Some(other) = v.group {
        return Err(no(&format!("it is already in group {other}.")));
    }
    if v.project != g.project {
        let text = format!("Cannot add volume {id} to group {} as they belong to different projects.", g.id);
        return Err(Condition::invalid("volume", text));
    }
    if !g.volume_types.contains(&v.volume_type) {
        let kind = v.volume_type.map_or_else(|| "__DEFAULT__".to_string(), |t| t.to_string());
        return Err(no(&format!("volume type {kind} is not supported by the group.")));
    }
    JOINING.check(Kind::Volume, id, v.standing())?;
    v.group = Some(g.id);
    tx.update(&mut v)
}

fn leave(tx: &mut dyn WriteTx, g: &Group, v: Option<&Volume>, id: VolumeId) -> Result<(), Condition> {
    let Some(v) = v else { return Err(refused("remove", id, g, "it is not in the group.")) };
    LEAVING.check(Kind::Volume, id, v.standing())?;
    let mut v: Volume = tx.read().get(Scope::All, v.id)?;
    v.group = None;
    tx.update(&mut v)
}
