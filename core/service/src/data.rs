//! The service's own way to the bytes: through the gate like everybody else's.

use std::sync::Arc;

use parpen_block::{
    AccessTable, Address, Admits, ExportId, Gate, Home, Peer, Progress, Refusal, Remote, Rights, Session,
};
use parpen_model::ports::{DataPath, MetaStore};
use parpen_model::{Condition, Job, Pool, ReadTx, Scope, Snapshot, Subject, Volume, read};

use crate::Backends;
use crate::jobs::{Changes, StepCx, World};

/// Requests in flight of the service's own sessions.
const DEPTH: u16 = 16;

/// A job's session on its own export, which nobody else can ask for.
pub(crate) struct JobSession {
    remote: Option<Remote>,
    gate: Gate,
    export: ExportId,
}

impl JobSession {
    /// The way to the bytes.
    pub(crate) fn remote(&self) -> Result<&Remote, Condition> {
        self.remote.as_ref().ok_or_else(|| Condition::internal("a job session without its remote"))
    }
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

/// The device of a volume or snapshot, for the gate.
pub(crate) async fn device(
    meta: &dyn MetaStore,
    backends: &Backends,
    subject: Subject,
) -> Result<Arc<dyn parpen_block::BlockDevice>, Condition> {
    let pool = read(meta, move |tx| pool_of(tx, subject)).await?;
    match backends.of(&pool).await?.data(subject).await? {
        DataPath::Here(device) => Ok(device),
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
    let device = device(&*world.meta, &world.backends, subject).await?;
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

/// Tells the job's listeners how far it is with `total` bytes.
pub(crate) fn progress(cx: &StepCx, total: u64) -> impl Progress + use<> {
    JobProgress { job: cx.job.clone(), changes: cx.changes.clone(), total }
}

struct JobProgress {
    job: Job,
    changes: Changes,
    total: u64,
}

impl Progress for JobProgress {
    fn moved(&self, offset: u64) {
        let job = Job { progress: Some((offset, self.total)), ..self.job.clone() };
        self.changes.send(job);
    }
    fn durable(&self, _offset: u64) {}
}

/// Copies all of `from` into `to` and tells the job's listeners how far it is.
pub(crate) async fn copy(from: &JobSession, to: &JobSession, cx: &StepCx) -> Result<(), Condition> {
    let (from, to) = (from.remote()?, to.remote()?);
    let progress = progress(cx, from.geometry().size);
    parpen_block::copy(from, to, 0, &progress).await?;
    Ok(())
}
