//! A plan of moves after which disks are about equally full. It is made beside the I/O, however much is stored.

use std::collections::{BTreeMap, BTreeSet};

use parpen_engine::sync::yield_now;
use parpen_engine::{BLOCK, Disk, Rules};

use crate::Array;
use crate::member::Eject;
use crate::place::Family;

/// Disks whose shares of used space differ by less than one in this many are balanced.
const FINE: u64 = 200;
/// Balancing begins by itself when they differ by one in this many.
const COARSE: u64 = 20;
/// Moves in one plan, at most.
const MOVES_MAX: usize = 1 << 16;
/// Families that are looked at before others get their turn.
const LOOKS: usize = 512;

/// How full a disk is before and after a plan, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The disk.
    pub disk: u16,
    /// What it can hold.
    pub capacity: u64,
    /// Data on it when the plan was made.
    pub before: u64,
    /// Data on it when the plan is carried out.
    pub after: u64,
    /// Versions of objects that come; an object and its snapshots' versions move together.
    pub gets: u64,
    /// Versions of objects that leave.
    pub gives: u64,
}

/// What balancing would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Every disk that takes part.
    pub disks: Vec<Fill>,
    /// Objects that move: `(tree, object)`, from, to.
    pub moves: Vec<(Family, u16, u16)>,
    /// Bytes that move.
    pub bytes: u64,
    /// It is being carried out.
    pub committed: bool,
}

impl Fill {
    /// How full it is, in parts of 2^20.
    fn share(&self, bytes: u64) -> u64 {
        ((u128::from(bytes) << 20) / u128::from(self.capacity.max(1))) as u64
    }

    /// Whether it stays at least as full as the other when so much moves there.
    fn can_give(&self, size: u64, to: &Fill) -> bool {
        size > 0 && to.share(to.after + size) <= self.share(self.after.saturating_sub(size))
    }

    fn is_above(&self, other: &Fill, part: u64) -> bool {
        self.share(self.after).saturating_sub(other.share(other.after)) >= (1 << 20) / part
    }
}

/// Families on one disk that the plan does not move, with their bytes and versions there.
#[derive(Default)]
struct Stock {
    sizes: BTreeMap<Family, (u64, u64)>,
    by_size: BTreeSet<(u64, Family)>,
}

/// A plan that is being made.
struct Draft {
    plan: Plan,
    stocks: BTreeMap<u16, Stock>,
    /// From, to: the larger ones were looked at. What did not fit or was not admitted then is passed over for good, though
    /// a few might fit again after moves to and from third disks: no plan has to be the best one.
    seen: BTreeMap<(u16, u16), (u64, Family)>,
    /// Families that were looked at since others had their turn.
    looked: usize,
}

impl Draft {
    async fn breathe(&mut self) {
        if self.looked >= LOOKS {
            self.looked = 0;
            yield_now().await;
        }
    }

    fn add(&mut self, (size, family): (u64, Family), from: usize, to: usize) {
        let disks = &mut self.plan.disks;
        let held = self.stocks.get(&disks[from].disk).and_then(|s| s.sizes.get(&family));
        let versions = held.map_or(0, |(_, versions)| *versions);
        // Once is enough for one plan, whichever of its copies it is.
        for stock in self.stocks.values_mut() {
            if let Some((size, _)) = stock.sizes.remove(&family) {
                stock.by_size.remove(&(size, family));
            }
        }
        disks[from].after = disks[from].after.saturating_sub(size);
        disks[from].gives += versions;
        disks[to].after += size;
        disks[to].gets += versions;
        self.plan.moves.push((family, disks[from].disk, disks[to].disk));
        self.plan.bytes += size;
    }
}

impl<D: Disk, R: Rules> Array<D, R> {
    /// Makes a plan and keeps it until it is committed or another is made.
    pub async fn compute_balance(&self) -> Plan {
        let plan = self.plan_balance().await;
        *self.mover.plan.borrow_mut() = Some(plan.clone());
        plan
    }

