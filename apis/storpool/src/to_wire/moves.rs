//! What becomes of disks and volumes when the relocator and the balancer are through.

use parpen_model::{BalanceShare, Disk, Due, Keeping};
use parpen_service::objects::{Share, Spread, is_blocked};
use parpen_service::{snapshots, volumes};
use serde::Serialize;
use serde_json::{Value, json};

use super::objects::with;
use super::{SERVER, left};

/// A figure now and then, and how much of the latter comes from elsewhere.
#[derive(Clone, Copy)]
struct Amount {
    now: u64,
    then: u64,
    comes: u64,
}

impl Amount {
    fn with(now: u64, comes: u64, goes: u64) -> Amount {
        Amount { now, then: (now + comes).saturating_sub(goes), comes }
    }

    fn doc(self) -> Value {
        let delta = i128::from(self.then) - i128::from(self.now);
        json!({ "current": self.now, "target": self.then, "delta": delta as i64, "toRecover": self.comes })
    }
}

/// What becomes of a disk, or of a volume's part of it.
pub struct Amounts {
    objects: Amount,
    stored: Amount,
    used: Amount,
}

impl Amounts {
    /// Of a disk, by a balancing plan; without one it stays as it is.
    pub fn by_plan(d: &Disk, share: Option<&BalanceShare>) -> Amounts {
        let (gets, gives) = share.map_or((0, 0), |s| (s.gets, s.gives));
        let more = share.map_or(0, |s| s.after.saturating_sub(s.before));
        let less = share.map_or(0, |s| s.before.saturating_sub(s.after));
        Amounts {
            objects: Amount::with(d.objects, gets, gives),
            stored: Amount::with(d.stored, more, less),
            used: Amount::with(d.used, more, less),
        }
    }

    /// Of a disk, by what is due.
    pub fn by_due(d: &Disk, due: Option<&Due>) -> Amounts {
        let due = due.copied().unwrap_or_default();
        Amounts {
            objects: Amount::with(d.objects, due.gets, due.gives),
            stored: Amount::with(d.stored, due.bytes_in, due.bytes_out),
            used: Amount::with(d.used, due.bytes_in, due.bytes_out),
        }
    }

    fn of_part(now: (u64, u64), then: (u64, u64), comes: (u64, u64)) -> Amounts {
        let bytes = Amount { now: now.1, then: then.1, comes: comes.1 };
        // Of one volume's objects the disk has as many bytes as are stored in them.
        Amounts { objects: Amount { now: now.0, then: then.0, comes: comes.0 }, stored: bytes, used: bytes }
    }

    /// Of a volume on a disk, by what is due.
    pub fn part_by_due(s: &Share) -> Amounts {
        Amounts::of_part(s.now, s.due, s.due_in)
    }

    /// Of a volume on a disk, by the balancing plan.
    pub fn part_by_plan(s: &Share) -> Amounts {
        Amounts::of_part(s.now, s.planned, s.planned_in)
    }
}

/// A disk and what becomes of it.
pub fn disk_target(d: &Disk, amounts: Amounts, generation: u64) -> Value {
    let doc = json!({ "id": d.id, "serverId": SERVER, "generationLeft": left(d, generation) });
    if !d.state.is_there() {
        return doc;
    }
    let more = json!({
        "objectsCount": d.objects_max,
        "objectsAllocated": amounts.objects.doc(),
        "storedSize": amounts.stored.doc(),
        "onDiskSize": amounts.used.doc(),
    });
    with(doc, more)
}

/// The members of a summary that the balancer shows, too.
const BALANCED: [&str; 7] =
    ["name", "placeAll", "placeTail", "placeHead", "replication", "size", "objectsCount"];

fn some_of(doc: impl Serialize, members: &[&str]) -> Value {
    let doc = json!(doc);
    members.iter().map(|m| (m.to_string(), doc[m].clone())).collect::<serde_json::Map<_, _>>().into()
}

fn balanced(summary: impl Serialize, snapshot: bool, k: &Keeping) -> Value {
    let more = json!({ "snapshot": snapshot, "reallocated": k.planned > 0, "blocked": is_blocked(k) });
    with(some_of(summary, &BALANCED), more)
}

/// A volume, and whether the balancer moves anything of it.
pub fn balanced_volume(v: &volumes::View, k: &Keeping) -> Value {
    balanced(super::volume(v), false, k)
}

/// A snapshot, and whether the balancer moves anything of it.
pub fn balanced_snapshot(s: &snapshots::View, k: &Keeping) -> Value {
    balanced(super::snapshot(s), true, k)
}

/// What the balancer says of a volume, with the disks that its objects are on and those that they get.
pub fn with_disk_sets(doc: Value, s: &Spread) -> Value {
    let (now, then): (Vec<_>, Vec<_>) = (s.at.keys().collect(), s.planned.keys().collect());
    with(doc, json!({ "currentDiskSets": now, "balancerDiskSets": then }))
}

/// What grew from one another.
pub struct Allocation<'a> {
    /// What the balancer says of the oldest.
    pub root: &'a Value,
    /// Names of all.
    pub volumes: Vec<&'a str>,
    /// Bytes of all.
    pub size: u64,
    /// Bytes that are stored in all.
    pub stored: u64,
    /// There are disks for all copies.
    pub is_feasible: bool,
    /// Disks are away or being emptied.
    pub is_blocked: bool,
    /// Where the objects are.
    pub spread: &'a Spread,
}

/// The document of these.
pub fn allocation(a: &Allocation<'_>) -> Value {
    let slot = |(objects, bytes): &(u64, u64)| json!({ "objectsCount": objects, "storedSize": bytes });
    let more = json!({
        "root": a.root["name"],
        "volumes": a.volumes,
        "size": a.size,
        "storedSize": a.stored,
        "objectsCount": a.spread.planned.values().map(|(objects, _)| objects).sum::<u64>(),
        "feasible": a.is_feasible,
        "blocked": a.is_blocked,
        "targetDiskSets": a.spread.planned.keys().collect::<Vec<_>>(),
        "slots": a.spread.planned.values().map(slot).collect::<Vec<_>>(),
    });
    with(some_of(a.root, &["placeAll", "placeTail", "placeHead", "replication"]), more)
}
