//! A store of several disks beside a model of it: what each block must read as, or may after something failed.
#![allow(dead_code, clippy::unwrap_used)] // each test binary uses its part; a panic is how a test fails

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use parpen_array::{Array, ArrayError, Class, LocalTask, Offer, Opening, Policy, State};
use parpen_base::Buf;
use parpen_engine::sync::{join_all, yield_now};
use parpen_engine::{EngineError, Rules};
use uuid::Uuid;

use super::common::{
    BLOCK, MemoryWitness, TestDisk, block_of, block_on, entropy, new_disk, poll_for, tag_of,
};

/// Blocks of each volume: four objects.
pub const BLOCKS: u64 = 64;
pub const DISK: u64 = 24 << 20;

/// What a block may read as now, and what it may after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    pub now: BTreeSet<u64>,
    pub kept: BTreeSet<u64>,
}

impl Cell {
    fn of(tag: u64) -> Cell {
        Cell { now: BTreeSet::from([tag]), kept: BTreeSet::from([tag]) }
    }

    /// What it reads as, where that is certain.
    pub fn tag(&self) -> u64 {
        assert_eq!(self.now.len(), 1, "{:?}", self.now);
        self.now.first().copied().unwrap()
    }

    fn write(&mut self, tag: u64, done: bool) {
        if done {
            self.now = BTreeSet::from([tag]);
        } else {
            self.now.insert(tag);
        }
        self.kept.insert(tag);
    }
}

#[derive(Clone)]
pub struct Image {
    pub snapshot: bool,
    pub replicas: u8,
    pub cells: Vec<Cell>,
}

pub struct World<R: Rules> {
    pub disks: BTreeMap<u16, TestDisk>,
    /// Disks that are not attached now, as they will come back.
    pub away: BTreeMap<u16, TestDisk>,
    pub witness: MemoryWitness,
    pub array: Rc<Array<TestDisk, R>>,
    pub model: BTreeMap<Uuid, Image>,
    pub next: u64,
    pub seed: u64,
}

impl<R: Rules> World<R> {
    pub fn new(disks: u16, seed: u64) -> World<R> {
        let disks: BTreeMap<u16, TestDisk> = (1..=disks).map(|n| (n, TestDisk::new(DISK))).collect();
        disks.iter().for_each(|(n, d)| d.shake(seed << 8 | u64::from(*n)));
        let witness = MemoryWitness::default();
        let new = disks.iter().map(|(n, d)| new_disk(*n, d.clone())).collect();
        let array = block_on(Array::format(new, entropy(seed), Rc::new(witness.clone()))).unwrap();
        World { disks, away: BTreeMap::new(), witness, array, model: BTreeMap::new(), next: 1, seed }
    }

    pub fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn id(&mut self) -> Uuid {
        Uuid::from_u128(0x1000 + u128::from(self.fresh()))
    }

    pub fn pick(&self, snapshot: Option<bool>, n: u64) -> Option<Uuid> {
        let fits = |i: &&Image| snapshot.is_none_or(|s| s == i.snapshot);
        let all: Vec<Uuid> = self.model.iter().filter(|(_, i)| fits(i)).map(|(id, _)| *id).collect();
        (!all.is_empty()).then(|| all[n as usize % all.len()])
    }

    /// Disks that do not have everything, or have died without anybody's notice.
    pub fn out(&self) -> usize {
        let behind = |m: &parpen_array::MemberInfo| {
            let well = matches!(
                m.state,
                State::InSync | State::Empty | State::Ejecting | State::EjectPaused | State::Forgotten
            );
            !well || self.away.contains_key(&m.number)
        };
        self.array.members().iter().filter(|m| behind(m)).count()
    }

    pub fn create(&mut self, replicas: u8, from: Option<Uuid>) -> Option<Uuid> {
        let id = self.id();
        let policy = Policy { replicas, ..Policy::default() };
        match block_on(self.array.create_placed(id, BLOCKS * BLOCK, from, b"label", &policy)) {
            Ok(()) => {}
            Err(EngineError::NoSpace | EngineError::Invalid(_) | EngineError::Io) => return None,
            Err(e) => panic!("create: {e}"),
        }
        let image = match from {
            Some(from) => Image { snapshot: false, ..self.model[&from].clone() },
            None => Image { snapshot: false, replicas, cells: vec![Cell::of(0); BLOCKS as usize] },
        };
        self.model.insert(id, image);
        Some(id)
    }

