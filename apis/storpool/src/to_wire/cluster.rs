//! Disks, services and placement groups.

use parpen_model::{Disk, DiskState, Task};
use parpen_service::media::PlacementGroup;
use serde_json::{Map, Value, json};

/// The server, the management service and the node that this process is.
pub const SERVER: u16 = 1;
/// What clients take an allocation group for, in bytes: they multiply by it to show space.
const AG: u64 = 512 * parpen_base::MIB;
/// Longest description of a disk, in characters.
pub const DESCRIPTION_MAX: usize = 30;

/// Whether a disk's description may hold a character.
pub fn describes(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ')
}

fn description(text: &str) -> String {
    text.chars().map(|c| if describes(c) { c } else { '-' }).take(DESCRIPTION_MAX).collect()
}

/// The generation since which a disk is down; -1: it serves.
pub(super) fn left(d: &Disk, generation: u64) -> Value {
    if d.state.is_there() { json!(-1) } else { json!(generation) }
}

/// A disk; one that does not serve is down since `generation`.
pub fn disk(d: &Disk, generation: u64) -> Value {
    let mut doc = json!({
        "id": d.id,
        "serverId": SERVER,
        "generationLeft": left(d, generation),
        "model": "parpen",
        "serial": d.uuid.simple().to_string(),
        "description": description(&d.description),
        "softEject": soft_eject(d.state),
        "ssd": d.ssd,
    });
    if d.state.is_there()
        && let (Some(doc), Value::Object(more)) = (doc.as_object_mut(), up(d))
    {
        doc.extend(more);
    }
    doc
}

fn soft_eject(state: DiskState) -> &'static str {
    match state {
        DiskState::Ejecting => "on",
        DiskState::Paused => "paused",
        DiskState::Up | DiskState::Resyncing | DiskState::Absent | DiskState::Failed => "off",
    }
}

fn up(d: &Disk) -> Value {
    let groups = d.size / AG;
    let allocated = d.used.div_ceil(AG).min(groups);
    json!({
        "sectorsCount": d.size / parpen_base::SECTOR,
        "empty": d.objects == 0,
        "noFua": false,
        "noFlush": false,
        "noTrim": false,
        "isWbc": false,
        "journaled": false,
        "device": d.path,
        "agCount": groups,
        "agAllocated": allocated,
        "agFree": groups - allocated,
        "agFull": 0,
        "agPartial": allocated,
        "agFreeing": 0,
        "agMaxSizeFull": 0,
        "agMaxSizePartial": 0,
        "entriesCount": d.entries_max,
        "entriesAllocated": d.entries,
        "entriesFree": d.entries_max.saturating_sub(d.entries),
        "objectsCount": d.objects_max,
        "objectsAllocated": d.objects,
        "objectsFree": d.objects_max.saturating_sub(d.objects),
        "objectsOnDiskSize": d.used,
        "wbc": null,
        "aggregateScore": { "entries": 0, "space": 0, "total": 0 },
        "scrubbingStartedBefore": 0,
        "scrubbedBytes": d.scrub.bytes,
        "scrubbingBW": 0,
        "scrubbingFinishAfter": 0,
        "scrubbingPausedFor": 0,
        "scrubbingPaused": d.scrub.paused,
        "lastScrubCompleted": 0,
    })
}

/// What a disk does in the background.
pub fn task(t: &Task) -> Value {
    json!({
        "diskId": t.disk,
        "transactionId": t.transaction,
        "allObjects": t.objects,
        "completedObjects": t.done,
        "dispatchedObjects": t.under_way,
    })
}

/// The services: one process is all of them. No daemon of another kind runs here, so the other maps are
/// empty. `missing` are disks that are away and waited for, `pending` those that are brought up to date.
pub fn services(missing: &[u16], pending: &[u16]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let service = |more: Value| {
        let mut doc = Map::new();
        doc.insert("id".into(), json!(SERVER));
        doc.insert("nodeId".into(), json!(SERVER));
        doc.insert("version".into(), json!(version));
        doc.insert("startTime".into(), Value::Null);
        doc.insert("status".into(), json!("running"));
        if let Value::Object(more) = more {
            doc.extend(more);
        }
        json!({ SERVER.to_string(): doc })
    };
    json!({
        "clusterStatus": "running",
        "mgmt": service(json!({ "active": true, "prio": 0 })),
        "servers": service(json!({ "missingDisks": missing, "pendingDisks": pending })),
        "clients": {},
        "aoeTargets": {},
        "bridges": {},
        "iscsiTargets": {},
    })
}

/// A placement group.
pub fn placement_group(g: &PlacementGroup) -> Value {
    let servers: &[u16] = if g.disks.is_empty() { &[] } else { &[SERVER] };
    json!({ "id": g.id, "name": g.name, "disks": g.disks, "servers": servers })
}
