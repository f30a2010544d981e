//! The invariants, in plain words: what `parpen fsck` reports and the simulator asks after every step.

use parpen_base::Buf;

use crate::alloc::{Alloc, Run};
use crate::engine::Engine;
use crate::layout::BLOCK;
use crate::recover::fixed_areas;
use crate::state::{NodeKind, Span, State};
use crate::{Disk, EngineError, Rules, Violation};

/// Blocks read together by the data check.
const READ_BLOCKS: usize = 256;
/// More than this many are not listed one by one.
const LISTED: usize = 100;

struct Report(Vec<Violation>);

impl Report {
    fn say(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.0.len() < LISTED {
            self.0.push(Violation(what()));
        }
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// The invariants of the state in memory. The sum of all blocks is checked when nothing is in flight.
    pub fn check(&self) -> Vec<Violation> {
        let mut report = Report(Vec::new());
        let state = self.state.borrow();
        check_tree(&state, &mut report);
        check_versions(&state, &mut report);
        self.check_blocks(&state, &mut report);
        let log = self.log.borrow();
        report.say(log.durable_upto < log.next_seq, || {
            "the log counts records as durable that it never wrote".into()
        });
        report.say(log.pos - self.superblock.get().wal_first_pos <= self.layout.wal_bytes, || {
            "the log has overwritten records that recovery still needs".into()
        });
        report.0
    }

    fn check_blocks(&self, state: &State, report: &mut Report) {
        let room = self.room.borrow();
        let log = self.log.borrow();
        let mut fresh = Alloc::new(room.alloc.blocks());
        fixed_areas(&mut fresh, &self.superblock.get());
        let mut claim = |run: Run, what: &str| {
            for b in run.phys..run.phys + run.len {
                report.say(fresh.claim(b), || format!("block {b} of {what} is used by something else, too"));
                report.say(room.alloc.is_used(b), || format!("block {b} of {what} counts as free"));
            }
        };
        let pages = self.pages.borrow();
        let leaves = state.by_key.values().flat_map(|slot| state.version(*slot).leaves.iter());
        let blobs = pages.versions.iter().chain(&pages.nodes).chain([&pages.root]).chain(&state.dirty.gone);
        for blob in blobs.chain(leaves).chain(state.nodes.values().map(|n| &n.leaf)).filter(|b| !b.is_none())
        {
            room.blobs.runs(*blob).into_iter().for_each(|run| claim(run, "the checkpoint"));
        }
        for slot in state.by_key.values() {
            let v = state.version(*slot);
            for (number, span) in v.spans.iter().enumerate() {
                let Span::Own(Some(map)) = span else { continue };
                let above = state.inherited(*slot, number);
                for (i, d) in map.iter().filter(|(i, d)| above.is_none_or(|p| p.phys(*i) != d.phys)) {
                    let what = format!("lineage {} object {} span {number} place {i}", v.lineage, v.index);
                    claim(Run { phys: d.phys, len: 1 }, &what);
                }
            }
        }
        for (run, _) in &log.freed {
            claim(*run, "the blocks that become free with the next commit");
        }
        for block in &room.quarantine {
            claim(Run { phys: *block, len: 1 }, "the blocks that are kept out of use");
        }
        let freed_twice = room.alloc.freed_twice();
        report.say(freed_twice == 0, || format!("{freed_twice} blocks were freed that were free"));
        let quiet = !self.turns.running.get() && room.in_flight == 0 && !self.fenced.get();
        let (counted, kept) = (fresh.free(), room.alloc.free());
        report.say(!quiet || counted == kept, || {
            format!("{kept} blocks count as free, but {counted} are used by nothing")
        });
        let deferred: u64 = log.freed.iter().map(|(run, _)| run.len).sum();
        report.say(!quiet || deferred == room.deferred, || "the count of deferred blocks is wrong".into());
    }

    /// [`Engine::check`], and with `data` every stored block is read and its checksum verified.
    pub async fn fsck(&self, data: bool) -> Result<Vec<Violation>, EngineError> {
        self.alive()?;
        let mut report = Report(self.check());
        if !data {
            return Ok(report.0);
        }
        let object_blocks = u64::from(self.layout.object_blocks);
        let keys: Vec<(u64, u64)> = self.state.borrow().by_key.keys().copied().collect();
        for (lineage, index) in keys {
            for start in (0..object_blocks).step_by(READ_BLOCKS) {
                let len = READ_BLOCKS.min((object_blocks - start) as usize);
                self.check_data(lineage, index * object_blocks + start, len, &mut report).await?;
            }
        }
        Ok(report.0)
    }

    async fn check_data(
        &self,
        lineage: u64,
        first: u64,
        len: usize,
        report: &mut Report,
    ) -> Result<(), EngineError> {
        let map = self.state.borrow().entries(lineage, first, len);
        let mut at = 0;
        while at < len {
            let Some(d) = map[at] else {
                at += 1;
                continue;
            };
            let more = map[at..].iter().enumerate();
            let run = more.take_while(|(i, e)| e.is_some_and(|e| e.phys == d.phys + *i as u64)).count();
            let (result, buf) = self.disk.read(d.phys * BLOCK, Buf::zeroed(run * BLOCK as usize)).await;
            for (i, block) in buf.chunks_exact(BLOCK as usize).enumerate() {
                let block_no = first + (at + i) as u64;
                let good = result.is_ok() && map[at + i].is_some_and(|d| self.matches(&d, block_no, block));
                report.say(good, || {
                    let now = self.state.borrow().entries(lineage, block_no, 1)[0];
                    let owner = self.state.borrow().nodes.get(&lineage).map(|n| n.id).unwrap_or_default();
                    match (now == map[at + i], &result) {
                        (false, _) => format!("block {block_no} of {owner} changed while it was checked"),
                        (true, Ok(())) => {
                            format!("block {block_no} of {owner} is damaged (its checksum differs)")
                        }
                        (true, Err(_)) => format!("block {block_no} of {owner} cannot be read"),
                    }
                });
            }
            at += run;
        }
        Ok(())
    }
}

fn check_tree(state: &State, report: &mut Report) {
    let mut children = 0;
    for (lineage, node) in &state.nodes {
        children += node.children.len();
        report.say(node.parent < *lineage, || {
            format!("lineage {lineage} is older than its parent {}", node.parent)
        });
        let known =
            node.parent == 0 || state.nodes.get(&node.parent).is_some_and(|p| p.children.contains(lineage));
        report.say(known, || format!("lineage {lineage} is missing among the children of {}", node.parent));
        report.say(node.kind != NodeKind::Volume || node.children.is_empty(), || {
            format!("volume {} can be written although others share its blocks", node.id)
        });
        let named = state.names.get(&node.id) == Some(lineage);
        report.say(named == node.is_named(), || format!("lineage {lineage} is not found by its name"));
        let tree = state.nodes.get(&node.parent).map_or(node.tree, |p| p.tree);
        report.say(node.tree == tree && state.trees.contains(&(tree, *lineage)), || {
            format!("lineage {lineage} is of tree {}, its parent of {tree}", node.tree)
        });
        report.say(state.dead.contains(lineage) == (node.kind == NodeKind::Ghost), || {
            format!("lineage {lineage} is not known as deleted")
        });
    }
    let with_parent = state.nodes.values().filter(|n| n.parent != 0).count();
    report.say(children == with_parent, || "the lists of children and the parents differ".into());
    report.say(state.names.len() + state.dead.len() + state.records.len() == state.nodes.len(), || {
        "the names are not all there".into()
    });
}

fn check_versions(state: &State, report: &mut Report) {
    let mut mapped = 0;
    for (&(lineage, index), &slot) in &state.by_key {
        let v = state.version(slot);
        report.say((v.lineage, v.index) == (lineage, index), || {
            format!("object {index} of {lineage} is misplaced")
        });
        let above = state.nodes.get(&lineage).map(|n| n.parent);
        report.say(above.is_some(), || format!("object {index} belongs to lineage {lineage}, which is gone"));
        let parent = above.and_then(|p| state.lookup(p, index));
        report.say(v.parent == parent, || format!("object {index} of {lineage} has lost its older version"));
        let owned: u64 = (0..v.spans.len()).map(|s| state.count_owned(slot, s)).sum();
        report.say(v.owned == owned, || {
            format!("object {index} of {lineage} owns {owned} blocks, not {}", v.owned)
        });
        let digest = state.compute_digest(slot);
        report.say(v.digest == digest, || {
            format!("object {index} of {lineage} has the digest {:x}, not {digest:x}", v.digest)
        });
        mapped += owned;
    }
    report.say(state.mapped == mapped, || format!("{mapped} blocks are mapped, not {}", state.mapped));
}
