//! Bringing a disk back that was away: it takes the catalogue, gets every new write of its families at once, and
//! is read only for families that are equal to those of a disk that was there all the time.
//!
//! Whatever was written while it was away has an era in its origin that the disk cannot have, so comparing maps
//! says exactly what it lacks; nothing is read to find out.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::rc::Rc;

use parpen_engine::{Disk, Engine, EngineError, Heads, Rules};

use crate::Array;
use crate::array::Target;
use crate::copy::Progress;
use crate::member::{Lacks, Member, Standing, Unclean};
use crate::mover::Class;
use crate::place::{Family, Tuple};

/// A disk that was left behind comes back by itself when it has this much more room than then, in bytes; a small
/// disk when it is this part of what it can hold.
const MORE_ROOM: u64 = 1 << 20;
const MORE_SHARE: u64 = 32;

impl<D: Disk, R: Rules> Array<D, R> {
    /// Works on members that are behind; `false`: there is nothing to do for any.
    pub(crate) async fn resync(&self, left: &mut u64) -> bool {
        let members: Vec<Rc<Member<D, R>>> = self.members.borrow().clone();
        for m in members {
            let Standing::Out { .. } = m.standing.get() else { continue };
            let result = match m.live() {
                Some(engine) => self.catch_up(&m, &engine, left).await,
                None => self.readmit(&m).await,
            };
            match result {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => {
                    self.notice(&m);
                    tracing::warn!(disk = m.number, %error, "the disk cannot be brought up to date now");
                }
            }
        }
        false
    }

    /// A member that was only left behind (its engine is well) comes back by itself.
    async fn readmit(&self, m: &Rc<Member<D, R>>) -> Result<bool, EngineError> {
        let well = m.engine().filter(|e| m.failed.get() && !e.is_fenced());
        let again = m.again.replace(false);
        let roomier = |e: &Rc<Engine<D, R>>| {
            let space = e.space();
            again || space.free > m.room.get() + MORE_ROOM.min(space.capacity / MORE_SHARE)
        };
        let Some(engine) = well.filter(|e| roomier(e) && self.lead().is_ok()) else {
            return Ok(false);
        };
        self.join(m, engine).await.map(|()| true)
    }

    /// Lets an engine serve as this member, which has missed something.
    pub(crate) async fn join(
        &self,
        m: &Rc<Member<D, R>>,
        engine: Rc<Engine<D, R>>,
    ) -> Result<(), EngineError> {
        let _one = self.holds.catalogue().await;
        self.settle_locked().await?;
        self.teach(&engine).await?;
        // It is out, durably: nobody goes by what it knew any more.
        engine.release_ghosts();
        engine.reclaim_quietly().await?;
        engine.set_era(self.era());
        engine.set_generation(self.generation.get());
        *m.unclean.borrow_mut() = Unclean::Anything;
        *m.trouble.borrow_mut() = None;
        m.set_engine(Some(engine));
        m.failed.set(false);
        self.refresh();
        Ok(())
    }

    /// Gives an engine that is to serve the catalogue of those that do, and lets it keep what they keep of it.
    pub(crate) async fn teach(&self, engine: &Engine<D, R>) -> Result<(), EngineError> {
        engine.keep_links(&self.links.borrow());
        adopt(&*self.lead()?, engine).await
    }

    async fn catch_up(
        &self,
        m: &Rc<Member<D, R>>,
        engine: &Rc<Engine<D, R>>,
        left: &mut u64,
    ) -> Result<bool, EngineError> {
        let (looked_at, empty, tuples) = match &*m.unclean.borrow() {
            Unclean::Anything => (false, false, BTreeSet::new()),
            Unclean::Nothing => (true, true, BTreeSet::new()),
            Unclean::These(lacks) => (true, lacks.is_empty(), lacks.tuples.clone()),
        };
        if !looked_at {
            self.compare_all(m, engine).await?;
            return Ok(true);
        }
        if empty {
            self.come_in_sync(m, engine).await?;
            return Ok(true);
        }
        if let Some(tuple) = tuples.iter().find(|t| self.can_tell(t, m)) {
            self.compare_tuple(m, engine, tuple);
            return Ok(true);
        }
        let before = *left;
        let mut next = m.lacks_from((0, 0));
        let mut stuck = 0;
        while let Some(f) = next {
            next = m.lacks_from((f.0, f.1 + 1));
            match self.catch_up_family(m, engine, f, left).await {
                Ok(true) => {
                    self.mover.count(Class::Recovery, m.number, |c| c.bytes += before - *left);
                    return Ok(true);
                }
                Ok(false) => {}
                // A block of it is lost everywhere; the others can be had.
                Err(EngineError::DataLost) => stuck += 1,
                Err(e) => return Err(e),
            }
        }
        self.mover.count(Class::Recovery, m.number, |c| c.stuck = stuck);
        // What is left waits for disks that were there longer.
        Ok(false)
    }

