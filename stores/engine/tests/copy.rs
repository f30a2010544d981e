//! Copying families from disk to disk: random trees of versions on one engine, a second one that missed
//! some of it, holds other things, or nothing; afterwards both have the same marks, bytes and sharing.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::collections::BTreeSet;
use std::rc::Rc;

use common::{Ram, assert_sound, block_on, formatted, open};
use parpen_base::Buf;
use parpen_engine::{BLOCK, BlockMark, EngineError, Found, ImageKind, Kind, Layout, RamDisk, VersionInfo};
use proptest::prelude::*;
use uuid::Uuid;

/// Blocks of the volumes: three objects and a bit.
const BLOCKS: u64 = 50;
const OBJECT: u32 = 16;

/// Which of the two disks takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Both,
    A,
    B,
}

#[derive(Clone, Debug)]
enum Step {
    Create { from: Option<u8> },
    Write { volume: u8, block: u64, blocks: u64, fill: u8, on: On },
    Zero { volume: u8, block: u64, blocks: u64, on: On },
    Snapshot { volume: u8 },
    Rollback { volume: u8, snapshot: u8 },
    Delete { which: u8 },
    Copy { nth: u8 },
    Evict { nth: u8 },
    Reopen { close: bool },
}

fn on() -> impl Strategy<Value = On> {
    prop_oneof![2 => Just(On::Both), 3 => Just(On::A), 1 => Just(On::B)]
}

fn step() -> impl Strategy<Value = Step> {
    let n = any::<u8>;
    let range = || (0..BLOCKS, 1u64..12);
    prop_oneof![
        2 => proptest::option::of(n()).prop_map(|from| Step::Create { from }),
        9 => (n(), range(), n(), on())
            .prop_map(|(volume, (block, blocks), fill, on)| Step::Write { volume, block, blocks, fill, on }),
        2 => (n(), range(), on())
            .prop_map(|(volume, (block, blocks), on)| Step::Zero { volume, block, blocks, on }),
        4 => n().prop_map(|volume| Step::Snapshot { volume }),
        1 => (n(), n()).prop_map(|(volume, snapshot)| Step::Rollback { volume, snapshot }),
        2 => n().prop_map(|which| Step::Delete { which }),
        3 => n().prop_map(|nth| Step::Copy { nth }),
        1 => n().prop_map(|nth| Step::Evict { nth }),
        1 => any::<bool>().prop_map(|close| Step::Reopen { close }),
    ]
}

/// The versions of volumes and snapshots. (An opening may take from ghosts what no child of theirs uses.)
fn named(e: &Ram) -> Vec<VersionInfo> {
    let nodes = e.catalogue();
    let ghosts: BTreeSet<u64> =
        nodes.iter().filter(|n| n.kind == ImageKind::Ghost).map(|n| n.lineage).collect();
    e.versions().into_iter().filter(|v| !ghosts.contains(&v.lineage)).collect()
}

/// Two disks of one store. Catalogue operations reach both, writes as the step says.
struct Pair {
    disks: [RamDisk; 2],
    engines: [Rc<Ram>; 2],
    next: u128,
}

impl Pair {
    fn new() -> Pair {
        let layout = Layout { object_blocks: OBJECT, ..Layout::tiny() };
        let disks = [formatted(8 << 20, layout), formatted(8 << 20, layout)];
        let engines = [open(&disks[0]), open(&disks[1])];
        Pair { disks, engines, next: 1 }
    }

    fn both(&self, f: impl AsyncFn(&Ram) -> Result<(), EngineError>) {
        self.engines.iter().for_each(|e| block_on(f(e)).unwrap());
        let seqs: BTreeSet<_> = self.engines.iter().map(|e| (e.catalogue_seq(), e.next_lineage())).collect();
        assert_eq!(seqs.len(), 1, "both count the same");
    }

    fn on(&self, on: On, f: impl AsyncFn(&Ram) -> Result<(), EngineError>) {
        for (i, e) in self.engines.iter().enumerate() {
            if on == On::Both || on == [On::A, On::B][i] {
                // What one disk misses happens in an era of its own.
                e.set_era(if on == On::Both { 0 } else { i as u32 + 1 });
                block_on(f(e)).unwrap();
            }
        }
    }

    fn pick(&self, kind: Option<Kind>, n: u8) -> Option<Uuid> {
        let all: Vec<Uuid> = self.engines[0]
            .inventory()
            .iter()
            .filter(|f| kind.is_none_or(|k| k == f.kind))
            .map(|f| f.id)
            .collect();
        (!all.is_empty()).then(|| all[n as usize % all.len()])
    }

    fn id(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_u128(self.next)
    }

