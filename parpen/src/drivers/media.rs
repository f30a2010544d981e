//! The disks of a local pool, as operators see and change them.

use parpen_array::{Class, Fill, MemberInfo, Order, Plan, State, TaskInfo};
use parpen_base::Boxed;
use parpen_engine::{BLOCK, EngineError};
use parpen_model::ports::Media;
use parpen_model::{
    BalancePlan, BalanceShare, BalanceVerb, Condition, Disk, DiskPlace, DiskState, DiskVerb, HeldObject,
    Kind, PoolHealth, ScrubVerb, Scrubbed, Subject, Survey, Task, TaskClass, Upkeep, Whereabouts,
};

use super::store::{PoolStore, condition};
use super::{files, objects};

/// Bytes of an object, the unit in which disks count.
const OBJECT: u64 = 32 << 20;
/// Bytes of an allocation group, as disks are described.
const GROUP: u64 = 512 << 20;

/// What operators hear of a disk that cannot do what they ask.
fn refused(disk: u16) -> impl Fn(EngineError) -> Condition {
    move |e| match e {
        EngineError::Invalid(why) => Condition::Conflict(format!("disk {disk}: {why}")),
        EngineError::NotFound => Condition::not_found(Kind::Disk, disk),
        e => condition(e),
    }
}

fn state_of(m: &MemberInfo) -> DiskState {
    match m.state {
        State::InSync => DiskState::Up,
        State::Resyncing => DiskState::Resyncing,
        State::Ejecting | State::Empty => DiskState::Ejecting,
        State::EjectPaused => DiskState::Paused,
        State::Out if m.trouble.is_none() => DiskState::Absent,
        State::Out | State::Forgotten => DiskState::Failed,
    }
}

fn class_of(class: Class) -> TaskClass {
    match class {
        Class::Recovery => TaskClass::Recovery,
        Class::Eject => TaskClass::SoftEject,
        Class::Balance => TaskClass::Balance,
        Class::Scrub => TaskClass::Scrub,
    }
}

/// One number per reason and disk: what a disk does for one reason is one transaction.
fn transaction(t: &TaskInfo) -> u64 {
    let class = match t.class {
        Class::Recovery => 1,
        Class::Eject => 2,
        Class::Balance => 3,
        Class::Scrub => 4,
    };
    class << 16 | u64::from(t.disk)
}

fn scrubbed(m: &MemberInfo, tasks: &[TaskInfo]) -> Scrubbed {
    let task = tasks.iter().find(|t| t.class == Class::Scrub && t.disk == m.number);
    let going = task.is_some_and(|t| t.completed + t.stuck < t.all);
    Scrubbed {
        running: going,
        paused: going && task.is_some_and(|t| t.paused),
        bytes: task.map_or(0, |t| t.bytes),
        of: m.space.map_or(0, |s| s.data),
        bad: m.faults.bad,
        repaired: m.faults.healed,
        lost: m.faults.lost,
    }
}

impl PoolStore {
    fn disk(&self, place: &DiskPlace, m: Option<&MemberInfo>, tasks: &[TaskInfo]) -> Disk {
        let space = m.and_then(|m| m.space);
        let size = space.map_or(place.capacity, |s| s.capacity);
        let lost = m.map_or(0, |m| m.faults.lost);
        let trouble = m.and_then(|m| m.trouble.clone());
        Disk {
            id: place.number,
            uuid: m.map(|m| m.uuid).unwrap_or_default(),
            pool: self.pool,
            path: self.drivers.at(place).display().to_string(),
            description: place.description.clone(),
            ssd: place.ssd,
            state: m.map_or(DiskState::Absent, state_of),
            fault: trouble.or((lost > 0).then(|| format!("{lost} blocks are damaged and have no good copy"))),
            size,
            used: space.map_or(0, |s| s.data + s.metadata + s.deferred),
            free: space.map_or(0, |s| s.free),
            stored: space.map_or(0, |s| s.data),
            // The row says it.
            ignored: false,
            objects: m.map_or(0, |m| m.objects),
            objects_max: size / OBJECT * 4,
            entries: space.map_or(0, |s| s.data / BLOCK),
            entries_max: size / BLOCK,
            group_size: GROUP,
            scrub: m.map(|m| scrubbed(m, tasks)).unwrap_or_default(),
        }
    }

    async fn order(&self, disk: u16, order: Order) -> Result<(), Condition> {
        self.store.order(order).await.map_err(refused(disk))
    }

