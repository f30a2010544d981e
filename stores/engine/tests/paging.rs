//! Maps come into memory when they are needed, and only then; a damaged one is its own range's loss.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::rc::Rc;
use std::sync::Arc;

use common::{Ram, assert_sound, block_on, formatted, open};
use parpen_base::{Buf, SeededEntropy};
use parpen_engine::{BLOCK, Disk, EngineError, Layout, RamDisk};
use uuid::Uuid;

const SIZE: u64 = 64 << 20;
const SPAN: u64 = 512;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn layout() -> Layout {
    Layout {
        object_blocks: 1024,
        wal_bytes: 256 << 10,
        ag_blocks: 1024,
        reserve_blocks: 128,
        tail_bytes: 4 << 20,
    }
}

fn fill(value: u8, blocks: u64) -> Buf {
    let mut buf = Buf::zeroed((blocks * BLOCK) as usize);
    buf.fill(value);
    buf
}

/// A volume with one block in each of its 16 spans, checkpointed.
fn scattered() -> RamDisk {
    let disk = formatted(SIZE, layout());
    let e = open(&disk);
    block_on(e.create(id(1), 16 * SPAN * BLOCK, None, b"")).unwrap();
    for span in 0..16 {
        block_on(e.write(id(1), span * SPAN * BLOCK, fill(span as u8 + 1, 1))).0.unwrap();
    }
    block_on(e.close()).unwrap();
    disk
}

fn open_cached(disk: &RamDisk, bytes: usize) -> Rc<Ram> {
    block_on(Ram::open_cached(disk.clone(), Arc::new(SeededEntropy::new(3)), None, bytes)).unwrap()
}

/// The blocks in which maps stand.
fn maps(disk: &RamDisk) -> Vec<u64> {
    let is_map = |block: &u64| {
        let (_, bytes) = block_on(disk.read(block * BLOCK, Buf::zeroed(BLOCK as usize)));
        &bytes[..4] == b"PARP" && bytes[4] == 6
    };
    (0..SIZE / BLOCK).filter(is_map).collect()
}

fn read(e: &Ram, span: u64) -> Result<u8, EngineError> {
    let (result, buf) = block_on(e.read(id(1), span * SPAN * BLOCK, Buf::zeroed(BLOCK as usize)));
    result.map(|_| buf[0])
}

#[test]
fn a_damaged_map_is_lost_where_it_is_and_nowhere_else() {
    let disk = scattered();
    let maps = maps(&disk);
    assert_eq!(maps.len(), 16);
    let (_, mut bytes) = block_on(disk.read(maps[5] * BLOCK, Buf::zeroed(BLOCK as usize)));
    bytes[60] ^= 1;
    block_on(disk.write(maps[5] * BLOCK, bytes)).0.unwrap();
    let e = open(&disk);
    let lost: Vec<u64> = (0..16).filter(|span| read(&e, *span) != Ok(*span as u8 + 1)).collect();
    let [lost] = lost[..] else { panic!("one span is lost, not {lost:?}") };
    assert_eq!(read(&e, lost), Err(EngineError::DataLost));
    let at = |span: u64| (span * SPAN + 9) * BLOCK;
    assert_eq!(block_on(e.write(id(1), at(lost), fill(9, 1))).0, Err(EngineError::DataLost));
    assert_eq!(block_on(e.discard(id(1), at(lost), BLOCK)), Err(EngineError::DataLost));
    for span in (0..16).filter(|span| *span != lost) {
        block_on(e.write(id(1), at(span), fill(9, 1))).0.unwrap();
    }
    block_on(e.close()).unwrap();
    drop(e);
    let e = open(&disk);
    assert!((0..16).all(|span| span == lost || read(&e, span) == Ok(span as u8 + 1)));
    let found = block_on(e.fsck(true)).unwrap();
    assert!(!found.is_empty() && found.iter().all(|v| v.0.contains("cannot be read")), "{found:?}");
    // It can still be deleted; what only its map knew stays in use.
    block_on(e.delete(id(1))).unwrap();
    assert_eq!(e.inventory().len(), 0);
    block_on(e.create(id(2), 1 << 20, None, b"")).unwrap();
    block_on(e.write(id(2), 0, fill(5, 200))).0.unwrap();
    block_on(e.close()).unwrap();
}

/// Reading, writing, cloning and deleting with no memory to spare changes nothing.
#[test]
fn nothing_but_what_is_in_use_need_stay() {
    let disk = scattered();
    for bytes in [0, 10_000, 64 << 20] {
        let e = open_cached(&disk, bytes);
        let (snapshot, clone) = (id(100 + bytes as u128), id(200 + bytes as u128));
        block_on(e.snapshot(&[(id(1), snapshot, vec![])])).unwrap();
        block_on(e.create(clone, 16 * SPAN * BLOCK, Some(snapshot), b"")).unwrap();
        for span in 0..16 {
            assert_eq!(read(&e, span), Ok(span as u8 + 1));
            block_on(e.write(clone, (span * SPAN + 1) * BLOCK, fill(77, 3))).0.unwrap();
        }
        assert_sound(&e);
        block_on(e.delete(snapshot)).unwrap();
        block_on(e.delete(clone)).unwrap();
        block_on(e.close()).unwrap();
        assert_eq!(e.space().data, 16 * BLOCK);
        assert_sound(&e);
    }
}

/// What opening reads depends on the tables and the log, not on the maps.
#[test]
fn opening_reads_no_maps() {
    let disk = scattered();
    for block in maps(&disk) {
        block_on(disk.write(block * BLOCK, Buf::zeroed(BLOCK as usize))).0.unwrap();
    }
    let e = open(&disk);
    assert_eq!(e.space().data, 16 * BLOCK, "what versions own is known without them");
    assert_eq!(e.lookup(id(1)).unwrap().stored, 16 * BLOCK);
    assert!((0..16).all(|span| read(&e, span) == Err(EngineError::DataLost)));
}
