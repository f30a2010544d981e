//! Random histories against a model that keeps every volume as plain bytes.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::collections::BTreeMap;
use std::rc::Rc;

use common::{Ram, assert_sound, block_on, formatted, open};
use parpen_base::Buf;
use parpen_engine::{EngineError, Kind, Layout, RamDisk};
use proptest::prelude::*;
use uuid::Uuid;

const MAX: u64 = 160 << 10;

#[derive(Clone, Debug)]
enum Step {
    Create { bytes: u64, from: Option<u8> },
    Write { volume: u8, at: u64, len: u64, fill: u8 },
    Aligned { volume: u8, block: u64, blocks: u64, fill: u8 },
    Zero { volume: u8, at: u64, len: u64 },
    Discard { volume: u8, at: u64, len: u64 },
    Snapshot { volumes: Vec<u8> },
    Resize { volume: u8, bytes: u64 },
    Rollback { volume: u8, snapshot: u8 },
    Delete { which: u8 },
    Relabel { which: u8, len: usize },
    Flush,
    Reopen { close: bool },
}

fn sectors() -> impl Strategy<Value = u64> {
    (1..=MAX / 512).prop_map(|s| s * 512)
}

fn step() -> impl Strategy<Value = Step> {
    let n = any::<u8>;
    prop_oneof![
        2 => (sectors(), proptest::option::of(n())).prop_map(|(bytes, from)| Step::Create { bytes, from }),
        6 => (n(), 0..MAX, 0u64..20_000, n()).prop_map(|(volume, at, len, fill)| Step::Write { volume, at, len, fill }),
        6 => (n(), 0..MAX / 4096, 1u64..24, n())
            .prop_map(|(volume, block, blocks, fill)| Step::Aligned { volume, block, blocks, fill }),
        2 => (n(), 0..MAX, 0u64..100_000).prop_map(|(volume, at, len)| Step::Zero { volume, at, len }),
        2 => (n(), 0..MAX, 0u64..100_000).prop_map(|(volume, at, len)| Step::Discard { volume, at, len }),
        3 => proptest::collection::vec(n(), 1..4).prop_map(|volumes| Step::Snapshot { volumes }),
        2 => (n(), sectors()).prop_map(|(volume, bytes)| Step::Resize { volume, bytes }),
        1 => (n(), n()).prop_map(|(volume, snapshot)| Step::Rollback { volume, snapshot }),
        3 => n().prop_map(|which| Step::Delete { which }),
        1 => (n(), 0usize..6000).prop_map(|(which, len)| Step::Relabel { which, len }),
        2 => Just(Step::Flush),
        2 => any::<bool>().prop_map(|close| Step::Reopen { close }),
    ]
}

#[derive(Clone)]
struct Image {
    kind: Kind,
    bytes: Vec<u8>,
    label: Vec<u8>,
}

struct World {
    disk: RamDisk,
    engine: Rc<Ram>,
    model: BTreeMap<Uuid, Image>,
    next: u128,
}

impl World {
    fn new() -> World {
        let disk = formatted(8 << 20, Layout::tiny());
        let engine = open(&disk);
        World { disk, engine, model: BTreeMap::new(), next: 1 }
    }

    fn id(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_u128(self.next)
    }

    fn pick(&self, kind: Option<Kind>, n: u8) -> Option<Uuid> {
        let all: Vec<Uuid> =
            self.model.iter().filter(|(_, i)| kind.is_none_or(|k| k == i.kind)).map(|(id, _)| *id).collect();
        (!all.is_empty()).then(|| all[n as usize % all.len()])
    }

    fn write(&mut self, id: Uuid, at: u64, len: u64, fill: u8) {
        let image = self.model.get_mut(&id).unwrap();
        let size = image.bytes.len() as u64;
        let data: Vec<u8> = (0..len).map(|i| if fill == 0 { 0 } else { fill ^ (i / 512) as u8 }).collect();
        let (result, back) = block_on(self.engine.write(id, at, Buf::copy_of(&data)));
        assert_eq!(*back, *data);
        if at + len > size {
            assert!(matches!(result, Err(EngineError::Invalid(_))));
        } else {
            result.unwrap();
            image.bytes[at as usize..(at + len) as usize].copy_from_slice(&data);
        }
    }

    fn erase(&mut self, id: Uuid, at: u64, len: u64, whole_blocks: bool) {
        let image = self.model.get_mut(&id).unwrap();
        let size = image.bytes.len() as u64;
        let (at, len) = (at % size, len.min(size - at % size));
        let result = block_on(async {
            if whole_blocks {
                self.engine.discard(id, at, len).await
            } else {
                self.engine.zero(id, at, len).await
            }
        });
        result.unwrap();
        let (mut from, mut to) = (at, at + len);
        if whole_blocks {
            from = from.next_multiple_of(4096);
            to = if to == size { to } else { to / 4096 * 4096 };
        }
        if from < to {
            image.bytes[from as usize..to as usize].fill(0);
        }
    }

