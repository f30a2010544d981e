//! Random 4 KiB reads of a file, for measurements: `read_file PATH DEPTH SECONDS [uring|threads]`.

use std::cell::Cell;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::rc::Rc;
use std::time::Duration;

use parpen_base::{Buf, Entropy, SeededEntropy};
use parpen_ring::{Backend, File, Reactor, sleep, spawn_local};

const BLOCK: usize = 4096;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (path, depth, seconds, backend) = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [path, depth, seconds] => (path, depth, seconds, Backend::Auto),
        [path, depth, seconds, "uring"] => (path, depth, seconds, Backend::Uring),
        [path, depth, seconds, "threads"] => (path, depth, seconds, Backend::Threads),
        _ => return Err("usage: read_file PATH DEPTH SECONDS [uring|threads]".into()),
    };
    let (depth, seconds): (u64, u64) = (depth.parse()?, seconds.parse()?);
    let direct = rustix::fs::OFlags::DIRECT.bits() as i32;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(direct).open(path)?;
    let blocks = (file.metadata()?.len() / BLOCK as u64).max(1);
    let reactor = Reactor::start("read_file", backend)?;
    let count = reactor.block_on(move || async move {
        let (file, count) = (File::new(file), Rc::new(Cell::new(0u64)));
        for seed in 0..depth {
            let (file, count) = (file.clone(), count.clone());
            spawn_local(async move {
                let (dice, mut buf) = (SeededEntropy::new(seed), Buf::zeroed(BLOCK));
                loop {
                    let at = dice.u64() % blocks * BLOCK as u64;
                    let (n, back) = file.read_at(buf, 0..BLOCK, at).await;
                    assert_eq!(n.ok(), Some(BLOCK), "a read failed");
                    buf = back;
                    count.set(count.get() + 1);
                }
            });
        }
        sleep(Duration::from_secs(seconds)).await;
        count.get()
    })?;
    let mut out = std::io::stdout();
    writeln!(out, "{} reads a second over {:?}, {depth} at a time", count / seconds, reactor.backend())?;
    reactor.shutdown();
    Ok(reactor.join()?)
}
