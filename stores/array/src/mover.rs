//! The work behind the scenes: bringing disks back, restoring copies, emptying disks, balancing, scrubbing. It
//! runs only within [`Array::step`], as far as the budget of the call goes, the most urgent class first.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use parpen_engine::sync::yield_now;
use parpen_engine::{Disk, EngineError, Rules};

use crate::Array;
use crate::copy::Progress;
use crate::fills::Filling;
use crate::member::{Eject, Member, Standing};
use crate::place::{Family, Policy};
use crate::plan::Plan;
use crate::scrub::Scrub;

/// Kinds of work, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A disk that came back gets what it lacks; families get the copies that their policy asks for.
    Recovery,
    /// A disk is emptied.
    Eject,
    /// Disks get equally full.
    Balance,
    /// Everything is read and verified.
    Scrub,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Did {
    /// Of which class it was; `None`: there was nothing to do.
    pub class: Option<Class>,
    /// Bytes that were copied or verified.
    pub bytes: u64,
}

/// How safe what a store holds is. An object here is one in all its versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Objects of which any disk that is there knows, and those that would be on disks that are not.
    pub objects: u64,
    /// Of those, objects with fewer good copies than their policy asks for.
    pub short: u64,
    /// Of those, objects of which no disk that is there has the newest, but one that is away may.
    pub away: u64,
    /// Of those, objects all of whose disks are gone for good.
    pub lost: u64,
}

/// Families that are looked at in one go.
const STRIDE: usize = 256;

const NOTHING: Did = Did { class: None, bytes: 0 };

/// A family on its way.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) class: Class,
    pub(crate) family: Family,
    /// The disk that it leaves; `None`: it gets one more copy.
    pub(crate) from: Option<u16>,
    pub(crate) to: u16,
    /// Its copy, once that has begun.
    pub(crate) filling: Cell<Option<Filling>>,
}

/// How far the work for one disk came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) all: u64,
    pub(crate) done: u64,
    pub(crate) bytes: u64,
    /// What could not be done for now.
    pub(crate) stuck: u64,
}

/// What is planned and how far it came.
pub(crate) struct Mover {
    stepping: Cell<bool>,
    pub(crate) current: RefCell<Option<Move>>,
    /// Families may be short of copies.
    look: Cell<bool>,
    /// Families are short of copies for want of room or disks.
    wanting: Cell<bool>,
    pub(crate) recovery: RefCell<VecDeque<Move>>,
    pub(crate) plan: RefCell<Option<Plan>>,
    pub(crate) balance: RefCell<VecDeque<Move>>,
    /// A plan was being carried out when the store was opened.
    pub(crate) resume: Cell<bool>,
    /// Disks may not be equally full, and have not been looked at since.
    pub(crate) uneven: Cell<bool>,
    /// How often balancing was stopped.
    pub(crate) stops: Cell<u64>,
    /// The disks say that a plan is carried out.
    pub(crate) noted: Cell<bool>,
    pub(crate) scrub: RefCell<BTreeMap<u16, Scrub>>,
    pub(crate) counts: RefCell<BTreeMap<(Class, u16), Count>>,
    /// Moves are made. (Disks that came back are brought up to date in any case.)
    pub(crate) relocator: Cell<bool>,
    /// Families of disks that are being emptied.
    pub(crate) eject: RefCell<VecDeque<(u16, Family)>>,
    /// Such disks may hold more than is queued.
    look_eject: Cell<bool>,
}

impl Default for Mover {
    fn default() -> Mover {
        Mover {
            stepping: Cell::new(false),
            current: RefCell::default(),
            look: Cell::new(true),
            wanting: Cell::new(false),
            recovery: RefCell::default(),
            plan: RefCell::default(),
            balance: RefCell::default(),
            resume: Cell::new(false),
            uneven: Cell::new(false),
            stops: Cell::new(0),
            noted: Cell::new(false),
            scrub: RefCell::default(),
            counts: RefCell::default(),
            relocator: Cell::new(true),
            eject: RefCell::default(),
            look_eject: Cell::new(true),
        }
    }
}

impl Mover {
    /// Families may be short of copies, or there may be room where there was none.
    pub(crate) fn look_again(&self) {
        self.look.set(true);
        self.look_eject.set(true);
    }

    /// There may be room where there was none.
    pub(crate) fn has_room(&self) {
        if self.wanting.get() {
            self.look_again();
        }
    }

    pub(crate) fn count(&self, class: Class, disk: u16, change: impl FnOnce(&mut Count)) {
        change(self.counts.borrow_mut().entry((class, disk)).or_default());
    }
}

/// One step at a time.
struct Stepping<'a>(&'a Cell<bool>);

