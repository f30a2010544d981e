//! Seeded simulation: the engine on disks that tear, lose, misdirect and fail, judged by a model of what it promised.
//!
//! Everything runs on one thread and every choice comes from one seed, so a seed names a history and a failing seed is
//! a failing test. [`exec`] picks the next task, [`disk`] does what media do, the rest drives and judges the engine.
#![forbid(unsafe_code)]

pub mod content;
pub mod disk;
pub mod exec;
pub mod image;
pub mod model;
pub mod profile;
pub mod rng;
pub mod trace;
