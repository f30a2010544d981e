//! Volumes: one file a verb.

pub(crate) mod create;
mod declare;
pub(crate) mod delete;
mod edit;
pub(crate) mod freeze;
mod lineage;
pub(crate) mod list;
mod manage;
pub(crate) mod migrate;
pub(crate) mod rebase;
pub(crate) mod resize;
mod retype;
pub(crate) mod rollback;
pub(crate) mod target;

pub use create::{From, NewVolume, Options, Place, create};
pub use declare::{Said, declare, say};
pub use delete::{DeleteTerms, Snapshots, delete};
pub use edit::{Change, ChangeAttributes, Changed, Edit, change, edit, rename};
pub use freeze::freeze;
pub use lineage::{cost, diff};
pub use list::{Attached, Filter, Key, View, get, list, stored};
pub use manage::{
    Manageable, Takeover, let_loose, let_snapshot_loose, manageable, take_over, take_snapshot_over,
};
pub use migrate::{MoveTerms, migrate};
pub use rebase::rebase;
pub use resize::{NewSize, ResizeTerms, resize};
pub use retype::{Retype, retype};
pub use rollback::{RollbackTerms, rollback};

/// Largest volume, in bytes: 1 PiB.
pub const SIZE_MAX: u64 = 1 << 50;

/// A size in bytes as the core keeps it: a multiple of 512, at least 512, rounded up.
pub(crate) fn core_size(bytes: u64) -> Result<u64, parpen_model::Condition> {
    match parpen_base::round_up(bytes.max(1), parpen_base::SECTOR) {
        Some(n) if n <= SIZE_MAX => Ok(n),
        _ => Err(parpen_model::Condition::invalid("size", "a volume has at most 1 PiB")),
    }
}
