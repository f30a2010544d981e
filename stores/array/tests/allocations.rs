//! Reads and writes of a block whose map is in memory allocate nothing: what a request needs, it brings along.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::rc::Rc;

use common::{BLOCK, STORE, block_of, block_on, entropy, layout};
use parpen_array::{About, Array, NewDisk, NoWitness, Policy};
use parpen_base::Buf;
use parpen_engine::{Disk, Format, Layout, RamDisk, Sound};
use uuid::Uuid;

const DISK: u64 = 24 << 20;
const BLOCKS: u64 = 64;
const ROUNDS: u64 = 500;

/// Memory that is there from the beginning.
fn disk(number: u16) -> NewDisk<RamDisk> {
    let disk = RamDisk::new(DISK);
    for content in [1, 0] {
        let all = Buf::copy_of(&vec![content; DISK as usize]);
        block_on(disk.write(0, all)).0.unwrap();
    }
    // No flush comes in between.
    let layout = Layout { tail_bytes: 16 << 20, ..layout() };
    let format = Format { store: STORE, disk: Uuid::from_u128(0xd0 + u128::from(number)), layout };
    NewDisk { number, disk, format, about: About::default() }
}

/// Allocations of as many writes and then reads of one block each, on an array of so many disks.
fn allocations(disks: u16) -> (u64, u64) {
    let all = (1..=disks).map(disk).collect();
    let array: Rc<Array<RamDisk, Sound>> =
        block_on(Array::format(all, entropy(5), Rc::new(NoWitness))).unwrap();
    let id = Uuid::from_u128(7);
    let policy = Policy { replicas: 1, ..Policy::default() };
    block_on(array.create_placed(id, BLOCKS * BLOCK, None, b"", &policy)).unwrap();
    let mut buf = Some(Buf::copy_of(&block_of(3)));
    let mut write = |n: u64| {
        let at = n * 7 % BLOCKS * BLOCK;
        let (result, back) = block_on(array.write(id, at, buf.take().unwrap()));
        result.unwrap();
        buf = Some(back);
    };
    (0..2 * BLOCKS).for_each(&mut write);
    block_on(array.flush()).unwrap();
    (0..2 * BLOCKS).for_each(&mut write);
    let writes = allocation_counter::measure(|| (0..ROUNDS).for_each(&mut write)).count_total;
    let mut read = |n: u64| {
        let at = n * 7 % BLOCKS * BLOCK;
        let (result, back) = block_on(array.read(id, at, buf.take().unwrap()));
        result.unwrap();
        buf = Some(back);
    };
    let reads = allocation_counter::measure(|| (0..ROUNDS).for_each(&mut read)).count_total;
    (writes, reads)
}

#[test]
fn requests_of_one_block_allocate_nothing() {
    for disks in [1, 3] {
        let (writes, reads) = allocations(disks);
        // The executor of this test takes one for each future.
        assert_eq!(reads, ROUNDS, "reads on {disks} disks");
        // Not each, but some: those that begin another chunk of the disk, or make the log's queue grow.
        let more = writes - ROUNDS;
        assert!(more < ROUNDS / 4, "{more} allocations for {ROUNDS} writes on {disks} disks");
    }
}
