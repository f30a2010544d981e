//! Freezing, and cutting volumes and snapshots off their parents.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use common::{Ram, assert_sound, block_on, formatted, open};
use parpen_base::Buf;
use parpen_engine::{EngineError, Layout};
use uuid::Uuid;

const B: u64 = 4096;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn write(e: &Ram, volume: Uuid, block: u64, fill: u8) {
    block_on(e.write(volume, block * B, Buf::copy_of(&[fill; B as usize]))).0.unwrap();
}

fn first_byte(e: &Ram, of: Uuid, block: u64) -> u8 {
    let (result, buf) = block_on(e.read(of, block * B, Buf::zeroed(B as usize)));
    result.unwrap();
    assert!(buf.iter().all(|b| *b == buf[0]), "the block holds the bytes of one write");
    buf[0]
}

fn snapshot(e: &Ram, volume: Uuid, snapshot: Uuid) {
    block_on(e.snapshot(&[(volume, snapshot, vec![])])).unwrap();
}

/// A snapshot (2) of a volume (1) with blocks 0..n, and a clone (3) of it.
fn cloned(bytes: u64, blocks: u64) -> (parpen_engine::RamDisk, std::rc::Rc<Ram>) {
    let disk = formatted(bytes, Layout::tiny());
    let e = open(&disk);
    block_on(e.create(id(1), blocks * B, None, b"")).unwrap();
    (0..blocks).for_each(|b| write(&e, id(1), b, b as u8 + 1));
    snapshot(&e, id(1), id(2));
    block_on(e.create(id(3), blocks * B, Some(id(2)), b"")).unwrap();
    (disk, e)
}

#[test]
fn a_flattened_clone_shares_nothing_and_costs_what_it_shared() {
    let (_disk, e) = cloned(8 << 20, 50);
    write(&e, id(3), 7, 99);
    let before = e.space().data;
    block_on(e.rebase(id(3), None)).unwrap();
    assert_eq!(e.space().data - before, 49 * B, "all but the block that was its own already");
    assert_eq!(e.lookup(id(3)).unwrap().parent, None);
    assert_eq!((first_byte(&e, id(3), 7), first_byte(&e, id(3), 8)), (99, 9));
    let same = block_on(e.diff(Some(id(2)), id(3), 0, 50 * B)).unwrap();
    assert_eq!(same.iter().filter(|p| p.changed).map(|p| p.len).sum::<u64>(), B, "a copy is no change");
    block_on(e.rebase(id(3), None)).unwrap();
    block_on(e.delete(id(3))).unwrap();
    assert_eq!(e.space().data, before - B);
    assert_sound(&e);
}

#[test]
fn blocks_that_nobody_else_uses_are_taken_over_and_not_copied() {
    let (_disk, e) = cloned(8 << 20, 50);
    block_on(e.create(id(4), 50 * B, Some(id(2)), b"")).unwrap();
    block_on(e.delete(id(1))).unwrap();
    block_on(e.delete(id(2))).unwrap();
    (0..30).for_each(|b| write(&e, id(4), b, 200));
    let before = e.space().data;
    block_on(e.rebase(id(3), None)).unwrap();
    assert_eq!(e.space().data - before, 20 * B, "what the other clone still uses, and no more");
    assert_eq!((first_byte(&e, id(3), 3), first_byte(&e, id(4), 3), first_byte(&e, id(4), 40)), (4, 200, 41));
    assert_sound(&e);
}

#[test]
fn a_volume_moves_to_an_older_snapshot_and_the_one_between_goes_with_its_blocks() {
    let disk = formatted(8 << 20, Layout::tiny());
    let e = open(&disk);
    block_on(e.create(id(1), 40 * B, None, b"")).unwrap();
    (0..20).for_each(|b| write(&e, id(1), b, 1));
    snapshot(&e, id(1), id(2));
    (10..30).for_each(|b| write(&e, id(1), b, 2));
    block_on(e.zero(id(1), 0, 2 * B)).unwrap();
    snapshot(&e, id(1), id(3));
    write(&e, id(1), 29, 3);
    let before = e.space().data;
    block_on(e.rebase(id(1), Some(id(2)))).unwrap();
    assert_eq!(e.lookup(id(1)).unwrap().parent, Some(id(2)));
    assert_eq!(e.space().data - before, 19 * B, "what the snapshot between owns and the volume has");
    let bytes: Vec<u8> = [0, 2, 9, 10, 28, 29, 30].iter().map(|b| first_byte(&e, id(1), *b)).collect();
    assert_eq!(bytes, [0, 1, 1, 2, 2, 3, 0]);
    block_on(e.delete(id(3))).unwrap();
    assert_eq!(e.space().data, before - B, "its 20 blocks are free, the 19 copies stay");
    let refused = block_on(e.rebase(id(2), Some(id(1))));
    assert!(matches!(refused, Err(EngineError::Invalid(_))), "{refused:?}");
    assert_sound(&e);
}

