//! Random histories against a model: verbs, crashes, disks that die and come back, disks that are emptied and
//! filled, with everything read again and again.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;
#[path = "common/world.rs"]
mod world;

use parpen_engine::Sound;
use proptest::prelude::*;
use world::{BLOCKS, World};

#[derive(Clone, Debug)]
enum Step {
    Create { replicas: u8, from: Option<u64> },
    Write { volume: u64, first: u64, count: u64 },
    Erase { volume: u64, first: u64, count: u64, zero: bool },
    Flush { volume: u64 },
    Snapshot { volume: u64 },
    Rollback { volume: u64, snapshot: u64 },
    Delete { which: u64 },
    Lose { disk: u16 },
    ComeBack { disk: u16 },
    Crash { absent: Option<u16> },
    Work { steps: usize, budget: u64 },
    WriteWhileWorking { volume: u64, first: u64, count: u64, steps: u8 },
    SoftEject { disk: u16 },
    CancelEject { disk: u16 },
    Balance,
    Check,
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let n = any::<u64>;
    let disk = || 1u16..4;
    prop_oneof![
        3 => (1u8..=3, proptest::option::weighted(0.4, n())).prop_map(|(replicas, from)| Step::Create { replicas, from }),
        12 => (n(), 0..BLOCKS, 1u64..12).prop_map(|(volume, first, count)| Step::Write { volume, first, count }),
        2 => (n(), 0..BLOCKS, 1u64..30, any::<bool>())
            .prop_map(|(volume, first, count, zero)| Step::Erase { volume, first, count, zero }),
        4 => n().prop_map(|volume| Step::Flush { volume }),
        3 => n().prop_map(|volume| Step::Snapshot { volume }),
        1 => (n(), n()).prop_map(|(volume, snapshot)| Step::Rollback { volume, snapshot }),
        2 => n().prop_map(|which| Step::Delete { which }),
        2 => disk().prop_map(|disk| Step::Lose { disk }),
        3 => disk().prop_map(|disk| Step::ComeBack { disk }),
        2 => proptest::option::of(disk()).prop_map(|absent| Step::Crash { absent }),
        4 => (1usize..20, 1u64..200_000).prop_map(|(steps, budget)| Step::Work { steps, budget }),
        4 => (n(), 0..BLOCKS, 1u64..12, 1u8..20)
            .prop_map(|(volume, first, count, steps)| Step::WriteWhileWorking { volume, first, count, steps }),
        1 => disk().prop_map(|disk| Step::SoftEject { disk }),
        1 => disk().prop_map(|disk| Step::CancelEject { disk }),
        1 => Just(Step::Balance),
        2 => Just(Step::Check),
        1 => Just(Step::Settle),
    ]
}

fn apply(w: &mut World<Sound>, step: Step) {
    let span = |first: u64, count: u64| (first, count.min(BLOCKS - first));
    match step {
        Step::Create { replicas, from } => {
            let from = from.and_then(|n| w.pick(Some(true), n));
            w.create(replicas, from);
        }
        Step::Write { volume, first, count } => {
            let (first, count) = span(first, count);
            if let Some(id) = w.pick(Some(false), volume) {
                w.write(id, first, count);
            }
        }
        Step::Erase { volume, first, count, zero } => {
            let (first, count) = span(first, count);
            if let Some(id) = w.pick(Some(false), volume) {
                w.erase(id, first, count, zero);
            }
        }
        Step::Flush { volume } => w.pick(Some(false), volume).into_iter().for_each(|id| w.flush(id)),
        Step::Snapshot { volume } => w.pick(Some(false), volume).into_iter().for_each(|id| w.snapshot(id)),
        Step::Rollback { volume, snapshot } => {
            if let (Some(id), Some(to)) = (w.pick(Some(false), volume), w.pick(Some(true), snapshot)) {
                w.rollback(id, to);
            }
        }
        Step::Delete { which } => w.pick(None, which).into_iter().for_each(|id| w.delete(id)),
        // At most one disk is away at a time, so that two copies always suffice.
        Step::Lose { disk } if w.away.is_empty() && w.out() == 0 => w.lose(disk),
        Step::Lose { .. } => {}
        Step::ComeBack { disk } => w.come_back(disk),
        Step::Crash { absent } => {
            let absent = absent.filter(|_| w.away.is_empty() && w.out() == 0);
            let absent: Vec<u16> = absent.into_iter().chain(w.away.keys().copied()).collect();
            w.crash(&absent, false);
        }
        Step::Work { steps, budget } => drop(w.work(steps, budget)),
        Step::WriteWhileWorking { volume, first, count, steps } => {
            let (first, count) = span(first, count);
            let Some(id) = w.pick(Some(false), volume) else { return };
            let tag = w.fresh();
            let result = common::block_on(async {
                let work = async {
                    for _ in 0..steps {
                        w.array.step(9000).await;
                    }
                    Ok(())
                };
                let both: Vec<std::pin::Pin<Box<dyn Future<Output = _>>>> =
                    vec![Box::pin(w.write_at(id, first, count, tag)), Box::pin(work)];
                parpen_engine::sync::join_all(both).await[0]
            });
            w.wrote(id, first, count, tag, result);
        }
        Step::SoftEject { disk } => drop(common::block_on(w.array.soft_eject(disk))),
        Step::CancelEject { disk } => drop(common::block_on(w.array.cancel_eject(disk))),
        Step::Balance => {
            w.array.compute_balance();
            w.array.commit_balance().unwrap();
        }
        Step::Check => w.check(),
        Step::Settle => w.settle(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn nothing_flushed_is_lost_and_nothing_stale_is_read(
        seed in any::<u32>(),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut w = World::new(3, u64::from(seed));
        for step in steps {
            apply(&mut w, step);
        }
        w.settle();
    }
}
