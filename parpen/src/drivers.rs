//! Pools by driver: where their disks are and how their stores are made. The one place that knows the engine.

pub mod fsck;
mod lineage;
mod medium;
mod store;
mod witness;

use std::fs;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parpen_array::{
    About, ArrayError, DiskSource, Host, NewSource, NoWitness, OldSource, Opening, Store, StoreError, Witness,
};
use parpen_base::{Boxed, Entropy, GIB, MIB, TIB, format_size};
use parpen_block::Home;
use parpen_engine::{FileDisk, FileError, Format, Layout, OpenError, RamDisk};
use parpen_model::lifecycle::Life;
use parpen_model::ports::{Drivers, VolumeBackend};
use parpen_model::{Condition, Driver, Kind, Pool};
use parpen_ring::Handle;

use store::PoolStore;

/// Smallest disk, in bytes.
const SMALLEST: u64 = 64 * MIB;
/// Bounds of a pool whose size nobody said, in bytes.
const UNSAID: (u64, u64) = (8 * GIB, 16 * TIB);
/// With less free than this, in bytes, a file system counts as full: the service's own small files need room too.
const CRAMPED: u64 = 8 * MIB;
/// How often, and how long between, a disk that another process holds is tried again.
const LOCK_TRIES: usize = 25;
const LOCK_PAUSE: Duration = Duration::from_millis(200);
/// How much of a device's ends must be zeros before it is formatted.
const LOOKED_AT: usize = MIB as usize;
/// At how many places a device is looked at.
const LOOKS: u64 = 64;

/// Makes and opens engine stores on one reactor.
pub struct LocalDrivers {
    data: PathBuf,
    home: Arc<dyn Home>,
    entropy: Arc<dyn Entropy>,
    notes: Mutex<Vec<String>>,
}

fn refused(why: impl ToString) -> Condition {
    Condition::Unavailable(why.to_string())
}

impl LocalDrivers {
    /// Below a data directory.
    pub fn new(data: PathBuf, reactor: Handle, entropy: Arc<dyn Entropy>) -> LocalDrivers {
        LocalDrivers { data, home: Arc::new(reactor), entropy, notes: Mutex::default() }
    }