#[test]
fn a_snapshot_with_clones_is_cut_off_and_they_follow() {
    let (_disk, e) = cloned(8 << 20, 30);
    snapshot(&e, id(3), id(4));
    block_on(e.create(id(5), 30 * B, Some(id(4)), b"")).unwrap();
    write(&e, id(5), 3, 77);
    let before = e.space().data;
    block_on(e.rebase(id(4), None)).unwrap();
    assert_eq!(e.space().data - before, 30 * B);
    assert_eq!(e.lookup(id(5)).unwrap().parent, Some(id(4)));
    let one = block_on(e.diff(Some(id(4)), id(5), 0, 30 * B)).unwrap();
    assert_eq!(one.iter().filter(|p| p.changed).map(|p| p.len).sum::<u64>(), B);
    for d in [1, 2, 4] {
        block_on(e.delete(id(d))).unwrap();
    }
    assert_eq!((first_byte(&e, id(5), 3), first_byte(&e, id(5), 4), first_byte(&e, id(3), 4)), (77, 5, 5));
    assert_eq!(e.space().data, 31 * B);
    assert_sound(&e);
}

#[test]
fn a_rebase_goes_in_pieces_and_goes_on_after_a_restart() {
    let (disk, e) = cloned(8 << 20, 100);
    let mut copied = 0;
    for _ in 0..3 {
        let step = block_on(e.rebase_step(id(3), None, 10 * B)).unwrap();
        assert!(step.copied <= 10 * B && !step.done, "{step:?}");
        copied += step.copied;
        write(&e, id(3), copied / B + 20, 250);
    }
    block_on(e.flush()).unwrap();
    drop(e);
    let e = open(&disk);
    let mut after = 0;
    loop {
        let step = block_on(e.rebase_step(id(3), None, 10 * B)).unwrap();
        after += step.copied;
        if step.done {
            break;
        }
    }
    assert_eq!(
        (copied + after) / B,
        97,
        "each block once, and not those that were overwritten before their turn"
    );
    assert_eq!(e.lookup(id(3)).unwrap().parent, None);
    assert_sound(&e);
}

#[test]
fn what_is_overwritten_meanwhile_stays_overwritten() {
    let (_disk, e) = cloned(16 << 20, 200);
    let mut block = 0;
    while !block_on(e.rebase_step(id(3), None, 8 * B)).unwrap().done {
        write(&e, id(3), block, 255);
        block = (block + 7) % 200;
        assert!(e.check().is_empty());
    }
    let seven = first_byte(&e, id(3), 0);
    assert_eq!((seven, first_byte(&e, id(2), 0)), (255, 1));
    assert_sound(&e);
}

#[test]
fn a_full_disk_refuses_a_flatten_and_harms_nothing() {
    let (_disk, e) = cloned(2 << 20, 100);
    let mut filler = 10;
    while block_on(e.create(id(filler), 100 * B, None, b"")).is_ok()
        && (0..100).all(|b| block_on(e.write(id(filler), b * B, Buf::copy_of(&[9; B as usize]))).0.is_ok())
    {
        filler += 1;
    }
    assert_eq!(block_on(e.rebase(id(3), None)), Err(EngineError::NoSpace));
    assert_eq!((first_byte(&e, id(3), 50), e.lookup(id(3)).unwrap().parent), (51, Some(id(2))));
    assert_sound(&e);
    block_on(e.delete(id(1))).unwrap();
    block_on(e.delete(id(2))).unwrap();
    block_on(e.rebase(id(3), None)).unwrap();
    assert_eq!(first_byte(&e, id(3), 50), 51);
    assert_sound(&e);
}

