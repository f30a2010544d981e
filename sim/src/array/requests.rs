//! How each request is put to the array and to the oracle.

use parpen_array::Policy;
use parpen_base::Buf;
use parpen_engine::{EngineError, Rules};

use crate::content::{CELL, CELLS, write_cells};
use crate::model::{Change, Id};
use crate::requests::label;

use super::world::{Tree, What, World};

impl<R: Rules> World<R> {
    pub fn read(&mut self, id: Id, first: usize, cells: usize) {
        let array = self.array();
        let future = async move {
            let (result, buf) = array.read(id.uuid(), (first * CELL) as u64, Buf::zeroed(cells * CELL)).await;
            result.map(|_| Some(buf))
        };
        self.submitted(What::Read { id, first }, future, || format!("read {id:?} cells {first} +{cells}"));
    }

    pub fn write(&mut self, id: Id, first: usize, cells: usize) {
        let array = self.array();
        let stamps = self.fresh_stamps(self.tree_of[&id], cells);
        let bytes = Buf::copy_of(&write_cells(&stamps));
        let future =
            async move { array.write(id.uuid(), (first * CELL) as u64, bytes).await.0.map(|()| None) };
        let stamp = stamps[0];
        let name = self.submitted(What::Write { id, hint: false }, future, || {
            format!("write {id:?} cells {first} +{cells}, stamps from {stamp}")
        });
        self.model.get(id).image.submit(name, first, &stamps);
    }

    pub fn zero(&mut self, id: Id, first: usize, cells: usize) {
        let array = self.array();
        let (offset, len) = ((first * CELL) as u64, (cells * CELL) as u64);
        let future = async move { array.zero(id.uuid(), offset, len).await.map(|()| None) };
        let name = self.submitted(What::Write { id, hint: false }, future, || {
            format!("zero {id:?} cells {first} +{cells}")
        });
        self.model.get(id).image.submit(name, first, &vec![0; cells]);
    }

    /// Only the whole blocks of the range become zeros.
    pub fn discard(&mut self, id: Id, first: usize, cells: usize) {
        let array = self.array();
        let (offset, len) = ((first * CELL) as u64, (cells * CELL) as u64);
        let future = async move { array.discard(id.uuid(), offset, len).await.map(|()| None) };
        let name = self.submitted(What::Write { id, hint: true }, future, || {
            format!("discard {id:?} cells {first} +{cells}")
        });
        let (from, to) = (first.div_ceil(CELLS) * CELLS, (first + cells) / CELLS * CELLS);
        self.model.get(id).image.submit(name, from, &vec![0; to.saturating_sub(from)]);
    }

    pub fn flush(&mut self, which: Option<Id>) {
        let array = self.array();
        let future = async move {
            match which {
                Some(id) => array.flush_of(id.uuid()).await,
                None => array.flush().await,
            }
            .map(|()| None)
        };
        self.submitted(What::Flush(which), future, || format!("flush {which:?}"));
    }

    pub fn step(&mut self, budget: u64) {
        if std::mem::replace(&mut self.stepping, true) {
            return;
        }
        let array = self.array();
        let future = async move {
            array.step(budget).await;
            Ok(None)
        };
        self.submitted(What::Step, future, || format!("work, {budget} bytes"));
    }

    /// A new volume with a placement.
    pub fn create(&mut self, id: Id, size: u64, replicas: u8) {
        let tree = self.next_tree;
        self.next_tree += 1;
        let copies = usize::from(replicas);
        self.trees.insert(tree, Tree { copies, asked: copies, doomed: false, damaged: false });
        self.tree_of.insert(id, tree);
        self.change_with(Change::Create { id, size }, replicas);
    }

    pub fn change(&mut self, change: Change) {
        self.change_with(change, 1);
    }

    fn change_with(&mut self, change: Change, replicas: u8) {
        self.model.hold(&change);
        if let Change::Rollback { id, .. } = change {
            self.came_from.insert(id, self.array().lookup(id.uuid()).and_then(|f| f.parent));
        }
        let (array, wanted) = (self.array(), change.clone());
        let text = format!("{change:?}, {replicas}");
        let future = async move {
            match wanted {
                Change::Create { id, size } => {
                    let policy = Policy { replicas, ..Policy::default() };
                    array.create_placed(id.uuid(), size, None, &label(id, 0), &policy).await
                }
                Change::Snapshot(pairs) => {
                    let all: Vec<_> = pairs.iter().map(|(v, s)| (v.uuid(), s.uuid(), label(*s, 0))).collect();
                    array.snapshot(&all).await
                }
                Change::Clone { from, id, size } => {
                    array.create(id.uuid(), size, Some(from.uuid()), &label(id, 0)).await
                }
                Change::Rollback { id, to } => array.rollback(id.uuid(), to.uuid()).await,
                Change::Resize { id, size } => array.resize(id.uuid(), size).await,
                Change::Delete(id) => array.delete(id.uuid()).await,
                Change::Freeze { id, snapshot } => {
                    array.freeze(id.uuid(), snapshot.uuid(), &label(snapshot, 0)).await
                }
                Change::Rebase { id, onto } => rebase(&array, id, onto).await,
                Change::Relabel { id, version } => array.relabel(id.uuid(), &label(id, version)).await,
                Change::Record { .. } => Ok(()),
            }
            .map(|()| None)
        };
        self.submitted(What::Change(change), future, || text);
    }
}

/// Cuts a device off, in steps.
async fn rebase<R: Rules>(
    array: &parpen_array::Array<crate::disk::SimDisk, R>,
    id: Id,
    onto: Option<Id>,
) -> Result<(), EngineError> {
    let onto = onto.map(Id::uuid);
    loop {
        match array.rebase_step(id.uuid(), onto, 16 << 10).await {
            // What it comes from may have been cut off further down meanwhile.
            Err(EngineError::Invalid(_)) if onto.is_some() => return Ok(()),
            Err(e) => return Err(e),
            Ok(part) if part.done => return Ok(()),
            Ok(_) => {}
        }
    }
}
