//! Changing where families live: the records first, then the table, then what the old place held.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use parpen_engine::{BLOCK, Disk, Engine, EngineError, ImageKind, Rules};

use crate::Array;
use crate::codec::{Key, encode_groups, encode_page};
use crate::copy::Progress;
use crate::fills::Filling;
use crate::mover::Move;
use crate::place::{Family, PAGE, Policy, Tree, Tuple};

/// Room that a disk must have beyond a family that it takes, in bytes; a small disk this part of what it can hold.
const SPARE: u64 = 4 << 20;
const SPARE_SHARE: u64 = 32;

impl<D: Disk, R: Rules> Array<D, R> {
    /// Keeps new places of families on all disks; then they hold. The caller holds the catalogue.
    pub(crate) async fn put_places(&self, places: &BTreeMap<Family, Tuple>) -> Result<(), EngineError> {
        let mut pages: BTreeMap<(u64, u64), BTreeMap<u64, Tuple>> = BTreeMap::new();
        for (f, tuple) in places {
            tracing::debug!(tree = f.0, object = f.1, disks = ?tuple.disks(), "an object gets another place");
            let table = self.table.borrow();
            let page = pages.entry((f.0, f.1 / PAGE)).or_insert_with(|| table.page(*f).into_iter().collect());
            page.insert(f.1, *tuple);
        }
        for ((tree, number), page) in pages {
            let page: Vec<(u64, Tuple)> = {
                let table = self.table.borrow();
                page.into_iter().filter(|(index, t)| table.by_set((tree, *index)) != *t).collect()
            };
            let number = u32::try_from(number).map_err(|_| EngineError::Invalid("no such object"))?;
            let (key, bytes) = (Key::Overrides(tree, number).uuid(), &encode_page(&page));
            self.on_all(&|e| Box::pin(async move { e.put_record(key, bytes).await })).await?;
            let first = u64::from(number) * PAGE;
            let mut table = self.table.borrow_mut();
            let old: Vec<Family> =
                table.overrides.range((tree, first)..(tree, first + PAGE)).map(|(f, _)| *f).collect();
            for f in old {
                table.overrides.remove(&f);
            }
            table.overrides.extend(page.into_iter().map(|(index, t)| ((tree, index), t)));
        }
        Ok(())
    }

    /// A disk for one more copy of a family, at the place of `from`: the one with the most room.
    pub(crate) fn choose(&self, f: Family, from: Option<u16>) -> Option<u16> {
        let need = self.size_of(f);
        let spare = |disk: u16| {
            let capacity = self.member(disk).and_then(|m| m.live()).map_or(0, |e| e.space().capacity);
            SPARE.min(capacity / SPARE_SHARE)
        };
        let table = self.table.borrow();
        let tuple = table.place(f);
        let policy = table.policy(f.0);
        let last = from.is_some() && tuple.disks().last().copied() == from;
        let fits = |(disk, free): &(u16, u64)| {
            !tuple.has(*disk) && *free >= need + spare(*disk) && table.admits(&policy, last, *disk)
        };
        let all = self.open_disks();
        all.into_iter().filter(fits).max_by_key(|(disk, free)| (*free, std::cmp::Reverse(*disk))).map(|d| d.0)
    }

    /// Bytes that a family takes on one disk.
    pub(crate) fn size_of(&self, f: Family) -> u64 {
        let sources = self.sources(f);
        let owned = |e: &Engine<D, R>| e.family(f.0, f.1).iter().map(|v| v.owned).sum::<u64>();
        sources.iter().map(|t| owned(&t.engine)).max().unwrap_or(0) * BLOCK
    }

    /// A disk is full for a family: the family moves to one with room. When there is none, what needs the room is
    /// refused: a copy is never given up for it. No lock is held.
    pub(crate) async fn make_way(&self, f: Family, full: u16) -> Result<(), EngineError> {
        if self.fills.to(f).is_some() {
            self.hurry(f).await;
            return Ok(());
        }
        if !self.table.borrow().place(f).has(full) {
            return Ok(());
        }
        let to = self.choose(f, Some(full)).ok_or(EngineError::NoSpace)?;
        self.relocate(f, Some(full), to).await
    }

    /// Ends when no copy of a family is under way; one that rests until the next step is gone on with here.
    async fn hurry(&self, f: Family) {
        while self.fills.to(f).is_some() {
            // (One that was given up may rest while another is being made.)
            let its = |m: &Move| m.filling.get().is_some_and(|own| self.fills.goes_on(f, own));
            let resting = self.mover.current.borrow_mut().take_if(|m| m.family == f && its(m));
            match resting {
                Some(m) => {
                    let mut all = u64::MAX;
                    self.run(m, &mut all).await;
                }
                None => self.fills.changed.wait().await,
            }
        }
    }

