//! Admission: nothing is changed before there is room for it on the disk, in the next checkpoint and in the
//! log, so that what was changed can always be made durable.

use std::cell::Cell;

use crate::engine::Engine;
use crate::layout::BLOCK;
use crate::map::SpanMap;
use crate::record::Mapping;
use crate::space::GROUPS_PER_PAGE;
use crate::state::PAGE_HEAD;
use crate::wal::{RECORD_HEADER, cut, max_record, ring_need};
use crate::{Disk, EngineError, Rules};

/// What a change takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Need {
    /// Blocks of data, or of metadata that lasts.
    pub(crate) blocks: u64,
    /// Spans that it dirties.
    pub(crate) spans: u64,
    /// Bytes of its operations in the log.
    pub(crate) log: usize,
    /// What it leaves of the reserve.
    pub(crate) keep: Keep,
}

/// How much of the reserve must be left by a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keep {
    /// None: it makes room, as deletes do and what takes back what they left.
    #[default]
    Nothing,
    /// Half: discards and repairs must work on a full disk, but each may cost a block for good, and they must not take
    /// what deletes need.
    Half,
    /// All: whatever stores something.
    All,
}

/// Blocks that a request under way will cost in maps, held while its data is written: many at once would else have
/// been let in for the same room, and what is kept back would be gone when all of them are mapped.
pub(crate) struct Pledge<'a> {
    pledged: &'a Cell<u64>,
    blocks: u64,
}

impl Drop for Pledge<'_> {
    fn drop(&mut self) {
        self.pledged.set(self.pledged.get() - self.blocks);
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Holds room for the maps of a request that [`Engine::make_room`] let in just now.
    pub(crate) fn pledge(&self, spans: u64) -> Pledge<'_> {
        let blocks = self.span_cost(spans);
        self.pledged.set(self.pledged.get() + blocks);
        Pledge { pledged: &self.pledged, blocks }
    }

    /// Blocks that a checkpoint of the present state can take at most.
    pub(crate) fn checkpoint_need(&self) -> u64 {
        let state = self.state.borrow();
        let per_span = SpanMap::max_encoded(state.span_blocks).div_ceil(BLOCK as usize) as u64;
        let per_span = if per_span > 1 { per_span + 1 } else { 1 };
        let pages = state.versions.len() / state.versions_per_page() + state.node_slots.len() / 200 + 2;
        let root = (PAGE_HEAD + 32 + 16 * pages) as u64 / BLOCK + 2;
        let d = &state.dirty;
        let version_pages = d.version_pages.len().min(state.versions.len() / state.versions_per_page() + 1);
        let tables = (version_pages + d.node_pages.len()) as u64;
        let blobs = d.spans.len() as u64 * per_span + d.node_blocks + tables;
        // Each blob may touch the group where it was and the one where it goes.
        let room = self.room.borrow();
        let groups = (2 * blobs + room.alloc.dirty() as u64 + 2).min(room.alloc.groups() as u64);
        let groups = groups + groups.min(room.alloc.groups().div_ceil(GROUPS_PER_PAGE) as u64);
        blobs + root + groups
    }

    /// Whether `blocks` more can be taken while a checkpoint of what stands now, and `keep` blocks besides,
    /// still fit.
    pub(crate) fn has_room(&self, blocks: u64, keep: u64) -> bool {
        let need = self.checkpoint_need();
        let room = self.room.borrow();
        let held = need + room.promised + self.pledged.get();
        room.alloc.free() >= blocks.saturating_add(keep).saturating_add(held)
    }

    pub(crate) fn spans_per_object(&self) -> u64 {
        self.state.borrow().spans_per_object() as u64
    }

    /// Whether the ring can take `bytes` more of operations, even if the checkpoint in flight fails.
    pub(crate) fn log_fits(&self, bytes: usize) -> bool {
        let log = self.log.borrow();
        let ring = self.layout.wal_bytes;
        let used = log.pos - self.superblock.get().wal_first_pos;
        ring_need(log.pending.len() + log.captured + bytes, ring) <= ring - used.min(ring)
    }

    /// Refuses an operation that no record of this disk's log can hold.
    pub(crate) fn check_op_size(&self, bytes: usize) -> Result<(), EngineError> {
        let most = max_record(self.layout.wal_bytes) as usize - RECORD_HEADER;
        if bytes <= most {
            Ok(())
        } else {
            Err(EngineError::Invalid("the labels are too long for this disk's log"))
        }
    }

    /// Blocks that dirtying `spans` spans can cost in the next checkpoint.
    pub(crate) fn span_cost(&self, spans: u64) -> u64 {
        let blocks = self.state.borrow().span_blocks;
        spans * (SpanMap::max_encoded(blocks).div_ceil(BLOCK as usize) as u64 + 1) + 2
    }

    /// Spans that `blocks` neighbouring blocks can touch.
    pub(crate) fn spans_of(&self, blocks: u64) -> u64 {
        blocks / self.state.borrow().span_blocks as u64 + 2
    }

    /// Blocks that one mapping covers at most, so that it fits a record.
    pub(crate) fn op_blocks(&self) -> u64 {
        let most = cut(self.layout.wal_bytes) as usize - RECORD_HEADER;
        ((most - Mapping::most_bytes(0)) / (Mapping::most_bytes(1) - Mapping::most_bytes(0))) as u64
    }

    /// Blocks whose mappings take at most an eighth of the ring.
    pub(crate) fn store_blocks(&self) -> u64 {
        (self.layout.wal_bytes / 8 / (Mapping::most_bytes(1) - Mapping::most_bytes(0)) as u64).max(1)
    }

    fn has_space(&self, need: &Need) -> bool {
        let reserve = u64::from(self.layout.reserve_blocks);
        let keep = match need.keep {
            Keep::Nothing => 0,
            Keep::Half => reserve / 2,
            Keep::All => reserve,
        };
        let quiet = need.blocks == 0 && need.spans == 0;
        quiet || self.has_room(need.blocks, keep + self.span_cost(need.spans))
    }

    /// Waits until there is room, by a checkpoint or by what ghosts hold for nobody. What is found holds only
    /// until the next wait. A full log is waited for as long as checkpoints succeed, since others may fill it
    /// again meanwhile; a full disk is not.
    pub(crate) async fn make_room(&self, need: Need) -> Result<(), EngineError> {
        if ring_need(need.log, self.layout.wal_bytes) > self.layout.wal_bytes {
            return Err(EngineError::Invalid("the request is too large for this disk's log"));
        }
        let mut tries = 0;
        loop {
            self.alive()?;
            let space = self.has_space(&need);
            if space && self.log_fits(need.log) {
                if self.room.borrow().alloc.reachable() >= need.blocks {
                    return Ok(());
                }
                if self.reach(need.blocks).await {
                    continue;
                }
                return Err(EngineError::NoSpace);
            }
            if !space {
                if tries == 2 || (tries == 1 && !self.trim_ghosts().await?) {
                    return Err(EngineError::NoSpace);
                }
                tries += 1;
            }
            match self.tidy_up().await {
                // Without a checkpoint a full disk may still have what a commit frees; a full log has
                // nothing.
                Err(EngineError::NoSpace) if !space => {}
                other => other?,
            }
        }
    }
}
