//! What other disks of the store compare and copy: versions by their lineage, and the mark of every block.

use parpen_base::Buf;

use crate::engine::Engine;
use crate::layout::BLOCK;
use crate::map::Data;
use crate::state::{LINEAGE_BITS, State};
use crate::{Disk, EngineError, Rules};

/// Who wrote a block, when, and its checksum: equal marks mean equal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockMark {
    /// Lineage that was the head (low 40 bits) and the era (above) when the block was written.
    pub origin: u64,
    /// CRC32C, seeded with the place and the origin.
    pub crc: u32,
}

impl From<Data> for BlockMark {
    fn from(d: Data) -> BlockMark {
        BlockMark { origin: d.origin, crc: d.crc }
    }
}

/// What one lineage holds of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionInfo {
    /// The lineage.
    pub lineage: u64,
    /// The tree that it belongs to.
    pub tree: u64,
    /// Number of the object in its volume.
    pub index: u64,
    /// Says what the version reads as; equal on two disks when they hold the same.
    pub digest: u64,
    /// Data blocks that it owns, that is, does not share with an older version.
    pub owned: u64,
    /// +1 with each change.
    pub write_version: u64,
    /// Configuration generation of its last write.
    pub generation: u64,
}

impl State {
    pub(crate) fn version_info(&self, slot: usize) -> VersionInfo {
        let v = self.version(slot);
        VersionInfo {
            lineage: v.lineage,
            tree: self.nodes.get(&v.lineage).map_or(0, |n| n.tree),
            index: v.index,
            digest: v.digest,
            owned: v.owned,
            write_version: v.write_version,
            generation: v.generation,
        }
    }

    /// The lineages of a tree, parents before children.
    pub(crate) fn lineages_of(&self, tree: u64) -> impl Iterator<Item = u64> + '_ {
        self.trees.range((tree, 0)..=(tree, u64::MAX)).map(|(_, lineage)| *lineage)
    }

    /// The versions of an object in a tree, parents before children: their slots.
    pub(crate) fn family_slots(&self, tree: u64, index: u64) -> Vec<usize> {
        self.lineages_of(tree).filter_map(|l| self.by_key.get(&(l, index)).copied()).collect()
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// The era that later writes are stamped with.
    pub fn era(&self) -> u32 {
        self.era.get()
    }

    /// Sets the era of later writes. At most 2^24 - 1.
    pub fn set_era(&self, era: u32) {
        self.era.set(era);
    }

    /// The origin of what is written to a lineage now.
    pub(crate) fn origin(&self, lineage: u64) -> u64 {
        lineage | u64::from(self.era.get()) << LINEAGE_BITS
    }

    /// Operations of the catalogue that this disk has seen.
    pub fn catalogue_seq(&self) -> u64 {
        self.state.borrow().catalogue_seq
    }

    /// The number that the next lineage or record gets.
    pub fn next_lineage(&self) -> u64 {
        self.state.borrow().next_lineage
    }

    /// All versions, by lineage and object.
    pub fn versions(&self) -> Vec<VersionInfo> {
        let state = self.state.borrow();
        state.by_key.values().map(|slot| state.version_info(*slot)).collect()
    }

    /// The versions of one object in one tree, older ones first.
    pub fn family(&self, tree: u64, index: u64) -> Vec<VersionInfo> {
        let state = self.state.borrow();
        state.family_slots(tree, index).into_iter().map(|slot| state.version_info(slot)).collect()
    }

    /// What a lineage reads as in an object, through its older versions: 0 where that is nothing but holes.
    pub fn digest(&self, lineage: u64, index: u64) -> u64 {
        let state = self.state.borrow();
        state.lookup(lineage, index).map_or(0, |slot| state.version(slot).digest)
    }

    pub(crate) fn check_blocks_of(
        &self,
        lineage: u64,
        index: u64,
        start: u32,
        count: u64,
    ) -> Result<(), EngineError> {
        self.alive()?;
        let state = self.state.borrow();
        if u64::from(start) + count > state.object_blocks || index > state.last_object() {
            return Err(EngineError::Invalid("the blocks are not within the object"));
        }
        match state.nodes.get(&lineage).filter(|n| n.is_lineage()) {
            Some(_) => Ok(()),
            None => Err(EngineError::NotFound),
        }
    }

    /// The marks of blocks of an object as a lineage sees them; `None` is a hole.
    pub fn marks(
        &self,
        lineage: u64,
        index: u64,
        start: u32,
        count: u32,
    ) -> Result<Vec<Option<BlockMark>>, EngineError> {
        self.check_blocks_of(lineage, index, start, u64::from(count))?;
        let state = self.state.borrow();
        let first = index * state.object_blocks + u64::from(start);
        let entries = state.entries(lineage, first, count as usize);
        Ok(entries.into_iter().map(|d| d.map(BlockMark::from)).collect())
    }

    /// Fills `buf`, whole blocks, with what a lineage holds of an object from block `start` on: volumes,
    /// snapshots and ghosts. Everything is verified; `Ok(true)` when there were only holes.
    pub async fn read_version(
        &self,
        lineage: u64,
        index: u64,
        start: u32,
        buf: Buf,
    ) -> (Result<bool, EngineError>, Buf) {
        if !(buf.len() as u64).is_multiple_of(BLOCK) {
            return (Err(EngineError::Invalid("whole blocks are read")), buf);
        }
        if let Err(e) = self.check_blocks_of(lineage, index, start, buf.len() as u64 / BLOCK) {
            return (Err(e), buf);
        }
        let first = index * u64::from(self.layout.object_blocks) + u64::from(start);
        let of = |state: &State| match state.nodes.contains_key(&lineage) {
            true => Ok(lineage),
            false => Err(EngineError::NotFound),
        };
        self.fetch_of(of, first, buf).await
    }
}
