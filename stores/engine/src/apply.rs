//! The one interpreter of operations: at run time it makes a change, at replay it makes the same change
//! again.

use std::ops::Range;
use std::rc::Rc;

use uuid::Uuid;

use crate::codec::{BlobRef, Malformed};
use crate::digest::mark_of;
use crate::layout::VOLUME_MAX;
use crate::map::{Data, SpanMap};
use crate::record::{FROZEN, Mapping, Op, Piece, SKIP, Taken};
use crate::state::{Cause, Freed, Node, NodeKind, Span, State};

impl State {
    /// Applies one operation. `Err`: it does not fit the state, which only a damaged log can cause; nothing
    /// was changed that matters, as the caller gives the state up.
    pub(crate) fn apply(&mut self, op: &Op, freed: &mut Freed) -> Result<(), Malformed> {
        self.catalogue_seq += u64::from(self.counts(op));
        match op {
            Op::Map(m) => self.apply_map(m, freed),
            Op::Create { lineage, parent, id, of, bytes, label } => {
                self.may_be_parent(*parent)?;
                self.new_head(*lineage, *parent, *id, *of, *bytes, label)
            }
            Op::Snapshot(all) => all.iter().try_for_each(|t| self.apply_snapshot(t)),
            Op::Resize { lineage, bytes } => {
                self.of_kind(*lineage, NodeKind::Volume)?.bytes = *bytes;
                self.touch_node(*lineage);
                if *bytes <= VOLUME_MAX { Ok(()) } else { Err(Malformed) }
            }
            Op::Rollback { lineage, to, head } => {
                let old = self.of_kind(*lineage, NodeKind::Volume)?.clone();
                let bytes = self.of_kind(*to, NodeKind::Snapshot)?.bytes;
                self.forget(*lineage)?;
                self.new_head(*head, *to, old.id, old.of, bytes, &old.label)?;
                let label_version = old.label_version;
                self.of_kind(*head, NodeKind::Volume)?.label_version = label_version;
                Ok(())
            }
            Op::Forget { lineage } => self.forget(*lineage),
            Op::Detach { lineage, ancestor, index } => self.detach(*lineage, *ancestor, *index),
            Op::Copy(m) => self.apply_copy(m, freed),
            Op::Rebase { lineage, parent } => self.rebase(*lineage, *parent),
            Op::Settle { lineage, index } => self.settle(*lineage, *index, freed),
            Op::Drop { lineage } => self.drop_node(*lineage),
            Op::Relabel { lineage, label } => {
                let node = self.nodes.get_mut(lineage).filter(|n| n.is_named()).ok_or(Malformed)?;
                node.label = label.as_slice().into();
                node.label_version += 1;
                self.touch_node(*lineage);
                Ok(())
            }
            Op::Record { lineage, key, value } => self.apply_record(*lineage, *key, value),
            Op::Fill(f) => self.apply_fill(f, Cause::Overwritten, freed),
            Op::Move(f) => self.apply_fill(f, Cause::Bad, freed),
            Op::Adopt(a) => self.apply_adoption(a),
            Op::Evict { tree, index } => {
                self.apply_evict(*tree, *index, freed);
                Ok(())
            }
        }
    }

    /// Whether an operation counts as one of the catalogue. A rebase that only leaves ghosts behind does not:
    /// another disk may have dissolved them, and has nothing to do then.
    fn counts(&self, op: &Op) -> bool {
        match op {
            Op::Rebase { lineage, parent } => {
                let above = self.nodes.get(lineage).map_or(0, |n| n.parent);
                self.named_from(above) != self.named_from(*parent)
            }
            _ => op.is_catalogue(),
        }
    }

    /// The nearest lineage with a name, from this one on upwards; 0: none.
    fn named_from(&self, mut lineage: u64) -> u64 {
        while let Some(node) = self.nodes.get(&lineage).filter(|n| !n.is_named()) {
            lineage = node.parent;
        }
        lineage
    }

    fn of_kind(&mut self, lineage: u64, kind: NodeKind) -> Result<&mut Node, Malformed> {
        self.nodes.get_mut(&lineage).filter(|n| n.kind == kind).ok_or(Malformed)
    }

