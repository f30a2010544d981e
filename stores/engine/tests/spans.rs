//! Objects of several spans, a log of the smallest size, and histories over them: what small objects cannot
//! show.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::collections::BTreeMap;

use common::{assert_sound, block_on, formatted, open};
use parpen_base::{Buf, Entropy, SeededEntropy};
use parpen_engine::{BLOCK, Kind, Layout};
use uuid::Uuid;

const OBJECT: u64 = 1024;
const BLOCKS: u64 = 3 * OBJECT;

type Content = BTreeMap<u64, u8>;

fn layout() -> Layout {
    Layout {
        object_blocks: OBJECT as u32,
        wal_bytes: 16 << 10,
        ag_blocks: 4096,
        reserve_blocks: 128,
        tail_bytes: 1 << 20,
    }
}

fn fill(from: u64, n: u64, value: u8) -> Buf {
    let mut b = Buf::zeroed((n * BLOCK) as usize);
    for (i, block) in b.chunks_exact_mut(BLOCK as usize).enumerate() {
        block.fill(value);
        block[..8].copy_from_slice(&(from + i as u64).to_le_bytes());
    }
    b
}

/// A range that likes the ends of spans and objects.
fn range(rng: &SeededEntropy) -> (u64, u64) {
    let edge = rng.u64() % 7 * 512;
    let from = (edge + rng.u64() % 40).saturating_sub(20).min(BLOCKS - 1);
    let len = if rng.u64().is_multiple_of(8) { rng.u64() % 1500 } else { rng.u64() % 30 };
    (from, len.clamp(1, BLOCKS - from))
}

fn compare(e: &common::Ram, model: &BTreeMap<Uuid, (Kind, Content)>) {
    assert_eq!(block_on(e.check()), []);
    let found: Vec<(Uuid, Kind)> = e.inventory().iter().map(|f| (f.id, f.kind)).collect();
    assert_eq!(found, model.iter().map(|(id, (kind, _))| (*id, *kind)).collect::<Vec<_>>());
    for (id, (_, content)) in model {
        let (result, buf) = block_on(e.read(*id, 0, Buf::zeroed((BLOCKS * BLOCK) as usize)));
        result.unwrap();
        for (n, block) in buf.chunks_exact(BLOCK as usize).enumerate() {
            let n = n as u64;
            match content.get(&n) {
                Some(value) => assert!(*block == *fill(n, 1, *value), "block {n} of {id}"),
                None => assert!(block.iter().all(|b| *b == 0), "block {n} of {id} is no hole"),
            }
        }
    }
}

fn history(seed: u64) {
    let disk = formatted(128 << 20, layout());
    let rng = SeededEntropy::new(seed);
    let mut e = open(&disk);
    let mut model: BTreeMap<Uuid, (Kind, Content)> = BTreeMap::new();
    for step in 0..150u64 {
        let of = |kind: Kind| {
            let all: Vec<Uuid> = model.iter().filter(|(_, (k, _))| *k == kind).map(|(id, _)| *id).collect();
            (!all.is_empty()).then(|| all[rng.u64() as usize % all.len()])
        };
        let (volume, snapshot) = (of(Kind::Volume), of(Kind::Snapshot));
        let id = Uuid::from_u128(u128::from(step) + 1);
        match (rng.u64() % 20, volume, snapshot) {
            (0, _, from) | (_, None, from) if model.len() < 7 => {
                block_on(e.create(id, BLOCKS * BLOCK, from, b"")).unwrap();
                model.insert(id, (Kind::Volume, from.map_or(Content::new(), |f| model[&f].1.clone())));
            }
            (1..=9, Some(v), _) => {
                let ((from, n), value) = (range(&rng), step as u8 | 1);
                block_on(e.write(v, from * BLOCK, fill(from, n, value))).0.unwrap();
                model.get_mut(&v).unwrap().1.extend((from..from + n).map(|b| (b, value)));
            }
            (10..=12, Some(v), _) => {
                let (from, n) = range(&rng);
                block_on(e.discard(v, from * BLOCK, n * BLOCK)).unwrap();
                model.get_mut(&v).unwrap().1.retain(|b, _| !(from..from + n).contains(b));
            }
            (13 | 14, Some(v), _) if model.len() < 9 => {
                block_on(e.snapshot(&[(v, id, vec![])])).unwrap();
                model.insert(id, (Kind::Snapshot, model[&v].1.clone()));
            }
            (15, Some(v), Some(s)) => {
                block_on(e.rollback(v, s)).unwrap();
                model.get_mut(&v).unwrap().1 = model[&s].1.clone();
            }
            (16 | 17, v, s) => {
                if let Some(gone) = if step % 2 == 0 { s.or(v) } else { v } {
                    block_on(e.delete(gone)).unwrap();
                    model.remove(&gone);
                }
            }
            (18, ..) => {
                block_on(e.flush()).unwrap();
                e = open(&disk);
            }
            _ => {}
        }
        if step % 15 == 14 {
            compare(&e, &model);
        }
    }
    assert_sound(&e);
    for id in model.keys() {
        block_on(e.delete(*id)).unwrap();
    }
    assert_eq!((e.space().data, block_on(e.check())), (0, vec![]));
}

#[test]
fn several_spans_in_an_object_and_the_smallest_log_change_nothing() {
    (0..3).for_each(history);
}

#[test]
fn a_thin_volume_of_4_exbibytes_costs_only_what_is_written() {
    let disk = formatted(64 << 20, Layout::product(64 << 20));
    let e = open(&disk);
    let (id, size) = (Uuid::from_u128(1), 1u64 << 62);
    block_on(e.create(id, size, None, b"")).unwrap();
    block_on(e.write(id, size - 4096, fill(7, 1, 3))).0.unwrap();
    block_on(e.discard(id, 0, size - 4096)).unwrap();
    assert_eq!(
        block_on(e.extents(id, 0, size)).unwrap().iter().map(|x| x.len).collect::<Vec<_>>(),
        [size - 4096, 4096]
    );
    block_on(e.resize(id, 512)).unwrap();
    block_on(e.resize(id, size)).unwrap();
    let (result, buf) = block_on(e.read(id, size - 4096, Buf::zeroed(4096)));
    assert!(result.unwrap() && buf.iter().all(|b| *b == 0));
    assert_sound(&e);
}
