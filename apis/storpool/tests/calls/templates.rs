//! Templates: how they are used, and what changing one changes.

use http::Method;
use serde_json::{Value, json};

use crate::GB;
use crate::media::OBJECT;
use crate::strict;
use crate::world::World;

async fn status(w: &World, name: &str) -> Value {
    let all = w.get("VolumeTemplatesStatus").await;
    all.as_array().unwrap().iter().for_each(strict::template_status);
    all.as_array().unwrap().iter().find(|t| t["name"] == name).cloned().unwrap()
}

#[tokio::test]
async fn a_template_counts_what_was_made_by_it() {
    let w = World::with_disks().await;
    w.post("VolumeTemplateCreate", json!({ "name": "tpl", "placeAll": "default", "replication": 2 })).await;
    let none = status(&w, "tpl").await;
    assert_eq!((&none["volumesCount"], &none["size"], &none["totalSize"]), (&json!(0), &json!(0), &json!(0)));
    // Three disks of 100 GB; no disk has both copies.
    assert_eq!(
        (&none["capacityPlaceAll"], &none["stored"]["capacity"]),
        (&json!(300 * GB), &json!(150 * GB))
    );
    for name in ["a-twice", "b-twice"] {
        w.post("VolumeCreate", json!({ "name": name, "template": "tpl", "size": 8 * OBJECT })).await;
    }
    w.post("VolumeCreate", json!({ "name": "other", "size": GB })).await;
    w.post("VolumeSnapshot/a-twice", json!({ "name": "s" })).await;
    let used = status(&w, "tpl").await;
    let counts = ["volumesCount", "snapshotsCount", "removingSnapshotsCount", "size", "totalSize"];
    assert_eq!(json!(counts.map(|c| &used[c])), json!([2, 1, 0, 16 * OBJECT, 32 * OBJECT]));
    // Of each a quarter is half full.
    assert_eq!((&used["storedSize"], &used["onDiskSize"]), (&json!(2 * OBJECT), &json!(4 * OBJECT)));
    w.post("DiskEject/3", json!({})).await;
    let fewer = status(&w, "tpl").await;
    assert_eq!(
        (&fewer["capacityPlaceAll"], &fewer["stored"]["capacity"]),
        (&json!(200 * GB), &json!(100 * GB))
    );
    w.post("VolumeDelete/b-twice", Value::Null).await;
    assert_eq!(status(&w, "tpl").await["volumesCount"], 1);
}

#[tokio::test]
async fn a_changed_template_changes_new_volumes_and_old_ones_where_it_is_told_to() {
    let w = World::new().await;
    for name in ["tpl", "taken"] {
        w.post("VolumeTemplateCreate", json!({ "name": name, "placeAll": "ssd", "bw": 100, "iops": 7 }))
            .await;
    }
    let make = async |name: &str, template: &str| {
        w.post("VolumeCreate", json!({ "name": name, "template": template, "size": GB })).await;
        w.get(&format!("Volume/{name}")).await[0].clone()
    };
    let shown = |v: &Value| json!(["placeAll", "bw", "iops", "templateName"].map(|f| &v[f]));
    make("old", "tpl").await;
    w.post("VolumeSnapshot/old", json!({ "name": "s" })).await;
    w.post(
        "VolumeTemplateUpdate/tpl",
        json!({ "placeAll": "hdd", "placeTail": "hdd", "bw": 5, "size": 2 * GB }),
    )
    .await;
    assert_eq!(shown(&w.get("Volume/old").await[0]), json!(["ssd", 100, 7, "tpl"]), "it is as it was made");
    assert_eq!(shown(&make("new", "tpl").await), json!(["hdd", 5, 7, "tpl"]));
    let t = w.get("VolumeTemplateDescribe/tpl").await;
    strict::template_desc(&t);
    assert_eq!((&t["size"], &t["placeTail"], &t["iops"]), (&json!(2 * GB), &json!("hdd"), &json!(7)));

    let all = json!({ "rename": "tpl2", "bw": "-", "iops": 9, "propagate": true });
    w.post("VolumeTemplateUpdate/tpl", all).await;
    for call in ["Volume/old", "Volume/new", "Snapshot/s"] {
        let now = w.get(call).await[0].clone();
        assert_eq!(json!(["bw", "iops", "templateName"].map(|f| &now[f])), json!(["-", 9, "tpl2"]), "{call}");
    }
    let (name, _) = w.refused(Method::POST, "VolumeTemplateUpdate/tpl", json!({ "bw": 1 })).await;
    assert_eq!(name, "objectDoesNotExist", "it has another name");
    for (bad, error) in [
        (json!({ "rename": "taken" }), "objectExists"),
        (json!({ "rename": "a b" }), "invalidParam"),
        (json!({ "placeAll": "nosuch" }), "objectDoesNotExist"),
        (json!({ "size": 7 }), "invalidParam"),
        (json!({ "parent": "nosuch" }), "objectDoesNotExist"),
        // Data that exists does not move to other groups.
        (json!({ "placeAll": "ssd", "propagate": true }), "notImplemented"),
    ] {
        let (name, descr) = w.refused(Method::POST, "VolumeTemplateUpdate/tpl2", bad.clone()).await;
        assert_eq!(name, error, "{bad}: {descr}");
    }
    assert_eq!(
        shown(&w.get("Volume/new").await[0]),
        json!(["hdd", "-", 9, "tpl2"]),
        "what is refused does nothing"
    );
}
