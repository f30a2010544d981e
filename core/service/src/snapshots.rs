//! Snapshots: one file a verb.

pub(crate) mod create;
pub(crate) mod delete;
mod edit;
mod list;
mod say;

pub use create::{NewSnapshot, create};
pub(crate) use create::{broken, draft, take};
pub use delete::{DeleteTerms, delete};
pub(crate) use delete::{removal, remove, spare};
pub use edit::{Edit, edit, rename};
pub use list::{Key, View, get, list};
pub use say::say;
