//! Objects: how volumes fare by them, where they are, where they go.

use http::Method;
use serde_json::{Value, json};

use crate::media::OBJECT;
use crate::strict;
use crate::world::World;

/// A volume of so many objects; the first quarter of them is stored, two times if its name says so.
async fn make(w: &World, name: &str, objects: u64) {
    let copies = if name.contains("twice") { 2 } else { 1 };
    w.post("VolumeCreate", json!({ "name": name, "size": objects * OBJECT, "replication": copies })).await;
}

async fn status(w: &World, name: &str) -> Value {
    let all = w.get("VolumesGetStatus").await;
    all.as_object().unwrap().iter().for_each(|(name, s)| strict::status(name, s));
    all[name].clone()
}

/// These members of a document, as a list.
fn some(v: &Value, members: &[&str]) -> Value {
    members.iter().map(|m| v[*m].clone()).collect()
}

const TROUBLE: [&str; 8] = [
    "status",
    "migrating",
    "decreasedRedundancy",
    "balancerBlocked",
    "downBytes",
    "downDrives",
    "missingDrives",
    "softEjectingDrives",
];

#[tokio::test]
async fn a_volume_fares_as_its_disks_do() {
    let w = World::with_disks().await;
    make(&w, "once", 12).await;
    make(&w, "twice", 12).await;
    let well = json!(["up", false, false, false, 0, [], [], []]);
    assert_eq!(some(&status(&w, "once").await, &TROUBLE), well);
    let sizes = some(&status(&w, "twice").await, &["storedSize", "onDiskSize"]);
    assert_eq!(sizes, json!([3 * OBJECT / 2, 3 * OBJECT]), "each copy takes its room");

    w.post("DiskSoftEject/2", json!({})).await;
    let leaves = json!(["up", true, false, true, 0, [], [], [2]]);
    assert_eq!(some(&status(&w, "once").await, &TROUBLE), leaves);
    w.post("DiskSoftEjectCancel/2", json!({})).await;
    assert_eq!(some(&status(&w, "once").await, &TROUBLE), well);

    w.post("DiskEject/2", json!({})).await;
    let down = json!(["down", false, true, true, OBJECT, [2], [], []]);
    assert_eq!(some(&status(&w, "once").await, &TROUBLE), down);
    let degraded = json!(["up", false, true, true, 0, [], [2], []]);
    assert_eq!(some(&status(&w, "twice").await, &TROUBLE), degraded);
    assert_eq!(status(&w, "twice").await["missingTargetDrives"], json!([2]));
}

#[tokio::test]
async fn only_volumes_with_objects_on_the_move_are_to_be_relocated() {
    let w = World::with_disks().await;
    make(&w, "large", 12).await;
    // Its one object is on disk 1.
    make(&w, "small", 4).await;
    let count = async |w: &World| w.get("VolumeRelocatorStatus").await["volumesToRelocate"].clone();
    assert_eq!(count(&w).await, 0);
    w.post("DiskSoftEject/3", json!({})).await;
    assert_eq!(count(&w).await, 1);
    w.post("DiskSoftEject/1", json!({})).await;
    assert_eq!(count(&w).await, 2);
}

#[tokio::test]
async fn a_volume_tells_where_its_objects_are() {
    let w = World::with_disks().await;
    make(&w, "v-twice", 16).await;
    w.post("VolumeSnapshot/v-twice", json!({ "name": "s" })).await;
    let v = w.get("VolumeDescribe/v-twice").await;
    strict::volume(&v);
    let mut places = vec![json!([1, 2]), json!([2, 3]), json!([3, 1]), json!([1, 2])];
    places.resize(16, json!([]));
    assert_eq!((&v["objects"], &v["targetDiskSets"]), (&json!(places), &json!([[1], [2], [3]])));
    let info = w.get("VolumeGetInfo/v-twice").await;
    strict::volume(&info);
    assert_eq!(info["disksCount"], 3);
    assert_eq!(info["objectsPerDisk"], json!({ "1": 3, "2": 3, "3": 2 }));
    let chains = json!([
        { "disks": [1, 2], "count": 2 }, { "disks": [2, 3], "count": 1 }, { "disks": [3, 1], "count": 1 },
    ]);
    assert_eq!((&info["objectsPerChain"], &info["objectsPerDiskSet"]), (&chains, &chains));
    w.post("DiskSoftEject/3", json!({})).await;
    let sets = w.get("VolumeGetInfo/v-twice").await["objectsPerDiskSet"].clone();
    assert!(!sets.to_string().contains('3'), "they are to be elsewhere: {sets}");

    let s = w.get("SnapshotDescribe/s").await;
    strict::snapshot(&s);
    assert_eq!(s["objects"].as_array().unwrap().len(), 16);
    let info = w.get("SnapshotGetInfo/s").await;
    strict::snapshot(&info);
    assert!(info["disksCount"].as_u64() > Some(0));
    for call in ["VolumeDescribe", "VolumeGetInfo", "SnapshotDescribe", "SnapshotGetInfo"] {
        let (name, _) = w.refused(Method::GET, &format!("{call}/none"), Value::Null).await;
        assert_eq!(name, "objectDoesNotExist", "{call}");
    }
}

