//! Fifty clients at once on the same and on different things.

mod together;

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use crate::Cinder;

const CLIENTS: usize = 50;

fn id(document: &Value) -> String {
    document["id"].as_str().unwrap().to_string()
}

/// A call whose answer may be a refusal, but never a fault of ours.
async fn call(c: &Cinder, method: Method, path: &str, body: Value) -> (u16, Value) {
    let got = c.call(method, path, body).await;
    assert!(got.status < 500, "{path}: {} {}", got.status, got.body);
    (got.status, got.body)
}

async fn post(c: &Cinder, path: &str, body: Value) -> (u16, Value) {
    call(c, Method::POST, path, body).await
}

/// One client's life with a volume of its own: made, grown, snapshotted, attached, let go, deleted.
async fn alone(c: &Cinder, n: usize) {
    let (status, made) =
        post(c, "/volumes", json!({ "volume": { "size": 1, "name": format!("own-{n}") } })).await;
    assert_eq!(status, 202);
    let path = format!("/volumes/{}", id(&made["volume"]));
    c.until(&path, "volume", "status", "available").await;
    let (status, _) = post(c, &format!("{path}/action"), json!({ "os-extend": { "new_size": 2 } })).await;
    assert_eq!(status, 202);
    let v = c.until(&path, "volume", "status", "available").await;
    assert_eq!(v["size"], 2);
    let (status, s) = post(c, "/snapshots", json!({ "snapshot": { "volume_id": id(&v) } })).await;
    assert_eq!(status, 202, "{s}");
    c.until(&format!("/snapshots/{}", id(&s["snapshot"])), "snapshot", "status", "available").await;
    let wire = json!({ "attachment": {
        "volume_uuid": id(&v), "instance_uuid": format!("i-{n}"), "connector": { "host": format!("h-{n}") } } });
    let (status, a) = post(c, "/attachments", wire).await;
    assert_eq!(status, 200, "{a}");
    let attachment = format!("/attachments/{}", id(&a["attachment"]));
    assert_eq!(post(c, &format!("{attachment}/action"), json!({ "os-complete": {} })).await.0, 204);
    assert_eq!(c.get(&path).await.body["volume"]["status"], "in-use");
    assert_eq!(call(c, Method::DELETE, &attachment, Value::Null).await.0, 200);
    assert_eq!(call(c, Method::DELETE, &format!("{path}?cascade=True"), Value::Null).await.0, 202);
    c.until_gone(&path).await;
}

/// One client among many at the same volume; it may lose every race, but nothing may be lost.
async fn together(c: &Cinder, n: usize, shared: &str) -> (bool, bool) {
    let path = format!("/volumes/{shared}");
    let key = format!("key-{n}");
    let (status, _) =
        post(c, &format!("{path}/metadata"), json!({ "metadata": { key: n.to_string() } })).await;
    assert_eq!(status, 200);
    let grow = json!({ "os-extend": { "new_size": n + 2 } });
    let grown = post(c, &format!("{path}/action"), grow).await.0 == 202;
    let wire = json!({ "attachment": { "volume_uuid": shared, "instance_uuid": format!("i-{n}") } });
    let (status, a) = post(c, "/attachments", wire).await;
    if status == 200 {
        let attachment = format!("/attachments/{}", id(&a["attachment"]));
        let now = c.get(&format!("/attachments?volume_id={shared}")).await.body["attachments"].clone();
        assert_eq!(now.as_array().unwrap().len(), 1, "the volume is exclusive: {now}");
        assert_eq!(call(c, Method::DELETE, &attachment, Value::Null).await.0, 200);
    }
    let (status, _) = post(c, "/snapshots", json!({ "snapshot": { "volume_id": shared } })).await;
    (grown, status == 202)
}

const STATES: [&str; 8] =
    ["creating", "available", "extending", "reserved", "attaching", "in-use", "detaching", "deleting"];

