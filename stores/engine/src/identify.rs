//! Which lineage a name stands for: what an array asks before it knows where an object lives.

use uuid::Uuid;

use crate::engine::Engine;
use crate::marks::VersionInfo;
use crate::state::NodeKind;
use crate::{Disk, Kind, Rules};

/// The lineage behind a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its number.
    pub lineage: u64,
    /// The tree that it belongs to.
    pub tree: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// What the name stands for.
    pub kind: Kind,
}

/// A lineage among those of its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kin {
    /// Its number.
    pub lineage: u64,
    /// The lineage it goes on from; 0: none.
    pub parent: u64,
    /// Its name, if it has one.
    pub id: Option<Uuid>,
    /// Size in bytes.
    pub bytes: u64,
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// The lineages of a tree, parents before children.
    pub fn kin(&self, tree: u64) -> Vec<Kin> {
        let state = self.state.borrow();
        let kin = |lineage: u64| {
            let n = state.nodes.get(&lineage)?;
            Some(Kin { lineage, parent: n.parent, id: n.is_named().then_some(n.id), bytes: n.bytes })
        };
        state.lineages_of(tree).filter_map(kin).collect()
    }

    /// The first tree with a greater number, to walk over all of them.
    pub fn tree_after(&self, tree: u64) -> Option<u64> {
        let from = (tree.checked_add(1)?, 0);
        self.state.borrow().trees.range(from..).next().map(|(tree, _)| *tree)
    }

    /// The versions that a lineage itself has from an object on, at most so many.
    pub fn versions_of(&self, lineage: u64, from: u64, most: usize) -> Vec<VersionInfo> {
        let state = self.state.borrow();
        let range = state.by_key.range((lineage, from)..=(lineage, u64::MAX));
        range.take(most).map(|(_, slot)| state.version_info(*slot as usize)).collect()
    }

    /// Versions of all lineages from this lineage and object on, by lineage and object, at most so many.
    pub fn versions_from(&self, lineage: u64, index: u64, most: usize) -> Vec<VersionInfo> {
        let state = self.state.borrow();
        let range = state.by_key.range((lineage, index)..);
        range.take(most).map(|(_, slot)| state.version_info(*slot as usize)).collect()
    }

    /// The name of a lineage, if it has one.
    pub fn name_of(&self, lineage: u64) -> Option<Uuid> {
        let state = self.state.borrow();
        state.nodes.get(&lineage).filter(|n| n.is_named()).map(|n| n.id)
    }

    /// What a name stands for now.
    pub fn identify(&self, id: Uuid) -> Option<Named> {
        let state = self.state.borrow();
        let (lineage, node) = state.named(id)?;
        let kind = if node.kind == NodeKind::Volume { Kind::Volume } else { Kind::Snapshot };
        Some(Named { lineage, tree: node.tree, bytes: node.bytes, kind })
    }

    /// All names, by id.
    pub fn names(&self) -> Vec<Uuid> {
        self.state.borrow().names.keys().copied().collect()
    }

    /// The name of the volume whose head a lineage is.
    pub fn head_of(&self, lineage: u64) -> Option<Uuid> {
        let state = self.state.borrow();
        state.nodes.get(&lineage).filter(|n| n.kind == NodeKind::Volume).map(|n| n.id)
    }

    /// Whether a lineage exists here: named, or as a ghost.
    pub fn has_lineage(&self, lineage: u64) -> bool {
        self.state.borrow().nodes.get(&lineage).is_some_and(|n| n.is_lineage())
    }

    /// Whether a lineage is a volume or snapshot.
    pub fn has_name(&self, lineage: u64) -> bool {
        self.state.borrow().nodes.get(&lineage).is_some_and(|n| n.is_named())
    }

    /// The volumes of a tree, by id.
    pub fn volumes_of(&self, tree: u64) -> Vec<Uuid> {
        let state = self.state.borrow();
        let named = state.lineages_of(tree).filter_map(|l| state.nodes.get(&l));
        let mut all: Vec<Uuid> = named.filter(|n| n.kind == NodeKind::Volume).map(|n| n.id).collect();
        all.sort();
        all
    }

    /// How many object versions there are.
    pub fn version_count(&self) -> u64 {
        self.state.borrow().by_key.len() as u64
    }

    /// All lineages of a tree, ghosts too, parents before children.
    pub fn lineages(&self, tree: u64) -> Vec<u64> {
        self.state.borrow().lineages_of(tree).collect()
    }
}
