//! The digest of a version: 64 bits that say what the version reads as, whoever stores which part of it.
//!
//! It is the exclusive or, over all data blocks that the version sees, of a mix of block, origin and checksum.
//! So it does not depend on which blocks are inherited, on the order of writes, or on ghosts that one disk has
//! dissolved and another has not: equal digests of one lineage and object on two disks mean equal content.

use crate::codec::hash64;
use crate::map::Data;
use crate::state::State;

/// What one block of an object adds to a digest; a hole adds nothing.
pub(crate) fn mark_of(block: usize, data: Option<Data>) -> u64 {
    let Some(d) = data else { return 0 };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&d.origin.to_le_bytes());
    bytes[8..12].copy_from_slice(&d.crc.to_le_bytes());
    bytes[12..].copy_from_slice(&(block as u32).to_le_bytes());
    hash64(0, &bytes)
}

impl State {
    /// The digest of a version from its maps.
    pub(crate) fn compute_digest(&self, slot: usize) -> u64 {
        let of_span = |span: usize| {
            let map = self.resolve(slot, span)?;
            Some(map.iter().fold(0, |sum, (i, d)| sum ^ mark_of(span * self.span_blocks + i, Some(d))))
        };
        (0..self.spans_per_object()).filter_map(of_span).fold(0, |sum, of| sum ^ of)
    }

    /// Computes all digests anew, for a disk whose pages carry none; all of them get them with the next
    /// checkpoint.
    pub(crate) fn digest_all(&mut self) {
        let slots: Vec<usize> = self.by_key.values().copied().collect();
        for slot in slots {
            self.version_mut(slot).digest = self.compute_digest(slot);
            self.dirty.version_pages.insert(slot);
        }
    }
}
