//! The open stores of all pools.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as Short, PoisonError, Weak};

use parpen_base::Boxed;
use parpen_block::{BlockDevice, Route, SectorCipher, Turns, WeakRoute};
use parpen_model::ports::{Change, Drivers, Figures as Cost, KeyManager, VolumeBackend};
use parpen_model::{
    BalancePlan, Condition, DataKey, Disk, Driver, Found, HeldObject, KeyId, Kind, Label, Pool, PoolHealth,
    PoolId, Space, Subject, Survey, Task, VolumeId, Whereabouts,
};
use tokio::sync::Mutex;

use crate::Figures;

/// Pool -> store, opened at first need.
pub struct Backends {
    drivers: Arc<dyn Drivers>,
    open: Mutex<HashMap<PoolId, Arc<dyn VolumeBackend>>>,
    /// The routes of volumes that somebody has open.
    routes: Short<HashMap<VolumeId, WeakRoute>>,
    keys: Arc<dyn KeyManager>,
    /// Ciphers that somebody uses.
    ciphers: Short<HashMap<KeyId, Weak<dyn SectorCipher>>>,
    /// Who may change what is encrypted, by volume or snapshot.
    turns: Short<HashMap<Subject, Turns>>,
}

impl Backends {
    /// No store open yet.
    pub fn new(drivers: Arc<dyn Drivers>, keys: Arc<dyn KeyManager>) -> Backends {
        Backends {
            drivers,
            open: Mutex::new(HashMap::new()),
            routes: Short::default(),
            keys,
            ciphers: Short::default(),
            turns: Short::default(),
        }
    }

    /// The store of a pool that is open.
    pub(crate) async fn opened(&self, pool: PoolId) -> Option<Arc<dyn VolumeBackend>> {
        self.open.lock().await.get(&pool).cloned()
    }

    /// The store of a pool, opened (and made) if it is not yet.
    pub async fn of(&self, pool: &Pool) -> Result<Arc<dyn VolumeBackend>, Condition> {
        let mut open = self.open.lock().await;
        if let Some(b) = open.get(&pool.id) {
            return Ok(b.clone());
        }
        let b = self.drivers.open(pool).await?;
        open.insert(pool.id, b.clone());
        Ok(b)
    }

    /// The route that all sessions of a volume share; a new one leads to `device`.
    pub(crate) fn route(&self, volume: VolumeId, device: Arc<dyn BlockDevice>) -> Route {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = routes.get(&volume).and_then(WeakRoute::get) {
            return route;
        }
        routes.retain(|_, route| route.get().is_some());
        let route = Route::new(device);
        routes.insert(volume, route.downgrade());
        route
    }

    /// The cipher of a key.
    pub(crate) async fn cipher(&self, key: &DataKey) -> Result<Arc<dyn SectorCipher>, Condition> {
        let lock = || self.ciphers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(&key.id).and_then(Weak::upgrade);
        if let Some(cipher) = known {
            return Ok(cipher);
        }
        let cipher = self.keys.open(key).await?;
        let mut ciphers = lock();
        ciphers.retain(|_, c| c.strong_count() > 0);
        ciphers.insert(key.id, Arc::downgrade(&cipher));
        Ok(cipher)
    }

    /// The turns that all sessions of what is encrypted share.
    pub(crate) fn turns(&self, of: Subject) -> Turns {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, t| t.is_used());
        turns.entry(of).or_default().clone()
    }

    /// Tells every open store the configuration generation.
    pub(crate) async fn at_generation(&self, generation: u64) {
        for b in self.open.lock().await.values() {
            // Only the note beside later writes is at stake; a store that is down says so to its own callers.
            if let Err(e) = b.at_generation(generation).await {
                tracing::debug!(error = ?e, "a store did not hear of the generation");
            }
        }
    }

    /// Closes every store in order.
    pub async fn close(&self) {
        for (pool, b) in self.open.lock().await.drain() {
            if let Err(e) = b.close().await {
                tracing::error!(%pool, error = ?e, "a store did not close in order; the next start recovers it");
            }
        }
    }

    /// Closes a pool's store and removes its files, after a look that it really holds nothing.
    pub async fn destroy(&self, pool: &Pool) -> Result<(), Condition> {
        match self.of(pool).await {
            Ok(store) => {
                // The rows may be older than the disk: what it holds is somebody's, whatever they say.
                let held = store.inventory().await?.len();
                if held > 0 {
                    let by = vec![format!(
                        "{held} volumes or snapshots on its disk that the database does not know"
                    )];
                    return Err(Condition::in_use(Kind::Pool, &pool.name, by));
                }
                self.open.lock().await.remove(&pool.id);
                store.close().await?;
            }
            Err(Condition::NotFound { .. }) => return Ok(()),
            Err(e) => return Err(e),
        }
        self.drivers.destroy(pool).await
    }
}

