//! What the first bindings accept: every field that they call mandatory is there and of its type, no
//! optional one is null. They pass over what they do not know.

use serde_json::Value;

type Check = fn(&Value) -> bool;

fn name_of(v: &Value, mark: char, also: &str, max: usize) -> bool {
    let Some(text) = v.as_str() else { return false };
    let rest = text.strip_prefix(mark).unwrap_or(text);
    let fits = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    !rest.is_empty() && rest.chars().all(fits) && text.len() <= max && text != "list" && text != "status"
}

fn volume_name(v: &Value) -> bool {
    name_of(v, '#', "_-.:", 199)
}
fn snapshot_name(v: &Value) -> bool {
    name_of(v, '*', "_-.:@", 199)
}
fn group(v: &Value) -> bool {
    name_of(v, '-', "_-", 127) || v == "-"
}
fn template(v: &Value) -> bool {
    name_of(v, '-', "_-", 199)
}
fn or_empty(v: &Value, check: Check) -> bool {
    v == "" || check(v)
}
fn int(v: &Value) -> bool {
    v.is_i64() || v.is_u64()
}
fn size(v: &Value) -> bool {
    v.as_u64().is_some_and(|n| n > 0 && n % 512 == 0)
}
fn within(v: &Value, min: u64, max: u64) -> bool {
    v.as_u64().is_some_and(|n| (min..=max).contains(&n))
}
fn replication(v: &Value) -> bool {
    within(v, 1, 3)
}
fn disk_id(v: &Value) -> bool {
    within(v, 0, 4095)
}
fn service_id(v: &Value) -> bool {
    within(v, 1, 4095)
}
fn ceiling(v: &Value) -> bool {
    v == "-" || v.is_u64()
}
fn list_of(v: &Value, check: Check) -> bool {
    v.as_array().is_some_and(|a| a.iter().all(check))
}
fn disks(v: &Value) -> bool {
    list_of(v, disk_id)
}
fn servers(v: &Value) -> bool {
    list_of(v, service_id)
}
fn text(v: &Value) -> bool {
    v.is_string()
}
fn flag(v: &Value) -> bool {
    v.is_boolean()
}
fn global_id(v: &Value) -> bool {
    let Some(text) = v.as_str() else { return false };
    let group = |g: &str| !g.is_empty() && g.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase());
    text.split('.').count() == 3 && text.split('.').all(group)
}

/// Every field is there and fits; the optional ones fit where they are there.
fn object(what: &str, v: &Value, fields: &[(&str, Check)]) {
    for (field, check) in fields {
        let value = v.get(field).unwrap_or_else(|| panic!("{what} lacks {field}: {v}"));
        assert!(check(value), "{what}.{field} does not fit: {value}");
    }
}

fn summary(what: &str, v: &Value) {
    object(
        what,
        v,
        &[
            ("bw", ceiling),
            ("iops", ceiling),
            ("parentName", |v| or_empty(v, snapshot_name)),
            ("templateName", |v| or_empty(v, template)),
            ("size", size),
            ("replication", replication),
            ("placeAll", group),
            ("placeTail", group),
            ("visibleVolumeId", int),
            ("objectsCount", int),
            ("creationTimestamp", int),
            // Later bindings.
            ("globalId", global_id),
            ("placeHead", group),
            ("id", int),
            ("parentVolumeId", int),
            ("flags", int),
        ],
    );
    for optional in ["templateId", "tags", "limitType", "originalParentVolumeId"] {
        assert!(v.get(optional).is_none_or(|v| !v.is_null()), "{what}.{optional} is null");
    }
}

pub fn volume(v: &Value) {
    summary("volume", v);
    object("volume", v, &[("name", volume_name)]);
}

pub fn snapshot(v: &Value) {
    summary("snapshot", v);
    let flags =
        ["autoName", "bound", "deleted", "transient", "recoveringFromRemote"].map(|f| (f, flag as Check));
    object("snapshot", v, &[("name", snapshot_name), ("onVolume", volume_name)]);
    object("snapshot", v, &flags);
}

pub fn status(name: &str, v: &Value) {
    let is_snapshot = v["snapshot"].as_bool().unwrap();
    if is_snapshot {
        snapshot(v)
    } else {
        volume(v)
    }
    assert_eq!(v["name"], name);
    let word: Check = |v| ["up", "up soon", "data lost", "down"].iter().any(|w| v == w);
    object("status", v, &[("status", word)]);
    let ints = [
        "storedSize",
        "onDiskSize",
        "syncingDataBytes",
        "syncingMetaObjects",
        "downBytes",
        "upSoonChainsCount",
    ];
    object("status", v, &ints.map(|f| (f, int as Check)));
    let flags = ["migrating", "decreasedRedundancy", "balancerBlocked"];
    object("status", v, &flags.map(|f| (f, flag as Check)));
    let lists = ["downDrives", "missingDrives", "missingTargetDrives", "softEjectingDrives"];
    object("status", v, &lists.map(|f| (f, disks as Check)));
}