impl Drop for Stepping<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl<D: Disk, R: Rules> Array<D, R> {
    /// Does some work: of the most urgent class that has any, about `budget` bytes of it. Call it again and again;
    /// when it did nothing, there is nothing to do until something changes.
    pub async fn step(&self, budget: u64) -> Did {
        if self.mover.stepping.replace(true) {
            return NOTHING;
        }
        let _stepping = Stepping(&self.mover.stepping);
        if let Err(error) = self.settle().await {
            tracing::debug!(%error, "the members could not be written down");
            return NOTHING;
        }
        let mut left = budget.max(1);
        let class = self.work(&mut left).await;
        Did { class, bytes: budget.max(1) - left }
    }

    async fn work(&self, left: &mut u64) -> Option<Class> {
        if self.resync(left).await {
            return Some(Class::Recovery);
        }
        if self.mover.relocator.get() {
            let current = self.mover.current.borrow_mut().take();
            let next = match current {
                Some(m) => Some(m),
                None => self.next_move().await,
            };
            if let Some(m) = next {
                let class = m.class;
                self.run(m, left).await;
                return Some(class);
            }
        }
        self.scrub_some(left).await.then_some(Class::Scrub)
    }

    async fn next_move(&self) -> Option<Move> {
        if self.mover.look.replace(false) {
            self.find_short().await;
        }
        let recovery = self.mover.recovery.borrow_mut().pop_front();
        match recovery.or_else(|| self.next_eject()) {
            Some(urgent) => Some(urgent),
            None => self.next_balance().await,
        }
    }

    pub(crate) async fn run(&self, m: Move, left: &mut u64) {
        let before = *left;
        let result = self.go_on(&m, left).await;
        let whose = m.from.unwrap_or(m.to);
        self.mover.count(m.class, whose, |c| c.bytes += before - *left);
        match result {
            Ok(Progress::Paused) => {
                *self.mover.current.borrow_mut() = Some(m);
                self.fills.changed.fire();
            }
            Ok(Progress::Equal) => {
                self.mover.count(m.class, whose, |c| c.done += 1);
                // When the queue is through, what came meanwhile is looked for.
                self.mover.look_eject.set(true);
                if m.class == Class::Recovery && self.shortage(m.family).is_some() {
                    // It was short of more than one copy.
                    self.mover.look.set(true);
                }
            }
            Err(error) => {
                tracing::info!(tree = m.family.0, object = m.family.1, %error, "a family was not moved");
                self.mover.count(m.class, whose, |c| c.stuck += 1);
            }
        }
    }

    /// Families with fewer copies than their policy asks for, on disks that are gone for good, or outside their
    /// groups.
    async fn find_short(&self) {
        if self.open_disks().len() < 2 {
            // There is nowhere to go; adding a disk looks again.
            return;
        }
        let families: BTreeSet<Family> =
            self.families().into_iter().chain(self.table.borrow().overrides.keys().copied()).collect();
        let mut queue = VecDeque::new();
        let mut wanting = false;
        for (n, f) in families.into_iter().enumerate() {
            if n % STRIDE == STRIDE - 1 {
                yield_now().await;
            }
            let need = self.shortage(f);
            wanting |= need.is_some();
            if let Some((from, Some(to))) = need {
                self.mover.count(Class::Recovery, from.unwrap_or(to), |c| c.all += 1);
                queue.push_back(Move {
                    class: Class::Recovery,
                    family: f,
                    from,
                    to,
                    filling: Cell::default(),
                });
            }
        }
        *self.mover.recovery.borrow_mut() = queue;
        self.mover.wanting.set(wanting);
    }

    /// How safe what is stored is at this moment, where nobody counts on the disks in `left_out` as long as they lack
    /// something. Looks at everything that is stored, and lets others in between. Objects that no disk which is there
    /// could be read for count, too: nobody can say that there is nothing, and reads fail.
    pub async fn health(&self, left_out: &[u16]) -> Health {
        let away = |n: &u16| self.member(*n).is_some_and(|m| m.live().is_none() || !m.in_sync());
        let left_out: Vec<u16> = left_out.iter().copied().filter(away).collect();
        let families = self.known_families();
        let mut health = Health::default();
        for (n, f) in families.iter().enumerate() {
            if n % STRIDE == STRIDE - 1 {
                yield_now().await;
            }
            self.judge(*f, &left_out, &mut health);
        }
        let mut tree = 0;
        while let Some(next) = self.lead().ok().and_then(|lead| lead.tree_after(tree)) {
            tree = next;
            let unknown = |f| {
                if !families.contains(&f) {
                    self.judge(f, &left_out, &mut health)
                }
            };
            self.out_of_reach(tree, unknown).await;
            yield_now().await;
        }
        health
    }

    fn known_families(&self) -> BTreeSet<Family> {
        let noted: Vec<Family> = self.table.borrow().overrides.keys().copied().collect();
        let mut all: BTreeSet<Family> = self.families().into_iter().chain(noted).collect();
        if let Ok(lead) = self.lead() {
            // Nobody misses what a disk lacks of volumes that were deleted.
            let trees: BTreeSet<u64> = all.iter().map(|f| f.0).collect();
            let dead: BTreeSet<u64> = trees.into_iter().filter(|t| lead.lineages(*t).is_empty()).collect();
            all.retain(|f| !dead.contains(&f.0));
        }
        all
    }

