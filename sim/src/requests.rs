//! How each request is put to the engine and to the oracle.

use parpen_base::Buf;
use parpen_engine::{EngineError, Rules};

use crate::content::{CELL, CELLS, write_cells};
use crate::image::RequestId;
use crate::model::{Change, Device, Id};
use crate::world::{Failure, What, World};

/// The label of a device at a version. Some do not fit a log record with anything else, so that a commit
/// takes several.
pub(crate) fn label(id: Id, version: u64) -> Vec<u8> {
    let mut out = format!("{id:?} label {version}").into_bytes();
    let size = match (u64::from(id.0) * 5 + version * 3) % 8 {
        0 if version > 0 => 3900,
        1..3 if version > 0 => 4200,
        0..3 => 1700,
        n => 24 + 20 * n as usize,
    };
    out.resize(size, b'.');
    out
}

impl<R: Rules> World<R> {
    pub fn read(&mut self, id: Id, first: usize, cells: usize) {
        let engine = self.engine();
        let future = async move {
            let (result, buf) =
                engine.read(id.uuid(), (first * CELL) as u64, Buf::zeroed(cells * CELL)).await;
            result.map(|_| Some(buf))
        };
        self.submitted(What::Read { id, first }, future, || format!("read {id:?} cells {first} +{cells}"));
    }

    pub fn write(&mut self, id: Id, first: usize, stamps: &[u32]) {
        let engine = self.engine();
        let bytes = Buf::copy_of(&write_cells(stamps));
        let future = async move {
            let (result, _) = engine.write(id.uuid(), (first * CELL) as u64, bytes).await;
            result.map(|()| None)
        };
        let (n, stamp) = (stamps.len(), stamps[0]);
        self.remember(id, first, stamps);
        let name = self.submitted(What::Write { id, hint: false }, future, || {
            format!("write {id:?} cells {first} +{n}, stamps from {stamp}")
        });
        self.model.get(id).image.submit(name, first, stamps);
    }

    pub fn zero(&mut self, id: Id, first: usize, cells: usize) {
        let engine = self.engine();
        let (offset, len) = ((first * CELL) as u64, (cells * CELL) as u64);
        let future = async move { engine.zero(id.uuid(), offset, len).await.map(|()| None) };
        self.remember(id, first, &vec![0; cells]);
        let name = self.submitted(What::Write { id, hint: false }, future, || {
            format!("zero {id:?} cells {first} +{cells}")
        });
        self.model.get(id).image.submit(name, first, &vec![0; cells]);
    }

    /// Only the whole blocks of the range become zeros.
    pub fn discard(&mut self, id: Id, first: usize, cells: usize) {
        let engine = self.engine();
        let (offset, len) = ((first * CELL) as u64, (cells * CELL) as u64);
        let future = async move { engine.discard(id.uuid(), offset, len).await.map(|()| None) };
        let name = self.submitted(What::Write { id, hint: true }, future, || {
            format!("discard {id:?} cells {first} +{cells}")
        });
        let (from, to) = (first.div_ceil(CELLS) * CELLS, (first + cells) / CELLS * CELLS);
        self.model.get(id).image.submit(name, from, &vec![0; to.saturating_sub(from)]);
    }

    /// Notes what a client would write again if the next flush is never answered.
    fn remember(&mut self, id: Id, first: usize, stamps: &[u32]) {
        if self.unflushed.len() < 6 {
            self.unflushed.push((id, first, stamps.to_vec()));
        }
    }

    /// What clients do that lost their server: they write again what no flush covered, in the same order,
    /// and flush. A log record may then repeat one of the former life to the last bit.
    pub fn write_unflushed_again(&mut self) -> Result<(), Failure> {
        for (id, first, stamps) in std::mem::take(&mut self.unflushed) {
            let fits = |d: &Device| !d.closed && first + stamps.len() <= d.image.cells();
            let there = self.model.devices.get(&id).is_some_and(fits);
            if !there || self.model.get(id).image.is_busy(first, stamps.len()) {
                continue;
            }
            if stamps.iter().all(|stamp| *stamp == 0) {
                self.zero(id, first, stamps.len());
            } else {
                self.write(id, first, &stamps);
            }
            self.drain()?;
        }
        self.flush();
        Ok(())
    }

