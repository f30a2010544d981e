//! What happens to disks, one story each.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;
#[path = "common/world.rs"]
mod world;

use std::rc::Rc;

use common::{BLOCK, MemoryWitness, STORE, TestDisk, block_of, block_on, entropy, layout, new_disk};
use parpen_array::{Array, ArrayError, Class, NewDisk, NoWitness, Offer, Opening, Policy, State, Witness};
use parpen_base::Buf;
use parpen_engine::{Engine, EngineError, Format, Sound};
use uuid::Uuid;
use world::{BLOCKS, DISK, World};

type Test = World<Sound>;

fn fill(w: &mut Test, id: Uuid) {
    for first in (0..BLOCKS).step_by(8) {
        w.write(id, first, 8);
    }
    w.flush(id);
}

fn member(w: &Test, number: u16) -> parpen_array::MemberInfo {
    w.array.members().into_iter().find(|m| m.number == number).unwrap()
}

#[test]
fn a_rotten_block_is_read_from_the_other_disk_and_healed_at_once() {
    let mut w = Test::new(2, 1);
    let id = w.create(2, None).unwrap();
    fill(&mut w, id);
    let tag = w.model[&id].cells[9].tag();
    assert!(w.disks[&1].rot(&block_of(tag)) > 0);
    assert!(w.disks[&2].rot(&block_of(w.model[&id].cells[33].tag())) > 0);
    w.check();
    w.check();
    let faults: Vec<_> = w.array.members().iter().map(|m| m.faults).collect();
    let (bad, healed, lost) =
        faults.iter().fold((0, 0, 0), |s, f| (s.0 + f.bad, s.1 + f.healed, s.2 + f.lost));
    assert_eq!((bad, lost), (healed, 0));
    assert!(healed >= 8, "all eight blocks of the tail's bad write: {faults:?}");
    for n in 1..=2 {
        w.array.scrub(n).unwrap();
    }
    w.settle();
}

#[test]
fn a_scrub_finds_and_heals_what_nobody_reads_and_counts_it() {
    let mut w = Test::new(2, 2);
    let id = w.create(2, None).unwrap();
    fill(&mut w, id);
    w.snapshot(id);
    w.write(id, 0, 8);
    w.flush(id);
    for n in 1..=2u16 {
        let tag = w.model[&id].cells[usize::from(n) * 8].tag();
        assert!(w.disks[&n].rot(&block_of(tag)) > 0);
        w.array.scrub(n).unwrap();
    }
    assert!(w.work(10_000, 100_000));
    for n in 1..=2 {
        let faults = member(&w, n).faults;
        assert_eq!((faults.bad, faults.healed, faults.lost), (8, 8, 0), "disk {n}");
        let task = w.array.tasks().into_iter().find(|t| t.class == Class::Scrub && t.disk == n).unwrap();
        assert_eq!((task.completed, task.stuck), (task.all, 0));
        assert_eq!(task.bytes, 9 * 8 * BLOCK, "every block is read once, though the snapshot shares them");
    }
    assert!(block_on(w.array.fsck(true)).unwrap().is_empty());
}

#[test]
fn data_lost_is_said_of_the_one_block_that_is() {
    let mut w = Test::new(2, 3);
    let id = w.create(1, None).unwrap();
    fill(&mut w, id);
    let tag = w.model[&id].cells[20].tag();
    assert!(w.disks.values().map(|d| d.rot(&block_of(tag))).sum::<usize>() > 0);
    let read = |first: u64| block_on(w.array.read(id, first * BLOCK, Buf::zeroed(BLOCK as usize))).0;
    assert_eq!(read(20), Err(EngineError::DataLost));
    assert_eq!(read(24), Ok(false));
}

