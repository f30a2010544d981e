//! One history's world: disks, executor, array and the oracle, and the judgement of each answer.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use parpen_array::{Array, EraMark, LocalTask, State, Witness};
use parpen_base::{Buf, SeededEntropy};
use parpen_engine::sync::yield_now;
use parpen_engine::{DiskError, EngineError, Layout, Rules};

use crate::content::read_cells;
use crate::disk::SimDisk;
use crate::exec::{Answer, Executor};
use crate::image::RequestId;
use crate::model::{Catalogue, Change, Id};
use crate::profile::Profile;
use crate::rng::Rng;
use crate::trace::Trace;
use crate::world::{Failure, Tally};

/// A small durable file outside the disks: a power cut leaves what was noted or what is being noted.
#[derive(Clone, Default)]
pub(super) struct SimWitness {
    noted: Rc<Cell<Option<EraMark>>>,
    coming: Rc<Cell<Option<EraMark>>>,
}

impl SimWitness {
    pub fn crash(&self, rng: &mut Rng) {
        if let Some(mark) = self.coming.take()
            && rng.percent(50)
        {
            self.noted.set(Some(mark));
        }
    }
}

impl Witness for SimWitness {
    fn read(&self) -> LocalTask<'_, Result<Option<EraMark>, DiskError>> {
        Box::pin(async { Ok(self.noted.get()) })
    }

    fn note(&self, mark: EraMark) -> LocalTask<'_, Result<(), DiskError>> {
        Box::pin(async move {
            self.coming.set(Some(mark));
            yield_now().await;
            yield_now().await;
            self.coming.set(None);
            self.noted.set(Some(mark));
            Ok(())
        })
    }
}

/// A disk of the store, wherever it is.
pub(super) struct Slot {
    pub disk: SimDisk,
    /// It is plugged in, as far as the driver knows.
    pub there: bool,
    /// It is being plugged in.
    pub coming: bool,
    pub slow: bool,
    /// Its medium may fail, or rots.
    pub armed: bool,
    /// The operator said that it will not come back.
    pub forgotten: bool,
}

/// What the placement of a tree of volumes, snapshots and clones promises.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree {
    /// Copies that everything surely has.
    pub copies: usize,
    /// Copies that were asked for.
    pub asked: usize,
    /// Everything that has some object was given up at some time: what is left may be old or nothing.
    pub doomed: bool,
    /// Bits flipped where there was no other copy at that moment: blocks may be lost, and then say so.
    pub damaged: bool,
}

/// What was asked.
pub(super) enum What {
    Read {
        id: Id,
        first: usize,
    },
    Write {
        id: Id,
        hint: bool,
    },
    Flush(Option<Id>),
    Change(Change),
    /// Work behind the scenes.
    Step,
    /// A disk comes back.
    Attach(u16),
    /// A disk becomes part of the store.
    Add,
    Forget(u16),
    /// A tree gets another number of copies.
    Policy(Id),
    /// Whatever else an operator wants.
    Verb,
}

impl What {
    pub fn device(&self) -> Option<Id> {
        match self {
            What::Read { id, .. } | What::Write { id, .. } | What::Flush(Some(id)) => Some(*id),
            _ => None,
        }
    }
}

pub(super) type Reply = Result<Option<Buf>, EngineError>;

/// A request under way.
pub(super) struct Running {
    pub name: RequestId,
    pub what: What,
    pub submitted: u64,
    /// Most disks that were out at once while it ran, and most that were out or bad.
    pub worst: usize,
    pub injured: usize,
    answer: Answer<Reply>,
}

pub(super) struct World<R: Rules> {
    pub rng: Rng,
    pub exec: Executor,
    pub slots: BTreeMap<u16, Slot>,
    pub trace: Trace,
    pub profile: Profile,
    pub array: Option<Rc<Array<SimDisk, R>>>,
    pub witness: SimWitness,
    pub layout: Layout,
    pub model: Catalogue,
    /// The tree of each device.
    pub tree_of: BTreeMap<Id, u32>,
    pub trees: BTreeMap<u32, Tree>,
    /// The tree that each stamp was written to, by the first of its request.
    pub writers: BTreeMap<u32, u32>,
    /// Devices of which disks were out, all at once, that had everything: their flushes may say so.
    pub at_risk: BTreeSet<Id>,
    pub running: Vec<Running>,
    pub in_doubt: Vec<Change>,
    /// What volumes came from when they were last asked to be rolled back.
    pub came_from: BTreeMap<Id, Option<uuid::Uuid>>,
    /// Volumes that were made without an answer: they are asked for again.
    pub made_in_doubt: Vec<Id>,
    /// Disks that were out when it was looked last.
    pub out: BTreeSet<u16>,
    pub stepping: bool,
    pub tally: Tally,
    pub entropy: Arc<SeededEntropy>,
    pub next_tree: u32,
    pub next_disk: u16,
    now: u64,
    next_id: u32,
    next_stamp: u32,
    next_name: RequestId,
    eager: u32,
}

