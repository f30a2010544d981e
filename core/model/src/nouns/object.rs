//! Objects, the 32 MiB pieces of volumes and snapshots, as a pool's disks keep them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

/// How the objects of one volume or snapshot are kept. Those that it shares count for each that reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// What has the same number grew from one another, and its objects are on the same disks.
    pub tree: u64,
    /// Bytes of its own, each counted once.
    pub stored: u64,
    /// Bytes of its own on all disks together.
    pub on_disk: u64,
    /// Objects that are on the way to another disk or due to go there.
    pub due: u64,
    /// Objects that a balancing plan moves.
    pub planned: u64,
    /// Objects with fewer good copies than they are to have.
    pub short: u64,
    /// Objects of which a copy is being made, or a disk that is there may not have the newest.
    pub behind: u64,
    /// Bytes on one disk in these.
    pub behind_bytes: u64,
    /// Objects that cannot be read or written: only a disk that is brought up to date may have them.
    pub soon: u64,
    /// The same: only disks that are away may have them.
    pub away: u64,
    /// The same: all of their disks are gone for good.
    pub lost: u64,
    /// Bytes of the volume in those three.
    pub unreachable_bytes: u64,
    /// Disks that are away and without which objects cannot be reached.
    pub needed: BTreeSet<u16>,
    /// Disks that are away while others have what they have.
    pub missing: BTreeSet<u16>,
    /// Disks that are away and are to take new objects.
    pub missing_targets: BTreeSet<u16>,
    /// Disks that have objects of it and are being emptied.
    pub leaving: BTreeSet<u16>,
}

/// What is to come to a disk and to leave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Objects that come.
    pub gets: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Objects that leave.
    pub gives: u64,
    /// Their bytes.
    pub bytes_out: u64,
}

/// How all that a pool has is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// By volume and snapshot.
    pub all: HashMap<Uuid, Keeping>,
    /// What is due to move, by disk.
    pub due: BTreeMap<u16, Due>,
}

/// One object of a volume or snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Its disks; the last is the one that is read from.
    pub disks: Vec<u16>,
    /// Something is stored that can be read in it, or nobody who is there can say.
    pub stored: bool,
    /// Bytes of the volume's own in it; `None`: it has no version of the object, or nobody who is there can say.
    pub own: Option<u64>,
    /// Its disks when what is due is done.
    pub due: Vec<u16>,
    /// Its disks when the balancing plan is carried out.
    pub planned: Vec<u16>,
}

/// Where a volume or snapshot is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// The sets of disks that new objects are placed on.
    pub sets: Vec<Vec<u16>>,
    /// Objects of it, in order.
    pub objects: Vec<StoredObject>,
}

/// How good a copy of an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyState {
    /// It is the newest.
    Good,
    /// It is not, or that was not looked at yet.
    Behind,
    /// Nobody who is there can say what is the newest.
    Unknown,
    /// It is being made.
    Coming,
    /// It is not placed there (any more) and will be given up.
    Stray,
}

/// What a disk has of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldObject {
    /// The volume or snapshot; `None`: one that was deleted, of which others still need this.
    pub of: Option<Uuid>,
    /// Where it stands in the disk's order.
    pub at: (u64, u64),
    /// Bytes.
    pub bytes: u64,
    /// +1 with each change.
    pub version: u64,
    /// Configuration generation of the last write.
    pub generation: u64,
    /// How good it is.
    pub copy: CopyState,
}
