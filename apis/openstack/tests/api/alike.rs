//! What Cinder refuses, selects and shows where one might do otherwise.

use http::Method;
use serde_json::{Value, json};

use crate::Cinder;
use crate::fields::id;

const NONE: &str = "00000000-0000-0000-0000-000000000001";

/// Each call is refused with this status, in words that hold these.
async fn refused(c: &Cinder, table: Vec<(&str, Value, u16, &str)>) {
    for (path, body, status, text) in table {
        let got = if body.is_null() { c.get(path).await } else { c.post(path, body).await };
        let (found, _, message) = got.error();
        assert_eq!((found, message.contains(text)), (status, true), "{path}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_volume_is_made_from_must_stand_and_fit() {
    let c = Cinder::start().await;
    let v = id(&c.volume(json!({ "size": 2 })).await);
    let s = c.post("/snapshots", json!({ "snapshot": { "volume_id": v } })).await;
    let s = id(&s.body["snapshot"]);
    c.until(&format!("/snapshots/{s}"), "snapshot", "status", "available").await;
    let new = |fields: Value| json!({ "volume": fields });
    let several = "May specify only one of backup, imageRef, snapshot, source volume";
    let table = vec![
        ("/volumes", new(json!({ "snapshot_id": s, "imageRef": NONE })), 400, several),
        ("/volumes", new(json!({ "source_volid": v, "backup_id": NONE })), 400, several),
        (
            "/volumes",
            new(json!({ "snapshot_id": s, "size": 1 })),
            400,
            "'1'GB cannot be smaller than the snapshot size 2GB",
        ),
        ("/volumes", new(json!({ "source_volid": v, "size": 1 })), 400, "original volume size 2GB"),
        ("/volumes", new(json!({ "size": 1u64 << 31 })), 400, "greater than the maximum of 2147483647"),
        ("/volumes", new(json!({ "size": 1, "imageRef": "cirros" })), 400, "Invalid image identifier"),
        ("/volumes", new(json!({ "size": 1, "consistencygroup_id": NONE })), 404, "Group"),
    ];
    refused(&c, table).await;
    let reset = |status: &str| json!({ "os-reset_status": { "status": status } });
    assert_eq!(c.post(&format!("/volumes/{v}/action"), reset("error")).await.status, 202);
    assert_eq!(c.post(&format!("/snapshots/{s}/action"), reset("error")).await.status, 202);
    let table = vec![
        ("/volumes", new(json!({ "source_volid": v })), 400, "Originating source volume status"),
        ("/volumes", new(json!({ "snapshot_id": s })), 400, "Originating snapshot status"),
        (
            "/backups",
            json!({ "backup": { "volume_id": v, "force": true } }),
            400,
            "current status is \"error\"",
        ),
    ];
    refused(&c, table).await;
    let save = json!({ "os-volume_upload_image": { "image_name": "i", "force": true } });
    let got = c.post(&format!("/volumes/{v}/action"), save).await.error();
    assert!(got.0 == 400 && got.2.contains("current status is: error"), "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_into_what_is_available_and_is_of_its_own_volume() {
    let c = Cinder::start().await;
    let (v, other) = (id(&c.volume(json!({ "size": 1 })).await), id(&c.volume(json!({ "size": 1 })).await));
    let made = c.post("/backups", json!({ "backup": { "volume_id": v } })).await;
    let b = id(&made.body["backup"]);
    c.until(&format!("/backups/{b}"), "backup", "status", "available").await;
    let s = c.post("/snapshots", json!({ "snapshot": { "volume_id": other } })).await;
    let s = id(&s.body["snapshot"]);
    c.until(&format!("/snapshots/{s}"), "snapshot", "status", "available").await;
    let reset = json!({ "os-reset_status": { "status": "error" } });
    assert_eq!(c.post(&format!("/volumes/{v}/action"), reset).await.status, 202);
    let restore = format!("/backups/{b}/restore");
    let action = format!("/backups/{b}/action");
    let table = vec![
        (
            restore.as_str(),
            json!({ "restore": { "volume_id": v } }),
            400,
            "to be restored to must be available",
        ),
        (
            "/backups",
            json!({ "backup": { "volume_id": v, "snapshot_id": s } }),
            400,
            "does not match with snapshot",
        ),
        (action.as_str(), json!({ "os-reset_status": { "status": "deleted" } }), 400, "valid statuses are"),
    ];
    refused(&c, table).await;
    let loud = json!({ "os-reset_status": { "status": "ERROR" } });
    assert_eq!(c.post(&action, loud).await.status, 202);
    assert_eq!(c.get(&format!("/backups/{b}")).await.body["backup"]["status"], "error");
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_read_as_cinder_reads_them() {
    let c = Cinder::start().await;
    for name in ["a", "b"] {
        c.volume(json!({ "size": 1, "name": name })).await;
    }
    let table = vec![
        ("/volumes?limit=x", Value::Null, 400, "limit param must be an integer"),
        ("/volumes?limit=-1", Value::Null, 400, "limit param must be positive"),
        ("/volumes?sort=name&sort_key=name", Value::Null, 400, "cannot be used with the 'sort' parameter"),
        ("/volumes?sort=name:up", Value::Null, 400, "must be 'desc' or 'asc'"),
        ("/volumes?sort=colour", Value::Null, 400, "Invalid sort key"),
        (
            "/volumes?with_count=perhaps",
            Value::Null,
            400,
            "Value 'perhaps' for 'with_count' is not a boolean.",
        ),
    ];
    refused(&c, table).await;
    for path in
        ["/volumes?sort=launched_at:asc", "/manageable_volumes?host=parpen@local%23local&sort_dir=asc"]
    {
        assert_eq!(c.get(path).await.status, 200, "{path}");
    }
    // After a full page there is another, which may be empty.
    let full = c.get("/volumes?limit=2&sort=name:asc").await.body;
    assert_eq!(full["volumes"][0]["name"], "a");
    let next =
        full["volumes_links"][0]["href"].as_str().unwrap().split("/volume/v3").nth(1).unwrap().to_string();
    let last = c.get(&next).await.body;
    assert_eq!((&last["volumes"], last.get("volumes_links")), (&json!([]), None));
    // Addresses are as the request's own.
    let with = c.get(&format!("/{}/volumes?limit=1", c.project)).await.body;
    let href = |doc: &Value| doc["volumes"][0]["links"][0]["href"].as_str().unwrap().to_string();
    assert!(href(&with).contains(&format!("/volume/v3/{}/volumes/", c.project)));
    assert!(href(&full).contains("/volume/v3/volumes/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_say_what_they_are() {
    let c = Cinder::start().await;
    let headers = [("x-auth-token", c.token.as_str()), ("content-length", "2"), ("content-type", "text/xml")];
    let got = c.raw(Method::POST, "/volume/v3/volumes", &headers, "{}").await.error();
    assert_eq!((got.0, got.1.as_str(), got.2.as_str()), (415, "badMediaType", "Unsupported Content-Type"));
    let v = format!("/volumes/{}", id(&c.volume(json!({ "size": 1 })).await));
    let (action, meta) = (format!("{v}/action"), format!("{v}/metadata"));
    let table = vec![
        (
            action.as_str(),
            json!({ "os-dance": null }),
            400,
            "There is no such action: os-dance. Verify the request",
        ),
        (
            action.as_str(),
            json!({ "os-show_image_metadata": null }),
            404,
            "Glance metadata for volume/snapshot",
        ),
        (action.as_str(), json!({ "os-set_bootable": { "bootable": 1 } }), 400, "is not of type 'boolean'"),
        (
            action.as_str(),
            json!({ "os-set_bootable": { "bootable": "tRuE" } }),
            400,
            "is not of type 'boolean'",
        ),
        (
            meta.as_str(),
            json!({ "metadata": { "k\u{fc}": "v" } }),
            400,
            "Additional properties are not allowed",
        ),
    ];
    refused(&c, table).await;
    for (path, body) in [(v.as_str(), json!({ "volume": {} })), ("/snapshots/x", json!({ "snapshot": {} }))] {
        let got = c.put(path, body).await.error();
        assert!(got.0 == 400 && got.2.contains("does not have enough properties"), "{got:?}");
    }
    let over = c.post("/volumes", json!({ "volume": { "size": 999_999_999 } })).await;
    assert_eq!((over.status, &over.body["overLimit"]["retryAfter"]), (413, &json!("0")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_tells_how_it_is_encrypted() {
    let c = Cinder::start().await;
    let plain = id(&c.volume(json!({ "size": 1 })).await);
    let told = c.get(&format!("/volumes/{plain}/encryption")).await.body;
    assert_eq!(told, json!({ "encryption_key_id": null }));
    let kind = c.post("/types", json!({ "volume_type": { "name": "luks" } })).await;
    let kind = id(&kind.body["volume_type"]);
    let how = json!({ "provider": "luks", "cipher": "aes-xts-plain64", "key_size": 256, "control_location": "front-end" });
    assert_eq!(c.post(&format!("/types/{kind}/encryption"), json!({ "encryption": how })).await.status, 200);
    let v = id(&c.volume(json!({ "size": 1, "volume_type": "luks" })).await);
    let mut told = c.get(&format!("/volumes/{v}/encryption")).await.body;
    told.as_object_mut().unwrap().remove("encryption_key_id").unwrap();
    assert_eq!(told, how);
    let offer = json!({ "transfer": { "volume_id": v } });
    let headers = [("x-auth-token", c.token.as_str()), ("openstack-api-version", "volume 3.69")];
    let old = c.raw(Method::POST, "/volume/v3/volume-transfers", &headers, &offer.to_string()).await.error();
    assert_eq!(
        (old.0, old.2.as_str()),
        (400, "Invalid volume: transferring encrypted volume is not supported")
    );
    assert_eq!(c.post("/volume-transfers", offer).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_a_group_may_have_stays() {
    let c = Cinder::start().await;
    let kind = c.post("/types", json!({ "volume_type": { "name": "fast" } })).await;
    let kind = id(&kind.body["volume_type"]);
    let of = c.post("/group_types", json!({ "group_type": { "name": "gt" } })).await;
    let group = json!({ "group": { "group_type": id(&of.body["group_type"]), "volume_types": [kind] } });
    let g = id(&c.post("/groups", group).await.body["group"]);
    c.until(&format!("/groups/{g}"), "group", "status", "available").await;
    let held = c.delete(&format!("/types/{kind}")).await.error();
    assert!(held.0 == 400 && held.2.contains("still in use"), "{held:?}");
    let gone = json!({ "delete": { "delete-volumes": false } });
    assert_eq!(c.post(&format!("/groups/{g}/action"), gone).await.status, 202);
    c.until_gone(&format!("/groups/{g}")).await;
    assert_eq!(c.delete(&format!("/types/{kind}")).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_document_may_not_hold_is_refused_in_the_version_that_is_asked_for() {
    let c = Cinder::start().await;
    let v = id(&c.volume(json!({ "size": 1 })).await);
    let odd = "Additional properties are not allowed ('odd' was unexpected)";
    let action = format!("/volumes/{v}/action");
    let table = vec![
        ("/volumes", json!({ "volume": { "size": 1, "odd": 1 } }), 400, odd),
        ("/volumes", json!({ "volume": { "size": 1 }, "odd": 1 }), 400, odd),
        ("/snapshots", json!({ "snapshot": { "volume_id": v, "odd": 1 } }), 400, odd),
        ("/attachments", json!({ "attachment": { "volume_uuid": v, "odd": 1 } }), 400, odd),
        ("/volume-transfers", json!({ "transfer": { "volume_id": v, "odd": 1 } }), 400, odd),
        ("/backups", json!({ "backup": { "volume_id": v, "odd": 1 } }), 400, odd),
        ("/groups", json!({ "group": { "odd": 1 } }), 400, odd),
        ("/group_types", json!({ "group_type": { "name": "n", "odd": 1 } }), 400, odd),
        ("/manageable_volumes", json!({ "volume": { "odd": 1 } }), 400, odd),
        (action.as_str(), json!({ "os-extend": { "new_size": 2, "odd": 1 } }), 400, odd),
        (action.as_str(), json!({ "os-reset_status": { "status": "error", "odd": 1 } }), 400, odd),
    ];
    refused(&c, table).await;
    let token = ("x-auth-token", c.token.as_str());
    let at = |minor: u16, path: &'static str, body: Value| {
        let c = &c;
        async move {
            let version = format!("volume 3.{minor}");
            let headers = [token, ("openstack-api-version", version.as_str())];
            c.raw(Method::POST, &format!("/volume/v3{path}"), &headers, &body.to_string()).await.status
        }
    };
    let zoned = json!({ "backup": { "volume_id": v, "availability_zone": "nova" } });
    assert_eq!((at(50, "/backups", zoned.clone()).await, at(51, "/backups", zoned).await), (400, 202));
    let moded = json!({ "attachment": { "volume_uuid": v, "mode": "rw" } });
    assert_eq!(at(53, "/attachments", moded).await, 400);
    assert_eq!(at(52, "/volumes", json!({ "volume": { "size": 1, "odd": 1 } })).await, 202);
    let hinted = json!({ "volume": { "size": 1 }, "OS-SCH-HNT:scheduler_hints": { "same_host": [] } });
    assert_eq!(at(71, "/volumes", hinted).await, 202);
}

/// A group went, with a flag that is none or with no document at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_deleted_by_a_whole_document_alone() {
    let c = Cinder::start().await;
    let kind = c.post("/group_types", json!({ "group_type": { "name": "t" } })).await;
    let wire =
        json!({ "group": { "group_type": kind.body["group_type"]["id"], "volume_types": ["__DEFAULT__"] } });
    let g = id(&c.post("/groups", wire).await.body["group"]);
    let at = format!("/groups/{g}/action");
    let table = vec![
        (at.as_str(), json!({ "delete": { "delete-volumes": "zz" } }), 400, "is not of type 'boolean'"),
        (at.as_str(), json!({ "delete": null }), 400, "is not of type 'object'"),
    ];
    refused(&c, table).await;
    assert_eq!(c.post(&at, json!({ "delete": { "delete-volumes": "False" } })).await.status, 202);
    c.until_gone(&format!("/groups/{g}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_of_something_and_stands_to_be_backed_up() {
    let c = Cinder::start().await;
    let v = id(&c.volume(json!({ "size": 1 })).await);
    let s = id(&c.post("/snapshots", json!({ "snapshot": { "volume_id": v } })).await.body["snapshot"]);
    c.until(&format!("/snapshots/{s}"), "snapshot", "status", "available").await;
    let say = json!({ "os-reset_status": { "status": "error" } });
    assert_eq!(c.post(&format!("/snapshots/{s}/action"), say).await.status, 202);
    let table = vec![
        ("/snapshots", json!({ "snapshot": { "volume_id": null } }), 404, "Volume None could not be found."),
        (
            "/backups",
            json!({ "backup": { "volume_id": v, "snapshot_id": s } }),
            400,
            "Snapshot to be backed up must be available, but the current status is \"error\".",
        ),
    ];
    refused(&c, table).await;
    let t = id(&c.post("/types", json!({ "volume_type": { "name": "t" } })).await.body["volume_type"]);
    let named = json!({ "volume_type": { "name": "__DEFAULT__" } });
    let got = c.put(&format!("/types/{t}"), named).await.error();
    assert_eq!((got.0, got.2.as_str()), (409, "Volume Type __DEFAULT__ already exists."));
}

/// Who may not do something was told what is wrong with it first; and who may not see a backup, that it is there.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_forbidden_is_so_whatever_it_is_of() {
    let c = Cinder::start().await;
    let v = id(&c.volume(json!({ "size": 1 })).await);
    let s = id(&c.post("/snapshots", json!({ "snapshot": { "volume_id": v } })).await.body["snapshot"]);
    c.until(&format!("/snapshots/{s}"), "snapshot", "status", "available").await;
    let b = id(&c.post("/backups", json!({ "backup": { "volume_id": v } })).await.body["backup"]);
    let demo = c.project("demo").await;
    let (_, member) = c.persona("anna", &demo, "member").await;
    let (_, reader) = c.persona("bert", &c.project, "reader").await;
    let record = json!({ "backup-record": { "backup_service": "x", "backup_url": "y" } });
    let status = json!({ "os-update_snapshot_status": { "status": "available" } });
    let force = json!({ "os-force_delete": {} });
    for (token, path, body, wanted) in [
        (&member, "/backups/import_record".to_string(), record, 403),
        (&reader, format!("/snapshots/{s}/action"), status, 403),
        (&member, format!("/backups/{b}/action"), force.clone(), 404),
        (&member, format!("/backups/{NONE}/action"), force.clone(), 404),
        (&reader, format!("/backups/{b}/action"), force, 403),
    ] {
        assert_eq!(c.call_as(token, Method::POST, &path, body).await.error().0, wanted, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_sorted_by_what_there_is_even_when_they_are_empty() {
    let c = Cinder::start().await;
    for path in
        ["/volumes", "/snapshots", "/backups", "/groups", "/group_snapshots", "/attachments", "/messages"]
    {
        for query in ["sort_key=bogus", "sort=bogus:asc", "sort_dir=bogus"] {
            assert_eq!(c.get(&format!("{path}?{query}")).await.error().0, 400, "{path}?{query}");
        }
        assert_eq!(c.get(&format!("{path}?sort_key=id&sort_dir=asc")).await.status, 200, "{path}");
    }
    let table = vec![
        ("/volumes?marker=x", Value::Null, 404, "Volume x could not be found."),
        ("/snapshots?marker=x", Value::Null, 404, "Snapshot x could not be found."),
        ("/backups?marker=x", Value::Null, 404, "Backup x could not be found."),
        ("/types?marker=x", Value::Null, 404, "Volume type x could not be found."),
    ];
    refused(&c, table).await;
}

/// An image's copy could tell of metadata that the volume had not when it was saved.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_stays_while_a_volume_is_saved_or_mended() {
    let c = Cinder::start().await;
    let v = format!("/volumes/{}", id(&c.volume(json!({ "size": 1, "metadata": { "k": "v" } })).await));
    for status in ["uploading", "maintenance"] {
        let say = json!({ "os-reset_status": { "status": status } });
        assert_eq!(c.post(&format!("{v}/action"), say).await.status, 202);
        let updating = format!(
            "Invalid volume: Updating volume metadata is not allowed for volumes in {status} status."
        );
        let (metadata, action) = (format!("{v}/metadata"), format!("{v}/action"));
        let image = json!({ "os-set_image_metadata": { "metadata": { "a": "b" } } });
        let table = vec![
            (metadata.as_str(), json!({ "metadata": { "a": "b" } }), 400, updating.as_str()),
            (action.as_str(), image, 400, updating.as_str()),
        ];
        refused(&c, table).await;
        let got = c.delete(&format!("{v}/metadata/k")).await.error();
        assert_eq!((got.0, got.2), (400, updating.replace("Updating", "Deleting")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_by_whence_where_and_several_states() {
    let c = Cinder::start().await;
    let v = id(&c.volume(json!({ "size": 1 })).await);
    let copy = id(&c.volume(json!({ "source_volid": v })).await);
    c.post("/snapshots", json!({ "snapshot": { "volume_id": v } })).await;
    let say = json!({ "os-reset_status": { "status": "error" } });
    assert_eq!(c.post(&format!("/volumes/{copy}/action"), say).await.status, 202);
    let host = c.get(&format!("/volumes/{v}")).await.body["volume"]["os-vol-host-attr:host"].clone();
    let host = host.as_str().unwrap().replace('#', "%23");
    for (path, key, wanted) in [
        (format!("/volumes?source_volid={v}"), "volumes", 1),
        ("/volumes?attach_status=detached".to_string(), "volumes", 2),
        ("/volumes?attach_status=attached".to_string(), "volumes", 0),
        ("/volumes?status=%5B'available',%20'error'%5D".to_string(), "volumes", 2),
        ("/volumes?status=%5B'error'%5D".to_string(), "volumes", 1),
        ("/snapshots?availability_zone=nova".to_string(), "snapshots", 1),
        ("/snapshots?availability_zone=other".to_string(), "snapshots", 0),
        (format!("/snapshots?host={host}"), "snapshots", 1),
        ("/snapshots?host=other".to_string(), "snapshots", 0),
    ] {
        let got = c.get(&path).await;
        assert_eq!(got.body[key].as_array().map(Vec::len), Some(wanted), "{path}: {}", got.body);
    }
    let pools = c.get("/scheduler-stats/get_pools?volume_type=__DEFAULT__").await;
    assert_eq!(pools.body["pools"], c.get("/scheduler-stats/get_pools").await.body["pools"]);
    let unknown = "Service cinder-volume could not be found on host nosuch.";
    let table = vec![
        ("/volumes?all_tenants=zz", Value::Null, 400, "Value 'zz' for 'all_tenants' is not a boolean."),
        ("/manageable_volumes?host=nosuch", Value::Null, 404, unknown),
        ("/manageable_snapshots?host=nosuch", Value::Null, 404, unknown),
    ];
    refused(&c, table).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_hold_what_they_are_to_and_no_more() {
    let c = Cinder::start().await;
    let v = id(&c.volume(json!({ "size": 1, "metadata": { "k": "v" } })).await);
    let kind = c.post("/group_types", json!({ "group_type": { "name": "t" } })).await;
    let kind = kind.body["group_type"]["id"].clone();
    let wire = json!({ "group": { "group_type": kind, "volume_types": ["__DEFAULT__"] } });
    let g = id(&c.post("/groups", wire).await.body["group"]);
    let twice = json!({ "group": { "group_type": kind, "volume_types": ["__DEFAULT__", "__DEFAULT__"] } });
    let (metadata, action) = (format!("/volumes/{v}/metadata"), format!("/volumes/{v}/action"));
    let offer = |name: &str| json!({ "transfer": { "volume_id": v, "name": name } });
    let more = json!({ "metadata": { "a": "b" }, "x": 1 });
    let hints = json!({ "volume": { "size": 1 }, "OS-SCH-HNT:scheduler_hints": "x" });
    let new = |fields: Value| json!({ "volume": fields });
    let table = vec![
        ("/volume-transfers", offer(""), 400, "is too short"),
        ("/volume-transfers", offer("  "), 400, "is too short"),
        ("/groups", twice, 400, "has non-unique elements"),
        (&metadata, more, 400, "Additional properties are not allowed"),
        ("/volumes", hints, 400, "is not of type 'object'"),
        (&action, json!({ "os-detach": { "attachment_id": "x" } }), 400, "is not a 'uuid'"),
        (&action, json!({ "os-unset_image_metadata": { "key": "" } }), 400, "is too short"),
        ("/volumes", new(json!({ "size": 1, "group_id": "x" })), 404, "Group x could not be found."),
        ("/volumes", new(json!({ "size": 1, "group_id": g })), 400, "volume_type must be provided"),
    ];
    refused(&c, table).await;
    let more = json!({ "meta": { "k": "w" }, "x": 1 });
    assert_eq!(c.put(&format!("{metadata}/k"), more).await.error().0, 400);
}
