//! A disk that was away: it takes over the catalogue of one that was not, whatever was made, deleted, rolled
//! back, resized, relabelled or dissolved meanwhile, and keeps of its own what is still worth something.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use common::{block_on, formatted};
use parpen_base::{Buf, SeededEntropy};
use parpen_engine::{
    BLOCK, Disk, DiskError, Engine, EngineError, Found, Heads, ImageKind, Kind, Layout, NodeImage, RamDisk,
    Sound,
};
use proptest::prelude::*;
use uuid::Uuid;

const BLOCKS: u64 = 40;
const OBJECT: u32 = 16;

/// A disk in memory that lets others run at each request, so that what uses it can be cut off.
#[derive(Clone)]
struct Slow(RamDisk, Rc<Cell<u64>>);

async fn a_while() {
    let mut waited = false;
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl Disk for Slow {
    fn size(&self) -> u64 {
        self.0.size()
    }
    async fn read(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        a_while().await;
        self.0.read(offset, buf).await
    }
    async fn write(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        self.1.set(self.1.get() + buf.len() as u64);
        a_while().await;
        self.0.write(offset, buf).await
    }
    async fn flush(&self) -> Result<(), DiskError> {
        a_while().await;
        self.0.flush().await
    }
    async fn discard(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.0.discard(offset, len).await
    }
}

type Slowly = Engine<Slow, Sound>;

fn open(disk: &Slow) -> Rc<Slowly> {
    let entropy = Arc::new(SeededEntropy::new(disk.0.resident()));
    block_on(Slowly::open_member(disk.clone(), entropy, None)).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Create { from: Option<u8>, grow: bool },
    Write { volume: u8, block: u64, blocks: u64, fill: u8 },
    Zero { volume: u8, block: u64, blocks: u64 },
    Snapshot { volume: u8 },
    Rollback { volume: u8, snapshot: u8 },
    Resize { volume: u8, blocks: u64 },
    Freeze { volume: u8 },
    Rebase { which: u8, onto: Option<u8> },
    Delete { which: u8 },
    Relabel { which: u8, len: usize },
    Record { key: u8, len: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let n = any::<u8>;
    let range = || (0..BLOCKS, 1u64..12);
    prop_oneof![
        2 => (proptest::option::of(n()), n()).prop_map(|(from, g)| Step::Create { from, grow: g % 4 == 0 }),
        7 => (n(), range(), n())
            .prop_map(|(volume, (block, blocks), fill)| Step::Write { volume, block, blocks, fill }),
        1 => (n(), range()).prop_map(|(volume, (block, blocks))| Step::Zero { volume, block, blocks }),
        5 => n().prop_map(|volume| Step::Snapshot { volume }),
        2 => (n(), n()).prop_map(|(volume, snapshot)| Step::Rollback { volume, snapshot }),
        1 => (n(), 1..BLOCKS).prop_map(|(volume, blocks)| Step::Resize { volume, blocks }),
        1 => n().prop_map(|volume| Step::Freeze { volume }),
        1 => (n(), proptest::option::of(n())).prop_map(|(which, onto)| Step::Rebase { which, onto }),
        4 => n().prop_map(|which| Step::Delete { which }),
        1 => (n(), 0usize..2500).prop_map(|(which, len)| Step::Relabel { which, len }),
        1 => (n(), 0usize..2500).prop_map(|(key, len)| Step::Record { key, len }),
    ]
}

struct Pair {
    disks: [Slow; 2],
    engines: [Rc<Slowly>; 2],
    next: u128,
}

/// The catalogue without ghosts; parents are the nearest that have names.
fn named(nodes: &[NodeImage]) -> Vec<NodeImage> {
    let all: BTreeMap<u64, &NodeImage> = nodes.iter().map(|n| (n.lineage, n)).collect();
    let mut out = Vec::new();
    for n in nodes.iter().filter(|n| n.kind != ImageKind::Ghost) {
        let mut parent = n.parent;
        while let Some(p) = all.get(&parent).filter(|p| p.kind == ImageKind::Ghost) {
            parent = p.parent;
        }
        out.push(NodeImage { parent, ..n.clone() });
    }
    out
}

impl Pair {
    fn new() -> Pair {
        let layout = Layout { object_blocks: OBJECT, ..Layout::tiny() };
        let disk = || Slow(formatted(8 << 20, layout), Rc::default());
        let disks = [disk(), disk()];
        let engines = [open(&disks[0]), open(&disks[1])];
        engines.iter().for_each(|e| e.release_ghosts());
        Pair { disks, engines, next: 1 }
    }

    /// Does a step on some of the disks, as the first of them sees fit.
    fn step(&mut self, step: &Step, on: &[usize]) {
        let shown = self.engines[on[0]].inventory();
        let pick = |kind: Option<Kind>, n: u8| {
            let all: Vec<&Found> = shown.iter().filter(|f| kind.is_none_or(|k| k == f.kind)).collect();
            (!all.is_empty()).then(|| all[n as usize % all.len()].clone())
        };
        let volume = |n: u8| pick(Some(Kind::Volume), n);
        let few = shown.len() < 11;
        let id = Uuid::from_u128(self.next);
        self.next += 1;
        for e in on.iter().map(|i| &self.engines[*i]) {
            match step {
                Step::Create { from, grow } if few => {
                    let from = from.and_then(|n| pick(Some(Kind::Snapshot), n));
                    let bytes = from.as_ref().map_or(BLOCKS * BLOCK, |f| f.bytes + u64::from(*grow) * BLOCK);
                    let from = from.map(|f| f.id);
                    // (Within what the test can compare.)
                    let bytes = bytes.min(BLOCKS * BLOCK);
                    block_on(e.create(id, bytes, from, b"volume")).unwrap();
                }
                Step::Snapshot { volume: n } if few => {
                    let Some(v) = volume(*n) else { return };
                    block_on(e.snapshot(&[(v.id, id, vec![1; 900])])).unwrap();
                }
                Step::Create { .. } | Step::Snapshot { .. } => {}
                Step::Write { volume: n, block, blocks, fill } => {
                    let Some(v) = volume(*n) else { return };
                    let (block, last) = (*block, v.bytes / BLOCK);
                    if block < last {
                        let data = vec![*fill; ((*blocks).min(last - block) * BLOCK) as usize];
                        block_on(e.write(v.id, block * BLOCK, Buf::copy_of(&data))).0.unwrap();
                    }
                }
                Step::Zero { volume: n, block, blocks } => {
                    let Some(v) = volume(*n) else { return };
                    let last = v.bytes / BLOCK;
                    if *block < last {
                        let len = (*blocks).min(last - block) * BLOCK;
                        block_on(e.zero(v.id, block * BLOCK, len)).unwrap();
                    }
                }
                Step::Rollback { volume: n, snapshot } => {
                    let (Some(v), Some(s)) = (volume(*n), pick(Some(Kind::Snapshot), *snapshot)) else {
                        return;
                    };
                    block_on(e.rollback(v.id, s.id)).unwrap();
                }
                Step::Resize { volume: n, blocks } => {
                    let Some(v) = volume(*n) else { return };
                    block_on(e.resize(v.id, blocks * BLOCK)).unwrap();
                }
                Step::Freeze { volume: n } => {
                    let Some(v) = volume(*n) else { return };
                    block_on(e.freeze(v.id, id, b"frozen")).unwrap();
                }
                Step::Rebase { which, onto } => {
                    let Some(f) = pick(None, *which) else { return };
                    let onto = onto.and_then(|n| pick(Some(Kind::Snapshot), n)).map(|s| s.id);
                    // Not everything is an ancestor; both disks say so alike.
                    let done = block_on(e.rebase(f.id, onto));
                    assert!(matches!(done, Ok(()) | Err(EngineError::Invalid(_))), "{done:?}");
                }
                Step::Delete { which } => {
                    let Some(f) = pick(None, *which) else { return };
                    block_on(e.delete(f.id)).unwrap();
                }
                Step::Relabel { which, len } => {
                    let Some(f) = pick(None, *which) else { return };
                    block_on(e.relabel(f.id, &vec![2; *len])).unwrap();
                }
                Step::Record { key, len } => {
                    block_on(e.put_record(Uuid::from_u128(u128::from(*key % 5)), &vec![3; *len])).unwrap();
                }
            }
        }
    }

    /// B takes over A's catalogue, cut off and opened again after each number of polls in `cuts`. Says whether doing it
    /// once more wrote nothing.
    fn adopt(&mut self, cuts: &[usize]) -> bool {
        let a = self.engines[0].clone();
        let (seq, next, nodes) = (a.catalogue_seq(), a.next_lineage(), a.catalogue());
        for polls in cuts {
            let b = self.engines[1].clone();
            let mut adopting = pin!(b.adopt(seq, next, &nodes, Heads::Bases));
            let mut context = Context::from_waker(Waker::noop());
            if (0..*polls).any(|_| adopting.as_mut().poll(&mut context).is_ready()) {
                break;
            }
            self.engines[1] = open(&self.disks[1]);
            let b = &self.engines[1];
            assert_eq!(block_on(b.check()), []);
        }
        self.engines[1].release_ghosts();
        for _ in 0..2 {
            let b = &self.engines[1];
            block_on(b.adopt(seq, next, &nodes, Heads::Bases)).unwrap();
            assert_eq!(block_on(b.check()), []);
            assert_eq!((b.catalogue_seq(), b.next_lineage()), (seq, next));
            assert_eq!(named(&b.catalogue()), named(&nodes));
            assert_eq!(b.records(), a.records());
        }
        let before = self.disks[1].1.get();
        block_on(self.engines[1].adopt(seq, next, &nodes, Heads::Bases)).unwrap();
        self.disks[1].1.get() == before
    }

    /// Whether B keeps ghosts that A has not.
    fn keeps_more(&self) -> bool {
        let ghosts = |e: &Slowly| -> BTreeSet<u64> {
            e.catalogue().iter().filter(|n| n.kind == ImageKind::Ghost).map(|n| n.lineage).collect()
        };
        !ghosts(&self.engines[1]).is_subset(&ghosts(&self.engines[0]))
    }

    /// Copies everything that differs; says how many blocks that took.
    fn copy(&self) -> usize {
        let [a, b] = &self.engines;
        let both = || self.engines.iter().flat_map(|e| e.versions());
        let families: BTreeSet<(u64, u64)> = both().map(|v| (v.tree, v.index)).collect();
        let mut copied = 0;
        for (tree, index) in families {
            for node in a.catalogue().iter().filter(|n| n.tree == tree) {
                let want = block_on(a.marks(node.lineage, index, 0, OBJECT)).unwrap();
                let Ok(have) = block_on(b.marks(node.lineage, index, 0, OBJECT)) else { continue };
                for i in (0..OBJECT as usize).filter(|i| want[*i] != have[*i]) {
                    let (read, buf) =
                        block_on(a.read_version(node.lineage, index, i as u32, Buf::zeroed(4096)));
                    read.unwrap();
                    block_on(b.fill(node.lineage, index, i as u32, &want[i..=i], buf)).0.unwrap();
                    copied += usize::from(want[i].is_some());
                }
            }
        }
        assert_eq!(block_on(b.check()), []);
        copied
    }

    fn assert_same(&self) {
        let [a, b] = &self.engines;
        for e in &self.engines {
            assert_eq!(block_on(e.fsck(true)).unwrap(), []);
        }
        for n in named(&a.catalogue()).iter().filter(|n| n.kind != ImageKind::Record) {
            let bytes = |e: &Slowly| {
                let (result, buf) = block_on(e.read(n.id, 0, Buf::zeroed(n.bytes as usize)));
                result.unwrap();
                buf
            };
            assert!(*bytes(a) == *bytes(b), "the bytes of {} differ", n.id);
            for index in 0..3 {
                assert_eq!(a.digest(n.lineage, index), b.digest(n.lineage, index));
            }
        }
    }

    fn together(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step, &[0, 1]);
            let [a, b] = &self.engines;
            assert_eq!(a.catalogue_seq(), b.catalogue_seq());
            assert_eq!(named(&a.catalogue()), named(&b.catalogue()));
        }
    }
}

