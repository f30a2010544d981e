//! Blobs: byte strings in ordinary blocks, named by place, length and checksum. Contiguous where the disk
//! allows it, else through one block that lists the extents.

use std::collections::BTreeMap;

use parpen_base::{Buf, crc32c_seeded};

use crate::alloc::{Alloc, Run};
use crate::codec::{BlobRef, HEADER, Identity, Reader, Type, begin, seal, unseal};
use crate::layout::BLOCK;
use crate::sync::join_all;
use crate::{Disk, DiskError, OpenError};

/// Most extents of one blob: what a list block holds.
const EXTENTS_MAX: usize = (BLOCK as usize - HEADER - 8) / 12;
/// Largest single write of a checkpoint, in blocks.
const WRITE_BLOCKS: u64 = 256;
/// Requests that a checkpoint or recovery keeps in flight.
pub(crate) const DEPTH: usize = 32;

/// Where the metadata stream goes on, and what cannot be read off a [`BlobRef`].
#[derive(Default)]
pub(crate) struct Blobs {
    near: u64,
    /// Extents (and the list block itself) of the indirect blobs, by list block.
    pub(crate) lists: BTreeMap<u64, Vec<Run>>,
    /// Blocks that blobs take.
    pub(crate) blocks: u64,
}

/// Neighbouring blobs that are written together.
struct Group {
    phys: u64,
    blocks: u64,
    /// Block within the group, and the bytes there.
    parts: Vec<(u64, Vec<u8>)>,
}

/// Blobs that have their place and are not written yet.
#[derive(Default)]
pub(crate) struct Plan {
    writes: Vec<(u64, Vec<u8>)>,
    pub(crate) placed: Vec<BlobRef>,
}

fn blocks_of(len: usize) -> u64 {
    (len as u64).div_ceil(BLOCK)
}

impl Blobs {
    /// The blocks of a blob.
    pub(crate) fn runs(&self, blob: BlobRef) -> Vec<Run> {
        match self.lists.get(&blob.block).filter(|_| blob.indirect) {
            Some(runs) => runs.clone(),
            None => vec![Run { phys: blob.block, len: blocks_of(blob.len as usize) }],
        }
    }

    /// A blob is gone; what happens to its blocks is the caller's.
    pub(crate) fn free(&mut self, blob: BlobRef, mut each: impl FnMut(Run)) {
        for run in self.runs(blob) {
            each(run);
            self.blocks -= run.len;
        }
        if blob.indirect {
            self.lists.remove(&blob.block);
        }
    }

    /// Gives a blob its place; `None` when there is none.
    pub(crate) fn place(
        &mut self,
        alloc: &mut Alloc,
        of: Identity,
        bytes: &[u8],
        plan: &mut Plan,
    ) -> Option<BlobRef> {
        let (len, crc) = (bytes.len() as u32, crc32c_seeded(0, bytes));
        let mut runs = alloc.take(self.near, blocks_of(bytes.len()))?;
        let list = if runs.len() == 1 { None } else { alloc.take(self.near, 1).map(|mut l| l.remove(0)) };
        if runs.len() > 1 && (list.is_none() || runs.len() > EXTENTS_MAX) {
            runs.into_iter().chain(list).for_each(|r| alloc.release(r));
            return None;
        }
        let mut rest = bytes;
        for run in &runs {
            let (head, tail) = rest.split_at(rest.len().min((run.len * BLOCK) as usize));
            plan.writes.push((run.phys, head.to_vec()));
            rest = tail;
        }
        self.near = runs.last().map_or(0, |r| r.phys + r.len);
        let block = list.map_or(runs[0].phys, |l| l.phys);
        if let Some(list) = list {
            let mut w = begin(Type::Extents, of);
            w.u32(runs.len() as u32);
            w.u32(0);
            for run in &runs {
                w.u64(run.phys);
                w.u32(run.len as u32);
            }
            plan.writes.push((list.phys, seal(w)));
            runs.push(list);
            self.lists.insert(list.phys, runs.to_vec());
        }
        self.blocks += runs.iter().map(|r| r.len).sum::<u64>();
        let blob = BlobRef { block, indirect: list.is_some(), len, crc };
        plan.placed.push(blob);
        Some(blob)
    }
}

