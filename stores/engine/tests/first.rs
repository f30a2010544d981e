//! A disk written by the first version of the format opens with this one, every byte in its place.
//!
//! The images in `fixtures/` were made by the engine before catalogues were repeated (no feature bit is set in
//! them): it lived [`life`], and was left without closing, so that checkpoint and log both hold something.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;
#[path = "common/sparse.rs"]
mod sparse;

use std::collections::BTreeMap;

use common::{assert_sound, block_on, try_open};
use parpen_base::Buf;
use parpen_engine::{BLOCK, Kind, RamDisk};
use uuid::Uuid;

/// Blocks of a volume at first.
const BLOCKS: u64 = 2100;

/// One thing that was done.
enum Step {
    Create {
        id: u128,
        from: Option<u128>,
        blocks: u64,
    },
    /// From a block on, this many; each holds its own stamp.
    Write {
        id: u128,
        block: u64,
        blocks: u64,
    },
    /// Bytes within blocks.
    Patch {
        id: u128,
        at: u64,
        len: u64,
    },
    Zero {
        id: u128,
        block: u64,
        blocks: u64,
    },
    Snapshot {
        pairs: Vec<(u128, u128)>,
    },
    Rollback {
        id: u128,
        to: u128,
    },
    Resize {
        id: u128,
        blocks: u64,
    },
    Delete {
        id: u128,
    },
    Relabel {
        id: u128,
        len: usize,
    },
    Generation(u64),
    Close,
    Flush,
}

fn life() -> Vec<Step> {
    use Step::*;
    let write = |id, block, blocks| Write { id, block, blocks };
    vec![
        Generation(3),
        Create { id: 1, from: None, blocks: BLOCKS },
        Create { id: 2, from: None, blocks: 30 },
        write(1, 0, 10),
        write(1, 508, 8),
        write(1, 1020, 6),
        write(2, 3, 5),
        Snapshot { pairs: vec![(1, 11), (2, 12)] },
        write(1, 5, 8),
        Patch { id: 1, at: 3 * BLOCK + 100, len: 5000 },
        Zero { id: 1, block: 509, blocks: 2 },
        Create { id: 3, from: Some(11), blocks: BLOCKS + 7 },
        write(3, 0, 3),
        write(3, BLOCKS, 4),
        Relabel { id: 3, len: 5000 },
        Snapshot { pairs: vec![(3, 13)] },
        Snapshot { pairs: vec![(1, 14)] },
        // A ghost with two children.
        Delete { id: 11 },
        Close,
        Generation(4),
        write(1, 512, 3),
        write(3, 1, 1),
        Resize { id: 1, blocks: 1022 },
        Snapshot { pairs: vec![(1, 15)] },
        Resize { id: 1, blocks: BLOCKS },
        Create { id: 4, from: Some(15), blocks: BLOCKS },
        write(4, 20, 2),
        Rollback { id: 3, to: 13 },
        Delete { id: 14 },
        Delete { id: 2 },
        Relabel { id: 4, len: 77 },
        write(4, 21, 2),
        Flush,
    ]
}

/// What a device must hold.
#[derive(Clone)]
struct Image {
    kind: Kind,
    of: Option<u128>,
    bytes: Vec<u8>,
    label: Vec<u8>,
    label_version: u64,
}

fn stamp(n: u32) -> [u8; 4] {
    n.wrapping_mul(0x9e37_79b1).to_le_bytes()
}

