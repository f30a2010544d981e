//! Reading: resolve, one disk request per contiguous run, verify; and the map for those who ask where data
//! is.

use parpen_base::{Buf, ByteRange};
use uuid::Uuid;

use crate::blob::DEPTH;
use crate::disk::Part;
use crate::engine::Engine;
use crate::layout::BLOCK;
use crate::map::Data;
use crate::state::{Span, State};
use crate::wants::Needs;
use crate::{Disk, EngineError, Extent, Rules};

/// Neighbours in a volume that are neighbours on the disk.
pub(crate) struct Stretch {
    pub(crate) at: usize,
    pub(crate) len: usize,
    pub(crate) phys: u64,
}

const OUTSIDE: EngineError = EngineError::Invalid("the range is not within the volume");

impl State {
    /// Where blocks `first..first + count` of a lineage stand; `None`: a hole. Their maps were loaded before.
    pub(crate) fn entries(&self, lineage: u64, first: u64, count: usize) -> Vec<Option<Data>> {
        let mut out = Vec::with_capacity(count);
        while out.len() < count {
            let block = first + out.len() as u64;
            let (index, within) = (block / self.object_blocks, (block % self.object_blocks) as usize);
            let (span, i) = (within / self.span_blocks, within % self.span_blocks);
            let n = (self.span_blocks - i).min(count - out.len());
            match self.lookup(lineage, index).and_then(|slot| self.resolve(slot, span)) {
                Some(map) => out.extend((i..i + n).map(|i| map.get(i))),
                None => out.resize(out.len() + n, None),
            }
        }
        out
    }

    /// A block of data whose map is in memory; `None` also where it is not, or is a hole.
    pub(crate) fn at_hand(&self, lineage: u64, block: u64) -> Option<Data> {
        let (index, within) = (block / self.object_blocks, (block % self.object_blocks) as usize);
        let (span, i) = (within / self.span_blocks, within % self.span_blocks);
        let mut at = self.lookup(lineage, index);
        while let Some(slot) = at {
            let v = self.version(slot);
            match &v.row.as_deref()?.spans[span] {
                Span::Inherit => at = v.parent(),
                Span::Here(map) => {
                    map.touch();
                    return map.get(i);
                }
                Span::Holes | Span::Stored => return None,
            }
        }
        None
    }

    /// Objects of `from..=to` that a lineage or its ancestors have a version of: outside them are holes.
    pub(crate) fn touched_objects(&self, mut lineage: u64, from: u64, to: u64) -> Vec<u64> {
        let mut all = std::collections::BTreeSet::new();
        while let Some(node) = self.nodes.get(&lineage) {
            all.extend(self.by_key.range((lineage, from)..=(lineage, to)).map(|((_, index), _)| *index));
            lineage = node.parent;
        }
        all.into_iter().collect()
    }
}

pub(crate) fn stretches(map: &[Option<Data>]) -> Vec<Stretch> {
    let mut out: Vec<Stretch> = Vec::new();
    for (at, d) in map.iter().enumerate().filter_map(|(at, d)| d.map(|d| (at, d))) {
        match out.last_mut() {
            Some(s) if s.at + s.len == at && s.phys + s.len as u64 == d.phys => s.len += 1,
            _ => out.push(Stretch { at, len: 1, phys: d.phys }),
        }
    }
    out
}

