//! The API from request to document, over a running core.
#![allow(clippy::unwrap_used)] // every line of this folder is a test

mod bad_input;
mod disks;
mod media;
mod objects;
#[path = "../../../../core/service/tests/service/house/people.rs"]
#[allow(dead_code)] // others use more of it
mod people;
mod shapes;
mod strangers;
mod strict;
mod templates;
mod world;

use http::Method;
use parpen_model::{Alias, Api};
use parpen_service::names::Naming;
use parpen_service::volumes::{NewVolume, create};
use serde_json::{Value, json};
use world::World;

const GB: u64 = 1 << 30;

/// A new volume on the group that every cluster has, as the first bindings send it: every key, null where
/// unused.
async fn volume(w: &World, name: &str) -> Value {
    let body = json!({ "name": name, "size": GB, "parent": null, "template": null, "baseOn": null,
        "placeAll": "default", "placeTail": null, "replication": 1, "bw": null, "iops": null });
    w.post("VolumeCreate", body).await
}

async fn one(w: &World, call: &str) -> Value {
    let list = w.get(call).await;
    assert_eq!(list.as_array().unwrap().len(), 1, "{call}: {list}");
    list[0].clone()
}

async fn attached(w: &World, name: &str) -> Vec<(u64, String)> {
    let list = w.get("AttachmentsList").await;
    list.as_array().unwrap().iter().for_each(strict::attachment);
    let of = list.as_array().unwrap().iter().filter(|a| a["volume"] == name);
    of.map(|a| (a["client"].as_u64().unwrap(), a["rights"].as_str().unwrap().to_string())).collect()
}

#[tokio::test]
async fn a_volume_lives_through_all_its_verbs() {
    let w = World::new().await;
    let made = volume(&w, "vol:1").await;
    assert_eq!(made.get("autoName"), None);
    let v = one(&w, "Volume/vol:1").await;
    strict::volume(&v);
    assert_eq!((&v["size"], &v["parentName"], &v["bw"]), (&json!(GB), &json!(""), &json!("-")));
    assert_eq!(v["globalId"], made["globalId"]);
    let by_id = one(&w, &format!("Volume/~{}", v["globalId"].as_str().unwrap())).await;
    assert_eq!(by_id, v);

    // Numbers as texts; a size and a name in one call.
    let change =
        json!({ "sizeAdd": GB.to_string(), "rename": "vol2", "bw": "2048", "iops": 0, "size": null });
    w.post("VolumeUpdate/vol:1", change).await;
    let v = one(&w, "MultiCluster/Volume/vol2").await;
    assert_eq!((&v["size"], &v["bw"], &v["iops"]), (&json!(2 * GB), &json!(2048), &json!(0)));
    assert_eq!(w.refused(Method::GET, "Volume/vol:1", Value::Null).await.0, "objectDoesNotExist");
    w.post("VolumeUpdate/vol2", json!({ "bw": "-" })).await;
    let v = one(&w, "Volume/vol2").await;
    assert_eq!((&v["bw"], &v["iops"]), (&json!("-"), &json!(0)), "what is not named stays");

    let (name, _) = w.refused(Method::POST, "VolumeUpdate/vol2", json!({ "size": GB })).await;
    assert_eq!(name, "invalidParam");
    w.post("VolumeUpdate/vol2", json!({ "size": GB, "shrinkOk": true })).await;
    assert_eq!(one(&w, "RemoteCommand/any/Volume/vol2").await["size"], GB);

    w.post("VolumeDelete/vol2", Value::Null).await;
    let (name, descr) = w.refused(Method::POST, "VolumeDelete/vol2", Value::Null).await;
    assert_eq!((name.as_str(), descr.as_str()), ("objectDoesNotExist", "volume 'vol2' does not exist"));
    assert_eq!(w.get("VolumesList").await, json!([]));
}

