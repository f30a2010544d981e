//! What making and changing answers holds exactly the fields that real Cinder's does, in every microversion. What is
//! only asked for is in `every::fields`.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::Cinder;

pub(crate) const NEWEST: u16 = 71;

pub(crate) fn keys(document: &Value) -> BTreeSet<String> {
    document.as_object().unwrap_or_else(|| panic!("{document}")).keys().cloned().collect()
}

/// The fields that are there from the first version on, and those that came later.
pub(crate) fn fields(base: &[&str], later: &[(u16, &str)], minor: u16) -> BTreeSet<String> {
    let later = later.iter().filter(|(since, _)| *since <= minor).map(|(_, f)| *f);
    base.iter().copied().chain(later).map(str::to_string).collect()
}

pub(crate) async fn at(c: &Cinder, minor: u16, method: Method, path: &str, body: Value) -> Value {
    let version = format!("volume 3.{minor}");
    let headers = [("x-auth-token", c.token.as_str()), ("openstack-api-version", version.as_str())];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let got = c.raw(method, &format!("/volume/v3{path}"), &headers, &body).await;
    assert!(got.status < 300, "3.{minor} {path}: {} {}", got.status, got.body);
    got.body
}

pub(crate) fn id(document: &Value) -> String {
    document["id"].as_str().unwrap().to_string()
}

pub(crate) const VOLUME: &[&str] = &[
    "attachments",
    "links",
    "encrypted",
    "updated_at",
    "replication_status",
    "id",
    "size",
    "user_id",
    "availability_zone",
    "metadata",
    "status",
    "description",
    "multiattach",
    "consistencygroup_id",
    "name",
    "bootable",
    "created_at",
    "volume_type",
    "snapshot_id",
    "source_volid",
    "migration_status",
];
pub(crate) const VOLUME_FULL: &[&str] = &[
    "os-vol-host-attr:host",
    "os-vol-tenant-attr:tenant_id",
    "os-vol-mig-status-attr:migstat",
    "os-vol-mig-status-attr:name_id",
];
pub(crate) const VOLUME_LATER: &[(u16, &str)] = &[
    (13, "group_id"),
    (21, "provider_id"),
    (48, "service_uuid"),
    (48, "shared_targets"),
    (61, "cluster_name"),
    (63, "volume_type_id"),
    (65, "consumes_quota"),
];

#[tokio::test(flavor = "multi_thread")]
async fn volumes() {
    let c = Cinder::start().await;
    let full: Vec<&str> = VOLUME.iter().chain(VOLUME_FULL).copied().collect();
    for minor in 0..=NEWEST {
        let body = json!({ "volume": { "size": 1, "name": "v" } });
        let made = at(&c, minor, Method::POST, "/volumes", body).await;
        assert_eq!(keys(&made["volume"]), fields(VOLUME, VOLUME_LATER, minor), "create in 3.{minor}");
        let path = format!("/volumes/{}", id(&made["volume"]));
        let shown = at(&c, minor, Method::GET, &path, Value::Null).await;
        assert_eq!(keys(&shown["volume"]), fields(&full, VOLUME_LATER, minor), "show in 3.{minor}");
        let listed = at(&c, minor, Method::GET, "/volumes/detail?limit=1", Value::Null).await;
        assert_eq!(keys(&listed["volumes"][0]), fields(&full, VOLUME_LATER, minor), "detail in 3.{minor}");
        let listed = at(&c, minor, Method::GET, "/volumes?limit=1", Value::Null).await;
        assert_eq!(
            keys(&listed["volumes"][0]),
            fields(&["id", "name", "links"], &[], minor),
            "list in 3.{minor}"
        );
        let edit = json!({ "volume": { "description": "d" } });
        let put = at(&c, minor, Method::PUT, &path, edit).await;
        assert_eq!(keys(&put["volume"]), fields(VOLUME, VOLUME_LATER, minor), "update in 3.{minor}");
    }
}

pub(crate) const SNAPSHOT: &[&str] =
    &["status", "description", "created_at", "name", "volume_id", "metadata", "id", "size", "updated_at"];
pub(crate) const SNAPSHOT_FULL: &[&str] =
    &["os-extended-snapshot-attributes:progress", "os-extended-snapshot-attributes:project_id"];
