//! The invariants, in plain words: what `parpen fsck` reports and the simulator asks after every step.

use parpen_base::Buf;

use crate::alloc::Run;
use crate::codec::BlobRef;
use crate::engine::Engine;
use crate::layout::BLOCK;
use crate::recover::fixed_runs;
use crate::state::{NodeKind, Span, State};
use crate::{Disk, EngineError, Rules, Violation};

/// Blocks read together by the data check.
const READ_BLOCKS: usize = 256;
/// Times that the maps are walked when they change meanwhile.
const WALKS: usize = 3;
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

/// Blocks, one bit each.
struct Blocks(Vec<u64>);

impl Blocks {
    fn add(&mut self, block: u64) -> bool {
        let Some(word) = self.0.get_mut((block / 64) as usize) else { return false };
        let bit = 1 << (block % 64);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    fn has(&self, block: u64) -> bool {
        self.0.get((block / 64) as usize).is_some_and(|word| word >> (block % 64) & 1 == 1)
    }
}

/// What the walk over all maps sees.
struct Walk<'a> {
    report: &'a mut Report,
    /// Blocks that are in use.
    used: Blocks,
    /// Those that a checkpoint of now would say to be in use.
    recorded: Blocks,
    mapped: u64,
    /// Maps that cannot be read; then nothing is said of sums.
    lost: Vec<String>,
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// The invariants of maps, catalogue, free blocks and log. What needs all of them at one instant is only
    /// said when nothing changed meanwhile. A map that cannot be read is no violation but damage, which
    /// [`Engine::fsck`] reports.
    pub async fn check(&self) -> Vec<Violation> {
        self.check_all().await.0
    }

    async fn check_all(&self) -> (Vec<Violation>, Vec<String>) {
        for _ in 0..WALKS {
            let before = self.moves.get();
            let mut report = Report(Vec::new());
            check_tree(&self.state.borrow(), &mut report);
            self.check_log(&mut report);
            let lost = self.check_maps(&mut report).await;
            if self.moves.get() == before {
                return (report.0, lost);
            }
        }
        tracing::info!("the disk is in use: the sums of its blocks were not checked");
        let mut report = Report(Vec::new());
        check_tree(&self.state.borrow(), &mut report);
        self.check_log(&mut report);
        (report.0, Vec::new())
    }

    fn check_log(&self, report: &mut Report) {
        let log = self.log.borrow();
        report.say(log.durable_upto < log.next_seq, || {
            "the log counts records as durable that it never wrote".into()
        });
        report.say(log.pos - self.superblock.get().wal_first_pos <= self.layout.wal_bytes, || {
            "the log has overwritten records that recovery still needs".into()
        });
    }

    /// Walks over all maps; gives what cannot be read.
    async fn check_maps(&self, report: &mut Report) -> Vec<String> {
        let words = (self.superblock.get().disk_bytes / BLOCK).div_ceil(64) as usize;
        let (used, recorded) = (Blocks(vec![0; words]), Blocks(vec![0; words]));
        let mut walk = Walk { report, used, recorded, mapped: 0, lost: Vec::new() };
        self.claim_fixed(&mut walk).await;
        let keys: Vec<(u64, u64)> = self.state.borrow().by_key.keys().copied().collect();
        for (lineage, index) in keys {
            let loaded = self
                .load(|state, needs| {
                    let Some(slot) = state.slot(lineage, index) else { return };
                    (0..state.spans_per_object()).for_each(|span| state.need_both(slot, span, needs));
                })
                .await;
            match loaded {
                Ok(_held) => self.check_version(lineage, index, &mut walk).await,
                Err(_) => walk.lost.push(format!("the map of object {index} of {lineage} cannot be read")),
            }
        }
        let groups = self.room.borrow().alloc.groups();
        for group in 0..groups {
            self.check_group(group, &mut walk).await;
        }
        if walk.lost.is_empty() {
            self.check_sums(&mut walk);
        }
        walk.lost
    }

    fn claim(&self, run: Run, what: &str, recorded: bool, walk: &mut Walk<'_>) {
        for b in run.phys..run.phys + run.len {
            let fresh = walk.used.add(b);
            walk.report.say(fresh, || format!("block {b} of {what} is used by something else, too"));
            if recorded {
                walk.recorded.add(b);
            }
        }
    }

    /// Superblocks, log, what waits to become free, and the checkpoint but for the maps.
    async fn claim_fixed(&self, walk: &mut Walk<'_>) {
        for run in fixed_runs(&self.superblock.get()) {
            for block in run.phys..run.phys + run.len {
                walk.used.add(block);
            }
        }
        let (recorded, apart): (Vec<BlobRef>, Vec<BlobRef>) = {
            let (pages, state, room) = (self.pages.borrow(), self.state.borrow(), self.room.borrow());
            let leaves = state.dirty.gone.iter().copied().chain(state.nodes.values().map(|n| n.leaf));
            let recorded = pages.versions.iter().chain(&pages.nodes).copied().chain(leaves);
            let bits = (0..room.alloc.groups()).map(|g| room.alloc.leaf(g));
            let apart = pages.groups.iter().chain([&pages.root]).copied().chain(bits);
            (recorded.filter(|b| !b.is_none()).collect(), apart.filter(|b| !b.is_none()).collect())
        };
        for (blobs, recorded) in [(recorded, true), (apart, false)] {
            for blob in blobs {
                match self.runs_of(blob).await {
                    Ok(runs) => {
                        runs.into_iter().for_each(|run| self.claim(run, "the checkpoint", recorded, walk))
                    }
                    Err(_) => walk.lost.push("a list of blocks of the checkpoint cannot be read".into()),
                }
            }
        }
        let bad: Vec<u64> = self.room.borrow().quarantine.iter().copied().collect();
        for phys in bad {
            self.claim(Run { phys, len: 1 }, "the blocks that are kept out of use", false, walk);
        }
        let freed: Vec<Run> = self.log.borrow().freed.iter().map(|(run, _)| *run).collect();
        for run in freed {
            self.claim(run, "the blocks that become free with the next commit", false, walk);
        }
    }

