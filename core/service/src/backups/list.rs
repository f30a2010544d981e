//! Looking at backups.

use std::collections::HashSet;

use parpen_identity::{Actor, Power, may};
use parpen_model::{Backup, BackupId, Condition, Query, ReadTx, Scope, read};

use crate::Ports;

/// A backup and what belongs to it.
#[derive(Clone, Debug)]
pub struct View {
    /// The row.
    pub backup: Backup,
    /// Others were compared with it.
    pub has_dependents: bool,
}

fn views(tx: &dyn ReadTx, all: Vec<Backup>) -> Result<Vec<View>, Condition> {
    let every: Vec<Backup> = tx.list(Scope::All, &Query::default())?;
    let bases: HashSet<BackupId> = every.iter().filter_map(|b| b.base).collect();
    let view = |backup: Backup| View { has_dependents: bases.contains(&backup.id), backup };
    Ok(all.into_iter().map(view).collect())
}

/// All backups that the actor may see, the oldest first.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<View>, Condition> {
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| {
        let all = tx.list(scope, &Query::default())?;
        views(tx, all)
    })
    .await
}

/// One backup.
pub async fn get(ports: &Ports, actor: &Actor, id: BackupId) -> Result<View, Condition> {
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| {
        let b: Backup = tx.get(scope, id)?;
        let mut all = views(tx, vec![b])?;
        all.pop().ok_or_else(|| Condition::internal("a backup without its view"))
    })
    .await
}