    async fn member(&self, disk: u16) -> Result<MemberInfo, Condition> {
        let all = self.store.members().await.map_err(condition)?;
        all.into_iter().find(|m| m.number == disk).ok_or_else(|| Condition::not_found(Kind::Disk, disk))
    }

    /// A disk that serves is let go when everything on it is elsewhere, too; one that is away, as it is.
    async fn forget(&self, disk: u16, lose: bool) -> Result<(), Condition> {
        let member = match self.member(disk).await {
            Ok(m) if m.state != State::Forgotten => m,
            // Said twice, done once.
            Ok(_) | Err(Condition::NotFound { .. }) => return Ok(()),
            Err(e) => return Err(e),
        };
        let served = member.state != State::Out;
        if served {
            self.order(disk, Order::Eject { disk, force: false }).await?;
        }
        if let Err(e) = self.order(disk, Order::Forget { disk, lose }).await {
            if served {
                // What is refused changes nothing: it serves as before.
                self.bring_back(disk).await?;
            }
            return Err(e);
        }
        let place = self.places().iter().find(|p| p.number == disk).cloned();
        self.places().retain(|p| p.number != disk);
        self.tell_groups().await?;
        match (self.row(), place) {
            // A file of ours whose every byte is elsewhere is needed no more; what was away may hold what nobody else has.
            (Some(pool), Some(place)) if served && files::is_own(&pool, &place) => {
                self.drivers.remove_disk(&place, member.uuid).await
            }
            _ => Ok(()),
        }
    }

    /// A disk that is away; said twice, done once: one that is on its way back is let be.
    async fn bring_back(&self, disk: u16) -> Result<(), Condition> {
        let place = self.places().iter().find(|p| p.number == disk).cloned();
        let place = place.ok_or_else(|| Condition::not_found(Kind::Disk, disk))?;
        let member = self.member(disk).await?;
        match member.state {
            State::Resyncing => Ok(()),
            State::InSync | State::Ejecting | State::EjectPaused | State::Empty => Err(Condition::Conflict(
                format!("disk {disk}: it is in use; soft-eject --cancel ends an eject"),
            )),
            State::Out | State::Forgotten => self.drivers.bring_back(&self.store, &place, member.uuid).await,
        }
    }

    /// Tells the store what it is to do by itself.
    pub(super) async fn set_upkeep(&self, how: Upkeep) -> Result<(), Condition> {
        for order in [Order::Relocator(how.relocate), Order::AutoBalance(how.balance)] {
            self.store.order(order).await.map_err(condition)?;
        }
        Ok(())
    }

    /// Makes a plan and keeps it; one that is being carried out stays.
    async fn plan(&self) -> Result<(), Condition> {
        if self.store.balance_plan().await.map_err(condition)?.is_none_or(|p| !p.committed) {
            self.store.compute_balance().await.map_err(condition)?;
        }
        Ok(())
    }

    async fn eject(&self, disk: u16) -> Result<(), Condition> {
        match self.member(disk).await?.state {
            State::Out => Ok(()),
            _ => self.order(disk, Order::Eject { disk, force: true }).await,
        }
    }
}

fn plan_of(plan: &Plan) -> BalancePlan {
    let share = |d: &Fill| {
        let Fill { disk, before, after, gets, gives, .. } = *d;
        BalanceShare { disk, before, after, gets, gives }
    };
    BalancePlan {
        moves: plan.moves.len() as u64,
        bytes: plan.bytes,
        disks: plan.disks.iter().map(share).collect(),
        running: plan.committed,
    }
}