#[tokio::test]
async fn a_taken_name_changes_nothing() {
    let w = World::new().await;
    volume(&w, "a").await;
    volume(&w, "b").await;
    let (name, descr) = w.refused(Method::POST, "VolumeCreate", json!({ "name": "a", "size": 2 * GB })).await;
    assert_eq!((name.as_str(), descr.as_str()), ("objectExists", "volume 'a' already exists"));
    assert_eq!(one(&w, "Volume/a").await["size"], GB);
    let change = json!({ "rename": "b", "sizeAdd": GB });
    assert_eq!(w.refused(Method::POST, "VolumeUpdate/a", change).await.0, "objectExists");
    assert_eq!(one(&w, "Volume/a").await["size"], GB, "the size in the same call is not changed either");
    let snapshot = json!({ "name": "b" });
    assert_eq!(w.refused(Method::POST, "VolumeSnapshot/a", snapshot).await.0, "objectExists");
    w.post("VolumeUpdate/a", json!({ "rename": "a" })).await;
}

#[tokio::test]
async fn snapshots_are_parents() {
    let w = World::new().await;
    volume(&w, "v").await;
    let made = w.post("VolumeSnapshot/v", json!({ "name": "s1", "bind": null })).await;
    assert_eq!(made.get("autoName"), None);
    let auto = w.post("VolumeSnapshot/v", Value::Null).await["autoName"].as_str().unwrap().to_string();
    assert!(auto.starts_with("v@"), "{auto}");
    assert_eq!(one(&w, "Volume/v").await["parentName"], *auto);
    let chain = w.get("VolumeListSnapshots/v").await;
    chain.as_array().unwrap().iter().for_each(strict::snapshot);
    let names: Vec<_> = chain.as_array().unwrap().iter().map(|s| &s["name"]).collect();
    assert_eq!(names, [&json!(auto), &json!("s1")]);
    assert_eq!((&chain[0]["autoName"], &chain[1]["autoName"]), (&json!(true), &json!(false)));
    assert_eq!(chain[1]["onVolume"], "v");

    w.post("SnapshotUpdate/s1", json!({ "rename": "first", "bind": true })).await;
    let s = one(&w, "Snapshot/first").await;
    assert_eq!(
        (&s["bound"], &s["autoName"], &s["globalId"]),
        (&json!(true), &json!(false), &made["snapshotGlobalId"])
    );

    w.post("VolumeUpdate/v", json!({ "sizeAdd": GB })).await;
    w.post("VolumeRevert/v", json!({ "toSnapshot": "first" })).await;
    let v = one(&w, "Volume/v").await;
    assert_eq!((&v["size"], &v["parentName"]), (&json!(GB), &json!("first")));

    // The parent's size where none is named; its template's placement is its own.
    w.post("VolumeCreate", json!({ "name": "child", "parent": "first" })).await;
    let child = one(&w, "Volume/child").await;
    assert_eq!((&child["parentName"], &child["size"]), (&json!("first"), &json!(GB)));
    let copy = w.post("VolumeCreate", json!({ "name": "copy", "baseOn": "v" })).await;
    assert!(copy["autoName"].as_str().is_none_or(|n| n.starts_with("v@")), "{copy}");
    assert_eq!(one(&w, "Volume/copy").await["size"], GB);

    w.post("SnapshotDelete/first", Value::Null).await;
    assert_eq!(one(&w, "Volume/child").await["parentName"], "");
    w.post("VolumeDelete/v", Value::Null).await;
    let orphan = one(&w, &format!("Snapshot/{auto}")).await;
    strict::snapshot(&orphan);
    assert_eq!(orphan["onVolume"], "-", "a snapshot outlives its volume");
    let id = orphan["globalId"].as_str().unwrap();
    w.post(&format!("SnapshotDeleteById/{id}"), Value::Null).await;
    assert_eq!(
        w.refused(Method::GET, &format!("Snapshot/{auto}"), Value::Null).await.0,
        "objectDoesNotExist"
    );
}

