//! Engines with one rule off. Each must be caught: a simulator that does not notice a missing rule proves
//! nothing.

use parpen_engine::Rules;

use crate::history::{Outcome, run};
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
    ($($(#[$doc:meta])* $type:ident = $rule:ident, $name:literal, $profile:ident;)*) => {
        $($(#[$doc])* pub struct $type; impl Rules for $type { const $rule: bool = false; })*

        /// All of them.
        pub const MUTANTS: &[Mutant] = &[
            $(Mutant { name: $name, profile: Profile::$profile, run: run::<$type> }),*
        ];
    };
}

mutants! {
    /// Blocks freed by an overwrite are reused at once.
    NoDeferFree = DEFER_FREE, "defer-free", Crash;
    /// Blocks freed by a deletion are reused at once.
    NoDeferDeleteFree = DEFER_DELETE_FREE, "defer-delete-free", Crash;
    /// Log records need no link to their predecessor.
    NoChain = CHAIN, "chain", Recovery;
    /// Recovery believes mappings whose data never arrived.
    NoVerifyTail = VERIFY_TAIL, "verify-tail", Crash;
    /// The log's epoch stays the same over openings.
    NoBootEpoch = BOOT_EPOCH, "boot-epoch", Recovery;
    /// Recovery serves before its decisions are durable.
    NoFixOutcome = FIX_OUTCOME, "fix-outcome", Recovery;
    /// Versions with several children are deleted like others.
    NoGhosts = GHOSTS, "ghosts", Crash;
    /// The superblock may name a checkpoint before it is durable.
    NoFlushBeforeSwitch = FLUSH_BEFORE_SWITCH, "flush-before-switch", Crash;
    /// Writes of one block do not wait for each other.
    NoRangeLock = RANGE_LOCK, "range-lock", Crash;
    /// A lineage is cut off before what it holds is durable.
    NoFlushBeforeCut = FLUSH_BEFORE_CUT, "flush-before-cut", Crash;
}