impl Media for PoolStore {
    fn disks(&self) -> Boxed<'_, Result<Vec<Disk>, Condition>> {
        Box::pin(async move {
            let members = self.store.members().await.map_err(condition)?;
            let tasks = self.store.tasks().await.map_err(condition)?;
            let of = |place: &DiskPlace| members.iter().find(|m| m.number == place.number);
            Ok(self.places().iter().map(|place| self.disk(place, of(place), &tasks)).collect())
        })
    }

    fn health<'a>(&'a self, left_out: &'a [u16]) -> Boxed<'a, Result<PoolHealth, Condition>> {
        Box::pin(async move {
            let h = self.store.health(left_out.to_vec()).await.map_err(condition)?;
            Ok(PoolHealth { objects: h.objects, short: h.short, away: h.away, lost: h.lost })
        })
    }

    fn survey(&self) -> Boxed<'_, Result<Survey, Condition>> {
        Box::pin(async move { Ok(objects::survey(self.store.survey().await.map_err(condition)?)) })
    }

    fn whereabouts(
        &self,
        what: Subject,
        (from, most): (u64, u64),
    ) -> Boxed<'_, Result<Whereabouts, Condition>> {
        Box::pin(async move {
            match self.store.whereabouts(what.uuid(), from, most).await {
                Ok(found) => Ok(objects::whereabouts(found)),
                // It may have been deleted since the row was read.
                Err(EngineError::NotFound) => Err(Condition::not_found(what.kind(), what.uuid())),
                Err(e) => Err(condition(e)),
            }
        })
    }

    fn holds(
        &self,
        disk: u16,
        (from, most): ((u64, u64), u64),
    ) -> Boxed<'_, Result<Vec<HeldObject>, Condition>> {
        Box::pin(async move {
            match self.store.holds(disk, from, most).await {
                Ok(all) => Ok(all.into_iter().map(objects::held).collect()),
                Err(EngineError::Io) => Err(Condition::Conflict(format!("disk {disk} is not there"))),
                Err(e) => Err(refused(disk)(e)),
            }
        })
    }

    fn tasks(&self) -> Boxed<'_, Result<Vec<Task>, Condition>> {
        Box::pin(async move {
            let task = |t: TaskInfo| Task {
                disk: t.disk,
                transaction: transaction(&t),
                class: class_of(t.class),
                objects: t.all,
                done: t.completed,
                under_way: t.dispatched,
                bytes: t.bytes,
                paused: t.paused,
            };
            let all = self.store.tasks().await.map_err(condition)?;
            Ok(all.into_iter().filter(|t| t.completed + t.stuck < t.all).map(task).collect())
        })
    }

    fn found(&self) -> Vec<DiskPlace> {
        self.places().clone()
    }

    fn knows<'a>(&'a self, path: &'a str) -> Boxed<'a, Result<Option<u16>, Condition>> {
        Box::pin(async move {
            match self.row() {
                Some(pool) => self.drivers.known(&self.store, &pool, &self.drivers.data.join(path)).await,
                None => Ok(None),
            }
        })
    }

    fn add<'a>(&'a self, place: &'a DiskPlace) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async move {
            let Some(pool) = self.row() else {
                return Err(Condition::Unsupported("this pool has no disks of its own".into()));
            };
            self.drivers.join(&self.store, &pool, place).await?;
            {
                let mut places = self.places();
                places.retain(|p| p.number != place.number);
                places.push(place.clone());
                places.sort_by_key(|p| p.number);
            }
            self.tell_groups().await
        })
    }

    fn change(&self, disk: u16, verb: DiskVerb) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move {
            match verb {
                DiskVerb::SoftEject => self.order(disk, Order::SoftEject(disk)).await,
                DiskVerb::PauseEject => self.order(disk, Order::PauseEject(disk)).await,
                DiskVerb::CancelEject => self.order(disk, Order::CancelEject(disk)).await,
                DiskVerb::Eject => self.eject(disk).await,
                DiskVerb::Forget => self.forget(disk, false).await,
                DiskVerb::Abandon => self.forget(disk, true).await,
                DiskVerb::Return => self.bring_back(disk).await,
                DiskVerb::Scrub(ScrubVerb::Start | ScrubVerb::Continue) => {
                    self.order(disk, Order::Scrub(disk)).await
                }
                DiskVerb::Scrub(ScrubVerb::Pause) => self.order(disk, Order::PauseScrub(disk)).await,
                DiskVerb::Scrub(ScrubVerb::Stop) => self.order(disk, Order::StopScrub(disk)).await,
            }
        })
    }

    fn balance(&self) -> Boxed<'_, Result<BalancePlan, Condition>> {
        Box::pin(async move {
            let going = self.store.balance_plan().await.map_err(condition)?.filter(|p| p.committed);
            let plan = match going {
                Some(plan) => plan,
                None => self.store.plan_balance().await.map_err(condition)?,
            };
            Ok(plan_of(&plan))
        })
    }

    fn planned(&self) -> Boxed<'_, Result<Option<BalancePlan>, Condition>> {
        Box::pin(async move { Ok(self.store.balance_plan().await.map_err(condition)?.as_ref().map(plan_of)) })
    }

    fn rebalance(&self, verb: BalanceVerb) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move {
            let order = match verb {
                BalanceVerb::Plan => return self.plan().await,
                BalanceVerb::Commit => {
                    // What is carried out is what the disks ask for now.
                    self.store.compute_balance().await.map_err(condition)?;
                    Order::CommitBalance
                }
                BalanceVerb::Stop => Order::StopBalance,
            };
            self.store.order(order).await.map_err(condition)
        })
    }

    fn keep_up(&self, how: Upkeep) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move { self.set_upkeep(how).await })
    }
}
