//! Handles and names.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Condition, Kind};

/// Longest handle, in bytes.
pub const HANDLE_MAX: usize = 120;
/// Longest free-text name, in characters.
pub const NAME_MAX: usize = 255;
/// How much of a name goes into a handle, so that `-2` and `@<snapshot>` still fit.
const CUT: usize = 90;
const RESERVED: [&str; 4] = ["list", "status", "snapshots", "locks"];

/// The unique name of a volume or snapshot: `[A-Za-z0-9_.-]`, at most 120 bytes; a snapshot's is
/// `<volume handle>@<snapshot name>` at its making.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(String);

impl Handle {
    /// The handle that `name` gives, the `attempt`-th (from 1) when earlier ones are taken: each foreign character
    /// becomes `-`, cut to 90; an empty name gives `vol-<8 hex of the id>`; a taken one gets `-2`, `-3`.
    pub fn from_name(name: &str, id: Uuid, attempt: u32) -> Handle {
        let short = || format!("vol-{}", &id.simple().to_string()[..8]);
        let base = match name {
            "" => short(),
            n => mapped(n),
        };
        let base = if misleads(&base) { short() } else { base };
        Handle(numbered(base, attempt))
    }

    /// The handle of a snapshot `name` of the volume `of`.
    pub fn of_snapshot(of: &Handle, name: &str, id: Uuid, attempt: u32) -> Handle {
        let name = match name {
            "" => id.simple().to_string()[..8].to_string(),
            n => mapped(n),
        };
        // 12 bytes stay for `-<attempt>`; the volume's part gives way, at least 17 of it remain.
        let volume: String = of.0.chars().take(HANDLE_MAX - 12 - 1 - name.len()).collect();
        Handle(numbered(format!("{volume}@{name}"), attempt))
    }

    /// A handle that a person chose; refused with the reason when it is none.
    pub fn parse(text: &str) -> Result<Handle, Condition> {
        let ok = !text.is_empty() && text.len() <= HANDLE_MAX && text.chars().all(is_plain);
        if !ok || misleads(text) {
            return Err(Condition::invalid(
                "name",
                "a handle has 1 to 120 of A-Z a-z 0-9 _ . - and is no UUID and none of list, status, snapshots, locks",
            ));
        }
        Ok(Handle(text.to_string()))
    }

    /// A handle that was given once, a snapshot's (`<volume>@<name>`) too, as a label kept it.
    pub fn kept(text: &str) -> Option<Handle> {
        let plain = |part: &str| !part.is_empty() && part.chars().all(is_plain);
        let ok = match text.split_once('@') {
            Some((volume, name)) => plain(volume) && plain(name),
            None => plain(text) && !misleads(text),
        };
        (ok && text.len() <= HANDLE_MAX).then(|| Handle(text.to_string()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Words of the APIs' paths, dots only, and what would be taken for somebody's id.
fn misleads(text: &str) -> bool {
    RESERVED.contains(&text) || text.chars().all(|c| c == '.') || Uuid::parse_str(text).is_ok()
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

fn mapped(name: &str) -> String {
    name.chars().map(|c| if is_plain(c) { c } else { '-' }).take(CUT).collect()
}

fn numbered(base: String, attempt: u32) -> String {
    if attempt <= 1 { base } else { format!("{base}-{attempt}") }
}

/// Refuses pool names that are no path segment or that would hide another API's path.
pub fn check_pool_name(name: &str) -> Result<(), Condition> {
    const HIDING: [&str; 12] = [
        "conf", "identity", "volume", "image", "ctrl", "api", "disk", "v2", "v3", "list", "status", "health",
    ];
    let why = if name.is_empty()
        || name.len() > 63
        || !name.chars().all(is_plain)
        || name.starts_with(['.', '-'])
    {
        "a pool's name has 1 to 63 of A-Z a-z 0-9 _ . - and begins with a letter, digit or _"
    } else if HIDING.contains(&name) {
        "this name would hide a path of one of the APIs; take another"
    } else {
        return Ok(());
    };
    Err(Condition::invalid(format!("{} name", Kind::Pool.word()), why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn handles_come_from_names() {
        let id = Uuid::from_u128(0xabcdef01_0000_4000_8000_000000000000);
        let h = |n, a| Handle::from_name(n, id, a).0;
        assert_eq!(h("books", 1), "books");
        assert_eq!(h("books", 2), "books-2");
        assert_eq!(h("my books/é", 1), "my-books--");
        assert_eq!(h("", 1), "vol-abcdef01");
        assert_eq!(h("list", 1), "vol-abcdef01");
        assert_eq!(h("..", 1), "vol-abcdef01");
        assert_eq!(h("4e5819b7-be50-45bd-9447-127f59875456", 1), "vol-abcdef01");
        assert!(Handle::parse("4e5819b7be5045bd9447127f59875456").is_err());
        assert_eq!(h(&"x".repeat(300), 3).len(), 92);
        let v = Handle::from_name("books", id, 1);
        assert_eq!(Handle::of_snapshot(&v, "before", id, 1).0, "books@before");
        assert_eq!(Handle::of_snapshot(&v, "", id, 2).0, "books@abcdef01-2");
    }

    proptest! {
        #[test]
        fn whatever_the_name_the_handle_is_one(name in ".*", snap in ".*", a in 1u32..100_000) {
            let id = Uuid::from_u128(7);
            let v = Handle::from_name(&name, id, a);
            prop_assert!(Handle::parse(v.as_str()).is_ok(), "{v}");
            let s = Handle::of_snapshot(&v, &snap, id, a);
            prop_assert!(s.as_str().len() <= HANDLE_MAX && s.as_str().contains('@'), "{s}");
        }
    }

    #[test]
    fn pools_do_not_hide_paths() {
        assert!(check_pool_name("local").is_ok());
        for bad in ["", "conf", "a/b", "..", "-x", &"p".repeat(64)] {
            assert!(check_pool_name(bad).is_err(), "{bad}");
        }
    }
}