    pub fn flush(&mut self) -> RequestId {
        self.unflushed.clear();
        let engine = self.engine();
        let future = async move { engine.flush().await.map(|()| None) };
        self.submitted(What::Flush, future, || "flush".to_owned())
    }

    pub fn change(&mut self, change: Change) {
        self.model.hold(&change);
        let (engine, wanted) = (self.engine(), change.clone());
        let text = format!("{change:?}");
        let future = async move {
            match wanted {
                Change::Create { id, size } => engine.create(id.uuid(), size, None, &label(id, 0)).await,
                Change::Snapshot(pairs) => {
                    let all: Vec<_> = pairs.iter().map(|(v, s)| (v.uuid(), s.uuid(), label(*s, 0))).collect();
                    engine.snapshot(&all).await
                }
                Change::Clone { from, id, size } => {
                    engine.create(id.uuid(), size, Some(from.uuid()), &label(id, 0)).await
                }
                Change::Rollback { id, to } => engine.rollback(id.uuid(), to.uuid()).await,
                Change::Resize { id, size } => engine.resize(id.uuid(), size).await,
                Change::Delete(id) => engine.delete(id.uuid()).await,
                Change::Freeze { id, snapshot } => {
                    engine.freeze(id.uuid(), snapshot.uuid(), &label(snapshot, 0)).await
                }
                Change::Rebase { id, onto } => {
                    let onto = onto.map(Id::uuid);
                    match engine.rebase(id.uuid(), onto).await {
                        // What it comes from may have been cut off further down meanwhile.
                        Err(EngineError::Invalid(_)) if onto.is_some() => Ok(()),
                        Ok(()) => {
                            let parent = engine.lookup(id.uuid()).and_then(|f| f.parent);
                            assert_eq!(parent, onto, "the parent of {id:?} after its rebase");
                            Ok(())
                        }
                        other => other,
                    }
                }
                Change::Relabel { id, version } => engine.relabel(id.uuid(), &label(id, version)).await,
            }
            .map(|()| None)
        };
        self.submitted(What::Change(change), future, || text);
    }

    /// Requests that make no sense are refused with the right word, and change nothing.
    pub fn nonsense(&mut self, volume: Id, snapshot: Option<Id>) -> Result<(), String> {
        let (engine, ghost) = (self.engine(), Id(u32::MAX));
        let size = self.model.get(volume).image.size();
        let which = self.rng.below(if snapshot.is_some() { 4 } else { 3 });
        let future = async move {
            let little = Buf::zeroed(CELL);
            match (which, snapshot) {
                (0, _) => engine.read(volume.uuid(), size - 1, little).await.0.map(|_| ()),
                (1, _) => engine.write(ghost.uuid(), 0, little).await.0,
                (2, _) => engine.write(volume.uuid(), u64::MAX - 5, little).await.0,
                (_, Some(id)) => engine.write(id.uuid(), 0, little).await.0,
                (_, None) => Ok(()),
            }
        };
        let answer = self.exec.spawn(future);
        let found = self.run_until(|| answer.take())?;
        let fine = match which {
            0 | 2 => matches!(found, Err(EngineError::Invalid(_))),
            1 => found == Err(EngineError::NotFound),
            _ => found == Err(EngineError::ReadOnly),
        };
        // A fenced engine answers nothing, nonsense included.
        match fine || (found == Err(EngineError::Fenced) && self.disk.failures() > 0) {
            true => Ok(()),
            false => Err(format!("request without sense (kind {which}) was answered with {found:?}")),
        }
    }
}
