//! States change only here: one total function per noun and axis, from (state, event) to the next state or a refusal.
//! The golden table in `docs/lifecycle.md` shows all pairs.

use serde::{Deserialize, Serialize};

use crate::{Condition, Kind};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $v:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$vdoc])* $v),* }
        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [$name] = &[$($name::$v),*];
            /// The word for people and documents.
            pub fn word(self) -> &'static str {
                match self { $($name::$v => $word),* }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

mod standing;

pub use standing::{Declaration, Migration, Standing, When, declare};

words! {
    /// Life axis of pools, volumes, snapshots and groups.
    Life {
        /// Its bytes are being made.
        Creating = "creating",
        /// It is there.
        Ready = "ready",
        /// Its bytes are being removed.
        Deleting = "deleting",
        /// Making or removing failed; the row says why.
        Error = "error",
    }
}

words! {
    /// What happens on the life axis.
    LifeEvent {
        /// Making succeeded.
        Made = "made",
        /// Making or removing failed for good.
        Broke = "broke",
        /// Somebody asks for removal.
        Remove = "remove",
        /// Removal was called off before any byte was lost.
        Spare = "spare",
        /// Its bytes were being replaced and are neither the old nor the new.
        Spoiled = "spoiled",
        /// An operator found it sound after all.
        Mend = "mend",
    }
}

words! {
    /// Where a backup stands.
    BackupState {
        /// Its bytes are being stored.
        Creating = "creating",
        /// It can be restored.
        Available = "available",
        /// It is being restored.
        Restoring = "restoring",
        /// Its bytes are being removed.
        Deleting = "deleting",
        /// Making or removing failed; the row says why.
        Error = "error",
    }
}

words! {
    /// What happens to a backup.
    BackupEvent {
        /// Making succeeded.
        Made = "made",
        /// Making or removing failed for good.
        Broke = "broke",
        /// Somebody asks for its bytes.
        Restore = "restore",
        /// Restoring ended, well or not: the backup is as it was.
        Restored = "restored",
        /// Somebody asks for removal.
        Remove = "remove",
    }
}

words! {
    /// Where an image stands.
    ImageState {
        /// It has no bytes yet.
        Queued = "queued",
        /// Its bytes are being stored.
        Saving = "saving",
        /// It can be used.
        Active = "active",
        /// It has bytes that only administrators may read.
        Deactivated = "deactivated",
    }
}

words! {
    /// What happens to an image.
    ImageEvent {
        /// Bytes begin to come.
        Upload = "upload",
        /// All came.
        Stored = "stored",
        /// They broke off.
        Broke = "broke",
        /// An administrator takes it out of use.
        Deactivate = "deactivate",
        /// An administrator puts it back into use.
        Reactivate = "reactivate",
    }
}

words! {
    /// Use axis of volumes.
    Usage {
        /// Nobody holds it.
        Free = "free",
        /// Somebody has announced to attach it.
        Reserved = "reserved",
        /// A holder connects.
        Attaching = "attaching",
        /// It is held.
        Attached = "attached",
        /// The last holder is being fenced.
        Detaching = "detaching",
    }
}

words! {
    /// One attachment's own state.
    AttachState {
        /// Announced; admits nobody.
        Reserved = "reserved",
        /// The holder is known and admitted, and has not reported back.
        Attaching = "attaching",
        /// The holder has it.
        Attached = "attached",
        /// The holder is being fenced; admits nobody.
        Detaching = "detaching",
    }
}

words! {
    /// What happens to an attachment.
    AttachEvent {
        /// The holder is named and admitted.
        Connect = "connect",
        /// The holder reports that it has the device.
        Complete = "complete",
        /// Somebody takes it away.
        Detach = "detach",
    }
}

words! {
    /// Running work on a volume.
    Work {
        /// Its size is being changed.
        Resizing = "resizing",
        /// It is being put back to a snapshot.
        RollingBack = "rolling back",
        /// It is being read for a copy.
        Copying = "copying",
        /// Its bytes are being replaced by those of a backup.
        Restoring = "restoring",
        /// It is being read for an image.
        Uploading = "uploading",
        /// Its bytes are being replaced by those of an image.
        Downloading = "downloading",
        /// It moves to another pool while it serves.
        Moving = "moving to another pool",
        /// It is being cut off snapshots that it comes from. It can be used meanwhile.
        Rebasing = "rebasing",
        /// It is becoming a snapshot.
        Freezing = "freezing",
    }
}

words! {
    /// Health axis.
    Health {
        /// All replicas are there.
        Up = "up",
        /// It serves while replicas are being restored.
        UpSoon = "up soon",
        /// Bytes are lost.
        DataLost = "data lost",
        /// It does not serve.
        Down = "down",
    }
}

/// The event is not possible in that state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The present state's word.
    pub actual: &'static str,
    /// The states from which the event is possible.
    pub wanted: &'static str,
}

impl Refused {
    /// As a condition about one noun.
    pub fn about(self, what: Kind, name: impl ToString) -> Condition {
        Condition::WrongState {
            what,
            name: name.to_string(),
            actual: self.actual.to_string(),
            wanted: self.wanted.to_string(),
        }
    }
}

/// Whether the state for which something was refused passes by itself when running work ends, so that asking again may
/// help. All others stay until somebody changes them.
pub fn passes(actual: &str) -> bool {
    [Life::Creating, Life::Deleting].iter().any(|l| l.word() == actual)
        || Work::ALL.iter().any(|w| w.word() == actual)
}

