//! Groups of volumes, their types and snapshots.

pub(crate) mod create;
pub(crate) mod delete;
mod list;
pub(crate) mod snapshots;
mod types;
mod update;

pub use create::{Members, NewGroup, create, create_from};
pub use delete::delete;
pub use list::{View, get, list, say};
pub use snapshots::{
    Parts, create as create_snapshot, delete as delete_snapshot, get as get_snapshot, list as list_snapshots,
    say as say_snapshot,
};
pub use types::{
    NewType, TypeEdit, create as create_type, delete as delete_type, edit as edit_type, get as get_type,
    list as list_types,
};
pub(crate) use update::take_in;
pub use update::{GroupEdit, update};
