//! An engine store as the use cases know it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use parpen_array::{NewVolume, Policy, Store};
use parpen_base::Boxed;
use parpen_engine::{EngineError, Kind};
use parpen_model::ports::{DataPath, Lineage, Made, Media, Rollback, VolumeBackend};
use parpen_model::{
    Condition, DiskPlace, Found, Label, NewBytes, Placement, Pool, PoolId, SnapshotId, Source, Space,
    Subject, VolumeId,
};
use parpen_service::media;

use super::LocalDrivers;

/// One pool's store.
pub struct PoolStore {
    pub(super) store: Store,
    pub(super) pool: PoolId,
    /// The row as it was when the pool was opened; its disks are [`PoolStore::places`].
    opened: Pool,
    places: Mutex<Vec<DiskPlace>>,
    pub(super) drivers: LocalDrivers,
}

impl PoolStore {
    /// Over an open store.
    pub fn new(store: Store, pool: &Pool, drivers: LocalDrivers) -> PoolStore {
        let places = Mutex::new(pool.disks.clone());
        PoolStore { store, pool: pool.id, opened: pool.clone(), places, drivers }
    }

    /// Where the disks are, by number.
    pub(super) fn places(&self) -> MutexGuard<'_, Vec<DiskPlace>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool with the disks it has now; none for a pool without disks of its own.
    pub(super) fn row(&self) -> Option<Pool> {
        let disks = self.places().clone();
        (!disks.is_empty()).then(|| Pool { disks, ..self.opened.clone() })
    }

    /// Tells the store which disks each placement group has.
    pub(super) async fn tell_groups(&self) -> Result<(), Condition> {
        let Some(pool) = self.row() else { return Ok(()) };
        let known = self.store.groups().await.map_err(condition)?;
        for name in media::group_names(&pool) {
            let disks = media::members(&name, &pool);
            // A group of all disks needs no record, and grows with the pool.
            let wanted = if disks.len() == pool.disks.len() { Vec::new() } else { disks };
            if known.get(&name).cloned().unwrap_or_default() != wanted {
                self.store.put_group(name, wanted).await.map_err(condition)?;
            }
        }
        Ok(())
    }

    /// A placement in the store's words.
    fn policy(&self, placement: &Placement) -> Policy {
        let Some(pool) = self.row() else { return Policy::default() };
        let group = |name: &String| match media::members(name, &pool).len() == pool.disks.len() {
            true => String::new(),
            false => name.clone(),
        };
        Policy { replicas: placement.replication, all: group(&placement.all), tail: group(&placement.tail) }
    }
}

/// The engine's words in the core's.
pub fn condition(e: EngineError) -> Condition {
    match e {
        EngineError::NoSpace => {
            Condition::NoSpace("the pool has no space left: delete or discard something".into())
        }
        EngineError::Io | EngineError::Fenced => Condition::Unavailable(
            "a disk of the pool failed or is away; `parpen disk list` says which: bring it back".into(),
        ),
        EngineError::Closed => Condition::Unavailable("the pool is closed".into()),
        EngineError::DataLost => Condition::DataLost("the stored data is damaged".into()),
        EngineError::NotFound | EngineError::Exists | EngineError::ReadOnly | EngineError::Invalid(_) => {
            Condition::internal(format!("the engine refused a job's step: {e}"))
        }
    }
}

/// Why a volume was not made, as whoever asked for it hears: its placement may ask for disks that are leaving.
fn unmade(e: EngineError) -> Condition {
    match e {
        EngineError::Invalid(why) => Condition::Conflict(why.into()),
        e => condition(e),
    }
}

impl VolumeBackend for PoolStore {
    fn create<'a>(
        &'a self,
        id: VolumeId,
        from: &'a Source,
        want: &'a NewBytes,
        label: &'a Label,
    ) -> Boxed<'a, Result<Made, Condition>> {
        Box::pin(async move {
            let policy = self.policy(&want.placement);
            let (snapshot, made) = match from {
                Source::Blank => (None, Made::Ready),
                Source::Snapshot(s) => match self.store.policy_of(s.0).await {
                    Ok(there) if there == policy => (Some(s.0), Made::Ready),
                    // It lives in another pool, or by another placement: its bytes have to be copied.
                    Ok(_) | Err(EngineError::NotFound) => (None, Made::CopyInto),
                    Err(e) => return Err(condition(e)),
                },
            };
            let new =
                NewVolume { id: id.0, bytes: want.size, from: snapshot, label: label.to_bytes(), policy };
            self.store.create_placed(new).await.map_err(unmade)?;
            Ok(made)
        })
    }

    fn snapshot<'a>(&'a self, all: &'a [(VolumeId, SnapshotId, Label)]) -> Boxed<'a, Result<(), Condition>> {
        let all = all.iter().map(|(v, s, l)| (v.0, s.0, l.to_bytes())).collect();
        Box::pin(async move { self.store.snapshot(all).await.map_err(condition) })
    }

    fn resize(&self, id: VolumeId, bytes: u64) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move { self.store.resize(id.0, bytes).await.map_err(condition) })
    }

    fn delete(&self, what: Subject) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move { self.store.delete(what.uuid()).await.map_err(condition) })
    }

    fn data(&self, what: Subject) -> Boxed<'_, Result<DataPath, Condition>> {
        Box::pin(async move {
            match self.store.device(what.uuid()) {
                Ok(device) => Ok(DataPath::Here(device)),
                // It may have been deleted since the row was read.
                Err(EngineError::NotFound) => Err(Condition::not_found(what.kind(), what.uuid())),
                Err(e) => Err(condition(e)),
            }
        })
    }

    fn relabel<'a>(&'a self, labels: &'a [Label]) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async move {
            for l in labels {
                self.store.relabel(l.id, l.to_bytes()).await.map_err(condition)?;
            }
            Ok(())
        })
    }

    fn inventory(&self) -> Boxed<'_, Result<Vec<Found>, Condition>> {
        Box::pin(async move {
            let all = self.store.inventory().await.map_err(condition)?;
            let found = |f: parpen_engine::Found| Found {
                subject: match f.kind {
                    Kind::Volume => Subject::Volume(f.id.into()),
                    Kind::Snapshot => Subject::Snapshot(f.id.into()),
                },
                size: f.bytes,
                stored: f.stored,
                parent: f.parent.map(SnapshotId),
                label: f.label,
            };
            Ok(all.into_iter().map(found).collect())
        })
    }

    fn space(&self) -> Boxed<'_, Result<Space, Condition>> {
        Box::pin(async move {
            let s = self.store.space().await.map_err(condition)?;
            Ok(Space { capacity: s.capacity, used: s.data + s.metadata + s.deferred, free: s.free })
        })
    }

    fn at_generation(&self, generation: u64) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move { self.store.set_generation(generation).await.map_err(condition) })
    }

    fn close(&self) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move { self.store.close().await.map_err(condition) })
    }

    fn rollback(&self) -> Option<&dyn Rollback> {
        Some(self)
    }

    fn lineage(&self) -> Option<&dyn Lineage> {
        Some(self)
    }

    fn media(&self) -> Option<&dyn Media> {
        self.row().map(|_| self as &dyn Media)
    }
}

impl Rollback for PoolStore {
    fn rollback(&self, id: VolumeId, to: SnapshotId) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move { self.store.rollback(id.0, to.0).await.map_err(condition) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_more_disks_than_serve_hears_it() {
        let why = "the placement asks for more disks than serve";
        assert_eq!(unmade(EngineError::Invalid(why)).to_string(), why);
        assert!(matches!(unmade(EngineError::NotFound), Condition::Internal(_)));
    }
}
