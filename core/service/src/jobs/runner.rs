//! Runs jobs step by step and logs each step together with the rows it changed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parpen_model::{Condition, Job, JobId, JobState, Query, Scope, look, write};
use tokio::task::JoinSet;

use super::step::{Commit, JobStep, StepCx, World, steps};
use super::{Changes, Due, Jobs, JobsEnd};
use crate::messages;

/// Pauses before a step that is out of reach is tried again, in milliseconds; 8 s in all.
const RETRIES: [u64; 7] = [100, 200, 400, 800, 1500, 2000, 3000];
/// How many final jobs stay for those who ask late; older ones leave.
const KEEP_FINAL: usize = 1000;

/// The one that runs jobs.
pub struct Runner {
    world: Arc<World>,
    end: JobsEnd,
}

impl Runner {
    /// A runner and the use cases' side of it.
    pub(crate) fn new(world: World) -> (Jobs, Runner) {
        let (jobs, end) = Jobs::new(world.meta.clone());
        (jobs, Runner { world: Arc::new(world), end })
    }

    /// Takes up what an earlier life left, then runs what comes, until `stop` is told; jobs under way may end, then the
    /// stores are closed.
    pub async fn run(mut self, mut stop: tokio::sync::watch::Receiver<bool>) -> Result<(), Condition> {
        let mut running = JoinSet::new();
        // A job that is found unfinished may also be announced: it runs once all the same.
        let mut known = HashSet::new();
        for job in unfinished(&self.world).await? {
            tracing::info!(id = %job.id, kind = %job.kind, "taking up a job");
            known.insert(job.id);
            running.spawn(run_job(self.world.clone(), self.end.changes.clone(), job.id.into()));
        }
        // What is announced of these may be old: they may even be over.
        let taken_up = known.clone();
        // The life before may have ended between a job's end and what that left without need. Nobody's job waits while
        // that is looked for.
        let mut looking = JoinSet::new();
        let mut over = true;
        loop {
            if over && looking.is_empty() {
                over = false;
                looking.spawn(unbound(self.world.clone()));
            }
            tokio::select! {
                _ = stop.wait_for(|s| *s) => break,
                due = self.end.start.recv() => match due {
                    Some(due) if known.insert(due.id()) => {
                        let due = if taken_up.contains(&due.id()) { due.id().into() } else { due };
                        running.spawn(run_job(self.world.clone(), self.end.changes.clone(), due));
                    }
                    Some(_) => {}
                    None => break,
                },
                Some(ended) = running.join_next() => match ended {
                    Ok(id) => over |= known.remove(&id),
                    Err(e) => tracing::error!(error = %e, "a job panicked; it is taken up at the next start"),
                },
                Some(freed) = looking.join_next() => match freed {
                    Ok(freed) => for id in freed {
                        known.insert(id);
                        running.spawn(run_job(self.world.clone(), self.end.changes.clone(), id.into()));
                    },
                    Err(e) => tracing::error!(error = %e, "the look for needless snapshots panicked"),
                }
            }
        }
        // What is looked for now is found by the next start.
        while looking.join_next().await.is_some() {}
        while running.join_next().await.is_some() {}
        self.world.backends.close().await;
        Ok(())
    }
}

/// The removals of bound snapshots that a job has left without need.
async fn unbound(world: Arc<World>) -> Vec<JobId> {
    crate::snapshots::collect(&world).await.unwrap_or_else(|e| {
        tracing::error!(error = ?e, "bound snapshots could not be looked through; the next job does it again");
        Vec::new()
    })
}

async fn unfinished(world: &World) -> Result<Vec<Job>, Condition> {
    let (jobs, _) = write(&*world.meta, |tx| {
        let all: Vec<Job> = tx.read().list(Scope::All, &Query::default())?;
        let (over, open): (Vec<Job>, Vec<Job>) = all.into_iter().partition(Job::is_final);
        for old in over.iter().rev().skip(KEEP_FINAL) {
            tx.delete::<Job>(old.id)?;
        }
        Ok(open)
    })
    .await?;
    Ok(jobs)
}

/// Runs a job unless it is over already; answers its id.
async fn run_job(world: Arc<World>, changes: Changes, due: Due) -> JobId {
    let id = due.id();
    let row = match due {
        Due::New(job) => Ok(*job),
        Due::Known(id) => look(&*world.meta, move |tx| tx.get::<Job>(Scope::All, id)).await,
    };
    let job = match row {
        Ok(j) if j.is_final() => return id,
        Ok(j) => j,
        Err(e) => {
            tracing::error!(%id, error = ?e, "a job that was to start cannot be read");
            return id;
        }
    };
    let mut cx = StepCx { job, world, changes };
    if let Err(e) = drive(&mut cx).await {
        // The row could not be written: the job is as it was and is taken up at the next start.
        tracing::error!(%id, kind = %cx.job.kind, error = ?e, "a job stopped because its row could not be written");
        cx.job.error = Some(e);
    }
    cx.changes.send(cx.job.clone());
    id
}