    /// The bits of a group say what the maps say.
    async fn check_group(&self, group: usize, walk: &mut Walk<'_>) {
        if !self.reach_group(group).await {
            walk.lost.push(format!("the map of free blocks of group {group} cannot be read"));
            return;
        }
        if !walk.lost.is_empty() {
            return;
        }
        let quiet = self.is_quiet();
        let room = self.room.borrow();
        for block in room.alloc.blocks_of(group) {
            let (used, recorded) = (room.alloc.is_used(block), room.alloc.is_recorded(block));
            let (want_used, want_recorded) = (walk.used.has(block), walk.recorded.has(block));
            walk.report.say(used || !want_used, || format!("block {block} is in use and counts as free"));
            walk.report.say(!quiet || used == want_used, || {
                format!("block {block} counts as used, but nothing uses it")
            });
            walk.report.say(recorded == want_recorded, || {
                format!("block {block}: the next checkpoint would say {recorded} for in use")
            });
        }
    }

    fn is_quiet(&self) -> bool {
        !self.turns.running.get() && self.room.borrow().in_flight == 0 && !self.fenced.get()
    }

    async fn check_version(&self, lineage: u64, index: u64, walk: &mut Walk<'_>) {
        let Some(slot) = self.state.borrow().slot(lineage, index) else { return };
        let leaves = self.state.borrow().version(slot).row().leaves.clone();
        for leaf in leaves.iter().filter(|leaf| !leaf.is_none()) {
            match self.runs_of(*leaf).await {
                Ok(runs) => runs.into_iter().for_each(|run| self.claim(run, "the checkpoint", true, walk)),
                Err(_) => walk.lost.push(format!("the map of object {index} of {lineage} cannot be read")),
            }
        }
        let state = self.state.borrow();
        let Some(slot) = state.slot(lineage, index) else { return };
        let v = state.version(slot);
        walk.report.say((v.lineage, v.index) == (lineage, index), || {
            format!("object {index} of {lineage} is misplaced")
        });
        let above = state.nodes.get(&lineage).map(|n| n.parent);
        walk.report
            .say(above.is_some(), || format!("object {index} belongs to lineage {lineage}, which is gone"));
        let parent = above.and_then(|p| state.lookup(p, index));
        walk.report
            .say(v.parent() == parent, || format!("object {index} of {lineage} has lost its older version"));
        let mut owned = 0;
        for (number, span) in v.row().spans.iter().enumerate() {
            let Span::Here(map) = span else { continue };
            let above = state.inherited(slot, number);
            for (i, d) in map.iter().filter(|(i, d)| above.is_none_or(|p| p.phys(*i) != d.phys)) {
                let what = format!("lineage {lineage} object {index} span {number} place {i}");
                self.claim(Run { phys: d.phys, len: 1 }, &what, true, walk);
                owned += 1;
            }
        }
        walk.report.say(u64::from(v.owned) == owned, || {
            format!("object {index} of {lineage} owns {owned} blocks, not {}", v.owned)
        });
        let digest = state.compute_digest(slot);
        walk.report.say(v.digest == digest, || {
            format!("object {index} of {lineage} has the digest {:x}, not {digest:x}", v.digest)
        });
        walk.mapped += owned;
    }

    fn check_sums(&self, walk: &mut Walk<'_>) {
        let (room, log, state) = (self.room.borrow(), self.log.borrow(), self.state.borrow());
        let broken = room.alloc.broken();
        walk.report.say(broken == 0, || format!("{broken} blocks were freed that were free, or used twice"));
        let quiet = self.is_quiet();
        let used: u64 = walk.used.0.iter().map(|word| u64::from(word.count_ones())).sum();
        let (counted, kept) = (room.alloc.blocks() - used, room.alloc.free());
        walk.report.say(!quiet || counted == kept, || {
            format!("{kept} blocks count as free, but {counted} are used by nothing")
        });
        let deferred: u64 = log.freed.iter().map(|(run, _)| run.len).sum();
        walk.report
            .say(!quiet || deferred == room.deferred, || "the count of deferred blocks is wrong".into());
        walk.report.say(state.mapped == walk.mapped, || {
            format!("{} blocks are mapped, not {}", walk.mapped, state.mapped)
        });
        let of_nodes: u64 = state.nodes.values().map(|n| n.owned).sum();
        walk.report.say(of_nodes == walk.mapped, || {
            format!("volumes and snapshots own {} blocks, not {of_nodes}", walk.mapped)
        });
    }

    /// [`Engine::check`]; maps that cannot be read are reported; and with `data` every stored block is read
    /// and its checksum verified.
    pub async fn fsck(&self, data: bool) -> Result<Vec<Violation>, EngineError> {
        self.alive()?;
        let (violations, lost) = self.check_all().await;
        let mut report = Report(violations);
        lost.into_iter().for_each(|what| report.say(false, || what));
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
        let Ok(_held) = self.load(|state, needs| state.need_range(lineage, first, len, needs)).await else {
            // The walk over the maps has said so.
            return Ok(());
        };
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