    pub(crate) fn may_be_parent(&mut self, lineage: u64) -> Result<(), Malformed> {
        if lineage == 0 { Ok(()) } else { self.of_kind(lineage, NodeKind::Snapshot).map(|_| ()) }
    }

    fn new_head(
        &mut self,
        lineage: u64,
        parent: u64,
        id: Uuid,
        of: Uuid,
        bytes: u64,
        label: &[u8],
    ) -> Result<(), Malformed> {
        if bytes > VOLUME_MAX {
            return Err(Malformed);
        }
        let slot = self.new_node_slot();
        let node = Node {
            parent,
            tree: 0,
            kind: NodeKind::Volume,
            id,
            of,
            bytes,
            label: label.into(),
            label_version: 1,
            children: Vec::new(),
            owned: 0,
            slot,
            leaf: BlobRef::default(),
        };
        self.add_node(lineage, node)
    }

    fn apply_snapshot(&mut self, t: &Taken) -> Result<(), Malformed> {
        let head = self.of_kind(t.lineage, NodeKind::Volume)?;
        let old = head.clone();
        head.kind = NodeKind::Snapshot;
        head.id = t.snapshot;
        head.of = old.id;
        head.label = t.label.as_slice().into();
        head.label_version = 1;
        self.names.remove(&old.id);
        if self.names.insert(t.snapshot, t.lineage).is_some() {
            return Err(Malformed);
        }
        self.touch_node(t.lineage);
        if t.head == FROZEN {
            return Ok(());
        }
        self.new_head(t.head, t.lineage, old.id, old.of, old.bytes, &old.label)?;
        self.of_kind(t.head, NodeKind::Volume)?.label_version = old.label_version;
        Ok(())
    }

    pub(crate) fn forget(&mut self, lineage: u64) -> Result<(), Malformed> {
        let node = self.nodes.get_mut(&lineage).filter(|n| n.is_named()).ok_or(Malformed)?;
        node.kind = NodeKind::Ghost;
        node.label = Rc::from([]);
        let id = std::mem::take(&mut node.id);
        if node.children.len() > 1 {
            self.to_trim.insert(lineage);
        }
        self.names.remove(&id);
        self.dead.insert(lineage);
        self.touch_node(lineage);
        Ok(())
    }

    fn drop_node(&mut self, lineage: u64) -> Result<(), Malformed> {
        self.of_kind(lineage, NodeKind::Ghost)?;
        let node = self.nodes.remove(&lineage).ok_or(Malformed)?;
        let holds = self.by_key.range((lineage, 0)..=(lineage, u64::MAX)).next().is_some();
        if holds || (self.ghosts && node.children.len() > 1) {
            return Err(Malformed);
        }
        self.dead.remove(&lineage);
        self.to_trim.remove(&lineage);
        self.forget_node(lineage, &node);
        for child in &node.children {
            self.nodes.get_mut(child).ok_or(Malformed)?.parent = node.parent;
            self.touch_node(*child);
        }
        if let Some(parent) = self.nodes.get_mut(&node.parent) {
            parent.children.retain(|c| *c != lineage);
            parent.children.extend(&node.children);
            if parent.kind == NodeKind::Ghost && parent.children.len() > 1 {
                self.to_trim.insert(node.parent);
            }
        }
        Ok(())
    }

    /// Whether a mapping keeps within its object and the disk, and has a checksum for each block of data.
    pub(crate) fn check_mapping(&self, m: &Mapping) -> Result<(), Malformed> {
        if u64::from(m.start) + m.blocks() > self.object_blocks || m.index > self.last_object() {
            return Err(Malformed);
        }
        let below = |p: &Piece| p.phys == SKIP || p.phys.checked_add(u64::from(p.len)).is_some();
        let disk_blocks = self.disk_blocks;
        let on_disk = |p: &Piece| p.phys == SKIP || p.phys + u64::from(p.len) <= disk_blocks;
        if !m.pieces.iter().all(|p| below(p) && on_disk(p)) {
            return Err(Malformed);
        }
        if m.pieces.iter().filter(|p| p.phys != 0).map(|p| u64::from(p.len)).sum::<u64>()
            != m.crcs.len() as u64
        {
            return Err(Malformed);
        }
        Ok(())
    }

