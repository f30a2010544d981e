//! A sparse block device in memory: the smallest complete one, and the pattern for others.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parpen_base::{Buf, ByteRange, MIB, PAGE};

use crate::{
    BlockDevice, Capabilities, Completion, Geometry, Home, IoError, Op, Queue, Refusal, Request, Wake,
};

/// Bytes in pages; what was never written, or given back, takes no room and reads as zeros. Clones are the
/// same device.
#[derive(Clone)]
pub struct Memory(Arc<Mutex<Bytes>>);

struct Bytes {
    size: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Memory {
    /// An empty device of `size` bytes, a multiple of 512.
    pub fn new(size: u64) -> Memory {
        Memory(Arc::new(Mutex::new(Bytes { size, pages: BTreeMap::new() })))
    }

    /// Changes the size; what lies beyond a smaller one is gone.
    pub fn resize(&self, size: u64) {
        let mut bytes = self.lock();
        if size < bytes.size {
            let (tail, len) = (size, bytes.size - size);
            if let Ok(range) = ByteRange::within(tail, len, bytes.size) {
                bytes.clear(range);
            }
        }
        bytes.size = size;
    }

    /// A new device of `size` bytes (at least its own) with the same content.
    pub fn copy(&self, size: u64) -> Memory {
        let pages = self.lock().pages.clone();
        Memory(Arc::new(Mutex::new(Bytes { size, pages })))
    }

    /// Bytes of memory that its pages take.
    pub fn stored(&self) -> u64 {
        self.lock().pages.len() as u64 * PAGE as u64
    }

    fn lock(&self) -> MutexGuard<'_, Bytes> {
        // Pages are changed by whole copies that cannot panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bytes {
    fn read(&self, range: ByteRange, out: &mut [u8]) -> bool {
        let mut all_zero = true;
        for (index, part) in range.split(PAGE as u64) {
            let to = &mut out[(part.start() - range.start()) as usize..][..part.len() as usize];
            match self.pages.get(&index) {
                Some(page) => {
                    let at = (part.start() % PAGE as u64) as usize;
                    to.copy_from_slice(&page[at..at + to.len()]);
                    all_zero = false;
                }
                None => to.fill(0),
            }
        }
        all_zero
    }

    fn write(&mut self, range: ByteRange, from: &[u8]) {
        for (index, part) in range.split(PAGE as u64) {
            let bytes = &from[(part.start() - range.start()) as usize..][..part.len() as usize];
            let page = self.pages.entry(index).or_insert_with(|| vec![0; PAGE].into_boxed_slice());
            let at = (part.start() % PAGE as u64) as usize;
            page[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }

    fn clear(&mut self, range: ByteRange) {
        // By what is stored, not by what is asked for: a range may be gigabytes of nothing.
        let first = range.start() / PAGE as u64;
        let last = range.end().div_ceil(PAGE as u64);
        let stored: Vec<u64> = self.pages.range(first..last).map(|(i, _)| *i).collect();
        for index in stored {
            let start = (index * PAGE as u64).max(range.start());
            let end = ((index + 1) * PAGE as u64).min(range.end());
            if end - start == PAGE as u64 {
                self.pages.remove(&index);
            } else if let Some(page) = self.pages.get_mut(&index) {
                let at = (start % PAGE as u64) as usize;
                page[at..at + (end - start) as usize].fill(0);
            }
        }
    }

    /// `(length, zero)` pairs, neighbours of one kind joined.
    fn extents(&self, range: ByteRange) -> Buf {
        let mut found: Vec<(u64, bool)> = Vec::new();
        let mut add = |len: u64, zero: bool| match found.last_mut() {
            _ if len == 0 => {}
            Some((sum, kind)) if *kind == zero => *sum += len,
            _ => found.push((len, zero)),
        };
        let mut at = range.start();
        let (first, last) = (range.start() / PAGE as u64, range.end().div_ceil(PAGE as u64));
        for (index, _) in self.pages.range(first..last) {
            let start = (index * PAGE as u64).max(range.start());
            let end = ((index + 1) * PAGE as u64).min(range.end());
            add(start - at, true);
            add(end - start, false);
            at = end;
        }
        add(range.end() - at, true);
        let pairs: Vec<u8> = found
            .iter()
            .flat_map(|(len, zero)| [*len, u64::from(*zero)])
            .flat_map(u64::to_le_bytes)
            .collect();
        Buf::copy_of(&pairs)
    }

    fn run(&mut self, mut r: Request) -> Completion {
        let mut all_zero = false;
        let result = match ByteRange::within(r.offset, u64::from(r.len), self.size) {
            Err(_) => Err(IoError::Invalid),
            Ok(range) => match (r.op, &mut r.buf) {
                (Op::Read, Some(buf)) if buf.len() == r.len as usize => {
                    all_zero = self.read(range, buf);
                    Ok(r.len)
                }
                (Op::Write { .. }, Some(buf)) if buf.len() == r.len as usize => {
                    self.write(range, buf);
                    Ok(r.len)
                }
                (Op::Read | Op::Write { .. }, _) => Err(IoError::Invalid),
                (Op::Zero { .. } | Op::Discard, _) => {
                    self.clear(range);
                    Ok(r.len)
                }
                (Op::Extents, buf) => {
                    *buf = Some(self.extents(range));
                    Ok(r.len)
                }
                (Op::Flush | Op::Prefetch, _) => Ok(r.len),
            },
        };
        Completion { tag: r.tag, result, buf: r.buf, all_zero }
    }
}

impl BlockDevice for Memory {
    fn geometry(&self) -> Geometry {
        Geometry {
            size: self.lock().size,
            block: PAGE as u32,
            preferred: 1 << 16,
            maximum: (32 * MIB) as u32,
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            read_only: false,
            fua: true,
            zero: true,
            discard: true,
            extents: true,
            prefetch: false,
            multi_conn: true,
        }
    }

    fn home(&self) -> Option<Arc<dyn Home>> {
        None
    }

    fn open(&self, depth: u16, wake: Wake) -> Result<Box<dyn Queue>, Refusal> {
        let room = usize::from(depth).max(1);
        Ok(Box::new(MemoryQueue { memory: self.clone(), done: VecDeque::with_capacity(room), room, wake }))
    }
}

struct MemoryQueue {
    memory: Memory,
    done: VecDeque<Completion>,
    room: usize,
    wake: Wake,
}

impl Queue for MemoryQueue {
    fn submit(&mut self, r: Request) -> Result<(), Request> {
        if self.done.len() == self.room {
            return Err(r);
        }
        let c = self.memory.lock().run(r);
        self.done.push_back(c);
        Ok(())
    }

    fn kick(&mut self) {
        if !self.done.is_empty() {
            self.wake.wake();
        }
    }

    fn reap(&mut self) -> Option<Completion> {
        self.done.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(m: &Memory, op: Op, offset: u64, len: u32, buf: Option<Buf>) -> Completion {
        let mut q = m.open(1, Wake::new(|| ())).unwrap();
        q.submit(Request { tag: 9, op, offset, len, buf }).unwrap();
        q.reap().unwrap()
    }

    #[test]
    fn stores_only_what_was_written_and_maps_it() {
        let m = Memory::new(1 << 50);
        let write = Op::Write { fua: false };
        run(&m, write, 4095, 2, Some(Buf::copy_of(b"ab"))).result.unwrap();
        run(&m, write, 1 << 40, 1, Some(Buf::copy_of(b"c"))).result.unwrap();
        assert_eq!(m.stored(), 3 * 4096);
        let map = run(&m, Op::Extents, 100, 10_000, None).buf.unwrap();
        let numbers: Vec<u64> = map.chunks(8).map(|c| u64::from_le_bytes(c.try_into().unwrap())).collect();
        assert_eq!(numbers, [8092, 0, 1908, 1]);
        run(&m, Op::Discard, 0, u32::MAX, None).result.unwrap();
        assert_eq!(m.stored(), 4096);
        assert!(run(&m, Op::Read, 4095, 2, Some(Buf::zeroed(2))).all_zero);
    }

    #[test]
    fn a_shrunk_device_forgets_its_tail_and_refuses_it() {
        let m = Memory::new(8192);
        run(&m, Op::Write { fua: true }, 0, 8192, Some(Buf::copy_of(&[7; 8192]))).result.unwrap();
        m.resize(512);
        assert_eq!(run(&m, Op::Read, 512, 1, Some(Buf::zeroed(1))).result, Err(IoError::Invalid));
        m.resize(8192);
        let c = run(&m, Op::Read, 0, 8192, Some(Buf::zeroed(8192)));
        let back = c.buf.unwrap();
        assert!(back[..512].iter().all(|b| *b == 7) && back[512..].iter().all(|b| *b == 0));
    }
}