    /// Every family that one of the two has anything of.
    fn families(&self) -> Vec<(u64, u64)> {
        let all = self.engines.iter().flat_map(|e| e.versions()).map(|v| (v.tree, v.index));
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Copies one family from A to B, older versions first.
    fn copy(&self, tree: u64, index: u64) {
        let [a, b] = &self.engines;
        for node in a.catalogue().iter().filter(|n| n.tree == tree && n.kind != ImageKind::Record) {
            let (want, have) =
                (a.marks(node.lineage, index, 0, OBJECT).unwrap(), b.marks(node.lineage, index, 0, OBJECT));
            let Ok(have) = have else { continue };
            let differs = |i: &usize| want[*i] != have[*i];
            let (Some(from), Some(to)) = ((0..16).find(differs), (0..16).rev().find(differs)) else {
                continue;
            };
            let marks: &[Option<BlockMark>] = &want[from..=to];
            let buf = Buf::zeroed(marks.len() * BLOCK as usize);
            let (read, buf) = block_on(a.read_version(node.lineage, index, from as u32, buf));
            read.unwrap();
            block_on(b.fill(node.lineage, index, from as u32, marks, buf)).0.unwrap();
            let violations = b.check();
            assert!(violations.is_empty(), "{violations:?}");
            assert_eq!(b.marks(node.lineage, index, 0, OBJECT).unwrap(), want);
        }
        for v in a.family(tree, index) {
            assert_eq!(a.digest(v.lineage, index), b.digest(v.lineage, index));
        }
    }

    fn step(&mut self, step: &Step) {
        let volume = |p: &Pair, n: u8| p.pick(Some(Kind::Volume), n);
        match step {
            Step::Create { from } if self.engines[0].inventory().len() < 9 => {
                let from = from.and_then(|n| self.pick(Some(Kind::Snapshot), n));
                let id = self.id();
                self.both(async |e| e.create(id, BLOCKS * BLOCK, from, b"v").await);
            }
            Step::Snapshot { volume: n } if self.engines[0].inventory().len() < 12 => {
                let Some(v) = volume(self, *n) else { return };
                let id = self.id();
                self.both(async |e| e.snapshot(&[(v, id, b"s".to_vec())]).await);
            }
            Step::Create { .. } | Step::Snapshot { .. } => {}
            Step::Write { volume: n, block, blocks, fill, on } => {
                let Some(v) = volume(self, *n) else { return };
                let data = vec![*fill; ((*blocks).min(BLOCKS - block) * BLOCK) as usize];
                self.on(*on, async |e| e.write(v, block * BLOCK, Buf::copy_of(&data)).await.0);
            }
            Step::Zero { volume: n, block, blocks, on } => {
                let Some(v) = volume(self, *n) else { return };
                let len = (*blocks).min(BLOCKS - block) * BLOCK;
                self.on(*on, async |e| e.zero(v, block * BLOCK, len).await);
            }
            Step::Rollback { volume: n, snapshot } => {
                let (Some(v), Some(s)) = (volume(self, *n), self.pick(Some(Kind::Snapshot), *snapshot))
                else {
                    return;
                };
                self.both(async |e| e.rollback(v, s).await);
            }
            Step::Delete { which } => {
                let Some(id) = self.pick(None, *which) else { return };
                self.both(async |e| e.delete(id).await);
            }
            Step::Copy { nth } | Step::Evict { nth } => {
                let all = self.families();
                let Some((tree, index)) = all.get(*nth as usize % all.len().max(1)).copied() else { return };
                if matches!(step, Step::Copy { .. }) {
                    self.copy(tree, index);
                } else {
                    block_on(self.engines[1].evict(tree, index)).unwrap();
                    assert!(self.engines[1].family(tree, index).is_empty());
                }
            }
            Step::Reopen { close } => {
                for i in 0..2 {
                    let e = &self.engines[i];
                    block_on(async { if *close { e.close().await } else { e.flush().await } }).unwrap();
                    let before = named(e);
                    self.engines[i] = open(&self.disks[i]);
                    assert_eq!(named(&self.engines[i]), before);
                }
            }
        }
    }

    fn assert_same(&self, exactly: bool) {
        let [a, b] = &self.engines;
        assert_sound(a);
        assert_sound(b);
        let lineages = |e: &Ram| e.catalogue().iter().map(|n| n.lineage).collect::<Vec<_>>();
        assert_eq!(lineages(a), lineages(b));
        for f in a.inventory() {
            let read = |e: &Ram| {
                let (result, buf) = block_on(e.read(f.id, 0, Buf::zeroed((BLOCKS * BLOCK) as usize)));
                result.unwrap();
                buf
            };
            assert!(*read(a) == *read(b), "the bytes of {} differ", f.id);
            let shown = |e: &Ram| e.lookup(f.id).map(|f| Found { stored: 0, ..f });
            assert_eq!(shown(a), shown(b));
        }
        assert!(
            !exactly || a.space().data == b.space().data,
            "what is shared on one disk is shared on the other"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_copied_family_is_the_same_family(steps in proptest::collection::vec(step(), 1..70)) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.step(step);
            for e in &pair.engines {
                let violations = e.check();
                prop_assert!(violations.is_empty(), "{:?}", violations);
            }
        }
        pair.families().into_iter().for_each(|(tree, index)| pair.copy(tree, index));
        pair.assert_same(true);
        pair.step(&Step::Reopen { close: false });
        pair.assert_same(false);
        while let Some(id) = pair.pick(None, 0) {
            pair.both(async |e| e.delete(id).await);
        }
        prop_assert_eq!(pair.engines[1].space().data, 0);
    }
}
