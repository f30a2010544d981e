//! The rules that make the engine sound, each of which a mutation test can switch off to see that the
//! simulator notices.
//!
//! They are a type parameter and not a cargo feature, so that no switched-off rule can leak into a shipped
//! binary.

/// One constant per rule; all hold in [`Sound`].
pub trait Rules: 'static {
    /// A block freed by an overwrite, a discard or a zero is reused only after the record that freed it is
    /// durable.
    const DEFER_FREE: bool = true;
    /// The same for blocks that the deletion of a volume or snapshot frees.
    const DEFER_DELETE_FREE: bool = true;
    /// A log record is replayed only if it carries the hash of its predecessor.
    const CHAIN: bool = true;
    /// Recovery believes a mapping of the un-acknowledged tail only if the data on disk matches its checksum.
    const VERIFY_TAIL: bool = true;
    /// Each opening gives the log a new epoch, so that records of a former life never follow on.
    const BOOT_EPOCH: bool = true;
    /// Recovery makes what it decided durable before it serves.
    const FIX_OUTCOME: bool = true;
    /// Data checksums are seeded with the identity of the block.
    const SEED_CRC: bool = true;
    /// A deleted version with more than one child stays as a nameless ghost.
    const GHOSTS: bool = true;
    /// Everything that a new checkpoint refers to is durable before the superblock names it.
    const FLUSH_BEFORE_SWITCH: bool = true;
    /// What descendants follow is durable before the operation that they follow.
    const SETTLE_BEFORE_FOLLOW: bool = true;
    /// Writes that touch the same block of a volume wait for each other.
    const RANGE_LOCK: bool = true;
}

/// All rules hold: the product.
pub struct Sound;

impl Rules for Sound {}
