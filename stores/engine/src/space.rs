//! The bits of the groups on the disk: brought into memory when they are needed, written with each
//! checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use crate::alloc::{Record, Run};
use crate::blob::{DEPTH, Plan};
use crate::cache::Want;
use crate::codec::{BlobRef, Identity, Malformed, Type, Writer, begin, seal, unseal};
use crate::engine::Engine;
use crate::load::page_body;
use crate::record::Op;
use crate::state::Cause;
use crate::sync::join_all;
use crate::{Disk, EngineError, Rules};

/// Groups listed in one page.
pub(crate) const GROUPS_PER_PAGE: usize = 168;
/// Bytes of a group in memory, at most.
const GROUP_BYTES: usize = 9 << 10;
/// Times that the bits of a group are read before they count as lost.
const TRIES: usize = 3;
/// Groups that stay in memory in any case.
const GROUPS_MIN: usize = 8;

/// One page of a table.
pub(crate) fn page(of: Identity, kind: Type, number: usize, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = begin(kind, of);
    w.u32(number as u32);
    w.u32(0);
    fill(&mut w);
    seal(w)
}

/// The groups of one page of their table: where their bits stand, and how many blocks they record.
pub(crate) fn group_page(
    bytes: &[u8],
    of: Identity,
    number: usize,
) -> Result<Vec<(usize, BlobRef, u32)>, Malformed> {
    let mut r = page_body(bytes, of, Type::GroupPage, number)?;
    let mut all = Vec::new();
    for i in 0..GROUPS_PER_PAGE {
        let (leaf, recorded, _) = (BlobRef::get(&mut r)?, r.u32()?, r.u32()?);
        all.push((number * GROUPS_PER_PAGE + i, leaf, recorded));
    }
    if r.is_empty() { Ok(all) } else { Err(Malformed) }
}

/// The bits of one group.
pub(crate) fn bits(bytes: &[u8], of: Identity, group: usize, words: usize) -> Result<Vec<u64>, Malformed> {
    let (id, mut r) = unseal(bytes, Type::Bits)?;
    let (number, _) = (r.u32()?, r.u32()?);
    if id != of || number as usize != group || r.left() != words * 8 {
        return Err(Malformed);
    }
    (0..words).map(|_| r.u64()).collect()
}

/// The bits that a checkpoint wrote.
#[derive(Default)]
pub(crate) struct WrittenBits {
    groups: BTreeMap<usize, (BlobRef, u32)>,
    pub(crate) pages: BTreeMap<usize, BlobRef>,
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Brings groups into memory until `blocks` are within reach; false when there are not so many.
    pub(crate) async fn reach(&self, blocks: u64) -> bool {
        loop {
            let best = {
                let room = self.room.borrow();
                if room.alloc.reachable() >= blocks {
                    return true;
                }
                room.alloc.best_away()
            };
            let Some(group) = best else { return false };
            self.bring_group_in(group).await;
        }
    }

    /// Brings one group into memory; false when its bits are lost.
    pub(crate) async fn reach_group(&self, group: usize) -> bool {
        let most = self.groups_max();
        self.room.borrow_mut().alloc.evict(most);
        while !self.room.borrow().alloc.is_here(group) {
            if self.room.borrow().alloc.is_lost(group) {
                return false;
            }
            self.bring_group_in(group).await;
        }
        true
    }

