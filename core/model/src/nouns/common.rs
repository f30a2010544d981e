//! What several nouns have.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Kind, SnapshotId, VolumeId};

/// Order, revision and times of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Order of creation; given by the store.
    #[serde(default)]
    pub seq: i64,
    /// +1 per change; given by the store.
    #[serde(default)]
    pub revision: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed by somebody's will.
    pub updated: Option<Timestamp>,
}

impl Stamp {
    /// Made at `now`.
    pub fn at(now: Timestamp) -> Stamp {
        Stamp { seq: 0, revision: 0, created: now, updated: None }
    }
}

/// The sides on which a volume shows its face.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// OpenStack Block Storage v3.
    OpenStack,
    /// StorPool API v1.
    StorPool,
    /// LXD storage.
    Lxd,
    /// CERN storage-api.
    Cern,
    /// rapyuta.io persistent volumes.
    Rapyuta,
    /// The command line and the console.
    Native,
}

impl Api {
    /// All of them.
    pub const ALL: [Api; 6] = [Api::OpenStack, Api::StorPool, Api::Lxd, Api::Cern, Api::Rapyuta, Api::Native];

    /// Its word in rows and documents. Stable.
    pub fn word(self) -> &'static str {
        match self {
            Api::OpenStack => "openstack",
            Api::StorPool => "storpool",
            Api::Lxd => "lxd",
            Api::Cern => "cern",
            Api::Rapyuta => "rapyuta",
            Api::Native => "native",
        }
    }
}

/// The name by which one API knows a volume or snapshot, where that is not its handle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Whose name it is.
    pub api: Api,
    /// Where it is unique: empty for service-wide, else a pool's, project's or volume's id.
    pub scope: String,
    /// The name.
    pub name: String,
}

impl Alias {
    /// The space of unique names that this alias lives in.
    pub fn space(&self) -> String {
        alias_space(self.api, &self.scope)
    }
}

/// The space of unique names of one API and scope.
pub fn alias_space(api: Api, scope: &str) -> String {
    format!("{}:{scope}", api.word())
}

/// A volume or a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A volume.
    Volume(VolumeId),
    /// A snapshot.
    Snapshot(SnapshotId),
}

impl Subject {
    /// Its id.
    pub fn uuid(self) -> Uuid {
        match self {
            Subject::Volume(v) => v.0,
            Subject::Snapshot(s) => s.0,
        }
    }

    /// Its kind.
    pub fn kind(self) -> Kind {
        match self {
            Subject::Volume(_) => Kind::Volume,
            Subject::Snapshot(_) => Kind::Snapshot,
        }
    }
}

impl From<VolumeId> for Subject {
    fn from(v: VolumeId) -> Subject {
        Subject::Volume(v)
    }
}

impl From<SnapshotId> for Subject {
    fn from(s: SnapshotId) -> Subject {
        Subject::Snapshot(s)
    }
}

/// What one API stores and the core has no use for, kept verbatim: namespace -> JSON object. The namespace is the
/// API's word, with a suffix where it needs several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(BTreeMap<String, serde_json::Map<String, serde_json::Value>>);

impl Attributes {
    /// The document of a namespace, if anything was stored.
    pub fn get(&self, space: &str) -> Option<&serde_json::Map<String, serde_json::Value>> {
        self.0.get(space)
    }

    /// One value.
    pub fn value(&self, space: &str, key: &str) -> Option<&serde_json::Value> {
        self.0.get(space)?.get(key)
    }

    /// One text.
    pub fn text(&self, space: &str, key: &str) -> Option<&str> {
        self.value(space, key)?.as_str()
    }

    /// The document of a namespace, to be changed.
    pub fn entry(&mut self, space: &str) -> &mut serde_json::Map<String, serde_json::Value> {
        self.0.entry(space.to_string()).or_default()
    }

    /// Replaces the document of a namespace.
    pub fn set(&mut self, space: &str, document: serde_json::Map<String, serde_json::Value>) {
        if document.is_empty() {
            self.0.remove(space);
        } else {
            self.0.insert(space.to_string(), document);
        }
    }

    /// Replaces every namespace that `other` has.
    pub fn merge(&mut self, other: Attributes) {
        for (space, document) in other.0 {
            self.set(&space, document);
        }
    }
}
