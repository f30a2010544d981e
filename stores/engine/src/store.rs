//! A store as other threads see it: a handle that may be sent and shared, whose calls run on the engine's
//! home reactor and are answered by futures that need no particular runtime.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use parpen_base::Entropy;
use parpen_block::{Completion, Home, Request};
use uuid::Uuid;

use crate::cache::CACHE_BYTES;
use crate::device::{EngineDevice, LocalTask};
use crate::engine::Engine;
use crate::{Disk, EngineError, Format, Found, Kind, OpenError, Rules, Sound, Space, Violation};

/// Starts a task on the thread that calls it: `parpen_ring::spawn_local`, or a simulator's.
pub type Spawn = fn(LocalTask<'static, ()>);

/// An engine of any disk, on its thread.
pub(crate) trait Local {
    fn create<'a>(&'a self, id: Uuid, bytes: u64, from: Option<Uuid>, label: &'a [u8]) -> Verb<'a>;
    fn snapshot<'a>(&'a self, all: &'a [(Uuid, Uuid, Vec<u8>)]) -> Verb<'a>;
    fn resize(&self, volume: Uuid, bytes: u64) -> Verb<'_>;
    fn rollback(&self, volume: Uuid, snapshot: Uuid) -> Verb<'_>;
    fn delete(&self, id: Uuid) -> Verb<'_>;
    fn relabel<'a>(&'a self, id: Uuid, label: &'a [u8]) -> Verb<'a>;
    fn close(&self) -> Verb<'_>;
    fn fsck(&self, data: bool) -> LocalTask<'_, Result<Vec<Violation>, EngineError>>;
    fn inventory(&self) -> Vec<Found>;
    fn lookup(&self, id: Uuid) -> Option<Found>;
    fn space(&self) -> Space;
    fn set_generation(&self, generation: u64);
    fn set_cache(&self, bytes: usize);
    fn serve(&self, id: Uuid, r: Request) -> LocalTask<'_, Completion>;
}

type Verb<'a> = LocalTask<'a, Result<(), EngineError>>;

impl<D: Disk, R: Rules> Local for Engine<D, R> {
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
    fn fsck(&self, data: bool) -> LocalTask<'_, Result<Vec<Violation>, EngineError>> {
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
    fn set_cache(&self, bytes: usize) {
        self.set_cache(bytes);
    }
    fn serve(&self, id: Uuid, r: Request) -> LocalTask<'_, Completion> {
        Box::pin(self.serve(id, r))
    }
}

thread_local! {
    /// The engines of this thread, by the key of their store.
    static ENGINES: RefCell<BTreeMap<u64, Rc<dyn Local>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Keys are never used twice in one process.
static NEXT_KEY: AtomicU64 = AtomicU64::new(1);

/// The engine with this key, if it lives on this thread.
pub(crate) fn here(key: u64) -> Option<Rc<dyn Local>> {
    ENGINES.with_borrow(|all| all.get(&key).cloned())
}

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

/// A value that another thread will give. Resolves to `None` if that thread ends without giving it.
pub struct Answer<T>(Arc<Mutex<Slot<T>>>);

struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
    closed: bool,
}

/// The giving end; dropped without a value it says so.
struct Give<T>(Arc<Mutex<Slot<T>>>);

fn lock<T>(slot: &Mutex<Slot<T>>) -> MutexGuard<'_, Slot<T>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer<T>() -> (Give<T>, Answer<T>) {
    let slot = Arc::new(Mutex::new(Slot { value: None, waker: None, closed: false }));
    (Give(slot.clone()), Answer(slot))
}

impl<T> Give<T> {
    fn give(self, value: T) {
        lock(&self.0).value = Some(value);
    }
}