fn cuts_off(steps: &[Step]) -> bool {
    steps.iter().any(|s| matches!(s, Step::Rebase { .. }))
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn a_disk_that_missed_operations_catches_up(
        before in steps(30), away in steps(25), after in steps(20), cuts in proptest::collection::vec(0usize..60, 0..3),
    ) {
        let mut pair = Pair::new();
        pair.together(&before);
        pair.engines[0].set_era(1);
        for step in &away {
            pair.step(step, &[0]);
        }
        prop_assert!(pair.adopt(&cuts), "once more writes nothing");
        pair.copy();
        pair.assert_same();
        let data = [0, 1].map(|i: usize| pair.engines[i].space().data);
        // A rebase copies; a disk that was away may share still. A ghost with several children keeps what all of them
        // have anew.
        let more = if data[0] > data[1] { cuts_off(&away) } else { pair.keeps_more() };
        prop_assert!(data[0] == data[1] || more, "{:?}", data);
        pair.together(&after);
        pair.copy();
        pair.assert_same();
    }

    #[test]
    fn a_disk_that_went_its_own_way_comes_back(
        before in steps(25), away in steps(15), own in steps(15), after in steps(15),
        cuts in proptest::collection::vec(0usize..60, 0..3),
    ) {
        let mut pair = Pair::new();
        pair.together(&before);
        for (era, (step, on)) in away.iter().map(|s| (s, 0)).chain(own.iter().map(|s| (s, 1))).enumerate() {
            pair.engines[on].set_era(era as u32 + 1);
            pair.step(step, &[on]);
        }
        // What was cut off from ghosts on B alone stays so; A's are made and dissolved again each time.
        prop_assert!(pair.adopt(&cuts) || cuts_off(&own), "once more writes nothing");
        pair.copy();
        pair.assert_same();
        pair.engines.iter().for_each(|e| e.set_era(99));
        pair.together(&after);
        pair.copy();
        pair.assert_same();
        for e in &pair.engines {
            for f in e.inventory() {
                block_on(e.delete(f.id)).unwrap();
            }
            prop_assert_eq!(e.space().data, 0);
        }
    }
}

