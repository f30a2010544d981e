//! One history's world: disk, executor, engine and the oracle, and the judgement of each answer.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use parpen_base::{Buf, SeededEntropy};
use parpen_engine::{Engine, EngineError, Format, Layout, Rules};
use uuid::Uuid;

use crate::content::read_cells;
use crate::disk::SimDisk;
use crate::exec::{Answer, Executor};
use crate::image::RequestId;
use crate::model::{Catalogue, Change, Id};
use crate::moves::Moving;
use crate::profile::Profile;
use crate::rng::Rng;
use crate::trace::Trace;

/// Why a history is not as it must be, in one sentence or a few lines.
pub type Failure = String;

/// What a history did; sums over histories make sense.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests answered.
    pub answers: u64,
    /// Disk requests ended.
    pub disk_steps: u64,
    /// Power cuts.
    pub crashes: u64,
    /// Recoveries that ended.
    pub recoveries: u64,
    /// Requests that ended in `NoSpace`.
    pub refusals: u64,
    /// Requests that ended in another error.
    pub errors: u64,
    /// Histories that ended early because the disk could not be opened any more (silent faults only).
    pub unreadable: u64,
}

impl Tally {
    /// Adds another history's.
    pub fn add(&mut self, other: &Tally) {
        self.answers += other.answers;
        self.disk_steps += other.disk_steps;
        self.crashes += other.crashes;
        self.recoveries += other.recoveries;
        self.refusals += other.refusals;
        self.errors += other.errors;
        self.unreadable += other.unreadable;
    }
}

/// What was asked.
pub(crate) enum What {
    Read {
        id: Id,
        first: usize,
    },
    /// A request that puts stamps there: write, zero, discard. A discard on a full disk is a hint: it may
    /// be answered well and leave blocks as they were.
    Write {
        id: Id,
        hint: bool,
    },
    Flush,
    /// A block gets a new place; nothing changes.
    Heal,
    /// A family goes and comes back.
    Move,
    Change(Change),
}

impl What {
    fn device(&self) -> Option<Id> {
        match self {
            What::Read { id, .. } | What::Write { id, .. } => Some(*id),
            _ => None,
        }
    }
}

type Reply = Result<Option<Buf>, EngineError>;

/// A request under way.
pub(crate) struct Running {
    name: RequestId,
    pub(crate) what: What,
    submitted: u64,
    /// The engine was fenced when it was submitted: it must not be answered well.
    fenced: bool,
    answer: Answer<Reply>,
}

pub(crate) struct World<R: Rules> {
    pub rng: Rng,
    pub exec: Executor,
    pub disk: SimDisk,
    pub trace: Trace,
    pub profile: Profile,
    pub engine: Option<Rc<Engine<SimDisk, R>>>,
    pub model: Catalogue,
    pub running: Vec<Running>,
    /// Changes whose outcome only the next recovery tells.
    pub in_doubt: Vec<Change>,
    /// A family that is not whole at the moment.
    pub moving: Option<Rc<Moving>>,
    pub fenced: bool,
    pub tally: Tally,
    pub entropy: Arc<SeededEntropy>,
    /// Some writes of old, to be repeated: device, first cell, stamps.
    pub written: Vec<(Id, usize, Vec<u32>)>,
    /// How often, in percent, a power cut strikes a recovery.
    pub crashed_recoveries: u32,
    /// The first writes since the last flush.
    pub unflushed: Vec<(Id, usize, Vec<u32>)>,
    /// Where silent faults may strike.
    pub silent_pages: Vec<Range<usize>>,
    now: u64,
    next_id: u32,
    next_stamp: u32,
    next_name: RequestId,
    /// In percent: how often a task runs before a disk request when both could.
    eager: u32,
    /// Bytes of maps that the engine may keep though they could be read again: some histories read them all
    /// the time.
    pub cache: usize,
    /// Blocks of a group: many small ones, or one, in which what was freed is soon taken again.
    pub group_blocks: u32,
}

