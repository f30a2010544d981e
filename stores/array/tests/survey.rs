//! What is told of objects: where they are, what they lack, where they are going.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;
#[path = "common/world.rs"]
mod world;

use common::{BLOCK, TestDisk, block_on, new_disk};
use parpen_array::{Copy, Held, Keeping, Object, Survey};
use parpen_engine::{EngineError, Sound};
use uuid::Uuid;
use world::{BLOCKS, DISK, World};

type Test = World<Sound>;

/// Objects of each volume, and bytes of an object.
const OBJECTS: u64 = 4;
const OBJECT: u64 = BLOCKS / OBJECTS * BLOCK;

fn fill(w: &mut Test, id: Uuid) {
    for first in (0..BLOCKS).step_by(8) {
        w.write(id, first, 8);
    }
    w.flush(id);
}

fn survey(w: &Test) -> Survey {
    block_on(w.array.survey())
}

fn keeping(w: &Test, id: Uuid) -> Keeping {
    survey(w).all[&id].clone()
}

fn objects(w: &Test, id: Uuid) -> Vec<Object> {
    let page = |from| block_on(w.array.whereabouts(id, from, 3)).unwrap().objects;
    [page(0), page(3)].concat()
}

fn holds(w: &Test, disk: u16) -> Result<Vec<Held>, EngineError> {
    let (mut all, mut from) = (Vec::new(), (0, 0));
    loop {
        let some = w.array.holds(disk, from, 3)?;
        let Some(last) = some.last() else { return Ok(all) };
        from = (last.at.0, last.at.1 + 1);
        all.extend(some);
    }
}

#[test]
fn a_disk_that_is_away_is_missing_where_another_has_the_same_and_needed_where_none_has() {
    let mut w = Test::new(2, 31);
    let (both, once) = (w.create(2, None).unwrap(), w.create(1, None).unwrap());
    fill(&mut w, both);
    fill(&mut w, once);
    let well = keeping(&w, both);
    assert_eq!((well.stored, well.on_disk), (OBJECTS * OBJECT, 2 * OBJECTS * OBJECT));
    let plain = Keeping { tree: well.tree, stored: well.stored, on_disk: well.on_disk, ..Keeping::default() };
    assert_eq!(well, plain);
    let on_two = objects(&w, once).iter().filter(|o| o.at.has(2)).count() as u64;
    assert!((1..OBJECTS).contains(&on_two), "the seed spreads them");

    w.crash(&[2]);
    let (twice, alone) = (keeping(&w, both), keeping(&w, once));
    assert_eq!((twice.short, twice.away, twice.missing.len(), twice.needed.len()), (OBJECTS, 0, 1, 0));
    assert_eq!((alone.away, alone.unreachable_bytes), (on_two, on_two * OBJECT));
    assert!(alone.needed.contains(&2) && alone.missing.is_empty() && alone.missing_targets.contains(&2));
    assert!(holds(&w, 2).is_err(), "nobody knows what it has");

    w.write(both, 5, 1);
    w.flush(both);
    w.come_back(2);
    let behind = keeping(&w, both);
    assert!(behind.missing.is_empty() && behind.behind > 0 && behind.behind_bytes >= OBJECT, "{behind:?}");
    assert!(holds(&w, 2).unwrap().iter().any(|h| h.copy != Copy::Good));
    assert!(w.work(1000, 1 << 20));
    assert_eq!(keeping(&w, both), plain);
    assert_eq!(keeping(&w, once).away, 0);
    assert!(holds(&w, 2).unwrap().iter().all(|h| h.copy == Copy::Good));
}