#[test]
fn a_clone_does_not_need_the_last_block_of_its_snapshot() {
    // On one of two disks, which must not be out for it, and on both.
    for rotten in 1..=2 {
        let mut w = Test::new(2, 9);
        let (id, snapshot, clone) = (w.id(), w.id(), w.id());
        let bytes = 8 * BLOCK + 512;
        let policy = Policy { replicas: 2, ..Policy::default() };
        block_on(w.array.create_placed(id, bytes, None, b"", &policy)).unwrap();
        let mut last = block_of(77);
        last[512..].fill(0);
        block_on(w.array.write(id, 8 * BLOCK, Buf::copy_of(&last[..512]))).0.unwrap();
        block_on(w.array.snapshot(&[(id, snapshot, vec![])])).unwrap();
        for n in 1..=rotten {
            assert!(w.disks[&n].rot(&last) > 0);
        }
        assert_eq!(block_on(w.array.create(clone, bytes, Some(snapshot), b"")), Ok(()));
        assert!((1..=2).all(|n| member(&w, n).state == State::InSync));
        let lost = block_on(w.array.read(clone, 8 * BLOCK, Buf::zeroed(512))).0;
        assert_eq!(lost, if rotten == 1 { Ok(false) } else { Err(EngineError::DataLost) });
    }
}

#[test]
fn a_disk_that_was_away_gets_exactly_what_it_lacks() {
    let mut w = Test::new(2, 4);
    let id = w.create(2, None).unwrap();
    fill(&mut w, id);
    w.crash(&[2]);
    w.write(id, 5, 1);
    w.write(id, 40, 2);
    w.flush(id);
    w.come_back(2);
    assert_eq!(member(&w, 2).state, State::Resyncing);
    w.check();
    assert!(w.work(1000, 1 << 20));
    assert_eq!(member(&w, 2).state, State::InSync);
    let task = w.array.tasks().into_iter().find(|t| t.class == Class::Recovery && t.disk == 2).unwrap();
    assert_eq!((task.all, task.completed, task.bytes), (2, 2, 3 * BLOCK));
    w.crash(&[1]);
    w.check();
    w.settle();
}

#[test]
fn an_old_disk_alone_is_refused_and_believed_only_in_need() {
    let mut w = Test::new(2, 5);
    let id = w.create(2, None).unwrap();
    fill(&mut w, id);
    w.lose(2);
    w.write(id, 0, 8);
    w.flush(id);
    let old = w.away.remove(&2).unwrap();
    let offers = || vec![Offer { number: 2, disk: Ok(old.reborn(9)) }];
    let witness: Rc<dyn Witness> = Rc::new(w.witness.clone());
    let open = |how| block_on(Array::<TestDisk, Sound>::open(offers(), entropy(6), witness.clone(), how));
    assert_eq!(open(Opening::default()).err(), Some(ArrayError::NewestMissing(vec![1, 2])));
    let how = Opening { despite_missing: true, ..Opening::default() };
    let array = open(how).unwrap();
    let (result, buf) = block_on(array.read(id, 8 * BLOCK, Buf::zeroed(BLOCK as usize)));
    assert_eq!(result, Ok(false));
    assert_eq!(common::tag_of(&buf), w.model[&id].cells[8].tag());
}

#[test]
fn a_disk_is_emptied_while_it_is_used_then_leaves_and_is_forgotten() {
    let mut w = Test::new(3, 7);
    let (a, b) = (w.create(2, None).unwrap(), w.create(1, None).unwrap());
    fill(&mut w, a);
    fill(&mut w, b);
    w.snapshot(a);
    block_on(w.array.soft_eject(1)).unwrap();
    for n in 0..4 {
        w.work(1, 30_000);
        w.write(a, n * 9, 5);
        w.write(b, n * 7, 3);
        w.check();
    }
    block_on(w.array.pause_eject(1)).unwrap();
    assert_eq!(member(&w, 1).state, State::EjectPaused);
    assert!(w.work(100, 1 << 20));
    assert_eq!(member(&w, 1).state, State::EjectPaused);
    block_on(w.array.soft_eject(1)).unwrap();
    assert!(w.work(1000, 1 << 20));
    assert_eq!(member(&w, 1).state, State::Empty);
    let task = w.array.tasks().into_iter().find(|t| t.class == Class::Eject).unwrap();
    assert_eq!((task.all, task.stuck, task.dispatched), (task.completed, 0, 0));
    block_on(w.array.eject(1, false)).unwrap();
    w.check();
    block_on(w.array.forget(1, false)).unwrap();
    assert_eq!(member(&w, 1).state, State::Forgotten);
    w.disks.remove(&1);
    w.crash(&[]);
    w.settle();
}

