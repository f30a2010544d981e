//! What must be done so that this disk's catalogue becomes another one's, without losing what both have.
//!
//! Lineages are known by their numbers, which all disks of a store give alike. A disk that was away lacks
//! those that were made meanwhile, and has some that were dissolved elsewhere. Those become ghosts here and
//! stay where they are while something below them is still wanted: what they hold is then the base that the
//! younger ones differ from.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::EngineError;
use crate::adopt::{Heads, ImageKind, NodeImage, image};
use crate::layout::{LABEL_MAX, VOLUME_MAX};
use crate::state::{LINEAGES, Node, NodeKind, State};

/// The way to another disk's catalogue.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// Lineages that nothing wanted goes on from, with all below them: they must be dissolved first.
    pub(crate) clear: BTreeSet<u64>,
    /// Nodes that are new or differ, with the parents they have here; older ones first.
    pub(crate) nodes: Vec<NodeImage>,
    /// Lineages that lose their name and stay for what goes on from them.
    pub(crate) ghosts: BTreeSet<u64>,
    /// Records that are gone.
    pub(crate) gone: Vec<u64>,
}

const ODD: EngineError = EngineError::Invalid("that is no catalogue of a disk of this store");

/// Refuses what no disk can have as its catalogue. (It is handed over by another disk's engine: a mistake
/// there must not end this one.)
pub(crate) fn validate(next_lineage: u64, nodes: &[NodeImage]) -> Result<(), EngineError> {
    let mut seen: BTreeMap<u64, &NodeImage> = BTreeMap::new();
    let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for n in nodes {
        let numbered = seen.last_key_value().is_none_or(|(last, _)| *last < n.lineage) && n.lineage > 0;
        let small = n.bytes <= VOLUME_MAX && n.label.len() <= LABEL_MAX && n.lineage < next_lineage;
        let named = match n.kind {
            ImageKind::Volume | ImageKind::Snapshot => !n.id.is_nil() && names.insert(n.id),
            ImageKind::Record => n.parent == 0 && n.tree == 0 && keys.insert(n.id),
            ImageKind::Ghost => n.id.is_nil(),
        };
        let placed = match seen.get(&n.parent) {
            Some(p) => p.tree == n.tree && matches!(p.kind, ImageKind::Snapshot | ImageKind::Ghost),
            None => n.parent == 0 && (n.tree > 0 || n.kind == ImageKind::Record),
        };
        if !numbered || !small || !named || !placed || next_lineage > LINEAGES {
            return Err(ODD);
        }
        seen.insert(n.lineage, n);
    }
    Ok(())
}

/// Both catalogues side by side.
struct Both<'a> {
    state: &'a State,
    /// Lineages of the other one.
    wanted: BTreeMap<u64, &'a NodeImage>,
    /// Numbers of its records.
    records: BTreeSet<u64>,
    clear: BTreeSet<u64>,
}