    fn create(&mut self, bytes: u64, from: Option<u8>) {
        let from = from.and_then(|n| self.pick(Some(Kind::Snapshot), n));
        let mut content = from.map_or(Vec::new(), |s| self.model[&s].bytes.clone());
        let (id, label) = (self.id(), vec![7; (bytes % 5000) as usize]);
        let result = block_on(self.engine.create(id, bytes, from, &label));
        if bytes < content.len() as u64 {
            assert!(matches!(result, Err(EngineError::Invalid(_))));
            return;
        }
        result.unwrap();
        block_on(self.engine.create(id, bytes, from, &label)).unwrap();
        content.resize(bytes as usize, 0);
        self.model.insert(id, Image { kind: Kind::Volume, bytes: content, label });
    }

    fn snapshot(&mut self, volumes: &[u8]) {
        let mut chosen: Vec<Uuid> =
            volumes.iter().filter_map(|n| self.pick(Some(Kind::Volume), *n)).collect();
        chosen.sort();
        chosen.dedup();
        let all: Vec<(Uuid, Uuid, Vec<u8>)> =
            chosen.iter().map(|v| (*v, self.id(), v.as_bytes().to_vec())).collect();
        for _ in 0..2 {
            block_on(self.engine.snapshot(&all)).unwrap();
        }
        for (volume, snapshot, label) in all {
            let bytes = self.model[&volume].bytes.clone();
            self.model.insert(snapshot, Image { kind: Kind::Snapshot, bytes, label });
        }
    }

    fn step(&mut self, step: &Step) {
        let volume = |w: &World, n: u8| w.pick(Some(Kind::Volume), n);
        match step {
            Step::Create { bytes, from } if self.model.len() < 12 => self.create(*bytes, *from),
            Step::Snapshot { volumes } if self.model.len() < 14 => self.snapshot(volumes),
            Step::Create { .. } | Step::Snapshot { .. } => {}
            Step::Write { volume: n, at, len, fill } => {
                if let Some(id) = volume(self, *n) {
                    self.write(id, *at, *len, *fill);
                }
            }
            Step::Aligned { volume: n, block, blocks, fill } => {
                if let Some(id) = volume(self, *n) {
                    self.write(id, block * 4096, blocks * 4096, *fill);
                }
            }
            Step::Zero { volume: n, at, len } | Step::Discard { volume: n, at, len } => {
                if let Some(id) = volume(self, *n) {
                    self.erase(id, *at, *len, matches!(step, Step::Discard { .. }));
                }
            }
            Step::Resize { volume: n, bytes } => {
                if let Some(id) = volume(self, *n) {
                    block_on(self.engine.resize(id, *bytes)).unwrap();
                    self.model.get_mut(&id).unwrap().bytes.resize(*bytes as usize, 0);
                }
            }
            Step::Rollback { volume: n, snapshot } => {
                if let (Some(id), Some(s)) = (volume(self, *n), self.pick(Some(Kind::Snapshot), *snapshot)) {
                    block_on(self.engine.rollback(id, s)).unwrap();
                    self.model.get_mut(&id).unwrap().bytes = self.model[&s].bytes.clone();
                }
            }
            Step::Delete { which } => {
                if let Some(id) = self.pick(None, *which) {
                    block_on(self.engine.delete(id)).unwrap();
                    block_on(self.engine.delete(id)).unwrap();
                    self.model.remove(&id);
                }
            }
            Step::Relabel { which, len } => {
                if let Some(id) = self.pick(None, *which) {
                    let label = vec![*which; *len];
                    block_on(self.engine.relabel(id, &label)).unwrap();
                    self.model.get_mut(&id).unwrap().label = label;
                }
            }
            Step::Flush => block_on(self.engine.flush()).unwrap(),
            Step::Reopen { close } => {
                block_on(async {
                    if *close { self.engine.close().await } else { self.engine.flush().await }
                })
                .unwrap();
                self.engine = open(&self.disk);
            }
        }
    }

    fn compare(&self) {
        let violations = block_on(self.engine.check());
        assert!(violations.is_empty(), "{violations:?}");
        let found = self.engine.inventory();
        assert_eq!(found.len(), self.model.len());
        for (f, (id, image)) in found.iter().zip(&self.model) {
            assert_eq!((f.id, f.kind, f.bytes), (*id, image.kind, image.bytes.len() as u64));
            assert_eq!(f.label, image.label);
            let (result, buf) = block_on(self.engine.read(*id, 0, Buf::zeroed(image.bytes.len())));
            let zero = result.unwrap();
            assert!(*buf == *image.bytes, "the bytes of {id} differ");
            assert!(!zero || image.bytes.iter().all(|b| *b == 0));
            let map = block_on(self.engine.extents(*id, 0, f.bytes)).unwrap();
            assert_eq!(map.iter().map(|e| e.len).sum::<u64>(), f.bytes);
            let mut at = 0;
            for e in map {
                assert!(!e.zero || image.bytes[at..at + e.len as usize].iter().all(|b| *b == 0));
                at += e.len as usize;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_does_what_plain_bytes_do(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.compare();
        }
        let ids: Vec<Uuid> = world.model.keys().copied().collect();
        assert_sound(&world.engine);
        for id in ids {
            block_on(world.engine.delete(id)).unwrap();
            world.model.remove(&id);
            world.compare();
        }
        prop_assert_eq!(world.engine.space().data, 0, "deleting everything gives every block back");
    }
}
