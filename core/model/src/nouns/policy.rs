//! What administrators lay down: quality of service and ceilings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Kind, Limits, Noun, ProjectId, QosId, QuotaId, Stamp, VolumeTypeId};

/// Who keeps to quality-of-service specs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QosConsumer {
    /// The host that attaches the volume.
    FrontEnd,
    /// The service.
    BackEnd,
    /// Both.
    Both,
}

impl QosConsumer {
    /// All of them.
    pub const ALL: [QosConsumer; 3] = [QosConsumer::FrontEnd, QosConsumer::BackEnd, QosConsumer::Both];

    /// Its word. Stable.
    pub fn word(self) -> &'static str {
        match self {
            QosConsumer::FrontEnd => "front-end",
            QosConsumer::BackEnd => "back-end",
            QosConsumer::Both => "both",
        }
    }

    /// Whether the host is told of the specs.
    pub fn tells_the_host(self) -> bool {
        self != QosConsumer::BackEnd
    }

    /// Whether the service keeps to them itself.
    pub fn binds_the_service(self) -> bool {
        self != QosConsumer::FrontEnd
    }
}

/// Named specs of quality of service. Volume types point at them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Qos {
    /// Its id.
    pub id: QosId,
    /// Unique.
    pub name: String,
    /// Who keeps to them.
    pub consumer: QosConsumer,
    /// The specs as they were given.
    pub specs: BTreeMap<String, String>,
    /// What the service itself keeps to of them; nothing where that is the host's business alone.
    pub limits: Limits,
    /// Order, revision, times.
    pub stamp: Stamp,
}

impl Noun for Qos {
    const KIND: Kind = Kind::Qos;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.name.clone()
    }
    fn names(&self) -> Vec<(String, String)> {
        vec![("qos".into(), self.name.clone())]
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}

/// What quotas count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counted {
    /// Gibibytes of volumes and snapshots, each rounded up.
    Gigabytes,
    /// Volumes.
    Volumes,
    /// Snapshots.
    Snapshots,
    /// Gibibytes of one volume.
    VolumeSize,
    /// Gibibytes of backups.
    BackupGigabytes,
    /// Backups.
    Backups,
    /// Groups.
    Groups,
}

impl Counted {
    /// All of them, in the order in which they are checked: sizes before numbers.
    pub const ALL: [Counted; 7] = [
        Counted::Gigabytes,
        Counted::Volumes,
        Counted::Snapshots,
        Counted::VolumeSize,
        Counted::BackupGigabytes,
        Counted::Backups,
        Counted::Groups,
    ];

    /// Its word in refusals and documents. Stable.
    pub fn word(self) -> &'static str {
        match self {
            Counted::Gigabytes => "gigabytes",
            Counted::Volumes => "volumes",
            Counted::Snapshots => "snapshots",
            Counted::VolumeSize => "per_volume_gigabytes",
            Counted::BackupGigabytes => "backup_gigabytes",
            Counted::Backups => "backups",
            Counted::Groups => "groups",
        }
    }

    /// Whether it can be counted for each volume type.
    pub fn is_by_type(self) -> bool {
        matches!(self, Counted::Gigabytes | Counted::Volumes | Counted::Snapshots)
    }
}

/// Over what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Among {
    /// Everything.
    All,
    /// What is linked to one volume type; `None`: to no type.
    OfType(Option<VolumeTypeId>),
}

/// One ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceiling {
    /// What is counted.
    pub counted: Counted,
    /// Over what.
    pub among: Among,
    /// So many at most; `None`: any number, whatever the default says.
    pub limit: Option<u64>,
}

/// Whose ceilings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// One project's.
    Project(ProjectId),
    /// A class's; that of the name `default` holds for all projects that have none of their own.
    Class(String),
}

/// The ceilings of a project or class, those that were ever set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quota {
    /// Its id.
    pub id: QuotaId,
    /// Whose.
    pub whose: Whose,
    /// At most one for each thing that is counted.
    pub ceilings: Vec<Ceiling>,
    /// Order, revision, times.
    pub stamp: Stamp,
}

impl Quota {
    /// The unique name under which the row of a project or class is found.
    pub fn name_of(whose: &Whose) -> (String, String) {
        match whose {
            Whose::Project(p) => ("quota of project".into(), p.to_string()),
            Whose::Class(name) => ("quota class".into(), name.clone()),
        }
    }

    /// What was set for one thing that is counted.
    pub fn ceiling(&self, counted: Counted, among: Among) -> Option<&Ceiling> {
        self.ceilings.iter().find(|c| c.counted == counted && c.among == among)
    }
}

impl Noun for Quota {
    const KIND: Kind = Kind::Quota;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        Quota::name_of(&self.whose).1
    }
    fn names(&self) -> Vec<(String, String)> {
        vec![Quota::name_of(&self.whose)]
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}
