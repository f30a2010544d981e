//! What is done with the snapshots and the lock of a volume.

use parpen_model::lifecycle::Life;
use parpen_model::{Api as Side, Condition};
use parpen_service::names::{Naming, Space};
use parpen_service::{locks, snapshots};

use super::{Answer, At, gone, made, ok};
use crate::from_wire::Stop;
use crate::router::Endpoint;
use crate::to_wire;

impl At<'_> {
    pub(super) async fn snapshots(&self, endpoint: Endpoint) -> Answer {
        let of = self.volume().await?;
        let stored = self.stored(&of.pool).await;
        let print = |s: &snapshots::View| to_wire::snapshot(s, stored.get(&s.snapshot.id.0).copied());
        if endpoint == Endpoint::SnapshotShow {
            return ok(&print(&self.snapshot_of(&of, &self.names.part).await?)?);
        }
        let all = snapshots::list(self.ports, self.actor(), Some(of.volume.id), false).await?;
        let shown = all.iter().filter(|s| s.snapshot.life != Life::Deleting);
        ok(&shown.map(print).collect::<Result<Vec<_>, _>>()?)
    }

    pub(super) async fn snapshot_make(&self) -> Answer {
        let id = self.volume().await?.volume.id;
        let naming = Naming::unique(&self.names.part, Space::within(Side::Cern, id));
        let new = snapshots::NewSnapshot { naming, ..Default::default() };
        let started = snapshots::create(self.ports, self.actor(), id, new).await?;
        self.ports.jobs.wait(started.job).await?;
        made()
    }

    pub(super) async fn snapshot_delete(&self) -> Answer {
        let id = self.snapshot_of(&self.volume().await?, &self.names.part).await?.snapshot.id;
        let terms = snapshots::DeleteTerms::default();
        self.ports.jobs.wait(snapshots::delete(self.ports, self.actor(), id, terms).await?.job).await?;
        gone()
    }

    pub(super) async fn lock_list(&self) -> Answer {
        let id = self.volume().await?.volume.id;
        let lock = locks::get(self.ports, self.actor(), id).await?;
        ok(&lock.iter().map(to_wire::lock).collect::<Vec<_>>())
    }

    pub(super) async fn lock_put(&self) -> Answer {
        let id = self.volume().await?.volume.id;
        match locks::lock(self.ports, self.actor(), id, &self.names.part).await {
            Ok(started) => {
                self.ports.jobs.wait(started.job).await?;
                made()
            }
            Err(Condition::InUse { what, name, by }) => {
                // A lock of somebody else has a sentence of its own; an attachment is told like everywhere.
                match locks::get(self.ports, self.actor(), id).await? {
                    Some(l) => {
                        let text = format!("{} is already locked by {}!", self.names.name, l.spelling);
                        Err(Stop::bad(&text))
                    }
                    None => Err(Condition::InUse { what, name, by }.into()),
                }
            }
            Err(other) => Err(other.into()),
        }
    }

    pub(super) async fn lock_delete(&self) -> Answer {
        let id = self.volume().await?.volume.id;
        locks::unlock(self.ports, self.actor(), id, &self.names.part).await?;
        gone()
    }
}
