//! Where the objects of one volume or snapshot are, and how many on each disk.

use std::collections::BTreeMap;

use parpen_identity::{Actor, Power, may};
use parpen_model::{Condition, Keeping, Pool, StoredObject, Subject, Whereabouts};

use super::{PAGE, check_count};
use crate::Ports;

/// What a disk has of one volume or snapshot, now and later: objects, and bytes of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Now.
    pub now: (u64, u64),
    /// When what is due is done.
    pub due: (u64, u64),
    /// When the balancing plan is carried out.
    pub planned: (u64, u64),
    /// What comes by what is due.
    pub due_in: (u64, u64),
    /// What comes by the plan.
    pub planned_in: (u64, u64),
}

/// How a volume or snapshot is spread over the disks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// The sets of disks that new objects are placed on.
    pub sets: Vec<Vec<u16>>,
    /// Objects that can be read on a disk.
    pub per_disk: BTreeMap<u16, u64>,
    /// Objects by the disks they are on.
    pub at: BTreeMap<Vec<u16>, u64>,
    /// Objects by the disks they are to be on.
    pub due: BTreeMap<Vec<u16>, u64>,
    /// Objects of its own, and bytes in them, by the disks that the balancing plan gives them.
    pub planned: BTreeMap<Vec<u16>, (u64, u64)>,
    /// What each disk has of its own.
    pub shares: BTreeMap<u16, Share>,
}

fn add(to: &mut (u64, u64), bytes: u64) {
    *to = (to.0 + 1, to.1 + bytes);
}

impl Spread {
    /// With what the balancer gives to another one, and its sets.
    pub fn join(&mut self, other: Spread) {
        for (disks, (objects, bytes)) in other.planned {
            let sum = self.planned.entry(disks).or_default();
            *sum = (sum.0 + objects, sum.1 + bytes);
        }
        self.sets = other.sets;
    }

    fn count(&mut self, o: &StoredObject) {
        if !o.stored {
            return;
        }
        o.disks.iter().for_each(|d| *self.per_disk.entry(*d).or_default() += 1);
        *self.at.entry(o.disks.clone()).or_default() += 1;
        *self.due.entry(o.due.clone()).or_default() += 1;
        // The disks are told also where it reads what another one owns.
        let planned = self.planned.entry(o.planned.clone()).or_default();
        let Some(own) = o.own else { return };
        add(planned, own);
        let mut note = |disk: &u16, of: fn(&mut Share) -> &mut (u64, u64)| {
            add(of(self.shares.entry(*disk).or_default()), own)
        };
        let comes = |d: &&u16| !o.disks.contains(d);
        o.disks.iter().for_each(|d| note(d, |s| &mut s.now));
        o.due.iter().for_each(|d| note(d, |s| &mut s.due));
        o.planned.iter().for_each(|d| note(d, |s| &mut s.planned));
        o.due.iter().filter(comes).for_each(|d| note(d, |s| &mut s.due_in));
        o.planned.iter().filter(comes).for_each(|d| note(d, |s| &mut s.planned_in));
    }
}

/// Some objects. What is being made or was just deleted has none, which is no reason to keep the rest of a list back.
async fn page(
    ports: &Ports,
    pool: &Pool,
    what: Subject,
    from: u64,
) -> Result<Option<Whereabouts>, Condition> {
    match ports.figures.whereabouts(pool, what, (from, PAGE)).await {
        Err(Condition::NotFound { .. }) => Ok(None),
        other => other,
    }
}

/// How a volume or snapshot of a pool is spread over its disks; over none in a pool without any of its own.
pub async fn spread(ports: &Ports, actor: &Actor, pool: &Pool, what: Subject) -> Result<Spread, Condition> {
    may(actor, Power::Read, None)?;
    let (mut spread, mut from) = (Spread::default(), 0);
    while let Some(page) = page(ports, pool, what, from).await? {
        page.objects.iter().for_each(|o| spread.count(o));
        spread.sets = page.sets;
        from += page.objects.len() as u64;
        if page.objects.is_empty() {
            break;
        }
    }
    Ok(spread)
}

/// Where each object of a volume or snapshot is, and the sets of disks for new ones; refused when there are more than
/// `most`.
pub async fn places(
    ports: &Ports,
    actor: &Actor,
    (pool, what): (&Pool, Subject),
    most: usize,
) -> Result<(Vec<Vec<u16>>, Vec<StoredObject>), Condition> {
    may(actor, Power::Read, None)?;
    let (mut sets, mut all) = (Vec::new(), Vec::new());
    while let Some(page) = page(ports, pool, what, all.len() as u64).await? {
        sets = page.sets;
        if page.objects.is_empty() {
            break;
        }
        all.extend(page.objects);
        check_count(all.len(), most)?;
    }
    Ok((sets, all))
}

/// Whether there are disks for all of its copies.
pub fn is_feasible(k: &Keeping, s: &Spread) -> bool {
    k.missing_targets.is_empty() && !s.sets.is_empty()
}
