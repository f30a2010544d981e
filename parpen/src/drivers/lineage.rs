//! What an engine store can tell and do about the lineages of its volumes and snapshots.

use parpen_base::Boxed;
use parpen_engine::EngineError;
use parpen_model::ports::{Change, Figures, Lineage, Rebased};
use parpen_model::{Condition, Label, SnapshotId, Subject, VolumeId};

use super::store::{PoolStore, condition};

/// The engine's words in the core's, about one subject. It may have been deleted since its row was read.
fn about(what: Subject, field: &'static str) -> impl Fn(EngineError) -> Condition {
    move |e| match e {
        EngineError::NotFound => Condition::not_found(what.kind(), what.uuid()),
        EngineError::Invalid(why) => Condition::invalid(field, why),
        e => condition(e),
    }
}

impl Lineage for PoolStore {
    fn diff(
        &self,
        from: Option<Subject>,
        to: Subject,
        offset: u64,
        len: u64,
    ) -> Boxed<'_, Result<Vec<Change>, Condition>> {
        Box::pin(async move {
            let all = self.store.diff(from.map(Subject::uuid), to.uuid(), offset, len).await;
            let all = all.map_err(about(to, "range"))?;
            Ok(all.into_iter().map(|c| Change { len: c.len, changed: c.changed, zero: c.zero }).collect())
        })
    }

    fn freeze<'a>(
        &'a self,
        id: VolumeId,
        snapshot: SnapshotId,
        label: &'a Label,
    ) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async move {
            self.store.freeze(id.0, snapshot.0, label.to_bytes()).await.map_err(about(id.into(), "volume"))
        })
    }

    fn rebase(
        &self,
        what: Subject,
        onto: Option<SnapshotId>,
        most: u64,
    ) -> Boxed<'_, Result<Rebased, Condition>> {
        Box::pin(async move {
            let step = self.store.rebase_step(what.uuid(), onto.map(|s| s.0), most).await;
            let step = step.map_err(about(what, "parent"))?;
            Ok(Rebased { copied: step.copied, done: step.done })
        })
    }

    fn figures(&self, what: Subject) -> Boxed<'_, Result<Figures, Condition>> {
        Box::pin(async move {
            let f = self.store.figures(what.uuid()).await.map_err(about(what, "subject"))?;
            Ok(Figures { stored: f.stored, unique: f.unique, shared: f.shared, freed: f.freed })
        })
    }
}
