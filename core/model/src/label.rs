//! What a store keeps beside each volume and snapshot, so that the database can be rebuilt from the disks.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Alias, Snapshot, Volume};

/// Longest label, in bytes.
const LABEL_MAX: usize = 64 * 1024;

/// Opaque to the store, versioned, at most 64 KiB as JSON: every field is bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Version of this document.
    pub schema: u32,
    /// The volume's or snapshot's id.
    pub id: Uuid,
    /// The handle.
    pub handle: String,
    /// The free-text name.
    pub name: String,
    /// The project.
    pub project: Uuid,
    /// Size in bytes.
    pub size: u64,
    /// A snapshot's origin.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<Uuid>,
    /// Names in the APIs that do not show the handle.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub aliases: Vec<Alias>,
    /// A snapshot that the service took for itself.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub transient: bool,
}

impl Label {
    /// The label of a volume.
    pub fn of_volume(v: &Volume) -> Label {
        Label {
            schema: 1,
            id: v.id.0,
            handle: v.handle.to_string(),
            name: v.name.clone(),
            project: v.project.0,
            size: v.size,
            origin: None,
            aliases: v.aliases.clone(),
            transient: false,
        }
    }

    /// The label of a snapshot.
    pub fn of_snapshot(s: &Snapshot) -> Label {
        Label {
            schema: 1,
            id: s.id.0,
            handle: s.handle.to_string(),
            name: s.name.clone(),
            project: s.project.0,
            size: s.size,
            origin: Some(s.origin.0),
            aliases: s.aliases.clone(),
            transient: s.transient,
        }
    }

    /// As a store keeps it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = serde_json::to_vec(self).expect("a struct of texts and numbers is JSON");
        assert!(bytes.len() <= LABEL_MAX, "names are bounded, so labels are");
        bytes
    }

    /// From what a store kept; `None` when it is no label this version can read.
    pub fn from_bytes(bytes: &[u8]) -> Option<Label> {
        serde_json::from_slice(bytes).ok().filter(|l: &Label| l.schema == 1)
    }
}
