//! Writing: always to free blocks, then the map. Unaligned ends are read, merged and written under a lock.

use parpen_base::{Buf, ByteRange};
use smallvec::{SmallVec, smallvec};
use uuid::Uuid;

use crate::alloc::Runs;
use crate::blob::DEPTH;
use crate::disk::Part as Place;
use crate::engine::Engine;
use crate::layout::BLOCK;
use crate::paging::Pinned;
use crate::record::{Crcs, Mapping, Op, Piece, Pieces};
use crate::room::{Keep, Need};
use crate::state::State;
use crate::sync::yield_now;
use crate::wants::Needs;
use crate::{Disk, DiskError, EngineError, Rules};

const OUTSIDE: EngineError = EngineError::Invalid("the range is not within the volume");
const B: usize = BLOCK as usize;

/// What one write does to one object.
pub(crate) struct Part {
    pub(crate) index: u64,
    pub(crate) start: u32,
    pub(crate) pieces: Pieces,
    pub(crate) crcs: Crcs,
}

/// What one write does.
pub(crate) type Parts = SmallVec<[Part; 1]>;

impl Part {
    fn push(&mut self, phys: u64) {
        match self.pieces.last_mut() {
            Some(p) if p.phys == 0 && phys == 0 => p.len += 1,
            Some(p) if p.phys != 0 && p.phys + u64::from(p.len) == phys => p.len += 1,
            _ => self.pieces.push(Piece { phys, len: 1 }),
        }
    }
}

