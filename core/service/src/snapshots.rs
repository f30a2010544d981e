//! Snapshots: one file a verb.

mod bound;
pub(crate) mod create;
pub(crate) mod delete;
mod edit;
mod list;
mod say;

pub(crate) use bound::collect;
pub use create::{NewSnapshot, create, group};
pub(crate) use create::{broken, draft, take};
pub use delete::{DeleteTerms, delete};
pub(crate) use delete::{removal, remove, spare};
pub use edit::{Edit, edit, rename};
pub use list::{Key, View, as_told, get, list};
pub use say::say;
