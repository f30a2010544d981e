//! The array's one structure, and the small questions that everything else asks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use parpen_base::Entropy;
use parpen_engine::sync::Event;
use parpen_engine::{BLOCK, Disk, Engine, EngineError, Named, Rules, Sound};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::fills::Fills;
use crate::hold::Holds;
use crate::member::{Eject, Member, Standing};
use crate::mover::Mover;
use crate::place::{Family, REPLICAS_MAX, Table};
use crate::unflushed::Unflushed;
use crate::witness::{EraMark, Witness};

/// Engines that together are one store. Single-threaded; share it by `Rc`.
///
/// Futures that change something must be polled to their end.
pub struct Array<D: Disk, R: Rules = Sound> {
    pub(crate) store: Uuid,
    pub(crate) object_bytes: u64,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) witness: Rc<dyn Witness>,
    pub(crate) members: RefCell<Vec<Rc<Member<D, R>>>>,
    /// The engine of the only member: requests go straight to it.
    sole: RefCell<Option<Rc<Engine<D, R>>>>,
    /// An engine whose catalogue is the store's.
    lead: RefCell<Option<Rc<Engine<D, R>>>>,
    pub(crate) table: RefCell<Table>,
    /// The era that the members record says, and the last one that the witness knows.
    pub(crate) mark: Cell<EraMark>,
    pub(crate) witnessed: Cell<EraMark>,
    /// [`Array::stirred`] when the last era began by itself.
    pub(crate) renewed: Cell<(u64, u64)>,
    /// Members that missed something, ever, and how many of these are durably out.
    pub(crate) failures: Cell<u64>,
    pub(crate) settled: Cell<u64>,
    pub(crate) holds: Holds,
    pub(crate) fills: Fills,
    /// There may be work behind the scenes.
    pub(crate) work: Event,
    /// Flags the plan to be made and carried out when a disk is added.
    pub(crate) auto_balance: Cell<bool>,
    pub(crate) unflushed: Unflushed,
    pub(crate) generation: Cell<u64>,
    /// Trees whose links are kept, because objects of them may be only on disks that are away.
    pub(crate) links: RefCell<BTreeSet<u64>>,
    pub(crate) mover: Mover,
}

/// A member, its engine, and whether an answer needs it.
pub(crate) struct Target<D: Disk, R: Rules> {
    pub(crate) member: Rc<Member<D, R>>,
    pub(crate) engine: Rc<Engine<D, R>>,
    pub(crate) clean: bool,
}

/// The members of one family, and one that is being filled; without an allocation.
pub(crate) type Targets<D, R> = SmallVec<[Target<D, R>; REPLICAS_MAX + 1]>;

impl<D: Disk, R: Rules> Array<D, R> {
    pub(crate) fn new(
        store: Uuid,
        object_bytes: u64,
        entropy: Arc<dyn Entropy>,
        witness: Rc<dyn Witness>,
        members: Vec<Rc<Member<D, R>>>,
        table: Table,
    ) -> Self {
        Array {
            store,
            object_bytes,
            entropy,
            witness,
            members: RefCell::new(members),
            sole: RefCell::default(),
            lead: RefCell::default(),
            table: RefCell::new(table),
            mark: Cell::default(),
            witnessed: Cell::default(),
            renewed: Cell::default(),
            failures: Cell::new(0),
            settled: Cell::new(0),
            holds: Holds::default(),
            fills: Fills::default(),
            work: Event::default(),
            auto_balance: Cell::new(false),
            unflushed: Unflushed::default(),
            generation: Cell::new(0),
            links: RefCell::default(),
            mover: Mover::default(),
        }
    }

    /// The store that the disks belong to.
    pub fn store_id(&self) -> Uuid {
        self.store
    }

    /// The id of the disk with the lowest number.
    pub fn disk_id(&self) -> Uuid {
        self.members.borrow().first().map(|m| m.uuid).unwrap_or_default()
    }