    /// What people should know of the disks, for the start table.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, text: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn path(&self, pool: &Pool) -> Result<PathBuf, Condition> {
        let disk = pool.disks.first().ok_or_else(|| Condition::internal("a local pool without a disk"))?;
        Ok(self.data.join(&disk.path))
    }

    async fn open_local(&self, pool: &Pool) -> Result<Store, Condition> {
        let path = self.path(pool)?;
        let new = pool.life == Life::Creating;
        match fs::symlink_metadata(&path) {
            Ok(_) => match self.open_in_need(pool, &path).await {
                Err(StoreError::Open(ArrayError::Open(OpenError::NotOurs))) if new => {
                    self.claim(pool, path).await
                }
                opened => opened.map_err(|e| refused(format!("{}: {e}", path.display()))),
            },
            Err(e) if e.kind() == ErrorKind::NotFound && new => self.make_file(pool, path).await,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Err(Condition::not_found(Kind::Disk, path.display()))
            }
            Err(e) => Err(refused(format!("{}: {e}", path.display()))),
        }
    }

    /// A file system that is full at the start has no room for recovery or anything: the ballast is thrown then. What lies beside a
    /// disk that somebody named is not ours, so such a disk has none.
    async fn open_in_need(&self, pool: &Pool, path: &Path) -> Result<Store, StoreError> {
        if !is_own(pool) {
            return self.open_patiently(pool, path).await;
        }
        let ballast = path.with_extension("ballast");
        let full = free_bytes(path).is_ok_and(|free| free < CRAMPED);
        if full && fs::remove_file(&ballast).is_ok() {
            self.note(format!(
                "pool {:?}: its file system is full; the ballast was thrown to work on it",
                pool.name
            ));
        }
        let opened = match self.open_patiently(pool, path).await {
            Err(StoreError::Open(ArrayError::Open(OpenError::NoSpace)))
                if fs::remove_file(&ballast).is_ok() =>
            {
                self.note(format!(
                    "pool {:?}: its file system is full; the ballast was thrown to open it",
                    pool.name
                ));
                self.open_patiently(pool, path).await
            }
            opened => opened,
        };
        if opened.is_ok() && !full && !ballast.exists() && take_ballast(&ballast, pool.capacity).is_err() {
            // Half a ballast only takes room from others.
            let _ = fs::remove_file(&ballast);
            self.note(format!("pool {:?}: there is no room for its ballast; free some space", pool.name));
        }
        opened
    }

    /// A process that was killed may hold its disk a moment longer than it lives.
    async fn open_patiently(&self, pool: &Pool, path: &Path) -> Result<Store, StoreError> {
        for _ in 0..LOCK_TRIES {
            match self.open_disk(pool, path.to_path_buf()).await {
                Err(StoreError::File(FileError::Locked(_))) => tokio::time::sleep(LOCK_PAUSE).await,
                opened => return opened,
            }
        }
        self.open_disk(pool, path.to_path_buf()).await
    }

    async fn open_disk(&self, pool: &Pool, path: PathBuf) -> Result<Store, StoreError> {
        let (home, entropy) = (self.home.clone(), self.entropy.clone());
        let at = path.clone();
        let (tell, told) = std::sync::mpsc::channel();
        let disk = move || {
            let disk = FileDisk::open(&at)?;
            // The receiver lives until the store is open.
            let _ = tell.send(disk.is_direct());
            Ok(disk)
        };
        let number = pool.disks.first().map_or(1, |d| d.number);
        let disks: Vec<OldSource<FileDisk>> = vec![OldSource { number, disk: Box::new(disk) }];
        let witness = witness::of_pool(&self.data, pool.id.0);
        let how = Opening { store: Some(pool.id.0), ..Opening::default() };
        let store = Store::open(home, Host::ring(), entropy, disks, witness, how).await?;
        if told.recv() == Ok(false) {
            self.note(format!(
                "pool {:?}: {} refuses direct I/O; the page cache is used",
                pool.name,
                path.display()
            ));
        }
        Ok(store)
    }

    fn format_of(&self, pool: &Pool, bytes: u64) -> Format {
        Format { store: pool.id.0, disk: self.entropy.uuid(), layout: Layout::product(bytes) }
    }

    async fn format(
        &self,
        pool: &Pool,
        format: Format,
        disk: DiskSource<FileDisk>,
    ) -> Result<Store, Condition> {
        let place = pool.disks.first();
        let about = About {
            ssd: place.is_none_or(|d| d.ssd),
            description: place.map(|d| d.description.clone()).unwrap_or_default(),
        };
        let new = NewSource { number: place.map_or(1, |d| d.number), disk, format, about };
        let (home, entropy) = (self.home.clone(), self.entropy.clone());
        let witness = witness::of_pool(&self.data, pool.id.0);
        Store::format(home, Host::ring(), entropy, vec![new], witness).await.map_err(refused)
    }

    /// A new sparse file: made under another name, so that a crash never leaves half a disk under this one.
    async fn make_file(&self, pool: &Pool, path: PathBuf) -> Result<Store, Condition> {
        let parent = path.parent().ok_or_else(|| Condition::invalid("path", "it names no file"))?;
        let failed = |e: std::io::Error| refused(format!("{}: {e}", path.display()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
        let mut unfinished = path.clone().into_os_string();
        // Below a path that somebody named, even this name may be somebody's: then it is one that nobody has.
        let own = is_own(pool);
        let suffix = if own { String::new() } else { format!("-{}", self.entropy.uuid()) };
        unfinished.push(format!(".unfinished{suffix}"));
        let unfinished = PathBuf::from(unfinished);
        match fs::remove_file(&unfinished) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
        }
        FileDisk::create(&unfinished, pool.capacity).map_err(refused)?;
        let at = unfinished.clone();
        let disk = Box::new(move || Ok(FileDisk::open(&at)?));
        let made = self.format(pool, self.format_of(pool, pool.capacity), disk).await?;
        made.close().await.map_err(refused)?;
        fs::rename(&unfinished, &path).map_err(failed)?;
        fs::File::open(parent).and_then(|d| d.sync_all()).map_err(failed)?;
        self.open_in_need(pool, &path).await.map_err(refused)
    }

    /// A file or device that somebody named for a new pool: formatted only when it is blank.
    async fn claim(&self, pool: &Pool, path: PathBuf) -> Result<Store, Condition> {
        let size = blank(&path)?;
        if size < SMALLEST {
            let text =
                format!("{} is too small: a disk has at least {}", path.display(), format_size(SMALLEST));
            return Err(Condition::invalid("path", text));
        }
        let disk = Box::new(move || Ok(FileDisk::open(&path)?));
        self.format(pool, self.format_of(pool, size), disk).await
    }

    async fn open_memory(&self, pool: &Pool) -> Result<Store, Condition> {
        let (home, entropy, bytes) = (self.home.clone(), self.entropy.clone(), pool.capacity);
        let format = Format { layout: Layout::memory(bytes), ..self.format_of(pool, bytes) };
        let disk: DiskSource<RamDisk> = Box::new(move || Ok(RamDisk::new(bytes)));
        let new = NewSource { number: 1, disk, format, about: About::default() };
        // Nothing of it outlives the process, so nobody needs to remember it.
        let nobody = Box::new(|| -> Rc<dyn Witness> { Rc::new(NoWitness) });
        Store::format(home, Host::ring(), entropy, vec![new], nobody).await.map_err(refused)
    }
}

