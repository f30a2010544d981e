//! The services as they may be on a bad day.

mod fake;
mod glance;
mod keystone;