    /// Moves a family (or copies it to one more disk) at once. No copy of it is under way.
    async fn relocate(&self, f: Family, from: Option<u16>, to: u16) -> Result<(), EngineError> {
        let own = self.fills.begin(f, to);
        self.holds.grace().await;
        let mut all = u64::MAX;
        let result = self.fill_and_place(f, from, own, &mut all).await;
        self.fills.end(f, own);
        if result.is_err() {
            self.give_up(f, to).await?;
        }
        result.map(|_| ())
    }

    /// Goes on with a move for at most `budget` bytes.
    pub(crate) async fn go_on(&self, m: &Move, budget: &mut u64) -> Result<Progress, EngineError> {
        let own = match m.filling.get() {
            Some(own) if self.fills.goes_on(m.family, own) => own,
            Some(_) => {
                self.give_up(m.family, m.to).await?;
                return Err(EngineError::NoSpace);
            }
            None if self.fills.to(m.family).is_some() => return Ok(Progress::Paused),
            None => {
                let own = self.fills.begin(m.family, m.to);
                m.filling.set(Some(own));
                // From here on the disk gets all writes of the family.
                self.holds.grace().await;
                own
            }
        };
        let result = self.fill_and_place(m.family, m.from, own, budget).await;
        if result != Ok(Progress::Paused) {
            self.fills.end(m.family, own);
        }
        if result.is_err() {
            self.give_up(m.family, m.to).await?;
        }
        result
    }

    /// Copies; when nothing differs any more, makes it durable, says so everywhere, and gives the old place up.
    async fn fill_and_place(
        &self,
        f: Family,
        from: Option<u16>,
        own: Filling,
        budget: &mut u64,
    ) -> Result<Progress, EngineError> {
        let to = own.to;
        let (source, target) = self.ends(f, from, to)?;
        if self.copy_family(f, &source, &target, budget, false).await.inspect_err(|_| self.look(to))?
            == Progress::Paused
        {
            return Ok(Progress::Paused);
        }
        if R::FILL_DURABLE_BEFORE_OVERRIDE {
            // Most of it, while nobody has to wait.
            target.flush().await.inspect_err(|_| self.look(to))?;
        }
        loop {
            let volumes = self.lead()?.volumes_of(f.0);
            let first = f.1 * self.object_blocks();
            let mut ranges = Vec::with_capacity(volumes.len());
            for id in &volumes {
                ranges.push(self.holds.ranges.lock(*id, first, first + self.object_blocks() - 1).await);
            }
            let _one = self.holds.catalogue().await;
            if self.lead()?.volumes_of(f.0) == volumes {
                self.place_locked(f, from, own).await?;
                break;
            }
        }
        if let Some(from) = from {
            self.give_up(f, from).await?;
        }
        Ok(Progress::Equal)
    }

    /// The end of a copy, with all writers of the family and the catalogue held.
    async fn place_locked(&self, f: Family, from: Option<u16>, own: Filling) -> Result<(), EngineError> {
        let to = own.to;
        let (source, target) = self.ends(f, from, to)?;
        let mut all = u64::MAX;
        self.copy_family(f, &source, &target, &mut all, true).await.inspect_err(|_| self.look(to))?;
        if R::FILL_DURABLE_BEFORE_OVERRIDE {
            target.flush().await.inspect_err(|_| self.look(to))?;
        }
        let in_sync = self.member(to).is_some_and(|m| m.in_sync());
        if !in_sync || !self.fills.goes_on(f, own) || !self.is_same(f, &source, &target) {
            return Err(EngineError::Io);
        }
        let tuple = self.table.borrow().place(f);
        if tuple.has(to) || from.is_some_and(|n| !tuple.has(n)) {
            // A family of which no disk holds anything yet is not kept where it is when its tree gets other sets.
            // Then it has another place already, and whoever wanted it moved has to look at that one.
            return Err(EngineError::Io);
        }
        let placed =
            tuple.with(from, to).ok_or(EngineError::Invalid("the family has all copies it can have"))?;
        if !R::OVERRIDE_BEFORE_EVICT
            && let Some(old) = from.and_then(|n| self.member(n)?.live())
        {
            old.evict(f.0, f.1).await?;
            old.flush().await?;
        }
        self.put_places(&BTreeMap::from([(f, placed)])).await
    }

