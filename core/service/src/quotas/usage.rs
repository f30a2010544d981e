//! What a project has.

use std::collections::BTreeMap;

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::Work;
use parpen_model::{
    Among, Condition, Counted, Group, Job, ProjectId, Query, ReadTx, Scope, Snapshot, Volume, VolumeType,
    read,
};

use super::{Ceilings, gib};
use crate::Ports;

/// How much of one thing there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figure {
    /// There.
    pub in_use: u64,
    /// Asked for and on its way.
    pub reserved: u64,
}

/// A ceiling and what is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// So many at most; `None`: any number.
    pub limit: Option<u64>,
    /// So many there are.
    pub figure: Figure,
}

/// Counts the rows of a project, each kind once and only when it is asked for.
pub(crate) struct Counter<'a> {
    tx: &'a dyn ReadTx,
    project: ProjectId,
    volumes: Option<Vec<Volume>>,
    snapshots: Option<Vec<Snapshot>>,
}

impl<'a> Counter<'a> {
    pub(crate) fn new(tx: &'a dyn ReadTx, project: ProjectId) -> Counter<'a> {
        Counter { tx, project, volumes: None, snapshots: None }
    }

    fn load(&mut self) -> Result<(&[Volume], &[Snapshot]), Condition> {
        let query = Query { project: Some(self.project), ..Query::default() };
        if self.volumes.is_none() {
            let scope = Scope::Project(self.project);
            // What a side let go counts for nobody until it is taken over again.
            let volumes = self.tx.list::<Volume>(scope, &query)?;
            self.volumes = Some(volumes.into_iter().filter(|v| v.hidden.is_empty()).collect());
            let all = self.tx.list::<Snapshot>(scope, &query)?;
            self.snapshots = Some(all.into_iter().filter(|s| !s.transient && s.hidden.is_empty()).collect());
        }
        Ok((self.volumes.as_deref().unwrap_or_default(), self.snapshots.as_deref().unwrap_or_default()))
    }

    /// How much of one thing the project has.
    pub(crate) fn figure(&mut self, counted: Counted, among: Among) -> Result<Figure, Condition> {
        let (tx, project) = (self.tx, self.project);
        let (volumes, snapshots) = self.load()?;
        let fits = |t| among == Among::All || among == Among::OfType(t);
        let volumes = volumes.iter().filter(|v| fits(v.volume_type));
        let snapshots = snapshots.iter().filter(|s| fits(s.volume_type));
        Ok(match counted {
            Counted::Volumes => Figure { in_use: volumes.count() as u64, reserved: 0 },
            Counted::Snapshots => Figure { in_use: snapshots.count() as u64, reserved: 0 },
            Counted::Gigabytes => {
                let mut reserved = 0;
                for v in volumes.clone() {
                    reserved += growing(tx, v)?;
                }
                let sizes = volumes.map(|v| v.size).chain(snapshots.map(|s| s.size));
                Figure { in_use: sizes.map(gib).sum(), reserved }
            }
            // A ceiling on each, of which nothing is used up.
            Counted::VolumeSize => Figure::default(),
            Counted::Groups => Figure { in_use: groups(tx, project)?, reserved: 0 },
            // There are none of these yet.
            Counted::BackupGigabytes | Counted::Backups => Figure::default(),
        })
    }
}

fn groups(tx: &dyn ReadTx, project: ProjectId) -> Result<u64, Condition> {
    let query = Query { project: Some(project), ..Query::default() };
    Ok(tx.list::<Group>(Scope::Project(project), &query)?.len() as u64)
}

/// What a volume that is being made larger will have more, in gibibytes.
fn growing(tx: &dyn ReadTx, v: &Volume) -> Result<u64, Condition> {
    if !v.work.contains(&Work::Resizing) {
        return Ok(0);
    }
    let mut to = v.size;
    for job in tx.children::<Job>(v.id)?.into_iter().filter(|j| !j.is_final()) {
        to = to.max(crate::volumes::resize::target(&job).unwrap_or(0));
    }
    Ok(gib(to) - gib(v.size))
}

/// Every ceiling of a project and what is below it. Who is not in the project needs to be an operator.
pub async fn of_project(
    ports: &Ports,
    actor: &Actor,
    project: ProjectId,
) -> Result<BTreeMap<(Counted, Among), Usage>, Condition> {
    may(actor, Power::Read, Some(project))?;
    read(&*ports.meta, move |tx| {
        let ceilings = Ceilings::of(tx, project)?;
        let mut counter = Counter::new(tx, project);
        let mut all = BTreeMap::new();
        for (counted, among) in things(tx)? {
            let limit = ceilings.limit(counted, among);
            all.insert((counted, among), Usage { limit, figure: counter.figure(counted, among)? });
        }
        Ok(all)
    })
    .await
}

/// What one project has of one thing.
pub async fn usage(
    ports: &Ports,
    actor: &Actor,
    project: ProjectId,
    counted: Counted,
) -> Result<Usage, Condition> {
    may(actor, Power::Read, Some(project))?;
    read(&*ports.meta, move |tx| {
        let limit = Ceilings::of(tx, project)?.limit(counted, Among::All);
        Ok(Usage { limit, figure: Counter::new(tx, project).figure(counted, Among::All)? })
    })
    .await
}

/// Everything that is counted: over all, and by type.
pub(super) fn things(tx: &dyn ReadTx) -> Result<Vec<(Counted, Among)>, Condition> {
    let types = tx.list::<VolumeType>(Scope::All, &Query::default())?;
    let among: Vec<Among> =
        std::iter::once(None).chain(types.iter().map(|t| Some(t.id))).map(Among::OfType).collect();
    let by_type = |c: &Counted| among.iter().map(|a| (*c, *a)).collect::<Vec<_>>();
    let all = Counted::ALL.iter().map(|c| (*c, Among::All));
    Ok(all.chain(Counted::ALL.iter().filter(|c| c.is_by_type()).flat_map(by_type)).collect())
}
