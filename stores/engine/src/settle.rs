//! Taking back what a nameless lineage holds, one object at a time.

use std::rc::Rc;

use crate::codec::Malformed;
use crate::digest::mark_of;
use crate::map::SpanMap;
use crate::state::{Cause, Freed, NodeKind, Span, State};

impl State {
    /// One object of a ghost. Without children its own blocks are free. Its only child takes over what it
    /// uses, the rest is free. With more children the ghost stays, without the blocks that no child uses.
    pub(crate) fn settle(&mut self, lineage: u64, index: u64, freed: &mut Freed) -> Result<(), Malformed> {
        let node = self.nodes.get(&lineage).filter(|n| n.kind == NodeKind::Ghost).ok_or(Malformed)?;
        let slot = self.slot(lineage, index).ok_or(Malformed)?;
        let children = node.children.clone();
        match children.as_slice() {
            [] => {
                for span in 0..self.spans_per_object() {
                    self.free_unused(slot, span, &[], freed);
                }
                self.remove_version(slot);
            }
            [child] => self.merge(slot, *child, index, freed),
            many if self.ghosts => self.trim(slot, many, index, freed),
            many => self.scatter(slot, many, index, freed),
        }
        Ok(())
    }

    /// The map that a version itself has of a span.
    fn own_map(&self, slot: usize, span: usize) -> Option<&Rc<SpanMap>> {
        match &self.version(slot).row().spans[span] {
            Span::Here(map) => Some(map),
            _ => None,
        }
    }

    /// The blocks that `slot` owns in a span and none of `users` has at the same place are free; how many.
    fn free_unused(&mut self, slot: usize, span: usize, users: &[Rc<SpanMap>], freed: &mut Freed) -> u64 {
        let Some(map) = self.own_map(slot, span).cloned() else { return 0 };
        let above = self.inherited(slot, span).cloned();
        let mut count = 0;
        for (i, d) in map.iter() {
            let mine = above.as_ref().is_none_or(|p| p.phys(i) != d.phys);
            if mine && users.iter().all(|u| u.phys(i) != d.phys) {
                freed.push(d.phys, Cause::Deleted);
                count += 1;
            }
        }
        self.mapped = self.mapped.saturating_sub(count);
        count
    }

    /// The only child takes over.
    fn merge(&mut self, slot: usize, child: u64, index: u64, freed: &mut Freed) {
        let Some(heir) = self.slot(child, index) else {
            self.hand_down(slot, child, index);
            return;
        };
        let mut lost = 0;
        for span in 0..self.spans_per_object() {
            match (&self.version(slot).row().spans[span], &self.version(heir).row().spans[span]) {
                (Span::Inherit, _) => {}
                (_, Span::Inherit) => self.move_span(slot, heir, span),
                (Span::Here(_), _) => {
                    let users: Vec<_> = self.own_map(heir, span).into_iter().cloned().collect();
                    lost += self.free_unused(slot, span, &users, freed);
                }
                _ => {}
            }
        }
        let parent = self.version(slot).parent();
        self.version_mut(heir).set_parent(parent);
        self.dirty.version_pages.insert(heir);
        let rest = u64::from(self.version(slot).owned).saturating_sub(lost);
        self.remove_version(slot);
        // What the two owned together, but for what was freed, is the heir's now. (It is mapped as before.)
        let mapped = self.mapped;
        self.own_blocks(heir, rest, 0);
        self.mapped = mapped;
    }

    /// The only child has no version of its own: it takes this one as it is.
    fn hand_down(&mut self, slot: usize, child: u64, index: u64) {
        let (old, owned) = (self.version(slot).lineage, u64::from(self.version(slot).owned));
        self.by_key.remove(&(old, index));
        self.by_key.insert((child, index), slot as u32);
        self.version_mut(slot).lineage = child;
        self.dirty.version_pages.insert(slot);
        if let Some(node) = self.nodes.get_mut(&old) {
            node.owned = node.owned.saturating_sub(owned);
        }
        if let Some(node) = self.nodes.get_mut(&child) {
            node.owned += owned;
        }
    }

