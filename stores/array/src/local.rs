//! An array of any disk and rules, on its thread, and the table by which other threads' calls find it there.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;

use parpen_engine::{Change, Disk, EngineError, Figures, Found, Rebased, Rules, Space, Violation};
use uuid::Uuid;

use crate::Array;
use crate::device::{Line, work};
use crate::manage::{MemberInfo, TaskInfo};
use crate::mover::{Did, Health};
use crate::open::NewDisk;
use crate::order::Order;
use crate::place::Policy;
use crate::plan::Plan;
use crate::survey::Survey;
use crate::whereabouts::{Held, Whereabouts};

/// A future that stays on its thread.
pub type LocalTask<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

type Asked<'a, T> = LocalTask<'a, Result<T, EngineError>>;
type Verb<'a> = Asked<'a, ()>;

/// An array without its type parameters.
pub(crate) trait Local {
    fn create<'a>(&'a self, id: Uuid, bytes: u64, from: Option<Uuid>, label: &'a [u8]) -> Verb<'a>;
    fn snapshot<'a>(&'a self, all: &'a [(Uuid, Uuid, Vec<u8>)]) -> Verb<'a>;
    fn resize(&self, volume: Uuid, bytes: u64) -> Verb<'_>;
    fn rollback(&self, volume: Uuid, snapshot: Uuid) -> Verb<'_>;
    fn delete(&self, id: Uuid) -> Verb<'_>;
    fn relabel<'a>(&'a self, id: Uuid, label: &'a [u8]) -> Verb<'a>;
    fn close(&self) -> Verb<'_>;
    fn fsck(&self, data: bool) -> Asked<'_, Vec<Violation>>;
    fn inventory(&self) -> Vec<Found>;
    fn lookup(&self, id: Uuid) -> Option<Found>;
    fn space(&self) -> Space;
    fn set_generation(&self, generation: u64);
    fn diff(&self, a: Option<Uuid>, b: Uuid, offset: u64, len: u64) -> Asked<'_, Vec<Change>>;
    fn freeze<'a>(&'a self, volume: Uuid, snapshot: Uuid, label: &'a [u8]) -> Verb<'a>;
    fn rebase_step(&self, id: Uuid, onto: Option<Uuid>, most: u64) -> Asked<'_, Rebased>;
    fn figures(&self, id: Uuid) -> Asked<'_, Figures>;
    fn work(self: Rc<Self>, line: Rc<Line>, desk: usize) -> LocalTask<'static, ()>;
    fn create_placed<'a>(&'a self, new: &'a NewVolume) -> Verb<'a>;
    fn policy_of(&self, id: Uuid) -> Result<Policy, EngineError>;
    fn set_policy<'a>(&'a self, id: Uuid, policy: &'a Policy) -> Verb<'a>;
    fn put_group<'a>(&'a self, name: &'a str, disks: Vec<u16>) -> Verb<'a>;
    fn groups(&self) -> BTreeMap<String, Vec<u16>>;
    fn members(&self) -> Vec<MemberInfo>;
    fn tasks(&self) -> Vec<TaskInfo>;
    fn health<'a>(&'a self, left_out: &'a [u16]) -> LocalTask<'a, Health>;
    fn order(&self, order: Order) -> Verb<'_>;
    /// `disk` is a `NewDisk` of the array's kind of disk.
    fn add_disk(&self, disk: Box<dyn Any>) -> Verb<'_>;
    /// `disk` is a disk of the array's kind.
    fn attach(&self, disk: Box<dyn Any>) -> Asked<'_, u16>;
    fn survey(&self) -> LocalTask<'_, Survey>;
    fn whereabouts(&self, id: Uuid, from: u64, most: u64) -> Asked<'_, Whereabouts>;
    fn holds(&self, disk: u16, from: (u64, u64), most: u64) -> Result<Vec<Held>, EngineError>;
    fn compute_balance(&self) -> LocalTask<'_, Plan>;
    fn plan_balance(&self) -> LocalTask<'_, Plan>;
    fn balance_plan(&self) -> Option<Plan>;
    fn step(&self, budget: u64) -> LocalTask<'_, Did>;
    fn until_work(&self) -> LocalTask<'_, ()>;
    fn look_at_fill(&self);
    fn renew(&self) -> Verb<'_>;
    fn requests(&self) -> u64;
    /// Who waits for work looks again.
    fn wake_worker(&self);
}

/// What a volume is made from, and how.
#[derive(Clone, Debug)]
pub struct NewVolume {
    /// Its id.
    pub id: Uuid,
    /// Its size.
    pub bytes: u64,
    /// The snapshot it is made from; `None`: it is empty.
    pub from: Option<Uuid>,
    /// Its label.
    pub label: Vec<u8>,
    /// Where its objects are placed.
    pub policy: Policy,
}

const OTHER_KIND: EngineError = EngineError::Invalid("the store has another kind of disks");

