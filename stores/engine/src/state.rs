//! The state in memory: lineages (the catalogue), object versions and their maps, and what of it is not
//! checkpointed.
//!
//! A *lineage* is a volume's head, a frozen snapshot, or a nameless ghost; lineages form trees. An *object
//! version* is what one lineage holds of one object; each of its spans is its own map or inherits the nearest
//! older version's. A data block is owned by the version whose parent does not map the same disk block at the
//! same place: the versions that share a block are always connected in the tree, so no reference counts are
//! needed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use smallvec::SmallVec;
use uuid::Uuid;

use crate::alloc::Run;
use crate::cache::Cache;
use crate::codec::{BlobRef, Malformed};
use crate::layout::{BLOCK, Layout, SPAN_BLOCKS_MAX, VOLUME_MAX};
use crate::load::Stored;
use crate::map::SpanMap;

/// What a lineage is to the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    Volume,
    Snapshot,
    /// Not a lineage: a key and a value that every disk of the store keeps.
    Record,
    /// Deleted; stays while more than one child shares its blocks, or until its space is taken back.
    Ghost,
}

/// A lineage. `parent` 0: none.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) parent: u64,
    /// Number of the first root of the tree that it belongs to; 0 for records.
    pub(crate) tree: u64,
    pub(crate) kind: NodeKind,
    pub(crate) id: Uuid,
    pub(crate) of: Uuid,
    pub(crate) bytes: u64,
    pub(crate) label: Rc<[u8]>,
    pub(crate) label_version: u64,
    pub(crate) children: Vec<u64>,
    /// Data blocks that its versions own.
    pub(crate) owned: u64,
    /// Place in the node table, and where its leaf stands since the last checkpoint.
    pub(crate) slot: usize,
    pub(crate) leaf: BlobRef,
}

impl Node {
    /// A volume or snapshot.
    pub(crate) fn is_named(&self) -> bool {
        matches!(self.kind, NodeKind::Volume | NodeKind::Snapshot)
    }

    /// Anything that can hold data.
    pub(crate) fn is_lineage(&self) -> bool {
        self.kind != NodeKind::Record
    }
}

/// A span of an object version.
#[derive(Clone, Debug)]
pub(crate) enum Span {
    /// As in the parent version; without a parent: holes.
    Inherit,
    /// Its own: holes only.
    Holes,
    /// Its own map, which stands where the leaf says and is not in memory.
    Stored,
    /// Its own map.
    Here(Rc<SpanMap>),
}

/// What of a version is in memory only while it is needed.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) spans: Box<[Span]>,
    /// Where each own, non-empty span stands since the last checkpoint.
    pub(crate) leaves: Box<[BlobRef]>,
}

/// What one lineage holds of one object.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) lineage: u64,
    pub(crate) index: u64,
    /// Tells versions apart that had the same slot one after the other.
    pub(crate) birth: u64,
    /// Slot of the nearest version of the same object in an older lineage.
    parent: Option<u32>,
    /// Data blocks that it owns.
    pub(crate) owned: u32,
    /// +1 with each operation on it.
    pub(crate) write_version: u64,
    /// Configuration generation of the last write.
    pub(crate) generation: u64,
    /// Digest of what it reads as: see [`crate::digest`].
    pub(crate) digest: u64,
    /// `None`: only on the disk, in its page of the version table. The rows of a page come and go together.
    pub(crate) row: Option<Box<Row>>,
}

impl Version {
    pub(crate) fn parent(&self) -> Option<usize> {
        self.parent.map(|slot| slot as usize)
    }

    pub(crate) fn set_parent(&mut self, slot: Option<usize>) {
        self.parent = slot.map(|slot| slot as u32);
    }

    pub(crate) fn row(&self) -> &Row {
        self.row.as_ref().expect("the row was loaded before its version is used")
    }

    pub(crate) fn row_mut(&mut self) -> &mut Row {
        self.row.as_mut().expect("the row was loaded before its version is used")
    }
}

/// Why a block is no longer needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Overwritten,
    /// Zeroed or discarded: the medium may have it back.
    GivenBack,
    /// With the volume or snapshot; the medium may have it back.
    Deleted,
    /// It does not hold what was written there: better not used again.
    Bad,
}

/// Blocks that an operation set free.
#[derive(Default, Debug)]
pub(crate) struct Freed(pub(crate) SmallVec<[(Run, Cause); 1]>);

impl Freed {
    pub(crate) fn push(&mut self, phys: u64, cause: Cause) {
        match self.0.last_mut() {
            Some((run, c)) if *c == cause && run.phys + run.len == phys => run.len += 1,
            _ => self.0.push((Run { phys, len: 1 }, cause)),
        }
    }
}