    /// A span that the heir inherits becomes its own, with its leaf.
    fn move_span(&mut self, slot: usize, heir: usize, span: usize) {
        let own = self.set_span(slot, span, Span::Inherit);
        let leaf = std::mem::take(&mut self.version_mut(slot).row_mut().leaves[span]);
        self.set_span(heir, span, own);
        // A checkpoint in flight gives the map another place and frees this one; what it writes may be older
        // than the map by now.
        let captured = self.cache.captured_spans.contains(&(slot, span));
        if !captured {
            self.version_mut(heir).row_mut().leaves[span] = leaf;
        }
        if self.dirty.spans.remove(&(slot, span)) || captured {
            self.dirty.spans.insert((heir, span));
        }
    }

    /// Own maps of all children, if each of them has the span for itself.
    fn all_own(&self, children: &[u64], index: u64, span: usize) -> Option<Vec<Rc<SpanMap>>> {
        let mut users = Vec::new();
        for child in children {
            let heir = self.slot(*child, index)?;
            if matches!(self.version(heir).row().spans[span], Span::Inherit) {
                return None;
            }
            users.extend(self.own_map(heir, span).cloned());
        }
        Some(users)
    }

    /// Blocks of a ghost's span that it owns and no child uses.
    fn useless(&self, slot: usize, children: &[u64], index: u64, span: usize) -> Vec<usize> {
        let Some(users) = self.all_own(children, index, span) else { return Vec::new() };
        let Some(map) = self.own_map(slot, span) else { return Vec::new() };
        let above = self.inherited(slot, span);
        let mine = |i: usize, phys: u64| above.is_none_or(|p| p.phys(i) != phys);
        let unused = |i: usize, phys: u64| users.iter().all(|u| u.phys(i) != phys);
        map.iter().filter(|(i, d)| mine(*i, d.phys) && unused(*i, d.phys)).map(|(i, _)| i).collect()
    }

    /// Whether [`State::settle`] would free anything of this object of a ghost with many children.
    pub(crate) fn trims(&self, lineage: u64, index: u64) -> bool {
        let (Some(node), Some(slot)) = (self.nodes.get(&lineage), self.slot(lineage, index)) else {
            return false;
        };
        (0..self.spans_per_object()).any(|s| !self.useless(slot, &node.children, index, s).is_empty())
    }

    fn trim(&mut self, slot: usize, children: &[u64], index: u64, freed: &mut Freed) {
        let blocks = self.span_blocks;
        for span in 0..self.spans_per_object() {
            let useless = self.useless(slot, children, index, span);
            if useless.is_empty() {
                continue;
            }
            self.dirty.spans.insert((slot, span));
            self.dirty.version_pages.insert(slot);
            self.own_blocks(slot, 0, useless.len() as u64);
            let v = self.version_mut(slot);
            let mut digest = v.digest;
            let Span::Here(map) = &mut v.row_mut().spans[span] else { continue };
            let map = Rc::make_mut(map);
            for i in useless {
                digest ^= mark_of(span * blocks + i, map.get(i));
                freed.push(map.set(i, None), Cause::Deleted);
            }
            let empty = map.mapped() == 0;
            v.digest = digest;
            if empty {
                self.set_span(slot, span, Span::Holes);
            }
        }
    }

    /// What would happen without ghosts: every child takes over all, and two own the same blocks.
    fn scatter(&mut self, slot: usize, children: &[u64], index: u64, freed: &mut Freed) {
        let parent = self.version(slot).parent();
        for child in children {
            let heir = match self.slot(*child, index) {
                Some(heir) => heir,
                None => {
                    let heir = self.add_version(*child, index, parent);
                    self.version_mut(heir).digest = self.version(slot).digest;
                    heir
                }
            };
            for span in 0..self.spans_per_object() {
                if matches!(self.version(heir).row().spans[span], Span::Inherit) {
                    let own = self.version(slot).row().spans[span].clone();
                    self.set_span(heir, span, own);
                    self.dirty.spans.insert((heir, span));
                }
            }
            self.version_mut(heir).set_parent(parent);
            self.dirty.version_pages.insert(heir);
        }
        for span in 0..self.spans_per_object() {
            if let Some(users) = self.all_own(children, index, span) {
                self.free_unused(slot, span, &users, freed);
            }
        }
        self.remove_version(slot);
        let mapped = self.mapped;
        for child in children {
            if let Some(heir) = self.slot(*child, index) {
                let owned = (0..self.spans_per_object()).map(|s| self.count_owned(heir, s)).sum();
                let old = u64::from(self.version(heir).owned);
                self.own_blocks(heir, owned, old);
            }
        }
        self.mapped = mapped;
    }
}
