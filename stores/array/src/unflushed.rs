//! Answered writes that no flush covers yet: of which volumes, and which disks have them. When the last of these
//! disks fails they are lost, and the volume's flushes say so from then on: for good, or until a disk that has them,
//! too, and could not be believed yet, comes in sync.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};

use smallvec::SmallVec;
use uuid::Uuid;

use crate::place::{REPLICAS_MAX, Tuple};

/// Who has a write of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Written {
    /// Disks that the next start believes.
    pub(crate) on: Tuple,
    /// Disks that have it, too, and are believed once they are in sync.
    pub(crate) also: Option<Tuple>,
    /// The volume.
    pub(crate) id: Uuid,
}

/// Writes of a volume that are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lost {
    /// The volume or snapshot.
    id: Uuid,
    /// Disks that have them all the same; the next start believes them only if they come in sync before.
    also: Option<Tuple>,
}

/// How the disks are.
pub(crate) trait Disks {
    fn is_failed(&self, number: u16) -> bool;
    fn is_in_sync(&self, number: u16) -> bool;
}

/// What no flush covers yet.
#[derive(Default)]
pub(crate) struct Unflushed {
    all: RefCell<BTreeSet<Written>>,
    /// What was noted last: writes often come in rows.
    last: Cell<Option<Written>>,
    lost: RefCell<BTreeSet<Lost>>,
    /// Volumes that are becoming snapshots.
    freezing: RefCell<BTreeMap<Uuid, Uuid>>,
    /// What flushes that have begun and not ended may cover.
    flying: RefCell<Vec<Weak<Notes>>>,
}

type Notes = RefCell<BTreeSet<Written>>;

/// A flush that has begun: what it may cover, and what those do that began before it and have not ended. A disk that
/// they still wait for may have failed by now, and only this one is told.
pub(crate) struct Flight(Vec<Rc<Notes>>);

impl Unflushed {
    /// A write is about to be answered; some of the disks that have it may have failed meanwhile.
    pub(crate) fn note(&self, w: Written, disks: &dyn Disks) {
        if self.last.get() == Some(w) && !w.on.disks().iter().any(|n| disks.is_failed(*n)) {
            return;
        }
        self.keep(w, disks);
        self.last.set(Some(w));
    }

    fn keep(&self, w: Written, disks: &dyn Disks) {
        let also = w.also.and_then(|t| left(&t, |n| !disks.is_failed(n)));
        let on = left(&w.on, |n| !disks.is_failed(n));
        match on.or_else(|| left(&also?, |n| disks.is_in_sync(n))) {
            Some(on) => drop(self.all.borrow_mut().insert(Written { on, also, ..w })),
            None => {
                let mut lost = self.lost.borrow_mut();
                lost.insert(Lost { id: w.id, also });
                lost.extend(self.freezing.borrow().get(&w.id).map(|id| Lost { id: *id, also }));
            }
        }
    }

    /// A disk failed.
    pub(crate) fn failed(&self, disks: &dyn Disks) {
        self.last.set(None);
        let all = std::mem::take(&mut *self.all.borrow_mut());
        all.into_iter().for_each(|w| self.keep(w, disks));
        self.have_no_more(|n| disks.is_failed(n));
    }

    /// What is lost may be overwritten on a disk that has it, too.
    pub(crate) fn overwritten(&self, number: u16) {
        self.have_no_more(|n| n == number);
    }

    fn have_no_more(&self, disks: impl Fn(u16) -> bool) {
        let mut lost = self.lost.borrow_mut();
        let fewer = |l: Lost| Lost { also: l.also.and_then(|t| left(&t, |n| !disks(n))), ..l };
        *lost = std::mem::take(&mut *lost).into_iter().map(fewer).collect();
    }

    /// A disk came in sync, durably: what seemed lost and it has is not; the next flush covers it.
    pub(crate) fn in_sync(&self, number: u16) {
        let mut lost = self.lost.borrow_mut();
        let (found, gone) =
            std::mem::take(&mut *lost).into_iter().partition(|l| l.also.is_some_and(|t| t.has(number)));
        *lost = gone;
        let found: BTreeSet<Lost> = found;
        let written = |l: Lost| Written { on: Tuple::one(number), also: l.also, id: l.id };
        self.all.borrow_mut().extend(found.into_iter().map(written));
    }