#[test]
fn copies_of_a_forgotten_disk_are_made_anew_on_an_added_one() {
    let mut w = Test::new(2, 8);
    let id = w.create(2, None).unwrap();
    fill(&mut w, id);
    w.snapshot(id);
    w.write(id, 3, 9);
    w.lose(1);
    w.write(id, 1, 1);
    block_on(w.array.forget(1, false)).unwrap();
    let fresh = TestDisk::new(DISK);
    block_on(w.array.add_disk(new_disk(3, fresh.clone()))).unwrap();
    w.disks.insert(3, fresh);
    w.away.clear();
    assert!(w.work(1000, 1 << 20));
    w.check();
    // The other one is enough alone now.
    w.lose(2);
    w.check();
    w.settle();
}

#[test]
fn what_a_disk_alone_had_unflushed_is_not_called_durable() {
    let mut w = Test::new(2, 9);
    let all: Vec<Uuid> = (0..2).map(|_| w.create(1, None).unwrap()).collect();
    for id in &all {
        fill(&mut w, *id);
    }
    let two = w.create(2, None).unwrap();
    fill(&mut w, two);
    w.write(all[0], 0, BLOCKS);
    w.write(two, 0, 8);
    w.lose(1);
    assert_eq!(block_on(w.array.flush_of(all[0])), Err(EngineError::Io), "part of it is on the dead disk");
    assert_eq!(block_on(w.array.flush_of(all[0])), Err(EngineError::Io), "asking again changes nothing");
    assert_eq!(block_on(w.array.flush_of(all[1])), Ok(()));
    assert_eq!(block_on(w.array.flush_of(two)), Ok(()), "the other disk has it");
    w.settle();
}

#[test]
fn a_write_on_a_disk_that_comes_in_sync_is_not_lost_with_the_one_that_fails_meanwhile() {
    let mut came = 0;
    for steps in 0..8 {
        let mut w = Test::new(3, 11);
        let id = w.create(2, None).unwrap();
        block_on(w.array.put_group("two", vec![1, 2])).unwrap();
        let two = Policy { replicas: 2, all: "two".into(), tail: "two".into() };
        block_on(w.array.set_policy(id, &two)).unwrap();
        fill(&mut w, id);
        w.crash(&[1]);
        w.write(id, 0, 8);
        w.flush(id);
        w.come_back(1);
        w.work(steps, 1 << 20);
        if member(&w, 1).state == State::InSync {
            break;
        }
        w.write(id, 8, 8);
        w.disks[&2].die_at_flush();
        w.work(100, 1 << 20);
        w.lose(2);
        let durable = block_on(w.array.flush_of(id)).is_ok();
        assert_eq!(durable, member(&w, 1).state == State::InSync, "after {steps} steps");
        if durable {
            w.check();
            came += 1;
        }
        w.settle();
    }
    assert!(came > 0, "no disk came in sync in time");
}

#[test]
fn a_full_disk_sends_objects_elsewhere_before_anything_is_refused() {
    let mut w = Test::new(1, 10);
    let id = w.create(1, None).unwrap();
    fill(&mut w, id);
    let small = TestDisk::new(2 << 20);
    block_on(w.array.add_disk(new_disk(2, small.clone()))).unwrap();
    w.disks.insert(2, small);
    // More than the small disk holds; half of the objects begin there.
    for _ in 0..8 {
        if let Some(id) = w.create(1, None) {
            for first in (0..BLOCKS).step_by(8) {
                let tag = w.fresh();
                let result = block_on(w.write_at(id, first, 8, tag));
                assert_eq!(result, Ok(()));
                w.wrote(id, first, 8, tag, result);
            }
        }
    }
    assert!(w.model.len() > 4);
    w.check();
    w.settle();
}

