//! The API as its clients see it, over a whole core in memory.
#![allow(missing_docs, clippy::unwrap_used)] // a test binary

mod coverage;
mod hostile;
#[path = "../../../../core/service/tests/service/house/mod.rs"]
#[allow(dead_code)] // the core's own tests use the rest of it
mod house;
mod login;
mod snapshots;
mod strangers;
mod volumes;
mod world;
