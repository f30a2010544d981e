//! Cutting a lineage off what stands between it and an older one, in the state in memory.
//!
//! Three operations, the first two of which change nothing that anybody reads: *detach* makes the lineage the holder
//! of all spans of one object that it inherits from between, and the owner of blocks that only it uses; *copy* moves
//! blocks that others use, too, to fresh places; *rebase* moves the link to the parent.

use std::ops::Range;
use std::rc::Rc;

use crate::codec::Malformed;
use crate::digest::mark_of;
use crate::fill::Change;
use crate::map::{Data, SpanMap};
use crate::record::{Mapping, SKIP};
use crate::state::{Cause, Freed, NodeKind, Span, State};

impl State {
    /// The lineages between one and an ancestor of it (0: all above it), nearest first; `None` if that is none.
    pub(crate) fn between(&self, lineage: u64, ancestor: u64) -> Option<Vec<u64>> {
        let mut all = Vec::new();
        let mut at = self.nodes.get(&lineage)?.parent;
        while at != ancestor {
            all.push(at);
            at = self.nodes.get(&at)?.parent;
        }
        Some(all)
    }

    /// The first object from `from` on that one of these lineages has a version of.
    pub(crate) fn first_object_of(&self, lineages: &[u64], from: u64) -> Option<u64> {
        let first = |l: &u64| self.by_key.range((*l, from)..=(*l, u64::MAX)).next().map(|((_, i), _)| *i);
        lineages.iter().filter_map(first).min()
    }

    /// What an ancestor (0: none) sees of a span.
    fn base(&self, ancestor: u64, index: u64, span: usize) -> Option<&Rc<SpanMap>> {
        if ancestor == 0 { None } else { self.resolve(self.lookup(ancestor, index)?, span) }
    }

    /// Whether a version inherits a span from one below the ancestor. (Children have greater numbers.)
    fn inherits_below(&self, slot: usize, span: usize, ancestor: u64) -> bool {
        let mut at = Some(slot);
        while let Some(v) = at.map(|slot| self.version(slot)).filter(|v| v.lineage > ancestor) {
            if matches!(v.spans[span], Span::Own(_)) {
                return at != Some(slot);
            }
            at = v.parent;
        }
        false
    }

    /// Blocks of a version's own span that somebody between it and the ancestor owns.
    fn foreign(&self, slot: usize, span: usize, ancestor: u64) -> Vec<(usize, Data)> {
        let v = self.version(slot);
        let Span::Own(Some(map)) = &v.spans[span] else { return Vec::new() };
        let Some(above) = self.inherited(slot, span) else { return Vec::new() };
        let base = self.base(ancestor, v.index, span);
        if base.is_some_and(|base| Rc::ptr_eq(base, above)) {
            return Vec::new();
        }
        let foreign =
            |i: usize, phys: u64| above.phys(i) == phys && base.is_none_or(|base| base.phys(i) != phys);
        map.iter().filter(|(i, d)| foreign(*i, d.phys)).collect()
    }

    /// Blocks `within` one object, by their number in it, that must be copied before a lineage can be cut off.
    pub(crate) fn to_copy(
        &self,
        (lineage, ancestor): (u64, u64),
        index: u64,
        within: Range<u32>,
    ) -> Vec<(u32, Data)> {
        let Some(slot) = self.by_key.get(&(lineage, index)) else { return Vec::new() };
        let size = self.span_blocks;
        let spans = within.start as usize / size..(within.end as usize).div_ceil(size);
        let all = spans.flat_map(|span| {
            self.foreign(*slot, span, ancestor).into_iter().map(move |(i, d)| ((span * size + i) as u32, d))
        });
        all.filter(|(at, _)| within.contains(at)).collect()
    }