fn disk_base(v: &Value) {
    let description: Check = |v| v == "" || name_of(v, '-', "_- ", 30);
    let soft: Check = |v| ["on", "off", "paused"].iter().any(|w| v == w);
    object(
        "disk",
        v,
        &[
            ("id", disk_id),
            ("serverId", service_id),
            ("model", text),
            ("serial", text),
            ("description", description),
            ("softEject", soft),
            ("ssd", flag),
        ],
    );
}

pub fn up_disk(v: &Value) {
    disk_base(v);
    assert_eq!(v["generationLeft"], -1);
    let flags = ["empty", "noFua", "isWbc", "noFlush", "noTrim", "journaled", "scrubbingPaused"];
    object("disk", v, &flags.map(|f| (f, flag as Check)));
    let ints = [
        "sectorsCount",
        "entriesCount",
        "entriesAllocated",
        "entriesFree",
        "objectsCount",
        "objectsAllocated",
        "objectsFree",
        "objectsOnDiskSize",
        "agCount",
        "agAllocated",
        "agFree",
        "agFull",
        "agPartial",
        "agFreeing",
        "agMaxSizeFull",
        "agMaxSizePartial",
        "scrubbingStartedBefore",
        "scrubbedBytes",
        "scrubbingBW",
        "scrubbingFinishAfter",
        "scrubbingPausedFor",
        "lastScrubCompleted",
    ];
    object("disk", v, &ints.map(|f| (f, int as Check)));
    object("disk", v, &[("device", text), ("wbc", Value::is_null), ("aggregateScore", Value::is_object)]);
}

pub fn disk_target(v: &Value) {
    object("disk target", v, &[("id", disk_id), ("serverId", service_id), ("generationLeft", int)]);
    if v["generationLeft"] == -1 {
        let target: Check = |v| {
            object("target", v, &[("current", int), ("target", int), ("delta", int), ("toRecover", int)]);
            true
        };
        let sizes = [("objectsAllocated", target), ("storedSize", target), ("onDiskSize", target)];
        object("disk target", v, &[&sizes[..], &[("objectsCount", int)]].concat());
    }
}

pub fn down_disk(v: &Value) {
    disk_base(v);
    object("disk", v, &[("generationLeft", Value::is_u64)]);
}

pub fn placement_group(name: &str, v: &Value) {
    assert_eq!(v["name"], name);
    object("group", v, &[("name", group), ("id", int), ("disks", disks), ("servers", servers)]);
}

pub fn attachment(v: &Value) {
    let rights: Check = |v| v == "rw" || v == "ro";
    object(
        "attachment",
        v,
        &[
            ("volume", volume_name),
            ("snapshot", flag),
            ("client", service_id),
            ("rights", rights),
            ("pos", |v| within(v, 0, 1023)),
            ("globalId", global_id),
        ],
    );
}

pub fn template_desc(v: &Value) {
    object(
        "template",
        v,
        &[
            ("id", int),
            ("name", template),
            ("parentName", |v| or_empty(v, snapshot_name)),
            ("placeAll", group),
            ("placeTail", group),
            ("placeHead", group),
            ("size", |v| v == "-" || size(v)),
            ("replication", |v| v == "-" || replication(v)),
            ("bw", ceiling),
            ("iops", ceiling),
        ],
    );
}

pub fn template_status(v: &Value) {
    let size_or_0: Check = |v| v == 0 || size(v);
    object(
        "template status",
        v,
        &[
            ("id", int),
            ("name", template),
            ("placeAll", group),
            ("placeTail", group),
            ("placeHead", group),
            ("replication", |v| v == "-" || replication(v)),
            ("size", size_or_0),
            ("totalSize", size_or_0),
        ],
    );
    let ints = [
        "volumesCount",
        "snapshotsCount",
        "removingSnapshotsCount",
        "onDiskSize",
        "storedSize",
        "availablePlaceAll",
        "availablePlaceTail",
        "availablePlaceHead",
        "capacityPlaceAll",
        "capacityPlaceTail",
        "capacityPlaceHead",
    ];
    object("template status", v, &ints.map(|f| (f, int as Check)));
    let room: Check = |v| int(&v["free"]) && int(&v["capacity"]);
    assert!(room(&v["stored"]), "{v}");
    object("stored", &v["stored"], &["placeAll", "placeTail", "placeHead"].map(|f| (f, room)));
}

pub fn services(v: &Value) {
    let state: Check = |v| ["running", "waiting", "down"].iter().any(|w| v == w);
    object("services", v, &[("clusterStatus", state)]);
    for kind in ["mgmt", "clients", "servers", "aoeTargets", "bridges", "iscsiTargets"] {
        for (id, service) in v[kind].as_object().unwrap_or_else(|| panic!("{kind} is a map")) {
            assert_eq!(id.parse().ok(), service["id"].as_u64());
            let node: Check = |v| within(v, 0, 63);
            object(
                kind,
                service,
                &[("id", service_id), ("nodeId", node), ("version", text), ("status", state)],
            );
            assert!(service["startTime"].is_null() || service["startTime"].is_u64());
        }
    }
    for mgmt in v["mgmt"].as_object().unwrap().values() {
        object("mgmt", mgmt, &[("active", flag)]);
    }
    for server in v["servers"].as_object().unwrap().values() {
        object("server", server, &[("missingDisks", disks), ("pendingDisks", disks)]);
    }
}
