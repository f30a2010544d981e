//! Who attaches and locks.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::lifecycle::AttachState;
use crate::{
    AttachmentId, Attributes, HostId, JobId, Kind, LockId, Noun, PinId, ProjectId, SnapshotId, Stamp,
    Subject, VolumeId,
};

/// What a holder may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rights {
    /// Reads only.
    ReadOnly,
    /// Reads and writes.
    ReadWrite,
}

impl From<Rights> for parpen_block::Rights {
    fn from(r: Rights) -> Self {
        match r {
            Rights::ReadOnly => parpen_block::Rights::ReadOnly,
            Rights::ReadWrite => parpen_block::Rights::ReadWrite,
        }
    }
}

/// One who attaches or locks. Its spellings are all the names by which sides know it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Its id.
    pub id: HostId,
    /// The spelling people read first.
    pub name: String,
    /// All spellings, the first too; each belongs to one host.
    pub spellings: Vec<String>,
    /// Order, revision, times.
    pub stamp: Stamp,
}

/// A host's right to a volume or snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its id; also that of its export.
    pub id: AttachmentId,
    /// What is attached.
    pub subject: Subject,
    /// The subject's project.
    pub project: ProjectId,
    /// To whom; none while it is only reserved.
    pub host: Option<HostId>,
    /// What the holder may do.
    pub rights: Rights,
    /// Refuses every other attachment.
    pub exclusive: bool,
    /// Where it stands.
    pub state: AttachState,
    /// The unguessable name of its export.
    pub export: String,
    /// The holder's slot, where the side counts slots.
    pub slot: Option<u16>,
    /// Where the holder shows it, in its own words.
    pub mountpoint: Option<String>,
    /// The machine it is for, in its own words.
    pub instance: Option<String>,
    /// When it was completed.
    pub attached: Option<Timestamp>,
    /// Made through its volume, by a side that does not know attachments of their own.
    #[serde(default)]
    pub by_volume: bool,
    /// The holder gave the connection back; the export admits nobody until it is connected again.
    #[serde(default)]
    pub returned: bool,
    /// What APIs keep with it (a connector, a deployment).
    pub attributes: Attributes,
    /// Order, revision, times.
    pub stamp: Stamp,
}

/// What a transport can be asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// The name to ask for.
    pub name: String,
    /// What it shows.
    pub subject: Subject,
    /// The attachment it belongs to; none: the plain export.
    pub attachment: Option<AttachmentId>,
}

/// An exclusive claim on a volume by a named host; closes the exports of others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lock {
    /// Its id.
    pub id: LockId,
    /// What is locked.
    pub volume: VolumeId,
    /// The volume's project.
    pub project: ProjectId,
    /// By whom.
    pub host: HostId,
    /// As the holder spelled it.
    pub spelling: String,
    /// Order, revision, times.
    pub stamp: Stamp,
}

/// A job that still needs a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    /// Its id.
    pub id: PinId,
    /// What is needed.
    pub snapshot: SnapshotId,
    /// By whom.
    pub job: JobId,
    /// Order, revision, times.
    pub stamp: Stamp,
}

impl Noun for Host {
    const KIND: Kind = Kind::Host;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.name.clone()
    }
    fn names(&self) -> Vec<(String, String)> {
        self.spellings.iter().map(|s| ("host".to_string(), s.clone())).collect()
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}

impl Noun for Attachment {
    const KIND: Kind = Kind::Attachment;
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
    fn names(&self) -> Vec<(String, String)> {
        vec![("export".into(), self.export.clone())]
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}

impl Noun for Lock {
    const KIND: Kind = Kind::Lock;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.spelling.clone()
    }
    fn project(&self) -> Option<ProjectId> {
        Some(self.project)
    }
    fn parent(&self) -> Option<Uuid> {
        Some(self.volume.0)
    }
    /// One lock a volume: the store itself refuses a second.
    fn names(&self) -> Vec<(String, String)> {
        vec![("lock".into(), self.volume.to_string())]
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}

impl Noun for Pin {
    const KIND: Kind = Kind::Pin;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.id.to_string()
    }
    fn parent(&self) -> Option<Uuid> {
        Some(self.snapshot.0)
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}
