//! Changing what a backup is called and what is kept with it.

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::BackupState;
use parpen_model::{Backup, BackupId, Condition, write};

use crate::volumes::ChangeAttributes;
use crate::{Ports, names};

/// What is to be different; absent parts stay.
#[derive(Default)]
pub struct Edit {
    /// The name.
    pub name: Option<String>,
    /// What APIs keep with it.
    pub attributes: Option<ChangeAttributes>,
}

/// Changes a backup in one transaction.
pub async fn edit(ports: &Ports, actor: &Actor, id: BackupId, mut edit: Edit) -> Result<Backup, Condition> {
    edit.name.as_deref().map_or(Ok(()), names::check)?;
    let (actor, now) = (actor.clone(), ports.clock.now());
    let (changed, _) = write(&*ports.meta, move |tx| {
        let mut b: Backup = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Write, Some(b.project))?;
        if let Some(name) = &edit.name {
            b.name = name.clone();
        }
        if let Some(change) = &mut edit.attributes {
            change(&mut b.attributes);
        }
        b.stamp.updated = Some(now);
        tx.update(&mut b)?;
        Ok(b)
    })
    .await?;
    Ok(changed)
}

/// Shows another state, for an administrator: no job and no byte is touched, and the next real change ends it.
pub async fn reset(ports: &Ports, actor: &Actor, id: BackupId, to: BackupState) -> Result<(), Condition> {
    let actor = actor.clone();
    write(&*ports.meta, move |tx| {
        let mut b: Backup = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Operate, Some(b.project))?;
        b.shown = Some(to);
        tx.update(&mut b)
    })
    .await
    .map(|_| ())
}
