//! Typed ids, nouns, lifecycle tables, conditions and ports: no I/O, no HTTP, no SQL.
//!
//! A noun is plain data with public fields. Its states change only through [`lifecycle`]; what can go wrong is a
//! [`Condition`]; what the use cases need from the world are the traits in [`ports`].
#![forbid(unsafe_code)]

mod condition;
mod ids;
mod label;
pub mod lifecycle;
mod names;
mod nouns;
pub mod ports;
mod rows;

pub use condition::{Condition, Kind};
pub use ids::*;
pub use label::Label;
pub use names::{HANDLE_MAX, Handle, NAME_MAX, check_pool_name};
pub use nouns::*;
pub use rows::{Noun, Query, ReadTx, Row, Scope, WriteTx, look, read, write};
