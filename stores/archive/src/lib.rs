//! Backups in an object store: a directory, or anything that speaks S3.
//!
//! Below a container, each volume has its own folder: `segments/<backup>/<number>` are packed blocks of 64 KiB
//! (`segment.rs`), `manifests/<backup>` says which segments hold a backup (`manifest.rs`). A manifest lists the segments
//! of all backups that it grew from, so none needs another one, and any may be deleted: its manifest becomes a note
//! below `deleting/`, and segments that no manifest lists are swept under a lease (`sweep.rs`).
//!
//! A backup exists when its manifest does; that is written last and never replaced. Everything before it is found again
//! by its footers when an interrupted call is repeated.
#![forbid(unsafe_code)]

mod lease;
mod load;
mod manifest;
mod s3;
mod segment;
mod store;
mod sweep;
#[cfg(test)]
mod tests;
mod view;

use std::path::Path as Dir;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};
use parpen_base::{Boxed, Clock, MIB};
use parpen_block::{Progress, Remote};
use parpen_model::ports::{Archive, Archived, NewArchive, Place, Target};
use parpen_model::{Condition, Kind};
use serde_json::Value;

use manifest::Manifest;

pub use s3::S3;
pub use segment::survives as segment_survives;

/// Bytes of a segment before it is stored, where nothing else is said.
pub const SEGMENT: u64 = 16 * MIB;

/// A store of backups.
pub struct ObjectArchive {
    store: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    /// Segments are stored when they have so many bytes.
    segment: u64,
    /// Whose leases these are; the same after a restart.
    owner: String,
    sweeping: tokio::sync::Mutex<()>,
}

/// What an error of the store means to the service. The store's own words go to the log: they may hold addresses.
pub(crate) fn told(e: Error, what: &Path) -> Condition {
    match e {
        Error::NotFound { .. } => Condition::not_found(Kind::Backup, what),
        Error::AlreadyExists { .. } => Condition::exists(Kind::Backup, what),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            tracing::error!(object = %what, error = %e, "the backup store refuses us");
            Condition::Unavailable("the backup store refuses the service's credentials".into())
        }
        e => {
            tracing::error!(object = %what, error = %e, "the backup store failed");
            Condition::Unavailable(
                "the backup store does not do what it should; the server's log says more".into(),
            )
        }
    }
}

impl ObjectArchive {
    /// Over any object store.
    pub fn new(store: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>, owner: String) -> ObjectArchive {
        ObjectArchive { store, clock, segment: SEGMENT, owner, sweeping: tokio::sync::Mutex::default() }
    }

    /// In a directory, which is made if need be. What is answered as done is durable.
    pub fn local(dir: &Dir, clock: Arc<dyn Clock>, owner: String) -> Result<ObjectArchive, Condition> {
        let fail = |e: String| Condition::Unavailable(format!("backups in {}: {e}", dir.display()));
        std::fs::create_dir_all(dir).map_err(|e| fail(e.to_string()))?;
        let store = LocalFileSystem::new_with_prefix(dir).map_err(|e| fail(e.to_string()))?;
        Ok(ObjectArchive::new(Arc::new(store.with_fsync(true)), clock, owner))
    }

    /// Whether the store answers and lets the service in. Looks at one name at most.
    pub async fn reach(&self) -> Result<(), Condition> {
        match self.store.list(None).try_next().await {
            Ok(_) => Ok(()),
            Err(e) => Err(told(e, &Path::from("/"))),
        }
    }

    /// Sets the size of segments, in bytes: from 1 MiB to 1 GiB.
    pub fn with_segment(mut self, bytes: u64) -> ObjectArchive {
        self.segment = bytes.clamp(MIB, 1024 * MIB);
        self
    }

    fn path(&self, at: &Place, parts: &[&str]) -> Path {
        let volume = at.volume.to_string();
        Path::from_iter([at.container.as_str(), &volume].into_iter().chain(parts.iter().copied()))
    }

    pub(crate) fn manifest_path(&self, at: &Place) -> Path {
        self.path(at, &["manifests", &at.backup.to_string()])
    }

    pub(crate) fn segment_path(&self, at: &Place, name: &str) -> Path {
        let (backup, number) = name.split_once('/').unwrap_or((name, ""));
        self.path(at, &["segments", backup, number])
    }

    pub(crate) async fn get(&self, path: &Path) -> Result<Bytes, Condition> {
        let found = self.store.get(path).await.map_err(|e| told(e, path))?;
        found.bytes().await.map_err(|e| told(e, path))
    }

    pub(crate) async fn get_range(
        &self,
        path: &Path,
        range: impl Into<GetRange> + Send,
    ) -> Result<Bytes, Condition> {
        let options = object_store::GetOptions { range: Some(range.into()), ..Default::default() };
        let found = self.store.get_opts(path, options).await.map_err(|e| told(e, path))?;
        found.bytes().await.map_err(|e| told(e, path))
    }

    /// Stores an object; with [`PutMode::Create`] one that is there already is [`Condition::Exists`].
    pub(crate) async fn put(&self, path: &Path, bytes: Bytes, mode: PutMode) -> Result<(), Condition> {
        let options = object_store::PutOptions { mode, ..Default::default() };
        self.store.put_opts(path, bytes.into(), options).await.map(|_| ()).map_err(|e| told(e, path))
    }

    /// Removes an object; absent = done.
    pub(crate) async fn delete(&self, path: &Path) -> Result<(), Condition> {
        match self.store.delete(path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(told(e, path)),
        }
    }

    /// What stands below a prefix.
    pub(crate) async fn list(&self, prefix: &Path) -> Result<Vec<ObjectMeta>, Condition> {
        self.store.list(Some(prefix)).try_collect().await.map_err(|e| told(e, prefix))
    }

    /// The manifest of a backup; none if it was never finished or is gone.
    pub(crate) async fn find_manifest(&self, at: &Place) -> Result<Option<Manifest>, Condition> {
        match self.get(&self.manifest_path(at)).await {
            Ok(bytes) => Manifest::from_bytes(&bytes).map(Some),
            Err(Condition::NotFound { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub(crate) async fn manifest(&self, at: &Place) -> Result<Manifest, Condition> {
        let m = self.find_manifest(at).await?.ok_or_else(|| Condition::not_found(Kind::Backup, at.backup))?;
        match m.backup == at.backup.0 && m.volume == at.volume.0 {
            true => Ok(m),
            false => Err(segment::damaged("its manifest is that of another backup")),
        }
    }
}

impl Archive for ObjectArchive {
    fn store<'a>(
        &'a self,
        new: &'a NewArchive,
        from: &'a Remote,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<Archived, Condition>> {
        Box::pin(store::store(self, new, from, progress))
    }

    fn load<'a>(
        &'a self,
        at: &'a Place,
        to: &'a Target,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(load::load(self, at, to, progress))
    }

    fn verify<'a>(
        &'a self,
        at: &'a Place,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<Archived, Condition>> {
        Box::pin(load::verify(self, at, progress))
    }

    fn facts<'a>(&'a self, at: &'a Place) -> Boxed<'a, Result<(Value, Archived), Condition>> {
        Box::pin(async move {
            let m = self.manifest(at).await?;
            let figures = m.archived();
            Ok((m.facts, figures))
        })
    }

    fn remove<'a>(&'a self, at: &'a Place) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(sweep::remove(self, at))
    }
}
