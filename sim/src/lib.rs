//! Seeded simulation: the engine, and many of them as one store, on disks that tear, lose, misdirect, fail and go
//! away, judged by a model of what was promised.
//!
//! Everything runs on one thread and every choice comes from one seed, so a seed names a history and a
//! failing seed is a failing test. [`exec`] picks the next task, [`disk`] does what media do, the rest
//! drives and judges the engine; [`array`] drives and judges a store of several disks.
#![forbid(unsafe_code)]

mod actions;
mod array;
pub mod content;
pub mod corpus;
pub mod disk;
pub mod exec;
pub mod history;
pub mod image;
mod log;
pub mod model;
mod moves;
pub mod mutants;
pub mod profile;
mod recovery;
mod requests;
pub mod rng;
pub mod scripted;
pub mod sweep;
pub mod trace;
mod world;

pub use world::Tally;
