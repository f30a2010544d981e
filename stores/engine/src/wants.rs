//! Which pieces of the maps must be in memory for what: changes are applied without waiting, so everything
//! that they look at is loaded before.

use std::collections::BTreeSet;
use std::ops::Range;

use smallvec::SmallVec;

use crate::cache::Want;
use crate::record::Op;
use crate::state::{Row, Span, State};

/// Pieces of the maps; as many as a write of one block needs without an allocation.
pub(crate) type Wants = SmallVec<[Want; 6]>;

/// What something needs.
#[derive(Default)]
pub(crate) struct Needs {
    /// All pieces, some more than once; they stay in memory while they are needed.
    pub(crate) all: Wants,
    /// Those of them that must be loaded first. More may show when they are there.
    pub(crate) missing: BTreeSet<Want>,
    /// A page that would be nice to have: where it cannot be loaded, another will do.
    pub(crate) nice: Option<usize>,
}

impl Needs {
    fn add(&mut self, want: Want, here: bool) {
        if !self.all.iter().rev().take(4).any(|w| *w == want) {
            self.all.push(want);
        }
        if !here {
            self.missing.insert(want);
        }
    }
}

impl State {
    /// The row of a version, or `None` when it must be loaded.
    pub(crate) fn need_row(&self, slot: usize, needs: &mut Needs) -> Option<&Row> {
        let row = self.version(slot).row.as_deref();
        needs.add(Want::Page(slot / self.versions_per_page()), row.is_some());
        row
    }

    /// A span of a version itself.
    fn need_own(&self, slot: usize, span: usize, needs: &mut Needs) {
        let Some(row) = self.need_row(slot, needs) else { return };
        match &row.spans[span] {
            Span::Inherit | Span::Holes => {}
            Span::Stored => needs.add(Want::Span(slot, span), false),
            Span::Here(_) => needs.add(Want::Span(slot, span), true),
        }
    }

    /// What a version sees of a span.
    pub(crate) fn need_view(&self, slot: Option<usize>, span: usize, needs: &mut Needs) {
        let mut at = slot;
        while let Some(slot) = at {
            let Some(row) = self.need_row(slot, needs) else { return };
            if !matches!(row.spans[span], Span::Inherit) {
                return self.need_own(slot, span, needs);
            }
            at = self.version(slot).parent();
        }
    }

    /// What a version has of a span and what it would inherit there: who owns a block is seen by both.
    pub(crate) fn need_both(&self, slot: usize, span: usize, needs: &mut Needs) {
        self.need_own(slot, span, needs);
        self.need_view(self.version(slot).parent(), span, needs);
    }

    /// For [`State::entries`].
    pub(crate) fn need_range(&self, lineage: u64, first: u64, count: usize, needs: &mut Needs) {
        let (mut block, end) = (first, first + count as u64);
        while block < end {
            let (index, within) = (block / self.object_blocks, (block % self.object_blocks) as usize);
            self.need_view(self.lookup(lineage, index), within / self.span_blocks, needs);
            block += (self.span_blocks - within % self.span_blocks) as u64;
        }
    }

    /// For mappings of `count` blocks of a lineage from block `first` on.
    pub(crate) fn need_write(&self, lineage: u64, first: u64, count: u64, needs: &mut Needs) {
        let (mut block, end) = (first, first + count);
        while block < end {
            let (index, start) = (block / self.object_blocks, block % self.object_blocks);
            let len = (self.object_blocks - start).min(end - block);
            self.need_map(lineage, index, start, len, needs);
            block += len;
        }
    }

    pub(crate) fn need_map(&self, lineage: u64, index: u64, start: u64, len: u64, needs: &mut Needs) {
        let end = start + len;
        if end > self.object_blocks || len == 0 {
            return;
        }
        let own = self.slot(lineage, index);
        let above = match own {
            Some(slot) => self.version(slot).parent(),
            None => self.lookup(lineage, index),
        };
        if own.is_none() {
            needs.nice = self.next_page();
        }
        for span in start as usize / self.span_blocks..=(end - 1) as usize / self.span_blocks {
            own.into_iter().for_each(|slot| self.need_own(slot, span, needs));
            self.need_view(above, span, needs);
        }
    }

    /// For [`State::apply`].
    pub(crate) fn need_op(&self, op: &Op, needs: &mut Needs) {
        match op {
            Op::Map(m) if self.nodes.contains_key(&m.lineage) => {
                self.need_map(m.lineage, m.index, u64::from(m.start), m.blocks(), needs);
            }
            Op::Settle { lineage, index } => self.need_settle(*lineage, *index, needs),
            Op::Copy(m) if self.nodes.contains_key(&m.lineage) => {
                self.need_fill(m.lineage, m.index, u64::from(m.start), m.blocks(), needs);
            }
            Op::Detach { lineage, ancestor, index } => self.need_detach((*lineage, *ancestor), *index, needs),
            Op::Rebase { lineage, parent } => self.need_rebase(*lineage, *parent, needs),
            Op::Adopt(a) => a.nodes.iter().for_each(|n| self.need_reparent(n.lineage, n.parent, needs)),
            Op::Fill(f) | Op::Move(f) if self.nodes.contains_key(&f.lineage) => {
                self.need_fill(f.lineage, f.index, u64::from(f.start), f.blocks(), needs);
            }
            Op::Evict { tree, index } => {
                for slot in self.family_slots(*tree, *index) {
                    (0..self.spans_per_object()).for_each(|span| self.need_both(slot, span, needs));
                }
            }
            _ => {}
        }
    }

