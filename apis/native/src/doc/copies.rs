//! Documents of backups and images.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::VolumeDoc;

/// A backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupDoc {
    /// Its id.
    pub id: Uuid,
    /// Its name; not unique.
    pub name: String,
    /// The volume's handle when it was made.
    pub volume: String,
    /// The volume's id.
    pub volume_id: Uuid,
    /// Size of the volume then, in bytes.
    pub size: u64,
    /// Bytes that it added to the store.
    pub stored: u64,
    /// Where it stands.
    pub state: String,
    /// The backup that it was compared with.
    pub base: Option<Uuid>,
    /// Others were compared with it.
    pub has_dependents: bool,
    /// The set it belongs to.
    pub container: String,
    /// From which instant its bytes are.
    pub data: String,
    /// What is wrong with it.
    pub fault: Option<String>,
}

/// `POST /api/backups`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupWish {
    /// A volume's handle or id, or `<volume>@<snapshot>`.
    pub of: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Only what differs from the newest one of the volume.
    #[serde(default)]
    pub incremental: bool,
    /// The set it belongs to.
    pub container: Option<String>,
}

/// `POST /api/backups/{backup}/restore`: one of both.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreWish {
    /// An existing volume, whose bytes are lost.
    pub over: Option<String>,
    /// The name of a volume that is made.
    pub name: Option<String>,
    /// Its pool.
    pub pool: Option<String>,
}

/// A backup on which a job works.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupBegun {
    /// The backup as it is now.
    pub backup: BackupDoc,
    /// The job.
    pub job: Uuid,
}

/// A volume on which a job works.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VolumeBegun {
    /// The volume as it is now.
    pub volume: VolumeDoc,
    /// The job.
    pub job: Uuid,
}

/// An image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageDoc {
    /// Its id.
    pub id: Uuid,
    /// Its name; not unique.
    pub name: Option<String>,
    /// How its bytes are laid out.
    pub format: Option<String>,
    /// Bytes of its file.
    pub size: Option<u64>,
    /// Bytes of the disk in it.
    pub virtual_size: Option<u64>,
    /// Where it stands.
    pub state: String,
    /// Who may use it.
    pub visibility: String,
    /// It cannot be deleted.
    pub protected: bool,
    /// SHA-512 of its file.
    pub sha512: Option<String>,
    /// When it was made.
    pub created: String,
}

/// `POST /api/images`: an image without bytes, or one of a volume.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageWish {
    /// Its name.
    pub name: String,
    /// `raw` or `qcow2`.
    pub format: String,
    /// The volume whose bytes it gets; none: they are uploaded.
    pub of: Option<String>,
}

/// `POST /api/images/{image}/volume`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageVolumeWish {
    /// The volume's name.
    pub name: String,
    /// Its size in bytes; none: the image's disk, rounded up to a MiB.
    pub size: Option<u64>,
    /// Its pool.
    pub pool: Option<String>,
}
