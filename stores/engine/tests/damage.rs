//! Bits that rot anywhere on a disk: the engine says so, or serves what was written, and never panics.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use common::{block_on, formatted, open, try_open};
use parpen_base::{Buf, Entropy, SeededEntropy};
use parpen_engine::{Disk, EngineError, Heads, Layout, OpenError, RamDisk};
use uuid::Uuid;

const SIZE: u64 = 1 << 20;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// A disk with a checkpoint, some log behind it, a volume, a snapshot and a clone.
fn lived_in() -> RamDisk {
    let disk = formatted(SIZE, Layout::tiny());
    let e = open(&disk);
    block_on(async {
        e.create(id(1), 128 << 10, None, b"first").await.unwrap();
        e.write(id(1), 0, Buf::copy_of(&[1; 20 * 4096])).await.0.unwrap();
        e.snapshot(&[(id(1), id(2), b"second".to_vec())]).await.unwrap();
        e.close().await.unwrap();
        e.create(id(3), 128 << 10, Some(id(2)), b"third").await.unwrap();
        e.write(id(3), 8192, Buf::copy_of(&[3; 5 * 4096])).await.0.unwrap();
        e.write(id(1), 4096, Buf::copy_of(&[2; 9 * 4096])).await.0.unwrap();
        e.flush().await.unwrap();
    });
    disk
}

fn copy(of: &RamDisk) -> RamDisk {
    let new = RamDisk::new(SIZE);
    let (result, bytes) = block_on(of.read(0, Buf::zeroed(SIZE as usize)));
    result.unwrap();
    block_on(new.write(0, bytes)).0.unwrap();
    new
}

fn want(volume: Uuid, block: u64) -> u8 {
    match (volume.as_u128(), block) {
        (1, 1..=9) => 2,
        (3, 2..=6) => 3,
        (_, 0..=19) => 1,
        _ => 0,
    }
}

#[test]
fn rotten_bits_are_told_or_harmless_but_never_served() {
    let disk = lived_in();
    let rng = SeededEntropy::new(11);
    let (mut refused, mut lost, mut unharmed) = (0, 0, 0);
    for _ in 0..700 {
        let rotten = copy(&disk);
        let block = rng.u64() % (SIZE / 4096) * 4096;
        let (_, mut bytes) = block_on(rotten.read(block, Buf::zeroed(4096)));
        let at = (rng.u64() % if rng.u64().is_multiple_of(2) { 256 } else { 4096 }) as usize;
        bytes[at] ^= 1 << (rng.u64() % 8);
        block_on(rotten.write(block, bytes)).0.unwrap();
        let e = match try_open(&rotten, 5) {
            Ok(e) => e,
            Err(error) => {
                assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
                refused += 1;
                continue;
            }
        };
        assert_eq!(block_on(e.check()), []);
        let mut any = false;
        for volume in [id(1), id(2), id(3)] {
            if e.lookup(volume).is_none() {
                // The last records of the log are rotten, which looks like a torn tail.
                assert_eq!(volume, id(3));
                continue;
            }
            for n in 0..32 {
                let (result, buf) = block_on(e.read(volume, n * 4096, Buf::zeroed(4096)));
                match result {
                    Ok(_) => {
                        let older = if n < 20 { 1 } else { 0 };
                        let fine =
                            buf.iter().all(|b| *b == want(volume, n)) || buf.iter().all(|b| *b == older);
                        assert!(fine, "block {n} of {volume} is {}", buf[0]);
                    }
                    Err(error) => {
                        assert_eq!(error, EngineError::DataLost);
                        any = true;
                    }
                }
            }
        }
        let found = block_on(e.fsck(true)).unwrap();
        let data = found.iter().any(|v| !v.0.contains("map of free blocks"));
        assert_eq!(any, data, "fsck sees what reading sees: {found:?}");
        (lost, unharmed) = (lost + i32::from(any), unharmed + i32::from(!any));
    }
    assert!(refused > 3 && lost > 20 && unharmed > 300, "{refused} {lost} {unharmed}");
}

