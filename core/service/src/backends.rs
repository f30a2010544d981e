//! The open stores of all pools.

use std::collections::HashMap;
use std::sync::Arc;

use parpen_base::Boxed;
use parpen_model::ports::{Drivers, VolumeBackend};
use parpen_model::{Condition, Disk, Driver, Found, Label, Pool, PoolId, Space};
use tokio::sync::Mutex;

use crate::Figures;

/// Pool -> store, opened at first need.
pub struct Backends {
    drivers: Arc<dyn Drivers>,
    open: Mutex<HashMap<PoolId, Arc<dyn VolumeBackend>>>,
}

impl Backends {
    /// No store open yet.
    pub fn new(drivers: Arc<dyn Drivers>) -> Backends {
        Backends { drivers, open: Mutex::new(HashMap::new()) }
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

    /// Closes a pool's store and removes its files.
    pub async fn destroy(&self, pool: &Pool) -> Result<(), Condition> {
        self.open.lock().await.remove(&pool.id);
        self.drivers.destroy(pool).await
    }
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
    fn inventory<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Vec<Found>, Condition>> {
        Box::pin(async move { self.of(pool).await?.inventory().await })
    }
    fn capacity_for(&self, driver: Driver, path: Option<&str>, asked: Option<u64>) -> Result<u64, Condition> {
        self.drivers.capacity_for(driver, path, asked)
    }
    fn relabel(&self, pool: PoolId, label: Label) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move {
            let store = self.open.lock().await.get(&pool).cloned();
            match store {
                Some(b) => b.relabel(&[label]).await,
                None => Err(Condition::Unavailable("the pool is not open".into())),
            }
        })
    }
}
