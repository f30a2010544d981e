//! Doors for fuzzing: any bytes in, never a panic, as deep as the bytes allow. With `reseal` the checksum is
//! made right first, so that what lies behind it is reached.

use uuid::Uuid;

use crate::blob;
use crate::codec::{HEADER, Identity, Reader, Type, claimed_len, reseal as fix};
use crate::layout::Layout;
use crate::load;
use crate::map::SpanMap;
use crate::space;
use crate::superblock::{self, COPIES, Copy4};
use crate::wal;

fn prepared(bytes: &[u8], kind: Type, reseal: bool) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if reseal {
        fix(&mut bytes, kind);
    }
    bytes
}

fn identity(bytes: &[u8]) -> Identity {
    let mut r = Reader::new(bytes.get(16..HEADER).unwrap_or(&[]));
    let mut uuid = || r.uuid().unwrap_or(Uuid::nil());
    Identity { store: uuid(), disk: uuid() }
}

/// Decodes a block as each copy of the superblock; whether one of them would be accepted.
pub fn superblock(bytes: &[u8], reseal: bool) -> bool {
    let bytes = prepared(bytes, Type::Superblock, reseal);
    (0..COPIES).any(|copy| matches!(superblock::decode(&bytes, copy), Copy4::Good(_)))
}

/// Decodes a record of the log with all its operations.
pub fn record(bytes: &[u8], reseal: bool) -> bool {
    let bytes = prepared(bytes, Type::Record, reseal);
    wal::decode(&bytes, identity(&bytes)).is_some()
}

/// Decodes the bytes as each structure of a checkpoint.
pub fn checkpoint(bytes: &[u8], reseal: bool) -> bool {
    let (layout, disk_blocks) = (Layout::product(1 << 40), 1 << 28);
    let with = |kind: Type| prepared(bytes, kind, reseal);
    let id = identity(bytes);
    let span = |b: &[u8]| {
        let mut key = Reader::new(b.get(HEADER + 8..).unwrap_or(&[]));
        let (Ok(index), Ok(span)) = (key.u64(), key.u32()) else { return false };
        SpanMap::decode(b, id, (index, span), 512, disk_blocks).is_ok()
    };
    let number = bytes.get(HEADER..HEADER + 4).and_then(|b| Reader::new(b).u32().ok()).unwrap_or(0) as usize;
    let bits = |b: &[u8]| {
        let words = claimed_len(b, Type::Bits).map_or(0, |len| len.saturating_sub(HEADER + 8) / 8);
        space::bits(b, id, number, words).is_ok()
    };
    span(&with(Type::Span))
        | load::root(&with(Type::Root), id).is_ok()
        | space::group_page(&with(Type::GroupPage), id, number).is_ok()
        | bits(&with(Type::Bits))
        | load::node(&with(Type::Node), id, 0, Default::default()).is_ok()
        | load::node_page(&with(Type::NodePage), id, number).is_ok()
        | load::version_page(&with(Type::VersionPage), id, number, &layout, disk_blocks).is_ok()
        | blob::extents(&with(Type::Extents), id).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..5000), reseal in any::<bool>()) {
            superblock(&bytes, reseal);
            record(&bytes, reseal);
            checkpoint(&bytes, reseal);
        }
    }

    #[test]
    fn resealed_bytes_get_behind_the_checksum() {
        let mut empty_root = vec![0; HEADER + 16]; // as before the count of operations
        empty_root[HEADER] = 1; // next lineage
        assert!(!checkpoint(&empty_root, false));
        assert!(checkpoint(&empty_root, true));
        empty_root[HEADER + 8] = 1;
        // As bits of free blocks the same bytes are sound.
        let sealed = prepared(&empty_root, Type::Root, true);
        let one_page = load::root(&sealed, identity(&sealed));
        assert!(one_page.is_err(), "one page is announced and none follows");
        assert!(record(&[0; HEADER + 40], true));
    }
}