impl<D: Disk + 'static, R: Rules> Local for Array<D, R> {
    fn create<'a>(&'a self, id: Uuid, bytes: u64, from: Option<Uuid>, label: &'a [u8]) -> Verb<'a> {
        Box::pin(self.create(id, bytes, from, label))
    }
    fn snapshot<'a>(&'a self, all: &'a [(Uuid, Uuid, Vec<u8>)]) -> Verb<'a> {
        Box::pin(self.snapshot(all))
    }
    fn resize(&self, volume: Uuid, bytes: u64) -> Verb<'_> {
        Box::pin(self.resize(volume, bytes))
    }
    fn rollback(&self, volume: Uuid, snapshot: Uuid) -> Verb<'_> {
        Box::pin(self.rollback(volume, snapshot))
    }
    fn delete(&self, id: Uuid) -> Verb<'_> {
        Box::pin(self.delete(id))
    }
    fn relabel<'a>(&'a self, id: Uuid, label: &'a [u8]) -> Verb<'a> {
        Box::pin(self.relabel(id, label))
    }
    fn close(&self) -> Verb<'_> {
        Box::pin(self.close())
    }
    fn fsck(&self, data: bool) -> Asked<'_, Vec<Violation>> {
        Box::pin(self.fsck(data))
    }
    fn inventory(&self) -> Vec<Found> {
        self.inventory()
    }
    fn lookup(&self, id: Uuid) -> Option<Found> {
        self.lookup(id)
    }
    fn space(&self) -> Space {
        self.space()
    }
    fn set_generation(&self, generation: u64) {
        self.set_generation(generation);
    }
    fn diff(&self, a: Option<Uuid>, b: Uuid, offset: u64, len: u64) -> Asked<'_, Vec<Change>> {
        Box::pin(self.diff(a, b, offset, len))
    }
    fn freeze<'a>(&'a self, volume: Uuid, snapshot: Uuid, label: &'a [u8]) -> Verb<'a> {
        Box::pin(self.freeze(volume, snapshot, label))
    }
    fn rebase_step(&self, id: Uuid, onto: Option<Uuid>, most: u64) -> Asked<'_, Rebased> {
        Box::pin(self.rebase_step(id, onto, most))
    }
    fn figures(&self, id: Uuid) -> Asked<'_, Figures> {
        Box::pin(self.figures(id))
    }
    fn work(self: Rc<Self>, line: Rc<Line>, desk: usize) -> LocalTask<'static, ()> {
        Box::pin(work(self, line, desk))
    }
    fn create_placed<'a>(&'a self, new: &'a NewVolume) -> Verb<'a> {
        Box::pin(self.create_placed(new.id, new.bytes, new.from, &new.label, &new.policy))
    }
    fn policy_of(&self, id: Uuid) -> Result<Policy, EngineError> {
        self.policy_of(id)
    }
    fn set_policy<'a>(&'a self, id: Uuid, policy: &'a Policy) -> Verb<'a> {
        Box::pin(self.set_policy(id, policy))
    }
    fn put_group<'a>(&'a self, name: &'a str, disks: Vec<u16>) -> Verb<'a> {
        Box::pin(self.put_group(name, disks))
    }
    fn groups(&self) -> BTreeMap<String, Vec<u16>> {
        self.groups()
    }
    fn members(&self) -> Vec<MemberInfo> {
        self.members()
    }
    fn tasks(&self) -> Vec<TaskInfo> {
        self.tasks()
    }
    fn health<'a>(&'a self, left_out: &'a [u16]) -> LocalTask<'a, Health> {
        Box::pin(self.health(left_out))
    }
    fn order(&self, order: Order) -> Verb<'_> {
        Box::pin(self.order(order))
    }
    fn add_disk(&self, disk: Box<dyn Any>) -> Verb<'_> {
        Box::pin(async move {
            match disk.downcast::<NewDisk<D>>() {
                Ok(new) => self.add_disk(*new).await,
                Err(_) => Err(OTHER_KIND),
            }
        })
    }
    fn attach(&self, disk: Box<dyn Any>) -> Asked<'_, u16> {
        Box::pin(async move {
            match disk.downcast::<D>() {
                Ok(disk) => self.attach(*disk).await,
                Err(_) => Err(OTHER_KIND),
            }
        })
    }
    fn survey(&self) -> LocalTask<'_, Survey> {
        Box::pin(self.survey())
    }
    fn whereabouts(&self, id: Uuid, from: u64, most: u64) -> Asked<'_, Whereabouts> {
        Box::pin(self.whereabouts(id, from, most))
    }
    fn holds(&self, disk: u16, from: (u64, u64), most: u64) -> Result<Vec<Held>, EngineError> {
        self.holds(disk, from, most)
    }
    fn compute_balance(&self) -> LocalTask<'_, Plan> {
        Box::pin(self.compute_balance())
    }
    fn plan_balance(&self) -> LocalTask<'_, Plan> {
        Box::pin(self.plan_balance())
    }
    fn balance_plan(&self) -> Option<Plan> {
        self.balance_plan()
    }
    fn step(&self, budget: u64) -> LocalTask<'_, Did> {
        Box::pin(self.step(budget))
    }
    fn until_work(&self) -> LocalTask<'_, ()> {
        Box::pin(self.until_work())
    }
    fn look_at_fill(&self) {
        self.look_at_fill();
    }
    fn renew(&self) -> Verb<'_> {
        Box::pin(self.renew())
    }
    fn requests(&self) -> u64 {
        self.requests()
    }
    fn wake_worker(&self) {
        self.work.fire();
    }
}

thread_local! {
    /// The arrays of this thread, by the key of their store.
    static ARRAYS: RefCell<BTreeMap<u64, Rc<dyn Local>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The array with this key, if it lives on this thread.
pub(crate) fn here(key: u64) -> Option<Rc<dyn Local>> {
    ARRAYS.with_borrow(|all| all.get(&key).cloned())
}

pub(crate) fn arrive(key: u64, array: Rc<dyn Local>) {
    ARRAYS.with_borrow_mut(|all| all.insert(key, array));
}

pub(crate) fn leave(key: u64) {
    ARRAYS.with_borrow_mut(|all| all.remove(&key));
}
