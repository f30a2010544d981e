//! The parts of the service that operators switch, and what it tells people of failures.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{BackupId, Condition, Kind, MessageId, Noun, PoolId, ProjectId, ServiceId, Stamp, Subject};

/// A part of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// What serves one pool.
    Pool(PoolId),
    /// What chooses pools.
    Scheduler,
    /// What makes backups.
    Backup,
}

impl Part {
    fn key(self) -> String {
        match self {
            Part::Pool(id) => id.to_string(),
            Part::Scheduler => "scheduler".into(),
            Part::Backup => "backup".into(),
        }
    }
}

/// How a part is switched. A part without a row is enabled and not frozen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its id.
    pub id: ServiceId,
    /// Which part.
    pub part: Part,
    /// It gets nothing new.
    pub disabled: bool,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// Nothing of it may be made, changed or removed; what is attached goes on.
    pub frozen: bool,
    /// Order, revision, times.
    pub stamp: Stamp,
}

impl Service {
    /// The space of unique names of parts.
    pub const SPACE: &'static str = "service";

    /// The unique name of a part.
    pub fn name_of(part: Part) -> String {
        part.key()
    }
}

impl Noun for Service {
    const KIND: Kind = Kind::Service;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.part.key()
    }
    fn parent(&self) -> Option<Uuid> {
        match self.part {
            Part::Pool(id) => Some(id.0),
            Part::Scheduler | Part::Backup => None,
        }
    }
    fn names(&self) -> Vec<(String, String)> {
        vec![(Service::SPACE.into(), Service::name_of(self.part))]
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}

/// What went wrong after its request was answered, for the people of the project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// For whom.
    pub project: ProjectId,
    /// The kind of job that failed.
    pub work: String,
    /// What it was about.
    pub subject: Subject,
    /// The backup that was made of it or put into it.
    #[serde(default)]
    pub backup: Option<BackupId>,
    /// Why it failed.
    pub why: Condition,
    /// The request that began it, where its side names requests.
    pub origin: Option<String>,
    /// Until when it is kept at least.
    pub expires: Timestamp,
    /// Order, revision, times.
    pub stamp: Stamp,
}

impl Noun for Message {
    const KIND: Kind = Kind::Message;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.id.to_string()
    }
    fn project(&self) -> Option<ProjectId> {
        Some(self.project)
    }
    fn parent(&self) -> Option<Uuid> {
        Some(self.subject.uuid())
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}
