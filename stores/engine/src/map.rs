//! The map of one span (up to 512 blocks of an object): where each block stands, its checksum and its origin.

use std::cell::Cell;

use crate::codec::{Identity, Malformed, Reader, Type, begin, seal, unseal};

/// One mapped block: 40 bits of disk block, 10 bits of index into the span's origins; 0 is a hole that reads
/// as zeros. Block 0 of a disk is a superblock, so no data block is ever 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Entry(u64);

const PHYS_BITS: u32 = 40;
const PHYS_MASK: u64 = (1 << PHYS_BITS) - 1;
/// Most origins that the 10 bits of an entry can tell apart.
const ORIGINS_MAX: usize = 1024;

/// Kinds of runs on disk. `PARENT` (blocks resolved from another disk) is reserved for later and refused now.
const RUN_DATA: u8 = 1;

/// A data block: where, its seeded CRC32C, and the lineage it was written in (which seeds the checksum).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) phys: u64,
    pub(crate) crc: u32,
    pub(crate) origin: u64,
}

/// The map of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpanMap {
    entries: Box<[Entry]>,
    crcs: Box<[u32]>,
    origins: Vec<u64>,
    mapped: u32,
    /// It was used since the cache last looked.
    hot: Cell<bool>,
}

impl SpanMap {
    /// A map of `blocks` holes.
    pub(crate) fn empty(blocks: usize) -> SpanMap {
        SpanMap {
            entries: vec![Entry(0); blocks].into(),
            crcs: vec![0; blocks].into(),
            origins: Vec::new(),
            mapped: 0,
            hot: Cell::new(true),
        }
    }

    /// Bytes of memory that a map of `blocks` takes.
    pub(crate) fn memory(blocks: usize) -> usize {
        size_of::<SpanMap>() + 16 + blocks * 12
    }

    /// Notes that it is used.
    pub(crate) fn touch(&self) {
        self.hot.set(true);
    }

    /// Whether it was used since the last call.
    pub(crate) fn cool(&self) -> bool {
        self.hot.replace(false)
    }

    /// Data blocks in the map.
    pub(crate) fn mapped(&self) -> u32 {
        self.mapped
    }

    /// Disk block of block `i`, 0 for a hole.
    pub(crate) fn phys(&self, i: usize) -> u64 {
        self.entries[i].0 & PHYS_MASK
    }

    pub(crate) fn get(&self, i: usize) -> Option<Data> {
        let e = self.entries[i].0;
        let origin = *self.origins.get((e >> PHYS_BITS) as usize)?;
        (e != 0).then(|| Data { phys: e & PHYS_MASK, crc: self.crcs[i], origin })
    }

