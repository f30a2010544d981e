//! One step of a job, and the tables of steps.

use std::sync::Arc;

use parpen_base::{Boxed, Clock, Entropy};
use parpen_block::{Ceilings, Gate, Home};
use parpen_model::ports::{MetaStore, VolumeBackend};
use parpen_model::{Condition, Job, Pool, PoolId, Scope, WriteTx, look};
use serde::de::DeserializeOwned;

use super::Changes;
use crate::{Backends, Copies};

/// What only jobs are given: rows, stores and the gate together.
pub struct World {
    /// Rows.
    pub meta: Arc<dyn MetaStore>,
    /// The pools' stores.
    pub backends: Arc<Backends>,
    /// Where copies outside the pools are kept.
    pub copies: Copies,
    /// The gate.
    pub gate: Gate,
    /// The ceilings in force.
    pub ceilings: Arc<Ceilings>,
    /// Where queues of devices without a home of their own live.
    pub home: Arc<dyn Home>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl World {
    /// The store of a pool.
    pub async fn store(&self, pool: PoolId) -> Result<Arc<dyn VolumeBackend>, Condition> {
        if let Some(store) = self.backends.opened(pool).await {
            return Ok(store);
        }
        let pool: Pool = look(&*self.meta, move |tx| tx.get(Scope::All, pool)).await?;
        self.backends.of(&pool).await
    }
}

/// A running step's surroundings.
pub struct StepCx {
    /// The job as it is now.
    pub job: Job,
    /// What jobs are given.
    pub world: Arc<World>,
    pub(crate) changes: Changes,
}

impl StepCx {
    /// The job's arguments.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, Condition> {
        serde_json::from_value(self.job.args.clone()).map_err(|e| {
            Condition::internal(format!("the arguments of job {} cannot be read: {e}", self.job.id))
        })
    }

    /// Tells listeners how far the step is; kept in memory only.
    pub fn progress(&mut self, done: u64, of: u64) {
        self.job.progress = Some((done, of));
        self.changes.send(self.job.clone());
    }
}

/// The rows that a finished step changes; stored in one transaction with the note that it is done, and with the job's end
/// when it was the last.
pub type Commit = Box<dyn FnMut(&mut dyn WriteTx) -> Result<(), Condition> + Send>;

/// A commit of nothing.
pub(crate) fn nothing() -> Commit {
    Box::new(|_| Ok(()))
}

/// One step. Its effect is idempotent under the ids in the job's arguments.
pub trait JobStep: Send + Sync {
    /// Stable; it is what the log holds.
    fn name(&self) -> &'static str;
    /// Whether a job has this step at all, by its arguments. What nobody runs is not logged either, so each of the
    /// others is one commit.
    fn applies(&self, _cx: &StepCx) -> Result<bool, Condition> {
        Ok(true)
    }
    /// Does it; may be run twice.
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>>;
    /// What it does cannot be taken back: once it has begun it is repeated until it succeeds, never undone, unless it
    /// was refused before it began.
    fn no_way_back(&self) -> bool {
        false
    }
    /// Undoes it; undoing what was not done is done at once.
    fn undo<'a>(&'a self, _cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async { Ok(nothing()) })
    }
}

/// Every kind of job with its steps, in order.
const TABLES: &[(&str, &[&dyn JobStep])] = {
    use crate::{attachments, backups, disks, groups, images, pools, snapshots, volumes};
    &[
        (volumes::create::KIND, volumes::create::STEPS),
        (volumes::delete::KIND, volumes::delete::STEPS),
        (volumes::resize::KIND, volumes::resize::STEPS),
        (volumes::migrate::KIND, volumes::migrate::STEPS),
        (volumes::rollback::KIND, volumes::rollback::STEPS),
        (volumes::freeze::KIND, volumes::freeze::STEPS),
        (volumes::rebase::KIND, volumes::rebase::STEPS),
        (snapshots::create::KIND, snapshots::create::STEPS),
        (snapshots::delete::KIND, snapshots::delete::STEPS),
        (attachments::reassign::KIND, attachments::reassign::STEPS),
        (backups::create::KIND, backups::create::STEPS),
        (backups::delete::KIND, backups::delete::STEPS),
        (backups::record::KIND, backups::record::STEPS),
        (backups::restore::KIND, backups::restore::STEPS),
        (backups::verify::KIND, backups::verify::STEPS),
        (groups::create::KIND, groups::create::STEPS),
        (groups::delete::KIND, groups::delete::STEPS),
        (groups::snapshots::KIND_CREATE, groups::snapshots::STEPS_CREATE),
        (groups::snapshots::KIND_DELETE, groups::snapshots::STEPS_DELETE),
        (images::fill::KIND, images::fill::STEPS),
        (images::save::KIND, images::save::STEPS),
        (images::KIND_DELETE, images::STEPS_DELETE),
        (pools::KIND_CREATE, pools::STEPS_CREATE),
        (pools::KIND_DELETE, pools::STEPS_DELETE),
        (disks::KIND_ADD, disks::STEPS_ADD),
        (disks::KIND_CHANGE, disks::STEPS_CHANGE),
        (disks::KIND_BALANCE, disks::STEPS_BALANCE),
        (pools::KIND_UPKEEP, pools::STEPS_UPKEEP),
    ]
};

/// The kinds of jobs that this version knows.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(kind, _)| *kind)
}

/// The steps of a kind of job, in order; `None` for kinds that this version does not know.
pub(crate) fn steps(kind: &str) -> Option<&'static [&'static dyn JobStep]> {
    TABLES.iter().find(|(k, _)| *k == kind).map(|(_, s)| *s)
}
