//! Repair: finding blocks that are not what was written, and giving good bytes a new place.

use std::rc::Rc;

use parpen_base::Buf;

use crate::blob::DEPTH;
use crate::engine::Engine;
use crate::fill::Change;
use crate::layout::BLOCK;
use crate::map::Data;
use crate::read::{Stretch, bytes, stretches};
use crate::record::{FillPiece, Filling, Op, Source};
use crate::room::{Keep, Need};
use crate::state::{Span, State};
use crate::sync::join_all;
use crate::wants::Needs;
use crate::{Disk, DiskError, EngineError, Rules};

/// What a look at stored blocks found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Blocks that were read.
    pub blocks: u64,
    /// Those that cannot be read or are not what was written, by number within the object.
    pub bad: Vec<u32>,
}

impl State {
    /// The blocks that a version owns: `None` where it has a hole or shares with its parent.
    fn owned_entries(&self, lineage: u64, index: u64, start: u32, count: usize) -> Vec<Option<Data>> {
        let Some(slot) = self.slot(lineage, index) else { return vec![None; count] };
        let own = |block: usize| {
            let (span, i) = (block / self.span_blocks, block % self.span_blocks);
            let Span::Here(map) = &self.version(slot).row().spans[span] else { return None };
            map.get(i).filter(|d| self.inherited(slot, span).is_none_or(|p| p.phys(i) != d.phys))
        };
        (start as usize..start as usize + count).map(own).collect()
    }

