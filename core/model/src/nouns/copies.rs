//! Copies outside the pools: backups and images; and the keys of what is encrypted.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::lifecycle::{BackupState, ImageState};
use crate::ports::{Archived, Place};
use crate::{
    Attributes, BackupId, ImageId, KeyId, Kind, Noun, ProjectId, SnapshotId, Stamp, VolumeId, VolumeTypeId,
};

/// A volume's bytes at one instant, outside of its pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backup {
    /// Its id.
    pub id: BackupId,
    /// Free text, at most 255 characters; not unique.
    pub name: String,
    /// Who owns it.
    pub project: ProjectId,
    /// The volume it is of, for ever, also when that is gone.
    pub volume: VolumeId,
    /// The volume's handle then.
    pub handle: String,
    /// The volume's name then.
    #[serde(default)]
    pub called: String,
    /// What APIs kept with the volume then.
    #[serde(default)]
    pub described: Attributes,
    /// The snapshot that somebody asked to be backed up.
    pub snapshot: Option<SnapshotId>,
    /// The set it belongs to.
    pub container: String,
    /// The backup of the same volume that it was compared with, as long as that exists.
    pub base: Option<BackupId>,
    /// Only what differed from its base was stored.
    pub incremental: bool,
    /// The volume's size then, in bytes.
    pub size: u64,
    /// Bytes that it added to the store; known when it is made.
    pub stored: u64,
    /// Objects that it added to the store.
    pub objects: u64,
    /// From which instant the bytes are.
    pub data: Timestamp,
    /// The volume's type then.
    pub volume_type: Option<VolumeTypeId>,
    /// With which key its bytes are encrypted; none: they are plain.
    #[serde(default)]
    pub key: Option<DataKey>,
    /// The service's own snapshot with the same bytes, kept so that the next backup knows what has changed.
    pub held: Option<SnapshotId>,
    /// Where it stands.
    pub state: BackupState,
    /// What an administrator wants shown instead, until it changes.
    pub shown: Option<BackupState>,
    /// What APIs keep with it.
    pub attributes: Attributes,
    /// Why it is in error, in plain words.
    pub fault: Option<String>,
    /// Order, revision, times.
    pub stamp: Stamp,
}

impl Backup {
    /// Where it is kept.
    pub fn place(&self) -> Place {
        Place { container: self.container.clone(), volume: self.volume, backup: self.id }
    }

    /// The state that people see.
    pub fn shown(&self) -> BackupState {
        self.shown.unwrap_or(self.state)
    }

    /// Takes over the figures of a finished backup.
    pub fn is_made(&mut self, figures: Archived) {
        (self.size, self.stored, self.objects) = (figures.size, figures.stored, figures.objects);
    }
}

/// Who may use an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Its project.
    Private,
    /// Everybody.
    Public,
    /// Its project, and whoever is told of it.
    Shared,
    /// Everybody who knows its id.
    Community,
}

impl Visibility {
    /// All of them.
    pub const ALL: [Visibility; 4] =
        [Visibility::Private, Visibility::Public, Visibility::Shared, Visibility::Community];

    /// Its word. Stable.
    pub fn word(self) -> &'static str {
        match self {
            Visibility::Private => "private",
            Visibility::Public => "public",
            Visibility::Shared => "shared",
            Visibility::Community => "community",
        }
    }
}

/// A disk to start from: immutable bytes in some format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Free text; not unique.
    pub name: Option<String>,
    /// Who owns it.
    pub project: ProjectId,
    /// Who may use it.
    pub visibility: Visibility,
    /// It cannot be deleted until this is taken back.
    pub protected: bool,
    /// Not in lists, unless they ask for hidden ones.
    pub hidden: bool,
    /// How its bytes are laid out: `raw`, `qcow2`, or a format that is only kept.
    pub disk_format: Option<String>,
    /// What is around them; `bare`: nothing.
    pub container_format: Option<String>,
    /// Smallest volume for it, in bytes.
    pub min_disk: u64,
    /// Smallest memory for it, in bytes.
    pub min_ram: u64,
    /// Bytes of its file; known when it is stored.
    pub size: Option<u64>,
    /// Bytes of the disk in it, where the format says so.
    pub virtual_size: Option<u64>,
    /// MD5 of its file, as 32 hexadecimal digits.
    pub md5: Option<String>,
    /// SHA-512 of its file, as 128 hexadecimal digits.
    pub sha512: Option<String>,
    /// Words on it.
    pub tags: Vec<String>,
    /// Where it stands.
    pub state: ImageState,
    /// What APIs keep with it.
    pub attributes: Attributes,
    /// Order, revision, times.
    pub stamp: Stamp,
}

/// The id of an image that is gone: no other image gets it, so that whoever noted it never finds another's bytes there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpentImage {
    /// The id that the image had.
    pub id: ImageId,
    /// Order, revision, times.
    pub stamp: Stamp,
}

/// The key that encrypts a volume and what was made from it, wrapped by a key that the service cannot do without. Every
/// row of what it encrypts has it, so it is gone with the last of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataKey {
    /// Its id.
    pub id: KeyId,
    /// Who can unwrap it, in the key manager's own words.
    pub wrapped_by: String,
    /// The wrapped key, in the key manager's own form.
    pub wrapped: String,
}

impl Noun for Backup {
    const KIND: Kind = Kind::Backup;
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
        Some(self.volume.0)
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}

impl Noun for Image {
    const KIND: Kind = Kind::Image;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.id.to_string()
    }
    /// What everybody may use belongs to nobody, as far as seeing it goes.
    fn project(&self) -> Option<ProjectId> {
        match self.visibility {
            Visibility::Private | Visibility::Shared => Some(self.project),
            Visibility::Public | Visibility::Community => None,
        }
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}

impl Noun for SpentImage {
    const KIND: Kind = Kind::SpentImage;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.id.to_string()
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}
