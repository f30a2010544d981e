//! What the engine tells: plain data for callers.

use uuid::Uuid;

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Can be written.
    Volume,
    /// Never changes.
    Snapshot,
}

/// A volume or snapshot as it stands on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: Uuid,
    /// What it is.
    pub kind: Kind,
    /// A snapshot: the volume it was taken of. A volume: the snapshot it was made from. (May be gone by now.)
    pub of: Option<Uuid>,
    /// The nearest snapshot it shares blocks with that still has a name.
    pub parent: Option<Uuid>,
    /// Its size.
    pub bytes: u64,
    /// Its label, as it was given.
    pub label: Vec<u8>,
    /// +1 with each change of the label; starts at 1.
    pub label_version: u64,
    /// Bytes on the disk that it does not share with its parent.
    pub stored: u64,
}

/// What one volume or snapshot costs, in bytes. `stored` is `unique` and `shared` together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Data that can be read in it.
    pub stored: u64,
    /// Data that it owns and shares with nobody.
    pub unique: u64,
    /// Data that others can read, too, or that deleted ones hold for it.
    pub shared: u64,
    /// What its deletion would free: what is unique to it, and what deleted ones hold for it alone.
    pub freed: u64,
}

/// How full the disk is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What data and metadata can use together.
    pub capacity: u64,
    /// Mapped data.
    pub data: u64,
    /// Checkpointed metadata.
    pub metadata: u64,
    /// Freed, but not reusable before the next commit.
    pub deferred: u64,
    /// What new data can still take (without the reserve).
    pub free: u64,
}

/// A piece of a volume's map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Length in bytes.
    pub len: u64,
    /// It reads as zeros and takes no space.
    pub zero: bool,
}

/// A piece of a volume or snapshot, compared with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Length in bytes.
    pub len: u64,
    /// It need not be the same there.
    pub changed: bool,
    /// It reads as zeros now and takes no space.
    pub zero: bool,
}

/// An invariant that does not hold, in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