    /// What a plan would be, for who only looks.
    pub async fn plan_balance(&self) -> Plan {
        let plan = Plan { disks: self.fills(), ..Plan::default() };
        let mut draft = Draft { plan, stocks: BTreeMap::new(), seen: BTreeMap::new(), looked: 0 };
        for fill in &draft.plan.disks {
            draft.stocks.insert(fill.disk, self.stock(fill.disk).await);
        }
        while draft.plan.moves.len() < MOVES_MAX && self.add_move(&mut draft).await {}
        draft.plan
    }

    /// The disks that take part.
    fn fills(&self) -> Vec<Fill> {
        let live = self.live();
        let takes_part = live.iter().filter(|t| t.clean && t.member.eject.get() == Eject::No);
        let fill =
            |disk, capacity, data| Fill { disk, capacity, before: data, after: data, gets: 0, gives: 0 };
        takes_part
            .map(|t| (t.member.number, t.engine.space()))
            .map(|(number, space)| fill(number, space.capacity, space.data))
            .collect()
    }

    async fn stock(&self, disk: u16) -> Stock {
        let mut stock = Stock::default();
        let Some(engine) = self.member(disk).and_then(|m| m.live()) else { return stock };
        let mut from = (0, 0);
        loop {
            let some = engine.versions_from(from.0, from.1, LOOKS);
            for v in &some {
                let (family, more) = ((v.tree, v.index), v.owned * BLOCK);
                let (size, versions) = stock.sizes.entry(family).or_default();
                stock.by_size.remove(&(*size, family));
                *size += more;
                *versions += 1;
                stock.by_size.insert((*size, family));
            }
            yield_now().await;
            let Some(last) = some.last() else { return stock };
            from = (last.lineage, last.index + 1);
        }
    }

    /// Adds the largest move from the fullest disk that makes the emptiest admissible one no fuller than it; `false`:
    /// there is none.
    async fn add_move(&self, draft: &mut Draft) -> bool {
        let disks = draft.plan.disks.clone();
        let mut order: Vec<usize> = (0..disks.len()).collect();
        order.sort_by_key(|i| disks[*i].share(disks[*i].after));
        let Some((&fullest, others)) = order.split_last() else { return false };
        for &other in others {
            let (from, to) = (disks[fullest], disks[other]);
            if !from.is_above(&to, FINE) {
                return false;
            }
            if let Some(largest) = self.largest(draft, &from, &to).await {
                draft.add(largest, fullest, other);
                return true;
            }
        }
        false
    }

    /// The largest family that may move from one disk to another.
    async fn largest(&self, draft: &mut Draft, from: &Fill, to: &Fill) -> Option<(u64, Family)> {
        let pair = (from.disk, to.disk);
        loop {
            draft.breathe().await;
            let below = draft.seen.get(&pair).copied().unwrap_or((u64::MAX, (u64::MAX, u64::MAX)));
            let rest = draft.stocks.get(&from.disk)?.by_size.range(..below).rev();
            let (mut looked, mut last) = (0, None);
            let found = rest.take(LOOKS - draft.looked).copied().find(|(size, family)| {
                looked += 1;
                last = Some((*size, *family));
                from.can_give(*size, to) && self.may_move(*family, from.disk, to.disk)
            });
            draft.looked += looked;
            draft.seen.insert(pair, last?);
            if found.is_some() {
                return found;
            }
        }
    }

    fn may_move(&self, family: Family, from: u16, to: u16) -> bool {
        let table = self.table.borrow();
        let tuple = table.place(family);
        let is_last = tuple.disks().last() == Some(&from);
        tuple.has(from) && !tuple.has(to) && table.admits(&table.policy(family.0), is_last, to)
    }

    /// Looks whether disks have drifted apart so far that balancing is to begin by itself.
    pub fn look_at_fill(&self) {
        let fills = self.fills();
        let is_uneven = fills.iter().any(|a| fills.iter().any(|b| a.is_above(b, COARSE)));
        if is_uneven && self.auto_balance.get() {
            self.balance_soon();
        }
    }
}
