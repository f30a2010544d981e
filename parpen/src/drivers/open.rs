//! Opening and making the stores of local pools.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use parpen_array::{About, ArrayError, DiskSource, Host, NewSource, OldSource, Opening, Store, StoreError};
use parpen_engine::{FileDisk, Format, Layout, OpenError, identify};
use parpen_model::lifecycle::Life;
use parpen_model::{Condition, DiskPlace, Kind, Pool};
use uuid::Uuid;

use super::{LocalDrivers, files, refused, witness};

/// With less free than this, in bytes, a file system counts as full: the service's own small files need room too.
const CRAMPED: u64 = 8 * parpen_base::MIB;

fn with_cache(disk: FileDisk, bytes: Option<usize>) -> FileDisk {
    match bytes {
        Some(bytes) => disk.with_map_cache(bytes),
        None => disk,
    }
}

fn about(place: &DiskPlace) -> About {
    About { ssd: place.ssd, description: place.description.clone() }
}

impl LocalDrivers {
    fn source(&self, path: PathBuf) -> DiskSource<FileDisk> {
        let cache = self.map_cache;
        Box::new(move || Ok(with_cache(FileDisk::open(&path)?, cache)))
    }

    pub(super) fn at(&self, place: &DiskPlace) -> PathBuf {
        self.data.join(&place.path)
    }

    pub(super) async fn open_local(&self, pool: &Pool) -> Result<Store, Condition> {
        if pool.life == Life::Creating && !self.is_made(pool).await? {
            return self.make(pool).await;
        }
        let there = |d: &&DiskPlace| fs::symlink_metadata(self.at(d)).is_ok();
        match pool.disks.first() {
            Some(first) if !pool.disks.iter().any(|d| there(&d)) => {
                Err(Condition::not_found(Kind::Disk, self.at(first).display()))
            }
            _ => self.open_in_need(pool).await.map_err(|e| self.say(pool, e)),
        }
    }

    fn say(&self, pool: &Pool, e: StoreError) -> Condition {
        match (&pool.disks[..], &e) {
            // It names its path itself.
            (_, StoreError::File(_)) | ([], _) => refused(e),
            ([one], _) => refused(format!("{}: {e}", self.at(one).display())),
            _ => refused(format!("pool {:?}: {e}", pool.name)),
        }
    }

    /// Whether a pool that is being made has all its disks already: then only the row is behind.
    async fn is_made(&self, pool: &Pool) -> Result<bool, Condition> {
        for place in &pool.disks {
            if !self.is_of(&self.at(place), pool).await? {
                return Ok(false);
            }
        }
        Ok(!pool.disks.is_empty())
    }

    async fn is_of(&self, path: &Path, pool: &Pool) -> Result<bool, Condition> {
        Ok(self.identity(path).await?.is_some_and(|(store, _)| store == pool.id.0))
    }

    /// The store that a disk belongs to, and its own id; `None`: no disk of ours, or nothing is there.
    pub(super) async fn identity(&self, path: &Path) -> Result<Option<(Uuid, Uuid)>, Condition> {
        if fs::symlink_metadata(path).is_err() {
            return Ok(None);
        }
        if !files::unlocked(path).await {
            return Err(refused(format!(
                "{} is in use by another process; stop that one first",
                path.display()
            )));
        }
        let (tell, told) = tokio::sync::oneshot::channel();
        let at = path.to_path_buf();
        self.homes.next().run(Box::new(move || {
            parpen_ring::spawn_local(async move {
                let found = match FileDisk::open(&at) {
                    Ok(disk) => identify(&disk).await.map_err(StoreErrorKind::Open),
                    Err(e) => Err(StoreErrorKind::File(e.to_string())),
                };
                // Nobody waits when the service is ending.
                let _ = tell.send(found);
            });
        }));
        match told.await {
            Ok(Ok(ids)) => Ok(Some(ids)),
            Ok(Err(StoreErrorKind::Open(OpenError::NotOurs))) => Ok(None),
            Ok(Err(StoreErrorKind::Open(e))) => Err(refused(format!("{}: {e}", path.display()))),
            Ok(Err(StoreErrorKind::File(e))) => Err(refused(e)),
            Err(_) => Err(refused("the reactor has ended")),
        }
    }

    /// Makes the disks of a new pool and the store on them. Files that nobody named are made under other names and get
    /// their own when all are formatted; what somebody named is formatted only when it is blank, or ours already from
    /// an attempt that was cut off.
    async fn make(&self, pool: &Pool) -> Result<Store, Condition> {
        let (mut sources, mut renames) = (Vec::new(), Vec::new());
        for place in &pool.disks {
            let path = self.at(place);
            let own = files::is_own(pool, place);
            let ours = self.is_of(&path, pool).await?;
            let (at, bytes) = match fs::symlink_metadata(&path) {
                Err(_) => {
                    let at = files::unfinished(&path, own, || self.entropy.uuid().to_string());
                    files::make(&at, place.capacity)?;
                    renames.push((at.clone(), path));
                    (at, place.capacity)
                }
                // The first attempt got this far.
                Ok(_) if ours => (path, place.capacity),
                Ok(_) => {
                    let bytes = files::blank(&path)?;
                    (path, bytes)
                }
            };
            let format = self.format_of(pool, bytes);
            sources.push(NewSource {
                number: place.number,
                disk: self.source(at),
                format,
                about: about(place),
            });
        }
        let (home, entropy) = (self.homes.next(), self.entropy.clone());
        let witness = witness::of_pool(&self.data, pool.id.0);
        let made = Store::format(home, Host::ring(), entropy, sources, witness).await.map_err(refused)?;
        if renames.is_empty() {
            return Ok(made);
        }
        made.close().await.map_err(refused)?;
        for (from, to) in renames {
            files::finish(&from, &to)?;
        }
        self.open_in_need(pool).await.map_err(|e| self.say(pool, e))
    }