#[tokio::test]
async fn reassign_moves_rights_all_or_not_at_all() {
    let w = World::new().await;
    volume(&w, "v").await;
    w.post("VolumeSnapshot/v", json!({ "name": "s" })).await;
    let rw = |n| (n, "rw".to_string());
    let ro = |n| (n, "ro".to_string());
    // The ids as texts, and the keys of the first bindings with null where unused.
    w.post(
        "VolumesReassign",
        json!([{ "volume": "v", "detach": null, "ro": null, "rw": ["1"], "force": false }]),
    )
    .await;
    assert_eq!(attached(&w, "v").await, [rw(1)]);
    let (name, descr) = w.refused(Method::POST, "VolumeDelete/v", Value::Null).await;
    assert_eq!((name.as_str(), descr.as_str()), ("busy", "'v' is open at client 1"));

    let half = json!([{ "volume": "v", "detach": "all" }, { "volume": "none", "rw": [4] }]);
    let (name, descr) = w.refused(Method::POST, "VolumesReassign", half).await;
    assert_eq!((name.as_str(), descr.as_str()), ("objectDoesNotExist", "volume 'none' does not exist"));
    assert_eq!(attached(&w, "v").await, [rw(1)]);

    let more =
        json!([{ "volume": "v", "detach": [1], "rw": [2], "ro": [3] }, { "snapshot": "s", "ro": [3] }]);
    w.post("VolumesReassignWait", json!({ "reassign": more, "attachTimeout": 0 })).await;
    assert_eq!(attached(&w, "v").await, [rw(2), ro(3)]);
    let slots: Vec<_> =
        w.get("AttachmentsList").await.as_array().unwrap().iter().map(|a| a["pos"].clone()).collect();
    assert_eq!(slots, [json!(0), json!(0), json!(1)]);
    assert_eq!(attached(&w, "s").await, [ro(3)]);
    w.post(
        "VolumesReassign",
        json!([{ "volume": "v", "detach": "all" }, { "snapshot": "s", "detach": [3] }]),
    )
    .await;
    assert_eq!(w.get("AttachmentsList").await, json!([]));
    w.post("VolumesReassign", json!([])).await;
    w.post("VolumeDelete/v", json!({ "onAttached": "detachForce" })).await;
}

#[tokio::test]
async fn what_is_open_leaves_by_force_only() {
    let w = World::new().await;
    volume(&w, "v").await;
    // Its handle is `v` for ever; what the client hears is the name it used.
    w.post("VolumeUpdate/v", json!({ "rename": "w" })).await;
    w.post("VolumesReassign", json!([{ "volume": "w", "rw": [19] }])).await;
    let views = parpen_service::attachments::list(&w.ports, &w.other).await.unwrap();
    let session = w.open(&views[0].attachment.export).await;
    let detach = |force| json!([{ "volume": "w", "detach": [19], "force": force }]);
    let (name, descr) = w.refused(Method::POST, "VolumesReassign", detach(false)).await;
    assert_eq!((name.as_str(), descr.as_str()), ("busy", "'w' is open at client 19"));
    assert_eq!(attached(&w, "w").await.len(), 1);
    let (name, descr) = w.refused(Method::POST, "VolumeDelete/w", Value::Null).await;
    assert_eq!((name.as_str(), descr.as_str()), ("busy", "'w' is open at client 19"));
    // A transport drops its session when it is cut.
    let (cut, was_cut) = tokio::sync::oneshot::channel();
    let cut = std::sync::Mutex::new(Some(cut));
    session.on_cut(Box::new(move || {
        if let Some(cut) = cut.lock().unwrap().take() {
            let _ = cut.send(());
        }
    }));
    let force = w.post("VolumesReassign", detach(true));
    let leave = async {
        was_cut.await.unwrap();
        drop(session);
    };
    tokio::join!(force, leave);
    assert_eq!(attached(&w, "w").await, []);
}

