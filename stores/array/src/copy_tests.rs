//! Copies of families whose lineages share blocks otherwise on one disk than on the other.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parpen_base::SeededEntropy;
use parpen_engine::{Format, Layout, RamDisk, Sound};
use uuid::Uuid;

use super::*;
use crate::{About, NewDisk, NoWitness, Policy};

pub(crate) fn run<F: Future>(f: F) -> F::Output {
    let mut f = pin!(f);
    loop {
        if let Poll::Ready(value) = f.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

pub(crate) fn two_disks() -> Rc<Array<RamDisk, Sound>> {
    let disk = |number: u16| {
        let (store, disk) = (Uuid::from_u128(0x57), Uuid::from_u128(number.into()));
        let layout = Layout { wal_bytes: 256 << 10, tail_bytes: 1 << 20, ..Layout::tiny() };
        let format = Format { store, disk, layout };
        NewDisk { number, disk: RamDisk::new(8 << 20), format, about: About::default() }
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
