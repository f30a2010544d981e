//! Storage pools.

use http::Method;
use parpen_http::Via;
use serde_json::{Value, json};

use crate::world::World;

const POOLS: &str = "/1.0/storage-pools";

#[tokio::test]
async fn the_first_pools_are_shown() {
    let w = World::new().await;
    assert_eq!(w.get(POOLS).await.ok(), json!(["/1.0/storage-pools/dummy", "/1.0/storage-pools/local"]));
    let all = w.get(&format!("{POOLS}?recursion=1")).await.ok();
    assert_eq!(
        (&all[0]["name"], &all[0]["driver"], &all[0]["status"]),
        (&json!("dummy"), &json!("dir"), &json!("Created"))
    );
    assert_eq!(all[1]["locations"], json!(["none"]));
    let resources = w.get(&format!("{POOLS}/local/resources")).await.ok();
    assert_eq!(resources["space"], json!({ "used": 1u64 << 30, "total": 100u64 << 30 }));
    assert_eq!(resources["inodes"], json!({ "used": 0, "total": 0 }));
}

#[tokio::test]
async fn a_pool_lives_through_all_its_verbs() {
    let w = World::new().await;
    let made =
        w.post(POOLS, json!({ "name": "d1", "driver": "dir", "description": "first", "config": {} })).await;
    assert_eq!((made.status, made.header("location").as_str()), (201, "/1.0/storage-pools/d1"));
    assert_eq!((&made.body["status_code"], &made.body["metadata"]), (&json!(200), &Value::Null));
    let d1 = format!("{POOLS}/d1");
    let text = w.post(POOLS, json!({ "name": "d1", "driver": "dir" })).await.refused(409);
    assert!(text.contains("already exists"), "{text}");

    let config = w.get(&d1).await.ok()["config"].clone();
    let mut with_key = config.clone();
    with_key["user.k"] = json!("v");
    assert_eq!(w.put(&d1, json!({ "description": "put", "config": with_key })).await.ok(), json!({}));
    assert_eq!(w.patch(&d1, json!({ "config": { "user.b": "2", "user.k": "" } })).await.ok(), json!({}));
    let pool = w.get(&d1).await.ok();
    assert_eq!(
        (&pool["description"], &pool["managed"]),
        (&json!("put"), &json!(true)),
        "PATCH keeps the description"
    );
    assert_eq!((&pool["config"]["user.b"], &pool["config"]["user.k"]), (&json!("2"), &Value::Null));
    assert_eq!(w.put(&d1, json!({ "config": {} })).await.ok(), json!({}));
    assert_eq!(w.get(&d1).await.ok()["config"], config, "what the pool is made of stays");

    w.put(&d1, json!({ "config": { "bogus": "1" } })).await.refused(400);
    w.put(&d1, json!({ "config": { "source": "/elsewhere" } })).await.refused(400);
    w.patch(&d1, json!({ "config": { "size": "1GiB" } })).await.refused(501);
    w.post(&d1, json!({ "name": "dd" })).await.refused(501);

    w.post(&format!("{d1}/volumes/custom"), json!({ "name": "v", "config": {} })).await.ok();
    assert_eq!(w.get(&d1).await.ok()["used_by"], json!(["/1.0/storage-pools/d1/volumes/custom/v"]));
    let text = w.delete(&d1).await.refused(400);
    assert!(text.contains("currently in use"), "pylxd looks for it: {text}");
    w.delete(&format!("{d1}/volumes/custom/v")).await.ok();
    assert_eq!(w.delete(&d1).await.ok(), json!({}));
    assert_eq!(w.get(&d1).await.refused(404), "Storage pool not found");
}

#[tokio::test]
async fn aliased_drivers_show_their_own_keys() {
    let w = World::new().await;
    for (driver, key, value) in
        [("zfs", "zfs.pool_name", "p-zfs"), ("lvm", "lvm.vg_name", "p-lvm"), ("btrfs", "size", "9GiB")]
    {
        let name = format!("p-{driver}");
        let made =
            w.post(POOLS, json!({ "name": name, "driver": driver, "config": { "size": "9GiB" } })).await;
        assert_eq!(made.status, 201, "{made:?}");
        let pool = w.get(&format!("{POOLS}/{name}")).await.ok();
        assert_eq!((&pool["driver"], &pool["config"][key]), (&json!(driver), &json!(value)));
    }
    let foreign = json!({ "name": "x", "driver": "dir", "config": { "zfs.pool_name": "tank" } });
    assert_eq!(w.post(POOLS, foreign).await.refused(400), "Invalid option \"zfs.pool_name\"");
    let tank = json!({ "name": "x", "driver": "zfs", "config": { "source": "tank" } });
    w.post(POOLS, tank).await.refused(501);
}

#[tokio::test]
async fn a_stale_version_is_refused() {
    let w = World::new().await;
    let d = format!("{POOLS}/local");
    let hash = w.get(&d).await.header("etag");
    let put = |hash: String, text: &'static str| {
        let body = json!({ "description": text }).to_string();
        let (w, d) = (&w, &d);
        async move { w.raw(Via::Unix, Method::PUT, d, &[("if-match", &hash)], body.as_bytes()).await }
    };
    let text = put("\"0000\"".into(), "x").await.refused(412);
    assert_eq!(text, format!("ETag doesn't match: {} vs 0000", hash.trim_matches('"')));
    put(hash.clone(), "y").await.ok();
    assert_eq!(w.get(&d).await.ok()["description"], "y");
}