#[test]
fn a_full_disk_refuses_rather_than_gives_a_copy_up() {
    let mut w = Test::new(1, 14);
    let small = TestDisk::new(2 << 20);
    block_on(w.array.add_disk(new_disk(2, small.clone()))).unwrap();
    w.disks.insert(2, small);
    let mut refused = 0;
    for _ in 0..12 {
        let Some(id) = w.create(2, None) else { break };
        for first in (0..BLOCKS).step_by(8) {
            let tag = w.fresh();
            let result = block_on(w.write_at(id, first, 8, tag));
            refused += usize::from(result == Err(EngineError::NoSpace));
            w.wrote(id, first, 8, tag, result);
        }
    }
    assert!(refused > 0, "the small disk has room for all");
    let health = block_on(w.array.health(&[]));
    assert_eq!((health.short, health.away, health.lost), (0, 0, 0), "{health:?}");
    assert!(w.array.members().iter().all(|m| m.state == State::InSync));
    assert_eq!(w.array.check(), [], "what was refused differs on the disks");
    w.check();
    w.settle();
}

/// The small disk would refuse what the large one does, and be left behind for it.
#[test]
fn a_full_disk_refuses_changes_of_the_catalogue_for_all() {
    let mut w = Test::new(1, 14);
    let small = TestDisk::new(2 << 20);
    block_on(w.array.add_disk(new_disk(2, small.clone()))).unwrap();
    w.disks.insert(2, small);
    let ids: Vec<Uuid> = (0..12).filter_map(|_| w.create(2, None)).collect();
    w.write(ids[0], 0, 1);
    w.snapshot(ids[0]);
    let snapshot = w.pick(Some(true), 0).unwrap();
    let mut refused = 0;
    // From large writes to small ones, until nothing fits.
    for count in [8, 4, 2, 1] {
        for id in &ids {
            for first in (0..BLOCKS).step_by(count as usize) {
                let tag = w.fresh();
                let result = block_on(w.write_at(*id, first, count, tag));
                refused += usize::from(result == Err(EngineError::NoSpace));
                w.wrote(*id, first, count, tag, result);
            }
        }
    }
    assert!(refused > 0, "the small disk has room for all");
    let full = Err(EngineError::NoSpace);
    assert_eq!(block_on(w.array.resize(ids[1], 2 * BLOCKS * BLOCK)), full);
    assert_eq!(block_on(w.array.rollback(ids[0], snapshot)), full);
    assert_eq!(block_on(w.array.freeze(ids[2], Uuid::from_u128(99), b"")), full);
    assert!(w.array.members().iter().all(|m| m.state == State::InSync), "{:#?}", w.array.members());
    w.check();
    w.delete(ids[3]);
    assert_eq!(block_on(w.array.resize(ids[1], BLOCKS * BLOCK)), Ok(()));
    w.settle();
}

/// Somebody puts last week's copy of a disk's file back, so that the mirror may bring it up to date.
#[test]
fn an_older_copy_of_a_disk_in_sync_is_not_believed() {
    let mut w = Test::new(2, 16);
    let id = w.create(2, None).unwrap();
    fill(&mut w, id);
    let older = w.disks[&2].copy();
    w.crash(&[]);
    fill(&mut w, id);
    w.disks.insert(2, older.clone());
    w.crash(&[]);
    assert_eq!((member(&w, 1).state, member(&w, 2).state), (State::InSync, State::Out));
    let why = member(&w, 2).trouble.unwrap();
    assert!(why.contains("older copy"), "{why}");
    w.check();
    assert!(matches!(block_on(w.array.attach(older.copy())), Err(EngineError::Invalid(_))));
    w.crash(&[]);
    assert_eq!(member(&w, 2).state, State::Out, "the next start believes it no more");
    block_on(w.array.forget(2, false)).unwrap();
    let new = TestDisk::new(DISK);
    block_on(w.array.add_disk(new_disk(3, new.clone()))).unwrap();
    w.disks.remove(&2);
    w.disks.insert(3, new);
    w.settle();
}

