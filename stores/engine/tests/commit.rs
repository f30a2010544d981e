//! What reaches the medium: one flush for all who ask together, none for nothing, and no word after a
//! failure.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod common;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use common::{block_on, formatted};
use parpen_base::{Buf, SeededEntropy};
use parpen_engine::{Disk, DiskError, Engine, EngineError, Layout, RamDisk, Sound};
use uuid::Uuid;

/// A disk in memory that takes its time, counts, and fails when told to.
#[derive(Clone)]
struct Slow {
    ram: RamDisk,
    flushes: Rc<Cell<u32>>,
    writes: Rc<Cell<u32>>,
    fails: Rc<Cell<Option<DiskError>>>,
}

async fn a_while() {
    for _ in 0..3 {
        let mut waited = false;
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Disk for Slow {
    fn size(&self) -> u64 {
        self.ram.size()
    }
    async fn read(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        a_while().await;
        self.ram.read(offset, buf).await
    }
    async fn write(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        self.writes.set(self.writes.get() + 1);
        a_while().await;
        match self.fails.get() {
            Some(e) => (Err(e), buf),
            None => self.ram.write(offset, buf).await,
        }
    }
    async fn flush(&self) -> Result<(), DiskError> {
        self.flushes.set(self.flushes.get() + 1);
        a_while().await;
        self.fails.get().map_or(Ok(()), Err)
    }
    async fn discard(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.ram.discard(offset, len).await
    }
}

async fn together<F: Future>(futures: Vec<F>) {
    let mut all: Vec<Option<Pin<Box<F>>>> = futures.into_iter().map(|f| Some(Box::pin(f))).collect();
    poll_fn(|cx| {
        for f in &mut all {
            if f.as_mut().is_some_and(|x| x.as_mut().poll(cx).is_ready()) {
                *f = None;
            }
        }
        if all.iter().all(|f| f.is_none()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

type SlowEngine = Rc<Engine<Slow, Sound>>;
const VOLUME: Uuid = Uuid::from_u128(1);

fn start() -> (Slow, SlowEngine) {
    let ram = formatted(64 << 20, Layout::product(64 << 20));
    let disk = Slow { ram, flushes: Rc::default(), writes: Rc::default(), fails: Rc::default() };
    let engine = block_on(Engine::open(disk.clone(), Arc::new(SeededEntropy::new(1)))).unwrap();
    block_on(engine.create(VOLUME, 32 << 20, None, b"")).unwrap();
    disk.flushes.set(0);
    disk.writes.set(0);
    (disk, engine)
}

fn data(n: u64) -> Buf {
    Buf::copy_of(&[n as u8 | 1; 4096])
}

#[test]
fn a_flush_is_one_flush_and_one_log_write_and_nothing_for_nothing() {
    let (disk, e) = start();
    block_on(e.write(VOLUME, 0, data(1))).0.unwrap();
    assert_eq!((disk.writes.get(), disk.flushes.get()), (1, 0));
    block_on(e.flush()).unwrap();
    assert_eq!((disk.writes.get(), disk.flushes.get()), (2, 1));
    block_on(e.flush()).unwrap();
    assert_eq!((disk.writes.get(), disk.flushes.get()), (2, 1));
}

#[test]
fn flushes_asked_for_together_are_shared() {
    let (disk, e) = start();
    let one = |n: u64| {
        let e = e.clone();
        async move {
            for round in 0..10 {
                e.write(VOLUME, n * 4096, data(n + round)).await.0.unwrap();
                e.flush().await.unwrap();
            }
        }
    };
    block_on(together((0..32).map(one).collect()));
    let flushes = disk.flushes.get();
    assert!(flushes <= 40, "{flushes} flushes for 320");
    block_on(e.read(VOLUME, 0, Buf::zeroed(32 * 4096))).0.unwrap();
}

#[test]
fn neighbouring_blocks_are_written_and_read_as_one() {
    let (disk, e) = start();
    let mut big = Buf::zeroed(8 << 20);
    big.fill(3);
    block_on(e.write(VOLUME, 4096, big)).0.unwrap();
    assert!(disk.writes.get() <= 2, "the log may stand in between");
    for n in 0..64 {
        block_on(e.write(VOLUME, (16 << 20) + n * 4096, data(n))).0.unwrap();
    }
    let map = block_on(e.extents(VOLUME, 0, 32 << 20)).unwrap();
    assert_eq!(map.len(), 5, "{map:?}");
}

#[test]
fn after_a_failed_write_or_flush_nothing_is_promised_any_more() {
    for in_flush in [false, true] {
        let (disk, e) = start();
        block_on(e.write(VOLUME, 0, data(1))).0.unwrap();
        block_on(e.flush()).unwrap();
        block_on(e.write(VOLUME, 4096, data(5))).0.unwrap();
        disk.fails.set(Some(DiskError::Io));
        let failed = block_on(async {
            if in_flush { e.flush().await } else { e.write(VOLUME, 8192, data(7)).await.0 }
        });
        assert_eq!(failed, Err(EngineError::Io));
        disk.fails.set(None);
        assert!(e.is_fenced());
        assert_eq!(block_on(e.flush()), Err(EngineError::Fenced));
        assert_eq!(block_on(e.read(VOLUME, 0, data(0))).0, Err(EngineError::Fenced));
        assert_eq!(block_on(e.delete(VOLUME)), Err(EngineError::Fenced));
        drop(e);
        let again: SlowEngine = block_on(Engine::open(disk, Arc::new(SeededEntropy::new(2)))).unwrap();
        let (result, buf) = block_on(again.read(VOLUME, 0, Buf::zeroed(4096)));
        assert!(result.is_ok() && *buf == *data(1));
        assert_eq!(block_on(again.check()), []);
    }
}

#[test]
fn a_full_host_is_no_failure() {
    let (disk, e) = start();
    disk.fails.set(Some(DiskError::NoSpace));
    assert_eq!(block_on(e.write(VOLUME, 0, data(1))).0, Err(EngineError::NoSpace));
    disk.fails.set(None);
    assert_eq!(block_on(e.check()), []);
    block_on(e.write(VOLUME, 0, data(1))).0.unwrap();
    block_on(e.flush()).unwrap();
}

#[test]
fn an_abandoned_commit_fences() {
    let (_disk, e) = start();
    block_on(e.write(VOLUME, 0, data(1))).0.unwrap();
    let mut flush = Box::pin(e.flush());
    assert!(flush.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(flush);
    assert!(e.is_fenced());
    assert_eq!(block_on(e.flush()), Err(EngineError::Fenced));
}
