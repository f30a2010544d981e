//! Reads a checkpoint back into a [`State`]. Whatever the bytes are, it ends in a state or in a sentence.

use std::collections::BTreeMap;
use std::rc::Rc;

use uuid::Uuid;

use crate::alloc::{LOST, Run};
use crate::blob::{self, Blobs, DEPTH};
use crate::checkpoint::{HOLES, INHERIT, NODES_PER_PAGE};
use crate::codec::{BlobRef, Identity, Malformed, Reader, Type, unseal};
use crate::engine::Pages;
use crate::layout::{BLOCK, LABEL_MAX, Layout, VOLUME_MAX};
use crate::space::{GROUPS_PER_PAGE, group_page};
use crate::state::{LINEAGE_BITS, LINEAGES, Node, NodeKind, Row, Span, State};
use crate::superblock::Superblock;
use crate::sync::join_all;
use crate::{Disk, OpenError};

/// A checkpoint in memory.
pub(crate) struct Loaded {
    pub(crate) state: State,
    pub(crate) pages: Pages,
    pub(crate) blobs: Blobs,
    /// The blocks of nodes and of the pages of their and the versions' tables.
    pub(crate) runs: Vec<Run>,
    /// The blocks of the root and of the table of groups.
    pub(crate) apart: Vec<Run>,
    /// Groups: where their bits stand, and how many blocks they record.
    pub(crate) groups: Vec<(usize, BlobRef, u32)>,
}

/// A version as its page has it.
pub(crate) struct Stored {
    pub(crate) slot: usize,
    /// Lineage and object.
    pub(crate) key: (u64, u64),
    pub(crate) owned: u32,
    pub(crate) write_version: u64,
    pub(crate) generation: u64,
    pub(crate) digest: u64,
    pub(crate) row: Row,
}

struct Loader<'a, D: Disk> {
    disk: &'a D,
    of: Identity,
    disk_blocks: u64,
    layout: Layout,
    out: Loaded,
}

pub(crate) fn page_body(
    bytes: &[u8],
    of: Identity,
    kind: Type,
    number: usize,
) -> Result<Reader<'_>, Malformed> {
    let (id, mut r) = unseal(bytes, kind)?;
    let (n, _) = (r.u32()?, r.u32()?);
    if id == of && n as usize == number { Ok(r) } else { Err(Malformed) }
}

/// Next lineage, count of the catalogue's operations, pages.
pub(crate) fn root(bytes: &[u8], of: Identity) -> Result<(u64, u64, Pages), Malformed> {
    let (id, mut r) = unseal(bytes, Type::Root)?;
    let (next, versions, nodes) = (r.u64()?, r.u32()?, r.u32()?);
    let refs = (u64::from(versions) + u64::from(nodes)) * 16;
    if id != of || refs > r.left() as u64 {
        return Err(Malformed);
    }
    fn list(n: u32, r: &mut Reader<'_>) -> Result<Vec<BlobRef>, Malformed> {
        if u64::from(n) * 16 > r.left() as u64 {
            return Err(Malformed);
        }
        (0..n).map(|_| BlobRef::get(r)).collect()
    }
    let mut pages =
        Pages { versions: list(versions, &mut r)?, nodes: list(nodes, &mut r)?, ..Pages::default() };
    // Disks without the features have no count, and no groups.
    let seq = if r.is_empty() { 0 } else { r.u64()? };
    if !r.is_empty() {
        let (groups, _) = (r.u32()?, r.u32()?);
        pages.groups = list(groups, &mut r)?;
    }
    if r.is_empty() { Ok((next, seq, pages)) } else { Err(Malformed) }
}

/// The leaves in a page of the node table: `(slot, leaf)`.
pub(crate) fn node_page(
    bytes: &[u8],
    of: Identity,
    number: usize,
) -> Result<Vec<(usize, BlobRef)>, Malformed> {
    let mut r = page_body(bytes, of, Type::NodePage, number)?;
    let mut leaves = Vec::new();
    for i in 0..NODES_PER_PAGE {
        let leaf = BlobRef::get(&mut r)?;
        if !leaf.is_none() {
            leaves.push((number * NODES_PER_PAGE + i, leaf));
        }
    }
    Ok(leaves)
}

/// The versions in a page of the version table, in the order of their slots; their maps are not loaded.
pub(crate) fn version_page(
    bytes: &[u8],
    of: Identity,
    number: usize,
    layout: &Layout,
    disk_blocks: u64,
) -> Result<Vec<Stored>, Malformed> {
    let shape = State::new(layout, disk_blocks, true);
    let (per_page, spans) = (shape.versions_per_page(), shape.spans_per_object());
    let mut r = page_body(bytes, of, Type::VersionPage, number)?;
    let mut all = Vec::new();
    for i in 0..per_page {
        all.extend(version(&mut r, number * per_page + i, spans)?);
    }
    Ok(all)
}

