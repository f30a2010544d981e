//! Power cuts, what follows them, and the judgement of what an opening shows.

use std::collections::BTreeSet;
use std::rc::Rc;

use parpen_array::{Array, ArrayError, Offer, Opening, State};
use parpen_base::Buf;
use parpen_engine::{EngineError, Found, Kind as EngineKind, Rules};

use crate::content::{Block, CELL, CELLS};
use crate::disk::{Faults, SimDisk};
use crate::image::Image;
use crate::model::{Change, Id, Kind};
use crate::profile::Profile;
use crate::recovery::split;
use crate::requests::label;
use crate::world::Failure;

use super::disks::STORE;
use super::world::World;

type Opened<R> = Result<Rc<Array<SimDisk, R>>, ArrayError>;

impl<R: Rules> World<R> {
    /// The power of everything goes.
    pub fn crash(&mut self) {
        self.forget_running();
        self.witness.crash(&mut self.rng);
        self.slots.values().for_each(|s| s.disk.crash());
        self.tally.crashes += 1;
    }

    /// Opens the store on some of its disks, perhaps struck by power cuts on the way, and judges what it shows.
    pub fn recover(&mut self, mut all: bool) -> Result<(), Failure> {
        // Where disks rot, too, no disk is kept away while it is in doubt whether bytes were taken away: with seed 95 an
        // older content shows otherwise.
        let takes = |c: &Change| {
            matches!(
                c,
                Change::Delete(_) | Change::Rollback { .. } | Change::Resize { .. } | Change::Rebase { .. }
            )
        };
        let together = self.profile == Profile::ArraySilent && self.in_doubt.iter().any(takes);
        loop {
            let mut absent = Vec::new();
            let numbers: Vec<u16> = self.slots.keys().copied().collect();
            for n in numbers {
                let stays = match self.slots[&n].there {
                    true if together => 0,
                    true => 12,
                    false => 50,
                };
                let is_absent = !all && self.rng.percent(stays);
                let slot = self.slot(n);
                slot.there = !is_absent && !slot.forgotten;
                slot.disk.set_faults(Faults::default());
                if is_absent {
                    absent.push(n);
                } else if slot.disk.failures() == 0 {
                    slot.disk = slot.disk.again();
                }
            }
            let cut = self.rng.percent(self.profile.crashed_recoveries()).then(|| self.rng.below(60));
            self.trace.note(4, || format!("== opening without {absent:?}"));
            match self.open(cut)? {
                None => self.crash(),
                Some(Ok(array)) => {
                    self.array = Some(array);
                    break;
                }
                Some(Err(ArrayError::NewestMissing(_) | ArrayError::NoDisk)) if !absent.is_empty() => {
                    all = true;
                    self.crash();
                }
                Some(Err(e)) => return Err(format!("the store was not opened again: {e}")),
            }
        }
        self.tally.recoveries += 1;
        self.at_risk.clear();
        for number in self.slots.keys().copied().collect::<Vec<_>>() {
            if self.is_forgotten(number) {
                self.slot(number).forgotten = true;
            }
            // One that was being added may never have become a member.
            if !self.array().members().iter().any(|m| m.number == number) {
                self.slots.remove(&number);
            }
        }
        self.out.clear();
        self.refresh();
        self.trace.note(2, || format!("== opened; out: {:?}", self.out));
        self.judge_everything()?;
        if self.profile == Profile::ArraySilent && self.rng.percent(70) {
            self.rot();
            self.refresh();
        }
        Ok(())
    }

    /// Opens the store; `None` if the power went after `cut` disk requests.
    fn open(&mut self, cut: Option<usize>) -> Result<Option<Opened<R>>, Failure> {
        let mut offers = Vec::new();
        for (n, s) in &self.slots {
            match s.there {
                true => offers.push(Offer { number: *n, disk: Ok(s.disk.clone()) }),
                false => offers.push(Offer { number: *n, disk: Err("it is not there".into()) }),
            }
        }
        let (entropy, witness) = (self.entropy.clone(), self.witness.clone());
        let how = Opening { store: Some(STORE), ..Opening::default() };
        let answer = self
            .exec
            .spawn(async move { Array::<SimDisk, R>::open(offers, entropy, Rc::new(witness), how).await });
        let steps = |w: &Self| w.slots.values().map(|s| s.disk.steps()).sum::<u64>();
        let limit = cut.map_or(u64::MAX, |n| steps(self) + n as u64);
        for _ in 0..2_000_000 {
            if let Some(opened) = answer.take() {
                return Ok(Some(opened));
            }
            if steps(self) >= limit {
                return Ok(None);
            }
            if !self.turn() {
                return Err("stuck: the store is never opened".to_owned());
            }
        }
        Err("opening does not end within two million steps".to_owned())
    }