    pub async fn write_at(&self, id: Uuid, first: u64, count: u64, tag: u64) -> Result<(), EngineError> {
        let mut bytes = Vec::new();
        (0..count).for_each(|_| bytes.extend(block_of(tag)));
        self.array.write(id, first * BLOCK, Buf::copy_of(&bytes)).await.0
    }

    /// Notes in the model what became of a write.
    pub fn wrote(&mut self, id: Uuid, first: u64, count: u64, tag: u64, result: Result<(), EngineError>) {
        match result {
            Ok(()) | Err(EngineError::NoSpace | EngineError::Io | EngineError::Fenced) => {}
            Err(e) => panic!("write: {e}"),
        }
        let image = self.model.get_mut(&id).unwrap();
        for cell in &mut image.cells[first as usize..(first + count) as usize] {
            cell.write(tag, result.is_ok());
        }
        // A change of the map alone does not touch a disk, so a dead one may have answered it.
        self.doubt();
    }

    pub fn write(&mut self, id: Uuid, first: u64, count: u64) {
        let tag = self.fresh();
        let result = block_on(self.write_at(id, first, count, tag));
        self.wrote(id, first, count, tag, result);
    }

    pub fn erase(&mut self, id: Uuid, first: u64, count: u64, zero: bool) {
        let (at, len) = (first * BLOCK, count * BLOCK);
        let result = match zero {
            true => block_on(self.array.zero(id, at, len)),
            false => block_on(self.array.discard(id, at, len)),
        };
        match (zero, result) {
            // On a full disk what is discarded may stay.
            (false, Ok(())) => {
                let image = self.model.get_mut(&id).unwrap();
                for cell in &mut image.cells[first as usize..(first + count) as usize] {
                    cell.now.insert(0);
                    cell.kept.insert(0);
                }
            }
            _ => self.wrote(id, first, count, 0, result),
        }
    }

    pub fn flush(&mut self, id: Uuid) {
        if block_on(self.array.flush_of(id)).is_ok() {
            let image = self.model.get_mut(&id).unwrap();
            image.cells.iter_mut().for_each(|c| c.kept = c.now.clone());
        }
    }

    pub fn snapshot(&mut self, id: Uuid) {
        let taken = self.id();
        match block_on(self.array.snapshot(&[(id, taken, vec![])])) {
            Ok(()) => {}
            Err(EngineError::NoSpace | EngineError::Io) => return,
            Err(e) => panic!("snapshot: {e}"),
        }
        let image = self.model.get_mut(&id).unwrap();
        image.cells.iter_mut().for_each(|c| c.kept = c.now.clone());
        let image = Image { snapshot: true, ..image.clone() };
        self.model.insert(taken, image);
    }

    pub fn rollback(&mut self, id: Uuid, to: Uuid) {
        match block_on(self.array.rollback(id, to)) {
            Ok(()) => {
                let Image { cells, replicas, .. } = self.model[&to].clone();
                let image = self.model.get_mut(&id).unwrap();
                (image.cells, image.replicas) = (cells, replicas);
            }
            Err(EngineError::NoSpace | EngineError::Io) => {
                let cells = self.model[&to].cells.clone();
                let image = self.model.get_mut(&id).unwrap();
                for (mine, theirs) in image.cells.iter_mut().zip(cells) {
                    mine.now.extend(&theirs.now);
                    mine.kept.extend(&theirs.now);
                }
            }
            Err(e) => panic!("rollback: {e}"),
        }
    }

    pub fn delete(&mut self, id: Uuid) {
        match block_on(self.array.delete(id)) {
            Ok(()) => drop(self.model.remove(&id)),
            Err(EngineError::NoSpace | EngineError::Io) => {
                if self.array.lookup(id).is_none() {
                    self.model.remove(&id);
                }
            }
            Err(e) => panic!("delete: {e}"),
        }
    }

    /// A disk dies while the store runs; it may come back as what it had durable.
    pub fn lose(&mut self, number: u16) {
        let Some(disk) = self.disks.remove(&number) else { return };
        self.seed += 1;
        let back = disk.reborn(self.seed);
        self.away.insert(number, back);
        self.doubt();
    }

