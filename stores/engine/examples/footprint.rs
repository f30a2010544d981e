//! What the engine keeps in memory and how long opening takes, by the amount of data: run it with
//! `cargo run --release -p parpen-engine --example footprint`. Memory is the process's own (`VmRSS`), less what the
//! disk in memory takes.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // an instrument: it may look at the clock and may fail

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parpen_base::{Buf, SeededEntropy};
use parpen_engine::{Engine, Format, Layout, RamDisk, Sound};
use uuid::Uuid;

const TIB: u64 = 1 << 40;
const OBJECT: u64 = 32 << 20;

type Ram = Engine<RamDisk, Sound>;

fn now<T>(f: impl Future<Output = T>) -> T {
    let mut f = pin!(f);
    loop {
        if let Poll::Ready(v) = f.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return v;
        }
    }
}

fn rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn open(disk: &RamDisk) -> (Rc<Ram>, f64) {
    let from = Instant::now();
    let e = now(Ram::open(disk.clone(), Arc::new(SeededEntropy::new(1)))).unwrap();
    (e, from.elapsed().as_secs_f64())
}

fn report(what: &str, disk: &RamDisk, base: u64) {
    let before = rss();
    let (e, seconds) = open(disk);
    let after = rss();
    e.set_cache(0);
    println!(
        "{what}: opening {:.3} s and {:.1} MiB; data {:.1} GiB, metadata {:.1} MiB; process {:.1} MiB beside the disk",
        seconds,
        after.saturating_sub(before) as f64 / 1048576.0,
        e.space().data as f64 / 1073741824.0,
        e.space().metadata as f64 / 1048576.0,
        rss().saturating_sub(base + disk.resident()) as f64 / 1048576.0,
    );
}

/// One volume of `tib`, in which each `step`-th 2 MiB has one block of data.
fn scattered(tib: u64, step: u64) {
    let base = rss();
    let disk = RamDisk::new(tib * TIB);
    let format =
        Format { store: Uuid::from_u128(1), disk: Uuid::from_u128(2), layout: Layout::product(tib * TIB) };
    now(Ram::format(&disk, format)).unwrap();
    let (e, _) = open(&disk);
    let id = Uuid::from_u128(7);
    now(e.create(id, tib * TIB, None, b"")).unwrap();
    let from = Instant::now();
    for at in (0..tib * TIB).step_by((step * 2) as usize * (1 << 20)) {
        let mut block = Buf::zeroed(4096);
        block.fill(3);
        now(e.write(id, at, block)).0.unwrap();
        if at % (64 * OBJECT) == 0 {
            now(e.flush()).unwrap();
        }
    }
    now(e.close()).unwrap();
    println!("{tib} TiB, a block in each {} MiB: written in {:.1} s", step * 2, from.elapsed().as_secs_f64());
    drop(e);
    report("  again", &disk, base);
}

fn many_volumes(count: u128) {
    let base = rss();
    let disk = RamDisk::new(TIB);
    let format = Format { store: Uuid::from_u128(1), disk: Uuid::from_u128(2), layout: Layout::product(TIB) };
    now(Ram::format(&disk, format)).unwrap();
    let (e, _) = open(&disk);
    let from = Instant::now();
    for n in 1..=count {
        now(e.create(Uuid::from_u128(n), 1 << 30, None, b"a label of some length")).unwrap();
    }
    let made = from.elapsed().as_secs_f64();
    let mut block = Buf::zeroed(4096);
    block.fill(1);
    for n in 1..=count {
        (_, block) = now(e.write(Uuid::from_u128(n), 0, block));
    }
    now(e.close()).unwrap();
    let from = Instant::now();
    let found = e.inventory().len();
    println!("{found} volumes: made in {made:.1} s, listed in {:.4} s", from.elapsed().as_secs_f64());
    drop(e);
    report("  again", &disk, base);
}

fn main() {
    many_volumes(10_000);
    scattered(1, 16);
    scattered(1, 1);
    scattered(16, 16);
}