#[tokio::test]
async fn templates_give_what_a_volume_leaves_out() {
    let w = World::new().await;
    let tpl = json!({ "name": "tpl", "placeAll": "ssd", "placeTail": "hdd", "replication": "1", "size": GB,
        "bw": 100, "iops": null, "parent": null });
    w.post("VolumeTemplateCreate", tpl.clone()).await;
    assert_eq!(w.refused(Method::POST, "VolumeTemplateCreate", tpl).await.0, "objectExists");
    w.post("VolumeTemplateCreate", json!({ "name": "bare" })).await;
    w.post("VolumeCreate", json!({ "name": "v", "template": "tpl" })).await;
    let v = one(&w, "Volume/v").await;
    strict::volume(&v);
    let shown = ["size", "placeAll", "placeTail", "placeHead", "templateName", "bw"].map(|f| v[f].clone());
    assert_eq!(json!(shown), json!([GB, "ssd", "hdd", "ssd", "tpl", 100]));
    let list = w.get("VolumeTemplatesList").await;
    list.as_array().unwrap().iter().for_each(strict::template_desc);
    assert_eq!(w.get("VolumeTemplateDescribe/tpl").await, list[0]);
    assert_eq!(
        (&list[1]["size"], &list[1]["replication"], &list[1]["placeAll"]),
        (&json!("-"), &json!("-"), &json!("-"))
    );
    assert_eq!(w.refused(Method::POST, "VolumeTemplateDelete/tpl", Value::Null).await.0, "busy");
    w.post("VolumeTemplateDelete/bare", Value::Null).await;
    let (name, descr) = w.refused(Method::GET, "VolumeTemplateDescribe/bare", Value::Null).await;
    assert_eq!((name.as_str(), descr.as_str()), ("objectDoesNotExist", "template 'bare' does not exist"));
    let other = json!({ "name": "w", "template": "bare" });
    assert_eq!(w.refused(Method::POST, "VolumeCreate", other).await.0, "objectDoesNotExist");
}

#[tokio::test]
async fn a_volume_of_another_side_is_shown_by_its_alias_or_handle() {
    let w = World::new().await;
    let alias = "os--volume-6f0e4c0e-0000-4000-8000-000000000001";
    for (name, aliases) in [
        ("books", vec![Alias { api: Api::StorPool, scope: String::new(), name: alias.into() }]),
        ("my maps", Vec::new()),
    ] {
        let new = NewVolume {
            naming: Naming { name: name.into(), own: None, aliases },
            size: Some(GB),
            ..NewVolume::default()
        };
        let started = create(&w.ports, &w.other, new).await.unwrap();
        w.ports.jobs.wait(started.job).await.unwrap();
    }
    let list = w.get("VolumesList").await;
    list.as_array().unwrap().iter().for_each(strict::volume);
    assert_eq!((&list[0]["name"], &list[1]["name"]), (&json!(alias), &json!("my-maps")));
    assert_eq!(one(&w, &format!("Volume/{alias}")).await, list[0]);
    assert_eq!(one(&w, "Volume/my-maps").await, list[1]);
    assert_eq!(w.refused(Method::GET, "Volume/books", Value::Null).await.0, "objectDoesNotExist");
    w.post("VolumeUpdate/my-maps", json!({ "rename": "maps" })).await;
    assert_eq!(one(&w, "Volume/maps").await["globalId"], list[1]["globalId"]);
}

#[tokio::test]
async fn tags_and_nameless_volumes_of_the_later_bindings() {
    let w = World::new().await;
    let made = w.post("VolumeCreate", json!({ "size": GB, "tags": { "vm": "7", "os": "linux" } })).await;
    let name = made["name"].as_str().unwrap();
    let v = one(&w, &format!("Volume/{name}")).await;
    strict::volume(&v);
    assert_eq!(v["tags"], json!({ "vm": "7", "os": "linux" }));
    w.post(&format!("VolumeUpdate/{name}"), json!({ "tags": { "os": "", "cs": "1" } })).await;
    assert_eq!(one(&w, &format!("Volume/{name}")).await["tags"], json!({ "vm": "7", "cs": "1" }));
    let made = w.post(&format!("VolumeSnapshot/{name}"), json!({ "tags": {} })).await;
    let s = one(&w, &format!("Snapshot/~{}", made["snapshotGlobalId"].as_str().unwrap())).await;
    assert_eq!(s.get("tags"), None, "a snapshot does not inherit them");
    w.post(&format!("VolumeUpdate/{name}"), json!({ "tags": { "vm": "", "cs": "" } })).await;
    assert_eq!(one(&w, &format!("Volume/{name}")).await.get("tags"), None);
}

