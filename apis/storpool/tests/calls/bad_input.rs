//! What is refused, and that nothing makes the service stumble.

use http::Method;
use parpen_storpool::{Endpoint, StorPool};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::world::World;
use crate::{GB, volume};

#[tokio::test]
async fn a_wrong_token_gets_this_apis_document() {
    let w = World::new().await;
    for auth in ["", "Storpool v1:1234567890123456789", "storpool v1:x", "Basic YTpi", "Storpool v1:"] {
        let (status, document) = w.raw(Method::GET, "/ctrl/1.0/VolumesList", auth, b"").await;
        assert_eq!((status, &document["error"]["name"]), (401, &json!("notAuthenticated")), "{auth}");
        assert!(document.get("data").is_none());
    }
}

// Refusals showed the generation 0 until a call had succeeded.
#[tokio::test]
async fn the_first_refusal_shows_a_generation() {
    let w = World::new().await;
    let (_, refused) = w.raw(Method::GET, "/ctrl/1.0/VolumesList", "", b"").await;
    let (_, list) = w.send(Method::GET, "VolumesList", b"").await;
    assert!(list["generation"].as_u64() > Some(0));
    assert_eq!(refused["generation"], list["generation"]);
}

#[tokio::test]
async fn bad_values_are_invalid_and_change_nothing() {
    let w = World::new().await;
    volume(&w, "v").await;
    let generation = |document: Value| document["generation"].as_u64().unwrap();
    let before = generation(w.send(Method::GET, "VolumesList", b"").await.1);
    let long = "x".repeat(1 << 20);
    let create = [
        json!({ "name": long, "size": GB }),
        json!({ "name": "list", "size": GB }),
        json!({ "name": "a@b", "size": GB }),
        json!({ "name": "a b", "size": GB }),
        json!({ "name": 7, "size": GB }),
        json!({ "name": "a", "size": 0 }),
        json!({ "name": "a", "size": 513 }),
        json!({ "name": "a", "size": -512 }),
        json!({ "name": "a", "size": "1e9" }),
        json!({ "name": "a", "size": 1.5 }),
        json!({ "name": "a", "size": u64::MAX - 511 }),
        json!({ "name": "a" }),
        json!({ "name": "a", "size": GB, "replication": 4 }),
        json!({ "name": "a", "size": GB, "bw": "fast" }),
        json!({ "name": "a", "size": GB, "bw": u64::MAX }),
        json!({ "name": "a", "parent": "s", "baseOn": "v" }),
        json!({ "name": "a", "size": GB, "tags": { "k": 1 } }),
        json!([]),
        json!("x"),
    ];
    let others = [
        ("VolumeUpdate/v", json!({ "size": GB, "sizeAdd": GB })),
        ("VolumeUpdate/v", json!({ "rename": "a/b" })),
        ("VolumeUpdate/v", json!({ "shrinkOk": "perhaps" })),
        ("VolumeDelete/v", json!({ "onAttached": "pray" })),
        ("VolumeSnapshot/v", json!({ "name": "a@b" })),
        ("VolumesReassign", json!({ "volume": "v" })),
        ("VolumesReassign", json!([{ "volume": "v", "rw": [0] }])),
        ("VolumesReassign", json!([{ "volume": "v", "rw": [4096] }])),
        ("VolumesReassign", json!([{ "volume": "v", "rw": [1], "ro": [1] }])),
        ("VolumesReassign", json!([{ "snapshot": "s", "rw": [1] }])),
        ("VolumesReassign", json!([{ "volume": "v", "snapshot": "s" }])),
        ("VolumesReassign", json!([{ "volume": "v", "detach": "some" }])),
        ("VolumesReassign", json!([7])),
        ("VolumesReassignWait", json!([])),
        ("VolumeRevert/v", json!({})),
        ("VolumeTemplateCreate", json!({})),
        ("VolumeTemplateCreate", json!({ "name": "a.b" })),
    ];
    let all = create.into_iter().map(|b| ("VolumeCreate", b)).chain(others);
    for (call, body) in all {
        let (name, descr) = w.refused(Method::POST, call, body.clone()).await;
        let shown: String = body.to_string().chars().take(80).collect();
        assert_eq!(name, "invalidParam", "{call} {shown}: {descr}");
        assert!(!descr.is_empty() && descr.len() < 1000, "{call} {shown}");
    }
    for bytes in [&b"{"[..], b"{\"name\": }", b"\xff\xfe", b"nul"] {
        let (status, document) = w.send(Method::POST, "VolumeCreate", bytes).await;
        assert_eq!((status, &document["error"]["name"]), (400, &json!("invalidParam")));
    }
    let (status, document) = w.send(Method::POST, "VolumeCreate", &vec![b' '; 5 << 20]).await;
    assert_eq!((status, &document["error"]["name"]), (413, &json!("invalidParam")));
    assert_eq!(generation(w.send(Method::GET, "VolumesList", b"").await.1), before);
}

