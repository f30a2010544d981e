//! The checkpoint: what changed since the last one is written to fresh blocks, then the superblocks switch to
//! it.
//!
//! The state of one instant is captured without waiting (maps are shared and copied when written to), so
//! writes go on meanwhile; commits wait. The cost is the changed spans, their table pages and the list of
//! pages, never the whole.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::alloc::{Alloc, Record, Run};
use crate::blob::Plan;
use crate::codec::{BlobRef, Identity, Type, begin, hash64, seal};
use crate::engine::{Engine, Pages, Room};
use crate::layout::BLOCK;
use crate::map::SpanMap;
use crate::space::{WrittenBits, page};
use crate::state::{Cause, Dirty, LINEAGE_BITS, Node, NodeKind, Span, State};
use crate::superblock::{COPIES, Superblock, offsets};
use crate::sync::join_all;
use crate::wal::Queue;
use crate::{Disk, DiskError, EngineError, Rules, features};

/// Node leaves listed in one page of the node table.
pub(crate) const NODES_PER_PAGE: usize = 252;
/// A span that inherits, as it stands in a table page.
pub(crate) const INHERIT: BlobRef = BlobRef { block: 0, indirect: false, len: 0, crc: 0 };
/// A span that has holes of its own.
pub(crate) const HOLES: BlobRef = BlobRef { block: 0, indirect: false, len: 1, crc: 0 };
/// Spans encoded before they are written.
const BATCH: usize = 512;

/// A boot: new epoch, and noise that no former life can have used.
pub(crate) struct Boot {
    pub(crate) epoch: u64,
    pub(crate) nonce: u64,
}

struct DirtySpan {
    slot: usize,
    birth: u64,
    span: usize,
    key: (u64, u64),
    map: Rc<SpanMap>,
}

/// A version as it goes into its page.
struct Line {
    lineage: u64,
    owned: u32,
    index: u64,
    write_version: u64,
    generation: u64,
    digest: u64,
    spans: Vec<BlobRef>,
}

/// The changed part of the state at one instant.
struct Capture {
    dirty: Dirty,
    spans: Vec<DirtySpan>,
    versions: BTreeMap<usize, Vec<Option<Line>>>,
    nodes: Vec<(u64, Vec<u8>)>,
    node_pages: BTreeMap<usize, Vec<(u64, BlobRef)>>,
    next_lineage: u64,
    catalogue_seq: u64,
    pending: Queue,
    freed: Vec<(Run, Cause)>,
    /// Births of the versions at the slots that had dirty spans, to undo.
    births: BTreeMap<usize, u64>,
    /// Dirty spans that need no leaf any more: `(slot, birth, span)`.
    holes: Vec<(usize, u64, usize)>,
    /// Which blocks are in use, but for what this checkpoint itself changes.
    record: Record,
    /// What this checkpoint replaces.
    old: Vec<BlobRef>,
    /// Old places of the maps of dirty spans, by the slot of their version.
    leaves: Vec<(usize, BlobRef)>,
}

/// Where the parts of a checkpoint stand.
struct Written {
    spans: Vec<BlobRef>,
    nodes: BTreeMap<u64, BlobRef>,
    version_pages: BTreeMap<usize, BlobRef>,
    node_pages: BTreeMap<usize, BlobRef>,
    bits: WrittenBits,
    root: BlobRef,
    /// Blobs whose blocks the map of free blocks records.
    recorded: Vec<BlobRef>,
}

fn line(state: &State, slot: usize) -> Option<Line> {
    let v = state.versions.get(slot)?.as_ref()?;
    let row = v.row();
    let place = |(span, leaf): (&Span, &BlobRef)| match span {
        Span::Inherit => INHERIT,
        Span::Holes => HOLES,
        Span::Stored | Span::Here(_) => *leaf,
    };
    let spans = row.spans.iter().zip(&row.leaves).map(place).collect();
    let (write_version, generation, digest) = (v.write_version, v.generation, v.digest);
    Some(Line {
        lineage: v.lineage,
        owned: v.owned,
        index: v.index,
        write_version,
        generation,
        digest,
        spans,
    })
}