/// What becomes of a disk's older copy that is put back after this.
fn put_back(between: impl FnOnce(&mut Test, Uuid)) -> Option<String> {
    let mut w = Test::new(2, 16);
    let id = w.create(1, None).unwrap();
    fill(&mut w, id);
    block_on(w.array.renew()).unwrap();
    let older = w.disks[&2].copy();
    between(&mut w, id);
    let newest = w.disks.remove(&2).or_else(|| w.away.remove(&2)).unwrap();
    w.disks.insert(2, older.clone());
    w.crash(&[]);
    let why = member(&w, 2).trouble;
    assert_eq!(why.is_some(), matches!(block_on(w.array.attach(older.copy())), Err(EngineError::Invalid(_))));
    w.disks.insert(2, newest);
    w.crash(&[]);
    w.settle();
    why
}

#[test]
fn an_older_copy_of_a_disk_is_told_however_it_comes_back() {
    let missed = put_back(|w, id| {
        w.crash(&[]);
        fill(w, id);
        w.crash(&[2]);
    });
    let later = put_back(|w, id| {
        fill(w, id);
        block_on(w.array.renew()).unwrap();
    });
    let closed = put_back(|w, id| {
        fill(w, id);
        block_on(w.array.close()).unwrap();
    });
    let moved = put_back(|w, _| {
        block_on(w.array.soft_eject(1)).unwrap();
        w.work(1000, 1 << 20);
        block_on(w.array.close()).unwrap();
    });
    for why in [missed, later, closed, moved] {
        assert!(why.as_ref().is_some_and(|w| w.contains("older copy")), "{why:?}");
    }
}

#[test]
fn a_disk_that_comes_back_writes_the_era_of_the_others_when_the_next_could_not_begin() {
    let mut w = Test::new(2, 22);
    let id = w.create(2, None).unwrap();
    fill(&mut w, id);
    w.lose(2);
    w.write(id, 0, 4);
    w.witness.1.set(true);
    assert!(block_on(w.array.renew()).is_err());
    w.witness.1.set(false);
    w.come_back(2);
    assert!(w.work(1000, 1 << 20));
    w.write(id, 0, 8);
    w.flush(id);
    assert_eq!(w.array.check(), []);
    w.settle();
}

/// All disks are older than what the witness knows; the store is opened despite that, and the power goes when one of them
/// has written down that it was.
#[test]
fn a_disk_that_missed_an_opening_in_need_is_itself() {
    let mut w = Test::new(2, 23);
    let id = w.create(1, None).unwrap();
    fill(&mut w, id);
    w.crash(&[]);
    let copies = [1, 2].map(|n| w.disks[&n].copy());
    w.crash(&[]);
    w.crash(&[]);
    let lost = w.witness.0.get();
    let need = Opening { despite_missing: true, ..Opening::default() };
    let open = |disks: [TestDisk; 2], how| {
        let offers = (1..).zip(disks).map(|(number, disk)| Offer { number, disk: Ok(disk) }).collect();
        block_on(Array::<TestDisk, Sound>::open(offers, entropy(6), Rc::new(w.witness.clone()), how))
    };
    let (first, second) = (copies[0].copy(), copies[1].copy());
    assert!(matches!(open(copies.clone(), Opening::default()), Err(ArrayError::NewestMissing(_))));
    drop(open([first.clone(), copies[1].copy()], need).unwrap());
    w.witness.0.set(lost);
    let array = open([first.copy(), second.copy()], Opening::default()).unwrap();
    if array.members()[1].state == State::Out {
        block_on(array.attach(second.copy())).unwrap();
    }
    while block_on(array.step(1 << 20)).class.is_some() {}
    assert!(array.members().iter().all(|m| m.state == State::InSync), "{:#?}", array.members());
    for block in 0..BLOCKS {
        let (read, buf) = block_on(array.read(id, block * BLOCK, Buf::zeroed(BLOCK as usize)));
        read.unwrap();
        assert_eq!(common::tag_of(&buf), w.model[&id].cells[block as usize].tag());
    }
}

