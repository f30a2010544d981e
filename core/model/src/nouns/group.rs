//! Groups of volumes, their types and snapshots, and offers of volumes to other projects.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::lifecycle::{Life, Standing};
use crate::{
    Attributes, GroupId, GroupSnapshotId, GroupTypeId, Kind, Noun, ProjectId, Stamp, TransferId, VolumeId,
    VolumeTypeId,
};

/// A named policy that groups are linked to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupType {
    /// Its id.
    pub id: GroupTypeId,
    /// Unique.
    pub name: String,
    /// In words.
    pub description: Option<String>,
    /// Everybody may use it.
    pub public: bool,
    /// What APIs keep with it.
    pub attributes: Attributes,
    /// Order, revision, times.
    pub stamp: Stamp,
}

/// What a group was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupSource {
    /// A snapshot of a group.
    Snapshot(GroupSnapshotId),
    /// A group.
    Group(GroupId),
}

/// Volumes that are worked on together. The members name the group, not the other way round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Free text; not unique.
    pub name: String,
    /// Who owns it.
    pub project: ProjectId,
    /// The policy it is linked to.
    pub group_type: GroupTypeId,
    /// The types that its members may have; `None` among them: no type at all.
    pub volume_types: Vec<Option<VolumeTypeId>>,
    /// What it was made from, for ever.
    pub made_from: Option<GroupSource>,
    /// Life axis.
    pub life: Life,
    /// A state that was declared over the life axis.
    pub declared: Option<Standing>,
    /// What APIs keep with it.
    pub attributes: Attributes,
    /// Why it is in error, in plain words.
    pub fault: Option<String>,
    /// Order, revision, times.
    pub stamp: Stamp,
}

/// Snapshots of all members of a group at one instant. They name it, not the other way round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSnapshot {
    /// Its id.
    pub id: GroupSnapshotId,
    /// Free text; not unique.
    pub name: String,
    /// Who owns it.
    pub project: ProjectId,
    /// The group it was taken of.
    pub group: GroupId,
    /// That group's policy.
    pub group_type: GroupTypeId,
    /// Life axis.
    pub life: Life,
    /// A state that was declared over the life axis.
    pub declared: Option<Standing>,
    /// What APIs keep with it.
    pub attributes: Attributes,
    /// Why it is in error, in plain words.
    pub fault: Option<String>,
    /// Order, revision, times.
    pub stamp: Stamp,
}

/// An offer of a volume to whoever knows its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Its id.
    pub id: TransferId,
    /// Free text; not unique.
    pub name: Option<String>,
    /// What is offered.
    pub volume: VolumeId,
    /// By whom.
    pub project: ProjectId,
    /// The hash of the key; the key itself is told once and kept nowhere.
    pub key_hash: String,
    /// The volume's snapshots stay behind.
    pub without_snapshots: bool,
    /// Order, revision, times.
    pub stamp: Stamp,
}

fn standing(life: Life, declared: Option<Standing>) -> Standing {
    declared.unwrap_or(match life {
        Life::Creating => Standing::Creating,
        Life::Ready => Standing::Free,
        Life::Deleting => Standing::Deleting,
        Life::Error => Standing::Error,
    })
}

impl Group {
    /// Its state in one word.
    pub fn standing(&self) -> Standing {
        standing(self.life, self.declared)
    }
}

impl GroupSnapshot {
    /// Its state in one word.
    pub fn standing(&self) -> Standing {
        standing(self.life, self.declared)
    }
}

macro_rules! noun {
    ($name:ident, $title:expr, $project:expr, $parent:expr, $names:expr) => {
        impl Noun for $name {
            const KIND: Kind = Kind::$name;
            fn id(&self) -> Uuid {
                self.id.0
            }
            fn title(&self) -> String {
                $title(self)
            }
            fn project(&self) -> Option<ProjectId> {
                $project(self)
            }
            fn parent(&self) -> Option<Uuid> {
                $parent(self)
            }
            fn names(&self) -> Vec<(String, String)> {
                $names(self)
            }
            fn stamp(&self) -> &Stamp {
                &self.stamp
            }
            fn stamp_mut(&mut self) -> &mut Stamp {
                &mut self.stamp
            }
        }
    };
}

noun!(
    GroupType,
    |t: &GroupType| t.name.clone(),
    |_: &GroupType| None,
    |_: &GroupType| None,
    |t: &GroupType| vec![("group type".to_string(), t.name.clone())]
);
noun!(
    Group,
    |g: &Group| g.id.to_string(),
    |g: &Group| Some(g.project),
    |g: &Group| Some(g.group_type.0),
    |_: &Group| Vec::new()
);
noun!(
    GroupSnapshot,
    |s: &GroupSnapshot| s.id.to_string(),
    |s: &GroupSnapshot| Some(s.project),
    |s: &GroupSnapshot| Some(s.group.0),
    |_: &GroupSnapshot| Vec::new()
);
noun!(
    Transfer,
    |t: &Transfer| t.id.to_string(),
    |t: &Transfer| Some(t.project),
    |t: &Transfer| Some(t.volume.0),
    // One offer a volume: the store itself refuses a second.
    |t: &Transfer| vec![("transfer".to_string(), t.volume.to_string())]
);
