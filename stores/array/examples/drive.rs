//! The store without sockets, for measurements: formats the file PATH as a disk of BYTES, then takes commands on
//! standard input, one a line, and answers each with a line of JSON. Volumes and snapshots have numbers as names.
//!
//! - `create VOLUME BYTES`, `snapshot VOLUME NAME`, `clone NAME VOLUME`, `delete NAME`: `{"ms": ...}`
//! - `fill VOLUME BYTES STEP`: random bytes in writes of STEP, from the first to the last byte if STEP divides BYTES
//! - `scatter VOLUME COUNT LENGTH`: as many writes at random places
//! - `run VOLUME READS LENGTH DEPTH MILLISECONDS FLUSH sequential|random`: READS percent of the requests read; a flush
//!   after FLUSH writes (0: none); `{"iops": ..., "p50": ..., "p99": ..., "written": ...}`, microseconds and bytes
#![forbid(unsafe_code)]

use std::error::Error;
use std::future::poll_fn;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parpen_array::{Store, StoreDevice, StoreError, ring_spawn};
use parpen_base::{Buf, Clock, Entropy, SeededEntropy, SystemClock, SystemEntropy};
use parpen_block::{BlockDevice, Op, Queue, Request, Wake};
use parpen_engine::{FileDisk, Format, Layout};
use parpen_ring::{Backend, Handle, Reactor};
use uuid::Uuid;

type Failure = Box<dyn Error + Send + Sync>;

/// What is asked of a volume again and again.
#[derive(Clone, Copy)]
struct Job {
    /// Percent of the requests.
    reads: u64,
    len: u32,
    depth: u16,
    /// Writes after which a flush follows; 0: none.
    flush: u64,
    sequential: bool,
    /// Requests after which it ends, if not before.
    most: u64,
    time: Duration,
}

/// A job under way on one queue.
struct Run {
    job: Job,
    queue: Box<dyn Queue>,
    size: u64,
    dice: SeededEntropy,
    clock: SystemClock,
    began: Vec<Duration>,
    idle: Vec<(u32, Buf)>,
    next: u64,
    started: u64,
    written: u64,
    unflushed: u64,
    flushing: bool,
    micros: Vec<f32>,
}

impl Run {
    fn new(job: Job, device: &StoreDevice, wake: Wake) -> Result<Run, Failure> {
        let dice = SeededEntropy::new(SystemEntropy.u64());
        let idle = (0..u32::from(job.depth)).map(|tag| {
            let mut buf = Buf::zeroed(job.len as usize);
            dice.fill(&mut buf);
            (tag, buf)
        });
        let idle: Vec<(u32, Buf)> = idle.collect();
        Ok(Run {
            queue: device.open(job.depth, wake)?,
            size: device.geometry().size,
            began: vec![Duration::ZERO; idle.len()],
            job,
            dice,
            clock: SystemClock::new(),
            idle,
            next: 0,
            started: 0,
            written: 0,
            unflushed: 0,
            flushing: false,
            micros: Vec::new(),
        })
    }

    fn place(&mut self) -> u64 {
        let len = u64::from(self.job.len);
        let places = self.size / len;
        let n = if self.job.sequential { self.next } else { self.dice.u64() } % places;
        self.next += 1;
        n * len
    }

    /// Starts what may be in flight now; true when nothing is and nothing will be.
    fn start(&mut self) -> bool {
        let over = self.clock.steady() >= self.job.time || self.started >= self.job.most;
        while !over && !self.flushing {
            if self.job.flush > 0 && self.unflushed >= self.job.flush {
                if self.idle.len() < usize::from(self.job.depth) {
                    break;
                }
                (self.flushing, self.unflushed) = (true, 0);
                self.submit(u32::from(self.job.depth), Op::Flush, 0, None);
                break;
            }
            let Some((tag, buf)) = self.idle.pop() else { break };
            let read = self.dice.u64() % 100 < self.job.reads;
            let op = if read { Op::Read } else { Op::Write { fua: false } };
            if !read {
                self.unflushed += 1;
                self.written += u64::from(self.job.len);
            }
            self.started += 1;
            let offset = self.place();
            self.began[tag as usize] = self.clock.steady();
            self.submit(tag, op, offset, Some(buf));
        }
        self.queue.kick();
        over && !self.flushing && self.idle.len() == usize::from(self.job.depth)
    }

    fn submit(&mut self, tag: u32, op: Op, offset: u64, buf: Option<Buf>) {
        let len = buf.as_ref().map_or(0, |buf| buf.len() as u32);
        let taken = self.queue.submit(Request { tag, op, offset, len, buf });
        taken.expect("a queue takes as many requests as it was opened for");
    }

