//! Many seeds on some cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parpen_base::Clock;

use crate::history::Outcome;
use crate::profile::Profile;
use crate::world::Tally;

/// A way to run one history.
pub type Run = fn(u64, Profile, bool) -> Outcome;

/// What to run.
pub struct Plan<'a> {
    /// The engine's rules.
    pub run: Run,
    /// The kind of history.
    pub profile: Profile,
    /// The first seed.
    pub from: u64,
    /// One past the last seed.
    pub to: u64,
    /// When to stop earlier.
    pub limit: Option<Duration>,
    /// Threads.
    pub jobs: usize,
    /// Measures the limit.
    pub clock: &'a dyn Clock,
    /// Whether to go on after a failure.
    pub keep_going: bool,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Report {
    /// Histories that ran to their end.
    pub histories: u64,
    /// What they did together.
    pub tally: Tally,
    /// `(seed, what was wrong)`.
    pub failures: Vec<(u64, String)>,
}

/// Runs the plan; `progress` hears of each report while it grows, some thousand histories apart.
pub fn sweep(plan: &Plan<'_>, progress: impl Fn(&Report) + Sync) -> Report {
    let start = plan.clock.steady();
    let next = AtomicU64::new(plan.from);
    let stop = AtomicBool::new(false);
    let report = Mutex::new(Report::default());
    let worker = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let late = plan.limit.is_some_and(|limit| plan.clock.steady() - start >= limit);
            if seed >= plan.to || late {
                return;
            }
            let outcome = (plan.run)(seed, plan.profile, false);
            let mut report = report.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            report.histories += 1;
            report.tally.add(&outcome.tally);
            if let Some(failure) = outcome.failure {
                report.failures.push((seed, failure));
                stop.fetch_or(!plan.keep_going, Ordering::Relaxed);
            }
            if report.histories.is_multiple_of(4096) {
                progress(&report);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..plan.jobs {
            scope.spawn(worker);
        }
        worker();
    });
    report.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
}
