//! The geometry of a disk: chosen when it is formatted, recorded in the superblock, never changed.

use parpen_base::{GIB, MIB};
use uuid::Uuid;

use crate::EngineError;
use crate::superblock::wal_start;

/// Bytes in a block: the unit of mapping, checksums and disk requests.
pub const BLOCK: u64 = 4096;
/// Most blocks that one map span covers (2 MiB).
pub(crate) const SPAN_BLOCKS_MAX: u32 = 512;
/// Largest label of a volume or snapshot, in bytes.
pub const LABEL_MAX: usize = 64 * 1024;
/// Largest volume: 2^62 bytes.
pub const VOLUME_MAX: u64 = 1 << 62;

/// Sizes that shape a disk. Small ones make simulations dense; [`Layout::product`] is what ships.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Blocks in an object: at most 65536; up to 512 any number, above a multiple of 512.
    pub object_blocks: u32,
    /// Bytes of the write-ahead log; a multiple of 4096, at least 16 KiB.
    pub wal_bytes: u64,
    /// Blocks of an allocation group; only for accounting. At least 1.
    pub ag_blocks: u32,
    /// Blocks kept back for metadata, so that a full disk can still delete, discard and flush. At least 24.
    pub reserve_blocks: u32,
    /// Bytes written since the last commit that force one: the bound of what recovery must verify.
    pub tail_bytes: u64,
}

impl Layout {
    /// What ships: objects of 32 MiB, a log of 64 MiB (less on small disks), groups of 1 GiB, 1/64 kept back.
    pub fn product(disk_bytes: u64) -> Layout {
        let wal = (disk_bytes / 16).clamp(MIB, 64 * MIB) / BLOCK * BLOCK;
        Layout {
            object_blocks: 8192,
            wal_bytes: wal,
            ag_blocks: (GIB / BLOCK) as u32,
            reserve_blocks: (disk_bytes / 64 / BLOCK).clamp(256, 262_144) as u32,
            tail_bytes: 64 * MIB,
        }
    }

    /// For a disk in RAM: as [`Layout::product`], with a log of at most 4 MiB, because the log is memory,
    /// too.
    pub fn memory(disk_bytes: u64) -> Layout {
        let wal_bytes = (disk_bytes / 64).clamp(64 << 10, 4 * MIB) / BLOCK * BLOCK;
        Layout { wal_bytes, ..Layout::product(disk_bytes) }
    }

    /// For simulations: objects of 16 blocks, a log of 32 KiB; fits a disk of 1 MiB.
    pub fn tiny() -> Layout {
        Layout {
            object_blocks: 16,
            wal_bytes: 32 << 10,
            ag_blocks: 64,
            reserve_blocks: 24,
            tail_bytes: 64 << 10,
        }
    }
}

/// How to format a disk.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// The store the disk belongs to.
    pub store: Uuid,
    /// This disk.
    pub disk: Uuid,
    /// Its geometry.
    pub layout: Layout,
}

impl Layout {
    pub(crate) fn validate(&self, disk_bytes: u64) -> Result<(), EngineError> {
        let bad = |why| Err(EngineError::Invalid(why));
        let o = self.object_blocks;
        if o == 0 || o > 65536 || (o > SPAN_BLOCKS_MAX && !o.is_multiple_of(SPAN_BLOCKS_MAX)) {
            return bad("an object has 1 to 512 blocks, or a multiple of 512 up to 65536");
        }
        if self.wal_bytes < 4 * BLOCK || !self.wal_bytes.is_multiple_of(BLOCK) {
            return bad("the log has at least 16 KiB and whole blocks");
        }
        if self.ag_blocks == 0 || self.reserve_blocks < 24 || self.tail_bytes < BLOCK {
            return bad("groups, reserve and tail must not be that small");
        }
        let half = disk_bytes / 2 / BLOCK * BLOCK;
        let log_end = wal_start(disk_bytes).checked_add(self.wal_bytes);
        if log_end.is_none_or(|end| end > half) || u64::from(self.reserve_blocks) * BLOCK > half {
            return bad("the disk is too small for its log and reserve");
        }
        Ok(())
    }
}