/// Runs a job to its end. `Err` only when the job's own row cannot be written.
async fn drive(cx: &mut StepCx) -> Result<(), Condition> {
    let Some(table) = steps(&cx.job.kind) else {
        let why = Condition::Unsupported(format!("this version knows no job of the kind {}", cx.job.kind));
        return finish(cx, JobState::Failed, Some(why)).await;
    };
    let table = match applying(cx, table) {
        Ok(table) => table,
        Err(why) => return finish(cx, JobState::Failed, Some(why)).await,
    };
    if cx.job.state == JobState::Running {
        cx.job.error = None;
        match forward(cx, &table).await {
            Went::Well if cx.job.is_final() => return Ok(()),
            // Versions before this one ended a job in a commit of its own, and could die before it.
            Went::Well => return finish(cx, JobState::Done, None).await,
            Went::Wrong(why) => {
                tracing::warn!(id = %cx.job.id, kind = %cx.job.kind, error = ?why, "a job failed and is undone");
                finish(cx, JobState::Undoing, Some(why)).await?;
            }
            Went::Parked(why) => {
                tracing::error!(id = %cx.job.id, kind = %cx.job.kind, error = ?why,
                    "a job cannot go on now; it is taken up again at the next start");
                return finish(cx, JobState::Running, Some(why)).await;
            }
        }
    }
    backward(cx, &table).await?;
    let error = cx.job.error.clone();
    finish(cx, JobState::Failed, error).await
}

/// The steps that this job has.
fn applying(cx: &StepCx, table: &[&'static dyn JobStep]) -> Result<Vec<&'static dyn JobStep>, Condition> {
    let mut applying = Vec::new();
    for step in table {
        if step.applies(cx)? {
            applying.push(*step);
        }
    }
    Ok(applying)
}

/// How the steps of a job went.
enum Went {
    /// All are done.
    Well,
    /// One was refused: what was done is to be undone.
    Wrong(Condition),
    /// One cannot be done now and must not be undone: the job is taken up again at the next start.
    Parked(Condition),
}

/// Whether a step of no return that failed so may have had an effect.
fn is_uncertain(why: &Condition) -> bool {
    use Condition::*;
    match why {
        NoSpace(_) | Unsupported(_) | Invalid { .. } | InUse { .. } | NotFound { .. } | Forbidden(_) => false,
        Exists { .. } | WrongState { .. } | QuotaExceeded { .. } | PreconditionFailed { .. } => true,
        Unauthenticated(_) | Conflict(_) | DataLost(_) | Unavailable(_) | Timeout(_) | Internal(_) => true,
    }
}

/// Does one step and stores what it changed, and that the job is done when it was the last; what is only out of reach for
/// now is tried again for a while.
async fn attempt(cx: &mut StepCx, step: &dyn JobStep, is_last: bool) -> Result<(), Condition> {
    let mut waits = RETRIES.iter();
    loop {
        let outcome = match step.run(cx).await {
            Ok(commit) => {
                let mut after = match is_last {
                    true => ended(cx, JobState::Done, None),
                    false => cx.job.clone(),
                };
                after.done.push(step.name().to_string());
                store(cx, after, commit).await
            }
            Err(why) => Err(why),
        };
        match (outcome, waits.next()) {
            (Err(Condition::Unavailable(why)), Some(ms)) => {
                tracing::info!(id = %cx.job.id, step = step.name(), why, "a step is tried again soon");
                tokio::time::sleep(Duration::from_millis(*ms)).await;
            }
            (outcome, _) => return outcome,
        }
    }
}

/// Runs the steps that are not done.
async fn forward(cx: &mut StepCx, table: &[&dyn JobStep]) -> Went {
    let left: Vec<_> = table.iter().filter(|step| !cx.job.done.iter().any(|d| d == step.name())).collect();
    for (n, step) in left.iter().enumerate() {
        if let Err(why) = attempt(cx, **step, n + 1 == left.len()).await {
            let park = step.no_way_back() && is_uncertain(&why);
            return if park { Went::Parked(why) } else { Went::Wrong(why) };
        }
    }
    Went::Well
}

/// Undoes every step from the last that was tried to the first.
async fn backward(cx: &mut StepCx, table: &[&dyn JobStep]) -> Result<(), Condition> {
    let tried = (cx.job.done.len() + 1).min(table.len());
    for step in table[..tried].iter().rev() {
        let outcome = step.undo(cx).await;
        let commit = match outcome {
            Ok(c) => c,
            Err(e) => {
                tracing::error!(id = %cx.job.id, step = step.name(), error = ?e, "a step could not be undone");
                continue;
            }
        };
        let mut after = cx.job.clone();
        after.done.retain(|d| d != step.name());
        store(cx, after, commit).await?;
    }
    Ok(())
}

async fn store(cx: &mut StepCx, after: Job, mut commit: Commit) -> Result<(), Condition> {
    let (job, generation) = write(&*cx.world.meta, move |tx| {
        commit(tx)?;
        let mut job = after.clone();
        tx.update(&mut job)?;
        Ok(job)
    })
    .await?;
    cx.job = job;
    cx.world.backends.at_generation(generation).await;
    cx.changes.send(cx.job.clone());
    Ok(())
}

/// The job as it is when it has come so far.
fn ended(cx: &StepCx, state: JobState, error: Option<Condition>) -> Job {
    let mut after = cx.job.clone();
    after.state = state;
    after.error = error;
    after.stamp.updated = Some(cx.world.clock.now());
    after
}

async fn finish(cx: &mut StepCx, state: JobState, error: Option<Condition>) -> Result<(), Condition> {
    let after = ended(cx, state, error);
    let (id, now) = messages::mark(&cx.world);
    let ended = after.clone();
    let note: Commit = Box::new(move |tx| messages::note(tx, id, now, &ended));
    store(cx, after, note).await
}
