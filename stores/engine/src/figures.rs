//! What volumes and snapshots cost, from the maps: counted when somebody asks, object by object.

use std::rc::Rc;

use uuid::Uuid;

use crate::engine::Engine;
use crate::layout::BLOCK;
use crate::map::SpanMap;
use crate::state::{NodeKind, Span, State};
use crate::sync::yield_now;
use crate::wants::Needs;
use crate::{Disk, EngineError, Figures, Rules};

/// A lineage that a deletion takes blocks from, and who keeps blocks of it.
struct Loser {
    lineage: u64,
    keepers: Vec<u64>,
}

impl State {
    /// Blocks of one object that a lineage maps, where no map needs to be read to tell: what has no older version maps
    /// what it owns.
    fn mapped_at_sight(&self, lineage: u64, index: u64) -> Option<u64> {
        let Some(slot) = self.lookup(lineage, index) else { return Some(0) };
        let v = self.version(slot);
        v.parent().is_none().then(|| u64::from(v.owned))
    }

    /// Whether one of these sees the very version that a lineage has of an object: it would keep all its blocks.
    fn is_kept_whole(&self, lineage: u64, index: u64, keepers: &[u64]) -> bool {
        let slot = self.slot(lineage, index);
        keepers.iter().any(|l| self.lookup(*l, index) == slot)
    }

    /// Blocks of one object that a lineage maps.
    fn mapped_in(&self, lineage: u64, index: u64) -> u64 {
        let Some(slot) = self.lookup(lineage, index) else { return 0 };
        let spans = 0..self.spans_per_object();
        spans.filter_map(|s| self.resolve(slot, s)).map(|m| u64::from(m.mapped())).sum()
    }

    /// Blocks of one object that a lineage owns and none of these maps.
    fn kept_by_none(&self, lineage: u64, index: u64, keepers: &[u64]) -> u64 {
        let Some(slot) = self.slot(lineage, index) else { return 0 };
        if keepers.is_empty() {
            return u64::from(self.version(slot).owned);
        }
        let spans = 0..self.spans_per_object();
        spans.map(|span| self.span_kept_by_none(slot, span, keepers)).sum()
    }

    fn span_kept_by_none(&self, slot: usize, span: usize, keepers: &[u64]) -> u64 {
        let v = self.version(slot);
        let Span::Here(map) = &v.row().spans[span] else { return 0 };
        let theirs = |l: &u64| self.resolve(self.lookup(*l, v.index)?, span);
        let users: Vec<&Rc<SpanMap>> = keepers.iter().filter_map(theirs).collect();
        if users.iter().any(|u| Rc::ptr_eq(u, map)) {
            return 0;
        }
        let above = self.inherited(slot, span);
        let mine = |i: usize, phys: u64| above.is_none_or(|a| a.phys(i) != phys);
        let unused = |i: usize, phys: u64| users.iter().all(|u| u.phys(i) != phys);
        map.iter().filter(|(i, d)| mine(*i, d.phys) && unused(*i, d.phys)).count() as u64
    }

    /// From whom blocks are taken when a lineage is deleted, in the order in which [`Engine::delete`] gets there: itself,
    /// and the nameless ones above it that lose a user by it.
    fn losers(&self, lineage: u64) -> Vec<Loser> {
        let mut losers = Vec::new();
        let Some(node) = self.nodes.get(&lineage) else { return losers };
        losers.push(Loser { lineage, keepers: node.children.clone() });
        if node.children.len() > 1 {
            return losers;
        }
        // It dissolves, and its child, if it has one, takes its place; a parent that is left with one child dissolves
        // in its turn.
        let (mut gone, mut heir, mut at) = (lineage, node.children.clone(), node.parent);
        while let Some(node) = self.nodes.get(&at).filter(|n| n.kind == NodeKind::Ghost) {
            let others = node.children.iter().filter(|c| **c != gone);
            let keepers: Vec<u64> = others.copied().chain(heir.iter().copied()).collect();
            losers.push(Loser { lineage: at, keepers: keepers.clone() });
            if keepers.len() > 1 {
                break;
            }
            (gone, heir, at) = (at, keepers, node.parent);
        }
        losers
    }