#[test]
fn what_leaves_a_disk_is_due_until_it_has_left() {
    let mut w = Test::new(3, 32);
    let (id, quiet) = (w.create(1, None).unwrap(), w.create(1, None).unwrap());
    fill(&mut w, id);
    let from = objects(&w, id)[0].at.disks()[0];
    let there = objects(&w, id).iter().filter(|o| o.at.has(from)).count() as u64;
    block_on(w.array.soft_eject(from)).unwrap();
    let told = survey(&w);
    assert_eq!((told.all[&id].due, told.all[&quiet].due), (there, 0), "nothing is stored in the other one");
    assert!(told.all[&id].leaving.contains(&from));
    assert_eq!((told.due[&from].gives, told.due[&from].bytes_out), (there, there * OBJECT));
    let gets: u64 = told.due.values().map(|d| d.gets).sum();
    assert_eq!(gets, there, "each goes somewhere");
    assert!(objects(&w, id).iter().all(|o| !o.due.has(from) && (o.due != o.at) == o.at.has(from)));
    assert!(
        block_on(w.array.whereabouts(id, 0, 0)).unwrap().sets.iter().all(|s| !s.has(from)),
        "new ones go elsewhere"
    );
    w.array.set_relocator(false);
    w.work(10, 1 << 20);
    assert_eq!(keeping(&w, id).due, there, "it is still due when nothing may move");
    w.array.set_relocator(true);
    assert!(w.work(1000, 1 << 20));
    let after = survey(&w);
    assert_eq!((after.all[&id].due, after.due.is_empty(), after.all[&id].leaving.len()), (0, true, 0));
    assert!(holds(&w, from).unwrap().is_empty());
    w.check();
}

#[test]
fn what_is_shared_counts_for_each_that_reads_it_and_is_owned_by_one() {
    let mut w = Test::new(3, 33);
    let id = w.create(1, None).unwrap();
    w.write(id, 0, 8);
    w.flush(id);
    w.snapshot(id);
    let taken = w.pick(Some(true), 0).unwrap();
    let clone = w.create(1, Some(taken)).unwrap();
    let [of_id, of_snapshot, of_clone] = [id, taken, clone].map(|id| objects(&w, id));
    assert_eq!(of_snapshot[0].own, Some(8 * BLOCK));
    assert!(of_id[0].own.is_none() && of_clone[0].own.is_none());
    assert!(of_id[0].stored && of_clone[0].stored && !of_id[1].stored, "what reads as something is stored");
    assert_eq!((of_id[0].at, of_clone[0].at), (of_snapshot[0].at, of_snapshot[0].at));
    let disk = of_id[0].at.disks()[0];
    let held = holds(&w, disk).unwrap();
    assert_eq!(
        held.iter().map(|h| (h.of, h.at.1, h.bytes)).collect::<Vec<_>>(),
        [(Some(taken), 0, 8 * BLOCK)]
    );
    block_on(w.array.soft_eject(disk)).unwrap();
    let told = survey(&w);
    assert_eq!([id, taken, clone].map(|id| told.all[&id].due), [1; 3]);
    assert!(told.all.values().all(|k| k.tree == told.all[&id].tree));
    assert_eq!(told.due[&disk].gives, 1, "it is there once");
}

#[test]
fn to_look_what_balancing_would_do_plans_nothing() {
    let mut w = Test::new(1, 34);
    let id = w.create(1, None).unwrap();
    fill(&mut w, id);
    let fresh = TestDisk::new(DISK);
    block_on(w.array.add_disk(new_disk(2, fresh.clone()))).unwrap();
    w.disks.insert(2, fresh);
    let looked = block_on(w.array.plan_balance());
    assert!(!looked.moves.is_empty());
    assert_eq!((w.array.balance_plan(), keeping(&w, id).planned), (None, 0));
    assert_eq!(block_on(w.array.compute_balance()), looked);
    let moves = looked.moves.len() as u64;
    assert_eq!((keeping(&w, id).planned, keeping(&w, id).due), (moves, 0), "it waits to be committed");
    let moving = objects(&w, id).iter().filter(|o| o.planned != o.at).count() as u64;
    assert_eq!(moving, moves);
    block_on(w.array.commit_balance()).unwrap();
    assert_eq!(keeping(&w, id).due, moves);
    assert!(w.work(1000, 1 << 20));
    assert_eq!((keeping(&w, id).planned, keeping(&w, id).due), (0, 0));
    assert_eq!(objects(&w, id).iter().filter(|o| o.at.has(2)).count() as u64, moves);
}