impl<R: Rules> World<R> {
    pub fn new(seed: u64, profile: Profile, trace: Trace) -> World<R> {
        let mut rng = Rng::new(seed);
        let disk =
            SimDisk::new(profile.pages() * parpen_engine::BLOCK, profile.atomic(), rng.fork(), trace.clone());
        let eager = *rng.pick(&[20, 50, 80, 95]);
        World {
            exec: Executor::new(),
            disk,
            trace,
            profile,
            engine: None,
            model: Catalogue::default(),
            running: Vec::new(),
            in_doubt: Vec::new(),
            moving: None,
            fenced: false,
            tally: Tally::default(),
            entropy: Arc::new(SeededEntropy::new(rng.next())),
            written: Vec::new(),
            crashed_recoveries: profile.crashed_recoveries(),
            unflushed: Vec::new(),
            silent_pages: vec![10..129, 129..255],
            now: 1,
            next_id: 1,
            next_stamp: 1,
            next_name: 1,
            eager,
            group_blocks: if seed % 8 < 4 { 64 } else { 256 },
            cache: [0, 1 << 10, 8 << 10, 64 << 20][(seed % 4) as usize],
            rng,
        }
    }

    /// Formats the disk.
    pub fn format(&mut self, layout: Layout) -> Result<(), Failure> {
        let disk = self.disk.clone();
        let options = Format { store: Uuid::from_u128(1), disk: Uuid::from_u128(2), layout };
        let answer = self.exec.spawn(async move { Engine::<SimDisk, R>::format(&disk, options).await });
        self.run_until(|| answer.take())?.map_err(|e| format!("format failed: {e}"))
    }

    pub fn fresh_id(&mut self) -> Id {
        self.next_id += 1;
        Id(self.next_id - 1)
    }

    /// Stamps that nobody used before.
    pub fn fresh_stamps(&mut self, n: usize) -> Vec<u32> {
        let first = self.next_stamp;
        self.next_stamp += n as u32;
        (first..self.next_stamp).collect()
    }

    pub fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    /// Lets one thing happen: a task runs or a disk request ends. False if nothing can.
    pub fn turn(&mut self) -> bool {
        let task_first = self.exec.ready() > 0 && (self.disk.pending() == 0 || self.rng.percent(self.eager));
        if task_first { self.exec.step(&mut self.rng) } else { self.disk.step() }
    }

    /// Lets things happen until `done` says something.
    pub fn run_until<T>(&mut self, mut done: impl FnMut() -> Option<T>) -> Result<T, Failure> {
        for _ in 0..1_000_000 {
            if let Some(out) = done() {
                return Ok(out);
            }
            if !self.turn() {
                return done().ok_or_else(|| "stuck: a request is never answered".to_owned());
            }
        }
        Err("a request is not answered within a million steps".to_owned())
    }

    pub fn engine(&self) -> Rc<Engine<SimDisk, R>> {
        self.engine.clone().expect("the driver submits only to an open engine")
    }

    /// Notes a request; `describe` names it in the trace.
    pub fn submitted(
        &mut self,
        what: What,
        future: impl Future<Output = Reply> + 'static,
        describe: impl FnOnce() -> String,
    ) -> RequestId {
        let name = self.next_name;
        self.next_name += 1;
        let submitted = self.tick();
        self.trace.note(u64::from(name), || format!("{name:4} {}", describe()));
        if let Some(id) = what.device() {
            self.model.get(id).io += 1;
        }
        let answer = self.exec.spawn(future);
        self.running.push(Running { name, what, submitted, fenced: self.fenced, answer });
        name
    }

    /// Takes in every answer that has come.
    pub fn collect(&mut self) -> Result<(), Failure> {
        let mut i = 0;
        while i < self.running.len() {
            let Some(reply) = self.running[i].answer.take() else {
                i += 1;
                continue;
            };
            let request = self.running.remove(i);
            self.answered(request, reply)?;
        }
        match self.disk.violation() {
            Some(story) => Err(format!("the engine broke a rule of the disk: {story}")),
            None => Ok(()),
        }
    }

    /// Waits for all requests.
    pub fn drain(&mut self) -> Result<(), Failure> {
        while !self.running.is_empty() {
            let before = self.running.len();
            for _ in 0..100_000 {
                self.collect()?;
                if self.running.len() < before || !self.turn() {
                    break;
                }
            }
            self.collect()?;
            if self.running.len() == before {
                return Err(format!("stuck: request {} is never answered", self.running[0].name));
            }
        }
        Ok(())
    }

