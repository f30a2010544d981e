//! The write-ahead log: a ring of records, each chained to its predecessor by a 64-bit hash.

use parpen_base::{Buf, round_up};

use crate::codec::{
    HEADER, Identity, Malformed, Reader, Type, Writer, begin, claimed_len, hash64, seal, unseal,
};
use crate::layout::BLOCK;
use crate::record::Op;
use crate::superblock::wal_start;
use crate::{Disk, DiskError};

/// Bytes before the operations of a record.
pub(crate) const RECORD_HEADER: usize = HEADER + 40;

/// Records are cut at this size, in bytes: an eighth of the log, at most 1 MiB.
pub(crate) fn cut(wal_bytes: u64) -> u64 {
    (wal_bytes / 8 / BLOCK * BLOCK).clamp(BLOCK, 1 << 20)
}

/// Largest record of a log, which only one large operation can need: a quarter of it, at most 16 MiB.
pub(crate) fn max_record(wal_bytes: u64) -> u64 {
    (wal_bytes / 4 / BLOCK * BLOCK).clamp(BLOCK, 16 << 20)
}

/// Operations that wait for the log, encoded, in order.
#[derive(Default)]
pub(crate) struct Queue {
    all: Writer,
    ends: Vec<usize>,
    /// For the one that is being encoded.
    body: Writer,
}

impl Queue {
    pub(crate) fn push(&mut self, op: &Op) {
        op.put(&mut self.all, &mut self.body);
        self.ends.push(self.all.out.len());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all operations.
    pub(crate) fn len(&self) -> usize {
        self.all.out.len()
    }

    /// Puts another queue behind this one.
    pub(crate) fn append(&mut self, other: Queue) {
        let base = self.len();
        self.all.bytes(&other.all.out);
        self.ends.extend(other.ends.iter().map(|e| base + e));
    }

    /// Cuts the operations into pieces of at most `most` bytes (more only where one operation is larger), in
    /// order: how many, and their bytes.
    pub(crate) fn pack(&self, most: usize) -> Vec<(u32, &[u8])> {
        let mut out = Vec::new();
        let (mut from, mut to, mut count) = (0, 0, 0);
        for end in &self.ends {
            if count > 0 && end - from > most {
                out.push((count, &self.all.out[from..to]));
                (from, count) = (to, 0);
            }
            (to, count) = (*end, count + 1);
        }
        if count > 0 {
            out.push((count, &self.all.out[from..to]));
        }
        out
    }
}

/// Most bytes of the ring that operations of `bytes` in all can take, however they are cut.
pub(crate) fn ring_need(bytes: usize, wal_bytes: u64) -> u64 {
    // Two neighbouring records hold more than one cut together, so there are at most this many; each may
    // waste less than a block.
    let (bytes, head) = (bytes as u64, RECORD_HEADER as u64);
    let records = 2 * bytes / (cut(wal_bytes) - head) + 1;
    ((bytes + records * head) / BLOCK + records) * BLOCK
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHead {
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    pub(crate) prev: u64,
    /// Every record up to this one was durable, with its data, before this one was written.
    pub(crate) durable_upto: u64,
}

/// A record as it stands in the log.
pub(crate) struct Record {
    pub(crate) head: RecordHead,
    pub(crate) ops: Vec<Op>,
    /// Hash that its successor carries.
    pub(crate) hash: u64,
    /// Bytes in the ring: whole blocks.
    pub(crate) size: u64,
}

/// A record ready to be written.
pub(crate) struct Sealed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) hash: u64,
}

/// Frames operations (already encoded, `count` of them).
pub(crate) fn encode(of: Identity, head: RecordHead, count: u32, ops: &[u8]) -> Sealed {
    let mut w = begin(Type::Record, of);
    w.u64(head.seq);
    w.u64(head.epoch);
    w.u64(head.prev);
    w.u64(head.durable_upto);
    w.u32(count);
    w.u32(0);
    w.bytes(ops);
    let bytes = seal(w);
    Sealed { hash: hash64(head.prev, &bytes), bytes }
}

fn head_of(bytes: &[u8], of: Identity) -> Result<(RecordHead, u32, Reader<'_>), Malformed> {
    let (id, mut r) = unseal(bytes, Type::Record)?;
    if id != of {
        return Err(Malformed);
    }
    let head = RecordHead { seq: r.u64()?, epoch: r.u64()?, prev: r.u64()?, durable_upto: r.u64()? };
    let count = r.u32()?;
    r.u32()?;
    Ok((head, count, r))
}

/// Reads a record that passed its checksum; `Err` says that its operations make no sense.
fn operations(count: u32, mut r: Reader<'_>) -> Result<Vec<Op>, Malformed> {
    let mut ops = Vec::new();
    for _ in 0..count {
        if let Some(op) = Op::get(&mut r)? {
            ops.push(op);
        }
    }
    if r.is_empty() { Ok(ops) } else { Err(Malformed) }
}

/// Reads a whole record.
pub(crate) fn decode(bytes: &[u8], of: Identity) -> Option<(RecordHead, Vec<Op>)> {
    let (head, count, r) = head_of(bytes, of).ok()?;
    Some((head, operations(count, r).ok()?))
}

/// What stands at a place of the ring.
pub(crate) enum At {
    /// No intact record of this disk.
    Nothing,
    /// An intact record whose operations are unknown or senseless.
    Senseless(RecordHead),
    /// A record.
    Record(Record),
}

/// Reads the ring in larger pieces. Positions count from the making of the log; the ring is position modulo
/// length.
pub(crate) struct Ring<'a, D: Disk> {
    disk: &'a D,
    of: Identity,
    start: u64,
    len: u64,
    window: Option<(u64, Buf)>,
}