pub(crate) fn bytes(blocks: usize) -> usize {
    blocks * BLOCK as usize
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Fills `buf` from `offset` of a volume or snapshot; `Ok(true)` when nothing but unmapped zeros was
    /// there.
    pub async fn read(&self, id: Uuid, offset: u64, mut buf: Buf) -> (Result<bool, EngineError>, Buf) {
        let size = match self.find(id, |_, n| n.bytes) {
            Ok(size) => size,
            Err(e) => return (Err(e), buf),
        };
        let Ok(range) = ByteRange::within(offset, buf.len() as u64, size) else { return (Err(OUTSIDE), buf) };
        if range.is_empty() {
            return (Ok(true), buf);
        }
        let first = offset / BLOCK;
        if offset.is_multiple_of(BLOCK) && range.len().is_multiple_of(BLOCK) {
            return self.fetch(id, first, buf).await;
        }
        let blocks = (range.end().div_ceil(BLOCK) - first) as usize;
        let (result, whole) = self.fetch(id, first, Buf::zeroed(bytes(blocks))).await;
        let from = (offset % BLOCK) as usize;
        let len = buf.len();
        buf.copy_from_slice(&whole[from..from + len]);
        (result, buf)
    }

    /// Fills `buf`, whole blocks, from block `first`. While it reads, a block may be overwritten, its old
    /// place freed and used again: a checksum that does not match is an error only if the map is still what
    /// it was.
    pub(crate) async fn fetch(&self, id: Uuid, first: u64, buf: Buf) -> (Result<bool, EngineError>, Buf) {
        let of = |state: &State| state.named(id).map(|(lineage, _)| lineage).ok_or(EngineError::NotFound);
        self.fetch_of(of, first, buf).await
    }

    /// [`Engine::fetch`] of the lineage that `of` names at each try.
    pub(crate) async fn fetch_of(
        &self,
        of: impl Fn(&State) -> Result<u64, EngineError>,
        first: u64,
        mut buf: Buf,
    ) -> (Result<bool, EngineError>, Buf) {
        let count = buf.len() / BLOCK as usize;
        // The most frequent case takes no memory. What goes wrong here is looked into below.
        if count == 1
            && let Some(d) = self.at_hand(&of, first)
        {
            let result;
            (result, buf) = self.disk.read(d.phys * BLOCK, buf).await;
            if result.is_ok() && self.matches(&d, first, &buf) {
                return (Ok(false), buf);
            }
        }
        let mut before = Vec::new();
        let mut failure = EngineError::DataLost;
        loop {
            let wants = |state: &State, needs: &mut Needs| {
                if let Ok(lineage) = of(state) {
                    state.need_range(lineage, first, count, needs);
                }
            };
            let _held = match self.load(wants).await {
                Ok(held) => held,
                Err(e) => return (Err(e), buf),
            };
            let now = |state: &State| Ok(state.entries(of(state)?, first, count));
            let map = match self.alive().and_then(|()| now(&self.state.borrow())) {
                Ok(map) => map,
                Err(e) => return (Err(e), buf),
            };
            if map == before {
                return (Err(failure), buf);
            }
            let result;
            (result, buf) = self.attempt(&map, first, buf).await;
            match result {
                Ok(zero) => return (Ok(zero), buf),
                Err(e) => failure = e,
            }
            before = map;
        }
    }

    fn at_hand(&self, of: impl Fn(&State) -> Result<u64, EngineError>, block: u64) -> Option<Data> {
        self.alive().ok()?;
        let state = self.state.borrow();
        state.at_hand(of(&state).ok()?, block)
    }

    async fn attempt(
        &self,
        map: &[Option<Data>],
        first: u64,
        mut buf: Buf,
    ) -> (Result<bool, EngineError>, Buf) {
        let runs = stretches(map);
        match runs.as_slice() {
            [] => {
                buf.fill(0);
                (Ok(true), buf)
            }
            [whole] if whole.len == map.len() => {
                let (result, buf) = self.disk.read(whole.phys * BLOCK, buf).await;
                let result =
                    result.map_err(EngineError::from).and_then(|()| self.verify(map, first, whole, &buf));
                (result.map(|()| false), buf)
            }
            _ => {
                let mut end = 0;
                for s in &runs {
                    buf[end..bytes(s.at)].fill(0);
                    end = bytes(s.at + s.len);
                }
                buf[end..].fill(0);
                for chunk in runs.chunks(DEPTH) {
                    let part = |s: &Stretch| Part {
                        range: bytes(s.at)..bytes(s.at + s.len),
                        offset: s.phys * BLOCK,
                    };
                    let (result, back) = self.disk.read_parts(chunk.iter().map(part).collect(), buf).await;
                    buf = back;
                    let checked = result.map_err(EngineError::from).and_then(|()| {
                        chunk.iter().try_for_each(|s| {
                            self.verify(map, first, s, &buf[bytes(s.at)..bytes(s.at + s.len)])
                        })
                    });
                    if let Err(e) = checked {
                        return (Err(e), buf);
                    }
                }
                (Ok(false), buf)
            }
        }
    }

    fn verify(&self, map: &[Option<Data>], first: u64, s: &Stretch, data: &[u8]) -> Result<(), EngineError> {
        for (i, block) in data.chunks_exact(BLOCK as usize).enumerate() {
            let good = map[s.at + i].is_some_and(|d| self.matches(&d, first + (s.at + i) as u64, block));
            if !good {
                return Err(EngineError::DataLost);
            }
        }
        Ok(())
    }

    /// The map of a range, from `offset` on; the pieces add up to `len`.
    pub async fn extents(&self, id: Uuid, offset: u64, len: u64) -> Result<Vec<Extent>, EngineError> {
        let (lineage, size) = self.find(id, |lineage, n| (lineage, n.bytes))?;
        let range = ByteRange::within(offset, len, size).map_err(|_| OUTSIDE)?;
        let mut out: Vec<Extent> = Vec::new();
        let mut at = range.start();
        let mut upto = |end: u64, zero: bool| {
            let end = end.min(range.end());
            if end > at {
                match out.last_mut() {
                    Some(last) if last.zero == zero => last.len += end - at,
                    _ => out.push(Extent { len: end - at, zero }),
                }
                at = end;
            }
        };
        if range.is_empty() {
            return Ok(out);
        }
        let blocks = u64::from(self.layout.object_blocks);
        let object = blocks * BLOCK;
        let (from, to) = (range.start() / object, (range.end() - 1) / object);
        let touched = self.state.borrow().touched_objects(lineage, from, to);
        for index in touched {
            upto(index * object, true);
            let first = (range.start() / BLOCK).max(index * blocks);
            let end = range.end().div_ceil(BLOCK).min((index + 1) * blocks);
            let _held = self.load_range(id, first, (end - first) as usize).await?;
            let lineage = self.find(id, |lineage, _| lineage)?;
            let map = self.state.borrow().entries(lineage, first, (end - first) as usize);
            for (i, d) in map.iter().enumerate() {
                upto((first + i as u64 + 1) * BLOCK, d.is_none());
            }
        }
        upto(range.end(), true);
        Ok(out)
    }
}