    /// A flush begins.
    pub(crate) fn begin(&self) -> Flight {
        self.last.set(None);
        let mut flying = self.flying.borrow_mut();
        flying.retain(|f| f.strong_count() > 0);
        let mut all: Vec<Rc<Notes>> = flying.iter().filter_map(Weak::upgrade).collect();
        let own = Rc::new(RefCell::new(std::mem::take(&mut *self.all.borrow_mut())));
        flying.push(Rc::downgrade(&own));
        all.push(own);
        Flight(all)
    }

    /// A flush ended that was well on these disks; what they have is durable. One that has failed since covers only
    /// what no other has: the others are believed before it.
    pub(crate) fn end(&self, flight: Flight, well: &[u16], disks: &dyn Disks) {
        for w in flight.0.iter().flat_map(|notes| notes.take()) {
            let also = w.also.iter().flat_map(|t| t.disks()).filter(|n| disks.is_in_sync(**n));
            let (failed, serving): (Vec<u16>, Vec<u16>) =
                w.on.disks().iter().chain(also).partition(|n| disks.is_failed(**n));
            let believed = if serving.is_empty() { failed } else { serving };
            if !believed.iter().any(|n| well.contains(n)) {
                self.keep(w, disks);
            }
        }
    }

    /// The flush of a disk that is about to go: it covers what that one has alone, for the day when it returns. What
    /// others have, too, is theirs to flush: they are believed before it.
    pub(crate) fn end_alone(&self, flight: Flight, number: u16, disks: &dyn Disks) {
        let notes = flight.0.iter().flat_map(|notes| notes.take());
        notes.filter(|w| w.on.disks() != [number]).for_each(|w| self.keep(w, disks));
    }

    /// Changes all notes, also those of flushes under way.
    fn rewrite(&self, f: impl Fn(Written) -> Option<Written>) {
        self.last.set(None);
        let anew = |all: &Notes| {
            let notes = all.take();
            all.replace(notes.into_iter().filter_map(&f).collect());
        };
        anew(&self.all);
        self.flying.borrow().iter().filter_map(Weak::upgrade).for_each(|notes| anew(&notes));
    }

    /// A volume is about to become a snapshot, which lacks what it lacks.
    pub(crate) fn will_freeze(&self, volume: Uuid, snapshot: Uuid) {
        let mut lost = self.lost.borrow_mut();
        let too: Vec<Lost> =
            lost.iter().filter(|l| l.id == volume).map(|l| Lost { id: snapshot, ..*l }).collect();
        lost.extend(too);
        self.freezing.borrow_mut().insert(volume, snapshot);
    }

    /// It stays a volume.
    pub(crate) fn freezes_not(&self, volume: Uuid) {
        self.freezing.borrow_mut().remove(&volume);
    }

    /// A volume became a snapshot, which has its writes from now on, and lacks those that are lost.
    pub(crate) fn freeze(&self, volume: Uuid, snapshot: Uuid) {
        self.freezes_not(volume);
        self.rewrite(|w| Some(if w.id == volume { Written { id: snapshot, ..w } } else { w }));
        let mut lost = self.lost.borrow_mut();
        let named = |l: Lost| if l.id == volume { Lost { id: snapshot, ..l } } else { l };
        *lost = std::mem::take(&mut *lost).into_iter().map(named).collect();
    }

    /// A volume has the content of a snapshot now: nobody misses its own, but what that lacks it lacks, too.
    pub(crate) fn rolled_back(&self, volume: Uuid, snapshot: Uuid) {
        self.rewrite(|w| Some(w).filter(|w| w.id != volume));
        let mut lost = self.lost.borrow_mut();
        lost.retain(|l| l.id != volume);
        let too: Vec<Lost> =
            lost.iter().filter(|l| l.id == snapshot).map(|l| Lost { id: volume, ..*l }).collect();
        lost.extend(too);
    }

    /// A volume or snapshot is gone: nobody misses anything of it.
    pub(crate) fn forget(&self, id: Uuid) {
        self.lost.borrow_mut().retain(|l| l.id != id);
    }

    /// Whether answered writes of a volume are lost.
    pub(crate) fn is_lost(&self, id: Uuid) -> bool {
        self.lost.borrow().iter().any(|l| l.id == id)
    }

