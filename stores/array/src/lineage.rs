//! Freezing, cutting off from parents, and what volumes and snapshots cost, over all disks.

use parpen_engine::sync::join_all;
use parpen_engine::{Disk, EngineError, Figures, Rebased, Rules};
use uuid::Uuid;

use crate::Array;

impl<D: Disk, R: Rules> Array<D, R> {
    /// The volume ends and goes on as this snapshot, with all its bytes.
    pub async fn freeze(&self, volume: Uuid, snapshot: Uuid, label: &[u8]) -> Result<(), EngineError> {
        let _held = self.hold([volume], 0, u64::MAX).await;
        let _one = self.holds.catalogue().await;
        self.check_room(label.len())?;
        // On each disk it becomes one in its own time: until then whoever asks finds the one or the other.
        self.unflushed.will_freeze(volume, snapshot);
        let frozen = self.on_all(&|e| Box::pin(async move { e.freeze(volume, snapshot, label).await })).await;
        match frozen {
            Ok(()) => self.unflushed.freeze(volume, snapshot),
            Err(_) => self.unflushed.freezes_not(volume),
        }
        frozen
    }

    /// A part of a rebase, which copies about `most` bytes on each disk: see
    /// [`Engine::rebase_step`](parpen_engine::Engine::rebase_step). Said again until it is done.
    ///
    /// Every disk makes what it holds independent in its own time; only when that is durable on all of them the link
    /// moves, on all as one change of the catalogue. A disk that is away takes the moved link when it comes back, so
    /// this is refused while objects may be only on such disks: they would lose what they share.
    pub async fn rebase_step(&self, id: Uuid, onto: Option<Uuid>, most: u64) -> Result<Rebased, EngineError> {
        if let Some(engine) = self.sole() {
            return engine.rebase_step(id, onto, most).await;
        }
        self.check_reach(self.identify(id)?.tree)?;
        let mut all = self.prepare_rebase(id, onto, most).await?;
        if all.done {
            let _held = self.hold([id], 0, u64::MAX).await;
            let _one = self.holds.catalogue().await;
            // What came meanwhile (a family that moved to another disk shares what it can).
            all.copied += self.prepare_rebase(id, onto, u64::MAX).await?.copied;
            for t in self.live() {
                if let Err(e) = t.engine.flush().await {
                    self.mark_failed(&t.member, &format!("a flush failed: {e}"));
                }
            }
            self.settle_locked().await?;
            self.check_reach(self.identify(id)?.tree)?;
            self.on_all(&|e| Box::pin(async move { e.rebase(id, onto).await })).await?;
        }
        if all.done {
            self.reclaim(&self.live()).await;
        }
        Ok(all)
    }

    /// Each disk makes some of what it holds independent.
    async fn prepare_rebase(&self, id: Uuid, onto: Option<Uuid>, most: u64) -> Result<Rebased, EngineError> {
        let live = self.live();
        let parts = live.iter().map(|t| t.engine.rebase_prepare(id, onto, most)).collect();
        let mut all = Rebased { copied: 0, done: true };
        for (part, t) in join_all(parts).await.into_iter().zip(&live) {
            self.notice(&t.member);
            match part {
                Ok(part) => {
                    all.copied += part.copied;
                    all.done &= part.done;
                }
                // A disk that failed is out, and what it missed is on the others.
                Err(_) if t.engine.is_fenced() => all.done = false,
                Err(e) => return Err(e),
            }
        }
        Ok(all)
    }

    /// What a volume or snapshot costs, on all disks together.
    pub async fn figures(&self, id: Uuid) -> Result<Figures, EngineError> {
        let mut sum = Figures::default();
        for t in self.live() {
            let f = t.engine.figures(id).await?;
            sum.stored += f.stored;
            sum.unique += f.unique;
            sum.shared += f.shared;
            sum.freed += f.freed;
        }
        Ok(sum)
    }
}
