//! Cinder's words for states, and its sentences where a state does not allow something.

use parpen_model::lifecycle::{Migration, Standing, Usage, When};
use parpen_model::{Condition, Volume};

/// `available`.
pub(crate) const FREE: When = When::Only(&[Standing::Free]);
/// `available` or `in-use`.
pub(crate) const FREE_OR_HELD: When = When::Only(&[Standing::Free, Standing::Attached]);

/// How a volume may stand whose metadata is changed: any way but in maintenance and while it is saved as an image.
pub(crate) const DESCRIBED: When = When::Only(&[
    Standing::Creating,
    Standing::Free,
    Standing::Deleting,
    Standing::Deleted,
    Standing::Error,
    Standing::ErrorDeleting,
    Standing::ErrorManaging,
    Standing::Managing,
    Standing::Unmanaging,
    Standing::Reserved,
    Standing::Attaching,
    Standing::Attached,
    Standing::Detaching,
    Standing::Restoring,
    Standing::ErrorRestoring,
    Standing::Offered,
    Standing::BackingUp,
    Standing::ErrorBackingUp,
    Standing::ErrorResizing,
    Standing::Downloading,
    Standing::Retyping,
    Standing::Resizing,
    Standing::RollingBack,
    Standing::Updating,
]);

/// Cinder's word for how something stands.
pub(crate) fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Creating => "creating",
        Standing::Free => "available",
        Standing::Deleting => "deleting",
        Standing::Deleted => "deleted",
        Standing::Error => "error",
        Standing::ErrorDeleting => "error_deleting",
        Standing::ErrorManaging => "error_managing",
        Standing::Managing => "managing",
        Standing::Unmanaging => "unmanaging",
        Standing::Reserved => "reserved",
        Standing::Attaching => "attaching",
        Standing::Attached => "in-use",
        Standing::Detaching => "detaching",
        Standing::Maintenance => "maintenance",
        Standing::Restoring => "restoring-backup",
        Standing::ErrorRestoring => "error_restoring",
        Standing::Offered => "awaiting-transfer",
        Standing::BackingUp => "backing-up",
        Standing::ErrorBackingUp => "error_backing-up",
        Standing::ErrorResizing => "error_extending",
        Standing::Downloading => "downloading",
        Standing::Uploading => "uploading",
        Standing::Retyping => "retyping",
        Standing::Resizing => "extending",
        Standing::RollingBack => "reverting",
        Standing::Updating => "updating",
    }
}

/// A state as it is shown: taking over and letting go look like making and failing.
fn shown(standing: Standing) -> &'static str {
    match standing {
        Standing::Managing => "creating",
        Standing::ErrorManaging => "error",
        other => word(other),
    }
}

/// A volume's state as it is shown.
pub(crate) fn of_volume(v: &Volume) -> &'static str {
    shown(v.standing())
}

/// Cinder's word for whether anybody has a volume.
pub(crate) fn of_use(v: &Volume) -> &'static str {
    match v.usage {
        Usage::Free => "detached",
        Usage::Reserved => "reserved",
        Usage::Attaching => "attaching",
        Usage::Attached => "attached",
        Usage::Detaching => "detaching",
    }
}

/// Cinder's word for how a move stands.
pub(crate) fn of_migration(m: Migration) -> &'static str {
    match m {
        Migration::Starting => "starting",
        Migration::Migrating => "migrating",
        Migration::Completing => "completing",
        Migration::Success => "success",
        Migration::Error => "error",
    }
}

/// What an operator may say of a volume, in the order in which Cinder lists it.
pub(crate) const VOLUME: &[Standing] = &[
    Standing::Creating,
    Standing::Free,
    Standing::Deleting,
    Standing::Error,
    Standing::ErrorDeleting,
    Standing::ErrorManaging,
    Standing::Managing,
    Standing::Attaching,
    Standing::Attached,
    Standing::Detaching,
    Standing::Maintenance,
    Standing::Restoring,
    Standing::ErrorRestoring,
    Standing::Reserved,
    Standing::Offered,
    Standing::BackingUp,
    Standing::ErrorBackingUp,
    Standing::ErrorResizing,
    Standing::Downloading,
    Standing::Uploading,
    Standing::Retyping,
    Standing::Resizing,
];
/// The same of a snapshot.
pub(crate) const SNAPSHOT: &[Standing] = &[
    Standing::Error,
    Standing::Free,
    Standing::Creating,
    Standing::Deleting,
    Standing::Deleted,
    Standing::Updating,
    Standing::ErrorDeleting,
    Standing::Unmanaging,
    Standing::BackingUp,
    Standing::Restoring,
];
/// The same of a group and of a snapshot of one.
pub(crate) const GROUP: &[Standing] = &[
    Standing::Error,
    Standing::Free,
    Standing::Creating,
    Standing::Deleting,
    Standing::Deleted,
    Standing::Updating,
    Standing::ErrorDeleting,
];
/// What an operator may say of a move.
pub(crate) const MIGRATION: &[Migration] =
    &[Migration::Migrating, Migration::Error, Migration::Success, Migration::Completing, Migration::Starting];

