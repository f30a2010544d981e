//! The services as they may be on a bad day.

mod device;
mod fake;
mod glance;
mod keystone;
mod tls;
