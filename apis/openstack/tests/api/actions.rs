use http::Method;
use serde_json::{Value, json};

use crate::Cinder;

fn id(document: &Value) -> String {
    document["id"].as_str().unwrap().to_string()
}

async fn free(c: &Cinder, name: &str) -> (String, String) {
    let v = c.volume(json!({ "size": 1, "name": name })).await;
    (format!("/volumes/{}", id(&v)), id(&v))
}

async fn act(c: &Cinder, path: &str, action: Value) -> u16 {
    let got = c.post(&format!("{path}/action"), action).await;
    got.status
}

async fn refused(c: &Cinder, path: &str, action: Value) -> (u16, String) {
    let got = c.post(&format!("{path}/action"), action).await.error();
    (got.0, got.2)
}

async fn shown(c: &Cinder, path: &str) -> Value {
    c.get(path).await.body["volume"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn extending_refuses_in_cinders_words() {
    let c = Cinder::start().await;
    let (path, v) = free(&c, "books").await;
    let same = refused(&c, &path, json!({ "os-extend": { "new_size": 1 } })).await;
    let text = "Invalid input received: New size for extend must be greater than current size. (current: 1, extended: 1).";
    assert_eq!(same, (400, text.to_string()));
    let negative = refused(&c, &path, json!({ "os-extend": { "new_size": -1 } })).await;
    assert!(negative.1.starts_with("Invalid input for field/attribute new_size. Value: -1."), "{negative:?}");
    assert_eq!(act(&c, &path, json!({ "os-reset_status": { "status": "error" } })).await, 202);
    let wrong = refused(&c, &path, json!({ "os-extend": { "new_size": 2 } })).await;
    let text = format!(
        "Invalid volume: Volume {v} status must be '{{'status': 'available'}}' to extend, currently error."
    );
    assert_eq!(wrong, (400, text));
    assert_eq!(act(&c, &path, json!({ "os-reset_status": { "status": "available" } })).await, 202);
    let complete = refused(&c, &path, json!({ "os-extend_volume_completion": { "error": false } })).await;
    assert_eq!(complete, (400, "Invalid volume: Volume is not being extended.".to_string()));
    // While it is held, only since 3.42.
    let hold = json!({ "os-attach": { "instance_uuid": uuid(1), "mountpoint": "/dev/vdb" } });
    assert_eq!(act(&c, &path, hold).await, 202);
    let old = [("x-auth-token", c.token.as_str()), ("openstack-api-version", "volume 3.41")];
    let body = json!({ "os-extend": { "new_size": 2 } }).to_string();
    let got = c.raw(Method::POST, &format!("/volume/v3{path}/action"), &old, &body).await.error();
    assert!(got.0 == 400 && got.2.contains("currently in-use"), "{got:?}");
    assert_eq!(act(&c, &path, json!({ "os-extend": { "new_size": 2 } })).await, 202);
    assert_eq!(c.until(&path, "volume", "status", "in-use").await["size"], 2);
}

fn uuid(n: u128) -> String {
    uuid::Uuid::from_u128(n).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_flow_reserves_connects_holds_and_lets_go() {
    let c = Cinder::start().await;
    let (path, v) = free(&c, "books").await;
    assert_eq!(act(&c, &path, json!({ "os-reserve": null })).await, 202);
    assert_eq!(shown(&c, &path).await["status"], "attaching");
    let twice = refused(&c, &path, json!({ "os-reserve": null })).await;
    let text = "Invalid volume: Volume status must be available to reserve, but the status is attaching.";
    assert_eq!(twice, (400, text.to_string()));
    assert_eq!(
        c.get("/attachments").await.body["attachments"],
        json!([]),
        "an announcement is no attachment"
    );
    assert_eq!(act(&c, &path, json!({ "os-unreserve": null })).await, 202);
    assert_eq!(
        act(&c, &path, json!({ "os-unreserve": null })).await,
        202,
        "nothing to take back is no fault"
    );
    assert_eq!(shown(&c, &path).await["status"], "available");

    assert_eq!(act(&c, &path, json!({ "os-reserve": null })).await, 202);
    let connector = json!({ "host": "compute-1", "ip": "10.0.0.1" });
    let begin = json!({ "os-initialize_connection": { "connector": connector } });
    let got = c.post(&format!("{path}/action"), begin.clone()).await;
    let info = &got.body["connection_info"];
    assert_eq!((got.status, &info["driver_volume_type"]), (200, &json!("nbd")), "{}", got.body);
    assert_eq!(info["enforce_multipath"], false);
    let export = info["data"]["export"].as_str().unwrap().to_string();
    assert!(c.house.connect(&export, "10.0.0.1").await.is_ok(), "the address works at once");
    assert!(c.house.connect("books", "10.0.0.1").await.is_err(), "and the plain export is shut");
    let again = c.post(&format!("{path}/action"), begin).await.body["connection_info"].clone();
    assert_eq!(again["data"]["export"], export.as_str(), "asked again, answered again");

    let hold = json!({ "os-attach": { "instance_uuid": uuid(7), "mountpoint": "/dev/vdb", "host_name": "compute-1" } });
    assert_eq!(act(&c, &path, hold).await, 202);
    let now = shown(&c, &path).await;
    let at = &now["attachments"][0];
    assert_eq!((&now["status"], &at["server_id"]), (&json!("in-use"), &json!(uuid(7))));
    assert_eq!((&at["device"], &at["volume_id"]), (&json!("/dev/vdb"), &json!(v)));
    assert_eq!(now["metadata"], json!({ "readonly": "False", "attached_mode": "rw" }));
    // Flat in the one flow, nested in the other, and the same in both.
    let a = c.get(&format!("/attachments/{}", at["attachment_id"].as_str().unwrap())).await;
    assert_eq!(a.body["attachment"]["connection_info"]["export"], export.as_str());

    assert_eq!(act(&c, &path, json!({ "os-begin_detaching": null })).await, 202);
    assert_eq!(shown(&c, &path).await["status"], "detaching");
    assert_eq!(act(&c, &path, json!({ "os-roll_detaching": null })).await, 202);
    assert_eq!(shown(&c, &path).await["status"], "in-use");
    assert_eq!(act(&c, &path, json!({ "os-begin_detaching": null })).await, 202);
    let end = json!({ "os-terminate_connection": { "connector": { "host": "compute-1" } } });
    assert_eq!(act(&c, &path, end).await, 202);
    assert_eq!(shown(&c, &path).await["status"], "detaching", "giving back changes no state");
    assert!(c.house.connect(&export, "10.0.0.1").await.is_err(), "but the export is shut");
    let detach = json!({ "os-detach": { "attachment_id": at["attachment_id"] } });
    assert_eq!(act(&c, &path, detach).await, 202);
    let now = shown(&c, &path).await;
    assert_eq!((&now["status"], &now["attachments"]), (&json!("available"), &json!([])));
    let idle = refused(&c, &path, json!({ "os-begin_detaching": null })).await;
    assert!(idle.0 == 400 && idle.1.starts_with("Invalid volume: Unable to detach volume."), "{idle:?}");
    assert_eq!(act(&c, &path, json!({ "os-roll_detaching": null })).await, 202);
    let unknown = json!({ "os-force_detach": { "attachment_id": uuid(9), "connector": null } });
    assert_eq!(refused(&c, &path, unknown).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_machine_has_open_is_taken_by_services_alone() {
    let c = Cinder::start().await;
    let (volume, v) = free(&c, "books").await;
    let wire = json!({ "attachment": {
        "volume_uuid": v, "instance_uuid": uuid(3), "connector": { "host": "compute-1" }, "mode": "rw" } });
    let got = c.post("/attachments", wire).await;
    let a = got.body["attachment"].clone();
    let path = format!("/attachments/{}", id(&a));
    assert_eq!(c.post(&format!("{path}/action"), json!({ "os-complete": id(&a) })).await.status, 204);
    let open = c.house.connect(a["connection_info"]["export"].as_str().unwrap(), "10.0.0.1").await.unwrap();
    let got = c.call(Method::DELETE, &path, Value::Null).await.error();
    let text =
        format!("ConflictNovaUsingAttachment: Detach volume from instance {} using the Compute API", uuid(3));
    assert_eq!((got.0, got.1.as_str(), got.2), (409, "conflictingRequest", text));
    assert_eq!(shown(&c, &volume).await["status"], "in-use");
    // The holder is lost: then anybody may.
    drop(open);
    assert_eq!(c.call(Method::DELETE, &path, Value::Null).await.status, 200);
    assert_eq!(shown(&c, &volume).await["status"], "available");
    // A service may at any time, and the holder is cut.
    let wire = json!({ "attachment": {
        "volume_uuid": v, "instance_uuid": uuid(3), "connector": { "host": "compute-1" } } });
    let a = c.post("/attachments", wire).await.body["attachment"].clone();
    let open = c.house.connect(a["connection_info"]["export"].as_str().unwrap(), "10.0.0.1").await.unwrap();
    let headers = [
        ("x-auth-token", c.token.as_str()),
        ("x-service-token", c.token.as_str()),
        ("openstack-api-version", "volume 3.71"),
    ];
    let got = c.raw(Method::DELETE, &format!("/volume/v3/attachments/{}", id(&a)), &headers, "").await;
    assert_eq!((got.status, open.is_cut()), (200, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_say_how_things_stand() {
    let c = Cinder::start().await;
    let (path, _) = free(&c, "books").await;
    let say = |fields: Value| json!({ "os-reset_status": fields });
    for (wrong, text) in [
        (json!({}), "Must specify 'status', 'attach_status' or 'migration_status' for update."),
        (json!({ "status": "tired" }), "Volume status: tired is invalid, valid statuses are: ('creating',"),
        (json!({ "status": "deleting" }), "Cannot reset-state to deleting"),
        (
            json!({ "status": "in-use" }),
            "Cannot reset-state to in-use because volume does not have any attachments.",
        ),
        (json!({ "attach_status": "half" }), "Volume attach status: half is invalid"),
        (json!({ "migration_status": "half" }), "Volume migration status: half is invalid"),
    ] {
        let got = refused(&c, &path, say(wrong)).await;
        assert!(got.0 == 400 && got.1.starts_with(text), "{got:?}");
    }
    for status in ["error", "maintenance", "error_deleting", "creating", "AVAILABLE"] {
        assert_eq!(act(&c, &path, say(json!({ "status": status }))).await, 202, "{status}");
        assert_eq!(shown(&c, &path).await["status"], status.to_lowercase());
    }
    assert_eq!(act(&c, &path, say(json!({ "migration_status": "error" }))).await, 202);
    assert_eq!(shown(&c, &path).await["os-vol-mig-status-attr:migstat"], "error");
    assert_eq!(act(&c, &path, say(json!({ "migration_status": "none" }))).await, 202);
    assert_eq!(shown(&c, &path).await["os-vol-mig-status-attr:migstat"], Value::Null);

    assert_eq!(act(&c, &path, say(json!({ "status": "maintenance" }))).await, 202);
    let edit = json!({ "volume": { "name": "b" } });
    let got = c.call(Method::PUT, &path, edit).await.error();
    assert_eq!(got.2, "Invalid volume: The volume cannot be updated during maintenance.");
    let hold = json!({ "os-attach": { "instance_uuid": uuid(1), "mountpoint": "/dev/vdb" } });
    let got = refused(&c, &path, hold.clone()).await;
    assert_eq!(got.1, "Invalid volume: The volume cannot be attached in maintenance mode.");
    assert_eq!(act(&c, &path, say(json!({ "status": "available" }))).await, 202);
    assert_eq!(act(&c, &path, hold).await, 202);
    let both = json!({ "status": "available", "attach_status": "detached" });
    assert_eq!(act(&c, &path, say(both)).await, 202);
    let now = shown(&c, &path).await;
    assert_eq!((&now["status"], &now["attachments"]), (&json!("available"), &json!([])));
    // What is in error by word alone is deleted like any other.
    assert_eq!(act(&c, &path, say(json!({ "status": "creating" }))).await, 202);
    let got = c.call(Method::DELETE, &path, Value::Null).await.error();
    assert!(
        got.2.starts_with("Invalid volume: Volume status must be available or error or error_restoring"),
        "{got:?}"
    );
    assert_eq!(act(&c, &path, json!({ "os-force_delete": null })).await, 202);
    c.until_gone(&path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_are_kept_and_shown() {
    let c = Cinder::start().await;
    let (path, v) = free(&c, "books").await;
    assert_eq!(act(&c, &path, json!({ "os-update_readonly_flag": { "readonly": true } })).await, 202);
    assert_eq!(shown(&c, &path).await["metadata"]["readonly"], "True");
    let hold = |mode: &str| json!({ "os-attach": { "instance_uuid": uuid(1), "mountpoint": "/dev/vdb", "mode": mode } });
    let got = refused(&c, &path, hold("rw")).await;
    assert_eq!(got, (400, format!("Invalid attaching mode 'rw' for volume {v}.")));
    assert_eq!(act(&c, &path, hold("ro")).await, 202);
    let got = refused(&c, &path, json!({ "os-update_readonly_flag": { "readonly": false } })).await;
    let text = format!(
        "Invalid volume: Volume {v} status must be available to update readonly flag, but current status is: in-use."
    );
    assert_eq!(got, (400, text));
    assert_eq!(act(&c, &path, json!({ "os-detach": {} })).await, 202);
    assert_eq!(act(&c, &path, json!({ "os-update_readonly_flag": { "readonly": "False" } })).await, 202);
    assert_eq!(shown(&c, &path).await["metadata"]["readonly"], "False");
    assert_eq!(act(&c, &path, json!({ "os-set_bootable": { "bootable": "True" } })).await, 200);
    assert_eq!(shown(&c, &path).await["bootable"], "true");
    let wrong = refused(&c, &path, json!({ "os-set_bootable": { "bootable": "maybe" } })).await;
    assert_eq!(wrong.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn reverting_is_for_the_latest_snapshot_of_the_same_size() {
    let c = Cinder::start().await;
    let (path, v) = free(&c, "books").await;
    let none = refused(&c, &path, json!({ "revert": { "snapshot_id": uuid(1) } })).await;
    assert_eq!(none, (400, format!("Volume {v} doesn't have any snapshots.")));
    let mut taken = Vec::new();
    for name in ["one", "two"] {
        let wire = json!({ "snapshot": { "volume_id": v, "name": name } });
        let s = id(&c.post("/snapshots", wire).await.body["snapshot"]);
        c.until(&format!("/snapshots/{s}"), "snapshot", "status", "available").await;
        taken.push(s);
    }
    let old = refused(&c, &path, json!({ "revert": { "snapshot_id": taken[0] } })).await;
    assert_eq!(
        old,
        (400, format!("Specified snapshot {} is None or not the latest one of volume {v}.", taken[0]))
    );
    let hold = json!({ "os-attach": { "instance_uuid": uuid(1), "mountpoint": "/dev/vdb" } });
    assert_eq!(act(&c, &path, hold).await, 202);
    let held = refused(&c, &path, json!({ "revert": { "snapshot_id": taken[1] } })).await;
    assert_eq!(held.0, 409, "{held:?}");
    assert_eq!(act(&c, &path, json!({ "os-detach": {} })).await, 202);
    assert_eq!(act(&c, &path, json!({ "revert": { "snapshot_id": taken[1] } })).await, 202);
    c.until(&path, "volume", "status", "available").await;
    assert_eq!(act(&c, &path, json!({ "os-extend": { "new_size": 2 } })).await, 202);
    c.until(&path, "volume", "status", "available").await;
    let larger = refused(&c, &path, json!({ "revert": { "snapshot_id": taken[1] } })).await;
    assert!(larger.0 == 400 && larger.1.contains("must be equal to the snapshot size"), "{larger:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_follow_force_and_what_operators_say() {
    let c = Cinder::start().await;
    let (path, v) = free(&c, "books").await;
    let hold = json!({ "os-attach": { "instance_uuid": uuid(1), "mountpoint": "/dev/vdb" } });
    assert_eq!(act(&c, &path, hold).await, 202);
    let old = [("x-auth-token", c.token.as_str()), ("openstack-api-version", "volume 3.65")];
    let wire = |force: Value| json!({ "snapshot": { "volume_id": v, "force": force } }).to_string();
    let got = c.raw(Method::POST, "/volume/v3/snapshots", &old, &wire(json!(false))).await.error();
    let text = format!("Invalid volume: Volume {v} status must be available, but current status is: in-use.");
    assert_eq!((got.0, got.2), (400, text));
    let got = c.raw(Method::POST, "/volume/v3/snapshots", &old, &wire(json!(true))).await;
    assert_eq!(got.status, 202, "{}", got.body);
    let got = c.post("/snapshots", json!({ "snapshot": { "volume_id": v, "force": false } })).await.error();
    assert!(
        got.0 == 400 && got.2.starts_with("Since microversion 3.66 the 'force' flag is invalid"),
        "{got:?}"
    );
    let made = c.post("/snapshots", json!({ "snapshot": { "volume_id": v } })).await.body["snapshot"].clone();
    let snapshot = format!("/snapshots/{}", id(&made));
    c.until(&snapshot, "snapshot", "status", "available").await;

    let update = |fields: Value| json!({ "os-update_snapshot_status": fields });
    let got = refused(&c, &snapshot, update(json!({ "status": "error" }))).await;
    assert_eq!(got.1, "Snapshot status available not allowed for update_snapshot_status");
    assert_eq!(act(&c, &snapshot, json!({ "os-reset_status": { "status": "creating" } })).await, 202);
    let got = refused(&c, &snapshot, update(json!({ "status": "deleting" }))).await;
    assert_eq!(got.1, "Provided snapshot status deleting not allowed for snapshot with status creating.");
    let got = refused(&c, &snapshot, update(json!({ "status": "creating", "progress": "108%" }))).await;
    assert!(got.1.contains("integer percentage"), "{got:?}");
    assert_eq!(act(&c, &snapshot, update(json!({ "status": "creating", "progress": "80%" }))).await, 202);
    let now = c.get(&snapshot).await.body["snapshot"].clone();
    assert_eq!(now["os-extended-snapshot-attributes:progress"], "80%");
    let got = c.call(Method::DELETE, &snapshot, Value::Null).await.error();
    let text =
        "Invalid snapshot: Snapshot status must be available or error and must not be part of a group.";
    assert_eq!((got.0, got.2.as_str()), (400, text));
    assert_eq!(act(&c, &snapshot, update(json!({ "status": "available" }))).await, 202);
    assert_eq!(refused(&c, &snapshot, json!({ "os-reset_status": { "status": "x" } })).await.0, 400);
    assert_eq!(act(&c, &snapshot, json!({ "os-reset_status": { "status": "error" } })).await, 202);
    assert_eq!(act(&c, &snapshot, json!({ "os-force_delete": null })).await, 202);
    c.until_gone(&snapshot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_know_like_and_truth_and_refuse_the_rest() {
    let c = Cinder::start().await;
    for name in ["apple", "pineapple", "pear"] {
        c.volume(json!({ "size": 1, "name": name })).await;
    }
    let names = |body: Value| {
        let all = body["volumes"].as_array().unwrap().clone();
        all.iter().map(|v| v["name"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(c.get("/volumes?name~=apple").await.body), ["pineapple", "apple"]);
    assert_eq!(names(c.get("/volumes?name=apple").await.body), ["apple"]);
    assert_eq!(names(c.get("/volumes?bootable=false").await.body).len(), 3);
    let wrong = c.get("/volumes?bootable=perhaps").await.error();
    assert_eq!(wrong.2, "Invalid input received: 'bootable = perhaps'");
    assert_eq!(names(c.get("/volumes?status=available&sort=name:asc").await.body)[0], "apple");
}
