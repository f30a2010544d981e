//! Opening: who is believed, who follows, and what must be equal before anything is served.
//!
//! 1. The *authority* is the disk with the newest era and, within it, the most changes of the catalogue, among
//!    those whose record says that they are in sync and belongs to the history that the witness knows.
//! 2. Every other disk takes the authority's catalogue, and with it the members and the placement.
//! 3. Only when no disk that says otherwise could be believed any more is the space of deleted things taken back.
//! 4. Replicas in sync that differ (by writes that no flush covered) are made equal.
//! 5. What lies on a disk that is not its place is given up.
//! 6. A new era begins, in which whoever is not there is out.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use parpen_base::Entropy;
use parpen_engine::sync::join_all;
use parpen_engine::{BLOCK, Disk, Engine, EngineError, Format, OpenError, Rules};
use uuid::Uuid;

use crate::Array;
use crate::codec::{Entry, Members, is_balancing, members_of, table_of};
use crate::member::{About, Eject, Member, Standing, Unclean};
use crate::place::Family;
use crate::resync::{adopt, follow};
use crate::witness::{EraMark, Witness};

/// Why a store was not opened: one sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArrayError {
    /// A disk was not opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Only disks are there that others went on without.
    #[error(
        "what is here is not what was written last: attach the newest disks {}, or open despite that and lose what \
         only they have",
        list(.0)
    )]
    NewestMissing(Vec<u16>),
    /// No disk, or none that belongs to the others.
    #[error("disk {0} is no member of this store; add it as a new one")]
    Stranger(u16),
    /// Two disks cannot be one store.
    #[error("the disks of a store must have objects of one size")]
    Unlike,
    /// No disk was named.
    #[error("a store needs at least one disk")]
    NoDisk,
    /// A record of the array is damaged on the newest disk.
    #[error("what the newest disk says about the store's disks is damaged; restore it from a copy")]
    Damaged,
    /// It could not begin to serve.
    #[error("the store cannot begin to serve: {0}")]
    Begin(EngineError),
}

fn list(numbers: &[u16]) -> String {
    let words: Vec<String> = numbers.iter().map(u16::to_string).collect();
    if words.is_empty() { "unknown".into() } else { words.join(", ") }
}

impl From<EngineError> for ArrayError {
    fn from(e: EngineError) -> ArrayError {
        match e {
            EngineError::NoSpace => ArrayError::Open(OpenError::NoSpace),
            EngineError::Io | EngineError::Fenced => ArrayError::Open(OpenError::Io),
            e => ArrayError::Begin(e),
        }
    }
}

/// A disk that may be part of the store.
pub struct Offer<D> {
    /// The number that it is known by outside.
    pub number: u16,
    /// The disk, or why it is not there.
    pub disk: Result<D, String>,
}

/// A disk to be made part of a store.
pub struct NewDisk<D> {
    /// Its number, 1 to 4095, never used in this store before.
    pub number: u16,
    /// The medium; whatever is on it is lost.
    pub disk: D,
    /// How it is formatted.
    pub format: Format,
    /// What people say of it.
    pub about: About,
}

impl<D> Offer<D> {
    /// The only disk of a store.
    pub fn one(disk: D) -> Vec<Offer<D>> {
        vec![Offer { number: 1, disk: Ok(disk) }]
    }
}

impl<D> NewDisk<D> {
    /// The only disk of a store.
    pub fn one(disk: D, format: Format) -> Vec<NewDisk<D>> {
        vec![NewDisk { number: 1, disk, format, about: About::default() }]
    }
}

/// How a store is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening {
    /// Only this store.
    pub store: Option<Uuid>,
    /// Also when the newest disks are missing: what only they have is lost.
    pub despite_missing: bool,
    /// Only with all disks that were not forgotten: without a witness nobody knows which of them are the newest.
    pub complete: bool,
}

