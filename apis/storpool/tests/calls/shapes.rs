//! The exact documents, and that the strict bindings take them.

use expect_test::expect;
use serde_json::{Value, json};

use crate::world::World;
use crate::{GB, strict, volume};

fn pretty(v: &Value) -> String {
    serde_json::to_string_pretty(v).unwrap()
}

/// A volume with a template and a parent, that parent, and an attachment of each.
async fn furnished() -> World {
    let w = World::new().await;
    volume(&w, "base").await;
    w.post("VolumeSnapshot/base", json!({ "name": "golden" })).await;
    let tpl = json!({ "name": "tpl", "placeAll": "ssd", "replication": 1, "bw": 10, "parent": "golden" });
    w.post("VolumeTemplateCreate", tpl).await;
    w.post("VolumeCreate", json!({ "name": "v", "template": "tpl", "size": GB + 512, "tags": { "a": "b" } }))
        .await;
    w.post("VolumesReassign", json!([{ "volume": "v", "rw": [7] }, { "snapshot": "golden", "ro": [7] }]))
        .await;
    w
}

#[tokio::test]
async fn volumes() {
    let w = furnished().await;
    let list = w.get("VolumesList").await;
    list.as_array().unwrap().iter().for_each(strict::volume);
    expect![[r#"
        {
          "name": "v",
          "id": 18,
          "globalId": "u9p6yd.rs7atopif.1cdxqijlpq",
          "parentName": "golden",
          "parentVolumeId": 15,
          "templateName": "tpl",
          "templateId": 17,
          "size": 1073742336,
          "replication": 1,
          "placeAll": "ssd",
          "placeTail": "ssd",
          "placeHead": "ssd",
          "bw": 10,
          "iops": "-",
          "visibleVolumeId": 18,
          "objectsCount": 33,
          "creationTimestamp": 1795262400,
          "flags": 0,
          "tags": {
            "a": "b"
          }
        }"#]]
    .assert_eq(&pretty(&list[1]));
}

#[tokio::test]
async fn snapshots() {
    let w = furnished().await;
    let list = w.get("SnapshotsList").await;
    list.as_array().unwrap().iter().for_each(strict::snapshot);
    expect![[r#"
        [
          {
            "name": "golden",
            "id": 15,
            "globalId": "21xgyo.2k1l4lipxr.5b8oy3y1b",
            "parentName": "",
            "parentVolumeId": 0,
            "templateName": "",
            "size": 1073741824,
            "replication": 1,
            "placeAll": "default",
            "placeTail": "default",
            "placeHead": "default",
            "bw": "-",
            "iops": "-",
            "visibleVolumeId": 15,
            "objectsCount": 32,
            "creationTimestamp": 1795262400,
            "flags": 0,
            "onVolume": "base",
            "autoName": false,
            "bound": false,
            "deleted": false,
            "transient": false,
            "recoveringFromRemote": false
          }
        ]"#]]
    .assert_eq(&pretty(&list));
}

#[tokio::test]
async fn attachments() {
    let w = furnished().await;
    let list = w.get("AttachmentsList").await;
    list.as_array().unwrap().iter().for_each(strict::attachment);
    expect![[r#"
        [
          {
            "volume": "v",
            "snapshot": false,
            "client": 7,
            "rights": "rw",
            "pos": 0,
            "globalId": "u9p6yd.rs7atopif.1cdxqijlpq"
          },
          {
            "volume": "golden",
            "snapshot": true,
            "client": 7,
            "rights": "ro",
            "pos": 1,
            "globalId": "21xgyo.2k1l4lipxr.5b8oy3y1b"
          }
        ]"#]]
    .assert_eq(&pretty(&list));
}

#[tokio::test]
async fn status() {
    let w = furnished().await;
    let all = w.get("VolumesGetStatus").await;
    let all = all.as_object().unwrap();
    all.iter().for_each(|(name, s)| strict::status(name, s));
    assert_eq!(all.keys().collect::<Vec<_>>(), ["base", "v", "golden"]);
    expect![[r#"
        {
          "name": "v",
          "id": 18,
          "globalId": "u9p6yd.rs7atopif.1cdxqijlpq",
          "parentName": "golden",
          "parentVolumeId": 15,
          "templateName": "tpl",
          "templateId": 17,
          "size": 1073742336,
          "replication": 1,
          "placeAll": "ssd",
          "placeTail": "ssd",
          "placeHead": "ssd",
          "bw": 10,
          "iops": "-",
          "visibleVolumeId": 18,
          "objectsCount": 33,
          "creationTimestamp": 1795262400,
          "flags": 0,
          "tags": {
            "a": "b"
          },
          "status": "up",
          "snapshot": false,
          "migrating": false,
          "decreasedRedundancy": false,
          "balancerBlocked": false,
          "storedSize": 268435584,
          "onDiskSize": 268435584,
          "syncingDataBytes": 0,
          "syncingMetaObjects": 0,
          "upSoonChainsCount": 0,
          "downBytes": 0,
          "downDrives": [],
          "missingDrives": [],
          "missingTargetDrives": [],
          "softEjectingDrives": []
        }"#]]
    .assert_eq(&pretty(&all["v"]));
}

#[tokio::test]
async fn disks() {
    let w = World::new().await;
    let disks = w.get("DisksList").await;
    assert_eq!(disks, w.get("ServerDisksList/1").await);
    disks.as_object().unwrap().values().for_each(strict::up_disk);
    expect![[r#"
        {
          "0": {
            "id": 0,
            "serverId": 1,
            "generationLeft": -1,
            "model": "parpen",
            "serial": "8fc22cda6a3643f8a527882bf2166fb5",
            "description": "pool -local-- which is on a fi",
            "softEject": "off",
            "ssd": true,
            "sectorsCount": 209715200,
            "empty": false,
            "noFua": false,
            "noFlush": false,
            "noTrim": false,
            "isWbc": false,
            "journaled": false,
            "device": "/data/pools/local.disk",
            "agCount": 200,
            "agAllocated": 6,
            "agFree": 194,
            "agFull": 0,
            "agPartial": 6,
            "agFreeing": 0,
            "agMaxSizeFull": 0,
            "agMaxSizePartial": 0,
            "entriesCount": 26214400,
            "entriesAllocated": 1000,
            "entriesFree": 26213400,
            "objectsCount": 3200,
            "objectsAllocated": 96,
            "objectsFree": 3104,
            "objectsOnDiskSize": 3221225472,
            "wbc": null,
            "aggregateScore": {
              "entries": 0,
              "space": 0,
              "total": 0
            },
            "scrubbingStartedBefore": 0,
            "scrubbedBytes": 0,
            "scrubbingBW": 0,
            "scrubbingFinishAfter": 0,
            "scrubbingPausedFor": 0,
            "scrubbingPaused": false,
            "lastScrubCompleted": 0
          }
        }"#]]
    .assert_eq(&pretty(&disks));
}

#[tokio::test]
async fn a_fenced_disk_is_down() {
    let w = World::with_fault("a write failed").await;
    let disks = w.get("DisksList").await;
    disks.as_object().unwrap().values().for_each(strict::down_disk);
    expect![[r#"
        {
          "0": {
            "id": 0,
            "serverId": 1,
            "generationLeft": 5,
            "model": "parpen",
            "serial": "8fc22cda6a3643f8a527882bf2166fb5",
            "description": "pool -local-- which is on a fi",
            "softEject": "off",
            "ssd": true
          }
        }"#]]
    .assert_eq(&pretty(&disks));
}

#[tokio::test]
async fn groups() {
    let w = World::new().await;
    let groups = w.get("PlacementGroupsList").await;
    groups.as_object().unwrap().iter().for_each(|(name, g)| strict::placement_group(name, g));
    assert_eq!(w.get("PlacementGroupDescribe/hdd").await, groups["hdd"]);
    expect![[r#"{"default":{"id":1,"name":"default","disks":[1,2,3],"servers":[1]},"hdd":{"id":2,"name":"hdd","disks":[1,2],"servers":[1]},"ssd":{"id":3,"name":"ssd","disks":[3],"servers":[1]},"dummy":{"id":4,"name":"dummy","disks":[],"servers":[]}}"#]].assert_eq(&groups.to_string());
}

#[tokio::test]
async fn services() {
    let w = World::new().await;
    let services = w.get("ServicesList").await;
    strict::services(&services);
    assert_eq!(services, w.get("ServersListBlocked").await);
    expect![[r#"{"clusterStatus":"running","mgmt":{"1":{"id":1,"nodeId":1,"version":"0.1.0","startTime":null,"status":"running","active":true,"prio":0}},"servers":{"1":{"id":1,"nodeId":1,"version":"0.1.0","startTime":null,"status":"running","missingDisks":[],"pendingDisks":[]}},"clients":{},"aoeTargets":{},"bridges":{},"iscsiTargets":{}}"#]].assert_eq(&services.to_string());
}

#[tokio::test]
async fn templates() {
    let w = furnished().await;
    let list = w.get("VolumeTemplatesList").await;
    list.as_array().unwrap().iter().for_each(strict::template_desc);
    expect![[r#"[{"id":17,"name":"tpl","parentName":"golden","placeAll":"ssd","placeTail":"ssd","placeHead":"ssd","size":"-","replication":1,"bw":10,"iops":"-"}]"#]].assert_eq(&list.to_string());
}
