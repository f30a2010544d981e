//! Random histories against a model: verbs, crashes, disks that die and come back, disks that are emptied and
//! filled, with everything read again and again.

mod common;
#[path = "common/steps.rs"]
mod steps;
#[path = "common/world.rs"]
mod world;

use parpen_engine::Sound;
use proptest::prelude::*;
use steps::{apply, step};
use world::World;

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn nothing_flushed_is_lost_and_nothing_stale_is_read(
        seed in any::<u32>(),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut w = World::<Sound>::new(3, u64::from(seed));
        for step in steps {
            apply(&mut w, step);
        }
        w.settle();
    }
}
