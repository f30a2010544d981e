//! Where the objects of one volume are, and which objects one disk has: counted when somebody asks, a page at a time,
//! from what is in memory.

use std::collections::BTreeMap;
use std::rc::Rc;

use parpen_engine::sync::yield_now;
use parpen_engine::{BLOCK, Disk, EngineError, Rules};
use uuid::Uuid;

use crate::Array;
use crate::member::Member;
use crate::place::{Family, Tuple};
use crate::survey::STRIDE;

/// An object of a volume or snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its disks, the tail last.
    pub at: Tuple,
    /// Something is stored that can be read in it, or nobody who is there can say.
    pub stored: bool,
    /// Bytes of the volume's own in it; `None`: it has no version of the object, or nobody who is there can say.
    pub own: Option<u64>,
    /// Its disks when what is due is done.
    pub due: Tuple,
    /// Its disks when the balancing plan is carried out.
    pub planned: Tuple,
}

/// Where a volume or snapshot is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// The sets of disks that new objects are placed on.
    pub sets: Vec<Tuple>,
    /// Some of its objects, in order.
    pub objects: Vec<Object>,
}

/// How good a copy of an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// It is the newest.
    Good,
    /// It is not, or that was not looked at yet.
    Behind,
    /// Nobody who is there can say what is the newest.
    Unknown,
    /// It is being made.
    Coming,
    /// It is not placed there (any more) and will be given up.
    Stray,
}

/// What a disk has of one object of a volume or snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The volume or snapshot; `None`: one that was deleted, of which others still need this.
    pub of: Option<Uuid>,
    /// Where it stands in the disk's order: lineage and object.
    pub at: (u64, u64),
    /// Bytes.
    pub bytes: u64,
    /// +1 with each change.
    pub version: u64,
    /// Configuration generation of the last write.
    pub generation: u64,
    /// How good it is.
    pub copy: Copy,
}

impl<D: Disk, R: Rules> Array<D, R> {
    /// The disk that tells of a family: one that has the newest, else one that is there.
    pub(crate) fn teller(&self, f: Family) -> Option<Rc<Member<D, R>>> {
        let tuple = self.table.borrow().place(f);
        let there = || tuple.disks().iter().filter_map(|n| self.member(*n)).filter(|m| m.live().is_some());
        there().find(|m| m.is_clean(f, tuple)).or_else(|| there().next())
    }

    /// Where the objects of a volume or snapshot are: from the object `from` on, at most `most`. Others run in between.
    pub async fn whereabouts(&self, id: Uuid, from: u64, most: u64) -> Result<Whereabouts, EngineError> {
        let (named, plans) = (self.identify(id)?, self.plans());
        let mut sets = Vec::new();
        for set in self.sets_of(named.tree) {
            if !sets.contains(&set) {
                sets.push(set);
            }
        }
        let mut above: BTreeMap<u16, Vec<u64>> = BTreeMap::new();
        let mut objects = Vec::new();
        let end = named.bytes.div_ceil(self.object_bytes).min(from.saturating_add(most));
        for index in from..end {
            if index as usize % STRIDE == STRIDE - 1 {
                yield_now().await;
            }
            let f = (named.tree, index);
            let at = self.table.borrow().place(f);
            let (stored, own) = match self.teller(f) {
                Some(m) => {
                    let above = above.entry(m.number).or_insert_with(|| self.above(&m, named));
                    self.seen_on(&m, above, index)
                }
                None => (true, None),
            };
            let moved = |(from, to): (Option<u16>, u16)| at.with(from, to);
            // Where nothing is stored nothing moves.
            let due = stored.then(|| self.due(f, &at, &plans)).flatten().and_then(moved).unwrap_or(at);
            let planned = self.planned(f, &at, &plans).and_then(|(from, to)| moved((Some(from), to)));
            objects.push(Object { at, stored, own, due, planned: planned.unwrap_or(at) });
        }
        Ok(Whereabouts { sets, objects })
    }

    /// A lineage and those that it goes on from, as a disk knows them.
    fn above(&self, m: &Member<D, R>, named: parpen_engine::Named) -> Vec<u64> {
        let kin = m.live().map(|e| e.kin(named.tree)).unwrap_or_default();
        let parents: BTreeMap<u64, u64> = kin.iter().map(|k| (k.lineage, k.parent)).collect();
        let mut all = vec![named.lineage];
        while let Some(parent) = all.last().and_then(|l| parents.get(l)).filter(|p| **p != 0) {
            all.push(*parent);
        }
        all
    }

    /// Whether a disk has anything of an object for the first of these lineages, and how many bytes of its own.
    fn seen_on(&self, m: &Member<D, R>, lineages: &[u64], index: u64) -> (bool, Option<u64>) {
        let Some(engine) = m.live() else { return (true, None) };
        let version = |l: &u64| engine.versions_of(*l, index, 1).into_iter().find(|v| v.index == index);
        let own = lineages.first().and_then(version).map(|v| v.owned * BLOCK);
        (own.is_some() || lineages.iter().skip(1).any(|l| version(l).is_some()), own)
    }

    /// What a disk has from this lineage and object on, at most `most`.
    pub fn holds(
        &self,
        number: u16,
        (lineage, index): (u64, u64),
        most: u64,
    ) -> Result<Vec<Held>, EngineError> {
        let member = self.member(number).ok_or(EngineError::NotFound)?;
        let engine = member.live().ok_or(EngineError::Io)?;
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(STRIDE);
        let held = |v: &parpen_engine::VersionInfo| Held {
            of: engine.name_of(v.lineage),
            at: (v.lineage, v.index),
            bytes: v.owned * BLOCK,
            version: v.write_version,
            generation: v.generation,
            copy: self.copy_on(&member, (v.tree, v.index)),
        };
        Ok(engine.versions_from(lineage, index, most).iter().map(held).collect())
    }

    fn copy_on(&self, m: &Member<D, R>, f: Family) -> Copy {
        let tuple = self.table.borrow().place(f);
        match () {
            () if !tuple.has(m.number) && self.fills.to(f) == Some(m.number) => Copy::Coming,
            () if !tuple.has(m.number) => Copy::Stray,
            () if m.is_clean(f, tuple) => Copy::Good,
            () if m.knows(&tuple) => Copy::Behind,
            () => Copy::Unknown,
        }
    }
}
