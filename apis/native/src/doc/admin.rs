//! Documents about volume types, quotas, projects and users.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A volume type.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TypeDoc {
    /// Its id.
    pub id: Uuid,
    /// Its unique name.
    pub name: String,
    /// In words.
    pub description: Option<String>,
    /// Everybody may use it.
    pub public: bool,
    /// The pool of its volumes, by name.
    pub pool: Option<String>,
    /// Ceiling of its volumes.
    pub bytes_per_second: Option<u64>,
    /// Ceiling of its volumes.
    pub requests_per_second: Option<u64>,
    /// How they are encrypted; absent: not at all.
    #[serde(default)]
    pub encryption: Option<EncryptionDoc>,
}

/// How the volumes of a type are encrypted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptionDoc {
    /// `back-end`: this service encrypts what it stores; `front-end`: the hosts do, and this is what they are told.
    pub control_location: String,
    /// Who can do it.
    pub provider: String,
    /// The cipher.
    #[serde(default)]
    pub cipher: Option<String>,
    /// Bits of the key.
    #[serde(default)]
    pub key_size: Option<u32>,
}

/// A volume type to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeWish {
    /// Its unique name.
    pub name: String,
    /// In words.
    #[serde(default)]
    pub description: Option<String>,
    /// Only projects that are let in may use it.
    #[serde(default)]
    pub private: bool,
    /// The pool of its volumes, by name.
    #[serde(default)]
    pub pool: Option<String>,
    /// Ceiling of its volumes.
    #[serde(default)]
    pub bytes_per_second: Option<u64>,
    /// Ceiling of its volumes.
    #[serde(default)]
    pub requests_per_second: Option<u64>,
    /// How they are encrypted; absent: not at all.
    #[serde(default)]
    pub encryption: Option<EncryptionDoc>,
}

/// One ceiling of a project.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuotaDoc {
    /// What is counted: `volumes`, `gigabytes`, `snapshots`, ...
    pub what: String,
    /// At most so many; absent: any number.
    pub limit: Option<u64>,
    /// So many there are.
    pub in_use: u64,
    /// So many are on their way.
    pub reserved: u64,
}

/// Ceilings to be set: what is counted, and -1 for any number.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaWish {
    /// By what is counted.
    pub limits: std::collections::BTreeMap<String, i64>,
}

/// A project.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProjectDoc {
    /// Its id.
    pub id: Uuid,
    /// Its unique name.
    pub name: String,
    /// In words.
    pub description: String,
    /// Who is in it may log in for it.
    pub enabled: bool,
}

/// A project to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectWish {
    /// Its unique name.
    pub name: String,
    /// In words.
    #[serde(default)]
    pub description: String,
}

/// A user of the OpenStack side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserDoc {
    /// Its id.
    pub id: Uuid,
    /// Its unique name.
    pub name: String,
    /// It may log in.
    pub enabled: bool,
    /// `project:role`, by the projects' names.
    pub roles: Vec<String>,
}

/// A user to be made.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserWish {
    /// Its unique name.
    pub name: String,
    /// Its password.
    pub password: String,
}

/// A role to be given or taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleWish {
    /// The project, by name or id.
    pub project: String,
    /// `admin`, `member` or `reader`.
    pub role: String,
}