    /// Brings one family up to date; `false`: it has to wait for another disk.
    async fn catch_up_family(
        &self,
        m: &Rc<Member<D, R>>,
        engine: &Rc<Engine<D, R>>,
        f: Family,
        left: &mut u64,
    ) -> Result<bool, EngineError> {
        let placed = self.table.borrow().place(f).has(m.number);
        if !placed {
            self.clean(m, f);
            return Ok(true);
        }
        let Some(source) = self.others(f, m).into_iter().next() else {
            let best = self.is_best(f, m);
            if best {
                self.clean(m, f);
            }
            return Ok(best);
        };
        self.unflushed.overwritten(m.number);
        if self.copy_family(f, &source.engine, engine, left, false).await? == Progress::Paused {
            return Ok(true);
        }
        // Nobody writes while the last look is taken.
        let volumes = self.lead()?.volumes_of(f.0);
        let first = f.1 * self.object_blocks();
        let mut ranges = Vec::with_capacity(volumes.len());
        for id in &volumes {
            ranges.push(self.holds.ranges.lock(*id, first, first + self.object_blocks() - 1).await);
        }
        let mut all = u64::MAX;
        self.copy_family(f, &source.engine, engine, &mut all, true).await?;
        if self.is_same(f, &source.engine, engine) && source.member.live().is_some() {
            self.clean(m, f);
        }
        Ok(true)
    }

    fn clean(&self, m: &Member<D, R>, f: Family) {
        if let Unclean::These(lacks) = &mut *m.unclean.borrow_mut()
            && lacks.families.remove(&f)
        {
            // Writes that failed meanwhile may have made it lack more than it was found to.
            self.mover.count(Class::Recovery, m.number, |c| {
                c.done += 1;
                c.all = c.all.max(c.done);
            });
        }
    }

    /// Other disks that have the newest of a family.
    fn others(&self, f: Family, m: &Member<D, R>) -> Vec<Target<D, R>> {
        self.sources(f).into_iter().filter(|t| t.member.number != m.number).collect()
    }

    /// Whether no other disk of a family can be newer.
    fn is_best(&self, f: Family, m: &Member<D, R>) -> bool {
        self.is_longest(&self.table.borrow().place(f), m)
    }

    /// Whether a disk was there at least as long as any other of a tuple that may come back.
    ///
    /// Of two that went out together it is always the one with the lower number: if either would do, each could go
    /// on without the other, and after the next start nobody could tell which one did.
    fn is_longest(&self, tuple: &Tuple, m: &Member<D, R>) -> bool {
        let until = |m: &Member<D, R>| match m.standing.get() {
            Standing::InSync => (u32::MAX, Reverse(m.number)),
            Standing::Out { era } => (era, Reverse(m.number)),
            Standing::Forgotten => (0, Reverse(m.number)),
        };
        let others = tuple.disks().iter().filter(|n| **n != m.number).filter_map(|n| self.member(*n));
        others.into_iter().all(|o| until(&o) <= until(m))
    }

    /// Whether the next start would believe a disk about a family whatever other disks say: then what is written
    /// to it is not forgotten for an older one. A disk that is in sync, or was there longest.
    pub(crate) fn is_believed(&self, f: Family, m: &Member<D, R>) -> bool {
        m.in_sync() || self.is_best(f, m)
    }

    /// Whether it can be told now what a disk lacks of a tuple: another disk knows, or this one was there longest.
    fn can_tell(&self, tuple: &Tuple, m: &Member<D, R>) -> bool {
        let others = tuple.disks().iter().filter(|n| **n != m.number).filter_map(|n| self.member(*n));
        let knows = |o: Rc<Member<D, R>>| o.live().is_some() && o.knows(tuple);
        others.into_iter().any(knows) || self.is_longest(tuple, m)
    }

