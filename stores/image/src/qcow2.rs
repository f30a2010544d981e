//! qcow2, versions 2 and 3, read: no backing file, no encryption, no external data; compressed clusters of zlib and zstd.
//!
//! Every number of the file is taken for hostile: tables are bounded, offsets are checked by reading, and nothing is
//! allocated that the header alone could make large.

mod write;

use std::io::Read;

use parpen_model::Condition;

use crate::disk::{ReadAt, unreadable};

pub use write::Writer;

const MAGIC: u32 = 0x5146_49fb;
/// Bits 9 to 55 of a table's entry: where something stands.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
/// Reads as zeros, whatever stands there (version 3).
const ZERO: u64 = 1;
/// Largest first table that is read, in entries: 2 TiB of the smallest clusters, 1 PiB of common ones.
const L1_MAX: u64 = 4 << 20;
/// Largest disk: what a volume can have.
const SIZE_MAX: u64 = 1 << 50;
const FEATURE_DIRTY: u64 = 1;
const FEATURE_CORRUPT: u64 = 1 << 1;
const FEATURE_EXTERNAL: u64 = 1 << 2;
const FEATURE_COMPRESSION: u64 = 1 << 3;
const FEATURE_EXTENDED_L2: u64 = 1 << 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Zlib,
    Zstd,
}

/// What the header says.
#[derive(Clone, Copy, Debug)]
struct Header {
    version: u32,
    cluster_bits: u32,
    size: u64,
    l1_size: u64,
    l1_offset: u64,
    compression: Compression,
}

/// A qcow2 file as a disk.
pub struct Qcow2<R> {
    file: R,
    header: Header,
    l1: Vec<u64>,
    /// The second table that was read last, by where it stands.
    l2: Option<(u64, Vec<u64>)>,
    /// The compressed cluster that was unpacked last, by its entry.
    unpacked: Option<(u64, Vec<u8>)>,
}

fn refused(why: &str) -> Condition {
    Condition::invalid("image", format!("Image is unacceptable: {why}"))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |n, b| n << 8 | u32::from(*b))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) << 32 | u64::from(word(bytes, at + 4))
}

impl Header {
    /// From the first 112 bytes of a file, the last of them zeros where the file is shorter.
    fn parse(b: &[u8; 112]) -> Result<Header, Condition> {
        let version = word(b, 4);
        if word(b, 0) != MAGIC {
            return Err(refused("it is no qcow2 file"));
        }
        if !(2..=3).contains(&version) {
            return Err(refused("only versions 2 and 3 of qcow2 can be read"));
        }
        if long(b, 8) != 0 || word(b, 16) != 0 {
            return Err(refused("it has a backing file"));
        }
        if word(b, 32) != 0 {
            return Err(refused("it is encrypted"));
        }
        let features = if version == 3 { long(b, 72) } else { 0 };
        let compression = compression(features, b)?;
        let (cluster_bits, size) = (word(b, 20), long(b, 24));
        if !(9..=21).contains(&cluster_bits) {
            return Err(refused("its clusters are of a size that cannot be"));
        }
        if size > SIZE_MAX {
            return Err(refused("its disk is larger than any volume"));
        }
        let (l1_size, l1_offset) = (u64::from(word(b, 36)), long(b, 40));
        let needed = size.div_ceil(1 << (2 * cluster_bits - 3));
        if l1_size < needed || needed > L1_MAX {
            return Err(refused("its first table does not fit its disk"));
        }
        Ok(Header { version, cluster_bits, size, l1_size: needed, l1_offset, compression })
    }

    fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }
}

fn compression(features: u64, b: &[u8; 112]) -> Result<Compression, Condition> {
    if features & FEATURE_CORRUPT != 0 {
        return Err(refused("it is marked as corrupt"));
    }
    if features & FEATURE_EXTERNAL != 0 {
        return Err(refused("its data is in another file"));
    }
    if features & FEATURE_EXTENDED_L2 != 0 {
        return Err(refused("it has extended L2 entries (subclusters), which are not supported"));
    }
    if features & !(FEATURE_DIRTY | FEATURE_COMPRESSION) != 0 {
        return Err(refused("it needs a feature that is not known here"));
    }
    match (features & FEATURE_COMPRESSION != 0, b[104]) {
        (false, _) | (true, 0) => Ok(Compression::Zlib),
        (true, 1) => Ok(Compression::Zstd),
        (true, _) => Err(refused("it is compressed in a way that is not known here")),
    }
}

impl<R: ReadAt> Qcow2<R> {
    /// Opens a file.
    pub fn open(file: R) -> Result<Qcow2<R>, Condition> {
        let length = file.size().map_err(unreadable)?;
        if length < 72 {
            return Err(refused("it is no qcow2 file"));
        }
        let mut head = [0; 112];
        file.read_at(&mut head[..length.min(112) as usize], 0).map_err(unreadable)?;
        let header = Header::parse(&head)?;
        let end = header.l1_offset.checked_add(header.l1_size * 8);
        if end.is_none_or(|end| end > length) {
            return Err(refused("its first table lies outside of it"));
        }
        let l1 = table(&file, header.l1_offset, header.l1_size)?;
        Ok(Qcow2 { file, header, l1, l2: None, unpacked: None })
    }

