use expect_test::expect;
use http::Method;
use parpen_service::volumes;
use serde_json::{Value, json};

use crate::world::{World, steady};

const GIB: u64 = 1 << 30;

fn wish(name: &str, capacity: u64, labels: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.rapyuta.io/v1",
        "kind": "Disk",
        "metadata": {"name": name, "guid": null, "labels": labels, "region": "jp"},
        "spec": {"runtime": "cloud", "capacity": capacity},
        "status": null,
    })
}

async fn made(w: &World, name: &str, capacity: u64, labels: Value) -> Value {
    let (status, disk) = w.send(Method::POST, "/v2/disks/", wish(name, capacity, labels)).await;
    assert_eq!(status, 201, "{disk}");
    disk
}

/// The names in a list, and where it goes on.
async fn listed(w: &World, query: &str) -> (Vec<String>, Value) {
    let (status, list) = w.get(&format!("/v2/disks/?{query}")).await;
    assert_eq!(status, 200, "{list}");
    let names = list["items"].as_array().unwrap().iter();
    let names = names.map(|d| d["metadata"]["name"].as_str().unwrap().to_string()).collect();
    (names, list["metadata"]["continue"].clone())
}

#[tokio::test]
async fn a_disk_is_made_shown_and_deleted_by_name() {
    let w = World::new().await;
    let disk = made(&w, "books", 6, json!({"a": "b"})).await;
    let mut shown = disk.clone();
    assert_eq!(shown["metadata"]["projectGUID"], json!(w.project));
    shown["metadata"]["projectGUID"] = json!("<project>");
    expect![[r#"
        {
          "apiVersion": "api.rapyuta.io/v2",
          "kind": "Disk",
          "metadata": {
            "name": "books",
            "guid": "disk-<letters>",
            "projectGUID": "<project>",
            "organizationGUID": "parpen",
            "organizationCreatorGUID": null,
            "creatorGUID": null,
            "labels": {
              "a": "b"
            },
            "region": "jp",
            "createdAt": "<time>",
            "updatedAt": "<time>",
            "deletedAt": null,
            "organizationName": "parpen",
            "shortGUID": "disk-<short>",
            "projectName": "admin"
          },
          "spec": {
            "runtime": "cloud",
            "capacity": 6
          },
          "status": {
            "status": "Available",
            "capacityUsed": 0.0,
            "capacityAvailable": 6442450944.0,
            "errorCode": null,
            "diskBound": {}
          }
        }"#]]
    .assert_eq(&steady(&shown));
    assert_eq!(w.get("/v2/disks/books/").await, (200, disk.clone()));
    let (_, list) = w.get("/v2/disks/?continue=0&limit=50").await;
    let keys: Vec<&str> = list.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["apiVersion", "kind", "metadata", "items"]);
    assert_eq!(list["items"], json!([disk]));
    assert_eq!(w.delete("/v2/disks/books/").await, (200, json!({})));
    assert_eq!(w.get("/v2/disks/books/").await.0, 404);
    assert_eq!(w.delete("/v2/disks/books/").await.0, 404);
    assert_eq!(w.send(Method::POST, "/v2/disks/", wish("books", 7, json!({}))).await.0, 400);
}

#[tokio::test]
async fn what_its_client_cannot_read_is_left_out() {
    let w = World::new().await;
    made(&w, "even", 4, json!(null)).await;
    w.house.volume("odd", 5 * GIB).await;
    w.house.volume("tiny", 512).await;
    w.house.volume("huge", 514 * GIB).await;
    w.house.volume("nearly", 5 * GIB + 512).await;
    assert_eq!(listed(&w, "").await.0, ["even", "nearly"]);
    assert_eq!(w.get("/v2/disks/odd/").await.0, 404);
    assert_eq!(w.delete("/v2/disks/huge/").await.0, 404);
    assert_eq!(w.get("/v2/disks/nearly/").await.1["spec"]["capacity"], 6);
    assert_eq!(w.get("/disk").await.1.as_array().unwrap().len(), 5, "the first API shows all");
    let others = volumes::list(&w.house.ports, &w.house.actor, Default::default()).await.unwrap();
    assert_eq!(others.len(), 5);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let w = World::new().await;
    for (name, labels) in
        [("one", json!({"a": "1"})), ("two", json!({"a": "1", "b": "2"})), ("three", json!({}))]
    {
        made(&w, name, 4, labels).await;
    }
    w.house.volume("odd", 5 * GIB).await;
    assert_eq!(listed(&w, "labelSelector=a%3D1").await.0, ["one", "two"]);
    assert_eq!(listed(&w, "labelSelector=a%3D1&labelSelector=b%3D2").await.0, ["two"]);
    assert_eq!(listed(&w, "names=three&names=one").await.0, ["one", "three"]);
    assert_eq!(listed(&w, "status=Bound").await.0, [""; 0]);
    assert_eq!(listed(&w, "status=Available&regions=jp").await.0, ["one", "two", "three"]);
    assert_eq!(listed(&w, "regions=us").await.0, [""; 0]);
    let (names, next) = listed(&w, "continue=0&limit=2").await;
    assert_eq!(names, ["one", "two"]);
    assert_eq!(w.delete("/v2/disks/one/").await.0, 200);
    assert_eq!(listed(&w, &format!("continue={next}&limit=2")).await, (vec!["three".into()], Value::Null));
    assert_eq!(w.get("/v2/disks/?limit=x").await.0, 400);
}