    /// The data blocks: `(index in the span, data)`.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Data)> + '_ {
        (0..self.entries.len()).filter_map(|i| self.get(i).map(|d| (i, d)))
    }

    /// Maps block `i` anew; gives the disk block it had (0: none).
    pub(crate) fn set(&mut self, i: usize, to: Option<Data>) -> u64 {
        let old = self.phys(i);
        let (entry, crc) = match to {
            None => (0, 0),
            Some(d) => (d.phys | (self.origin_index(d.origin) as u64) << PHYS_BITS, d.crc),
        };
        self.mapped = self.mapped - u32::from(old != 0) + u32::from(entry != 0);
        self.entries[i] = Entry(entry);
        self.crcs[i] = crc;
        old
    }

    fn origin_index(&mut self, origin: u64) -> usize {
        if let Some(i) = self.origins.iter().rposition(|o| *o == origin) {
            return i;
        }
        if self.origins.len() == ORIGINS_MAX {
            self.forget_unused_origins();
        }
        self.origins.push(origin);
        self.origins.len() - 1
    }

    /// At most 512 blocks use an origin, so at least half of the 1024 are unused when the list is full.
    fn forget_unused_origins(&mut self) {
        let old = std::mem::take(&mut self.origins);
        let mut place = vec![None; old.len()];
        for e in self.entries.iter_mut().filter(|e| e.0 != 0) {
            let was = (e.0 >> PHYS_BITS) as usize;
            let now = *place[was].get_or_insert_with(|| {
                self.origins.push(old[was]);
                self.origins.len() - 1
            });
            e.0 = e.0 & PHYS_MASK | (now as u64) << PHYS_BITS;
        }
    }

    /// The map as it stands on disk. `key` is the lineage that holds it now (for people who rebuild;
    /// deletions hand spans on without rewriting them), the object and the number of the span.
    pub(crate) fn encode(&self, of: Identity, key: (u64, u64, u32)) -> Vec<u8> {
        let mut compact = self.clone();
        compact.forget_unused_origins();
        let runs = compact.runs();
        let mut w = begin(Type::Span, of);
        w.u64(key.0);
        w.u64(key.1);
        w.u32(key.2);
        w.u16(compact.origins.len() as u16);
        w.u16(runs.len() as u16);
        compact.origins.iter().for_each(|o| w.u64(*o));
        for (start, len, e) in &runs {
            w.u64(e.0 & PHYS_MASK);
            w.u16(*start);
            w.u16(*len);
            w.u16((e.0 >> PHYS_BITS) as u16);
            w.u8(RUN_DATA);
            w.u8(0);
        }
        for (start, len, _) in &runs {
            let range = usize::from(*start)..usize::from(*start) + usize::from(*len);
            compact.crcs[range].iter().for_each(|c| w.u32(*c));
        }
        seal(w)
    }

    fn runs(&self) -> Vec<(u16, u16, Entry)> {
        let mut runs: Vec<(u16, u16, Entry)> = Vec::new();
        for (i, e) in self.entries.iter().enumerate().filter(|(_, e)| e.0 != 0) {
            match runs.last_mut() {
                Some((start, len, first))
                    if i == usize::from(*start + *len) && e.0 == first.0 + u64::from(*len) =>
                {
                    *len += 1;
                }
                _ => runs.push((i as u16, 1, *e)),
            }
        }
        runs
    }

    /// Largest encoding of a span of `blocks`, in bytes.
    pub(crate) fn max_encoded(blocks: usize) -> usize {
        crate::codec::HEADER + 24 + blocks * (8 + 16 + 4)
    }

    /// Reads what [`SpanMap::encode`] wrote; the blocks must lie below `disk_blocks`.
    pub(crate) fn decode(
        bytes: &[u8],
        of: Identity,
        key: (u64, u32),
        blocks: usize,
        disk_blocks: u64,
    ) -> Result<SpanMap, Malformed> {
        let (id, mut r) = unseal(bytes, Type::Span)?;
        let _lineage = r.u64()?;
        if id != of || (r.u64()?, r.u32()?) != key {
            return Err(Malformed);
        }
        let (n_origins, n_runs) = (usize::from(r.u16()?), usize::from(r.u16()?));
        if n_origins > ORIGINS_MAX || r.left() < n_origins * 8 + n_runs * 16 {
            return Err(Malformed);
        }
        let mut map = SpanMap::empty(blocks);
        for _ in 0..n_origins {
            map.origins.push(r.u64()?);
        }
        let mut runs = Reader::new(r.bytes(n_runs * 16)?);
        for _ in 0..n_runs {
            let (phys, start, len) = (runs.u64()?, usize::from(runs.u16()?), usize::from(runs.u16()?));
            let (origin, kind, _) = (runs.u16()?, runs.u8()?, runs.u8()?);
            let end = phys.checked_add(len as u64).ok_or(Malformed)?;
            let fits = start + len <= blocks && phys > 0 && end <= disk_blocks.min(PHYS_MASK);
            if !fits || kind != RUN_DATA || usize::from(origin) >= n_origins {
                return Err(Malformed);
            }
            for i in 0..len {
                if map.entries[start + i].0 != 0 {
                    return Err(Malformed);
                }
                map.entries[start + i] = Entry((phys + i as u64) | u64::from(origin) << PHYS_BITS);
                map.crcs[start + i] = r.u32()?;
                map.mapped += 1;
            }
        }
        if r.is_empty() { Ok(map) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    const ID: Identity = Identity { store: Uuid::from_u128(1), disk: Uuid::from_u128(2) };

    fn filled(seed: u64, n: usize) -> SpanMap {
        let mut map = SpanMap::empty(n);
        for i in 0..n {
            let s = seed.wrapping_mul(i as u64 + 7) >> 3;
            if !s.is_multiple_of(5) {
                let data = Data { phys: 100 + s % 40 * 512 + i as u64, crc: s as u32, origin: s % 9 };
                map.set(i, Some(data));
            }
        }
        map
    }

    proptest! {
        #[test]
        fn maps_come_back(seed in any::<u64>(), n in 1usize..=512) {
            let map = filled(seed, n);
            let bytes = map.encode(ID, (1, 2, 3));
            prop_assert!(bytes.len() <= SpanMap::max_encoded(n));
            let back = SpanMap::decode(&bytes, ID, (2, 3), n, 1 << 30).unwrap();
            prop_assert!((0..n).all(|i| back.get(i) == map.get(i)));
            prop_assert_eq!(back.mapped(), map.mapped());
            prop_assert!(SpanMap::decode(&bytes, ID, (2, 4), n, 1 << 30).is_err());
            prop_assert!(map.mapped() == 0 || SpanMap::decode(&bytes, ID, (2, 3), n, 100).is_err());
        }

        #[test]
        fn any_body_behind_a_right_checksum_is_survived(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut w = begin(Type::Span, ID);
            w.u64(1);
            w.u64(2);
            w.u32(3);
            w.bytes(&body);
            let _ = SpanMap::decode(&seal(w), ID, (2, 3), 512, 1 << 30);
        }
    }

    #[test]
    fn unused_origins_give_room() {
        let mut map = SpanMap::empty(4);
        for origin in 1..5000 {
            let data = Data { phys: 1 + origin % 7, crc: 1, origin };
            map.set((origin % 4) as usize, Some(data));
            assert_eq!(map.get((origin % 4) as usize), Some(data));
        }
        assert!(map.origins.len() <= ORIGINS_MAX);
        assert_eq!(map.iter().count(), 4);
    }
}
