//! The verbs of the catalogue: the same change on every disk, one at a time, answered when it is durable on all
//! of them, so that every disk gives the same number to the same lineage.

use std::collections::BTreeMap;
use std::rc::Rc;

use parpen_engine::sync::{RangeGuard, join_all};
use parpen_engine::{BLOCK, Disk, Engine, EngineError, Found, Kind, Rules};
use uuid::Uuid;

use crate::Array;
use crate::array::Target;
use crate::codec::{Key, encode_tree};
use crate::hold::Careful;
use crate::local::LocalTask;
use crate::place::{Policy, Tree};

/// Room that every disk must have before a change that makes the catalogue larger, besides its labels, in bytes;
/// on a small disk this part of what it can hold.
const MARGIN: u64 = 128 << 10;
const MARGIN_SHARE: u64 = 32;

type Change<'a, D, R> = &'a dyn Fn(Rc<Engine<D, R>>) -> LocalTask<'a, Result<(), EngineError>>;

/// Keeps all writes of some volumes out.
pub(crate) struct Held<'a> {
    _guards: Vec<RangeGuard<'a>>,
    _careful: Option<Careful<'a>>,
}

impl<D: Disk, R: Rules> Array<D, R> {
    /// Waits until no write of these volumes is in flight, and keeps new ones waiting. With one disk that is the
    /// engine's own business.
    pub(crate) async fn hold(&self, ids: impl IntoIterator<Item = Uuid>, first: u64, last: u64) -> Held<'_> {
        let mut ids: Vec<Uuid> = ids.into_iter().collect();
        ids.sort();
        ids.dedup();
        if self.sole().is_some() {
            return Held { _guards: Vec::new(), _careful: None };
        }
        let careful = Some(self.holds.careful().await);
        let mut guards = Vec::with_capacity(ids.len());
        for id in ids {
            guards.push(self.holds.ranges.lock(id, first, last).await);
        }
        Held { _guards: guards, _careful: careful }
    }

    /// Makes one change on every live disk. The caller holds the catalogue.
    ///
    /// A disk that refuses what others did is out of step, so it is out; when all refuse alike, nothing has
    /// happened.
    pub(crate) async fn on_all(&self, change: Change<'_, D, R>) -> Result<(), EngineError> {
        self.settle_locked().await?;
        let live = self.live();
        if let [one] = live.as_slice() {
            one.engine.release_ghosts();
            let result = change(one.engine.clone()).await;
            self.notice(&one.member);
            return result;
        }
        // A disk that is ahead of the others when the power goes must be able to go back.
        live.iter().for_each(|t| t.engine.keep_new_ghosts());
        let results = join_all(live.iter().map(|t| change(t.engine.clone())).collect()).await;
        let steps = |t: &Target<D, R>| (t.engine.catalogue_seq(), t.engine.next_lineage());
        let done: Vec<bool> =
            live.iter().zip(&results).map(|(t, r)| r.is_ok() && !t.engine.is_fenced()).collect();
        // The reference is a disk in sync that did it, else one that is still alive: one that is not in sync may have
        // room where those that are have none, and could not go on without them.
        let in_sync = |i: &usize| live[*i].clean;
        let best = (0..live.len())
            .find(|i| in_sync(i) && done[*i])
            .or_else(|| (0..live.len()).find(|i| in_sync(i) && !live[*i].engine.is_fenced()))
            .or_else(|| (0..live.len()).find(|i| done[*i]));
        let Some(best) = best else {
            live.iter().for_each(|t| self.notice(&t.member));
            return Err(EngineError::Io);
        };
        for (i, t) in live.iter().enumerate() {
            self.notice(&t.member);
            let agrees = results[i].is_ok() == results[best].is_ok() && steps(t) == steps(&live[best]);
            if !agrees {
                self.mark_failed(&t.member, "it could not follow a change of the catalogue");
            }
        }
        self.settle_locked().await?;
        self.live().iter().for_each(|t| t.engine.release_ghosts());
        results[best]
    }

    /// Takes back, on all disks, what deleted things hold. The caller knows that no disk could be believed any more
    /// that still has their names.
    pub(crate) async fn take_back_space(&self) {
        let live = self.live();
        live.iter().for_each(|t| t.engine.release_ghosts());
        self.reclaim(&live).await;
    }

    /// Lets disks take back what ghosts hold, where nothing keeps them from it. The names are gone for good, so
    /// nobody fails for it.
    pub(crate) async fn reclaim(&self, live: &[Target<D, R>]) {
        let taken = join_all(live.iter().map(|t| t.engine.reclaim_quietly()).collect()).await;
        for (t, result) in live.iter().zip(taken) {
            self.notice(&t.member);
            if let Err(error) = result {
                tracing::warn!(disk = t.member.number, %error, "space is taken back later");
            }
        }
    }

    /// Refuses a change that some disk has no room for, before any disk has made it.
    pub(crate) fn check_room(&self, labels: usize) -> Result<(), EngineError> {
        let live = self.live();
        let is_full = |t: &Target<D, R>| {
            let space = t.engine.space();
            space.free < MARGIN.min(space.capacity / MARGIN_SHARE) + 4 * labels as u64
        };
        if live.len() > 1 && live.iter().any(is_full) {
            return Err(EngineError::NoSpace);
        }
        Ok(())
    }

    /// Makes a volume, empty or from a snapshot (then at least as large). [`Array::create_placed`] with the
    /// plainest policy.
    pub async fn create(
        &self,
        id: Uuid,
        bytes: u64,
        from: Option<Uuid>,
        label: &[u8],
    ) -> Result<(), EngineError> {
        self.create_placed(id, bytes, from, label, &Policy::default()).await
    }

    /// Makes a volume whose objects are placed by this policy. One that is made from a snapshot shares the
    /// snapshot's places, whatever the policy says: see [`Array::policy_of`].
    pub async fn create_placed(
        &self,
        id: Uuid,
        bytes: u64,
        from: Option<Uuid>,
        label: &[u8],
        policy: &Policy,
    ) -> Result<(), EngineError> {
        let _one = self.holds.catalogue().await;
        let known = self.identify(id).ok().map(|named| named.tree);
        // One that was there before has its place already, unless a crash came before it got one.
        let has_place = |root: u64| self.table.borrow().trees.contains_key(&root) || self.is_written(root);
        let tree = match (from, known) {
            (Some(_), _) => None,
            (None, Some(root)) if has_place(root) => None,
            (None, _) => self.plan_tree(policy)?,
        };
        if known.is_none() {
            self.check_room(label.len())?;
        }
        let first = self.first_size(id, from, bytes);
        self.make((id, first, from, label), tree).await?;
        if first < bytes
            && let Err(e) = self.grow(id, bytes).await
        {
            if known.is_none() {
                // It was not there before, so it must not be there now.
                self.on_all(&|e| Box::pin(async move { e.forget(id).await })).await?;
            }
            return Err(e);
        }
        Ok(())
    }

    /// A volume on all disks, and where it is a new tree its places, with one flush for both.
    async fn make(
        &self,
        (id, bytes, from, label): (Uuid, u64, Option<Uuid>, &[u8]),
        tree: Option<Tree>,
    ) -> Result<(), EngineError> {
        let Some(tree) = tree else {
            return self.on_all(&|e| Box::pin(async move { e.create(id, bytes, from, label).await })).await;
        };
        let place = &encode_tree(&tree);
        self.on_all(&|e| {
            Box::pin(async move {
                e.add(id, bytes, from, label).await?;
                let root = e.identify(id).ok_or(EngineError::NotFound)?.tree;
                e.put_record(Key::Tree(root).uuid(), place).await
            })
        })
        .await?;
        self.learn_tree(self.identify(id)?.tree, tree);
        Ok(())
    }

    /// How large a volume is made at first: as large as it is already, or as the snapshot that it comes from.
    fn first_size(&self, id: Uuid, from: Option<Uuid>, bytes: u64) -> u64 {
        let sole = self.sole().is_some() || !R::CLEAR_BEFORE_GROW;
        let known = [Some(id), from].into_iter().flatten().find_map(|id| self.identify(id).ok());
        known.filter(|_| !sole).map_or(bytes, |n| n.bytes.min(bytes))
    }

    /// Makes a volume larger. The caller holds it and the catalogue, or has only just made it.
    async fn grow(&self, volume: Uuid, bytes: u64) -> Result<(), EngineError> {
        let named = self.identify(volume)?;
        self.check_reach(named.tree)?;
        self.check_room(0)?;
        if R::CLEAR_BEFORE_GROW {
            self.clear_to_grow(volume, &named).await?;
            self.check_reach(named.tree)?;
        }
        self.on_all(&|e| Box::pin(async move { e.cut_short(volume, bytes).await })).await
    }

    /// Every disk clears what it has behind the end of a volume, or is durably out.
    async fn clear_to_grow(&self, volume: Uuid, named: &parpen_engine::Named) -> Result<(), EngineError> {
        let live = self.live();
        let cleared = join_all(live.iter().map(|t| t.engine.clear_to_grow(volume)).collect()).await;
        for (t, result) in live.iter().zip(cleared) {
            self.notice(&t.member);
            let again = match result {
                Err(EngineError::DataLost | EngineError::Io) if t.member.live().is_some() => {
                    let (last, blocks) = (named.bytes / BLOCK, self.object_blocks());
                    let f = (named.tree, last / blocks);
                    self.heal_block(f, named.lineage, (last % blocks) as u32, &t.member).await;
                    t.engine.clear_to_grow(volume).await
                }
                other => other,
            };
            match again {
                Err(EngineError::NoSpace) => return Err(EngineError::NoSpace),
                Err(e) => {
                    self.mark_failed(&t.member, &format!("it could not clear the end of a volume: {e}"))
                }
                Ok(()) => {}
            }
        }
        self.settle_locked().await
    }

    /// Whether a tree holds anything on any disk that is there.
    fn is_written(&self, tree: u64) -> bool {
        self.live().iter().any(|t| t.engine.versions().iter().any(|v| v.tree == tree))
    }

    /// The placement of a new tree; `None`: that of trees without a record will do.
    fn plan_tree(&self, policy: &Policy) -> Result<Option<Tree>, EngineError> {
        let members = self.members.borrow().len();
        if members == 1 && *policy == Policy::default() {
            return Ok(None);
        }
        let sets = self.table.borrow().choose_sets(policy, &self.open_disks());
        let sets = sets.ok_or(EngineError::Invalid("the placement asks for more disks than serve"))?;
        Ok(Some(Tree { policy: policy.clone(), sets }))
    }

    /// Keeps a tree's placement on all disks. The caller holds the catalogue.
    pub(crate) async fn put_tree(&self, root: u64, tree: Tree) -> Result<(), EngineError> {
        let (key, bytes) = (Key::Tree(root).uuid(), &encode_tree(&tree));
        self.on_all(&|e| Box::pin(async move { e.put_record(key, bytes).await })).await?;
        self.learn_tree(root, tree);
        Ok(())
    }

    fn learn_tree(&self, root: u64, tree: Tree) {
        tracing::debug!(tree = root, sets = ?tree.sets, "a tree has its places");
        self.table.borrow_mut().trees.insert(root, tree);
    }

    /// The policy that a volume or snapshot is placed by.
    pub fn policy_of(&self, id: Uuid) -> Result<Policy, EngineError> {
        Ok(self.table.borrow().policy(self.identify(id)?.tree))
    }

    /// Takes snapshots of all these volumes at one instant: `(volume, snapshot, label)`.
    pub async fn snapshot(&self, all: &[(Uuid, Uuid, Vec<u8>)]) -> Result<(), EngineError> {
        let held = self.hold(all.iter().map(|(volume, ..)| *volume), 0, u64::MAX).await;
        let _one = self.holds.catalogue().await;
        self.check_room(all.iter().map(|(_, _, label)| label.len() + 1024).sum())?;
        let result = self.on_all(&|e| Box::pin(async move { e.snapshot(all).await })).await;
        drop(held);
        result
    }

    /// Changes the size of a volume; what is cut off is gone, what is added reads as zeros.
    pub async fn resize(&self, volume: Uuid, bytes: u64) -> Result<(), EngineError> {
        let _held = self.hold([volume], 0, u64::MAX).await;
        let _one = self.holds.catalogue().await;
        let named = self.identify(volume)?;
        if bytes > named.bytes && self.sole().is_none() {
            return self.grow(volume, bytes).await;
        }
        let tree = named.tree;
        self.check_reach(tree)?;
        self.on_all(&|e| Box::pin(async move { e.cut_short(volume, bytes).await })).await?;
        let live = self.live();
        let tidied = join_all(live.iter().map(|t| t.engine.tidy_end(volume)).collect()).await;
        for (t, result) in live.iter().zip(tidied) {
            self.notice(&t.member);
            if let Err(error) = result {
                tracing::warn!(disk = t.member.number, %error, "what was cut off is taken back later");
            }
        }
        self.settle_locked().await?;
        self.check_reach(tree)
    }

    /// Gives a volume the content and size of a snapshot; the snapshot stays, and so do all others.
    pub async fn rollback(&self, volume: Uuid, snapshot: Uuid) -> Result<(), EngineError> {
        {
            let _held = self.hold([volume], 0, u64::MAX).await;
            let _one = self.holds.catalogue().await;
            let trees = [self.identify(volume)?.tree, self.identify(snapshot)?.tree];
            trees.into_iter().try_for_each(|t| self.check_reach(t))?;
            self.check_room(0)?;
            self.on_all(&|e| Box::pin(async move { e.rollback(volume, snapshot).await })).await?;
            self.unflushed.rolled_back(volume, snapshot);
            trees.into_iter().try_for_each(|t| self.check_reach(t))?;
        }
        self.reclaim(&self.live()).await;
        Ok(())
    }

    /// Deletes a volume or snapshot, in any order; one that is not there is deleted already.
    ///
    /// Nobody else waits while its space is taken back, which may be long.
    pub async fn delete(&self, id: Uuid) -> Result<(), EngineError> {
        {
            let _held = self.hold([id], 0, u64::MAX).await;
            let _one = self.holds.catalogue().await;
            self.on_all(&|e| Box::pin(async move { e.forget(id).await })).await?;
            self.unflushed.forget(id);
        }
        self.reclaim(&self.live()).await;
        // There may be room now for copies that were wanting.
        self.members.borrow().iter().for_each(|m| m.again.set(m.failed.get()));
        self.mover.has_room();
        self.work.fire();
        Ok(())
    }

    /// Replaces the label.
    pub async fn relabel(&self, id: Uuid, label: &[u8]) -> Result<(), EngineError> {
        let _one = self.holds.catalogue().await;
        self.check_room(label.len())?;
        self.on_all(&|e| Box::pin(async move { e.relabel(id, label).await })).await
    }

    /// All volumes and snapshots, by id. What they store is counted on all disks together.
    pub fn inventory(&self) -> Vec<Found> {
        let Ok(lead) = self.lead() else { return Vec::new() };
        let mut all = lead.inventory();
        let mut stored: BTreeMap<Uuid, u64> = BTreeMap::new();
        for t in self.live().iter().filter(|t| !Rc::ptr_eq(&t.engine, &lead)) {
            t.engine.inventory().iter().for_each(|f| *stored.entry(f.id).or_default() += f.stored);
        }
        for f in &mut all {
            f.stored += stored.get(&f.id).copied().unwrap_or(0);
        }
        all
    }

    /// One volume or snapshot.
    pub fn lookup(&self, id: Uuid) -> Option<Found> {
        let lead = self.lead().ok()?;
        let mut found = lead.lookup(id)?;
        for t in self.live().iter().filter(|t| !Rc::ptr_eq(&t.engine, &lead)) {
            found.stored += t.engine.lookup(id).map_or(0, |f| f.stored);
        }
        Some(found)
    }

    /// Whether an id is a volume that can be written, and its size.
    pub(crate) fn writable(&self, id: Uuid) -> Result<parpen_engine::Named, EngineError> {
        let named = self.identify(id)?;
        if named.kind == Kind::Volume { Ok(named) } else { Err(EngineError::ReadOnly) }
    }
}
