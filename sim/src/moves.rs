//! What several disks of one store do to each: families that leave and come back block by block, healing, and
//! records.
//!
//! The history keeps what another disk would have: marks and bytes of every lineage of a family. Then it takes
//! the family apart (evicts it, fills lineages with something else, in any order) and copies it back, older
//! lineages first. If the power goes on the way, the next life copies by comparing marks, as a disk that was
//! away does. In the end nothing has changed.

use std::cell::RefCell;
use std::rc::Rc;

use parpen_base::Buf;
use parpen_engine::{BLOCK, BlockMark, Engine, EngineError, ImageKind, NodeImage, Rules};

use crate::content::{CELLS, write_cells};
use crate::disk::SimDisk;
use crate::model::{Change, Id};
use crate::rng::Rng;
use crate::world::{Failure, What, World};

const PAGE: usize = BLOCK as usize;

/// What another disk has of one lineage of a family.
struct Copy {
    lineage: u64,
    marks: Vec<Option<BlockMark>>,
    bytes: Buf,
}

/// A family that is being moved.
pub(crate) struct Moving {
    tree: u64,
    index: u64,
    blocks: u32,
    /// Devices of its tree: they take no requests meanwhile.
    devices: Vec<Id>,
    /// Older lineages first; none before all of them are known.
    copies: RefCell<Vec<Copy>>,
}

/// One thing that is done to a family while it is away.
enum Harm {
    Evict,
    /// Blocks of the lineage with this place among the copies get these stamps.
    Fill {
        nth: usize,
        first: u32,
        stamps: Vec<u32>,
    },
    Flush,
}

/// The value that a record has at a version; every fourth removes it.
pub(crate) fn value(key: u32, version: u64) -> Vec<u8> {
    if version % 4 == 3 { Vec::new() } else { crate::requests::label(Id(key), version) }
}

impl Moving {
    async fn capture<R: Rules>(&self, engine: &Engine<SimDisk, R>) -> Result<(), EngineError> {
        let mut copies = Vec::new();
        let nodes = engine.catalogue();
        for node in nodes.iter().filter(|n| n.tree == self.tree && n.kind != ImageKind::Record) {
            let marks = match engine.marks(node.lineage, self.index, 0, self.blocks).await {
                // A ghost that was dissolved meanwhile.
                Err(EngineError::NotFound) => continue,
                other => other?,
            };
            let bytes = Buf::zeroed(self.blocks as usize * PAGE);
            let (read, bytes) = engine.read_version(node.lineage, self.index, 0, bytes).await;
            match read {
                Err(EngineError::NotFound) => continue,
                other => other?,
            };
            copies.push(Copy { lineage: node.lineage, marks, bytes });
        }
        self.copies.replace(copies);
        Ok(())
    }

    async fn harm<R: Rules>(&self, engine: &Engine<SimDisk, R>, harm: Harm) -> Result<(), EngineError> {
        match harm {
            Harm::Evict => engine.evict(self.tree, self.index).await,
            Harm::Flush => engine.flush().await,
            Harm::Fill { nth, first, stamps } => {
                let lineage = {
                    let copies = self.copies.borrow();
                    copies[nth % copies.len()].lineage
                };
                let mut bytes = Vec::new();
                let mut marks = Vec::new();
                for (i, stamp) in stamps.iter().enumerate() {
                    let block = write_cells(&[*stamp; CELLS]);
                    let place = (lineage, self.index, first + i as u32);
                    marks.push((*stamp != 0).then(|| engine.mark(place.0, place.1, place.2, &block)));
                    bytes.extend(block);
                }
                let filled = engine.fill(lineage, self.index, first, &marks, Buf::copy_of(&bytes)).await;
                match filled.0 {
                    Err(EngineError::NotFound) => Ok(()),
                    other => other,
                }
            }
        }
    }

    /// Makes the family what it was.
    async fn copy_back<R: Rules>(&self, engine: &Engine<SimDisk, R>) -> Result<(), EngineError> {
        let count = self.copies.borrow().len();
        for nth in 0..count {
            let (lineage, want) = {
                let copy = &self.copies.borrow()[nth];
                (copy.lineage, copy.marks.clone())
            };
            let have = match engine.marks(lineage, self.index, 0, self.blocks).await {
                Err(EngineError::NotFound) => continue,
                other => other?,
            };
            let differs = |i: &usize| want[*i] != have[*i];
            let all = 0..want.len();
            let (Some(from), Some(to)) = (all.clone().find(differs), all.rev().find(differs)) else {
                continue;
            };
            let bytes = Buf::copy_of(&self.copies.borrow()[nth].bytes[from * PAGE..(to + 1) * PAGE]);
            let filled = engine.fill(lineage, self.index, from as u32, &want[from..=to], bytes).await;
            match filled.0 {
                Err(EngineError::NotFound) => continue,
                other => other?,
            }
        }
        engine.flush().await
    }
}

fn some_harm(rng: &mut Rng, blocks: u32, stamps: &mut impl FnMut() -> u32) -> Vec<Harm> {
    let one = |rng: &mut Rng, stamps: &mut dyn FnMut() -> u32| match rng.below(10) {
        0..2 => Harm::Evict,
        2..3 => Harm::Flush,
        _ => {
            let first = rng.below(blocks as usize) as u32;
            let most = (blocks - first).min(5) as usize;
            let stamps =
                (0..rng.between(1, most)).map(|_| if rng.percent(25) { 0 } else { stamps() }).collect();
            Harm::Fill { nth: rng.below(64), first, stamps }
        }
    };
    (0..rng.between(1, 7)).map(|_| one(rng, stamps)).collect()
}

