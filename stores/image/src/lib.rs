//! Disk images outside of pools: files of a directory, of which raw and qcow2 can be put into a volume and made from one.
//!
//! An image's file appears under its id when all of it is stored and durable; until then it is `<id>.part`.
#![forbid(unsafe_code)]

mod disk;
mod files;
pub mod qcow2;
#[cfg(test)]
mod tests;
pub mod transfer;

pub use disk::{Disk, Format};
pub use files::ImageDir;
pub use qcow2::Qcow2;