    /// Counts a family where it belongs. A copy on a disk that is left out is not missed.
    fn judge(&self, f: Family, left_out: &[u16], health: &mut Health) {
        let copies = self.sources(f).len();
        let (tuple, policy) = {
            let table = self.table.borrow();
            (table.place(f), table.policy(f.0))
        };
        let excused = tuple.disks().iter().filter(|n| left_out.contains(n)).count();
        let wanted = usize::from(policy.replicas).max(tuple.disks().len()) - excused;
        health.objects += 1;
        match copies {
            0 if self.unreachable(f) == EngineError::DataLost => health.lost += 1,
            0 if excused > 0 => {}
            0 => health.away += 1,
            n if n < wanted => health.short += 1,
            _ => {}
        }
    }

    /// What a family needs: a disk to leave (or none), and one to go to if there is any.
    pub(crate) fn shortage(&self, f: Family) -> Option<(Option<u16>, Option<u16>)> {
        if self.sources(f).is_empty() {
            return None;
        }
        let (tuple, policy) = {
            let table = self.table.borrow();
            (table.place(f), table.policy(f.0))
        };
        let gone = |n: &&u16| self.member(**n).is_none_or(|m| m.standing.get() == Standing::Forgotten);
        if let Some(gone) = tuple.disks().iter().find(gone) {
            return Some((Some(*gone), self.choose(f, Some(*gone))));
        }
        if tuple.disks().len() < usize::from(policy.replicas) {
            return Some((None, self.choose(f, None)));
        }
        let wrong = self.misplaced(f, &policy)?;
        Some((Some(wrong), self.choose(f, Some(wrong))))
    }

    fn misplaced(&self, f: Family, policy: &Policy) -> Option<u16> {
        let table = self.table.borrow();
        let tuple = table.place(f);
        let last = tuple.disks().len() - 1;
        let wrong = |(i, n): &(usize, &u16)| !table.admits(policy, *i == last, **n);
        tuple.disks().iter().enumerate().find(wrong).map(|(_, n)| *n)
    }

    /// A family of a disk that is being emptied.
    fn next_eject(&self) -> Option<Move> {
        loop {
            let next = self.mover.eject.borrow_mut().pop_front();
            let Some((number, f)) = next else {
                if self.mover.look_eject.replace(false) && self.queue_ejects() {
                    continue;
                }
                return None;
            };
            let running = self.member(number).is_some_and(|m| m.eject.get() == Eject::Running);
            if !running || !self.table.borrow().place(f).has(number) {
                continue;
            }
            let Some(to) = self.choose(f, Some(number)) else {
                self.mover.count(Class::Eject, number, |c| c.stuck += 1);
                self.mover.wanting.set(true);
                continue;
            };
            let (class, from, filling) = (Class::Eject, Some(number), Cell::default());
            return Some(Move { class, family: f, from, to, filling });
        }
    }

    fn queue_ejects(&self) -> bool {
        let mut queue = self.mover.eject.borrow_mut();
        for m in self.members.borrow().iter().filter(|m| m.eject.get() == Eject::Running) {
            let all = self.on_disk(m);
            self.mover.count(Class::Eject, m.number, |c| {
                (c.all, c.stuck) = (c.done + all.len() as u64, 0);
            });
            queue.extend(all.into_iter().map(|f| (m.number, f)));
        }
        !queue.is_empty()
    }

    /// The families that are placed on a disk, as far as they exist or are written down.
    pub(crate) fn on_disk(&self, m: &Member<D, R>) -> BTreeSet<Family> {
        let table = self.table.borrow();
        let stored = m.live().map(|e| e.versions()).unwrap_or_default();
        let stored = stored.into_iter().map(|v| (v.tree, v.index)).filter(|f| table.place(*f).has(m.number));
        let noted = table.overrides.iter().filter(|(_, t)| t.has(m.number)).map(|(f, _)| *f);
        stored.chain(noted).collect()
    }

    /// Whether everything has left a disk.
    pub(crate) fn is_empty_disk(&self, m: &Member<D, R>) -> bool {
        let sets = {
            let table = self.table.borrow();
            table.trees.values().any(|t| t.sets.iter().any(|s| s.has(m.number)))
        };
        !sets && self.on_disk(m).is_empty()
    }

    /// Turns the making of moves off and on.
    pub fn set_relocator(&self, on: bool) {
        self.mover.relocator.set(on);
    }

    /// Stops the move that is under way if it is such a one.
    pub(crate) async fn abandon(&self, what: impl Fn(&Move) -> bool) -> Result<(), EngineError> {
        let stopped = self.mover.current.borrow_mut().take_if(|m| what(m));
        match stopped {
            Some(m) => {
                m.filling.get().into_iter().for_each(|own| self.fills.end(m.family, own));
                self.give_up(m.family, m.to).await
            }
            None => Ok(()),
        }
    }
}
