//! Ceilings of projects. What is in use is counted from the rows in the transaction that adds one, so that count and
//! rows cannot drift apart; where nothing is limited, nothing is counted.

mod edit;
mod usage;

pub use edit::{Limit, class, classes_default, reset, set_class, set_project};
pub use usage::{Figure, Usage, of_project, usage};

use std::collections::BTreeMap;

use parpen_model::{
    Among, Condition, Counted, ProjectId, Quota, ReadTx, Scope, Snapshot, Volume, VolumeType, VolumeTypeId,
    Whose,
};

use usage::Counter;

/// The class that holds for projects that have no ceiling of their own.
pub const DEFAULT_CLASS: &str = "default";

/// What somebody wants to add to a project.
#[derive(Clone, Debug, Default)]
pub struct Need {
    amounts: BTreeMap<(Counted, Among), u64>,
    /// The largest single volume there will be.
    volume_size: Option<u64>,
}

/// Bytes as gibibytes, rounded up: so quotas count.
pub fn gib(bytes: u64) -> u64 {
    bytes.div_ceil(parpen_base::GIB)
}

impl Need {
    fn add(&mut self, what: Counted, of: Option<VolumeTypeId>, amount: u64) {
        for among in [Among::All, Among::OfType(of)] {
            *self.amounts.entry((what, among)).or_default() += amount;
        }
    }

    /// A volume more.
    pub fn volume(v: &Volume) -> Need {
        Need::default().and_volume(v)
    }

    /// And a volume more.
    pub fn and_volume(mut self, v: &Volume) -> Need {
        self.add(Counted::Volumes, v.volume_type, 1);
        self.add(Counted::Gigabytes, v.volume_type, gib(v.size));
        self.volume_size = self.volume_size.max(Some(gib(v.size)));
        self
    }

    /// And a snapshot more.
    pub fn and_snapshot(mut self, s: &Snapshot) -> Need {
        self.add(Counted::Snapshots, s.volume_type, 1);
        self.add(Counted::Gigabytes, s.volume_type, gib(s.size));
        self
    }

    /// A snapshot more.
    pub fn snapshot(s: &Snapshot) -> Need {
        Need::default().and_snapshot(s)
    }

    /// A volume that becomes larger; nothing when it does not.
    pub fn growth(v: &Volume, to: u64) -> Need {
        let mut need = Need::default();
        let more = gib(to).saturating_sub(gib(v.size));
        if more > 0 {
            need.add(Counted::Gigabytes, v.volume_type, more);
            need.volume_size = Some(gib(to));
        }
        need
    }

    /// A volume, with its snapshots, that becomes one of another type: only what is counted by type is needed.
    pub fn retype(v: &Volume, snapshots: &[Snapshot], to: Option<VolumeTypeId>) -> Need {
        let linked = Volume { volume_type: to, ..v.clone() };
        let linked_too = |s: &Snapshot| Snapshot { volume_type: to, ..s.clone() };
        let mut need =
            snapshots.iter().map(linked_too).fold(Need::volume(&linked), |need, s| need.and_snapshot(&s));
        need.amounts.retain(|(_, among), _| *among != Among::All);
        need.volume_size = None;
        need
    }

    /// A backup more, of so many bytes.
    pub fn backup(bytes: u64) -> Need {
        let amounts = [(Counted::Backups, 1), (Counted::BackupGigabytes, gib(bytes))];
        Need { amounts: amounts.map(|(c, n)| ((c, Among::All), n)).into(), volume_size: None }
    }

    /// A group more.
    pub fn group() -> Need {
        Need { amounts: [((Counted::Groups, Among::All), 1)].into(), volume_size: None }
    }
}

/// The ceilings that hold for a project: its own, else those of the default class.
pub(crate) struct Ceilings {
    own: Option<Quota>,
    default: Option<Quota>,
}

impl Ceilings {
    pub(crate) fn of(tx: &dyn ReadTx, project: ProjectId) -> Result<Ceilings, Condition> {
        let own = row(tx, &Whose::Project(project))?;
        Ok(Ceilings { own, default: row(tx, &Whose::Class(DEFAULT_CLASS.into()))? })
    }

    /// The ceiling of one thing; `None`: any number.
    pub(crate) fn limit(&self, counted: Counted, among: Among) -> Option<u64> {
        let set = |q: &Option<Quota>| q.as_ref().and_then(|q| q.ceiling(counted, among)).copied();
        set(&self.own).or_else(|| set(&self.default)).and_then(|c| c.limit)
    }

    fn is_empty(&self) -> bool {
        [&self.own, &self.default].into_iter().flatten().all(|q| q.ceilings.iter().all(|c| c.limit.is_none()))
    }
}

pub(crate) fn row(tx: &dyn ReadTx, whose: &Whose) -> Result<Option<Quota>, Condition> {
    let (space, name) = Quota::name_of(whose);
    tx.find_named(Scope::All, &space, &name)
}

/// Refuses what would pass a ceiling. Called in the transaction that adds the rows, before they are added.
pub fn admit(tx: &dyn ReadTx, project: ProjectId, need: &Need) -> Result<(), Condition> {
    let ceilings = Ceilings::of(tx, project)?;
    if ceilings.is_empty() {
        return Ok(());
    }
    if let (Some(asked), Some(limit)) = (need.volume_size, ceilings.limit(Counted::VolumeSize, Among::All))
        && asked > limit
    {
        let what = Counted::VolumeSize.word().to_string();
        return Err(Condition::QuotaExceeded { what, limit, used: 0, asked });
    }
    let mut counter = Counter::new(tx, project);
    for ((counted, among), asked) in &need.amounts {
        let Some(limit) = ceilings.limit(*counted, *among) else { continue };
        let figure = counter.figure(*counted, *among)?;
        let used = figure.in_use.saturating_add(figure.reserved);
        if *asked > 0 && used.saturating_add(*asked) > limit {
            let what = key(tx, *counted, *among)?;
            return Err(Condition::QuotaExceeded { what, limit, used, asked: *asked });
        }
    }
    Ok(())
}

/// The name of what is counted, with the type's where it is counted by type.
fn key(tx: &dyn ReadTx, counted: Counted, among: Among) -> Result<String, Condition> {
    Ok(match among {
        Among::All => counted.word().to_string(),
        Among::OfType(None) => format!("{}_without_type", counted.word()),
        Among::OfType(Some(t)) => {
            let name = tx.find::<VolumeType>(Scope::All, t)?.map_or_else(|| t.to_string(), |t| t.name);
            format!("{}_{name}", counted.word())
        }
    })
}
