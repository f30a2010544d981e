//! Long work: a job is a row with a table of steps; it runs on after a crash or is undone.

mod runner;
mod step;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use parpen_identity::{Actor, Power, may};
use parpen_model::ports::MetaStore;
use parpen_model::{
    Condition, Job, JobId, JobState, PoolId, ProjectId, Query, Scope, Stamp, Subject, look, read,
};
use serde::Serialize;
use tokio::sync::{broadcast, mpsc};

pub use runner::Runner;
pub(crate) use step::nothing;
pub use step::{Commit, JobStep, StepCx, World, kinds};

/// How many changes a slow listener may lag behind before it loses the oldest.
const BACKLOG: usize = 1024;

/// The use cases' side of the job runner.
#[derive(Clone)]
pub struct Jobs {
    meta: Arc<dyn MetaStore>,
    start: mpsc::UnboundedSender<Due>,
    changes: Changes,
}

/// The runner's side.
pub(crate) struct JobsEnd {
    pub(crate) start: mpsc::UnboundedReceiver<Due>,
    pub(crate) changes: Changes,
}

/// A job that is to run.
pub(crate) enum Due {
    /// Its row as it was committed just now, which nobody had yet: it need not be read.
    New(Box<Job>),
    /// Only its id.
    Known(JobId),
}

impl Due {
    pub(crate) fn id(&self) -> JobId {
        match self {
            Due::New(job) => job.id,
            Due::Known(id) => *id,
        }
    }
}

impl From<Job> for Due {
    fn from(job: Job) -> Due {
        Due::New(Box::new(job))
    }
}

impl From<JobId> for Due {
    fn from(id: JobId) -> Due {
        Due::Known(id)
    }
}

/// Where jobs tell how they are: to all who listen, and how far they are to those who ask.
#[derive(Clone)]
pub(crate) struct Changes {
    listeners: broadcast::Sender<Job>,
    /// Of jobs that run; kept in memory only.
    far: Arc<Mutex<HashMap<JobId, (u64, u64)>>>,
}

impl Changes {
    /// Tells of a job as it is now.
    pub(crate) fn send(&self, job: Job) {
        let mut far = self.far.lock().unwrap_or_else(PoisonError::into_inner);
        match job.progress.filter(|_| !job.is_final()) {
            Some(progress) => far.insert(job.id, progress),
            None => far.remove(&job.id),
        };
        drop(far);
        let _ = self.listeners.send(job); // nobody listening is no fault
    }

    fn look(&self, job: &mut Job) {
        job.progress = self.far.lock().unwrap_or_else(PoisonError::into_inner).get(&job.id).copied();
    }
}

impl Jobs {
    /// Both sides.
    pub(crate) fn new(meta: Arc<dyn MetaStore>) -> (Jobs, JobsEnd) {
        let (start, starts) = mpsc::unbounded_channel();
        let (listeners, _) = broadcast::channel(BACKLOG);
        let changes = Changes { listeners, far: Arc::default() };
        (Jobs { meta, start, changes: changes.clone() }, JobsEnd { start: starts, changes })
    }

    /// Lets a job run whose row was committed. Does nothing when the service is stopping: the job runs at the next start.
    pub(crate) fn begin(&self, job: impl Into<Due>) {
        let due = job.into();
        let id = due.id();
        if self.start.send(due).is_err() {
            tracing::info!(%id, "the job waits for the next start");
        }
    }

    /// [`begin`](Jobs::begin), and the job goes first: its caller has an answer to make, which would keep it waiting on
    /// this thread. What the caller reads after this may show the job's end already.
    pub(crate) async fn begin_first(&self, job: impl Into<Due>) {
        self.begin(job);
        tokio::task::yield_now().await;
    }

    /// Every change of every job from now on.
    pub fn changes(&self) -> broadcast::Receiver<Job> {
        self.changes.listeners.subscribe()
    }

    /// A job, if the actor may see it.
    pub async fn get(&self, actor: &Actor, id: JobId) -> Result<Job, Condition> {
        let scope = actor.scope;
        let mut job = look(&*self.meta, move |tx| tx.get::<Job>(scope, id)).await?;
        self.changes.look(&mut job);
        may(actor, Power::Read, Some(job.project))?;
        Ok(job)
    }

