//! Types of groups.

use parpen_identity::{Actor, Power, may};
use parpen_model::{
    Attributes, Condition, Group, GroupType, GroupTypeId, Kind, Query, Scope, Stamp, read, write,
};

use crate::volumes::ChangeAttributes;
use crate::{Ports, names};

/// The space of unique names of group types.
const NAMES: &str = "group type";

/// A group type to be made.
#[derive(Clone, Debug)]
pub struct NewType {
    /// Unique.
    pub name: String,
    /// In words.
    pub description: Option<String>,
    /// Everybody may use it.
    pub public: bool,
    /// What the API keeps with it.
    pub attributes: Attributes,
}

/// What is to be different; absent parts stay.
#[derive(Default)]
pub struct TypeEdit {
    /// The name.
    pub name: Option<String>,
    /// In words.
    pub description: Option<String>,
    /// Everybody may use it.
    pub public: Option<bool>,
    /// What APIs keep with it.
    pub attributes: Option<ChangeAttributes>,
}

/// Makes a group type.
pub async fn create(ports: &Ports, actor: &Actor, new: NewType) -> Result<GroupType, Condition> {
    may(actor, Power::Operate, None)?;
    names::check(&new.name)?;
    let (id, stamp) = (GroupTypeId(ports.entropy.uuid()), Stamp::at(ports.clock.now()));
    let (made, _) = write(&*ports.meta, move |tx| {
        if tx.read().named(NAMES, &new.name)?.is_some() {
            return Err(Condition::exists(Kind::GroupType, &new.name));
        }
        let mut row = GroupType {
            id,
            name: new.name.clone(),
            description: new.description.clone(),
            public: new.public,
            attributes: new.attributes.clone(),
            stamp,
        };
        tx.insert(&mut row)?;
        Ok(row)
    })
    .await?;
    Ok(made)
}

/// Those that are not public are seen by operators alone.
fn sees(actor: &Actor, t: &GroupType) -> bool {
    t.public || may(actor, Power::Operate, None).is_ok()
}

/// The group types that the actor sees, the oldest first.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<GroupType>, Condition> {
    may(actor, Power::Read, None)?;
    let all: Vec<GroupType> = read(&*ports.meta, |tx| tx.list(Scope::All, &Query::default())).await?;
    Ok(all.into_iter().filter(|t| sees(actor, t)).collect())
}

/// A group type by name or id.
pub async fn get(ports: &Ports, actor: &Actor, name: &str) -> Result<GroupType, Condition> {
    may(actor, Power::Read, None)?;
    let text = name.to_string();
    let found: GroupType = read(&*ports.meta, move |tx| tx.get_text(Scope::All, NAMES, &text)).await?;
    if sees(actor, &found) { Ok(found) } else { Err(Condition::not_found(Kind::GroupType, name)) }
}

/// Changes a group type.
pub async fn edit(
    ports: &Ports,
    actor: &Actor,
    id: GroupTypeId,
    mut edit: TypeEdit,
) -> Result<GroupType, Condition> {
    may(actor, Power::Operate, None)?;
    if let Some(name) = &edit.name {
        names::check(name)?;
    }
    let now = ports.clock.now();
    let (changed, _) = write(&*ports.meta, move |tx| {
        let mut t: GroupType = tx.read().get(Scope::All, id)?;
        if let Some(name) = edit.name.clone().filter(|n| *n != t.name) {
            if tx.read().named(NAMES, &name)?.is_some() {
                return Err(Condition::exists(Kind::GroupType, &name));
            }
            t.name = name;
        }
        t.description = edit.description.clone().or(t.description);
        t.public = edit.public.unwrap_or(t.public);
        if let Some(change) = &mut edit.attributes {
            change(&mut t.attributes);
        }
        t.stamp.updated = Some(now);
        tx.update(&mut t)?;
        Ok(t)
    })
    .await?;
    Ok(changed)
}

/// Deletes a group type that no group is linked to.
pub async fn delete(ports: &Ports, actor: &Actor, id: GroupTypeId) -> Result<(), Condition> {
    may(actor, Power::Operate, None)?;
    write(&*ports.meta, move |tx| {
        let t: GroupType = tx.read().get(Scope::All, id)?;
        let linked: Vec<Group> = tx.read().children(id)?;
        if !linked.is_empty() {
            let by = linked.iter().map(|g| format!("group {}", g.id)).collect();
            return Err(Condition::in_use(Kind::GroupType, &t.name, by));
        }
        tx.delete::<GroupType>(id)
    })
    .await
    .map(|_| ())
}