    fn answered(&mut self, request: Running, reply: Reply) -> Result<(), Failure> {
        let now = self.tick();
        let name = request.name;
        self.tally.answers += 1;
        self.trace.note(u64::from(name) << 32 | u64::from(reply.is_ok()), || match &reply {
            Ok(_) => format!("{name:4} -> done"),
            Err(e) => format!("{name:4} -> {e}"),
        });
        if let Some(id) = request.what.device() {
            self.model.get(id).io -= 1;
        }
        match reply {
            Ok(buf) => self.answered_well(request, buf, now).map_err(|e| format!("request {name}: {e}")),
            Err(error) => self.refused(request, error, now).map_err(|e| format!("request {name}: {e}")),
        }
    }

    fn answered_well(&mut self, request: Running, buf: Option<Buf>, now: u64) -> Result<(), Failure> {
        if request.fenced && !matches!(request.what, What::Read { .. }) {
            return Err("answered well though the engine was fenced".to_owned());
        }
        match request.what {
            What::Read { id, first } => {
                let bytes = buf.ok_or("a read without bytes")?;
                let found = read_cells(&bytes)
                    .map_err(|i| format!("read of {id:?}: the bytes of cell {} are nobody's", first + i))?;
                let image = &mut self.model.get(id).image;
                image
                    .judge(first, &found, request.submitted, now)
                    .map_err(|wrong| format!("read of {id:?}: {wrong}"))
            }
            What::Write { id, hint } => {
                let image = &mut self.model.get(id).image;
                if hint && self.profile.may_be_full() {
                    image.fail(request.name, now);
                } else {
                    image.complete(request.name, now);
                }
                Ok(())
            }
            What::Flush => {
                if self.profile.flush_counts() {
                    self.model.flushed(request.submitted);
                }
                Ok(())
            }
            What::Heal => Ok(()),
            What::Move => {
                self.moved();
                Ok(())
            }
            What::Change(change) => {
                self.model.release(&change);
                let exact = self.profile.flush_counts().then_some(request.submitted);
                self.model.apply(&change, exact);
                Ok(())
            }
        }
    }

    fn refused(&mut self, request: Running, error: EngineError, now: u64) -> Result<(), Failure> {
        let failing = self.disk.failures() > 0;
        let fair = match error {
            EngineError::NoSpace => self.profile.may_be_full(),
            EngineError::Io => self.profile.may_fail(),
            EngineError::Fenced => failing,
            EngineError::DataLost => self.may_lose(),
            _ => false,
        };
        if !fair {
            return Err(format!("refused without reason: {error}"));
        }
        if error == EngineError::NoSpace {
            self.tally.refusals += 1
        } else {
            self.tally.errors += 1
        }
        self.fenced |= error == EngineError::Fenced;
        match request.what {
            What::Read { .. } | What::Heal => {}
            What::Move => self.move_failed(),
            What::Write { id, .. } => self.model.get(id).image.fail(request.name, now),
            What::Flush => self.fenced |= error == EngineError::Io,
            What::Change(change @ Change::Rebase { .. }) => self.model.release(&change),
            What::Change(change) if error == EngineError::NoSpace && self.is_undone(&change) => {
                self.model.release(&change);
            }
            // Whether it happened, only the next recovery tells; until then nothing else touches its devices.
            What::Change(change) => self.in_doubt.push(change),
        }
        Ok(())
    }

    /// Whether a change that found no room certainly left nothing. On a full disk all do but a clone that
    /// was to be larger than its snapshot; on a full host none can promise it, since the commit itself may
    /// be what fails.
    fn is_undone(&self, change: &Change) -> bool {
        match change {
            Change::Clone { from, size, .. } if self.model.devices[from].image.size() < *size => false,
            _ => self.profile == Profile::Full,
        }
    }

    /// Everything that ran is gone; what it left is for the recovery to tell.
    pub fn forget_running(&mut self) {
        self.engine = None;
        self.exec = Executor::new();
        for request in std::mem::take(&mut self.running) {
            match request.what {
                What::Change(change) => self.in_doubt.push(change),
                What::Move => self.move_failed(),
                _ => {}
            }
        }
        self.model.devices.values_mut().for_each(|d| d.io = 0);
        self.fenced = false;
    }
}
