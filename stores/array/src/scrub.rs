//! Scrubbing: every block that a disk owns is read and verified, and damaged ones are healed from another disk.

use std::collections::VecDeque;

use parpen_engine::{BLOCK, Disk, EngineError, Rules};

use crate::Array;
use crate::mover::Class;
use crate::place::Family;

/// Blocks that are verified together.
const STRIDE: u32 = 128;

/// How far the scrub of one disk came.
pub(crate) struct Scrub {
    /// `(lineage, family)`, the first one from block `start` on.
    todo: VecDeque<(u64, Family)>,
    start: u32,
    pub(crate) paused: bool,
}

impl<D: Disk, R: Rules> Array<D, R> {
    /// Begins to read and verify everything on a disk (or goes on where it was paused).
    pub fn scrub(&self, number: u16) -> Result<(), EngineError> {
        let member = self.member(number).ok_or(EngineError::NotFound)?;
        let engine = member.live().ok_or(EngineError::Io)?;
        let mut all = self.mover.scrub.borrow_mut();
        if let Some(scrub) = all.get_mut(&number) {
            scrub.paused = false;
            return Ok(());
        }
        let todo: VecDeque<_> = engine
            .versions()
            .iter()
            .filter(|v| v.owned > 0)
            .map(|v| (v.lineage, (v.tree, v.index)))
            .collect();
        let count = todo.len() as u64;
        self.mover.count(Class::Scrub, number, |c| *c = crate::mover::Count { all: count, ..*c });
        self.mover.count(Class::Scrub, number, |c| (c.done, c.bytes, c.stuck) = (0, 0, 0));
        all.insert(number, Scrub { todo, start: 0, paused: false });
        Ok(())
    }

    /// Lets a scrub rest.
    pub fn pause_scrub(&self, number: u16) -> Result<(), EngineError> {
        let mut all = self.mover.scrub.borrow_mut();
        let scrub = all.get_mut(&number).ok_or(EngineError::Invalid("no scrub runs on it"))?;
        scrub.paused = true;
        Ok(())
    }

    /// Ends a scrub before it is through.
    pub fn stop_scrub(&self, number: u16) {
        if self.mover.scrub.borrow_mut().remove(&number).is_some() {
            self.mover.counts.borrow_mut().remove(&(Class::Scrub, number));
        }
    }

    /// Verifies some of the disk whose turn it is; `false`: none is being scrubbed.
    pub(crate) async fn scrub_some(&self, left: &mut u64) -> bool {
        let next = {
            let mut all = self.mover.scrub.borrow_mut();
            all.retain(|_, s| !s.todo.is_empty());
            let next = all.iter().find(|(_, s)| !s.paused);
            next.and_then(|(number, s)| Some((*number, *s.todo.front()?, s.start)))
        };
        let Some((number, (lineage, f), start)) = next else { return false };
        let blocks = self.object_blocks() as u32;
        let mut at = start;
        while at < blocks && *left > 0 {
            let count = STRIDE.min(blocks - at);
            let Some(read) = self.scrub_piece(number, lineage, f, at, count).await else { break };
            *left = left.saturating_sub(read.max(1));
            self.mover.count(Class::Scrub, number, |c| c.bytes += read);
            at += count;
        }
        let through = at >= blocks || *left > 0;
        let mut all = self.mover.scrub.borrow_mut();
        if let Some(s) = all.get_mut(&number).filter(|s| s.todo.front() == Some(&(lineage, f))) {
            s.start = if through { 0 } else { at };
            if through {
                s.todo.pop_front();
                self.mover.count(Class::Scrub, number, |c| c.done += 1);
            }
        }
        true
    }

    /// Verifies what a version owns of some blocks; bytes read, or `None` when the disk or the version is gone.
    async fn scrub_piece(&self, number: u16, lineage: u64, f: Family, start: u32, count: u32) -> Option<u64> {
        let _inside = self.holds.enter();
        let member = self.member(number)?;
        let engine = member.live()?;
        let result = engine.verify_version(lineage, f.1, start, count).await;
        self.notice(&member);
        let checked = result.ok()?;
        for block in checked.bad {
            let _lock = match engine.head_of(lineage) {
                Some(id) => {
                    let at = f.1 * self.object_blocks() + u64::from(block);
                    Some(self.holds.ranges.lock(id, at, at).await)
                }
                None => None,
            };
            if !self.heal_block(f, lineage, block, &member).await {
                self.mover.count(Class::Scrub, number, |c| c.stuck += 1);
            }
        }
        Some(checked.blocks * BLOCK)
    }
}