impl<R: Rules> World<R> {
    pub fn new(seed: u64, profile: Profile, trace: Trace) -> World<R> {
        let mut rng = Rng::new(seed);
        let eager = *rng.pick(&[20, 50, 80, 95]);
        let layout = Layout {
            object_blocks: *rng.pick(&[4, 16]),
            tail_bytes: *rng.pick(&[16 << 10, 64 << 10, 1 << 20]),
            ..Layout::tiny()
        };
        World {
            exec: Executor::new(),
            slots: BTreeMap::new(),
            trace,
            profile,
            array: None,
            witness: SimWitness::default(),
            layout,
            model: Catalogue::default(),
            tree_of: BTreeMap::new(),
            trees: BTreeMap::new(),
            writers: BTreeMap::new(),
            at_risk: BTreeSet::new(),
            running: Vec::new(),
            in_doubt: Vec::new(),
            came_from: BTreeMap::new(),
            made_in_doubt: Vec::new(),
            out: BTreeSet::new(),
            stepping: false,
            tally: Tally::default(),
            entropy: Arc::new(SeededEntropy::new(rng.next())),
            next_tree: 1,
            next_disk: 1,
            now: 1,
            next_id: 1,
            next_stamp: 1,
            next_name: 1,
            eager,
            rng,
        }
    }

    pub fn fresh_id(&mut self) -> Id {
        self.next_id += 1;
        Id(self.next_id - 1)
    }

    /// Stamps that nobody used before, for a write to this tree.
    pub fn fresh_stamps(&mut self, tree: u32, n: usize) -> Vec<u32> {
        let first = self.next_stamp;
        self.next_stamp += n as u32;
        self.writers.insert(first, tree);
        (first..self.next_stamp).collect()
    }

    pub fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    pub fn array(&self) -> Rc<Array<SimDisk, R>> {
        self.array.clone().expect("the driver submits only to an open array")
    }

    /// Lets one thing happen: a task runs or a disk request ends. False if nothing can.
    pub fn turn(&mut self) -> bool {
        let waiting: Vec<u16> =
            self.slots.iter().filter(|(_, s)| s.disk.pending() > 0).map(|(n, _)| *n).collect();
        if self.exec.ready() > 0 && (waiting.is_empty() || self.rng.percent(self.eager)) {
            return self.exec.step(&mut self.rng);
        }
        if waiting.is_empty() {
            return false;
        }
        let mut number = *self.rng.pick(&waiting);
        if self.slots[&number].slow && self.rng.percent(90) {
            number = *self.rng.pick(&waiting);
        }
        self.slots[&number].disk.step()
    }

    /// Lets things happen until `done` says something.
    pub fn run_until<T>(&mut self, mut done: impl FnMut() -> Option<T>) -> Result<T, Failure> {
        for _ in 0..2_000_000 {
            if let Some(out) = done() {
                return Ok(out);
            }
            if !self.turn() {
                return done().ok_or_else(|| "stuck: a request is never answered".to_owned());
            }
        }
        Err("a request is not answered within two million steps".to_owned())
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
        let (worst, injured) = (self.count(&self.out), self.injured());
        let answer = self.exec.spawn(future);
        self.running.push(Running { name, what, submitted, worst, injured, answer });
        name
    }

