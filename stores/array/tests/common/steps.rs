//! The steps of random histories, and how they are carried out.
#![allow(dead_code, clippy::unwrap_used)] // each test binary uses its part; a panic is how a test fails

use parpen_engine::Rules;
use proptest::prelude::*;

use super::common::block_on;
use super::world::{BLOCKS, World};

fn disks_of(bits: u8) -> Vec<u16> {
    (1..=3).filter(|n| bits >> (n - 1) & 1 == 1).collect()
}

#[derive(Clone, Debug)]
pub enum Step {
    Create {
        replicas: u8,
        from: Option<u64>,
    },
    Write {
        volume: u64,
        first: u64,
        count: u64,
    },
    Erase {
        volume: u64,
        first: u64,
        count: u64,
        zero: bool,
    },
    Flush {
        volume: u64,
    },
    Snapshot {
        volume: u64,
    },
    Rollback {
        volume: u64,
        snapshot: u64,
    },
    Delete {
        which: u64,
    },
    Lose {
        disk: u16,
    },
    ComeBack {
        disk: u16,
    },
    /// Bit n: disk n + 1 is not there afterwards.
    Crash {
        absent: u8,
    },
    /// The same in the midst of something: 0 work, 1 write, 2 flush, 3 snapshot, 4 rollback, 5 emptying a disk.
    CrashWithin {
        what: u8,
        volume: u64,
        polls: u16,
        absent: u8,
    },
    Work {
        steps: usize,
        budget: u64,
    },
    WriteWhileWorking {
        volume: u64,
        first: u64,
        count: u64,
        steps: u8,
    },
    /// Writes, flushes and work at once, and perhaps a disk dies in the midst of it.
    Together {
        volume: u64,
        first: u64,
        dies: Option<(u16, u8)>,
    },
    SoftEject {
        disk: u16,
    },
    CancelEject {
        disk: u16,
    },
    Balance,
    Check,
    Settle,
}

pub fn step() -> impl Strategy<Value = Step> {
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
        3 => (0u8..7).prop_map(|absent| Step::Crash { absent }),
        4 => (0u8..6, n(), 0u16..400, 0u8..7)
            .prop_map(|(what, volume, polls, absent)| Step::CrashWithin { what, volume, polls, absent }),
        4 => (1usize..20, 1u64..200_000).prop_map(|(steps, budget)| Step::Work { steps, budget }),
        4 => (n(), 0..BLOCKS, 1u64..12, 1u8..20)
            .prop_map(|(volume, first, count, steps)| Step::WriteWhileWorking { volume, first, count, steps }),
        4 => (n(), 0..BLOCKS - 40, proptest::option::of((disk(), 0u8..40)))
            .prop_map(|(volume, first, dies)| Step::Together { volume, first, dies }),
        1 => disk().prop_map(|disk| Step::SoftEject { disk }),
        1 => disk().prop_map(|disk| Step::CancelEject { disk }),
        1 => Just(Step::Balance),
        2 => Just(Step::Check),
        1 => Just(Step::Settle),
    ]
}

pub fn apply<R: Rules>(w: &mut World<R>, step: Step) {
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
        Step::Lose { disk } if w.away.len() < 2 => w.lose(disk),
        Step::Lose { .. } => {}
        Step::ComeBack { disk } => w.come_back(disk),
        Step::Crash { absent } => {
            w.crash(&disks_of(absent));
        }
        Step::CrashWithin { what, volume, polls, absent } => {
            w.crash_within(what, volume, polls, &disks_of(absent));
        }
        Step::Work { steps, budget } => drop(w.work(steps, budget)),
        Step::WriteWhileWorking { volume, first, count, steps } => {
            let (first, count) = span(first, count);
            let Some(id) = w.pick(Some(false), volume) else { return };
            let tag = w.fresh();
            let result = block_on(async {
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
        Step::Together { volume, first, dies } => {
            if let Some(id) = w.pick(Some(false), volume) {
                w.together(id, first, dies.filter(|_| w.away.len() < 2));
            }
        }
        Step::SoftEject { disk } => drop(block_on(w.array.soft_eject(disk))),
        Step::CancelEject { disk } => drop(block_on(w.array.cancel_eject(disk))),
        Step::Balance => {
            block_on(w.array.compute_balance());
            // Refused when no disk is left that could note it.
            let _ = block_on(w.array.commit_balance());
        }
        Step::Check => w.check(),
        Step::Settle => w.settle(),
    }
}
