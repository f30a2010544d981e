//! How what volumes and snapshots hold is stored, for people who look: counted when somebody asks, some objects at a
//! time, from what is in memory.

use std::collections::{BTreeMap, BTreeSet};

use parpen_engine::sync::yield_now;
use parpen_engine::{BLOCK, Disk, EngineError, Kin, Rules, VersionInfo};
use uuid::Uuid;

use crate::Array;
use crate::array::Target;
use crate::due::Plans;
use crate::member::{Eject, Standing};
use crate::place::{Family, Tuple};

/// Objects that are looked at in one go.
pub(crate) const STRIDE: usize = 256;

/// How the objects of one volume or snapshot are stored. Those that it shares count for each that reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// The tree of snapshots and clones that it belongs to.
    pub tree: u64,
    /// Bytes of its own, each counted once.
    pub stored: u64,
    /// Bytes of its own on all disks together.
    pub on_disk: u64,
    /// Objects that are on the way to another disk or due to go there.
    pub due: u64,
    /// Objects that a balancing plan moves.
    pub planned: u64,
    /// Objects with fewer good copies than they are to have.
    pub short: u64,
    /// Objects of which a copy is being made, or a disk that is there may not have the newest.
    pub behind: u64,
    /// Bytes on one disk in these.
    pub behind_bytes: u64,
    /// Objects that cannot be read or written: only a disk that is brought up to date may have them.
    pub soon: u64,
    /// The same: only disks that are away may have them.
    pub away: u64,
    /// The same: all of their disks are gone for good.
    pub lost: u64,
    /// Bytes of the volume in those three.
    pub unreachable_bytes: u64,
    /// Disks that are away and without which objects cannot be reached.
    pub needed: BTreeSet<u16>,
    /// Disks that are away while others have what they have.
    pub missing: BTreeSet<u16>,
    /// Disks that are away and are to take new objects.
    pub missing_targets: BTreeSet<u16>,
    /// Disks that have objects of it and are being emptied.
    pub leaving: BTreeSet<u16>,
}

/// What is due to come to a disk and to leave it: versions of objects, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Object versions that come.
    pub gets: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Object versions that leave.
    pub gives: u64,
    /// Their bytes.
    pub bytes_out: u64,
}

/// How everything is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// By volume and snapshot.
    pub all: BTreeMap<Uuid, Keeping>,
    /// By disk.
    pub due: BTreeMap<u16, Due>,
}

/// What is to be said of a family besides that it is well.
#[derive(Default)]
struct Sight {
    away: Vec<u16>,
    leaving: Vec<u16>,
    behind: bool,
    short: bool,
    due: Option<(Option<u16>, u16)>,
    planned: bool,
}

impl Sight {
    fn is_plain(&self) -> bool {
        let quiet = self.away.is_empty() && self.leaving.is_empty() && self.due.is_none();
        quiet && !self.behind && !self.short && !self.planned
    }

    fn note(&self, k: &mut Keeping, bytes: u64) {
        k.due += u64::from(self.due.is_some());
        k.planned += u64::from(self.planned);
        k.short += u64::from(self.short);
        k.behind += u64::from(self.behind);
        k.behind_bytes += if self.behind { bytes } else { 0 };
        k.missing.extend(&self.away);
        k.leaving.extend(&self.leaving);
    }
}

impl<D: Disk, R: Rules> Array<D, R> {
    /// How everything is stored. What changes meanwhile may be seen or not; others run in between.
    pub async fn survey(&self) -> Survey {
        let (mut survey, plans) = (Survey::default(), self.plans());
        let mut tree = 0;
        while let Some(next) = self.lead().ok().and_then(|lead| lead.tree_after(tree)) {
            tree = next;
            self.survey_tree(tree, &plans, &mut survey).await;
            yield_now().await;
        }
        survey
    }

    async fn survey_tree(&self, tree: u64, plans: &Plans, survey: &mut Survey) {
        let Ok(lead) = self.lead() else { return };
        let names: Vec<Kin> = lead.kin(tree).into_iter().filter(|k| k.id.is_some()).collect();
        let targets = self.sets_of(tree).iter().flat_map(|t| self.away_of(t)).collect::<BTreeSet<u16>>();
        for id in names.iter().filter_map(|k| k.id) {
            let keeping = survey.all.entry(id).or_default();
            (keeping.tree, keeping.missing_targets) = (tree, targets.clone());
        }
        for t in self.live() {
            let (kin, mut said) = (t.engine.kin(tree), BTreeSet::new());
            for k in &kin {
                let mut from = 0;
                loop {
                    let some = t.engine.versions_of(k.lineage, from, STRIDE);
                    for v in &some {
                        self.survey_version(&t, &kin, (k, v), (&mut said, plans), survey);
                    }
                    match some.last() {
                        Some(last) if some.len() == STRIDE => from = last.index + 1,
                        _ => break,
                    }
                    yield_now().await;
                }
            }
            yield_now().await;
        }
        self.survey_unreachable(tree, &names, survey).await;
    }

