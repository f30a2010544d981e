//! One history from a seed, and its judgement.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parpen_base::Buf;
use parpen_engine::{EngineError, Layout, Rules};

use crate::disk::Faults;
use crate::model::{Change, Id};
use crate::profile::Profile;
use crate::recovery::Opened;
use crate::trace::Trace;
use crate::world::{Failure, Tally, World};

/// How a history ended.
pub struct Outcome {
    /// What it did.
    pub tally: Tally,
    /// Equal for equal histories.
    pub digest: u64,
    /// What was wrong.
    pub failure: Option<Failure>,
    /// Its story, if it was asked for.
    pub lines: Vec<String>,
}

/// Runs the history that `seed` names against an engine with these rules. A panic is a failure like others.
pub fn run<R: Rules>(seed: u64, profile: Profile, keep_trace: bool) -> Outcome {
    if profile.is_array() {
        return run_array::<R>(seed, profile, keep_trace);
    }
    run_engine::<R>(seed, profile, keep_trace)
}

/// [`run`] for profiles of several disks as one store.
pub fn run_array<R: Rules>(seed: u64, profile: Profile, keep_trace: bool) -> Outcome {
    crate::array::run::<R>(seed, profile, keep_trace)
}

/// [`run`] for profiles of one engine.
pub fn run_engine<R: Rules>(seed: u64, profile: Profile, keep_trace: bool) -> Outcome {
    let trace = Trace::new(keep_trace);
    let mut world = World::<R>::new(seed, profile, trace.clone());
    let failure = match catch_unwind(AssertUnwindSafe(|| world.live())) {
        Ok(end) => end.err(),
        Err(panic) => Some(format!("panic: {}", told(panic.as_ref()))),
    };
    let mut tally = world.tally;
    tally.disk_steps = world.disk.steps();
    if failure.is_some() {
        // What panicked may stand in the middle of anything: its destructors are not run.
        std::mem::forget(world);
    }
    Outcome { tally, digest: trace.digest(), failure, lines: trace.lines() }
}

/// The words of a panic.
pub(crate) fn told(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}

impl<R: Rules> World<R> {
    fn live(&mut self) -> Result<(), Failure> {
        // Small, so that everything that must happen some time happens soon: the log wraps, tails are cut,
        // blocks are used again, and one volume has many objects.
        let layout = Layout {
            object_blocks: *self.rng.pick(&[1, 4, 16]),
            tail_bytes: *self.rng.pick(&[16 << 10, 64 << 10, 1 << 20]),
            ag_blocks: self.group_blocks,
            ..Layout::tiny()
        };
        self.format(layout)?;
        if self.recover()? == Opened::Unreadable {
            return Err("a fresh disk is unreadable".to_owned());
        }
        let empty = self.engine().space();
        for _ in 0..self.rng.between(1, 2) {
            let change = Change::Create { id: self.fresh_id(), size: self.some_size() };
            self.change(change);
        }
        self.drain()?;
        self.arm();
        let depth = *self.rng.pick(&[1, 2, 4, 8]);
        for _ in 0..self.rng.between(20, 140) {
            if self.step(depth)? == Opened::Unreadable {
                return Ok(());
            }
        }
        self.disk.set_faults(Faults::default());
        self.drain()?;
        if self.fenced || !self.in_doubt.is_empty() || self.disk.failures() > 0 {
            self.crash();
            if self.recover()? == Opened::Unreadable {
                return Ok(());
            }
        }
        self.judge_live()?;
        self.delete_everything(empty)
    }

    /// Switches the profile's faults on.
    fn arm(&mut self) {
        let mut faults = self.profile.faults();
        if self.profile == Profile::Host {
            faults.host_pages = Some(self.disk.held() + self.rng.below(24));
        }
        faults.silent = self.silent_pages.clone();
        self.disk.set_faults(faults);
    }

    fn step(&mut self, depth: usize) -> Result<Opened, Failure> {
        let crash = self.profile.crashes();
        let crash = if self.fenced || self.disk.failures() > 0 { 30.max(crash) } else { crash };
        if self.rng.percent(crash) {
            return self.restart();
        }
        match self.rng.below(100) {
            0..2 => return self.reopen(),
            2..8 => self.drain()?,
            8..10 if self.profile == Profile::Host => self.arm(),
            10..24 => self.some_change()?,
            24..40 if self.profile == Profile::Moves => self.some_move(),
            _ if self.running.len() < depth => self.some_io(),
            _ => {}
        }
        for _ in 0..self.rng.below(12) {
            if !self.turn() {
                break;
            }
        }
        self.collect()?;
        Ok(Opened::Serves)
    }