#[test]
fn noise_is_no_disk() {
    let rng = SeededEntropy::new(3);
    for _ in 0..20 {
        let disk = RamDisk::new(SIZE);
        let mut noise = Buf::zeroed(SIZE as usize);
        rng.fill(&mut noise);
        block_on(disk.write(0, noise)).0.unwrap();
        assert_eq!(try_open(&disk, 1).err(), Some(OpenError::NotOurs));
    }
    assert_eq!(try_open(&RamDisk::new(4096), 1).err(), Some(OpenError::NotOurs));
    assert_eq!(try_open(&RamDisk::new(0), 1).err(), Some(OpenError::NotOurs));
}

#[test]
fn a_disk_that_grew_opens_and_one_that_was_cut_says_so() {
    let disk = lived_in();
    let longer = RamDisk::new(2 * SIZE);
    let (_, bytes) = block_on(disk.read(0, Buf::zeroed(SIZE as usize)));
    block_on(longer.write(0, bytes)).0.unwrap();
    let e = try_open(&longer, 1).unwrap();
    assert_eq!(e.inventory().len(), 3);
    let shorter = RamDisk::new(SIZE / 2 + 4096);
    let (_, bytes) = block_on(disk.read(0, Buf::zeroed((SIZE / 2 + 4096) as usize)));
    block_on(shorter.write(0, bytes)).0.unwrap();
    let cut = OpenError::Truncated { recorded: SIZE, actual: SIZE / 2 + 4096 };
    assert_eq!(try_open(&shorter, 1).err(), Some(cut));
}

/// The bits of the groups, and their table, are found anew from the maps.
#[test]
fn a_damaged_map_of_free_blocks_is_made_anew() {
    let rng = SeededEntropy::new(5);
    let disk = lived_in();
    let (mut tables, mut bits) = (0, 0);
    for block in 10..SIZE / 4096 {
        let (_, mut bytes) = block_on(disk.read(block * 4096, Buf::zeroed(4096)));
        // The type of a structure stands behind the magic.
        match (&bytes[..4], bytes[4]) {
            (b"PARP", 9) => bits += 1,
            (b"PARP", 10) => tables += 1,
            _ => continue,
        }
        let rotten = copy(&disk);
        bytes[(rng.u64() % 60) as usize] ^= 4;
        block_on(rotten.write(block * 4096, bytes)).0.unwrap();
        let e = try_open(&rotten, 5).unwrap();
        block_on(e.fsck(true)).unwrap();
        block_on(e.close()).unwrap();
        drop(e);
        let e = try_open(&rotten, 6).unwrap();
        common::assert_sound(&e);
        for volume in [id(1), id(2), id(3)] {
            for n in 0..32 {
                let (result, buf) = block_on(e.read(volume, n * 4096, Buf::zeroed(4096)));
                result.unwrap();
                assert!(buf.iter().all(|b| *b == want(volume, n)), "block {n} of {volume} is {}", buf[0]);
            }
            block_on(e.delete(volume)).unwrap();
        }
        assert_eq!((e.space().data, block_on(e.check())), (0, vec![]));
    }
    assert!(tables > 0 && bits > 0, "{tables} {bits}");
}

/// A disk that comes back learns that all it holds was deleted. What cannot be taken back for damage is an error: it
/// would stand in the way for ever.
#[test]
fn a_catalogue_that_damage_stands_in_the_way_of_is_refused() {
    let disk = lived_in();
    let (mut taken, mut refused) = (0, 0);
    for block in 0..SIZE / 4096 {
        let rotten = copy(&disk);
        let (_, mut bytes) = block_on(rotten.read(block * 4096, Buf::zeroed(4096)));
        bytes[80] ^= 1;
        block_on(rotten.write(block * 4096, bytes)).0.unwrap();
        let Ok(e) = try_open(&rotten, 5) else { continue };
        match block_on(e.adopt(e.catalogue_seq() + 1, e.next_lineage(), &[], Heads::Bases)) {
            Ok(()) => taken += 1,
            Err(EngineError::DataLost) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        assert_eq!(block_on(e.check()), []);
    }
    assert!(taken > 0 && refused > 0, "{taken} {refused}");
}
