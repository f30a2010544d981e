//! A store as other threads see it: a handle that may be sent and shared, whose calls run on the array's
//! home reactor and are answered by futures that need no particular runtime.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parpen_base::Entropy;
use parpen_block::Home;
use parpen_engine::{
    Change, Disk, EngineError, Figures, Format, Found, Kind, Rebased, Sound, Space, Violation,
};
use uuid::Uuid;

use crate::Array;
use crate::answer::answer;
use crate::device::StoreDevice;
use crate::local::{Local, LocalTask, arrive, here, leave};
use crate::member::About;
use crate::open::{ArrayError, NewDisk, Offer, Opening};
use crate::pace::{Host, Rates, Spawn, drive};
use crate::witness::Witness;

/// Makes a disk on the thread that will own it.
pub type DiskSource<D> = Box<dyn FnOnce() -> Result<D, StoreError> + Send>;

/// Makes the witness on the thread that will ask it.
pub type WitnessSource = Box<dyn FnOnce() -> Rc<dyn Witness> + Send>;

/// A disk that may be part of a store.
pub struct OldSource<D> {
    /// The number that it is known by outside.
    pub number: u16,
    /// Gives it.
    pub disk: DiskSource<D>,
}

/// A disk to be formatted for a store.
pub struct NewSource<D> {
    /// Its number, 1 to 4095.
    pub number: u16,
    /// Gives it; whatever is on it is lost.
    pub disk: DiskSource<D>,
    /// How it is formatted.
    pub format: Format,
    /// What people say of it.
    pub about: About,
}

/// Keys are never used twice in one process.
static NEXT_KEY: AtomicU64 = AtomicU64::new(1);

/// What every thread may know of a volume or snapshot.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) bytes: u64,
    pub(crate) read_only: bool,
}

pub(crate) struct Shared {
    pub(crate) key: u64,
    pub(crate) home: Arc<dyn Home>,
    pub(crate) spawn: Spawn,
    pub(crate) rates: Arc<Mutex<Rates>>,
    seen: Mutex<BTreeMap<Uuid, Seen>>,
    store: Uuid,
    disk: Uuid,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, BTreeMap<Uuid, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seen(&self, id: Uuid) -> Option<Seen> {
        self.table().get(&id).copied()
    }

