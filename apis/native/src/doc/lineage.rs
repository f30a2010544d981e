//! What volumes and snapshots share.

use serde::{Deserialize, Serialize};

/// What a volume or snapshot costs, in bytes. `stored` is `unique` and `shared` together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CostDoc {
    /// Data that can be read in it.
    pub stored: u64,
    /// Data that it shares with nobody.
    pub unique: u64,
    /// Data that others can read, too, or that deleted ones keep for it.
    pub shared: u64,
    /// What its deletion would free.
    pub freed_if_deleted: u64,
}

/// `POST /api/volumes/{volume}/flatten`, and of a snapshot.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlattenWish {
    /// A snapshot that it comes from and goes on sharing with: its name within the volume, handle or id; none: it shares
    /// with nothing afterwards.
    pub onto: Option<String>,
}

/// What differs from something else, or (from nothing) what is allocated.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DiffDoc {
    /// What need not be the same; zeros are what was given back.
    pub changed: Vec<PieceDoc>,
    /// Bytes that differ.
    pub bytes: u64,
    /// Where to ask on; absent at the end.
    pub next: Option<u64>,
}

/// A piece of a volume or snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PieceDoc {
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// It reads as zeros.
    pub zero: bool,
}
