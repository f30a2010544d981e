//! What several tests share: requests as bytes, and an offer.

use parpen_block::{Capabilities, Geometry};

use crate::handshake::Offer;

/// A request to be laid out as bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Req {
    pub(crate) flags: u16,
    pub(crate) kind: u16,
    pub(crate) cookie: u64,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

impl Req {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut b = 0x2560_9513u32.to_be_bytes().to_vec();
        b.extend(self.flags.to_be_bytes());
        b.extend(self.kind.to_be_bytes());
        b.extend(self.cookie.to_be_bytes());
        b.extend(self.offset.to_be_bytes());
        b.extend(self.len.to_be_bytes());
        b
    }
}

/// A writable export that can do everything.
pub(crate) fn offer(size: u64) -> Offer {
    let geometry = Geometry { size, block: 4096, preferred: 1 << 16, maximum: 32 << 20 };
    let (read_only, fua, zero, discard) = (false, true, true, true);
    let (extents, prefetch, multi_conn) = (true, false, true);
    let capabilities = Capabilities { read_only, fua, zero, discard, extents, prefetch, multi_conn };
    Offer { geometry, capabilities }
}
