//! Members that miss something: they are out before anything is answered that they lack.

use std::rc::Rc;

use parpen_engine::sync::join_all;
use parpen_engine::{Disk, EngineError, Rules};

use crate::Array;
use crate::array::Target;
use crate::codec::{Entry, Key, Members};
use crate::member::{Member, Standing, Unclean};
use crate::unflushed::Disks;
use crate::witness::EraMark;

/// Eras have 24 bits in the origin of a block.
const ERA_MAX: u32 = (1 << 24) - 1;

impl<D: Disk, R: Rules> Array<D, R> {
    /// A member failed or was left behind: from now on it gets nothing and is not read. What no other disk has and
    /// no flush covered is lost.
    pub(crate) fn mark_failed(&self, member: &Member<D, R>, why: &str) {
        if member.failed.replace(true) {
            return;
        }
        tracing::error!(disk = member.number, why, "a disk is out");
        if let Some(engine) = member.engine() {
            member.room.set(engine.space().free);
            // The medium is let go of, so that it can be attached again; the last one still tells what there was.
            if engine.is_fenced() && self.members.borrow().iter().any(|m| m.live().is_some()) {
                member.set_engine(None);
            }
        }
        *member.trouble.borrow_mut() = Some(why.into());
        self.unflushed.failed(self);
        self.failures.set(self.failures.get() + 1);
        self.refresh();
        self.work.fire();
    }

    /// Looks whether a request fenced a member.
    pub(crate) fn notice(&self, member: &Member<D, R>) {
        let fenced = member.engine().is_some_and(|e| e.is_fenced());
        if fenced {
            self.mark_failed(member, "a write or flush failed");
        }
    }

    /// Looks at everybody: a disk may also be fenced by what it does by itself, a checkpoint for example, and whoever
    /// goes on without it must know.
    fn notice_all(&self) {
        let members = self.members.borrow();
        let unnoticed = |m: &&Rc<Member<D, R>>| !m.failed.get() && m.engine().is_some_and(|e| e.is_fenced());
        let fenced: Vec<Rc<Member<D, R>>> = members.iter().filter(unnoticed).cloned().collect();
        drop(members);
        fenced.iter().for_each(|m| self.notice(m));
    }

    /// Ends when whoever missed something is durably out. Answers to what they missed wait for it.
    pub(crate) async fn settle(&self) -> Result<(), EngineError> {
        self.notice_all();
        if self.is_settled() {
            return Ok(());
        }
        let _one = self.holds.catalogue().await;
        self.settle_locked().await
    }

    /// [`Array::settle`] for who holds the catalogue.
    pub(crate) async fn settle_locked(&self) -> Result<(), EngineError> {
        loop {
            self.notice_all();
            if self.is_settled() {
                return Ok(());
            }
            if !self.live().iter().any(|t| t.clean) {
                // Nobody is left to write it down; every request says so.
                return Err(EngineError::Io);
            }
            // Again, as a disk may have written the era down and then failed in its checkpoint: it would still count
            // as in sync, but not get what comes next.
            self.new_era().await?;
        }
    }

    /// Whether everybody who missed something is durably out.
    pub(crate) fn is_settled(&self) -> bool {
        self.failures.get() == self.settled.get()
    }

    /// Begins an era with the members as they stand: on all disks, then with the witness, then for writes. The
    /// caller holds the catalogue (or nobody else is there yet).
    pub(crate) async fn new_era(&self) -> Result<(), EngineError> {
        let failures = loop {
            // Who is fenced does not write the record down, so it must not be called in sync there.
            self.notice_all();
            let failures = self.failures.get();
            let known = self.mark.get().era.max(self.witnessed.get().era);
            if known >= ERA_MAX {
                return Err(EngineError::Invalid(
                    "the store has used up its eras; copy its volumes to a new one",
                ));
            }
            let mark = EraMark { era: known + 1, nonce: self.entropy.u64() };
            self.mark.set(mark);
            for m in self.members.borrow().iter().filter(|m| m.failed.get()) {
                if m.standing.get() == Standing::InSync {
                    m.standing.set(Standing::Out { era: mark.era });
                }
            }
            if self.put_members().await? {
                break failures;
            }
        };
        if R::WITNESS {
            let mark = self.mark.get();
            self.witness.note(mark).await?;
            self.witnessed.set(mark);
        }
        let live = self.live();
        let era = self.mark.get().era;
        self.holds.eras.alone(|| live.iter().for_each(|t| t.engine.set_era(era))).await;
        // Who failed meanwhile is for the next one.
        self.settled.set(failures);
        Ok(())
    }

    /// Begins an era if anything changed since this was done last: a copy of a disk that was made before is told from
    /// the disk then, when somebody puts it back. An error is the witness's, or that of the last disks in sync; the era that
    /// was goes on.
    pub async fn renew(&self) -> Result<(), EngineError> {
        if self.stirred() == self.renewed.get() {
            return Ok(());
        }
        let _one = self.holds.catalogue().await;
        self.settle_locked().await?;
        let requests = self.requests();
        self.new_era().await?;
        self.renewed.set((requests, self.stirred().1));
        Ok(())
    }

    /// Writes the members record to all live disks; `false` when one failed meanwhile.
    async fn put_members(&self) -> Result<bool, EngineError> {
        let live = self.live();
        if !live.iter().any(|t| t.clean) {
            return Err(EngineError::Io);
        }
        let bytes = self.members_record().encode();
        let puts = live.iter().map(|t| t.engine.put_record(Key::Members.uuid(), &bytes)).collect();
        let results = join_all(puts).await;
        let refused = |t: &Target<D, R>, r: &Result<(), EngineError>| r.is_err() && !t.engine.is_fenced();
        let mut in_sync = live.iter().zip(&results).filter(|(t, _)| t.clean);
        if let Some((_, Err(e))) = in_sync.clone().next()
            && in_sync.all(|(t, r)| refused(t, r))
        {
            // Nobody is left to go on without them.
            return Err(*e);
        }
        let mut all = true;
        let era = self.mark.get().era;
        for (t, result) in live.iter().zip(results) {
            match result {
                Ok(()) => t.member.knows.set(era),
                Err(e) => {
                    all = false;
                    self.mark_failed(&t.member, &format!("it could not write down who is in sync: {e}"));
                }
            }
        }
        Ok(all)
    }

    pub(crate) fn members_record(&self) -> Members {
        let entry = |m: &Rc<Member<D, R>>| Entry {
            number: m.number,
            uuid: m.uuid,
            standing: m.standing.get(),
            knows: m.knows.get(),
            eject: m.eject.get(),
            about: m.about.borrow().clone(),
        };
        let home = self.table.borrow().home.disks()[0];
        let all = self.members.borrow().iter().map(entry).collect();
        Members { mark: self.mark.get(), base: self.witnessed.get(), home, all }
    }

    /// Writes the members as they stand, without a new era: nobody missed anything. The caller holds the
    /// catalogue.
    pub(crate) async fn save_members(&self) -> Result<(), EngineError> {
        if self.put_members().await? {
            return Ok(());
        }
        self.settle_locked().await
    }

    /// Forgets how far a member that is out was compared.
    pub(crate) fn drop_engine(&self, member: &Member<D, R>) {
        member.set_engine(None);
        *member.unclean.borrow_mut() = Unclean::Nothing;
    }
}

impl<D: Disk, R: Rules> Disks for Array<D, R> {
    fn is_failed(&self, number: u16) -> bool {
        self.member(number).is_none_or(|m| m.failed.get())
    }

    fn is_in_sync(&self, number: u16) -> bool {
        self.member(number).is_some_and(|m| m.in_sync())
    }
}