    /// The invariants of all disks and of all together. Nothing else runs.
    pub fn check(&mut self) -> Result<(), Failure> {
        let (array, data) = (self.array(), self.profile != Profile::ArraySilent);
        let answer = self.exec.spawn(async move { array.fsck(data).await });
        match self.run_until(|| answer.take())? {
            Ok(found) => match found.first() {
                Some(violation) => Err(format!("fsck: {}", violation.0)),
                None => Ok(()),
            },
            Err(e) => Err(format!("fsck ended in: {e}")),
        }
    }

    /// Holds everything that the array shows against the oracle. Nothing else runs.
    pub fn judge_everything(&mut self) -> Result<(), Failure> {
        self.check()?;
        let shown = self.array().inventory();
        let rollbacks = self.settle_doubts(&shown)?;
        self.judge_catalogue(&shown)?;
        self.create_again()?;
        let ids: Vec<Id> = self.model.devices.keys().copied().collect();
        for id in ids {
            let found = self.read_whole(id)?;
            if self.tree(id).doomed {
                continue;
            }
            let old = &mut self.model.get(id).image;
            let Err(wrong) = old.judge_after_crash(&found) else { continue };
            match rollbacks.iter().find(|(volume, _)| *volume == id) {
                Some((_, image)) => {
                    let mut image = image.clone();
                    image
                        .judge_after_crash(&found)
                        .map_err(|also| format!("{id:?}: {wrong}; rolled back, {also}"))?;
                    self.model.get(id).image = image;
                }
                None => return Err(format!("{id:?}: {wrong}")),
            }
        }
        Ok(())
    }

    /// Decides which of the changes that were never answered well happened, by what the array shows. Returns what
    /// each volume holds if its rollback, which only its content can tell, happened.
    fn settle_doubts(&mut self, shown: &[Found]) -> Result<Vec<(Id, Image)>, Failure> {
        let find = |id: Id| shown.iter().find(|f| f.id == id.uuid());
        let mut rollbacks = Vec::new();
        // Deletions come last: what was made in doubt may stem from what was deleted in doubt.
        let mut doubts = std::mem::take(&mut self.in_doubt);
        doubts.sort_by_key(|change| matches!(change, Change::Delete(_)));
        for mut change in doubts {
            if let Change::Clone { from, id, size } = &mut change
                && let Some(f) = find(*id)
                && f.bytes == self.model.get(*from).image.size()
            {
                // It has the snapshot's size and did not grow yet: asking again would go on there.
                *size = f.bytes;
            }
            let made = change.makes();
            let there = made.iter().filter(|id| find(**id).is_some()).count();
            if there != 0 && there != made.len() {
                return Err(format!("{change:?} happened in part"));
            }
            let happened = match &change {
                Change::Delete(id) => find(*id).is_none(),
                Change::Resize { id, size } => find(*id).is_some_and(|f| f.bytes == *size),
                Change::Relabel { id, version } => find(*id).is_some_and(|f| f.label_version == version + 1),
                Change::Rollback { id, to } => {
                    let image = self.model.get(*to).image.clone();
                    let (old, new) = (self.model.get(*id).image.size(), image.size());
                    let child = find(*id).is_some_and(|f| f.parent == Some(to.uuid()));
                    if old == new && child {
                        rollbacks.push((*id, image));
                        self.tree_of.insert(*id, self.tree_of[to]);
                    }
                    old != new && find(*id).is_some_and(|f| f.bytes == new)
                }
                Change::Rebase { .. } => false,
                _ => there != 0,
            };
            self.model.release(&change);
            if happened {
                self.apply(&change, None);
                if let Change::Create { id, .. } = change {
                    self.made_in_doubt.push(id);
                    // A power cut may have come between the volume and its place.
                    if let Some(tree) = self.trees.get_mut(&self.tree_of[&id]) {
                        tree.copies = 1;
                    }
                }
            }
        }
        Ok(rollbacks)
    }

