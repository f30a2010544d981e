//! Changing a volume type: what it is called, what it demands, who may use it, how its volumes are encrypted.

use parpen_identity::{Actor, Power, may};
use parpen_model::{
    Condition, ControlLocation, Kind, Project, ProjectId, Scope, Stamp, TypeEncryption, VolumeType,
    VolumeTypeId, WriteTx, write,
};

use super::refuse_used;
use crate::{Ports, names};

/// What is to be different; absent parts stay.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// The unique name.
    pub name: Option<String>,
    /// In words.
    pub description: Option<String>,
    /// Everybody may use it.
    pub public: Option<bool>,
}

/// Changes what a type demands and what APIs keep with it; may be run again.
pub type ChangeType = Box<dyn FnMut(&mut VolumeType) -> Result<(), Condition> + Send>;

/// Changes a type in one transaction; `unused`: only while no volume is linked to it.
async fn changed(
    ports: &Ports,
    actor: &Actor,
    id: VolumeTypeId,
    unused: bool,
    mut change: impl FnMut(&mut dyn WriteTx, &mut VolumeType) -> Result<(), Condition> + Send + 'static,
) -> Result<(VolumeType, u64), Condition> {
    may(actor, Power::Operate, None)?;
    let now = ports.clock.now();
    write(&*ports.meta, move |tx| {
        let mut t: VolumeType = tx.read().get(Scope::All, id)?;
        if unused {
            refuse_used(tx.read(), &t)?;
        }
        change(tx, &mut t)?;
        t.stamp.updated = Some(now);
        tx.update(&mut t)?;
        Ok(t)
    })
    .await
}

/// Changes what a type is called and whether everybody may use it.
pub async fn edit(
    ports: &Ports,
    actor: &Actor,
    id: VolumeTypeId,
    edit: Edit,
) -> Result<(VolumeType, u64), Condition> {
    if let Some(name) = &edit.name {
        names::check(name)?;
    }
    changed(ports, actor, id, false, move |tx, t| {
        if let Some(name) = edit.name.as_ref().filter(|n| **n != t.name) {
            if tx.read().named("volume type", name)?.is_some() {
                return Err(Condition::exists(Kind::VolumeType, name));
            }
            t.name = name.clone();
        }
        if let Some(text) = &edit.description {
            t.description = Some(text.clone());
        }
        t.public = edit.public.unwrap_or(t.public);
        Ok(())
    })
    .await
}

/// Changes what a type that no volume is linked to demands.
pub async fn change_rules(
    ports: &Ports,
    actor: &Actor,
    id: VolumeTypeId,
    mut change: ChangeType,
) -> Result<(VolumeType, u64), Condition> {
    changed(ports, actor, id, true, move |_, t| change(t)).await
}

fn refuse_public(t: &VolumeType) -> Result<(), Condition> {
    match t.public {
        true => Err(Condition::invalid("volume type", "it is public: everybody may use it")),
        false => Ok(()),
    }
}

/// Lets a project use a type that is not public.
pub async fn admit(
    ports: &Ports,
    actor: &Actor,
    id: VolumeTypeId,
    project: ProjectId,
) -> Result<(VolumeType, u64), Condition> {
    changed(ports, actor, id, false, move |tx, t| {
        refuse_public(t)?;
        tx.read().get::<Project>(Scope::All, project)?;
        if t.access.contains(&project) {
            return Err(Condition::exists(Kind::VolumeType, &t.name));
        }
        t.access.push(project);
        Ok(())
    })
    .await
}

/// Takes that back; volumes of the project keep their type.
pub async fn expel(
    ports: &Ports,
    actor: &Actor,
    id: VolumeTypeId,
    project: ProjectId,
) -> Result<(VolumeType, u64), Condition> {
    changed(ports, actor, id, false, move |_, t| {
        refuse_public(t)?;
        if !t.access.contains(&project) {
            return Err(Condition::not_found(Kind::Project, project));
        }
        t.access.retain(|p| *p != project);
        Ok(())
    })
    .await
}

/// How the volumes of a type are to be encrypted; absent parts stay as they are.
#[derive(Clone, Debug, Default)]
pub struct Encryption {
    /// Who can do it.
    pub provider: Option<String>,
    /// The cipher; an inner `None` empties it.
    pub cipher: Option<Option<String>>,
    /// Bits; an inner `None` empties it.
    pub key_size: Option<Option<u32>>,
    /// Who does it.
    pub control_location: Option<ControlLocation>,
}

/// Says how the volumes of a type that has none yet are encrypted. `anew`: it must not be said yet; else it must be.
pub async fn encrypt(
    ports: &Ports,
    actor: &Actor,
    id: VolumeTypeId,
    want: Encryption,
    anew: bool,
) -> Result<(VolumeType, u64), Condition> {
    let (fresh, now) = (ports.entropy.uuid(), ports.clock.now());
    changed(ports, actor, id, true, move |_, t| {
        let mut e = match (&t.encryption, anew) {
            (Some(_), true) => return Err(Condition::exists(Kind::VolumeType, &t.name)),
            (None, false) => return Err(Condition::not_found(Kind::Other, t.id)),
            (Some(old), false) => {
                let stamp = Stamp { updated: Some(now), ..old.stamp };
                TypeEncryption { stamp, ..old.clone() }
            }
            (None, true) => TypeEncryption {
                id: fresh,
                provider: String::new(),
                cipher: None,
                key_size: None,
                control_location: ControlLocation::FrontEnd,
                stamp: Stamp::at(now),
            },
        };
        if let Some(provider) = &want.provider {
            e.provider = provider.clone();
        }
        if let Some(cipher) = &want.cipher {
            e.cipher = cipher.clone();
        }
        e.key_size = want.key_size.unwrap_or(e.key_size);
        e.control_location = want.control_location.unwrap_or(e.control_location);
        t.encryption = Some(e);
        Ok(())
    })
    .await
}

/// Says that the volumes of a type that has none yet are not encrypted.
pub async fn unencrypt(
    ports: &Ports,
    actor: &Actor,
    id: VolumeTypeId,
) -> Result<(VolumeType, u64), Condition> {
    changed(ports, actor, id, true, move |_, t| match t.encryption.take() {
        Some(_) => Ok(()),
        None => Err(Condition::not_found(Kind::Other, t.id)),
    })
    .await
}
