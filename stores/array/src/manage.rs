//! What operators do with disks, and what they are told.

use std::rc::Rc;

use parpen_engine::{Disk, Engine, EngineError, OpenError, Rules, Space, Violation};
use uuid::Uuid;

use crate::Array;
use crate::codec::members_of;
use crate::member::{About, Eject, Faults, Member, Standing, Unclean};
use crate::mover::Class;
use crate::open::{NewDisk, OLDER, is_older};

/// How a disk is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It serves and has everything.
    InSync,
    /// It came back and gets what it lacks.
    Resyncing,
    /// It is not there, or failed.
    Out,
    /// It serves while everything moves away.
    Ejecting,
    /// The same, resting.
    EjectPaused,
    /// Everything has moved away; it can be ejected.
    Empty,
    /// It will not come back.
    Forgotten,
}

/// A disk of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its number.
    pub number: u16,
    /// Its id, as it stands on it.
    pub uuid: Uuid,
    /// How it is.
    pub state: State,
    /// What people say of it.
    pub about: About,
    /// Why it does not serve, in words.
    pub trouble: Option<String>,
    /// How full it is; `None` while it does not serve.
    pub space: Option<Space>,
    /// Object versions on it.
    pub objects: u64,
    /// Objects that it still lacks while it is resyncing.
    pub unclean: u64,
    /// What was found wrong since the store was opened.
    pub faults: Faults,
}

/// Work behind the scenes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// Of which kind.
    pub class: Class,
    /// The disk that it is about.
    pub disk: u16,
    /// Objects to do.
    pub all: u64,
    /// Objects done.
    pub completed: u64,
    /// Objects being done now.
    pub dispatched: u64,
    /// Objects that could not be done for now.
    pub stuck: u64,
    /// Bytes copied or verified.
    pub bytes: u64,
    /// It rests.
    pub paused: bool,
}

impl<D: Disk, R: Rules> Array<D, R> {
    /// All disks, by number.
    pub fn members(&self) -> Vec<MemberInfo> {
        self.members.borrow().iter().map(|m| self.describe(m)).collect()
    }

    fn describe(&self, m: &Rc<Member<D, R>>) -> MemberInfo {
        let live = m.live();
        let state = match (m.standing.get(), &live, m.eject.get()) {
            (Standing::Forgotten, ..) => State::Forgotten,
            (_, None, _) => State::Out,
            (Standing::Out { .. }, ..) => State::Resyncing,
            (_, _, Eject::No) => State::InSync,
            (_, _, Eject::Running | Eject::Paused) if self.is_empty_disk(m) => State::Empty,
            (_, _, Eject::Running) => State::Ejecting,
            (_, _, Eject::Paused) => State::EjectPaused,
        };
        let unclean = match &*m.unclean.borrow() {
            Unclean::Nothing => 0,
            Unclean::Anything => live.as_ref().map_or(0, |e| e.version_count()),
            Unclean::These(lacks) => lacks.families.len() as u64,
        };
        MemberInfo {
            number: m.number,
            uuid: m.uuid,
            state,
            about: m.about.borrow().clone(),
            trouble: m.trouble.borrow().clone(),
            space: live.as_ref().map(|e| e.space()),
            objects: live.as_ref().map_or(0, |e| e.version_count()),
            unclean,
            faults: m.faults.get(),
        }
    }

    /// What is done behind the scenes, also what is through.
    pub fn tasks(&self) -> Vec<TaskInfo> {
        let current = self.mover.current.borrow();
        let scrubs = self.mover.scrub.borrow();
        let counts = self.mover.counts.borrow();
        let task = |((class, disk), c): (&(Class, u16), &crate::mover::Count)| {
            let moving =
                current.as_ref().is_some_and(|m| m.class == *class && m.from.unwrap_or(m.to) == *disk);
            let ejecting = self.member(*disk).map(|m| m.eject.get());
            let paused = match class {
                Class::Scrub => scrubs.get(disk).is_some_and(|s| s.paused),
                Class::Eject => ejecting == Some(Eject::Paused) || !self.mover.relocator.get(),
                Class::Recovery | Class::Balance => !self.mover.relocator.get(),
            };
            TaskInfo {
                class: *class,
                disk: *disk,
                all: c.all,
                completed: c.done,
                dispatched: u64::from(moving),
                stuck: c.stuck,
                bytes: c.bytes,
                paused,
            }
        };
        counts.iter().map(task).collect()
    }

