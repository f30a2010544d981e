//! The checkpoint: what changed since the last one is written to fresh blocks, then the superblocks switch to
//! it.
//!
//! The state of one instant is captured without waiting (maps are shared and copied when written to), so
//! writes go on meanwhile; commits wait. The cost is the changed spans, their table pages and the list of
//! pages, never the whole.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::alloc::Run;
use crate::blob::Plan;
use crate::codec::{BlobRef, Identity, Type, Writer, begin, hash64, seal};
use crate::engine::Engine;
use crate::layout::BLOCK;
use crate::map::SpanMap;
use crate::state::{Cause, Dirty, Node, NodeKind, Span, State};
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

struct Row {
    lineage: u64,
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
    versions: BTreeMap<usize, Vec<Option<Row>>>,
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
}

/// Where the parts of a checkpoint stand.
struct Written {
    spans: Vec<BlobRef>,
    nodes: BTreeMap<u64, BlobRef>,
    version_pages: BTreeMap<usize, BlobRef>,
    node_pages: BTreeMap<usize, BlobRef>,
    root: BlobRef,
}

fn row(state: &State, slot: usize) -> Option<Row> {
    let v = state.versions.get(slot)?.as_ref()?;
    let place = |(span, leaf): (&Span, &BlobRef)| match span {
        Span::Inherit => INHERIT,
        Span::Own(None) => HOLES,
        Span::Own(Some(_)) => *leaf,
    };
    let spans = v.spans.iter().zip(&v.leaves).map(place).collect();
    let (write_version, generation, digest) = (v.write_version, v.generation, v.digest);
    Some(Row { lineage: v.lineage, index: v.index, write_version, generation, digest, spans })
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

fn page(of: Identity, kind: Type, number: usize, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = begin(kind, of);
    w.u32(number as u32);
    w.u32(0);
    fill(&mut w);
    seal(w)
}

impl Capture {
    fn take(state: &mut State, of: Identity) -> Capture {
        let dirty = std::mem::take(&mut state.dirty);
        let per_page = state.versions_per_page();
        let mut spans = Vec::new();
        let (mut births, mut holes) = (BTreeMap::new(), Vec::new());
        for &(slot, span) in &dirty.spans {
            let v = state.version(slot);
            births.insert(slot, v.birth);
            if let Span::Own(Some(map)) = &v.spans[span] {
                let key = (v.lineage, v.index);
                spans.push(DirtySpan { slot, birth: v.birth, span, key, map: map.clone() });
            } else {
                holes.push((slot, v.birth, span));
            }
        }
        let stale = dirty.spans.iter().map(|(slot, _)| slot).chain(&dirty.version_pages);
        let stale: BTreeSet<usize> = stale.map(|slot| slot / per_page).collect();
        let rows = |p: usize| (p * per_page..(p + 1) * per_page).map(|slot| row(state, slot)).collect();
        let versions = stale.into_iter().map(|p| (p, rows(p))).collect();
        let leaf = |lineage: &u64| state.nodes.get(lineage).map(|n| (*lineage, node_leaf(of, *lineage, n)));
        let nodes = dirty.nodes.iter().filter_map(leaf).collect();
        let stale: BTreeSet<usize> = dirty.node_pages.iter().map(|slot| slot / NODES_PER_PAGE).collect();
        let entry = |slot: usize| {
            let lineage = state.node_slots.get(slot).copied().unwrap_or(0);
            (lineage, state.nodes.get(&lineage).map_or(BlobRef::default(), |n| n.leaf))
        };
        let entries = |p: usize| (p * NODES_PER_PAGE..(p + 1) * NODES_PER_PAGE).map(entry).collect();
        let node_pages = stale.into_iter().map(|p| (p, entries(p))).collect();
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
        }
    }

    fn is_empty(&self) -> bool {
        let d = &self.dirty;
        let clean = d.version_pages.is_empty() && d.spans.is_empty() && d.node_pages.is_empty();
        clean && d.gone.is_empty() && self.pending.is_empty()
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Writes a checkpoint and switches to it. Only the leader of a turn (or the opening) calls this.
    pub(crate) async fn checkpoint(&self, boot: Option<Boot>) -> Result<(), EngineError> {
        let need = self.checkpoint_need();
        let mut capture = Capture::take(&mut self.state.borrow_mut(), self.id);
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
            return Ok(());
        }
        self.state.borrow_mut().checkpointing = true;
        self.room.borrow_mut().promised = need;
        let mut plan = Plan::default();
        let written = self.write_checkpoint(&mut capture, &mut plan).await;
        self.room.borrow_mut().promised = 0;
        let result = match written {
            Ok(written) => match self.switch(written.root, boot).await {
                Ok(()) => {
                    let freed = self.install(capture, written);
                    self.state.borrow_mut().checkpointing = false;
                    self.make_reusable(freed).await;
                    return Ok(());
                }
                Err(e) => Err(e),
            },
            Err(EngineError::NoSpace) => {
                self.undo(capture, &plan, tail);
                self.state.borrow_mut().checkpointing = false;
                return Err(EngineError::NoSpace);
            }
            Err(e) => Err(e),
        };
        self.fence();
        result
    }

    fn place(&self, bytes: Vec<u8>, plan: &mut Plan) -> Result<BlobRef, EngineError> {
        let mut guard = self.room.borrow_mut();
        let room = &mut *guard;
        room.blobs.place(&mut room.alloc, self.id, bytes, plan).ok_or(EngineError::NoSpace)
    }

    async fn write_checkpoint(&self, c: &mut Capture, plan: &mut Plan) -> Result<Written, EngineError> {
        let per_page = self.state.borrow().versions_per_page();
        let mut spans = Vec::new();
        for batch in c.spans.chunks(BATCH) {
            for d in batch {
                let bytes = d.map.encode(self.id, (d.key.0, d.key.1, d.span as u32));
                let blob = self.place(bytes, plan)?;
                spans.push(blob);
                if let Some(Some(row)) =
                    c.versions.get_mut(&(d.slot / per_page)).map(|p| &mut p[d.slot % per_page])
                {
                    row.spans[d.span] = blob;
                }
            }
            plan.write(&self.disk).await?;
        }
        let mut nodes = BTreeMap::new();
        for (lineage, bytes) in std::mem::take(&mut c.nodes) {
            nodes.insert(lineage, self.place(bytes, plan)?);
        }
        let mut version_pages = BTreeMap::new();
        for (number, rows) in &c.versions {
            version_pages.insert(*number, self.place(self.version_page(*number, rows), plan)?);
        }
        let mut node_pages = BTreeMap::new();
        for (number, entries) in &c.node_pages {
            let bytes = page(self.id, Type::NodePage, *number, |w| {
                entries.iter().for_each(|(lineage, old)| nodes.get(lineage).unwrap_or(old).put(w));
            });
            node_pages.insert(*number, self.place(bytes, plan)?);
        }
        let root = self.place(self.root_page(c, &version_pages, &node_pages), plan)?;
        plan.write(&self.disk).await?;
        Ok(Written { spans, nodes, version_pages, node_pages, root })
    }

    fn version_page(&self, number: usize, rows: &[Option<Row>]) -> Vec<u8> {
        let spans = self.state.borrow().spans_per_object();
        page(self.id, Type::VersionPage, number, |w| {
            for row in rows {
                match row {
                    Some(r) => {
                        let fixed = [r.lineage, r.index, r.write_version, r.generation, r.digest];
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
    ) -> Vec<u8> {
        let pages = self.pages.borrow();
        let merged = |old: &[BlobRef], new: &BTreeMap<usize, BlobRef>| -> Vec<BlobRef> {
            let len = new.last_key_value().map_or(0, |(n, _)| n + 1).max(old.len());
            (0..len).map(|i| new.get(&i).or(old.get(i)).copied().unwrap_or_default()).collect()
        };
        let (versions, nodes) = (merged(&pages.versions, versions), merged(&pages.nodes, nodes));
        let mut w = begin(Type::Root, self.id);
        w.u64(c.next_lineage);
        w.u32(versions.len() as u32);
        w.u32(nodes.len() as u32);
        versions.iter().chain(&nodes).for_each(|p| p.put(&mut w));
        w.u64(c.catalogue_seq);
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
        let mut old = c.dirty.gone;
        let mut late = Vec::new();
        for (d, new) in c.spans.iter().zip(&written.spans) {
            match state.versions.get_mut(d.slot).and_then(|v| v.as_mut()).filter(|v| v.birth == d.birth) {
                Some(v) => old.push(std::mem::replace(&mut v.leaves[d.span], *new)),
                None => late.push(*new),
            }
        }
        for &(slot, birth, span) in &c.holes {
            if let Some(v) =
                state.versions.get_mut(slot).and_then(|v| v.as_mut()).filter(|v| v.birth == birth)
            {
                old.push(std::mem::take(&mut v.leaves[span]));
            }
        }
        for (lineage, new) in written.nodes {
            match state.nodes.get_mut(&lineage) {
                Some(n) => old.push(std::mem::replace(&mut n.leaf, new)),
                None => late.push(new),
            }
        }
        state.dirty.gone.extend(late);
        let mut pages = self.pages.borrow_mut();
        for (number, new) in written.version_pages {
            old.push(replace_page(&mut pages.versions, number, new));
        }
        for (number, new) in written.node_pages {
            old.push(replace_page(&mut pages.nodes, number, new));
        }
        old.push(std::mem::replace(&mut pages.root, written.root));
        let mut guard = self.room.borrow_mut();
        let room = &mut *guard;
        old.into_iter().filter(|b| !b.is_none()).for_each(|b| room.blobs.free(&mut room.alloc, b));
        c.freed
    }

    /// The checkpoint found no room: everything is as if it had not begun.
    fn undo(&self, c: Capture, plan: &Plan, tail: u64) {
        let mut guard = self.room.borrow_mut();
        let room = &mut *guard;
        plan.placed.iter().for_each(|b| room.blobs.free(&mut room.alloc, *b));
        let mut state = self.state.borrow_mut();
        let still = |slot: usize| {
            let birth = state.versions.get(slot).and_then(|v| v.as_ref()).map(|v| v.birth);
            birth.is_some() && birth == c.births.get(&slot).copied()
        };
        let spans: Vec<_> = c.dirty.spans.iter().copied().filter(|(slot, _)| still(*slot)).collect();
        state.dirty.spans.extend(spans);
        state.dirty.version_pages.extend(c.dirty.version_pages);
        let nodes: Vec<u64> = c.dirty.nodes.into_iter().filter(|l| state.nodes.contains_key(l)).collect();
        state.dirty.nodes.extend(nodes);
        state.dirty.node_pages.extend(c.dirty.node_pages);
        state.dirty.node_blocks += c.dirty.node_blocks;
        state.dirty.gone.extend(c.dirty.gone);
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
