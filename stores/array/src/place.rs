//! Where a family lives. A *family* is all versions of one object in one tree of snapshots and clones; it lives
//! whole on each disk of its tuple, so that parents are always where their children are.

use std::collections::BTreeMap;

/// A tree (the number of its first root) and an object of it.
pub type Family = (u64, u64);

/// Copies that a family can have, at most.
pub const REPLICAS_MAX: usize = 3;

/// Tuples that a tree's objects are spread over, at most.
const SETS_MAX: usize = 64;

/// Objects whose overrides stand in one record.
pub(crate) const PAGE: u64 = 1024;

/// The disks of a family, the tail last. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tuple {
    disks: [u16; REPLICAS_MAX],
    len: u8,
}

impl Tuple {
    /// Of one to three different disks.
    pub fn new(disks: &[u16]) -> Option<Tuple> {
        let distinct = disks.iter().enumerate().all(|(i, d)| !disks[..i].contains(d));
        if disks.is_empty() || disks.len() > REPLICAS_MAX || !distinct {
            return None;
        }
        let mut all = [0; REPLICAS_MAX];
        all[..disks.len()].copy_from_slice(disks);
        Some(Tuple { disks: all, len: disks.len() as u8 })
    }

    /// Of one disk.
    pub fn one(disk: u16) -> Tuple {
        Tuple { disks: [disk, 0, 0], len: 1 }
    }

    /// The disks, the tail last.
    pub fn disks(&self) -> &[u16] {
        &self.disks[..usize::from(self.len)]
    }

    /// Whether a disk is among them.
    pub fn has(&self, disk: u16) -> bool {
        self.disks().contains(&disk)
    }

    /// With another disk at the place of one of its own, or behind all if `from` is none of them.
    pub fn with(&self, from: Option<u16>, to: u16) -> Option<Tuple> {
        let mut disks = self.disks().to_vec();
        match from.and_then(|f| disks.iter().position(|d| *d == f)) {
            Some(at) => disks[at] = to,
            None => disks.insert(0, to),
        }
        Tuple::new(&disks)
    }

    /// Without a disk; `None` when nothing is left.
    pub fn without(&self, disk: u16) -> Option<Tuple> {
        let left: Vec<u16> = self.disks().iter().copied().filter(|d| *d != disk).collect();
        Tuple::new(&left)
    }
}

/// What a tree asks of its places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Copies of each object, 1 to 3.
    pub replicas: u8,
    /// Placement group of all copies but the last; empty: every disk.
    pub all: String,
    /// Placement group of the last copy, which reads prefer; empty: every disk.
    pub tail: String,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { replicas: 1, all: String::new(), tail: String::new() }
    }
}

/// The placement of one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) policy: Policy,
    pub(crate) sets: Vec<Tuple>,
}

/// The placement of everything.
pub(crate) struct Table {
    /// For trees without a record: the first disk of the store.
    pub(crate) home: Tuple,
    pub(crate) trees: BTreeMap<u64, Tree>,
    pub(crate) overrides: BTreeMap<Family, Tuple>,
    /// Placement groups: the disks by name.
    pub(crate) groups: BTreeMap<String, Vec<u16>>,
}

/// Spreads numbers that differ little.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Table {
    pub(crate) fn new(home: u16) -> Table {
        Table {
            home: Tuple::one(home),
            trees: BTreeMap::new(),
            overrides: BTreeMap::new(),
            groups: BTreeMap::new(),
        }
    }

    /// The disks of a family.
    pub(crate) fn place(&self, f: Family) -> Tuple {
        if !self.overrides.is_empty()
            && let Some(t) = self.overrides.get(&f)
        {
            return *t;
        }
        self.by_set(f)
    }

    /// Where it would be without an override.
    pub(crate) fn by_set(&self, (tree, index): Family) -> Tuple {
        match self.trees.get(&tree).map(|t| t.sets.as_slice()) {
            None | Some([]) => self.home,
            Some([one]) => *one,
            Some(sets) => sets[(mix(mix(tree) ^ index) % sets.len() as u64) as usize],
        }
    }

    pub(crate) fn policy(&self, tree: u64) -> Policy {
        self.trees.get(&tree).map(|t| t.policy.clone()).unwrap_or_default()
    }

    /// The overrides of the page that an object is in.
    pub(crate) fn page(&self, (tree, index): Family) -> Vec<(u64, Tuple)> {
        let first = index / PAGE * PAGE;
        let page = self.overrides.range((tree, first)..(tree, first + PAGE));
        page.map(|((_, index), t)| (*index, *t)).collect()
    }

    /// Whether a disk may hold a copy at this place of a tuple (`last`: the tail).
    pub(crate) fn admits(&self, policy: &Policy, last: bool, disk: u16) -> bool {
        let group = if last { &policy.tail } else { &policy.all };
        group.is_empty() || self.groups.get(group).is_some_and(|g| g.contains(&disk))
    }

    /// Tuples for a new tree: `disks` with the room they have, in bytes. `None`: the policy cannot be met.
    pub(crate) fn choose_sets(&self, policy: &Policy, disks: &[(u16, u64)]) -> Option<Vec<Tuple>> {
        let fits = |last: bool| -> Vec<(u16, u64)> {
            disks.iter().copied().filter(|(d, _)| self.admits(policy, last, *d)).collect()
        };
        let (tails, all) = (fits(true), fits(false));
        let others = usize::from(policy.replicas.clamp(1, REPLICAS_MAX as u8)) - 1;
        let mut sets = Vec::new();
        for (round, tail) in by_room(&tails).into_iter().enumerate() {
            let rest: Vec<u16> = all.iter().map(|(d, _)| *d).filter(|d| *d != tail).collect();
            if rest.len() < others {
                continue;
            }
            // Partners change from round to round, so that a lost disk is rebuilt from many.
            let mut disks: Vec<u16> = (0..others).map(|i| rest[(round + i) % rest.len()]).collect();
            disks.push(tail);
            sets.extend(Tuple::new(&disks));
        }
        (!sets.is_empty()).then_some(sets)
    }
}