/// The life axis.
pub fn life(state: Life, event: LifeEvent) -> Result<Life, Refused> {
    use Life::*;
    use LifeEvent::*;
    let wanted = match (state, event) {
        (Creating, Made) => return Ok(Ready),
        (Creating | Deleting, Broke) => return Ok(Error),
        (Ready | Error, Remove) => return Ok(Deleting),
        (Deleting, Spare) => return Ok(Ready),
        (Ready, Spoiled) => return Ok(Error),
        (Error, Mend) => return Ok(Ready),
        (_, Made) => "creating",
        (_, Broke) => "creating or deleting",
        (_, Remove) => "ready or error",
        (_, Spare) => "deleting",
        (_, Mend) => "error",
        (_, Spoiled) => "ready",
    };
    Err(Refused { actual: state.word(), wanted })
}

/// A backup.
pub fn backup(state: BackupState, event: BackupEvent) -> Result<BackupState, Refused> {
    use BackupEvent::*;
    use BackupState::*;
    let wanted = match (state, event) {
        (Creating, Made) | (Restoring, Restored) => return Ok(Available),
        (Creating | Deleting, Broke) => return Ok(Error),
        (Available, Restore) => return Ok(Restoring),
        (Available | Error, Remove) => return Ok(Deleting),
        (_, Made) => "creating",
        (_, Broke) => "creating or deleting",
        (_, Restore) => "available",
        (_, Restored) => "restoring",
        (_, Remove) => "available or error",
    };
    Err(Refused { actual: state.word(), wanted })
}

/// An image.
pub fn image(state: ImageState, event: ImageEvent) -> Result<ImageState, Refused> {
    use ImageEvent::*;
    use ImageState::*;
    let wanted = match (state, event) {
        (Queued, Upload) => return Ok(Saving),
        (Saving, Stored) => return Ok(Active),
        (Saving, Broke) => return Ok(Queued),
        // Said twice, done once.
        (Active | Deactivated, Deactivate) => return Ok(Deactivated),
        (Active | Deactivated, Reactivate) => return Ok(Active),
        (_, Upload) => "queued",
        (_, Stored | Broke) => "saving",
        (_, Deactivate | Reactivate) => "active or deactivated",
    };
    Err(Refused { actual: state.word(), wanted })
}

/// One attachment.
pub fn attachment(state: AttachState, event: AttachEvent) -> Result<AttachState, Refused> {
    use AttachEvent::*;
    use AttachState::*;
    let wanted = match (state, event) {
        // A holder that connects again with another connector is the same holder.
        (Reserved | Attaching, Connect) => return Ok(Attaching),
        // Said twice, done once.
        (Attaching | Attached, Complete) => return Ok(Attached),
        // From every state: nothing may get stuck.
        (_, Detach) => return Ok(Detaching),
        (_, Connect) => "reserved or attaching",
        (_, Complete) => "attaching",
    };
    Err(Refused { actual: state.word(), wanted })
}

/// The use axis of a volume follows from its attachments: the furthest of them decides.
pub fn usage(attachments: impl IntoIterator<Item = AttachState>) -> Usage {
    let rank = |s: AttachState| match s {
        AttachState::Attached => (4, Usage::Attached),
        AttachState::Attaching => (3, Usage::Attaching),
        AttachState::Detaching => (2, Usage::Detaching),
        AttachState::Reserved => (1, Usage::Reserved),
    };
    attachments.into_iter().map(rank).max_by_key(|(n, _)| *n).map_or(Usage::Free, |(_, u)| u)
}

/// The tables of all (state, event) pairs, as Markdown.
pub fn tables() -> String {
    fn row(cells: Vec<String>) -> String {
        format!("| {} |\n", cells.join(" | "))
    }
    fn table<S: Copy + std::fmt::Display, E: Copy + std::fmt::Display, N: std::fmt::Display>(
        title: &str,
        states: &[S],
        events: &[E],
        next: impl Fn(S, E) -> Result<N, Refused>,
    ) -> String {
        let head = row(std::iter::once("state".to_string()).chain(events.iter().map(E::to_string)).collect());
        let rule = row(vec!["---".to_string(); events.len() + 1]);
        let body = states.iter().map(|s| {
            let cells = events.iter().map(|e| next(*s, *e).map_or("refused".to_string(), |n| n.to_string()));
            row(std::iter::once(s.to_string()).chain(cells).collect())
        });
        format!("## {title}\n\n{head}{rule}{}\n", body.collect::<String>())
    }
    let declared = |s, d| declare(s, d).map(|next| next.map_or("as the axes say", Standing::word));
    table("Life of pools, volumes, snapshots and groups", Life::ALL, LifeEvent::ALL, life)
        + &table("Attachments", AttachState::ALL, AttachEvent::ALL, attachment)
        + &table("Backups", BackupState::ALL, BackupEvent::ALL, backup)
        + &table("Images", ImageState::ALL, ImageEvent::ALL, image)
        + &table("Declarations over a volume's other axes", Standing::ALL, Declaration::ALL, declared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_as_documented() {
        let head = "# Lifecycle tables\n\nWritten by a test from `core/model/src/lifecycle.rs`; \
                    `UPDATE_EXPECT=1 cargo test -p parpen-model` renews it.\n\n";
        expect_test::expect_file!["../../../docs/lifecycle.md"].assert_eq(&format!("{head}{}", tables()));
    }

    #[test]
    fn what_runs_passes_and_what_stands_stays() {
        for word in ["creating", "deleting", "resizing", "rolling back", "copying", "freezing"] {
            assert!(passes(word), "{word}");
        }
        for word in ["ready", "error", "attached", "offered to another project", "frozen", ""] {
            assert!(!passes(word), "{word}");
        }
    }

    #[test]
    fn use_follows_the_furthest_attachment() {
        use AttachState::*;
        assert_eq!(usage([]), Usage::Free);
        assert_eq!(usage([Reserved, Detaching]), Usage::Detaching);
        assert_eq!(usage([Attaching, Attached, Detaching]), Usage::Attached);
    }
}
