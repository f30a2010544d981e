//! Written histories: the sound engine lives through them, the one without the rule does not.

use parpen_engine::Sound;
use parpen_sim::mutants::{NoBootEpoch, NoChain, NoDeferDeleteFree};
use parpen_sim::scripted::{deletion_undone, shrunk_and_grown, stale_successor};

#[test]
fn a_stale_record_does_not_follow_a_fresh_one() {
    assert_eq!(stale_successor::<Sound>(), Ok(()));
    assert!(stale_successor::<NoChain>().is_err(), "without the chain of hashes");
    assert!(stale_successor::<NoBootEpoch>().is_err(), "without an epoch of its own for each life");
}

#[test]
fn what_an_undone_deletion_held_is_still_there() {
    for seed in 0..32 {
        assert_eq!(deletion_undone::<Sound>(seed), Ok(()), "{seed}");
    }
    assert!((0..32).any(|seed| deletion_undone::<NoDeferDeleteFree>(seed).is_err()));
}

#[test]
fn what_was_cut_off_does_not_show_again() {
    for first in 0..8 {
        for second in 0..8 {
            assert_eq!(shrunk_and_grown::<Sound>(first, second), Ok(()), "{first}, {second}");
        }
    }
}
