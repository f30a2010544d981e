//! What can go wrong, once for all APIs. Each API maps it with a total match to its own error document.

use serde::{Deserialize, Serialize};

/// The nouns that a condition can speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A volume.
    Volume,
    /// A snapshot.
    Snapshot,
    /// A pool.
    Pool,
    /// A project.
    Project,
    /// A volume type.
    VolumeType,
    /// A host.
    Host,
    /// An attachment.
    Attachment,
    /// A lock.
    Lock,
    /// A job.
    Job,
    /// A pin.
    Pin,
    /// A principal.
    Principal,
    /// A credential.
    Credential,
    /// A token.
    Token,
    /// A placement group.
    PlacementGroup,
    /// A disk.
    Disk,
    /// A backup.
    Backup,
    /// An image.
    Image,
    /// The id of an image that is gone.
    SpentImage,
    /// Quality-of-service specs.
    Qos,
    /// The ceilings of a project or class.
    Quota,
    /// A part of the service that operators switch.
    Service,
    /// What went wrong after its request was answered.
    Message,
    /// A group of volumes.
    Group,
    /// A type of groups.
    GroupType,
    /// A snapshot of a group.
    GroupSnapshot,
    /// An offer of a volume to another project.
    Transfer,
    /// Something that only one API has a word for; the name says what.
    Other,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 27] = [
        Kind::Volume,
        Kind::Snapshot,
        Kind::Pool,
        Kind::Project,
        Kind::VolumeType,
        Kind::Host,
        Kind::Attachment,
        Kind::Lock,
        Kind::Job,
        Kind::Pin,
        Kind::Principal,
        Kind::Credential,
        Kind::Token,
        Kind::PlacementGroup,
        Kind::Disk,
        Kind::Backup,
        Kind::Image,
        Kind::SpentImage,
        Kind::Qos,
        Kind::Quota,
        Kind::Service,
        Kind::Message,
        Kind::Group,
        Kind::GroupType,
        Kind::GroupSnapshot,
        Kind::Transfer,
        Kind::Other,
    ];

    /// The kind that a stored word names.
    pub fn from_word(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.word() == word)
    }

    /// The word for people, and the name under which rows are kept. Stable.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Volume => "volume",
            Kind::Snapshot => "snapshot",
            Kind::Pool => "pool",
            Kind::Project => "project",
            Kind::VolumeType => "volume type",
            Kind::Host => "host",
            Kind::Attachment => "attachment",
            Kind::Lock => "lock",
            Kind::Job => "job",
            Kind::Pin => "pin",
            Kind::Principal => "principal",
            Kind::Credential => "credential",
            Kind::Token => "token",
            Kind::PlacementGroup => "placement group",
            Kind::Disk => "disk",
            Kind::Backup => "backup",
            Kind::Image => "image",
            Kind::SpentImage => "spent image id",
            Kind::Qos => "qos specs",
            Kind::Quota => "quota",
            Kind::Service => "service",
            Kind::Message => "message",
            Kind::Group => "group",
            Kind::GroupType => "group type",
            Kind::GroupSnapshot => "group snapshot",
            Kind::Transfer => "transfer",
            Kind::Other => "object",
        }
    }

    /// Whether a change of such a row is a change of configuration (it moves the generation) or only progress.
    pub fn is_configuration(self) -> bool {
        !matches!(self, Kind::Job | Kind::Token | Kind::Pin | Kind::Message | Kind::SpentImage)
    }
}

