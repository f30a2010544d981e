//! What may be only on disks that are away, and what must not happen to it meanwhile.

use std::collections::BTreeSet;

use parpen_engine::sync::yield_now;
use parpen_engine::{Disk, EngineError, ImageKind, Rules};

use crate::Array;
use crate::member::Standing;
use crate::place::{Family, Tuple};
use crate::survey::STRIDE;

impl<D: Disk, R: Rules> Array<D, R> {
    /// Whether a disk of a set is there and has all that the set holds.
    pub(crate) fn is_known(&self, set: &Tuple) -> bool {
        set.disks().iter().any(|n| self.member(*n).is_some_and(|m| m.in_sync() && m.live().is_some()))
    }

    /// Whether a set may hold objects that no disk that is there and in sync has, but one that may come back.
    fn is_away(&self, set: &Tuple) -> bool {
        let returns = |n: &u16| self.member(*n).is_some_and(|m| m.standing.get() != Standing::Forgotten);
        !self.is_known(set) && set.disks().iter().any(returns)
    }

    fn is_tree_away(&self, tree: u64) -> bool {
        let table = self.table.borrow();
        let noted = table.overrides.range((tree, 0)..=(tree, u64::MAX)).map(|(_, t)| t);
        let sets = table.trees.get(&tree).map_or(std::slice::from_ref(&table.home), |t| t.sets.as_slice());
        noted.chain(sets).any(|t| self.is_away(t))
    }

    /// Calls `each` with the objects of a tree that no disk which is there could be read for: also where nobody can say
    /// whether anything is stored, as reads fail there, too. Others run in between.
    pub(crate) async fn out_of_reach(&self, tree: u64, mut each: impl FnMut(Family)) {
        if self.all_serve() {
            return;
        }
        let known = {
            let table = self.table.borrow();
            let noted = table.overrides.range((tree, 0)..=(tree, u64::MAX)).map(|(_, t)| *t);
            let tuples: BTreeSet<Tuple> = noted.chain(self.sets_of(tree)).collect();
            tuples.iter().all(|t| self.is_known(t))
        };
        let Ok(lead) = self.lead() else { return };
        let names = lead.kin(tree).into_iter().filter(|k| k.id.is_some());
        let bytes = if known { 0 } else { names.map(|k| k.bytes).max().unwrap_or(0) };
        for index in 0..bytes.div_ceil(self.object_bytes) {
            if index as usize % STRIDE == STRIDE - 1 {
                yield_now().await;
            }
            if self.sources((tree, index)).is_empty() {
                each((tree, index));
            }
        }
    }

    /// Refuses what changes the content of a volume while objects of its tree may be only on disks that are away:
    /// such a disk would come back with what they were before. (Asked again afterwards, too: without an answer
    /// the content is either, and whoever asks again gets it right.)
    pub(crate) fn check_reach(&self, tree: u64) -> Result<(), EngineError> {
        if self.is_tree_away(tree) { Err(EngineError::Io) } else { Ok(()) }
    }

    /// Lets the disks keep the links between the lineages of trees that are partly away, and of no others.
    pub(crate) fn keep_links(&self) {
        let trees = self.trees_away();
        self.live().iter().for_each(|t| t.engine.keep_links(&trees));
        *self.links.borrow_mut() = trees;
    }

    /// Whether nothing can be only on disks that are away.
    fn all_serve(&self) -> bool {
        self.members.borrow().iter().all(|m| m.in_sync() && m.live().is_some())
    }

    fn trees_away(&self) -> BTreeSet<u64> {
        if self.all_serve() {
            return BTreeSet::new();
        }
        let mut all: BTreeSet<u64> = self.table.borrow().trees.keys().copied().collect();
        if let Ok(lead) = self.lead()
            && self.is_away(&self.table.borrow().home)
        {
            all.extend(lead.catalogue().iter().filter(|n| n.kind != ImageKind::Record).map(|n| n.tree));
        }
        all.retain(|tree| self.is_tree_away(*tree));
        all
    }

    /// Whether objects may be on this disk and on no other that is there and in sync.
    pub(crate) fn is_alone_on(&self, number: u16) -> Result<bool, EngineError> {
        let alone = |t: &Tuple| t.has(number) && !self.is_known(t);
        let named = |k| matches!(k, ImageKind::Volume | ImageKind::Snapshot | ImageKind::Ghost);
        let nodes = self.lead()?.catalogue();
        let table = self.table.borrow();
        let at_home = |tree: &u64| table.trees.get(tree).is_none_or(|t| t.sets.is_empty());
        let homeless = alone(&table.home) && nodes.iter().filter(|n| named(n.kind)).any(|n| at_home(&n.tree));
        let placed = table.trees.values().flat_map(|t| &t.sets).chain(table.overrides.values());
        Ok(homeless || placed.into_iter().any(alone))
    }
}