impl<T> Drop for Give<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = lock(&self.0);
            slot.closed = true;
            slot.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = lock(&self.0);
        if slot.closed {
            return Poll::Ready(slot.value.take());
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk itself could not be had.
    #[error(transparent)]
    File(#[from] crate::FileError),
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

/// A handle to an open engine, for any thread. Clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

impl Store {
    /// Opens the disk that `disk` gives, on `home`, where the engine lives until [`Store::close`].
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
                        Engine::<D, Sound>::format(&disk, format).await.map_err(StoreError::Format)?;
                    }
                    let engine = Engine::<D, Sound>::open_store(disk, entropy, store, CACHE_BYTES).await?;
                    Ok(Store::register(engine, at, spawn))
                };
                give.give(opened.await);
            }));
        }));
        take.await.unwrap_or(Err(StoreError::Ended))
    }

    fn register<D: Disk + 'static>(engine: Rc<Engine<D, Sound>>, home: Arc<dyn Home>, spawn: Spawn) -> Store {
        let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
        let (store, disk) = (engine.store_id(), engine.disk_id());
        let shared = Shared { key, home, spawn, seen: Mutex::default(), store, disk };
        engine.inventory().iter().for_each(|f| shared.learn(f.id, Some(f)));
        ENGINES.with_borrow_mut(|all| all.insert(key, engine));
        Store(Arc::new(shared))
    }

    /// Runs `f` with the engine on its thread; afterwards the named ids are looked at anew.
    async fn call<T: Send + 'static>(
        &self,
        ids: Vec<Uuid>,
        f: impl for<'a> FnOnce(&'a dyn Local) -> LocalTask<'a, Result<T, EngineError>> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (give, take) = answer();
        let shared = self.0.clone();
        self.0.home.run(Box::new(move || {
            let Some(engine) = here(shared.key) else { return };
            let spawn = shared.spawn;
            spawn(Box::pin(async move {
                let result = f(&*engine).await;
                ids.iter().for_each(|id| shared.learn(*id, engine.lookup(*id).as_ref()));
                give.give(result);
            }));
        }));
        take.await.unwrap_or(Err(EngineError::Closed))
    }

    /// The store that the disk belongs to.
    pub fn store_id(&self) -> Uuid {
        self.0.store
    }

    /// The disk's own id.
    pub fn disk_id(&self) -> Uuid {
        self.0.disk
    }

    /// A volume, or read-only a snapshot, as a block device.
    pub fn device(&self, id: Uuid) -> Result<Arc<EngineDevice>, EngineError> {
        self.0.seen(id).ok_or(EngineError::NotFound)?;
        Ok(Arc::new(EngineDevice { shared: self.0.clone(), id }))
    }

    /// [`Engine::create`].
    pub async fn create(
        &self,
        id: Uuid,
        bytes: u64,
        from: Option<Uuid>,
        label: Vec<u8>,
    ) -> Result<(), EngineError> {
        self.call(vec![id], move |e| Box::pin(async move { e.create(id, bytes, from, &label).await })).await
    }

    /// [`Engine::snapshot`].
    pub async fn snapshot(&self, all: Vec<(Uuid, Uuid, Vec<u8>)>) -> Result<(), EngineError> {
        let ids = all.iter().map(|(_, snapshot, _)| *snapshot).collect();
        self.call(ids, move |e| Box::pin(async move { e.snapshot(&all).await })).await
    }

    /// [`Engine::resize`].
    pub async fn resize(&self, volume: Uuid, bytes: u64) -> Result<(), EngineError> {
        self.call(vec![volume], move |e| e.resize(volume, bytes)).await
    }

    /// [`Engine::rollback`].
    pub async fn rollback(&self, volume: Uuid, snapshot: Uuid) -> Result<(), EngineError> {
        self.call(vec![volume], move |e| e.rollback(volume, snapshot)).await
    }

    /// [`Engine::delete`].
    pub async fn delete(&self, id: Uuid) -> Result<(), EngineError> {
        self.call(vec![id], move |e| e.delete(id)).await
    }

    /// [`Engine::relabel`].
    pub async fn relabel(&self, id: Uuid, label: Vec<u8>) -> Result<(), EngineError> {
        self.call(vec![], move |e| Box::pin(async move { e.relabel(id, &label).await })).await
    }

    /// [`Engine::inventory`].
    pub async fn inventory(&self) -> Result<Vec<Found>, EngineError> {
        self.call(vec![], |e| Box::pin(async move { Ok(e.inventory()) })).await
    }

    /// [`Engine::lookup`].
    pub async fn lookup(&self, id: Uuid) -> Result<Option<Found>, EngineError> {
        self.call(vec![], move |e| Box::pin(async move { Ok(e.lookup(id)) })).await
    }

    /// [`Engine::space`].
    pub async fn space(&self) -> Result<Space, EngineError> {
        self.call(vec![], |e| Box::pin(async move { Ok(e.space()) })).await
    }

    /// [`Engine::set_generation`].
    pub async fn set_generation(&self, generation: u64) -> Result<(), EngineError> {
        self.call(vec![], move |e| {
            e.set_generation(generation);
            Box::pin(async { Ok(()) })
        })
        .await
    }

    /// [`Engine::set_cache`].
    pub async fn set_cache(&self, bytes: usize) -> Result<(), EngineError> {
        self.call(vec![], move |e| {
            e.set_cache(bytes);
            Box::pin(async { Ok(()) })
        })
        .await
    }

    /// [`Engine::fsck`].
    pub async fn fsck(&self, data: bool) -> Result<Vec<Violation>, EngineError> {
        self.call(vec![], move |e| e.fsck(data)).await
    }

    /// [`Engine::close`]; afterwards no queue is opened any more, and every call answers
    /// [`EngineError::Closed`]. The disk itself is let go of with the last open queue.
    pub async fn close(&self) -> Result<(), EngineError> {
        let key = self.0.key;
        self.call(vec![], move |e| {
            Box::pin(async move {
                let result = e.close().await;
                ENGINES.with_borrow_mut(|all| all.remove(&key));
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