    /// Forgets the counts of work that is through.
    pub fn clear_tasks(&self) {
        self.mover.counts.borrow_mut().retain(|_, c| c.done + c.stuck < c.all);
    }

    /// How full the disks are together.
    pub fn space(&self) -> Space {
        let mut sum = Space { capacity: 0, data: 0, metadata: 0, deferred: 0, free: 0 };
        for t in self.live() {
            let s = t.engine.space();
            sum.capacity += s.capacity;
            sum.data += s.data;
            sum.metadata += s.metadata;
            sum.deferred += s.deferred;
            sum.free += s.free;
        }
        sum
    }

    fn member_or(&self, number: u16) -> Result<Rc<Member<D, R>>, EngineError> {
        self.member(number).ok_or(EngineError::NotFound)
    }

    /// Formats a disk and makes it part of the store; nothing moves to it by itself but what is short of copies.
    pub async fn add_disk(&self, new: NewDisk<D>) -> Result<(), EngineError> {
        if self.member(new.number).is_some() || new.number == 0 {
            return Err(EngineError::Exists);
        }
        let lead = self.lead()?;
        if new.format.store != self.store || new.format.layout.object_blocks != lead.layout().object_blocks {
            return Err(EngineError::Invalid("the disk is formatted for another store or object size"));
        }
        Engine::<D, R>::format(&new.disk, new.format).await?;
        let opened = Engine::<D, R>::open_store(new.disk, self.entropy.clone(), Some(self.store)).await;
        let engine = opened.map_err(|e| match e {
            OpenError::NoSpace => EngineError::NoSpace,
            _ => EngineError::Io,
        })?;
        // One disk serves without locks of the array; from here on there are two.
        let _careful = self.holds.careful().await;
        let _one = self.holds.catalogue().await;
        self.settle_locked().await?;
        // Whoever led when it began may be out by now.
        let lead = self.lead()?;
        if self.members.borrow().len() == 1 {
            // While there was one disk nobody noted what is not flushed: nothing is from here on.
            lead.flush().await?;
        }
        self.teach(&engine).await?;
        engine.set_era(self.era());
        engine.set_generation(self.generation.get());
        let m = Rc::new(Member::new(new.number, engine.disk_id(), new.about, Some(engine)));
        {
            let mut members = self.members.borrow_mut();
            members.push(m);
            members.sort_by_key(|m| m.number);
        }
        self.refresh();
        self.save_members().await?;
        self.mover.look_again();
        self.balance_soon();
        Ok(())
    }

    /// Lets a disk of this store serve again that was away; it gets what it lacks behind the scenes.
    pub async fn attach(&self, disk: D) -> Result<u16, EngineError> {
        let opened = Engine::<D, R>::open_member(disk, self.entropy.clone(), Some(self.store)).await;
        let engine = opened.map_err(|e| match e {
            OpenError::NoSpace => EngineError::NoSpace,
            OpenError::Io => EngineError::Io,
            _ => EngineError::Invalid("it is no disk of this store that can be opened"),
        })?;
        let uuid = engine.disk_id();
        let known = self.members.borrow().iter().find(|m| m.uuid == uuid).cloned();
        let Some(m) = known else {
            return Err(EngineError::Invalid("the disk is no member of this store; add it as a new one"));
        };
        if m.standing.get() == Standing::Forgotten {
            return Err(EngineError::Invalid("the disk was forgotten; add it as a new one"));
        }
        if m.live().is_some() {
            return Err(EngineError::Exists);
        }
        self.settle().await?;
        if let Ok(Some(members)) = members_of(&engine.records())
            && is_older(members.mark, m.knows.get())
        {
            return Err(EngineError::Invalid(OLDER));
        }
        self.join(&m, engine).await?;
        self.work.fire();
        Ok(m.number)
    }