/// What differs from the last checkpoint.
#[derive(Default, Debug)]
pub(crate) struct Dirty {
    /// `(version slot, span)`: spans that may have no valid leaf.
    pub(crate) spans: BTreeSet<(usize, usize)>,
    /// Slots of versions whose table page is stale.
    pub(crate) version_pages: BTreeSet<usize>,
    /// Lineages whose leaf is stale.
    pub(crate) nodes: BTreeSet<u64>,
    pub(crate) node_pages: BTreeSet<usize>,
    /// At least the blocks that the leaves of `nodes` will take.
    pub(crate) node_blocks: u64,
    /// Leaves of the last checkpoint that nothing refers to any more.
    pub(crate) gone: Vec<BlobRef>,
}

impl Dirty {
    /// Whether a page of the version table, `slots` of them, differs from what stands on the disk.
    pub(crate) fn has_page(&self, slots: std::ops::Range<usize>) -> bool {
        let spans = (slots.start, 0)..(slots.end, 0);
        self.version_pages.range(slots).next().is_some() || self.spans.range(spans).next().is_some()
    }
}

/// Lineages are below this number: in origins, the era stands above it.
pub(crate) const LINEAGES: u64 = 1 << LINEAGE_BITS;
/// Bits of a lineage in an origin.
pub(crate) const LINEAGE_BITS: u32 = 40;
/// Bytes of a version in its table page, without and per span.
pub(crate) const VERSION_FIXED: usize = 40;
/// Bytes of a page before its entries.
pub(crate) const PAGE_HEAD: usize = crate::codec::HEADER + 8;

/// Slot and birth of a version, or that there is none.
type Remembered = Option<(usize, u64)>;

/// Lineages that a lookup walks before it asks what it remembers, and how much it remembers.
const FAR: usize = 4;
const FAR_MAX: usize = 1 << 16;

pub(crate) struct State {
    pub(crate) object_blocks: u64,
    pub(crate) span_blocks: usize,
    pub(crate) disk_blocks: u64,
    pub(crate) ghosts: bool,
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) names: BTreeMap<Uuid, u64>,
    pub(crate) records: BTreeMap<Uuid, u64>,
    /// `(tree, lineage)`.
    pub(crate) trees: BTreeSet<(u64, u64)>,
    /// Node table: lineage in each slot, 0 where free.
    pub(crate) node_slots: Vec<u64>,
    free_node_slots: Vec<usize>,
    pub(crate) versions: Vec<Option<Version>>,
    free_versions: BTreeSet<u32>,
    /// Pages of the version table whose rows are in memory.
    pub(crate) pages_here: Vec<bool>,
    pub(crate) by_key: BTreeMap<(u64, u64), u32>,
    /// Ghosts.
    pub(crate) dead: BTreeSet<u64>,
    /// Ghosts that lost a child, or have just died, with more than one child left: they may hold blocks for
    /// nobody.
    pub(crate) to_trim: BTreeSet<u64>,
    pub(crate) next_lineage: u64,
    /// Operations of the catalogue that were applied since the disk was formatted.
    pub(crate) catalogue_seq: u64,
    births: u64,
    /// What [`State::lookup`] found far up the tree: `(slot, birth)`, or that there is nothing.
    far: RefCell<BTreeMap<(u64, u64), Remembered>>,
    /// Data blocks in use.
    pub(crate) mapped: u64,
    /// A checkpoint of an earlier state is being written.
    pub(crate) checkpointing: bool,
    pub(crate) dirty: Dirty,
    pub(crate) cache: Cache,
}

impl State {
    pub(crate) fn new(layout: &Layout, disk_blocks: u64, ghosts: bool) -> State {
        State {
            object_blocks: u64::from(layout.object_blocks),
            span_blocks: layout.object_blocks.min(SPAN_BLOCKS_MAX) as usize,
            disk_blocks,
            ghosts,
            nodes: BTreeMap::new(),
            names: BTreeMap::new(),
            records: BTreeMap::new(),
            trees: BTreeSet::new(),
            node_slots: Vec::new(),
            free_node_slots: Vec::new(),
            versions: Vec::new(),
            free_versions: BTreeSet::new(),
            pages_here: Vec::new(),
            by_key: BTreeMap::new(),
            dead: BTreeSet::new(),
            to_trim: BTreeSet::new(),
            next_lineage: 1,
            catalogue_seq: 0,
            births: 0,
            far: RefCell::default(),
            mapped: 0,
            checkpointing: false,
            dirty: Dirty::default(),
            cache: Cache::default(),
        }
    }