/// What A does while B is away, and how many blocks B lacks afterwards.
fn missed(away: &[Step]) -> usize {
    let mut pair = Pair::new();
    let whole = Step::Write { volume: 0, block: 0, blocks: 40, fill: 1 };
    pair.together(&[Step::Create { from: None, grow: false }, whole]);
    pair.engines[0].set_era(1);
    away.iter().for_each(|step| pair.step(step, &[0]));
    assert!(pair.adopt(&[]), "once more writes nothing");
    let copied = pair.copy();
    pair.assert_same();
    assert_eq!(pair.engines[0].space().data, pair.engines[1].space().data);
    copied
}

#[test]
fn only_what_changed_is_copied_whatever_the_catalogue_did() {
    let write = |block| Step::Write { volume: 0, block, blocks: 1, fill: 7 };
    let (snapshot, delete) = (Step::Snapshot { volume: 0 }, |which| Step::Delete { which });
    let roll = Step::Rollback { volume: 0, snapshot: 0 };
    assert_eq!(missed(&[write(3)]), 1);
    assert_eq!(missed(&[snapshot.clone(), write(3)]), 1);
    // The snapshot took the number of the old head with it when it was dissolved.
    assert_eq!(missed(&[snapshot.clone(), write(3), delete(1)]), 1);
    assert_eq!(missed(&[snapshot.clone(), write(3), snapshot.clone(), write(4), delete(1)]), 2);
    assert_eq!(missed(&[snapshot.clone(), write(3), roll.clone(), write(4)]), 1);
    assert_eq!(missed(&[snapshot.clone(), write(3), roll, delete(1), write(5)]), 1);
    assert_eq!(missed(&[Step::Resize { volume: 0, blocks: 3 }]), 0);
    assert_eq!(missed(&[Step::Relabel { which: 0, len: 9 }, Step::Record { key: 1, len: 4 }]), 0);
}

