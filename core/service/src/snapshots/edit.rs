//! Changing what a snapshot is called and what is kept with it.

use parpen_identity::{Actor, Power, may};
use parpen_model::{Alias, Condition, Kind, Scope, Snapshot, SnapshotId, Subject, Volume, write};

use crate::Ports;
use crate::names::{self, Space};
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
    space: Space,
    to: &str,
) -> Result<(Snapshot, u64), Condition> {
    names::check(to)?;
    let (actor, to, now) = (actor.clone(), to.to_string(), ports.clock.now());
    write(&*ports.meta, move |tx| {
        let mut s: Snapshot = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Write, Some(s.project))?;
        let within = space.within == s.origin.to_string();
        let (taken, shown) = if within {
            let v: Option<Volume> = tx.read().find(Scope::All, s.origin)?;
            let other = v.map(|v| names::snapshot_of(tx.read(), &v, space.api, &to)).transpose()?.flatten();
            (other.map(|o| o.id), names::short(&s).to_string())
        } else {
            let other = match names::find(tx.read(), Scope::All, &space, &to)? {
                Some(Subject::Snapshot(o)) => Some(o),
                Some(Subject::Volume(_)) => return Err(Condition::exists(Kind::Volume, &to)),
                None => None,
            };
            (other, s.handle.to_string())
        };
        match taken {
            Some(other) if other == id => return Ok(s),
            Some(_) => return Err(Condition::exists(Kind::Snapshot, &to)),
            None => {}
        }
        s.aliases.retain(|a| a.api != space.api);
        if shown != to {
            s.aliases.push(Alias { api: space.api, scope: space.within.clone(), name: to.clone() });
        }
        s.auto_named = false;
        s.stamp.updated = Some(now);
        tx.update(&mut s)?;
        Ok(s)
    })
    .await
}