    /// Lets a disk that only was left behind (for want of room, say) follow again.
    pub async fn retry(&self, number: u16) -> Result<(), EngineError> {
        let m = self.member_or(number)?;
        let engine = m.engine().filter(|e| m.failed.get() && !e.is_fenced());
        let engine = engine.ok_or(EngineError::Invalid("the disk serves, or has to be attached again"))?;
        self.settle().await?;
        self.join(&m, engine).await
    }

    /// Takes a disk out at once. Without `force` only if everything on it is elsewhere, too.
    pub async fn eject(&self, number: u16, force: bool) -> Result<(), EngineError> {
        let m = self.member_or(number)?;
        if let Some(engine) = m.live() {
            let only = |f: &crate::place::Family| {
                let sources = self.sources(*f);
                sources.len() == 1 && sources[0].member.number == number
            };
            if !force && self.on_disk(&m).iter().any(only) {
                return Err(EngineError::Invalid(
                    "it alone has some of the objects; empty it first (soft-eject)",
                ));
            }
            if !self.live().iter().any(|t| t.clean && t.member.number != number) {
                return Err(EngineError::Invalid("it is the last disk that has everything"));
            }
            // What it alone has must be on it, for the day it returns.
            let flight = self.unflushed.begin();
            let flushed = engine.flush().await;
            self.notice(&m);
            match flushed {
                Ok(()) => self.unflushed.end_alone(flight, number, self),
                Err(error) => {
                    self.unflushed.end(flight, &[], self);
                    tracing::warn!(disk = number, %error, "the ejected disk could not be flushed");
                }
            }
            self.mark_failed(&m, "it was ejected");
        }
        self.drop_engine(&m);
        self.refresh();
        self.abandon(|mv| mv.to == number).await?;
        self.settle().await
    }

    /// A disk that is out will not come back: its copies are made anew elsewhere. What only it had is lost.
    ///
    /// Refused while it may alone have objects, unless these may be lost: which objects a disk has that is away is not
    /// known, so it counts where they were placed.
    pub async fn forget(&self, number: u16, lose: bool) -> Result<(), EngineError> {
        let m = self.member_or(number)?;
        if m.live().is_some() {
            return Err(EngineError::Invalid("the disk serves; eject it first"));
        }
        self.retire(number).await?;
        if !lose && self.is_alone_on(number)? {
            return Err(EngineError::Invalid(
                "it alone may have some of the objects; bring it back, or say that they may be lost",
            ));
        }
        self.write_off(&m).await?;
        self.reclaim(&self.live()).await;
        // What it did will never be through.
        self.stop_scrub(number);
        self.mover.counts.borrow_mut().retain(|(_, disk), _| *disk != number);
        self.mover.look_again();
        Ok(())
    }

    async fn write_off(&self, m: &Member<D, R>) -> Result<(), EngineError> {
        let _one = self.holds.catalogue().await;
        self.settle_locked().await?;
        m.standing.set(Standing::Forgotten);
        m.eject.set(Eject::No);
        self.drop_engine(m);
        self.save_members().await?;
        self.refresh();
        Ok(())
    }

    /// Everything moves away from a disk, behind the scenes (or goes on after a pause).
    pub async fn soft_eject(&self, number: u16) -> Result<(), EngineError> {
        let m = self.member_or(number)?;
        if !m.in_sync() || m.live().is_none() {
            return Err(EngineError::Invalid("only a disk that is in sync can be emptied"));
        }
        let others = self.open_disks().into_iter().any(|(d, _)| d != number);
        if !others {
            return Err(EngineError::Invalid("there is no other disk to move to"));
        }
        self.set_eject(&m, Eject::Running).await?;
        self.retire(number).await?;
        self.mover.look_again();
        Ok(())
    }

