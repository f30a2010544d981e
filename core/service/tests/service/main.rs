//! The use cases over a real database in memory, the real gate and a store that can be told to fail.
#![allow(clippy::unwrap_used)] // helpers of tests, which the lint does not know for tests

mod access;
mod adopt;
mod backups;
mod crash;
mod disks;
mod groups;
mod house;
mod lineage;
mod names;
mod objects;
mod owners;
mod points;
mod policy;
mod quotas;
mod restored;
mod sealed;
mod terms;
mod volumes;
