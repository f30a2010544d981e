//! The operation that makes nodes what another disk says: named and renamed, made, put between existing ones.
//!
//! What versions read as never changes by it. A new node is empty; an existing one gets a parent further down only if
//! nothing from there up to the old one holds data, or if it itself says all about what they hold.

use std::rc::Rc;

use uuid::Uuid;

use crate::adopt::{ImageKind, NodeImage};
use crate::codec::{BlobRef, Malformed};
use crate::layout::{LABEL_MAX, VOLUME_MAX};
use crate::record::Adoption;
use crate::state::{Node, NodeKind, Span, State};

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
                    owned: 0,
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

    /// The lineages from one on upwards that come before another; `None` if that is not above.
    fn chain(&self, from: u64, before: u64) -> Option<Vec<u64>> {
        let mut all = Vec::new();
        let mut at = from;
        while at != before {
            all.push(at);
            at = self.nodes.get(&at)?.parent;
        }
        Some(all)
    }

    /// The objects that any of the lineages holds something of which a lineage gets above it with a parent further
    /// down, and those lineages; `None` if it cannot have that parent.
    pub(crate) fn gets_above(&self, lineage: u64, to: u64) -> Option<(Vec<u64>, Vec<u64>)> {
        let chain = self.chain(to, self.nodes.get(&lineage)?.parent)?;
        let (mut objects, mut next) = (Vec::new(), 0);
        while let Some(index) = self.first_object_of(&chain, next) {
            objects.push(index);
            next = index + 1;
        }
        Some((chain, objects))
    }

    /// Whether what a lineage reads as stays when it gets a parent further down: it says itself what is in each span
    /// that those above it would have something of.
    pub(crate) fn can_hang_on(&self, lineage: u64, to: u64) -> bool {
        let Some((chain, objects)) = self.gets_above(lineage, to) else { return false };
        let says = |slot: usize, span: usize| !matches!(self.version(slot).row().spans[span], Span::Inherit);
        let spans = 0..self.spans_per_object();
        objects.into_iter().all(|index| {
            let above: Vec<usize> = chain.iter().filter_map(|l| self.slot(*l, index)).collect();
            let own = self.slot(lineage, index);
            let covered = |span: usize| own.is_some_and(|own| says(own, span));
            spans.clone().all(|span| covered(span) || !above.iter().any(|slot| says(*slot, span)))
                && own.is_some()
        })
    }

    /// Whether a lineage shares with what it would get above it all blocks of one object that it shares with its
    /// parent: of two that have a block without one between them that has it, too, both would own it.
    pub(crate) fn shares_with(&self, lineage: u64, to: u64, index: u64) -> bool {
        let from = self.nodes.get(&lineage).map_or(0, |n| n.parent);
        let seen = |l: u64, span: usize| self.resolve(self.lookup(l, index)?, span);
        (0..self.spans_per_object()).all(|span| {
            let (Some(own), Some(base)) = (seen(lineage, span), seen(from, span)) else { return true };
            let above = seen(to, span);
            let mut shared = own.iter().filter(|(i, d)| base.phys(*i) == d.phys);
            shared.all(|(i, d)| above.is_some_and(|a| a.phys(i) == d.phys))
        })
    }

    fn reparent(&mut self, lineage: u64, to: u64) -> Result<(), Malformed> {
        if !self.can_hang_on(lineage, to) {
            return Err(Malformed);
        }
        let (_, objects) = self.gets_above(lineage, to).ok_or(Malformed)?;
        let from = self.nodes.get(&lineage).ok_or(Malformed)?.parent;
        if let Some(old) = self.nodes.get_mut(&from) {
            old.children.retain(|c| *c != lineage);
        }
        if to != 0 {
            self.nodes.get_mut(&to).ok_or(Malformed)?.children.push(lineage);
        }
        self.nodes.get_mut(&lineage).ok_or(Malformed)?.parent = to;
        self.touch_node(lineage);
        self.forget_far();
        for index in objects {
            let (own, above) = (self.slot(lineage, index).ok_or(Malformed)?, self.lookup(to, index));
            self.version_mut(own).set_parent(above);
        }
        Ok(())
    }
}
