//! What a medium does wrong, and how often.

use std::ops::Range;

/// Odds in millionths of each request, and where silent faults may strike. All zero: a perfect medium.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// A read ends in an error.
    pub read_error: u32,
    /// A write ends in an error; any part of it may have arrived.
    pub write_error: u32,
    /// A flush ends in an error; what it should have covered is there or not, and the next flush answers
    /// well.
    pub flush_error: u32,
    /// A write is refused for want of space, though the host has some (quotas, reservations).
    pub no_space: u32,
    /// A write is answered well and dropped.
    pub lost_write: u32,
    /// A write lands elsewhere.
    pub stray_write: u32,
    /// A read returns another place's bytes.
    pub stray_read: u32,
    /// A read returns one wrong bit; the medium holds the right one.
    pub flipped_read: u32,
    /// A bit of a stored page changes for good, at the time of some read of the medium.
    pub rot: u32,
    /// The pages that silent faults may strike. One copy of everything exists, so a lost last log record
    /// cannot be told from one that was never written: profiles keep silent faults to where checksums can
    /// answer for them.
    pub silent: Vec<Range<usize>>,
    /// Pages that the host below can hold; `None`: all of them.
    pub host_pages: Option<usize>,
}

impl Faults {
    /// Whether silent faults may strike this page.
    pub fn strikes(&self, page: usize) -> bool {
        self.silent.iter().any(|range| range.contains(&page))
    }
}
