//! The bodies that clients send. As in Go, `null` means the same as nothing.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Config as clients send it.
pub(crate) type WireConfig = BTreeMap<String, Option<String>>;

/// A pool to be made.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PoolsPost {
    pub(crate) name: Option<String>,
    pub(crate) driver: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) config: Option<WireConfig>,
}

/// A pool or a project as it is to be.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PoolPut {
    pub(crate) description: Option<String>,
    pub(crate) config: Option<WireConfig>,
}

/// A volume to be made.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct VolumesPost {
    pub(crate) name: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) config: Option<WireConfig>,
    pub(crate) source: Option<VolumeSource>,
}

/// Where its bytes come from.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct VolumeSource {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) pool: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) volume_only: Option<bool>,
    pub(crate) refresh: Option<bool>,
}

/// A volume as it is to be.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct VolumePut {
    pub(crate) description: Option<String>,
    pub(crate) config: Option<WireConfig>,
    pub(crate) restore: Option<String>,
}

/// A new name, perhaps in another place.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct VolumePost {
    pub(crate) name: Option<String>,
    pub(crate) pool: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) migration: Option<bool>,
}

/// A snapshot to be taken.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SnapshotsPost {
    pub(crate) name: Option<String>,
    pub(crate) expires_at: Option<String>,
}

/// A snapshot as it is to be.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SnapshotPut {
    pub(crate) description: Option<String>,
    pub(crate) config: Option<WireConfig>,
    /// The outer option: whether the key is there at all.
    #[serde(deserialize_with = "present")]
    pub(crate) expires_at: Option<Option<String>>,
}

/// A snapshot's new name.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SnapshotPost {
    pub(crate) name: Option<String>,
}

fn present<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(d).map(Some)
}