/// An opened engine with what it says of the store.
struct Candidate<D: Disk, R: Rules> {
    number: u16,
    engine: Rc<Engine<D, R>>,
    members: Members,
    current: bool,
}

impl<D: Disk, R: Rules> Candidate<D, R> {
    fn entry(&self) -> Option<&Entry> {
        self.members.all.iter().find(|e| e.uuid == self.engine.disk_id())
    }

    fn is_in_sync(&self) -> bool {
        self.entry().is_some_and(|e| e.standing == Standing::InSync)
    }

    /// Whether it is an older copy of the disk that the members record speaks of: it lacks what nobody noted that it
    /// lacks. (One that is in sync has begun each era with the others, unless the power went in between.)
    fn is_old(&self, of: &Entry, lead: &Candidate<D, R>) -> bool {
        let (Members { mark, base, .. }, record) = (&self.members, &lead.members);
        match of.standing {
            Standing::InSync => {
                let near = [*mark, *base].iter().any(|m| *m == record.mark || *m == record.base);
                // Where the newest are given up, nobody is current.
                !(near && self.current == lead.current)
            }
            Standing::Out { .. } => is_older(*mark, of.knows),
            Standing::Forgotten => false,
        }
    }

    fn age(&self) -> (u32, u64) {
        (self.members.mark.era, self.engine.catalogue_seq())
    }
}

/// Why a disk is not believed that was put back from a copy.
pub(crate) const OLDER: &str = "it is an older copy of this disk: what was written since is not on it. Put the newest one \
                                back, or forget the disk and add it as a new one";

/// Whether what this era was read from cannot be the disk that surely wrote down the era that it `knows`.
pub(crate) fn is_older(mark: EraMark, knows: u32) -> bool {
    mark.era < knows
}

/// Disks that cannot take part, and why.
type Faults = Vec<(u16, String)>;

impl<D: Disk, R: Rules> Array<D, R> {
    /// Makes an empty store of these disks and opens it; whatever was on them is lost.
    pub async fn format(
        disks: Vec<NewDisk<D>>,
        entropy: Arc<dyn Entropy>,
        witness: Rc<dyn Witness>,
    ) -> Result<Rc<Self>, ArrayError> {
        let home = disks.iter().map(|d| d.number).min().ok_or(ArrayError::NoDisk)?;
        let entry = |d: &NewDisk<D>| Entry {
            number: d.number,
            uuid: d.format.disk,
            standing: Standing::InSync,
            knows: 0,
            eject: Eject::No,
            about: d.about.clone(),
        };
        let mark = EraMark { era: 0, nonce: entropy.u64() };
        let mut all: Vec<Entry> = disks.iter().map(entry).collect();
        all.sort_by_key(|e| e.number);
        let members = Members { mark, base: mark, home, all };
        let mut candidates = Vec::new();
        for d in disks {
            Engine::<D, R>::format(&d.disk, d.format).await?;
            let engine = Engine::<D, R>::open_store(d.disk, entropy.clone(), Some(d.format.store)).await?;
            engine.put_record(crate::codec::Key::Members.uuid(), &members.encode()).await?;
            candidates.push(Candidate { number: d.number, engine, members: members.clone(), current: true });
        }
        if R::WITNESS {
            witness.note(mark).await.map_err(EngineError::from)?;
        }
        Self::assemble(candidates, Vec::new(), Some(mark), entropy, witness, Opening::default()).await
    }

