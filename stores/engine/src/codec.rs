//! Little-endian bytes in and out. Reading never panics and never allocates more than it was given.

use uuid::Uuid;

/// The bytes end too early or mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads from the front of a byte string.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes not read yet.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, Malformed> {
        Ok(Uuid::from_bytes(self.array()?))
    }

    /// A number in groups of 7 bits, lowest first; the top bit says that more follow.
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(Malformed);
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}

/// Appends to a byte string.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) out: Vec<u8>,
}

impl Writer {
    pub(crate) fn u8(&mut self, v: u8) {
        self.out.push(v);
    }

    pub(crate) fn u16(&mut self, v: u16) {
        self.out.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, v: u32) {
        self.out.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, v: u64) {
        self.out.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn uuid(&mut self, v: Uuid) {
        self.out.extend_from_slice(v.as_bytes());
    }

    pub(crate) fn bytes(&mut self, v: &[u8]) {
        self.out.extend_from_slice(v);
    }

    pub(crate) fn varint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.out.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.out.push(v as u8);
    }
}

/// Marks every structure of the format: `PARP`.
const MAGIC: u32 = 0x5052_4150;
/// Bytes of the header that every structure begins with.
pub(crate) const HEADER: usize = 48;
const CRC_AT: usize = 12;

/// What a structure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Type {
    Superblock = 1,
    Record = 2,
    Root = 3,
    VersionPage = 4,
    NodePage = 5,
    Span = 6,
    Node = 7,
    Extents = 8,
    Bits = 9,
    GroupPage = 10,
}

/// Who a structure belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) store: Uuid,
    pub(crate) disk: Uuid,
}

/// Begins a structure; [`seal`] ends it.
pub(crate) fn begin(kind: Type, of: Identity) -> Writer {
    let mut w = Writer::default();
    w.u32(MAGIC);
    w.u16(kind as u16);
    w.u16(1);
    w.u32(0);
    w.u32(0);
    w.uuid(of.store);
    w.uuid(of.disk);
    w
}

/// Writes length and checksum into the header.
pub(crate) fn seal(w: Writer) -> Vec<u8> {
    let mut out = w.out;
    let len = out.len() as u32;
    out[8..12].copy_from_slice(&len.to_le_bytes());
    let crc = parpen_base::crc32c_seeded(0, &out);
    out[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Makes any bytes a well-formed structure of a kind, for fuzzing.
pub(crate) fn reseal(bytes: &mut [u8], kind: Type) {
    if bytes.len() < HEADER {
        return;
    }
    bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
    bytes[4..6].copy_from_slice(&(kind as u16).to_le_bytes());
    bytes[6..8].copy_from_slice(&1u16.to_le_bytes());
    let len = bytes.len() as u32;
    bytes[8..12].copy_from_slice(&len.to_le_bytes());
    bytes[CRC_AT..CRC_AT + 4].fill(0);
    let crc = parpen_base::crc32c_seeded(0, bytes);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Length that a block claims to have as a structure of this kind, before anything is verified.
pub(crate) fn claimed_len(block: &[u8], kind: Type) -> Option<usize> {
    let mut r = Reader::new(block);
    let fits = r.u32().ok()? == MAGIC && r.u16().ok()? == kind as u16 && r.u16().ok()? == 1;
    let len = r.u32().ok()? as usize;
    (fits && len >= HEADER).then_some(len)
}

/// Verifies magic, kind, length and checksum; gives who it belongs to and the body.
pub(crate) fn unseal(bytes: &[u8], kind: Type) -> Result<(Identity, Reader<'_>), Malformed> {
    let len = claimed_len(bytes, kind).ok_or(Malformed)?;
    let bytes = bytes.get(..len).ok_or(Malformed)?;
    let mut r = Reader::new(bytes);
    r.bytes(CRC_AT)?;
    let want = r.u32()?;
    let id = Identity { store: r.uuid()?, disk: r.uuid()? };
    let mut crc = parpen_base::crc32c_seeded(0, &bytes[..CRC_AT]);
    crc = parpen_base::crc32c_seeded(crc, &[0; 4]);
    crc = parpen_base::crc32c_seeded(crc, &bytes[CRC_AT + 4..]);
    if crc == want { Ok((id, r)) } else { Err(Malformed) }
}

/// A 64-bit hash for the chain of log records: it tells neighbours from strangers, it is no defence against
/// people.
pub(crate) fn hash64(seed: u64, bytes: &[u8]) -> u64 {
    let mut h = seed ^ 0x9e37_79b9_7f4a_7c15;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        h = (h ^ u64::from_le_bytes(word)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h ^= h >> 32;
    }
    h = (h ^ bytes.len() as u64).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 29)
}

/// Where a blob stands: 16 bytes on disk. Bit 63 of the address: the block holds a list of extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct BlobRef {
    pub(crate) block: u64,
    pub(crate) indirect: bool,
    pub(crate) len: u32,
    pub(crate) crc: u32,
}

const INDIRECT: u64 = 1 << 63;

impl BlobRef {
    pub(crate) fn is_none(&self) -> bool {
        self.block == 0
    }

    /// Blocks that it takes, with the block that lists its extents.
    pub(crate) fn blocks(&self) -> u64 {
        let bytes = u64::from(self.len).div_ceil(crate::layout::BLOCK);
        if self.is_none() { 0 } else { bytes + u64::from(self.indirect) }
    }

    pub(crate) fn put(&self, w: &mut Writer) {
        w.u64(self.block | if self.indirect { INDIRECT } else { 0 });
        w.u32(self.len);
        w.u32(self.crc);
    }

    pub(crate) fn get(r: &mut Reader<'_>) -> Result<BlobRef, Malformed> {
        let addr = r.u64()?;
        let (len, crc) = (r.u32()?, r.u32()?);
        Ok(BlobRef { block: addr & !INDIRECT, indirect: addr & INDIRECT != 0, len, crc })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity() -> Identity {
        Identity { store: Uuid::from_u128(1), disk: Uuid::from_u128(2) }
    }

    proptest! {
        #[test]
        fn varints_come_back(v in any::<u64>()) {
            let mut w = Writer::default();
            w.varint(v);
            let mut r = Reader::new(&w.out);
            prop_assert_eq!(r.varint(), Ok(v));
            prop_assert!(r.is_empty());
        }

        #[test]
        fn a_flipped_bit_unseals_nothing(bit in 0usize..(HEADER + 5) * 8, body in any::<[u8; 5]>()) {
            let mut w = begin(Type::Root, identity());
            w.bytes(&body);
            let mut sealed = seal(w);
            prop_assert!(unseal(&sealed, Type::Root).is_ok());
            prop_assert!(unseal(&sealed, Type::Span).is_err());
            sealed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(unseal(&sealed, Type::Root).is_err());
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(unseal(&bytes, Type::Record).is_err());
            let mut r = Reader::new(&bytes);
            while r.varint().is_ok() {}
        }
    }

    #[test]
    fn overlong_varints_are_malformed() {
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(Malformed));
        assert_ne!(hash64(1, b"abc"), hash64(2, b"abc"));
        assert_ne!(hash64(1, b"abc"), hash64(1, b"abc\0"));
    }
}