/// `life()` as plain bytes.
fn model() -> BTreeMap<u128, Image> {
    let mut all: BTreeMap<u128, Image> = BTreeMap::new();
    let size = |blocks: u64| (blocks * BLOCK) as usize;
    let mut next = 1;
    for step in life() {
        match step {
            Step::Create { id, from, blocks } => {
                let mut bytes = from.map_or(Vec::new(), |f| all[&f].bytes.clone());
                bytes.resize(size(blocks), 0);
                let label = id.to_le_bytes().to_vec();
                all.insert(id, Image { kind: Kind::Volume, of: from, bytes, label, label_version: 1 });
            }
            Step::Write { id, block, blocks } => {
                let image = &mut all.get_mut(&id).unwrap().bytes;
                for b in block..block + blocks {
                    image[size(b)..size(b + 1)].copy_from_slice(&stamp(next).repeat(1024));
                    next += 1;
                }
            }
            Step::Patch { id, at, len } => {
                all.get_mut(&id).unwrap().bytes[at as usize..(at + len) as usize].fill(0x5a);
            }
            Step::Zero { id, block, blocks } => {
                all.get_mut(&id).unwrap().bytes[size(block)..size(block + blocks)].fill(0);
            }
            Step::Snapshot { pairs } => {
                for (volume, snapshot) in pairs {
                    let label = snapshot.to_le_bytes().to_vec();
                    let of = Some(volume);
                    let frozen =
                        Image { kind: Kind::Snapshot, of, label, label_version: 1, ..all[&volume].clone() };
                    all.insert(snapshot, frozen);
                }
            }
            Step::Rollback { id, to } => {
                let bytes = all[&to].bytes.clone();
                all.get_mut(&id).unwrap().bytes = bytes;
            }
            Step::Resize { id, blocks } => all.get_mut(&id).unwrap().bytes.resize(size(blocks), 0),
            Step::Delete { id } => drop(all.remove(&id)),
            Step::Relabel { id, len } => {
                let image = all.get_mut(&id).unwrap();
                (image.label, image.label_version) = (vec![9; len], image.label_version + 1);
            }
            Step::Generation(_) | Step::Close | Step::Flush => {}
        }
    }
    all
}

fn assert_all(disk: &RamDisk, seed: u64) {
    let e = try_open(disk, seed).unwrap();
    assert_sound(&e);
    let model = model();
    let found = e.inventory();
    assert_eq!(found.len(), model.len());
    for f in found {
        let want = &model[&f.id.as_u128()];
        assert_eq!(
            (f.kind, f.bytes, f.label_version),
            (want.kind, want.bytes.len() as u64, want.label_version)
        );
        assert_eq!((f.of, &f.label), (want.of.map(Uuid::from_u128), &want.label));
        let (result, buf) = block_on(e.read(f.id, 0, Buf::zeroed(want.bytes.len())));
        result.unwrap();
        assert!(*buf == *want.bytes, "the bytes of {}", f.id);
    }
}

#[test]
fn a_fixture_written_by_the_first_version_opens_with_this_one() {
    let small = block_on(sparse::image(2 << 20, include_bytes!("fixtures/first-small.sparse")));
    let large = block_on(sparse::image(24 << 20, include_bytes!("fixtures/first-large.sparse")));
    for disk in [small, large] {
        // Twice: what the first opening made of it is read by the second.
        assert_all(&disk, 1);
        assert_all(&disk, 2);
        let e = try_open(&disk, 3).unwrap();
        let generations: Vec<u64> = e.versions().iter().map(|v| v.generation).collect();
        for step in life() {
            if let Step::Generation(g) = step {
                assert!(generations.contains(&g), "{generations:?}");
            }
        }
        assert!(e.versions().iter().any(|v| v.digest != 0));
        let trees: Vec<u64> = e.catalogue().iter().map(|n| n.tree).collect();
        assert!(trees.iter().all(|t| *t > 0), "{trees:?}");
        // It is used like any other from then on.
        let new = Uuid::from_u128(99);
        block_on(e.create(new, BLOCKS * BLOCK, Some(Uuid::from_u128(15)), b"")).unwrap();
        block_on(e.put_record(new, b"record")).unwrap();
        block_on(e.write(new, 0, Buf::copy_of(&[1; 8192]))).0.unwrap();
        for f in e.inventory() {
            block_on(e.delete(f.id)).unwrap();
        }
        assert_sound(&e);
        assert_eq!(e.space().data, 0);
    }
}