    /// Bytes of the disk.
    pub fn size(&self) -> u64 {
        self.header.size
    }

    /// Fills the buffer from `offset` on.
    pub fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Condition> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.header.size) {
            return Err(Condition::internal("a read beyond the end of a qcow2 disk"));
        }
        let cluster = self.header.cluster();
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let within = at % cluster;
            let n = (cluster - within).min(rest.len() as u64) as usize;
            let (now, later) = rest.split_at_mut(n);
            self.read_cluster(at / cluster, within, now)?;
            at += n as u64;
            rest = later;
        }
        Ok(())
    }

    fn read_cluster(&mut self, number: u64, within: u64, buf: &mut [u8]) -> Result<(), Condition> {
        let entry = self.entry(number)?;
        if entry & COMPRESSED != 0 {
            let unpacked = self.unpack(entry)?;
            let from = within as usize;
            buf.copy_from_slice(&unpacked[from..from + buf.len()]);
            return Ok(());
        }
        let offset = entry & OFFSET;
        if offset == 0 || (self.header.version >= 3 && entry & ZERO != 0) {
            buf.fill(0);
            return Ok(());
        }
        self.check_aligned(offset)?;
        self.file.read_at(buf, offset + within).map_err(unreadable)
    }

    fn check_aligned(&self, offset: u64) -> Result<(), Condition> {
        match offset.is_multiple_of(self.header.cluster()) {
            true => Ok(()),
            false => Err(Condition::DataLost("the image has a table entry that cannot be".into())),
        }
    }

    /// The second table's entry of a cluster; 0 where there is no table.
    fn entry(&mut self, number: u64) -> Result<u64, Condition> {
        let per_table = self.header.cluster() / 8;
        let (outer, inner) = (number / per_table, (number % per_table) as usize);
        let at = self.l1.get(outer as usize).map_or(0, |e| e & OFFSET);
        if at == 0 {
            return Ok(0);
        }
        if let Some((of, table)) = &self.l2
            && *of == at
        {
            return Ok(table[inner]);
        }
        self.check_aligned(at)?;
        let read = table(&self.file, at, per_table)?;
        let entry = read[inner];
        self.l2 = Some((at, read));
        Ok(entry)
    }

    /// The bytes of a compressed cluster.
    fn unpack(&mut self, entry: u64) -> Result<&[u8], Condition> {
        if self.unpacked.as_ref().is_none_or(|(of, _)| *of != entry) {
            let bits = 62 - (self.header.cluster_bits - 8);
            let offset = entry & ((1 << bits) - 1);
            let sectors = (entry & !COMPRESSED & !(1 << 63)) >> bits;
            let wanted = (sectors + 1) * 512 - (offset & 511);
            // The last cluster of a file may be counted further than the file goes.
            let there = self.file.size().map_err(unreadable)?.saturating_sub(offset).min(wanted);
            let mut packed = vec![0; there as usize];
            self.file.read_at(&mut packed, offset).map_err(unreadable)?;
            let unpacked = inflate(&packed, self.header.compression, self.header.cluster() as usize)?;
            self.unpacked = Some((entry, unpacked));
        }
        self.unpacked
            .as_ref()
            .map(|(_, bytes)| bytes.as_slice())
            .ok_or_else(|| Condition::internal("a cluster was not kept"))
    }
}

fn table<R: ReadAt>(file: &R, offset: u64, entries: u64) -> Result<Vec<u64>, Condition> {
    let mut bytes = vec![0; entries as usize * 8];
    file.read_at(&mut bytes, offset).map_err(unreadable)?;
    Ok(bytes.chunks_exact(8).map(|c| long(c, 0)).collect())
}

/// Exactly `len` bytes out of a compressed cluster.
fn inflate(packed: &[u8], how: Compression, len: usize) -> Result<Vec<u8>, Condition> {
    let bad = |_| Condition::DataLost("a compressed cluster of the image is damaged".into());
    let mut out = vec![0; len];
    match how {
        Compression::Zlib => flate2::read::DeflateDecoder::new(packed).read_exact(&mut out).map_err(bad)?,
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(packed).map_err(bad)?.single_frame();
            decoder.read_exact(&mut out).map_err(bad)?;
        }
    }
    Ok(out)
}

/// Reads all of a disk up to a bound: what the fuzzer asks.
pub fn survives(bytes: &[u8]) -> bool {
    let Ok(mut disk) = Qcow2::open(bytes) else { return false };
    let mut buf = vec![0; 65536];
    let ends = [0, disk.size() / 2, disk.size().saturating_sub(65536)];
    ends.into_iter().all(|at| {
        let n = (disk.size() - at).min(65536) as usize;
        disk.read(at, &mut buf[..n]).is_ok()
    })
}
