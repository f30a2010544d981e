//! What is done with volumes.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::lifecycle::Life;
use parpen_model::{Api as Side, Condition};
use parpen_service::names::{Naming, Space};
use parpen_service::volumes;

use super::{Answer, At, Body, gone, ok};
use crate::from_wire::{KEPT, Make};

impl At<'_> {
    pub(super) async fn volume_list(&self) -> Answer {
        let (pool, mask) = (self.pool().await?, self.mask()?);
        let filter = volumes::Filter { pool: Some(pool.id), project: None };
        let all = volumes::list(self.ports, self.actor(), filter).await?;
        let stored = self.stored(&pool).await;
        let shown = all.iter().filter(|v| v.volume.life != Life::Deleting);
        let docs = shown.map(|v| self.print(v, &stored)).collect::<Result<Vec<_>, _>>()?;
        match mask {
            Some(mask) => ok(&docs.iter().map(|d| mask.of(d)).collect::<Result<Vec<_>, _>>()?),
            None => ok(&docs),
        }
    }

    pub(super) async fn volume_show(&self, status: StatusCode) -> Answer {
        let (view, mask) = (self.volume().await?, self.mask()?);
        let doc = self.print(&view, &self.stored(&view.pool).await)?;
        Ok(match mask {
            Some(mask) => Reply::json(status, &mask.of(&doc)?),
            None => Reply::json(status, &doc),
        })
    }

    pub(super) async fn volume_make(&self, body: Body) -> Answer {
        let Body::Make(make) = body else {
            return Err(Condition::internal("a POST without its body").into());
        };
        let pool = self.pool().await?;
        let naming = Naming::unique(&self.names.name, Space::within(Side::Cern, pool.id));
        let place = volumes::Place { pool: Some(pool.id), ..Default::default() };
        let new = volumes::NewVolume { naming, place, ..Default::default() };
        match make {
            Make::Blank { size, kept } => {
                let options = volumes::Options { attributes: kept, ..Default::default() };
                self.create(volumes::NewVolume { size: Some(size), options, ..new }).await?;
            }
            Make::Clone { volume, snapshot } => {
                let of = self.volume_in(&pool, &volume).await?;
                let from = volumes::From::Snapshot(self.snapshot_of(&of, &snapshot).await?.snapshot.id);
                self.create(volumes::NewVolume { from, ..new }).await?;
            }
            Make::Rollback { snapshot } => {
                let of = self.volume().await?;
                let to = self.snapshot_of(&of, &snapshot).await?.snapshot.id;
                // The caller names no host, and a lock of this API keeps hosts off, not operators.
                let terms = volumes::RollbackTerms { ignore_lock: true, ..Default::default() };
                let started = volumes::rollback(self.ports, self.actor(), of.volume.id, to, terms).await?;
                self.ports.jobs.wait(started.job).await?;
            }
        }
        self.volume_show(StatusCode::CREATED).await
    }

    pub(super) async fn create(&self, new: volumes::NewVolume) -> Result<(), Condition> {
        let started = volumes::create(self.ports, self.actor(), new).await?;
        self.ports.jobs.wait(started.job).await.map(|_| ())
    }

    pub(super) async fn volume_change(&self, body: Body) -> Answer {
        let Body::Change(change) = body else {
            return Err(Condition::internal("a PATCH without its body").into());
        };
        let id = self.volume().await?.volume.id;
        change.check()?;
        let terms = volumes::ResizeTerms { allow_shrink: true, ..Default::default() };
        let size = change.size().map(|bytes| (bytes.into(), terms));
        let kept = change.kept();
        let attributes: volumes::ChangeAttributes =
            Box::new(move |a| a.entry(KEPT).extend(kept.iter().map(|(k, v)| (k.clone(), v.clone()))));
        let edit = volumes::Edit { attributes: Some(attributes), ..Default::default() };
        let change = volumes::Change { edit, size, rename: None };
        let changed = volumes::change(self.ports, self.actor(), id, change).await?;
        if let Some(job) = changed.job {
            self.ports.jobs.wait(job).await?;
        }
        ok(&())
    }

    pub(super) async fn volume_delete(&self) -> Answer {
        let id = self.volume().await?.volume.id;
        let snapshots = volumes::Snapshots::Delete;
        let terms = volumes::DeleteTerms { snapshots, ignore_lock: true, once: true, ..Default::default() };
        let started = volumes::delete(self.ports, self.actor(), id, terms).await.map_err(|e| match e {
            Condition::NotFound { what, .. } => Condition::not_found(what, &self.names.name),
            other => other,
        })?;
        self.ports.jobs.wait(started.job).await?;
        gone()
    }
}