/// Why something was refused or failed. The texts are for people; internal detail goes to the log only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// There is none of that name, or it is out of the caller's scope.
    #[error("there is no {} {name:?}", .what.word())]
    NotFound {
        /// The kind.
        what: Kind,
        /// As it was asked for.
        name: String,
    },
    /// The name is taken.
    #[error("there is a {} {name:?} already", .what.word())]
    Exists {
        /// The kind.
        what: Kind,
        /// The name.
        name: String,
    },
    /// Its state does not allow this now.
    #[error("{} {name:?} is {actual}; this needs it to be {wanted}", .what.word())]
    WrongState {
        /// The kind.
        what: Kind,
        /// Which.
        name: String,
        /// The present state.
        actual: String,
        /// The states that would do.
        wanted: String,
    },
    /// Others use it.
    #[error("{} {name:?} is in use by {}", .what.word(), .by.join(", "))]
    InUse {
        /// The kind.
        what: Kind,
        /// Which.
        name: String,
        /// By whom.
        by: Vec<String>,
    },
    /// A ceiling would be passed.
    #[error("the quota of {what} is used up: {used} of {limit}, {asked} more asked for")]
    QuotaExceeded {
        /// What is counted.
        what: String,
        /// The ceiling.
        limit: u64,
        /// In use now.
        used: u64,
        /// Asked for.
        asked: u64,
    },
    /// The pool cannot hold it.
    #[error("{0}")]
    NoSpace(String),
    /// A value is not acceptable.
    #[error("{field}: {why}")]
    Invalid {
        /// The field, in the core's words.
        field: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// The caller expected another version.
    #[error("it has changed: {expected} was expected, {actual} it is")]
    PreconditionFailed {
        /// Expected version.
        expected: String,
        /// Actual version.
        actual: String,
    },
    /// No valid credential.
    #[error("{0}")]
    Unauthenticated(String),
    /// The credential does not allow this.
    #[error("{0}")]
    Forbidden(String),
    /// Somebody else was faster; nothing was changed, try again.
    #[error("{0}")]
    Conflict(String),
    /// The bytes are lost or damaged.
    #[error("{0}")]
    DataLost(String),
    /// Not implemented, or this pool cannot do it.
    #[error("{0}")]
    Unsupported(String),
    /// A part of the house does not answer now.
    #[error("{0}")]
    Unavailable(String),
    /// It took longer than the caller allowed; it may still happen.
    #[error("{0}")]
    Timeout(String),
    /// Our fault. The detail is for the log; clients get a fixed sentence.
    #[error("internal error; the server's log says more")]
    Internal(String),
}

impl Condition {
    /// There is no such thing.
    pub fn not_found(what: Kind, name: impl ToString) -> Condition {
        Condition::NotFound { what, name: name.to_string() }
    }

    /// The name is taken.
    pub fn exists(what: Kind, name: impl ToString) -> Condition {
        Condition::Exists { what, name: name.to_string() }
    }

    /// A value is not acceptable.
    pub fn invalid(field: impl ToString, why: impl ToString) -> Condition {
        Condition::Invalid { field: field.to_string(), why: why.to_string() }
    }

    /// Others use it.
    pub fn in_use(what: Kind, name: impl ToString, by: Vec<String>) -> Condition {
        Condition::InUse { what, name: name.to_string(), by }
    }

    /// Our fault; `detail` goes to the log only.
    pub fn internal(detail: impl ToString) -> Condition {
        Condition::Internal(detail.to_string())
    }
}

impl From<parpen_block::IoError> for Condition {
    fn from(e: parpen_block::IoError) -> Condition {
        use parpen_block::IoError;
        match e {
            IoError::NoSpace => Condition::NoSpace("the pool has no space left".into()),
            IoError::Invalid => Condition::invalid("range", e),
            IoError::ReadOnly => Condition::Forbidden("it is read-only".into()),
            IoError::NotSupported => Condition::Unsupported("this pool cannot do that".into()),
            IoError::DataLost => Condition::DataLost("the stored bytes are lost or damaged".into()),
            IoError::Io => Condition::Unavailable("the disk failed and was fenced; see the log".into()),
            IoError::Fenced => Condition::Conflict("access was taken away by another holder".into()),
        }
    }
}

impl From<parpen_block::Refusal> for Condition {
    fn from(r: parpen_block::Refusal) -> Condition {
        use parpen_block::Refusal;
        match r {
            Refusal::Unknown => Condition::not_found(Kind::Volume, ""),
            Refusal::Forbidden(why) => Condition::Forbidden(why),
            Refusal::Unavailable(why) => Condition::Unavailable(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_again_by_its_word() {
        assert_eq!(Kind::Other as usize + 1, Kind::ALL.len());
        for kind in Kind::ALL {
            assert_eq!(Kind::from_word(kind.word()), Some(kind));
        }
        assert_eq!(Kind::from_word("cluster"), None);
    }
}