    /// Lets the emptying of a disk rest.
    pub async fn pause_eject(&self, number: u16) -> Result<(), EngineError> {
        let m = self.member_or(number)?;
        if m.eject.get() != Eject::Running {
            return Err(EngineError::Invalid("the disk is not being emptied"));
        }
        self.set_eject(&m, Eject::Paused).await?;
        self.abandon(|mv| mv.class == Class::Eject && mv.from == Some(number)).await
    }

    /// Ends the emptying of a disk; what has moved stays where it is.
    pub async fn cancel_eject(&self, number: u16) -> Result<(), EngineError> {
        let m = self.member_or(number)?;
        self.set_eject(&m, Eject::No).await?;
        self.mover.counts.borrow_mut().remove(&(Class::Eject, number));
        self.abandon(|mv| mv.class == Class::Eject && mv.from == Some(number)).await
    }

    async fn set_eject(&self, m: &Member<D, R>, to: Eject) -> Result<(), EngineError> {
        let _one = self.holds.catalogue().await;
        self.settle_locked().await?;
        m.eject.set(to);
        self.save_members().await
    }

    /// Replaces what people say of a disk.
    pub async fn describe_disk(&self, number: u16, about: About) -> Result<(), EngineError> {
        let m = self.member_or(number)?;
        let _one = self.holds.catalogue().await;
        self.settle_locked().await?;
        *m.about.borrow_mut() = about;
        self.save_members().await
    }

    /// The invariants of every disk and of all together; with `data` every stored block is read and verified.
    pub async fn fsck(&self, data: bool) -> Result<Vec<Violation>, EngineError> {
        let live = self.live();
        if live.is_empty() {
            return Err(EngineError::Io);
        }
        let mut all = Vec::new();
        for t in &live {
            let found = t.engine.fsck(data).await?;
            match live.as_slice() {
                [_] => all.extend(found),
                _ => {
                    all.extend(found.into_iter().map(|v| Violation(format!("disk {}: {v}", t.member.number))))
                }
            }
        }
        all.extend(self.check());
        Ok(all)
    }

    /// Whether the disks agree with each other and with the placement. While nothing is written.
    pub fn check(&self) -> Vec<Violation> {
        let mut all = Vec::new();
        let Ok(lead) = self.lead() else { return all };
        let named = |e: &Engine<D, R>| {
            let mut nodes = e.catalogue();
            nodes.retain(|n| n.kind != parpen_engine::ImageKind::Ghost);
            // Parents may be ghosts that another disk has dissolved.
            nodes.iter_mut().for_each(|n| n.parent = 0);
            nodes
        };
        let ours = named(&lead);
        for t in self.live() {
            let number = t.member.number;
            if named(&t.engine) != ours {
                all.push(Violation(format!("disk {number}: its catalogue is not the store's")));
            }
        }
        for f in self.families() {
            let sources = self.sources(f);
            let Some((first, others)) = sources.split_first() else { continue };
            for other in others {
                let lineages = self.differing(f, &first.engine, &other.engine);
                if !lineages.is_empty() {
                    let (a, b) = (first.member.number, other.member.number);
                    all.push(Violation(format!(
                        "object {} of tree {} differs on disks {a} and {b} in lineages {lineages:?}",
                        f.1, f.0
                    )));
                }
            }
        }
        all
    }

    /// Flushes and checkpoints all members, and ends their era.
    pub async fn close(&self) -> Result<(), EngineError> {
        self.flush().await?;
        let mut result = self.renew().await;
        for t in self.live() {
            if let Err(e) = t.engine.close().await {
                self.notice(&t.member);
                result = Err(e);
            }
        }
        self.settle().await?;
        result
    }
}
