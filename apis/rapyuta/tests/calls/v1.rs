use expect_test::expect;
use http::Method;
use parpen_model::{Api, Rights};
use parpen_service::names::{Naming, Space};
use parpen_service::{attachments, snapshots};
use serde_json::{Value, json};

use crate::world::{World, steady, told};

const GIB: u64 = 1 << 30;

async fn made(w: &World, name: &str) -> Value {
    let body = json!({"name": name, "runtime": "cloud", "capacity": 4, "diskType": "ssd"});
    let (status, disk) = w.send(Method::POST, "/disk", body).await;
    assert_eq!(status, 201, "{disk}");
    disk
}

fn text<'a>(document: &'a Value, key: &str) -> &'a str {
    document[key].as_str().unwrap()
}

#[tokio::test]
async fn a_disk_is_made_shown_and_destroyed() {
    let w = World::new().await;
    let disk = made(&w, "books").await;
    expect![[r#"
        {
          "createdAt": "<time>",
          "name": "books",
          "guid": "disk-<letters>",
          "diskType": "ssd",
          "capacity": 4,
          "runtime": "cloud",
          "status": "Available",
          "errors": [],
          "internalDeploymentGUID": "dep-<letters>",
          "usedBy": "",
          "usedByDeploymentName": "",
          "labels": {}
        }"#]]
    .assert_eq(&steady(&disk));
    let (own, deployment) = (format!("/disk/{}", text(&disk, "guid")), text(&disk, "internalDeploymentGUID"));
    assert_eq!(w.get(&own).await, (200, disk.clone()));
    assert_eq!(w.get("/disk").await, (200, json!([disk])));
    assert_eq!(
        w.get(&format!("/disk?deployment_guid=x&deployment_guid={deployment}")).await.1,
        json!([disk])
    );
    assert_eq!(w.get("/disk?deployment_guid=dep-x").await, (200, json!([])));
    assert_eq!(w.delete(&own).await, (200, json!(true)));
    assert_eq!(w.get(&own).await.0, 404);
    assert_eq!(w.delete(&own).await.0, 404);
    assert_eq!(w.get(&format!("/serviceinstance/{deployment}")).await.0, 404);
    assert_eq!(w.get("/disk").await, (200, json!([])));
}

#[tokio::test]
async fn a_disk_has_a_deployment() {
    let w = World::new().await;
    let disk = made(&w, "books").await;
    let (status, instance) =
        w.get(&format!("/serviceinstance/{}", text(&disk, "internalDeploymentGUID"))).await;
    assert_eq!(status, 200);
    let fixed = json!({"owner": text(&instance, "ownerProject") == w.project, "id": instance["ID"].is_i64()});
    assert_eq!(fixed, json!({"owner": true, "id": true}));
    let mut instance = instance;
    instance["ownerProject"] = json!("<project>");
    instance["ID"] = json!("<number>");
    expect![[r#"
        {
          "ID": "<number>",
          "deploymentId": "dep-<letters>",
          "name": "books",
          "packageId": "io-public-persistent-volume",
          "packageName": "Rapyuta IO Persistent Volume",
          "packageAPIVersion": "2.0.0",
          "planId": "default",
          "bindable": true,
          "labels": [],
          "parameters": {
            "global": {},
            "io-pv": {
              "component_id": "io-pv",
              "capacity": 4,
              "diskType": "ssd",
              "bridge_params": {
                "alias": "volumeComponent"
              }
            }
          },
          "componentInfo": [
            {
              "componentID": "io-pv",
              "componentInstanceID": "inst-<letters>",
              "name": "volumeComponent",
              "runtime": "cloud",
              "status": "Available",
              "phase": "Succeeded",
              "errorCode": [],
              "executablesStatusInfo": [],
              "executableMetaData": [],
              "isDeprovisioned": false
            }
          ],
          "componentInstanceIds": [
            "inst-<letters>"
          ],
          "dependentDeployments": [],
          "dependentDeploymentStatus": {},
          "packageDependencyStatus": {},
          "coreNetworks": {},
          "phase": "Succeeded",
          "status": "Available",
          "provisionContext": {},
          "currentGeneration": 1,
          "errors": [],
          "inUse": false,
          "usedBy": "",
          "ownerProject": "<project>",
          "creator": "",
          "CreatedAt": "<time>",
          "UpdatedAt": "<time>",
          "DeletedAt": null
        }"#]]
    .assert_eq(&steady(&instance));
    assert_eq!(w.get("/serviceinstance/dep-none").await.0, 404);
    assert_eq!(w.get(&format!("/serviceinstance/{}", text(&disk, "guid"))).await.0, 404);
}

#[tokio::test]
async fn there_is_one_package() {
    let w = World::new().await;
    let (status, package) = w.get("/serviceclass/status?package_uid=io-public-persistent-volume").await;
    assert_eq!((status, &package["packageUrl"]), (200, &json!("")));
    let plan = &package["packageInfo"]["plans"][0];
    assert_eq!(plan["planId"], "default");
    let component = json!([{"componentId": "io-pv", "componentName": "volumeComponent", "runtime": "cloud"}]);
    assert_eq!(plan["internalComponents"], component);
    for key in [
        "packageName",
        "packageVersion",
        "apiVersion",
        "bindable",
        "description",
        "category",
        "isPublic",
        "status",
        "tags",
        "buildGeneration",
        "ownerProject",
        "creator",
        "CreatedAt",
        "UpdatedAt",
        "DeletedAt",
    ] {
        assert!(package["packageInfo"].get(key).is_some(), "{key}");
    }
    assert_eq!(w.get("/serviceclass/status?package_uid=other").await.0, 404);
    assert_eq!(w.get("/serviceclass/status").await.0, 404);
    assert_eq!(w.send(Method::POST, "/serviceclass/add", json!({})).await.0, 403);
    assert_eq!(w.delete("/serviceclass/delete?package_uid=io-public-persistent-volume").await.0, 403);
}

#[tokio::test]
async fn token_and_project_are_checked() {
    let w = World::new().await;
    let right = format!("Bearer {}", w.token);
    let ask = async |headers: &[(&str, &str)]| told(w.raw(Method::GET, "/disk", headers, b"").await).0;
    assert_eq!(ask(&[("authorization", &right), ("project", &w.project)]).await, 200);
    assert_eq!(ask(&[("authorization", &right)]).await, 200);
    assert_eq!(ask(&[]).await, 401);
    assert_eq!(ask(&[("authorization", "Bearer wrong"), ("project", &w.project)]).await, 401);
    assert_eq!(ask(&[("authorization", &w.token)]).await, 401);
    assert_eq!(ask(&[("authorization", &right), ("project", "project-other")]).await, 403);
    assert_eq!(ask(&[("authorization", &right), ("project", "")]).await, 403);
}

#[tokio::test]
async fn names_are_unique_in_the_project() {
    let w = World::new().await;
    made(&w, "books").await;
    let body = json!({"name": "books", "runtime": "cloud", "capacity": 8, "diskType": "ssd"});
    assert_eq!(w.send(Method::POST, "/disk", body.clone()).await.0, 409);
    let v2 = json!({"metadata": {"name": "books"}, "spec": {"capacity": 8}});
    assert_eq!(w.send(Method::POST, "/v2/disks/", v2).await.0, 409);
    // The handle of another side's volume is a name, too.
    w.house.volume("their own", GIB).await;
    let body = json!({"name": "their-own", "capacity": 8});
    assert_eq!(w.send(Method::POST, "/disk", body).await.0, 409);
    assert_eq!(w.get("/disk").await.1.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn volumes_of_other_sides_are_disks() {
    let w = World::new().await;
    w.house.volume("odd size", 3 * GIB - 512).await;
    let (_, all) = w.get("/disk").await;
    assert_eq!((&all[0]["name"], &all[0]["capacity"]), (&json!("odd-size"), &json!(3)));
    assert_eq!(w.get(&format!("/serviceinstance/{}", text(&all[0], "internalDeploymentGUID"))).await.0, 200);
}

#[tokio::test]
async fn a_disk_in_use_is_bound_and_stays() {
    let w = World::new().await;
    let v = w.house.volume("books", 4 * GIB).await;
    let want = attachments::Reserve {
        volume: v.id,
        rights: Rights::ReadWrite,
        instance: Some("robot".into()),
        attributes: Default::default(),
    };
    attachments::reserve(&w.house.ports, &w.house.actor, want).await.unwrap();
    let (_, all) = w.get("/disk").await;
    assert_eq!((&all[0]["status"], &all[0]["usedBy"]), (&json!("Bound"), &json!("robot")));
    let (_, instance) = w.get(&format!("/serviceinstance/{}", text(&all[0], "internalDeploymentGUID"))).await;
    assert_eq!((&instance["phase"], &instance["status"]), (&json!("Succeeded"), &json!("Bound")));
    assert_eq!((&instance["inUse"], &instance["usedBy"]), (&json!(true), &json!("robot")));
    let (status, refusal) = w.delete(&format!("/disk/{}", text(&all[0], "guid"))).await;
    assert!(status == 409 && text(&refusal, "error").contains("robot"), "{refusal}");
    assert_eq!(w.get("/v2/disks/books/").await.1["status"]["diskBound"]["deployment_name"], "robot");
    assert_eq!(w.delete("/v2/disks/books/").await.0, 409);
}

#[tokio::test]
async fn snapshots_of_others_outlive_the_disk() {
    let w = World::new().await;
    made(&w, "books").await;
    let (_, all) = w.get("/disk").await;
    let key = parpen_service::volumes::Key::Named(Space::global(Api::Native), "books".into());
    let (ports, actor) = (&w.house.ports, &w.house.actor);
    let id = parpen_service::volumes::get(ports, actor, &key).await.unwrap().volume.id;
    let naming = Naming::unique("one", Space::within(Api::Native, id));
    let new = snapshots::NewSnapshot { naming, ..Default::default() };
    let started = snapshots::create(ports, actor, id, new).await.unwrap();
    ports.jobs.wait(started.job).await.unwrap();
    assert_eq!(w.delete(&format!("/disk/{}", text(&all[0], "guid"))).await, (200, json!(true)));
    assert_eq!(snapshots::list(ports, actor, None, false).await.unwrap().len(), 1);
}

#[tokio::test]
async fn bad_bodies_change_nothing() {
    let w = World::new().await;
    for body in [
        json!([]),
        json!({}),
        json!({"name": "x", "capacity": 4}),
        json!({"name": "books", "capacity": 5}),
        json!({"name": "books", "capacity": "4"}),
        json!({"name": "books", "capacity": 4, "diskType": "hdd"}),
        json!({"name": "n".repeat(1 << 10), "capacity": 4}),
    ] {
        assert_eq!(w.send(Method::POST, "/disk", body).await.0, 400);
    }
    assert_eq!(told(w.reply(Method::POST, "/disk", b"{").await).0, 400);
    assert_eq!(told(w.reply(Method::POST, "/disk", &vec![b' '; (1 << 20) + 1]).await).0, 413);
    assert_eq!(w.get("/disk").await, (200, json!([])));
}

// Whoever destroyed a disk while another did was told of a conflict, though the contract calls destroying idempotent.
#[tokio::test]
async fn a_disk_that_is_being_destroyed_is_gone_for_the_next_who_destroys_it() {
    let w = World::new().await;
    let disk = made(&w, "books").await;
    parpen_model::write(&*w.house.ports.meta, |tx| {
        let all = tx.read().list::<parpen_model::Volume>(parpen_model::Scope::All, &Default::default())?;
        let mut v = all[0].clone();
        v.life = parpen_model::lifecycle::Life::Deleting;
        tx.update(&mut v)
    })
    .await
    .unwrap();
    let guid = text(&disk, "guid");
    let gone = json!({ "error": format!("there is no disk {guid:?}") });
    assert_eq!(w.delete(&format!("/disk/{guid}")).await, (404, gone));
    assert_eq!(w.delete("/v2/disks/books/").await.0, 404);
}
