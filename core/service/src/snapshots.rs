//! Snapshots: one file a verb.

pub(crate) mod create;
pub(crate) mod delete;
mod edit;
mod list;

pub use create::{NewSnapshot, create};
pub(crate) use create::{draft, take};
pub(crate) use delete::remove;
pub use delete::{DeleteTerms, delete};
pub use edit::{Edit, edit, rename};
pub use list::{Key, View, get, list};