    /// What has no copy left that nobody missed may be what it was at the last flush.
    pub fn doubt(&mut self) {
        let out = self.out();
        for image in self.model.values_mut().filter(|i| usize::from(i.replicas) <= out) {
            for cell in &mut image.cells {
                cell.now.extend(&cell.kept);
            }
        }
    }

    /// A disk that was away comes back while the store runs.
    pub fn come_back(&mut self, number: u16) {
        let Some(disk) = self.away.remove(&number) else { return };
        match block_on(self.array.attach(disk.clone())) {
            Ok(n) => {
                assert_eq!(n, number);
                self.disks.insert(number, disk);
            }
            // Its loss was not noticed yet, or nobody is left to follow.
            Err(EngineError::Exists | EngineError::Io | EngineError::NoSpace | EngineError::Invalid(_)) => {
                self.away.insert(number, disk.reborn(self.seed));
            }
            Err(e) => panic!("attach: {e}"),
        }
    }

    /// Everything stops at once; those that are not absent are opened again. If the store refuses to go on without
    /// the absent ones, all are.
    pub fn crash(&mut self, absent: &[u16]) {
        self.seed += 1;
        let seed = self.seed;
        for (n, disk) in std::mem::take(&mut self.disks) {
            self.away.insert(n, disk.reborn(seed + u64::from(n)));
        }
        let mut offers = Vec::new();
        for (n, disk) in std::mem::take(&mut self.away) {
            if absent.contains(&n) {
                self.away.insert(n, disk);
                continue;
            }
            offers.push(Offer { number: n, disk: Ok(disk.clone()) });
            self.disks.insert(n, disk);
        }
        let how = Opening { store: Some(super::common::STORE), ..Opening::default() };
        let opened = block_on(Array::open(offers, entropy(seed), Rc::new(self.witness.clone()), how));
        match opened {
            Ok(array) => self.array = array,
            Err(ArrayError::NewestMissing(_) | ArrayError::NoDisk) if !absent.is_empty() => {
                return self.crash(&[]);
            }
            Err(e) => panic!("open: {e}"),
        }
        for image in self.model.values_mut().filter(|i| !i.snapshot) {
            for cell in &mut image.cells {
                cell.now.extend(&cell.kept);
            }
        }
        self.doubt();
    }

    /// Everything stops in the midst of something.
    pub fn crash_within(&mut self, what: u8, volume: u64, polls: u16, absent: &[u16]) {
        let array = self.array.clone();
        let Some(id) = self.pick(Some(false), volume) else { return self.crash(absent) };
        match what {
            0 => {
                let work = async {
                    for _ in 0..30 {
                        array.step(20_000).await;
                    }
                };
                poll_for(work, polls);
            }
            1 => {
                let (tag, first, count) = (self.fresh(), volume % (BLOCKS - 12), 1 + volume % 11);
                let done = poll_for(self.write_at(id, first, count, tag), polls);
                self.wrote(id, first, count, tag, done.unwrap_or(Err(EngineError::Io)));
            }
            2 => {
                if poll_for(array.flush_of(id), polls) == Some(Ok(())) {
                    let image = self.model.get_mut(&id).unwrap();
                    image.cells.iter_mut().for_each(|c| c.kept = c.now.clone());
                }
            }
            3 => {
                let taken = self.id();
                let done = poll_for(array.snapshot(&[(id, taken, vec![])]), polls);
                let done = done == Some(Ok(()));
                let image = self.model.get_mut(&id).unwrap();
                if done {
                    image.cells.iter_mut().for_each(|c| c.kept = c.now.clone());
                }
                let mut cells = image.cells.clone();
                cells.iter_mut().for_each(|c| c.now.extend(&c.kept));
                let replicas = image.replicas;
                self.crash(absent);
                if done || self.array.lookup(taken).is_some() {
                    self.model.insert(taken, Image { snapshot: true, replicas, cells });
                    self.doubt();
                }
                return;
            }
            4 => {
                let Some(to) = self.pick(Some(true), volume) else { return self.crash(absent) };
                let done = poll_for(array.rollback(id, to), polls);
                let theirs = self.model[&to].clone();
                let image = self.model.get_mut(&id).unwrap();
                if done == Some(Ok(())) {
                    (image.cells, image.replicas) = (theirs.cells, theirs.replicas);
                } else {
                    image.replicas = image.replicas.min(theirs.replicas);
                    for (mine, theirs) in image.cells.iter_mut().zip(theirs.cells) {
                        mine.now.extend(&theirs.now);
                        mine.kept.extend(&theirs.now);
                    }
                }
            }
            _ => {
                let disk = 1 + (volume % 3) as u16;
                poll_for(array.soft_eject(disk), polls);
            }
        }
        self.crash(absent);
    }

