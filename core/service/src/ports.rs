//! What use cases are given.

use std::sync::Arc;

use parpen_base::{Boxed, Clock, Entropy};
use parpen_block::{Ceilings, ExportId, SessionInfo, filter};
use parpen_model::ports::{Change, Figures as Cost, ImageStore, MetaStore};
use parpen_model::{
    BalancePlan, Condition, Disk, Driver, Found, HeldObject, JobId, Label, Limits, Pool, PoolHealth, PoolId,
    Space, Subject, Survey, Task, Volume, Whereabouts,
};

use crate::alarms::Alarms;
use crate::jobs::Jobs;

/// The ports of the use cases. The gate and the stores themselves are the job runner's alone; here they can only be
/// looked at.
#[derive(Clone)]
pub struct Ports {
    /// Rows.
    pub meta: Arc<dyn MetaStore>,
    /// Long work.
    pub jobs: Jobs,
    /// Figures of the pools' stores.
    pub figures: Arc<dyn Figures>,
    /// Images' bytes.
    pub images: Arc<dyn ImageStore>,
    /// Who has what open.
    pub sessions: Arc<dyn OpenSessions>,
    /// What operators should look at.
    pub alarms: Alarms,
    /// The ceilings in force.
    pub ceilings: Arc<Ceilings>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The request on whose behalf these ports are used, where its side names requests.
    pub origin: Option<Arc<str>>,
}

impl Ports {
    /// The same ports, for one request.
    pub fn on_behalf_of(&self, request: &str) -> Ports {
        Ports { origin: Some(request.into()), ..self.clone() }
    }
}

impl Ports {
    /// Binds those who have a volume open by the ceilings that its row says now.
    pub(crate) fn bind(&self, v: &Volume) {
        self.ceilings.set(v.id.0, (ceilings(v.limits), v.stamp.revision));
    }
}

/// Ceilings of a row as the gate's devices know them.
pub(crate) fn ceilings(l: Limits) -> filter::Limits {
    filter::Limits { bytes: l.bytes_per_second, ops: l.requests_per_second }
}

/// Reading figures of the pools' stores.
pub trait Figures: Send + Sync {
    /// Capacity and use of a pool.
    fn space<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Space, Condition>>;
    /// The disks of a pool; none for a pool without media of its own.
    fn disks<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Vec<Disk>, Condition>>;
    /// How safe what a pool holds is, where nobody counts on these disks; `None` for a pool without media of its own.
    /// Looks at every object.
    fn health<'a>(
        &'a self,
        pool: &'a Pool,
        left_out: &'a [u16],
    ) -> Boxed<'a, Result<Option<PoolHealth>, Condition>>;
    /// How all that a pool has is kept on its disks; `None` for a pool without media of its own. Looks at every object.
    fn survey<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Option<Survey>, Condition>>;
    /// Where objects of a volume or snapshot are; `None` for a pool without media of its own.
    fn whereabouts<'a>(
        &'a self,
        pool: &'a Pool,
        what: Subject,
        piece: (u64, u64),
    ) -> Boxed<'a, Result<Option<Whereabouts>, Condition>>;
    /// What a disk of a pool has: [`parpen_model::ports::Media::holds`].
    fn holds<'a>(
        &'a self,
        pool: &'a Pool,
        disk: u16,
        piece: ((u64, u64), u64),
    ) -> Boxed<'a, Result<Vec<HeldObject>, Condition>>;
    /// The number of the disk at a path, if the pool knows it: [`parpen_model::ports::Media::knows`].
    fn knows<'a>(&'a self, pool: &'a Pool, path: &'a str) -> Boxed<'a, Result<Option<u16>, Condition>>;
    /// What the disks of a pool do in the background.
    fn tasks<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Vec<Task>, Condition>>;
    /// What balancing a pool would do, or does.
    fn balance<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<BalancePlan, Condition>>;
    /// The balancing plan that a pool was given last, if any.
    fn planned<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Option<BalancePlan>, Condition>>;
    /// What the pool's store holds.
    fn inventory<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Vec<Found>, Condition>>;
    /// What one volume or snapshot of a pool costs; `None` where the store cannot tell.
    fn cost<'a>(&'a self, pool: &'a Pool, what: Subject) -> Boxed<'a, Result<Option<Cost>, Condition>>;
    /// What of `to` differs from `from`: [`parpen_model::ports::Lineage::diff`].
    fn diff<'a>(
        &'a self,
        pool: &'a Pool,
        from: Option<Subject>,
        to: Subject,
        piece: (u64, u64),
    ) -> Boxed<'a, Result<Vec<Change>, Condition>>;
    /// The disk of a pool for which nobody named one; numbered where there are several.
    fn default_path(&self, pool: &str, number: Option<u16>) -> String;
    /// How far a new disk may grow, in bytes: what was asked for if it fits its bounds, else its part of what the
    /// medium allows to as many as `sharers`.
    fn capacity_for(
        &self,
        driver: Driver,
        path: Option<&str>,
        asked: Option<u64>,
        sharers: u64,
    ) -> Result<u64, Condition>;
    /// Whether the medium below a path has no moving parts, as far as the system tells.
    fn is_ssd(&self, path: &str) -> bool;
    /// What people should know of a pool's media, in plain words.
    fn remark(&self, pool: &Pool) -> Option<String>;
    /// Tells the reconciler of labels that one is out of date.
    fn relabel(&self, pool: PoolId, label: Label) -> Boxed<'_, Result<(), Condition>>;
}

/// Looking at open sessions.
pub trait OpenSessions: Send + Sync {
    /// The sessions of one export.
    fn of(&self, export: ExportId) -> Vec<SessionInfo>;
    /// All sessions.
    fn all(&self) -> Vec<SessionInfo>;
}

impl OpenSessions for parpen_block::Gate {
    fn of(&self, export: ExportId) -> Vec<SessionInfo> {
        self.sessions(export)
    }
    fn all(&self) -> Vec<SessionInfo> {
        self.all_sessions()
    }
}

/// What a use case that starts a job answers: the noun as it stands now, and the job that finishes it.
#[derive(Clone, Debug)]
pub struct Started<T> {
    /// The noun after the first transaction.
    pub now: T,
    /// The job; [`Jobs::wait`] tells how it ended.
    pub job: JobId,
    /// The configuration generation after the first transaction.
    pub generation: u64,
}
