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
        (0..self.spans_per_object()).fold(0, |sum, span| sum ^ self.digest_of_span(slot, span))
    }

    /// What one span adds to the digest of a version.
    pub(crate) fn digest_of_span(&self, slot: usize, span: usize) -> u64 {
        let Some(map) = self.resolve(slot, span) else { return 0 };
        map.iter().fold(0, |sum, (i, d)| sum ^ mark_of(span * self.span_blocks + i, Some(d)))
    }
}