#[tokio::test]
async fn every_change_moves_the_generation() {
    let w = World::new().await;
    let first = volume(&w, "a").await["generation"].as_u64().unwrap();
    let second = volume(&w, "b").await["generation"].as_u64().unwrap();
    let (_, list) = w.send(Method::GET, "VolumesList", b"").await;
    assert!(first < second && list["generation"] == second);
    let (_, refused) = w.send(Method::GET, "Volume/none", b"").await;
    assert_eq!(refused["generation"], second);
    assert!(w.post("VolumeDelete/a", Value::Null).await["generation"].as_u64().unwrap() > second);
}

// All who renamed something by one name at once were told that they had; one name stayed.
#[tokio::test]
async fn of_those_who_rename_by_one_name_one_succeeds() {
    let w = World::new().await;
    volume(&w, "v").await;
    w.post("VolumeSnapshot/v", json!({ "name": "s" })).await;
    let mut now = vec![];
    for (call, [a, b], gone) in [
        ("VolumeUpdate/v", ["va", "vb"], "volume 'v' does not exist"),
        ("SnapshotUpdate/s", ["sa", "sb"], "snapshot 's' does not exist"),
    ] {
        let rename = async |to: &str| {
            let body = json!({ "rename": to }).to_string();
            w.send(Method::POST, call, body.as_bytes()).await
        };
        let both = tokio::join!(rename(a), rename(b));
        let (name, won, lost) = if both.0.0 == 200 { (a, both.0, both.1) } else { (b, both.1, both.0) };
        assert_eq!((won.0, lost.0), (200, 404), "{lost:?}");
        assert_eq!(lost.1["error"]["descr"], gone);
        now.push(name);
    }
    one(&w, &format!("Snapshot/{}", now[1])).await;
    // A global id means the same thing whatever it is called.
    let id = one(&w, &format!("Volume/{}", now[0])).await["globalId"].as_str().unwrap().to_string();
    w.post(&format!("VolumeUpdate/~{id}"), json!({ "rename": "v" })).await;
    assert_eq!(one(&w, "Volume/v").await["globalId"], *id);
}

// One snapshot whose name began with # made the bindings refuse every list that held it.
#[tokio::test]
async fn no_snapshot_is_named_with_the_mark_of_volumes() {
    let w = World::new().await;
    volume(&w, "#v").await;
    w.post("VolumeSnapshot/%23v", json!({ "name": "s" })).await;
    w.post("VolumeSnapshot/%23v", Value::Null).await;
    for (call, body) in [
        ("VolumeSnapshot/%23v", json!({ "name": "#x" })),
        ("SnapshotUpdate/s", json!({ "rename": "#x" })),
        ("VolumesGroupSnapshot", json!({ "volumes": [{ "volume": "#v", "name": "#x" }] })),
        ("VolumeFreeze/%23v", Value::Null),
    ] {
        let (name, descr) = w.refused(Method::POST, call, body).await;
        assert_eq!(name, "invalidParam", "{call}: {descr}");
        assert!(!call.starts_with("VolumeFreeze") || descr.contains("rename the volume first"), "{descr}");
    }
    w.get("SnapshotsList").await.as_array().unwrap().iter().for_each(strict::snapshot);
}

// The id of the snapshot was in the answer, which no client of this side knows.
#[tokio::test]
async fn another_volumes_snapshot_is_refused_by_the_name_that_was_given() {
    let w = World::new().await;
    volume(&w, "v").await;
    volume(&w, "op").await;
    w.post("VolumeSnapshot/op", json!({ "name": "s" })).await;
    let (name, descr) = w.refused(Method::POST, "VolumeRevert/v", json!({ "toSnapshot": "s" })).await;
    assert_eq!((name.as_str(), descr.as_str()), ("objectDoesNotExist", "snapshot 's' does not exist"));
}

// Clients look for `is open at`, and then wait or force; of a plain connection it was not said.
#[tokio::test]
async fn what_a_plain_connection_has_open_is_open_at_it() {
    let w = World::new().await;
    volume(&w, "op").await;
    w.post("VolumeUpdate/op", json!({ "rename": "w" })).await;
    let _session = w.open("op").await;
    let (name, descr) = w.refused(Method::POST, "VolumeDelete/w", Value::Null).await;
    assert_eq!((name.as_str(), descr.as_str()), ("busy", "'w' is open at nbd 127.0.0.1"));
}
