//! An array of any disk and rules, on its thread, and the table by which other threads' calls find it there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;

use parpen_engine::{Change, Disk, EngineError, Found, Rules, Space, Violation};
use uuid::Uuid;

use crate::Array;
use crate::device::{Line, work};

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
    fn diff(&self, a: Option<Uuid>, b: Uuid, offset: u64, len: u64) -> Asked<'_, Vec<Change>>;
    fn inventory(&self) -> Vec<Found>;
    fn lookup(&self, id: Uuid) -> Option<Found>;
    fn space(&self) -> Space;
    fn set_generation(&self, generation: u64);
    fn work(self: Rc<Self>, line: Rc<Line>, desk: usize) -> LocalTask<'static, ()>;
}

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
    fn diff(&self, a: Option<Uuid>, b: Uuid, offset: u64, len: u64) -> Asked<'_, Vec<Change>> {
        Box::pin(self.diff(a, b, offset, len))
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
    fn work(self: Rc<Self>, line: Rc<Line>, desk: usize) -> LocalTask<'static, ()> {
        Box::pin(work(self, line, desk))
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