impl<R: Rules> World<R> {
    /// Moves a family, heals a block, or puts a record, if that is possible now.
    pub fn some_move(&mut self) {
        match self.rng.below(10) {
            0..5 => self.move_family(),
            5..8 => self.heal_something(),
            _ => {
                let key = self.rng.between(1, 4) as u32;
                if !self.model.held_records.contains(&key) {
                    let version = self.model.records.get(&key).map_or(1, |v| v + 1);
                    self.change(Change::Record { key, version });
                }
            }
        }
    }

    fn some_device(&mut self) -> Option<Id> {
        let open: Vec<Id> = self.model.devices.iter().filter(|(_, d)| !d.closed).map(|(id, _)| *id).collect();
        if open.is_empty() { None } else { Some(*self.rng.pick(&open)) }
    }

    fn heal_something(&mut self) {
        let engine = self.engine();
        let Some(id) = self.some_device() else { return };
        // (Records have keys like devices.)
        let of = |n: &NodeImage| n.id == id.uuid() && n.kind != ImageKind::Record;
        let Some(node) = engine.catalogue().into_iter().find(of) else { return };
        let blocks = u64::from(engine.layout().object_blocks);
        let block = self.rng.below(self.model.get(id).image.cells().div_ceil(CELLS)) as u64;
        let (index, within) = (block / blocks, (block % blocks) as u32);
        let future = async move {
            let (read, good) = engine.read_version(node.lineage, index, within, Buf::zeroed(PAGE)).await;
            let healed = match read {
                Ok(true) => Ok(false),
                Ok(false) => engine.heal(node.lineage, index, within, good).await,
                Err(e) => Err(e),
            };
            match healed {
                // Overwritten or deleted while it was read.
                Err(EngineError::DataLost | EngineError::NotFound) => Ok(None),
                other => other.map(|_| None),
            }
        };
        self.submitted(What::Heal, future, || format!("heal block {block} of {id:?}"));
    }

    fn move_family(&mut self) {
        if self.moving.is_some() || self.fenced {
            return;
        }
        let engine = self.engine();
        let Some(id) = self.some_device() else { return };
        let nodes = engine.catalogue();
        let named = |n: &&NodeImage| matches!(n.kind, ImageKind::Volume | ImageKind::Snapshot);
        let Some(node) = nodes.iter().filter(named).find(|n| n.id == id.uuid()) else { return };
        let named = |n: &&NodeImage| named(n) && n.tree == node.tree;
        let uuids: Vec<_> = nodes.iter().filter(named).map(|n| n.id).collect();
        let devices: Vec<Id> =
            self.model.devices.keys().copied().filter(|d| uuids.contains(&d.uuid())).collect();
        let idle = |id: &Id| {
            let d = &self.model.devices[id];
            d.io == 0 && d.held == 0 && !d.closed
        };
        if devices.len() != uuids.len() || !devices.iter().all(idle) {
            return;
        }
        for id in &devices {
            let device = self.model.get(*id);
            (device.held, device.closed) = (device.held + 1, true);
        }
        let blocks = engine.layout().object_blocks;
        let cells = self.model.get(id).image.cells().div_ceil(CELLS);
        let index = (self.rng.below(cells) as u64) / u64::from(blocks);
        let mut next = self.rng.fork();
        let mut stamps = || 1 << 31 | next.below(1 << 20) as u32;
        let harm = some_harm(&mut self.rng, blocks, &mut stamps);
        let moving = Rc::new(Moving { tree: node.tree, index, blocks, devices, copies: RefCell::default() });
        self.moving = Some(moving.clone());
        let future = async move {
            moving.capture(&engine).await?;
            for harm in harm {
                moving.harm(&engine, harm).await?;
            }
            moving.copy_back(&engine).await.map(|()| None)
        };
        let tree = node.tree;
        self.submitted(What::Move, future, || format!("move object {index} of tree {tree}"));
    }

    /// The move ended well, or was never begun.
    pub fn moved(&mut self) {
        if let Some(moving) = self.moving.take() {
            for id in &moving.devices {
                let device = self.model.get(*id);
                (device.held, device.closed) = (device.held - 1, false);
            }
        }
    }

    /// The move ended in an error: if it had begun, the next life goes on with it.
    pub fn move_failed(&mut self) {
        if self.moving.as_ref().is_some_and(|m| m.copies.borrow().is_empty()) {
            self.moved();
        }
    }

    /// After a recovery: what was moved is copied back, by what its marks say is missing.
    pub fn go_on_moving(&mut self) -> Result<(), Failure> {
        let Some(moving) = self.moving.clone() else { return Ok(()) };
        let engine = self.engine();
        let answer = self.exec.spawn(async move { moving.copy_back(&engine).await });
        let copied = self.run_until(|| answer.take())?;
        copied.map_err(|e| format!("copying back after a recovery ended in: {e}"))?;
        self.moved();
        Ok(())
    }

    /// The records that the engine has are the model's.
    pub fn judge_records(&self) -> Result<(), Failure> {
        let want: Vec<(uuid::Uuid, Vec<u8>)> = self
            .model
            .records
            .iter()
            .map(|(key, version)| (Id(*key).uuid(), value(*key, *version)))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        if self.engine().records() == want {
            Ok(())
        } else {
            Err("the records are not what they were".into())
        }
    }

    /// No records remain.
    pub fn remove_records(&mut self) -> Result<(), Failure> {
        let all: Vec<(u32, u64)> = self.model.records.iter().map(|(k, v)| (*k, *v)).collect();
        for (key, version) in all {
            self.change(Change::Record { key, version: version / 4 * 4 + 7 });
            self.drain()?;
        }
        self.judge_records()
    }
}
