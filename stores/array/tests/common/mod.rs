//! What the array's tests share: a one-task executor, a disk that fails, vanishes, forgets and rots on demand, and
//! a witness in memory.
#![allow(dead_code, clippy::unwrap_used)] // each test binary uses its part; a panic is how a test fails

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parpen_array::{About, EraMark, LocalTask, NewDisk, Witness};
use parpen_base::{Buf, SeededEntropy};
use parpen_engine::sync::yield_now;
use parpen_engine::{Disk, DiskError, Format, Layout};
use uuid::Uuid;

pub const BLOCK: u64 = 4096;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a future to its end on this thread; a future that waits for nothing is a bug.
pub fn block_on<F: Future>(f: F) -> F::Output {
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(flag.clone());
    let mut f = pin!(f);
    loop {
        if let Poll::Ready(v) = f.as_mut().poll(&mut Context::from_waker(&waker)) {
            return v;
        }
        assert!(flag.0.swap(false, Ordering::Relaxed), "the future waits for something that never comes");
    }
}

/// Runs a future for so many polls; `None`: it had not ended by then, and is dropped.
pub fn poll_for<F: Future>(f: F, polls: u16) -> Option<F::Output> {
    let mut f = pin!(f);
    (0..polls).find_map(|_| match f.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(v) => Some(v),
        Poll::Pending => None,
    })
}

type Blocks = BTreeMap<u64, Vec<u8>>;

#[derive(Default)]
struct Medium {
    now: Blocks,
    durable: Blocks,
    /// Blocks written since the last flush.
    pending: Vec<(u64, Vec<u8>)>,
    /// Writes that flushes covered.
    flushed: usize,
}

/// A disk whose unflushed blocks a crash keeps or loses one by one.
#[derive(Clone)]
pub struct TestDisk {
    size: u64,
    medium: Rc<RefCell<Medium>>,
    dead: Rc<Cell<bool>>,
    doomed: Rc<Cell<bool>>,
    dice: Rc<Cell<u64>>,
}

impl TestDisk {
    pub fn new(size: u64) -> TestDisk {
        let (medium, dead, doomed) = (Rc::default(), Rc::default(), Rc::default());
        TestDisk { size, medium, dead, doomed, dice: Rc::new(Cell::new(size)) }
    }

    /// Other pauses from here on.
    pub fn shake(&self, seed: u64) {
        self.dice.set(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }

    fn roll(&self) -> u64 {
        let x =
            self.dice.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.dice.set(x);
        x >> 33
    }

    /// From now on everything fails.
    pub fn die(&self) {
        self.dead.set(true);
    }

    /// It will, from its next flush on.
    pub fn die_at_flush(&self) {
        self.doomed.set(true);
    }

    /// The disk as the next process finds it: of what was not flushed, any part.
    pub fn reborn(&self, seed: u64) -> TestDisk {
        self.dead.set(true);
        let medium = self.medium.borrow();
        let disk = TestDisk::new(self.size);
        disk.dice.set(seed);
        let mut kept = medium.durable.clone();
        for (block, bytes) in &medium.pending {
            if disk.roll().is_multiple_of(2) {
                kept.insert(*block, bytes.clone());
            }
        }
        *disk.medium.borrow_mut() = Medium { now: kept.clone(), durable: kept, ..Medium::default() };
        disk
    }

    /// What a copy of its durable blocks, taken now, is later.
    pub fn copy(&self) -> TestDisk {
        let copy = TestDisk::new(self.size);
        let kept = self.medium.borrow().durable.clone();
        *copy.medium.borrow_mut() = Medium { now: kept.clone(), durable: kept, ..Medium::default() };
        copy
    }

    /// Flips a bit of every block that holds exactly this; says how many there were.
    pub fn rot(&self, content: &[u8]) -> usize {
        let mut medium = self.medium.borrow_mut();
        let Medium { now, durable, .. } = &mut *medium;
        let mut hit = 0;
        for bytes in now.values_mut().chain(durable.values_mut()) {
            if bytes == content {
                bytes[100] ^= 4;
                hit += 1;
            }
        }
        hit
    }

    async fn pause(&self) -> Result<(), DiskError> {
        for _ in 0..self.roll() % 3 {
            yield_now().await;
        }
        if self.dead.get() { Err(DiskError::Io) } else { Ok(()) }
    }
}

impl Disk for TestDisk {
    fn size(&self) -> u64 {
        self.size
    }

