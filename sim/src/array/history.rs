//! One history from a seed, and its judgement.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parpen_array::{Array, REPLICAS_MAX, State};
use parpen_engine::Rules;
use std::rc::Rc;

use crate::disk::Faults;
use crate::history::{Outcome, told};
use crate::log::hearing;
use crate::model::{Change, Id};
use crate::profile::Profile;
use crate::trace::Trace;
use crate::world::Failure;

use super::world::World;

/// Runs the history that `seed` names against an array with these rules. A panic is a failure like others.
pub(crate) fn run<R: Rules>(seed: u64, profile: Profile, keep_trace: bool) -> Outcome {
    let trace = Trace::new(keep_trace);
    let mut world = World::<R>::new(seed, profile, trace.clone());
    let lived = match keep_trace {
        true => hearing(&trace, || catch_unwind(AssertUnwindSafe(|| world.live()))),
        false => catch_unwind(AssertUnwindSafe(|| world.live())),
    };
    let failure = match lived {
        Ok(end) => end.err(),
        Err(panic) => Some(format!("panic: {}", told(panic.as_ref()))),
    };
    let mut tally = world.tally;
    tally.disk_steps = world.slots.values().map(|s| s.disk.steps()).sum();
    if failure.is_some() {
        // What panicked may stand in the middle of anything: its destructors are not run.
        std::mem::forget(world);
    }
    Outcome { tally, digest: trace.digest(), failure, lines: trace.lines() }
}

impl<R: Rules> World<R> {
    fn live(&mut self) -> Result<(), Failure> {
        self.format()?;
        for _ in 0..self.rng.between(1, 3) {
            let (id, size) = (self.fresh_id(), self.some_size());
            let copies = self.some_copies();
            self.create(id, size, copies);
        }
        self.drain()?;
        let depth = *self.rng.pick(&[1, 2, 4, 8]);
        for _ in 0..self.rng.between(30, 160) {
            self.one_step(depth)?;
        }
        self.settle()?;
        self.judge_copies()?;
        self.delete_everything()
    }

    fn format(&mut self) -> Result<(), Failure> {
        let new: Vec<_> = (0..self.rng.between(3, 5)).map(|_| self.blank()).collect();
        let (entropy, witness) = (self.entropy.clone(), Rc::new(self.witness.clone()));
        let answer = self.exec.spawn(async move { Array::format(new, entropy, witness).await });
        let array = self.run_until(|| answer.take())?.map_err(|e| format!("format failed: {e}"))?;
        self.array = Some(array);
        if self.profile.may_fail_somewhere() {
            let most = if self.profile == Profile::ArrayErrors { 2 } else { 1 };
            for _ in 0..self.rng.between(1, most) {
                let number = self.rng.between(1, self.slots.len()) as u16;
                self.slot(number).armed = true;
            }
        }
        Ok(())
    }

    /// Switches the profile's faults on.
    fn arm(&mut self) {
        let faults = self.profile.faults();
        self.slots.values().filter(|s| s.armed && s.there).for_each(|s| s.disk.set_faults(faults.clone()));
    }

    fn one_step(&mut self, depth: usize) -> Result<(), Failure> {
        self.arm();
        let sick = !self.in_doubt.is_empty() || self.out.len() >= self.members();
        let crash = if sick { 30 } else { self.profile.crashes() };
        if self.rng.percent(crash) {
            self.crash();
            return self.recover(false);
        }
        match self.rng.below(100) {
            0..2 => return self.reopen(),
            2..8 => self.drain()?,
            8..20 => self.some_change(),
            20..30 => self.some_event()?,
            30..50 => {
                let budget = *self.rng.pick(&[1, 4096, 20_000, 200_000]);
                self.step(budget);
            }
            50..53 => self.pull_failed(),
            _ if self.running.len() < depth => self.some_io(),
            _ => {}
        }
        for _ in 0..self.rng.below(20) {
            if !self.turn() {
                break;
            }
        }
        self.collect()
    }

    /// Closes in good order: everything that was answered is there afterwards.
    fn reopen(&mut self) -> Result<(), Failure> {
        self.drain()?;
        let array = self.array();
        let answer = self.exec.spawn(async move { array.close().await });
        let closed = self.run_until(|| answer.take())?;
        self.trace.note(3, || format!("== closed: {closed:?}"));
        self.collect()?;
        if closed.is_ok() && self.at_risk.is_empty() {
            let now = self.tick();
            self.model.flushed(now);
        }
        self.crash();
        self.recover(false)
    }

    /// Everything has the copies that were asked for.
    fn judge_copies(&mut self) -> Result<(), Failure> {
        let array = self.array();
        let answer = self.exec.spawn(async move { array.health(&[]).await });
        let health = self.run_until(|| answer.take())?;
        let (lost, full) = (self.trees.values().any(|t| t.doomed || t.damaged), self.profile.may_be_full());
        let open = self.array().members().into_iter().filter(|m| m.state == State::InSync).count();
        // As many as copies can be asked for.
        let enough = open >= REPLICAS_MAX;
        // On full disks one may stay behind that alone has something.
        let away = if full { 0 } else { health.away };
        if !lost && (health.lost, away) != (0, 0) {
            return Err(format!("objects are gone: {health:?}"));
        }
        if !lost && !full && enough && health.short != 0 {
            let tasks = self.array().tasks();
            return Err(format!("objects are short of copies: {health:?}, {tasks:?}"));
        }
        Ok(())
    }

    /// Space adds up: deleting everything, in any order, gives everything back.
    fn delete_everything(&mut self) -> Result<(), Failure> {
        self.slots.values().for_each(|s| s.disk.set_faults(Faults::default()));
        while !self.model.devices.is_empty() {
            let all: Vec<Id> = self.model.devices.keys().copied().collect();
            let id = *self.rng.pick(&all);
            self.change(Change::Delete(id));
            self.drain()?;
            if self.model.devices.contains_key(&id) {
                return Err(format!("{id:?} could not be deleted"));
            }
        }
        self.crash();
        self.recover(true)?;
        self.work_to_the_end()?;
        let space = self.array().space();
        let rotten = self.slots.values().any(|s| s.disk.silent_faults() > 0);
        if space.data != 0 && !rotten {
            return Err(format!("everything is deleted, but {space:?} remains"));
        }
        Ok(())
    }
}
