//! The fields that documents may hold, as Cinder's schemas have them; others are refused.

use crate::endpoint::Endpoint;

/// Fields, and the microversion 3.x since which there is each.
pub(crate) type Known = [(&'static str, u16)];

pub(crate) const VOLUME: &Known = &[
    ("name", 0),
    ("description", 0),
    ("display_name", 0),
    ("display_description", 0),
    ("volume_type", 0),
    ("metadata", 0),
    ("snapshot_id", 0),
    ("source_volid", 0),
    ("consistencygroup_id", 0),
    ("size", 0),
    ("availability_zone", 0),
    ("multiattach", 0),
    ("image_id", 0),
    ("imageRef", 0),
    ("group_id", 13),
    ("backup_id", 47),
];
/// Before this version what is unknown in a new volume is passed over.
pub(crate) const VOLUME_STRICT: u16 = 53;
/// What may stand beside a new volume.
pub(crate) const HINTS: &str = "OS-SCH-HNT:scheduler_hints";
pub(crate) const VOLUME_CHANGE: &Known =
    &[("name", 0), ("description", 0), ("display_name", 0), ("display_description", 0), ("metadata", 0)];
pub(crate) const VOLUME_TAKEN: &Known = &[
    ("description", 0),
    ("availability_zone", 0),
    ("bootable", 0),
    ("volume_type", 0),
    ("name", 0),
    ("host", 0),
    ("ref", 0),
    ("metadata", 0),
    ("cluster", 16),
];
pub(crate) const SNAPSHOT: &Known =
    &[("name", 0), ("display_name", 0), ("description", 0), ("volume_id", 0), ("force", 0), ("metadata", 0)];
pub(crate) const SNAPSHOT_CHANGE: &Known =
    &[("name", 0), ("description", 0), ("display_name", 0), ("display_description", 0)];
pub(crate) const SNAPSHOT_TAKEN: &Known =
    &[("description", 0), ("metadata", 0), ("name", 0), ("volume_id", 0), ("ref", 0)];
pub(crate) const ATTACHMENT: &Known =
    &[("instance_uuid", 0), ("connector", 0), ("volume_uuid", 0), ("mode", 54)];
pub(crate) const ATTACHMENT_CHANGE: &Known = &[("connector", 0)];
pub(crate) const TRANSFER: &Known = &[("volume_id", 0), ("name", 0), ("no_snapshots", 55)];
pub(crate) const ACCEPT: &Known = &[("auth_key", 0)];
pub(crate) const BACKUP: &Known = &[
    ("volume_id", 0),
    ("container", 0),
    ("description", 0),
    ("incremental", 0),
    ("force", 0),
    ("name", 0),
    ("snapshot_id", 0),
    ("metadata", 43),
    ("availability_zone", 51),
];
pub(crate) const BACKUP_CHANGE: &Known = &[("name", 0), ("description", 0), ("metadata", 43)];
pub(crate) const RESTORE: &Known = &[("name", 0), ("volume_id", 0)];
pub(crate) const RECORD: &Known = &[("backup_service", 0), ("backup_url", 0)];
pub(crate) const GROUP: &Known =
    &[("description", 0), ("group_type", 0), ("name", 0), ("volume_types", 0), ("availability_zone", 0)];
pub(crate) const GROUP_COPY: &Known =
    &[("description", 0), ("name", 0), ("source_group_id", 0), ("group_snapshot_id", 0)];
pub(crate) const GROUP_CHANGE: &Known =
    &[("description", 0), ("name", 0), ("add_volumes", 0), ("remove_volumes", 0)];
pub(crate) const GROUP_TYPE: &Known =
    &[("name", 0), ("description", 0), ("is_public", 0), ("group_specs", 0)];
/// The Python SDK sends a type's specs along when it has set some; Cinder refuses that.
pub(crate) const GROUP_TYPE_CHANGE: &Known = GROUP_TYPE;
pub(crate) const GROUP_SNAPSHOT: &Known = &[("group_id", 0), ("name", 0), ("description", 0)];

/// What the argument of an action may hold; none: anything, as far as Cinder cares.
pub(crate) fn of_action(action: Endpoint) -> Option<&'static Known> {
    use Endpoint::*;
    Some(match action {
        VolumeExtend => &[("new_size", 0)],
        VolumeExtendCompletion => &[("error", 0)],
        VolumeReadonly => &[("readonly", 0)],
        VolumeRetype => &[("new_type", 0), ("migration_policy", 0)],
        VolumeBootable => &[("bootable", 0)],
        VolumeImageMetadataSet => &[("metadata", 0)],
        VolumeImageMetadataUnset => &[("key", 0)],
        VolumeReset => &[("status", 0), ("attach_status", 0), ("migration_status", 0)],
        VolumeAttach => &[("instance_uuid", 0), ("mountpoint", 0), ("host_name", 0), ("mode", 0)],
        VolumeDetach => &[("attachment_id", 0)],
        VolumeForceDetach => &[("attachment_id", 0), ("connector", 0)],
        VolumeMigrate => &[("host", 0), ("force_host_copy", 0), ("lock_volume", 0), ("cluster", 16)],
        VolumeMigrateCompletion => &[("new_volume", 0), ("error", 0)],
        VolumeUpload => &[
            ("image_name", 0),
            ("force", 0),
            ("disk_format", 0),
            ("container_format", 0),
            ("visibility", 1),
            ("protected", 1),
        ],
        VolumeInitialize | VolumeTerminate => &[("connector", 0)],
        VolumeReimage => &[("image_id", 0), ("reimage_reserved", 0)],
        SnapshotReset | BackupReset | GroupReset | GroupSnapshotReset => &[("status", 0)],
        SnapshotStatus => &[("status", 0), ("progress", 0)],
        TypeAddAccess | TypeRemoveAccess => &[("project", 0)],
        GroupDelete => &[("delete-volumes", 0)],
        _ => return None,
    })
}
