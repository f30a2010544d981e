//! Changing what a volume is called and what is kept with it.

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::When;
use parpen_model::{
    Alias, Api, Attributes, Condition, Handle, Kind, Label, Limits, Scope, Subject, Volume, VolumeId, write,
};

use crate::Ports;
use crate::names::{self, Space};

/// Changes the attributes; may be run again.
pub type ChangeAttributes = Box<dyn FnMut(&mut Attributes) + Send>;

/// What is to be different; absent parts stay.
#[derive(Default)]
pub struct Edit {
    /// The free-text name, where it is not unique.
    pub name: Option<String>,
    /// Ceilings on I/O.
    pub limits: Option<Limits>,
    /// Later attachments are read-only.
    pub readonly: Option<bool>,
    /// What APIs keep with it.
    pub attributes: Option<ChangeAttributes>,
    /// Only if it is still at this revision.
    pub expect: Option<i64>,
    /// The states it is allowed from.
    pub when: When,
}

/// Changes a volume in one transaction.
pub async fn edit(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    mut edit: Edit,
) -> Result<(Volume, u64), Condition> {
    if let Some(name) = &edit.name {
        names::check(name)?;
    }
    let (actor, now) = (actor.clone(), ports.clock.now());
    write(&*ports.meta, move |tx| {
        let mut v: Volume = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Write, Some(v.project))?;
        if let Some(expected) = edit.expect.filter(|e| *e != v.stamp.revision) {
            return Err(Condition::PreconditionFailed {
                expected: expected.to_string(),
                actual: v.stamp.revision.to_string(),
            });
        }
        edit.when.check(Kind::Volume, v.id, v.standing())?;
        if let Some(name) = &edit.name {
            v.name = name.clone();
        }
        v.limits = edit.limits.unwrap_or(v.limits);
        v.readonly = edit.readonly.unwrap_or(v.readonly);
        if let Some(change) = &mut edit.attributes {
            change(&mut v.attributes);
        }
        v.epoch += 1;
        v.stamp.updated = Some(now);
        tx.update(&mut v)?;
        Ok(v)
    })
    .await
}

/// Renames a volume within one side's space of unique names. The native side moves name and handle; every other side
/// moves its own alias only.
pub async fn rename(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    space: Space,
    to: &str,
) -> Result<(Volume, u64), Condition> {
    names::check(to)?;
    if space.api == Api::Native {
        Handle::parse(to)?;
    }
    let (actor_in, to, now) = (actor.clone(), to.to_string(), ports.clock.now());
    let (volume, generation) = write(&*ports.meta, move |tx| {
        let mut v: Volume = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Write, Some(v.project))?;
        match names::find(tx.read(), Scope::All, &space, &to)? {
            Some(s) if s == Subject::Volume(id) => return Ok(v),
            Some(_) => return Err(Condition::exists(Kind::Volume, &to)),
            None => {}
        }
        v.aliases.retain(|a| a.api != space.api);
        if space.api == Api::Native {
            let handle = Handle::parse(&to)?;
            if v.handle != handle && !names::is_free(tx.read(), &handle, &[v.pool.0, v.project.0])? {
                return Err(Condition::exists(Kind::Volume, &to));
            }
            v.handle = handle;
            v.name = to.clone();
        } else if v.handle.as_str() != to {
            v.aliases.push(Alias { api: space.api, scope: space.within.clone(), name: to.clone() });
        }
        v.stamp.updated = Some(now);
        tx.update(&mut v)?;
        Ok(v)
    })
    .await?;
    relabel(ports, &volume).await;
    Ok((volume, generation))
}

/// Labels follow the rows; a store that does not answer now gets the label at the next start, so this is no failure.
async fn relabel(ports: &Ports, v: &Volume) {
    if let Err(e) = ports.figures.relabel(v.pool, Label::of_volume(v)).await {
        tracing::warn!(volume = %v.id, error = ?e, "the label on disk is older than the row; the next start renews it");
    }
}
