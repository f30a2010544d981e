//! Custom volumes.

use http::Method;
use parpen_http::Via;
use parpen_model::Api;
use parpen_service::names::{Naming, Space};
use parpen_service::volumes::{NewVolume, create};
use serde_json::{Value, json};

use crate::world::{World, at};

const CUSTOM: &str = "/1.0/storage-pools/local/volumes/custom";

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_volume_lives_through_all_its_verbs() {
    let w = World::new().await;
    w.volume("v1", "64MiB").await;
    let answer = w.get(&at("v1")).await;
    assert_eq!(answer.header("etag").len(), 66);
    let shown = answer.ok();
    for (key, value) in [
        ("config", json!({ "size": "64MiB" })),
        ("description", json!("")),
        ("type", json!("custom")),
        ("used_by", json!([])),
        ("location", json!("none")),
        ("content_type", json!("block")),
        ("project", json!("default")),
    ] {
        assert_eq!(shown[key], value, "{key}");
    }
    assert!(shown["created_at"].as_str().unwrap() > "2026");
    assert_eq!(
        w.get(&format!("{}/state", at("v1"))).await.ok(),
        json!({ "usage": { "used": 16 << 20, "total": 64 << 20 } })
    );
    let again = json!({ "name": "v1", "config": {} });
    assert_eq!(w.post(CUSTOM, again).await.refused(409), "Volume by that name already exists");

    let renamed = w.post(&at("v1"), json!({ "name": "v2", "pool": "local" })).await;
    assert_eq!((renamed.status, renamed.header("location")), (201, at("v2")));
    assert_eq!(renamed.body["metadata"], Value::Null);
    assert_eq!(w.get(&at("v1")).await.refused(404), "Storage pool volume not found");
    assert_eq!(w.get(CUSTOM).await.ok(), json!([at("v2")]));
    w.post(&at("v2"), json!({ "name": "v2" })).await.refused(409);
    w.post(&at("v2"), json!({ "pool": "local" })).await.refused(400);
    w.post(&at("v2"), json!({ "name": "v3", "pool": "dummy" })).await.refused(501);
    assert_eq!(w.delete(&at("v2")).await.ok(), json!({}));
    w.delete(&at("v2")).await.refused(404);
}

#[tokio::test]
async fn put_and_patch_keep_what_they_do_not_name() {
    let w = World::new().await;
    w.volume("v", "64MiB").await;
    let at = at("v");
    w.put(&at, json!({ "description": "d", "config": { "size": "64MiB", "user.a": "1" } })).await.ok();
    w.patch(&at, json!({ "config": { "user.b": "2" } })).await.ok();
    let v = w.get(&at).await.ok();
    assert_eq!(v["config"], json!({ "size": "64MiB", "user.a": "1", "user.b": "2" }));
    assert_eq!(v["description"], "d");
    w.patch(&at, json!({ "config": { "user.b": "" } })).await.ok();
    w.put(&at, json!({ "config": { "user.c": "3" } })).await.ok();
    let v = w.get(&at).await.ok();
    assert_eq!(v["config"], json!({ "size": "64MiB", "user.c": "3" }), "PUT replaces, but a size there is");
    assert_eq!(v["description"], "d", "a PUT without a description is not one of an empty description");
    w.put(&at, json!({ "description": "", "config": null })).await.ok();
    assert_eq!(w.get(&at).await.ok()["description"], "");
    w.patch(&at, json!({ "config": { "bogus": "7" } })).await.refused(400);
    w.patch(&at, json!({ "config": { "snapshots.expiry": "soon" } })).await.refused(400);
}