    /// Counts a version, and its family if this disk is to tell of it and has not (`said`).
    fn survey_version(
        &self,
        t: &Target<D, R>,
        kin: &[Kin],
        (k, v): (&Kin, &VersionInfo),
        (said, plans): (&mut BTreeSet<u64>, &Plans),
        survey: &mut Survey,
    ) {
        let family = (v.tree, v.index);
        let tells = self.teller(family).is_some_and(|m| m.number == t.member.number);
        if let Some(id) = k.id {
            let keeping = survey.all.entry(id).or_default();
            keeping.on_disk += v.owned * BLOCK;
            keeping.stored += if tells { v.owned * BLOCK } else { 0 };
        }
        if !tells || said.contains(&v.index) {
            return;
        }
        let sight = self.sight(family, plans);
        if sight.is_plain() {
            return;
        }
        said.insert(v.index);
        let versions = t.engine.family(family.0, family.1);
        let bytes = versions.iter().map(|v| v.owned).sum::<u64>() * BLOCK;
        if let Some((from, to)) = sight.due {
            let count = versions.len() as u64;
            let due = survey.due.entry(to).or_default();
            (due.gets, due.bytes_in) = (due.gets + count, due.bytes_in + bytes);
            if let Some(from) = from {
                let due = survey.due.entry(from).or_default();
                (due.gives, due.bytes_out) = (due.gives + count, due.bytes_out + bytes);
            }
        }
        let has = |lineage| versions.iter().any(|v| v.lineage == lineage);
        let mut sees = BTreeSet::new();
        for k in kin {
            if !has(k.lineage) && !sees.contains(&k.parent) {
                continue;
            }
            sees.insert(k.lineage);
            if let Some(id) = k.id.filter(|_| v.index * self.object_bytes < k.bytes) {
                sight.note(survey.all.entry(id).or_default(), bytes.min(self.object_bytes));
            }
        }
    }

    async fn survey_unreachable(&self, tree: u64, names: &[Kin], survey: &mut Survey) {
        let note = |family: Family| {
            let start = family.1 * self.object_bytes;
            let tuple = self.table.borrow().place(family);
            let is_lost = self.unreachable(family) == EngineError::DataLost;
            let comes = tuple.disks().iter().any(|n| self.member(*n).is_some_and(|m| m.live().is_some()));
            for k in names.iter().filter(|k| start < k.bytes) {
                let keeping = survey.all.entry(k.id.unwrap_or_default()).or_default();
                keeping.unreachable_bytes += self.object_bytes.min(k.bytes - start);
                keeping.needed.extend(self.away_of(&tuple));
                match (is_lost, comes) {
                    (true, _) => keeping.lost += 1,
                    (false, true) => keeping.soon += 1,
                    (false, false) => keeping.away += 1,
                }
            }
        };
        self.out_of_reach(tree, note).await;
    }

    /// The sets by which a tree's new objects are placed.
    pub(crate) fn sets_of(&self, tree: u64) -> Vec<Tuple> {
        let table = self.table.borrow();
        table.trees.get(&tree).filter(|t| !t.sets.is_empty()).map_or(vec![table.home], |t| t.sets.clone())
    }

    /// The disks of a tuple that are not there, but may come back.
    fn away_of(&self, tuple: &Tuple) -> Vec<u16> {
        let away = |n: &u16| {
            let member = self.member(*n);
            member.is_some_and(|m| m.live().is_none() && m.standing.get() != Standing::Forgotten)
        };
        tuple.disks().iter().copied().filter(away).collect()
    }

    fn sight(&self, f: Family, plans: &Plans) -> Sight {
        let targets = self.targets(f);
        if !targets.iter().any(|t| t.clean) {
            return Sight::default();
        }
        let (tuple, replicas) = {
            let table = self.table.borrow();
            (table.place(f), table.trees.get(&f.0).map_or(1, |t| usize::from(t.policy.replicas)))
        };
        let copies = targets.iter().filter(|t| t.clean).count();
        let empties = |t: &&Target<D, R>| t.member.eject.get() != Eject::No && tuple.has(t.member.number);
        Sight {
            away: self.away_of(&tuple),
            leaving: targets.iter().filter(empties).map(|t| t.member.number).collect(),
            behind: targets.iter().any(|t| !t.clean),
            short: copies < replicas.max(tuple.disks().len()),
            due: self.due(f, &tuple, plans),
            planned: self.planned(f, &tuple, plans).is_some(),
        }
    }
}
