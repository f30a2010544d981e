//! What making and changing backups, types, specs, quotas and the rest answers, in every microversion.

use http::Method;
use serde_json::{Value, json};

use crate::Cinder;
use crate::fields::{NEWEST, at, fields, id, keys};

/// One call and where its answer has which fields.
struct Asked<'a> {
    method: Method,
    path: String,
    body: Value,
    at: &'a str,
    base: &'a [&'a str],
}

fn post<'a>(path: impl Into<String>, body: Value, at: &'a str, base: &'a [&'a str]) -> Asked<'a> {
    Asked { method: Method::POST, path: path.into(), body, at, base }
}

fn put<'a>(path: impl Into<String>, body: Value, at: &'a str, base: &'a [&'a str]) -> Asked<'a> {
    Asked { method: Method::PUT, path: path.into(), body, at, base }
}

/// Asks, looks at the fields, and answers the document.
async fn exact(c: &Cinder, minor: u16, asked: Asked<'_>) -> Value {
    let got = at(c, minor, asked.method.clone(), &asked.path, asked.body).await;
    let inner = got.pointer(asked.at).unwrap_or_else(|| panic!("{} in 3.{minor}: {got}", asked.path));
    assert_eq!(keys(inner), fields(asked.base, &[], minor), "{} {} in 3.{minor}", asked.method, asked.path);
    inner.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_and_what_is_restored_of_them() {
    let c = Cinder::start().await;
    let v = id(&c.volume(json!({ "size": 1 })).await);
    let short = ["id", "name", "links"];
    for minor in 0..=NEWEST {
        let body = json!({ "backup": { "volume_id": v, "name": "b" } });
        let b = exact(&c, minor, post("/backups", body, "/backup", &short)).await;
        let path = format!("/backups/{}", id(&b));
        c.until(&path, "backup", "status", "available").await;
        if minor >= 9 {
            let edit = json!({ "backup": { "name": "c" } });
            exact(&c, minor, put(&path, edit, "/backup", &short)).await;
        }
        let restored = ["backup_id", "volume_id", "volume_name"];
        let over = json!({ "restore": { "volume_id": v } });
        exact(&c, minor, post(format!("{path}/restore"), over, "/restore", &restored)).await;
        c.until(&path, "backup", "status", "available").await;
        c.until(&format!("/volumes/{v}"), "volume", "status", "available").await;
        let record = at(&c, minor, Method::GET, &format!("{path}/export_record"), Value::Null).await;
        let bytes = record.to_string();
        assert_eq!(keys(&record["backup-record"]), fields(&["backup_service", "backup_url"], &[], minor));
        assert!(!bytes.contains("null"), "a record is whole: {bytes}");
        assert_eq!(c.delete(&path).await.status, 202);
        c.until_gone(&path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn types_and_their_specs() {
    let c = Cinder::start().await;
    let changed = ["id", "name", "is_public", "description", "extra_specs"];
    let full = [&changed[..], &["os-volume-type-access:is_public"]].concat();
    let encryption =
        ["volume_type_id", "encryption_id", "provider", "cipher", "key_size", "control_location"];
    for minor in 0..=NEWEST {
        let body = json!({ "volume_type": { "name": format!("t{minor}") } });
        let t = exact(&c, minor, post("/types", body, "/volume_type", &full)).await;
        let path = format!("/types/{}", id(&t));
        let edit = json!({ "volume_type": { "description": "d" } });
        exact(&c, minor, put(&path, edit, "/volume_type", &changed)).await;
        let specs = json!({ "extra_specs": { "a": "b" } });
        exact(&c, minor, post(format!("{path}/extra_specs"), specs, "/extra_specs", &["a"])).await;
        exact(&c, minor, put(format!("{path}/extra_specs/a"), json!({ "a": "c" }), "", &["a"])).await;
        let sealed = json!({ "encryption": { "provider": "luks", "control_location": "front-end" } });
        let at = format!("{path}/encryption");
        exact(&c, minor, post(&at, sealed, "/encryption", &encryption)).await;
        let edit = json!({ "encryption": { "key_size": 512 } });
        exact(&c, minor, put(format!("{at}/x"), edit, "/encryption", &["key_size"])).await;
        if minor >= 62 {
            let taken = json!({ "default_type": { "volume_type": id(&t) } });
            let path = format!("/default-types/{}", c.project);
            exact(&c, minor, put(path, taken, "/default_type", &["project_id", "volume_type_id"])).await;
        }
        let body = json!({ "qos_specs": { "name": format!("q{minor}"), "k": "v" } });
        let whole = ["id", "name", "consumer", "specs"];
        let q = exact(&c, minor, post("/qos-specs", body, "/qos_specs", &whole)).await;
        let edit = json!({ "qos_specs": { "k": "w" } });
        exact(&c, minor, put(format!("/qos-specs/{}", id(&q)), edit, "/qos_specs", &["k"])).await;
        if minor >= 11 {
            let body = json!({ "group_type": { "name": format!("g{minor}") } });
            let kind = ["id", "name", "description", "is_public", "group_specs"];
            let g = exact(&c, minor, post("/group_types", body, "/group_type", &kind)).await;
            let path = format!("/group_types/{}", id(&g));
            let edit = json!({ "group_type": { "description": "d" } });
            exact(&c, minor, put(&path, edit, "/group_type", &kind)).await;
            let specs = json!({ "group_specs": { "a": "b" } });
            exact(&c, minor, post(format!("{path}/group_specs"), specs, "/group_specs", &["a"])).await;
            exact(&c, minor, put(format!("{path}/group_specs/a"), json!({ "a": "c" }), "", &["a"])).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_quotas_and_services() {
    let c = Cinder::start().await;
    let v = format!("/volumes/{}", id(&c.volume(json!({ "size": 1 })).await));
    let counted = [
        "volumes",
        "snapshots",
        "gigabytes",
        "backups",
        "backup_gigabytes",
        "groups",
        "per_volume_gigabytes",
    ];
    let by_type = ["volumes___DEFAULT__", "snapshots___DEFAULT__", "gigabytes___DEFAULT__"];
    let counted = [&counted[..], &by_type].concat();
    let switched = ["host", "service", "binary", "status", "disabled"];
    for minor in 0..=NEWEST {
        let more = json!({ "metadata": { "k": "v" } });
        exact(&c, minor, post(format!("{v}/metadata"), more.clone(), "/metadata", &["k"])).await;
        exact(&c, minor, put(format!("{v}/metadata"), more.clone(), "/metadata", &["k"])).await;
        let one = json!({ "meta": { "k": "v" } });
        exact(&c, minor, put(format!("{v}/metadata/k"), one, "/meta", &["k"])).await;
        let image = json!({ "os-set_image_metadata": more });
        exact(&c, minor, post(format!("{v}/action"), image, "/metadata", &["k"])).await;
        let shown = json!({ "os-show_image_metadata": null });
        exact(&c, minor, post(format!("{v}/action"), shown, "/metadata", &["k"])).await;
        let connect = json!({ "os-initialize_connection": { "connector": { "host": "h" } } });
        let road = ["driver_volume_type", "data", "enforce_multipath"];
        exact(&c, minor, post(format!("{v}/action"), connect, "/connection_info", &road)).await;
        let set = json!({ "quota_set": { "volumes": 9 } });
        exact(&c, minor, put(format!("/os-quota-sets/{}", c.project), set, "/quota_set", &counted)).await;
        let set = json!({ "quota_class_set": { "volumes": 9 } });
        exact(&c, minor, put("/os-quota-class-sets/default", set, "/quota_class_set", &counted)).await;
        let which = json!({ "binary": "cinder-volume", "host": "parpen@dummy" });
        exact(&c, minor, put("/os-services/disable", which.clone(), "", &switched)).await;
        let mut why = which.clone();
        why["disabled_reason"] = json!("r");
        let with_reason = [&switched[..], &["disabled_reason"]].concat();
        exact(&c, minor, put("/os-services/disable-log-reason", why, "", &with_reason)).await;
        exact(&c, minor, put("/os-services/enable", which, "", &switched)).await;
        if minor >= 32 {
            let all = json!({ "binary": "", "server": "", "prefix": "" });
            exact(
                &c,
                minor,
                put("/os-services/get-log", all, "/log_levels/0", &["binary", "host", "levels"]),
            )
            .await;
        }
    }
}
