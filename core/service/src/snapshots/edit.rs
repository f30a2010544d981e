//! Changing what a snapshot is called and what is kept with it.

use parpen_identity::{Actor, Power, may};
use parpen_model::{Alias, Condition, Scope, Snapshot, SnapshotId, Subject, Volume, write};

use crate::Ports;
use crate::names::{self, Rename};
use crate::volumes::ChangeAttributes;

/// What is to be different; absent parts stay.
#[derive(Default)]
pub struct Edit {
    /// The free-text name, where it is not unique.
    pub name: Option<String>,
    /// Lives only as long as something was made from it.
    pub bound: Option<bool>,
    /// What APIs keep with it.
    pub attributes: Option<ChangeAttributes>,
    /// Only if it is still at this revision.
    pub expect: Option<i64>,
}

/// Changes a snapshot in one transaction.
pub async fn edit(
    ports: &Ports,
    actor: &Actor,
    id: SnapshotId,
    mut edit: Edit,
) -> Result<(Snapshot, u64), Condition> {
    if let Some(name) = &edit.name {
        names::check(name)?;
    }
    let (actor, now) = (actor.clone(), ports.clock.now());
    write(&*ports.meta, move |tx| {
        let mut s: Snapshot = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Write, Some(s.project))?;
        if let Some(expected) = edit.expect.filter(|e| *e != s.stamp.revision) {
            return Err(Condition::PreconditionFailed {
                expected: expected.to_string(),
                actual: s.stamp.revision.to_string(),
            });
        }
        if let Some(name) = &edit.name {
            s.name = name.clone();
        }
        s.bound = edit.bound.unwrap_or(s.bound);
        if let Some(change) = &mut edit.attributes {
            change(&mut s.attributes);
        }
        s.stamp.updated = Some(now);
        tx.update(&mut s)?;
        Ok(s)
    })
    .await
}

/// Renames a snapshot for one side: service-wide, or within its volume. Its handle stays.
pub async fn rename(
    ports: &Ports,
    actor: &Actor,
    id: SnapshotId,
    rename: Rename,
) -> Result<(Snapshot, u64), Condition> {
    names::check(&rename.to)?;
    let (actor, now) = (actor.clone(), ports.clock.now());
    write(&*ports.meta, move |tx| {
        let mut s: Snapshot = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Write, Some(s.project))?;
        let Rename { space, to, .. } = &rename;
        let within = space.within == s.origin.to_string();
        let named = |scope, name: &str| match within {
            true => {
                let v: Option<Volume> = tx.read().find(scope, s.origin)?;
                let found = v.map(|v| names::snapshot_of(tx.read(), &v, space.api, name)).transpose()?;
                Ok(found.flatten().map(|s| Subject::Snapshot(s.id)))
            }
            false => names::find(tx.read(), scope, space, name),
        };
        rename.check_meant(id.into(), |from| named(actor.scope, from))?;
        match named(Scope::All, to)? {
            Some(Subject::Snapshot(other)) if other == id => return Ok(s),
            Some(other) => return Err(Condition::exists(other.kind(), to)),
            None => {}
        }
        let is_shown = *to == if within { names::short(&s) } else { s.handle.as_str() };
        s.aliases.retain(|a| a.api != space.api);
        if !is_shown {
            s.aliases.push(Alias { api: space.api, scope: space.within.clone(), name: to.clone() });
        }
        s.auto_named = false;
        s.stamp.updated = Some(now);
        tx.update(&mut s)?;
        Ok(s)
    })
    .await
}