    /// Brings a group into memory; one whose bits cannot be read is lost: none of it is taken any more.
    async fn bring_group_in(&self, group: usize) {
        for _ in 0..TRIES {
            match self.bring(Want::Group(group)).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(group, %error, "the map of free blocks cannot be read"),
            }
        }
        self.room.borrow_mut().alloc.lose(group);
    }

    pub(crate) async fn bring_group(&self, group: usize) -> Result<(), EngineError> {
        let (leaf, words) = {
            let room = self.room.borrow();
            if room.alloc.is_here(group) || room.alloc.is_lost(group) {
                return Ok(());
            }
            (room.alloc.leaf(group), room.alloc.words())
        };
        let read = if leaf.is_none() { Ok(Vec::new()) } else { self.read_blob(leaf).await };
        let mut room = self.room.borrow_mut();
        if room.alloc.leaf(group) != leaf {
            return Ok(());
        }
        let found = match leaf.is_none() {
            true => None,
            false => Some(bits(&read?, self.id, group, words).map_err(|_| EngineError::DataLost)?),
        };
        room.alloc.install(group, found);
        Ok(())
    }

    /// Groups that may stay in memory: an eighth of what maps may take, besides.
    pub(crate) fn groups_max(&self) -> usize {
        (self.state.borrow().cache.ceiling / 8 / GROUP_BYTES).max(GROUPS_MIN)
    }

    /// Brings all groups into memory to which something happened while they were not there.
    pub(crate) async fn settle_groups(&self) {
        loop {
            let open = self.room.borrow().alloc.unsettled();
            if open.is_empty() {
                return;
            }
            for chunk in open.chunks(DEPTH) {
                join_all(chunk.iter().map(|g| self.bring_group_in(*g)).collect()).await;
            }
        }
    }

    /// What an operation did to the blocks of the disk. Freed ones are still in use.
    pub(crate) fn account(&self, op: &Op, freed: &[(Run, Cause)]) {
        let mut room = self.room.borrow_mut();
        op.placed().into_iter().for_each(|run| room.alloc.record(run));
        freed.iter().for_each(|(run, _)| room.alloc.forget(*run));
    }

    /// Writes the bits of all groups that differ from what stands on the disk once `new` blobs stand and
    /// `old` ones are gone, and their pages.
    pub(crate) async fn write_bits(
        &self,
        record: &Record,
        new: &[BlobRef],
        old: &[BlobRef],
        plan: &mut Plan,
    ) -> Result<WrittenBits, EngineError> {
        let mut changes: BTreeMap<usize, Vec<(Run, bool)>> = BTreeMap::new();
        for (blobs, on) in [(old, false), (new, true)] {
            for blob in blobs {
                for run in self.room.borrow().blobs.runs(*blob) {
                    for b in run.phys..run.phys + run.len {
                        let group = self.room.borrow().alloc.group_of(b);
                        changes.entry(group).or_default().push((Run { phys: b, len: 1 }, on));
                    }
                }
            }
        }
        let touched: BTreeSet<usize> = record.dirty.iter().chain(changes.keys()).copied().collect();
        let mut written = WrittenBits::default();
        for group in touched {
            let Some(mut words) = self.recorded_words(group, record).await else { continue };
            let first = group as u64 * words.len() as u64 * 64;
            for (run, on) in changes.remove(&group).unwrap_or_default() {
                let i = (run.phys - first) as usize;
                let (word, bit) = (&mut words[i / 64], 1 << (i % 64));
                *word = if on { *word | bit } else { *word & !bit };
            }
            let count = words.iter().map(|w| w.count_ones()).sum();
            let leaf = match count {
                0 => BlobRef::default(),
                _ => {
                    let bytes = page(self.id, Type::Bits, group, |w| words.iter().for_each(|v| w.u64(*v)));
                    self.place_apart(bytes, plan).await?
                }
            };
            if !R::KEEP_OLD_BITS {
                self.drop_bits(group);
            }
            written.groups.insert(group, (leaf, count));
        }
        let stale = written.groups.keys().chain(&record.lost).map(|g| g / GROUPS_PER_PAGE);
        for number in stale.collect::<BTreeSet<usize>>() {
            let bytes = page(self.id, Type::GroupPage, number, |w| {
                for g in number * GROUPS_PER_PAGE..(number + 1) * GROUPS_PER_PAGE {
                    let known = self.room.borrow().alloc.entry(g);
                    let (leaf, count) = written.groups.get(&g).copied().unwrap_or(known);
                    leaf.put(w);
                    w.u32(count);
                    w.u32(0);
                }
            });
            written.pages.insert(number, self.place_apart(bytes, plan).await?);
        }
        Ok(written)
    }

    /// What would happen if a group's old bits were free before the new ones are the truth.
    fn drop_bits(&self, group: usize) {
        let mut room = self.room.borrow_mut();
        let old = room.alloc.leaf(group);
        if !old.is_none() {
            room.alloc.free_apart(Run { phys: old.block, len: 1 });
        }
    }

    /// The bits of a group at the instant of the capture.
    async fn recorded_words(&self, group: usize, record: &Record) -> Option<Vec<u64>> {
        if let Some(words) = record.bits.get(&group) {
            return Some(words.to_vec());
        }
        // Nothing is known of a lost one, also if its old bits could be read by now or it has none: what happened to it
        // since is not in them.
        if self.room.borrow().alloc.is_lost(group) {
            return None;
        }
        // It was not in memory then, so it was as it stands on the disk, and no checkpoint comes between.
        let (leaf, words) = (self.room.borrow().alloc.leaf(group), self.room.borrow().alloc.words());
        if leaf.is_none() {
            return Some(vec![0; words]);
        }
        for _ in 0..TRIES {
            let read = self.read_blob(leaf).await;
            let found = read.and_then(|b| bits(&b, self.id, group, words).map_err(|_| EngineError::DataLost));
            if let Ok(found) = found {
                return Some(found);
            }
        }
        self.room.borrow_mut().alloc.lose(group);
        None
    }

    /// Gives a blob of the map of free blocks, or the root, its place: blocks that the map itself does not
    /// record.
    pub(crate) async fn place_apart(&self, bytes: Vec<u8>, plan: &mut Plan) -> Result<BlobRef, EngineError> {
        let blob = self.place(bytes, plan).await?;
        let mut guard = self.room.borrow_mut();
        let room = &mut *guard;
        room.blobs.runs(blob).into_iter().for_each(|run| room.alloc.set_apart(run));
        Ok(blob)
    }

    /// The switch is durable: the groups' bits stand where they were written. Gives what stood there before.
    pub(crate) fn install_bits(&self, written: &WrittenBits) -> Vec<BlobRef> {
        let mut room = self.room.borrow_mut();
        let mut old = Vec::new();
        for (group, (leaf, count)) in &written.groups {
            if R::KEEP_OLD_BITS {
                old.push(room.alloc.leaf(*group));
            }
            room.alloc.moved(*group, *leaf, *count);
        }
        room.alloc.written();
        old
    }
}
