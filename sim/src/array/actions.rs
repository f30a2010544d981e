//! What the clients of a history ask for, chosen by the seed.

use parpen_engine::Rules;

use crate::content::{CELL, CELLS};
use crate::model::{Change, Device, Id, Kind};
use crate::profile::Profile;

use super::world::World;

/// Cells of the smallest size step, 512 bytes.
const SECTOR_CELLS: usize = 512 / CELL;

impl<R: Rules> World<R> {
    /// One data request, if some volume takes one.
    pub fn some_io(&mut self) {
        let x = self.rng.below(100);
        let all = self.ids(|d| !d.closed);
        if x < 14 {
            let which = if self.rng.percent(80) { self.one_of(&all) } else { None };
            if which.is_none_or(|id| self.model.devices[&id].kind == Kind::Volume) {
                self.flush(which);
            }
            return;
        }
        if x < 34 {
            if let Some(id) = self.one_of(&all) {
                let (first, cells) = self.some_range(id);
                self.read(id, first, cells);
            }
            return;
        }
        let volumes = self.ids(|d| d.kind == Kind::Volume && !d.closed);
        let Some(id) = self.one_of(&volumes) else { return };
        let (first, cells) = self.some_range(id);
        if self.model.get(id).image.is_busy(first, cells) {
            // Its present content must be known first.
            let end = (first + cells).next_multiple_of(CELLS).min(self.model.get(id).image.cells());
            let first = first / CELLS * CELLS;
            self.read(id, first, end - first);
            return;
        }
        match x {
            34..40 => self.zero(id, first, cells),
            40..46 => {
                let whole = self.model.get(id).image.cells() / CELLS * CELLS;
                if first < whole {
                    self.discard(id, first, cells.min(whole - first));
                }
            }
            _ => self.write(id, first, cells),
        }
    }

    pub fn ids(&self, wanted: impl Fn(&Device) -> bool) -> Vec<Id> {
        self.model.devices.iter().filter(|(_, d)| wanted(d)).map(|(id, _)| *id).collect()
    }

    pub fn one_of(&mut self, ids: &[Id]) -> Option<Id> {
        if ids.is_empty() { None } else { Some(*self.rng.pick(ids)) }
    }

    /// Whole blocks, over several objects sometimes, or any cells.
    fn some_range(&mut self, id: Id) -> (usize, usize) {
        let all = self.model.get(id).image.cells();
        let block = self.rng.below(all.div_ceil(CELLS));
        let most = if self.profile == Profile::ArrayFull { 16 } else { 6 };
        match self.rng.below(100) {
            0..45 => (block * CELLS, CELLS.min(all - block * CELLS)),
            45..80 => {
                let n = self.rng.between(1, most) * CELLS;
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
        let most = if self.profile == Profile::ArrayFull { 96 } else { 40 };
        let cells = self.rng.between(1, most * CELLS);
        let cells = if self.rng.percent(60) { cells.next_multiple_of(CELLS) } else { cells };
        (cells.next_multiple_of(SECTOR_CELLS) * CELL) as u64
    }

    /// Copies of a new volume.
    pub fn some_copies(&mut self) -> u8 {
        let all: &[u8] = if self.profile == Profile::ArraySilent { &[2, 2, 3] } else { &[1, 2, 2, 2, 3] };
        *self.rng.pick(all)
    }

    /// One change of the catalogue, if some device takes one.
    pub fn some_change(&mut self) {
        let free = |d: &Device, kind| d.kind == kind && d.held == 0;
        let volumes = self.ids(|d| free(d, Kind::Volume));
        let idle = self.ids(|d| free(d, Kind::Volume) && d.io == 0);
        let snapshots = self.ids(|d| free(d, Kind::Snapshot));
        let room = self.model.devices.len() + self.running.len() < 8;
        let change = match self.rng.below(100) {
            0..12 if room => {
                let (id, size, copies) = (self.fresh_id(), self.some_size(), self.some_copies());
                self.create(id, size, copies);
                return;
            }
            12..40 if room && !volumes.is_empty() => {
                let mut pairs = vec![(*self.rng.pick(&volumes), self.fresh_id())];
                let others: Vec<Id> = volumes.into_iter().filter(|id| *id != pairs[0].0).collect();
                if self.rng.percent(25)
                    && let Some(other) = self.one_of(&others)
                {
                    pairs.push((other, self.fresh_id()));
                }
                Some(Change::Snapshot(pairs))
            }
            40..54 if room => self.one_of(&snapshots).map(|from| {
                let size = self.model.get(from).image.size();
                let grown = if self.rng.percent(25) { size.max(self.some_size()) } else { size };
                Change::Clone { from, id: self.fresh_id(), size: grown }
            }),
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
            72..76 => self.one_of(&idle).map(|id| Change::Freeze { id, snapshot: self.fresh_id() }),
            76..80 => self.some_cut(),
            _ => {
                let quiet = self.ids(|d| free(d, Kind::Snapshot) && d.io == 0);
                let all = [idle, quiet.clone(), quiet].concat();
                self.one_of(&all).map(Change::Delete)
            }
        };
        if let Some(change) = change {
            self.change(change);
        }
    }

    /// A rebase to something that a device comes from, or to nothing.
    fn some_cut(&mut self) -> Option<Change> {
        let free = self.ids(|d| d.held == 0 && !d.closed);
        let id = self.one_of(&free)?;
        let (array, mut above) = (self.array(), Vec::new());
        let mut at = array.lookup(id.uuid()).and_then(|f| f.parent);
        while let Some(found) = at.and_then(|parent| array.lookup(parent)) {
            above.extend(free.iter().copied().filter(|id| id.uuid() == found.id));
            at = found.parent;
        }
        let onto = if self.rng.percent(40) { None } else { self.one_of(&above) };
        Some(Change::Rebase { id, onto })
    }
}