    /// Volumes and snapshots of which answered writes are lost.
    pub(crate) fn lost(&self) -> BTreeSet<Uuid> {
        self.lost.borrow().iter().map(|l| l.id).collect()
    }
}

/// Those disks of a tuple that fit.
fn left(from: &Tuple, fits: impl Fn(u16) -> bool) -> Option<Tuple> {
    let left: SmallVec<[u16; REPLICAS_MAX]> = from.disks().iter().copied().filter(|n| fits(*n)).collect();
    Tuple::new(&left)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(1);

    /// Failed disks, and disks in sync.
    struct Known(&'static [u16], &'static [u16]);

    impl Disks for Known {
        fn is_failed(&self, number: u16) -> bool {
            self.0.contains(&number)
        }

        fn is_in_sync(&self, number: u16) -> bool {
            self.1.contains(&number)
        }
    }

    fn written(on: &'static [u16], also: &[u16]) -> Unflushed {
        let all = Unflushed::default();
        all.note(Written { on: Tuple::new(on).unwrap(), also: Tuple::new(also), id: ID }, &Known(&[], on));
        all
    }

    #[test]
    fn a_write_is_lost_with_the_last_disk_that_has_it() {
        let all = written(&[1, 2], &[]);
        all.failed(&Known(&[1], &[2]));
        assert!(!all.is_lost(ID));
        all.failed(&Known(&[1, 2], &[]));
        assert!(all.lost().into_iter().eq([ID]));
        all.forget(ID);
        assert!(!all.is_lost(ID));
    }

    #[test]
    fn a_flush_that_is_well_on_one_disk_covers_what_it_has() {
        let all = written(&[1, 2], &[]);
        let covered = all.begin();
        all.end(covered, &[2], &Known(&[1], &[2]));
        all.failed(&Known(&[1, 2], &[]));
        assert!(!all.is_lost(ID));
    }

    #[test]
    fn a_flush_that_is_well_nowhere_covers_nothing() {
        let all = written(&[1, 2], &[]);
        let covered = all.begin();
        all.end(covered, &[3], &Known(&[1, 2], &[3]));
        assert!(all.is_lost(ID));
        let full = written(&[1, 2], &[]);
        let covered = full.begin();
        full.end(covered, &[], &Known(&[], &[1, 2]));
        assert!(!full.is_lost(ID), "both are there and may flush later");
        full.failed(&Known(&[1, 2], &[]));
        assert!(full.is_lost(ID));
    }

    #[test]
    fn what_is_lost_of_a_volume_is_lost_of_the_snapshot_that_it_becomes() {
        const SNAPSHOT: Uuid = Uuid::from_u128(2);
        let before = written(&[1], &[]);
        before.failed(&Known(&[1], &[]));
        before.freeze(ID, SNAPSHOT);
        let after = written(&[1], &[]);
        after.freeze(ID, SNAPSHOT);
        after.failed(&Known(&[1], &[]));
        let during = written(&[1], &[]);
        let covered = during.begin();
        during.freeze(ID, SNAPSHOT);
        during.end(covered, &[], &Known(&[1], &[]));
        for all in [before, after, during] {
            assert!(all.lost().into_iter().eq([SNAPSHOT]));
        }
        let halfway = written(&[1], &[]);
        halfway.will_freeze(ID, SNAPSHOT);
        halfway.failed(&Known(&[1], &[]));
        assert!(halfway.lost().into_iter().eq([ID, SNAPSHOT]), "whoever asks finds the one or the other");
        halfway.freeze(ID, SNAPSHOT);
        assert!(halfway.lost().into_iter().eq([SNAPSHOT]));
    }

    #[test]
    fn what_failed_before_the_answer_does_not_have_the_write() {
        let all = Unflushed::default();
        let w = Written { on: Tuple::new(&[1, 2]).unwrap(), also: None, id: ID };
        all.note(w, &Known(&[1], &[2]));
        all.failed(&Known(&[1, 2], &[]));
        assert!(all.is_lost(ID));
    }

    #[test]
    fn a_disk_that_is_behind_counts_when_it_is_in_sync() {
        let behind = written(&[1], &[2]);
        let covered = behind.begin();
        behind.end(covered, &[2], &Known(&[1], &[]));
        assert!(behind.is_lost(ID), "the next start asks disk 1");
        let caught_up = written(&[1], &[2]);
        caught_up.failed(&Known(&[1], &[2]));
        assert!(!caught_up.is_lost(ID));
    }

    /// Disk 1 had it alone and failed in a flush that was well on disk 2, which comes in sync.
    #[test]
    fn what_seemed_lost_is_found_on_a_disk_that_comes_in_sync() {
        let seems_lost = || {
            let all = written(&[1], &[2]);
            let covered = all.begin();
            all.end(covered, &[2], &Known(&[1], &[]));
            assert!(all.is_lost(ID));
            all
        };
        let found = seems_lost();
        found.in_sync(3);
        assert!(found.is_lost(ID), "disk 3 never had it");
        found.in_sync(2);
        assert!(!found.is_lost(ID));
        found.failed(&Known(&[1, 2], &[]));
        assert!(found.is_lost(ID), "no flush covered it since");
        let failed = seems_lost();
        failed.failed(&Known(&[1, 2], &[]));
        let overwritten = seems_lost();
        overwritten.overwritten(2);
        for all in [found, failed, overwritten] {
            all.in_sync(2);
            assert!(all.is_lost(ID));
        }
    }

    /// The first flush still waits for disk 1, which has failed meanwhile, when the second ends.
    #[test]
    fn a_flush_knows_what_another_one_under_way_may_not_cover() {
        let all = written(&[1], &[]);
        let first = all.begin();
        let second = all.begin();
        all.end(second, &[2], &Known(&[1], &[2]));
        assert!(all.is_lost(ID));
        all.end(first, &[2], &Known(&[1], &[2]));
        assert!(all.is_lost(ID));
        let both = written(&[1], &[]);
        let (first, second) = (both.begin(), both.begin());
        both.end(first, &[1], &Known(&[], &[1]));
        both.end(second, &[], &Known(&[1], &[]));
        assert!(!both.is_lost(ID), "the first one covered it");
    }

    /// Disk 1 was flushed and failed; disk 2 is full and could not be flushed, goes on and loses its cache.
    #[test]
    fn a_disk_that_failed_since_its_flush_covers_only_what_it_has_alone() {
        let both = written(&[1, 2], &[]);
        both.end(both.begin(), &[1], &Known(&[1], &[2]));
        assert!(!both.is_lost(ID));
        both.failed(&Known(&[1, 2], &[]));
        assert!(both.is_lost(ID));
        let alone = written(&[1], &[]);
        alone.end(alone.begin(), &[1], &Known(&[1], &[2]));
        assert!(!alone.is_lost(ID));
    }

    /// Disk 1 is ejected with all that it has; disk 2 goes on and loses its cache.
    #[test]
    fn the_flush_of_a_disk_that_goes_covers_only_what_it_has_alone() {
        let both = written(&[1, 2], &[]);
        both.end_alone(both.begin(), 1, &Known(&[], &[1, 2]));
        both.failed(&Known(&[1], &[2]));
        assert!(!both.is_lost(ID));
        both.failed(&Known(&[1, 2], &[]));
        assert!(both.is_lost(ID));
        let alone = written(&[1], &[]);
        alone.end_alone(alone.begin(), 1, &Known(&[], &[1, 2]));
        alone.failed(&Known(&[1], &[2]));
        assert!(!alone.is_lost(ID));
    }

    /// It failed, came back without its cache, and is equal to another disk that has not got the write either.
    #[test]
    fn a_disk_that_failed_since_has_the_write_no_more() {
        let all = written(&[1], &[2]);
        all.failed(&Known(&[2], &[1]));
        all.failed(&Known(&[1], &[]));
        assert!(all.is_lost(ID));
        all.in_sync(2);
        assert!(all.is_lost(ID));
    }

    #[test]
    fn a_volume_that_went_back_to_a_snapshot_misses_what_that_misses() {
        const SNAPSHOT: Uuid = Uuid::from_u128(2);
        let all = written(&[1], &[]);
        let flight = all.begin();
        all.rolled_back(ID, SNAPSHOT);
        all.end(flight, &[], &Known(&[1], &[]));
        assert!(all.lost().is_empty());
        let of_snapshot = Written { on: Tuple::one(1), also: None, id: SNAPSHOT };
        all.note(of_snapshot, &Known(&[1], &[]));
        all.rolled_back(ID, SNAPSHOT);
        assert!(all.lost().into_iter().eq([ID, SNAPSHOT]));
    }
}
