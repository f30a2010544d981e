//! The test of the tests: an engine with one rule off must be caught.

use parpen_base::SystemClock;
use parpen_sim::mutants::MUTANTS;
use parpen_sim::sweep::{Plan, sweep};

/// Seeds within which a missing rule must show.
const SEEDS: u64 = 20_000;

fn is_caught(name: &str) {
    let mutant = MUTANTS.iter().find(|m| m.name == name).expect("the mutant has that name");
    let plan = Plan {
        run: mutant.run,
        profile: mutant.profile,
        from: 0,
        to: SEEDS,
        limit: None,
        jobs: 1,
        clock: &SystemClock::new(),
        keep_going: false,
    };
    let report = sweep(&plan, |_| {});
    assert!(
        !report.failures.is_empty(),
        "{SEEDS} histories without the rule {name:?} and nothing was noticed"
    );
}

#[test]
fn without_deferred_free() {
    is_caught("defer-free");
}

#[test]
fn without_deferred_free_of_deleted() {
    is_caught("defer-delete-free");
}

#[test]
fn without_verification_of_the_tail() {
    is_caught("verify-tail");
}

#[test]
fn without_verification_of_fillings() {
    is_caught("verify-fill");
}

#[test]
fn without_a_durable_outcome_of_recovery() {
    is_caught("fix-outcome");
}

#[test]
fn without_ghosts() {
    is_caught("ghosts");
}

#[test]
fn without_a_flush_before_the_switch() {
    is_caught("flush-before-switch");
}

#[test]
fn without_a_flush_before_the_cut() {
    is_caught("flush-before-cut");
}

#[test]
fn without_the_range_lock() {
    is_caught("range-lock");
}

#[test]
fn without_keeping_what_is_not_checkpointed() {
    is_caught("keep-dirty");
}

#[test]
fn without_keeping_the_old_map_of_free_blocks() {
    is_caught("keep-old-bits");
}
