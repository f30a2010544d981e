//! A disk in memory: sparse, and as fast as memory. What is never written takes no space; a discard gives it
//! back.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use parpen_base::Buf;

use crate::layout::BLOCK;
use crate::{Disk, DiskError};

/// Bytes per piece of memory.
const CHUNK: usize = 64 << 10;

/// A disk in RAM. Clones share the bytes, so that one can be kept over a restart of the engine.
#[derive(Clone)]
pub struct RamDisk {
    size: u64,
    chunks: Rc<RefCell<BTreeMap<u64, Box<[u8]>>>>,
}

impl RamDisk {
    /// A disk of `size` zero bytes.
    pub fn new(size: u64) -> RamDisk {
        RamDisk { size, chunks: Rc::default() }
    }

    /// Bytes of memory in use.
    pub fn resident(&self) -> u64 {
        (self.chunks.borrow().len() * CHUNK) as u64
    }

    fn check(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        let aligned = offset.is_multiple_of(BLOCK) && len.is_multiple_of(BLOCK);
        let within = offset.checked_add(len).is_some_and(|end| end <= self.size);
        if aligned && within { Ok(()) } else { Err(DiskError::Io) }
    }

    /// Calls `f` with each piece of the range: chunk number, range within the chunk, range within the
    /// request.
    fn pieces(
        offset: u64,
        len: usize,
        mut f: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>),
    ) {
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let within = (at % CHUNK as u64) as usize;
            let n = (CHUNK - within).min(len - done);
            f(at / CHUNK as u64, within..within + n, done..done + n);
            done += n;
        }
    }
}

impl Disk for RamDisk {
    fn size(&self) -> u64 {
        self.size
    }

    async fn read(&self, offset: u64, mut buf: Buf) -> (Result<(), DiskError>, Buf) {
        let result = self.check(offset, buf.len() as u64);
        if result.is_ok() {
            let chunks = self.chunks.borrow();
            Self::pieces(offset, buf.len(), |chunk, from, to| match chunks.get(&chunk) {
                Some(bytes) => buf[to].copy_from_slice(&bytes[from]),
                None => buf[to].fill(0),
            });
        }
        (result, buf)
    }

    async fn write(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        let result = self.check(offset, buf.len() as u64);
        if result.is_ok() {
            let mut chunks = self.chunks.borrow_mut();
            Self::pieces(offset, buf.len(), |chunk, to, from| {
                if !chunks.contains_key(&chunk) && buf[from.clone()].iter().all(|b| *b == 0) {
                    return;
                }
                let bytes = chunks.entry(chunk).or_insert_with(|| vec![0; CHUNK].into());
                bytes[to].copy_from_slice(&buf[from]);
            });
        }
        (result, buf)
    }

    async fn flush(&self) -> Result<(), DiskError> {
        Ok(())
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.check(offset, len)?;
        let first = offset.div_ceil(CHUNK as u64);
        let end = (offset + len) / CHUNK as u64;
        let mut chunks = self.chunks.borrow_mut();
        let gone: Vec<u64> =
            if first < end { chunks.range(first..end).map(|(c, _)| *c).collect() } else { vec![] };
        gone.iter().for_each(|c| drop(chunks.remove(c)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn now<T>(f: impl Future<Output = T>) -> T {
        match pin!(f).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(v) => v,
            Poll::Pending => panic!("memory waits for nothing"),
        }
    }

    #[test]
    fn takes_memory_for_what_is_not_zero_and_gives_it_back() {
        let disk = RamDisk::new(1 << 40);
        now(disk.write(0, Buf::zeroed(1 << 20))).0.unwrap();
        assert_eq!(disk.resident(), 0);
        let at = (1 << 30) - 4096;
        now(disk.write(at, Buf::copy_of(&[7; 3 * 65536]))).0.unwrap();
        let (result, back) = now(disk.read(at - 4096, Buf::zeroed(5 * 65536)));
        result.unwrap();
        assert!(back[4096..4096 + 3 * 65536].iter().all(|b| *b == 7) && back[..4096].iter().all(|b| *b == 0));
        now(disk.discard(at, 3 * 65536)).unwrap();
        assert_eq!(disk.resident(), 2 * 65536, "only whole pieces go");
        assert_eq!(now(disk.write(1 << 40, Buf::zeroed(4096))).0, Err(DiskError::Io));
        assert_eq!(now(disk.read(512, Buf::zeroed(4096))).0, Err(DiskError::Io));
    }
}