    pub(super) fn format_of(&self, pool: &Pool, bytes: u64) -> Format {
        Format { store: pool.id.0, disk: self.entropy.uuid(), layout: Layout::product(bytes) }
    }

    /// A file system that is full at the start has no room for recovery or anything: the ballast is thrown then. What
    /// lies beside a disk that somebody named is not ours, so a pool of such disks has none.
    async fn open_in_need(&self, pool: &Pool) -> Result<Store, StoreError> {
        if !pool.disks.iter().any(|d| files::is_own(pool, d)) {
            return self.open_disks(pool).await;
        }
        let ballast = self.ballast(pool);
        let full = files::free_bytes(&ballast).is_ok_and(|free| free < CRAMPED);
        if full && fs::remove_file(&ballast).is_ok() {
            self.note(format!(
                "pool {:?}: its file system is full; the ballast was thrown to work on it",
                pool.name
            ));
        }
        let opened = match self.open_disks(pool).await {
            Err(StoreError::Open(ArrayError::Open(OpenError::NoSpace)))
                if fs::remove_file(&ballast).is_ok() =>
            {
                self.note(format!(
                    "pool {:?}: its file system is full; the ballast was thrown to open it",
                    pool.name
                ));
                self.open_disks(pool).await
            }
            opened => opened,
        };
        let wanting = opened.is_ok() && !full && !ballast.exists();
        if wanting && files::take_ballast(&ballast, pool.capacity).is_err() {
            // Half a ballast only takes room from others.
            let _ = fs::remove_file(&ballast);
            self.note(format!("pool {:?}: there is no room for its ballast; free some space", pool.name));
        }
        opened
    }

    pub(super) fn ballast(&self, pool: &Pool) -> PathBuf {
        self.data.join(format!("pools/{}.ballast", pool.name))
    }

    async fn open_disks(&self, pool: &Pool) -> Result<Store, StoreError> {
        let (tell, told) = mpsc::channel();
        let mut sources: Vec<OldSource<FileDisk>> = Vec::new();
        for place in &pool.disks {
            let (path, tell) = (self.at(place), tell.clone());
            files::unlocked(&path).await;
            let cache = self.map_cache;
            let disk = move || {
                let disk = with_cache(FileDisk::open(&path)?, cache);
                // The receiver lives until the store is open.
                let _ = tell.send((path, disk.is_direct()));
                Ok(disk)
            };
            sources.push(OldSource { number: place.number, disk: Box::new(disk) });
        }
        drop(tell);
        let witness = witness::of_pool(&self.data, pool.id.0);
        let how = Opening { store: Some(pool.id.0), complete: self.complete, ..Opening::default() };
        let (home, entropy) = (self.homes.next(), self.entropy.clone());
        let store = Store::open(home, Host::ring(), entropy, sources, witness, how).await?;
        for (path, _) in told.try_iter().filter(|(_, direct)| !direct) {
            self.note(format!(
                "pool {:?}: {} refuses direct I/O; the page cache is used",
                pool.name,
                path.display()
            ));
        }
        for m in store.members().await.map_err(StoreError::Change)? {
            if let Some(trouble) = m.trouble {
                self.note(format!("pool {:?}: disk {}: {trouble}", pool.name, m.number));
            }
        }
        Ok(store)
    }

    /// Gives an open store one more disk.
    pub(super) async fn join(&self, store: &Store, pool: &Pool, place: &DiskPlace) -> Result<(), Condition> {
        let path = self.at(place);
        if self.is_of(&path, pool).await? {
            return match store.attach::<FileDisk>(self.source(path)).await {
                // Said twice, done once.
                Ok(_) | Err(StoreError::Change(parpen_engine::EngineError::Exists)) => Ok(()),
                Err(e) => Err(refused(e)),
            };
        }
        // A file of ours that was being made when an earlier attempt was cut off has a mark beside it.
        let mark = files::unfinished(&path, true, String::new);
        let own = files::is_own(pool, place);
        if own && mark.exists() {
            files::remove(&path)?;
        }
        let bytes = match fs::symlink_metadata(&path) {
            Err(_) => {
                if own {
                    files::make(&mark, 0)?;
                }
                files::make(&path, place.capacity)?;
                place.capacity
            }
            Ok(_) => files::blank(&path)?,
        };
        let format = self.format_of(pool, bytes);
        let new =
            NewSource { number: place.number, disk: self.source(path.clone()), format, about: about(place) };
        store.add_disk::<FileDisk>(new).await.map_err(refused)?;
        if own { files::remove(&mark) } else { Ok(()) }
    }

    /// Lets an open store use a disk again that it knows.
    pub(super) async fn bring_back(&self, store: &Store, place: &DiskPlace) -> Result<(), Condition> {
        let path = self.at(place);
        if fs::symlink_metadata(&path).is_err() {
            return Err(Condition::not_found(Kind::Disk, path.display()));
        }
        match store.attach::<FileDisk>(self.source(path)).await {
            Ok(_) | Err(StoreError::Change(parpen_engine::EngineError::Exists)) => Ok(()),
            Err(e) => Err(refused(e)),
        }
    }
}

/// Why it is not known what is on a disk.
enum StoreErrorKind {
    Open(OpenError),
    File(String),
}
