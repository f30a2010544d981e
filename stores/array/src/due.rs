//! Where families are going: what the mover would do with each if its turn came now.

use std::collections::BTreeMap;

use parpen_engine::{Disk, Rules};

use crate::Array;
use crate::member::Eject;
use crate::place::{Family, Tuple};

/// The moves of the balancing plan, as one look found them.
pub(crate) struct Plans {
    moves: BTreeMap<Family, (u16, u16)>,
    committed: bool,
}

impl<D: Disk, R: Rules> Array<D, R> {
    pub(crate) fn plans(&self) -> Plans {
        let plan = self.mover.plan.borrow();
        let moves = plan.iter().flat_map(|p| &p.moves).map(|(f, from, to)| (*f, (*from, *to)));
        Plans { moves: moves.collect(), committed: plan.as_ref().is_some_and(|p| p.committed) }
    }

    /// The move of the plan that a family has still before it.
    pub(crate) fn planned(&self, f: Family, tuple: &Tuple, plans: &Plans) -> Option<(u16, u16)> {
        plans.moves.get(&f).copied().filter(|(from, to)| tuple.has(*from) && !tuple.has(*to))
    }

    /// From where to where a family moves, or would if its turn came now.
    pub(crate) fn due(&self, f: Family, tuple: &Tuple, plans: &Plans) -> Option<(Option<u16>, u16)> {
        let empties = |n: &&u16| self.member(**n).is_some_and(|m| m.eject.get() != Eject::No);
        let emptied = || tuple.disks().iter().find(empties).map(|n| (Some(*n), self.choose(f, Some(*n))));
        let balanced = || self.planned(f, tuple, plans).filter(|_| plans.committed);
        let wanted = self.shortage(f).or_else(emptied);
        let wanted = wanted.or_else(|| balanced().map(|(from, to)| (Some(from), Some(to))));
        let filling = self.fills.to(f).filter(|to| !tuple.has(*to));
        let from = wanted.and_then(|(from, _)| from);
        filling.or(wanted.and_then(|(_, to)| to)).map(|to| (from, to))
    }
}
