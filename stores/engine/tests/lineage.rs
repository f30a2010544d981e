//! Differences between volumes and snapshots, against a model that gives every written block a number of its own.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::collections::BTreeMap;
use std::rc::Rc;

use common::{Ram, assert_sound, block_on, formatted, open};
use parpen_base::Buf;
use parpen_engine::{Change, EngineError, Kind, Layout, RamDisk};
use proptest::prelude::*;
use uuid::Uuid;

const B: u64 = 4096;
const BLOCKS: u64 = 40;

#[derive(Clone, Debug)]
enum Step {
    Create { blocks: u64, from: Option<u8> },
    Write { volume: u8, block: u64, blocks: u64, fill: u8 },
    Within { volume: u8, at: u64, len: u64 },
    Zero { volume: u8, block: u64, blocks: u64 },
    Snapshot { volume: u8 },
    Resize { volume: u8, blocks: u64 },
    Rollback { volume: u8, snapshot: u8 },
    Delete { which: u8 },
    Freeze { volume: u8 },
    Rebase { which: u8, onto: Option<u8> },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let n = any::<u8>;
    let blocks = || 1..=BLOCKS;
    prop_oneof![
        2 => (blocks(), proptest::option::of(n())).prop_map(|(blocks, from)| Step::Create { blocks, from }),
        8 => (n(), 0..BLOCKS, 1u64..12, 0u8..9)
            .prop_map(|(volume, block, blocks, fill)| Step::Write { volume, block, blocks, fill }),
        2 => (n(), 0..BLOCKS * B, 1u64..9000).prop_map(|(volume, at, len)| Step::Within { volume, at, len }),
        2 => (n(), 0..BLOCKS, 1u64..12).prop_map(|(volume, block, blocks)| Step::Zero { volume, block, blocks }),
        4 => n().prop_map(|volume| Step::Snapshot { volume }),
        1 => (n(), blocks()).prop_map(|(volume, blocks)| Step::Resize { volume, blocks }),
        2 => (n(), n()).prop_map(|(volume, snapshot)| Step::Rollback { volume, snapshot }),
        2 => n().prop_map(|which| Step::Delete { which }),
        1 => n().prop_map(|volume| Step::Freeze { volume }),
        3 => (n(), proptest::option::weighted(0.7, n())).prop_map(|(which, onto)| Step::Rebase { which, onto }),
        1 => Just(Step::Reopen),
    ]
}

/// The number of what each block holds; 0 is a hole. Equal numbers are the same write.
type Image = (Kind, Vec<u64>);

struct World {
    disk: RamDisk,
    engine: Rc<Ram>,
    model: BTreeMap<Uuid, Image>,
    next: u64,
}

