//! What differs between two volumes or snapshots, from the maps alone: no data is read.
//!
//! A block is the same in both if both map the same disk block there, or blocks of the same origin with the same
//! checksum (one is then a copy of the other). Lineages that share nothing are compared like any others: whatever
//! either of them has mapped differs.

use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use parpen_base::ByteRange;
use uuid::Uuid;

use crate::engine::Engine;
use crate::layout::BLOCK;
use crate::map::{Data, SpanMap};
use crate::state::State;
use crate::sync::yield_now;
use crate::{Change, Disk, EngineError, Rules};

/// Objects that one call looks at, at most.
const OBJECTS: usize = 64;

/// One side of a comparison.
#[derive(Clone, Copy)]
struct Side {
    lineage: u64,
    bytes: u64,
}

/// Pieces in order, neighbours of one kind as one.
struct Pieces {
    out: Vec<Change>,
    at: u64,
    end: u64,
}

impl Pieces {
    /// All up to byte `end` is so.
    fn upto(&mut self, end: u64, changed: bool, zero: bool) {
        let end = end.min(self.end);
        if end <= self.at {
            return;
        }
        let len = end - self.at;
        match self.out.last_mut() {
            Some(last) if (last.changed, last.zero) == (changed, zero) => last.len += len,
            _ => self.out.push(Change { len, changed, zero }),
        }
        self.at = end;
    }
}

fn same(a: Option<Data>, b: Option<Data>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.phys == b.phys || (a.origin, a.crc) == (b.origin, b.crc),
        (None, None) => true,
        _ => false,
    }
}

impl State {
    /// The first objects of `from..=to` that a lineage or its ancestors have a version of, at most `most`.
    pub(crate) fn first_touched(&self, mut lineage: u64, from: u64, to: u64, most: usize) -> BTreeSet<u64> {
        let mut first = BTreeSet::new();
        while let Some(node) = self.nodes.get(&lineage) {
            for ((_, index), _) in self.by_key.range((lineage, from)..=(lineage, to)).take(most) {
                if first.len() >= most && first.last().is_some_and(|last| last <= index) {
                    break;
                }
                first.insert(*index);
                if first.len() > most {
                    first.pop_last();
                }
            }
            lineage = node.parent;
        }
        first
    }

    fn span_of(&self, side: Option<Side>, index: u64, span: usize) -> Option<&Rc<SpanMap>> {
        let slot = self.lookup(side?.lineage, index)?;
        self.resolve(slot, span)
    }

    /// Blocks `within` of one object.
    fn diff_object(&self, a: Option<Side>, b: Side, index: u64, within: Range<u64>, out: &mut Pieces) {
        let object = index * self.object_blocks;
        let blocks = self.span_blocks as u64;
        for span in (within.start / blocks)..within.end.div_ceil(blocks) {
            let first = object + span * blocks;
            let theirs = self.span_of(a, index, span as usize);
            let ours = self.span_of(Some(b), index, span as usize);
            let end = first + blocks;
            // What lies behind the end of `a` is nothing of it; what stands there within its last block, nobody knows
            // after a shrink that was cut short.
            let ends = a.map_or(0, |a| if b.bytes > a.bytes { a.bytes / BLOCK } else { u64::MAX });
            let all_counts = a.is_some() && ends >= end;
            let shared = match (theirs, ours) {
                (Some(t), Some(o)) => all_counts && Rc::ptr_eq(t, o),
                (None, None) => true,
                _ => false,
            };
            match ours.map_or(0, |m| u64::from(m.mapped())) {
                0 if shared => out.upto(end * BLOCK, false, true),
                n if shared && n == blocks => out.upto(end * BLOCK, false, false),
                _ => {
                    for i in 0..blocks {
                        let block = first + i;
                        let counts = a.is_some_and(|a| block * BLOCK < a.bytes);
                        let before = theirs.filter(|_| counts).and_then(|m| m.get(i as usize));
                        let now = ours.and_then(|m| m.get(i as usize));
                        let changed = !same(before, now) || (block >= ends && now.is_some());
                        out.upto((block + 1) * BLOCK, changed, now.is_none());
                    }
                }
            }
        }
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    fn side(&self, id: Uuid) -> Result<Side, EngineError> {
        self.find(id, |lineage, n| Side { lineage, bytes: n.bytes })
    }

    /// What of `b` differs from `a` (`None`: from nothing, so that everything allocated has changed), from
    /// `offset` on, in blocks of 4 KiB. What lies behind the end of `a` counts as zeros there.
    ///
    /// The pieces add up to `len`, or to less: then enough was looked at, and the caller goes on behind them.
    pub async fn diff(
        &self,
        a: Option<Uuid>,
        b: Uuid,
        offset: u64,
        len: u64,
    ) -> Result<Vec<Change>, EngineError> {
        let size = self.find(b, |_, n| n.bytes)?;
        let outside = EngineError::Invalid("the range is not within the volume");
        let range = ByteRange::within(offset, len, size).map_err(|_| outside)?;
        let mut out = Pieces { out: Vec::new(), at: range.start(), end: range.end() };
        if range.is_empty() {
            a.map_or(Ok(()), |a| self.side(a).map(|_| ()))?;
            return Ok(out.out);
        }
        let (objects, blocks) = self.objects_to_compare(a, b, range)?;
        for index in &objects {
            let object = index * blocks;
            {
                // Others may have run since: the ids are looked up anew, as after a roll back they name others.
                let (a, b) = (a.map(|a| self.side(a)).transpose()?, self.side(b)?);
                let state = self.state.borrow();
                out.upto(object * BLOCK, false, true);
                let from = (range.start() / BLOCK).saturating_sub(object);
                let to = (range.end().div_ceil(BLOCK) - object).min(blocks);
                state.diff_object(a, b, *index, from..to, &mut out);
            }
            yield_now().await;
        }
        if objects.len() < OBJECTS {
            out.upto(range.end(), false, true);
        }
        Ok(out.out)
    }

    /// The first objects that either side has anything of, and the blocks of an object.
    fn objects_to_compare(
        &self,
        a: Option<Uuid>,
        b: Uuid,
        range: ByteRange,
    ) -> Result<(BTreeSet<u64>, u64), EngineError> {
        let (a, b) = (a.map(|a| self.side(a)).transpose()?, self.side(b)?);
        let state = self.state.borrow();
        let object = state.object_blocks * BLOCK;
        let (from, to) = (range.start() / object, (range.end() - 1) / object);
        let mut all = state.first_touched(b.lineage, from, to, OBJECTS);
        if let Some(a) = a {
            all.append(&mut state.first_touched(a.lineage, from, to, OBJECTS));
        }
        while all.len() > OBJECTS {
            all.pop_last();
        }
        Ok((all, state.object_blocks))
    }
}