#[tokio::test]
async fn what_is_missing_or_does_not_fit_has_its_own_name() {
    let w = World::new().await;
    volume(&w, "v").await;
    for (method, call, body, name) in [
        (Method::GET, "Volume/#none", Value::Null, "objectDoesNotExist"),
        (Method::GET, "Volume/~1.2.3", Value::Null, "objectDoesNotExist"),
        (Method::GET, "Snapshot/*none@1", Value::Null, "objectDoesNotExist"),
        (Method::GET, "Snapshot/v", Value::Null, "objectDoesNotExist"),
        (Method::GET, "PlacementGroupDescribe/none", Value::Null, "objectDoesNotExist"),
        (Method::GET, "ServerDisksList/2", Value::Null, "objectDoesNotExist"),
        (Method::POST, "VolumeCreate", json!({ "name": "a", "parent": "none" }), "objectDoesNotExist"),
        (Method::POST, "VolumeCreate", json!({ "name": "a", "baseOn": "none" }), "objectDoesNotExist"),
        (Method::POST, "VolumeCreate", json!({ "name": "a", "template": "none" }), "objectDoesNotExist"),
        (
            Method::POST,
            "VolumeCreate",
            json!({ "name": "a", "size": GB, "placeAll": "x" }),
            "objectDoesNotExist",
        ),
        (
            Method::POST,
            "VolumeCreate",
            json!({ "name": "a", "size": GB, "replication": 3, "placeAll": "hdd" }),
            "insufficientResources",
        ),
        (Method::POST, "VolumeUpdate/v", json!({ "template": "t" }), "notImplemented"),
        (Method::POST, "VolumeFreeze/v", Value::Null, "notImplemented"),
        (Method::GET, "Nonsense", Value::Null, "invalidCommand"),
        (Method::PUT, "VolumesList", Value::Null, "invalidCommand"),
    ] {
        assert_eq!(w.refused(method, call, body.clone()).await.0, name, "{call} {body}");
    }
    assert_eq!(w.get("VolumesList").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn every_call_answers_with_a_document() {
    let w = World::new().await;
    assert_eq!(<StorPool as parpen_http::Api>::ENDPOINTS, Endpoint::ALL);
    for endpoint in Endpoint::ALL {
        let (method, pattern) = endpoint.line();
        let call = pattern.replace(['{', '}'], "");
        let (status, document) = w.send(Method::from_bytes(method.as_bytes()).unwrap(), &call, b"").await;
        assert!(document["generation"].is_u64(), "{call}: {document}");
        match document.get("error") {
            None => assert!(status == 200 && document.get("data").is_some(), "{call}: {document}"),
            Some(e) => assert!(status >= 400 && e["name"] != "internalError", "{call}: {document}"),
        }
    }
}

fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9#*~@:._-]{0,8}".prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("v")),
        Just(json!("all")),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        let key = prop_oneof![
            Just("name"),
            Just("size"),
            Just("sizeAdd"),
            Just("parent"),
            Just("baseOn"),
            Just("template"),
            Just("placeAll"),
            Just("replication"),
            Just("bw"),
            Just("iops"),
            Just("tags"),
            Just("rename"),
            Just("volume"),
            Just("snapshot"),
            Just("detach"),
            Just("rw"),
            Just("ro"),
            Just("force"),
            Just("reassign"),
            Just("bind"),
            Just("onAttached"),
        ];
        let object = proptest::collection::vec((key.prop_map(str::to_string), inner.clone()), 0..6);
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Whatever is sent: a document with a status, no panic (which would be an `internalError`), and lists that
/// go on working.
#[test]
fn hostile_bodies_and_names_get_documents() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let w = runtime.block_on(async {
        let w = World::new().await;
        volume(&w, "v").await;
        w
    });
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let calls = proptest::sample::select(Endpoint::ALL);
    let input = (calls, "[a-zA-Z0-9#*~@:._%-]{1,12}|v", json_values());
    let outcome = TestRunner::new(config).run(&input, |(endpoint, name, body)| {
        let (method, pattern) = endpoint.line();
        let call = pattern.replace("{name}", &name).replace(['{', '}'], "");
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let body = body.to_string();
        let (status, document) = runtime.block_on(w.send(method, &call, body.as_bytes()));
        prop_assert!(document["error"]["name"] != "internalError", "{call} {body}: {document}");
        prop_assert!((status == 200) == document.get("data").is_some(), "{call} {body}: {document}");
        Ok(())
    });
    outcome.unwrap();
    for list in ["VolumesList", "SnapshotsList", "AttachmentsList", "VolumesGetStatus", "VolumeTemplatesList"]
    {
        runtime.block_on(w.get(list));
    }
}
