//! Byte ranges that cannot overflow.

/// `len` bytes from `start`; `start + len` never overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    start: u64,
    len: u64,
}

/// The range does not lie within the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes at {start} do not lie within {size} bytes")]
pub struct RangeError {
    start: u64,
    len: u64,
    size: u64,
}

impl ByteRange {
    /// The range, if it lies within a device of `size` bytes.
    pub fn within(start: u64, len: u64, size: u64) -> Result<ByteRange, RangeError> {
        match start.checked_add(len) {
            Some(end) if end <= size => Ok(ByteRange { start, len }),
            _ => Err(RangeError { start, len, size }),
        }
    }

    /// First byte.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// One past the last byte.
    pub fn end(&self) -> u64 {
        self.start + self.len
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether both hold at least one common byte.
    pub fn overlaps(&self, other: &ByteRange) -> bool {
        self.start < other.end() && other.start < self.end() && !self.is_empty() && !other.is_empty()
    }

    /// The pieces that lie in one `unit` each, in order: `(unit index, range)`. `unit` is at least 1.
    pub fn split(self, unit: u64) -> impl Iterator<Item = (u64, ByteRange)> {
        let mut at = self.start;
        std::iter::from_fn(move || {
            if at >= self.end() {
                return None;
            }
            let index = at / unit;
            let end = self.end().min((index + 1).saturating_mul(unit));
            let piece = ByteRange { start: at, len: end - at };
            at = end;
            Some((index, piece))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn splits_cover_exactly(start in 0u64..1 << 40, len in 0u64..1 << 14, unit in 1u64..5000) {
            let r = ByteRange::within(start, len, u64::MAX).unwrap();
            let mut at = start;
            for (i, p) in r.split(unit) {
                prop_assert_eq!(p.start(), at);
                prop_assert!(!p.is_empty() && p.start() / unit == i && (p.end() - 1) / unit == i);
                at = p.end();
            }
            prop_assert_eq!(at, start + len);
        }
    }

    #[test]
    fn refuses_what_lies_outside() {
        assert!(ByteRange::within(u64::MAX, 2, u64::MAX).is_err());
        assert!(ByteRange::within(9, 2, 10).is_err());
        let a = ByteRange::within(0, 4, 10).unwrap();
        assert!(!a.overlaps(&ByteRange::within(4, 4, 10).unwrap()));
        assert!(a.overlaps(&ByteRange::within(3, 1, 10).unwrap()));
    }
}
