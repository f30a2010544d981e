//! Disks that come to an open store: new ones, and those that it knows.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use parpen_array::{NewSource, State, Store, StoreError};
use parpen_engine::{EngineError, FileDisk};
use parpen_model::{Condition, DiskPlace, Kind, Pool};
use uuid::Uuid;

use super::open::about;
use super::store::condition;
use super::{LocalDrivers, files, refused};

/// How whatever lies at a path is made blank, as people say it to a shell.
fn wipe(path: &Path) -> String {
    match fs::metadata(path).is_ok_and(|m| m.file_type().is_block_device()) {
        true => format!("blkdiscard -z {}", path.display()),
        false => format!("rm {}", path.display()),
    }
}

impl LocalDrivers {
    /// The number by which a store knows the disk at a path; `None`: nothing of its own is there. Refuses a disk that it
    /// cannot take back.
    pub(super) async fn known(
        &self,
        store: &Store,
        pool: &Pool,
        path: &Path,
    ) -> Result<Option<u16>, Condition> {
        let Some((_, disk)) = self.identity(path).await?.filter(|(of, _)| *of == pool.id.0) else {
            return Ok(None);
        };
        let members = store.members().await.map_err(condition)?;
        let why = match members.iter().find(|m| m.uuid == disk) {
            Some(m) if m.state != State::Forgotten => return Ok(Some(m.number)),
            Some(m) => format!("it was disk {} of this pool and was forgotten", m.number),
            None => "it was formatted for this pool and never became a disk of it".to_string(),
        };
        Err(Condition::Conflict(format!(
            "{}: {why}; if nothing on it is needed, wipe it ({}), then add it again",
            path.display(),
            wipe(path)
        )))
    }

    /// Gives an open store one more disk.
    pub(super) async fn join(&self, store: &Store, pool: &Pool, place: &DiskPlace) -> Result<(), Condition> {
        let path = self.at(place);
        match self.known(store, pool, &path).await? {
            None => self.format_for(store, pool, place).await,
            Some(number) if number == place.number => self.attach(store, &path).await,
            Some(number) => Err(Condition::Conflict(format!(
                "{0} is disk {number} of this pool already; name it, and it comes back as that: parpen disk add {0}",
                path.display()
            ))),
        }
    }

    /// Makes a blank disk one of a store's.
    async fn format_for(&self, store: &Store, pool: &Pool, place: &DiskPlace) -> Result<(), Condition> {
        let path = self.at(place);
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

    /// Lets an open store use a disk again that it knows: this one, and no other that has its name now.
    pub(super) async fn bring_back(
        &self,
        store: &Store,
        place: &DiskPlace,
        disk: Uuid,
    ) -> Result<(), Condition> {
        let path = self.at(place);
        if fs::symlink_metadata(&path).is_err() {
            return Err(Condition::not_found(Kind::Disk, path.display()));
        }
        match self.identity(&path).await? {
            Some((_, there)) if there != disk => Err(Condition::Conflict(format!(
                "{} is another disk than disk {}; put that one there first",
                path.display(),
                place.number
            ))),
            _ => self.attach(store, &path).await,
        }
    }

    async fn attach(&self, store: &Store, path: &Path) -> Result<(), Condition> {
        match store.attach::<FileDisk>(self.source(path.to_path_buf())).await {
            // Said twice, done once.
            Ok(_) | Err(StoreError::Change(EngineError::Exists)) => Ok(()),
            Err(e) => Err(refused(e)),
        }
    }
}
