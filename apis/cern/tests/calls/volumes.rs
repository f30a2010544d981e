use expect_test::expect;
use http::Method;
use parpen_model::lifecycle::Life;
use parpen_service::volumes;
use serde_json::{Value, json};

use crate::house::native;
use crate::world::World;

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;
const GIB: u64 = 1 << 30;

/// The document with what differs from run to run taken out, after a look at it.
fn steady(mut document: Value) -> String {
    let id = document["uuid"].as_str().unwrap();
    assert_eq!(id.len(), 36);
    document["uuid"] = json!("<uuid>");
    let time = document["creation_time"].as_str().unwrap();
    assert!(time.ends_with(" -0000") && time.contains(", "), "{time}");
    document["creation_time"] = json!("<time>");
    serde_json::to_string_pretty(&document).unwrap()
}

#[tokio::test]
async fn a_volume_has_seventeen_keys() {
    let w = World::new().await;
    let (status, made) = w.volume(POST, "books", r#"{"size_total":1073741824,"name":"ignored"}"#).await;
    assert_eq!(status, 201);
    assert_eq!(made.as_object().unwrap().len(), 17);
    expect![[r#"
        {
          "size_used": 0,
          "uuid": "<uuid>",
          "state": "online",
          "filer_address": "filer.example",
          "creation_time": "<time>",
          "percentage_snapshot_reserve_used": null,
          "name": "books",
          "size_total": 1073741824,
          "aggregate_name": null,
          "junction_path": null,
          "autosize_enabled": null,
          "max_autosize": null,
          "active_policy_name": null,
          "percentage_snapshot_reserve": null,
          "compression_enabled": null,
          "inline_compression": null,
          "caching_policy": null
        }"#]]
    .assert_eq(&steady(made.clone()));
    assert_eq!(w.volume(GET, "books", "").await, (200, made.clone()));
    assert_eq!(w.send(GET, "/v3/local/volumes", "").await, (200, json!([made])));
    assert_eq!(w.send(GET, "/v3/dummy/volumes", "").await, (200, json!([])));
}

#[tokio::test]
async fn sizes_and_integers_are_echoed_as_they_were_written() {
    let w = World::new().await;
    let (status, made) = w.volume(POST, "small", r#"{"size_total":1000,"junction_path":"/s"}"#).await;
    assert_eq!((status, &made["size_total"], &made["junction_path"]), (201, &json!(1000), &json!("/s")));
    assert_eq!(w.volume(POST, "none", "{}").await.1["size_total"], 0);
    let big = "123456789012345678901234567890";
    let (status, nothing) =
        w.volume(PATCH, "small", &format!(r#"{{"max_autosize":{big},"autosize_enabled":true}}"#)).await;
    assert_eq!((status, nothing), (200, Value::Null));
    let reply = w.reply(GET, "/v3/local/volumes/small", "").await;
    let text = String::from_utf8(reply.as_bytes().unwrap().to_vec()).unwrap();
    assert!(text.contains(&format!(r#""max_autosize":{big}"#)), "{text}");
    assert!(text.contains(r#""autosize_enabled":true"#) && text.contains(r#""size_total":1000"#), "{text}");
}

#[tokio::test]
async fn names_with_slashes_are_aliases_of_their_pool() {
    let w = World::new().await;
    let (status, made) = w.volume(POST, "node:/data/b", r#"{"size_total":512}"#).await;
    assert_eq!((status, &made["name"]), (201, &json!("node:/data/b")));
    assert_eq!(w.volume(GET, "node%3A%2Fdata/b", "").await, (200, made));
    // The same name in another subsystem is another volume.
    let (status, other) = w.send(POST, "/v3/dummy/volumes/node:/data/b", "{}").await;
    assert_eq!((status, &other["size_total"]), (201, &json!(0)));
    let (status, refusal) = w.volume(POST, "node:/data/b", "{}").await;
    assert!(status == 400 && refusal["message"].as_str().unwrap().contains("in use"), "{refusal}");
    assert_eq!(w.volume(DELETE, "node:/data/b", "").await, (204, Value::Null));
    assert_eq!(w.volume(GET, "node:/data/b", "").await.0, 404);
    assert_eq!(w.send(GET, "/v3/dummy/volumes/node:/data/b", "").await.0, 200);
    let (status, refusal) = w.volume(GET, "a%20b", "").await;
    assert_eq!((status, &refusal["message"]), (400, &json!("Invalid volume name")));
}

#[tokio::test]
async fn volumes_of_other_sides_show_by_their_handle() {
    let w = World::new().await;
    let theirs = w.house.volume("my books", GIB).await;
    let (status, shown) = w.volume(GET, theirs.handle.as_str(), "").await;
    assert_eq!((status, &shown["name"], &shown["size_total"]), (200, &json!("my-books"), &json!(GIB)));
    assert_eq!(shown["uuid"], json!(theirs.id.to_string()));
    assert_eq!(w.volume(POST, "my-books", "{}").await.0, 400, "a handle is a name of this side, too");
    let pool = shown["uuid"].as_str().unwrap();
    assert_eq!(w.send(GET, &format!("/v3/{pool}/volumes"), "").await.0, 404);
}

#[tokio::test]
async fn a_patch_resizes_and_keeps() {
    let w = World::new().await;
    w.volume(POST, "books", &format!(r#"{{"size_total":{GIB}}}"#)).await;
    let body =
        format!(r#"{{"size_total":{},"caching_policy":"none","percentage_snapshot_reserve":5}}"#, 2 * GIB);
    assert_eq!(w.volume(PATCH, "books", &body).await, (200, Value::Null));
    let (_, shown) = w.volume(GET, "books", "").await;
    assert_eq!((&shown["size_total"], &shown["caching_policy"]), (&json!(2 * GIB), &json!("none")));
    assert_eq!(shown["percentage_snapshot_reserve"], 5);
    let view = volumes::get(&w.house.ports, &w.house.actor, &key("books")).await.unwrap();
    assert_eq!(view.volume.size, 2 * GIB, "the core has the size, not only the document");
    // Another side's resize wins over the literal.
    let terms = volumes::ResizeTerms::default();
    let id = view.volume.id;
    let started = volumes::resize(&w.house.ports, &w.house.actor, id, 3 * GIB, terms).await.unwrap();
    w.house.ports.jobs.wait(started.job).await.unwrap();
    assert_eq!(w.volume(GET, "books", "").await.1["size_total"], 3 * GIB);
    for (body, text) in [
        (r#"{"name":"x"}"#, "No PATCH data provided!"),
        (r#"{"caching_policy":"x","state":"offline"}"#, "read-only"),
        (r#"{"active_policy_name":"office"}"#, "No such policy: 'office'"),
        (r#"{"size_total":-1}"#, "validation failed"),
    ] {
        let (status, refusal) = w.volume(PATCH, "books", body).await;
        assert!(status == 400 && refusal["message"].as_str().unwrap().contains(text), "{refusal}");
    }
    assert_eq!(w.volume(PATCH, "books", &format!(r#"{{"size_total":{}}}"#, 1u64 << 60)).await.0, 400);
    let (status, refusal) = w.volume(PATCH, "nothing", r#"{"size_total":1}"#).await;
    assert_eq!((status, &refusal["message"]), (404, &json!("No such volume: 'nothing'")));
    assert_eq!(w.volume(GET, "books", "").await.1["caching_policy"], "none", "refusals changed nothing");
}

fn key(handle: &str) -> volumes::Key {
    let naming = native(handle);
    volumes::Key::Named(naming.own.unwrap(), naming.name)
}

#[tokio::test]
async fn masks_choose_keys() {
    let w = World::new().await;
    w.volume(POST, "books", r#"{"size_total":512}"#).await;
    assert_eq!(
        w.masked("/v3/local/volumes/books", "{name,size_total}").await,
        (200, json!({"name": "books", "size_total": 512}))
    );
    assert_eq!(w.masked("/v3/local/volumes", "name").await, (200, json!([{"name": "books"}])));
    assert_eq!(w.masked("/v3/local/volumes", "{{").await.0, 400);
}

#[tokio::test]
async fn a_lock_has_one_holder() {
    let w = World::new().await;
    w.volume(POST, "a/b", "{}").await;
    assert_eq!(w.volume(GET, "a/b/locks", "").await, (200, json!([])));
    assert_eq!(w.volume(Method::PUT, "a/b/locks/one", "").await, (201, json!("")));
    assert_eq!(w.volume(Method::PUT, "a/b/locks/one", "").await, (201, json!("")));
    let (status, refusal) = w.volume(Method::PUT, "a/b/locks/two", "").await;
    assert_eq!((status, &refusal["message"]), (400, &json!("a/b is already locked by one!")));
    assert_eq!(w.volume(DELETE, "a/b/locks/two", "").await.0, 204);
    assert_eq!(w.volume(GET, "a/b/locks", "").await, (200, json!([{"host": "one"}])));
    assert_eq!(w.volume(DELETE, "a/b/locks/one", "").await.0, 204);
    assert_eq!(w.volume(DELETE, "a/b/locks/one", "").await.0, 204);
    assert_eq!(w.volume(GET, "a/b/locks", "").await, (200, json!([])));
    assert_eq!(w.volume(Method::PUT, "nothing/locks/one", "").await.0, 404);
    assert_eq!(w.volume(DELETE, "nothing/locks/one", "").await.0, 404);
    // A lock does not keep its volume from being deleted.
    w.volume(Method::PUT, "a/b/locks/one", "").await;
    assert_eq!(w.volume(DELETE, "a/b", "").await.0, 204);
}

#[tokio::test]
async fn a_store_that_fails_leaves_nothing() {
    let w = World::new().await;
    w.fail("create");
    let (status, refusal) = w.volume(POST, "books", "{}").await;
    assert!(status == 507 && refusal["message"].is_string(), "{status} {refusal}");
    assert_eq!(w.volume(GET, "books", "").await.0, 404);
    w.volume(POST, "books", "{}").await;
    w.fail("delete");
    assert_eq!(w.volume(DELETE, "books", "").await.0, 507);
    let life = volumes::get(&w.house.ports, &w.house.actor, &key("books")).await.unwrap().volume.life;
    assert_eq!(w.volume(GET, "books", "").await.0, if life == Life::Deleting { 404 } else { 200 });
}
