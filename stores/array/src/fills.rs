//! Copies of families that are being made: one of a family at a time. Its disk gets all writes of the family from the
//! beginning to the end of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use parpen_engine::sync::Event;

use crate::place::Family;

/// One copy that is or was being made; no two are the same, also when they go to the same disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filling {
    pub(crate) to: u16,
    number: u64,
}

/// What is being copied at this moment.
#[derive(Default)]
pub(crate) struct Fills {
    all: RefCell<BTreeMap<Family, Filling>>,
    begun: Cell<u64>,
    /// A copy ended, or rests.
    pub(crate) changed: Event,
}

impl Fills {
    /// The disk that a family is being copied to.
    pub(crate) fn to(&self, f: Family) -> Option<u16> {
        self.all.borrow().get(&f).map(|own| own.to)
    }

    /// Whether this copy is still being made.
    pub(crate) fn goes_on(&self, f: Family, own: Filling) -> bool {
        self.all.borrow().get(&f) == Some(&own)
    }

    /// Begins one; no other of the family is being made.
    pub(crate) fn begin(&self, f: Family, to: u16) -> Filling {
        self.begun.set(self.begun.get() + 1);
        let own = Filling { to, number: self.begun.get() };
        let before = self.all.borrow_mut().insert(f, own);
        debug_assert_eq!(before, None, "two copies of one family");
        own
    }

    /// This copy is made, or given up; another one of the family is left alone.
    pub(crate) fn end(&self, f: Family, own: Filling) {
        if self.goes_on(f, own) {
            self.all.borrow_mut().remove(&f);
        }
        self.changed.fire();
    }

    /// A copy that could not follow a write is given up, which whoever makes it will see; `false` if there is none to
    /// that disk.
    pub(crate) fn stop(&self, f: Family, to: u16) -> bool {
        let mut all = self.all.borrow_mut();
        let is_it = all.get(&f).is_some_and(|own| own.to == to);
        if is_it {
            all.remove(&f);
        }
        is_it
    }
}