    /// Opens the store on the disks that are there.
    pub async fn open(
        offers: Vec<Offer<D>>,
        entropy: Arc<dyn Entropy>,
        witness: Rc<dyn Witness>,
        how: Opening,
    ) -> Result<Rc<Self>, ArrayError> {
        let noted = match R::WITNESS {
            true => witness.read().await.map_err(EngineError::from)?,
            false => None,
        };
        let (mut opened, mut faults, mut first) = (Vec::new(), Vec::new(), None);
        for offer in offers {
            let disk = match offer.disk {
                Ok(disk) => disk,
                Err(why) => {
                    faults.push((offer.number, why));
                    continue;
                }
            };
            match Engine::<D, R>::open_member(disk, entropy.clone(), how.store).await {
                Ok(engine) => opened.push((offer.number, engine)),
                Err(e) => {
                    faults.push((offer.number, e.to_string()));
                    first.get_or_insert(e);
                }
            }
        }
        if opened.is_empty() {
            return Err(first.map_or(ArrayError::NoDisk, ArrayError::Open));
        }
        let candidates = Self::candidates(opened, noted, &mut faults)?;
        Self::assemble(candidates, faults, noted, entropy, witness, how).await
    }

    /// What the opened disks say. A single one that says nothing was made before there were arrays.
    fn candidates(
        opened: Vec<(u16, Rc<Engine<D, R>>)>,
        noted: Option<EraMark>,
        faults: &mut Faults,
    ) -> Result<Vec<Candidate<D, R>>, ArrayError> {
        let mut out = Vec::new();
        let alone = opened.len() == 1;
        for (number, engine) in opened {
            let members = match members_of(&engine.records()) {
                Ok(Some(members)) => members,
                Ok(None) if alone && noted.is_none() => first_members(number, engine.disk_id()),
                Ok(None) => {
                    faults.push((number, "it was never made part of this store".into()));
                    continue;
                }
                Err(()) if alone => return Err(ArrayError::Damaged),
                Err(()) => {
                    faults.push((number, "what it says about the store's disks is damaged".into()));
                    continue;
                }
            };
            let current = noted.is_none_or(|w| members.mark == w || members.base == w);
            out.push(Candidate { number, engine, members, current });
        }
        Ok(out)
    }

    async fn assemble(
        candidates: Vec<Candidate<D, R>>,
        mut faults: Faults,
        noted: Option<EraMark>,
        entropy: Arc<dyn Entropy>,
        witness: Rc<dyn Witness>,
        how: Opening,
    ) -> Result<Rc<Self>, ArrayError> {
        let lead = Self::authority(&candidates, how)?;
        let (authority, record) = (lead.engine.clone(), lead.members.clone());
        if how.complete {
            let there = |e: &&Entry| candidates.iter().any(|c| c.engine.disk_id() == e.uuid);
            let wanted = record.all.iter().filter(|e| e.standing != Standing::Forgotten && !there(e));
            let missing: Vec<u16> = wanted.map(|e| e.number).collect();
            if !missing.is_empty() {
                return Err(ArrayError::NewestMissing(missing));
            }
        }
        let eras = candidates.iter().map(|c| c.members.mark.era).chain(noted.map(|w| w.era));
        let newest = eras.max().unwrap_or(0);
        let object_blocks = authority.layout().object_blocks;
        let table = table_of(record.home, &authority.records()).map_err(|()| ArrayError::Damaged)?;
        // Whoever is in sync in the era that the witness knows had it before the witness.
        let all_know = noted.filter(|w| *w == record.mark).map_or(0, |w| w.era);
        let mut members = Vec::new();
        for e in &record.all {
            let found = candidates.iter().find(|c| c.engine.disk_id() == e.uuid);
            let fits = |c: &&Candidate<D, R>| c.engine.layout().object_blocks == object_blocks;
            let old = found.is_some_and(|c| R::ADOPT_AUTHORITY && c.is_old(e, lead));
            if old {
                faults.push((e.number, OLDER.into()));
            }
            let engine = found.filter(fits).filter(|_| e.standing != Standing::Forgotten && !old);
            let m = Member::new(e.number, e.uuid, e.about.clone(), engine.map(|c| c.engine.clone()));
            m.standing.set(e.standing);
            m.knows.set(if e.standing == Standing::InSync { e.knows.max(all_know) } else { e.knows });
            m.eject.set(e.eject);
            if engine.is_none() {
                m.failed.set(true);
                let why = faults.iter().find(|(n, _)| *n == e.number).map(|(_, why)| why.clone());
                *m.trouble.borrow_mut() = Some(why.unwrap_or_else(|| "it is not there".into()));
            } else if e.standing != Standing::InSync {
                *m.unclean.borrow_mut() = Unclean::Anything;
            }
            members.push(Rc::new(m));
        }
        members.sort_by_key(|m| m.number);
        for c in candidates.iter().filter(|c| !record.all.iter().any(|e| e.uuid == c.engine.disk_id())) {
            faults.push((c.number, "it is no member of this store".into()));
        }
        faults.iter().for_each(|(disk, why)| tracing::warn!(disk, why, "a disk does not take part"));
        let object_bytes = u64::from(object_blocks) * BLOCK;
        let array = Array::new(authority.store_id(), object_bytes, entropy, witness, members, table);
        array.mark.set(EraMark { era: newest, nonce: 0 });
        array.witnessed.set(noted.unwrap_or(record.mark));
        let balancing = is_balancing(&authority.records());
        array.mover.resume.set(balancing);
        array.mover.noted.set(balancing);
        array.begin(&authority, &candidates).await?;
        array.renewed.set(array.stirred());
        Ok(Rc::new(array))
    }