    fn judge_catalogue(&mut self, shown: &[Found]) -> Result<(), Failure> {
        let ids: BTreeSet<_> = shown.iter().map(|f| f.id).collect();
        if let Some(id) = self.model.devices.keys().find(|id| !ids.contains(&id.uuid())) {
            return Err(format!("{id:?} is gone"));
        }
        if ids.len() != self.model.devices.len() {
            return Err(format!(
                "{} devices are there that should not be",
                ids.len() - self.model.devices.len()
            ));
        }
        for (id, device) in &self.model.devices {
            let Some(f) = shown.iter().find(|f| f.id == id.uuid()) else { continue };
            let kind = if f.kind == EngineKind::Volume { Kind::Volume } else { Kind::Snapshot };
            if (kind, f.bytes) != (device.kind, device.image.size()) {
                let (want, size) = (device.kind, device.image.size());
                return Err(format!("{id:?} is a {kind:?} of {} bytes, not a {want:?} of {size}", f.bytes));
            }
            if f.label_version != device.label + 1 || f.label != label(*id, device.label) {
                let (has, wants) = (f.label_version, device.label + 1);
                return Err(format!("{id:?} has label version {has}, not {wants}"));
            }
        }
        Ok(())
    }

    /// The whole content; `None` for blocks that are out of reach.
    pub fn read_whole(&mut self, id: Id) -> Result<Vec<Option<Block>>, Failure> {
        let cells = self.model.get(id).image.cells();
        if let Ok(bytes) = self.read_now(id, 0, cells)? {
            return split(id, 0, &bytes);
        }
        let mut out = Vec::new();
        for first in (0..cells).step_by(CELLS) {
            match self.read_now(id, first, CELLS.min(cells - first))? {
                Ok(bytes) => out.extend(split(id, first, &bytes)?),
                Err(_) => out.push(None),
            }
        }
        Ok(out)
    }

    fn read_now(&mut self, id: Id, first: usize, cells: usize) -> Result<Result<Buf, EngineError>, Failure> {
        let array = self.array();
        let answer = self.exec.spawn(async move {
            let (result, buf) = array.read(id.uuid(), (first * CELL) as u64, Buf::zeroed(cells * CELL)).await;
            result.map(|_| buf)
        });
        let tree = self.tree(id);
        let gone = tree.doomed || tree.damaged;
        match self.run_until(|| answer.take())? {
            Err(e @ EngineError::Io) if gone || self.injured() >= tree.copies => Ok(Err(e)),
            Err(e @ EngineError::DataLost) if gone => Ok(Err(e)),
            Err(e) => Err(format!("{id:?}: cells {first} +{cells}: {e} ({:?} are out)", self.out)),
            fine => Ok(fine),
        }
    }

    /// What clients do that do not know whether their volume was made: they ask again, and it gets its place.
    fn create_again(&mut self) -> Result<(), Failure> {
        let again: Vec<Id> = std::mem::take(&mut self.made_in_doubt);
        for id in again {
            let Some(device) = self.model.devices.get(&id) else { continue };
            let size = device.image.size();
            let copies = self.tree(id).asked as u8;
            let array = self.array();
            let policy = parpen_array::Policy { replicas: copies, ..Default::default() };
            let label = label(id, 0);
            let answer = self
                .exec
                .spawn(async move { array.create_placed(id.uuid(), size, None, &label, &policy).await });
            let made = self.run_until(|| answer.take())?;
            let placed = self.array().policy_of(id.uuid()).map(|p| usize::from(p.replicas)).unwrap_or(1);
            let tree = self.tree_of[&id];
            if made.is_ok() && placed != usize::from(copies) {
                return Err(format!("{id:?} was made again and has {placed} copies, not {copies}"));
            }
            if let Some(t) = self.trees.get_mut(&tree) {
                // Without a place of its own it is where volumes of old are: on the first disk, which may be gone.
                (t.copies, t.damaged) = (placed, made.is_err());
            }
        }
        Ok(())
    }

    /// Every disk is there, everything is done: nothing is in doubt, all copies are there and equal.
    pub fn settle(&mut self) -> Result<(), Failure> {
        self.slots.values().for_each(|s| s.disk.set_faults(Faults::default()));
        self.drain()?;
        self.crash();
        self.recover(true)?;
        self.work_to_the_end()?;
        for m in self.array().members() {
            let fine = matches!(
                m.state,
                State::InSync | State::Empty | State::Forgotten | State::Ejecting | State::EjectPaused
            );
            if !fine && !self.trees.values().any(|t| t.doomed || t.damaged) {
                return Err(format!("disk {} does not come in sync: {m:?}", m.number));
            }
        }
        self.judge_everything()
    }

    /// Works behind the scenes until nothing is left to do.
    pub fn work_to_the_end(&mut self) -> Result<(), Failure> {
        for _ in 0..4000 {
            let array = self.array();
            let answer = self.exec.spawn(async move { array.step(1 << 20).await.class });
            if self.run_until(|| answer.take())?.is_none() {
                return Ok(());
            }
        }
        Err(format!("the work never ends: {:?}", self.array().tasks()))
    }
}