    /// Whether a lineage holds everything of one object that it would lose by the cut.
    pub(crate) fn is_detached(&self, lineage: u64, ancestor: u64, between: &[u64], index: u64) -> bool {
        let Some(slot) = self.by_key.get(&(lineage, index)) else {
            return !between.iter().any(|l| self.by_key.contains_key(&(*l, index)));
        };
        !(0..self.spans_per_object()).any(|span| self.inherits_below(*slot, span, ancestor))
    }

    /// Spans that [`State::detach`] of an object may dirty.
    pub(crate) fn detach_spans(&self, between: &[u64], index: u64) -> u64 {
        let ghosts = between.iter().take_while(|l| self.is_ghost(**l));
        let held = ghosts.filter(|l| self.by_key.contains_key(&(**l, index))).count();
        ((1 + held) * self.spans_per_object()) as u64
    }

    /// Spans that a copy within one object may dirty for each span it touches.
    pub(crate) fn count_below(&self, lineage: u64, index: u64) -> u64 {
        let mut all = 1;
        let mut left: Vec<u64> = self.children(lineage).to_vec();
        while let Some(l) = left.pop() {
            all += u64::from(self.by_key.contains_key(&(l, index)));
            left.extend(self.children(l));
        }
        all
    }

    fn is_ghost(&self, lineage: u64) -> bool {
        self.nodes.get(&lineage).is_some_and(|n| n.kind == NodeKind::Ghost)
    }

    fn children(&self, lineage: u64) -> &[u64] {
        self.nodes.get(&lineage).map_or(&[], |n| &n.children)
    }

    /// One object of a lineage: afterwards it holds all spans that anything between it and the ancestor has, and
    /// owns the blocks in them that nobody else uses.
    pub(crate) fn detach(&mut self, lineage: u64, ancestor: u64, index: u64) -> Result<(), Malformed> {
        let between = self.between(lineage, ancestor).ok_or(Malformed)?;
        if !between.iter().any(|l| self.by_key.contains_key(&(*l, index))) {
            return Ok(());
        }
        let slot = self.version_for_fill(lineage, index);
        for span in 0..self.spans_per_object() {
            if self.inherits_below(slot, span, ancestor) {
                self.own(slot, span);
            }
            self.take_over(slot, span, &between, ancestor);
        }
        Ok(())
    }

