//! Disks, the relocator and the balancer.

use http::Method;
use serde_json::{Value, json};

use crate::strict;
use crate::world::World;

#[tokio::test]
async fn what_is_asked_of_disks_is_done_or_refused_by_name() {
    let w = World::new().await;
    let verbs = [
        "DiskSoftEject",
        "DiskSoftEjectPause",
        "DiskSoftEjectCancel",
        "DiskEject",
        "DiskScrubStart",
        "DiskScrubPause",
        "DiskScrubContinue",
        "DiskForget",
    ];
    for verb in verbs {
        w.post(&format!("{verb}/3"), json!({})).await;
        for disk in ["77", "x", "-1", "70000"] {
            let (name, descr) = w.refused(Method::POST, &format!("{verb}/{disk}"), Value::Null).await;
            assert_eq!(
                (name.as_str(), descr.contains(disk)),
                ("objectDoesNotExist", true),
                "{verb}: {descr}"
            );
        }
    }
    let (name, _) = w.refused(Method::POST, "DiskEject/3", Value::Null).await;
    assert_eq!(name, "objectDoesNotExist", "it was forgotten");
    let (name, _) = w.refused(Method::POST, "DiskIgnore/77", Value::Null).await;
    assert_eq!(name, "objectDoesNotExist");
    let (name, descr) = w.refused(Method::POST, "DiskIgnore/0", Value::Null).await;
    assert!(name == "invalidParam" && descr.contains("in use"), "{name}: {descr}");
}

#[tokio::test]
async fn a_disk_is_described_in_the_words_that_fit() {
    let w = World::new().await;
    w.post("DiskSetDescription/1", json!({ "description": "rack 3_slot-1" })).await;
    let long = "x".repeat(31);
    for bad in [
        json!({}),
        json!({ "description": 7 }),
        json!({ "description": "a/b" }),
        json!({ "description": long }),
    ] {
        let (name, descr) = w.refused(Method::POST, "DiskSetDescription/1", bad).await;
        assert!(name == "invalidParam" && descr.contains("description"), "{descr}");
    }
}

#[tokio::test]
async fn the_relocator_is_on_until_somebody_turns_it_off() {
    let w = World::new().await;
    assert_eq!(w.get("VolumeRelocatorStatus").await, json!({ "status": "on", "volumesToRelocate": 0 }));
    w.post("VolumeRelocatorOff", json!({})).await;
    assert_eq!(w.get("VolumeRelocatorStatus").await["status"], "off");
    w.post("VolumeRelocatorOn", json!({})).await;
    assert_eq!(w.get("VolumeRelocatorStatus").await["status"], "on");
    assert_eq!(w.get("TasksList").await, json!([]));
}

#[tokio::test]
async fn the_balancer_waits_until_it_is_told() {
    let w = World::new().await;
    assert_eq!(w.get("VolumeBalancerStatus").await, json!({ "status": "waiting", "auto": false }));
    let (name, descr) = w.refused(Method::POST, "VolumeBalancerStatus", json!({ "cmd": "commit" })).await;
    assert!(name == "invalidParam" && descr.contains("start"), "{descr}");
    for bad in [json!({}), json!({ "cmd": "go" }), json!({ "cmd": 1 })] {
        assert_eq!(w.refused(Method::POST, "VolumeBalancerStatus", bad).await.0, "invalidParam");
    }
    w.post("VolumeBalancerStatus", json!({ "cmd": "start" })).await;
    w.post("VolumeBalancerStatus", json!({ "cmd": "auto" })).await;
    assert_eq!(w.get("VolumeBalancerStatus").await["auto"], true);
    w.post("VolumeBalancerStatus", json!({ "cmd": "stop" })).await;
    assert_eq!(w.get("VolumeBalancerStatus").await["auto"], false);
    let disks = w.get("VolumeBalancerDisksList").await;
    disks.as_object().unwrap().values().for_each(strict::disk_target);
    assert_eq!(
        disks["0"]["objectsAllocated"],
        json!({ "current": 96, "target": 96, "delta": 0, "toRecover": 0 })
    );
}