    /// Objects of a lineage itself from `from` on, at most `most`.
    fn objects_of(&self, lineage: u64, from: u64, most: usize) -> Vec<u64> {
        let range = self.by_key.range((lineage, from)..=(lineage, u64::MAX));
        range.take(most).map(|((_, index), _)| *index).collect()
    }
}

/// Objects looked at between two chances for others to run.
const STRIDE: usize = 16;

impl<D: Disk, R: Rules> Engine<D, R> {
    /// What a volume or snapshot costs. Exact while nothing is written; others run in between.
    pub async fn figures(&self, id: Uuid) -> Result<Figures, EngineError> {
        let stored = self.count_stored(id).await?;
        let (mut unique, mut freed) = (0, 0);
        let lineage = self.find(id, |lineage, _| lineage)?;
        let losers = self.state.borrow().losers(lineage);
        for loser in &losers {
            let blocks = self.count_freed(loser).await?;
            freed += blocks;
            unique += if loser.lineage == lineage { blocks } else { 0 };
        }
        let shared = stored.saturating_sub(unique);
        let [stored, unique, shared, freed] = [stored, unique, shared, freed].map(|blocks| blocks * BLOCK);
        Ok(Figures { stored, unique, shared, freed })
    }

    async fn count_freed(&self, loser: &Loser) -> Result<u64, EngineError> {
        let (mut blocks, mut from) = (0, 0);
        loop {
            let some = self.state.borrow().objects_of(loser.lineage, from, STRIDE);
            for index in &some {
                if self.state.borrow().is_kept_whole(loser.lineage, *index, &loser.keepers) {
                    continue;
                }
                let looked_at = |state: &State, needs: &mut Needs| {
                    let Some(slot) = state.slot(loser.lineage, *index) else { return };
                    for span in 0..state.spans_per_object() {
                        state.need_both(slot, span, needs);
                        let users = loser.keepers.iter().map(|l| state.lookup(*l, *index));
                        users.for_each(|user| state.need_view(user, span, needs));
                    }
                };
                let _held = self.load(looked_at).await?;
                blocks += self.state.borrow().kept_by_none(loser.lineage, *index, &loser.keepers);
            }
            let Some(last) = some.last() else { return Ok(blocks) };
            from = last + 1;
            yield_now().await;
        }
    }

    async fn count_stored(&self, id: Uuid) -> Result<u64, EngineError> {
        let (mut stored, mut from) = (0, 0);
        loop {
            let lineage = self.find(id, |lineage, _| lineage)?;
            let some = {
                let state = self.state.borrow();
                state.first_touched(lineage, from, state.last_object(), STRIDE)
            };
            for index in &some {
                let seen = self.state.borrow().mapped_at_sight(lineage, *index);
                if let Some(blocks) = seen {
                    stored += blocks;
                    continue;
                }
                let looked_at = |state: &State, needs: &mut Needs| {
                    let slot = state.lookup(lineage, *index);
                    (0..state.spans_per_object()).for_each(|span| state.need_view(slot, span, needs));
                };
                let _held = self.load(looked_at).await?;
                stored += self.state.borrow().mapped_in(lineage, *index);
            }
            let Some(last) = some.last() else { return Ok(stored) };
            from = last + 1;
            yield_now().await;
        }
    }

    /// Data that no volume or snapshot would miss by name: what deleted ones still hold for those that were made from
    /// them, in bytes.
    pub fn kept_for_others(&self) -> u64 {
        let state = self.state.borrow();
        let blocks: u64 = state.dead.iter().filter_map(|l| state.nodes.get(l)).map(|n| n.owned).sum();
        blocks * BLOCK
    }
}
