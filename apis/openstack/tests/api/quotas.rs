//! Quotas: what is set holds for every way in which volumes come.

use http::Method;
use serde_json::{Value, json};

use crate::Cinder;

const KEYS: [&str; 7] =
    ["backup_gigabytes", "backups", "gigabytes", "groups", "per_volume_gigabytes", "snapshots", "volumes"];

impl Cinder {
    async fn set(&self, set: Value) -> crate::Got {
        self.put(&format!("/os-quota-sets/{}", self.project), json!({ "quota_set": set })).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_set_has_a_ceiling_for_everything_and_for_every_type() {
    let c = Cinder::start().await;
    c.post("/types", json!({ "volume_type": { "name": "fast" } })).await;
    let at = format!("/os-quota-sets/{}", c.project);
    let mut keys: Vec<String> = KEYS.iter().map(|k| k.to_string()).collect();
    for of in ["fast", "__DEFAULT__"] {
        keys.extend(["gigabytes", "snapshots", "volumes"].map(|k| format!("{k}_{of}")));
    }
    keys.sort();
    let got = c.set(json!({ "volumes": 7, "gigabytes_fast": "3" })).await;
    assert_eq!((got.status, got.keys("quota_set")), (200, keys.iter().map(String::as_str).collect()));
    let set = &got.body["quota_set"];
    assert_eq!((&set["volumes"], &set["gigabytes_fast"], &set["groups"]), (&json!(7), &json!(3), &json!(-1)));
    keys.push("id".into());
    keys.sort();
    let shown = c.get(&at).await;
    assert_eq!(shown.keys("quota_set"), keys.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(shown.body["quota_set"]["id"], c.project);
    c.volume(json!({ "size": 2, "volume_type": "fast" })).await;
    let used = c.get(&format!("{at}?usage=True")).await.body;
    let of = |key: &str| used["quota_set"][key].clone();
    assert_eq!(of("volumes"), json!({ "limit": 7, "in_use": 1, "reserved": 0, "allocated": 0 }));
    assert_eq!(of("gigabytes_fast"), json!({ "limit": 3, "in_use": 2, "reserved": 0, "allocated": 0 }));
    assert_eq!(of("volumes___DEFAULT__")["in_use"], 0);
    let limits = c.get("/limits").await.body["limits"]["absolute"].clone();
    assert_eq!((&limits["maxTotalVolumes"], &limits["totalGigabytesUsed"]), (&json!(7), &json!(2)));
    assert_eq!(limits.as_object().unwrap().len(), 10);
    let defaults = c.get(&format!("{at}/defaults")).await;
    assert_eq!(defaults.body["quota_set"]["volumes"], -1);
    let deleted = c.delete(&at).await;
    assert_eq!((deleted.status, deleted.body), (200, Value::Null));
    assert_eq!(c.get(&at).await.body["quota_set"]["volumes"], -1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_a_ceiling_is_refused_in_cinders_sentences() {
    let c = Cinder::start().await;
    c.post("/types", json!({ "volume_type": { "name": "fast" } })).await;
    c.set(
        json!({ "volumes": 2, "gigabytes": 6, "snapshots": 1, "per_volume_gigabytes": 3, "volumes_fast": 0 }),
    )
    .await;
    let v = c.volume(json!({ "size": 2 })).await;
    let id = v["id"].as_str().unwrap();
    let refused = async |path: &str, body: Value, text: &str| {
        let got = c.post(path, body).await;
        let retry = got.headers.get("retry-after").cloned();
        let (status, key, message) = got.error();
        assert_eq!((status, key.as_str()), (413, "overLimit"), "{message}");
        assert_eq!(message, text);
        assert_eq!(retry.unwrap(), "0");
    };
    let volume = |size: u64| json!({ "volume": { "size": size } });
    let size = "VolumeSizeExceedsLimit: Requested volume size 4G is larger than maximum allowed limit 3G.";
    refused("/volumes", volume(4), size).await;
    let fast = json!({ "volume": { "size": 1, "volume_type": "fast" } });
    let none =
        "VolumeLimitExceeded: Maximum number of volumes allowed (0) exceeded for quota 'volumes_fast'.";
    refused("/volumes", fast, none).await;
    let snapshot = json!({ "snapshot": { "volume_id": id } });
    let s = c.post("/snapshots", snapshot.clone()).await.body["snapshot"]["id"].as_str().unwrap().to_string();
    c.until(&format!("/snapshots/{s}"), "snapshot", "status", "available").await;
    let large = "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. \
                 Requested 3G, quota is 6G and 4G has been consumed.";
    refused("/volumes", volume(3), large).await;
    let extend = format!("/volumes/{id}/action");
    refused(&extend, json!({ "os-extend": { "new_size": 4 } }), size).await;
    let many = "SnapshotLimitExceeded: Maximum number of snapshots allowed (1) exceeded";
    refused("/snapshots", snapshot, many).await;
    c.volume(json!({ "size": 1 })).await;
    let third = "VolumeLimitExceeded: Maximum number of volumes allowed (2) exceeded for quota 'volumes'.";
    refused("/volumes", volume(1), third).await;
    let below = c.set(json!({ "volumes": 1 })).await.error();
    let text = "Quota volumes limit must be equal or greater than existing resources. Current usage is 2 and the \
                requested limit is 1.";
    assert_eq!((below.0, below.2.as_str()), (400, text));
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_hold_for_projects_without_their_own_and_nonsense_is_refused() {
    let c = Cinder::start().await;
    let class = "/os-quota-class-sets/default";
    let set = |volumes: Value| json!({ "quota_class_set": { "volumes": volumes } });
    let got = c.put(class, set(json!(0))).await;
    assert_eq!((got.status, got.body["quota_class_set"].get("id")), (200, None), "no id in this answer");
    assert_eq!(c.get(class).await.body["quota_class_set"]["id"], "default");
    assert_eq!(c.post("/volumes", json!({ "volume": { "size": 1 } })).await.status, 413);
    c.set(json!({ "volumes": -1 })).await;
    c.volume(json!({ "size": 1 })).await;
    let own = |set: Value| (format!("/os-quota-sets/{}", c.project), json!({ "quota_set": set }));
    let table = [
        (own(json!({ "volums": 1 })), "Invalid input received: Bad key(s) in quota set: volums"),
        (own(json!({ "volumes": -2 })), "volumes must be >= -1"),
        (own(json!({ "volumes": 1u64 << 40 })), "volumes must be <= 2147483647"),
        (own(json!({ "volumes": "many" })), "volumes must be an integer"),
        (own(json!({ "volumes": null })), "volumes must be an integer"),
        (own(json!({})), "Invalid input for field/attribute quota_set"),
        ((class.to_string(), set(json!([]))), "volumes must be an integer"),
        ((class.to_string(), json!({ "quota_class_set": 3 })), "is not of type 'object'"),
    ];
    for ((path, body), text) in table {
        let got = c.put(&path, body).await.error();
        assert_eq!((got.0, got.2.contains(text)), (400, true), "{}", got.2);
    }
    let old = [("x-auth-token", c.token.as_str()), ("openstack-api-version", "volume 3.38")];
    let other = format!("/volume/v3/limits?project_id={}", "0".repeat(32));
    let own =
        c.raw(Method::GET, &other, &old, "").await.body["limits"]["absolute"]["totalVolumesUsed"].clone();
    assert_eq!(own, 1, "before 3.39 the project in the query is not looked at");
}