    /// For a filling: the versions below may follow.
    pub(crate) fn need_fill(&self, lineage: u64, index: u64, start: u64, len: u64, needs: &mut Needs) {
        let end = start + len;
        if end > self.object_blocks || len == 0 {
            return;
        }
        self.need_map(lineage, index, start, len, needs);
        let above = self.nodes.get(&lineage).and_then(|n| self.lookup(n.parent, index));
        let spans = start as usize / self.span_blocks..=(end - 1) as usize / self.span_blocks;
        let mut open = vec![lineage];
        while let Some(lineage) = open.pop() {
            for slot in self.versions_below(lineage, index) {
                spans.clone().for_each(|span| self.need_own(slot, span, needs));
                open.push(self.version(slot).lineage);
            }
        }
        spans.for_each(|span| self.need_view(above, span, needs));
    }

    /// Some spans of all versions of an object in a tree.
    pub(crate) fn need_family(&self, tree: u64, index: u64, spans: Range<usize>, needs: &mut Needs) {
        for slot in self.family_slots(tree, index) {
            spans.clone().for_each(|span| self.need_own(slot, span, needs));
        }
    }

    /// For cutting one object of a lineage off what stands between it and an ancestor: who uses what there
    /// shows in all that come from it.
    pub(crate) fn need_detach(&self, (lineage, ancestor): (u64, u64), index: u64, needs: &mut Needs) {
        let Some(between) = self.between(lineage, ancestor) else { return };
        let spans = 0..self.spans_per_object();
        let mut see = |lineage: u64| {
            let slot = self.lookup(lineage, index);
            spans.clone().for_each(|span| self.need_view(slot, span, needs));
        };
        see(lineage);
        see(ancestor);
        if let Some(node) = self.nodes.get(&lineage) {
            see(node.parent);
        }
        for level in &between {
            let Some(node) = self.nodes.get(level) else { continue };
            see(*level);
            see(node.parent);
            node.children.iter().for_each(|child| see(*child));
        }
        if self.slot(lineage, index).is_none() {
            needs.nice = self.next_page();
        }
    }

    /// For moving a link: which spans are whose, of all objects that anything between has.
    fn need_rebase(&self, lineage: u64, parent: u64, needs: &mut Needs) {
        let Some(between) = self.between(lineage, parent) else { return };
        let mut next = 0;
        while let Some(index) = self.first_object_of(&between, next) {
            for of in between.iter().chain([&lineage]) {
                if let Some(slot) = self.slot(*of, index) {
                    self.need_row(slot, needs);
                }
            }
            next = index + 1;
        }
    }

    /// For a parent further down: which spans are whose, of all objects that it and those up to the old one have.
    pub(crate) fn need_reparent(&self, lineage: u64, parent: u64, needs: &mut Needs) {
        let Some((chain, objects)) = self.gets_above(lineage, parent) else { return };
        for index in objects {
            for slot in chain.iter().chain([&lineage]).filter_map(|of| self.slot(*of, index)) {
                self.need_row(slot, needs);
            }
        }
    }

    /// For [`State::shares_with`].
    pub(crate) fn need_shares(&self, lineage: u64, to: u64, index: u64, needs: &mut Needs) {
        let from = self.nodes.get(&lineage).map_or(0, |n| n.parent);
        for slot in [lineage, from, to].map(|of| self.lookup(of, index)) {
            (0..self.spans_per_object()).for_each(|span| self.need_view(slot, span, needs));
        }
    }

    fn need_settle(&self, lineage: u64, index: u64, needs: &mut Needs) {
        let (Some(node), Some(slot)) = (self.nodes.get(&lineage), self.slot(lineage, index)) else { return };
        let Some(row) = self.need_row(slot, needs) else { return };
        let heirs: Vec<usize> = node.children.iter().filter_map(|c| self.slot(*c, index)).collect();
        let rows = heirs.iter().filter(|heir| self.need_row(**heir, needs).is_some()).count();
        if rows < heirs.len() {
            return;
        }
        let scatters = node.children.len() > 1 && !self.ghosts;
        for (span, own) in row.spans.iter().enumerate() {
            let theirs = |heir: &&usize| !matches!(self.version(**heir).row().spans[span], Span::Inherit);
            let split =
                heirs.len() == node.children.len() && heirs.iter().filter(theirs).count() == heirs.len();
            let maps = matches!(own, Span::Stored | Span::Here(_)) && (split || node.children.is_empty());
            if maps || scatters {
                self.need_both(slot, span, needs);
                heirs.iter().for_each(|heir| self.need_own(*heir, span, needs));
            }
        }
    }
}