    /// All jobs that the actor may see, the oldest first.
    pub async fn list(&self, actor: &Actor) -> Result<Vec<Job>, Condition> {
        let scope = actor.scope;
        let mut all: Vec<Job> = read(&*self.meta, move |tx| tx.list(scope, &Query::default())).await?;
        all.iter_mut().for_each(|job| self.changes.look(job));
        Ok(all)
    }

    /// Waits until a job is over; a failed one answers why it failed.
    pub async fn wait(&self, id: JobId) -> Result<Job, Condition> {
        let mut changes = self.changes.listeners.subscribe();
        loop {
            let job = look(&*self.meta, move |tx| tx.get::<Job>(Scope::All, id)).await?;
            match job.state {
                JobState::Done => return Ok(job),
                JobState::Failed => {
                    return Err(job
                        .error
                        .unwrap_or_else(|| Condition::internal("a failed job without a reason")));
                }
                JobState::Running if job.error.is_some() => return Err(parked(&job)),
                JobState::Running | JobState::Undoing => {}
            }
            loop {
                match changes.recv().await {
                    Ok(j) if j.id == id && j.is_final() => break,
                    Ok(j) if j.id == id && j.state == JobState::Running && j.error.is_some() => {
                        return Err(parked(&j));
                    }
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Err(broadcast::error::RecvError::Closed) => {
                        return Err(Condition::Unavailable("the service is stopping".into()));
                    }
                }
            }
        }
    }

    /// Waits for several jobs; the first failure is answered after all are over.
    pub async fn wait_all(&self, ids: impl IntoIterator<Item = JobId>) -> Result<(), Condition> {
        let mut result = Ok(());
        for id in ids.into_iter().collect::<HashSet<_>>() {
            let one = self.wait(id).await;
            result = result.and(one.map(|_| ()));
        }
        result
    }
}

/// Lets jobs go on that could not and wait for the next start: those of these pools whose subject is wanted. Answers
/// the pools whose jobs go on.
pub async fn resume(
    ports: &crate::Ports,
    actor: &Actor,
    pools: Vec<PoolId>,
    wanted: impl Fn(Subject) -> bool + Send + 'static,
) -> Result<Vec<PoolId>, Condition> {
    may(actor, Power::Operate, None)?;
    go_on(ports, pools, wanted).await
}

/// [`resume`] by the service itself.
pub(crate) async fn go_on(
    ports: &crate::Ports,
    pools: Vec<PoolId>,
    wanted: impl Fn(Subject) -> bool + Send + 'static,
) -> Result<Vec<PoolId>, Condition> {
    let found = read(&*ports.meta, move |tx| {
        let mut found = Vec::new();
        for job in tx.list::<Job>(Scope::All, &Query::default())? {
            let parked = job.state == JobState::Running && job.error.is_some();
            let Some(subject) = job.subject.filter(|s| parked && wanted(*s)) else { continue };
            let pool = match crate::data::pool_of(tx, subject) {
                Ok(pool) => pool.id,
                // What it was about is gone; the next start ends it.
                Err(Condition::NotFound { .. }) => continue,
                Err(other) => return Err(other),
            };
            if pools.contains(&pool) {
                found.push((job.id, pool));
            }
        }
        Ok(found)
    })
    .await?;
    let mut going: Vec<PoolId> = found.iter().map(|(_, pool)| *pool).collect();
    found.into_iter().for_each(|(id, _)| ports.jobs.begin(id));
    going.sort();
    going.dedup();
    Ok(going)
}

/// What those who wait hear of a job that cannot go on now.
fn parked(job: &Job) -> Condition {
    let why = job.error.as_ref().map(Condition::to_string).unwrap_or_default();
    Condition::Unavailable(format!(
        "{why}; what was begun is finished when all disks serve again, or at the next start"
    ))
}

/// A job row for the use case's own transaction.
pub(crate) fn plan(
    ports: &crate::Ports,
    kind: &str,
    project: ProjectId,
    subject: Option<Subject>,
    args: &impl Serialize,
) -> Result<Job, Condition> {
    Ok(Job {
        id: JobId(ports.entropy.uuid()),
        kind: kind.to_string(),
        project,
        subject,
        args: serde_json::to_value(args).map_err(Condition::internal)?,
        done: Vec::new(),
        state: JobState::Running,
        progress: None,
        origin: ports.origin.as_deref().map(str::to_string),
        error: None,
        stamp: Stamp::at(ports.clock.now()),
    })
}