#[tokio::test]
async fn a_disk_tells_whose_objects_it_has() {
    let w = World::with_disks().await;
    make(&w, "a", 72).await;
    make(&w, "b-twice", 4).await;
    let disk = w.get("DiskDescribe/1").await;
    strict::up_disk(&disk);
    assert_eq!(disk, w.get("ServerDiskDescribe/1/1").await);
    let objects = disk["objects"].as_object().unwrap();
    assert_eq!(objects.len() as u64, disk["objectsAllocated"]);
    let of = |name: &str| objects.values().filter(|o| o["volume"] == name).count();
    assert_eq!((of("a"), of("b-twice")), (6, 1));
    let figures = ["onDiskSize", "storedSize", "state", "version", "generation", "parentVolume"];
    let half = OBJECT / 2;
    assert!(objects.values().all(|o| some(o, &figures) == json!([half, half, 1, 7, 3, ""])));

    let info = w.get("DiskGetInfo/1").await;
    strict::up_disk(&info);
    assert_eq!(info["objectStates"], json!({ "1": 7 }));
    let a = json!({ "name": "a", "objectsCount": 6, "storedSize": 6 * half, "onDiskSize": 6 * half,
        "objectStates": { "1": 6 } });
    assert_eq!((&info["volumeInfos"]["a"], info["volumeInfos"].as_object().unwrap().len()), (&a, 2));
    w.post("VolumeDelete/a", Value::Null).await;
    assert_eq!(w.get("DiskGetInfo/1").await["objectStates"], json!({ "1": 1 }), "they went with it");

    w.post("DiskEject/1", json!({})).await;
    for call in ["DiskDescribe/1", "DiskGetInfo/1", "ServerDiskDescribe/1/1"] {
        let (name, descr) = w.refused(Method::GET, call, Value::Null).await;
        assert!(name == "invalidParam" && descr.contains("disk 1 is not there"), "{call}: {descr}");
    }
    for call in ["DiskDescribe/9", "DiskGetInfo/x", "ServerDiskDescribe/2/1"] {
        assert_eq!(w.refused(Method::GET, call, Value::Null).await.0, "objectDoesNotExist", "{call}");
    }
}

/// Of each disk the change of its objects, and how many come.
fn changes(disks: &Value) -> Value {
    let disks = disks.as_object().unwrap();
    disks.values().for_each(strict::disk_target);
    let change = |d: &Value| some(&d["objectsAllocated"], &["current", "delta", "toRecover"]);
    disks.iter().map(|(id, d)| (id.clone(), change(d))).collect::<serde_json::Map<_, _>>().into()
}

