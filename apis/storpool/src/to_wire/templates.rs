//! Templates.

use parpen_model::{Snapshot, VolumeType};
use parpen_service::types::Use;
use serde_json::{Value, json};

use super::{LimitsDoc, NONE, snapshot_name};

/// The groups of all copies but the last, and of the last. Where none is named, new volumes get both from their pool; a
/// tail alone is all of them.
fn groups(t: &VolumeType) -> (String, String) {
    let text_or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| NONE.to_string());
    let all = text_or_dash(&t.place_all.clone().or(t.place_tail.clone()));
    (all, text_or_dash(&t.place_tail.clone().or(t.place_all.clone())))
}

fn copies(t: &VolumeType) -> Value {
    t.replication.map_or(json!(NONE), |n| json!(n))
}

/// A template; `parent` is the snapshot that its volumes grow from.
pub fn template(t: &VolumeType, parent: Option<&Snapshot>) -> Value {
    let (all, tail) = groups(t);
    let limits = LimitsDoc::of(t.limits);
    json!({
        "id": t.stamp.seq,
        "name": t.name,
        "parentName": parent.map(snapshot_name).unwrap_or_default(),
        "placeAll": all,
        "placeTail": tail,
        "placeHead": all,
        "size": t.size.map_or(json!(NONE), |n| json!(n)),
        "replication": copies(t),
        "bw": limits.bw,
        "iops": limits.iops,
    })
}

/// How a template is used, and the room for more.
pub fn template_status(t: &VolumeType, u: &Use) -> Value {
    let (all, tail) = groups(t);
    let room = |(free, capacity): (u64, u64)| json!({ "free": free, "capacity": capacity });
    let mut stored = room(u.room.volumes);
    stored["placeAll"] = room(u.room.all);
    stored["placeTail"] = room(u.room.tail);
    stored["placeHead"] = room(u.room.all);
    json!({
        "id": t.stamp.seq,
        "name": t.name,
        "placeAll": all,
        "placeTail": tail,
        "placeHead": all,
        "replication": copies(t),
        "volumesCount": u.volumes,
        "snapshotsCount": u.snapshots,
        "removingSnapshotsCount": u.removing,
        "size": u.size,
        "totalSize": u.total,
        "storedSize": u.stored,
        "onDiskSize": u.on_disk,
        "availablePlaceAll": u.room.all.0,
        "availablePlaceTail": u.room.tail.0,
        "availablePlaceHead": u.room.all.0,
        "capacityPlaceAll": u.room.all.1,
        "capacityPlaceTail": u.room.tail.1,
        "capacityPlaceHead": u.room.all.1,
        "stored": stored,
    })
}