fn version(r: &mut Reader<'_>, slot: usize, spans: usize) -> Result<Option<Stored>, Malformed> {
    let (first, index) = (r.u64()?, r.u64()?);
    let (lineage, owned) = (first % LINEAGES, (first >> LINEAGE_BITS) as u32);
    let (write_version, generation, digest) = (r.u64()?, r.u64()?, r.u64()?);
    let refs = (0..spans).map(|_| BlobRef::get(r)).collect::<Result<Vec<_>, _>>()?;
    if lineage == 0 {
        return Ok(None);
    }
    let known = |b: &BlobRef| !b.is_none() || *b == INHERIT || *b == HOLES;
    if !refs.iter().all(known) {
        return Err(Malformed);
    }
    let span = |b: &BlobRef| match *b {
        INHERIT => Span::Inherit,
        HOLES => Span::Holes,
        _ => Span::Stored,
    };
    let spans = refs.iter().map(span).collect();
    let leaves = refs.iter().map(|b| if b.is_none() { BlobRef::default() } else { *b }).collect();
    let (key, row) = ((lineage, index), Row { spans, leaves });
    Ok(Some(Stored { slot, key, owned, write_version, generation, digest, row }))
}

pub(crate) fn node(bytes: &[u8], of: Identity, slot: usize, leaf: BlobRef) -> Result<(u64, Node), Malformed> {
    let (id, mut r) = unseal(bytes, Type::Node)?;
    let (lineage, parent) = (r.u64()?, r.u64()?);
    let kind = match r.u8()? {
        0 => NodeKind::Volume,
        1 => NodeKind::Snapshot,
        2 => NodeKind::Ghost,
        3 => NodeKind::Record,
        _ => return Err(Malformed),
    };
    let mut tree = [0; 8];
    tree[..7].copy_from_slice(r.bytes(7)?);
    let tree = u64::from_le_bytes(tree);
    let (name, from): (Uuid, Uuid) = (r.uuid()?, r.uuid()?);
    let (bytes, label_version) = (r.u64()?, r.u64()?);
    let (label_len, _) = (r.u32()? as usize, r.u32()?);
    if id != of || bytes > VOLUME_MAX || label_len > LABEL_MAX || label_len != r.left() {
        return Err(Malformed);
    }
    let label = Rc::from(r.bytes(label_len)?);
    let children = Vec::new();
    Ok((
        lineage,
        Node {
            parent,
            tree,
            kind,
            id: name,
            of: from,
            bytes,
            label,
            label_version,
            children,
            owned: 0,
            slot,
            leaf,
        },
    ))
}

