use http::Method;
use serde_json::{Value, json};

use crate::Cinder;

async fn free(c: &Cinder) -> (String, String) {
    let v = c.volume(json!({ "size": 1, "name": "books" })).await;
    let id = v["id"].as_str().unwrap().to_string();
    (format!("/volumes/{id}"), id)
}

async fn status(c: &Cinder, path: &str) -> Value {
    c.get(path).await.body["volume"]["status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_goes_from_reserved_to_gone() {
    let c = Cinder::start().await;
    let (volume, id) = free(&c).await;
    let wire = json!({ "attachment": { "volume_uuid": id, "instance_uuid": "i-1", "connector": null } });
    let got = c.post("/attachments", wire.clone()).await;
    let a = &got.body["attachment"];
    assert_eq!((got.status, &a["status"], &a["connection_info"]), (200, &json!("reserved"), &json!({})));
    assert_eq!(status(&c, &volume).await, "reserved");
    assert_eq!(c.get(&volume).await.body["volume"]["attachments"], json!([]));
    let other = json!({ "attachment": { "volume_uuid": id, "instance_uuid": "i-2" } });
    let refused = c.post("/attachments", other).await.error();
    let text = format!(
        "Invalid volume: Volume {id} status must be available or downloading to reserve, but the current status is reserved."
    );
    assert_eq!((refused.0, refused.2), (400, text));

    let path = format!("/attachments/{}", a["id"].as_str().unwrap());
    let connector = json!({ "host": "compute-1", "ip": "10.0.0.1", "mountpoint": "/dev/vdb" });
    let got = c.call(Method::PUT, &path, json!({ "attachment": { "connector": connector } })).await;
    let info = got.body["attachment"]["connection_info"].clone();
    assert_eq!((got.status, &info["driver_volume_type"]), (200, &json!("nbd")));
    assert_eq!(status(&c, &volume).await, "attaching");
    // The address works at once, and only it does: the plain export is shut.
    let export = info["export"].as_str().unwrap();
    assert!(c.house.connect(export, "10.0.0.1").await.is_ok());
    assert!(c.house.connect("books", "10.0.0.1").await.is_err());

    assert_eq!(c.post(&format!("{path}/action"), json!({ "os-complete": null })).await.status, 204);
    let v = c.get(&volume).await.body["volume"].clone();
    assert_eq!(v["status"], "in-use");
    let at = &v["attachments"][0];
    assert_eq!(
        (&at["server_id"], &at["host_name"], &at["device"]),
        (&json!("i-1"), &json!("compute-1"), &json!("/dev/vdb"))
    );
    assert_eq!(c.call(Method::DELETE, &volume, Value::Null).await.error().0, 400);

    let listed = c.get(&format!("/attachments/detail?volume_id={id}")).await.body["attachments"].clone();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["status"]), (1, &json!("attached")));
    assert_eq!(c.get("/attachments?instance_id=other").await.body, json!({ "attachments": [] }));
    let got = c.call(Method::DELETE, &path, Value::Null).await;
    assert_eq!((got.status, got.body), (200, json!({ "attachments": [] })));
    assert_eq!(status(&c, &volume).await, "available");
    assert!(c.house.connect(export, "10.0.0.1").await.is_err(), "the secret opens nothing any more");
    assert!(c.house.connect("books", "10.0.0.1").await.is_ok());
    assert_eq!(c.call(Method::DELETE, &path, Value::Null).await.error().0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_at_once_is_all_or_nothing() {
    let c = Cinder::start().await;
    let (volume, id) = free(&c).await;
    let held = c.house.connect("books", "10.0.0.9").await.unwrap();
    let wire = json!({ "attachment": { "volume_uuid": id, "connector": { "host": "compute-1" } } });
    let refused = c.post("/attachments", wire.clone()).await.error();
    assert!(refused.0 == 400 && refused.2.contains("10.0.0.9"), "{refused:?}");
    assert_eq!(status(&c, &volume).await, "available", "a refused holder leaves no reservation");
    drop(held);
    let got = c.post("/attachments", wire).await;
    assert_eq!(got.body["attachment"]["status"], "attaching", "{}", got.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_are_newer_than_the_first_version() {
    let c = Cinder::start().await;
    let token = ("x-auth-token", c.token.as_str());
    for (version, status) in [("volume 3.26", 404), ("volume 3.27", 200)] {
        let headers = [token, ("openstack-api-version", version)];
        let got = c.raw(Method::GET, "/volume/v3/attachments", &headers, "").await;
        assert_eq!(got.status, status);
        assert_eq!(got.headers["openstack-api-version"], version);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_admits_only_its_own_host() {
    let c = Cinder::start().await;
    let (volume, id) = free(&c).await;
    let (ports, actor) = (&c.house.ports, &c.house.actor);
    let locked = parpen_service::locks::lock(ports, actor, id.parse().unwrap(), "compute-1").await.unwrap();
    ports.jobs.wait(locked.job).await.unwrap();
    let wire = |host: &str| json!({ "attachment": { "volume_uuid": id, "connector": { "host": host } } });
    let refused = c.post("/attachments", wire("compute-2")).await.error();
    assert!(refused.0 == 400 && refused.2.contains("the lock of compute-1"), "{refused:?}");
    assert_eq!(status(&c, &volume).await, "available");
    assert_eq!(c.post("/attachments", wire("compute-1")).await.body["attachment"]["status"], "attaching");
}
