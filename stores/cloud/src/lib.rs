//! An OpenStack beside this service: a Keystone that knows tokens, a Glance that keeps images.
//!
//! Whatever comes from there is bounded and read with care, no redirect is followed (a token would go with it), and what
//! is out of reach is `Unavailable` with words that say what to look at. Secrets are in no text and no log.
#![forbid(unsafe_code)]

mod account;
mod glance;
mod keystone;
#[cfg(test)]
mod tests;
mod wire;

pub use account::{Account, Proof};
pub use glance::Glance;
pub use keystone::Keystone;
pub use wire::{Wire, root};
