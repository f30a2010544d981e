//! Waking up later, without a thread that sleeps.

/// Calls back after a time. A reactor and the control runtime each have one; tests have one that is turned
/// by hand.
pub trait Timer: Send + Sync {
    /// Calls `f` once, on any thread, at least `ms` milliseconds from now. Dropped uncalled when the owner
    /// has ended.
    fn after(&self, ms: u32, f: Box<dyn FnOnce() + Send>);
}
