//! What others follow is durable first: written histories that a disk without the rule does not survive.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::rc::Rc;
use std::sync::Arc;

use common::{block_on, formatted};
use parpen_base::{Buf, SeededEntropy};
use parpen_engine::{BLOCK, Disk, Engine, Layout, RamDisk, Rules, Sound};
use uuid::Uuid;

/// Descendants follow what may not be durable.
struct NoSettleBeforeFollow;

impl Rules for NoSettleBeforeFollow {
    const SETTLE_BEFORE_FOLLOW: bool = false;
}

const VOLUME: Uuid = Uuid::from_u128(1);
const SNAPSHOT: Uuid = Uuid::from_u128(2);

fn data(byte: u8) -> Buf {
    Buf::copy_of(&[byte; 4096])
}

fn open<R: Rules>(disk: &RamDisk, seed: u64) -> Rc<Engine<RamDisk, R>> {
    block_on(Engine::open(disk.clone(), Arc::new(SeededEntropy::new(seed)))).unwrap()
}

fn fill<R: Rules>(e: &Engine<RamDisk, R>, lineage: u64, block: u32, byte: u8) {
    let mark = e.mark(lineage, 0, block, &data(byte));
    block_on(e.fill(lineage, 0, block, &[Some(mark)], data(byte))).0.unwrap();
}

fn read<R: Rules>(e: &Engine<RamDisk, R>, block: u64) -> Option<u8> {
    let (result, buf) = block_on(e.read(VOLUME, block * BLOCK, Buf::zeroed(4096)));
    result.ok().map(|_| buf[0])
}

/// Wherever the byte fills a block, something else stands now.
fn take(disk: &RamDisk, byte: u8) {
    for at in (0..disk.size()).step_by(4096) {
        let (_, buf) = block_on(disk.read(at, Buf::zeroed(4096)));
        if *buf == *data(byte) {
            block_on(disk.write(at, data(0xee))).0.unwrap();
        }
    }
}

/// A snapshot's block is filled, the volume gets a map of its own, the block is filled anew and the volume
/// follows; all that becomes durable, the first block's place is used for something else, and the power goes.
fn filled_twice<R: Rules>() -> Option<u8> {
    let disk = formatted(8 << 20, Layout::tiny());
    let e = open::<R>(&disk, 1);
    block_on(e.create(VOLUME, 16 * BLOCK, None, b"")).unwrap();
    block_on(e.snapshot(&[(VOLUME, SNAPSHOT, Vec::new())])).unwrap();
    fill(&e, 1, 3, 0x11);
    fill(&e, 2, 5, 0x22);
    fill(&e, 1, 3, 0x33);
    block_on(e.flush()).unwrap();
    assert_eq!(read(&e, 3), Some(0x33));
    take(&disk, 0x11);
    let e = open::<R>(&disk, 2);
    assert_eq!(block_on(e.check()), []);
    read(&e, 3)
}

/// A block rots right after it was written, is healed, and the power goes.
fn healed_at_once<R: Rules>() -> Option<u8> {
    let disk = formatted(8 << 20, Layout::tiny());
    let e = open::<R>(&disk, 1);
    block_on(e.create(VOLUME, 16 * BLOCK, None, b"")).unwrap();
    block_on(e.write(VOLUME, 0, data(0x10))).0.unwrap();
    block_on(e.flush()).unwrap();
    block_on(e.write(VOLUME, 0, data(0x11))).0.unwrap();
    take(&disk, 0x11);
    assert_eq!(block_on(e.heal(1, 0, 0, data(0x11))), Ok(true));
    block_on(e.flush()).unwrap();
    let e = open::<R>(&disk, 2);
    assert_eq!(block_on(e.check()), []);
    read(&e, 0)
}

#[test]
fn who_followed_has_followed_after_a_power_cut() {
    assert_eq!(filled_twice::<Sound>(), Some(0x33));
    assert_ne!(filled_twice::<NoSettleBeforeFollow>(), Some(0x33));
}

#[test]
fn what_was_healed_does_not_fall_back_to_what_it_was_before() {
    assert_eq!(healed_at_once::<Sound>(), Some(0x11));
}
