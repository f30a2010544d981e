//! Snapshots of custom volumes, and the operations that make them.

use serde_json::{Value, json};

use crate::world::{World, at};

async fn with_volume() -> (World, String) {
    let w = World::new().await;
    w.volume("v", "64MiB").await;
    (w, format!("{}/snapshots", at("v")))
}

#[tokio::test]
async fn unnamed_ones_are_numbered() {
    let (w, at) = with_volume().await;
    for (name, want) in
        [(Value::Null, "snap0"), (json!(""), "snap1"), (json!("snap7"), "snap7"), (Value::Null, "snap8")]
    {
        let answer = w.post(&at, json!({ "name": name, "expires_at": null })).await;
        let operation = &answer.body["metadata"];
        assert_eq!(operation["resources"]["storage_volume_snapshots"], json!([format!("{at}/{want}")]));
        assert_eq!((&operation["class"], &operation["location"]), (&json!("task"), &json!("none")));
        let done = w.wait(answer).await;
        assert_eq!(
            (&done["status"], &done["status_code"], &done["err"]),
            (&json!("Success"), &json!(200), &json!(""))
        );
        assert_eq!(done["description"], "Creating storage volume snapshot");
    }
    let all = ["snap0", "snap1", "snap7", "snap8"].map(|n| format!("{at}/{n}"));
    assert_eq!(w.get(&at).await.ok(), json!(all));
}

#[tokio::test]
async fn a_snapshot_keeps_its_documents() {
    let (w, at) = with_volume().await;
    w.patch(&crate::world::at("v"), json!({ "config": { "user.a": "1" } })).await.ok();
    let body = json!({ "name": "custom", "expires_at": "2183-06-16T00:00:00Z" });
    w.wait(w.post(&at, body).await).await;
    let one = format!("{at}/custom");
    let s = w.get(&one).await.ok();
    assert_eq!(s["expires_at"], "2183-06-16T00:00:00Z");
    assert_eq!((&s["name"], &s["content_type"]), (&json!("custom"), &json!("block")));
    assert_eq!(s["config"], json!({ "size": "64MiB", "user.a": "1" }));

    w.put(&one, json!({ "description": "sd", "expires_at": "2184-06-16T00:00:00Z" })).await.ok();
    w.patch(&one, json!({ "config": { "user.b": "2" } })).await.ok();
    let s = w.get(&one).await.ok();
    assert_eq!((&s["description"], &s["expires_at"]), (&json!("sd"), &json!("2184-06-16T00:00:00Z")));
    assert_eq!(s["config"]["user.b"], "2");
    w.put(&one, json!({ "description": "sd3" })).await.ok();
    assert_eq!(w.get(&one).await.ok()["expires_at"], "0001-01-01T00:00:00Z", "PUT takes the date away");
    let list = w.get(&format!("{at}?recursion=1")).await.ok();
    assert_eq!((&list[0]["name"], &list[0]["expires_at"]), (&json!("v/custom"), &Value::Null));
    w.post(&at, json!({ "name": "x", "expires_at": "tomorrow" })).await.refused(400);
}

#[tokio::test]
async fn the_volumes_own_rule_gives_the_date() {
    let (w, at) = with_volume().await;
    w.patch(&crate::world::at("v"), json!({ "config": { "snapshots.expiry": "100y" } })).await.ok();
    w.snapshot("v", "s").await;
    let date = w.get(&format!("{at}/s")).await.ok()["expires_at"].as_str().unwrap().to_string();
    assert!(date.as_str() > "2100" && date.ends_with('Z'), "{date}");
}

#[tokio::test]
async fn names_that_are_none_or_taken_are_refused() {
    let (w, at) = with_volume().await;
    w.snapshot("v", "s1").await;
    w.snapshot("v", "s2").await;
    assert_eq!(w.post(&at, json!({ "name": "s1" })).await.refused(409), "Snapshot \"s1\" already in use");
    w.post(&at, json!({ "name": "a/b" })).await.refused(400);
    w.post(&at, json!({ "name": "with space" })).await.refused(400);
    w.post(&format!("{at}/s1"), json!({ "name": "" })).await.refused(400);
    w.post(&format!("{at}/s1"), json!({ "name": "s2" })).await.refused(409);
    w.post(&format!("{at}/nosnap"), json!({ "name": "x" })).await.refused(404);
    w.get(&format!("{at}/nosnap")).await.refused(404);
    w.post(&at.replace("/v/", "/nov/"), json!({ "name": "x" })).await.refused(404);
}

#[tokio::test]
async fn rename_restore_and_delete() {
    let (w, at) = with_volume().await;
    w.snapshot("v", "s1").await;
    w.snapshot("v", "s2").await;
    let done = w.wait(w.post(&format!("{at}/s1"), json!({ "name": "first" })).await).await;
    assert_eq!(
        (&done["description"], &done["status"]),
        (&json!("Renaming storage volume snapshot"), &json!("Success"))
    );
    w.get(&format!("{at}/s1")).await.refused(404);

    let volume = crate::world::at("v");
    w.patch(&volume, json!({ "description": "d", "config": { "size": "128MiB", "user.a": "1" } })).await.ok();
    // As lxc sends it; and not the newest snapshot.
    w.put(&volume, json!({ "config": null, "description": "", "restore": "first" })).await.ok();
    let v = w.get(&volume).await.ok();
    assert_eq!((&v["description"], &v["config"]["user.a"]), (&json!("d"), &json!("1")));
    assert_eq!(v["config"]["size"], "64MiB");
    assert_eq!(
        w.put(&volume, json!({ "restore": "nosnap" })).await.refused(404),
        "Storage volume snapshot not found"
    );

    let done = w.wait(w.delete(&format!("{at}/s2")).await).await;
    assert_eq!(done["resources"]["storage_volume_snapshots"], json!([format!("{at}/s2")]));
    w.delete(&format!("{at}/s2")).await.refused(404);
    w.delete(&volume).await.ok();
}

#[tokio::test]
async fn an_operation_that_failed_says_why() {
    let (w, at) = with_volume().await;
    let answer = w.post(&at, json!({ "name": "unlucky" })).await;
    let id = answer.body["metadata"]["id"].as_str().unwrap().to_string();
    let failed = w.wait(answer).await;
    assert_eq!((&failed["status"], &failed["status_code"]), (&json!("Failure"), &json!(400)));
    assert_eq!(failed["err"], "the pool has no space left");
    let groups = w.get("/1.0/operations?recursion=1").await.ok();
    assert_eq!(groups["failure"][0]["id"], id.as_str());
    let urls = w.get("/1.0/operations").await.ok();
    assert_eq!(urls["failure"], json!([format!("/1.0/operations/{id}")]));
    w.delete(&format!("/1.0/operations/{id}")).await.refused(400);
    assert_eq!(w.get(&at).await.ok(), json!([]));
}

#[tokio::test]
async fn unknown_operations_are_not_found() {
    let w = World::new().await;
    for id in ["00000000-0000-0000-0000-000000000000", "nonsense"] {
        let at = format!("/1.0/operations/{id}");
        assert_eq!(w.get(&at).await.refused(404), "Operation not found");
        w.get(&format!("{at}/wait?timeout=1")).await.refused(404);
        w.delete(&at).await.refused(404);
    }
    let (w, at) = with_volume().await;
    let answer = w.post(&at, json!({})).await;
    let op = answer.body["operation"].as_str().unwrap().to_string();
    w.get(&format!("{op}/wait?timeout=soon")).await.refused(400);
    w.wait(answer).await;
}
