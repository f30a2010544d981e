//! What the disks of one store compare: numbers, trees, records, digests and marks, and what survives a
//! reopening of them.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use common::{assert_sound, block_on, formatted, open};
use parpen_base::Buf;
use parpen_engine::{EngineError, ImageKind, Layout};
use uuid::Uuid;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn data(fill: u8) -> Buf {
    Buf::copy_of(&[fill; 4096])
}

#[test]
fn records_live_in_the_catalogue_and_survive() {
    let disk = formatted(8 << 20, Layout::tiny());
    let e = open(&disk);
    assert_eq!(e.catalogue_seq(), 0);
    block_on(e.put_record(id(7), b"one")).unwrap();
    block_on(e.put_record(id(7), b"one")).unwrap();
    assert_eq!(e.catalogue_seq(), 1, "a value that is there already is no change");
    block_on(e.put_record(id(7), b"two")).unwrap();
    block_on(e.put_record(id(8), b"gone")).unwrap();
    block_on(e.put_record(id(8), b"")).unwrap();
    block_on(e.put_record(id(9), b"")).unwrap();
    // A record and a volume may have the same key: they are different things.
    block_on(e.create(id(7), 1 << 20, None, b"label")).unwrap();
    for round in 0..3 {
        let e = open(&disk);
        assert_eq!(e.records(), [(id(7), b"two".to_vec())], "round {round}");
        assert_eq!((e.record(id(7)), e.record(id(8))), (Some(b"two".to_vec()), None));
        assert_eq!((e.catalogue_seq(), e.inventory().len()), (5, 1));
        assert_eq!(e.lookup(id(7)).unwrap().label, b"label");
        assert_sound(&e);
        if round == 1 {
            block_on(e.close()).unwrap();
        }
    }
    let most = vec![1; (64 << 10) + 1];
    assert!(matches!(block_on(e.put_record(id(1), &most)), Err(EngineError::Invalid(_))));
}

#[test]
fn trees_are_inherited_and_outlive_their_first_root() {
    let disk = formatted(8 << 20, Layout::tiny());
    let e = open(&disk);
    block_on(e.create(id(1), 1 << 20, None, b"")).unwrap();
    block_on(e.create(id(2), 1 << 20, None, b"")).unwrap();
    block_on(e.snapshot(&[(id(2), id(3), Vec::new())])).unwrap();
    block_on(e.create(id(4), 1 << 20, Some(id(3)), b"")).unwrap();
    let tree = |e: &common::Ram, n| e.catalogue().into_iter().find(|i| i.id == id(n)).unwrap().tree;
    let of = [tree(&e, 1), tree(&e, 2)];
    assert_ne!(of[0], of[1]);
    block_on(e.delete(id(2))).unwrap();
    block_on(e.delete(id(3))).unwrap();
    let e = open(&disk);
    assert_eq!((tree(&e, 1), tree(&e, 4)), (of[0], of[1]));
    assert!(e.catalogue().iter().all(|n| n.kind == ImageKind::Volume));
    assert_sound(&e);
}

#[test]
fn the_growth_of_a_clone_counts_the_same_whatever_it_meets() {
    let seq_of = |dirty: bool| {
        let disk = formatted(8 << 20, Layout::tiny());
        let e = open(&disk);
        block_on(e.create(id(1), 8192, None, b"")).unwrap();
        if dirty {
            block_on(e.write(id(1), 0, Buf::copy_of(&[1; 8192]))).0.unwrap();
        }
        block_on(e.snapshot(&[(id(1), id(2), Vec::new())])).unwrap();
        block_on(e.create(id(3), 12288, Some(id(2)), b"")).unwrap();
        assert_eq!(e.lookup(id(3)).unwrap().bytes, 12288);
        e.catalogue_seq()
    };
    assert_eq!(seq_of(false), seq_of(true));
}

#[test]
fn equal_histories_have_equal_digests_and_eras_tell_writes_apart() {
    let live = |era: u32, twice: bool| {
        let disk = formatted(8 << 20, Layout::tiny());
        let e = open(&disk);
        e.set_era(era);
        assert_eq!(e.era(), era);
        block_on(e.create(id(1), 1 << 20, None, b"")).unwrap();
        for n in [3u8, 4, 40] {
            if twice {
                block_on(e.write(id(1), u64::from(n) * 4096, data(99))).0.unwrap();
            }
            block_on(e.write(id(1), u64::from(n) * 4096, data(n))).0.unwrap();
        }
        block_on(e.snapshot(&[(id(1), id(2), Vec::new())])).unwrap();
        block_on(e.zero(id(1), 3 * 4096, 4096)).unwrap();
        block_on(e.flush()).unwrap();
        let before = (e.versions(), e.family(1, 0));
        let e = open(&disk);
        assert_eq!((e.versions(), e.family(1, 0)), before);
        assert_sound(&e);
        (e.digest(1, 0), e.digest(2, 0), e.digest(2, 2), e.digest(1, 9), e)
    };
    let (a, b) = (live(5, false), live(5, true));
    assert_eq!((a.0, a.1, a.2, a.3), (b.0, b.1, b.2, 0));
    assert_ne!(a.0, a.1);
    let other = live(6, false);
    assert_ne!(a.0, other.0);
    let marks = a.4.marks(2, 0, 2, 4).unwrap();
    assert_eq!(marks.iter().map(|m| m.is_some()).collect::<Vec<_>>(), [false, false, true, false]);
    assert_eq!(marks[2].unwrap().origin, 1 | 5 << 40);
    let family: Vec<u64> = a.4.family(1, 0).iter().map(|v| v.lineage).collect();
    assert_eq!(family, [1, 2]);
    assert_eq!(a.4.marks(9, 0, 0, 1), Err(EngineError::NotFound));
    assert!(matches!(a.4.marks(1, 0, 15, 2), Err(EngineError::Invalid(_))));
}

#[test]
fn frozen_lineages_are_read_by_their_number() {
    let disk = formatted(8 << 20, Layout::tiny());
    let e = open(&disk);
    block_on(e.create(id(1), 1 << 20, None, b"")).unwrap();
    block_on(e.write(id(1), 17 * 4096, data(1))).0.unwrap();
    block_on(e.snapshot(&[(id(1), id(2), Vec::new())])).unwrap();
    block_on(e.create(id(3), 1 << 20, Some(id(2)), b"")).unwrap();
    block_on(e.write(id(1), 17 * 4096, data(2))).0.unwrap();
    block_on(e.delete(id(2))).unwrap();
    let read = |lineage, index, start| {
        let (result, buf) = block_on(e.read_version(lineage, index, start, Buf::zeroed(4096)));
        result.map(|zero| (zero, buf[0]))
    };
    assert_eq!(read(1, 1, 1), Ok((false, 1)), "the ghost");
    assert_eq!((read(2, 1, 1), read(3, 1, 1)), (Ok((false, 2)), Ok((false, 1))));
    assert_eq!((read(1, 0, 0), read(8, 0, 0)), (Ok((true, 0)), Err(EngineError::NotFound)));
    let odd = block_on(e.read_version(1, 0, 0, Buf::zeroed(512))).0;
    assert!(matches!(odd, Err(EngineError::Invalid(_))));
}
