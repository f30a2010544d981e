//! Disks as the fixtures keep them: for each block that is not zero its number (u32), then a length (u16) and that many
//! bytes, the rest zeros; length 65535 says that four bytes repeat.

use parpen_base::Buf;
use parpen_engine::{BLOCK, Disk, RamDisk};

const REPEATED: u16 = u16::MAX;

/// The disk of a fixture.
pub async fn image(bytes: u64, sparse: &[u8]) -> RamDisk {
    let disk = RamDisk::new(bytes);
    let mut rest = sparse;
    while !rest.is_empty() {
        let number = u32::from_le_bytes(rest[..4].try_into().unwrap());
        let len = u16::from_le_bytes(rest[4..6].try_into().unwrap());
        let mut block = Buf::zeroed(4096);
        let taken = if len == REPEATED { 4 } else { usize::from(len) };
        let given = &rest[6..6 + taken];
        if len == REPEATED {
            block.chunks_exact_mut(4).for_each(|w| w.copy_from_slice(given));
        } else {
            block[..taken].copy_from_slice(given);
        }
        disk.write(u64::from(number) * BLOCK, block).await.0.unwrap();
        rest = &rest[6 + taken..];
    }
    disk
}
