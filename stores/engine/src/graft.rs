//! The operation that makes nodes what another disk says: named and renamed, made, put between existing ones.
//!
//! What versions read as never changes by it. A new node is empty; an existing one gets another parent only if
//! nothing but empty nodes lie between the new parent and the old one, or if nothing below it holds data.

use std::rc::Rc;

use uuid::Uuid;

use crate::adopt::{ImageKind, NodeImage};
use crate::codec::{BlobRef, Malformed};
use crate::layout::{LABEL_MAX, VOLUME_MAX};
use crate::record::Adoption;
use crate::state::{Node, NodeKind, State};

impl From<ImageKind> for NodeKind {
    fn from(kind: ImageKind) -> NodeKind {
        match kind {
            ImageKind::Volume => NodeKind::Volume,
            ImageKind::Snapshot => NodeKind::Snapshot,
            ImageKind::Ghost => NodeKind::Ghost,
            ImageKind::Record => NodeKind::Record,
        }
    }
}

impl State {
    pub(crate) fn apply_adoption(&mut self, a: &Adoption) -> Result<(), Malformed> {
        for lineage in &a.ghosts {
            self.lose_name(*lineage)?;
        }
        for number in &a.gone {
            self.remove_record(*number)?;
        }
        a.nodes.iter().try_for_each(|image| self.graft(image))?;
        for image in &a.nodes {
            let n = self.nodes.get(&image.lineage).ok_or(Malformed)?;
            let tree = self.nodes.get(&n.parent).map_or(n.tree, |p| p.tree);
            if (n.kind == NodeKind::Volume && !n.children.is_empty()) || n.tree != tree {
                return Err(Malformed);
            }
        }
        if self.nodes.last_key_value().is_some_and(|(last, _)| *last >= a.next_lineage) {
            return Err(Malformed);
        }
        self.catalogue_seq = a.seq;
        self.next_lineage = a.next_lineage;
        self.forget_far();
        Ok(())
    }

    /// A volume or snapshot becomes a ghost.
    fn lose_name(&mut self, lineage: u64) -> Result<(), Malformed> {
        match self.nodes.get(&lineage) {
            Some(n) if n.is_named() => self.forget(lineage),
            Some(n) if n.kind == NodeKind::Ghost => Ok(()),
            _ => Err(Malformed),
        }
    }

    fn graft(&mut self, image: &NodeImage) -> Result<(), Malformed> {
        let orphan = image.parent == 0 || self.nodes.get(&image.parent).is_some_and(|p| p.is_lineage());
        let large = image.bytes > VOLUME_MAX || image.label.len() > LABEL_MAX;
        if large || !orphan || image.parent >= image.lineage {
            return Err(Malformed);
        }
        self.take_name(image)?;
        match self.nodes.get(&image.lineage) {
            None => {
                let slot = self.new_node_slot();
                let node = Node {
                    parent: image.parent,
                    tree: image.tree,
                    kind: image.kind.into(),
                    id: image.id,
                    of: image.of,
                    bytes: image.bytes,
                    label: image.label.as_slice().into(),
                    label_version: image.label_version,
                    children: Vec::new(),
                    slot,
                    leaf: BlobRef::default(),
                };
                self.add_node(image.lineage, node)
            }
            Some(n) if n.tree != image.tree => Err(Malformed),
            Some(n) if (n.kind == NodeKind::Record) != (image.kind == ImageKind::Record) => Err(Malformed),
            Some(n) => {
                if n.parent != image.parent {
                    self.reparent(image.lineage, image.parent)?;
                }
                self.rename(image)
            }
        }
    }

    /// Whoever else has the name (or key) loses it.
    fn take_name(&mut self, image: &NodeImage) -> Result<(), Malformed> {
        let names = if image.kind == ImageKind::Record { &self.records } else { &self.names };
        match names.get(&image.id).copied() {
            Some(other) if other != image.lineage && image.kind == ImageKind::Record => {
                self.remove_record(other)
            }
            Some(other) if other != image.lineage && image.kind != ImageKind::Ghost => self.forget(other),
            _ => Ok(()),
        }
    }

    fn rename(&mut self, image: &NodeImage) -> Result<(), Malformed> {
        let lineage = image.lineage;
        let n = self.nodes.get_mut(&lineage).ok_or(Malformed)?;
        let old = (n.kind, n.id);
        n.kind = image.kind.into();
        n.id = if image.kind == ImageKind::Ghost { Uuid::nil() } else { image.id };
        (n.of, n.bytes, n.label_version) = (image.of, image.bytes, image.label_version);
        n.label = Rc::from(image.label.as_slice());
        let (id, many) = (n.id, n.children.len() > 1);
        match old.0 {
            NodeKind::Volume | NodeKind::Snapshot => drop(self.names.remove(&old.1)),
            NodeKind::Record => drop(self.records.remove(&old.1)),
            NodeKind::Ghost => {
                self.dead.remove(&lineage);
                self.to_trim.remove(&lineage);
            }
        }
        match image.kind {
            ImageKind::Volume | ImageKind::Snapshot => drop(self.names.insert(id, lineage)),
            ImageKind::Record => drop(self.records.insert(id, lineage)),
            ImageKind::Ghost => {
                self.dead.insert(lineage);
                if many {
                    self.to_trim.insert(lineage);
                }
            }
        }
        self.touch_node(lineage);
        Ok(())
    }

    /// Whether a lineage holds something of any object.
    pub(crate) fn holds(&self, lineage: u64) -> bool {
        self.by_key.range((lineage, 0)..=(lineage, u64::MAX)).next().is_some()
    }

    fn reparent(&mut self, lineage: u64, to: u64) -> Result<(), Malformed> {
        let from = self.nodes.get(&lineage).ok_or(Malformed)?.parent;
        let mut at = to;
        while at != from && at != 0 && !self.holds(at) {
            at = self.nodes.get(&at).ok_or(Malformed)?.parent;
        }
        if at != from {
            return Err(Malformed);
        }
        if let Some(old) = self.nodes.get_mut(&from) {
            old.children.retain(|c| *c != lineage);
        }
        if to != 0 {
            self.nodes.get_mut(&to).ok_or(Malformed)?.children.push(lineage);
        }
        self.nodes.get_mut(&lineage).ok_or(Malformed)?.parent = to;
        self.touch_node(lineage);
        Ok(())
    }
}
