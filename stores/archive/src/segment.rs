//! A segment: packed blocks, each compressed by itself, then an index that says where each is and what it hashes to.
//!
//! Layout, little endian: magic, the blocks' bytes, the index (one [`Entry`] after the other), and a footer of index
//! offset (u64), number of entries (u32), CRC-32C of the index (u32) and the magic again. Blocks ascend.

use bytes::Bytes;
use parpen_model::Condition;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes of a block of the volume; the last one of a volume may be shorter.
pub(crate) const BLOCK: u64 = 64 * 1024;
const MAGIC: &[u8; 8] = b"PARPSEG1";
/// Bytes of one entry in the index.
const ENTRY: usize = 56;
/// Bytes of the footer.
pub(crate) const FOOTER: usize = 24;
/// Most entries that an index is believed to have, so that a damaged length takes no memory.
const ENTRIES_MAX: usize = 1 << 20;
/// Compression costs a tenth of what the disk gives at this level.
const LEVEL: i32 = 3;

/// How a block stands in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nowhere: it reads as zeros.
    Zero,
    /// As it is.
    Plain,
    /// Compressed.
    Zstd,
}

/// One block of the volume, as its segment's index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) block: u64,
    pub(crate) offset: u32,
    pub(crate) stored: u32,
    /// Its length once unpacked.
    pub(crate) raw: u32,
    pub(crate) form: Form,
    /// SHA-256 of the unpacked bytes.
    pub(crate) sum: [u8; 32],
}

/// A block that is ready to be stored.
pub(crate) struct Piece {
    block: u64,
    raw: u32,
    form: Form,
    sum: [u8; 32],
    bytes: Vec<u8>,
}

/// SHA-256.
pub(crate) fn sum(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// As hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn damaged(what: impl std::fmt::Display) -> Condition {
    Condition::DataLost(format!("the backup is damaged: {what}"))
}

impl Piece {
    /// A block that reads as zeros where its base does not.
    pub(crate) fn zero(block: u64, raw: u32) -> Piece {
        Piece { block, raw, form: Form::Zero, sum: [0; 32], bytes: Vec::new() }
    }

    /// Packs a block's bytes, whose hash is known already.
    pub(crate) fn pack(block: u64, raw: &[u8], sum: [u8; 32]) -> Result<Piece, Condition> {
        let packed = zstd::bulk::compress(raw, LEVEL).map_err(Condition::internal)?;
        let (form, bytes) =
            if packed.len() < raw.len() { (Form::Zstd, packed) } else { (Form::Plain, raw.to_vec()) };
        Ok(Piece { block, raw: raw.len() as u32, form, sum, bytes })
    }
}

/// Unpacks a block and proves it against its hash.
pub(crate) fn unpack(entry: &Entry, stored: &[u8]) -> Result<Vec<u8>, Condition> {
    let raw = match entry.form {
        Form::Zero => return Ok(vec![0; entry.raw as usize]),
        Form::Plain => stored.to_vec(),
        Form::Zstd => zstd::bulk::decompress(stored, entry.raw as usize)
            .map_err(|e| damaged(format_args!("block {} cannot be unpacked: {e}", entry.block)))?,
    };
    if raw.len() != entry.raw as usize || sum(&raw) != entry.sum {
        return Err(damaged(format_args!("block {} does not match its checksum", entry.block)));
    }
    Ok(raw)
}

/// Where a segment is and which blocks it can hold; part of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentRef {
    /// `<backup>/<number>`, below the volume's segments.
    pub(crate) name: String,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Length of the object.
    pub(crate) bytes: u64,
    /// Where the index begins.
    pub(crate) index: u64,
    pub(crate) entries: u32,
    /// SHA-256 of the index, which holds the hashes of all blocks.
    pub(crate) sum: String,
}