    /// Five writes side by side, two flushes and some work, and perhaps a disk that dies in the midst of it.
    pub fn together(&mut self, id: Uuid, first: u64, dies: Option<(u16, u8)>) {
        let dies = dies.filter(|(n, _)| self.disks.contains_key(n));
        let tags: Vec<u64> = (0..5).map(|_| self.fresh()).collect();
        let (array, disks) = (&self.array, &self.disks);
        let mut all: Vec<LocalTask<'_, Result<(), EngineError>>> = Vec::new();
        for (i, tag) in tags.iter().enumerate() {
            all.push(Box::pin(self.write_at(id, first + 8 * i as u64, 8, *tag)));
        }
        for budget in [4096, 50_000] {
            all.push(Box::pin(async move {
                for _ in 0..10 {
                    array.step(budget).await;
                }
                Ok(())
            }));
            all.push(Box::pin(async move { array.flush_of(id).await }));
        }
        if let Some((number, after)) = dies {
            all.push(Box::pin(async move {
                for _ in 0..after {
                    yield_now().await;
                }
                disks[&number].die();
                Ok(())
            }));
        }
        let results = block_on(join_all(all));
        // What the flushes covered is not known here, so they promise nothing.
        for (i, tag) in tags.iter().enumerate() {
            self.wrote(id, first + 8 * i as u64, 8, *tag, results[i]);
        }
        if let Some((number, _)) = dies {
            self.lose(number);
        }
    }

    /// Works behind the scenes until there is nothing to do, or for so many steps.
    pub fn work(&mut self, steps: usize, budget: u64) -> bool {
        for _ in 0..steps {
            if block_on(self.array.step(budget)).class.is_none() {
                return true;
            }
        }
        false
    }

    /// Reads everything. What is read once stays so.
    pub fn check(&mut self) {
        let out = self.out();
        for (id, image) in &mut self.model {
            for first in (0..BLOCKS).step_by(8) {
                let (result, buf) =
                    block_on(self.array.read(*id, first * BLOCK, Buf::zeroed(8 * BLOCK as usize)));
                match result {
                    Ok(_) => {}
                    Err(EngineError::Io) if usize::from(image.replicas) <= out.max(self.away.len()) => {
                        continue;
                    }
                    Err(e) => panic!("{id} from block {first}: {e}; {:#?}", self.array.members()),
                }
                for (i, bytes) in buf.chunks_exact(BLOCK as usize).enumerate() {
                    let (block, tag) = (first as usize + i, tag_of(bytes));
                    let cell = &mut image.cells[block];
                    assert!(
                        cell.now.contains(&tag),
                        "block {block} of {id} ({}) reads {tag}, may be {:?}",
                        if image.snapshot { "snapshot" } else { "volume" },
                        cell.now
                    );
                    cell.now = BTreeSet::from([tag]);
                }
            }
        }
    }

    /// All disks are there and everything is done: nothing is in doubt, and all disks agree.
    pub fn settle(&mut self) {
        let away: Vec<u16> = self.away.keys().copied().collect();
        away.into_iter().for_each(|n| self.come_back(n));
        if !self.away.is_empty() {
            self.crash(&[]);
        }
        assert!(self.work(10_000, 1 << 20), "the work never ends: {:#?}", self.array.tasks());
        self.check();
        let violations = block_on(self.array.fsck(true)).unwrap();
        assert!(violations.is_empty(), "{violations:?}");
        let behind =
            self.array.members().into_iter().find(|m| !matches!(m.state, State::InSync | State::Empty));
        let behind =
            behind.filter(|m| !matches!(m.state, State::Forgotten | State::Ejecting | State::EjectPaused));
        assert!(behind.is_none(), "{behind:#?}");
        let stuck =
            self.array.tasks().into_iter().find(|t| t.class == Class::Recovery && t.completed > t.all);
        assert!(stuck.is_none(), "{stuck:?}");
    }
}