    async fn read(&self, offset: u64, mut buf: Buf) -> (Result<(), DiskError>, Buf) {
        if let Err(e) = self.pause().await {
            return (Err(e), buf);
        }
        let medium = self.medium.borrow();
        for (i, piece) in buf.chunks_exact_mut(BLOCK as usize).enumerate() {
            match medium.now.get(&(offset / BLOCK + i as u64)) {
                Some(bytes) => piece.copy_from_slice(bytes),
                None => piece.fill(0),
            }
        }
        (Ok(()), buf)
    }

    async fn write(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        if let Err(e) = self.pause().await {
            return (Err(e), buf);
        }
        let mut medium = self.medium.borrow_mut();
        for (i, piece) in buf.chunks_exact(BLOCK as usize).enumerate() {
            let block = offset / BLOCK + i as u64;
            medium.now.insert(block, piece.to_vec());
            medium.pending.push((block, piece.to_vec()));
        }
        (Ok(()), buf)
    }

    async fn flush(&self) -> Result<(), DiskError> {
        if self.doomed.get() {
            self.die();
        }
        let upto = {
            let medium = self.medium.borrow();
            medium.flushed + medium.pending.len()
        };
        self.pause().await?;
        let mut medium = self.medium.borrow_mut();
        let more = upto.saturating_sub(medium.flushed);
        let done: Vec<_> = medium.pending.drain(..more).collect();
        medium.durable.extend(done);
        medium.flushed += more;
        Ok(())
    }

    async fn discard(&self, _: u64, _: u64) -> Result<(), DiskError> {
        self.pause().await
    }
}

/// Remembers what a small durable file would, which may be one that cannot be written.
#[derive(Clone, Default)]
pub struct MemoryWitness(pub Rc<Cell<Option<EraMark>>>, pub Rc<Cell<bool>>);

impl Witness for MemoryWitness {
    fn read(&self) -> LocalTask<'_, Result<Option<EraMark>, DiskError>> {
        Box::pin(async { Ok(self.0.get()) })
    }

    fn note(&self, mark: EraMark) -> LocalTask<'_, Result<(), DiskError>> {
        Box::pin(async move {
            yield_now().await;
            if self.1.get() {
                return Err(DiskError::Io);
            }
            self.0.set(Some(mark));
            Ok(())
        })
    }
}

pub fn layout() -> Layout {
    Layout { wal_bytes: 256 << 10, tail_bytes: 1 << 20, ..Layout::tiny() }
}

pub const STORE: Uuid = Uuid::from_u128(0x57);

pub fn new_disk(number: u16, disk: TestDisk) -> NewDisk<TestDisk> {
    let format =
        Format { store: STORE, disk: Uuid::from_u128(0xd000 + u128::from(number)), layout: layout() };
    NewDisk { number, disk, format, about: About::default() }
}

pub fn entropy(seed: u64) -> Arc<SeededEntropy> {
    Arc::new(SeededEntropy::new(seed))
}

/// A block that says what it is.
pub fn block_of(tag: u64) -> Vec<u8> {
    match tag {
        0 => vec![0; BLOCK as usize],
        _ => tag.to_le_bytes().repeat(BLOCK as usize / 8),
    }
}

/// What a block says that it is.
pub fn tag_of(block: &[u8]) -> u64 {
    let tag = u64::from_le_bytes(block[..8].try_into().unwrap());
    assert!(block == block_of(tag), "a block is mixed from two");
    tag
}
