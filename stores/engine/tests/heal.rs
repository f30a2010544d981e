//! Blocks that rot: found once each by going over the versions, healed for all that share them, and never
//! replaced by anything but what was written there.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::collections::BTreeMap;

use common::{Ram, assert_sound, block_on, formatted, open};
use parpen_base::{Buf, Entropy, SeededEntropy};
use parpen_engine::{BLOCK, Disk, EngineError, Layout, RamDisk};
use uuid::Uuid;

const SIZE: u64 = 8 << 20;
const OBJECT: u32 = 16;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// A block that nobody else writes.
fn data(stamp: u32) -> Buf {
    let mut buf = Buf::zeroed(4096);
    buf.chunks_exact_mut(4).for_each(|w| w.copy_from_slice(&stamp.to_le_bytes()));
    buf
}

/// Flips a bit in every place where the block with this stamp stands; gives their number.
fn rot(disk: &RamDisk, stamp: u32) -> usize {
    let mut places = 0;
    for at in (0..SIZE).step_by(4096) {
        let (_, mut buf) = block_on(disk.read(at, Buf::zeroed(4096)));
        if *buf == *data(stamp) {
            buf[9] ^= 1;
            block_on(disk.write(at, buf)).0.unwrap();
            places += 1;
        }
    }
    places
}

/// All bad blocks by `(lineage, object, block)`, and how many were read.
fn scrub(e: &Ram) -> (Vec<(u64, u64, u32)>, u64) {
    let (mut bad, mut read) = (Vec::new(), 0);
    for v in e.versions() {
        let found = block_on(e.verify_version(v.lineage, v.index, 0, OBJECT)).unwrap();
        read += found.blocks;
        bad.extend(found.bad.iter().map(|b| (v.lineage, v.index, *b)));
    }
    (bad, read)
}

/// A volume, two snapshots of it, a clone, and what each block of each must hold.
fn family(e: &Ram) -> BTreeMap<(u128, u64), u32> {
    let mut stamps = BTreeMap::new();
    let mut next = 1;
    let mut write = |stamps: &mut BTreeMap<_, u32>, volume: u128, blocks: std::ops::Range<u64>| {
        for block in blocks {
            block_on(e.write(id(volume), block * BLOCK, data(next))).0.unwrap();
            stamps.insert((volume, block), next);
            next += 1;
        }
    };
    let copy = |stamps: &mut BTreeMap<(u128, u64), u32>, from: u128, to: u128| {
        let of: Vec<_> =
            stamps.range((from, 0)..(from, 99)).map(|((_, block), stamp)| (*block, *stamp)).collect();
        stamps.extend(of.into_iter().map(|(block, stamp)| ((to, block), stamp)));
    };
    block_on(e.create(id(1), 40 * BLOCK, None, b"")).unwrap();
    write(&mut stamps, 1, 0..30);
    block_on(e.snapshot(&[(id(1), id(2), Vec::new())])).unwrap();
    copy(&mut stamps, 1, 2);
    write(&mut stamps, 1, 5..12);
    block_on(e.snapshot(&[(id(1), id(3), Vec::new())])).unwrap();
    copy(&mut stamps, 1, 3);
    block_on(e.create(id(4), 40 * BLOCK, Some(id(2)), b"")).unwrap();
    copy(&mut stamps, 2, 4);
    write(&mut stamps, 1, 10..14);
    write(&mut stamps, 4, 0..3);
    block_on(e.flush()).unwrap();
    stamps
}

fn assert_all(e: &Ram, stamps: &BTreeMap<(u128, u64), u32>) {
    for ((volume, block), stamp) in stamps {
        let (result, buf) = block_on(e.read(id(*volume), block * BLOCK, Buf::zeroed(4096)));
        result.unwrap();
        assert!(*buf == *data(*stamp), "block {block} of {volume}");
    }
}

#[test]
fn what_rots_is_found_once_and_healed_for_all_that_share_it() {
    for stamp in 1..45 {
        let disk = formatted(SIZE, Layout { object_blocks: OBJECT, ..Layout::tiny() });
        let e = open(&disk);
        let stamps = family(&e);
        let (none, read) = scrub(&e);
        assert!(none.is_empty());
        assert_eq!(read * BLOCK, e.space().data, "every block is read once");
        let seen = stamps.values().any(|s| *s == stamp);
        assert_eq!(rot(&disk, stamp), 1);
        let (bad, _) = scrub(&e);
        let [(lineage, index, block)] = bad[..] else { panic!("{stamp}: {bad:?}") };
        let marks = e.marks(lineage, index, 0, OBJECT).unwrap();
        let wrong = block_on(e.heal(lineage, index, block, data(999)));
        assert_eq!(wrong, Err(EngineError::DataLost), "other bytes heal nothing");
        assert_eq!(e.quarantined(), 0);
        assert_eq!(block_on(e.heal(lineage, index, block, data(stamp))), Ok(true));
        assert_eq!(e.marks(lineage, index, 0, OBJECT).unwrap(), marks);
        assert_eq!((scrub(&e).0, e.quarantined()), (vec![], BLOCK));
        assert_all(&e, &stamps);
        assert_sound(&e);
        assert!(seen, "every stamp is some volume's");
        block_on(e.flush()).unwrap();
        let e = open(&disk);
        assert_all(&e, &stamps);
        assert_sound(&e);
        assert_eq!(e.quarantined(), 0);
    }
}

#[test]
fn a_bad_place_is_not_used_again_while_the_disk_is_open() {
    let disk = formatted(SIZE, Layout { object_blocks: OBJECT, ..Layout::tiny() });
    let e = open(&disk);
    block_on(e.create(id(1), 40 * BLOCK, None, b"")).unwrap();
    block_on(e.write(id(1), 0, data(77))).0.unwrap();
    block_on(e.flush()).unwrap();
    rot(&disk, 77);
    let bad = (0..SIZE).step_by(4096).find(|at| {
        let (_, buf) = block_on(disk.read(*at, Buf::zeroed(4096)));
        buf[..8] == data(77)[..8] && buf[9] != data(77)[9]
    });
    assert_eq!(block_on(e.heal(1, 0, 0, data(77))), Ok(true));
    let rng = SeededEntropy::new(1);
    for n in 0..4000u64 {
        block_on(e.write(id(1), rng.u64() % 40 * BLOCK, data(1000 + n as u32))).0.unwrap();
        if n.is_multiple_of(16) {
            block_on(e.flush()).unwrap();
        }
    }
    let (_, buf) = block_on(disk.read(bad.unwrap(), Buf::zeroed(4096)));
    assert_eq!(buf[..8], data(77)[..8]);
    assert_eq!(e.check(), []);
}

#[test]
fn healing_what_is_gone_does_nothing() {
    let disk = formatted(SIZE, Layout { object_blocks: OBJECT, ..Layout::tiny() });
    let e = open(&disk);
    block_on(e.create(id(1), 40 * BLOCK, None, b"")).unwrap();
    assert_eq!(block_on(e.heal(1, 0, 3, data(1))), Ok(false));
    assert_eq!(block_on(e.heal(2, 0, 3, data(1))), Err(EngineError::NotFound));
    let odd = block_on(e.heal(1, 0, 3, Buf::zeroed(512)));
    assert!(matches!(odd, Err(EngineError::Invalid(_))));
    let outside = block_on(e.verify_version(1, 0, 10, 7));
    assert!(matches!(outside, Err(EngineError::Invalid(_))));
    assert_eq!(block_on(e.verify_version(1, 0, 0, 16)).unwrap().blocks, 0);
}