    /// Blocks that only this version and its descendants use, and that nameless versions above it own, become its
    /// own.
    fn take_over(&mut self, slot: usize, span: usize, between: &[u64], ancestor: u64) {
        let (lineage, index) = (self.version(slot).lineage, self.version(slot).index);
        let mut left = self.foreign(slot, span, ancestor);
        let mut below = lineage;
        let mut passed = Vec::new();
        for level in between {
            if left.is_empty() || !self.is_ghost(*level) {
                return;
            }
            let others = self.children(*level).iter().filter(|c| **c != below);
            let maps = others.filter_map(|c| self.resolve(self.lookup(*c, index)?, span).cloned());
            let users: Vec<Rc<SpanMap>> = maps.collect();
            left.retain(|(i, d)| users.iter().all(|u| u.phys(*i) != d.phys));
            below = *level;
            let Some(held) = self.by_key.get(&(*level, index)).copied() else { continue };
            passed.push(held);
            let above = self.inherited(held, span).cloned();
            let owned = |(i, d): &(usize, Data)| above.as_ref().is_none_or(|a| a.phys(*i) != d.phys);
            let (mine, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(owned);
            left = rest;
            for held in &passed {
                self.unmap(*held, span, &mine);
            }
            let n = mine.len() as u64;
            let v = self.version_mut(held);
            v.owned = v.owned.saturating_sub(n);
            self.version_mut(slot).owned += n;
        }
    }

    /// A nameless version, which sees all these blocks, lets them go.
    fn unmap(&mut self, slot: usize, span: usize, blocks: &[(usize, Data)]) {
        let size = self.span_blocks;
        let v = self.version_mut(slot);
        for (i, d) in blocks {
            v.digest ^= mark_of(span * size + i, Some(*d));
        }
        if let Span::Own(Some(map)) = &mut v.spans[span] {
            let map = Rc::make_mut(map);
            for (i, _) in blocks {
                map.set(*i, None);
            }
            if map.mapped() == 0 {
                v.spans[span] = Span::Own(None);
            }
            self.dirty.spans.insert((slot, span));
        }
        self.dirty.version_pages.insert(slot);
    }

    /// Blocks of one object of a lineage get the places that the mapping says, and so do its descendants that share
    /// them. What is no longer as it was when it was copied stays as it is.
    pub(crate) fn apply_copy(&mut self, m: &Mapping, freed: &mut Freed) -> Result<(), Malformed> {
        self.check_mapping(m)?;
        let slot = *self.by_key.get(&(m.lineage, m.index)).ok_or(Malformed)?;
        let mut crcs = m.crcs.iter();
        let mut block = m.start as usize;
        for piece in &m.pieces {
            let mut moved: Vec<(usize, Data)> = Vec::new();
            for n in 0..u64::from(piece.len) {
                let crc = *crcs.next().ok_or(Malformed)?;
                if piece.phys != SKIP {
                    moved.push((block + n as usize, Data { phys: piece.phys + n, crc, origin: m.origin }));
                }
            }
            block += piece.len as usize;
            let size = self.span_blocks;
            for blocks in moved.chunk_by(|a, b| a.0 / size == b.0 / size) {
                let span = blocks[0].0 / size;
                let within: Vec<(usize, Data)> = blocks.iter().map(|(at, d)| (at % size, *d)).collect();
                self.copy_within(slot, span, &within, freed);
            }
        }
        Ok(())
    }

    fn copy_within(&mut self, slot: usize, span: usize, blocks: &[(usize, Data)], freed: &mut Freed) {
        let above = self.inherited(slot, span);
        let Span::Own(Some(map)) = &self.version(slot).spans[span] else { return };
        let moved = |(at, to): &(usize, Data)| {
            let now = map.get(*at)?;
            let shared = above.is_some_and(|a| a.phys(*at) == now.phys);
            let same = (now.origin, now.crc) == (to.origin, to.crc);
            (shared && same).then_some(Change { at: *at, old: Some(now), new: Some(*to) })
        };
        let moved: Vec<Change> = blocks.iter().filter_map(moved).collect();
        if !moved.is_empty() {
            self.refill(slot, span, moved.into(), Cause::Overwritten, freed);
        }
    }

    /// A lineage that holds all it needs gets an older parent (0: none).
    pub(crate) fn rebase(&mut self, lineage: u64, parent: u64) -> Result<(), Malformed> {
        let node = self.nodes.get(&lineage).filter(|n| n.is_named()).ok_or(Malformed)?;
        let old = node.parent;
        let between = self.between(lineage, parent).ok_or(Malformed)?;
        self.may_be_parent(parent)?;
        let mut next = 0;
        while let Some(index) = self.first_object_of(&between, next) {
            if !self.is_detached(lineage, parent, &between, index) {
                return Err(Malformed);
            }
            next = index + 1;
        }
        self.nodes.get_mut(&lineage).ok_or(Malformed)?.parent = parent;
        self.touch_node(lineage);
        if let Some(node) = self.nodes.get_mut(&old) {
            node.children.retain(|c| *c != lineage);
            if node.kind == NodeKind::Ghost && node.children.len() > 1 {
                self.to_trim.insert(old);
            }
        }
        if let Some(node) = self.nodes.get_mut(&parent) {
            node.children.push(lineage);
        }
        self.forget_far();
        let objects: Range<(u64, u64)> = (lineage, 0)..(lineage, u64::MAX);
        let slots: Vec<(u64, usize)> = self.by_key.range(objects).map(|((_, i), slot)| (*i, *slot)).collect();
        for (index, slot) in slots {
            let above = if parent == 0 { None } else { self.lookup(parent, index) };
            self.version_mut(slot).parent = above;
        }
        Ok(())
    }
}
