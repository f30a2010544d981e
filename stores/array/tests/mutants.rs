//! Every rule of the array is needed: without it some history loses data or reads what is stale.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;
#[path = "common/steps.rs"]
mod steps;
#[path = "common/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use parpen_engine::{Rules, Sound};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use steps::{Step, apply, step};
use world::World;

/// A history of this number.
fn history(n: u64) -> Vec<Step> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&n.to_le_bytes());
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    proptest::collection::vec(step(), 20..90).new_tree(&mut runner).unwrap().current()
}

fn run<R: Rules>(n: u64) {
    let mut w = World::<R>::new(3, n);
    history(n).into_iter().for_each(|s| apply(&mut w, s));
    w.settle();
}

/// The first history of so many that shows that a rule is missing.
fn caught<R: Rules>(histories: u64) -> Option<u64> {
    (0..histories).find(|n| catch_unwind(AssertUnwindSafe(|| run::<R>(*n))).is_err())
}

macro_rules! mutant {
    ($name:ident, $rule:ident) => {
        #[test]
        fn $name() {
            struct Without;
            impl Rules for Without {
                const $rule: bool = false;
            }
            let found = caught::<Without>(4000);
            assert!(found.is_some(), "nobody noticed");
            println!("history {}", found.unwrap());
        }
    };
}

mutant!(the_era_goes_up_before_an_answer, BUMP_ERA_BEFORE_ACK);
mutant!(the_newest_catalogue_is_believed, ADOPT_AUTHORITY);
mutant!(replicas_are_made_equal_at_opening, RECONCILE_AT_OPEN);
mutant!(only_clean_families_are_read, READ_ONLY_CLEAN);
mutant!(a_family_leaves_after_its_new_place_is_durable, OVERRIDE_BEFORE_EVICT);
mutant!(old_disks_alone_are_refused, WITNESS);
mutant!(a_copy_is_durable_before_it_counts, FILL_DURABLE_BEFORE_OVERRIDE);

#[test]
fn with_all_rules_these_histories_are_clean() {
    (0..200).for_each(run::<Sound>);
}