impl<'a> Both<'a> {
    /// A lineage of this disk that stays.
    fn here(&self, lineage: u64) -> Option<&'a Node> {
        self.state.nodes.get(&lineage).filter(|n| n.is_lineage() && !self.clear.contains(&lineage))
    }

    fn is_known(&self, lineage: u64) -> bool {
        self.wanted.contains_key(&lineage) && self.here(lineage).is_some()
    }

    /// The nearest lineage above that both have.
    fn known_above(&self, lineage: u64) -> u64 {
        let above = |l: u64| self.state.nodes.get(&l).map_or(0, |n| n.parent);
        let mut at = above(lineage);
        while at != 0 && !self.is_known(at) {
            at = above(at);
        }
        at
    }

    /// The same in the other catalogue: the nearest one from `lineage` on upwards that both have.
    fn known_from(&self, mut lineage: u64) -> u64 {
        while lineage != 0 && !self.is_known(lineage) {
            lineage = self.wanted.get(&lineage).map_or(0, |n| n.parent);
        }
        lineage
    }

    fn below(&self, lineage: u64) -> Vec<u64> {
        let mut all = vec![lineage];
        let mut at = 0;
        while at < all.len() {
            all.extend(self.state.nodes.get(&all[at]).map_or(&[][..], |n| n.children.as_slice()));
            at += 1;
        }
        all
    }

    /// Lineages that stand elsewhere over there, or mean something else: what they hold here cannot be the
    /// base of anything.
    fn find_strangers(&mut self) {
        for number in self.records.clone() {
            if self.here(number).is_some() {
                self.clear.extend(self.below(number));
            }
        }
        let lineages: Vec<u64> = self.wanted.keys().copied().collect();
        for lineage in lineages {
            let Some(node) = self.here(lineage) else { continue };
            let want = self.wanted[&lineage];
            let same = self.known_above(lineage) == want.parent;
            // Or ancestors that are missing here can be put between it and its parent.
            let fits = same || node.parent == self.known_from(want.parent);
            if !(fits || self.is_cut_here(want)) || node.tree != want.tree {
                self.clear.extend(self.below(lineage));
            }
        }
    }

    /// Whether a lineage was cut off here from ghosts that it still goes on from over there. A rebase that only leaves
    /// ghosts behind does not count, so one that a crash ended may be done on some disks and not on the authority;
    /// what was cut off has all its bytes. (A head that nothing was written to may be another one with the same
    /// number, of a roll back that was never answered.)
    fn is_cut_here(&self, want: &NodeImage) -> bool {
        let Some(node) = self.here(want.lineage) else { return false };
        let mut at = want.parent;
        while at != node.parent
            && let Some(n) = self.wanted.get(&at).filter(|n| n.kind == ImageKind::Ghost)
        {
            at = n.parent;
        }
        let same = node.is_named() && (node.id == want.id || node.id == want.of);
        let holds = self.state.by_key.range((want.lineage, 0)..=(want.lineage, u64::MAX)).next().is_some();
        at == node.parent && same && holds && node.tree == want.tree
    }

    /// Volumes and snapshots that hang on an older lineage over there than here, or on none: they were cut off from
    /// those between. (Also one that lost its name over there after that, and is kept for what goes on from it: it
    /// still says of which volume it was taken.)
    fn cuts(&self) -> Vec<(u64, u64)> {
        let cut = |want: &&NodeImage| {
            let node = self.here(want.lineage)?;
            let unnamed =
                node.kind == NodeKind::Snapshot && want.kind == ImageKind::Ghost && node.of == want.of;
            let same = node.tree == want.tree && (node.id == want.id || node.id == want.of || unnamed);
            let to = self.known_from(want.parent);
            let moved = self.known_above(want.lineage) != want.parent && node.parent != to;
            let frozen = to == 0 || self.here(to).is_some_and(|n| n.kind == NodeKind::Snapshot);
            let above = frozen && self.state.between(want.lineage, to).is_some();
            (node.is_named() && same && moved && above).then_some((want.lineage, to))
        };
        self.wanted.values().filter_map(cut).collect()
    }

    /// Volumes and snapshots that were cut off here and still hang on snapshots over there, and the lineages that they
    /// hung on here: a crash ended a rebase that this disk had done and the others had not. What was cut off says all
    /// about itself, so it can go back, and must: it may be all that anybody has of what was written to it.
    fn returns(&self) -> Vec<(u64, u64)> {
        let back = |want: &&NodeImage| {
            let node = self.here(want.lineage)?;
            let same = node.tree == want.tree && (node.id == want.id || node.id == want.of);
            let moved = self.known_above(want.lineage) != want.parent && !self.is_cut_here(want);
            let to = self.known_from(want.parent);
            (node.is_named() && same && moved && to != node.parent).then_some((want.lineage, to))
        };
        self.wanted.values().filter_map(back).collect()
    }

    /// New lineages that come between ones that are here.
    fn between(&self) -> BTreeSet<u64> {
        let mut all = BTreeSet::new();
        for (lineage, want) in self.wanted.iter().filter(|(l, _)| self.here(**l).is_some()) {
            let mut at = if self.known_above(*lineage) == want.parent { 0 } else { want.parent };
            while at != 0 && self.here(at).is_none() {
                all.insert(at);
                at = self.wanted.get(&at).map_or(0, |n| n.parent);
            }
        }
        all
    }

    /// A volume whose head is another lineage over there, made while this disk was away: the old head holds
    /// what the new one goes on from (or something like it) unless others stand between. Gives the topmost of
    /// the new lineages for each old head.
    fn bases(&self) -> BTreeMap<u64, u64> {
        // What a volume held lives on in its newer head and in the snapshots that were taken of it, also when the
        // volume itself is gone: older ones first.
        let mut heirs: BTreeMap<Uuid, Vec<u64>> = BTreeMap::new();
        for n in self.wanted.values().filter(|n| self.here(n.lineage).is_none()) {
            match n.kind {
                ImageKind::Volume => heirs.entry(n.id).or_default().push(n.lineage),
                ImageKind::Snapshot => heirs.entry(n.of).or_default().push(n.lineage),
                ImageKind::Ghost | ImageKind::Record => {}
            }
        }
        let between = self.between();
        let (mut bases, mut taken) = (BTreeMap::new(), BTreeSet::new());
        for (old, node) in &self.state.nodes {
            let own = node.kind == NodeKind::Volume && self.here(*old).is_some() && !self.is_known(*old);
            let fits = |top: &u64| {
                let want = self.wanted[top];
                let follows = self.known_above(*old) == want.parent && node.tree == want.tree && *old < *top;
                follows && !between.contains(top)
            };
            let heirs = heirs.get(&node.id).into_iter().flatten();
            let mut tops = heirs.filter(|_| own).map(|heir| self.topmost_new(*heir));
            if let Some(top) = tops.find(fits)
                && self.leads_only_to(*old, &taken)
            {
                taken.insert(*bases.entry(top).or_insert(*old));
            }
        }
        bases
    }

    /// The highest lineage of the other catalogue from this one on upwards below which nothing is here.
    fn topmost_new(&self, mut lineage: u64) -> u64 {
        let above = |l: u64| self.wanted.get(&l).map(|n| n.parent);
        while let Some(p) = above(lineage).filter(|p| self.wanted.contains_key(p) && self.here(*p).is_none())
        {
            lineage = p;
        }
        lineage
    }

    /// Whether nothing else that stays hangs on what stands between a lineage and the nearest one above that both
    /// have. (Else those would keep what the lineage goes on from, and it had better begin higher up.)
    fn leads_only_to(&self, lineage: u64, bases: &BTreeSet<u64>) -> bool {
        let stays = |l: &u64| self.is_known(*l) || bases.contains(l);
        let mut below = lineage;
        let mut at = self.state.nodes.get(&lineage).map_or(0, |n| n.parent);
        while let Some(node) = self.state.nodes.get(&at).filter(|_| !self.is_known(at)) {
            let mut others = node.children.iter().filter(|c| **c != below);
            if others.any(|c| self.below(*c).iter().any(stays)) {
                return false;
            }
            (below, at) = (at, node.parent);
        }
        true
    }

    /// What is only here: lineages that lead to something wanted stay as ghosts, the others go.
    fn judge_the_rest(&mut self, bases: &BTreeMap<u64, u64>) -> BTreeSet<u64> {
        let mut stay = BTreeSet::new();
        let ends = self.state.nodes.keys().copied().filter(|l| self.is_known(*l));
        for end in ends.chain(bases.values().copied()) {
            let mut at = end;
            while at != 0 && stay.insert(at) {
                at = self.state.nodes.get(&at).map_or(0, |n| n.parent);
            }
        }
        let lineages = self.state.nodes.iter().filter(|(_, n)| n.is_lineage());
        let only_here: Vec<u64> = lineages.map(|(l, _)| *l).filter(|l| !self.is_known(*l)).collect();
        let mut ghosts = BTreeSet::new();
        for lineage in only_here {
            if !stay.contains(&lineage) {
                self.clear.insert(lineage);
            } else if self.here(lineage).is_some_and(|n| n.is_named()) {
                ghosts.insert(lineage);
            }
        }
        ghosts
    }

    /// The parent that a wanted lineage gets here.
    fn parent_of(&self, want: &NodeImage, bases: &BTreeMap<u64, u64>) -> u64 {
        match self.here(want.lineage) {
            Some(node) if self.known_above(want.lineage) == want.parent => node.parent,
            Some(node) if node.parent != self.known_from(want.parent) && self.is_cut_here(want) => {
                node.parent
            }
            Some(_) => want.parent,
            None => bases.get(&want.lineage).copied().unwrap_or(want.parent),
        }
    }
}