    /// Whether a family on a disk is not, or may not be, the newest.
    fn differs(&self, f: Family, m: &Member<D, R>, engine: &Engine<D, R>) -> bool {
        match self.others(f, m).first() {
            Some(source) => !self.is_same(f, &source.engine, engine),
            None => !self.is_best(f, m),
        }
    }

    /// Finds out which families of a member differ. It gets their writes already, so what is equal now stays so.
    async fn compare_all(&self, m: &Rc<Member<D, R>>, engine: &Rc<Engine<D, R>>) -> Result<(), EngineError> {
        self.holds.grace().await;
        let unknown: BTreeSet<Tuple> = {
            let all = self.table.borrow().tuples();
            all.into_iter().filter(|t| t.has(m.number) && !self.can_tell(t, m)).collect()
        };
        let (mine, strays): (BTreeSet<Family>, BTreeSet<Family>) = {
            let table = self.table.borrow();
            self.families().into_iter().partition(|f| table.place(*f).has(m.number))
        };
        let told = |f: &Family| !unknown.contains(&self.table.borrow().place(*f));
        let families: BTreeSet<Family> =
            mine.into_iter().filter(|f| told(f) && self.differs(*f, m, engine)).collect();
        tracing::info!(disk = m.number, families = families.len(), "a disk is back; these differ");
        self.mover.count(Class::Recovery, m.number, |c| c.all = c.done + families.len() as u64);
        *m.unclean.borrow_mut() = Unclean::These(Lacks { families, tuples: unknown });
        for f in strays {
            if !engine.family(f.0, f.1).is_empty() && !self.sources(f).is_empty() {
                self.give_up(f, m.number).await?;
            }
        }
        Ok(())
    }

    /// The same for the families of one tuple, now that it can be told.
    fn compare_tuple(&self, m: &Rc<Member<D, R>>, engine: &Rc<Engine<D, R>>, tuple: &Tuple) {
        let here = |f: &Family| self.table.borrow().place(*f) == *tuple;
        let differ: Vec<Family> =
            self.families().into_iter().filter(|f| here(f) && self.differs(*f, m, engine)).collect();
        if let Unclean::These(lacks) = &mut *m.unclean.borrow_mut() {
            self.mover.count(Class::Recovery, m.number, |c| c.all += differ.len() as u64);
            lacks.families.extend(differ);
            lacks.tuples.remove(tuple);
        }
    }

    /// A member that lacks nothing counts again, durably.
    async fn come_in_sync(&self, m: &Rc<Member<D, R>>, engine: &Rc<Engine<D, R>>) -> Result<(), EngineError> {
        // What others had alone is on this one, too: durably, before anybody else may go.
        self.flush_all().await?;
        if self.count_in(m, engine).await? {
            // Nothing may be away any more that kept deleted things linked.
            self.reclaim(&self.live()).await;
        }
        Ok(())
    }

    /// Writes down that a member is in sync, unless it fell behind again.
    async fn count_in(&self, m: &Rc<Member<D, R>>, engine: &Rc<Engine<D, R>>) -> Result<bool, EngineError> {
        let _one = self.holds.catalogue().await;
        self.settle_locked().await?;
        engine.flush().await?;
        let lacks = matches!(&*m.unclean.borrow(), Unclean::These(lacks) if !lacks.is_empty());
        if lacks || m.live().is_none() {
            return Ok(false);
        }
        m.standing.set(Standing::InSync);
        *m.unclean.borrow_mut() = Unclean::Nothing;
        self.refresh();
        self.mover.look_again();
        tracing::info!(disk = m.number, "a disk is in sync again");
        self.save_members().await?;
        self.unflushed.in_sync(m.number);
        Ok(true)
    }
}

/// Gives an engine the catalogue of another.
pub(crate) async fn adopt<D: Disk, R: Rules>(
    lead: &Engine<D, R>,
    engine: &Engine<D, R>,
) -> Result<(), EngineError> {
    engine.adopt(lead.catalogue_seq(), lead.next_lineage(), &lead.catalogue(), Heads::Bases).await
}

/// [`adopt`] for one that was there all the time and lacks the last change only, which was never answered.
pub(crate) async fn follow<D: Disk, R: Rules>(
    lead: &Engine<D, R>,
    engine: &Engine<D, R>,
) -> Result<(), EngineError> {
    engine.adopt(lead.catalogue_seq(), lead.next_lineage(), &lead.catalogue(), Heads::Gone).await
}
