//! A process that dies alone leaves a full cache behind: what the next one finds there it believes, and the power may go
//! while it does.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use common::{block_on, formatted};
use parpen_base::{Buf, SeededEntropy};
use parpen_engine::{BLOCK, Disk, DiskError, Engine, Layout, OpenError, RamDisk, Rules, Sound};
use uuid::Uuid;

/// Recovery goes on from what it found without making it durable.
struct NoFlushFound;

impl Rules for NoFlushFound {
    const FLUSH_FOUND: bool = false;
}

const SIZE: u64 = 1 << 20;
const BLOCKS: u64 = 100;
/// Every so-manieth block is written again, which needs no flush of its own.
const EACH: usize = 8;
/// More than the writes and flushes of a recovery.
const STEPS: usize = 60;
const VOLUME: Uuid = Uuid::from_u128(1);

/// A medium with a cache that outlives processes, and nothing else.
#[derive(Clone)]
struct Cached {
    seen: RamDisk,
    /// What blocks that were written since the last flush had before, older writes first.
    before: Rc<RefCell<Vec<(u64, Buf)>>>,
    /// Writes and flushes until everything fails.
    left: Rc<Cell<usize>>,
    flushes: Rc<Cell<bool>>,
}

impl Cached {
    fn new(seen: RamDisk) -> Cached {
        let (left, flushes) = (Rc::new(Cell::new(usize::MAX)), Rc::new(Cell::new(true)));
        Cached { seen, before: Rc::default(), left, flushes }
    }

    fn spend(&self) -> Result<(), DiskError> {
        let left = self.left.get().checked_sub(1).ok_or(DiskError::Io)?;
        self.left.set(left);
        Ok(())
    }

    /// The power goes: of what was not flushed the oldest writes are lost.
    fn cut(&self, writes: usize) {
        let lost: Vec<_> = self.before.take().into_iter().take(writes).collect();
        for (at, old) in lost.into_iter().rev() {
            block_on(self.seen.write(at, old)).0.unwrap();
        }
        self.left.set(usize::MAX);
        self.flushes.set(true);
    }
}

impl Disk for Cached {
    fn size(&self) -> u64 {
        self.seen.size()
    }

    async fn read(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        self.seen.read(offset, buf).await
    }

    async fn write(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        if let Err(e) = self.spend() {
            return (Err(e), buf);
        }
        for at in (offset..offset + buf.len() as u64).step_by(4096) {
            let (_, old) = self.seen.read(at, Buf::zeroed(4096)).await;
            self.before.borrow_mut().push((at, old));
        }
        self.seen.write(offset, buf).await
    }

    async fn flush(&self) -> Result<(), DiskError> {
        self.spend()?;
        if !self.flushes.get() {
            return Err(DiskError::Io);
        }
        self.before.borrow_mut().clear();
        Ok(())
    }

    async fn discard(&self, _: u64, _: u64) -> Result<(), DiskError> {
        Ok(())
    }
}

fn open<R: Rules>(disk: &Cached, seed: u64) -> Result<Rc<Engine<Cached, R>>, OpenError> {
    block_on(Engine::open(disk.clone(), Arc::new(SeededEntropy::new(seed))))
}

fn write<R: Rules>(e: &Engine<Cached, R>, byte: u8, step: usize) {
    for block in (0..BLOCKS).step_by(step) {
        block_on(e.write(VOLUME, block * BLOCK, Buf::copy_of(&[byte; 4096]))).0.unwrap();
    }
}

/// A volume is written and flushed, and written again; its process dies in the flush of that. The next one may do so
/// many steps of its recovery before the power goes, with the second writes. How many blocks are lost then; `None`:
/// the recovery came to its end.
fn lost_after<R: Rules>(steps: usize) -> Option<usize> {
    let disk = Cached::new(formatted(SIZE, Layout::tiny()));
    let e = open::<R>(&disk, 1).unwrap();
    block_on(e.create(VOLUME, BLOCKS * BLOCK, None, b"")).unwrap();
    write(&e, 0x11, 1);
    block_on(e.flush()).unwrap();
    disk.flushes.set(false);
    write(&e, 0x22, EACH);
    let written = disk.before.borrow().len();
    block_on(e.flush()).unwrap_err();
    drop(e);
    disk.flushes.set(true);
    disk.left.set(steps);
    let opened = open::<R>(&disk, 2).is_ok();
    disk.cut(written);
    let e = open::<R>(&disk, 3).unwrap();
    assert_eq!(block_on(e.check()), []);
    let is_lost = |block: &u64| {
        let (result, buf) = block_on(e.read(VOLUME, block * BLOCK, Buf::zeroed(4096)));
        result.is_err() || !(*buf == [0x11; 4096] || *buf == [0x22; 4096])
    };
    let lost = (0..BLOCKS).filter(is_lost).count();
    (!opened || lost > 0).then_some(lost)
}

#[test]
fn what_was_found_in_a_cache_is_durable_before_anything_is_overwritten() {
    let lost: Vec<usize> = (0..STEPS).map_while(lost_after::<Sound>).collect();
    assert!(
        !lost.is_empty() && lost.len() < STEPS,
        "recovery was cut off at each of its steps, and then not: {lost:?}"
    );
    assert!(lost.iter().all(|n| *n == 0), "{lost:?}");
    assert!((0..STEPS).filter_map(lost_after::<NoFlushFound>).max() > Some(0));
}