    /// The disk to copy from (another than the one that is left, if possible) and the one to copy to.
    #[allow(clippy::type_complexity)] // a pair that is taken apart at once
    fn ends(
        &self,
        f: Family,
        from: Option<u16>,
        to: u16,
    ) -> Result<(Rc<Engine<D, R>>, Rc<Engine<D, R>>), EngineError> {
        let sources = self.sources(f);
        let other = sources.iter().find(|t| Some(t.member.number) != from).or(sources.first());
        let source = other.ok_or_else(|| self.unreachable(f))?.engine.clone();
        let target = self.member(to).and_then(|m| m.live()).ok_or(EngineError::Io)?;
        Ok((source, target))
    }

    /// Looks whether a disk failed.
    fn look(&self, number: u16) {
        if let Some(m) = self.member(number) {
            self.notice(&m);
        }
    }

    /// Frees what a disk holds of a family that is not placed there any more, when nobody reads it.
    pub(crate) async fn give_up(&self, f: Family, number: u16) -> Result<(), EngineError> {
        self.holds.grace().await;
        let Some(member) = self.member(number) else { return Ok(()) };
        let Some(engine) = member.live() else { return Ok(()) };
        if self.table.borrow().place(f).has(number) || self.fills.to(f) == Some(number) {
            return Ok(());
        }
        tracing::debug!(tree = f.0, object = f.1, disk = number, "a copy that has no place is given up");
        let result = engine.evict(f.0, f.1).await;
        self.notice(&member);
        match result {
            // What finds no room to go stays as a stray, which the next opening finds.
            Err(EngineError::NoSpace) => Ok(()),
            other => other,
        }
    }

    /// All families that any live disk holds something of, or is known to lack: the only disk that has it may be away.
    pub(crate) fn families(&self) -> BTreeSet<Family> {
        let live = self.live();
        let held = live.iter().flat_map(|t| t.engine.versions()).map(|v| (v.tree, v.index));
        held.chain(live.iter().flat_map(|t| t.member.lacked())).collect()
    }

    /// Replaces a disk in the sets of all trees, so that nothing new comes to it. What is there already keeps its
    /// place, by overrides. Sets of which no disk says what they hold stay as they are.
    pub(crate) async fn retire(&self, number: u16) -> Result<(), EngineError> {
        let trees: BTreeSet<u64> = {
            let lead = self.lead()?;
            let named = |k| matches!(k, ImageKind::Volume | ImageKind::Snapshot | ImageKind::Ghost);
            lead.catalogue().iter().filter(|n| named(n.kind)).map(|n| n.tree).collect()
        };
        for tree in trees {
            let uses = {
                let table = self.table.borrow();
                match table.trees.get(&tree) {
                    Some(t) => t.sets.iter().any(|s| s.has(number)),
                    None => table.home.has(number),
                }
            };
            if uses {
                self.retire_from(tree, number).await?;
            }
        }
        Ok(())
    }

    async fn retire_from(&self, tree: u64, number: u16) -> Result<(), EngineError> {
        loop {
            let volumes = self.lead()?.volumes_of(tree);
            let _held = self.hold(volumes.iter().copied(), 0, u64::MAX).await;
            let _one = self.holds.catalogue().await;
            if self.lead()?.volumes_of(tree) != volumes {
                continue;
            }
            let (sets, policy) = {
                let table = self.table.borrow();
                match table.trees.get(&tree) {
                    Some(t) => (t.sets.clone(), t.policy.clone()),
                    None => (vec![table.home], Policy::default()),
                }
            };
            let mut fresh = sets.clone();
            for (turn, set) in fresh.iter_mut().enumerate().filter(|(_, s)| s.has(number)) {
                if let Some(better) = self.replace(set, number, &policy, turn) {
                    *set = better;
                }
            }
            return self.put_sets(tree, Tree { policy, sets: fresh }, &sets).await;
        }
    }

    /// A set with another disk at the place of one; `None` when there is no other, or when no disk of the set
    /// that is there could say which families exist.
    fn replace(&self, set: &Tuple, number: u16, policy: &Policy, turn: usize) -> Option<Tuple> {
        if !self.is_known(set) {
            return None;
        }
        let table = self.table.borrow();
        let last = set.disks().last() == Some(&number);
        let open = self.open_disks();
        let fits = |d: &u16| *d != number && !set.has(*d) && table.admits(policy, last, *d);
        let all: Vec<u16> = open.into_iter().map(|(d, _)| d).filter(fits).collect();
        let to = *all.get(turn % all.len().max(1))?;
        set.with(Some(number), to)
    }

    /// Gives a tree other sets; families that exist stay where they are. The caller holds the tree's volumes and
    /// the catalogue.
    async fn put_sets(&self, tree: u64, fresh: Tree, old: &[Tuple]) -> Result<(), EngineError> {
        if fresh.sets == old && self.table.borrow().policy(tree) == fresh.policy {
            return Ok(());
        }
        let pins: BTreeMap<Family, Tuple> = {
            let after = {
                let mut t = crate::place::Table::new(0);
                t.trees.insert(tree, fresh.clone());
                t
            };
            let table = self.table.borrow();
            let moved = |f: &Family| f.0 == tree && after.by_set(*f) != table.place(*f);
            self.families().into_iter().filter(moved).map(|f| (f, table.place(f))).collect()
        };
        self.pin(&pins).await?;
        self.put_tree(tree, fresh).await
    }

