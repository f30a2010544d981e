//! Objects: where those of a volume are, and what a disk has.

use std::collections::{BTreeMap, HashMap};

use parpen_model::{Api, CopyState, HeldObject, StoredObject};
use parpen_service::objects::{Part, Spread};
use parpen_service::{snapshots, volumes};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::snapshot_name;

/// A document with more members.
pub(super) fn with(mut doc: Value, more: Value) -> Value {
    if let (Some(doc), Value::Object(more)) = (doc.as_object_mut(), more) {
        doc.extend(more);
    }
    doc
}

/// A volume or snapshot with each object's disks. An object that was never written is on none.
pub fn with_places(doc: Value, sets: &[Vec<u16>], all: &[StoredObject]) -> Value {
    let place = |o: &StoredObject| if o.stored { o.disks.clone() } else { Vec::new() };
    let objects: Vec<Vec<u16>> = all.iter().map(place).collect();
    with(doc, json!({ "targetDiskSets": sets, "objects": objects }))
}

/// A volume or snapshot with the counts of its objects by disks.
pub fn with_spread(doc: Value, s: &Spread) -> Value {
    let by_disks = |all: &BTreeMap<Vec<u16>, u64>| {
        all.iter().map(|(disks, count)| json!({ "disks": disks, "count": count })).collect::<Vec<_>>()
    };
    let per_disk = s.per_disk.iter().map(|(disk, count)| (disk.to_string(), json!(count)));
    let more = json!({
        "disksCount": s.per_disk.len(),
        "objectsPerDisk": per_disk.collect::<Map<String, Value>>(),
        "objectsPerChain": by_disks(&s.at),
        "objectsPerDiskSet": by_disks(&s.due),
    });
    with(doc, more)
}

/// Whose an object is.
pub struct ObjectOwner {
    name: String,
    parent: String,
    id: i64,
}

impl ObjectOwner {
    /// A volume's.
    pub fn volume(v: &volumes::View) -> ObjectOwner {
        ObjectOwner {
            name: v.volume.shown_in(Api::StorPool),
            parent: v.parent.as_ref().map(snapshot_name).unwrap_or_default(),
            id: v.volume.stamp.seq,
        }
    }

    /// A snapshot's.
    pub fn snapshot(s: &snapshots::View) -> ObjectOwner {
        ObjectOwner {
            name: snapshot_name(&s.snapshot),
            parent: s.parent.as_ref().map(snapshot_name).unwrap_or_default(),
            id: s.snapshot.stamp.seq,
        }
    }
}

/// The number of an object's state.
fn state(copy: CopyState) -> u8 {
    match copy {
        // It will be given up, so that none of the words for a copy that counts is true.
        CopyState::Stray => 0,
        CopyState::Good => 1,
        CopyState::Behind => 2,
        CopyState::Coming => 3,
        CopyState::Unknown => 4,
    }
}

/// A disk with each object on it. What a deleted volume left to others has no name any more.
pub fn disk_with_objects(doc: Value, all: &[HeldObject], owners: &HashMap<Uuid, ObjectOwner>) -> Value {
    let object = |(n, held): (usize, &HeldObject)| {
        let owner = held.of.and_then(|id| owners.get(&id));
        let more = json!({
            "objectId": n,
            "volume": owner.map_or("", |o| &o.name),
            "parentVolume": owner.map_or("", |o| &o.parent),
            "volumeId": owner.map_or(0, |o| o.id),
            "generation": held.generation,
            "version": held.version,
            "onDiskSize": held.bytes,
            "storedSize": held.bytes,
            "state": state(held.copy),
        });
        (n.to_string(), more)
    };
    let objects: Map<String, Value> = all.iter().enumerate().map(object).collect();
    with(doc, json!({ "objects": objects }))
}

/// A disk with what it has of each volume and snapshot.
pub fn disk_with_parts(
    doc: Value,
    parts: &HashMap<Option<Uuid>, Part>,
    owners: &HashMap<Uuid, ObjectOwner>,
) -> Value {
    let (mut states, mut infos) = (BTreeMap::new(), BTreeMap::<&str, (Part, BTreeMap<u8, u64>)>::new());
    for (id, part) in parts {
        let name = id.and_then(|id| owners.get(&id)).map_or("", |o| o.name.as_str());
        let (sum, own) = infos.entry(name).or_default();
        (sum.objects, sum.bytes) = (sum.objects + part.objects, sum.bytes + part.bytes);
        for (copy, count) in &part.copies {
            *own.entry(state(*copy)).or_default() += count;
            *states.entry(state(*copy)).or_default() += count;
        }
    }
    let counts = |all: &BTreeMap<u8, u64>| {
        all.iter().map(|(state, count)| (state.to_string(), json!(count))).collect::<Map<String, Value>>()
    };
    let info = |(name, (part, states)): (&&str, &(Part, BTreeMap<u8, u64>))| {
        let doc = json!({
            "name": name,
            "objectsCount": part.objects,
            "storedSize": part.bytes,
            "onDiskSize": part.bytes,
            "objectStates": counts(states),
        });
        (name.to_string(), doc)
    };
    let infos: Map<String, Value> = infos.iter().map(info).collect();
    with(doc, json!({ "objectStates": counts(&states), "volumeInfos": infos }))
}