    fn learn(&self, id: Uuid, found: Option<&Found>) {
        let mut table = self.table();
        match found {
            Some(f) => table.insert(id, Seen { bytes: f.bytes, read_only: f.kind == Kind::Snapshot }),
            None => table.remove(&id),
        };
    }
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk itself could not be had.
    #[error(transparent)]
    File(#[from] parpen_engine::FileError),
    /// The disks' content.
    #[error(transparent)]
    Open(ArrayError),
    /// The store refused the disk.
    #[error(transparent)]
    Change(EngineError),
    /// The reactor that was to be its home has ended.
    #[error("the reactor of the store has ended")]
    Ended,
}

/// A handle to an open array, for any thread. Clones are the same store.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Shared>);

impl Store {
    /// Opens the store on these disks, on `home`, where it lives until [`Store::close`]. A disk that cannot be had
    /// is out, as long as others have everything.
    pub async fn open<D: Disk + 'static>(
        home: Arc<dyn Home>,
        host: Host,
        entropy: Arc<dyn Entropy>,
        disks: Vec<OldSource<D>>,
        witness: WitnessSource,
        how: Opening,
    ) -> Result<Store, StoreError> {
        let begin = move || -> LocalTask<'static, Result<Rc<Array<D, Sound>>, StoreError>> {
            Box::pin(async move {
                let (mut offers, mut first) = (Vec::new(), None);
                for source in disks {
                    let disk = (source.disk)().map_err(|e| {
                        let why = e.to_string();
                        first.get_or_insert(e);
                        why
                    });
                    offers.push(Offer { number: source.number, disk });
                }
                match Array::open(offers, entropy, witness(), how).await {
                    Err(ArrayError::NoDisk) => Err(first.unwrap_or(StoreError::Open(ArrayError::NoDisk))),
                    opened => opened.map_err(StoreError::Open),
                }
            })
        };
        Store::start(home, host, begin).await
    }

    /// Makes an empty store of these disks and opens it.
    pub async fn format<D: Disk + 'static>(
        home: Arc<dyn Home>,
        host: Host,
        entropy: Arc<dyn Entropy>,
        disks: Vec<NewSource<D>>,
        witness: WitnessSource,
    ) -> Result<Store, StoreError> {
        let begin = move || -> LocalTask<'static, Result<Rc<Array<D, Sound>>, StoreError>> {
            Box::pin(async move {
                let mut new = Vec::new();
                for s in disks {
                    let (number, format, about) = (s.number, s.format, s.about);
                    new.push(NewDisk { number, disk: (s.disk)()?, format, about });
                }
                Array::format(new, entropy, witness()).await.map_err(StoreError::Open)
            })
        };
        Store::start(home, host, begin).await
    }

    async fn start<D: Disk + 'static>(
        home: Arc<dyn Home>,
        host: Host,
        begin: impl FnOnce() -> LocalTask<'static, Result<Rc<Array<D, Sound>>, StoreError>> + Send + 'static,
    ) -> Result<Store, StoreError> {
        let (give, take) = answer();
        let at = home.clone();
        home.run(Box::new(move || {
            (host.spawn)(Box::pin(async move {
                let opened = begin().await;
                give.give(opened.map(|array| Store::register(array, at, host)));
            }));
        }));
        take.await.unwrap_or(Err(StoreError::Ended))
    }

    fn register<D: Disk + 'static>(array: Rc<Array<D, Sound>>, home: Arc<dyn Home>, host: Host) -> Store {
        let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
        let (store, disk) = (array.store_id(), array.disk_id());
        let rates = Arc::new(Mutex::new(Rates::default()));
        let shared = Shared {
            key,
            home,
            spawn: host.spawn,
            rates: rates.clone(),
            seen: Mutex::default(),
            store,
            disk,
        };
        array.inventory().iter().for_each(|f| shared.learn(f.id, Some(f)));
        arrive(key, array);
        (host.spawn)(Box::pin(drive(key, host, rates)));
        Store(Arc::new(shared))
    }

    /// Runs `f` with the array on its thread; afterwards the named ids are looked at anew.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        ids: Vec<Uuid>,
        f: impl for<'a> FnOnce(&'a dyn Local) -> LocalTask<'a, Result<T, EngineError>> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (give, take) = answer();
        let shared = self.0.clone();
        self.0.home.run(Box::new(move || {
            let Some(array) = here(shared.key) else { return };
            let spawn = shared.spawn;
            spawn(Box::pin(async move {
                let result = f(&*array).await;
                ids.iter().for_each(|id| shared.learn(*id, array.lookup(*id).as_ref()));
                give.give(result);
            }));
        }));
        take.await.unwrap_or(Err(EngineError::Closed))
    }

    /// The store that the disks belong to.
    pub fn store_id(&self) -> Uuid {
        self.0.store
    }

    /// The id of the first disk.
    pub fn disk_id(&self) -> Uuid {
        self.0.disk
    }

    /// A volume, or read-only a snapshot, as a block device.
    pub fn device(&self, id: Uuid) -> Result<Arc<StoreDevice>, EngineError> {
        self.0.seen(id).ok_or(EngineError::NotFound)?;
        Ok(Arc::new(StoreDevice { shared: self.0.clone(), id }))
    }

    /// [`Array::create`].
    pub async fn create(
        &self,
        id: Uuid,
        bytes: u64,
        from: Option<Uuid>,
        label: Vec<u8>,
    ) -> Result<(), EngineError> {
        self.call(vec![id], move |a| Box::pin(async move { a.create(id, bytes, from, &label).await })).await
    }

    /// [`Array::snapshot`].
    pub async fn snapshot(&self, all: Vec<(Uuid, Uuid, Vec<u8>)>) -> Result<(), EngineError> {
        let ids = all.iter().map(|(_, snapshot, _)| *snapshot).collect();
        self.call(ids, move |a| Box::pin(async move { a.snapshot(&all).await })).await
    }

    /// [`Array::resize`].
    pub async fn resize(&self, volume: Uuid, bytes: u64) -> Result<(), EngineError> {
        self.call(vec![volume], move |a| a.resize(volume, bytes)).await
    }

    /// [`Array::rollback`].
    pub async fn rollback(&self, volume: Uuid, snapshot: Uuid) -> Result<(), EngineError> {
        self.call(vec![volume], move |a| a.rollback(volume, snapshot)).await
    }

    /// [`Array::delete`].
    pub async fn delete(&self, id: Uuid) -> Result<(), EngineError> {
        self.call(vec![id], move |a| a.delete(id)).await
    }

    /// [`Array::relabel`].
    pub async fn relabel(&self, id: Uuid, label: Vec<u8>) -> Result<(), EngineError> {
        self.call(vec![], move |a| Box::pin(async move { a.relabel(id, &label).await })).await
    }

    /// [`Array::diff`].
    pub async fn diff(
        &self,
        a: Option<Uuid>,
        b: Uuid,
        offset: u64,
        len: u64,
    ) -> Result<Vec<Change>, EngineError> {
        self.call(vec![], move |array| array.diff(a, b, offset, len)).await
    }

    /// [`Array::freeze`].
    pub async fn freeze(&self, volume: Uuid, snapshot: Uuid, label: Vec<u8>) -> Result<(), EngineError> {
        let ids = vec![volume, snapshot];
        self.call(ids, move |a| Box::pin(async move { a.freeze(volume, snapshot, &label).await })).await
    }

    /// [`Array::rebase_step`].
    pub async fn rebase_step(&self, id: Uuid, onto: Option<Uuid>, most: u64) -> Result<Rebased, EngineError> {
        self.call(vec![], move |array| array.rebase_step(id, onto, most)).await
    }

    /// [`Array::figures`].
    pub async fn figures(&self, id: Uuid) -> Result<Figures, EngineError> {
        self.call(vec![], move |array| array.figures(id)).await
    }

    /// [`Array::inventory`].
    pub async fn inventory(&self) -> Result<Vec<Found>, EngineError> {
        self.call(vec![], |a| Box::pin(async move { Ok(a.inventory()) })).await
    }

    /// [`Array::lookup`].
    pub async fn lookup(&self, id: Uuid) -> Result<Option<Found>, EngineError> {
        self.call(vec![], move |a| Box::pin(async move { Ok(a.lookup(id)) })).await
    }

    /// [`Array::space`].
    pub async fn space(&self) -> Result<Space, EngineError> {
        self.call(vec![], |a| Box::pin(async move { Ok(a.space()) })).await
    }

    /// [`Array::set_generation`].
    pub async fn set_generation(&self, generation: u64) -> Result<(), EngineError> {
        self.call(vec![], move |a| {
            a.set_generation(generation);
            Box::pin(async { Ok(()) })
        })
        .await
    }

    /// [`Array::fsck`].
    pub async fn fsck(&self, data: bool) -> Result<Vec<Violation>, EngineError> {
        self.call(vec![], move |a| a.fsck(data)).await
    }

    /// [`Array::close`]; afterwards no queue is opened any more, and every call answers
    /// [`EngineError::Closed`]. The disks themselves are let go of with the last open queue.
    pub async fn close(&self) -> Result<(), EngineError> {
        let key = self.0.key;
        self.call(vec![], move |a| {
            Box::pin(async move {
                let result = a.close().await;
                leave(key);
                a.wake_worker();
                result
            })
        })
        .await
    }
}