#[test]
fn what_was_cut_off_meanwhile_keeps_what_it_reads_as() {
    let mut pair = Pair::new();
    pair.together(&[
        Step::Create { from: None, grow: false },
        Step::Write { volume: 0, block: 0, blocks: BLOCKS, fill: 7 },
        Step::Snapshot { volume: 0 },
        Step::Write { volume: 0, block: 4, blocks: 2, fill: 8 },
        Step::Snapshot { volume: 0 },
    ]);
    pair.step(&Step::Rebase { which: 0, onto: None }, &[0]);
    assert!(pair.adopt(&[3, 9, 40]), "once more writes nothing");
    assert_eq!(pair.copy(), 0, "nothing is needed from the other disk");
    pair.assert_same();
}

/// B had cut a clone off its snapshot when the power went, A had not and went on without B. What was written to the
/// clone may be on B alone.
#[test]
fn what_was_cut_off_here_alone_goes_back_with_all_that_it_holds() {
    let write = |block, fill| Step::Write { volume: 0, block, blocks: 2, fill };
    for onto in [None, Some(0)] {
        let mut pair = Pair::new();
        let snapshot = Step::Snapshot { volume: 0 };
        pair.together(&[Step::Create { from: None, grow: false }, write(0, 1), snapshot.clone()]);
        pair.together(&[write(20, 2), Step::Zero { volume: 0, block: 1, blocks: 1 }, snapshot]);
        pair.together(&[write(30, 3), Step::Zero { volume: 0, block: 20, blocks: 1 }]);
        let volumes = |e: &Slowly| -> Vec<Found> {
            e.inventory().into_iter().filter(|f| f.kind == Kind::Volume).collect()
        };
        let volume = volumes(&pair.engines[0])[0].id;
        let snapshots: Vec<Uuid> =
            pair.engines[0].inventory().iter().filter(|f| f.kind == Kind::Snapshot).map(|f| f.id).collect();
        let b = pair.engines[1].clone();
        block_on(b.write(volume, 0, Buf::copy_of(&[9; 4096]))).0.unwrap();
        block_on(b.rebase(volume, onto.map(|n: usize| snapshots[n]))).unwrap();
        let read = |e: &Slowly| block_on(e.read(volume, 0, Buf::zeroed((BLOCKS * BLOCK) as usize))).1;
        let before = read(&b);
        assert!(pair.adopt(&[]), "once more writes nothing");
        assert!(*read(&pair.engines[1]) == *before, "onto {onto:?}");
        pair.engines[1] = open(&pair.disks[1]);
        assert!(*read(&pair.engines[1]) == *before, "opened again");
        pair.copy();
        pair.assert_same();
    }
}

