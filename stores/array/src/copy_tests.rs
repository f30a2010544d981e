//! Copies of families whose lineages share blocks otherwise on one disk than on the other.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parpen_base::SeededEntropy;
use parpen_engine::{Format, Layout, RamDisk, Sound};
use uuid::Uuid;

use super::*;
use crate::{About, NewDisk, NoWitness, Policy};

const SIZE: u64 = 8 << 20;

pub(crate) fn run<F: Future>(f: F) -> F::Output {
    let mut f = pin!(f);
    loop {
        if let Poll::Ready(value) = f.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

pub(crate) fn two_disks() -> Rc<Array<RamDisk, Sound>> {
    array_on(&[RamDisk::new(SIZE), RamDisk::new(SIZE)])
}

fn array_on(disks: &[RamDisk; 2]) -> Rc<Array<RamDisk, Sound>> {
    let disk = |number: u16| {
        let (store, disk) = (Uuid::from_u128(0x57), Uuid::from_u128(number.into()));
        let layout = Layout { wal_bytes: 256 << 10, tail_bytes: 1 << 20, ..Layout::tiny() };
        let format = Format { store, disk, layout };
        NewDisk { number, disk: disks[usize::from(number) - 1].clone(), format, about: About::default() }
    };
    let entropy = Arc::new(SeededEntropy::new(1));
    run(Array::format(vec![disk(1), disk(2)], entropy, Rc::new(NoWitness))).unwrap()
}

/// The snapshot reads differently, the volume alike: on one disk it has the block for itself, on the other it shares the
/// snapshot's. What is filled into the snapshot there changes the volume.
#[test]
fn who_follows_what_is_filled_is_made_equal_too() {
    let array = two_disks();
    let (volume, snapshot) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let policy = Policy { replicas: 2, ..Policy::default() };
    run(array.create_placed(volume, 64 << 10, None, b"", &policy)).unwrap();
    run(array.write(volume, 0, Buf::copy_of(&[1; B]))).0.unwrap();
    run(array.snapshot(&[(volume, snapshot, Vec::new())])).unwrap();
    let [one, two] = [1, 2].map(|n| array.member(n).unwrap().live().unwrap());
    let tree = one.versions()[0].tree;
    let [old, head] = one.lineages(tree)[..] else { panic!("a snapshot and a volume") };
    let fill = |e: &Engine<RamDisk, Sound>, lineage, byte| {
        let mark = one.mark(old, 0, 3, &[byte; B]);
        run(e.fill(lineage, 0, 3, &[Some(mark)], Buf::copy_of(&[byte; B]))).0.unwrap();
    };
    fill(&one, old, 5);
    fill(&one, head, 6);
    fill(&two, old, 6);
    assert_eq!(array.differing((tree, 0), &one, &two), [old]);
    run(array.copy_family((tree, 0), &one, &two, &mut u64::MAX.clone(), true)).unwrap();
    assert_eq!(array.differing((tree, 0), &one, &two), [0; 0]);
}

/// Lets all blocks of a disk rot that are full of one byte.
fn rot(disk: &RamDisk, byte: u8) {
    let (read, bytes) = run(disk.read(0, Buf::zeroed(SIZE as usize)));
    read.unwrap();
    let rotten: Vec<usize> = (0..SIZE as usize / B).filter(|n| bytes[n * B..][..B] == [byte; B]).collect();
    assert!(!rotten.is_empty());
    for n in rotten {
        run(disk.write((n * B) as u64, Buf::copy_of(&[!byte; B]))).0.unwrap();
    }
}

/// A deleted snapshot is kept for its clone and its volume, which both wrote anew over a block of it. That block is lost
/// where it is still there.
#[test]
fn what_is_lost_and_nobody_can_read_stands_in_nobodys_way() {
    let disks = [RamDisk::new(SIZE), RamDisk::new(SIZE)];
    let array = array_on(&disks);
    let [volume, snapshot, clone] = [1, 2, 3].map(Uuid::from_u128);
    let policy = Policy { replicas: 2, ..Policy::default() };
    let write = |id, block: usize, byte| run(array.write(id, (block * B) as u64, Buf::copy_of(&[byte; B]))).0;
    run(array.create_placed(volume, 64 << 10, None, b"", &policy)).unwrap();
    write(volume, 0, 1).unwrap();
    write(volume, 3, 3).unwrap();
    run(array.snapshot(&[(volume, snapshot, Vec::new())])).unwrap();
    run(array.create(clone, 64 << 10, Some(snapshot), b"")).unwrap();
    run(array.delete(snapshot)).unwrap();
    write(volume, 3, 4).unwrap();
    write(clone, 3, 5).unwrap();

    let [one, two] = [1, 2].map(|n| array.member(n).unwrap().live().unwrap());
    let tree = one.versions()[0].tree;
    let [ghost, head, other] = one.lineages(tree)[..] else { panic!("a snapshot, a volume and a clone") };
    assert!(!one.has_name(ghost));
    let fill = |lineage, block, byte: Option<u8>| {
        let mark = byte.map(|byte| one.mark(lineage, 0, block, &[byte; B]));
        run(two.fill(lineage, 0, block, &[mark], Buf::copy_of(&[byte.unwrap_or(0); B]))).0
    };
    fill(ghost, 3, None).unwrap();
    fill(head, 5, Some(6)).unwrap();
    rot(&disks[0], 3);
    assert_eq!(array.differing((tree, 0), &one, &two), [ghost, head]);
    run(array.copy_family((tree, 0), &one, &two, &mut u64::MAX.clone(), true)).unwrap();
    assert!(array.is_same((tree, 0), &one, &two));

    // But who can read what is lost is told, and nothing else is made of it.
    fill(other, 3, Some(7)).unwrap();
    rot(&disks[0], 5);
    let copied = run(array.copy_family((tree, 0), &one, &two, &mut u64::MAX.clone(), true));
    assert_eq!(copied, Err(EngineError::DataLost));
}