#[test]
fn copies_on_a_disk_that_is_left_out_are_not_missed_while_it_lacks_something() {
    let mut w = Test::new(2, 21);
    let both = w.create(2, None).unwrap();
    fill(&mut w, both);
    let without = |w: &Test, left_out: &[u16]| {
        let h = block_on(w.array.health(left_out));
        assert!(h.objects > 0);
        (h.short > 0, h.away, h.lost)
    };
    assert_eq!(without(&w, &[2]), (false, 0, 0));
    w.crash(&[2]);
    w.write(both, 5, 1);
    w.flush(both);
    assert_eq!(without(&w, &[]), (true, 0, 0));
    assert_eq!(without(&w, &[1]), (true, 0, 0), "it is another one that is away");
    assert_eq!(without(&w, &[2]), (false, 0, 0));
    w.come_back(2);
    assert!(without(&w, &[]).0, "it lacks what was written meanwhile");
    assert_eq!(without(&w, &[2]), (false, 0, 0));
    assert!(w.work(1000, 1 << 20));
    assert_eq!(without(&w, &[]), (false, 0, 0));
}

/// Of an object that was made while two disks were away, the first of them to come back learned that it lacks it, and
/// the only one that had it went away before it was copied. The second one knew of no such object and was read: zeros.
#[test]
fn an_object_that_only_an_absent_disk_has_is_missed_by_all_others() {
    let mut w = Test::new(4, 21);
    let id = w.create(3, None).unwrap();
    block_on(w.array.put_group("three", vec![1, 2, 3])).unwrap();
    let three = Policy { replicas: 3, all: "three".into(), tail: "three".into() };
    block_on(w.array.set_policy(id, &three)).unwrap();
    w.flush(id);
    w.crash(&[1, 2]);
    w.write(id, 0, 8);
    w.flush(id);
    w.come_back(1);
    assert!(!w.work(1, 1 << 20), "it is found out what the disk lacks, and nothing is copied yet");
    w.lose(3);
    w.create(1, None).unwrap();
    assert_eq!(member(&w, 3).state, State::Out, "it is missed at the next change");
    w.come_back(2);
    w.work(100, 1 << 20);
    let (result, _) = block_on(w.array.read(id, 0, Buf::zeroed(BLOCK as usize)));
    assert_eq!(result, Err(EngineError::Io), "who has it may come back");
    w.check();
    w.settle();
}

#[test]
fn a_plan_goes_on_after_a_restart() {
    let mut w = Test::new(1, 15);
    let ids: Vec<Uuid> = (0..4).map(|_| w.create(1, None).unwrap()).collect();
    ids.iter().for_each(|id| fill(&mut w, *id));
    let fresh = TestDisk::new(DISK);
    block_on(w.array.add_disk(new_disk(2, fresh.clone()))).unwrap();
    w.disks.insert(2, fresh);
    block_on(w.array.compute_balance());
    block_on(w.array.commit_balance()).unwrap();
    w.work(2, 1 << 20);
    w.crash(&[]);
    assert!(w.work(1000, 1 << 20));
    let used: Vec<u64> = w.array.members().iter().map(|m| m.space.unwrap().data).collect();
    assert_eq!(used, [2 * BLOCKS * BLOCK; 2]);
    // It is through: the next start begins nothing.
    w.crash(&[]);
    assert!(w.work(10, 1 << 20));
    assert_eq!(w.array.balance_plan(), None);
    w.settle();
}

