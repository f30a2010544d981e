//! Backups: one file a verb.

pub(crate) mod create;
pub(crate) mod delete;
mod edit;
mod list;
pub(crate) mod record;
pub(crate) mod restore;
pub(crate) mod verify;

pub use create::{CreateTerms, NewBackup, create};
pub(crate) use delete::let_go;
pub use delete::{DeleteTerms, delete};
pub use edit::{Edit, edit, reset};
pub use list::{View, get, list};
pub use record::{Record, export, import};
pub use restore::{Bring, Brought, Into, bytes_only, restore};
pub use verify::verify;

use parpen_model::lifecycle::{BackupEvent, backup};
use parpen_model::{Backup, Condition, JobId, Kind, Pin, SnapshotId, WriteTx};

/// The set of backups that is meant when none is named.
pub const CONTAINER: &str = "volumebackups";
/// Longest name of a container, in bytes.
const CONTAINER_MAX: usize = 255;

/// Refuses names of containers that are no plain part of an address.
fn check_container(name: &str) -> Result<(), Condition> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let good = !name.is_empty() && name.len() <= CONTAINER_MAX && name.chars().all(plain);
    match good && !name.starts_with('.') {
        true => Ok(()),
        false => Err(Condition::invalid(
            "container",
            "a container has 1 to 255 of A-Z a-z 0-9 _ . - and does not begin with a dot",
        )),
    }
}

/// Moves a backup's state; what an administrator wanted shown ends with it.
fn step(b: &mut Backup, event: BackupEvent) -> Result<(), Condition> {
    b.state = backup(b.state, event).map_err(|r| r.about(Kind::Backup, b.id))?;
    b.shown = None;
    Ok(())
}

/// The job needs these snapshots no longer.
fn unpin(tx: &mut dyn WriteTx, snapshots: &[SnapshotId], job: JobId) -> Result<(), Condition> {
    for snapshot in snapshots {
        for pin in tx.read().children::<Pin>(*snapshot)?.into_iter().filter(|p| p.job == job) {
            tx.delete::<Pin>(pin.id)?;
        }
    }
    Ok(())
}
