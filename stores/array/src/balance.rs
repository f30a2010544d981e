//! Balancing: a plan of moves after which disks are about equally full, shown before anything moves.

use std::cell::Cell;
use std::collections::BTreeMap;

use parpen_engine::{BLOCK, Disk, EngineError, Rules};

use crate::Array;
use crate::codec::{Key, encode_balancing};
use crate::member::Eject;
use crate::mover::{Class, Move};
use crate::place::Family;

/// Disks whose shares of used space differ by less than one in this many are balanced.
const FINE: u64 = 200;
/// Moves in one plan, at most.
const MOVES_MAX: usize = 1 << 16;

/// How full a disk is before and after a plan, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The disk.
    pub disk: u16,
    /// What it can hold.
    pub capacity: u64,
    /// Data on it when the plan was made.
    pub before: u64,
    /// Data on it when the plan is carried out.
    pub after: u64,
}

/// What balancing would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Every disk that takes part.
    pub disks: Vec<Fill>,
    /// Objects that move: `(tree, object)`, from, to.
    pub moves: Vec<(Family, u16, u16)>,
    /// Bytes that move.
    pub bytes: u64,
    /// It is being carried out.
    pub committed: bool,
}

impl Fill {
    /// How full it is, in parts of 2^20.
    fn share(&self, bytes: u64) -> u64 {
        ((u128::from(bytes) << 20) / u128::from(self.capacity.max(1))) as u64
    }
}

impl<D: Disk, R: Rules> Array<D, R> {
    /// Makes a plan and keeps it until it is committed or another is made.
    pub fn compute_balance(&self) -> Plan {
        let plan = self.plan_balance();
        *self.mover.plan.borrow_mut() = Some(plan.clone());
        plan
    }

    /// What a plan would be, for who only looks.
    pub fn plan_balance(&self) -> Plan {
        let mut disks: Vec<Fill> = Vec::new();
        let mut holds: BTreeMap<u16, Vec<(u64, Family)>> = BTreeMap::new();
        for t in self.live().iter().filter(|t| t.clean && t.member.eject.get() == Eject::No) {
            let space = t.engine.space();
            let number = t.member.number;
            disks.push(Fill {
                disk: number,
                capacity: space.capacity,
                before: space.data,
                after: space.data,
            });
            let mut sizes: BTreeMap<Family, u64> = BTreeMap::new();
            t.engine
                .versions()
                .iter()
                .for_each(|v| *sizes.entry((v.tree, v.index)).or_default() += v.owned * BLOCK);
            let mut all: Vec<(u64, Family)> = sizes.into_iter().map(|(f, size)| (size, f)).collect();
            all.sort();
            holds.insert(number, all);
        }
        let mut plan = Plan { disks, ..Plan::default() };
        while plan.moves.len() < MOVES_MAX && self.plan_one(&mut plan, &mut holds) {}
        plan
    }

    /// Adds the largest move from the fullest disk that makes the emptiest admissible one no fuller than it.
    fn plan_one(&self, plan: &mut Plan, holds: &mut BTreeMap<u16, Vec<(u64, Family)>>) -> bool {
        let mut order: Vec<usize> = (0..plan.disks.len()).collect();
        order.sort_by_key(|i| plan.disks[*i].share(plan.disks[*i].after));
        let Some((&fullest, others)) = order.split_last() else { return false };
        let from = plan.disks[fullest];
        let table = self.table.borrow();
        for to_at in others {
            let to = plan.disks[*to_at];
            if from.share(from.after).saturating_sub(to.share(to.after)) < (1 << 20) / FINE {
                return false;
            }
            let Some(all) = holds.get_mut(&from.disk) else { return false };
            let fits = |(size, f): &(u64, Family)| {
                let tuple = table.place(*f);
                let last = tuple.disks().last() == Some(&from.disk);
                *size > 0
                    && to.share(to.after + size) <= from.share(from.after - size.min(&from.after))
                    && tuple.has(from.disk)
                    && !tuple.has(to.disk)
                    && !plan.moves.iter().any(|(moved, ..)| moved == f)
                    && table.admits(&table.policy(f.0), last, to.disk)
            };
            if let Some(at) = all.iter().rposition(fits) {
                let (size, f) = all.remove(at);
                plan.disks[fullest].after -= size;
                plan.disks[*to_at].after += size;
                plan.moves.push((f, from.disk, to.disk));
                plan.bytes += size;
                return true;
            }
        }
        false
    }

    /// The plan that was made last.
    pub fn balance_plan(&self) -> Option<Plan> {
        self.mover.plan.borrow().clone()
    }

    /// Carries the plan out, in the background, also after a restart.
    pub async fn commit_balance(&self) -> Result<(), EngineError> {
        self.queue_balance()?;
        self.note_balance(true).await
    }

    /// Carries the plan out; it is noted that it is when its first move begins.
    pub(crate) fn queue_balance(&self) -> Result<(), EngineError> {
        let mut plan = self.mover.plan.borrow_mut();
        let plan = plan.as_mut().filter(|p| !p.committed);
        let plan = plan.ok_or(EngineError::Invalid("there is no balancing plan; compute one first"))?;
        plan.committed = true;
        let class = Class::Balance;
        let mut queue = self.mover.balance.borrow_mut();
        for (family, from, to) in &plan.moves {
            let (family, to, from) = (*family, *to, Some(*from));
            queue.push_back(Move { class, family, from, to, begun: Cell::new(false) });
        }
        for fill in &plan.disks {
            let leaving = plan.moves.iter().filter(|(_, from, _)| *from == fill.disk).count() as u64;
            self.mover.count(class, fill.disk, |c| c.all += leaving);
        }
        Ok(())
    }

    /// A plan that a restart interrupted is made anew and goes on.
    pub(crate) fn resume_balance(&self) {
        if self.mover.resume.replace(false) && self.mover.balance.borrow().is_empty() {
            let plan = self.compute_balance();
            tracing::info!(moves = plan.moves.len(), "balancing goes on where a restart interrupted it");
            if let Err(error) = self.queue_balance() {
                tracing::warn!(%error, "balancing does not go on after the restart");
            }
        }
    }

    /// The next move of the plan; it is kept on all disks that there is one, and when there is none any more.
    pub(crate) async fn next_balance(&self) -> Option<Move> {
        self.resume_balance();
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

    /// Whether a plan is made and carried out by itself when a disk is added.
    pub fn set_auto_balance(&self, on: bool) {
        self.auto_balance.set(on);
    }

    /// Stops balancing; what has moved stays where it is.
    pub async fn stop_balance(&self) -> Result<(), EngineError> {
        self.mover.balance.borrow_mut().clear();
        self.mover.resume.set(false);
        *self.mover.plan.borrow_mut() = None;
        self.mover.counts.borrow_mut().retain(|(class, _), _| *class != Class::Balance);
        self.abandon(|m| m.class == Class::Balance).await?;
        self.note_balance(false).await
    }
}