/// The disk of a pool for which nobody named one, below the data directory.
fn own_path(pool: &str, number: Option<u16>) -> String {
    match number {
        None => format!("pools/{pool}.disk"),
        Some(n) => format!("pools/{pool}-{n}.disk"),
    }
}

/// Whether the pool's disk was named by us.
fn is_own(pool: &Pool) -> bool {
    pool.disks.first().is_some_and(|d| d.path == own_path(&pool.name, None))
}

/// Room on the file system that is kept back for recovery: 1/64 of the pool, 4 to 64 MiB.
fn take_ballast(path: &Path, capacity: u64) -> std::io::Result<()> {
    let bytes = (capacity / 64).clamp(4 * MIB, 64 * MIB);
    let file = fs::File::create(path)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
    file.sync_all()
}

/// The size of a file or device in bytes, if both its ends are zeros.
fn blank(path: &Path) -> Result<u64, Condition> {
    let look = || -> std::io::Result<(u64, bool)> {
        let mut f = fs::File::open(path)?;
        let size = f.seek(SeekFrom::End(0))?;
        // A file tells where it has data; of a device many places are looked at, the ends among them.
        let mut clean = match f.metadata()?.is_file() {
            true => {
                matches!(rustix::fs::seek(&f, rustix::fs::SeekFrom::Data(0)), Err(rustix::io::Errno::NXIO))
            }
            false => true,
        };
        let last = size.saturating_sub(LOOKED_AT as u64);
        for at in (0..=LOOKS).map(|i| last / LOOKS * i).chain([last]) {
            f.seek(SeekFrom::Start(at))?;
            let mut piece = Vec::with_capacity(LOOKED_AT);
            f.by_ref().take(LOOKED_AT as u64).read_to_end(&mut piece)?;
            clean &= piece.iter().all(|b| *b == 0);
        }
        Ok((size, clean))
    };
    match look() {
        Ok((size, true)) => Ok(size),
        Ok((_, false)) => Err(Condition::invalid(
            "path",
            format!(
                "{} holds something that is no parpen disk; wipe it first if it is not needed",
                path.display()
            ),
        )),
        Err(e) => Err(refused(format!("{}: {e}", path.display()))),
    }
}

