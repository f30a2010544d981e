//! What of the maps is in memory: everything that is not checkpointed must be, the rest may be.
//!
//! A page of the version table or the map of a span that came into memory stands in a queue. When there is
//! too much, the queue is gone round: what is not checkpointed, is being checkpointed, is pinned by somebody
//! at work or was used since the last round stays; the rest is on the disk as it is, and goes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::map::SpanMap;
use crate::state::{Row, Span, State};

/// Bytes of maps that stay in memory, where nobody says otherwise.
pub(crate) const CACHE_BYTES: usize = 64 << 20;
/// Entries of the queue that one round looks at, at most.
const ROUND: usize = 256;

/// A piece of the maps that can be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Want {
    /// A page of the version table.
    Page(usize),
    /// A span of the version in a slot.
    Span(usize, usize),
    /// The bits of a group of blocks.
    Group(usize),
}

enum Item {
    Page(usize),
    Span { slot: usize, birth: u64, span: usize },
}

/// The clock of what is in memory.
pub(crate) struct Cache {
    /// Bytes of what is checkpointed that may stay.
    pub(crate) ceiling: usize,
    queue: VecDeque<Item>,
    spans: usize,
    pages: usize,
    /// Pieces that somebody needs, and how many do.
    pins: BTreeMap<Want, u32>,
    /// Spans and pages that the checkpoint in flight writes: their places are not known yet.
    pub(crate) captured_spans: BTreeSet<(usize, usize)>,
    pub(crate) captured_pages: BTreeSet<usize>,
    /// Pages of the version table that could not be read: nothing new goes there.
    pub(crate) bad_pages: BTreeSet<usize>,
}

impl Default for Cache {
    fn default() -> Self {
        Cache {
            ceiling: CACHE_BYTES,
            queue: VecDeque::new(),
            spans: 0,
            pages: 0,
            pins: BTreeMap::new(),
            captured_spans: BTreeSet::new(),
            captured_pages: BTreeSet::new(),
            bad_pages: BTreeSet::new(),
        }
    }
}

impl Cache {
    pub(crate) fn span_came(&mut self, slot: usize, birth: u64, span: usize) {
        self.spans += 1;
        self.queue.push_back(Item::Span { slot, birth, span });
    }

    pub(crate) fn span_went(&mut self) {
        self.spans -= 1;
    }

    pub(crate) fn page_came(&mut self, page: usize) {
        self.pages += 1;
        self.queue.push_back(Item::Page(page));
    }

    pub(crate) fn pin(&mut self, want: Want) {
        *self.pins.entry(want).or_default() += 1;
    }

    pub(crate) fn unpin(&mut self, want: Want) {
        if let Some(n) = self.pins.get_mut(&want) {
            *n -= 1;
            if *n == 0 {
                self.pins.remove(&want);
            }
        }
    }
}

impl State {
    /// Bytes of maps in memory, and how many of them a checkpoint still needs.
    pub(crate) fn map_bytes(&self) -> (usize, usize) {
        let span = SpanMap::memory(self.span_blocks);
        let row = size_of::<Row>() + self.spans_per_object() * size_of::<(Span, crate::codec::BlobRef)>();
        let all = self.cache.spans * span + self.cache.pages * self.versions_per_page() * row;
        let busy = self.dirty.spans.len() + self.cache.captured_spans.len();
        (all, (busy * span).min(all))
    }

    /// The checkpoint in flight is written or given up.
    pub(crate) fn checkpoint_ended(&mut self, lose: bool) {
        self.checkpointing = false;
        self.cache.captured_spans.clear();
        self.cache.captured_pages.clear();
        self.evict(lose);
    }

    fn is_over(&self) -> bool {
        let (all, busy) = self.map_bytes();
        all - busy > self.cache.ceiling
    }

    /// Lets go what is too much. With `lose` even what is not checkpointed yet, which must never be.
    pub(crate) fn evict(&mut self, lose: bool) {
        for _ in 0..ROUND {
            if !self.is_over() {
                return;
            }
            let Some(item) = self.cache.queue.pop_front() else { return };
            let stays = match item {
                Item::Page(page) => self.evict_page(page),
                Item::Span { slot, birth, span } => self.evict_span(slot, birth, span, lose),
            };
            if stays {
                self.cache.queue.push_back(item);
            }
        }
    }

    /// Whether the queue must keep it.
    fn evict_page(&mut self, page: usize) -> bool {
        let slots = self.page_slots(page);
        let needed = self.cache.pins.contains_key(&Want::Page(page))
            || self.cache.captured_pages.contains(&page)
            || self.dirty.has_page(slots.clone());
        let has_maps = |slot: usize| {
            let row = self.versions[slot].as_ref().and_then(|v| v.row.as_ref());
            row.is_some_and(|r| r.spans.iter().any(|s| matches!(s, Span::Here(_))))
        };
        if needed || slots.clone().any(has_maps) {
            return true;
        }
        for v in self.versions[slots].iter_mut().flatten() {
            v.row = None;
        }
        self.pages_here[page] = false;
        self.cache.pages -= 1;
        false
    }

    fn evict_span(&mut self, slot: usize, birth: u64, span: usize, lose: bool) -> bool {
        let v = self.versions.get(slot).and_then(|v| v.as_ref()).filter(|v| v.birth == birth);
        let Some(row) = v.and_then(|v| v.row.as_ref()) else { return false };
        let Span::Here(map) = &row.spans[span] else { return false };
        let key = (slot, span);
        let dirty = self.dirty.spans.contains(&key) || self.cache.captured_spans.contains(&key);
        let lost = lose && !row.leaves[span].is_none();
        if self.cache.pins.contains_key(&Want::Span(slot, span)) || (dirty && !lost) || map.cool() {
            return true;
        }
        self.set_span(slot, span, Span::Stored);
        false
    }
}
