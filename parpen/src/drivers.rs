//! Pools by driver: where their disks are and how their stores are made. The one place that knows the engine.

mod claims;
mod files;
pub mod fsck;
mod join;
mod lineage;
mod media;
mod medium;
mod objects;
mod open;
pub mod rebuild;
mod store;
mod which;
mod witness;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use parpen_array::{About, DiskSource, Host, NewSource, NoWitness, Store, Witness};
use parpen_base::{Boxed, Entropy};
use parpen_block::Home;
use parpen_engine::{Format, Layout, RamDisk};
use parpen_model::ports::{Drivers, VolumeBackend};
use parpen_model::{Condition, DiskPlace, Driver, Pool};
use parpen_ring::Handle;

use claims::Claim;
use store::PoolStore;

/// Makes and opens engine stores, on reactors in turn. Clones are the same.
#[derive(Clone)]
pub struct LocalDrivers {
    data: PathBuf,
    homes: Arc<Homes>,
    entropy: Arc<dyn Entropy>,
    notes: Arc<Mutex<Vec<String>>>,
    claims: Arc<claims::Claims>,
    /// Memory for the maps of each disk, where it was set.
    map_cache: Option<usize>,
    missing: Missing,
}

/// Which disks may be missing when a pool is opened.
#[derive(Clone, Copy)]
pub(crate) enum Missing {
    /// Those without which the others went on.
    Older,
    /// None: nobody knows which of them are the newest.
    None,
    /// Any: what only they have is given up.
    Any,
}

/// The reactors on which pools live.
struct Homes {
    all: Vec<Handle>,
    turn: AtomicUsize,
}

impl Homes {
    /// Any of them, for something short.
    fn any(&self) -> Arc<dyn Home> {
        Arc::new(self.all[0].clone())
    }

    /// The one whose turn it is.
    fn next(&self) -> Arc<dyn Home> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        Arc::new(self.all[turn % self.all.len()].clone())
    }
}

fn refused(why: impl ToString) -> Condition {
    Condition::Unavailable(why.to_string())
}

impl LocalDrivers {
    /// Below a data directory, on these reactors, of which there is at least one.
    pub fn new(data: PathBuf, reactors: Vec<Handle>, entropy: Arc<dyn Entropy>) -> LocalDrivers {
        let (notes, claims) = (Arc::default(), Arc::default());
        let homes = Arc::new(Homes { all: reactors, turn: AtomicUsize::new(0) });
        LocalDrivers { data, homes, entropy, notes, claims, map_cache: None, missing: Missing::Older }
    }

    /// The same, with pools opened also, or only, if these disks are missing.
    pub(crate) fn despite(mut self, missing: Missing) -> LocalDrivers {
        self.missing = missing;
        self
    }

    /// Sets how many bytes of the maps of each disk stay in memory.
    pub fn with_map_cache(self, bytes: Option<usize>) -> LocalDrivers {
        LocalDrivers { map_cache: bytes, ..self }
    }

    /// What people should know of the disks, for the start table.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, text: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// Notes what a pool's files may take of their file systems.
    fn claim(&self, pool: &Pool) {
        let claim = |d: &DiskPlace| Claim { path: self.at(d), capacity: d.capacity };
        self.claims.note(pool.id.0, &pool.name, pool.disks.iter().map(claim).collect());
    }

    async fn open_memory(&self, pool: &Pool) -> Result<Store, Condition> {
        let (home, entropy, bytes) = (self.homes.next(), self.entropy.clone(), pool.capacity);
        let format = Format { layout: Layout::memory(bytes), ..self.format_of(pool, bytes) };
        let disk: DiskSource<RamDisk> = Box::new(move || Ok(RamDisk::new(bytes)));
        let new = NewSource { number: 1, disk, format, about: About::default() };
        // Nothing of it outlives the process, so nobody needs to remember it.
        let nobody = Box::new(|| -> Rc<dyn Witness> { Rc::new(NoWitness) });
        Store::format(home, Host::ring(), entropy, vec![new], nobody).await.map_err(refused)
    }
}

/// Half of the machine's memory.
fn half_of_memory() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit)) / 2
}

impl Drivers for LocalDrivers {
    fn open<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Arc<dyn VolumeBackend>, Condition>> {
        Box::pin(async move {
            let (store, pool) = match pool.driver {
                Driver::Local => self.open_local(pool).await?,
                Driver::Memory => (self.open_memory(pool).await?, pool.clone()),
            };
            if let Some(text) = self.remark(&pool) {
                self.note(format!("pool {:?}: {text}", pool.name));
            }
            let store = PoolStore::new(store, &pool, self.clone());
            store.tell_groups().await?;
            store.set_upkeep(pool.upkeep).await?;
            let store: Arc<dyn VolumeBackend> = Arc::new(store);
            Ok(store)
        })
    }

    fn destroy<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async move {
            if pool.driver == Driver::Memory {
                return Ok(());
            }
            // These may never have been made.
            self.claims.forget(pool.id.0);
            files::remove(&self.ballast(pool))?;
            files::remove(&witness::path_of(&self.data, pool.id.0))?;
            // Only files that were named by us are ours to remove; a disk that somebody named stays with its bytes.
            let mut own = pool.disks.iter().filter(|d| files::is_own(pool, d));
            own.try_for_each(|d| files::remove(&self.at(d)))
        })
    }

    fn default_path(&self, pool: &str, number: Option<u16>) -> String {
        files::own_path(pool, number)
    }

    fn is_ssd(&self, path: &str) -> bool {
        medium::is_ssd(&self.data.join(path))
    }

    fn remark(&self, pool: &Pool) -> Option<String> {
        let below: Vec<_> = pool.disks.iter().map(|d| medium::device_of(&self.at(d))).collect();
        let (first, rest) = below.split_first()?;
        let one = !rest.is_empty() && rest.iter().all(|d| d == first);
        let one = one.then(|| {
            "its disks are on one physical disk: replicas there survive a damaged file, not a failed disk"
                .to_string()
        });
        // The row may have got a disk since the pool was opened.
        self.claim(pool);
        let all: Vec<String> = one.into_iter().chain(self.claims.remark(pool.id.0)).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    fn capacity_for(
        &self,
        driver: Driver,
        path: Option<&str>,
        asked: Option<u64>,
        sharers: u64,
    ) -> Result<u64, Condition> {
        let bytes = match (driver, path) {
            (Driver::Local, Some(path)) => files::capacity(&self.data.join(path), asked, sharers)?,
            (Driver::Local, None) => return Err(Condition::internal("a local pool without a path")),
            (Driver::Memory, _) => asked.unwrap_or_else(half_of_memory),
        };
        if !(files::SMALLEST..=1 << 50).contains(&bytes) {
            return Err(Condition::invalid("capacity", "a disk has 64 MiB to 1 PiB"));
        }
        Ok(bytes)
    }
}
