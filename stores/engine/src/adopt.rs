//! The catalogue as other disks of the store see it.

use uuid::Uuid;

use crate::adoption::{Way, validate};
use crate::engine::Engine;
use crate::layout::BLOCK;
use crate::reclaim::SMALL_OP;
use crate::record::{Adoption, Op};
use crate::room::{Keep, Need};
use crate::state::{Node, NodeKind};
use crate::sync::yield_now;
use crate::wal::{RECORD_HEADER, cut};
use crate::{Disk, EngineError, Rules};

/// What a node of the catalogue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageKind {
    /// A volume's head.
    Volume,
    /// Frozen, with a name.
    Snapshot,
    /// Frozen and nameless. Each disk dissolves its own ghosts when it can, so those of two disks may differ.
    Ghost,
    /// A record: its key is the id, its value the label.
    Record,
}

impl From<NodeKind> for ImageKind {
    fn from(kind: NodeKind) -> ImageKind {
        match kind {
            NodeKind::Volume => ImageKind::Volume,
            NodeKind::Snapshot => ImageKind::Snapshot,
            NodeKind::Ghost => ImageKind::Ghost,
            NodeKind::Record => ImageKind::Record,
        }
    }
}

/// One node of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeImage {
    /// Its number; children have greater ones than their parents.
    pub lineage: u64,
    /// The lineage it goes on from; 0: none.
    pub parent: u64,
    /// The tree it belongs to: the number of its first root. 0 for records.
    pub tree: u64,
    /// What it is.
    pub kind: ImageKind,
    /// Its name; nil for ghosts.
    pub id: Uuid,
    /// The id it was taken of or made from; nil: none.
    pub of: Uuid,
    /// Its size.
    pub bytes: u64,
    /// Its label, or the value of the record.
    pub label: Vec<u8>,
    /// +1 with each change of the label.
    pub label_version: u64,
}

pub(crate) fn image(lineage: u64, n: &Node) -> NodeImage {
    NodeImage {
        lineage,
        parent: n.parent,
        tree: n.tree,
        kind: n.kind.into(),
        id: n.id,
        of: n.of,
        bytes: n.bytes,
        label: n.label.to_vec(),
        label_version: n.label_version,
    }
}

/// What becomes of the head of a volume that has another one over there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// Much may have happened meanwhile: the new head goes on from the old one where it can, as the base of what
    /// somebody else will say that differs. (Not in trees of which nobody else may say it: there what links heads is
    /// kept, see [`Engine::keep_links`], and a head without a link was rolled back.)
    Bases,
    /// Nothing but one change was missed, so the volume was rolled back, and what it held is gone.
    Gone,
}

/// Lineages that lose their name in one operation of a clearing.
const CLEARED: usize = 256;

impl<D: Disk, R: Rules> Engine<D, R> {
    /// All volumes, snapshots, ghosts and records, older ones first.
    pub fn catalogue(&self) -> Vec<NodeImage> {
        self.state.borrow().nodes.iter().map(|(lineage, n)| image(*lineage, n)).collect()
    }

    /// Takes over another disk's catalogue, with its count of operations and its next number; durable when
    /// answered. Volumes, snapshots and records are exactly that disk's afterwards. Ghosts are not: what only
    /// this disk has stays as long as it is the base of something, and what younger lineages hold is theirs. A volume
    /// or snapshot that was cut off from its parents over there is cut off here, too, with all that it reads as.
    ///
    /// It may be repeated and cut off anywhere: until it is complete, the count of operations says 0. Nobody
    /// else may use the disk meanwhile.
    pub async fn adopt(
        &self,
        seq: u64,
        next_lineage: u64,
        nodes: &[NodeImage],
        heads: Heads,
    ) -> Result<(), EngineError> {
        self.alive()?;
        validate(next_lineage, nodes)?;
        let cuts = self.state.borrow().cuts_to(nodes);
        // Younger ones first: what one keeps may be among those that an older one is cut off from.
        for (lineage, ancestor) in cuts.into_iter().rev() {
            self.relink(lineage, ancestor).await?;
        }
        let returns = self.state.borrow().returns_to(nodes);
        for (lineage, parent) in returns {
            self.link_back(lineage, parent).await?;
        }
        {
            let _one = self.lock_catalogue().await;
            self.clear_for(nodes, heads).await?;
            let way = self.way_to(nodes, heads);
            self.go(way, seq, next_lineage).await?;
            self.flush().await?;
        }
        self.reclaim_quietly().await
    }

