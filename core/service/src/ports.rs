//! What use cases are given.

use std::sync::Arc;

use parpen_base::{Boxed, Clock, Entropy};
use parpen_block::{ExportId, SessionInfo};
use parpen_model::ports::MetaStore;
use parpen_model::{BalancePlan, Condition, Disk, Driver, Found, JobId, Label, Pool, PoolId, Space, Task};

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
    /// Who has what open.
    pub sessions: Arc<dyn OpenSessions>,
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

/// Reading figures of the pools' stores.
pub trait Figures: Send + Sync {
    /// Capacity and use of a pool.
    fn space<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Space, Condition>>;
    /// The disks of a pool; none for a pool without media of its own.
    fn disks<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Vec<Disk>, Condition>>;
    /// What the disks of a pool do in the background.
    fn tasks<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Vec<Task>, Condition>>;
    /// What balancing a pool would do, or does.
    fn balance<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<BalancePlan, Condition>>;
    /// What the pool's store holds.
    fn inventory<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Vec<Found>, Condition>>;
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
