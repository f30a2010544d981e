//! Every rule of the array is needed: with it a story ends well, without it the story shows the harm.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;
#[path = "common/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{BLOCK, block_of, block_on, poll_for};
use parpen_base::Buf;
use parpen_engine::{EngineError, Rules, Sound};
use uuid::Uuid;
use world::{BLOCKS, World};

/// Two disks and a volume with so many copies, full and flushed.
fn begin<R: Rules>(replicas: u8, seed: u64) -> (World<R>, Uuid) {
    let mut w = World::new(2, seed);
    let id = w.create(replicas, None).unwrap();
    for first in (0..BLOCKS).step_by(16) {
        w.write(id, first, 16);
    }
    w.flush(id);
    (w, id)
}

/// One disk dies, the other goes on and is flushed; then the old one is there alone.
fn the_old_one_comes_alone<R: Rules>() {
    let (mut w, id) = begin::<R>(2, 1);
    w.lose(2);
    w.write(id, 0, BLOCKS);
    w.flush(id);
    w.crash(&[1]);
    w.check();
    w.settle();
}

/// The catalogue changes while a disk is away.
fn the_catalogue_went_on<R: Rules>() {
    let (mut w, id) = begin::<R>(2, 2);
    w.crash(&[1]);
    w.snapshot(id);
    w.write(id, 3, 9);
    w.create(1, None).unwrap();
    w.flush(id);
    w.crash(&[]);
    w.check();
    w.settle();
}

/// A crash leaves of what was not flushed something else on each disk.
fn a_crash_leaves_differences<R: Rules>() {
    (20..50).for_each(crash_leaves_differences::<R>);
}

fn crash_leaves_differences<R: Rules>(seed: u64) {
    for polls in 0.. {
        let (mut w, id) = begin::<R>(2, seed);
        w.write(id, 7, 3);
        let array = w.array.clone();
        let flushed = poll_for(array.flush(), polls);
        w.crash(&[]);
        w.check();
        w.settle();
        if flushed.is_some() {
            return;
        }
    }
}

/// A disk comes back and is read before it is brought up to date.
fn it_is_read_at_once<R: Rules>() {
    let (mut w, id) = begin::<R>(2, 4);
    w.lose(2);
    w.write(id, 0, BLOCKS);
    w.come_back(2);
    w.check();
    w.settle();
}

/// A crash at every moment while everything moves from one disk to the other, with each of both believed after it.
fn a_crash_within_a_move<R: Rules>() {
    (5..9).for_each(crash_within_a_move::<R>);
}

fn crash_within_a_move<R: Rules>(seed: u64) {
    for polls in 0.. {
        let (mut w, _) = begin::<R>(1, seed);
        block_on(w.array.soft_eject(1)).unwrap();
        let array = w.array.clone();
        let moved = poll_for(async { while array.step(1 << 20).await.class.is_some() {} }, polls);
        w.crash(&[]);
        w.check();
        if moved.is_some() {
            return w.settle();
        }
    }
}

/// A block rots where it is newest, and the other disk has an older one.
fn the_only_new_copy_rots<R: Rules>() {
    let (mut w, id) = begin::<R>(2, 6);
    w.crash(&[2]);
    w.write(id, 5, 1);
    w.flush(id);
    w.come_back(2);
    let tag = w.model[&id].cells[5].tag();
    assert!(w.disks[&1].rot(&block_of(tag)) > 0);
    let (result, _) = block_on(w.array.read(id, 5 * BLOCK, Buf::zeroed(BLOCK as usize)));
    assert_eq!(result, Err(EngineError::DataLost), "nobody has what was written last");
}

/// A snapshot is deleted of which a volume was made, while a disk is away that alone has some of its objects.
fn a_parent_goes_while_a_disk_is_away<R: Rules>() {
    let (mut w, id) = begin::<R>(1, 7);
    w.snapshot(id);
    let snapshot = w.pick(Some(true), 0).unwrap();
    w.crash(&[2]);
    w.create(1, Some(snapshot)).unwrap();
    w.delete(id);
    w.delete(snapshot);
    w.come_back(2);
    w.settle();
    assert_eq!(w.model.len(), 1);
}