#[tokio::test]
async fn sizes_grow_and_their_text_is_kept() {
    let w = World::new().await;
    w.volume("v", "1000001").await;
    let size = || async { w.get(&at("v")).await.ok()["config"]["size"].clone() };
    assert_eq!(size().await, "1000001");
    w.patch(&at("v"), json!({ "config": { "size": "0.5GB" } })).await.ok();
    assert_eq!(size().await, "0.5GB");
    w.patch(&at("v"), json!({ "config": { "size": "32MiB" } })).await.refused(400);
    assert_eq!(size().await, "0.5GB", "nothing was changed");
    w.post(CUSTOM, json!({ "name": "none", "config": { "size": "0" } })).await.ok();
    assert_eq!(w.get(&at("none")).await.ok()["config"], json!({ "size": "10GiB" }));
    w.patch("/1.0/storage-pools/local", json!({ "config": { "volume.size": "1GiB" } })).await.ok();
    w.post(CUSTOM, json!({ "name": "pools", "config": {} })).await.ok();
    assert_eq!(w.get(&at("pools")).await.ok()["config"], json!({ "size": "1GiB" }));
}

#[tokio::test]
async fn a_stale_version_is_refused() {
    let w = World::new().await;
    w.volume("v", "1MiB").await;
    let hash = w.get(&at("v")).await.header("etag");
    let body = json!({ "config": { "user.a": "1" } }).to_string();
    let put = |hash: String| {
        let (w, body) = (&w, body.as_bytes());
        async move { w.raw(Via::Unix, Method::PUT, &at("v"), &[("if-match", &hash)], body).await }
    };
    put(hash.clone()).await.ok();
    put(hash).await.refused(412);
}

#[tokio::test]
async fn what_no_block_volume_can_be_is_refused_in_words() {
    let w = World::new().await;
    let refused = |status: u16, body: Value| {
        let w = &w;
        async move { w.post(CUSTOM, body).await.refused(status) }
    };
    assert!(
        refused(501, json!({ "name": "f", "content_type": "filesystem" })).await.contains("--type=block")
    );
    assert_eq!(
        refused(400, json!({ "name": "f", "content_type": "tape" })).await,
        "Invalid volume content type name"
    );
    assert_eq!(refused(400, json!({ "config": {} })).await, "No name provided");
    assert_eq!(refused(400, json!({ "name": "a/b" })).await, "Storage volume names may not contain slashes");
    for size in ["big", "-1", "99999999999EiB"] {
        let text = refused(400, json!({ "name": "q", "config": { "size": size } })).await;
        assert!(text.contains("\"size\""), "{text}");
    }
    refused(400, json!({ "name": "q", "config": { "size": "2PiB" } })).await;
    refused(400, json!({ "name": "q", "config": { "size": 1024 } })).await;
    refused(400, json!({ "name": "x".repeat(1 << 20) })).await;
    assert_eq!(
        refused(400, json!({ "name": "q", "source": { "type": "banana" } })).await,
        "Unknown source type \"banana\""
    );
    refused(501, json!({ "name": "q", "source": { "type": "migration", "mode": "pull" } })).await;
    let pools = "/1.0/storage-pools";
    w.post(&format!("{pools}/nopool/volumes/custom"), json!({ "name": "q" })).await.refused(404);
    w.post(&format!("{pools}/local/volumes/container"), json!({ "name": "q" })).await.refused(400);
    w.post(&format!("{CUSTOM}?project=nope"), json!({ "name": "q" })).await.refused(404);
    assert_eq!(w.get(CUSTOM).await.ok(), json!([]), "nothing was made");
    w.post(&format!("{pools}/local/volumes"), json!({ "name": "top", "type": "custom" })).await.ok();
    assert_eq!(w.get(&at("top")).await.ok()["content_type"], "block");
    w.get(&format!("{pools}/local/volumes/nosuch/v")).await.refused(400);
    w.get(&format!("{pools}/local/volumes/image/v")).await.refused(404);
    assert_eq!(w.get(&format!("{pools}/local/volumes/container")).await.ok(), json!([]));
}

#[tokio::test]
async fn names_are_escaped_once() {
    let w = World::new().await;
    w.volume("a b", "1MiB").await;
    w.volume("vé%#", "1MiB").await;
    let list = w.get(CUSTOM).await.ok();
    assert_eq!(list, json!([at("a%20b"), at("v%C3%A9%25%23")]));
    for url in list.as_array().unwrap() {
        w.get(url.as_str().unwrap()).await.ok();
    }
    // As pylxd sends it: the name in the path, quoted by its HTTP library.
    assert_eq!(w.get(&at("vé%25%23")).await.ok()["name"], "vé%#");
    w.snapshot("a%20b", "s").await;
    assert_eq!(
        w.get(&format!("{}/snapshots", at("a%20b"))).await.ok(),
        json!([format!("{}/snapshots/s", at("a%20b"))])
    );
}

