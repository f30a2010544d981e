//! Which lineage a name stands for: what an array asks before it knows where an object lives.

use uuid::Uuid;

use crate::engine::Engine;
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

impl<D: Disk, R: Rules> Engine<D, R> {
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
