//! The one home of time. Everything else asks a [`Clock`], so that a simulation can own it.

use std::time::Duration;

/// Wall time and a steady clock.
pub trait Clock: Send + Sync {
    /// Now, as wall time (UTC).
    fn now(&self) -> jiff::Timestamp;
    /// Time since some fixed moment of this process; never runs backwards.
    fn steady(&self) -> Duration;
}

/// The machine's clocks.
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// A clock whose steady time starts now.
    #[allow(clippy::disallowed_methods)] // this is the replacement that the ban names
    pub fn new() -> SystemClock {
        SystemClock { start: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[allow(clippy::disallowed_methods)] // this is the replacement that the ban names
impl Clock for SystemClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
    fn steady(&self) -> Duration {
        self.start.elapsed()
    }
}
