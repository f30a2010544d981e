//! A disk that is full: refused writes harm nothing, and what gives space back always works.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use common::{assert_sound, block_on, formatted, open};
use parpen_base::Buf;
use parpen_engine::{BLOCK, EngineError, Layout};
use uuid::Uuid;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn block(fill: u8, n: u64) -> Buf {
    let mut b = Buf::zeroed(BLOCK as usize);
    b.fill(fill);
    b[..8].copy_from_slice(&n.to_le_bytes());
    b
}

#[test]
fn a_full_disk_refuses_writes_and_takes_deletes_discards_and_flushes() {
    for (bytes, layout) in [(1 << 20, Layout::tiny()), (64 << 20, Layout::product(64 << 20))] {
        let disk = formatted(bytes, layout);
        let e = open(&disk);
        let fresh = e.space().free;
        for round in 0..3u8 {
            let (volume, snapshot, clone) = (id(1), id(2), id(3));
            block_on(e.create(volume, 1 << 30, None, b"")).unwrap();
            let mut written = 0;
            loop {
                match block_on(e.write(volume, written * BLOCK, block(round + 1, written))).0 {
                    Ok(()) => written += 1,
                    Err(error) => break assert_eq!(error, EngineError::NoSpace),
                }
                if written == 20 {
                    block_on(e.snapshot(&[(volume, snapshot, vec![])])).unwrap();
                    block_on(e.create(clone, 1 << 30, Some(snapshot), b"")).unwrap();
                }
            }
            assert!(written * BLOCK > fresh / 2, "{written} blocks of {fresh} bytes");
            assert_eq!(block_on(e.write(volume, 0, block(9, 0))).0, Err(EngineError::NoSpace));
            block_on(e.flush()).unwrap();
            // one hole in the middle of every second group of three: many runs, nothing of it may fail
            for n in (20..written).step_by(3) {
                block_on(e.discard(volume, n * BLOCK, BLOCK)).unwrap();
                block_on(e.flush()).unwrap();
            }
            block_on(e.write(volume, 0, block(9, 0))).0.unwrap();
            for n in 1..written {
                let (result, buf) = block_on(e.read(volume, n * BLOCK, Buf::zeroed(BLOCK as usize)));
                result.unwrap();
                let want = if n >= 20 && (n - 20) % 3 == 0 {
                    Buf::zeroed(BLOCK as usize)
                } else {
                    block(round + 1, n)
                };
                assert!(*buf == *want, "block {n}");
            }
            assert_sound(&e);
            for gone in [snapshot, volume, clone] {
                block_on(e.delete(gone)).unwrap();
            }
            block_on(e.close()).unwrap();
            assert_sound(&e);
            assert_eq!(e.space().data, 0);
            assert!(e.space().free + 8 * BLOCK >= fresh, "{:?} was {fresh}", e.space());
        }
        drop(e);
        let again = open(&disk);
        assert!(again.space().free + 8 * BLOCK >= fresh);
    }
}

#[test]
fn a_ghost_lets_go_what_all_its_children_have_overwritten_when_the_disk_is_full() {
    const N: u64 = 80;
    let disk = formatted(1 << 20, Layout::tiny());
    let e = open(&disk);
    block_on(e.create(id(1), N * BLOCK, None, b"")).unwrap();
    for n in 0..N {
        block_on(e.write(id(1), n * BLOCK, block(1, n))).0.unwrap();
    }
    block_on(e.snapshot(&[(id(1), id(2), vec![])])).unwrap();
    block_on(e.create(id(3), N * BLOCK, Some(id(2)), b"")).unwrap();
    block_on(e.delete(id(2))).unwrap();
    // Three copies do not fit, two do: the ghost's must go.
    for n in 0..N {
        for volume in [id(1), id(3)] {
            block_on(e.write(volume, n * BLOCK, block(volume.as_u128() as u8, n))).0.unwrap();
        }
    }
    for n in 0..N {
        for volume in [id(1), id(3)] {
            let (result, buf) = block_on(e.read(volume, n * BLOCK, Buf::zeroed(BLOCK as usize)));
            result.unwrap();
            assert!(*buf == *block(volume.as_u128() as u8, n));
        }
    }
    assert_sound(&e);
}

#[test]
fn stored_bytes_are_what_deleting_would_give_back() {
    let disk = formatted(8 << 20, Layout::tiny());
    let e = open(&disk);
    block_on(e.create(id(1), 1 << 20, None, b"")).unwrap();
    block_on(e.write(id(1), 0, Buf::copy_of(&[5; 40 * 4096]))).0.unwrap();
    block_on(e.snapshot(&[(id(1), id(2), vec![])])).unwrap();
    block_on(e.write(id(1), 0, Buf::copy_of(&[6; 10 * 4096]))).0.unwrap();
    let stored = |n| e.lookup(id(n)).unwrap().stored / BLOCK;
    assert_eq!((stored(1), stored(2)), (10, 40));
    assert_eq!(e.lookup(id(1)).unwrap().parent, Some(id(2)));
    assert_eq!(e.lookup(id(2)).unwrap().of, Some(id(1)));
    block_on(e.delete(id(2))).unwrap();
    assert_eq!((stored(1), e.space().data / BLOCK), (40, 40));
    assert_eq!(e.lookup(id(1)).unwrap().parent, None);
}

#[test]
fn deleting_gives_memory_back_to_the_host() {
    let disk = formatted(256 << 20, Layout::memory(256 << 20));
    let e = open(&disk);
    block_on(async {
        e.create(id(1), 64 << 20, None, b"").await.unwrap();
        for n in 0..(32 << 8) {
            e.write(id(1), n * BLOCK, block(1, n)).await.0.unwrap();
        }
        e.snapshot(&[(id(1), id(2), vec![])]).await.unwrap();
        for n in (0..(32 << 8)).step_by(2) {
            e.write(id(1), n * BLOCK, block(2, n)).await.0.unwrap();
        }
    });
    let full = disk.resident();
    assert!(full >= 48 << 20);
    block_on(e.delete(id(2))).unwrap();
    block_on(e.delete(id(1))).unwrap();
    block_on(e.close()).unwrap();
    assert!(disk.resident() < 8 << 20, "{} of {full} bytes are left", disk.resident());
    assert_sound(&e);
}
