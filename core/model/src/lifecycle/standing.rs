//! A volume's or snapshot's state in one word, from all its axes and what was declared over them.

use serde::{Deserialize, Serialize};

use super::{Health, Life, Refused, Usage, Work};
use crate::{Condition, Kind, Snapshot, Volume};

words! {
    /// One word for all axes. Some stand only because somebody declared them.
    Standing {
        /// Its bytes are being made.
        Creating = "creating",
        /// At rest, and nobody holds it.
        Free = "free",
        /// Its bytes are being removed.
        Deleting = "deleting",
        /// It is gone.
        Deleted = "deleted",
        /// Something failed; the row says why.
        Error = "error",
        /// Declared: removing failed.
        ErrorDeleting = "deletion failed",
        /// Declared: taking it over failed.
        ErrorManaging = "taking over failed",
        /// Declared: it is being taken over.
        Managing = "being taken over",
        /// Declared: it is being let go.
        Unmanaging = "being let go",
        /// Somebody has announced to attach it.
        Reserved = "reserved",
        /// A holder connects.
        Attaching = "attaching",
        /// It is held.
        Attached = "attached",
        /// The last holder leaves, or has announced to.
        Detaching = "detaching",
        /// Nobody may work with it for a while.
        Maintenance = "in maintenance",
        /// It gets the bytes of a backup.
        Restoring = "being restored",
        /// Getting the bytes of a backup failed.
        ErrorRestoring = "restoring failed",
        /// It is offered to another project.
        Offered = "offered to another project",
        /// It is being backed up.
        BackingUp = "being backed up",
        /// Backing it up failed.
        ErrorBackingUp = "backup failed",
        /// Changing its size failed.
        ErrorResizing = "resizing failed",
        /// It gets the bytes of an image.
        Downloading = "getting an image",
        /// An image is being made of it.
        Uploading = "becoming an image",
        /// Its policy is being changed.
        Retyping = "changing its type",
        /// Its size is being changed.
        Resizing = "resizing",
        /// It is being put back to a snapshot.
        RollingBack = "rolling back",
        /// Its members are being changed.
        Updating = "updating",
    }
}

words! {
    /// What is declared over a volume's other axes; no byte moves by it.
    Declaration {
        /// The holder announces that it will leave.
        BeginDetaching = "begin detaching",
        /// The holder stays after all.
        RollDetaching = "roll back detaching",
        /// It is offered to another project.
        Offer = "offer",
        /// The offer ends.
        Withdraw = "withdraw the offer",
        /// Nobody may work with it for a while.
        Shelve = "put into maintenance",
        /// Its policy is being changed.
        Retype = "begin a change of type",
    }
}

words! {
    /// How the last move of a volume between pools stands.
    Migration {
        /// It is about to begin.
        Starting = "starting",
        /// Its bytes are being copied.
        Migrating = "migrating",
        /// It is being switched to its new place.
        Completing = "completing",
        /// It lives in its new place.
        Success = "success",
        /// It failed; the volume is where it was.
        Error = "error",
    }
}

impl Migration {
    /// Whether bytes are moving or about to.
    pub fn is_under_way(self) -> bool {
        matches!(self, Migration::Starting | Migration::Migrating | Migration::Completing)
    }
}

/// The standings from which a side allows something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// Every one that the axes themselves allow.
    #[default]
    Any,
    /// These alone.
    Only(&'static [Standing]),
    /// All but this.
    AllBut(Standing),
}

impl When {
    /// Refuses while the standing is none of these.
    pub fn check(self, what: Kind, name: impl ToString, now: Standing) -> Result<(), Condition> {
        let wanted = match self {
            When::Any => return Ok(()),
            When::Only(these) if these.contains(&now) => return Ok(()),
            When::Only(these) => these.iter().map(|s| s.word()).collect::<Vec<_>>().join(" or "),
            When::AllBut(that) if that != now => return Ok(()),
            When::AllBut(that) => format!("not {that}"),
        };
        Err(Condition::WrongState { what, name: name.to_string(), actual: now.word().to_string(), wanted })
    }
}

/// What a declaration makes of a standing: another one to be shown, or `None`: that of the axes again.
pub fn declare(now: Standing, what: Declaration) -> Result<Option<Standing>, Refused> {
    use Declaration::*;
    use Standing::*;
    let wanted = match (now, what) {
        (Attached, BeginDetaching) => return Ok(Some(Detaching)),
        // Said too late or twice, it changes nothing.
        (Detaching, RollDetaching) => return Ok(None),
        (Free, Offer) => return Ok(Some(Offered)),
        (Offered, Withdraw) => return Ok(None),
        (Free, Shelve) => return Ok(Some(Maintenance)),
        (Free | Attached, Retype) => return Ok(Some(Retyping)),
        (_, BeginDetaching) => "attached",
        (_, RollDetaching) => "detaching",
        (_, Offer | Shelve) => "free",
        (_, Withdraw) => "offered to another project",
        (_, Retype) => "free or attached",
    };
    Err(Refused { actual: now.word(), wanted })
}

fn of_life(life: Life, health: Health) -> Option<Standing> {
    match (life, health) {
        (Life::Creating, _) => Some(Standing::Creating),
        (Life::Deleting, _) => Some(Standing::Deleting),
        (Life::Error, _) | (Life::Ready, Health::DataLost | Health::Down) => Some(Standing::Error),
        (Life::Ready, Health::Up | Health::UpSoon) => None,
    }
}

impl Volume {
    /// Its state in one word: what was declared, else what the axes say.
    pub fn standing(&self) -> Standing {
        self.declared.unwrap_or_else(|| self.axes())
    }

    /// Its state in one word by the axes alone.
    pub fn axes(&self) -> Standing {
        let of_work = |work: &Work| match work {
            Work::Resizing => Some(Standing::Resizing),
            Work::RollingBack => Some(Standing::RollingBack),
            Work::Restoring => Some(Standing::Restoring),
            Work::Uploading => Some(Standing::Uploading),
            Work::Downloading => Some(Standing::Downloading),
            // It goes on serving as if nothing happened.
            Work::Copying | Work::Moving => None,
        };
        let of_use = match self.usage {
            Usage::Free => Standing::Free,
            Usage::Reserved => Standing::Reserved,
            Usage::Attaching => Standing::Attaching,
            Usage::Attached => Standing::Attached,
            Usage::Detaching => Standing::Detaching,
        };
        of_life(self.life, self.health).or_else(|| self.work.iter().find_map(of_work)).unwrap_or(of_use)
    }
}

impl Snapshot {
    /// Its state in one word: what was declared, else what the axes say.
    pub fn standing(&self) -> Standing {
        self.declared.or(of_life(self.life, self.health)).unwrap_or(Standing::Free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standings_have_words_of_their_own() {
        let words: std::collections::HashSet<_> = Standing::ALL.iter().map(|s| s.word()).collect();
        assert_eq!(words.len(), Standing::ALL.len());
    }

    #[test]
    fn a_side_may_narrow_from_where_something_is_allowed() {
        let when = When::Only(&[Standing::Free, Standing::Error]);
        assert!(when.check(Kind::Volume, "v", Standing::Error).is_ok());
        let refused = when.check(Kind::Volume, "v", Standing::Attached).unwrap_err();
        let Condition::WrongState { actual, wanted, .. } = refused else { panic!("{refused:?}") };
        assert_eq!((actual.as_str(), wanted.as_str()), ("attached", "free or error"));
        assert!(When::AllBut(Standing::Free).check(Kind::Volume, "v", Standing::Free).is_err());
        assert!(When::default().check(Kind::Volume, "v", Standing::Deleting).is_ok());
    }
}
