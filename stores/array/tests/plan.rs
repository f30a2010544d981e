//! Plans of many moves: what they hold, that they come true, that they are made beside other work and without being asked.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::rc::Rc;

use common::{BLOCK, MemoryWitness, TestDisk, block_of, block_on, entropy, new_disk, poll_for};
use parpen_array::{Array, Class, Policy};
use parpen_base::Buf;
use parpen_engine::Sound;
use parpen_engine::sync::{join_all, yield_now};
use uuid::Uuid;

const OBJECT: u64 = 16 * BLOCK;
const DISK: u64 = 24 << 20;

type Store = Rc<Array<TestDisk, Sound>>;

/// A volume of so many objects, of which each has a block.
fn volume(array: &Store, number: u128, objects: u64, policy: &Policy) {
    let id = Uuid::from_u128(number);
    block_on(array.create_placed(id, objects * OBJECT, None, b"", policy)).unwrap();
    for n in 0..objects {
        block_on(array.write(id, n * OBJECT, Buf::copy_of(&block_of(n + 1)))).0.unwrap();
    }
    block_on(array.flush()).unwrap();
}

/// A store with one such volume on three disks; and a fourth, empty one.
fn filled(objects: u64, replicas: u8, disk: u64) -> Store {
    let disks = (1..=3).map(|n| new_disk(n, TestDisk::new(disk))).collect();
    let array = block_on(Array::format(disks, entropy(1), Rc::new(MemoryWitness::default()))).unwrap();
    volume(&array, 1, objects, &Policy { replicas, ..Policy::default() });
    block_on(array.add_disk(new_disk(4, TestDisk::new(disk)))).unwrap();
    array
}

fn data(array: &Store) -> Vec<u64> {
    array.members().iter().map(|m| m.space.unwrap().data / BLOCK).collect()
}

fn work(array: &Store) {
    while block_on(array.step(1 << 20)).class.is_some() {}
}

#[test]
fn a_plan_of_many_moves_is_sound_and_made_beside_other_work() {
    const OBJECTS: u64 = 3000;
    let array = filled(OBJECTS, 2, 32 << 20);
    let before = data(&array);
    assert_eq!(before.iter().sum::<u64>(), 2 * OBJECTS);
    assert!(poll_for(array.compute_balance(), 5).is_none(), "others have turns while it is made");
    let plan = block_on(array.compute_balance());
    let moved: BTreeSet<_> = plan.moves.iter().map(|(family, ..)| family).collect();
    assert_eq!(moved.len(), plan.moves.len(), "a family moves once");
    assert!(plan.moves.iter().all(|(_, from, to)| *to == 4 && before[usize::from(*from) - 1] > 0));
    let mean = 2 * OBJECTS / 4;
    let near = |blocks: u64| blocks.abs_diff(mean) < 32;
    assert!(plan.disks.iter().all(|d| near(d.after / BLOCK)), "{:?}", plan.disks);
    block_on(array.commit_balance()).unwrap();
    work(&array);
    assert!(data(&array).into_iter().all(near), "{:?}", data(&array));
    assert!(block_on(array.fsck(true)).unwrap().is_empty());
}

#[test]
fn versions_that_a_plan_counts_move() {
    const OBJECTS: u64 = 600;
    let array = filled(OBJECTS, 2, DISK);
    let (volume, snapshot) = (Uuid::from_u128(1), Uuid::from_u128(2));
    block_on(array.snapshot(&[(volume, snapshot, vec![])])).unwrap();
    for n in 0..OBJECTS / 3 {
        block_on(array.write(volume, n * OBJECT, Buf::copy_of(&block_of(n)))).0.unwrap();
    }
    block_on(array.flush()).unwrap();
    let versions = || array.members().iter().map(|m| m.objects).collect::<Vec<_>>();
    let before = versions();
    assert_eq!(before.iter().sum::<u64>(), 2 * (OBJECTS + OBJECTS / 3));
    let plan = block_on(array.compute_balance());
    let wanted = before.iter().zip(&plan.disks).map(|(now, d)| now + d.gets - d.gives);
    let wanted: Vec<u64> = wanted.collect();
    assert!(wanted[3] > plan.moves.len() as u64, "some objects have two versions");
    block_on(array.commit_balance()).unwrap();
    work(&array);
    assert_eq!(versions(), wanted);
}

#[test]
fn disks_are_balanced_without_being_told_where_that_is_wanted() {
    let array = filled(1200, 1, DISK);
    array.look_at_fill();
    work(&array);
    assert_eq!((data(&array)[3], array.balance_plan()), (0, None), "nobody wants it yet");
    array.set_auto_balance(true);
    work(&array);
    let even = |array: &Store| data(array).iter().max().unwrap() - data(array).iter().min().unwrap() < 40;
    assert!(even(&array), "{:?}", data(&array));
    assert_eq!(array.balance_plan(), None, "it was carried out");

    // What is written to one disk alone makes it fuller than the others: a little, which is let be, and then a lot.
    block_on(array.put_group("one", vec![1])).unwrap();
    let one = Policy { replicas: 1, all: "one".into(), tail: "one".into() };
    for (n, objects, begins) in [(2, 100, false), (3, 400, true)] {
        volume(&array, n, objects, &one);
        let before = data(&array);
        work(&array);
        assert_eq!(data(&array), before, "nobody has looked");
        array.look_at_fill();
        work(&array);
        assert_eq!(data(&array) != before, begins, "{before:?} {:?}", data(&array));
    }
    assert_eq!(data(&array), [500, 400, 400, 400], "what has to be on that disk stays there");
}

#[test]
fn a_plan_that_is_stopped_while_it_is_made_moves_nothing() {
    for turns in [0, 2, 4, 8, 16, 32] {
        let array = filled(1200, 1, DISK);
        array.set_auto_balance(true);
        let makes = async {
            array.step(1 << 20).await;
        };
        let stops = async {
            for _ in 0..turns {
                yield_now().await;
            }
            array.set_auto_balance(false);
            array.stop_balance().await.unwrap();
        };
        let both: Vec<Pin<Box<dyn Future<Output = ()>>>> = vec![Box::pin(makes), Box::pin(stops)];
        block_on(join_all(both));
        let before = data(&array);
        work(&array);
        assert_eq!((data(&array), array.balance_plan()), (before, None), "stopped after {turns} turns");
    }
}

#[test]
fn a_plan_that_is_made_anew_takes_the_place_of_the_older_one() {
    let array = filled(1200, 1, DISK);
    for _ in 0..2 {
        block_on(array.compute_balance());
        block_on(array.commit_balance()).unwrap();
        block_on(array.commit_balance()).unwrap();
    }
    work(&array);
    let tasks = array.tasks();
    let balance = || tasks.iter().filter(|t| t.class == Class::Balance);
    assert!(balance().count() > 0 && balance().all(|t| t.completed == t.all && t.stuck == 0), "{tasks:?}");
}
