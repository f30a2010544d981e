//! What goes wrong in a history, and how often.

use crate::disk::Faults;

/// A kind of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Power cuts on a medium that writes sectors of 512 bytes.
    Crash,
    /// Power cuts on a medium that writes 4 KiB at once.
    CrashAtomic,
    /// Power cuts that come often and strike recoveries too.
    Recovery,
    /// A disk that is nearly always full.
    Full,
    /// A sparse file on a host whose own space runs out.
    Host,
    /// Power cuts while families leave and come back, blocks are healed and records put.
    Moves,
    /// Reads and writes that end in errors.
    Errors,
    /// Flushes that fail, followed by flushes that lie.
    Flush,
    /// Lost and misdirected writes, misdirected reads, flipped bits: nothing says so.
    Silent,
    /// Several disks as one store, which go and come back, with power cuts of all.
    Array,
    /// The same, nearly always full.
    ArrayFull,
    /// The same, with reads, writes and flushes that fail on some disks.
    ArrayErrors,
    /// The same, with a disk on which bits flip.
    ArraySilent,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Profile; 13] = [
        Profile::Crash,
        Profile::CrashAtomic,
        Profile::Recovery,
        Profile::Full,
        Profile::Host,
        Profile::Moves,
        Profile::Errors,
        Profile::Flush,
        Profile::Silent,
        Profile::Array,
        Profile::ArrayFull,
        Profile::ArrayErrors,
        Profile::ArraySilent,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Crash => "crash",
            Profile::CrashAtomic => "crash-atomic",
            Profile::Recovery => "recovery",
            Profile::Full => "full",
            Profile::Host => "host",
            Profile::Moves => "moves",
            Profile::Errors => "errors",
            Profile::Flush => "flush",
            Profile::Silent => "silent",
            Profile::Array => "array",
            Profile::ArrayFull => "array-full",
            Profile::ArrayErrors => "array-errors",
            Profile::ArraySilent => "array-silent",
        }
    }

    /// The profile of that name.
    pub fn named(name: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|p| p.name() == name)
    }

    /// Whether it is about several disks as one store.
    pub fn is_array(self) -> bool {
        matches!(self, Profile::Array | Profile::ArrayFull | Profile::ArrayErrors | Profile::ArraySilent)
    }

    /// Whether volumes are frozen and cut off. The seeds that are kept as regressions are older than that.
    pub(crate) fn rebases(self) -> bool {
        self != Profile::Recovery
    }

    /// Bytes that the medium writes at once.
    pub(crate) fn atomic(self) -> usize {
        if self == Profile::CrashAtomic { 4096 } else { 512 }
    }

    /// Pages of the disk.
    pub(crate) fn pages(self) -> u64 {
        if self == Profile::Full { 112 } else { 256 }
    }

    /// Odds of the medium's faults; where silent ones may strike is the driver's to say.
    pub(crate) fn faults(self) -> Faults {
        match self {
            Profile::Errors => Faults { read_error: 5_000, write_error: 3_000, ..Faults::default() },
            Profile::ArrayErrors => {
                Faults { read_error: 8_000, write_error: 3_000, flush_error: 4_000, ..Faults::default() }
            }
            Profile::Flush => Faults { flush_error: 40_000, ..Faults::default() },
            Profile::Silent => Faults {
                lost_write: 2_000,
                stray_write: 2_000,
                stray_read: 6_000,
                flipped_read: 6_000,
                rot: 2_000,
                ..Faults::default()
            },
            _ => Faults::default(),
        }
    }

    /// Whether a flush is a promise against power cuts. Where answered writes get lost it is not: in the
    /// last record of the log, which no later one vouches for, a lost write looks like one that was never
    /// answered, and a single copy can do no better than the block's older content. A checkpoint (closing,
    /// recovery) promises in any case.
    pub(crate) fn flush_counts(self) -> bool {
        self != Profile::Silent
    }

    /// Whether a request may be refused for want of space.
    pub(crate) fn may_be_full(self) -> bool {
        matches!(self, Profile::Full | Profile::Host | Profile::ArrayFull)
    }

    /// Whether a request may end in an error of the medium.
    pub(crate) fn may_fail(self) -> bool {
        matches!(self, Profile::Errors | Profile::Flush | Profile::Silent)
    }

    /// Whether some disks, which the driver knows, may fail a request or forget what they hold.
    pub(crate) fn may_fail_somewhere(self) -> bool {
        matches!(self, Profile::ArrayErrors | Profile::ArraySilent)
    }

    /// Power cuts per hundred steps of the driver.
    pub(crate) fn crashes(self) -> u32 {
        match self {
            Profile::Recovery => 20,
            Profile::Crash | Profile::CrashAtomic | Profile::Moves => 8,
            Profile::Flush | Profile::Errors => 6,
            Profile::Full | Profile::Host | Profile::Silent => 3,
            Profile::Array => 4,
            Profile::ArrayFull | Profile::ArrayErrors | Profile::ArraySilent => 2,
        }
    }

    /// How often, in percent, a recovery is struck by the next power cut.
    pub(crate) fn crashed_recoveries(self) -> u32 {
        match self {
            Profile::Recovery => 60,
            _ => 15,
        }
    }
}