    /// Takes in every answer that has come, and looks who is out.
    pub fn collect(&mut self) -> Result<(), Failure> {
        // Who is out now may be so since before an answer came.
        let out = self.look();
        if !out.is_subset(&self.out) {
            let risky = self.model.devices.keys().filter(|id| out.len() >= self.tree(**id).copies);
            self.at_risk.extend(risky.copied().collect::<Vec<Id>>());
        }
        let (worst, injured) = (self.count(&out), self.injured_with(&out));
        for r in &mut self.running {
            (r.worst, r.injured) = (r.worst.max(worst), r.injured.max(injured));
        }
        // What only a forgotten disk had is lost from when the array counts the disk as gone, which is before it
        // answers: it writes that down, and takes back what was kept for the disk.
        let forgotten = |r: &&Running| matches!(r.what, What::Forget(number) if self.is_forgotten(number));
        if let Some(worst) = self.running.iter().filter(forgotten).map(|r| r.worst).max() {
            self.doom(worst);
        }
        let mut i = 0;
        while i < self.running.len() {
            let Some(reply) = self.running[i].answer.take() else {
                i += 1;
                continue;
            };
            let request = self.running.remove(i);
            self.answered(request, reply)?;
        }
        self.refresh();
        match self.slots.iter().find_map(|(n, s)| Some((n, s.disk.violation()?))) {
            Some((n, story)) => Err(format!("a rule of disk {n} was broken: {story}")),
            None => Ok(()),
        }
    }

    /// Waits for all requests.
    pub fn drain(&mut self) -> Result<(), Failure> {
        while !self.running.is_empty() {
            let before = self.running.len();
            for _ in 0..400_000 {
                self.collect()?;
                if self.running.len() < before || !self.turn() {
                    break;
                }
            }
            self.collect()?;
            if self.running.len() >= before {
                return Err(format!("stuck: request {} is never answered", self.running[0].name));
            }
        }
        Ok(())
    }

    /// Disks that do not have everything, or have died without anybody's notice.
    fn look(&self) -> BTreeSet<u16> {
        let mut out: BTreeSet<u16> = self.slots.iter().filter(|(_, s)| !s.there).map(|(n, _)| *n).collect();
        out.extend(self.slots.iter().filter(|(_, s)| s.disk.failures() > 0).map(|(n, _)| *n));
        let well =
            |s: State| matches!(s, State::InSync | State::Empty | State::Ejecting | State::EjectPaused);
        match &self.array {
            Some(array) => out.extend(array.members().iter().filter(|m| !well(m.state)).map(|m| m.number)),
            None => out.extend(self.slots.keys()),
        }
        out
    }

    /// How many disks are out: all that there are, if no member has everything. (One that is being added is neither a
    /// member yet, so that it could serve alone, nor out.)
    fn count(&self, out: &BTreeSet<u16>) -> usize {
        let members = match &self.array {
            Some(array) if !out.is_empty() => array.members(),
            _ => return out.len(),
        };
        if members.iter().all(|m| out.contains(&m.number)) { self.slots.len() } else { out.len() }
    }

    fn injured_with(&self, out: &BTreeSet<u16>) -> usize {
        let fails = |s: &Slot| self.profile == Profile::ArrayErrors || s.disk.silent_faults() > 0;
        let bad = self.slots.iter().filter(|(_, s)| s.armed && fails(s)).map(|(n, _)| *n);
        bad.chain(out.iter().copied()).collect::<BTreeSet<u16>>().len()
    }

    /// How many disks are out or may not read what was written.
    pub fn injured(&self) -> usize {
        self.injured_with(&self.out)
    }

    /// Looks who is out; whoever went out since may have taken with it what no flush covered.
    pub fn refresh(&mut self) {
        let out = self.look();
        if !out.is_subset(&self.out) {
            let now = self.tick();
            for (id, device) in &mut self.model.devices {
                if out.len() >= self.trees[&self.tree_of[id]].copies {
                    device.image.doubt(now);
                    self.at_risk.insert(*id);
                }
            }
        }
        self.out = out;
        if self.profile == Profile::ArraySilent {
            let injured = self.injured();
            self.trees.values_mut().filter(|t| injured >= t.copies).for_each(|t| t.damaged = true);
        }
    }

