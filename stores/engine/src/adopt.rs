//! The catalogue as other disks of the store see it.

use uuid::Uuid;

use crate::engine::Engine;
use crate::state::{Node, NodeKind};
use crate::{Disk, Rules};

/// What a node of the catalogue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageKind {
    /// A volume's head.
    Volume,
    /// Frozen, with a name.
    Snapshot,
    /// Frozen and nameless. Each disk dissolves its own ghosts when it can, so those of two disks may differ.
    Ghost,
    /// A record: its key is the id, its value the label.
    Record,
}

impl From<NodeKind> for ImageKind {
    fn from(kind: NodeKind) -> ImageKind {
        match kind {
            NodeKind::Volume => ImageKind::Volume,
            NodeKind::Snapshot => ImageKind::Snapshot,
            NodeKind::Ghost => ImageKind::Ghost,
            NodeKind::Record => ImageKind::Record,
        }
    }
}

/// One node of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeImage {
    /// Its number; children have greater ones than their parents.
    pub lineage: u64,
    /// The lineage it goes on from; 0: none.
    pub parent: u64,
    /// The tree it belongs to: the number of its first root. 0 for records.
    pub tree: u64,
    /// What it is.
    pub kind: ImageKind,
    /// Its name; nil for ghosts.
    pub id: Uuid,
    /// The id it was taken of or made from; nil: none.
    pub of: Uuid,
    /// Its size.
    pub bytes: u64,
    /// Its label, or the value of the record.
    pub label: Vec<u8>,
    /// +1 with each change of the label.
    pub label_version: u64,
}

fn image(lineage: u64, n: &Node) -> NodeImage {
    NodeImage {
        lineage,
        parent: n.parent,
        tree: n.tree,
        kind: n.kind.into(),
        id: n.id,
        of: n.of,
        bytes: n.bytes,
        label: n.label.to_vec(),
        label_version: n.label_version,
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// All volumes, snapshots, ghosts and records, older ones first.
    pub fn catalogue(&self) -> Vec<NodeImage> {
        self.state.borrow().nodes.iter().map(|(lineage, n)| image(*lineage, n)).collect()
    }
}
