//! Keys of encrypted volumes.
//!
//! Each volume has a data key of its own: 512 bits, of which XTS uses one half for data and one for places. It is stored
//! wrapped by the installation's key (AES-256-GCM), which lies in a file that only its owner can read and without which
//! no encrypted volume can be read again. All cryptography is OpenSSL's.
#![forbid(unsafe_code)]

mod file;
mod xts;

pub use file::FileKeys;
pub use xts::Xts;