    /// Writes places down even where they are what the set says anyway, because the set is about to change.
    async fn pin(&self, pins: &BTreeMap<Family, Tuple>) -> Result<(), EngineError> {
        let mut pages: BTreeMap<(u64, u32), BTreeMap<u64, Tuple>> = BTreeMap::new();
        for (f, tuple) in pins {
            let number = u32::try_from(f.1 / PAGE).map_err(|_| EngineError::Invalid("no such object"))?;
            let table = self.table.borrow();
            let page = pages.entry((f.0, number)).or_insert_with(|| table.page(*f).into_iter().collect());
            page.insert(f.1, *tuple);
        }
        for ((tree, number), page) in pages {
            let page: Vec<(u64, Tuple)> = page.into_iter().collect();
            let (key, bytes) = (Key::Overrides(tree, number).uuid(), &encode_page(&page));
            self.on_all(&|e| Box::pin(async move { e.put_record(key, bytes).await })).await?;
            let places = page.into_iter().map(|(index, t)| ((tree, index), t));
            self.table.borrow_mut().overrides.extend(places);
        }
        Ok(())
    }

    /// Names a placement group; an empty one goes.
    pub async fn put_group(&self, name: &str, disks: Vec<u16>) -> Result<(), EngineError> {
        if name.is_empty() || name.len() > 200 {
            return Err(EngineError::Invalid("a placement group has a name of 1 to 200 bytes"));
        }
        let _one = self.holds.catalogue().await;
        let mut groups = self.table.borrow().groups.clone();
        match disks.is_empty() {
            true => drop(groups.remove(name)),
            false => drop(groups.insert(name.into(), disks)),
        }
        let (key, bytes) = (Key::Groups.uuid(), &encode_groups(&groups));
        self.on_all(&|e| Box::pin(async move { e.put_record(key, bytes).await })).await?;
        self.table.borrow_mut().groups = groups;
        self.mover.look_again();
        self.work.fire();
        Ok(())
    }

    /// The placement groups.
    pub fn groups(&self) -> BTreeMap<String, Vec<u16>> {
        self.table.borrow().groups.clone()
    }

    /// Gives the tree of a volume or snapshot another policy; what exists moves by and by.
    pub async fn set_policy(&self, id: uuid::Uuid, policy: &Policy) -> Result<(), EngineError> {
        loop {
            let tree = self.identify(id)?.tree;
            let volumes = self.lead()?.volumes_of(tree);
            let _held = self.hold(volumes.iter().copied(), 0, u64::MAX).await;
            let _one = self.holds.catalogue().await;
            if self.lead()?.volumes_of(tree) != volumes {
                continue;
            }
            let (sets, old) = {
                let table = self.table.borrow();
                let sets = table.choose_sets(policy, &self.open_disks());
                let old = table.trees.get(&tree).map_or(vec![table.home], |t| t.sets.clone());
                (sets, old)
            };
            let sets = sets.ok_or(EngineError::Invalid("the placement asks for more disks than serve"))?;
            if !old.iter().all(|s| self.is_known(s)) {
                return Err(EngineError::Invalid("disks are away that may hold objects of this volume"));
            }
            self.put_sets(tree, Tree { policy: policy.clone(), sets }, &old).await?;
            self.mover.look_again();
            self.work.fire();
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::Class;
    use crate::copy::tests::two_disks;

    /// A copy was given up while it rested, and another one of the same object is being made. Whoever waits for that took
    /// the one that rests, for ever, and let nobody else in between.
    #[test]
    fn what_was_given_up_is_not_gone_on_with_for_another_copy() {
        let (array, f) = (two_disks(), (1, 0));
        let old = array.fills.begin(f, 2);
        assert!(array.fills.stop(f, 2) && !array.fills.stop(f, 2));
        let filling = Cell::new(Some(old));
        *array.mover.current.borrow_mut() =
            Some(Move { class: Class::Eject, family: f, from: Some(1), to: 2, filling });
        let own = array.fills.begin(f, 2);
        let mut waits = pin!(array.hurry(f));
        let mut is_over = || waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(!is_over());
        array.fills.end(f, old);
        assert!(!is_over() && array.fills.goes_on(f, own), "another copy's end is not its");
        array.fills.end(f, own);
        assert!(is_over());
    }
}