/// Every thing of a collection is in one of these states.
async fn states(c: &Cinder, collection: &str, known: &[&str]) {
    let all = c.get(&format!("/{collection}/detail?list_volume=True")).await.body[collection].clone();
    for one in all.as_array().unwrap() {
        assert!(known.contains(&one["status"].as_str().unwrap()), "{collection}: {one}");
    }
}

/// What is used of the quota, when nothing is on its way.
async fn used(c: &Cinder, of: &str) -> u64 {
    let set = c.get(&format!("/os-quota-sets/{}?usage=True", c.project)).await.body["quota_set"].clone();
    for (name, figures) in set.as_object().unwrap().iter().filter(|(name, _)| *name != "id") {
        assert_eq!(figures["reserved"], 0, "{name}");
    }
    set[of]["in_use"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_clients_lose_nothing_and_see_no_state_that_is_none() {
    let c = Arc::new(Cinder::start().await);
    let shared = id(&c.volume(json!({ "size": 1, "name": "shared" })).await);
    let watcher = {
        let (c, shared) = (c.clone(), shared.clone());
        tokio::spawn(async move {
            loop {
                let all = c.get("/volumes/detail").await.body["volumes"].clone();
                for v in all.as_array().unwrap() {
                    assert!(STATES.contains(&v["status"].as_str().unwrap()), "{v}");
                }
                states(&c, "snapshots", &["creating", "available", "deleting"]).await;
                states(&c, "attachments", &["reserved", "attaching", "attached", "detaching"]).await;
                assert!(all.as_array().unwrap().iter().any(|v| id(v) == shared));
                tokio::task::yield_now().await;
            }
        })
    };
    let crowd: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (c, shared) = (c.clone(), shared.clone());
            tokio::spawn(async move {
                alone(&c, n).await;
                together(&c, n, &shared).await
            })
        })
        .collect();
    let (mut grown, mut snapshots) = (0, 0);
    for client in crowd {
        let (g, s) = client.await.unwrap();
        grown += usize::from(g);
        snapshots += usize::from(s);
    }
    assert!(!watcher.is_finished(), "{:?}", watcher.await);
    watcher.abort();
    assert!(grown > 0 && snapshots > 0, "{grown} {snapshots}");
    let path = format!("/volumes/{shared}");
    let v = c.until(&path, "volume", "status", "available").await;
    assert_eq!(v["metadata"].as_object().unwrap().len(), CLIENTS, "no update was lost");
    let left = c.get("/snapshots/detail").await.body["snapshots"].clone();
    assert_eq!(left.as_array().unwrap().len(), snapshots, "as many as were promised");
    for s in left.as_array().unwrap() {
        let path = format!("/snapshots/{}", id(s));
        c.until(&path, "snapshot", "status", "available").await;
    }
    assert_eq!(c.get("/volumes").await.body["volumes"].as_array().unwrap().len(), 1);
    assert_eq!(c.get("/attachments").await.body["attachments"], json!([]));
    let sizes = left.as_array().unwrap().iter().chain([&v]).map(|x| x["size"].as_u64().unwrap());
    assert_eq!(used(&c, "gigabytes").await, sizes.sum::<u64>());
    assert_eq!((used(&c, "volumes").await, used(&c, "snapshots").await), (1, snapshots as u64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_volume_is_deleted_once_whoever_asks() {
    let c = Arc::new(Cinder::start().await);
    let path = format!("/volumes/{}", id(&c.volume(json!({ "size": 1 })).await));
    let crowd: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (c, path) = (c.clone(), path.clone());
            tokio::spawn(async move { call(&c, Method::DELETE, &path, Value::Null).await.0 })
        })
        .collect();
    let mut begun = 0;
    for client in crowd {
        let status = client.await.unwrap();
        assert!([202, 400, 404].contains(&status), "{status}");
        begun += usize::from(status == 202);
    }
    assert_eq!(begun, 1);
    c.until_gone(&path).await;
}