#[tokio::test]
async fn lists_hold_snapshots_only_when_they_are_long() {
    let w = World::new().await;
    w.volume("b", "1MiB").await;
    w.volume("a", "2MiB").await;
    w.snapshot("b", "s1").await;
    assert_eq!(w.get("/1.0/storage-pools/local/volumes").await.ok(), json!([at("a"), at("b")]));
    assert_eq!(names(&w.get(&format!("{CUSTOM}?recursion=1")).await.ok()), ["a", "b", "b/s1"]);
    assert_eq!(names(&w.get(&format!("{CUSTOM}?recursion=2&filter=")).await.ok()), ["a", "b", "b/s1"]);
    let filtered =
        format!("{CUSTOM}?recursion=1&filter=content_type+eq+block+and+name+eq+b&all-projects=true");
    assert_eq!(names(&w.get(&filtered).await.ok()), ["b"]);
    assert_eq!(w.get(&format!("{CUSTOM}?filter=name+eq+a")).await.ok(), json!([at("a")]));
    assert_eq!(w.get(&format!("{CUSTOM}?filter=config.size+eq+2MiB")).await.ok(), json!([at("a")]));
    w.get(&format!("{CUSTOM}?filter=name+like+a")).await.refused(400);
}

#[tokio::test]
async fn copies_come_from_volumes_and_snapshots() {
    let w = World::new().await;
    w.volume("src", "64MiB").await;
    w.patch(&at("src"), json!({ "description": "d", "config": { "user.a": "1" } })).await.ok();
    let copy = |name: &'static str, source: Value, config: Value| {
        let w = &w;
        let body = json!({ "name": name, "config": config, "source": source });
        async move { w.post(&format!("{CUSTOM}?target=none"), body).await }
    };
    let from = |name: &str| json!({ "type": "copy", "pool": "local", "name": name, "volume_only": true });
    let answer = copy("c1", from("src"), json!({})).await;
    assert_eq!(answer.body["metadata"]["description"], "Copying storage volume");
    assert_eq!(w.wait(answer).await["status_code"], 200);
    let c1 = w.get(&at("c1")).await.ok();
    assert_eq!(
        (&c1["config"], &c1["description"]),
        (&json!({ "size": "64MiB", "user.a": "1" }), &json!("d"))
    );

    w.snapshot("src", "s1").await;
    let answer = copy("c2", from("src/s1"), json!({ "size": "128MiB" })).await;
    assert_eq!(w.wait(answer).await["status"], "Success");
    assert_eq!(w.get(&at("c2")).await.ok()["config"], json!({ "size": "128MiB" }));
    w.delete(&at("src")).await.ok();
    w.get(&at("c2")).await.ok();

    assert_eq!(copy("c1", from("c2"), json!({})).await.refused(409), "Volume by that name already exists");
    copy("c3", from("nov"), json!({})).await.refused(404);
    copy("c3", from("c2/nosnap"), json!({})).await.refused(404);
    copy("c3", from("c2"), json!({ "size": "1MiB" })).await.refused(400);
    w.snapshot("c2", "s").await;
    let with_snapshots = json!({ "type": "copy", "name": "c2" });
    assert!(copy("c3", with_snapshots, json!({})).await.refused(501).contains("--volume-only"));
    let refresh = json!({ "type": "copy", "name": "c2", "refresh": true, "volume_only": true });
    copy("c1", refresh, json!({})).await.refused(501);
}

#[tokio::test]
async fn volumes_of_other_sides_are_shown() {
    let w = World::new().await;
    let naming =
        Naming { name: "os vol".into(), own: Some(Space::global(Api::OpenStack)), ..Naming::default() };
    let new = NewVolume { naming, size: Some(3 << 30), ..NewVolume::default() };
    let started = create(&w.ports, &w.other, new).await.unwrap();
    w.ports.jobs.wait(started.job).await.unwrap();
    let v = w.get(&at("os-vol")).await.ok();
    assert_eq!((&v["name"], &v["config"]), (&json!("os-vol"), &json!({ "size": "3GiB" })));
    w.post(CUSTOM, json!({ "name": "os-vol" })).await.refused(409);
}

