use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::codec::{BlobRef, Identity};
use crate::layout::Layout;
use crate::{RamDisk, Sound};
use uuid::Uuid;

const BYTES: u64 = 1 << 20;
const PLACE: u64 = 100;

/// A disk that fails reads of more than one block, and those of `bad` blocks.
struct Coarse {
    disk: RamDisk,
    bad: Vec<u64>,
}

impl Disk for Coarse {
    fn size(&self) -> u64 {
        self.disk.size()
    }
    async fn read(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        if buf.len() as u64 > BLOCK || self.bad.contains(&(offset / BLOCK)) {
            return (Err(DiskError::Io), buf);
        }
        self.disk.read(offset, buf).await
    }
    async fn write(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        self.disk.write(offset, buf).await
    }
    async fn flush(&self) -> Result<(), DiskError> {
        self.disk.flush().await
    }
    async fn discard(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.disk.discard(offset, len).await
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("memory does not wait"),
    }
}

fn superblock() -> Superblock {
    Superblock {
        id: Identity { store: Uuid::from_u128(1), disk: Uuid::from_u128(2) },
        sequence: 1,
        incompat: 0,
        ro_compat: 0,
        disk_bytes: BYTES,
        layout: Layout::tiny(),
        boot_epoch: 1,
        root: BlobRef::default(),
        wal_first_seq: 1,
        wal_first_pos: 0,
        chain: 1,
    }
}

/// Three blocks of the tail, of which the second never arrived; where recovery believes them to be.
fn believed(bad: Vec<u64>) -> Vec<u64> {
    let sb = superblock();
    let blocks: Vec<Buf> = (1..4).map(|n| Buf::copy_of(&[n; BLOCK as usize])).collect();
    let sum = |(i, block): (u64, &Buf)| block_checksum::<Sound>(sb.id.store, 7, 16, i, block);
    let crcs = (0..).zip(&blocks).map(sum).collect();
    let disk = Coarse { disk: RamDisk::new(BYTES), bad };
    for (i, block) in (0..).zip(blocks).filter(|(i, _)| *i != 1) {
        now(disk.write((PLACE + i) * BLOCK, block)).0.unwrap();
    }
    let pieces = smallvec![Piece { phys: PLACE, len: 3 }];
    let mut m = Mapping { lineage: 7, origin: 7, index: 0, generation: 0, start: 0, pieces, crcs };
    now(verify::<Coarse, Sound>(&disk, &sb, &mut m)).unwrap();
    m.pieces.iter().map(|piece| piece.phys).collect()
}

#[test]
fn a_read_that_fails_as_a_whole_condemns_no_block_of_it() {
    assert_eq!(believed(vec![]), [PLACE, SKIP, PLACE + 2]);
    // nobody can say that a block was not written which cannot be read at all
    assert_eq!(believed(vec![PLACE]), [PLACE, SKIP, PLACE + 2]);
    assert_eq!(believed(vec![PLACE + 1]), [PLACE, PLACE + 1, PLACE + 2]);
}