#[tokio::test]
async fn the_relocator_tells_what_leaves_a_disk() {
    let w = World::with_disks().await;
    make(&w, "v", 12).await;
    make(&w, "other", 4).await;
    w.post("VolumeSnapshot/v", json!({ "name": "s" })).await;
    let still = json!({ "1": [1, 0, 0], "2": [1, 0, 0], "3": [1, 0, 0] });
    assert_eq!(changes(&w.get("VolumeRelocatorVolumeDisks/v").await), still);
    w.post("DiskSoftEject/3", json!({})).await;
    let moves = json!({ "1": [1, 1, 1], "2": [1, 0, 0], "3": [1, -1, 0] });
    assert_eq!(changes(&w.get("VolumeRelocatorVolumeDisks/v").await), moves);
    assert_eq!(changes(&w.get("VolumeRelocatorSnapshotDisks/s").await), moves);
    let other = json!({ "1": [1, 0, 0] });
    assert_eq!(changes(&w.get("VolumeRelocatorVolumeDisks/other").await), other, "it is on one disk");
    let all = json!({ "1": [3, 2, 2], "2": [2, 0, 0], "3": [2, -2, 0] });
    assert_eq!(changes(&w.get("VolumeRelocatorDisksList").await), all);
    let bytes = w.get("VolumeRelocatorDisksList").await["1"]["storedSize"].clone();
    let half = OBJECT / 2;
    assert_eq!(
        bytes,
        json!({ "current": 3 * half, "target": 5 * half, "delta": 2 * half, "toRecover": 2 * half })
    );
    w.post("DiskEject/3", json!({})).await;
    let gone = w.get("VolumeRelocatorVolumeDisks/v").await["3"].clone();
    assert_eq!(gone.as_object().unwrap().len(), 3, "a disk that is down has no figures: {gone}");
}

#[tokio::test]
async fn the_balancer_tells_which_volumes_it_moves() {
    let w = World::with_disks().await;
    make(&w, "v", 12).await;
    w.post("VolumeSnapshot/v", json!({ "name": "s" })).await;
    let list = async |w: &World| {
        let list = w.get("VolumeBalancerVolumesStatus").await;
        let shown = ["name", "snapshot", "reallocated", "blocked", "objectsCount"];
        list.as_array().unwrap().iter().map(|v| some(v, &shown)).collect::<Vec<_>>()
    };
    assert_eq!(json!(list(&w).await), json!([["v", false, false, false, 12], ["s", true, false, false, 12]]));
    assert_eq!(w.get("VolumeBalancerStatus").await["status"], "waiting");
    w.post("VolumeBalancerStatus", json!({ "cmd": "start" })).await;
    assert_eq!(w.get("VolumeBalancerStatus").await["status"], "ready");
    assert_eq!(json!(list(&w).await), json!([["v", false, true, false, 12], ["s", true, true, false, 12]]));
    let moves = json!({ "1": [1, -1, 0], "2": [1, 1, 1], "3": [1, 0, 0] });
    assert_eq!(changes(&w.get("VolumeBalancerVolumeDisks/v").await), moves);
    assert_eq!(changes(&w.get("VolumeBalancerSnapshotDisks/s").await), moves);
    for (call, name) in [("VolumeBalancerVolumeDiskSets/v", "v"), ("VolumeBalancerSnapshotDiskSets/s", "s")] {
        let sets = w.get(call).await;
        assert_eq!((&sets["name"], &sets["reallocated"]), (&json!(name), &json!(true)));
        assert_eq!(
            (&sets["currentDiskSets"], &sets["balancerDiskSets"]),
            (&json!([[1], [2], [3]]), &json!([[2], [3]]))
        );
    }
    let groups = w.get("VolumeBalancerGroups").await;
    let shown = ["root", "volumes", "feasible", "blocked", "objectsCount", "targetDiskSets"];
    let of_v = groups.as_array().unwrap().iter().find(|g| g["root"] == "v").unwrap();
    assert_eq!(some(of_v, &shown), json!(["v", ["v"], true, false, 3, [[2], [3]]]));
    let half = OBJECT / 2;
    let slots =
        json!([{ "objectsCount": 2, "storedSize": 2 * half }, { "objectsCount": 1, "storedSize": half }]);
    assert_eq!(
        (&of_v["slots"], &of_v["storedSize"], &of_v["size"]),
        (&slots, &json!(3 * half), &json!(12 * OBJECT))
    );
    w.post("VolumeBalancerStatus", json!({ "cmd": "stop" })).await;
    assert_eq!(list(&w).await[0][2], false);
    w.post("DiskEject/2", json!({})).await;
    assert_eq!(list(&w).await[0][3], true, "it cannot be balanced while a disk is away");
    assert_eq!(w.get("VolumeBalancerGroups").await[0]["feasible"], false);
}