    fn authority(candidates: &[Candidate<D, R>], how: Opening) -> Result<&Candidate<D, R>, ArrayError> {
        if !R::ADOPT_AUTHORITY {
            return candidates.iter().min_by_key(|c| c.number).ok_or(ArrayError::NoDisk);
        }
        let believed = |c: &&Candidate<D, R>| (c.current && c.is_in_sync()) || how.despite_missing;
        let best = candidates
            .iter()
            .filter(believed)
            .max_by_key(|c| (c.current && c.is_in_sync(), c.age(), std::cmp::Reverse(c.number)));
        best.ok_or_else(|| match candidates.iter().max_by_key(|c| c.age()) {
            Some(newest) => {
                let there = |n: u16| candidates.iter().any(|c| c.number == n && c.is_in_sync() && c.current);
                let missing = newest.members.all.iter().filter(|e| e.standing != Standing::Forgotten);
                ArrayError::NewestMissing(missing.map(|e| e.number).filter(|n| !there(*n)).collect())
            }
            None => ArrayError::NoDisk,
        })
    }

    /// Everything between the choice of the authority and the first request.
    async fn begin(
        &self,
        authority: &Rc<Engine<D, R>>,
        candidates: &[Candidate<D, R>],
    ) -> Result<(), ArrayError> {
        self.refresh();
        let theirs = candidates.iter().find(|c| Rc::ptr_eq(&c.engine, authority)).map(|c| c.members.mark);
        for t in self.live().iter().filter(|t| !Rc::ptr_eq(&t.engine, authority)) {
            let mark = candidates.iter().find(|c| Rc::ptr_eq(&c.engine, &t.engine)).map(|c| c.members.mark);
            let steps = |e: &Engine<D, R>| (e.catalogue_seq(), e.next_lineage());
            let same = t.clean && mark == theirs && steps(&t.engine) == steps(authority);
            if same || !R::ADOPT_AUTHORITY {
                continue;
            }
            let adopted = match t.clean && mark == theirs {
                true => follow(authority, &t.engine).await,
                false => adopt(authority, &t.engine).await,
            };
            if let Err(e) = adopted {
                self.mark_failed(&t.member, &format!("it could not take the store's catalogue: {e}"));
            }
        }
        // An authority that was believed in need may not have been in sync; now it is.
        if let Some(t) = self.live().iter().find(|t| Rc::ptr_eq(&t.engine, authority)) {
            t.member.standing.set(Standing::InSync);
            *t.member.unclean.borrow_mut() = Unclean::Nothing;
        }
        self.refresh();
        // What was deleted can come back only by a disk that knows less and would be believed without the others.
        let missing = |m: &&Rc<Member<D, R>>| m.standing.get() == Standing::InSync && m.live().is_none();
        let all_know = !self.members.borrow().iter().any(|m| missing(&m));
        if all_know {
            self.take_back_space().await;
        }
        if R::RECONCILE_AT_OPEN {
            self.reconcile().await;
        }
        self.evict_strays().await?;
        let live = self.live();
        for (t, result) in live.iter().zip(join_all(live.iter().map(|t| t.engine.flush()).collect()).await) {
            if let Err(e) = result {
                self.mark_failed(&t.member, &format!("a flush failed: {e}"));
            }
        }
        self.new_era().await?;
        if !all_know {
            self.take_back_space().await;
            self.settle_locked().await?;
        }
        self.drop_dead_trees().await?;
        self.refresh();
        Ok(())
    }

