//! Disks in memory that have objects: of each volume and snapshot the first quarter of its objects is stored, object n
//! on disk n % 3 + 1 and, where two copies are asked for, on the one after it.

use std::collections::{BTreeMap, BTreeSet};

use parpen_base::{Boxed, GIB, MIB};
use parpen_model::ports::Media;
use parpen_model::{
    BalancePlan, BalanceShare, BalanceVerb, Condition, CopyState, Disk, DiskPlace, DiskState, DiskVerb, Due,
    HeldObject, Keeping, Label, PoolHealth, Scrubbed, StoredObject, Subject, Survey, Task, Upkeep,
    Whereabouts,
};

use crate::world::Sizes;

pub const OBJECT: u64 = 32 * MIB;

/// Another disk at the place of one.
fn replaced(disks: &[u16], from: u16, to: u16) -> Vec<u16> {
    disks.iter().map(|d| if *d == from { to } else { *d }).collect()
}

impl Sizes {
    fn state(&self, disk: u16) -> DiskState {
        self.disks.lock().unwrap().get(&disk).copied().unwrap_or(DiskState::Absent)
    }

    /// The first disk that is up and not among these.
    fn open(&self, but: &[u16]) -> Option<u16> {
        let disks = self.disks.lock().unwrap();
        disks.iter().find(|(d, s)| **s == DiskState::Up && !but.contains(d)).map(|(d, _)| *d)
    }

    fn objects(&self, (_, size, label): &(Subject, u64, Vec<u8>)) -> Vec<StoredObject> {
        let name = Label::from_bytes(label).unwrap().name;
        let copies = if name.contains("twice") { 2 } else { 1 };
        let count = size.div_ceil(OBJECT);
        let object = |n: u64| {
            let disks: Vec<u16> = (0..copies).map(|c| ((n + c) % 3) as u16 + 1).collect();
            let stored = n < count.div_ceil(4);
            let leaves = disks
                .iter()
                .find(|d| matches!(self.state(**d), DiskState::Ejecting | DiskState::Paused) && stored);
            let due = leaves.and_then(|from| Some(replaced(&disks, *from, self.open(&disks)?)));
            let is_planned = *self.is_planned.lock().unwrap() && stored && disks[0] == 1;
            let planned = is_planned.then(|| replaced(&disks, 1, self.open(&disks).unwrap()));
            StoredObject {
                stored,
                own: stored.then_some(OBJECT / 2),
                due: due.unwrap_or_else(|| disks.clone()),
                planned: planned.unwrap_or_else(|| disks.clone()),
                disks,
            }
        };
        (0..count).map(object).collect()
    }

    fn all(&self) -> BTreeMap<Subject, Vec<StoredObject>> {
        let held = self.held.lock().unwrap();
        held.values().map(|piece| (piece.0, self.objects(piece))).collect()
    }

    fn keeping(&self, tree: u64, objects: &[StoredObject]) -> Keeping {
        let mut k = Keeping { tree, ..Keeping::default() };
        let down = |d: &&u16| !self.state(**d).is_there();
        k.missing_targets = (1..=3).filter(|d| down(&d)).collect();
        for o in objects.iter().filter(|o| o.stored) {
            let away: BTreeSet<u16> = o.disks.iter().filter(down).copied().collect();
            let is_gone = away.len() == o.disks.len();
            k.stored += OBJECT / 2;
            k.on_disk += OBJECT / 2 * o.disks.len() as u64;
            k.due += u64::from(o.due != o.disks);
            k.planned += u64::from(o.planned != o.disks);
            k.short += u64::from(!is_gone && !away.is_empty());
            k.away += u64::from(is_gone);
            k.unreachable_bytes += if is_gone { OBJECT } else { 0 };
            if is_gone {
                k.needed.extend(away)
            } else {
                k.missing.extend(away)
            }
            let leaves = |d: &&u16| matches!(self.state(**d), DiskState::Ejecting | DiskState::Paused);
            k.leaving.extend(o.disks.iter().filter(leaves));
        }
        k
    }

    fn disk(&self, id: u16, state: DiskState) -> Disk {
        let all = self.all();
        let on = all.values().flatten().filter(|o| o.stored && o.disks.contains(&id)).count() as u64;
        Disk { id, state, objects: on, stored: on * OBJECT / 2, used: on * OBJECT / 2, ..self.figures() }
    }

    fn figures(&self) -> Disk {
        Disk {
            id: 0,
            uuid: self.pool.0,
            pool: self.pool,
            path: "/data/pools/local.disk".into(),
            description: "pool \"local\", which is on a file of this machine".into(),
            ssd: true,
            state: if self.fault.is_some() { DiskState::Failed } else { DiskState::Up },
            scrub: Scrubbed::default(),
            fault: self.fault.clone(),
            size: 100 * GIB,
            used: 3 * GIB,
            free: 97 * GIB,
            stored: 3 * GIB,
            ignored: false,
            objects: 96,
            objects_max: 3200,
            entries: 1000,
            entries_max: 26_214_400,
            group_size: GIB,
        }
    }