#[test]
fn a_plan_shows_before_and_after_and_comes_true() {
    let mut w = Test::new(1, 11);
    let ids: Vec<Uuid> = (0..4).map(|_| w.create(1, None).unwrap()).collect();
    ids.iter().for_each(|id| fill(&mut w, *id));
    let fresh = TestDisk::new(DISK);
    block_on(w.array.add_disk(new_disk(2, fresh.clone()))).unwrap();
    w.disks.insert(2, fresh);
    let plan = block_on(w.array.compute_balance());
    let data = 4 * BLOCKS * BLOCK;
    assert_eq!(
        plan.disks.iter().map(|d| (d.before, d.after)).collect::<Vec<_>>(),
        [(data, data / 2), (0, data / 2)]
    );
    assert!(w.work(100, 1 << 20));
    assert_eq!(member(&w, 2).objects, 0, "nothing moves before it is committed");
    block_on(w.array.commit_balance()).unwrap();
    assert!(w.work(1000, 1 << 20));
    let used: Vec<u64> = w.array.members().iter().map(|m| m.space.unwrap().data).collect();
    assert_eq!(used, [data / 2, data / 2]);
    let task = w.array.tasks().into_iter().find(|t| t.class == Class::Balance && t.disk == 1).unwrap();
    assert_eq!((task.all, task.completed, task.bytes), (8, 8, data / 2));
    assert_eq!(w.array.balance_plan(), None, "it was carried out");
    assert!(block_on(w.array.compute_balance()).moves.is_empty());
    w.check();
    w.settle();
}

#[test]
fn groups_say_where_the_tail_is() {
    let mut w = Test::new(3, 12);
    block_on(w.array.put_group("hdd", vec![1, 2])).unwrap();
    block_on(w.array.put_group("ssd", vec![3])).unwrap();
    let policy = Policy { replicas: 2, all: "hdd".into(), tail: "ssd".into() };
    for _ in 0..8 {
        let id = w.id();
        block_on(w.array.create_placed(id, BLOCKS * BLOCK, None, b"", &policy)).unwrap();
        block_on(w.array.write(id, 0, Buf::copy_of(&vec![7; (BLOCKS * BLOCK) as usize]))).0.unwrap();
    }
    let objects: Vec<u64> = w.array.members().iter().map(|m| m.objects).collect();
    assert_eq!(objects[2], 32);
    assert!(objects[0] > 0 && objects[1] > 0 && objects[0] + objects[1] == 32, "{objects:?}");
    let three = Policy { replicas: 3, all: "ssd".into(), tail: "ssd".into() };
    let other = w.id();
    let refused = block_on(w.array.create_placed(other, 4096, None, b"", &three));
    assert!(matches!(refused, Err(EngineError::Invalid(_))));
}

#[test]
fn a_policy_that_asks_for_more_copies_gets_them() {
    let mut w = Test::new(3, 13);
    let id = w.create(1, None).unwrap();
    fill(&mut w, id);
    w.snapshot(id);
    block_on(w.array.set_policy(id, &Policy { replicas: 2, ..Policy::default() })).unwrap();
    assert!(w.work(1000, 1 << 20));
    w.model.values_mut().for_each(|i| i.replicas = 2);
    for n in 1..=3 {
        w.lose(n);
        w.check();
        w.come_back(n);
        w.settle();
    }
}

#[test]
fn a_store_of_the_first_version_is_an_array_of_one_and_grows() {
    let disk = TestDisk::new(DISK);
    let format = Format { store: STORE, disk: Uuid::from_u128(0xd001), layout: layout() };
    let id = Uuid::from_u128(77);
    block_on(async {
        Engine::<TestDisk, Sound>::format(&disk, format).await.unwrap();
        let engine = Engine::<TestDisk, Sound>::open(disk.clone(), entropy(1)).await.unwrap();
        engine.create(id, 1 << 20, None, b"old").await.unwrap();
        engine.write(id, 0, Buf::copy_of(&block_of(5))).await.0.unwrap();
        engine.close().await.unwrap();
    });
    let witness = MemoryWitness::default();
    let open = |offers| {
        let how = Opening { store: Some(STORE), ..Opening::default() };
        block_on(Array::<TestDisk, Sound>::open(offers, entropy(2), Rc::new(witness.clone()), how)).unwrap()
    };
    let array = open(vec![Offer { number: 4, disk: Ok(disk.reborn(1)) }]);
    assert_eq!(array.members()[0].number, 4);
    let second = TestDisk::new(DISK);
    block_on(array.add_disk(new_disk(5, second.clone()))).unwrap();
    block_on(array.set_policy(id, &Policy { replicas: 2, ..Policy::default() })).unwrap();
    while block_on(array.step(1 << 20)).class.is_some() {}
    block_on(array.close()).unwrap();
    // The new one alone: it was in sync.
    let array = open(vec![Offer { number: 5, disk: Ok(second.reborn(2)) }]);
    let (result, buf) = block_on(array.read(id, 0, Buf::zeroed(BLOCK as usize)));
    assert_eq!((result, common::tag_of(&buf)), (Ok(false), 5));
}