/// A volume is deleted, and before that is answered there is a crash, after which one disk or the other is away.
fn a_deletion_that_one_disk_did_not_hear_of<R: Rules>() {
    for seed in 80..84 {
        for absent in [1, 2] {
            let mut polls = 0;
            while !deleted::<R>(seed, polls, absent) {
                polls += 1;
            }
        }
    }
}

/// Whether it was deleted within so many polls.
fn deleted<R: Rules>(seed: u64, polls: u16, absent: u16) -> bool {
    let (mut w, id) = begin::<R>(1, seed);
    let done = poll_for(w.array.clone().delete(id), polls);
    w.crash(&[absent]);
    // Whoever is there goes on, and has something newer.
    w.create(1, None).unwrap();
    w.come_back(absent);
    if w.array.lookup(id).is_none() {
        w.model.remove(&id);
    }
    w.settle();
    done.is_some()
}

/// Power cuts while a volume shrinks, before what was cut off is cleared, and at every moment while it grows again.
fn a_crash_while_it_grows<R: Rules>() {
    for seed in 60..64 {
        let cut = (0..).find(|polls| grows_again::<R>(seed, *polls, 0).is_some()).unwrap();
        for polls in 0.. {
            if grows_again::<R>(seed, cut, polls).unwrap() {
                break;
            }
        }
    }
}

/// Whether it grew within so many polls; `None` if it did not even shrink.
fn grows_again<R: Rules>(seed: u64, to_shrink: u16, to_grow: u16) -> Option<bool> {
    let (mut w, id) = begin::<R>(1, seed);
    w.model.clear();
    let (short, long) = ((BLOCKS - 3) * BLOCK + 512, BLOCKS * BLOCK);
    poll_for(w.array.clone().resize(id, short), to_shrink);
    w.crash(&[]);
    if w.array.lookup(id).unwrap().bytes != short {
        return None;
    }
    let grown = poll_for(w.array.clone().resize(id, long), to_grow);
    w.crash(&[]);
    if w.array.lookup(id).unwrap().bytes == long {
        let (result, buf) = block_on(w.array.read(id, short, Buf::zeroed((long - short) as usize)));
        assert!(result.is_ok() && buf.iter().all(|b| *b == 0), "what was cut off shows again");
    }
    Some(grown.is_some())
}

macro_rules! needed {
    ($rule:ident, $name:ident, $story:ident) => {
        #[test]
        fn $name() {
            struct Without;
            impl Rules for Without {
                const $rule: bool = false;
            }
            $story::<Sound>();
            let harm = catch_unwind(AssertUnwindSafe($story::<Without>));
            assert!(harm.is_err(), "nobody noticed that the rule was missing");
        }
    };
}

needed!(BUMP_ERA_BEFORE_ACK, the_era_goes_up_before_an_answer, the_old_one_comes_alone);
needed!(WITNESS, somebody_outside_remembers, the_old_one_comes_alone);
needed!(ADOPT_AUTHORITY, the_newest_catalogue_is_taken, the_catalogue_went_on);
needed!(RECONCILE_AT_OPEN, replicas_are_made_equal_at_opening, a_crash_leaves_differences);
needed!(READ_ONLY_CLEAN, only_clean_families_are_read, it_is_read_at_once);
needed!(OVERRIDE_BEFORE_EVICT, a_family_leaves_after_its_new_place_is_durable, a_crash_within_a_move);
needed!(FILL_DURABLE_BEFORE_OVERRIDE, a_copy_is_durable_before_it_counts, a_crash_within_a_move);
needed!(HEAL_FROM_VERIFIED, only_the_bytes_that_were_written_heal, the_only_new_copy_rots);
needed!(KEEP_NEW_GHOSTS, what_was_deleted_stays_until_all_know, a_deletion_that_one_disk_did_not_hear_of);
needed!(KEEP_LINKS, a_parent_keeps_its_number_while_a_disk_is_away, a_parent_goes_while_a_disk_is_away);
needed!(CLEAR_BEFORE_GROW, what_was_cut_off_is_cleared_everywhere_first, a_crash_while_it_grows);