fn node_leaf(of: Identity, lineage: u64, n: &Node) -> Vec<u8> {
    let mut w = begin(Type::Node, of);
    w.u64(lineage);
    w.u64(n.parent);
    w.u8(match n.kind {
        NodeKind::Volume => 0,
        NodeKind::Snapshot => 1,
        NodeKind::Ghost => 2,
        NodeKind::Record => 3,
    });
    w.bytes(&n.tree.to_le_bytes()[..7]);
    w.uuid(n.id);
    w.uuid(n.of);
    w.u64(n.bytes);
    w.u64(n.label_version);
    w.u32(n.label.len() as u32);
    w.u32(0);
    w.bytes(&n.label);
    seal(w)
}

impl Capture {
    fn take(state: &mut State, pages: &Pages, alloc: &mut Alloc, of: Identity) -> Capture {
        let dirty = std::mem::take(&mut state.dirty);
        let per_page = state.versions_per_page();
        let mut spans = Vec::new();
        let (mut births, mut holes) = (BTreeMap::new(), Vec::new());
        let mut leaves = Vec::new();
        for &(slot, span) in &dirty.spans {
            let v = state.version(slot);
            births.insert(slot, v.birth);
            let leaf = v.row().leaves[span];
            if !leaf.is_none() {
                leaves.push((slot, leaf));
            }
            match &v.row().spans[span] {
                Span::Here(map) => {
                    let key = (v.lineage, v.index);
                    spans.push(DirtySpan { slot, birth: v.birth, span, key, map: map.clone() });
                }
                Span::Holes | Span::Inherit => holes.push((slot, v.birth, span)),
                Span::Stored => {}
            }
        }
        let stale = dirty.spans.iter().map(|(slot, _)| slot).chain(&dirty.version_pages);
        let stale: BTreeSet<usize> = stale.map(|slot| slot / per_page).collect();
        let rows = |p: usize| (p * per_page..(p + 1) * per_page).map(|slot| line(state, slot)).collect();
        let versions: BTreeMap<_, _> = stale.into_iter().map(|p| (p, rows(p))).collect();
        let leaf = |lineage: &u64| state.nodes.get(lineage).map(|n| (*lineage, node_leaf(of, *lineage, n)));
        let nodes = dirty.nodes.iter().filter_map(leaf).collect();
        let stale: BTreeSet<usize> = dirty.node_pages.iter().map(|slot| slot / NODES_PER_PAGE).collect();
        let entry = |slot: usize| {
            let lineage = state.node_slots.get(slot).copied().unwrap_or(0);
            (lineage, state.nodes.get(&lineage).map_or(BlobRef::default(), |n| n.leaf))
        };
        let entries = |p: usize| (p * NODES_PER_PAGE..(p + 1) * NODES_PER_PAGE).map(entry).collect();
        let node_pages: BTreeMap<_, _> = stale.into_iter().map(|p| (p, entries(p))).collect();
        let place = |table: &[BlobRef], p: &usize| table.get(*p).copied().unwrap_or_default();
        let mut old = dirty.gone.clone();
        old.extend(leaves.iter().map(|(_, leaf)| leaf));
        old.extend(dirty.nodes.iter().filter_map(|lineage| state.nodes.get(lineage)).map(|n| n.leaf));
        old.extend(versions.keys().map(|p| place(&pages.versions, p)));
        old.extend(node_pages.keys().map(|p| place(&pages.nodes, p)));
        old.retain(|b| !b.is_none());
        let record = alloc.capture();
        Capture {
            dirty,
            spans,
            versions,
            nodes,
            node_pages,
            next_lineage: state.next_lineage,
            catalogue_seq: state.catalogue_seq,
            pending: Queue::default(),
            freed: Vec::new(),
            births,
            holes,
            record,
            old,
            leaves,
        }
    }

