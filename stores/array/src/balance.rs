//! Balancing: a plan is shown before anything moves, and then carried out.

use std::cell::Cell;

use parpen_engine::{Disk, EngineError, Rules};

use crate::Array;
use crate::codec::{Key, encode_balancing};
use crate::mover::{Class, Move};
use crate::plan::Plan;

impl<D: Disk, R: Rules> Array<D, R> {
    /// The plan that was made last.
    pub fn balance_plan(&self) -> Option<Plan> {
        self.mover.plan.borrow().clone()
    }

    /// Carries the plan out, in the background, also after a restart.
    pub async fn commit_balance(&self) -> Result<(), EngineError> {
        self.queue_balance()?;
        self.note_balance(true).await
    }

    /// Carries the plan out instead of an older one; it is noted that it is when its first move begins.
    fn queue_balance(&self) -> Result<(), EngineError> {
        let mut plan = self.mover.plan.borrow_mut();
        let plan = plan.as_mut();
        let plan = plan.ok_or(EngineError::Invalid("there is no balancing plan; compute one first"))?;
        if std::mem::replace(&mut plan.committed, true) {
            return Ok(());
        }
        let class = Class::Balance;
        let mut queue = self.mover.balance.borrow_mut();
        for older in queue.drain(..) {
            self.mover.count(class, older.from.unwrap_or(older.to), |c| c.all = c.all.saturating_sub(1));
        }
        for (family, from, to) in &plan.moves {
            let (family, to, from) = (*family, *to, Some(*from));
            queue.push_back(Move { class, family, from, to, filling: Cell::default() });
        }
        for fill in &plan.disks {
            let leaving = plan.moves.iter().filter(|(_, from, _)| *from == fill.disk).count() as u64;
            self.mover.count(class, fill.disk, |c| c.all += leaving);
        }
        Ok(())
    }

    /// Makes a plan and carries it out, if that is to be done without being told and nothing else is on its way: for a
    /// plan that a restart interrupted, and for disks that are not equally full.
    async fn begin_balance(&self) {
        if !self.mover.balance.borrow().is_empty() {
            return;
        }
        let resumed = self.mover.resume.replace(false);
        let is_wanted = self.mover.uneven.replace(false) && self.auto_balance.get();
        if !(resumed || is_wanted) {
            return;
        }
        let stops = self.mover.stops.get();
        let plan = self.plan_balance().await;
        let is_stopped = self.mover.stops.get() != stops || !(resumed || self.auto_balance.get());
        if plan.moves.is_empty() || is_stopped || !self.mover.balance.borrow().is_empty() {
            // Nothing is to be done any more, or is done by a plan that somebody committed meanwhile.
            return;
        }
        tracing::info!(moves = plan.moves.len(), resumed, "balancing begins");
        *self.mover.plan.borrow_mut() = Some(plan);
        if let Err(error) = self.queue_balance() {
            tracing::warn!(%error, "balancing does not begin");
        }
    }

    /// The next turn of the work behind the scenes makes a plan and carries it out, where balancing is automatic.
    pub(crate) fn balance_soon(&self) {
        self.mover.uneven.set(true);
        self.work.fire();
    }

    /// The next move of the plan; it is kept on all disks that there is one, and when there is none any more.
    pub(crate) async fn next_balance(&self) -> Option<Move> {
        self.begin_balance().await;
        let next = self.mover.balance.borrow_mut().pop_front();
        if next.is_none() {
            // It was carried out, as far as that went; what is wanted next is another plan's matter.
            self.mover.plan.borrow_mut().take_if(|plan| plan.committed);
        }
        if let Err(error) = self.note_balance(next.is_some()).await {
            tracing::debug!(%error, "it could not be noted whether a plan is carried out");
        }
        next
    }

    /// Keeps on all disks whether a plan is being carried out.
    async fn note_balance(&self, is_on: bool) -> Result<(), EngineError> {
        if self.mover.noted.get() == is_on {
            return Ok(());
        }
        let _one = self.holds.catalogue().await;
        let (key, bytes) = (Key::Balancing.uuid(), &encode_balancing(is_on));
        self.on_all(&|e| Box::pin(async move { e.put_record(key, bytes).await })).await?;
        self.mover.noted.set(is_on);
        Ok(())
    }

    /// Whether plans are made and carried out without being told: when a disk is added, and when disks have drifted
    /// apart, which they may have now.
    pub fn set_auto_balance(&self, on: bool) {
        if on && !self.auto_balance.replace(on) {
            self.look_at_fill();
        }
        self.auto_balance.set(on);
    }

    /// Stops balancing; what has moved stays where it is.
    pub async fn stop_balance(&self) -> Result<(), EngineError> {
        self.mover.stops.set(self.mover.stops.get() + 1);
        self.mover.uneven.set(false);
        self.mover.balance.borrow_mut().clear();
        self.mover.resume.set(false);
        *self.mover.plan.borrow_mut() = None;
        self.mover.counts.borrow_mut().retain(|(class, _), _| *class != Class::Balance);
        self.abandon(|m| m.class == Class::Balance).await?;
        self.note_balance(false).await
    }
}
