//! Feature bits of the superblock: what a program must know before it touches the disk.

/// A catalogue that other disks repeat: records among the nodes, operations 10 to 16 in the log, the count of
/// the catalogue's operations in the root, trees in the nodes, and eras in the origins. A program that does not
/// know it would take such a log for damage, so the bit is incompatible.
pub(crate) const REPLICATED: u64 = 1;
/// Every slot of the version table carries the digest of its version. Reading needs none of them, but who writes
/// without keeping them makes them lie: the bit is read-only compatible.
pub(crate) const DIGESTS: u64 = 1;

/// What this program knows, and gives to every disk that it opens.
pub(crate) const INCOMPAT: u64 = REPLICATED;
/// The same for what only writers must know.
pub(crate) const RO_COMPAT: u64 = DIGESTS;
