//! A store as other threads see it: a handle that may be sent and shared, whose calls run on the array's
//! home reactor and are answered by futures that need no particular runtime.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parpen_base::Entropy;
use parpen_block::Home;
use parpen_engine::{Change, Disk, EngineError, Format, Found, Kind, OpenError, Sound, Space, Violation};
use uuid::Uuid;

use crate::Array;
use crate::answer::answer;
use crate::device::StoreDevice;
use crate::local::{Local, LocalTask, arrive, here, leave};

/// Starts a task on the thread that calls it: `parpen_ring::spawn_local`, or a simulator's.
pub type Spawn = fn(LocalTask<'static, ()>);

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
    /// The disk's content.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It could not be formatted.
    #[error("the disk cannot be formatted: {0}")]
    Format(EngineError),
    /// The reactor that was to be its home has ended.
    #[error("the reactor of the store has ended")]
    Ended,
}

/// A handle to an open array, for any thread. Clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

impl Store {
    /// Opens the disk that `disk` gives, on `home`, where the array lives until [`Store::close`].
    pub async fn open<D: Disk + 'static>(
        home: Arc<dyn Home>,
        spawn: Spawn,
        entropy: Arc<dyn Entropy>,
        store: Option<Uuid>,
        disk: impl FnOnce() -> Result<D, StoreError> + Send + 'static,
    ) -> Result<Store, StoreError> {
        Store::start(home, spawn, entropy, store, None, disk).await
    }

    /// Formats the disk that `disk` gives, whatever was on it, and opens it.
    pub async fn format<D: Disk + 'static>(
        home: Arc<dyn Home>,
        spawn: Spawn,
        entropy: Arc<dyn Entropy>,
        format: Format,
        disk: impl FnOnce() -> Result<D, StoreError> + Send + 'static,
    ) -> Result<Store, StoreError> {
        Store::start(home, spawn, entropy, None, Some(format), disk).await
    }

    async fn start<D: Disk + 'static>(
        home: Arc<dyn Home>,
        spawn: Spawn,
        entropy: Arc<dyn Entropy>,
        store: Option<Uuid>,
        format: Option<Format>,
        disk: impl FnOnce() -> Result<D, StoreError> + Send + 'static,
    ) -> Result<Store, StoreError> {
        let (give, take) = answer();
        let at = home.clone();
        home.run(Box::new(move || {
            spawn(Box::pin(async move {
                let opened = async {
                    let disk = disk()?;
                    if let Some(format) = format {
                        Array::<D, Sound>::format(&disk, format).await.map_err(StoreError::Format)?;
                    }
                    let array = Array::<D, Sound>::open(disk, entropy, store).await?;
                    Ok(Store::register(array, at, spawn))
                };
                give.give(opened.await);
            }));
        }));
        take.await.unwrap_or(Err(StoreError::Ended))
    }

    fn register<D: Disk + 'static>(array: Rc<Array<D, Sound>>, home: Arc<dyn Home>, spawn: Spawn) -> Store {
        let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
        let (store, disk) = (array.store_id(), array.disk_id());
        let shared = Shared { key, home, spawn, seen: Mutex::default(), store, disk };
        array.inventory().iter().for_each(|f| shared.learn(f.id, Some(f)));
        arrive(key, array);
        Store(Arc::new(shared))
    }

    /// Runs `f` with the array on its thread; afterwards the named ids are looked at anew.
    async fn call<T: Send + 'static>(
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
                result
            })
        })
        .await
    }
}

/// Starts a task on the reactor of this thread.
pub fn ring_spawn(task: LocalTask<'static, ()>) {
    parpen_ring::spawn_local(task);
}
