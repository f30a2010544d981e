//! Bound snapshots: they live as long as something was made from them, or somebody has them.

use parpen_block::Gate;
use parpen_model::lifecycle::{Life, LifeEvent, life};
use parpen_model::{
    Attachment, Condition, JobId, Kind, Pin, Query, ReadTx, Scope, Snapshot, SnapshotId, Stamp, Volume, read,
    write,
};

use super::removal;
use crate::access;
use crate::jobs::World;

/// Begins to delete the bound snapshots that nothing needs any more; gives the jobs that do it.
pub(crate) async fn collect(world: &World) -> Result<Vec<JobId>, Condition> {
    // Few jobs leave any, so nobody who writes waits for this look.
    let gate = world.gate.clone();
    if read(&*world.meta, move |tx| needless(tx, &gate)).await?.is_empty() {
        return Ok(Vec::new());
    }
    let (gate, entropy, now) = (world.gate.clone(), world.entropy.clone(), world.clock.now());
    let (jobs, _) = write(&*world.meta, move |tx| {
        let mut jobs = Vec::new();
        for mut s in needless(tx.read(), &gate)? {
            s.life = life(s.life, LifeEvent::Remove).map_err(|r| r.about(Kind::Snapshot, &s.handle))?;
            tx.update(&mut s)?;
            let mut job = removal(JobId(entropy.uuid()), &s, Stamp::at(now))?;
            tx.insert(&mut job)?;
            jobs.push(job.id);
        }
        Ok(jobs)
    })
    .await?;
    Ok(jobs)
}

/// The bound snapshots that nothing needs and nobody has open.
fn needless(tx: &dyn ReadTx, gate: &Gate) -> Result<Vec<Snapshot>, Condition> {
    let bound: Vec<Snapshot> = tx.list(Scope::All, &Query { watched: true, ..Query::default() })?;
    let mut found = Vec::new();
    for s in bound.into_iter().filter(|s| s.life == Life::Ready) {
        if !is_needed(tx, s.id)? && gate.sessions(access::plain_export(s.id.into())).is_empty() {
            found.push(s);
        }
    }
    Ok(found)
}

/// Whether something was made from it, is being made from it, or somebody holds it.
fn is_needed(tx: &dyn ReadTx, id: SnapshotId) -> Result<bool, Condition> {
    Ok(!tx.grown_from::<Snapshot>(id)?.is_empty()
        || !tx.grown_from::<Volume>(id)?.is_empty()
        || !tx.children::<Pin>(id)?.is_empty()
        || !tx.children::<Attachment>(id)?.is_empty())
}
