//! What the engine keeps in memory and how long opening takes, by the amount of data. Making a disk and
//! opening it are two runs, so that the memory of the one is not mistaken for the other's:
//!
//! ```text
//! footprint scatter FILE TIB MIB     a sparse file of TIB TiB; one block of data in each MIB MiB of one volume
//! footprint volumes FILE N           N volumes with a block each
//! footprint open FILE                opens it, and says how long it took and what the process holds (`VmRSS`)
//! ```
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // an instrument: it may look at the clock and may fail

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parpen_base::{Buf, SeededEntropy};
use parpen_engine::{Disk, DiskError, Engine, Format, Layout, Sound};
use uuid::Uuid;

const MIB: u64 = 1 << 20;

/// A file that is read and written at once.
struct Plain(File, u64);

impl Plain {
    fn open(path: &Path, size: Option<u64>) -> Plain {
        let mut options = File::options();
        let file = options.read(true).write(true).create(size.is_some()).truncate(false).open(path).unwrap();
        if let Some(size) = size {
            file.set_len(size).unwrap();
        }
        let size = file.metadata().unwrap().len();
        Plain(file, size)
    }
}

impl Disk for Plain {
    fn size(&self) -> u64 {
        self.1
    }

    async fn read(&self, offset: u64, mut buf: Buf) -> (Result<(), DiskError>, Buf) {
        let result = self.0.read_exact_at(&mut buf, offset);
        (result.map_err(|_| DiskError::Io), buf)
    }

    async fn write(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        (self.0.write_all_at(&buf, offset).map_err(|_| DiskError::Io), buf)
    }

    async fn flush(&self) -> Result<(), DiskError> {
        Ok(())
    }

    async fn discard(&self, _offset: u64, _len: u64) -> Result<(), DiskError> {
        Ok(())
    }
}

fn now<T>(f: impl Future<Output = T>) -> T {
    let mut f = pin!(f);
    loop {
        if let Poll::Ready(v) = f.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return v;
        }
    }
}

/// Memory of this process, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn open(disk: Plain) -> Rc<Engine<Plain, Sound>> {
    now(Engine::open(disk, Arc::new(SeededEntropy::new(1)))).unwrap()
}

fn made(path: &Path, size: u64) -> Rc<Engine<Plain, Sound>> {
    let disk = Plain::open(path, Some(size));
    let format =
        Format { store: Uuid::from_u128(1), disk: Uuid::from_u128(2), layout: Layout::product(size) };
    now(Engine::<Plain, Sound>::format(&disk, format)).unwrap();
    open(disk)
}

fn block() -> Buf {
    Buf::copy_of(&[3; 4096])
}

fn scatter(path: &Path, tib: u64, mib: u64) {
    let size = (tib << 40) - 64 * MIB;
    let e = made(path, size);
    let id = Uuid::from_u128(7);
    now(e.create(id, tib << 40, None, b"")).unwrap();
    for (n, at) in (0..tib << 40).step_by((mib * MIB) as usize).enumerate() {
        now(e.write(id, at, block())).0.unwrap();
        if n % 64 == 63 {
            now(e.flush()).unwrap();
        }
    }
    now(e.close()).unwrap();
}

fn volumes(path: &Path, count: u128) {
    let e = made(path, 1 << 40);
    let from = Instant::now();
    for n in 1..=count {
        now(e.create(Uuid::from_u128(n), 1 << 30, None, b"a label of some length")).unwrap();
    }
    println!("made in {:.2} s", from.elapsed().as_secs_f64());
    for n in 1..=count {
        now(e.write(Uuid::from_u128(n), 0, block())).0.unwrap();
    }
    now(e.close()).unwrap();
}

fn measure(path: &Path) {
    let (before, from) = (resident(), Instant::now());
    let e = open(Plain::open(path, None));
    let opened = from.elapsed().as_secs_f64();
    let held = resident() - before;
    let from = Instant::now();
    let found = e.inventory();
    let listed = from.elapsed().as_secs_f64();
    let space = e.space();
    println!("opened in {opened:.3} s, holds {held:.1} MiB; {} volumes listed in {listed:.4} s", found.len());
    println!("{} MiB of data, {} MiB of metadata", space.data / MIB, space.metadata / MIB);
    for volume in found.iter().take(100) {
        for at in (0..volume.bytes).step_by((volume.bytes / 1000 / 4096 * 4096).max(4096) as usize) {
            now(e.read(volume.id, at, Buf::zeroed(4096))).0.unwrap();
        }
    }
    println!("after a thousand reads of each of the first hundred it holds {:.1} MiB", resident() - before);
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |n: usize| args.get(n).and_then(|a| a.parse::<u64>().ok()).unwrap();
    let path = || Path::new(args.get(2).unwrap());
    match args.get(1).map(String::as_str) {
        Some("scatter") => scatter(path(), number(3), number(4)),
        Some("volumes") => volumes(path(), u128::from(number(3))),
        Some("open") => measure(path()),
        _ => eprintln!("footprint scatter FILE TIB MIB | volumes FILE N | open FILE"),
    }
}