#[test]
fn strangers_do_not_take_part() {
    let w = Test::new(2, 14);
    let stranger = TestDisk::new(DISK);
    let NewDisk { format, .. } = new_disk(9, stranger.clone());
    block_on(Engine::<TestDisk, Sound>::format(&stranger, format)).unwrap();
    let mut offers: Vec<Offer<TestDisk>> =
        w.disks.iter().map(|(n, d)| Offer { number: *n, disk: Ok(d.reborn(3)) }).collect();
    offers.push(Offer { number: 9, disk: Ok(stranger) });
    offers.push(Offer { number: 8, disk: Err("it is locked".into()) });
    let how = Opening::default();
    let array =
        block_on(Array::<TestDisk, Sound>::open(offers, entropy(3), Rc::new(NoWitness), how)).unwrap();
    assert_eq!(
        array.members().iter().map(|m| (m.number, m.state)).collect::<Vec<_>>(),
        [(1, State::InSync), (2, State::InSync)]
    );
}

#[test]
fn what_only_a_forgotten_disk_had_is_lost_and_never_reads_as_zeros() {
    let mut w = Test::new(2, 15);
    let ids: Vec<Uuid> = (0..3).map(|_| w.create(1, None).unwrap()).collect();
    ids.iter().for_each(|id| fill(&mut w, *id));
    assert!(member(&w, 2).objects > 0 && member(&w, 1).objects > 0);
    w.lose(2);
    block_on(w.array.eject(2, true)).unwrap();
    let away = block_on(w.array.health(&[])).away;
    assert!(matches!(block_on(w.array.forget(2, false)), Err(EngineError::Invalid(_))));
    block_on(w.array.forget(2, true)).unwrap();
    w.away.clear();
    for crash in [false, true] {
        let (mut lost, mut kept) = (0, 0);
        for id in &ids {
            for first in (0..BLOCKS).step_by(16) {
                let (result, buf) = block_on(w.array.read(*id, first * BLOCK, Buf::zeroed(BLOCK as usize)));
                match result {
                    Ok(_) => {
                        assert_eq!(common::tag_of(&buf), w.model[id].cells[first as usize].tag());
                        kept += 1;
                    }
                    Err(e) => {
                        assert_eq!(e, EngineError::DataLost);
                        lost += 1;
                    }
                }
            }
        }
        assert!(lost > 0 && kept > 0 && lost + kept == 12, "{lost} lost, {kept} kept");
        let health = block_on(w.array.health(&[]));
        assert_eq!((health.away, health.lost), (0, lost));
        assert_eq!(away, lost);
        if !crash {
            w.crash(&[]);
        }
    }
}

#[test]
fn a_forgotten_disk_and_a_stopped_scrub_leave_no_task() {
    let mut w = Test::new(3, 17);
    let id = w.create(2, None).unwrap();
    fill(&mut w, id);
    let unfinished = |w: &Test, disk: u16| {
        w.array.tasks().into_iter().filter(|t| t.disk == disk && t.completed + t.stuck < t.all).count()
    };
    for disk in [1, 2] {
        w.array.scrub(disk).unwrap();
        assert_eq!(unfinished(&w, disk), 1);
    }
    w.array.stop_scrub(2);
    assert_eq!(unfinished(&w, 2), 0);
    block_on(w.array.soft_eject(1)).unwrap();
    w.work(1, 4096);
    assert_eq!(unfinished(&w, 1), 2);
    block_on(w.array.eject(1, true)).unwrap();
    block_on(w.array.forget(1, true)).unwrap();
    assert_eq!(unfinished(&w, 1), 0);
    assert_eq!(w.array.pause_scrub(3), Err(EngineError::Invalid("no scrub runs on it")));
}
