//! A disk that the first version wrote opens, reads as before, and is then like any other.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use common::{assert_sound, block_on, open};
use parpen_base::Buf;
use parpen_engine::{Disk, EngineError, RamDisk};
use uuid::Uuid;

/// What format 1.0 wrote: a volume, a clone, a snapshot, a ghost with two children, and a log behind the
/// checkpoint. The size of the disk (u64), then its blocks: number (u32), length without zeros at the end (u16; 0:
/// one byte that fills it), bytes.
const FIXTURE: &[u8] = include_bytes!("fixtures/format-1.0.disk");

fn fixture() -> RamDisk {
    let (size, mut rest) = FIXTURE.split_first_chunk::<8>().unwrap();
    let disk = RamDisk::new(u64::from_le_bytes(*size));
    while let Some((number, tail)) = rest.split_first_chunk::<4>() {
        let (len, tail) = tail.split_first_chunk::<2>().unwrap();
        let len = usize::from(u16::from_le_bytes(*len));
        let (bytes, tail) = tail.split_at(len.max(1));
        let mut block = Buf::zeroed(4096);
        if len == 0 {
            block.fill(bytes[0])
        } else {
            block[..len].copy_from_slice(bytes)
        }
        block_on(disk.write(u64::from(u32::from_le_bytes(*number)) * 4096, block)).0.unwrap();
        rest = tail;
    }
    disk
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// The value of each block of the first object and a half; 0 is a hole.
fn want(device: u128) -> Vec<u8> {
    let mut all = vec![0; 2048];
    let mut put = |from: usize, n: usize, value: u8| all[from..from + n].fill(value);
    put(0, 20, 1);
    put(500, 30, 2);
    put(1020, 10, 3);
    put(2000, 1, 4);
    if device == 1 {
        put(5, 3, 5);
        put(1, 1, 9);
        put(500, 5, 0);
    } else {
        put(510, 4, 6);
        put(1024, 2, 7);
    }
    if device == 3 {
        put(0, 2, 8);
    }
    all
}

fn judge(e: &common::Ram) {
    for device in [1, 3, 4] {
        for (block, value) in want(device).into_iter().enumerate() {
            let (result, buf) = block_on(e.read(id(device), block as u64 * 4096, Buf::zeroed(4096)));
            assert_eq!(result.unwrap(), value == 0);
            assert!(buf.iter().all(|b| *b == value), "block {block} of {device} is {}", buf[0]);
        }
    }
    assert_sound(e);
}

#[test]
fn the_first_version_opens_and_is_then_like_any_other() {
    let disk = fixture();
    let e = open(&disk);
    let found: Vec<(u128, Vec<u8>)> = e.inventory().into_iter().map(|f| (f.id.as_u128(), f.label)).collect();
    let label = |s: &str| s.as_bytes().to_vec();
    assert_eq!(found, [(1, label("first")), (3, label("third")), (4, label("fourth"))]);
    judge(&e);
    let space = e.space();
    block_on(e.write(id(1), 600 * 4096, Buf::copy_of(&[11; 4096]))).0.unwrap();
    block_on(e.flush()).unwrap();
    drop(e);
    let e = open(&disk);
    assert_eq!(e.space().data, space.data + 4096);
    block_on(e.discard(id(1), 600 * 4096, 4096)).unwrap();
    judge(&e);
    block_on(e.close()).unwrap();
    judge(&open(&disk));
    for device in [4, 1, 3] {
        block_on(e.delete(id(device))).unwrap();
    }
    block_on(e.close()).unwrap();
    assert_eq!((e.space().data, block_on(e.check())), (0, vec![]));
    assert_eq!(block_on(e.extents(id(1), 0, 0)), Err(EngineError::NotFound));
}