    /// Hangs a lineage below where it was cut off, if that changes nothing of what it reads as.
    async fn link_back(&self, lineage: u64, parent: u64) -> Result<(), EngineError> {
        let _one = self.lock_catalogue().await;
        let adoption = || {
            let state = self.state.borrow();
            let node = state.nodes.get(&lineage).ok_or(EngineError::NotFound)?;
            let nodes = vec![NodeImage { parent, ..image(lineage, node) }];
            Ok(Adoption { nodes, next_lineage: state.next_lineage, ..Adoption::default() })
        };
        let above = self.state.borrow().gets_above(lineage, parent);
        let Some((_, objects)) = above else { return Ok(()) };
        for index in objects {
            let _held = self.load(|state, needs| state.need_shares(lineage, parent, index, needs)).await?;
            if !self.state.borrow().shares_with(lineage, parent, index) {
                return Ok(());
            }
        }
        let _held = self.load(|state, needs| state.need_reparent(lineage, parent, needs)).await?;
        if !self.state.borrow().can_hang_on(lineage, parent) {
            return Ok(());
        }
        let log = adoption()?.most_bytes();
        let need = Need { blocks: 0, spans: 1, log, keep: Keep::Nothing };
        self.change_loaded(need, || adoption().map(Op::Adopt)).await
    }

    fn way_to(&self, nodes: &[NodeImage], heads: Heads) -> Way {
        self.state.borrow().way_to(nodes, heads, &self.linked.borrow())
    }

    /// Dissolves, step by step, what stands in the way, and nothing else: a ghost may get its name back.
    async fn clear_for(&self, nodes: &[NodeImage], heads: Heads) -> Result<(), EngineError> {
        loop {
            let (ghosts, clear, next_lineage) = {
                let clear = self.way_to(nodes, heads).clear;
                let state = self.state.borrow();
                let named = |l: &u64| state.nodes.get(l).is_some_and(|n| n.is_named());
                let ghosts: Vec<u64> = clear.iter().copied().filter(named).take(CLEARED).collect();
                (ghosts, clear, state.next_lineage)
            };
            if clear.is_empty() {
                return Ok(());
            }
            if !ghosts.is_empty() {
                let log = SMALL_OP + 10 * ghosts.len();
                self.check_op_size(log)?;
                self.make_room(Need { blocks: 0, spans: 1, log, keep: Keep::Nothing }).await?;
                self.change(Op::Adopt(Adoption { next_lineage, ghosts, ..Adoption::default() }))?;
                self.flush().await?;
            }
            self.reclaim_among(Some(&clear)).await?;
            yield_now().await;
        }
    }

    /// Logs the way, in as many operations as its size takes; only the last one says how far the catalogue is.
    async fn go(&self, way: Way, seq: u64, next_lineage: u64) -> Result<(), EngineError> {
        let (own_seq, own_next) = (self.catalogue_seq(), self.next_lineage());
        let nothing = way.nodes.is_empty() && way.ghosts.is_empty() && way.gone.is_empty();
        if nothing && (own_seq, own_next) == (seq, next_lineage) {
            return Ok(());
        }
        let most = cut(self.layout.wal_bytes) as usize - RECORD_HEADER;
        let mut ghosts = way.ghosts;
        // Records go first and leave their numbers and keys.
        let mut part =
            Adoption { gone: way.gone, next_lineage: own_next.max(next_lineage), ..Adoption::default() };
        for node in way.nodes {
            if !part.is_empty() && part.most_bytes() + Adoption::bytes_of(&node) > most {
                let next = Adoption { next_lineage: part.next_lineage, ..Adoption::default() };
                self.log_part(std::mem::replace(&mut part, next)).await?;
            }
            if ghosts.remove(&node.parent) {
                part.ghosts.push(node.parent);
            }
            part.nodes.push(node);
        }
        // Numbers that are given anew must be free, so the last part waits for the others.
        part.ghosts.extend(ghosts);
        self.log_part(Adoption { seq, next_lineage, ..part }).await
    }

    async fn log_part(&self, part: Adoption) -> Result<(), EngineError> {
        let blocks = part.nodes.iter().map(|n| 2 * (6 + n.label.len() as u64 / BLOCK)).sum();
        let log = part.most_bytes();
        self.check_op_size(log)?;
        self.make_room(Need { blocks, spans: 1, log, keep: Keep::Nothing }).await?;
        self.change(Op::Adopt(part))
    }
}