/// What is said of a pool whose store knows no lineages.
pub(crate) fn cannot(pool: &Pool) -> Condition {
    Condition::Unsupported(format!("the store of pool {:?} does not know what its volumes share", pool.name))
}

impl Figures for Backends {
    fn space<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Space, Condition>> {
        Box::pin(async move { self.of(pool).await?.space().await })
    }
    fn disks<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Vec<Disk>, Condition>> {
        Box::pin(async move {
            match self.of(pool).await?.media() {
                Some(m) => m.disks().await,
                None => Ok(Vec::new()),
            }
        })
    }
    fn health<'a>(
        &'a self,
        pool: &'a Pool,
        left_out: &'a [u16],
    ) -> Boxed<'a, Result<Option<PoolHealth>, Condition>> {
        Box::pin(async move {
            match self.of(pool).await?.media() {
                Some(m) => m.health(left_out).await.map(Some),
                None => Ok(None),
            }
        })
    }
    fn survey<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Option<Survey>, Condition>> {
        Box::pin(async move {
            match self.of(pool).await?.media() {
                Some(m) => m.survey().await.map(Some),
                None => Ok(None),
            }
        })
    }
    fn whereabouts<'a>(
        &'a self,
        pool: &'a Pool,
        what: Subject,
        piece: (u64, u64),
    ) -> Boxed<'a, Result<Option<Whereabouts>, Condition>> {
        Box::pin(async move {
            match self.of(pool).await?.media() {
                Some(m) => m.whereabouts(what, piece).await.map(Some),
                None => Ok(None),
            }
        })
    }
    fn holds<'a>(
        &'a self,
        pool: &'a Pool,
        disk: u16,
        piece: ((u64, u64), u64),
    ) -> Boxed<'a, Result<Vec<HeldObject>, Condition>> {
        Box::pin(async move {
            match self.of(pool).await?.media() {
                Some(m) => m.holds(disk, piece).await,
                None => Ok(Vec::new()),
            }
        })
    }
    fn knows<'a>(&'a self, pool: &'a Pool, path: &'a str) -> Boxed<'a, Result<Option<u16>, Condition>> {
        Box::pin(async move {
            match self.of(pool).await?.media() {
                Some(m) => m.knows(path).await,
                None => Ok(None),
            }
        })
    }
    fn tasks<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Vec<Task>, Condition>> {
        Box::pin(async move {
            match self.of(pool).await?.media() {
                Some(m) => m.tasks().await,
                None => Ok(Vec::new()),
            }
        })
    }
    fn balance<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<BalancePlan, Condition>> {
        Box::pin(async move {
            match self.of(pool).await?.media() {
                Some(m) => m.balance().await,
                None => Err(Condition::Unsupported(format!("pool {:?} has no disks of its own", pool.name))),
            }
        })
    }
    fn planned<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Option<BalancePlan>, Condition>> {
        Box::pin(async move {
            match self.of(pool).await?.media() {
                Some(m) => m.planned().await,
                None => Ok(None),
            }
        })
    }
    fn inventory<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Vec<Found>, Condition>> {
        Box::pin(async move { self.of(pool).await?.inventory().await })
    }
    fn cost<'a>(&'a self, pool: &'a Pool, what: Subject) -> Boxed<'a, Result<Option<Cost>, Condition>> {
        Box::pin(async move {
            match self.of(pool).await?.lineage() {
                Some(l) => l.figures(what).await.map(Some),
                None => Ok(None),
            }
        })
    }
    fn diff<'a>(
        &'a self,
        pool: &'a Pool,
        from: Option<Subject>,
        to: Subject,
        (offset, len): (u64, u64),
    ) -> Boxed<'a, Result<Vec<Change>, Condition>> {
        Box::pin(async move {
            match self.of(pool).await?.lineage() {
                Some(l) => l.diff(from, to, offset, len).await,
                None => Err(cannot(pool)),
            }
        })
    }
    fn default_path(&self, pool: &str, number: Option<u16>) -> String {
        self.drivers.default_path(pool, number)
    }
    fn capacity_for(
        &self,
        driver: Driver,
        path: Option<&str>,
        asked: Option<u64>,
        sharers: u64,
    ) -> Result<u64, Condition> {
        self.drivers.capacity_for(driver, path, asked, sharers)
    }
    fn is_ssd(&self, path: &str) -> bool {
        self.drivers.is_ssd(path)
    }
    fn remark(&self, pool: &Pool) -> Option<String> {
        self.drivers.remark(pool)
    }
    fn relabel(&self, pool: PoolId, label: Label) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move {
            match self.opened(pool).await {
                Some(b) => b.relabel(&[label]).await,
                None => Err(Condition::Unavailable("the pool is not open".into())),
            }
        })
    }
}