    fn restart(&mut self) -> Result<Opened, Failure> {
        self.crash();
        let opened = self.recover()?;
        self.arm();
        if opened == Opened::Serves && self.rng.percent(40) {
            self.write_unflushed_again()?;
        }
        Ok(opened)
    }

    /// Closes in good order: everything that was answered is there afterwards, with nothing left to chance.
    fn reopen(&mut self) -> Result<Opened, Failure> {
        self.drain()?;
        if self.fenced || !self.in_doubt.is_empty() {
            return self.restart();
        }
        let engine = self.engine();
        let answer = self.exec.spawn(async move { engine.close().await });
        let closed = self.run_until(|| answer.take())?;
        self.trace.note(3, || format!("== closed: {closed:?}"));
        if closed.is_ok() {
            let now = self.tick();
            self.model.flushed(now);
        }
        self.restart()
    }

    /// The invariants, and every byte, while the engine lives.
    fn judge_live(&mut self) -> Result<(), Failure> {
        self.check()?;
        let ids: Vec<_> = self.model.devices.keys().copied().collect();
        for id in ids {
            let cells = self.model.get(id).image.cells();
            self.read(id, 0, cells);
        }
        self.drain()?;
        self.judge_differences()
    }

    /// What the engine says is the same in two devices reads the same, and what it says is zero, as zeros.
    fn judge_differences(&mut self) -> Result<(), Failure> {
        let devices: Vec<_> = self.model.devices.iter().map(|(id, d)| (*id, d.image.size())).collect();
        for (b, size) in &devices {
            for a in devices.iter().map(|(a, _)| Some(*a)).chain([None]) {
                let (engine, b, size) = (self.engine(), *b, *size);
                let answer = self.exec.spawn(async move {
                    let there = |id: Id, size: u64| engine.read(id.uuid(), 0, Buf::zeroed(size as usize));
                    let old = a.and_then(|a| engine.lookup(a.uuid())).map_or(0, |f| f.bytes);
                    let mut before = match a {
                        Some(a) => there(a, old).await.1.to_vec(),
                        None => Vec::new(),
                    };
                    before.resize((size.max(old)) as usize, 0);
                    let now = there(b, size).await.1;
                    let mut at = 0;
                    for piece in engine.diff(a.map(Id::uuid), b.uuid(), 0, size).await? {
                        let range = at as usize..(at + piece.len) as usize;
                        let same = piece.changed || now[range.clone()] == before[range.clone()];
                        if !same || (piece.zero && now[range].iter().any(|byte| *byte != 0)) {
                            return Ok(Some(at));
                        }
                        at += piece.len;
                    }
                    Ok::<_, EngineError>((at != size).then_some(at))
                });
                match self.run_until(|| answer.take())? {
                    Ok(None) => {}
                    Ok(Some(_)) if self.may_lose() => {}
                    Ok(Some(at)) => {
                        return Err(format!("the difference of {a:?} and {b:?} is wrong at {at}"));
                    }
                    // Maps are read from the disk, too, and what is damaged says so.
                    Err(EngineError::DataLost) if self.may_lose() => {}
                    Err(e) => return Err(format!("the difference of {a:?} and {b:?}: {e}")),
                }
            }
        }
        Ok(())
    }

    /// Space adds up: deleting everything, in any order, gives everything back.
    fn delete_everything(&mut self, empty: parpen_engine::Space) -> Result<(), Failure> {
        while !self.model.devices.is_empty() {
            let all: Vec<_> = self.model.devices.keys().copied().collect();
            let id = *self.rng.pick(&all);
            self.change(Change::Delete(id));
            self.drain()?;
            if self.model.devices.contains_key(&id) {
                return Err(format!("{id:?} could not be deleted"));
            }
        }
        self.remove_records()?;
        // What a full disk kept a deletion from taking back, the next opening takes back, and the next
        // checkpoint drops.
        self.close_now()?;
        self.crash();
        if self.recover()? == Opened::Unreadable {
            return Ok(());
        }
        self.close_now()?;
        let space = self.engine().space();
        if self.disk.silent_faults() > 0 {
            // What a map that rotted on the medium names is known to nobody: it stays in use.
            return Ok(());
        }
        if space.data != 0 || space.free + 4096 * 8 < empty.free {
            return Err(format!("everything is deleted, but {space:?} remains where {empty:?} was"));
        }
        Ok(())
    }

    pub fn close_now(&mut self) -> Result<(), Failure> {
        let engine = self.engine();
        let answer = self.exec.spawn(async move { engine.close().await });
        self.run_until(|| answer.take())?.map_err(|e| format!("closing ended in: {e}"))
    }
}
