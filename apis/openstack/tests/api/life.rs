use http::Method;
use serde_json::{Value, json};

use crate::Cinder;

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_lives_and_goes() {
    let c = Cinder::start().await;
    let v = c.volume(json!({ "size": 1, "name": "books", "metadata": { "a": "1" } })).await;
    let path = format!("/volumes/{}", v["id"].as_str().unwrap());
    assert_eq!(v["os-vol-tenant-attr:tenant_id"], c.project);
    let got = c.call(Method::PUT, &path, json!({ "volume": { "name": "b2", "description": "d" } })).await;
    assert_eq!((got.status, &got.body["volume"]["name"]), (200, &json!("b2")));
    assert_eq!(got.body["volume"]["metadata"], json!({ "a": "1" }), "what is not named stays");
    let got = c.post(&format!("{path}/action"), json!({ "os-extend": { "new_size": 3 } })).await;
    assert_eq!(got.status, 202, "{}", got.body);
    let v = c.until(&path, "volume", "status", "available").await;
    assert_eq!((v["size"].as_u64(), v["description"].as_str()), (Some(3), Some("d")));
    let got = c.post(&format!("{path}/action"), json!({ "os-extend": { "new_size": 2 } })).await;
    assert_eq!(got.error().1, "badRequest");
    assert_eq!(c.call(Method::DELETE, &path, Value::Null).await.status, 202);
    c.until_gone(&path).await;
    assert_eq!(c.call(Method::DELETE, &path, Value::Null).await.error().1, "itemNotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_hold_their_volume_and_clones_come_of_them() {
    let c = Cinder::start().await;
    let v = c.volume(json!({ "size": 1, "name": "books" })).await;
    let volume = format!("/volumes/{}", v["id"].as_str().unwrap());
    let wire = json!({ "snapshot": { "volume_id": v["id"], "name": "monday", "force": true } });
    let got = c.post("/snapshots", wire).await;
    assert_eq!((got.status, &got.body["snapshot"]["volume_id"]), (202, &v["id"]));
    assert!(got.body["snapshot"].get("os-extended-snapshot-attributes:progress").is_none());
    let path = format!("/snapshots/{}", got.body["snapshot"]["id"].as_str().unwrap());
    let s = c.until(&path, "snapshot", "status", "available").await;
    assert_eq!(s["os-extended-snapshot-attributes:progress"], "100%");
    let refused = c.call(Method::DELETE, &volume, Value::Null).await.error();
    assert!(refused.0 == 400 && refused.2.contains("monday"), "{refused:?}");
    let clone = c.volume(json!({ "size": 2, "snapshot_id": s["id"] })).await;
    assert_eq!(clone["snapshot_id"], s["id"]);
    let copy = c.volume(json!({ "size": 1, "source_volid": v["id"] })).await;
    assert_eq!(copy["source_volid"], v["id"]);
    let small = json!({ "volume": { "size": 1, "source_volid": clone["id"] } });
    assert_eq!(c.post("/volumes", small).await.error().0, 400, "smaller than what it is made from");
    let got = c.post(&format!("{volume}/action"), json!({ "revert": { "snapshot_id": s["id"] } })).await;
    assert_eq!(got.status, 202, "{}", got.body);
    c.until(&volume, "volume", "status", "available").await;
    let list = c.get(&format!("/snapshots/detail?volume_id={}", v["id"].as_str().unwrap())).await;
    assert_eq!(list.body["snapshots"].as_array().unwrap().len(), 1);
    assert_eq!(c.call(Method::DELETE, &format!("{volume}?cascade=True"), Value::Null).await.status, 202);
    c.until_gone(&volume).await;
    c.until_gone(&path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_merged_replaced_and_dropped_key_by_key() {
    let c = Cinder::start().await;
    let v = c.volume(json!({ "size": 1, "metadata": { "a": "1", "b": "2" } })).await;
    let path = format!("/volumes/{}/metadata", v["id"].as_str().unwrap());
    let got = c.post(&path, json!({ "metadata": { "b": "3", "c": "4" } })).await;
    assert_eq!(got.body, json!({ "metadata": { "a": "1", "b": "3", "c": "4" } }));
    assert_eq!(c.call(Method::DELETE, &format!("{path}/a"), Value::Null).await.status, 200);
    assert_eq!(c.call(Method::DELETE, &format!("{path}/a"), Value::Null).await.error().0, 404);
    assert_eq!(c.get(&format!("{path}/b")).await.body, json!({ "meta": { "b": "3" } }));
    let one = c.call(Method::PUT, &format!("{path}/d"), json!({ "meta": { "d": "5" } })).await;
    assert_eq!(one.body, json!({ "meta": { "d": "5" } }));
    let other = c.call(Method::PUT, &format!("{path}/d"), json!({ "meta": { "e": "5" } })).await;
    assert_eq!(other.error().0, 400);
    let got = c.call(Method::PUT, &path, json!({ "metadata": { "z": "9" } })).await;
    assert_eq!(got.body, json!({ "metadata": { "z": "9" } }));
    assert_eq!(c.get(&path).await.body, json!({ "metadata": { "z": "9" } }));
}

fn names(list: &Value) -> Vec<&str> {
    list["volumes"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_ordered_and_paged() {
    let c = Cinder::start().await;
    for (name, size) in [("a", 3), ("b", 1), ("c", 2), ("a", 1)] {
        c.volume(json!({ "name": name, "size": size, "metadata": { "of": name } })).await;
    }
    assert_eq!(names(&c.get("/volumes").await.body), ["a", "c", "b", "a"], "the newest first");
    assert_eq!(names(&c.get("/volumes/detail?sort=name:asc,size:asc").await.body), ["a", "a", "b", "c"]);
    assert_eq!(names(&c.get("/volumes?sort_key=size&sort_dir=desc").await.body)[..2], ["a", "c"]);
    assert_eq!(names(&c.get("/volumes/detail?name=a&all_tenants=True").await.body), ["a", "a"]);
    assert_eq!(names(&c.get("/volumes?metadata=%7B%27of%27%3A+%27b%27%7D").await.body), ["b"]);
    assert_eq!(names(&c.get("/volumes?status=error").await.body), [""; 0]);
    // Every page's link is followed as it is, until there is none.
    let project = c.project.clone();
    let mut path = format!("/{project}/volumes?limit=3");
    let mut seen = Vec::new();
    loop {
        let body = c.get(&path).await.body;
        seen.extend(names(&body).iter().map(|n| n.to_string()));
        let Some(next) = body["volumes_links"][0]["href"].as_str() else { break };
        path = next.strip_prefix("http://h:1/volume/v3").expect("links are absolute").to_string();
    }
    assert_eq!(seen, ["a", "c", "b", "a"]);
    let last = c.get("/volumes?sort=name:asc").await.body["volumes"][3]["id"].as_str().unwrap().to_string();
    let after = c.get(&format!("/volumes?sort=name:asc&marker={last}&limit=2")).await.body;
    assert_eq!(after, json!({ "volumes": [] }), "after the last there is an empty page");
    assert_eq!(c.get("/volumes?marker=none").await.error().0, 404);
    for wrong in ["limit=-1", "limit=x", "offset=-1", "sort=name:up"] {
        assert_eq!(c.get(&format!("/volumes?{wrong}")).await.error().0, 400, "{wrong}");
    }
    assert_eq!(c.get("/volumes?limit=1&with_count=True").await.body["count"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_may_be_borne_twice() {
    let c = Cinder::start().await;
    let (one, two) = (
        c.volume(json!({ "size": 1, "name": "x" })).await,
        c.volume(json!({ "size": 1, "name": "x" })).await,
    );
    assert_ne!(one["id"], two["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_house_is_described() {
    let c = Cinder::start().await;
    c.volume(json!({ "size": 2 })).await;
    let limits = c.get("/limits").await.body["limits"]["absolute"].clone();
    assert_eq!(limits.as_object().unwrap().len(), 10);
    assert_eq!(
        (limits["totalVolumesUsed"].as_u64(), limits["totalGigabytesUsed"].as_u64()),
        (Some(1), Some(2))
    );
    let quota = c.get(&format!("/os-quota-sets/{}?usage=True", c.project)).await.body["quota_set"].clone();
    assert_eq!(quota["volumes"], json!({ "limit": -1, "in_use": 1, "reserved": 0, "allocated": 0 }));
    let services = c.get("/os-services?binary=cinder-volume").await.body["services"].clone();
    assert_eq!(services.as_array().unwrap().len(), 2, "one a pool");
    assert_eq!(services[0]["state"], "up");
    let pools = c.get("/scheduler-stats/get_pools").await.body["pools"].clone();
    assert_eq!(pools[0], json!({ "name": "parpen@local#local" }), "without detail, the name only");
    let detail = c.get("/scheduler-stats/get_pools?detail=True").await.body["pools"].clone();
    assert_eq!(detail[0]["capabilities"]["total_capacity_gb"], 8.0);
    assert_eq!(c.get("/os-availability-zone").await.body["availabilityZoneInfo"][0]["zoneName"], "nova");
    let default = c.get("/types/default").await.body["volume_type"].clone();
    let shown =
        c.get(&format!("/types/{}", default["id"].as_str().unwrap())).await.body["volume_type"].clone();
    assert_eq!((&shown, default["name"].as_str()), (&default, Some("__DEFAULT__")));
    assert_eq!(c.get("/types/__DEFAULT__").await.error().0, 404, "a name is looked up through the list");
    let summary = c.get("/volumes/summary").await.body["volume-summary"].clone();
    assert_eq!(summary, json!({ "total_size": 2, "total_count": 1, "metadata": {} }));
}
