//! Power cuts replayed: every write and flush of a real run (a real file, the real reactor) is recorded, the file is
//! rebuilt as it may stand after a power cut at many moments, and each is opened, checked, and compared with what had
//! been promised until then.
//!
//! Of what no flush has covered, any part may be there, torn at sectors. `PARPEN_POWER_CUTS` says how many moments
//! are tried (500 in a full run), `PARPEN_SEED` which.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a panic is how a test fails; the seed comes from outside

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};

use parpen_array::{Array, Host, NewDisk, NoWitness, Offer, Opening};
use parpen_base::{Buf, Entropy, SeededEntropy};
use parpen_engine::{Disk, DiskError, FileDisk, Format, Layout, RamDisk, Sound};
use parpen_ring::{Backend, Reactor};
use uuid::Uuid;

const DISK: u64 = 32 << 20;
const BLOCK: u64 = 4096;
const SECTOR: usize = 512;
/// Blocks of each volume, of which 64 neighbours make an object.
const BLOCKS: u64 = 512;
const VOLUMES: u128 = 3;
/// Writes, flushes, snapshots, clones and deletions of one run.
const STEPS: u64 = 3000;

fn layout() -> Layout {
    Layout {
        object_blocks: 64,
        wal_bytes: 512 << 10,
        ag_blocks: 256,
        reserve_blocks: 256,
        tail_bytes: 1 << 20,
    }
}

fn volume(n: u128) -> Uuid {
    Uuid::from_u128(0x1000 + n)
}

/// What a block holds after its `seq`-th write; nothing was written before the first.
fn content(id: Uuid, block: u64, seq: u64) -> Vec<u8> {
    let seeds = SeededEntropy::new(id.as_u128() as u64 ^ block << 32 ^ seq << 40);
    let mut bytes: Vec<u8> = (0..BLOCK / 8).flat_map(|_| seeds.u64().to_le_bytes()).collect();
    bytes[..8].copy_from_slice(&seq.to_le_bytes());
    bytes
}

/// Block -> number of its last write; absent: never written.
type Blocks = BTreeMap<u64, u64>;

#[derive(Clone)]
enum Promise {
    /// A write was begun: it may be seen from now on.
    Begun(Uuid, u64, u64),
    /// Flushed: at least these, in every volume.
    Kept(BTreeMap<Uuid, Blocks>),
    /// A snapshot is there with exactly this content, or a clone that may still be written.
    Made(Uuid, bool, Blocks),
    /// This is about to go.
    Going(Uuid),
    /// It is gone.
    Gone(Uuid),
}

enum Event {
    Write(u64, Vec<u8>),
    /// The write that is this event was answered.
    Answered(usize),
    Flush,
    /// The flush that is this event was answered.
    Flushed(usize),
    Promise(Promise),
}

#[derive(Clone, Default)]
struct Tape(Rc<RefCell<Vec<Event>>>);

impl Tape {
    fn push(&self, e: Event) -> usize {
        self.0.borrow_mut().push(e);
        self.0.borrow().len() - 1
    }
    fn promise(&self, p: Promise) {
        self.push(Event::Promise(p));
    }
}

/// A disk that notes what is done to it. A discard is no promise of anything, so it is not noted.
struct Recorder(FileDisk, Tape);

impl Disk for Recorder {
    fn size(&self) -> u64 {
        self.0.size()
    }
    async fn read(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        self.0.read(offset, buf).await
    }
    async fn write(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        let at = self.1.push(Event::Write(offset, buf.to_vec()));
        let done = self.0.write(offset, buf).await;
        self.1.push(Event::Answered(at));
        done
    }
    async fn flush(&self) -> Result<(), DiskError> {
        let at = self.1.push(Event::Flush);
        let done = self.0.flush().await;
        self.1.push(Event::Flushed(at));
        done
    }
    async fn discard(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.0.discard(offset, len).await
    }
}

/// What the workload has done so far.
struct Work {
    array: Rc<Array<Recorder, Sound>>,
    tape: Tape,
    dice: SeededEntropy,
    /// Of each volume: numbers of the last begun and of the last answered write of each block.
    begun: RefCell<BTreeMap<Uuid, Blocks>>,
    answered: RefCell<BTreeMap<Uuid, Blocks>>,
    made: RefCell<Vec<Uuid>>,
    running: Cell<usize>,
}

impl Work {
    fn pick(&self, n: u64) -> u64 {
        self.dice.u64() % n
    }