/// What a younger one keeps may be among those that an older one was cut off from later.
#[test]
fn cuts_that_follow_each_other_are_made_up_in_an_order_that_ends() {
    let mut pair = Pair::new();
    pair.together(&[Step::Create { from: None, grow: false }]);
    for block in 0..4 {
        let write = Step::Write { volume: 0, block, blocks: 3, fill: block as u8 + 1 };
        pair.together(&[write, Step::Snapshot { volume: 0 }]);
    }
    let snapshots: Vec<Uuid> = [3, 5, 7, 9].map(Uuid::from_u128).to_vec();
    let a = &pair.engines[0];
    block_on(a.rebase(snapshots[3], Some(snapshots[1]))).unwrap();
    block_on(a.rebase(snapshots[2], Some(snapshots[0]))).unwrap();
    assert!(pair.adopt(&[]), "once more writes nothing");
    assert_eq!(pair.copy(), 0, "nothing is needed from the other disk");
    pair.assert_same();
}

#[test]
fn what_is_no_catalogue_is_refused_and_nothing_happens() {
    let mut pair = Pair::new();
    pair.together(&[Step::Create { from: None, grow: false }, Step::Snapshot { volume: 0 }]);
    let e = &pair.engines[1];
    let (seq, next, good) = (e.catalogue_seq(), e.next_lineage(), e.catalogue());
    let odd = |spoil: &dyn Fn(&mut Vec<NodeImage>)| {
        let mut nodes = good.clone();
        spoil(&mut nodes);
        let refused = block_on(e.adopt(seq, next, &nodes, Heads::Bases));
        assert!(matches!(refused, Err(EngineError::Invalid(_))), "{refused:?}");
        assert_eq!((e.catalogue(), e.catalogue_seq()), (good.clone(), seq));
    };
    odd(&|n| n.reverse());
    odd(&|n| n[0].lineage = 0);
    odd(&|n| n[1].lineage = next);
    odd(&|n| n[0].kind = ImageKind::Volume);
    odd(&|n| n[1].id = n[0].id);
    odd(&|n| n[1].tree = 77);
    odd(&|n| n[0].parent = 9);
    odd(&|n| n[0].bytes = u64::MAX);
    odd(&|n| n[0].kind = ImageKind::Ghost);
    odd(&|n| n[0].label = vec![0; (64 << 10) + 1]);
    assert_eq!(block_on(e.check()), []);
}

#[test]
fn a_rebase_counts_the_same_whether_ghosts_are_left_or_not() {
    let mut pair = Pair::new();
    let (snapshot, freeze) = (Step::Snapshot { volume: 0 }, Step::Freeze { volume: 0 });
    let rebase = Step::Rebase { which: 0, onto: None };
    pair.together(&[
        Step::Create { from: None, grow: true },
        snapshot.clone(),
        snapshot.clone(),
        Step::Rollback { volume: 0, snapshot: 2 },
        snapshot,
        Step::Delete { which: 37 },
    ]);
    pair.step(&freeze, &[0]);
    pair.step(&rebase, &[0]);
    assert!(pair.adopt(&[]), "once more writes nothing");
    // Here it has only a ghost to leave behind, there nothing.
    pair.together(&[rebase]);
    pair.copy();
    pair.assert_same();
}
