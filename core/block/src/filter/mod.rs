//! What can stand between a queue's user and its device. Each filter wraps a device and puts itself around
//! every queue that is opened; they stack in any order. The argument checks stand in front of all and
//! belong to the gate.

mod answers;
mod check;
mod cipher;
mod delay;
mod fault;
mod qos;
mod stat;
#[cfg(test)]
mod tests;

use crate::Op;

pub(crate) use answers::Answers;
pub(crate) use check::Check;
pub use cipher::SectorCipher;
pub use delay::Delay;
pub use fault::{Fault, Faults, Rule};
pub(crate) use qos::Shared;
pub use qos::{Limits, Qos, Throttle};
pub use stat::{BUCKETS, Counters, Stat, Totals};

/// An operation without its details, for counting and choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`Op::Read`]
    Read,
    /// [`Op::Write`]
    Write,
    /// [`Op::Flush`]
    Flush,
    /// [`Op::Zero`]
    Zero,
    /// [`Op::Discard`]
    Discard,
    /// [`Op::Extents`]
    Extents,
    /// [`Op::Prefetch`]
    Prefetch,
}

impl Kind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Kind; 7] =
        [Kind::Read, Kind::Write, Kind::Flush, Kind::Zero, Kind::Discard, Kind::Extents, Kind::Prefetch];

    /// The kind of an operation.
    pub fn of(op: Op) -> Kind {
        match op {
            Op::Read => Kind::Read,
            Op::Write { .. } => Kind::Write,
            Op::Flush => Kind::Flush,
            Op::Zero { .. } => Kind::Zero,
            Op::Discard => Kind::Discard,
            Op::Extents => Kind::Extents,
            Op::Prefetch => Kind::Prefetch,
        }
    }

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Read => "read",
            Kind::Write => "write",
            Kind::Flush => "flush",
            Kind::Zero => "zero",
            Kind::Discard => "discard",
            Kind::Extents => "extents",
            Kind::Prefetch => "prefetch",
        }
    }
}