/// A refusal whose text is this and nothing else.
pub(crate) fn bad(text: impl Into<String>) -> Condition {
    Condition::Invalid { field: String::new(), why: text.into() }
}

/// The states that a side may say, as Python prints a tuple of them.
fn tuple(words: impl Iterator<Item = &'static str>) -> String {
    let all: Vec<String> = words.map(|w| format!("'{w}'")).collect();
    format!("({})", all.join(", "))
}

/// The standing that a word names, among those that may be said of `what`.
pub(crate) fn said(what: &str, text: &str, among: &'static [Standing]) -> Result<Standing, Condition> {
    let wanted = text.to_lowercase();
    // A snapshot that a backup is restored into has a word of its own.
    let fits = |s: &Standing| word(*s) == wanted || (*s == Standing::Restoring && wanted == "restoring");
    among.iter().copied().find(fits).ok_or_else(|| {
        let valid = tuple(among.iter().map(|s| word(*s)));
        bad(format!("{what} status: {text} is invalid, valid statuses are: {valid}."))
    })
}

/// The move that a word names; `none` is none.
pub(crate) fn said_of_migration(text: &str) -> Result<Option<Migration>, Condition> {
    let wanted = text.to_lowercase();
    if wanted == "none" {
        return Ok(None);
    }
    MIGRATION.iter().copied().find(|m| of_migration(*m) == wanted).map(Some).ok_or_else(|| {
        let valid = tuple(MIGRATION.iter().map(|m| of_migration(*m)).chain(["none"]));
        bad(format!("Volume migration status: {text} is invalid, valid statuses are: {valid}."))
    })
}

/// The core's words for states in a refusal, in Cinder's.
pub(crate) fn in_words(core: &str) -> String {
    let one = |w: &str| {
        Standing::ALL.iter().find(|s| s.word() == w).map_or(w.to_string(), |s| shown(*s).to_string())
    };
    core.split(" or ").map(one).collect::<Vec<_>>().join(" or ")
}

/// Says a refusal for its state in other words; `text` gets the present state's.
pub(crate) fn reword<T>(
    result: Result<T, Condition>,
    text: impl FnOnce(&str) -> String,
) -> Result<T, Condition> {
    result.map_err(|condition| match condition {
        Condition::WrongState { actual, .. } => bad(text(&in_words(&actual))),
        // Cinder does not say by whom; it helps.
        Condition::InUse { by, .. } => bad(format!("{} It is in use by {}.", text("in-use"), by.join(", "))),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standing_has_a_word_of_its_own() {
        let words: std::collections::HashSet<_> = Standing::ALL.iter().map(|s| word(*s)).collect();
        assert_eq!(words.len(), Standing::ALL.len());
        assert_eq!(in_words("free or attached"), "available or in-use");
        assert_eq!(in_words("ready and at rest"), "ready and at rest");
        assert_eq!(in_words("changing its type"), "retyping");
    }

    #[test]
    fn metadata_is_changed_in_all_states_but_two() {
        let When::Only(all) = DESCRIBED else { panic!() };
        let left = Standing::ALL.iter().filter(|s| !all.contains(s));
        assert_eq!(left.map(|s| word(*s)).collect::<Vec<_>>(), ["maintenance", "uploading"]);
    }

    #[test]
    fn what_may_be_said_is_named_in_the_refusal() {
        assert_eq!(said("Volume", "ERROR", VOLUME).unwrap(), Standing::Error);
        let Condition::Invalid { why, .. } = said("Volume", "tired", VOLUME).unwrap_err() else { panic!() };
        assert!(
            why.starts_with("Volume status: tired is invalid, valid statuses are: ('creating', 'available',")
        );
        assert_eq!(said_of_migration("none").unwrap(), None);
        assert!(said_of_migration("x").is_err());
    }
}