pub(crate) const SNAPSHOT_LATER: &[(u16, &str)] =
    &[(14, "group_snapshot_id"), (41, "user_id"), (65, "consumes_quota")];

#[tokio::test(flavor = "multi_thread")]
async fn snapshots() {
    let c = Cinder::start().await;
    let v = id(&c.volume(json!({ "size": 1 })).await);
    let full: Vec<&str> = SNAPSHOT.iter().chain(SNAPSHOT_FULL).copied().collect();
    for minor in 0..=NEWEST {
        let body = json!({ "snapshot": { "volume_id": v, "name": "s" } });
        let made = at(&c, minor, Method::POST, "/snapshots", body).await;
        assert_eq!(keys(&made["snapshot"]), fields(SNAPSHOT, SNAPSHOT_LATER, minor), "create in 3.{minor}");
        let path = format!("/snapshots/{}", id(&made["snapshot"]));
        let shown = at(&c, minor, Method::GET, &path, Value::Null).await;
        assert_eq!(keys(&shown["snapshot"]), fields(&full, SNAPSHOT_LATER, minor), "show in 3.{minor}");
        let listed = at(&c, minor, Method::GET, "/snapshots/detail?limit=1", Value::Null).await;
        assert_eq!(
            keys(&listed["snapshots"][0]),
            fields(&full, SNAPSHOT_LATER, minor),
            "detail in 3.{minor}"
        );
        let listed = at(&c, minor, Method::GET, "/snapshots?limit=1", Value::Null).await;
        assert_eq!(keys(&listed["snapshots"][0]), fields(SNAPSHOT, &[], minor), "list in 3.{minor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments() {
    let c = Cinder::start().await;
    let short = ["id", "status", "instance", "volume_id"];
    let long = [&short[..], &["attached_at", "detached_at", "attach_mode", "connection_info"]].concat();
    for minor in 27..=NEWEST {
        let v = id(&c.volume(json!({ "size": 1 })).await);
        let body = json!({ "attachment": { "volume_uuid": v, "instance_uuid": "i" } });
        let made = at(&c, minor, Method::POST, "/attachments", body).await;
        assert_eq!(keys(&made["attachment"]), fields(&long, &[], minor), "create in 3.{minor}");
        let path = format!("/attachments/{}", id(&made["attachment"]));
        let connector = json!({ "attachment": { "connector": { "host": "h" } } });
        let put = at(&c, minor, Method::PUT, &path, connector).await;
        assert_eq!(keys(&put["attachment"]), fields(&long, &[], minor), "update in 3.{minor}");
        let shown = at(&c, minor, Method::GET, &path, Value::Null).await;
        assert_eq!(keys(&shown["attachment"]), fields(&long, &[], minor), "show in 3.{minor}");
        let listed = at(&c, minor, Method::GET, "/attachments/detail?limit=1", Value::Null).await;
        assert_eq!(keys(&listed["attachments"][0]), fields(&long, &[], minor), "detail in 3.{minor}");
        let listed = at(&c, minor, Method::GET, "/attachments?limit=1", Value::Null).await;
        assert_eq!(keys(&listed["attachments"][0]), fields(&short, &[], minor), "list in 3.{minor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_and_their_snapshots_and_types() {
    let c = Cinder::start().await;
    let of_type = ["id", "name", "description", "is_public", "group_specs"];
    let group = [
        "id",
        "status",
        "availability_zone",
        "created_at",
        "name",
        "description",
        "group_type",
        "volume_types",
    ];
    let later = [
        (14, "group_snapshot_id"),
        (14, "source_group_id"),
        (25, "volumes"),
        (38, "replication_status"),
        (58, "project_id"),
    ];
    let part = ["id", "name", "group_type_id"];
    let snapshot = [&part[..], &["group_id", "status", "created_at", "description"]].concat();
    let get = |minor, path: String| {
        let c = &c;
        async move { at(c, minor, Method::GET, &path, Value::Null).await }
    };
    for minor in 11..=NEWEST {
        let body = json!({ "group_type": { "name": format!("t{minor}") } });
        let made = at(&c, minor, Method::POST, "/group_types", body).await;
        assert_eq!(keys(&made["group_type"]), fields(&of_type, &[], minor), "create in 3.{minor}");
        let kind = id(&made["group_type"]);
        let shown = get(minor, format!("/group_types/{kind}")).await;
        assert_eq!(keys(&shown["group_type"]), fields(&of_type, &[], minor), "show in 3.{minor}");
        let listed = get(minor, "/group_types".into()).await;
        assert_eq!(keys(&listed["group_types"][0]), fields(&of_type, &[], minor), "list in 3.{minor}");
        if minor < 13 {
            continue;
        }
        let body = json!({ "group": { "name": "g", "group_type": kind, "volume_types": ["__DEFAULT__"] } });
        let made = at(&c, minor, Method::POST, "/groups", body).await;
        assert_eq!(keys(&made["group"]), fields(&["id", "name"], &[], minor), "create in 3.{minor}");
        let g = id(&made["group"]);
        let shown = get(minor, format!("/groups/{g}?list_volume=True")).await;
        assert_eq!(keys(&shown["group"]), fields(&group, &later, minor), "show in 3.{minor}");
        let listed = get(minor, "/groups/detail?list_volume=True&limit=1".into()).await;
        assert_eq!(keys(&listed["groups"][0]), fields(&group, &later, minor), "detail in 3.{minor}");
        let listed = get(minor, "/groups?limit=1".into()).await;
        assert_eq!(keys(&listed["groups"][0]), fields(&["id", "name"], &[], minor), "list in 3.{minor}");
        if minor < 14 {
            continue;
        }
        let later = [(58, "project_id")];
        let body = json!({ "group_snapshot": { "name": "s", "group_id": g } });
        let made = at(&c, minor, Method::POST, "/group_snapshots", body).await;
        assert_eq!(keys(&made["group_snapshot"]), fields(&part, &[], minor), "create in 3.{minor}");
        let shown = get(minor, format!("/group_snapshots/{}", id(&made["group_snapshot"]))).await;
        assert_eq!(keys(&shown["group_snapshot"]), fields(&snapshot, &later, minor), "show in 3.{minor}");
        let listed = get(minor, "/group_snapshots/detail?limit=1".into()).await;
        assert_eq!(
            keys(&listed["group_snapshots"][0]),
            fields(&snapshot, &later, minor),
            "detail in 3.{minor}"
        );
        let listed = get(minor, "/group_snapshots?limit=1".into()).await;
        let named = fields(&["id", "name"], &[], minor);
        assert_eq!(keys(&listed["group_snapshots"][0]), named, "list in 3.{minor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers() {
    let c = Cinder::start().await;
    let short = ["id", "volume_id", "name", "links"];
    let long = [&short[..], &["created_at"]].concat();
    let made_with = [&long[..], &["auth_key"]].concat();
    let later =
        [(55, "no_snapshots"), (57, "source_project_id"), (57, "destination_project_id"), (57, "accepted")];
    let v = id(&c.volume(json!({ "size": 1 })).await);
    for minor in 0..=NEWEST {
        let root = if minor < 55 { "/os-volume-transfer" } else { "/volume-transfers" };
        let body = json!({ "transfer": { "volume_id": v, "name": "t" } });
        let made = at(&c, minor, Method::POST, root, body).await;
        assert_eq!(keys(&made["transfer"]), fields(&made_with, &later, minor), "create in 3.{minor}");
        let path = format!("{root}/{}", id(&made["transfer"]));
        let shown = at(&c, minor, Method::GET, &path, Value::Null).await;
        assert_eq!(keys(&shown["transfer"]), fields(&long, &later, minor), "show in 3.{minor}");
        let listed = at(&c, minor, Method::GET, &format!("{root}/detail"), Value::Null).await;
        assert_eq!(keys(&listed["transfers"][0]), fields(&long, &later, minor), "detail in 3.{minor}");
        let listed = at(&c, minor, Method::GET, root, Value::Null).await;
        assert_eq!(keys(&listed["transfers"][0]), fields(&short, &[], minor), "list in 3.{minor}");
        at(&c, minor, Method::DELETE, &path, Value::Null).await;
    }
}
