//! One disk of the array: its engine while it serves, and how it stands.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use parpen_engine::{Disk, Engine, Rules};
use uuid::Uuid;

use crate::place::{Family, Tuple};

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
    /// These.
    These(Lacks),
}

/// What a disk that came back may lack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lacks {
    /// Families that differ from those of a disk that has the newest.
    pub(crate) families: BTreeSet<Family>,
    /// Tuples of which no disk that is there could say what was written meanwhile, or what exists at all.
    pub(crate) tuples: BTreeSet<Tuple>,
}

impl Lacks {
    pub(crate) fn is_empty(&self) -> bool {
        self.families.is_empty() && self.tuples.is_empty()
    }
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
    /// An era that it surely wrote down: an older one on it is that of a copy.
    pub(crate) knows: Cell<u32>,
    pub(crate) eject: Cell<Eject>,
    /// It missed something, and that is not durable yet.
    pub(crate) failed: Cell<bool>,
    pub(crate) unclean: RefCell<Unclean>,
    /// Reads in flight.
    pub(crate) busy: Cell<u32>,
    pub(crate) faults: Cell<Faults>,
    /// What was free on it when it was left behind, in bytes.
    pub(crate) room: Cell<u64>,
    /// The catalogue became smaller since: it may fit now.
    pub(crate) again: Cell<bool>,
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
            knows: Cell::new(0),
            eject: Cell::new(Eject::No),
            failed: Cell::new(false),
            unclean: RefCell::new(Unclean::Nothing),
            busy: Cell::new(0),
            faults: Cell::default(),
            room: Cell::new(0),
            again: Cell::new(false),
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
    pub(crate) fn is_clean(&self, f: Family, at: Tuple) -> bool {
        match &*self.unclean.borrow() {
            Unclean::Nothing => true,
            Unclean::Anything => false,
            Unclean::These(lacks) => !lacks.families.contains(&f) && !lacks.tuples.contains(&at),
        }
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Faults)) {
        let mut faults = self.faults.get();
        change(&mut faults);
        self.faults.set(faults);
    }

    /// The first family from this one on that it lacks something of.
    pub(crate) fn lacks_from(&self, f: Family) -> Option<Family> {
        match &*self.unclean.borrow() {
            Unclean::These(lacks) => lacks.families.range(f..).next().copied(),
            Unclean::Nothing | Unclean::Anything => None,
        }
    }

    /// Families of which it is known that it lacks something.
    pub(crate) fn lacked(&self) -> BTreeSet<Family> {
        match &*self.unclean.borrow() {
            Unclean::These(lacks) => lacks.families.clone(),
            Unclean::Nothing | Unclean::Anything => BTreeSet::new(),
        }
    }

    /// What it has of a family may not last.
    pub(crate) fn lack(&self, f: Family) {
        let mut unclean = self.unclean.borrow_mut();
        match &mut *unclean {
            Unclean::Anything => {}
            Unclean::These(lacks) => drop(lacks.families.insert(f)),
            Unclean::Nothing => {
                *unclean = Unclean::These(Lacks { families: BTreeSet::from([f]), ..Lacks::default() });
            }
        }
    }

    /// Whether it could say all about the families of a tuple that it is in.
    pub(crate) fn knows(&self, at: &Tuple) -> bool {
        match &*self.unclean.borrow() {
            Unclean::Nothing => true,
            Unclean::Anything => false,
            Unclean::These(lacks) => !lacks.tuples.contains(at),
        }
    }
}
