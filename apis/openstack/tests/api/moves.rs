use http::Method;
use serde_json::{Value, json};

use crate::Cinder;

fn id(document: &Value) -> String {
    document["id"].as_str().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_moves_to_another_pool_and_back() {
    let c = Cinder::start().await;
    let v = c.volume(json!({ "size": 1, "name": "books" })).await;
    let path = format!("/volumes/{}", id(&v));
    let action = format!("{path}/action");
    assert_eq!(v["os-vol-host-attr:host"], "parpen@local#local");
    let to = |host: &str| json!({ "os-migrate_volume": { "host": host, "force_host_copy": false } });
    let unknown = c.post(&action, to("parpen@mars#mars")).await.error();
    assert_eq!(unknown.2, "Invalid host: No available service named 'parpen@mars#mars'");
    let here = c.post(&action, to("parpen@local#local")).await.error();
    assert!(here.0 == 400 && here.2.contains("destination host/cluster must be different"), "{here:?}");
    for host in ["parpen@dummy#dummy", "parpen@local#local"] {
        assert_eq!(c.post(&action, to(host)).await.status, 202);
        let now = c.until(&path, "volume", "os-vol-mig-status-attr:migstat", "success").await;
        assert_eq!((&now["os-vol-host-attr:host"], &now["status"]), (&json!(host), &json!("available")));
    }
    let wire = json!({ "snapshot": { "volume_id": id(&v) } });
    let s = format!("/snapshots/{}", id(&c.post("/snapshots", wire).await.body["snapshot"]));
    c.until(&s, "snapshot", "status", "available").await;
    let held = c.post(&action, to("parpen@dummy#dummy")).await.error();
    assert!(held.0 == 400 && held.2.contains("have snapshots"), "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_holder_writes_while_a_volume_moves_arrives() {
    let c = Cinder::start().await;
    let v = c.volume(json!({ "size": 1, "name": "books" })).await;
    let path = format!("/volumes/{}", id(&v));
    let session = c.house.connect("books", "10.0.0.1").await.unwrap();
    let disk = parpen_service::data::open(session, &house_home()).await.unwrap();
    let page = |n: u8| parpen_base::Buf::copy_of(&vec![n; 4096]);
    disk.write(0, page(1), false).await.unwrap();
    let to = json!({ "os-migrate_volume": { "host": "parpen@dummy#dummy" } });
    assert_eq!(c.post(&format!("{path}/action"), to).await.status, 202);
    let mut last = 0;
    for n in 2..=250u8 {
        disk.write(u64::from(n) * 4096, page(n), false).await.unwrap();
        last = n;
        if n % 10 == 0 {
            let now = c.get(&path).await.body["volume"].clone();
            if now["os-vol-mig-status-attr:migstat"] == "success" && n > 100 {
                break;
            }
        }
    }
    let now = c.until(&path, "volume", "os-vol-mig-status-attr:migstat", "success").await;
    assert_eq!(now["os-vol-host-attr:host"], "parpen@dummy#dummy");
    // The session did not notice, and writes where the volume lives now.
    disk.write(0, page(99), false).await.unwrap();
    drop(disk);
    let session = c.house.connect("books", "10.0.0.2").await.unwrap();
    let disk = parpen_service::data::open(session, &house_home()).await.unwrap();
    assert_eq!(disk.read(0, 4096).await.unwrap()[..], [99; 4096]);
    for n in 2..=last {
        assert_eq!(disk.read(u64::from(n) * 4096, 4096).await.unwrap()[..], [n; 4096], "page {n}");
    }
}

fn house_home() -> std::sync::Arc<dyn parpen_block::Home> {
    crate::house::thread()
}

#[tokio::test(flavor = "multi_thread")]
async fn retyping_follows_the_migration_policy() {
    let c = Cinder::start().await;
    for (name, specs) in [
        ("plain", json!({})),
        ("many", json!({ "multiattach": "<is> True" })),
        ("there", json!({ "volume_backend_name": "dummy" })),
    ] {
        let wire = json!({ "volume_type": { "name": name, "extra_specs": specs } });
        let got = c.post("/types", wire).await;
        assert_eq!(got.status, 200, "{}", got.body);
    }
    let v = c.volume(json!({ "size": 1, "name": "books" })).await;
    let path = format!("/volumes/{}", id(&v));
    let action = format!("{path}/action");
    let retype =
        |to: &str, policy: &str| json!({ "os-retype": { "new_type": to, "migration_policy": policy } });
    let same = c.post(&action, retype("__DEFAULT__", "never")).await.error();
    assert!(
        same.0 == 400 && same.2.starts_with("Invalid volume: Retype needs volume to be in available"),
        "{same:?}"
    );
    let none = c.post(&action, retype("nope", "never")).await.error();
    assert_eq!((none.0, none.2.as_str()), (404, "Volume type nope could not be found."));
    assert_eq!(c.post(&action, retype("plain", "sometimes")).await.error().0, 400);
    assert_eq!(c.post(&action, retype("many", "never")).await.status, 202);
    let now = c.get(&path).await.body["volume"].clone();
    assert_eq!((&now["volume_type"], &now["multiattach"]), (&json!("many"), &json!(true)));
    let never = c.post(&action, retype("there", "never")).await.error();
    assert!(never.0 == 400 && never.2.contains("migration policy is never"), "{never:?}");
    assert_eq!(c.post(&action, retype("there", "on-demand")).await.status, 202);
    let now = c.until(&path, "volume", "os-vol-mig-status-attr:migstat", "success").await;
    assert_eq!((&now["volume_type"], &now["status"]), (&json!("there"), &json!("available")));
    assert_eq!(now["os-vol-host-attr:host"], "parpen@dummy#dummy");
    assert_eq!(now["multiattach"], false);
    let shared = c.volume(json!({ "size": 1, "volume_type": "many" })).await;
    assert_eq!(shared["multiattach"], true, "by the type's extra spec");
    let wire = json!({ "volume": { "size": 1, "multiattach": true } });
    assert!(c.post("/volumes", wire).await.error().2.starts_with("multiattach parameter has been removed."));
    for i in ["i-1", "i-2"] {
        let wire = json!({ "attachment": {
            "volume_uuid": id(&shared), "instance_uuid": i, "connector": { "host": i } } });
        let got = c.post("/attachments", wire).await;
        assert_eq!(got.status, 200, "{}", got.body);
        let path = format!("/attachments/{}/action", id(&got.body["attachment"]));
        assert_eq!(c.post(&path, json!({ "os-complete": {} })).await.status, 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_and_snapshots_are_let_go_and_taken_over_again() {
    let c = Cinder::start().await;
    let v = c.volume(json!({ "size": 1, "name": "books" })).await;
    let path = format!("/volumes/{}", id(&v));
    let wire = json!({ "snapshot": { "volume_id": id(&v), "name": "s" } });
    let s = id(&c.post("/snapshots", wire).await.body["snapshot"]);
    let snapshot = format!("/snapshots/{s}");
    c.until(&snapshot, "snapshot", "status", "available").await;
    let release = json!({ "os-unmanage": null });
    assert_eq!(c.post(&format!("{path}/action"), release.clone()).await.error().0, 400, "it has a snapshot");

    let listed = "/manageable_snapshots/detail?host=parpen@local%23local";
    let one = c.get(listed).await.body["manageable-snapshots"][0].clone();
    assert_eq!((&one["safe_to_manage"], &one["reason_not_safe"]), (&json!(false), &json!("already managed")));
    assert_eq!(c.post(&format!("{snapshot}/action"), release.clone()).await.status, 202);
    assert_eq!(c.get(&snapshot).await.error().0, 404);
    assert_eq!(c.get("/snapshots").await.body["snapshots"], json!([]));
    let one = c.get(listed).await.body["manageable-snapshots"][0].clone();
    assert_eq!(one["safe_to_manage"], true);
    let wire = json!({ "snapshot": { "volume_id": id(&v), "ref": one["reference"], "name": "t" } });
    let got = c.post("/manageable_snapshots", wire.clone()).await;
    assert_eq!((got.status, &got.body["snapshot"]["name"]), (202, &json!("t")), "{}", got.body);
    assert_eq!(c.post("/os-snapshot-manage", wire).await.error().0, 400, "it is managed");
    assert_eq!(c.post(&format!("{snapshot}/action"), release.clone()).await.status, 202);

    assert_eq!(c.post(&format!("{path}/action"), release.clone()).await.status, 202);
    assert_eq!(c.get(&path).await.error().0, 404);
    for (method, target) in [(Method::DELETE, path.clone()), (Method::POST, format!("{path}/action"))] {
        assert_eq!(
            c.call(method, &target, release.clone()).await.error().0,
            404,
            "hidden is hidden everywhere"
        );
    }
    assert_eq!(c.get("/volumes").await.body["volumes"], json!([]));
    assert!(c.house.connect("books", "10.0.0.1").await.is_ok(), "only OpenStack let it go");
    let listed = "/manageable_volumes?host=parpen@local%23local";
    let all = c.get(listed).await.body["manageable-volumes"].clone();
    let reference = json!({ "source-name": format!("volume-{}", id(&v)) });
    assert_eq!(all, json!([{ "reference": reference, "size": 1, "safe_to_manage": true }]));
    let wire = json!({ "volume": {
        "host": "parpen@local#local", "ref": reference, "name": "back", "bootable": true, "metadata": { "a": "b" } } });
    let got = c.post("/os-volume-manage", wire.clone()).await;
    assert_eq!((got.status, &got.body["volume"]["name"]), (202, &json!("back")), "{}", got.body);
    let now = c.get(&format!("/volumes/{}", id(&got.body["volume"]))).await.body["volume"].clone();
    assert_eq!(
        (&now["status"], &now["bootable"], &now["metadata"]["a"]),
        (&json!("available"), &json!("true"), &json!("b"))
    );
    let again = c.post("/manageable_volumes", wire).await.error();
    let text = "Invalid volume: Unable to manage existing volume. The volume is already managed";
    assert_eq!((again.0, again.2.as_str()), (400, text));
    let wrong = json!({ "volume": { "host": "parpen@local#local", "ref": { "source-name": "nothing" } } });
    assert_eq!(c.post("/manageable_volumes", wrong).await.error().0, 400);
    assert_eq!(c.get("/manageable_volumes").await.error().0, 400, "a host must be named");
}