impl State {
    /// Lineages that must be cut off on the way to a catalogue, and the ancestors that they keep (0: none).
    pub(crate) fn cuts_to(&self, nodes: &[NodeImage]) -> Vec<(u64, u64)> {
        self.beside(nodes).cuts()
    }

    /// Lineages that go back on the way to a catalogue to where they were cut off, if they can.
    pub(crate) fn returns_to(&self, nodes: &[NodeImage]) -> Vec<(u64, u64)> {
        self.beside(nodes).returns()
    }

    fn beside<'a>(&'a self, nodes: &'a [NodeImage]) -> Both<'a> {
        let lineages = nodes.iter().filter(|n| n.kind != ImageKind::Record);
        let wanted = lineages.map(|n| (n.lineage, n)).collect();
        let records = nodes.iter().filter(|n| n.kind == ImageKind::Record).map(|n| n.lineage).collect();
        Both { state: self, wanted, records, clear: BTreeSet::new() }
    }

    /// How to get from this catalogue to `nodes`.
    /// Trees in `linked` are taken as they are linked over there.
    pub(crate) fn way_to(&self, nodes: &[NodeImage], heads: Heads, linked: &BTreeSet<u64>) -> Way {
        let mut both = self.beside(nodes);
        let gone = self.records.values().copied().filter(|l| !both.records.contains(l)).collect();
        both.find_strangers();
        let mut bases = if heads == Heads::Bases { both.bases() } else { BTreeMap::new() };
        bases.retain(|_, old| self.nodes.get(old).is_some_and(|n| !linked.contains(&n.tree)));
        let ghosts = both.judge_the_rest(&bases);
        let local = |want: &NodeImage| NodeImage { parent: both.parent_of(want, &bases), ..want.clone() };
        let differs =
            |n: &NodeImage| self.nodes.get(&n.lineage).is_none_or(|own| image(n.lineage, own) != *n);
        let nodes = nodes.iter().map(local).filter(differs).collect();
        Way { clear: both.clear, nodes, ghosts, gone }
    }
}