    pub(crate) fn spans_per_object(&self) -> usize {
        self.object_blocks as usize / self.span_blocks
    }

    /// Number of the last object of the largest volume.
    pub(crate) fn last_object(&self) -> u64 {
        VOLUME_MAX / BLOCK / self.object_blocks
    }

    /// Versions in one 4 KiB page of the version table.
    pub(crate) fn versions_per_page(&self) -> usize {
        (4096 - PAGE_HEAD) / (VERSION_FIXED + 16 * self.spans_per_object())
    }

    pub(crate) fn version(&self, slot: usize) -> &Version {
        self.versions[slot].as_ref().expect("slots in use are never handed out otherwise")
    }

    pub(crate) fn version_mut(&mut self, slot: usize) -> &mut Version {
        self.versions[slot].as_mut().expect("slots in use are never handed out otherwise")
    }

    /// The version that a lineage itself has of an object.
    pub(crate) fn slot(&self, lineage: u64, index: u64) -> Option<usize> {
        self.by_key.get(&(lineage, index)).map(|slot| *slot as usize)
    }

    /// The slots of all versions, in the order of their keys.
    pub(crate) fn slots(&self) -> impl Iterator<Item = usize> + '_ {
        self.by_key.values().map(|slot| *slot as usize)
    }

    /// The version that a lineage sees of an object: its own or the nearest older one. What was found far up
    /// is remembered: older lineages are frozen and never get a version of their own, so it stays the nearest
    /// as long as it exists (deletions hand it down, in its slot), and a version of the lineage itself is
    /// found before.
    pub(crate) fn lookup(&self, lineage: u64, index: u64) -> Option<usize> {
        let mut at = lineage;
        for depth in 0.. {
            if at == 0 {
                self.remember(depth, (lineage, index), None);
                return None;
            }
            if let Some(slot) = self.slot(at, index) {
                self.remember(depth, (lineage, index), Some(slot));
                return Some(slot);
            }
            if depth == FAR {
                match self.far.borrow().get(&(lineage, index)) {
                    Some(None) => return None,
                    Some(Some((slot, birth))) if self.is_born(*slot, *birth) => return Some(*slot),
                    _ => {}
                }
            }
            at = self.nodes.get(&at)?.parent;
        }
        None
    }

    /// Forgets what was found far up: versions came between or went.
    pub(crate) fn forget_far(&self) {
        self.far.borrow_mut().clear();
    }

    fn is_born(&self, slot: usize, birth: u64) -> bool {
        self.versions.get(slot).and_then(|v| v.as_ref()).is_some_and(|v| v.birth == birth)
    }

    fn remember(&self, depth: usize, key: (u64, u64), slot: Option<usize>) {
        if depth > FAR {
            let mut far = self.far.borrow_mut();
            if far.len() >= FAR_MAX {
                far.clear();
            }
            far.insert(key, slot.map(|s| (s, self.version(s).birth)));
        }
    }

    /// The map that a version sees of a span; `None`: holes. All of it was loaded before.
    pub(crate) fn resolve(&self, slot: usize, span: usize) -> Option<&Rc<SpanMap>> {
        let mut at = Some(slot);
        while let Some(slot) = at {
            let v = self.version(slot);
            match &v.row().spans[span] {
                Span::Inherit => at = v.parent(),
                Span::Holes => return None,
                Span::Here(map) => {
                    map.touch();
                    return Some(map);
                }
                Span::Stored => unreachable!("maps are loaded before they are asked for"),
            }
        }
        None
    }

    /// What the parent version sees of a span.
    pub(crate) fn inherited(&self, slot: usize, span: usize) -> Option<&Rc<SpanMap>> {
        self.resolve(self.version(slot).parent()?, span)
    }

    /// Replaces a span; the dirty set is the caller's.
    pub(crate) fn set_span(&mut self, slot: usize, span: usize, new: Span) -> Span {
        let here = matches!(new, Span::Here(_));
        let v = self.version_mut(slot);
        let birth = v.birth;
        let old = std::mem::replace(&mut v.row_mut().spans[span], new);
        if matches!(old, Span::Here(_)) {
            self.cache.span_went();
        }
        if here {
            self.cache.span_came(slot, birth, span);
        }
        old
    }

    /// What a version owns became more and less, which the next checkpoint writes down.
    pub(crate) fn own_blocks(&mut self, slot: usize, more: u64, less: u64) {
        if more + less > 0 {
            self.dirty.version_pages.insert(slot);
        }
        let change = |n: u64| (n + more).saturating_sub(less);
        let v = self.version_mut(slot);
        v.owned = change(u64::from(v.owned)) as u32;
        let lineage = v.lineage;
        if let Some(node) = self.nodes.get_mut(&lineage) {
            node.owned = change(node.owned);
        }
        self.mapped = change(self.mapped);
    }

    /// Adds a node. Without a tree it gets its parent's, or becomes the first root of one. It must be younger than
    /// its parent: by that, every walk up the tree ends.
    pub(crate) fn add_node(&mut self, lineage: u64, mut node: Node) -> Result<(), Malformed> {
        if node.parent >= lineage || lineage >= LINEAGES || self.nodes.contains_key(&lineage) {
            return Err(Malformed);
        }
        let unknown = match node.kind {
            NodeKind::Volume | NodeKind::Snapshot => self.names.insert(node.id, lineage).is_none(),
            NodeKind::Ghost => self.dead.insert(lineage),
            NodeKind::Record => node.parent == 0 && self.records.insert(node.id, lineage).is_none(),
        };
        if !unknown {
            return Err(Malformed);
        }
        if node.tree == 0 && node.kind != NodeKind::Record {
            node.tree = self.nodes.get(&node.parent).map_or(lineage, |p| p.tree);
        }
        self.trees.insert((node.tree, lineage));
        if let Some(parent) = self.nodes.get_mut(&node.parent) {
            parent.children.push(lineage);
        } else if node.parent != 0 {
            return Err(Malformed);
        }
        self.node_slots[node.slot] = lineage;
        self.next_lineage = self.next_lineage.max(lineage.saturating_add(1));
        self.nodes.insert(lineage, node);
        self.touch_node(lineage);
        Ok(())
    }

    pub(crate) fn touch_node(&mut self, lineage: u64) {
        if let Some(n) = self.nodes.get(&lineage) {
            self.dirty.nodes.insert(lineage);
            self.dirty.node_pages.insert(n.slot);
            self.dirty.node_blocks += 3 + n.label.len() as u64 / 4096;
        }
    }

    pub(crate) fn new_node_slot(&mut self) -> usize {
        self.free_node_slots.pop().unwrap_or_else(|| {
            self.node_slots.push(0);
            self.node_slots.len() - 1
        })
    }

    /// What a node that was removed leaves behind: a free slot, and a leaf that goes with the next
    /// checkpoint.
    pub(crate) fn forget_node(&mut self, lineage: u64, node: &Node) {
        self.trees.remove(&(node.tree, lineage));
        self.dirty.nodes.remove(&lineage);
        if !node.leaf.is_none() {
            self.dirty.gone.push(node.leaf);
        }
        self.node_slots[node.slot] = 0;
        self.dirty.node_pages.insert(node.slot);
        self.free_node_slots.push(node.slot);
    }

    /// Before all is counted anew with [`State::own_blocks`].
    pub(crate) fn forget_owned(&mut self) {
        self.mapped = 0;
        self.versions.iter_mut().flatten().for_each(|v| v.owned = 0);
        self.nodes.values_mut().for_each(|n| n.owned = 0);
    }

    /// The slots of one page of the version table.
    pub(crate) fn page_slots(&self, page: usize) -> std::ops::Range<usize> {
        page * self.versions_per_page()..(page + 1) * self.versions_per_page()
    }

    /// A free slot whose page is in memory: a page is written as a whole.
    fn new_slot(&mut self) -> usize {
        let per_page = self.versions_per_page();
        let here = |slot: &&u32| self.pages_here[**slot as usize / per_page];
        if let Some(slot) = self.free_versions.iter().rev().take(8 * per_page).find(here).copied() {
            self.free_versions.remove(&slot);
            return slot as usize;
        }
        let page = self.versions.len().div_ceil(per_page);
        self.free_versions.extend(self.versions.len() as u32..(page * per_page) as u32);
        let slot = page * per_page;
        self.versions.resize_with((page + 1) * per_page, || None);
        self.free_versions.extend(slot as u32 + 1..self.versions.len() as u32);
        self.page_came(page);
        slot
    }

    /// The page that the next version would like to be in, if it must be loaded for that.
    pub(crate) fn next_page(&self) -> Option<usize> {
        let per_page = self.versions_per_page();
        let pages = self.free_versions.iter().rev().take(8 * per_page).map(|slot| *slot as usize / per_page);
        pages.into_iter().find(|page| !self.cache.bad_pages.contains(page)).filter(|p| !self.pages_here[*p])
    }

    /// The rows of a page are in memory now.
    pub(crate) fn page_came(&mut self, page: usize) {
        if self.pages_here.len() <= page {
            self.pages_here.resize(page + 1, false);
        }
        if !std::mem::replace(&mut self.pages_here[page], true) {
            self.cache.page_came(page);
        }
    }

    pub(crate) fn add_version(&mut self, lineage: u64, index: u64, parent: Option<usize>) -> usize {
        let spans = self.spans_per_object();
        self.births += 1;
        let row =
            Row { spans: vec![Span::Inherit; spans].into(), leaves: vec![BlobRef::default(); spans].into() };
        let mut version = Version {
            lineage,
            index,
            birth: self.births,
            parent: None,
            owned: 0,
            write_version: 0,
            generation: 0,
            digest: parent.map_or(0, |p| self.version(p).digest),
            row: Some(row.into()),
        };
        version.set_parent(parent);
        let slot = self.new_slot();
        self.versions[slot] = Some(version);
        self.by_key.insert((lineage, index), slot as u32);
        self.dirty.version_pages.insert(slot);
        slot
    }

    /// Places a version that was read from a checkpoint, without its row; all slots are placed before the
    /// free ones are known.
    pub(crate) fn place_version(&mut self, stored: &Stored) -> Result<(), Malformed> {
        let Stored { slot, key, owned, write_version, generation, digest, .. } = *stored;
        if self.versions.len() <= slot {
            self.versions.resize_with(slot + 1, || None);
        }
        self.births += 1;
        let (lineage, index) = key;
        let fresh = self.versions[slot].is_none() && !self.by_key.contains_key(&key);
        if !fresh || index > self.last_object() || u64::from(owned) > self.object_blocks {
            return Err(Malformed);
        }
        let node = self.nodes.get_mut(&lineage).ok_or(Malformed)?;
        node.owned += u64::from(owned);
        self.mapped += u64::from(owned);
        self.by_key.insert(key, slot as u32);
        let birth = self.births;
        let (parent, row) = (None, None);
        self.versions[slot] =
            Some(Version { lineage, index, birth, parent, owned, write_version, generation, digest, row });
        Ok(())
    }

    /// Ends the loading of a checkpoint of `pages` version pages: finds free slots and the parents of
    /// versions.
    pub(crate) fn settle_load(&mut self, pages: usize) -> Result<(), Malformed> {
        self.free_node_slots = (0..self.node_slots.len()).filter(|s| self.node_slots[*s] == 0).collect();
        self.versions.resize_with(pages * self.versions_per_page(), || None);
        self.pages_here = vec![false; pages];
        let free = |slot: &usize| self.versions[*slot].is_none();
        self.free_versions = (0..self.versions.len()).filter(free).map(|slot| slot as u32).collect();
        let keys: Vec<((u64, u64), u32)> = self.by_key.iter().map(|(key, slot)| (*key, *slot)).collect();
        for ((lineage, index), slot) in keys {
            let above = self.nodes.get(&lineage).ok_or(Malformed)?.parent;
            let parent = self.lookup(above, index);
            self.version_mut(slot as usize).set_parent(parent);
        }
        Ok(())
    }

    /// Data blocks of an own span that the parent does not have.
    pub(crate) fn count_owned(&self, slot: usize, span: usize) -> u64 {
        let Span::Here(map) = &self.version(slot).row().spans[span] else { return 0 };
        match self.inherited(slot, span) {
            None => u64::from(map.mapped()),
            Some(p) => map.iter().filter(|(i, d)| p.phys(*i) != d.phys).count() as u64,
        }
    }

    /// Removes a version; its leaves are free with the next checkpoint. What it owned is the caller's.
    pub(crate) fn remove_version(&mut self, slot: usize) {
        let v = self.versions[slot].take().expect("only existing versions are removed");
        if let Some(node) = self.nodes.get_mut(&v.lineage) {
            node.owned = node.owned.saturating_sub(u64::from(v.owned));
        }
        self.by_key.remove(&(v.lineage, v.index));
        let row = v.row();
        self.dirty.gone.extend(row.leaves.iter().filter(|l| !l.is_none()));
        for span in 0..row.spans.len() {
            self.dirty.spans.remove(&(slot, span));
            if matches!(row.spans[span], Span::Here(_)) {
                self.cache.span_went();
            }
        }
        self.dirty.version_pages.insert(slot);
        self.free_versions.insert(slot as u32);
    }

    /// What the volume or snapshot with this id is.
    pub(crate) fn named(&self, id: Uuid) -> Option<(u64, &Node)> {
        let lineage = *self.names.get(&id)?;
        self.nodes.get(&lineage).map(|n| (lineage, n))
    }
}