/// Disks again and again, each as often as its share of the room says, at least once.
fn by_room(disks: &[(u16, u64)]) -> Vec<u16> {
    let most = disks.iter().map(|(_, room)| *room).max().unwrap_or(0).max(1);
    let rounds = (SETS_MAX / disks.len().max(1)).clamp(1, 8) as u64;
    let mut out = Vec::new();
    for round in 0..rounds {
        for (disk, room) in disks {
            // The largest disk is in every round, one of half its room in every second.
            let share = (u128::from(*room) * u128::from(rounds)).div_ceil(u128::from(most)) as u64;
            if round < share.max(1) {
                out.push(*disk);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_have_one_to_three_different_disks() {
        assert_eq!(Tuple::new(&[]), None);
        assert_eq!(Tuple::new(&[1, 1]), None);
        assert_eq!(Tuple::new(&[1, 2, 3, 4]), None);
        let t = Tuple::new(&[1, 2]).unwrap();
        assert_eq!(t.with(Some(2), 3).unwrap().disks(), [1, 3]);
        assert_eq!(t.with(None, 3).unwrap().disks(), [3, 1, 2], "the tail stays the tail");
        assert_eq!(t.with(Some(1), 2), None);
        assert_eq!(t.without(1).unwrap().disks(), [2]);
        assert_eq!(Tuple::one(1).without(1), None);
    }

    #[test]
    fn sets_follow_room_and_groups() {
        let mut table = Table::new(1);
        table.groups.insert("ssd".into(), vec![3]);
        let disks = [(1, 100), (2, 50), (3, 100)];
        let one = table.choose_sets(&Policy::default(), &disks).unwrap();
        let count = |sets: &[Tuple], d: u16| sets.iter().filter(|t| t.has(d)).count();
        assert_eq!((count(&one, 1), count(&one, 2), count(&one, 3)), (8, 4, 8));
        let hybrid = Policy { replicas: 2, all: String::new(), tail: "ssd".into() };
        let sets = table.choose_sets(&hybrid, &disks).unwrap();
        assert!(sets.iter().all(|t| t.disks().len() == 2 && t.disks()[1] == 3));
        assert!(count(&sets, 1) > 0 && count(&sets, 2) > 0);
        let three = Policy { replicas: 3, ..hybrid };
        assert!(table.choose_sets(&three, &disks).is_some());
        assert_eq!(table.choose_sets(&three, &disks[1..]), None);
    }

    #[test]
    fn an_override_wins_over_the_set_and_objects_spread() {
        let mut table = Table::new(9);
        assert_eq!(table.place((5, 0)), Tuple::one(9));
        let sets = table.choose_sets(&Policy::default(), &[(1, 1), (2, 1), (3, 1)]).unwrap();
        table.trees.insert(5, Tree { policy: Policy::default(), sets });
        let on = |d: u16| (0..3000).filter(|i| table.place((5, *i)).has(d)).count();
        assert!((1..=3).all(|d| (800..1200).contains(&on(d))));
        table.overrides.insert((5, 7), Tuple::one(4));
        assert_eq!(table.place((5, 7)), Tuple::one(4));
        assert_eq!(table.page((5, 8)), [(7, Tuple::one(4))]);
    }
}