const WINDOW: u64 = 256 << 10;

impl<'a, D: Disk> Ring<'a, D> {
    pub(crate) fn new(disk: &'a D, of: Identity, disk_bytes: u64, len: u64) -> Ring<'a, D> {
        Ring { disk, of, start: wal_start(disk_bytes), len, window: None }
    }

    async fn block(&mut self, pos: u64) -> Result<&[u8], DiskError> {
        let offset = pos % self.len;
        let hit = self.window.as_ref().is_some_and(|(at, b)| (*at..*at + b.len() as u64).contains(&offset));
        if !hit {
            let size = WINDOW.min(self.len - offset);
            let (r, buf) = self.disk.read(self.start + offset, Buf::zeroed(size as usize)).await;
            r?;
            self.window = Some((offset, buf));
        }
        let (at, buf) = self.window.as_ref().expect("the window was just filled");
        let from = (offset - at) as usize;
        Ok(&buf[from..from + BLOCK as usize])
    }

    async fn gather(&mut self, pos: u64) -> Result<Option<Vec<u8>>, DiskError> {
        let most = max_record(self.len).min(self.len);
        let first = self.block(pos).await?;
        let Some(len) = claimed_len(first, Type::Record).filter(|l| *l as u64 <= most) else {
            return Ok(None);
        };
        let mut bytes = first.to_vec();
        while bytes.len() < len {
            let more = self.block(pos + bytes.len() as u64).await?;
            bytes.extend_from_slice(more);
        }
        Ok(Some(bytes))
    }

    /// The record at `pos`.
    pub(crate) async fn at(&mut self, pos: u64) -> Result<At, DiskError> {
        let Some(bytes) = self.gather(pos).await? else { return Ok(At::Nothing) };
        let Ok((head, count, r)) = head_of(&bytes, self.of) else { return Ok(At::Nothing) };
        let Ok(ops) = operations(count, r) else { return Ok(At::Senseless(head)) };
        let len = claimed_len(&bytes, Type::Record).expect("head_of() has seen a length");
        let size = round_up(len as u64, BLOCK).expect("a record is at most 1 MiB");
        Ok(At::Record(Record { head, ops, hash: hash64(head.prev, &bytes[..len]), size }))
    }

    /// Whether a record anywhere in the ring says that `seq` was durable: then its absence is damage, not a
    /// torn tail.
    pub(crate) async fn vouched(&mut self, seq: u64, epoch: u64) -> Result<bool, DiskError> {
        for offset in (0..self.len).step_by(BLOCK as usize) {
            if let At::Record(r) = self.at(offset).await?
                && r.head.epoch == epoch
                && r.head.seq > seq
                && r.head.durable_upto >= seq
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    const ID: Identity = Identity { store: Uuid::from_u128(1), disk: Uuid::from_u128(2) };

    fn queue(ops: &[Op]) -> Queue {
        let mut q = Queue::default();
        ops.iter().for_each(|op| q.push(op));
        q
    }

    fn sealed(ops: &[Op]) -> Sealed {
        let q = queue(ops);
        let (count, bytes) = q.pack(4000)[0];
        encode(ID, RecordHead { seq: 9, epoch: 2, prev: 77, durable_upto: 8 }, count, bytes)
    }

    #[test]
    fn records_come_back_and_strangers_do_not() {
        let ops = [Op::Forget { lineage: 3 }, Op::Drop { lineage: 3 }];
        let s = sealed(&ops);
        let (head, count, r) = head_of(&s.bytes, ID).unwrap();
        assert_eq!((head.seq, head.prev, count), (9, 77, 2));
        assert_eq!(operations(count, r).unwrap(), ops);
        assert!(head_of(&s.bytes, Identity { store: Uuid::nil(), ..ID }).is_err());
    }

    #[test]
    fn packing_keeps_order_and_size() {
        let ops: Vec<Op> = (0..100).map(|i| Op::Resize { lineage: i, bytes: 1 << 40 }).collect();
        let mut q = queue(&ops[..50]);
        q.append(queue(&ops[50..]));
        let packed = q.pack(64);
        assert!(packed.len() > 5 && packed.iter().all(|(_, b)| b.len() <= 64));
        let all: Vec<Op> = packed.iter().flat_map(|(n, b)| operations(*n, Reader::new(b)).unwrap()).collect();
        assert_eq!(all, ops);
        let large = [
            Op::Drop { lineage: 1 },
            Op::Relabel { lineage: 1, label: vec![0; 65] },
            Op::Drop { lineage: 2 },
        ];
        assert_eq!(queue(&large).pack(64).iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 1, 1]);
        assert!(Queue::default().pack(64).is_empty());
    }

    proptest! {
        #[test]
        fn the_need_of_the_ring_is_never_too_small(sizes in proptest::collection::vec(1usize..6000, 1..60)) {
            let mut q = Queue::default();
            for n in &sizes {
                q.all.bytes(&vec![0; *n]);
                q.ends.push(q.len());
            }
            let wal = 32 << 10;
            let cuts = q.pack(cut(wal) as usize - RECORD_HEADER);
            let used: u64 = cuts.iter().map(|(_, b)| ((RECORD_HEADER + b.len()) as u64).next_multiple_of(BLOCK)).sum();
            prop_assert!(used <= ring_need(q.len(), wal));
        }
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_no_record(bit in 0usize..RECORD_HEADER * 8) {
            let mut bytes = sealed(&[Op::Forget { lineage: 3 }]).bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(head_of(&bytes, ID).is_err());
        }
    }
}
