//! Typed ids: mixing a volume's id with a snapshot's is a compile error.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(s: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(s).map($name)
            }
        }
        impl From<Uuid> for $name {
            fn from(u: Uuid) -> Self {
                $name(u)
            }
        }
        impl From<$name> for Uuid {
            fn from(id: $name) -> Uuid {
                id.0
            }
        }
    )*};
}

ids! {
    /// A volume.
    VolumeId;
    /// A snapshot.
    SnapshotId;
    /// A pool.
    PoolId;
    /// A project.
    ProjectId;
    /// A volume type.
    VolumeTypeId;
    /// An attachment.
    AttachmentId;
    /// A host.
    HostId;
    /// A lock.
    LockId;
    /// A job.
    JobId;
    /// A pin.
    PinId;
    /// A principal.
    PrincipalId;
    /// A credential.
    CredentialId;
    /// A token.
    TokenId;
    /// A backup.
    BackupId;
    /// An image.
    ImageId;
    /// A data key.
    KeyId;
    /// Quality-of-service specs.
    QosId;
    /// The ceilings of a project or class.
    QuotaId;
    /// A part of the service.
    ServiceId;
    /// A message.
    MessageId;
    /// A group of volumes.
    GroupId;
    /// A type of groups.
    GroupTypeId;
    /// A snapshot of a group.
    GroupSnapshotId;
    /// An offer of a volume to another project.
    TransferId;
}

impl From<HostId> for parpen_block::HostId {
    fn from(h: HostId) -> Self {
        parpen_block::HostId(h.0)
    }
}

impl From<parpen_block::HostId> for HostId {
    fn from(h: parpen_block::HostId) -> Self {
        HostId(h.0)
    }
}
