//! Requests through the real API and the real core, over rows in memory and a store that only remembers
//! sizes.
#![allow(clippy::unwrap_used)] // a test that cannot go on may panic

mod bad_input;
mod events;
mod pools;
mod snapshots;
mod strangers;
mod volumes;
mod world;