impl<D: Disk> Loader<'_, D> {
    /// Reads blobs, many at a time, and notes their blocks.
    async fn blobs(&mut self, refs: &[BlobRef], what: &'static str) -> Result<Vec<Vec<u8>>, OpenError> {
        let reads = refs
            .iter()
            .map(|b| blob::read(self.disk, self.of, *b, self.disk_blocks, what))
            .collect::<Vec<_>>();
        let mut all = Vec::new();
        for (result, blob) in join_all(reads).await.into_iter().zip(refs) {
            let (bytes, runs) = result?;
            self.out.blobs.blocks += runs.iter().map(|r| r.len).sum::<u64>();
            if blob.indirect {
                self.out.blobs.lists.insert(blob.block, runs.clone());
            }
            self.out.runs.extend(runs);
            all.push(bytes);
        }
        Ok(all)
    }

    async fn root(&mut self, root: BlobRef) -> Result<(u64, u64), OpenError> {
        const WHAT: &str = "the root of the checkpoint";
        let bytes = self.blobs(&[root], WHAT).await?.remove(0);
        let (next, seq, mut pages) =
            self::root(&bytes, self.of).map_err(|_| OpenError::Damaged { what: WHAT })?;
        pages.root = root;
        self.out.pages = pages;
        self.out.apart = std::mem::take(&mut self.out.runs);
        Ok((next, seq))
    }

    async fn nodes(&mut self) -> Result<(), OpenError> {
        const WHAT: &str = "the table of volumes and snapshots";
        let damaged = |_| OpenError::Damaged { what: WHAT };
        let mut leaves = Vec::new();
        for (number, page) in self.out.pages.nodes.clone().into_iter().enumerate() {
            if page.is_none() {
                continue;
            }
            let bytes = self.blobs(&[page], WHAT).await?.remove(0);
            leaves.extend(node_page(&bytes, self.of, number).map_err(damaged)?);
        }
        let mut nodes = BTreeMap::new();
        for chunk in leaves.chunks(DEPTH) {
            let refs: Vec<BlobRef> = chunk.iter().map(|(_, b)| *b).collect();
            for (bytes, (slot, leaf)) in self.blobs(&refs, WHAT).await?.iter().zip(chunk) {
                let (lineage, node) = node(bytes, self.of, *slot, *leaf).map_err(damaged)?;
                if nodes.insert(lineage, node).is_some() {
                    return Err(OpenError::Damaged { what: WHAT });
                }
            }
        }
        let state = &mut self.out.state;
        state.node_slots = vec![0; leaves.last().map_or(0, |(slot, _)| slot + 1)];
        // A child is always younger than its parent, so in the order of their numbers each finds its parent.
        nodes.into_iter().try_for_each(|(lineage, node)| state.add_node(lineage, node)).map_err(damaged)?;
        Ok(())
    }

    async fn versions(&mut self) -> Result<(), OpenError> {
        const WHAT: &str = "the table of objects";
        let damaged = |_| OpenError::Damaged { what: WHAT };
        let pages: Vec<(usize, BlobRef)> = self.out.pages.versions.iter().copied().enumerate().collect();
        for chunk in pages.chunks(DEPTH) {
            let there: Vec<_> = chunk.iter().filter(|(_, page)| !page.is_none()).collect();
            let refs: Vec<BlobRef> = there.iter().map(|(_, page)| *page).collect();
            for (bytes, (number, _)) in self.blobs(&refs, WHAT).await?.iter().zip(there) {
                let all = version_page(bytes, self.of, *number, &self.layout, self.disk_blocks);
                for version in all.map_err(damaged)? {
                    self.out.blobs.blocks += version.row.leaves.iter().map(BlobRef::blocks).sum::<u64>();
                    self.out.state.place_version(&version).map_err(damaged)?;
                }
            }
        }
        self.out.state.settle_load(pages.len()).map_err(damaged)
    }
}

impl<D: Disk> Loader<'_, D> {
    async fn groups(&mut self) -> Result<(), OpenError> {
        const WHAT: &str = "the table of free blocks";
        let pages: Vec<(usize, BlobRef)> = self.out.pages.groups.iter().copied().enumerate().collect();
        let runs = std::mem::take(&mut self.out.runs);
        for chunk in pages.chunks(DEPTH) {
            for (number, page) in chunk.iter().filter(|(_, page)| !page.is_none()) {
                let read = self.blobs(&[*page], WHAT).await.map(|mut all| all.remove(0));
                let groups = match read {
                    Ok(bytes) => group_page(&bytes, self.of, *number).ok(),
                    Err(OpenError::Damaged { .. }) => {
                        // Its blocks are known all the same: such a page is one block.
                        self.out.runs.push(Run { phys: page.block, len: page.blocks() });
                        self.out.blobs.blocks += page.blocks();
                        None
                    }
                    Err(e) => return Err(e),
                };
                let all = number * GROUPS_PER_PAGE..(number + 1) * GROUPS_PER_PAGE;
                let lost = || all.map(|g| (g, LOST, 0)).collect();
                self.out.groups.extend(groups.unwrap_or_else(lost));
            }
        }
        let more = std::mem::replace(&mut self.out.runs, runs);
        self.out.apart.extend(more);
        let leaves = self.out.groups.iter().map(|(_, leaf, _)| leaf.blocks());
        self.out.blobs.blocks += leaves.sum::<u64>();
        Ok(())
    }
}

/// Loads the checkpoint that the superblock names.
pub(crate) async fn load<D: Disk>(disk: &D, sb: &Superblock, ghosts: bool) -> Result<Loaded, OpenError> {
    let disk_blocks = sb.disk_bytes / BLOCK;
    let state = State::new(&sb.layout, disk_blocks, ghosts);
    let (pages, blobs) = (Pages::default(), Blobs::default());
    let out = Loaded { state, pages, blobs, runs: Vec::new(), apart: Vec::new(), groups: Vec::new() };
    let mut loader = Loader { disk, of: sb.id, disk_blocks, layout: sb.layout, out };
    let (next, seq) = loader.root(sb.root).await?;
    loader.groups().await?;
    loader.nodes().await?;
    loader.versions().await?;
    let mut out = loader.out;
    out.state.next_lineage = out.state.next_lineage.max(next);
    out.state.catalogue_seq = seq;
    out.state.dirty = Default::default();
    Ok(out)
}
