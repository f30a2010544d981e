//! Reads a checkpoint back into a [`State`]. Whatever the bytes are, it ends in a state or in a sentence.

use std::collections::BTreeMap;
use std::rc::Rc;

use uuid::Uuid;

use crate::alloc::Run;
use crate::blob::{self, Blobs, DEPTH};
use crate::checkpoint::{HOLES, INHERIT, NODES_PER_PAGE};
use crate::codec::{BlobRef, Identity, Malformed, Reader, Type, unseal};
use crate::engine::Pages;
use crate::layout::{BLOCK, LABEL_MAX, Layout, VOLUME_MAX};
use crate::map::SpanMap;
use crate::state::{Node, NodeKind, Span, State, Version};
use crate::superblock::Superblock;
use crate::sync::join_all;
use crate::{Disk, OpenError, features};

/// A checkpoint in memory.
pub(crate) struct Loaded {
    pub(crate) state: State,
    pub(crate) pages: Pages,
    pub(crate) blobs: Blobs,
    /// Every block that the checkpoint's own structures stand in.
    pub(crate) runs: Vec<Run>,
}

struct Loader<'a, D: Disk> {
    disk: &'a D,
    of: Identity,
    disk_blocks: u64,
    layout: Layout,
    out: Loaded,
}

fn page_body(bytes: &[u8], of: Identity, kind: Type, number: usize) -> Result<Reader<'_>, Malformed> {
    let (id, mut r) = unseal(bytes, kind)?;
    let (n, _) = (r.u32()?, r.u32()?);
    if id == of && n as usize == number { Ok(r) } else { Err(Malformed) }
}

/// Next lineage, count of the catalogue's operations, pages.
pub(crate) fn root(bytes: &[u8], of: Identity) -> Result<(u64, u64, Pages), Malformed> {
    let (id, mut r) = unseal(bytes, Type::Root)?;
    let (next, versions, nodes) = (r.u64()?, r.u32()?, r.u32()?);
    let refs = (u64::from(versions) + u64::from(nodes)) * 16;
    // Disks without the feature have no count.
    let counted = r.left() as u64 == refs + 8;
    if id != of || !(counted || r.left() as u64 == refs) {
        return Err(Malformed);
    }
    let mut list = |n: u32| (0..n).map(|_| BlobRef::get(&mut r)).collect::<Result<Vec<_>, _>>();
    let pages = Pages { versions: list(versions)?, nodes: list(nodes)?, root: BlobRef::default() };
    Ok((next, if counted { r.u64()? } else { 0 }, pages))
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

/// The versions in a page of the version table: `(slot, version)`; their spans are not loaded yet.
pub(crate) fn version_page(
    bytes: &[u8],
    of: Identity,
    number: usize,
    layout: &Layout,
    disk_blocks: u64,
) -> Result<Vec<(usize, Version)>, Malformed> {
    let shape = State::new(layout, disk_blocks, true);
    let (per_page, spans) = (shape.versions_per_page(), shape.spans_per_object());
    let mut r = page_body(bytes, of, Type::VersionPage, number)?;
    let mut all = Vec::new();
    for i in 0..per_page {
        if let Some(v) = version(&mut r, spans)? {
            all.push((number * per_page + i, v));
        }
    }
    Ok(all)
}

fn version(r: &mut Reader<'_>, spans: usize) -> Result<Option<Version>, Malformed> {
    let (lineage, index) = (r.u64()?, r.u64()?);
    let (write_version, generation, digest) = (r.u64()?, r.u64()?, r.u64()?);
    let refs = (0..spans).map(|_| BlobRef::get(r)).collect::<Result<Vec<_>, _>>()?;
    if lineage == 0 {
        return Ok(None);
    }
    let known = |b: &BlobRef| !b.is_none() || *b == INHERIT || *b == HOLES;
    if !refs.iter().all(known) {
        return Err(Malformed);
    }
    let spans = refs.iter().map(|b| if *b == INHERIT { Span::Inherit } else { Span::Own(None) }).collect();
    let leaves = refs.iter().map(|b| if b.is_none() { BlobRef::default() } else { *b }).collect();
    let (birth, parent, owned) = (0, None, 0);
    Ok(Some(Version {
        lineage,
        index,
        birth,
        parent,
        spans,
        leaves,
        write_version,
        generation,
        owned,
        digest,
    }))
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
        Node { parent, tree, kind, id: name, of: from, bytes, label, label_version, children, slot, leaf },
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
        let mut leaves = Vec::new();
        for (number, page) in self.out.pages.versions.clone().into_iter().enumerate() {
            if page.is_none() {
                continue;
            }
            let bytes = self.blobs(&[page], WHAT).await?.remove(0);
            let versions =
                version_page(&bytes, self.of, number, &self.layout, self.disk_blocks).map_err(damaged)?;
            for (slot, version) in versions {
                let own = version.leaves.iter().enumerate().filter(|(_, l)| !l.is_none());
                leaves.extend(own.map(|(span, l)| (slot, span, version.index, *l)));
                self.out.state.place_version(slot, version).map_err(damaged)?;
            }
        }
        self.spans(&leaves).await
    }

    async fn spans(&mut self, leaves: &[(usize, usize, u64, BlobRef)]) -> Result<(), OpenError> {
        const WHAT: &str = "the map of an object";
        let blocks = self.out.state.span_blocks;
        for chunk in leaves.chunks(DEPTH) {
            let refs: Vec<BlobRef> = chunk.iter().map(|(_, _, _, b)| *b).collect();
            for (bytes, (slot, span, index, _)) in self.blobs(&refs, WHAT).await?.iter().zip(chunk) {
                let map = SpanMap::decode(bytes, self.of, (*index, *span as u32), blocks, self.disk_blocks)
                    .map_err(|_| OpenError::Damaged { what: WHAT })?;
                self.out.state.version_mut(*slot).spans[*span] = Span::Own(Some(Rc::new(map)));
            }
        }
        Ok(())
    }
}

/// Loads the checkpoint that the superblock names.
pub(crate) async fn load<D: Disk>(disk: &D, sb: &Superblock, ghosts: bool) -> Result<Loaded, OpenError> {
    let disk_blocks = sb.disk_bytes / BLOCK;
    let state = State::new(&sb.layout, disk_blocks, ghosts);
    let out = Loaded { state, pages: Pages::default(), blobs: Blobs::default(), runs: Vec::new() };
    let mut loader = Loader { disk, of: sb.id, disk_blocks, layout: sb.layout, out };
    let (next, seq) = loader.root(sb.root).await?;
    loader.nodes().await?;
    loader.versions().await?;
    let mut out = loader.out;
    out.state.settle_load().map_err(|_| OpenError::Damaged { what: "the table of objects" })?;
    out.state.next_lineage = out.state.next_lineage.max(next);
    out.state.catalogue_seq = seq;
    out.state.dirty = Default::default();
    if sb.ro_compat & features::DIGESTS == 0 {
        out.state.digest_all();
    }
    Ok(out)
}
