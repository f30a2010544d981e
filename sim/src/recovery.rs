//! Power cuts, what follows them, and the judgement of what a recovery shows.

use std::collections::BTreeSet;
use std::rc::Rc;

use parpen_base::Buf;
use parpen_engine::{BLOCK, Engine, EngineError, Found, Kind as EngineKind, OpenError, Rules};

use crate::content::{Block, CELL, CELLS, ZEROS, read_cells};
use crate::disk::{Faults, SimDisk};
use crate::image::Image;
use crate::model::{Change, Id, Kind};
use crate::moves::value;
use crate::profile::Profile;
use crate::requests::label;
use crate::world::{Failure, World};

/// What became of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// It serves.
    Serves,
    /// Silent faults destroyed what only exists once; the engine said so.
    Unreadable,
}

/// What an opening gives.
type Opening<R> = Result<Rc<Engine<SimDisk, R>>, OpenError>;

impl<R: Rules> World<R> {
    /// The power goes.
    pub fn crash(&mut self) {
        self.forget_running();
        self.disk.crash();
        self.tally.crashes += 1;
    }

    /// The power goes; the last writes of these pages arrived, nothing else that no flush covered.
    pub fn crash_keeping(&mut self, arrived: impl Fn(usize) -> bool) {
        self.forget_running();
        self.disk.crash_keeping(arrived);
        self.tally.crashes += 1;
    }

    /// Opens the disk, perhaps struck by power cuts on the way, and judges what it shows.
    pub fn recover(&mut self) -> Result<Opened, Failure> {
        loop {
            let cut = self.rng.percent(self.crashed_recoveries).then(|| self.rng.below(24));
            let Some(opened) = self.open(cut)? else {
                self.crash();
                continue;
            };
            match opened {
                Ok(engine) => {
                    self.engine = Some(engine);
                    break;
                }
                Err(OpenError::Io) if self.profile.may_fail() => self.disk.set_faults(Faults::default()),
                Err(OpenError::NoSpace) if self.profile == Profile::Host => {
                    self.disk.set_faults(Faults::default())
                }
                Err(e) if self.profile == Profile::Silent && self.disk.silent_faults() > 0 => {
                    self.trace.note(7, || format!("== not opened: {e}"));
                    self.tally.unreadable += 1;
                    return Ok(Opened::Unreadable);
                }
                Err(e) => return Err(format!("the disk was not opened again: {e}")),
            }
            self.crash();
        }
        self.tally.recoveries += 1;
        let space = self.engine().space();
        self.trace.note(2, || {
            let blocks = |bytes: u64| bytes / BLOCK;
            let (data, metadata, free) = (blocks(space.data), blocks(space.metadata), blocks(space.free));
            format!("== recovered: {data} blocks of data, {metadata} of metadata, {free} free")
        });
        self.disk.set_faults(Faults::default());
        self.go_on_moving()?;
        self.judge_everything()?;
        Ok(Opened::Serves)
    }

    /// Opens the disk; `None` if the power went after `cut` disk requests.
    fn open(&mut self, cut: Option<usize>) -> Result<Option<Opening<R>>, Failure> {
        let (disk, entropy, cache) = (self.disk.clone(), self.entropy.clone(), self.cache);
        let answer = self
            .exec
            .spawn(async move { Engine::<SimDisk, R>::open_cached(disk, entropy, None, cache).await });
        let limit = cut.map_or(u64::MAX, |n| self.disk.steps() + n as u64);
        for _ in 0..1_000_000 {
            if let Some(opened) = answer.take() {
                return Ok(Some(opened));
            }
            if self.disk.steps() >= limit {
                return Ok(None);
            }
            if !self.turn() {
                return Err("stuck: the disk is never opened".to_owned());
            }
        }
        Err("opening does not end within a million steps".to_owned())
    }

    /// The engine's own invariants.
    pub fn check(&mut self) -> Result<(), Failure> {
        let engine = self.engine();
        let answer = self.exec.spawn(async move { engine.check().await });
        match self.run_until(|| answer.take())?.first() {
            Some(violation) => Err(format!("check: {}", violation.0)),
            None => Ok(()),
        }
    }

    /// Holds everything that the engine shows against the oracle. Nothing else runs.
    pub fn judge_everything(&mut self) -> Result<(), Failure> {
        self.check()?;
        let engine = self.engine();
        let answer = self.exec.spawn(async move { engine.fsck(true).await });
        match self.run_until(|| answer.take())? {
            Ok(found) => match found.first() {
                Some(violation) if !self.may_lose() => {
                    return Err(format!("fsck: {}", violation.0));
                }
                _ => {}
            },
            Err(e) => return Err(format!("fsck ended in: {e}")),
        }
        let shown = self.engine().inventory();
        let rollbacks = self.settle_doubts(&shown)?;
        self.judge_catalogue(&shown)?;
        self.judge_records()?;
        let ids: Vec<Id> = self.model.devices.keys().copied().collect();
        for id in ids {
            let found = self.read_whole(id)?;
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

    /// Decides which of the changes that were never answered well happened, by what the engine shows.
    /// Returns what each volume holds if its rollback, which only its content can tell, happened.
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
                Change::Record { key, version } => {
                    let shown = self.engine().record(Id(*key).uuid()).unwrap_or_default();
                    shown == value(*key, *version)
                }
                Change::Relabel { id, version } => find(*id).is_some_and(|f| f.label_version == version + 1),
                Change::Rollback { id, to } => {
                    let image = self.model.get(*to).image.clone();
                    let (old, new) = (self.model.get(*id).image.size(), image.size());
                    if old == new {
                        rollbacks.push((*id, image));
                    }
                    old != new && find(*id).is_some_and(|f| f.bytes == new)
                }
                _ => there != 0,
            };
            self.model.release(&change);
            if happened {
                self.model.apply(&change, None);
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
                return Err(format!(
                    "{id:?} has label version {}, not {}",
                    f.label_version,
                    device.label + 1
                ));
            }
        }
        Ok(())
    }

    /// The whole content; `None` for blocks that the engine says are lost.
    fn read_whole(&mut self, id: Id) -> Result<Vec<Option<Block>>, Failure> {
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

    /// Whether a block may be lost: silent faults struck, or recovery could not read what it had to verify.
    pub fn may_lose(&self) -> bool {
        self.disk.silent_faults() > 0 || self.disk.failed_reads() > 0
    }

    fn read_now(&mut self, id: Id, first: usize, cells: usize) -> Result<Result<Buf, EngineError>, Failure> {
        let engine = self.engine();
        let answer = self.exec.spawn(async move {
            let (result, buf) =
                engine.read(id.uuid(), (first * CELL) as u64, Buf::zeroed(cells * CELL)).await;
            result.map(|_| buf)
        });
        match self.run_until(|| answer.take())? {
            Err(EngineError::DataLost) if self.may_lose() => Ok(Err(EngineError::DataLost)),
            Err(e) => Err(format!("{id:?}: cells {first} +{cells} after recovery: {e}")),
            fine => Ok(fine),
        }
    }
}

/// Blocks of stamps; the last one is filled up with zeros.
pub(crate) fn split(id: Id, first: usize, bytes: &[u8]) -> Result<Vec<Option<Block>>, Failure> {
    let stamps = read_cells(bytes)
        .map_err(|cell| format!("{id:?}: the bytes of cell {} are nobody's", first + cell))?;
    let block = |cells: &[u32]| {
        let mut block = ZEROS;
        block[..cells.len()].copy_from_slice(cells);
        Some(block)
    };
    Ok(stamps.chunks(CELLS).map(block).collect())
}