    async fn write(&self) {
        let id = volume(u128::from(self.pick(VOLUMES as u64)));
        let first = self.pick(BLOCKS);
        let count = (1 + self.pick(4)).min(BLOCKS - first);
        let mut bytes = Vec::new();
        let mut numbers = Vec::new();
        for block in first..first + count {
            let mut begun = self.begun.borrow_mut();
            let seq = begun.entry(id).or_default().entry(block).or_default();
            *seq += 1;
            numbers.push((block, *seq));
            bytes.extend(content(id, block, *seq));
            self.tape.promise(Promise::Begun(id, block, *seq));
        }
        let (result, _) = self.array.write(id, first * BLOCK, Buf::copy_of(&bytes)).await;
        result.unwrap();
        let mut answered = self.answered.borrow_mut();
        for (block, seq) in numbers {
            // Writes of one block take turns in the order in which they began.
            let last = answered.entry(id).or_default().entry(block).or_default();
            *last = (*last).max(seq);
        }
    }

    async fn flush(&self) {
        let kept = self.answered.borrow().clone();
        self.array.flush().await.unwrap();
        self.tape.promise(Promise::Kept(kept));
    }

    /// What a device that nobody writes holds.
    async fn look(&self, id: Uuid) -> Blocks {
        let mut held = Blocks::new();
        for block in 0..BLOCKS {
            let (result, buf) = self.array.read(id, block * BLOCK, Buf::zeroed(BLOCK as usize)).await;
            result.unwrap();
            let seq = u64::from_le_bytes(buf[..8].try_into().unwrap());
            if seq > 0 {
                held.insert(block, seq);
            }
        }
        held
    }

    /// A snapshot of one volume or of all at one instant, sometimes a clone of it; old ones go.
    async fn shape(&self) {
        let new = || Uuid::from_u128(u128::from(self.dice.u64()) << 64 | 0xface);
        let all = self.pick(3) == 0;
        let one = u128::from(self.pick(VOLUMES as u64));
        let of: Vec<Uuid> = (0..VOLUMES).filter(|n| all || *n == one).map(volume).collect();
        let taken: Vec<_> = of.iter().map(|v| (*v, new(), vec![7; 20])).collect();
        self.array.snapshot(&taken).await.unwrap();
        for (_, snapshot, _) in &taken {
            let held = self.look(*snapshot).await;
            self.tape.promise(Promise::Made(*snapshot, false, held.clone()));
            self.made.borrow_mut().push(*snapshot);
            if self.pick(2) == 0 {
                let clone = new();
                self.array.create(clone, BLOCKS * BLOCK, Some(*snapshot), b"clone").await.unwrap();
                self.tape.promise(Promise::Made(clone, true, held));
                self.made.borrow_mut().push(clone);
            }
        }
        while self.made.borrow().len() > 8 {
            let n = self.pick(self.made.borrow().len() as u64) as usize;
            let id = self.made.borrow_mut().swap_remove(n);
            self.tape.promise(Promise::Going(id));
            self.array.delete(id).await.unwrap();
            self.tape.promise(Promise::Gone(id));
        }
    }
}

/// Several tasks at once, as clients do.
async fn work(w: &Work, steps: u64) {
    for _ in 0..steps {
        match w.pick(40) {
            0 => w.shape().await,
            1..=4 => w.flush().await,
            _ => w.write().await,
        }
    }
}

/// A run on a real file; the tape leaves its thread at the end.
fn record(seed: u64) -> Vec<Event> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    FileDisk::create(&path, DISK).unwrap();
    let reactor = Reactor::start("power", Backend::Auto).unwrap();
    let (send, receive) = mpsc::channel();
    let run = move || {
        (Host::ring().spawn)(Box::pin(async move {
            let tape = Tape::default();
            let disk = Recorder(FileDisk::open(&path).unwrap(), tape.clone());
            let format = Format { store: Uuid::from_u128(1), disk: Uuid::from_u128(2), layout: layout() };
            let entropy = Arc::new(SeededEntropy::new(seed));
            let new = NewDisk::one(disk, format);
            let array = Array::<Recorder, Sound>::format(new, entropy, Rc::new(NoWitness)).await.unwrap();
            for n in 0..VOLUMES {
                array.create(volume(n), BLOCKS * BLOCK, None, b"label").await.unwrap();
            }
            array.flush().await.unwrap();
            tape.promise(Promise::Kept((0..VOLUMES).map(|n| (volume(n), Blocks::new())).collect()));
            let tasks = 4;
            let w = Rc::new(Work {
                array,
                tape: tape.clone(),
                dice: SeededEntropy::new(seed ^ 0xd1ce),
                begun: RefCell::default(),
                answered: RefCell::default(),
                made: RefCell::default(),
                running: Cell::new(tasks),
            });
            for _ in 0..tasks {
                let (w, send) = (w.clone(), send.clone());
                (Host::ring().spawn)(Box::pin(async move {
                    work(&w, STEPS / tasks as u64).await;
                    w.running.set(w.running.get() - 1);
                    if w.running.get() == 0 {
                        send.send(std::mem::take(&mut *w.tape.0.borrow_mut())).unwrap();
                    }
                }));
            }
        }));
    };
    parpen_block::Home::run(&reactor.clone(), Box::new(run));
    let events = receive.recv().unwrap();
    reactor.shutdown();
    reactor.join().unwrap();
    events
}

