//! What disks do and are asked to do, the relocator, the balancer. A cluster is all pools that have disks.

use parpen_model::lifecycle::Life;
use parpen_model::{BalancePlan, BalanceVerb, Condition, DiskState, DiskVerb, Kind, Pool, PoolId, TaskClass};
use parpen_service::{disks, objects, pools};
use serde_json::{Value, json};

use super::{Call, Done};
use crate::from_wire::{self, BalancerCommand};
use crate::to_wire;

/// The number of the disk in the path.
pub fn number(c: &Call<'_>) -> Result<u16, Condition> {
    let text = c.params.get("disk");
    text.parse().map_err(|_| Condition::not_found(Kind::Disk, text))
}

/// What a disk cannot do now it cannot do in a moment either; clients would try a conflict again for half a minute.
pub fn lasting(e: Condition) -> Condition {
    match e {
        Condition::Conflict(why) => Condition::invalid("diskId", why),
        other => other,
    }
}

/// The calls that do something with one disk.
pub async fn change(c: &Call<'_>, verb: DiskVerb) -> Result<Done, Condition> {
    c.wait(disks::change(c.ports, c.actor, number(c)?, verb).await?.job).await.map_err(lasting)?;
    c.done(Value::Null).await
}

/// `DiskIgnore`.
pub async fn ignore(c: &Call<'_>) -> Result<Done, Condition> {
    disks::ignore(c.ports, c.actor, number(c)?, true).await.map_err(lasting)?;
    c.done(Value::Null).await
}

/// `DiskSetDescription`.
pub async fn describe(c: &Call<'_>) -> Result<Done, Condition> {
    let text = from_wire::disk_description(c.body)?;
    disks::describe(c.ports, c.actor, number(c)?, &text).await?;
    c.done(Value::Null).await
}

/// `TasksList`: what moves to or off disks. (Reading for verification is shown with the disk.)
pub async fn tasks(c: &Call<'_>) -> Result<Done, Condition> {
    let all = disks::tasks(c.ports, c.actor).await?;
    let moving = all.iter().filter(|t| t.class != TaskClass::Scrub);
    c.shown(moving.map(to_wire::task).collect::<Vec<_>>())
}

/// Pools that have disks and are in use.
async fn with_disks(c: &Call<'_>) -> Result<Vec<Pool>, Condition> {
    let all = pools::list(c.ports, c.actor).await?;
    Ok(all.into_iter().filter(|p| !p.disks.is_empty() && p.life == Life::Ready).collect())
}

/// What became of something that was asked of several pools: one that cannot do it keeps no other from it.
#[derive(Default)]
struct Outcome(Option<Condition>);

impl Outcome {
    fn note(&mut self, done: Result<(), Condition>) {
        self.0 = self.0.take().or(done.err());
    }

    fn end(self) -> Result<(), Condition> {
        self.0.map_or(Ok(()), Err)
    }
}

async fn edit(c: &Call<'_>, pool: PoolId, edit: pools::Edit) -> Result<(), Condition> {
    match pools::edit(c.ports, c.actor, pool, edit).await?.1 {
        Some(job) => c.wait(job).await,
        None => Ok(()),
    }
}

/// `VolumeRelocatorOn` and `VolumeRelocatorOff`.
pub async fn relocate(c: &Call<'_>, on: bool) -> Result<Done, Condition> {
    let mut outcome = Outcome::default();
    for p in with_disks(c).await? {
        outcome.note(edit(c, p.id, pools::Edit { relocate: Some(on), ..pools::Edit::default() }).await);
    }
    outcome.end()?;
    c.done(Value::Null).await
}

/// `VolumeRelocatorStatus`. Snapshots count as volumes, which they are for whoever moves them.
pub async fn relocator(c: &Call<'_>) -> Result<Done, Condition> {
    let off = with_disks(c).await?.iter().any(|p| !p.upkeep.relocate);
    let count = objects::kept(c.ports, c.actor).await?.due_volumes();
    c.shown(json!({ "status": if off { "off" } else { "on" }, "volumesToRelocate": count }))
}

/// The balancer in one word. It has nothing to look at while a disk is missing or is being emptied.
fn word(plans: &[(Pool, Option<BalancePlan>)], states: &[DiskState]) -> &'static str {
    let known = || plans.iter().filter_map(|(_, plan)| plan.as_ref());
    // The misspelling is the protocol's.
    match () {
        () if known().any(|p| p.running) => "commiting",
        () if states.iter().any(|s| *s != DiskState::Up) => "blocked",
        () if known().any(|p| p.moves > 0) => "ready",
        () if known().next().is_some() => "nothing to do",
        () => "waiting",
    }
}

/// `VolumeBalancerStatus`, asked.
pub async fn balancer(c: &Call<'_>) -> Result<Done, Condition> {
    let plans = disks::planned(c.ports, c.actor).await?;
    let all = disks::list(c.ports, c.actor).await?;
    let states: Vec<DiskState> = all.iter().filter(|d| !d.ignored).map(|d| d.state).collect();
    let auto = plans.iter().any(|(pool, _)| pool.upkeep.balance);
    c.shown(json!({ "status": word(&plans, &states), "auto": auto }))
}

/// `VolumeBalancerStatus`, told.
pub async fn balance(c: &Call<'_>) -> Result<Done, Condition> {
    let command = from_wire::balancer_command(c.body)?;
    let plans = disks::planned(c.ports, c.actor).await?;
    let ready = |plan: &Option<BalancePlan>| plan.as_ref().is_some_and(|p| p.moves > 0 && !p.running);
    if command == BalancerCommand::Commit && !plans.iter().any(|(_, plan)| ready(plan)) {
        return Err(Condition::invalid(
            "cmd",
            "there is nothing to commit; the command `start` makes a plan",
        ));
    }
    let mut outcome = Outcome::default();
    for (pool, plan) in &plans {
        outcome.note(match command {
            BalancerCommand::Start => rebalance(c, pool.id, BalanceVerb::Plan).await,
            BalancerCommand::Stop => stop(c, pool).await,
            BalancerCommand::Commit if ready(plan) => rebalance(c, pool.id, BalanceVerb::Commit).await,
            BalancerCommand::Commit => Ok(()),
            BalancerCommand::Auto => auto(c, pool.id, true).await,
        });
    }
    outcome.end()?;
    c.done(Value::Null).await
}

async fn rebalance(c: &Call<'_>, pool: PoolId, verb: BalanceVerb) -> Result<(), Condition> {
    c.wait(disks::rebalance(c.ports, c.actor, pool, verb).await?.job).await
}

async fn auto(c: &Call<'_>, pool: PoolId, on: bool) -> Result<(), Condition> {
    edit(c, pool, pools::Edit { balance: Some(on), ..pools::Edit::default() }).await
}

async fn stop(c: &Call<'_>, pool: &Pool) -> Result<(), Condition> {
    if pool.upkeep.balance {
        auto(c, pool.id, false).await?;
    }
    rebalance(c, pool.id, BalanceVerb::Stop).await
}