    fn apply_map(&mut self, m: &Mapping, freed: &mut Freed) -> Result<(), Malformed> {
        self.of_kind(m.lineage, NodeKind::Volume)?;
        self.check_mapping(m)?;
        let slot = self.version_for_write(m.lineage, m.index);
        let mut crcs = m.crcs.as_slice();
        let mut block = m.start as usize;
        for piece in &m.pieces {
            let end = block + piece.len as usize;
            let mut phys = piece.phys;
            while block < end {
                let (span, from) = (block / self.span_blocks, block % self.span_blocks);
                let n = (end - block).min(self.span_blocks - from);
                block += n;
                if phys == 0 {
                    self.make_holes(slot, span, from..from + n, freed);
                    continue;
                }
                let (these, rest) = crcs.split_at(n);
                crcs = rest;
                if phys == SKIP {
                    // Recovery does not believe it: it stays as it was, but the span was the version's own from then on.
                    self.own(slot, span);
                } else {
                    self.map_data(slot, span, from, Data { phys, crc: 0, origin: m.origin }, these, freed);
                    phys += n as u64;
                }
            }
        }
        let v = self.version_mut(slot);
        v.write_version += 1;
        v.generation = m.generation;
        self.dirty.version_pages.insert(slot);
        Ok(())
    }

    fn version_for_write(&mut self, lineage: u64, index: u64) -> usize {
        if let Some(slot) = self.slot(lineage, index) {
            return slot;
        }
        let parent = self.lookup(lineage, index);
        self.add_version(lineage, index, parent)
    }

    /// Makes a span a version's own, equal to what it inherits now.
    pub(crate) fn own(&mut self, slot: usize, span: usize) {
        if matches!(self.version(slot).row().spans[span], Span::Inherit) {
            let copy = self.inherited(slot, span).cloned();
            self.set_span(slot, span, copy.map_or(Span::Holes, Span::Here));
            self.dirty.version_pages.insert(slot);
        }
        self.dirty.spans.insert((slot, span));
    }

    /// Blocks `range` of a span become holes.
    fn make_holes(&mut self, slot: usize, span: usize, range: Range<usize>, freed: &mut Freed) {
        self.own(slot, span);
        let above = self.inherited(slot, span).cloned();
        let blocks = self.span_blocks;
        let v = self.version_mut(slot);
        let mut digest = v.digest;
        let Span::Here(map) = &mut v.row_mut().spans[span] else { return };
        let m = Rc::make_mut(map);
        let mut lost = 0;
        for i in range {
            digest ^= mark_of(span * blocks + i, m.get(i));
            let old = m.set(i, None);
            if old != 0 && above.as_ref().is_none_or(|p| p.phys(i) != old) {
                freed.push(old, Cause::GivenBack);
                lost += 1;
            }
        }
        if m.mapped() == 0 {
            self.set_span(slot, span, Span::Holes);
        }
        self.version_mut(slot).digest = digest;
        self.own_blocks(slot, 0, lost);
    }

    /// One block for each checksum, from `from` on, is mapped to the disk from `first.phys` on.
    fn map_data(
        &mut self,
        slot: usize,
        span: usize,
        from: usize,
        first: Data,
        crcs: &[u32],
        freed: &mut Freed,
    ) {
        self.own(slot, span);
        let above = self.inherited(slot, span).cloned();
        let blocks = self.span_blocks;
        if matches!(self.version(slot).row().spans[span], Span::Holes) {
            self.set_span(slot, span, Span::Here(Rc::new(SpanMap::empty(blocks))));
        }
        let v = self.version_mut(slot);
        let mut digest = v.digest;
        let Span::Here(map) = &mut v.row_mut().spans[span] else { return };
        let m = Rc::make_mut(map);
        let mut lost = 0;
        for (n, crc) in crcs.iter().enumerate() {
            let i = from + n;
            let new = Some(Data { phys: first.phys + n as u64, crc: *crc, origin: first.origin });
            digest ^= mark_of(span * blocks + i, m.get(i)) ^ mark_of(span * blocks + i, new);
            let old = m.set(i, new);
            if old != 0 && above.as_ref().is_none_or(|p| p.phys(i) != old) {
                freed.push(old, Cause::Overwritten);
                lost += 1;
            }
        }
        self.version_mut(slot).digest = digest;
        self.own_blocks(slot, crcs.len() as u64, lost);
    }
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
