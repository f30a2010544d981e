//! Volumes and snapshots.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::lifecycle::{Health, Life, Migration, Standing, Usage, Work};
use crate::{
    Alias, Api, Attributes, DataKey, GroupId, GroupSnapshotId, Handle, Kind, Noun, PoolId, ProjectId,
    SnapshotId, Stamp, VolumeId, VolumeTypeId,
};

/// The space of unique names that handles live in; volumes and snapshots share it.
pub const HANDLES: &str = "handle";

/// Where the replicas of a volume are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The placement group of all replicas but the last.
    pub all: String,
    /// The placement group of the last replica, the one that is read.
    pub tail: String,
    /// Number of replicas, 1 to 3.
    pub replication: u8,
}

/// Ceilings on I/O; `None` is unlimited, 0 admits nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes per second.
    pub bytes_per_second: Option<u64>,
    /// Requests per second.
    pub requests_per_second: Option<u64>,
}

/// One ceiling as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IoCeiling {
    /// None, whatever a policy says.
    Unlimited,
    /// So much per second.
    At(u64),
}

/// Ceilings as they are asked for: those that are not named stay as they are, or are the policy's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedLimits {
    /// Bytes.
    pub bytes_per_second: Option<IoCeiling>,
    /// Requests.
    pub requests_per_second: Option<IoCeiling>,
}

impl WantedLimits {
    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        *self == WantedLimits::default()
    }

    /// What present ceilings become.
    pub fn over(&self, present: Limits) -> Limits {
        let one = |asked: Option<IoCeiling>, present| match asked {
            None => present,
            Some(IoCeiling::Unlimited) => None,
            Some(IoCeiling::At(n)) => Some(n),
        };
        Limits {
            bytes_per_second: one(self.bytes_per_second, present.bytes_per_second),
            requests_per_second: one(self.requests_per_second, present.requests_per_second),
        }
    }
}

/// A thin, writable block device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Its id.
    pub id: VolumeId,
    /// Free text, at most 255 characters; not unique.
    pub name: String,
    /// Unique.
    pub handle: Handle,
    /// Its names in APIs that do not show the handle.
    pub aliases: Vec<Alias>,
    /// Who owns it.
    pub project: ProjectId,
    /// Where it lives.
    pub pool: PoolId,
    /// Size in bytes, a multiple of 512.
    pub size: u64,
    /// The policy it is linked to.
    pub volume_type: Option<VolumeTypeId>,
    /// Where its replicas are.
    pub placement: Placement,
    /// Ceilings on its I/O.
    pub limits: Limits,
    /// Every later attachment is read-only.
    pub readonly: bool,
    /// More than one host may attach it.
    pub shared: bool,
    /// The snapshot its head grew from, as long as that exists.
    pub parent: Option<SnapshotId>,
    /// What it was made from, for ever.
    pub made_from: Option<crate::Subject>,
    /// Life axis.
    pub life: Life,
    /// Use axis.
    pub usage: Usage,
    /// Running jobs.
    pub work: Vec<Work>,
    /// Health axis.
    pub health: Health,
    /// A state that was declared over what the axes say; the next change of use or the end of a job ends it.
    #[serde(default)]
    pub declared: Option<Standing>,
    /// How its last move between pools stands.
    #[serde(default)]
    pub migration: Option<Migration>,
    /// The group it belongs to.
    #[serde(default)]
    pub group: Option<GroupId>,
    /// The sides that were told not to show it.
    #[serde(default)]
    pub hidden: Vec<Api>,
    /// Counts up with every change of who may open it.
    pub epoch: u64,
    /// With which key its bytes are encrypted; none: they are stored as they are.
    #[serde(default)]
    pub key: Option<DataKey>,
    /// What APIs keep with it.
    pub attributes: Attributes,
    /// Why it is in error, in plain words.
    pub fault: Option<String>,
    /// Order, revision, times.
    pub stamp: Stamp,
}