#[test]
fn a_frozen_volume_is_a_snapshot_with_its_bytes() {
    let (disk, e) = cloned(8 << 20, 10);
    write(&e, id(3), 1, 42);
    block_on(e.freeze(id(3), id(9), b"label")).unwrap();
    assert_eq!(block_on(e.freeze(id(3), id(9), b"label")), Ok(()), "once more is no harm");
    assert_eq!(block_on(e.freeze(id(1), id(9), b"")), Err(EngineError::Exists));
    assert_eq!(block_on(e.freeze(id(8), id(7), b"")), Err(EngineError::NotFound));
    assert_eq!(block_on(e.freeze(id(2), id(7), b"")), Err(EngineError::ReadOnly));
    drop(e);
    let e = open(&disk);
    let found = e.lookup(id(9)).unwrap();
    assert_eq!(
        (found.kind, found.of, found.label),
        (parpen_engine::Kind::Snapshot, Some(id(3)), b"label".to_vec())
    );
    assert!(e.lookup(id(3)).is_none());
    assert_eq!(block_on(e.write(id(9), 0, Buf::zeroed(512))).0, Err(EngineError::ReadOnly));
    block_on(e.create(id(3), 10 * B, Some(id(9)), b"")).unwrap();
    assert_eq!((first_byte(&e, id(3), 1), first_byte(&e, id(3), 2)), (42, 3));
    assert_sound(&e);
}

/// A volume with `depth` snapshots, each with one block of its own.
fn chain(e: &Ram, depth: u64) {
    block_on(e.create(id(1), 64 * B, None, b"")).unwrap();
    for n in 0..depth {
        write(e, id(1), n % 64, (n % 250) as u8 + 1);
        snapshot(e, id(1), id(1000 + u128::from(n)));
    }
}

#[test]
fn a_thousand_snapshots_deep_everything_still_works() {
    let disk = formatted(128 << 20, Layout { wal_bytes: 4 << 20, ..Layout::tiny() });
    let e = open(&disk);
    chain(&e, 1000);
    block_on(e.rebase(id(1), Some(id(1500)))).unwrap();
    assert_eq!(e.lookup(id(1)).unwrap().parent, Some(id(1500)));
    // From the middle, the ends and in between.
    for n in (0..1000).step_by(2).map(|n| (n * 7919) % 1000) {
        block_on(e.delete(id(1000 + n))).unwrap();
    }
    assert_eq!(first_byte(&e, id(1), 0), (960 % 250) as u8 + 1);
    block_on(e.rebase(id(1), None)).unwrap();
    assert!(e.check().is_empty());
    drop(e);
    let e = open(&disk);
    for n in (0..1000).map(|n| (n * 7919) % 1000) {
        block_on(e.delete(id(1000 + n))).unwrap();
    }
    assert_eq!((e.space().data, e.inventory().len()), (64 * B, 1));
    assert_sound(&e);
}

#[test]
fn a_bush_of_clones_goes_in_any_order() {
    let disk = formatted(128 << 20, Layout { wal_bytes: 4 << 20, ..Layout::tiny() });
    let e = open(&disk);
    block_on(e.create(id(1), 64 * B, None, b"")).unwrap();
    (0..64).for_each(|b| write(&e, id(1), b, 5));
    snapshot(&e, id(1), id(2));
    // Each clone of one level is the snapshot for the next.
    let mut leaves = vec![2u128];
    for level in 1..=3u128 {
        let mut next = Vec::new();
        for (n, from) in leaves.iter().enumerate() {
            for k in 0..7u128 {
                let volume = level * 100_000 + n as u128 * 100 + k;
                block_on(e.create(id(volume), 64 * B, Some(id(*from)), b"")).unwrap();
                write(&e, id(volume), (volume % 64) as u64, level as u8);
                snapshot(&e, id(volume), id(volume + 50));
                next.push(volume + 50);
            }
        }
        leaves = next;
    }
    let mut all: Vec<Uuid> = e.inventory().iter().map(|f| f.id).collect();
    assert_eq!(all.len(), 2 + 2 * (7 + 49 + 343));
    let kept = id(3 * 100_000 + 6 * 100 + 6);
    all.sort_by_key(|id| id.as_u128().wrapping_mul(0x9e37_79b9_7f4a_7c15) % 10_007);
    let bytes = |e: &Ram| (0..64).map(|b| first_byte(e, kept, b)).collect::<Vec<u8>>();
    let before = bytes(&e);
    for (n, one) in all.iter().filter(|one| **one != kept).enumerate() {
        block_on(e.delete(*one)).unwrap();
        if n % 200 == 100 {
            block_on(e.rebase(kept, None)).unwrap();
            assert!(e.check().is_empty());
        }
    }
    assert_eq!(bytes(&e), before);
    assert_eq!(e.space().data, 64 * B);
    assert_sound(&e);
}
