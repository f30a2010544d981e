//! Answered writes that no flush covers yet: of which volumes, and which disks have them. When the last of these
//! disks fails they are lost, and the volume's flushes say so from then on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use uuid::Uuid;

use crate::place::Tuple;

/// The disks that have a write, and its volume.
type Written = (Tuple, Uuid);

/// What no flush covers yet.
#[derive(Default)]
pub(crate) struct Unflushed {
    all: RefCell<BTreeSet<Written>>,
    /// What was noted last: writes often come in rows.
    last: Cell<Option<Written>>,
    lost: RefCell<BTreeSet<Uuid>>,
}

impl Unflushed {
    /// A write of a volume is about to be answered that these disks have, of which some may have failed meanwhile.
    pub(crate) fn note(&self, on: Tuple, id: Uuid, failed: impl Fn(u16) -> bool) {
        if self.last.get() == Some((on, id)) && !on.disks().iter().any(|n| failed(*n)) {
            return;
        }
        self.keep(on, id, failed);
        self.last.set(Some((on, id)));
    }

    fn keep(&self, on: Tuple, id: Uuid, failed: impl Fn(u16) -> bool) {
        let left: Vec<u16> = on.disks().iter().copied().filter(|n| !failed(*n)).collect();
        match Tuple::new(&left) {
            Some(left) => drop(self.all.borrow_mut().insert((left, id))),
            None => drop(self.lost.borrow_mut().insert(id)),
        }
    }

    /// A disk failed.
    pub(crate) fn failed(&self, number: u16) {
        self.last.set(None);
        let all = std::mem::take(&mut *self.all.borrow_mut());
        for (on, id) in all {
            self.keep(on, id, |n| n == number);
        }
    }

    /// A flush begins: what it may cover.
    pub(crate) fn begin(&self) -> BTreeSet<Written> {
        self.last.set(None);
        std::mem::take(&mut *self.all.borrow_mut())
    }

    /// A flush ended that was well on these disks; what they have is durable.
    pub(crate) fn end(&self, covered: BTreeSet<Written>, well: &[u16], failed: impl Fn(u16) -> bool) {
        for (on, id) in covered {
            if !on.disks().iter().any(|n| well.contains(n)) {
                self.keep(on, id, &failed);
            }
        }
    }

    /// What a disk alone has is durable.
    pub(crate) fn flushed_alone(&self, number: u16) {
        self.last.set(None);
        self.all.borrow_mut().retain(|(on, _)| on.disks() != [number]);
    }

    /// A volume is gone: nobody misses anything of it.
    pub(crate) fn forget(&self, id: Uuid) {
        self.lost.borrow_mut().remove(&id);
    }

    /// Whether answered writes of a volume are lost.
    pub(crate) fn is_lost(&self, id: Uuid) -> bool {
        self.lost.borrow().contains(&id)
    }

    /// Volumes of which answered writes are lost.
    pub(crate) fn lost(&self) -> Vec<Uuid> {
        self.lost.borrow().iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(1);

    fn written(disks: &[u16]) -> Unflushed {
        let all = Unflushed::default();
        all.note(Tuple::new(disks).unwrap(), ID, |_| false);
        all
    }

    #[test]
    fn a_write_is_lost_with_the_last_disk_that_has_it() {
        let all = written(&[1, 2]);
        all.failed(1);
        assert!(!all.is_lost(ID));
        all.failed(2);
        assert_eq!(all.lost(), [ID]);
        all.forget(ID);
        assert!(!all.is_lost(ID));
    }

    #[test]
    fn a_flush_that_is_well_on_one_disk_covers_what_it_has() {
        let all = written(&[1, 2]);
        let covered = all.begin();
        all.end(covered, &[2], |n| n == 1);
        all.failed(2);
        assert!(!all.is_lost(ID));
    }

    #[test]
    fn a_flush_that_is_well_nowhere_covers_nothing() {
        let all = written(&[1, 2]);
        let covered = all.begin();
        all.end(covered, &[3], |n| n < 3);
        assert!(all.is_lost(ID));
        let full = written(&[1, 2]);
        let covered = full.begin();
        full.end(covered, &[], |_| false);
        assert!(!full.is_lost(ID), "both are there and may flush later");
        full.failed(1);
        full.failed(2);
        assert!(full.is_lost(ID));
    }

    #[test]
    fn what_failed_before_the_answer_does_not_have_the_write() {
        let all = Unflushed::default();
        all.note(Tuple::new(&[1, 2]).unwrap(), ID, |n| n == 1);
        all.failed(2);
        assert!(all.is_lost(ID));
    }
}
