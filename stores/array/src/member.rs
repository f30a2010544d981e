//! One disk of the array: its engine while it serves, and how it stands.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use parpen_engine::{Disk, Engine, Rules};
use uuid::Uuid;

use crate::place::Family;

/// What people say of a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// No moving parts.
    pub ssd: bool,
    /// In words.
    pub description: String,
}

/// How a disk stands, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has everything that was answered.
    InSync,
    /// From this era on it may lack something.
    Out { era: u32 },
    /// It will not come back; its number and id are not used again.
    Forgotten,
}

/// Whether everything moves away from a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eject {
    No,
    Running,
    Paused,
}

/// What of a disk that came back is not known to be the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unclean {
    /// Nothing: the disk has all of its families.
    Nothing,
    /// Anything: it has not been looked at.
    Anything,
    /// These families.
    These(BTreeSet<Family>),
}

/// What was found wrong on a disk since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Reads that failed or did not match their checksum, in blocks.
    pub bad: u64,
    /// Of those, blocks that were written anew from another replica.
    pub healed: u64,
    /// Of those, blocks of which no good copy was found.
    pub lost: u64,
}

pub(crate) struct Member<D: Disk, R: Rules> {
    pub(crate) number: u16,
    pub(crate) uuid: Uuid,
    engine: RefCell<Option<Rc<Engine<D, R>>>>,
    pub(crate) about: RefCell<About>,
    pub(crate) standing: Cell<Standing>,
    pub(crate) eject: Cell<Eject>,
    /// It missed something, and that is not durable yet.
    pub(crate) failed: Cell<bool>,
    pub(crate) unclean: RefCell<Unclean>,
    /// Reads in flight.
    pub(crate) busy: Cell<u32>,
    /// Volumes of which it got a write, as the only disk, that no flush covers yet.
    pub(crate) alone: RefCell<BTreeSet<Uuid>>,
    pub(crate) last_alone: Cell<Uuid>,
    pub(crate) faults: Cell<Faults>,
    /// Why it does not serve, in words.
    pub(crate) trouble: RefCell<Option<String>>,
}

impl<D: Disk, R: Rules> Member<D, R> {
    pub(crate) fn new(number: u16, uuid: Uuid, about: About, engine: Option<Rc<Engine<D, R>>>) -> Self {
        Member {
            number,
            uuid,
            engine: RefCell::new(engine),
            about: RefCell::new(about),
            standing: Cell::new(Standing::InSync),
            eject: Cell::new(Eject::No),
            failed: Cell::new(false),
            unclean: RefCell::new(Unclean::Nothing),
            busy: Cell::new(0),
            alone: RefCell::default(),
            last_alone: Cell::new(Uuid::nil()),
            faults: Cell::default(),
            trouble: RefCell::default(),
        }
    }

    /// Its engine, while it is there and has not failed.
    pub(crate) fn live(&self) -> Option<Rc<Engine<D, R>>> {
        let engine = self.engine.borrow();
        engine.as_ref().filter(|e| !self.failed.get() && !e.is_fenced()).cloned()
    }

    /// Its engine, also when it has failed.
    pub(crate) fn engine(&self) -> Option<Rc<Engine<D, R>>> {
        self.engine.borrow().clone()
    }

    pub(crate) fn set_engine(&self, engine: Option<Rc<Engine<D, R>>>) {
        *self.engine.borrow_mut() = engine;
    }

    pub(crate) fn in_sync(&self) -> bool {
        self.standing.get() == Standing::InSync && !self.failed.get()
    }

    /// Whether it is known to have the newest of a family (of those it holds).
    pub(crate) fn is_clean(&self, f: Family) -> bool {
        match &*self.unclean.borrow() {
            Unclean::Nothing => true,
            Unclean::Anything => false,
            Unclean::These(all) => !all.contains(&f),
        }
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Faults)) {
        let mut faults = self.faults.get();
        change(&mut faults);
        self.faults.set(faults);
    }

    /// A write of this volume was answered that no other disk has.
    pub(crate) fn wrote_alone(&self, id: Uuid) {
        if self.last_alone.get() != id {
            self.last_alone.set(id);
            self.alone.borrow_mut().insert(id);
        }
    }
}