// All who renamed a volume by one name at once were told that they had; one name stayed.
#[tokio::test]
async fn of_those_who_rename_by_one_name_one_succeeds() {
    let w = World::new().await;
    w.volume("v", "1MiB").await;
    w.snapshot("v", "s").await;
    let both = async |at: &str| {
        let (a, b) = tokio::join!(w.post(at, json!({ "name": "a" })), w.post(at, json!({ "name": "b" })));
        if a.status < 300 { (a, b) } else { (b, a) }
    };
    let (won, lost) = both(&format!("{}/snapshots/s", at("v"))).await;
    assert_eq!(won.status, 202);
    assert_eq!(lost.refused(404), "Storage volume snapshot not found");
    let (won, lost) = both(&at("v")).await;
    assert_eq!(won.status, 201);
    assert_eq!(lost.refused(404), "Storage pool volume not found");
}

// Whoever deleted a volume while another did was told that it is deleting, not that it is gone.
#[tokio::test]
async fn what_is_being_deleted_is_gone_for_the_next_who_deletes_it() {
    let w = World::new().await;
    w.volume("v", "1MiB").await;
    parpen_model::write(&*w.ports.meta, |tx| {
        let all = tx.read().list::<parpen_model::Volume>(parpen_model::Scope::All, &Default::default())?;
        let mut v = all[0].clone();
        v.life = parpen_model::lifecycle::Life::Deleting;
        tx.update(&mut v)
    })
    .await
    .unwrap();
    assert_eq!(w.delete(&at("v")).await.refused(404), "Storage pool volume not found");
}

#[tokio::test]
async fn a_volume_has_no_backups_and_is_not_made_from_one() {
    let w = World::new().await;
    w.volume("v", "1MiB").await;
    assert_eq!(w.get(&format!("{}/backups", at("v"))).await.ok(), json!([]));
    assert_eq!(w.get(&format!("{}/backups", at("nov"))).await.refused(404), "Storage pool volume not found");
    for headers in
        [[("x-lxd-name", "b"), ("x-lxd-type", "iso")], [("content-type", "application/octet-stream"); 2]]
    {
        let answer = w.raw(Via::Unix, Method::POST, CUSTOM, &headers, b"\x1f\x8b").await;
        assert!(answer.refused(501).contains("backup"));
    }
    assert_eq!(w.get(CUSTOM).await.ok(), json!([at("v")]));
}

#[tokio::test]
async fn lists_of_all_pools_name_them() {
    let w = World::new().await;
    w.volume("v", "1MiB").await;
    w.snapshot("v", "s").await;
    w.post("/1.0/storage-pools/dummy/volumes/custom", json!({ "name": "far", "config": {} })).await.ok();
    let far = "/1.0/storage-pools/dummy/volumes/custom/far";
    for list in ["/1.0/storage-volumes", "/1.0/storage-volumes/custom"] {
        let mut all = w.get(list).await.ok().as_array().unwrap().clone();
        all.sort_by_key(Value::to_string);
        assert_eq!(all, [json!(far), json!(at("v"))]);
        let mut all = w.get(&format!("{list}?recursion=1")).await.ok().as_array().unwrap().clone();
        all.sort_by_key(|d| d["name"].to_string());
        let named: Vec<_> =
            all.iter().map(|d| (d["name"].as_str().unwrap(), d["pool"].as_str().unwrap())).collect();
        assert_eq!(named, [("far", "dummy"), ("v", "local"), ("v/s", "local")]);
        assert_eq!(w.get(&format!("{list}?filter=pool+eq+dummy")).await.ok(), json!([far]));
    }
    assert_eq!(w.get("/1.0/storage-volumes/image").await.ok(), json!([]));
    w.get("/1.0/storage-volumes/nosuch").await.refused(400);
}