/// A future over memory never waits.
fn now<T>(f: impl Future<Output = T>) -> T {
    let mut f = std::pin::pin!(f);
    for _ in 0..1_000_000 {
        if let Poll::Ready(v) = f.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return v;
        }
    }
    panic!("it waits for something that never comes");
}

fn put(disk: &RamDisk, at: u64, bytes: &[u8]) {
    now(disk.write(at, Buf::copy_of(bytes))).0.unwrap();
}

/// What has been promised up to a moment.
#[derive(Clone, Default)]
struct Promised {
    begun: BTreeMap<Uuid, Blocks>,
    kept: BTreeMap<Uuid, Blocks>,
    made: BTreeMap<Uuid, (bool, Blocks)>,
    /// May be there or not.
    going: BTreeMap<Uuid, (bool, Blocks)>,
}

impl Promised {
    fn hear(&mut self, p: &Promise) {
        match p {
            Promise::Begun(id, block, seq) => {
                self.begun.entry(*id).or_default().insert(*block, *seq);
            }
            Promise::Kept(kept) => {
                for (id, blocks) in kept {
                    let all = self.kept.entry(*id).or_default();
                    for (block, seq) in blocks {
                        let last = all.entry(*block).or_default();
                        *last = (*last).max(*seq);
                    }
                }
            }
            Promise::Made(id, clone, held) => {
                self.made.insert(*id, (*clone, held.clone()));
            }
            Promise::Going(id) => {
                if let Some(m) = self.made.remove(id) {
                    self.going.insert(*id, m);
                }
            }
            Promise::Gone(id) => {
                self.going.remove(id);
            }
        }
    }
}

fn read(array: &Array<RamDisk, Sound>, id: Uuid, block: u64) -> Vec<u8> {
    let (result, buf) = now(array.read(id, block * BLOCK, Buf::zeroed(BLOCK as usize)));
    result.unwrap();
    buf.to_vec()
}

/// The volume whose writes a block shows.
fn is_written_by(bytes: &[u8], block: u64, seq: u64) -> bool {
    (0..VOLUMES).any(|n| bytes == content(volume(n), block, seq))
}

fn compare(array: &Array<RamDisk, Sound>, p: &Promised) {
    assert_eq!(now(array.fsck(true)).unwrap(), []);
    for (id, kept) in &p.kept {
        for block in 0..BLOCKS {
            let bytes = read(array, *id, block);
            let seq = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            let least = kept.get(&block).copied().unwrap_or(0);
            let most = p.begun.get(id).and_then(|b| b.get(&block)).copied().unwrap_or(0);
            assert!((least..=most).contains(&seq), "{id} block {block}: {seq} is not in {least}..={most}");
            let whole =
                if seq == 0 { bytes.iter().all(|b| *b == 0) } else { bytes == content(*id, block, seq) };
            assert!(whole, "{id} block {block}: not what write {seq} wrote");
        }
    }
    for (id, (_, held)) in &p.made {
        assert!(array.lookup(*id).is_some(), "{id} is lost");
        for block in 0..BLOCKS {
            let bytes = read(array, *id, block);
            let right = match held.get(&block) {
                None => bytes.iter().all(|b| *b == 0),
                Some(seq) => is_written_by(&bytes, block, *seq),
            };
            assert!(right, "{id} block {block} is not {:?}", held.get(&block));
        }
    }
    for found in array.inventory() {
        let known = p.kept.contains_key(&found.id)
            || p.made.contains_key(&found.id)
            || p.going.contains_key(&found.id)
            // Made, but not promised yet.
            || found.id.as_u128() & 0xffff == 0xface;
        assert!(known, "{} came back", found.id);
    }
}