/// An immutable block device: a volume at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// Free text, at most 255 characters.
    pub name: String,
    /// Unique.
    pub handle: Handle,
    /// Its names in APIs that do not show the handle.
    pub aliases: Vec<Alias>,
    /// Who owns it.
    pub project: ProjectId,
    /// Where it lives.
    pub pool: PoolId,
    /// The volume it was taken of, for ever, also when that is gone.
    pub origin: VolumeId,
    /// The snapshot before it, as long as that exists.
    pub parent: Option<SnapshotId>,
    /// Size in bytes.
    pub size: u64,
    /// The policy it is linked to.
    pub volume_type: Option<VolumeTypeId>,
    /// Where its replicas are.
    pub placement: Placement,
    /// Ceilings on I/O of read-only attachments.
    pub limits: Limits,
    /// The name was made by the service.
    pub auto_named: bool,
    /// Lives only as long as something was made from it.
    pub bound: bool,
    /// The service's own, for the time of a copy; may vanish at any time.
    pub transient: bool,
    /// Life axis.
    pub life: Life,
    /// Health axis.
    pub health: Health,
    /// A state that was declared over what the axes say.
    #[serde(default)]
    pub declared: Option<Standing>,
    /// The group snapshot it is part of.
    #[serde(default)]
    pub group_snapshot: Option<GroupSnapshotId>,
    /// The sides that were told not to show it.
    #[serde(default)]
    pub hidden: Vec<Api>,
    /// With which key its bytes are encrypted; none: they are stored as they are.
    #[serde(default)]
    pub key: Option<DataKey>,
    /// What APIs keep with it.
    pub attributes: Attributes,
    /// Why it is in error, in plain words.
    pub fault: Option<String>,
    /// Order, revision, times.
    pub stamp: Stamp,
}

fn names_of(handle: &Handle, aliases: &[Alias]) -> Vec<(String, String)> {
    let handle = (HANDLES.to_string(), handle.to_string());
    std::iter::once(handle).chain(aliases.iter().map(|a| (a.space(), a.name.clone()))).collect()
}

fn shown(aliases: &[Alias], api: Api, handle: &Handle) -> String {
    aliases.iter().find(|a| a.api == api).map_or_else(|| handle.to_string(), |a| a.name.clone())
}

impl Volume {
    /// Whether its bytes are encrypted: here, or by whoever attaches it, as its type says.
    pub fn is_encrypted(&self, kind: Option<&super::VolumeType>) -> bool {
        self.key.is_some() || kind.is_some_and(|t| t.encryption.is_some())
    }

    /// The name that an API shows: its own alias, else the handle.
    pub fn shown_in(&self, api: Api) -> String {
        shown(&self.aliases, api, &self.handle)
    }
}

impl Snapshot {
    /// The name that an API shows: its own alias, else the handle.
    pub fn shown_in(&self, api: Api) -> String {
        shown(&self.aliases, api, &self.handle)
    }
}

impl Noun for Volume {
    const KIND: Kind = Kind::Volume;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.handle.to_string()
    }
    fn project(&self) -> Option<ProjectId> {
        Some(self.project)
    }
    fn parent(&self) -> Option<Uuid> {
        Some(self.pool.0)
    }
    fn source(&self) -> Option<Uuid> {
        self.parent.map(Uuid::from)
    }
    fn names(&self) -> Vec<(String, String)> {
        names_of(&self.handle, &self.aliases)
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}

impl Noun for Snapshot {
    const KIND: Kind = Kind::Snapshot;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.handle.to_string()
    }
    fn project(&self) -> Option<ProjectId> {
        Some(self.project)
    }
    fn parent(&self) -> Option<Uuid> {
        Some(self.origin.0)
    }
    fn source(&self) -> Option<Uuid> {
        self.parent.map(Uuid::from)
    }
    fn watched(&self) -> bool {
        self.bound
    }
    fn names(&self) -> Vec<(String, String)> {
        names_of(&self.handle, &self.aliases)
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}
