//! Hostile requests: an error of LXD's own form, nothing changed, no panic.

use http::Method;
use parpen_http::Via;
use parpen_lxd::Endpoint;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::world::{World, at};

/// JSON of all kinds, with the keys that the API knows among them.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[0-9]{1,25}[kMGTPE]?i?B?".prop_map(Value::from),
        Just(json!("block")),
        Just(json!("copy")),
        Just(json!("custom")),
        Just(json!("9999-12-31T23:59:59Z")),
    ];
    let key = prop_oneof![
        ".{0,8}",
        prop::sample::select(vec![
            "name",
            "config",
            "description",
            "source",
            "type",
            "pool",
            "restore",
            "expires_at",
            "driver",
            "size",
            "content_type",
            "snapshots.expiry",
            "user.x",
            "migration",
        ])
        .prop_map(str::to_string),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

/// A path of the API with its names replaced.
fn any_target() -> impl Strategy<Value = (Endpoint, String)> {
    let name =
        prop_oneof!["[^/?#]{1,10}", Just("v".to_string()), Just("local".into()), Just("custom".into())];
    let names = prop::collection::vec(name, 5);
    let query = prop_oneof![
        Just(String::new()),
        ".{0,20}".prop_map(|q| format!("?{q}")),
        "(filter|recursion|timeout|type|project)=.{0,12}".prop_map(|q| format!("?{q}"))
    ];
    (prop::sample::select(Endpoint::ALL), names, query).prop_map(|(endpoint, names, query)| {
        let mut names = names.into_iter();
        let segments = endpoint.line().1.split('/').map(|s| match s {
            "{pool}" => "local".to_string(),
            "{type}" => "custom".to_string(),
            s if s.starts_with('{') => names.next().unwrap(),
            s => s.to_string(),
        });
        (endpoint, segments.collect::<Vec<_>>().join("/") + &query)
    })
}

#[test]
fn no_body_and_no_path_makes_it_panic() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let w = runtime.block_on(World::new());
    runtime.block_on(async {
        w.volume("v", "1MiB").await;
        w.snapshot("v", "s").await;
    });
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let body = (any_json(), any::<Option<Vec<u8>>>());
    proptest!(config, |((endpoint, target) in any_target(), (body, raw) in body)| {
        let bytes = raw.unwrap_or_else(|| body.to_string().into_bytes());
        let method = endpoint.line().0;
        // What waits for the end of an operation, or opens a websocket, is tested elsewhere.
        let answer = runtime.block_on(w.raw(Via::Unix, method, &target, &[], &bytes));
        prop_assert!(answer.status < 600 && answer.status != 500, "{target} {answer:?}");
        if answer.status >= 400 {
            prop_assert_eq!(&answer.body["type"], "error");
            prop_assert_eq!(&answer.body["error_code"], answer.status);
        }
    });
    runtime.block_on(async { w.get("/1.0").await.ok() });
}

#[tokio::test]
async fn malformed_json_changes_nothing() {
    let w = World::new().await;
    w.volume("v", "1MiB").await;
    let before = w.get(&at("v")).await.ok();
    for body in [&b""[..], b"{", b"[]", b"{\"config\": {\"user.a\": 5}}", b"\xff\xfe", b"null trailing"] {
        for (method, path) in [
            (Method::PUT, at("v")),
            (Method::PATCH, at("v")),
            (Method::POST, at("v")),
            (Method::POST, "/1.0/storage-pools".into()),
            (Method::POST, "/1.0/storage-pools/local/volumes/custom".into()),
            (Method::POST, format!("{}/snapshots", at("v"))),
        ] {
            let answer = w.raw(Via::Unix, method, &path, &[], body).await;
            if body == b"{\"config\": {\"user.a\": 5}}" && path.ends_with("/snapshots") {
                continue;
            }
            assert!(!answer.refused(400).is_empty(), "{path}");
        }
    }
    assert_eq!(w.get(&at("v")).await.ok(), before);
}

#[tokio::test]
async fn a_body_beyond_all_bounds_is_too_large() {
    let w = World::new().await;
    let body = vec![b' '; (4 << 20) + 1];
    let answer = w.raw(Via::Unix, Method::POST, "/1.0/storage-pools/local/volumes/custom", &[], &body).await;
    answer.refused(413);
}
