use http::Method;
use parpen_model::Api;
use parpen_service::names::{Naming, Space};
use parpen_service::{snapshots, volumes};
use serde_json::{Value, json};

use crate::house::native;
use crate::world::World;

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

#[tokio::test]
async fn snapshots_live_in_their_volume() {
    let w = World::new().await;
    w.volume(POST, "a/b", r#"{"size_total":4096}"#).await;
    assert_eq!(w.volume(GET, "a/b/snapshots", "").await, (200, json!([])));
    assert_eq!(w.volume(POST, "a/b/snapshots/one:x", "{}").await, (201, json!("")));
    let (status, shown) = w.volume(GET, "a/b/snapshots/one:x", "").await;
    let keys: Vec<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((status, keys), (200, vec!["name", "size_kbytes", "creation_time"]));
    assert_eq!((&shown["name"], &shown["size_kbytes"]), (&json!("one:x"), &json!(0)));
    assert!(shown["creation_time"].as_str().unwrap().ends_with(" -0000"));
    assert_eq!(w.volume(GET, "a/b/snapshots", "").await, (200, json!([shown])));
    // There already: refused. Without a body, or for a volume that is not there: refused.
    let (status, refusal) = w.volume(POST, "a/b/snapshots/one:x", "{}").await;
    assert!(status == 400 && refusal["message"].as_str().unwrap().contains("in use"), "{refusal}");
    assert_eq!(w.volume(POST, "a/b/snapshots/two", "").await.0, 400);
    assert_eq!(w.volume(POST, "a/b/snapshots/t%20o", "{}").await.0, 400);
    assert_eq!(w.volume(POST, "nothing/snapshots/one", "{}").await.0, 404);
    assert_eq!(w.volume(GET, "nothing/snapshots", "").await.0, 404);
    let (status, refusal) = w.volume(GET, "a/b/snapshots/none", "").await;
    assert_eq!((status, &refusal["message"]), (404, &json!("No such snapshot: 'none'")));
    assert_eq!(w.volume(DELETE, "a/b/snapshots/one:x", "").await, (204, Value::Null));
    assert_eq!(w.volume(DELETE, "a/b/snapshots/one:x", "").await.0, 404);
    assert_eq!(w.volume(GET, "a/b/snapshots", "").await, (200, json!([])));
}

#[tokio::test]
async fn a_snapshot_name_belongs_to_its_volume() {
    let w = World::new().await;
    for volume in ["a", "b"] {
        w.volume(POST, volume, "{}").await;
        assert_eq!(w.volume(POST, &format!("{volume}/snapshots/one"), "{}").await.0, 201);
    }
    // One that another side took shows by the last part of its handle.
    let naming = native("b");
    let key = volumes::Key::Named(naming.own.unwrap(), naming.name);
    let (ports, actor) = (&w.house.ports, &w.house.actor);
    let id = volumes::get(ports, actor, &key).await.unwrap().volume.id;
    let naming = Naming::unique("their own", Space::within(Api::Native, id));
    let new = snapshots::NewSnapshot { naming, ..Default::default() };
    let started = snapshots::create(ports, actor, id, new).await.unwrap();
    ports.jobs.wait(started.job).await.unwrap();
    let names = |document: Value| -> Vec<String> {
        document.as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().into()).collect()
    };
    assert_eq!(names(w.volume(GET, "b/snapshots", "").await.1), ["one", "their-own"]);
    assert_eq!(w.volume(GET, "b/snapshots/their-own", "").await.0, 200);
    assert_eq!(names(w.volume(GET, "a/snapshots", "").await.1), ["one"]);
}

#[tokio::test]
async fn volumes_are_cloned_and_rolled_back() {
    let w = World::new().await;
    w.volume(POST, "books", r#"{"size_total":8192}"#).await;
    w.volume(POST, "books/snapshots/one", "{}").await;
    let (status, clone) = w.volume(POST, "copy", r#"{"from_volume":"books","from_snapshot":"one"}"#).await;
    assert_eq!((status, &clone["name"], &clone["size_total"]), (201, &json!("copy"), &json!(8192)));
    assert_eq!(w.volume(GET, "copy/snapshots", "").await, (200, json!([])), "it has none of its own yet");
    assert_eq!(w.volume(POST, "copy/snapshots/two", "{}").await.0, 201);
    // A lock keeps hosts off, not the one who operates the volume.
    w.volume(Method::PUT, "books/locks/one", "").await;
    w.volume(Method::PATCH, "books", r#"{"size_total":16384}"#).await;
    let (status, back) = w.volume(POST, "books", r#"{"from_snapshot":"one"}"#).await;
    assert_eq!((status, &back["name"], &back["size_total"]), (201, &json!("books"), &json!(8192)));
    for (target, body, status) in [
        ("copy", r#"{"from_volume":"books","from_snapshot":"one"}"#, 400),
        ("new", r#"{"from_volume":"nothing","from_snapshot":"one"}"#, 404),
        ("new", r#"{"from_volume":"books","from_snapshot":"nothing"}"#, 404),
        ("books", r#"{"from_snapshot":"nothing"}"#, 404),
        ("new", r#"{"from_snapshot":"one"}"#, 404),
    ] {
        assert_eq!(w.volume(POST, target, body).await.0, status, "{target} {body}");
    }
    assert_eq!(w.volume(GET, "new", "").await.0, 404);
    // A volume goes with its snapshots; what was made from them stays.
    assert_eq!(w.volume(DELETE, "books", "").await.0, 204);
    assert_eq!(w.volume(GET, "books/snapshots", "").await.0, 404);
    assert_eq!(w.volume(GET, "copy", "").await.0, 200);
    let left = snapshots::list(&w.house.ports, &w.house.actor, None, true).await.unwrap();
    assert_eq!(left.len(), 1);
}
