//! An engine store as the use cases know it.

use std::path::PathBuf;

use parpen_array::Store;
use parpen_base::Boxed;
use parpen_engine::{EngineError, Kind};
use parpen_model::ports::{DataPath, Lineage, Made, Media, Rollback, VolumeBackend};
use parpen_model::{
    BalancePlan, BalanceVerb, Condition, Disk, DiskPlace, DiskState, DiskVerb, Found, Label, NewBytes, Pool,
    Scrubbed, SnapshotId, Source, Space, Subject, Task, VolumeId,
};

/// Bytes of an object, the unit in which disks count.
const OBJECT: u64 = 32 << 20;
/// Bytes of an allocation group, as disks are described.
const GROUP: u64 = 512 << 20;

/// One pool's store.
pub struct PoolStore {
    pub(super) store: Store,
    pool: Pool,
    path: Option<PathBuf>,
}

impl PoolStore {
    /// Over an open engine.
    pub fn new(store: Store, pool: Pool, path: Option<PathBuf>) -> PoolStore {
        PoolStore { store, pool, path }
    }
}

/// The engine's words in the core's.
pub fn condition(e: EngineError) -> Condition {
    match e {
        EngineError::NoSpace => {
            Condition::NoSpace("the pool has no space left: delete or discard something".into())
        }
        EngineError::Io | EngineError::Fenced => Condition::Unavailable(
            "the pool's disk failed and is fenced; check it, then start the service again".into(),
        ),
        EngineError::Closed => Condition::Unavailable("the pool is closed".into()),
        EngineError::DataLost => Condition::DataLost("the stored data is damaged".into()),
        EngineError::NotFound | EngineError::Exists | EngineError::ReadOnly | EngineError::Invalid(_) => {
            Condition::internal(format!("the engine refused a job's step: {e}"))
        }
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
            let (snapshot, made) = match from {
                Source::Blank => (None, Made::Ready),
                Source::Snapshot(s) => match self.store.lookup(s.0).await.map_err(condition)? {
                    Some(_) => (Some(s.0), Made::Ready),
                    // It lives in another pool: its bytes have to be copied.
                    None => (None, Made::CopyInto),
                },
            };
            self.store.create(id.0, want.size, snapshot, label.to_bytes()).await.map_err(condition)?;
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
        self.path.as_ref().map(|_| self as &dyn Media)
    }
}

impl Rollback for PoolStore {
    fn rollback(&self, id: VolumeId, to: SnapshotId) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move { self.store.rollback(id.0, to.0).await.map_err(condition) })
    }
}

impl Media for PoolStore {
    fn disks(&self) -> Boxed<'_, Result<Vec<Disk>, Condition>> {
        Box::pin(async move {
            let (Some(path), Some(place)) = (&self.path, self.pool.disks.first()) else {
                return Ok(Vec::new());
            };
            let space = self.store.space().await.map_err(condition)?;
            let used = space.data + space.metadata + space.deferred;
            let all = self.store.inventory().await.map_err(condition)?;
            Ok(vec![Disk {
                id: place.number,
                uuid: self.store.disk_id(),
                pool: self.pool.id,
                path: path.display().to_string(),
                description: place.description.clone(),
                ssd: place.ssd,
                state: DiskState::Up,
                fault: None,
                scrub: Scrubbed::default(),
                size: space.capacity,
                used,
                objects: all.iter().map(|f| f.bytes.div_ceil(OBJECT)).sum(),
                objects_max: space.capacity / OBJECT * 4,
                entries: space.data / parpen_engine::BLOCK,
                entries_max: space.capacity / parpen_engine::BLOCK,
                group_size: GROUP,
            }])
        })
    }

    fn tasks(&self) -> Boxed<'_, Result<Vec<Task>, Condition>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn add<'a>(&'a self, _: &'a DiskPlace) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async { Err(one_disk()) })
    }

    fn change(&self, _: u16, _: DiskVerb) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async { Err(one_disk()) })
    }

    fn balance(&self) -> Boxed<'_, Result<BalancePlan, Condition>> {
        Box::pin(async { Err(one_disk()) })
    }

    fn rebalance(&self, _: BalanceVerb) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async { Err(one_disk()) })
    }
}

fn one_disk() -> Condition {
    Condition::Unsupported("this pool's store works on one disk".into())
}
