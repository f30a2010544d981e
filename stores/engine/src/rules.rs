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
    /// The same for what was filled in or moved.
    const VERIFY_FILL: bool = true;
    /// Each opening gives the log a new epoch, so that records of a former life never follow on.
    const BOOT_EPOCH: bool = true;
    /// Recovery makes what it decided durable before it serves.
    const FIX_OUTCOME: bool = true;
    /// What recovery found is durable before it overwrites anything: after the death of a process alone it may stand in
    /// the medium's cache only. (`tests/found.rs` shows it.)
    const FLUSH_FOUND: bool = true;
    /// Data checksums are seeded with the identity of the block.
    const SEED_CRC: bool = true;
    /// A deleted version with more than one child stays as a nameless ghost.
    const GHOSTS: bool = true;
    /// Everything that a new checkpoint refers to is durable before the superblock names it.
    const FLUSH_BEFORE_SWITCH: bool = true;
    /// What descendants follow is durable before the operation that they follow. (`tests/follow.rs` shows it.)
    const SETTLE_BEFORE_FOLLOW: bool = true;
    /// Writes that touch the same block of a volume wait for each other.
    const RANGE_LOCK: bool = true;
    /// The old map of free blocks stays untouched until the new one is the truth.
    const KEEP_OLD_BITS: bool = true;
    /// Maps that are not checkpointed stay in memory.
    const KEEP_DIRTY: bool = true;
    /// A lineage is cut off from its parents only after everything that it holds itself is durable.
    const FLUSH_BEFORE_CUT: bool = true;

    // What follows are rules of many disks as one store (`stores/array`).

    /// The era goes up, durably on every disk that goes on, before the first answer to anything that another
    /// disk missed.
    const BUMP_ERA_BEFORE_ACK: bool = true;
    /// At opening the newest disk in sync is believed, and the others take its catalogue.
    const ADOPT_AUTHORITY: bool = true;
    /// What lost its name keeps its space on every disk until no disk that still has the name could be believed.
    const KEEP_NEW_GHOSTS: bool = true;
    /// A deleted snapshot that something goes on from keeps its number while a disk is away that alone may have
    /// objects of its tree.
    const KEEP_LINKS: bool = true;
    /// What stands behind the end of a volume is cleared on all disks before any of them lets the volume grow.
    const CLEAR_BEFORE_GROW: bool = true;
    /// At opening, replicas that differ (by writes that no flush covered) are made equal before they serve.
    const RECONCILE_AT_OPEN: bool = true;
    /// A disk that came back is read only for families that are known to be the newest there.
    const READ_ONLY_CLEAN: bool = true;
    /// A family is given up on a disk only after its new place is durable everywhere.
    const OVERRIDE_BEFORE_EVICT: bool = true;
    /// Something outside the disks remembers the newest era, and older disks alone are refused.
    const WITNESS: bool = true;
    /// What was copied is durable before the placement says that it is there.
    const FILL_DURABLE_BEFORE_OVERRIDE: bool = true;
    /// A block is healed only with bytes that match the checksum of what was written there.
    const HEAL_FROM_VERIFIED: bool = true;
}

/// All rules hold: the product.
pub struct Sound;

impl Rules for Sound {}
