//! What every room of the house may use: sizes, ranges, aligned buffers, checksums, clock and entropy.
//! No domain words live here.
#![forbid(unsafe_code)]

mod buf;
mod clock;
mod entropy;
mod range;
mod size;

pub use buf::{Buf, PAGE};
pub use clock::{Clock, SystemClock};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use range::{ByteRange, RangeError};
pub use size::{BadSize, GIB, KIB, MIB, SECTOR, TIB, format_size, parse_size, round_up};

/// A future that owns its captures and may move between threads; the form in which ports answer.
pub type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// CRC32C (Castagnoli) of `bytes`, continuing from `seed`.
pub fn crc32c_seeded(seed: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(seed, bytes)
}
