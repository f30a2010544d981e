//! What the clients of a history ask for, chosen by the seed.

use parpen_engine::Rules;

use crate::content::{CELL, CELLS};
use crate::model::{Change, Device, Id, Kind};
use crate::profile::Profile;
use crate::world::{Failure, World};

/// Cells of the smallest size step, 512 bytes.
const SECTOR_CELLS: usize = 512 / CELL;

impl<R: Rules> World<R> {
    /// One data request, if some volume takes one.
    pub fn some_io(&mut self) {
        let open = |d: &Device, kind| d.kind == kind && !d.closed;
        let volumes = self.ids(|d| open(d, Kind::Volume));
        let x = self.rng.below(100);
        if x < 13 {
            self.flush();
            return;
        }
        if x < 25 {
            let all = self.ids(|d| !d.closed);
            if let Some(id) = self.one_of(&all) {
                let (first, cells) = self.some_range(id);
                self.read(id, first, cells);
            }
            return;
        }
        let Some(id) = self.one_of(&volumes) else { return };
        let (first, cells) = self.some_range(id);
        if self.model.get(id).image.is_busy(first, cells) {
            // Its present content must be known first.
            self.read_blocks(id, first, cells);
            return;
        }
        match x {
            25..33 => self.zero(id, first, cells),
            33..41 => {
                let whole = self.model.get(id).image.cells() / CELLS * CELLS;
                if first < whole {
                    self.discard(id, first, cells.min(whole - first));
                }
            }
            41..52 => self.write_again(id, first, cells),
            _ => {
                let stamps = self.fresh_stamps(cells);
                self.write(id, first, &stamps);
            }
        }
    }

    /// Writes what was written there before: equal bytes must not be mistaken for the same write.
    fn write_again(&mut self, id: Id, first: usize, cells: usize) {
        let old = self.written.iter().rposition(|(i, f, s)| (*i, *f, s.len()) == (id, first, cells));
        let stamps = match old {
            Some(i) => self.written[i].2.clone(),
            None => self.fresh_stamps(cells),
        };
        self.write(id, first, &stamps);
        if old.is_none() && self.written.len() < 12 {
            self.written.push((id, first, stamps));
        }
    }

    fn ids(&self, wanted: impl Fn(&Device) -> bool) -> Vec<Id> {
        self.model.devices.iter().filter(|(_, d)| wanted(d)).map(|(id, _)| *id).collect()
    }

    fn one_of(&mut self, ids: &[Id]) -> Option<Id> {
        if ids.is_empty() { None } else { Some(*self.rng.pick(ids)) }
    }

    /// Whole blocks around a range.
    fn read_blocks(&mut self, id: Id, first: usize, cells: usize) {
        let end = (first + cells).next_multiple_of(CELLS).min(self.model.get(id).image.cells());
        let first = first / CELLS * CELLS;
        self.read(id, first, end - first);
    }

    /// Mostly one whole block, sometimes several, sometimes any cells.
    fn some_range(&mut self, id: Id) -> (usize, usize) {
        let all = self.model.get(id).image.cells();
        let blocks = all.div_ceil(CELLS);
        let block = self.rng.below(blocks);
        let many = if self.profile == Profile::Full { 16 } else { 4 };
        match self.rng.below(100) {
            0..60 => (block * CELLS, CELLS.min(all - block * CELLS)),
            60..78 => {
                let n = self.rng.between(1, many) * CELLS;
                (block * CELLS, n.min(all - block * CELLS))
            }
            _ => {
                let first = (block * CELLS + self.rng.below(CELLS)).min(all - 1);
                let n = self.rng.between(1, 2 * CELLS);
                (first, n.min(all - first))
            }
        }
    }