impl Plan {
    /// Writes everything that has its place, neighbours together.
    pub(crate) async fn write<D: Disk>(&mut self, disk: &D) -> Result<(), DiskError> {
        let mut writes = std::mem::take(&mut self.writes);
        writes.sort_by_key(|(phys, _)| *phys);
        let mut groups: Vec<Group> = Vec::new();
        for (phys, bytes) in writes {
            let n = blocks_of(bytes.len());
            match groups.last_mut() {
                Some(g) if g.phys + g.blocks == phys && g.blocks + n <= WRITE_BLOCKS => {
                    g.parts.push((g.blocks, bytes));
                    g.blocks += n;
                }
                _ => groups.push(Group { phys, blocks: n, parts: vec![(0, bytes)] }),
            }
        }
        for chunk in groups.chunks(DEPTH) {
            let all = chunk.iter().map(|g| {
                let mut buf = Buf::zeroed((g.blocks * BLOCK) as usize);
                for (at, bytes) in &g.parts {
                    let at = (at * BLOCK) as usize;
                    buf[at..at + bytes.len()].copy_from_slice(bytes);
                }
                disk.write(g.phys * BLOCK, buf)
            });
            for (r, _) in join_all(all.collect()).await {
                r?;
            }
        }
        Ok(())
    }
}

async fn read_run<D: Disk>(disk: &D, run: Run) -> Result<Buf, DiskError> {
    let (r, buf) = disk.read(run.phys * BLOCK, Buf::zeroed((run.len * BLOCK) as usize)).await;
    r.map(|()| buf)
}

fn within(run: Run, disk_blocks: u64) -> bool {
    run.phys > 0 && run.len > 0 && run.phys.checked_add(run.len).is_some_and(|end| end <= disk_blocks)
}

/// The blocks of a blob: first the one that lists the others, if it has such a one.
pub(crate) async fn runs<D: Disk>(
    disk: &D,
    of: Identity,
    blob: BlobRef,
    disk_blocks: u64,
    what: &'static str,
) -> Result<Vec<Run>, OpenError> {
    let damaged = || OpenError::Damaged { what };
    let want = blocks_of(blob.len as usize);
    let first = Run { phys: blob.block, len: if blob.indirect { 1 } else { want } };
    if !within(first, disk_blocks) {
        return Err(damaged());
    }
    let mut runs = vec![first];
    if blob.indirect {
        let buf = read_run(disk, first).await?;
        let list =
            extents(&buf, of).filter(|l| l.iter().all(|r| within(*r, disk_blocks))).ok_or_else(damaged)?;
        if list.iter().try_fold(0u64, |sum, r| sum.checked_add(r.len)) != Some(want) {
            return Err(damaged());
        }
        runs.extend(list);
    }
    Ok(runs)
}

/// Reads a blob and verifies its checksum; gives its bytes and its blocks.
pub(crate) async fn read<D: Disk>(
    disk: &D,
    of: Identity,
    blob: BlobRef,
    disk_blocks: u64,
    what: &'static str,
) -> Result<(Vec<u8>, Vec<Run>), OpenError> {
    let runs = runs(disk, of, blob, disk_blocks, what).await?;
    let mut bytes = Vec::new();
    for run in runs.iter().skip(usize::from(blob.indirect)) {
        bytes.extend_from_slice(&read_run(disk, *run).await?);
    }
    bytes.truncate(blob.len as usize);
    if crc32c_seeded(0, &bytes) == blob.crc { Ok((bytes, runs)) } else { Err(OpenError::Damaged { what }) }
}

/// Reads the block that lists the extents of an indirect blob.
pub(crate) fn extents(block: &[u8], of: Identity) -> Option<Vec<Run>> {
    let (id, mut r): (_, Reader<'_>) = unseal(block, Type::Extents).ok()?;
    let n = r.u32().ok()? as usize;
    r.u32().ok()?;
    if id != of || n > EXTENTS_MAX {
        return None;
    }
    (0..n).map(|_| Some(Run { phys: r.u64().ok()?, len: u64::from(r.u32().ok()?) })).collect()
}
