//! The service's own way to the bytes: through the gate like everybody else's.

use std::sync::Arc;

use parpen_block::{
    AccessTable, Address, Admits, BlockDevice, ExportId, Frozen, Gate, Held, Home, Peer, Progress, Refusal,
    Remote, Rights, Route, Session, Timer,
};
use parpen_model::ports::{DataPath, MetaStore};
use parpen_model::{
    Attachment, Condition, Job, Pool, ReadTx, Scope, Snapshot, Subject, Volume, VolumeId, read,
};

use crate::jobs::{Changes, StepCx, World};
use crate::{Backends, access};

/// Requests in flight of the service's own sessions.
const DEPTH: u16 = 16;

/// A job's session on its own export, which nobody else can ask for.
pub(crate) struct JobSession {
    remote: Option<Remote>,
    gate: Gate,
    export: ExportId,
}

impl JobSession {
    /// What reads and writes.
    pub(crate) fn opened(&self) -> Result<&Remote, Condition> {
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

/// What the gate is given: the device of a snapshot, or the route that all sessions of a volume share.
pub(crate) enum Bytes {
    /// A snapshot's.
    Fixed(Arc<dyn BlockDevice>),
    /// A volume's.
    Routed(Route),
}

impl Bytes {
    /// Does what lets a session in, unless its volume is just being moved.
    pub(crate) fn enter(
        self,
        admit: impl FnOnce(Arc<dyn BlockDevice>) -> Result<Session, Refusal>,
    ) -> Result<Session, Refusal> {
        match self {
            Bytes::Fixed(device) => admit(device),
            Bytes::Routed(route) => route.enter(|| admit(Arc::new(route.clone()))),
        }
    }
}

/// The bytes of a volume or snapshot, for the gate.
pub(crate) async fn bytes(
    meta: &dyn MetaStore,
    backends: &Backends,
    subject: Subject,
) -> Result<Bytes, Condition> {
    loop {
        let pool = read(meta, move |tx| pool_of(tx, subject)).await?;
        let device = device(backends, &pool, subject).await?;
        let Subject::Volume(id) = subject else { return Ok(Bytes::Fixed(device)) };
        let route = backends.route(id, device);
        // From here on whoever moves the volume leads this route; that it was not moved just before is seen in its row.
        if read(meta, move |tx| pool_of(tx, subject)).await?.id == pool.id {
            return Ok(Bytes::Routed(route));
        }
    }
}

/// The device of a volume or snapshot in a pool.
pub(crate) async fn device(
    backends: &Backends,
    pool: &Pool,
    subject: Subject,
) -> Result<Arc<dyn BlockDevice>, Condition> {
    match backends.of(pool).await?.data(subject).await? {
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
    let bytes = bytes(&*world.meta, &world.backends, subject).await?;
    admit_job(world, rights, bytes).await
}

/// Opens what lies in a pool under a volume's id, which need not be the pool that its row names.
pub(crate) async fn open_in(
    world: &World,
    pool: &Pool,
    subject: Subject,
    rights: Rights,
) -> Result<JobSession, Condition> {
    let device = device(&world.backends, pool, subject).await?;
    admit_job(world, rights, Bytes::Fixed(device)).await
}

async fn admit_job(world: &World, rights: Rights, bytes: Bytes) -> Result<JobSession, Condition> {
    let export = ExportId(world.entropy.uuid());
    world.gate.publish(export, AccessTable { rights, admits: Admits::Everyone }, 1);
    let peer = Peer { transport: "job", address: Address::Local, tls_name: None };
    let session = bytes.enter(|device| world.gate.admit(export, None, peer, device))?;
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

/// Volumes of which nothing is in flight, until it is dropped.
pub(crate) struct Still {
    _frozen: Vec<Frozen>,
    _held: Held,
}

/// Holds every export of these volumes and lets no new session in.
pub(crate) async fn still(world: &World, volumes: Vec<VolumeId>) -> Result<Still, Condition> {
    let mut frozen = Vec::new();
    for id in &volumes {
        if let Bytes::Routed(route) = bytes(&*world.meta, &world.backends, (*id).into()).await? {
            frozen.push(route.freeze());
        }
    }
    let exports = read(&*world.meta, move |tx| {
        let each = volumes.into_iter().map(|id| exports_of(tx, id));
        Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
    })
    .await?;
    let held = world.gate.hold(&exports, u32::MAX, &Never).await?;
    Ok(Still { _frozen: frozen, _held: held })
}

/// Every export through which somebody may have a volume open.
pub(crate) fn exports_of(tx: &dyn ReadTx, id: VolumeId) -> Result<Vec<ExportId>, Condition> {
    let own = tx.children::<Attachment>(id)?.into_iter().map(|a| ExportId(a.id.0));
    Ok(own.chain([access::plain_export(id.into())]).collect())
}

/// No timer: what is held is let go by whoever holds it, whose work is short and bounded.
pub(crate) struct Never;

impl Timer for Never {
    fn after(&self, _ms: u32, f: Box<dyn FnOnce() + Send>) {
        drop(f);
    }
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
    let (from, to) = (from.opened()?, to.opened()?);
    let progress = progress(cx, from.geometry().size);
    parpen_block::copy(from, to, 0, &progress).await?;
    Ok(())
}