    /// Ends when there may be work behind the scenes that [`Array::step`] did not find at this call.
    pub fn until_work(&self) -> impl Future<Output = ()> + '_ {
        self.work.wait()
    }

    /// Requests that came in so far.
    pub fn requests(&self) -> u64 {
        self.holds.requests()
    }

    /// The era that writes are stamped with.
    pub fn era(&self) -> u32 {
        // (A new one that could not be begun stands in the mark alone.)
        self.lead().map_or(self.mark.get().era, |lead| lead.era())
    }

    /// Another value after a request, a change of the catalogue or a move.
    pub(crate) fn stirred(&self) -> (u64, u64) {
        (self.requests(), self.lead().map_or(0, |lead| lead.catalogue_seq()))
    }

    /// The configuration generation that later writes are stamped with.
    pub fn set_generation(&self, generation: u64) {
        self.generation.set(generation);
        self.live().iter().for_each(|t| t.engine.set_generation(generation));
    }

    pub(crate) fn member(&self, number: u16) -> Option<Rc<Member<D, R>>> {
        let members = self.members.borrow();
        members.binary_search_by_key(&number, |m| m.number).ok().map(|at| members[at].clone())
    }

    /// The members that are there and serve.
    pub(crate) fn live(&self) -> Vec<Target<D, R>> {
        let members = self.members.borrow();
        let live = |m: &Rc<Member<D, R>>| {
            let engine = m.live()?;
            Some(Target { member: m.clone(), engine, clean: m.in_sync() })
        };
        members.iter().filter_map(live).collect()
    }

    /// Looks again who serves; after every change of the members.
    pub(crate) fn refresh(&self) {
        let members = self.members.borrow();
        let known: Vec<_> = members.iter().filter(|m| m.standing.get() != Standing::Forgotten).collect();
        // What was only on a disk that was forgotten must not read as zeros on the last one.
        let has_all = |m: &Member<D, R>| {
            members.len() == 1 || self.table.borrow().tuples().iter().all(|t| t.has(m.number))
        };
        let sole = match known.as_slice() {
            [one] if one.standing.get() == Standing::InSync && has_all(one) => one.engine(),
            _ => None,
        };
        let in_sync = members.iter().filter(|m| m.in_sync()).find_map(|m| m.live());
        let live = || members.iter().find_map(|m| m.live());
        let any = || members.iter().find_map(|m| m.engine());
        *self.lead.borrow_mut() = in_sync.or_else(|| sole.clone()).or_else(live).or_else(any);
        *self.sole.borrow_mut() = sole;
        drop(members);
        self.keep_links();
    }

    /// The engine of the only member, which needs no lock of the array; while another one is being added it does.
    pub(crate) fn sole(&self) -> Option<Rc<Engine<D, R>>> {
        if self.holds.is_careful() { None } else { self.sole.borrow().clone() }
    }

    /// An engine whose catalogue is the store's.
    pub(crate) fn lead(&self) -> Result<Rc<Engine<D, R>>, EngineError> {
        self.lead.borrow().clone().ok_or(EngineError::Io)
    }

    pub(crate) fn identify(&self, id: Uuid) -> Result<Named, EngineError> {
        match &*self.lead.borrow() {
            Some(lead) => lead.identify(id).ok_or(EngineError::NotFound),
            None => Err(EngineError::Io),
        }
    }

    pub(crate) fn object_blocks(&self) -> u64 {
        self.object_bytes / BLOCK
    }

    /// Whether a disk has the newest of a family that is placed on it.
    pub(crate) fn has_newest(&self, f: Family, member: &Member<D, R>) -> bool {
        let tuple = self.table.borrow().place(f);
        tuple.has(member.number) && member.is_clean(f, tuple)
    }

    /// The one disk that a family is read from and written to, if no lock of the array is needed for it.
    pub(crate) fn single(&self, f: Family) -> Option<Target<D, R>> {
        if self.holds.is_careful() || self.fills.to(f).is_some() {
            return None;
        }
        let tuple = self.table.borrow().place(f);
        let [number] = tuple.disks() else { return None };
        let member = self.member(*number)?;
        let engine = member.live()?;
        member.is_clean(f, tuple).then_some(Target { member, engine, clean: true })
    }

    /// All disks that a write of a family goes to.
    pub(crate) fn targets(&self, f: Family) -> Targets<D, R> {
        let tuple = self.table.borrow().place(f);
        let filling = self.fills.to(f).filter(|n| !tuple.has(*n));
        let mut out = Targets::new();
        for (number, placed) in tuple.disks().iter().map(|n| (*n, true)).chain(filling.map(|n| (n, false))) {
            if let Some(member) = self.member(number)
                && let Some(engine) = member.live()
            {
                let clean = placed && member.is_clean(f, tuple);
                out.push(Target { member, engine, clean });
            }
        }
        out
    }

    /// The disks that have the newest of a family.
    pub(crate) fn sources(&self, f: Family) -> Targets<D, R> {
        self.targets(f).into_iter().filter(|t| t.clean).collect()
    }

    /// Disks that may take something new: in sync, not on their way out.
    pub(crate) fn open_disks(&self) -> Vec<(u16, u64)> {
        let live = self.live();
        let open = live.iter().filter(|t| t.clean && t.member.eject.get() == Eject::No);
        open.map(|t| (t.member.number, t.engine.space().free)).collect()
    }

    /// Why a family without a disk that has its newest cannot be served: lost when every disk of it is gone for
    /// good, else only out of reach.
    pub(crate) fn unreachable(&self, f: Family) -> EngineError {
        let tuple = self.table.borrow().place(f);
        let gone = |n: &u16| self.member(*n).is_none_or(|m| m.standing.get() == Standing::Forgotten);
        if tuple.disks().iter().all(gone) { EngineError::DataLost } else { EngineError::Io }
    }
}