/// The tape up to a moment: what is durable for certain, and the writes that may be there in any part.
struct Replay {
    durable: RamDisk,
    loose: BTreeMap<usize, bool>,
    /// For each flush under way: the writes that it covers.
    flushes: BTreeMap<usize, Vec<usize>>,
    promised: Promised,
    /// A disk that lies: of the writes that were flushed, every so-and-so-many-th is not there.
    forgets: Option<usize>,
}

impl Replay {
    fn new(forgets: Option<usize>) -> Replay {
        Replay {
            durable: RamDisk::new(DISK),
            loose: BTreeMap::new(),
            flushes: BTreeMap::new(),
            promised: Promised::default(),
            forgets,
        }
    }

    fn step(&mut self, tape: &[Event], at: usize) {
        match &tape[at] {
            Event::Write(..) => {
                self.loose.insert(at, false);
            }
            Event::Answered(of) => {
                if let Some(answered) = self.loose.get_mut(of) {
                    *answered = true;
                }
            }
            Event::Flush => {
                let covered = self.loose.iter().filter(|(_, answered)| **answered).map(|(at, _)| *at);
                self.flushes.insert(at, covered.collect());
            }
            Event::Flushed(of) => {
                for write in self.flushes.remove(of).unwrap_or_default() {
                    let forgotten = self.forgets.is_some_and(|n| write % n == 0);
                    if self.loose.remove(&write).is_some()
                        && !forgotten
                        && let Event::Write(offset, bytes) = &tape[write]
                    {
                        put(&self.durable, *offset, bytes);
                    }
                }
            }
            Event::Promise(p) => self.promised.hear(p),
        }
    }

    /// A disk as a power cut may leave it.
    fn cut(&self, tape: &[Event], dice: &SeededEntropy) -> RamDisk {
        let disk = RamDisk::new(DISK);
        for at in (0..DISK).step_by(1 << 20) {
            let (result, buf) = now(self.durable.read(at, Buf::zeroed(1 << 20)));
            result.unwrap();
            put(&disk, at, &buf);
        }
        for write in self.loose.keys() {
            let Event::Write(offset, bytes) = &tape[*write] else { continue };
            let (_, mut there) = now(disk.read(*offset, Buf::zeroed(bytes.len())));
            let fate = dice.u64() % 4;
            for (n, sector) in bytes.chunks(SECTOR).enumerate() {
                if fate == 0 || (fate == 1 && dice.u64().is_multiple_of(2)) {
                    there[n * SECTOR..n * SECTOR + sector.len()].copy_from_slice(sector);
                }
            }
            put(&disk, *offset, &there);
        }
        disk
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |v| v.parse().expect("a number"))
}

/// Tries the store after a power cut at each of so many moments of a recorded run.
fn try_all(tape: &[Event], cuts: u64, seed: u64, mut replay: Replay) {
    let dice = SeededEntropy::new(seed ^ 0xc07);
    // The first promise is that there is a store at all.
    let first = tape.iter().position(|e| matches!(e, Event::Promise(_))).unwrap() as u64;
    let moment = |_| first + 1 + dice.u64() % (tape.len() as u64 - first);
    let mut moments: Vec<u64> = (0..cuts).map(moment).collect();
    moments.sort_unstable();
    let mut done = 0;
    for moment in moments {
        while done < moment as usize {
            replay.step(tape, done);
            done += 1;
        }
        let disk = replay.cut(tape, &dice);
        let entropy = Arc::new(SeededEntropy::new(moment));
        let array = now(Array::<RamDisk, Sound>::open(
            Offer::one(disk),
            entropy,
            Rc::new(NoWitness),
            Opening::default(),
        ));
        let array = array.unwrap_or_else(|e| panic!("seed {seed}, cut at {moment}: {e}"));
        compare(&array, &replay.promised);
    }
}

#[test]
fn nothing_that_was_promised_is_lost_at_any_moment() {
    let (cuts, seed) = (setting("PARPEN_POWER_CUTS", 20), setting("PARPEN_SEED", 1));
    let tape = record(seed);
    try_all(&tape, cuts, seed, Replay::new(None));
    println!("{cuts} cuts of a run of {} events, seed {seed}: nothing lost", tape.len());
}

#[test]
#[should_panic]
fn a_disk_that_forgets_what_it_flushed_is_noticed() {
    try_all(&record(2), 8, 2, Replay::new(Some(40)));
}