    pub fn tree(&self, id: Id) -> Tree {
        self.trees[&self.tree_of[&id]]
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
        match request.what {
            What::Read { id, first } => {
                let bytes = buf.ok_or("a read without bytes")?;
                let found = read_cells(&bytes)
                    .map_err(|i| format!("read of {id:?}: the bytes of cell {} are nobody's", first + i))?;
                self.judge_owner(id, &found)?;
                if self.tree(id).doomed {
                    return Ok(());
                }
                // What no flush covered when the last disk that counts went is either, for each read anew, until that
                // disk is back: others may have it and forget it then.
                let wavers = request.worst.max(self.out.len()) >= self.tree(id).copies;
                let image = &mut self.model.get(id).image;
                let mut seen = image.clone();
                let judged = seen.judge(first, &found, request.submitted, now);
                judged.map_err(|wrong| format!("read of {id:?}: {wrong}"))?;
                if !(wavers && image.is_doubtful()) {
                    *image = seen;
                }
            }
            What::Write { id, hint } => {
                // Of a disk that is gone, unnoticed, it may be in memory only.
                let gone = self.out.len() >= self.tree(id).copies;
                let image = &mut self.model.get(id).image;
                match hint && self.profile.may_be_full() {
                    true => image.fail(request.name, now),
                    false => image.complete(request.name, now),
                }
                if gone {
                    image.doubt(now);
                }
            }
            What::Flush(which) => self.flushed(which, request.submitted)?,
            What::Change(change) => {
                self.model.release(&change);
                self.apply(&change, Some(request.submitted));
            }
            What::Step => self.stepping = false,
            What::Attach(number) => {
                self.slot(number).coming = false;
                self.slot(number).there = true;
            }
            What::Add => {}
            What::Forget(number) => {
                self.slot(number).forgotten = true;
                self.doom(request.worst);
            }
            What::Policy(id) => self.model.get(id).held -= 1,
            What::Verb => {}
        }
        Ok(())
    }

    fn flushed(&mut self, which: Option<Id>, submitted: u64) -> Result<(), Failure> {
        let ids: Vec<Id> = match which {
            Some(id) => vec![id],
            None => self.model.devices.keys().copied().collect(),
        };
        for id in ids {
            let doomed = self.tree(id).doomed;
            let device = self.model.get(id);
            if device.image.has_lost() && !doomed {
                return Err(format!("a flush of {id:?} was answered well, though answered writes are lost"));
            }
            device.image.flushed(submitted);
            if device.held == 0 && device.io == 0 {
                device.image.trim();
            }
        }
        Ok(())
    }

    /// The change happened.
    pub fn apply(&mut self, change: &Change, submitted: Option<u64>) {
        // What a doubtful volume held when a snapshot was taken is not known. Nor is it when the disks that had it went
        // before the answer, which is heard before they are missed: those that are left took the snapshot, and what no
        // flush covered may be gone.
        let out = self.look();
        let lately = !out.is_subset(&self.out);
        let is_doubtful = |id: &Id| {
            let image = &self.model.devices[id].image;
            image.is_doubtful() || (lately && out.len() >= self.tree(*id).copies && image.is_unflushed())
        };
        let doubtful = change.touches().iter().any(is_doubtful);
        self.model.apply(change, submitted.filter(|_| !doubtful));
        match change {
            Change::Snapshot(pairs) => {
                for (volume, snapshot) in pairs {
                    self.tree_of.insert(*snapshot, self.tree_of[volume]);
                }
            }
            Change::Clone { from, id, .. } => {
                self.tree_of.insert(*id, self.tree_of[from]);
            }
            Change::Rollback { id, to } => {
                self.tree_of.insert(*id, self.tree_of[to]);
                self.at_risk.insert(*id);
            }
            Change::Freeze { id, snapshot } => {
                let tree = self.tree_of[id];
                self.tree_of.insert(*snapshot, tree);
            }
            _ => {}
        }
        let risky = |id: &Id| self.at_risk.contains(id);
        if change.touches().iter().any(risky) {
            self.at_risk.extend(change.makes());
        }
        self.at_risk.retain(|id| self.model.devices.contains_key(id));
    }