/// Whether a block is all zeros: such blocks become holes.
fn is_zero(block: &[u8]) -> bool {
    let (words, rest) = block.as_chunks::<16>();
    words.iter().all(|w| u128::from_ne_bytes(*w) == 0) && rest.iter().all(|b| *b == 0)
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Stores `buf` at `offset` of a volume; durable after a later [`Engine::flush`].
    pub async fn write(&self, id: Uuid, offset: u64, buf: Buf) -> (Result<(), EngineError>, Buf) {
        if let Err(e) = self.check_range(id, offset, buf.len() as u64) {
            return (Err(e), buf);
        }
        if buf.is_empty() {
            return (Ok(()), buf);
        }
        let end = offset + buf.len() as u64;
        let first = offset / BLOCK;
        let _lock = self.lock_blocks(id, first, (end - 1) / BLOCK).await;
        if let Err(e) = self.check_range(id, offset, buf.len() as u64) {
            return (Err(e), buf);
        }
        if offset.is_multiple_of(BLOCK) && buf.len().is_multiple_of(B) {
            return self.store_all(id, first, buf).await;
        }
        let from = (offset % BLOCK) as usize;
        match self.surroundings(id, first, from, buf.len()).await {
            Ok(mut whole) => {
                whole[from..from + buf.len()].copy_from_slice(&buf);
                (self.store_all(id, first, whole).await.0, buf)
            }
            Err(e) => (Err(e), buf),
        }
    }

    fn check_range(&self, id: Uuid, offset: u64, len: u64) -> Result<ByteRange, EngineError> {
        let (_, size) = self.writable(id)?;
        ByteRange::within(offset, len, size).map_err(|_| OUTSIDE)
    }

    /// Whole blocks around `len` bytes at `from` of block `first`, with what stands before and behind those
    /// bytes.
    async fn surroundings(&self, id: Uuid, first: u64, from: usize, len: usize) -> Result<Buf, EngineError> {
        let blocks = (from + len).div_ceil(B);
        let mut whole = Buf::zeroed(blocks * B);
        let last = blocks - 1;
        let head = (from > 0).then_some(0);
        let tail = (!(from + len).is_multiple_of(B) && (last > 0 || from == 0)).then_some(last);
        for at in head.into_iter().chain(tail) {
            let (result, old) = self.fetch(id, first + at as u64, Buf::zeroed(B)).await;
            result?;
            whole[at * B..(at + 1) * B].copy_from_slice(&old);
        }
        Ok(whole)
    }

    /// Stores whole blocks, in pieces where the log is too small for all at once.
    async fn store_all(&self, id: Uuid, first: u64, buf: Buf) -> (Result<(), EngineError>, Buf) {
        let most = self.store_blocks() as usize * B;
        if buf.len() <= most {
            return self.store(id, first, buf).await;
        }
        let mut at = first;
        for piece in buf.chunks(most) {
            if let (Err(e), _) = self.store(id, at, Buf::copy_of(piece)).await {
                return (Err(e), buf);
            }
            at += (piece.len() / B) as u64;
        }
        (Ok(()), buf)
    }

    /// Stores whole blocks from block `first` on. The caller holds the lock on them.
    async fn store(&self, id: Uuid, first: u64, buf: Buf) -> (Result<(), EngineError>, Buf) {
        let origin = match self.writable(id) {
            Ok((lineage, _)) => self.origin(lineage),
            Err(e) => return (Err(e), buf),
        };
        let crcs: SmallVec<[Option<u32>; 4]> = buf
            .chunks_exact(B)
            .enumerate()
            .map(|(i, b)| (!is_zero(b)).then(|| self.checksum(origin, first + i as u64, b)))
            .collect();
        let data = crcs.iter().flatten().count() as u64;
        let ops = Mapping::most_bytes(crcs.len() as u64) + 64 * (crcs.len() / self.op_blocks() as usize + 1);
        let need = Need { blocks: data, spans: self.spans_of(crcs.len() as u64), log: ops, keep: Keep::All };
        let touched = |state: &State, needs: &mut Needs| {
            if let Some((lineage, _)) = state.named(id) {
                state.need_write(lineage, first, crcs.len() as u64, needs);
            }
        };
        // Before any data is written: a map that cannot be read refuses the write.
        let _held = match self.load(touched).await {
            Ok(held) => held,
            Err(e) => return (Err(e), buf),
        };
        if let Err(e) = self.make_room(need).await {
            return (Err(e), buf);
        }
        let _pledge = self.pledge(need.spans);
        let Some((parts, runs)) = self.place_parts(origin, first, &crcs) else {
            return (Err(EngineError::NoSpace), buf);
        };
        let (written, buf) = self.write_parts(&parts, first, buf).await;
        if written == Err(DiskError::Io) {
            self.fence();
        }
        let written = match written {
            Ok(()) => self.make_ready(Need { log: ops, ..Need::default() }, touched).await,
            Err(e) => Err(e.into()),
        };
        // A volume that was rolled back or deleted meanwhile (only possible without locks) takes no more
        // data.
        let result = written.and_then(|held| self.writable(id).map(|(lineage, _)| (lineage, held)));
        let (lineage, _ready) = match result {
            Ok(found) => found,
            Err(e) => {
                self.return_data(runs);
                return (Err(e), buf);
            }
        };
        (self.map_parts(lineage, origin, parts, data).await, buf)
    }

    /// Others may have filled the log meanwhile, or changed what the write looks at.
    pub(crate) async fn make_ready(
        &self,
        need: Need,
        touched: impl Fn(&State, &mut Needs),
    ) -> Result<Pinned<'_, D, R>, EngineError> {
        loop {
            let held = self.load(&touched).await?;
            self.make_room(need).await?;
            if self.has_all(&touched) {
                return Ok(held);
            }
        }
    }

    /// Gives every block that is not zero its place.
    fn place_parts(&self, origin: u64, first: u64, crcs: &[Option<u32>]) -> Option<(Parts, Runs)> {
        let object_blocks = u64::from(self.layout.object_blocks);
        let (mut parts, mut taken) = (Parts::new(), Runs::new());
        let range = ByteRange::within(first, crcs.len() as u64, u64::MAX).ok()?;
        let limit = self.op_blocks();
        let cuts = range.split(object_blocks).flat_map(|(index, piece)| {
            let (start, end) = (piece.start(), piece.end());
            (start..end).step_by(limit as usize).map(move |at| (index, at, end.min(at + limit)))
        });
        for (index, from, to) in cuts {
            let crcs = &crcs[(from - first) as usize..(to - first) as usize];
            let Some(runs) = self.take_data(origin, index, crcs.iter().flatten().count() as u64) else {
                self.return_data(taken);
                return None;
            };
            let mut places = runs.iter().flat_map(|r| r.phys..r.phys + r.len);
            let start = (from % object_blocks) as u32;
            let mut part =
                Part { index, start, pieces: Pieces::new(), crcs: crcs.iter().flatten().copied().collect() };
            for crc in crcs {
                part.push(crc.and_then(|_| places.next()).unwrap_or(0));
            }
            parts.push(part);
            taken.extend(runs);
        }
        Some((parts, taken))
    }

    /// Writes what has its place; `buf` begins with block `first` of the volume.
    pub(crate) async fn write_parts(
        &self,
        parts: &[Part],
        first: u64,
        mut buf: Buf,
    ) -> (Result<(), DiskError>, Buf) {
        let object_blocks = u64::from(self.layout.object_blocks);
        let mut runs: SmallVec<[(usize, Piece); 1]> = SmallVec::new();
        for part in parts {
            let mut at = (part.index * object_blocks + u64::from(part.start) - first) as usize;
            for piece in &part.pieces {
                match runs.last_mut() {
                    _ if piece.phys == 0 => {}
                    Some((from, p))
                        if *from + p.len as usize == at && p.phys + u64::from(p.len) == piece.phys =>
                    {
                        p.len += piece.len;
                    }
                    _ => runs.push((at, *piece)),
                }
                at += piece.len as usize;
            }
        }
        if let [(0, whole)] = runs.as_slice()
            && whole.len as usize * B == buf.len()
        {
            return self.disk.write(whole.phys * BLOCK, buf).await;
        }
        let mut result = Ok(());
        for chunk in runs.chunks(DEPTH) {
            let part = |(at, p): &(usize, Piece)| Place {
                range: at * B..(at + p.len as usize) * B,
                offset: p.phys * BLOCK,
            };
            let written;
            (written, buf) = self.disk.write_parts(chunk.iter().map(part).collect(), buf).await;
            result = result.and(written);
        }
        (result, buf)
    }

    async fn map_parts(&self, lineage: u64, origin: u64, parts: Parts, data: u64) -> Result<(), EngineError> {
        self.room.borrow_mut().in_flight -= data;
        let generation = self.generation.get();
        for Part { index, start, pieces, crcs } in parts {
            self.change(Op::Map(Mapping { lineage, origin, index, generation, start, pieces, crcs }))?;
        }
        self.bound_tail(data * BLOCK).await
    }

    /// Counts what recovery would have to verify; commits when it is too much.
    pub(crate) async fn bound_tail(&self, more: u64) -> Result<(), EngineError> {
        let tail = {
            let mut log = self.log.borrow_mut();
            log.tail += more;
            log.tail
        };
        if tail > self.layout.tail_bytes { self.flush().await } else { Ok(()) }
    }

    /// The range reads as zeros afterwards and its space is given back.
    pub async fn zero(&self, id: Uuid, offset: u64, len: u64) -> Result<(), EngineError> {
        let range = self.check_range(id, offset, len)?;
        if range.is_empty() {
            return Ok(());
        }
        let _lock = self.lock_blocks(id, offset / BLOCK, (range.end() - 1) / BLOCK).await;
        let range = self.check_range(id, offset, len)?;
        let (from, to) = (range.start().div_ceil(BLOCK), range.end() / BLOCK);
        if from > to {
            return self.zero_within(id, range.start(), range.end()).await;
        }
        self.zero_within(id, range.start(), from * BLOCK).await?;
        self.zero_within(id, to * BLOCK, range.end()).await?;
        self.make_holes(id, from, to, true).await
    }

    /// Zeroes less than a block, within one block. The caller holds the lock on it.
    pub(crate) async fn zero_within(&self, id: Uuid, start: u64, end: u64) -> Result<(), EngineError> {
        if start >= end {
            return Ok(());
        }
        let block = start / BLOCK;
        let (result, mut old) = self.fetch(id, block, Buf::zeroed(B)).await;
        if result? {
            return Ok(());
        }
        let part = &mut old[(start - block * BLOCK) as usize..(end - block * BLOCK) as usize];
        if part.iter().all(|b| *b == 0) {
            return Ok(());
        }
        part.fill(0);
        self.store(id, block, old).await.0
    }

    /// Whole blocks within the range are given back and read as zeros afterwards; partial ones stay as they
    /// are.
    pub async fn discard(&self, id: Uuid, offset: u64, len: u64) -> Result<(), EngineError> {
        let range = self.check_range(id, offset, len)?;
        let from = offset.div_ceil(BLOCK);
        let size = self.writable(id)?.1;
        // What lies behind the end of the volume is nobody's, so its last block may go as a whole.
        let to = if range.end() == size { range.end().div_ceil(BLOCK) } else { range.end() / BLOCK };
        if from >= to {
            return Ok(());
        }
        let _lock = self.lock_blocks(id, from, to - 1).await;
        self.check_range(id, offset, len)?;
        self.make_holes(id, from, to, false).await
    }

    /// Makes blocks `from..to` holes, object by object. With `must` a full disk is an error; without, what
    /// finds no room for its metadata stays as it is. The caller holds the lock on the blocks.
    pub(crate) async fn make_holes(
        &self,
        id: Uuid,
        from: u64,
        to: u64,
        must: bool,
    ) -> Result<(), EngineError> {
        if from >= to {
            return Ok(());
        }
        let object_blocks = u64::from(self.layout.object_blocks);
        let (first, last) = (from / object_blocks, (to - 1) / object_blocks);
        let lineage = self.writable(id)?.0;
        let objects = self.state.borrow().touched_objects(lineage, first, last);
        for (n, index) in objects.into_iter().enumerate() {
            let start = from.max(index * object_blocks);
            let len = to.min((index + 1).saturating_mul(object_blocks)) - start;
            let held = self.load_range(id, start, len as usize).await?;
            let lineage = self.writable(id)?.0;
            let holes = self.state.borrow().entries(lineage, start, len as usize).iter().all(|d| d.is_none());
            drop(held);
            if holes {
                continue;
            }
            let keep = if must { Keep::All } else { Keep::Half };
            let need = Need { blocks: 0, spans: self.spans_of(len), log: Mapping::most_bytes(1), keep };
            let start = (start % object_blocks) as u32;
            let op = || {
                let lineage = self.writable(id)?.0;
                let pieces = smallvec![Piece { phys: 0, len: len as u32 }];
                let (origin, generation, crcs) = (lineage, self.generation.get(), Crcs::new());
                Ok(Op::Map(Mapping { lineage, origin, index, generation, start, pieces, crcs }))
            };
            match self.change_loaded(need, op).await {
                Err(EngineError::NoSpace) if !must => return Ok(()),
                other => other?,
            }
            if n % 64 == 63 {
                yield_now().await;
            }
        }
        self.bound_tail(0).await
    }
}