/// A segment that is being filled.
#[derive(Default)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Builder {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> u64 {
        (self.bytes.len() + self.entries.len() * ENTRY) as u64
    }

    pub(crate) fn push(&mut self, piece: Piece) {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(MAGIC);
        }
        self.entries.push(Entry {
            block: piece.block,
            offset: self.bytes.len() as u32,
            stored: piece.bytes.len() as u32,
            raw: piece.raw,
            form: piece.form,
            sum: piece.sum,
        });
        self.bytes.extend_from_slice(&piece.bytes);
    }

    /// The object and what a manifest says of it; the builder is empty again.
    pub(crate) fn finish(&mut self, name: String) -> Option<(SegmentRef, Bytes)> {
        let (mut bytes, entries) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.entries));
        let (first, last) = (entries.first()?.block, entries.last()?.block);
        let index = bytes.len() as u64;
        entries.iter().for_each(|e| encode(e, &mut bytes));
        let crc = crc(&bytes[index as usize..]);
        let sum = hex(&sum(&bytes[index as usize..]));
        bytes.extend_from_slice(&index.to_le_bytes());
        bytes.extend_from_slice(&(entries.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(MAGIC);
        let of = SegmentRef {
            name,
            first,
            last,
            bytes: bytes.len() as u64,
            index,
            entries: entries.len() as u32,
            sum,
        };
        Some((of, bytes.into()))
    }
}

fn crc(bytes: &[u8]) -> u32 {
    parpen_base::crc32c_seeded(0, bytes)
}

