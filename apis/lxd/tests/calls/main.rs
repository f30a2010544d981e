//! Requests through the real API and the real core, over rows in memory and a store that only remembers sizes.

mod bad_input;
mod events;
mod pools;
mod snapshots;
mod strangers;
mod volumes;
mod world;
