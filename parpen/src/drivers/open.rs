//! Opening and making the stores of local pools.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;

use parpen_array::{About, ArrayError, DiskSource, Host, NewSource, OldSource, Opening, Store, StoreError};
use parpen_engine::{FileDisk, Format, Layout, OpenError};
use parpen_model::lifecycle::Life;
use parpen_model::{Condition, DiskPlace, Kind, Pool};

use super::{LocalDrivers, Missing, files, refused, which, witness};

/// With less free than this, in bytes, a file system counts as full: the service's own small files need room too.
const CRAMPED: u64 = 8 * parpen_base::MIB;

fn with_cache(disk: FileDisk, bytes: Option<usize>) -> FileDisk {
    match bytes {
        Some(bytes) => disk.with_map_cache(bytes),
        None => disk,
    }
}

pub(super) fn about(place: &DiskPlace) -> About {
    About { ssd: place.ssd, description: place.description.clone() }
}

impl LocalDrivers {
    pub(super) fn source(&self, path: PathBuf) -> DiskSource<FileDisk> {
        let cache = self.map_cache;
        Box::new(move || Ok(with_cache(FileDisk::open(&path)?, cache)))
    }

    pub(super) fn at(&self, place: &DiskPlace) -> PathBuf {
        self.data.join(&place.path)
    }

    /// Opens a pool's store, or makes it; answers the pool, too, with its disks where they were found.
    pub(super) async fn open_local(&self, pool: &Pool) -> Result<(Store, Pool), Condition> {
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
        if let StoreError::Open(ArrayError::NewestMissing(_)) = &e {
            let how = "`parpen pool rebuild-metadata --despite-missing`, while the service is stopped";
            return refused(format!("pool {:?}: {e} ({how})", pool.name));
        }
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

    /// Makes the disks of a new pool and the store on them. Files that nobody named are made under other names and get
    /// their own when all are formatted; what somebody named is formatted only when it is blank, or ours already from
    /// an attempt that was cut off.
    async fn make(&self, pool: &Pool) -> Result<(Store, Pool), Condition> {
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
            return Ok((made, pool.clone()));
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
    async fn open_in_need(&self, pool: &Pool) -> Result<(Store, Pool), StoreError> {
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

    async fn open_disks(&self, pool: &Pool) -> Result<(Store, Pool), StoreError> {
        let (tell, told) = mpsc::channel();
        let mut sources: Vec<OldSource<FileDisk>> = Vec::new();
        let seen = self.look(pool).await;
        for place in &pool.disks {
            let (path, tell) = (self.at(place), tell.clone());
            let (cache, twin) = (self.map_cache, self.twin(&seen, place));
            let disk = move || {
                if let Some(error) = twin {
                    return Err(error.into());
                }
                let disk = with_cache(FileDisk::open(&path)?, cache);
                // The receiver lives until the store is open.
                let _ = tell.send((path, disk.is_direct()));
                Ok(disk)
            };
            sources.push(OldSource { number: place.number, disk: Box::new(disk) });
        }
        drop(tell);
        let witness = witness::of_pool(&self.data, pool.id.0);
        let how = Opening {
            store: Some(pool.id.0),
            despite_missing: matches!(self.missing, Missing::Any),
            complete: matches!(self.missing, Missing::None),
        };
        let (home, entropy) = (self.homes.next(), self.entropy.clone());
        let store = Store::open(home, Host::ring(), entropy, sources, witness, how).await?;
        for (path, _) in told.try_iter().filter(|(_, direct)| !direct) {
            self.note(format!(
                "pool {:?}: {} refuses direct I/O; the page cache is used",
                pool.name,
                path.display()
            ));
        }
        let members = store.members().await.map_err(StoreError::Change)?;
        for m in &members {
            if let Some(trouble) = &m.trouble {
                self.note(format!("pool {:?}: disk {}: {trouble}", pool.name, m.number));
            }
        }
        let disks = which::found(&pool.disks, &seen, &members);
        self.note_moved(pool, &seen, &members);
        Ok((store, Pool { disks, ..pool.clone() }))
    }
}
