//! Engines and arrays with one rule off. Each must be caught: a simulator that does not notice a missing rule proves
//! nothing.

use parpen_engine::Rules;

use crate::history::{Outcome, run_array, run_engine};
use crate::profile::Profile;

/// A way to run one history.
type Run = fn(u64, Profile, bool) -> Outcome;

/// An engine with one rule off.
pub struct Mutant {
    /// The rule's name, as on the command line.
    pub name: &'static str,
    /// The kind of history that shows it best.
    pub profile: Profile,
    /// Runs one history with it.
    pub run: Run,
}

macro_rules! mutants {
    ($($(#[$doc:meta])* $type:ident = $rule:ident, $name:literal, $run:ident, $profile:ident;)*) => {
        $($(#[$doc])* pub struct $type; impl Rules for $type { const $rule: bool = false; })*

        /// All of them.
        pub const MUTANTS: &[Mutant] = &[
            $(Mutant { name: $name, profile: Profile::$profile, run: $run::<$type> }),*
        ];
    };
}

mutants! {
    /// Blocks freed by an overwrite are reused at once.
    NoDeferFree = DEFER_FREE, "defer-free", run_engine, Crash;
    /// Blocks freed by a deletion are reused at once.
    NoDeferDeleteFree = DEFER_DELETE_FREE, "defer-delete-free", run_engine, Crash;
    /// Log records need no link to their predecessor.
    NoChain = CHAIN, "chain", run_engine, Recovery;
    /// Recovery believes mappings whose data never arrived.
    NoVerifyTail = VERIFY_TAIL, "verify-tail", run_engine, Crash;
    /// Recovery believes fillings whose data never arrived.
    NoVerifyFill = VERIFY_FILL, "verify-fill", run_engine, Moves;
    /// The log's epoch stays the same over openings.
    NoBootEpoch = BOOT_EPOCH, "boot-epoch", run_engine, Recovery;
    /// Recovery serves before its decisions are durable.
    NoFixOutcome = FIX_OUTCOME, "fix-outcome", run_engine, Recovery;
    /// Versions with several children are deleted like others.
    NoGhosts = GHOSTS, "ghosts", run_engine, Crash;
    /// The superblock may name a checkpoint before it is durable.
    NoFlushBeforeSwitch = FLUSH_BEFORE_SWITCH, "flush-before-switch", run_engine, Crash;
    /// Writes of one block do not wait for each other.
    NoRangeLock = RANGE_LOCK, "range-lock", run_engine, Crash;
    /// The old map of free blocks may be overwritten while the new one is written.
    NoKeepOldBits = KEEP_OLD_BITS, "keep-old-bits", run_engine, Recovery;
    /// Maps that are not checkpointed are dropped like others.
    NoKeepDirty = KEEP_DIRTY, "keep-dirty", run_engine, Crash;
    /// A lineage is cut off before what it holds is durable.
    NoFlushBeforeCut = FLUSH_BEFORE_CUT, "flush-before-cut", run_engine, Crash;
    /// Answers do not wait until those who missed something are durably out.
    NoBumpEra = BUMP_ERA_BEFORE_ACK, "bump-era-before-ack", run_array, Array;
    /// Nobody outside the disks remembers which were the newest.
    NoWitness = WITNESS, "witness", run_array, Array;
    /// The first disk is believed, whatever the others know.
    NoAdoptAuthority = ADOPT_AUTHORITY, "adopt-authority", run_array, Array;
    /// A disk gives up what was deleted before the others know.
    NoKeepNewGhosts = KEEP_NEW_GHOSTS, "keep-new-ghosts", run_array, Array;
    /// A deleted snapshot loses its number while a disk is away.
    NoKeepLinks = KEEP_LINKS, "keep-links", run_array, Array;
    /// Each disk clears the end of a volume that grows for itself.
    NoClearBeforeGrow = CLEAR_BEFORE_GROW, "clear-before-grow", run_array, Array;
    /// Replicas that differ after a power cut are left so.
    NoReconcile = RECONCILE_AT_OPEN, "reconcile-at-open", run_array, Array;
    /// A disk that came back is read at once.
    NoReadOnlyClean = READ_ONLY_CLEAN, "read-only-clean", run_array, Array;
    /// The old place is given up before the new one is written down.
    NoOverrideBeforeEvict = OVERRIDE_BEFORE_EVICT, "override-before-evict", run_array, Array;
    /// A copy counts before it is durable.
    NoFillDurable = FILL_DURABLE_BEFORE_OVERRIDE, "fill-durable-before-override", run_array, Array;
    /// A bad block is healed with whatever another disk has there.
    NoHealFromVerified = HEAL_FROM_VERIFIED, "heal-from-verified", run_array, ArraySilent;
}