fn encode(e: &Entry, out: &mut Vec<u8>) {
    let form: u32 = match e.form {
        Form::Zero => 0,
        Form::Plain => 1,
        Form::Zstd => 2,
    };
    out.extend_from_slice(&e.block.to_le_bytes());
    for n in [e.offset, e.stored, e.raw, form] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    out.extend_from_slice(&e.sum);
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

fn decode(bytes: &[u8]) -> Option<Entry> {
    let form = match number(&bytes[20..24]) {
        0 => Form::Zero,
        1 => Form::Plain,
        2 => Form::Zstd,
        _ => return None,
    };
    let half = |at: usize| number(&bytes[at..at + 4]) as u32;
    let entry = Entry {
        block: number(&bytes[..8]),
        offset: half(8),
        stored: half(12),
        raw: half(16),
        form,
        sum: bytes[24..ENTRY].try_into().ok()?,
    };
    let sane = u64::from(entry.raw) <= BLOCK && u64::from(entry.stored) <= BLOCK && entry.raw > 0;
    sane.then_some(entry)
}

/// Reads an index: ascending blocks within the bounds.
fn entries(bytes: &[u8]) -> Result<Vec<Entry>, Condition> {
    let all: Option<Vec<Entry>> = bytes.chunks_exact(ENTRY).map(decode).collect();
    let all = all.ok_or_else(|| damaged("an index has an entry that cannot be"))?;
    match all.windows(2).all(|w| w[0].block < w[1].block) {
        true => Ok(all),
        false => Err(damaged("the blocks of an index do not ascend")),
    }
}

impl SegmentRef {
    /// Bytes of the index.
    pub(crate) fn index_range(&self) -> std::ops::Range<u64> {
        self.index..self.index + u64::from(self.entries) * ENTRY as u64
    }

    /// The index's entries, proved against the manifest.
    pub(crate) fn read_index(&self, bytes: &[u8]) -> Result<Vec<Entry>, Condition> {
        if hex(&sum(bytes)) != self.sum {
            return Err(damaged(format_args!(
                "the index of segment {} does not match its checksum",
                self.name
            )));
        }
        let all = entries(bytes)?;
        let inside =
            |e: &Entry| e.form == Form::Zero || u64::from(e.offset) + u64::from(e.stored) <= self.index;
        match all.iter().all(inside) {
            true => Ok(all),
            false => Err(damaged(format_args!("segment {} points outside of itself", self.name))),
        }
    }
}

/// Where the index of a segment of `bytes` bytes is, by its footer.
pub(crate) fn index_at(footer: &[u8], bytes: u64) -> Option<(std::ops::Range<u64>, u32)> {
    if footer.len() != FOOTER || &footer[16..] != MAGIC {
        return None;
    }
    let (index, count) = (number(&footer[..8]), number(&footer[8..12]) as usize);
    let end = index.checked_add((count * ENTRY) as u64)?;
    let fits = count <= ENTRIES_MAX && count > 0 && end + FOOTER as u64 == bytes;
    fits.then_some((index..end, number(&footer[12..16]) as u32))
}

/// What a manifest would say of a segment that was found, by its index and footer; `None` when it is no whole segment.
pub(crate) fn found(name: String, bytes: u64, index: &[u8], at: u64, sum_of: u32) -> Option<SegmentRef> {
    if crc(index) != sum_of {
        return None;
    }
    let all = entries(index).ok()?;
    let (first, last) = (all.first()?.block, all.last()?.block);
    Some(SegmentRef { name, first, last, bytes, index: at, entries: all.len() as u32, sum: hex(&sum(index)) })
}

/// Whether any bytes of an object make a segment that can be read without harm: what the fuzzer asks.
pub fn survives(bytes: &[u8]) -> bool {
    let Some(tail) = bytes.len().checked_sub(FOOTER) else { return false };
    let Some((range, crc)) = index_at(&bytes[tail..], bytes.len() as u64) else { return false };
    let index = &bytes[range.start as usize..range.end as usize];
    let Some(of) = found("0/0".into(), bytes.len() as u64, index, range.start, crc) else { return false };
    let Ok(all) = of.read_index(index) else { return false };
    all.iter().all(|e| {
        let stored = &bytes[e.offset as usize..][..if e.form == Form::Zero { 0 } else { e.stored as usize }];
        unpack(e, stored).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (SegmentRef, Bytes) {
        let mut b = Builder::default();
        for (block, raw) in [(3, vec![7u8; 65536]), (9, (0..=255).collect::<Vec<u8>>())] {
            b.push(Piece::pack(block, &raw, sum(&raw)).unwrap());
        }
        b.push(Piece::zero(11, 65536));
        b.finish("x/0".into()).unwrap()
    }

    #[test]
    fn a_segment_is_found_again_by_its_footer() {
        let (of, bytes) = sample();
        assert_eq!((of.first, of.last, of.entries, of.bytes), (3, 11, 3, bytes.len() as u64));
        let tail = bytes.len() - FOOTER;
        let (range, crc) = index_at(&bytes[tail..], of.bytes).unwrap();
        let index = &bytes[range.start as usize..range.end as usize];
        assert_eq!(found("x/0".into(), of.bytes, index, range.start, crc), Some(of.clone()));
        let all = of.read_index(index).unwrap();
        let stored = |e: &Entry| &bytes[e.offset as usize..(e.offset + e.stored) as usize];
        assert_eq!(unpack(&all[0], stored(&all[0])).unwrap(), vec![7; 65536]);
        assert_eq!(all[0].form, Form::Zstd);
        assert!(survives(&bytes));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (of, bytes) = sample();
        for at in 8..bytes.len() {
            let mut bad = bytes.to_vec();
            bad[at] ^= 1;
            let tail = bad.len() - FOOTER;
            let read = index_at(&bad[tail..], of.bytes).and_then(|(range, crc)| {
                let index = &bad[range.start as usize..range.end as usize];
                let found = found("x/0".into(), of.bytes, index, range.start, crc)?;
                (found == of).then_some(())?;
                let all = of.read_index(index).ok()?;
                let blocks = all.iter().map(|e| unpack(e, &bad[e.offset as usize..][..e.stored as usize]));
                blocks.collect::<Result<Vec<_>, _>>().ok()
            });
            assert!(read.is_none(), "byte {at} of {}", bytes.len());
        }
    }
}
