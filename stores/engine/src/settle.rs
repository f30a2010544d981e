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
        let slot = *self.by_key.get(&(lineage, index)).ok_or(Malformed)?;
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

    /// The blocks that `slot` owns in a span and none of `users` has at the same place are free.
    fn free_unused(&mut self, slot: usize, span: usize, users: &[Rc<SpanMap>], freed: &mut Freed) {
        let Span::Own(Some(map)) = &self.version(slot).spans[span] else { return };
        let (map, above) = (map.clone(), self.inherited(slot, span).cloned());
        for (i, d) in map.iter() {
            let mine = above.as_ref().is_none_or(|p| p.phys(i) != d.phys);
            if mine && users.iter().all(|u| u.phys(i) != d.phys) {
                freed.push(d.phys, Cause::Deleted);
                self.mapped = self.mapped.saturating_sub(1);
            }
        }
    }

    /// The only child takes over.
    fn merge(&mut self, slot: usize, child: u64, index: u64, freed: &mut Freed) {
        let Some(heir) = self.by_key.get(&(child, index)).copied() else {
            self.by_key.remove(&(self.version(slot).lineage, index));
            self.by_key.insert((child, index), slot);
            self.version_mut(slot).lineage = child;
            self.dirty.version_pages.insert(slot);
            return;
        };
        for span in 0..self.spans_per_object() {
            match (&self.version(slot).spans[span], &self.version(heir).spans[span]) {
                (Span::Inherit, _) => {}
                (own @ Span::Own(_), Span::Inherit) => {
                    let own = own.clone();
                    let leaf = std::mem::take(&mut self.version_mut(slot).leaves[span]);
                    let v = self.version_mut(heir);
                    v.spans[span] = own;
                    v.leaves[span] = leaf;
                    // The leaf that moves may be older than the state that a checkpoint in flight has
                    // captured.
                    if self.dirty.spans.remove(&(slot, span)) || self.checkpointing {
                        self.dirty.spans.insert((heir, span));
                    }
                }
                (Span::Own(_), Span::Own(theirs)) => {
                    let users: Vec<_> = theirs.iter().cloned().collect();
                    self.free_unused(slot, span, &users, freed);
                }
            }
        }
        let parent = self.version(slot).parent;
        self.version_mut(heir).parent = parent;
        self.dirty.version_pages.insert(heir);
        self.remove_version(slot);
        let owned = (0..self.spans_per_object()).map(|s| self.count_owned(heir, s)).sum();
        self.version_mut(heir).owned = owned;
    }

    /// Own spans of all children, if each of them has one.
    fn all_own(&self, children: &[u64], index: u64, span: usize) -> Option<Vec<Rc<SpanMap>>> {
        let mut users = Vec::new();
        for child in children {
            match &self.version(*self.by_key.get(&(*child, index))?).spans[span] {
                Span::Inherit => return None,
                Span::Own(map) => users.extend(map.clone()),
            }
        }
        Some(users)
    }

    /// Blocks of a ghost's span that it owns and no child uses.
    fn useless(&self, slot: usize, children: &[u64], index: u64, span: usize) -> Vec<usize> {
        let Span::Own(Some(map)) = &self.version(slot).spans[span] else { return Vec::new() };
        let Some(users) = self.all_own(children, index, span) else { return Vec::new() };
        let above = self.inherited(slot, span);
        let mine = |i: usize, phys: u64| above.is_none_or(|p| p.phys(i) != phys);
        let unused = |i: usize, phys: u64| users.iter().all(|u| u.phys(i) != phys);
        map.iter().filter(|(i, d)| mine(*i, d.phys) && unused(*i, d.phys)).map(|(i, _)| i).collect()
    }

    /// Whether [`State::settle`] would free anything of this object of a ghost with many children.
    pub(crate) fn trims(&self, lineage: u64, index: u64) -> bool {
        let (Some(node), Some(slot)) = (self.nodes.get(&lineage), self.by_key.get(&(lineage, index))) else {
            return false;
        };
        (0..self.spans_per_object()).any(|s| !self.useless(*slot, &node.children, index, s).is_empty())
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
            self.mapped = self.mapped.saturating_sub(useless.len() as u64);
            let v = self.version_mut(slot);
            v.owned = v.owned.saturating_sub(useless.len() as u64);
            let Span::Own(Some(map)) = &mut v.spans[span] else { continue };
            let map = Rc::make_mut(map);
            for i in useless {
                v.digest ^= mark_of(span * blocks + i, map.get(i));
                freed.push(map.set(i, None), Cause::Deleted);
            }
            if map.mapped() == 0 {
                v.spans[span] = Span::Own(None);
            }
        }
    }

    /// What would happen without ghosts: every child takes over all, and two own the same blocks.
    fn scatter(&mut self, slot: usize, children: &[u64], index: u64, freed: &mut Freed) {
        let parent = self.version(slot).parent;
        for child in children {
            let heir = match self.by_key.get(&(*child, index)) {
                Some(heir) => *heir,
                None => {
                    let heir = self.add_version(*child, index, parent);
                    self.version_mut(heir).digest = self.version(slot).digest;
                    heir
                }
            };
            for span in 0..self.spans_per_object() {
                if matches!(self.version(heir).spans[span], Span::Inherit) {
                    let own = self.version(slot).spans[span].clone();
                    self.version_mut(heir).spans[span] = own;
                    self.dirty.spans.insert((heir, span));
                }
            }
            self.version_mut(heir).parent = parent;
            self.dirty.version_pages.insert(heir);
        }
        for span in 0..self.spans_per_object() {
            if let Some(users) = self.all_own(children, index, span) {
                self.free_unused(slot, span, &users, freed);
            }
        }
        self.remove_version(slot);
        for child in children {
            if let Some(heir) = self.by_key.get(&(*child, index)).copied() {
                let owned = (0..self.spans_per_object()).map(|s| self.count_owned(heir, s)).sum();
                self.version_mut(heir).owned = owned;
            }
        }
    }
}
