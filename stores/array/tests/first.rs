//! A disk that the first version of the engine wrote is an array of one, grows, and may go.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;
#[path = "../../engine/tests/common/sparse.rs"]
mod sparse;

use std::collections::BTreeMap;
use std::rc::Rc;

use common::{MemoryWitness, block_on, entropy};
use parpen_array::{About, Array, NewDisk, Offer, Opening, Policy};
use parpen_base::Buf;
use parpen_engine::{Engine, Format, Kind, RamDisk, Sound, identify};
use uuid::Uuid;

type Ram = Array<RamDisk, Sound>;

const SIZE: u64 = 24 << 20;

fn first_disk() -> RamDisk {
    block_on(sparse::image(SIZE, include_bytes!("../../engine/tests/fixtures/first-large.sparse")))
}

fn open(disks: &[(u16, RamDisk)], witness: &MemoryWitness, store: Uuid) -> Rc<Ram> {
    let offers = disks.iter().map(|(number, d)| Offer { number: *number, disk: Ok(d.clone()) }).collect();
    let how = Opening { store: Some(store), ..Opening::default() };
    block_on(Array::open(offers, entropy(1), Rc::new(witness.clone()), how)).unwrap()
}

/// Every byte of every volume and snapshot.
fn contents(array: &Ram) -> BTreeMap<Uuid, Vec<u8>> {
    let whole = |f: parpen_engine::Found| {
        let (result, buf) = block_on(array.read(f.id, 0, Buf::zeroed(f.bytes as usize)));
        result.unwrap();
        (f.id, buf.to_vec())
    };
    array.inventory().into_iter().map(whole).collect()
}

#[test]
fn a_disk_of_the_first_version_takes_others_beside_it_and_leaves() {
    let old = first_disk();
    let (store, _) = block_on(identify(&old)).unwrap();
    let layout = block_on(Engine::<RamDisk, Sound>::open(first_disk(), entropy(9))).unwrap().layout();
    let witness = MemoryWitness::default();
    let array = open(&[(1, old)], &witness, store);
    let before = contents(&array);
    assert!(before.len() > 5 && before.values().any(|b| b.iter().any(|x| *x != 0)));

    let more = [(2, RamDisk::new(SIZE)), (3, RamDisk::new(SIZE))];
    for (number, disk) in &more {
        let format = Format { store, disk: Uuid::from_u128(u128::from(*number)), layout };
        let new = NewDisk { number: *number, disk: disk.clone(), format, about: About::default() };
        block_on(array.add_disk(new)).unwrap();
    }
    let taken = Uuid::from_u128(0x99);
    block_on(array.create_placed(taken, 1 << 20, None, b"", &Policy { replicas: 2, ..Policy::default() }))
        .unwrap();
    block_on(array.write(taken, 0, Buf::copy_of(&[7; 8192]))).0.unwrap();
    for f in array.inventory().iter().filter(|f| f.kind == Kind::Volume) {
        block_on(array.set_policy(f.id, &Policy { replicas: 2, ..Policy::default() })).unwrap();
    }
    while block_on(array.step(1 << 20)).class.is_some() {}
    block_on(array.soft_eject(1)).unwrap();
    while block_on(array.step(1 << 20)).class.is_some() {}
    block_on(array.eject(1, false)).unwrap();
    block_on(array.forget(1, false)).unwrap();
    let health = block_on(array.health(&[]));
    assert_eq!((health.short, health.away, health.lost), (0, 0, 0));
    block_on(array.close()).unwrap();
    drop(array);

    // The new ones alone, as the next process finds them.
    let array = open(&more, &witness, store);
    let mut after = contents(&array);
    assert_eq!(&after.remove(&taken).unwrap()[..8192], [7; 8192]);
    assert!(after == before, "some bytes have changed");
    assert_eq!(block_on(array.fsck(true)).unwrap(), []);
}
