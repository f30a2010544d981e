//! Sound engines on bad disks.

use std::time::Duration;

use parpen_base::SystemClock;
use parpen_engine::Sound;
use parpen_sim::history::run;
use parpen_sim::profile::Profile;
use parpen_sim::sweep::{Plan, Report, sweep};

/// Histories that are lived through however long they take, and tell what a profile does; then those for which there is
/// time.
const LEAST: u64 = 10;

fn sweep_of(profile: Profile, from: u64, to: u64, limit: Option<Duration>) -> Report {
    let clock = &SystemClock::new();
    let plan = Plan { run: run::<Sound>, profile, from, to, limit, jobs: 1, clock, keep_going: false };
    let report = sweep(&plan, |_| {});
    if let Some((seed, failure)) = report.failures.first() {
        let name = profile.name();
        panic!("{failure}\nsee it: cargo run -rp parpen-sim -- --profile {name} --seed {seed} --trace");
    }
    report
}

fn survives(profile: Profile) -> Report {
    let report = sweep_of(profile, 0, LEAST, None);
    assert!(report.tally.crashes > report.histories && report.tally.recoveries > report.histories);
    sweep_of(profile, LEAST, u64::MAX, Some(crate::seconds()));
    report
}

#[test]
fn power_cuts_within_sectors() {
    survives(Profile::Crash);
}

#[test]
fn power_cuts_between_blocks() {
    survives(Profile::CrashAtomic);
}

#[test]
fn power_cuts_during_recovery() {
    survives(Profile::Recovery);
}

#[test]
fn power_cuts_while_families_move() {
    survives(Profile::Moves);
}

#[test]
fn a_full_disk() {
    assert!(survives(Profile::Full).tally.refusals > 0);
}

#[test]
fn a_full_host() {
    assert!(survives(Profile::Host).tally.refusals > 0);
}

#[test]
fn reads_and_writes_that_fail() {
    assert!(survives(Profile::Errors).tally.errors > 0);
}

#[test]
fn flushes_that_fail_and_then_lie() {
    assert!(survives(Profile::Flush).tally.errors > 0);
}

#[test]
fn faults_that_nobody_reports() {
    let report = survives(Profile::Silent);
    assert!(report.tally.errors > 0);
    assert!(report.tally.unreadable < report.histories / 2, "most disks died: the faults are too many");
}

#[test]
fn disks_that_come_and_go() {
    assert!(survives(Profile::Array).tally.errors > 0);
}

#[test]
fn several_disks_that_are_small() {
    survives(Profile::ArrayFull);
}

#[test]
fn several_disks_some_of_which_fail() {
    assert!(survives(Profile::ArrayErrors).tally.errors > 0);
}

#[test]
fn several_disks_one_of_which_rots() {
    survives(Profile::ArraySilent);
}

#[test]
fn a_seed_names_one_history() {
    for profile in Profile::ALL {
        for seed in 0..4 {
            let (a, b) = (run::<Sound>(seed, profile, false), run::<Sound>(seed, profile, true));
            assert_eq!(a.digest, b.digest, "{} {seed}", profile.name());
            assert!(a.lines.is_empty() && !b.lines.is_empty());
        }
    }
    let digest = |seed| run::<Sound>(seed, Profile::Crash, false).digest;
    assert_ne!(digest(1), digest(2));
}