    /// Whether an answer may say this.
    fn is_fair(&self, request: &Running, error: EngineError) -> bool {
        let gone = |id: Id| self.tree(id).doomed || self.tree(id).damaged;
        let reach = |id: Id| gone(id) || request.worst >= self.tree(id).copies;
        let bad = |id: Id| self.profile.may_fail_somewhere() && request.injured >= self.tree(id).copies;
        match (&request.what, error) {
            (What::Verb | What::Attach(_) | What::Add | What::Forget(_) | What::Policy(_), _) => true,
            (_, EngineError::NoSpace) => self.profile.may_be_full(),
            (What::Read { id, .. } | What::Write { id, .. }, EngineError::Io) => reach(*id) || bad(*id),
            (What::Read { id, .. } | What::Write { id, .. }, EngineError::Fenced | EngineError::Closed) => {
                reach(*id)
            }
            (What::Read { id, .. } | What::Write { id, .. }, EngineError::DataLost) => gone(*id),
            (What::Flush(Some(id)), EngineError::Io | EngineError::Fenced) => self.at_risk.contains(id),
            (What::Flush(None), EngineError::Io | EngineError::Fenced) => {
                !self.at_risk.is_empty() || request.worst >= self.members()
            }
            (What::Change(Change::Create { .. }), EngineError::Invalid(_)) => true,
            (What::Change(Change::Rebase { .. }), EngineError::Io | EngineError::DataLost) => {
                request.injured > 0
            }
            (What::Change(change), EngineError::Io | EngineError::Fenced) => {
                change.touches().into_iter().any(reach) || request.worst >= self.members()
            }
            _ => false,
        }
    }

    /// Disks that are members.
    pub fn members(&self) -> usize {
        self.slots.values().filter(|s| !s.forgotten).count()
    }

    fn refused(&mut self, request: Running, error: EngineError, now: u64) -> Result<(), Failure> {
        if !self.is_fair(&request, error) {
            return Err(format!(
                "refused without reason: {error} ({} disks were out, {} out or bad)",
                request.worst, request.injured
            ));
        }
        match error {
            EngineError::NoSpace => self.tally.refusals += 1,
            _ => self.tally.errors += 1,
        }
        match request.what {
            What::Write { id, .. } => self.model.get(id).image.fail(request.name, now),
            What::Step => self.stepping = false,
            What::Attach(number) => self.slot(number).coming = false,
            // Whether its record was written, only the next opening tells; it is offered then.
            What::Add => {}
            // The disk may be forgotten all the same.
            What::Forget(number) => {
                self.doom(request.worst);
                self.slot(number).forgotten |= self.is_forgotten(number);
            }
            What::Change(change @ Change::Rebase { .. }) => self.model.release(&change),
            What::Change(change @ Change::Create { .. }) if matches!(error, EngineError::Invalid(_)) => {
                self.model.release(&change);
            }
            // Whether it happened, only the next opening tells; until then nothing else touches its devices.
            What::Change(change) => self.in_doubt.push(change),
            What::Policy(id) => self.model.get(id).held -= 1,
            What::Read { .. } | What::Flush(_) | What::Verb => {}
        }
        Ok(())
    }

    /// A disk is gone for good, and with it what it alone had when so many were out.
    fn doom(&mut self, worst: usize) {
        self.trees.values_mut().filter(|t| worst >= t.copies).for_each(|t| t.doomed = true);
    }

    /// Whether the array counts a disk as gone for good.
    pub fn is_forgotten(&self, number: u16) -> bool {
        let members = self.array.as_ref().map(|a| a.members()).unwrap_or_default();
        members.iter().any(|m| m.number == number && m.state == State::Forgotten)
    }

    pub fn slot(&mut self, number: u16) -> &mut Slot {
        self.slots.get_mut(&number).expect("the driver names only disks that it made")
    }

    /// Nothing may ever read what was written to another tree.
    fn judge_owner(&self, id: Id, found: &[u32]) -> Result<(), Failure> {
        let tree = self.tree_of[&id];
        for stamp in found.iter().filter(|s| **s != 0) {
            let owner = self.writers.range(..=*stamp).next_back().map(|(_, tree)| *tree);
            if owner != Some(tree) {
                return Err(format!("read of {id:?} of tree {tree}: stamp {stamp} was written to {owner:?}"));
            }
        }
        Ok(())
    }

    /// Everything that ran is gone; what it left is for the next opening to tell.
    pub fn forget_running(&mut self) {
        self.array = None;
        self.exec = Executor::new();
        for request in std::mem::take(&mut self.running) {
            match request.what {
                What::Change(change) => self.in_doubt.push(change),
                What::Policy(id) => self.model.get(id).held -= 1,
                What::Forget(_) => self.doom(request.worst),
                _ => {}
            }
        }
        self.model.devices.values_mut().for_each(|d| d.io = 0);
        self.slots.values_mut().for_each(|s| s.coming = false);
        self.stepping = false;
    }
}