    /// Makes families equal on all of their disks that are in sync: all of them have what a flush covered, and
    /// what no flush covered may be either.
    async fn reconcile(&self) {
        if self.live().iter().filter(|t| t.clean).count() < 2 {
            return;
        }
        for f in self.families() {
            let sources = self.sources(f);
            let Some((first, others)) = sources.split_first() else { continue };
            for other in others.iter().filter(|t| t.member.in_sync()) {
                if self.is_same(f, &first.engine, &other.engine) {
                    continue;
                }
                let mut all = u64::MAX;
                let (one, two) = (first.member.number, other.member.number);
                tracing::debug!(
                    tree = f.0,
                    object = f.1,
                    from = one,
                    to = two,
                    "copies differ and are made equal"
                );
                let copied = self.copy_family(f, &first.engine, &other.engine, &mut all, true).await;
                self.notice(&first.member);
                if let Err(e) = copied {
                    let why = format!("object {} of tree {} could not be made equal: {e}", f.1, f.0);
                    self.mark_failed(&other.member, &why);
                }
            }
        }
    }

    /// Gives up what lies on disks that are not its place, if its place has it.
    async fn evict_strays(&self) -> Result<(), EngineError> {
        if self.members.borrow().len() == 1 {
            return Ok(());
        }
        for t in self.live().iter().filter(|t| t.clean) {
            let strays: BTreeSet<Family> = {
                let table = self.table.borrow();
                let all = t.engine.versions().into_iter().map(|v| (v.tree, v.index));
                all.filter(|f| !table.place(*f).has(t.member.number)).collect()
            };
            for f in strays {
                if !self.sources(f).is_empty() {
                    self.give_up(f, t.member.number).await?;
                }
            }
        }
        Ok(())
    }

    /// Forgets the placement of trees that are gone.
    async fn drop_dead_trees(&self) -> Result<(), EngineError> {
        let lead = self.lead()?;
        let keys: Vec<Uuid> = {
            let table = self.table.borrow();
            let trees = table.trees.keys().copied().chain(table.overrides.keys().map(|f| f.0));
            let dead: BTreeSet<u64> = trees.filter(|t| lead.lineages(*t).is_empty()).collect();
            crate::codec::keys_of(&lead.records(), &dead)
        };
        let _one = self.holds.catalogue().await;
        for key in &keys {
            self.on_all(&|e| Box::pin(async move { e.put_record(*key, &[]).await })).await?;
        }
        if !keys.is_empty() {
            let home = self.table.borrow().home.disks()[0];
            let table =
                table_of(home, &lead.records()).map_err(|()| EngineError::Invalid("a damaged record"))?;
            *self.table.borrow_mut() = table;
        }
        Ok(())
    }
}

/// The members of a store that was made before there were arrays.
fn first_members(number: u16, uuid: Uuid) -> Members {
    let about = About::default();
    let all = vec![Entry { number, uuid, standing: Standing::InSync, knows: 0, eject: Eject::No, about }];
    Members { mark: EraMark::default(), base: EraMark::default(), home: number, all }
}