    /// Bytes of a new volume.
    pub fn some_size(&mut self) -> u64 {
        let cells = match (self.profile, self.rng.below(10)) {
            (Profile::Full, _) => self.rng.between(1, 140 * CELLS),
            (_, 0..6) => self.rng.between(1, 5 * CELLS),
            (_, 6..9) => self.rng.between(1, 12 * CELLS),
            _ => self.rng.between(1, 24 * CELLS),
        };
        let cells = if self.rng.percent(60) { cells.next_multiple_of(CELLS) } else { cells };
        (cells.next_multiple_of(SECTOR_CELLS) * CELL) as u64
    }

    /// One change of the catalogue, if some device takes one.
    pub fn some_change(&mut self) -> Result<(), Failure> {
        let free = |d: &Device, kind| d.kind == kind && d.held == 0;
        let volumes = self.ids(|d| free(d, Kind::Volume));
        let idle = self.ids(|d| free(d, Kind::Volume) && d.io == 0);
        let snapshots = self.ids(|d| free(d, Kind::Snapshot));
        let room = self.model.devices.len() + self.running.len() < 7;
        if self.profile.rebases() && self.rng.percent(20) {
            if let Some(change) = self.some_cut(&idle) {
                self.change(change);
            }
            return Ok(());
        }
        let change = match self.rng.below(100) {
            0..12 if room => Some(Change::Create { id: self.fresh_id(), size: self.some_size() }),
            12..40 if room && !volumes.is_empty() => Some(self.some_snapshot(&volumes)),
            40..54 if room => self.one_of(&snapshots).map(|from| self.some_clone(from)),
            54..62 => match (self.one_of(&idle), self.one_of(&snapshots)) {
                (Some(id), Some(to)) => Some(Change::Rollback { id, to }),
                _ => None,
            },
            62..68 => self.one_of(&idle).map(|id| Change::Resize { id, size: self.some_size() }),
            68..72 => {
                let all = [volumes, snapshots].concat();
                let id = self.one_of(&all);
                id.map(|id| Change::Relabel { id, version: self.model.get(id).label + 1 })
            }
            72..96 => {
                let quiet = self.ids(|d| free(d, Kind::Snapshot) && d.io == 0);
                let all = [idle, quiet.clone(), quiet].concat();
                self.one_of(&all).map(Change::Delete)
            }
            _ => match self.one_of(&volumes) {
                Some(volume) => {
                    let snapshot = self.one_of(&snapshots);
                    return self.nonsense(volume, snapshot);
                }
                None => None,
            },
        };
        if let Some(change) = change {
            self.change(change);
        }
        Ok(())
    }

    fn some_snapshot(&mut self, volumes: &[Id]) -> Change {
        let mut pairs = vec![(*self.rng.pick(volumes), self.fresh_id())];
        if self.rng.percent(25) {
            let others: Vec<Id> = volumes.iter().copied().filter(|id| *id != pairs[0].0).collect();
            if let Some(other) = self.one_of(&others) {
                pairs.push((other, self.fresh_id()));
            }
        }
        Change::Snapshot(pairs)
    }

    /// A freeze, or a rebase to something that the device comes from.
    fn some_cut(&mut self, idle: &[Id]) -> Option<Change> {
        if self.rng.percent(20) {
            let id = self.one_of(idle)?;
            return Some(Change::Freeze { id, snapshot: self.fresh_id() });
        }
        let free = self.ids(|d| d.held == 0 && !d.closed);
        let id = self.one_of(&free)?;
        let (engine, mut above) = (self.engine(), Vec::new());
        let mut at = engine.lookup(id.uuid()).and_then(|f| f.parent);
        while let Some(found) = at.and_then(|parent| engine.lookup(parent)) {
            above.extend(free.iter().copied().filter(|id| id.uuid() == found.id));
            at = found.parent;
        }
        let onto = if self.rng.percent(40) { None } else { self.one_of(&above) };
        Some(Change::Rebase { id, onto })
    }

    fn some_clone(&mut self, from: Id) -> Change {
        let size = self.model.get(from).image.size();
        let grown = if self.rng.percent(25) { size.max(self.some_size()) } else { size };
        Change::Clone { from, id: self.fresh_id(), size: grown }
    }
}