/// What the file system at or above `path` has free, in bytes.
fn free_bytes(path: &Path) -> Result<u64, Condition> {
    let there = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    let stat = rustix::fs::statvfs(there).map_err(|e| refused(format!("{}: {e}", there.display())))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Half of the machine's memory.
fn half_of_memory() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit)) / 2
}

impl Drivers for LocalDrivers {
    fn open<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Arc<dyn VolumeBackend>, Condition>> {
        Box::pin(async move {
            let store = match pool.driver {
                Driver::Local => self.open_local(pool).await?,
                Driver::Memory => self.open_memory(pool).await?,
            };
            if let Some(text) = self.remark(pool) {
                self.note(format!("pool {:?}: {text}", pool.name));
            }
            let path = pool.disks.first().map(|d| self.data.join(&d.path));
            let store: Arc<dyn VolumeBackend> = Arc::new(PoolStore::new(store, pool.clone(), path));
            Ok(store)
        })
    }

    fn destroy<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async move {
            if pool.driver == Driver::Memory {
                return Ok(());
            }
            let path = self.path(pool)?;
            // Only the file that was named by us is ours to remove; a disk that somebody named stays with its bytes.
            if !is_own(pool) {
                return Ok(());
            }
            // These may never have been made.
            let _ = fs::remove_file(path.with_extension("ballast"));
            let _ = fs::remove_file(witness::path_of(&self.data, pool.id.0));
            match fs::remove_file(&path) {
                Ok(()) => Ok(()),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
                Err(e) => Err(refused(format!("{}: {e}", path.display()))),
            }
        })
    }

    fn default_path(&self, pool: &str, number: Option<u16>) -> String {
        own_path(pool, number)
    }

    fn is_ssd(&self, path: &str) -> bool {
        medium::is_ssd(&self.data.join(path))
    }

    fn remark(&self, pool: &Pool) -> Option<String> {
        let below: Vec<_> = pool.disks.iter().map(|d| medium::device_of(&self.data.join(&d.path))).collect();
        let (first, rest) = below.split_first()?;
        let one = !rest.is_empty() && rest.iter().all(|d| d == first);
        one.then(|| {
            "its disks are on one physical disk: replicas there survive a damaged file, not a failed disk"
                .into()
        })
    }

    fn capacity_for(
        &self,
        driver: Driver,
        path: Option<&str>,
        asked: Option<u64>,
        sharers: u64,
    ) -> Result<u64, Condition> {
        let path = path.map(|p| self.data.join(p));
        let device = path.as_ref().filter(|p| fs::metadata(p).is_ok_and(|m| m.file_type().is_block_device()));
        let bytes = match (driver, asked, device, &path) {
            (_, _, Some(device), _) => device_size(device)?,
            (_, Some(asked), None, _) => asked,
            (Driver::Local, None, None, Some(path)) => {
                (free_bytes(path)? / 10 * 9).clamp(UNSAID.0, UNSAID.1) / sharers.max(1)
            }
            (Driver::Local, None, None, None) => {
                return Err(Condition::internal("a local pool without a path"));
            }
            (Driver::Memory, None, None, _) => half_of_memory(),
        };
        if !(SMALLEST..=1 << 50).contains(&bytes) {
            return Err(Condition::invalid("capacity", "a pool has 64 MiB to 1 PiB"));
        }
        Ok(bytes)
    }
}

fn device_size(device: &Path) -> Result<u64, Condition> {
    let end = fs::File::open(device).and_then(|mut f| f.seek(SeekFrom::End(0)));
    end.map_err(|e| refused(format!("{}: {e}", device.display())))
}