impl World {
    fn new() -> World {
        let disk = formatted(8 << 20, Layout::tiny());
        let engine = open(&disk);
        World { disk, engine, model: BTreeMap::new(), next: 1 }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn id(&mut self) -> Uuid {
        Uuid::from_u128(u128::from(self.number()))
    }

    fn pick(&self, kind: Option<Kind>, n: u8) -> Option<Uuid> {
        let fits = |(id, (k, _)): (&Uuid, &Image)| kind.is_none_or(|kind| kind == *k).then_some(*id);
        let all: Vec<Uuid> = self.model.iter().filter_map(fits).collect();
        (!all.is_empty()).then(|| all[n as usize % all.len()])
    }

    /// The blocks as numbers, where those are within the volume.
    fn set(&mut self, id: Uuid, from: u64, to: u64, fresh: bool) {
        for block in from..to {
            let number = if fresh { self.number() } else { 0 };
            self.model.get_mut(&id).unwrap().1[block as usize] = number;
        }
    }

    fn write(&mut self, id: Uuid, at: u64, len: u64, fill: u8) {
        let size = self.model[&id].1.len() as u64 * B;
        let len = len.min(size.saturating_sub(at));
        if len == 0 {
            return;
        }
        block_on(self.engine.write(id, at, Buf::copy_of(&vec![fill; len as usize]))).0.unwrap();
        self.set(id, at / B, (at + len).div_ceil(B), fill != 0);
    }

    fn step(&mut self, step: &Step) {
        let volume = |w: &World, n: u8| w.pick(Some(Kind::Volume), n);
        let room = self.model.len() < 12;
        match step {
            Step::Create { blocks, from } if room => {
                let from = from.and_then(|n| self.pick(Some(Kind::Snapshot), n));
                let mut image = from.map_or(Vec::new(), |s| self.model[&s].1.clone());
                let blocks = (*blocks).max(image.len() as u64);
                let id = self.id();
                block_on(self.engine.create(id, blocks * B, from, b"")).unwrap();
                image.resize(blocks as usize, 0);
                self.model.insert(id, (Kind::Volume, image));
            }
            Step::Snapshot { volume: n } if room => {
                let Some(id) = volume(self, *n) else { return };
                let snapshot = self.id();
                block_on(self.engine.snapshot(&[(id, snapshot, vec![])])).unwrap();
                let image = self.model[&id].1.clone();
                self.model.insert(snapshot, (Kind::Snapshot, image));
            }
            Step::Create { .. } | Step::Snapshot { .. } => {}
            Step::Write { volume: n, block, blocks, fill } => {
                let Some(id) = volume(self, *n) else { return };
                self.write(id, block * B, blocks * B, *fill);
            }
            Step::Within { volume: n, at, len } => {
                let Some(id) = volume(self, *n) else { return };
                self.write(id, *at, *len, 9);
            }
            Step::Zero { volume: n, block, blocks } => {
                let Some(id) = volume(self, *n) else { return };
                let size = self.model[&id].1.len() as u64;
                let (from, to) = ((*block).min(size), (block + blocks).min(size));
                block_on(self.engine.zero(id, from * B, (to - from) * B)).unwrap();
                self.set(id, from, to, false);
            }
            Step::Resize { volume: n, blocks } => {
                let Some(id) = volume(self, *n) else { return };
                block_on(self.engine.resize(id, blocks * B)).unwrap();
                self.model.get_mut(&id).unwrap().1.resize(*blocks as usize, 0);
            }
            Step::Rollback { volume: n, snapshot } => {
                let Some(id) = volume(self, *n) else { return };
                let Some(to) = self.pick(Some(Kind::Snapshot), *snapshot) else { return };
                block_on(self.engine.rollback(id, to)).unwrap();
                self.model.get_mut(&id).unwrap().1 = self.model[&to].1.clone();
            }
            Step::Delete { which } => {
                let Some(id) = self.pick(None, *which) else { return };
                self.delete(id);
            }
            Step::Freeze { volume: n } => {
                let Some(id) = volume(self, *n) else { return };
                let snapshot = self.id();
                for _ in 0..2 {
                    block_on(self.engine.freeze(id, snapshot, b"frozen")).unwrap();
                }
                let (_, image) = self.model.remove(&id).unwrap();
                self.model.insert(snapshot, (Kind::Snapshot, image));
            }
            Step::Rebase { which, onto } => {
                let Some(id) = self.pick(None, *which) else { return };
                let onto = onto.and_then(|n| self.pick(Some(Kind::Snapshot), n));
                match block_on(self.engine.rebase(id, onto)) {
                    Ok(()) => assert_eq!(self.engine.lookup(id).unwrap().parent, onto),
                    Err(EngineError::Invalid(_)) => assert!(onto.is_some(), "nothing is above all"),
                    Err(e) => panic!("{e}"),
                }
            }
            Step::Reopen => {
                block_on(self.engine.close()).unwrap();
                self.engine = open(&self.disk);
            }
        }
    }

    /// One entry for each block: whether it changed, whether it is a hole.
    fn diff(&self, a: Option<Uuid>, b: Uuid, from: u64, to: u64) -> Vec<(bool, bool)> {
        let mut out = Vec::new();
        let mut at = from * B;
        while at < to * B {
            let pieces = block_on(self.engine.diff(a, b, at, to * B - at)).unwrap();
            assert!(!pieces.is_empty() && pieces.iter().all(|p| p.len > 0 && p.len.is_multiple_of(B)));
            for p in pieces {
                out.extend((0..p.len / B).map(|_| (p.changed, p.zero)));
                at += p.len;
            }
        }
        assert_eq!(at, to * B);
        out
    }

    /// Deletes it: what it was said to free is freed.
    fn delete(&mut self, id: Uuid) {
        let figures = block_on(self.engine.figures(id)).unwrap();
        let before = self.engine.space().data;
        block_on(self.engine.delete(id)).unwrap();
        assert_eq!(before - self.engine.space().data, figures.freed, "{figures:?}");
        self.model.remove(&id);
    }

    /// The sums of what everything costs.
    fn add_up(&self) {
        let owned: u64 = self.engine.inventory().iter().map(|f| f.stored).sum();
        assert_eq!(owned + self.engine.kept_for_others(), self.engine.space().data);
        for (id, (_, image)) in &self.model {
            let f = block_on(self.engine.figures(*id)).unwrap();
            let stored = image.iter().filter(|n| **n != 0).count() as u64 * B;
            assert_eq!((f.stored, f.unique + f.shared), (stored, stored));
            let owned = self.engine.lookup(*id).unwrap().stored;
            assert!(f.unique <= owned && f.unique <= f.freed, "{f:?} of which it owns {owned}");
        }
    }

    /// Every byte. (A block's bytes are the last ones written there, wherever it is shared.)
    fn contents(&self) -> BTreeMap<Uuid, Vec<u8>> {
        let read = |(id, (_, image)): (&Uuid, &Image)| {
            let buf = Buf::zeroed(image.len() * B as usize);
            let (result, buf) = block_on(self.engine.read(*id, 0, buf));
            result.unwrap();
            (*id, buf.to_vec())
        };
        self.model.iter().map(read).collect()
    }

    fn compare(&self) {
        assert_sound(&self.engine);
        self.add_up();
        for (b, (_, now)) in &self.model {
            let wanted: Vec<_> = now.iter().map(|n| (*n != 0, *n == 0)).collect();
            assert_eq!(self.diff(None, *b, 0, now.len() as u64), wanted, "against nothing");
            for (a, (_, before)) in &self.model {
                let old = |i: usize| before.get(i).copied().unwrap_or(0);
                let wanted: Vec<_> = now.iter().enumerate().map(|(i, n)| (old(i) != *n, *n == 0)).collect();
                assert_eq!(self.diff(Some(*a), *b, 0, now.len() as u64), wanted, "from {a} to {b}");
                let (from, to) = (now.len() / 3, now.len() - now.len() / 4);
                assert_eq!(self.diff(Some(*a), *b, from as u64, to as u64), wanted[from..to], "a part");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn differences_are_exact_between_any_two(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            let before = world.contents();
            world.step(step);
            let violations = world.engine.check();
            assert!(violations.is_empty(), "{step:?}: {violations:?}");
            if matches!(step, Step::Rebase { .. } | Step::Freeze { .. } | Step::Reopen) {
                let (a, b): (Vec<_>, Vec<_>) = (before.into_values().collect(), world.contents().into_values().collect());
                assert!(a.iter().all(|x| b.contains(x)), "{step:?} changed what is read");
            }
        }
        world.compare();
        let ids: Vec<Uuid> = world.model.keys().copied().collect();
        for id in ids {
            world.delete(id);
        }
        prop_assert_eq!(world.engine.space().data, 0, "deleting everything gives every block back");
    }
}

#[test]
fn a_call_looks_at_so_much_and_the_caller_goes_on() {
    let disk = formatted(64 << 20, Layout::tiny());
    let e = open(&disk);
    let object = u64::from(Layout::tiny().object_blocks) * B;
    let (id, size) = (Uuid::from_u128(1), 500 * object);
    block_on(e.create(id, size, None, b"")).unwrap();
    for index in (0..500).step_by(2) {
        block_on(e.write(id, index * object, Buf::copy_of(&[1; 4096]))).0.unwrap();
    }
    let (mut at, mut calls, mut changed) = (0, 0, 0);
    while at < size {
        let pieces = block_on(e.diff(None, id, at, size - at)).unwrap();
        at += pieces.iter().map(|p: &Change| p.len).sum::<u64>();
        changed += pieces.iter().filter(|p| p.changed).map(|p| p.len).sum::<u64>();
        calls += 1;
    }
    assert_eq!((at, changed), (size, 250 * B));
    assert!((4..10).contains(&calls), "{calls} calls for 250 objects");
}

#[test]
fn what_is_not_there_cannot_be_compared() {
    let disk = formatted(8 << 20, Layout::tiny());
    let e = open(&disk);
    let (id, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    block_on(e.create(id, 10 * B, None, b"")).unwrap();
    assert_eq!(block_on(e.diff(None, other, 0, B)), Err(EngineError::NotFound));
    assert_eq!(block_on(e.diff(Some(other), id, 0, 0)), Err(EngineError::NotFound));
    for (offset, len) in [(0, 11 * B), (11 * B, 0), (u64::MAX, 1)] {
        assert!(matches!(block_on(e.diff(None, id, offset, len)), Err(EngineError::Invalid(_))));
    }
    assert_eq!(block_on(e.diff(None, id, 10 * B, 0)), Ok(vec![]));
    let odd = block_on(e.diff(None, id, 100, 5000)).unwrap();
    assert_eq!(odd, [Change { len: 5000, changed: false, zero: true }]);
}
