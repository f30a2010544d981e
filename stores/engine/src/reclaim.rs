//! Taking back the space of what was deleted, in small steps, each of which may be the last before a crash.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use crate::engine::Engine;
use crate::paging::Pinned;
use crate::record::Op;
use crate::room::{Keep, Need};
use crate::state::Node;
use crate::sync::yield_now;
use crate::{Disk, EngineError, Rules};

/// Blocks of maps that may be looked at between two chances for others to run (a tenth of a millisecond), and objects.
const STRIDE: u64 = 8192;
const OBJECTS: u64 = 16;
/// Objects between two commits: other flushes wait while what a commit freed is given back to the medium, so
/// it must not be too much at once.
const COMMIT: usize = 64;
/// Bytes in the log of an operation of a few numbers.
pub(crate) const SMALL_OP: usize = 48;

/// Resets the flag of the one reclaimer, however it ends.
struct Reclaiming<'a>(&'a Cell<bool>);

impl Drop for Reclaiming<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// From now on, what becomes a ghost keeps all that it holds, until [`Engine::release_ghosts`]. Another disk of
    /// the store may not know yet that it lost its name, and may be the one that is believed after a crash.
    pub fn keep_new_ghosts(&self) {
        if R::KEEP_NEW_GHOSTS {
            *self.may_go.borrow_mut() = Some(self.state.borrow().dead.clone());
        }
    }

    /// Every ghost may be taken back again, by the next [`Engine::reclaim_quietly`].
    pub fn release_ghosts(&self) {
        *self.may_go.borrow_mut() = None;
    }

    /// From now on, ghosts of these trees stay as long as anything goes on from them, also one lineage alone. A disk
    /// that is away may be the only one with an object of the tree; what the younger lineage reads there, it knows
    /// under the number of the older one.
    pub fn keep_links(&self, trees: &BTreeSet<u64>) {
        if R::KEEP_LINKS {
            self.linked.borrow_mut().clone_from(trees);
        }
    }

    fn may_go(&self, lineage: u64) -> bool {
        self.may_go.borrow().as_ref().is_none_or(|all| all.contains(&lineage))
    }

    /// Works through all ghosts that may go: those with at most one child disappear, the others let go what no
    /// child uses. If somebody else is at it already, that one does it.
    pub(crate) async fn reclaim(&self) -> Result<(), EngineError> {
        self.reclaim_among(None).await
    }

    /// [`Engine::reclaim`], or, with `only`, the same for these ghosts alone, also if they were to be kept. Whoever names
    /// them needs them gone, and is told if one cannot go.
    pub(crate) async fn reclaim_among(&self, only: Option<&BTreeSet<u64>>) -> Result<(), EngineError> {
        if self.reclaiming.replace(true) {
            return Ok(());
        }
        let _flag = Reclaiming(&self.reclaiming);
        let mut worked = false;
        // Ghosts whose maps cannot be read keep what they hold until somebody tries again.
        let mut stuck = BTreeMap::new();
        loop {
            self.alive()?;
            let goes = |l: &u64| only.map_or_else(|| self.may_go(*l), |all| all.contains(l));
            let ready = self.dissolvable(|l| goes(l) && !stuck.contains_key(l));
            let trim = {
                let mut state = self.state.borrow_mut();
                let next = state.to_trim.iter().copied().find(goes);
                next.filter(|l| state.to_trim.remove(l))
            };
            let (lineage, done) = match (ready, trim) {
                (Some(lineage), None) => (lineage, self.dissolve(lineage).await),
                (_, Some(lineage)) => (lineage, self.trim_ghost(lineage).await),
                (None, None) => break,
            };
            match done {
                Err(error @ (EngineError::Io | EngineError::DataLost)) if self.alive().is_ok() => {
                    tracing::warn!(lineage, %error, "the space of something deleted cannot be taken back now");
                    stuck.insert(lineage, error);
                }
                other => other?,
            }
            worked = true;
        }
        if worked {
            self.flush().await?;
        }
        match stuck.into_values().next() {
            Some(error) if only.is_some() => Err(error),
            _ => Ok(()),
        }
    }

    /// A ghost that can go now.
    fn dissolvable(&self, goes: impl Fn(&u64) -> bool) -> Option<u64> {
        let state = self.state.borrow();
        let linked = self.linked.borrow();
        let few = |l: &&u64| {
            let most = |n: &Node| if linked.contains(&n.tree) { 0 } else { 1 };
            state.nodes.get(l).is_some_and(|n| n.children.len() <= most(n) || !R::GHOSTS)
        };
        state.dead.iter().filter(|l| goes(l)).find(few).copied()
    }

    async fn dissolve(&self, lineage: u64) -> Result<(), EngineError> {
        let first = || {
            let state = self.state.borrow();
            state.by_key.range((lineage, 0)..=(lineage, u64::MAX)).next().map(|((_, index), _)| *index)
        };
        let stride = self.objects_at_once();
        for step in 1.. {
            if let Some(index) = first() {
                self.settle(lineage, index).await?;
            } else {
                self.make_room(Need { log: SMALL_OP, ..Need::default() }).await?;
                // A family may have come back from another disk meanwhile.
                if first().is_none() {
                    return self.change(Op::Drop { lineage });
                }
            }
            if step % COMMIT == 0 {
                self.flush().await?;
            } else if step % stride == 0 {
                yield_now().await;
            }
        }
        Ok(())
    }

    /// Takes back one object of a ghost, unless its family left for another disk meanwhile.
    async fn settle(&self, lineage: u64, index: u64) -> Result<(), EngineError> {
        let op = || {
            let there = self.state.borrow().slot(lineage, index).is_some();
            if there { Ok(Op::Settle { lineage, index }) } else { Err(EngineError::NotFound) }
        };
        match self.change_loaded(self.settle_need(), op).await {
            Err(EngineError::NotFound) => Ok(()),
            other => other,
        }
    }

    /// Objects whose maps are looked at before others have their turn.
    fn objects_at_once(&self) -> usize {
        (STRIDE / u64::from(self.layout.object_blocks)).clamp(1, OBJECTS) as usize
    }

    fn settle_need(&self) -> Need {
        Need { blocks: 0, spans: self.spans_per_object(), log: SMALL_OP, keep: Keep::Nothing }
    }

    async fn trim_ghost(&self, lineage: u64) -> Result<(), EngineError> {
        let objects: Vec<u64> = {
            let state = self.state.borrow();
            state.by_key.range((lineage, 0)..=(lineage, u64::MAX)).map(|((_, index), _)| *index).collect()
        };
        let stride = self.objects_at_once();
        for (n, index) in objects.into_iter().enumerate() {
            let trims = self.trimmable(lineage, index).await?.is_some();
            if trims {
                self.settle(lineage, index).await?;
            }
            if n % stride == stride - 1 {
                yield_now().await;
            }
        }
        Ok(())
    }

    /// Whether an object of a ghost with many children holds anything for nobody: if so, with all that taking
    /// it back looks at.
    async fn trimmable(&self, lineage: u64, index: u64) -> Result<Option<Pinned<'_, D, R>>, EngineError> {
        let op = Op::Settle { lineage, index };
        let held = self.load(|state, needs| state.need_op(&op, needs)).await?;
        let trims = {
            let state = self.state.borrow();
            let many = state.nodes.get(&lineage).is_some_and(|n| n.children.len() > 1);
            many && state.dead.contains(&lineage) && state.trims(lineage, index)
        };
        Ok(trims.then_some(held))
    }

    /// What every child of a ghost has overwritten since is freed, for a disk that is full. Says whether
    /// anything was.
    pub(crate) async fn trim_ghosts(&self) -> Result<bool, EngineError> {
        let all: Vec<(u64, u64)> = {
            let state = self.state.borrow();
            let of = |l: &u64| {
                state.by_key.range((*l, 0)..=(*l, u64::MAX)).map(|(key, _)| *key).collect::<Vec<_>>()
            };
            state.dead.iter().filter(|l| self.may_go(**l)).flat_map(of).collect()
        };
        let mut any = false;
        for (lineage, index) in all {
            // What cannot be read cannot be taken back.
            let Ok(Some(_held)) = self.trimmable(lineage, index).await else { continue };
            if self.log_fits(SMALL_OP) && self.has_room(0, self.span_cost(1)) {
                self.change(Op::Settle { lineage, index })?;
                any = true;
            }
        }
        Ok(any)
    }
}
