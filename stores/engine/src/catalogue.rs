//! The verbs of the catalogue. Each can be repeated, and each is durable when it answers.

use std::cmp::Ordering;
use std::rc::Rc;

use parpen_base::Buf;
use uuid::Uuid;

use crate::engine::Engine;
use crate::layout::{BLOCK, LABEL_MAX, VOLUME_MAX};
use crate::reclaim::SMALL_OP;
use crate::record::{Op, Taken};
use crate::room::{Keep, Need};
use crate::state::{NodeKind, State};
use crate::sync::RangeGuard;
use crate::{Disk, EngineError, Found, Kind, Rules, Space};

/// A change that makes things smaller: it may use the reserve.
pub(crate) const SHRINK: Need = Need { blocks: 4, spans: 1, log: SMALL_OP, keep: Keep::Nothing };

pub(crate) fn check_label(label: &[u8]) -> Result<(), EngineError> {
    if label.len() > LABEL_MAX { Err(EngineError::Invalid("a label has at most 64 KiB")) } else { Ok(()) }
}

fn check_size(bytes: u64) -> Result<(), EngineError> {
    if bytes == 0 || !bytes.is_multiple_of(512) || bytes > VOLUME_MAX {
        return Err(EngineError::Invalid(
            "a volume's size is a multiple of 512 bytes, above 0, at most 4 EiB",
        ));
    }
    Ok(())
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Room for nodes with labels of these lengths.
    pub(crate) async fn catalogue_room(
        &self,
        labels: impl Iterator<Item = usize>,
    ) -> Result<(), EngineError> {
        let (mut blocks, mut log) = (0, SMALL_OP);
        for label in labels {
            blocks += 2 * (6 + label as u64 / BLOCK);
            log += label + 96;
        }
        self.check_op_size(log)?;
        self.make_room(Need { blocks, spans: 0, log, keep: Keep::All }).await
    }

    /// Makes a volume, empty or from a snapshot (then at least as large).
    pub async fn create(
        &self,
        id: Uuid,
        bytes: u64,
        from: Option<Uuid>,
        label: &[u8],
    ) -> Result<(), EngineError> {
        self.add(id, bytes, from, label).await?;
        self.flush().await
    }

    /// [`Engine::create`] to the point where it is seen; durable after a later [`Engine::flush`].
    pub async fn add(
        &self,
        id: Uuid,
        bytes: u64,
        from: Option<Uuid>,
        label: &[u8],
    ) -> Result<(), EngineError> {
        self.alive()?;
        check_size(bytes)?;
        check_label(label)?;
        if id.is_nil() {
            return Err(EngineError::Invalid("the nil id names nothing"));
        }
        let _one = self.lock_catalogue().await;
        let made = self.find(id, |_, n| (n.kind, n.of, n.bytes));
        let grown = match made {
            Err(EngineError::NotFound) => {
                let clean = match from {
                    None => true,
                    // One that does not grow shows nothing of what stands there: it is not read, as it may be damaged,
                    // which is a reader's trouble and must not keep a disk from a change that all make.
                    Some(from) => {
                        bytes <= self.find(from, |_, n| n.bytes)? || self.is_clean_beyond(from).await?
                    }
                };
                self.catalogue_room([label.len()].into_iter()).await?;
                let (parent, size) = match from {
                    None => (0, bytes),
                    Some(from) => self.find(from, |lineage, n| match n.kind {
                        NodeKind::Snapshot => Ok((lineage, n.bytes)),
                        _ => Err(EngineError::Invalid("a volume is made from a snapshot")),
                    })??,
                };
                if bytes < size {
                    return Err(EngineError::Invalid("smaller than the snapshot it is made from"));
                }
                let lineage = self.state.borrow().next_lineage;
                let of = from.unwrap_or_default();
                let first = if parent == 0 { bytes } else { size };
                self.change(Op::Create { lineage, parent, id, of, bytes: first, label: label.to_vec() })?;
                if clean && first < bytes {
                    // Two operations in any case: every disk of a store counts the same, also one that has
                    // none of the snapshot's data.
                    self.change(Op::Resize { lineage, bytes })?;
                }
                !clean && first < bytes
            }
            Err(e) => return Err(e),
            Ok((NodeKind::Volume, of, size)) if of == from.unwrap_or_default() && size <= bytes => {
                size < bytes
            }
            Ok(_) => return Err(EngineError::Exists),
        };
        if grown && let Err(e) = self.grow(id, bytes).await {
            if made == Err(EngineError::NotFound) && self.alive().is_ok() {
                // It was not there before, so it must not be there now.
                let (lineage, _) = self.writable(id)?;
                self.change(Op::Forget { lineage })?;
                self.flush().await?;
                self.reclaim_quietly().await?;
            }
            return Err(e);
        }
        Ok(())
    }

    /// Whether nothing but zeros stands behind the end of a snapshot. Only a shrink that a crash interrupted
    /// leaves anything there.
    async fn is_clean_beyond(&self, snapshot: Uuid) -> Result<bool, EngineError> {
        let (lineage, bytes) = self.find(snapshot, |lineage, n| (lineage, n.bytes))?;
        let from = bytes.div_ceil(BLOCK);
        let object_blocks = u64::from(self.layout.object_blocks);
        let last = VOLUME_MAX / BLOCK / object_blocks;
        let touched = self.state.borrow().touched_objects(lineage, from / object_blocks, last);
        for index in touched {
            let start = from.max(index * object_blocks);
            let len = ((index + 1) * object_blocks - start) as usize;
            let _held = self.load_range(snapshot, start, len).await?;
            let lineage = self.find(snapshot, |lineage, _| lineage)?;
            if self.state.borrow().entries(lineage, start, len).iter().any(|d| d.is_some()) {
                return Ok(false);
            }
        }
        let within = (bytes % BLOCK) as usize;
        if within == 0 {
            return Ok(true);
        }
        let (result, block) = self.fetch(snapshot, bytes / BLOCK, Buf::zeroed(BLOCK as usize)).await;
        result?;
        Ok(block[within..].iter().all(|b| *b == 0))
    }

    /// Takes snapshots of all these volumes at one instant: `(volume, snapshot, label)`. Writes in flight may
    /// or may not be part of it; answered ones are.
    pub async fn snapshot(&self, all: &[(Uuid, Uuid, Vec<u8>)]) -> Result<(), EngineError> {
        self.alive()?;
        let mut ids: Vec<Uuid> = all.iter().flat_map(|(volume, snapshot, _)| [*volume, *snapshot]).collect();
        ids.sort();
        if ids.windows(2).any(|w| w[0] == w[1]) || ids.first().is_some_and(|id| id.is_nil()) {
            return Err(EngineError::Invalid("every volume and every snapshot is named once"));
        }
        all.iter().try_for_each(|(_, _, label)| check_label(label))?;
        let _one = self.lock_catalogue().await;
        self.catalogue_room(all.iter().map(|(_, _, label)| label.len())).await?;
        let mut taken = Vec::new();
        let mut there = 0;
        let mut head = self.state.borrow().next_lineage;
        for (volume, snapshot, label) in all {
            match self.find(*snapshot, |_, n| (n.kind, n.of)) {
                Ok((NodeKind::Snapshot, of)) if of == *volume => {
                    there += 1;
                    continue;
                }
                Err(EngineError::NotFound) => {}
                Err(e) => return Err(e),
                Ok(_) => return Err(EngineError::Exists),
            }
            let (lineage, _) = self.writable(*volume)?;
            taken.push(Taken { lineage, head, snapshot: *snapshot, label: label.clone() });
            head += 1;
        }
        if !taken.is_empty() && there > 0 {
            return Err(EngineError::Exists);
        }
        if !taken.is_empty() {
            self.change(Op::Snapshot(taken))?;
        }
        self.flush().await
    }

    /// Changes the size of a volume; what is cut off is gone, what is added reads as zeros.
    pub async fn resize(&self, volume: Uuid, bytes: u64) -> Result<(), EngineError> {
        let (_one, _all, old) = self.set_size(volume, bytes).await?;
        if bytes < old {
            self.clear_end(volume, bytes).await?;
        }
        self.flush().await
    }

    /// [`Engine::resize`] to the point where it is durable: when a volume shrinks, what is behind its end is still
    /// there, for [`Engine::tidy_end`].
    pub async fn cut_short(&self, volume: Uuid, bytes: u64) -> Result<(), EngineError> {
        let _locks = self.set_size(volume, bytes).await?;
        self.flush().await
    }

    /// Gives a volume its size; answers what it was, and keeps everybody else out meanwhile.
    async fn set_size(
        &self,
        volume: Uuid,
        bytes: u64,
    ) -> Result<(RangeGuard<'_>, Option<RangeGuard<'_>>, u64), EngineError> {
        check_size(bytes)?;
        let one = self.lock_catalogue().await;
        let all = self.lock_blocks(volume, 0, u64::MAX).await;
        let (_, old) = self.writable(volume)?;
        match bytes.cmp(&old) {
            Ordering::Greater => self.grow(volume, bytes).await?,
            Ordering::Less => self.shrink(volume, bytes).await?,
            Ordering::Equal => {}
        }
        Ok((one, all, old))
    }

    /// Takes back what is behind the end of a volume.
    pub async fn tidy_end(&self, volume: Uuid) -> Result<(), EngineError> {
        let _one = self.lock_catalogue().await;
        let _all = self.lock_blocks(volume, 0, u64::MAX).await;
        let (_, bytes) = self.writable(volume)?;
        self.clear_end(volume, bytes).await?;
        self.flush().await
    }

    /// Clears what is behind the end of a volume, durably, so that it may grow; refuses where that is impossible.
    pub async fn clear_to_grow(&self, volume: Uuid) -> Result<(), EngineError> {
        let _one = self.lock_catalogue().await;
        let _all = self.lock_blocks(volume, 0, u64::MAX).await;
        let (_, bytes) = self.writable(volume)?;
        self.clear_beyond(volume, bytes, true).await?;
        self.flush().await
    }

    async fn shrink(&self, volume: Uuid, bytes: u64) -> Result<(), EngineError> {
        self.make_room(SHRINK).await?;
        let (lineage, _) = self.writable(volume)?;
        self.change(Op::Resize { lineage, bytes })?;
        self.flush().await
    }

    /// What a full disk or a crash leaves standing behind the end is cleared before the volume can grow again.
    async fn clear_end(&self, volume: Uuid, bytes: u64) -> Result<(), EngineError> {
        match self.clear_beyond(volume, bytes, false).await {
            Err(EngineError::NoSpace) => Ok(()),
            other => other,
        }
    }

    /// Nothing may stand behind the old end when it moves.
    async fn grow(&self, volume: Uuid, bytes: u64) -> Result<(), EngineError> {
        let (_, old) = self.writable(volume)?;
        self.clear_beyond(volume, old, true).await?;
        // The new size must not become durable before the zeros are: if both stood in the last record of the
        // log and the zeros' data was lost, recovery would keep the size and what was cut off long ago would
        // show again.
        self.flush().await?;
        self.catalogue_room([0].into_iter()).await?;
        let (lineage, _) = self.writable(volume)?;
        self.change(Op::Resize { lineage, bytes })
    }

    async fn clear_beyond(&self, volume: Uuid, bytes: u64, must: bool) -> Result<(), EngineError> {
        let end = bytes.next_multiple_of(BLOCK);
        self.make_holes(volume, end / BLOCK, VOLUME_MAX / BLOCK, must).await?;
        self.zero_within(volume, bytes, end).await
    }

    /// Gives a volume the content and size of a snapshot; the snapshot stays, and so do all others.
    pub async fn rollback(&self, volume: Uuid, snapshot: Uuid) -> Result<(), EngineError> {
        {
            let _one = self.lock_catalogue().await;
            let _all = self.lock_blocks(volume, 0, u64::MAX).await;
            self.writable(volume)?;
            let label = self.find(volume, |_, n| n.label.clone())?;
            self.catalogue_room([label.len()].into_iter()).await?;
            let (lineage, _) = self.writable(volume)?;
            let (to, kind) = self.find(snapshot, |lineage, n| (lineage, n.kind))?;
            if kind != NodeKind::Snapshot {
                return Err(EngineError::Invalid("a volume is rolled back to a snapshot"));
            }
            let head = self.state.borrow().next_lineage;
            self.change(Op::Rollback { lineage, to, head })?;
            self.flush().await?;
        }
        self.reclaim_quietly().await
    }

    /// Deletes a volume or snapshot, in any order; one that is not there is deleted already. Other volumes
    /// and snapshots keep every byte.
    pub async fn delete(&self, id: Uuid) -> Result<(), EngineError> {
        self.forget(id).await?;
        self.reclaim_quietly().await
    }

    /// [`Engine::delete`] to the point where it is durable; its space is taken back by
    /// [`Engine::reclaim_quietly`].
    pub async fn forget(&self, id: Uuid) -> Result<(), EngineError> {
        let _one = self.lock_catalogue().await;
        let _all = self.lock_blocks(id, 0, u64::MAX).await;
        self.alive()?;
        self.make_room(SHRINK).await?;
        match self.find(id, |lineage, _| lineage) {
            Ok(lineage) => self.change(Op::Forget { lineage })?,
            Err(EngineError::NotFound) => {}
            Err(e) => return Err(e),
        }
        self.flush().await
    }

    /// Takes back the space of what was deleted. The names are gone for good: space that cannot be taken back
    /// right now is taken back later.
    pub async fn reclaim_quietly(&self) -> Result<(), EngineError> {
        match self.reclaim().await {
            Err(EngineError::NoSpace) => Ok(()),
            other => other,
        }
    }

    /// Replaces the label.
    pub async fn relabel(&self, id: Uuid, label: &[u8]) -> Result<(), EngineError> {
        check_label(label)?;
        let _one = self.lock_catalogue().await;
        self.find(id, |_, _| ())?;
        self.catalogue_room([label.len()].into_iter()).await?;
        let (lineage, same) = self.find(id, |lineage, n| (lineage, *n.label == *label))?;
        if !same {
            self.change(Op::Relabel { lineage, label: label.to_vec() })?;
        }
        self.flush().await
    }

    /// All volumes and snapshots, by id.
    pub fn inventory(&self) -> Vec<Found> {
        let state = self.state.borrow();
        state.names.values().filter_map(|lineage| state.found(*lineage)).collect()
    }

    /// One volume or snapshot.
    pub fn lookup(&self, id: Uuid) -> Option<Found> {
        let state = self.state.borrow();
        let lineage = *state.names.get(&id)?;
        state.found(lineage)
    }

    /// How full the disk is.
    pub fn space(&self) -> Space {
        let need = self.checkpoint_need();
        let state = self.state.borrow();
        let room = self.room.borrow();
        let fixed = 4 + self.layout.wal_bytes / BLOCK;
        let kept = u64::from(self.layout.reserve_blocks) + need + room.promised + self.pledged.get();
        Space {
            capacity: room.alloc.blocks().saturating_sub(fixed) * BLOCK,
            data: state.mapped * BLOCK,
            metadata: room.blobs.blocks * BLOCK,
            deferred: room.deferred * BLOCK,
            free: room.alloc.free().saturating_sub(kept) * BLOCK,
        }
    }
}

impl State {
    fn found(&self, lineage: u64) -> Option<Found> {
        let node = self.nodes.get(&lineage)?;
        let mut above = node.parent;
        let mut parent = None;
        while let Some(n) = self.nodes.get(&above).filter(|_| parent.is_none()) {
            parent = (n.kind != NodeKind::Ghost).then_some(n.id);
            above = n.parent;
        }
        Some(Found {
            id: node.id,
            kind: if node.kind == NodeKind::Volume { Kind::Volume } else { Kind::Snapshot },
            of: (!node.of.is_nil()).then_some(node.of),
            parent,
            bytes: node.bytes,
            label: Rc::clone(&node.label).to_vec(),
            label_version: node.label_version,
            stored: node.owned * BLOCK,
        })
    }
}