    fn is_empty(&self) -> bool {
        let d = &self.dirty;
        let same = self.record.dirty.is_empty() && self.record.lost.is_empty();
        let clean = same && d.version_pages.is_empty() && d.spans.is_empty() && d.node_pages.is_empty();
        clean && d.gone.is_empty() && self.pending.is_empty()
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Writes a checkpoint and switches to it. Only the leader of a turn (or the opening) calls this.
    pub(crate) async fn checkpoint(&self, boot: Option<Boot>) -> Result<(), EngineError> {
        self.settle_groups().await;
        let need = self.checkpoint_need();
        let mut capture = {
            let (mut state, mut room) = (self.state.borrow_mut(), self.room.borrow_mut());
            Capture::take(&mut state, &self.pages.borrow(), &mut room.alloc, self.id)
        };
        let tail = {
            let mut log = self.log.borrow_mut();
            capture.pending = std::mem::take(&mut log.pending);
            capture.freed = std::mem::take(&mut log.freed);
            log.captured = capture.pending.len();
            std::mem::take(&mut log.tail)
        };
        let logged = self.log.borrow().pos != self.superblock.get().wal_first_pos;
        if capture.is_empty() && !logged && boot.is_none() {
            self.state.borrow_mut().dirty = capture.dirty;
            self.room.borrow_mut().alloc.written();
            return Ok(());
        }
        {
            let mut state = self.state.borrow_mut();
            state.checkpointing = true;
            state.cache.captured_spans = capture.dirty.spans.clone();
            state.cache.captured_pages = capture.versions.keys().copied().collect();
        }
        self.room.borrow_mut().promised = need;
        let mut plan = Plan::default();
        let mut recorded = usize::MAX;
        let written = self.write_checkpoint(&mut capture, &mut plan, &mut recorded).await;
        self.room.borrow_mut().promised = 0;
        let result = match written {
            Ok(written) => match self.switch(written.root, boot).await {
                Ok(()) => {
                    let freed = self.install(capture, written);
                    self.end_checkpoint();
                    self.make_reusable(freed).await;
                    return Ok(());
                }
                Err(e) => Err(e),
            },
            Err(EngineError::NoSpace) => {
                self.undo(capture, &plan.placed, recorded, tail);
                self.end_checkpoint();
                return Err(EngineError::NoSpace);
            }
            Err(e) => Err(e),
        };
        self.fence();
        result
    }

    fn end_checkpoint(&self) {
        self.state.borrow_mut().checkpoint_ended(!R::KEEP_DIRTY);
        let most = self.groups_max();
        self.room.borrow_mut().alloc.evict(most);
    }

    /// Gives a blob its place.
    pub(crate) async fn place(&self, bytes: Vec<u8>, plan: &mut Plan) -> Result<BlobRef, EngineError> {
        let blocks = (bytes.len() as u64).div_ceil(BLOCK) + 1;
        loop {
            let (placed, reachable) = {
                let mut guard = self.room.borrow_mut();
                let room = &mut *guard;
                (room.blobs.place(&mut room.alloc, self.id, &bytes, plan), room.alloc.reachable())
            };
            if let Some(blob) = placed {
                return Ok(blob);
            }
            let more = self.reach(reachable.max(blocks) + 1).await;
            if !more && self.room.borrow().alloc.reachable() <= reachable {
                return Err(EngineError::NoSpace);
            }
        }
    }

    /// Writes all parts; `recorded` tells how many of the plan the map of free blocks records, once others
    /// follow.
    async fn write_checkpoint(
        &self,
        c: &mut Capture,
        plan: &mut Plan,
        recorded: &mut usize,
    ) -> Result<Written, EngineError> {
        self.know_lists(c).await;
        let per_page = self.state.borrow().versions_per_page();
        let mut spans = Vec::new();
        for batch in c.spans.chunks(BATCH) {
            for d in batch {
                let bytes = d.map.encode(self.id, (d.key.0, d.key.1, d.span as u32));
                let blob = self.place(bytes, plan).await?;
                spans.push(blob);
                if let Some(Some(line)) =
                    c.versions.get_mut(&(d.slot / per_page)).map(|p| &mut p[d.slot % per_page])
                {
                    line.spans[d.span] = blob;
                }
            }
            plan.write(&self.disk).await?;
        }
        let mut nodes = BTreeMap::new();
        for (lineage, bytes) in std::mem::take(&mut c.nodes) {
            nodes.insert(lineage, self.place(bytes, plan).await?);
        }
        let mut version_pages = BTreeMap::new();
        for (number, lines) in &c.versions {
            let empty = lines.iter().all(|line| line.is_none());
            let page = match empty {
                true => BlobRef::default(),
                false => self.place(self.version_page(*number, lines), plan).await?,
            };
            version_pages.insert(*number, page);
        }
        let mut node_pages = BTreeMap::new();
        for (number, entries) in &c.node_pages {
            let bytes = page(self.id, Type::NodePage, *number, |w| {
                entries.iter().for_each(|(lineage, old)| nodes.get(lineage).unwrap_or(old).put(w));
            });
            node_pages.insert(*number, self.place(bytes, plan).await?);
        }
        *recorded = plan.placed.len();
        let stands = plan.placed.clone();
        let bits = self.write_bits(&c.record, &stands, &c.old, plan).await?;
        let root = self.root_page(c, &version_pages, &node_pages, &bits.pages);
        let root = self.place_apart(root, plan).await?;
        plan.write(&self.disk).await?;
        Ok(Written { spans, nodes, version_pages, node_pages, bits, root, recorded: stands })
    }

    /// Learns the extents of all blobs that go: they are freed without waiting. One whose list cannot be read
    /// keeps its blocks.
    async fn know_lists(&self, c: &mut Capture) {
        let mut known = Vec::new();
        for blob in std::mem::take(&mut c.old) {
            match self.runs_of(blob).await {
                Ok(_) => known.push(blob),
                Err(error) => tracing::warn!(%error, "the blocks of an old map cannot be found, nor freed"),
            }
        }
        c.old = known;
    }

    fn version_page(&self, number: usize, lines: &[Option<Line>]) -> Vec<u8> {
        let spans = self.state.borrow().spans_per_object();
        page(self.id, Type::VersionPage, number, |w| {
            for line in lines {
                match line {
                    Some(r) => {
                        let first = r.lineage | u64::from(r.owned) << LINEAGE_BITS;
                        let fixed = [first, r.index, r.write_version, r.generation, r.digest];
                        fixed.iter().for_each(|v| w.u64(*v));
                        r.spans.iter().for_each(|s| s.put(w));
                    }
                    None => w.bytes(&vec![0; crate::state::VERSION_FIXED + 16 * spans]),
                }
            }
        })
    }

    fn root_page(
        &self,
        c: &Capture,
        versions: &BTreeMap<usize, BlobRef>,
        nodes: &BTreeMap<usize, BlobRef>,
        groups: &BTreeMap<usize, BlobRef>,
    ) -> Vec<u8> {
        let pages = self.pages.borrow();
        let merged = |old: &[BlobRef], new: &BTreeMap<usize, BlobRef>| -> Vec<BlobRef> {
            let len = new.last_key_value().map_or(0, |(n, _)| n + 1).max(old.len());
            (0..len).map(|i| new.get(&i).or(old.get(i)).copied().unwrap_or_default()).collect()
        };
        let (versions, nodes) = (merged(&pages.versions, versions), merged(&pages.nodes, nodes));
        let groups = merged(&pages.groups, groups);
        let mut w = begin(Type::Root, self.id);
        w.u64(c.next_lineage);
        w.u32(versions.len() as u32);
        w.u32(nodes.len() as u32);
        versions.iter().chain(&nodes).for_each(|p| p.put(&mut w));
        w.u64(c.catalogue_seq);
        w.u32(groups.len() as u32);
        w.u32(0);
        groups.iter().for_each(|p| p.put(&mut w));
        seal(w)
    }

    /// Makes everything so far durable, then the superblocks: two copies, a flush, the other two, a flush.
    async fn switch(&self, root: BlobRef, boot: Option<Boot>) -> Result<(), EngineError> {
        if R::FLUSH_BEFORE_SWITCH {
            self.disk.flush().await?;
        }
        let old = self.superblock.get();
        let sequence = self.max_sequence.get() + 1;
        let (boot_epoch, chain) = {
            let mut log = self.log.borrow_mut();
            if let Some(b) = boot.filter(|_| R::BOOT_EPOCH) {
                let mut noise = [0; 16];
                noise[..8].copy_from_slice(&b.epoch.to_le_bytes());
                noise[8..].copy_from_slice(&b.nonce.to_le_bytes());
                log.hash = hash64(log.hash, &noise);
                (b.epoch, log.hash)
            } else {
                (old.boot_epoch, log.hash)
            }
        };
        let (wal_first_seq, wal_first_pos) = {
            let log = self.log.borrow();
            (log.next_seq, log.pos)
        };
        let (incompat, ro_compat) = (old.incompat | features::INCOMPAT, old.ro_compat | features::RO_COMPAT);
        let at = Superblock { root, wal_first_seq, wal_first_pos, ..old };
        let new = Superblock { sequence, incompat, ro_compat, boot_epoch, chain, ..at };
        self.max_sequence.set(sequence);
        write_superblocks(&self.disk, &new).await?;
        self.superblock.set(new);
        let mut log = self.log.borrow_mut();
        log.durable_upto = wal_first_seq - 1;
        log.captured = 0;
        Ok(())
    }

    /// The switch is durable: the state learns its new leaves, what they replace is free. Gives the data
    /// blocks that are reusable now.
    fn install(&self, c: Capture, written: Written) -> Vec<(Run, Cause)> {
        let mut state = self.state.borrow_mut();
        let mut late = Vec::new();
        for (d, new) in c.spans.iter().zip(&written.spans) {
            match state.versions.get_mut(d.slot).and_then(|v| v.as_mut()).filter(|v| v.birth == d.birth) {
                Some(v) => v.row_mut().leaves[d.span] = *new,
                None => late.push(*new),
            }
        }
        for &(slot, birth, span) in &c.holes {
            if let Some(v) =
                state.versions.get_mut(slot).and_then(|v| v.as_mut()).filter(|v| v.birth == birth)
            {
                v.row_mut().leaves[span] = BlobRef::default();
            }
        }
        for (lineage, new) in written.nodes {
            match state.nodes.get_mut(&lineage) {
                Some(n) => n.leaf = new,
                None => late.push(new),
            }
        }
        // What went meanwhile with what it belonged to is free by this checkpoint already.
        let old: BTreeSet<u64> = c.old.iter().map(|b| b.block).collect();
        state.dirty.gone.retain(|b| !old.contains(&b.block));
        state.dirty.gone.extend(late);
        let mut apart = self.install_bits(&written.bits);
        let mut pages = self.pages.borrow_mut();
        for (number, new) in written.version_pages {
            replace_page(&mut pages.versions, number, new);
        }
        for (number, new) in written.node_pages {
            replace_page(&mut pages.nodes, number, new);
        }
        for (number, new) in written.bits.pages {
            apart.push(replace_page(&mut pages.groups, number, new));
        }
        apart.push(std::mem::replace(&mut pages.root, written.root));
        let mut guard = self.room.borrow_mut();
        let Room { alloc, blobs, .. } = &mut *guard;
        for blob in written.recorded {
            blobs.runs(blob).into_iter().for_each(|run| alloc.recorded(run));
        }
        c.old.into_iter().for_each(|b| blobs.free(b, |run| alloc.retired(run)));
        let apart = apart.into_iter().filter(|b| !b.is_none());
        apart.for_each(|b| blobs.free(b, |run| alloc.free_apart(run)));
        c.freed
    }

    /// The checkpoint found no room: everything is as if it had not begun. The first `recorded` blobs were to
    /// be recorded by the map of free blocks.
    fn undo(&self, c: Capture, placed: &[BlobRef], recorded: usize, tail: u64) {
        let mut guard = self.room.borrow_mut();
        let Room { alloc, blobs, .. } = &mut *guard;
        for (n, blob) in placed.iter().enumerate() {
            let apart = n >= recorded;
            blobs.free(*blob, |run| if apart { alloc.free_apart(run) } else { alloc.release(run) });
        }
        alloc.uncapture(&c.record);
        let mut state = self.state.borrow_mut();
        let still = |slot: usize| {
            let birth = state.versions.get(slot).and_then(|v| v.as_ref()).map(|v| v.birth);
            birth.is_some() && birth == c.births.get(&slot).copied()
        };
        let spans: Vec<_> = c.dirty.spans.iter().copied().filter(|(slot, _)| still(*slot)).collect();
        let orphans: Vec<BlobRef> =
            c.leaves.iter().filter(|(slot, _)| !still(*slot)).map(|(_, leaf)| *leaf).collect();
        state.dirty.spans.extend(spans);
        state.dirty.version_pages.extend(c.dirty.version_pages);
        let nodes: Vec<u64> = c.dirty.nodes.into_iter().filter(|l| state.nodes.contains_key(l)).collect();
        state.dirty.nodes.extend(nodes);
        state.dirty.node_pages.extend(c.dirty.node_pages);
        state.dirty.node_blocks += c.dirty.node_blocks;
        state.dirty.gone.extend(c.dirty.gone);
        // What a version left to another one meanwhile, without the old place of its map.
        for leaf in orphans {
            if !state.dirty.gone.contains(&leaf) {
                state.dirty.gone.push(leaf);
            }
        }
        let mut log = self.log.borrow_mut();
        log.captured = 0;
        log.restore(c.pending, c.freed);
        log.tail += tail;
    }
}

fn replace_page(pages: &mut Vec<BlobRef>, number: usize, new: BlobRef) -> BlobRef {
    if pages.len() <= number {
        pages.resize(number + 1, BlobRef::default());
    }
    std::mem::replace(&mut pages[number], new)
}

/// Gives every copy what two of them agree on. Without this, the next switch would overwrite the only two
/// copies of a superblock whose own switch was cut off after its first pair, and what two copies agree on
/// would be the older one, whose checkpoint may be overwritten already.
pub(crate) async fn repair_superblocks<D: Disk>(
    disk: &D,
    sb: &Superblock,
    stale: [bool; COPIES],
) -> Result<(), DiskError> {
    let at = offsets(sb.disk_bytes);
    let writes: Vec<_> = (0..COPIES).filter(|i| stale[*i]).map(|i| disk.write(at[i], sb.encode(i))).collect();
    if writes.is_empty() {
        return Ok(());
    }
    join_all(writes).await.into_iter().try_for_each(|(r, _)| r)?;
    disk.flush().await
}

/// Copies 0 and 2, a flush, copies 1 and 3, a flush: at every moment two copies agree.
pub(crate) async fn write_superblocks<D: Disk>(disk: &D, sb: &Superblock) -> Result<(), DiskError> {
    let at = offsets(sb.disk_bytes);
    for pair in [[0, 2], [1, 3]] {
        let writes = pair.iter().map(|i| disk.write(at[*i] / BLOCK * BLOCK, sb.encode(*i))).collect();
        join_all(writes).await.into_iter().try_for_each(|(r, _)| r)?;
        disk.flush().await?;
    }
    Ok(())
}
