//! The service's own way to the bytes: through the gate like everybody else's.

use std::sync::Arc;

use parpen_block::{
    AccessTable, Address, Admits, Ceilings, Class, ExportId, Gate, Home, Peer, Progress, Refusal, Remote,
    Rights, Session, filter,
};
use parpen_model::ports::{DataPath, MetaStore};
use parpen_model::{Condition, Job, Pool, ReadTx, Scope, Snapshot, Subject, Volume, read};
use tokio::sync::broadcast;

use crate::Backends;
use crate::jobs::{StepCx, World};
use crate::ports::ceilings;

/// Requests in flight of the service's own sessions.
const DEPTH: u16 = 16;

/// A job's session on its own export, which nobody else can ask for.
pub(crate) struct JobSession {
    remote: Option<Remote>,
    gate: Gate,
    export: ExportId,
}

impl Drop for JobSession {
    fn drop(&mut self) {
        self.remote = None;
        self.gate.forget(self.export);
    }
}

/// The pool of a volume or snapshot.
pub(crate) fn pool_of(tx: &dyn ReadTx, subject: Subject) -> Result<Pool, Condition> {
    let pool = match subject {
        Subject::Volume(id) => tx.get::<Volume>(Scope::All, id)?.pool,
        Subject::Snapshot(id) => tx.get::<Snapshot>(Scope::All, id)?.pool,
    };
    tx.get(Scope::All, pool)
}

/// The ceilings of a volume or snapshot, and the revision of the row that says so.
fn limits_of(tx: &dyn ReadTx, subject: Subject) -> Result<(filter::Limits, i64), Condition> {
    let (limits, stamp) = match subject {
        Subject::Volume(id) => tx.get::<Volume>(Scope::All, id).map(|v| (v.limits, v.stamp))?,
        Subject::Snapshot(id) => tx.get::<Snapshot>(Scope::All, id).map(|s| (s.limits, s.stamp))?,
    };
    Ok((ceilings(limits), stamp.revision))
}

/// The device of a volume or snapshot with its ceilings, for the gate.
pub(crate) async fn device(
    meta: &dyn MetaStore,
    backends: &Backends,
    (bounds, class): (&Ceilings, Class),
    subject: Subject,
) -> Result<Arc<dyn parpen_block::BlockDevice>, Condition> {
    let (pool, row) = read(meta, move |tx| Ok((pool_of(tx, subject)?, limits_of(tx, subject)?))).await?;
    match backends.of(&pool).await?.data(subject).await? {
        DataPath::Here(device) => Ok(bounds.around(subject.uuid(), class, row, device)),
        DataPath::Elsewhere { address, path } => {
            Err(Condition::Unsupported(format!("the bytes are at {address}:{path}, not here")))
        }
    }
}

/// Opens a volume or snapshot for a job, whatever its state: the job's rows keep others out.
pub(crate) async fn open_for_job(
    world: &World,
    subject: Subject,
    rights: Rights,
) -> Result<JobSession, Condition> {
    let bounds = (&*world.ceilings, Class::Background);
    let device = device(&*world.meta, &world.backends, bounds, subject).await?;
    let export = ExportId(world.entropy.uuid());
    world.gate.publish(export, AccessTable { rights, admits: Admits::Everyone }, 1);
    let peer = Peer { transport: "job", address: Address::Local, tls_name: None };
    let session = world.gate.admit(export, None, peer, device)?;
    let mut opened = JobSession { remote: None, gate: world.gate.clone(), export };
    opened.remote = Some(open(session, &world.home).await?);
    Ok(opened)
}

/// A session as something that any task can read and write.
pub async fn open(session: Session, home: &Arc<dyn Home>) -> Result<Remote, Refusal> {
    Remote::open(session, DEPTH, home.clone()).await
}

struct JobProgress {
    job: Job,
    changes: broadcast::Sender<Job>,
    total: u64,
}

impl Progress for JobProgress {
    fn moved(&self, offset: u64) {
        let job = Job { progress: Some((offset, self.total)), ..self.job.clone() };
        let _ = self.changes.send(job); // nobody listening is no fault
    }
    fn durable(&self, _offset: u64) {}
}

/// Copies all of `from` into `to` and tells the job's listeners how far it is.
pub(crate) async fn copy(from: &JobSession, to: &JobSession, cx: &StepCx) -> Result<(), Condition> {
    let (Some(from), Some(to)) = (&from.remote, &to.remote) else {
        return Err(Condition::internal("a job session without its remote"));
    };
    let progress =
        JobProgress { job: cx.job.clone(), changes: cx.changes.clone(), total: from.geometry().size };
    parpen_block::copy(from, to, 0, &progress).await?;
    Ok(())
}
