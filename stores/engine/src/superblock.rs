//! The superblock: four copies, of which two equal ones are needed.

use crate::codec::{BlobRef, HEADER, Identity, Malformed, Reader, Type, begin, claimed_len, seal, unseal};
use crate::layout::{BLOCK, Layout};
use crate::{Disk, OpenError, features};
use parpen_base::{Buf, MIB};

/// The format that this program writes. Never changes after 1.0; features have bits.
pub(crate) const FORMAT_MAJOR: u16 = 1;
const FORMAT_MINOR: u16 = 0;
/// CRC32C.
const CHECKSUM_CRC32C: u32 = 1;
/// Disks below this size have their copies close together.
const SMALL: u64 = 16 * MIB;
pub(crate) const COPIES: usize = 4;

/// Everything that is not in the log or the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) id: Identity,
    /// +1 with each switch; no value is ever used twice.
    pub(crate) sequence: u64,
    /// Features of the disk, all of which this program knows: incompatible, read-only compatible.
    pub(crate) incompat: u64,
    pub(crate) ro_compat: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) layout: Layout,
    pub(crate) boot_epoch: u64,
    pub(crate) root: BlobRef,
    /// Sequence number of the first record after the checkpoint.
    pub(crate) wal_first_seq: u64,
    /// Where that record begins: bytes since the log was made, not reduced by its length.
    pub(crate) wal_first_pos: u64,
    /// What that record must carry as the hash of its predecessor.
    pub(crate) chain: u64,
}

/// First byte of each copy on a disk of `bytes`.
pub(crate) fn offsets(bytes: u64) -> [u64; COPIES] {
    let bytes = bytes / BLOCK * BLOCK;
    let middle = bytes / 2 / BLOCK * BLOCK;
    if bytes >= SMALL {
        [0, MIB, middle, (bytes - MIB) / BLOCK * BLOCK]
    } else {
        [0, BLOCK, middle, bytes.saturating_sub(BLOCK)]
    }
}

/// First byte of the log.
pub(crate) fn wal_start(bytes: u64) -> u64 {
    if bytes >= SMALL { 4 * MIB } else { 2 * BLOCK }
}

impl Superblock {
    /// The copy with this number as one block.
    pub(crate) fn encode(&self, copy: usize) -> Buf {
        let mut w = begin(Type::Superblock, self.id);
        w.u16(FORMAT_MAJOR);
        w.u16(FORMAT_MINOR);
        w.u32(copy as u32);
        w.u64(0); // feature_compat
        w.u64(self.ro_compat);
        w.u64(self.incompat);
        w.u64(self.sequence);
        w.u64(self.disk_bytes);
        w.u32(BLOCK as u32);
        w.u32(self.layout.object_blocks);
        w.u64(wal_start(self.disk_bytes));
        w.u64(self.layout.wal_bytes);
        w.u32(self.layout.ag_blocks);
        w.u32(self.layout.reserve_blocks);
        w.u64(self.layout.tail_bytes);
        w.u32(CHECKSUM_CRC32C);
        w.u32(0);
        w.u64(self.boot_epoch);
        self.root.put(&mut w);
        w.u64(self.wal_first_seq);
        w.u64(self.wal_first_pos);
        w.u64(self.chain);
        w.out.resize(BLOCK as usize, 0);
        Buf::copy_of(&seal(w))
    }

    fn body(id: Identity, r: &mut Reader<'_>, copy: usize) -> Result<Superblock, Malformed> {
        if r.u32()? as usize != copy {
            return Err(Malformed);
        }
        let (_compat, ro_compat, incompat) = (r.u64()?, r.u64()?, r.u64()?);
        let (sequence, disk_bytes) = (r.u64()?, r.u64()?);
        let (block, object_blocks, wal_at, wal_bytes) = (r.u32()?, r.u32()?, r.u64()?, r.u64()?);
        let (ag_blocks, reserve_blocks, tail_bytes) = (r.u32()?, r.u32()?, r.u64()?);
        let layout = Layout { object_blocks, wal_bytes, ag_blocks, reserve_blocks, tail_bytes };
        let (checksum, _) = (r.u32()?, r.u32()?);
        let boot_epoch = r.u64()?;
        let root = BlobRef::get(r)?;
        let (wal_first_seq, wal_first_pos, chain) = (r.u64()?, r.u64()?, r.u64()?);
        let known =
            u64::from(block) == BLOCK && checksum == CHECKSUM_CRC32C && wal_at == wal_start(disk_bytes);
        if !known || layout.validate(disk_bytes).is_err() || wal_first_seq == 0 {
            return Err(Malformed);
        }
        let sb = Superblock {
            id,
            sequence,
            incompat,
            ro_compat,
            disk_bytes,
            layout,
            boot_epoch,
            root,
            wal_first_seq,
            wal_first_pos,
            chain,
        };
        Ok(sb)
    }
}