    fn reap(&mut self) -> Result<(), Failure> {
        while let Some(done) = self.queue.reap() {
            done.result?;
            let Some(buf) = done.buf else {
                self.flushing = false;
                continue;
            };
            let took = self.clock.steady() - self.began[done.tag as usize];
            self.micros.push(took.as_secs_f32() * 1e6);
            self.idle.push((done.tag, buf));
        }
        Ok(())
    }
}

/// Carries out a job; what it measured.
async fn run(device: Arc<StoreDevice>, job: Job) -> Result<String, Failure> {
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let mut run = Run::new(job, &device, Wake::new(move || waker.wake_by_ref()))?;
    poll_fn(|_| {
        if let Err(e) = run.reap() {
            return Poll::Ready(Err(e));
        }
        if run.start() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await?;
    let took = run.clock.steady().as_secs_f64();
    run.micros.sort_by(f32::total_cmp);
    let at = |part: f64| run.micros.get((run.micros.len() as f64 * part) as usize).copied().unwrap_or(0.0);
    let iops = run.micros.len() as f64 / took;
    let (p50, p99) = (at(0.5), at(0.99));
    Ok(format!(
        "{{\"iops\": {iops:.1}, \"p50\": {p50:.1}, \"p99\": {p99:.1}, \"count\": {}, \"written\": {}}}",
        run.micros.len(),
        run.written
    ))
}

fn id(text: &str) -> Result<Uuid, Failure> {
    Ok(Uuid::from_u128(1000 + text.parse::<u128>()?))
}

/// One command; the answer's JSON.
async fn obey(store: Store, line: String) -> Result<String, Failure> {
    let clock = SystemClock::new();
    let words: Vec<&str> = line.split_whitespace().collect();
    let job = Job {
        reads: 0,
        len: 4096,
        depth: 16,
        flush: 0,
        sequential: true,
        most: u64::MAX,
        time: Duration::from_secs(3600),
    };
    match words[..] {
        ["create", volume, bytes] => store.create(id(volume)?, bytes.parse()?, None, vec![]).await?,
        ["snapshot", volume, name] => store.snapshot(vec![(id(volume)?, id(name)?, vec![])]).await?,
        ["clone", name, volume] => {
            let bytes = store.lookup(id(name)?).await?.ok_or("there is no such snapshot")?.bytes;
            store.create(id(volume)?, bytes, Some(id(name)?), vec![]).await?;
        }
        ["delete", name] => store.delete(id(name)?).await?,
        ["fill", volume, bytes, step] => {
            let (bytes, len): (u64, u32) = (bytes.parse()?, step.parse()?);
            return run(
                store.device(id(volume)?)?,
                Job { len, depth: 4, most: bytes / u64::from(len), ..job },
            )
            .await;
        }
        ["scatter", volume, count, len] => {
            let job = Job { len: len.parse()?, sequential: false, most: count.parse()?, ..job };
            return run(store.device(id(volume)?)?, job).await;
        }
        ["run", volume, reads, len, depth, ms, flush, order] => {
            let job = Job {
                reads: reads.parse()?,
                len: len.parse()?,
                depth: depth.parse()?,
                flush: flush.parse()?,
                sequential: order == "sequential",
                most: u64::MAX,
                time: Duration::from_millis(ms.parse()?),
            };
            return run(store.device(id(volume)?)?, job).await;
        }
        _ => return Err(format!("what is {line:?}?").into()),
    }
    Ok(format!("{{\"ms\": {:.3}}}", clock.steady().as_secs_f64() * 1e3))
}

async fn make(home: Handle, path: std::path::PathBuf, bytes: u64) -> Result<Store, StoreError> {
    let format =
        Format { store: Uuid::from_u128(1), disk: Uuid::from_u128(2), layout: Layout::product(bytes) };
    let disk = move || {
        FileDisk::create(&path, bytes)?;
        Ok(FileDisk::open(&path)?)
    };
    Store::format(Arc::new(home), ring_spawn, Arc::new(SystemEntropy), format, disk).await
}

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, bytes] = &args[..] else { return Err("usage: drive PATH BYTES".into()) };
    let (path, bytes): (std::path::PathBuf, u64) = (path.into(), bytes.parse()?);
    let reactor = Reactor::start("drive", Backend::Auto)?;
    let home = reactor.clone();
    let store = reactor.block_on(move || make(home, path, bytes))??;
    let mut out = std::io::stdout();
    writeln!(out, "{{\"ready\": true}}")?;
    for line in std::io::stdin().lock().lines() {
        let (store, line) = (store.clone(), line?);
        let answer = reactor.block_on(move || obey(store, line))??;
        writeln!(out, "{answer}")?;
    }
    reactor.block_on(move || async move { store.close().await })??;
    reactor.shutdown();
    Ok(reactor.join()?)
}