    /// The lineage whose version owns the disk block that a lineage has at a place, and how many spans change
    /// when it moves.
    fn owner_of(&self, lineage: u64, index: u64, block: u32, data: Data) -> Option<(u64, u64)> {
        let (span, i) = (block as usize / self.span_blocks, block as usize % self.span_blocks);
        let mut slot = self.lookup(lineage, index)?;
        while let Some(parent) = self.version(slot).parent() {
            if self.resolve(parent, span).is_none_or(|map| map.phys(i) != data.phys) {
                break;
            }
            slot = parent;
        }
        let owner = self.version(slot).lineage;
        let change: Rc<[Change]> = Rc::new([Change { at: i, old: Some(data), new: None }]);
        Some((owner, 1 + self.followers(owner, index, span, change).len() as u64))
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Reads the blocks of `start..start + count` that this version owns and verifies them. What it shares is
    /// the older version's to verify, so that going over all versions reads every block once.
    pub async fn verify_version(
        &self,
        lineage: u64,
        index: u64,
        start: u32,
        count: u32,
    ) -> Result<Verified, EngineError> {
        self.check_blocks_of(lineage, index, start, u64::from(count))?;
        let looked_at = |state: &State, needs: &mut Needs| {
            state.need_map(lineage, index, u64::from(start), u64::from(count), needs);
        };
        let map = {
            let _held = self.load(looked_at).await?;
            self.state.borrow().owned_entries(lineage, index, start, count as usize)
        };
        let runs = stretches(&map);
        let mut suspects: Vec<usize> = Vec::new();
        for chunk in runs.chunks(DEPTH) {
            let read = |s: &Stretch| self.disk.read(s.phys * BLOCK, Buf::zeroed(bytes(s.len)));
            let parts = join_all(chunk.iter().map(read).collect()).await;
            for ((result, part), s) in parts.into_iter().zip(chunk) {
                let whole = result.is_ok();
                let good =
                    |i: usize| whole && self.holds_what(&map, s.at + i, index, start, &part[bytes(i)..]);
                suspects.extend((0..s.len).filter(|i| !good(*i)).map(|i| s.at + i));
            }
        }
        let mut found = Verified { blocks: map.iter().flatten().count() as u64, bad: Vec::new() };
        for at in suspects {
            if !self.is_good_after_all(&map, at, (lineage, index, start)).await? {
                found.bad.push(start + at as u32);
            }
        }
        Ok(found)
    }

    fn holds_what(&self, map: &[Option<Data>], at: usize, index: u64, start: u32, data: &[u8]) -> bool {
        let first = index * u64::from(self.layout.object_blocks) + u64::from(start);
        map[at].is_some_and(|d| self.matches(&d, first + at as u64, &data[..BLOCK as usize]))
    }

    /// A second look at one block alone: its neighbour may have been what failed, or it was overwritten while
    /// it was read.
    async fn is_good_after_all(
        &self,
        map: &[Option<Data>],
        at: usize,
        (lineage, index, start): (u64, u64, u32),
    ) -> Result<bool, EngineError> {
        let Some(d) = map[at] else { return Ok(true) };
        let (result, buf) = self.disk.read(d.phys * BLOCK, Buf::zeroed(BLOCK as usize)).await;
        self.alive()?;
        let good = result.is_ok() && self.holds_what(map, at, index, start, &buf);
        let block = u64::from(start) + at as u64;
        let looked_at = |state: &State, needs: &mut Needs| state.need_map(lineage, index, block, 1, needs);
        let _held = self.load(looked_at).await?;
        let now = self.state.borrow().owned_entries(lineage, index, block as u32, 1);
        Ok(good || now[0] != Some(d))
    }

    /// Gives a block, which a lineage sees in an object, a new place with these bytes: for its owner and all
    /// that share it. The bytes must be what was written there once. The old place is not used again while the
    /// disk is open. Durable after a later [`Engine::flush`]; `Ok(false)` if there is nothing there any more.
    pub async fn heal(&self, lineage: u64, index: u64, block: u32, good: Buf) -> Result<bool, EngineError> {
        if good.len() as u64 != BLOCK {
            return Err(EngineError::Invalid("one block is healed at a time"));
        }
        self.check_blocks_of(lineage, index, block, 1)?;
        self.settle_tail().await?;
        let number = index * u64::from(self.layout.object_blocks) + u64::from(block);
        let now = || -> Result<_, EngineError> {
            self.alive()?;
            let state = self.state.borrow();
            let data = state.entries(lineage, number, 1)[0];
            Ok(data.and_then(|d| Some((d, state.owner_of(lineage, index, block, d)?))))
        };
        let family = |state: &State, needs: &mut Needs| {
            let tree = state.nodes.get(&lineage).map_or(0, |n| n.tree);
            let span = block as usize / state.span_blocks;
            state.need_family(tree, index, span..span + 1, needs);
        };
        let held = self.load(family).await?;
        let Some((old, (_, spans))) = now()? else { return Ok(false) };
        let crc = self.checksum(old.origin, number, &good);
        if R::HEAL_FROM_VERIFIED && crc != old.crc {
            return Err(EngineError::DataLost);
        }
        let log = Filling::most_bytes(1);
        self.make_room(Need { blocks: 1, spans, log, keep: Keep::Half }).await?;
        let _pledge = self.pledge(spans);
        let Some(runs) = self.take_data(lineage, index, 1) else { return Err(EngineError::NoSpace) };
        let phys = runs[0].phys;
        let (written, _) = self.disk.write(phys * BLOCK, good).await;
        if written == Err(DiskError::Io) {
            self.fence();
        }
        let written = match written {
            Ok(()) => self.make_ready(Need { log, ..Need::default() }, family).await,
            Err(e) => Err(e.into()),
        };
        drop(held);
        let found = written.and_then(|held| now().map(|found| (found, held)));
        let (owner, _ready) = match found {
            Ok((Some((data, (owner, _))), held)) if data == old => (owner, held),
            // It was overwritten, or moved by somebody else.
            other => {
                self.return_data(runs);
                return other.map(|(found, _)| found.is_some());
            }
        };
        self.room.borrow_mut().in_flight -= 1;
        let pieces = vec![FillPiece { source: Source::Data { phys, origin: old.origin }, len: 1 }];
        self.change(Op::Move(Filling { lineage: owner, index, start: block, pieces, crcs: vec![crc] }))?;
        self.bound_tail(BLOCK).await?;
        Ok(true)
    }

    /// Bytes that are not used because a block there was bad.
    pub fn quarantined(&self) -> u64 {
        self.room.borrow().quarantine.len() as u64 * BLOCK
    }
}