    fn plan(&self) -> Option<BalancePlan> {
        let is_planned = *self.is_planned.lock().unwrap();
        is_planned.then(|| {
            let all = self.all();
            let moves: Vec<&StoredObject> = all.values().flatten().filter(|o| o.planned != o.disks).collect();
            let count = |disk: u16, has: fn(&StoredObject) -> &Vec<u16>| {
                moves.iter().filter(|o| has(o).contains(&disk)).count() as u64
            };
            let share = |disk: u16| {
                let (before, after) = (count(disk, |o| &o.disks), count(disk, |o| &o.planned));
                let (gets, gives) = (after.saturating_sub(before), before.saturating_sub(after));
                BalanceShare { disk, before: before * OBJECT / 2, after: after * OBJECT / 2, gets, gives }
            };
            let (moves, disks) = (moves.len() as u64, (1..=3).map(share).collect());
            BalancePlan { moves, bytes: moves * OBJECT / 2, disks, running: false }
        })
    }
}

impl Media for Sizes {
    fn disks(&self) -> Boxed<'_, Result<Vec<Disk>, Condition>> {
        let states = self.disks.lock().unwrap().clone();
        let all = match states.is_empty() {
            true => vec![self.figures()],
            false => states.into_iter().map(|(id, state)| self.disk(id, state)).collect(),
        };
        Box::pin(async { Ok(all) })
    }
    fn health<'a>(&'a self, _: &'a [u16]) -> Boxed<'a, Result<PoolHealth, Condition>> {
        Box::pin(async { Ok(PoolHealth::default()) })
    }
    fn survey(&self) -> Boxed<'_, Result<Survey, Condition>> {
        let mut survey = Survey::default();
        if self.disks.lock().unwrap().is_empty() {
            let held = self.held.lock().unwrap();
            let quarter = |size: &u64| Keeping { stored: size / 4, on_disk: size / 4, ..Keeping::default() };
            survey.all = held.iter().map(|(id, (_, size, _))| (*id, quarter(size))).collect();
            drop(held);
            return Box::pin(async { Ok(survey) });
        }
        for (n, (what, objects)) in self.all().into_iter().enumerate() {
            survey.all.insert(what.uuid(), self.keeping(n as u64 + 1, &objects));
            for o in objects.iter().filter(|o| o.due != o.disks) {
                for (from, to) in o.disks.iter().zip(&o.due).filter(|(from, to)| from != to) {
                    let due: &mut Due = survey.due.entry(*from).or_default();
                    (due.gives, due.bytes_out) = (due.gives + 1, due.bytes_out + OBJECT / 2);
                    let due: &mut Due = survey.due.entry(*to).or_default();
                    (due.gets, due.bytes_in) = (due.gets + 1, due.bytes_in + OBJECT / 2);
                }
            }
        }
        Box::pin(async { Ok(survey) })
    }
    fn whereabouts(
        &self,
        what: Subject,
        (from, most): (u64, u64),
    ) -> Boxed<'_, Result<Whereabouts, Condition>> {
        let all = self.all().remove(&what).unwrap_or_default();
        let objects = all.into_iter().skip(from as usize).take(most as usize).collect();
        Box::pin(async { Ok(Whereabouts { sets: (1..=3).map(|d| vec![d]).collect(), objects }) })
    }
    fn holds(
        &self,
        disk: u16,
        (from, most): ((u64, u64), u64),
    ) -> Boxed<'_, Result<Vec<HeldObject>, Condition>> {
        let mut some = Vec::new();
        for (rank, (what, objects)) in self.all().into_iter().enumerate() {
            for (n, _) in objects.iter().enumerate().filter(|(_, o)| o.stored && o.disks.contains(&disk)) {
                let at = (rank as u64, n as u64);
                let (of, copy) = (Some(what.uuid()), CopyState::Good);
                some.push(HeldObject { of, at, bytes: OBJECT / 2, version: 7, generation: 3, copy });
            }
        }
        some.retain(|h| h.at >= from);
        some.truncate(most.min(5) as usize);
        Box::pin(async { Ok(some) })
    }
    fn tasks(&self) -> Boxed<'_, Result<Vec<Task>, Condition>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn found(&self) -> Vec<DiskPlace> {
        Vec::new()
    }
    fn knows<'a>(&'a self, _: &'a str) -> Boxed<'a, Result<Option<u16>, Condition>> {
        Box::pin(async { Ok(None) })
    }
    fn add<'a>(&'a self, _: &'a DiskPlace) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async { Ok(()) })
    }
    fn change(&self, disk: u16, verb: DiskVerb) -> Boxed<'_, Result<(), Condition>> {
        let state = match verb {
            DiskVerb::SoftEject => DiskState::Ejecting,
            DiskVerb::PauseEject => DiskState::Paused,
            DiskVerb::Eject => DiskState::Failed,
            _ => DiskState::Up,
        };
        self.disks.lock().unwrap().entry(disk).and_modify(|s| *s = state);
        Box::pin(async { Ok(()) })
    }
    fn balance(&self) -> Boxed<'_, Result<BalancePlan, Condition>> {
        Box::pin(async { Ok(BalancePlan { moves: 0, bytes: 0, disks: Vec::new(), running: false }) })
    }
    fn planned(&self) -> Boxed<'_, Result<Option<BalancePlan>, Condition>> {
        let plan = self.plan().filter(|_| !self.disks.lock().unwrap().is_empty());
        Box::pin(async { Ok(plan) })
    }
    fn rebalance(&self, verb: BalanceVerb) -> Boxed<'_, Result<(), Condition>> {
        *self.is_planned.lock().unwrap() = verb == BalanceVerb::Plan;
        Box::pin(async { Ok(()) })
    }
    fn keep_up(&self, _: Upkeep) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async { Ok(()) })
    }
}