/// What one block says when read as a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copy4 {
    /// Not a superblock, damaged, or a copy that belongs elsewhere.
    Bad,
    /// Intact, but written by a program that knew more: `(major, unknown bits)`.
    Newer(u16, u64),
    /// Intact and understood.
    Good(Superblock),
}

/// Reads one block as copy number `copy`.
pub(crate) fn decode(block: &[u8], copy: usize) -> Copy4 {
    if claimed_len(block, Type::Superblock) != Some(BLOCK as usize) {
        return Copy4::Bad;
    }
    let Ok((id, mut r)) = unseal(block, Type::Superblock) else { return Copy4::Bad };
    let (Ok(major), Ok(_minor)) = (r.u16(), r.u16()) else { return Copy4::Bad };
    let mut bits = Reader::new(&block[HEADER + 16..]);
    let (Ok(ro), Ok(incompat)) = (bits.u64(), bits.u64()) else { return Copy4::Bad };
    let unknown = (incompat & !features::INCOMPAT) | (ro & !features::RO_COMPAT);
    if major != FORMAT_MAJOR || unknown != 0 {
        return Copy4::Newer(major, unknown);
    }
    Superblock::body(id, &mut r, copy).map_or(Copy4::Bad, Copy4::Good)
}

/// What the copies say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The newest superblock that two copies agree on.
    pub(crate) chosen: Superblock,
    /// Highest sequence and boot epoch on any intact copy; new ones must lie above.
    pub(crate) max_sequence: u64,
    pub(crate) max_epoch: u64,
    /// Copies that do not say what was chosen.
    pub(crate) stale: [bool; COPIES],
}

/// Picks the newest superblock that at least two copies hold alike.
pub(crate) fn quorum(copies: &[Copy4; COPIES]) -> Result<Verdict, OpenError> {
    let good: Vec<&Superblock> =
        copies.iter().filter_map(|c| if let Copy4::Good(s) = c { Some(s) } else { None }).collect();
    let agreed = good.iter().filter(|s| good.iter().filter(|o| o == s).count() >= 2);
    if let Some(chosen) = agreed.max_by_key(|s| s.sequence) {
        let max = |f: fn(&Superblock) -> u64| good.iter().map(|s| f(s)).max().unwrap_or(0);
        return Ok(Verdict {
            chosen: **chosen,
            max_sequence: max(|s| s.sequence),
            max_epoch: max(|s| s.boot_epoch),
            stale: copies.map(|c| c != Copy4::Good(**chosen)),
        });
    }
    if let Some((major, bits)) =
        copies.iter().find_map(|c| if let Copy4::Newer(m, b) = c { Some((*m, *b)) } else { None })
    {
        return Err(if major != FORMAT_MAJOR {
            OpenError::NewerFormat { found: major, known: FORMAT_MAJOR }
        } else {
            OpenError::UnknownFeatures { bits }
        });
    }
    Err(if good.is_empty() { OpenError::NotOurs } else { OpenError::NoQuorum { valid: good.len() } })
}

/// The copies, and whether the medium failed to read any.
async fn read_copies<D: Disk>(disk: &D, at: [u64; COPIES]) -> ([Copy4; COPIES], bool) {
    let mut copies = [Copy4::Bad; COPIES];
    let mut failed = false;
    for (i, offset) in at.into_iter().enumerate() {
        if offset + BLOCK > disk.size() {
            continue;
        }
        // A copy that cannot be read counts as damaged: that is what the other three are for.
        match disk.read(offset, Buf::zeroed(BLOCK as usize)).await {
            (Ok(()), block) => copies[i] = decode(&block, i),
            (Err(_), _) => failed = true,
        }
    }
    (copies, failed)
}

/// Reads and judges the copies. A disk that became longer is looked at as long as it was.
pub(crate) async fn load<D: Disk>(disk: &D) -> Result<Verdict, OpenError> {
    let (mut copies, mut failed) = read_copies(disk, offsets(disk.size())).await;
    let recorded =
        copies.iter().filter_map(|c| if let Copy4::Good(s) = c { Some(s.disk_bytes) } else { None }).max();
    let actual = disk.size() / BLOCK * BLOCK;
    if let Some(recorded) = recorded.filter(|r| *r != actual) {
        if recorded > actual {
            return Err(OpenError::Truncated { recorded, actual });
        }
        (copies, failed) = read_copies(disk, offsets(recorded)).await;
    }
    quorum(&copies).map_err(|e| match e {
        // What could not be read might have agreed: that is a reason to try again, not to give the disk up.
        OpenError::NotOurs | OpenError::NoQuorum { .. } if failed => OpenError::Io,
        e => e,
    })
}

#[cfg(test)]
#[path = "superblock_tests.rs"]
mod tests;
