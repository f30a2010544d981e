use http::Method;
use serde_json::{Value, json};

use crate::Cinder;

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_cinders_documents_and_changes_nothing() {
    let c = Cinder::start().await;
    let before = c.house.ports.clone();
    let generation = parpen_service::projects::generation(&before).await.unwrap();
    let one = |size: Value| json!({ "volume": { "size": size } });
    let none = "00000000-0000-0000-0000-000000000001";
    let long = json!({ "volume": { "size": 1, "name": "x".repeat(256) } });
    let table = [
        ("/volumes", one(json!(-1)), 400, "badRequest", "Invalid input for field/attribute size"),
        ("/volumes", one(json!(999_999_999)), 413, "overLimit", "VolumeSizeExceedsAvailableQuota"),
        ("/volumes", json!({}), 400, "badRequest", "'volume' is a required property"),
        ("/volumes", json!([]), 400, "badRequest", "Malformed request body"),
        ("/volumes", long, 400, "badRequest", "too long"),
        ("/volumes", json!({ "volume": { "snapshot_id": none } }), 404, "itemNotFound", "could not be found"),
        ("/snapshots", json!({ "snapshot": { "volume_id": none } }), 404, "itemNotFound", "Volume"),
        ("/snapshots", json!({ "snapshot": {} }), 400, "badRequest", "volume_id"),
        ("/attachments", json!({ "attachment": { "volume_uuid": none } }), 404, "itemNotFound", "Volume"),
        ("/volumes/x/action", json!({ "os-dance": null }), 400, "badRequest", "no such action"),
        ("/volumes/x/action", json!({}), 400, "badRequest", "exactly one key"),
        ("/volumes/x/action", json!({ "os-extend": { "new_size": 2 } }), 404, "itemNotFound", "Volume x"),
        ("/volumes/x/action", json!({ "os-retype": {} }), 400, "badRequest", "new_type"),
        ("/backups", json!({ "backup": {} }), 400, "badRequest", "volume_id"),
    ];
    for (path, body, status, key, text) in table {
        let got = c.post(path, body).await.error();
        assert_eq!((got.0, got.1.as_str()), (status, key), "{path} {got:?}");
        assert!(got.2.contains(text), "{path} {got:?}");
    }
    let token = [("x-auth-token", c.token.as_str())];
    let malformed = c.raw(Method::POST, "/volume/v3/volumes", &token, "{\"volume\": {").await.error();
    assert_eq!((malformed.0, malformed.1.as_str()), (400, "badRequest"));
    let huge = format!("{{\"volume\": {{\"size\": 1, \"name\": \"{}\"}}}}", "x".repeat(1 << 20));
    let huge = c.raw(Method::POST, "/volume/v3/volumes", &token, &huge).await.error();
    assert_eq!((huge.0, huge.1.as_str()), (413, "overLimit"));
    assert_eq!(parpen_service::projects::generation(&before).await.unwrap(), generation, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_methods_versions_and_projects_that_do_not_fit_are_refused() {
    let c = Cinder::start().await;
    let token = ("x-auth-token", c.token.as_str());
    let table = [
        (Method::GET, "/volume/v3/nothing".to_string(), 404, "itemNotFound"),
        (Method::PATCH, "/volume/v3/volumes".to_string(), 404, "itemNotFound"),
        (Method::PUT, "/identity/v3/auth/tokens".to_string(), 405, "badMethod"),
        (Method::GET, "/volume/v3/0123456789abcdef0123456789abcdef/volumes".to_string(), 400, "badRequest"),
        (Method::GET, format!("/volume/v3/{}/volumes/books", c.project), 404, "itemNotFound"),
    ];
    for (method, path, status, key) in table {
        let got = c.raw(method, &path, &[token], "").await.error();
        assert_eq!((got.0, got.1.as_str()), (status, key), "{path}");
    }
    for (version, status) in [("volume 3.72", 406), ("volume 3.x", 400), ("volume latest", 200)] {
        let headers = [token, ("openstack-api-version", version)];
        let got = c.raw(Method::GET, "/volume/v3/volumes", &headers, "").await;
        assert_eq!(got.status, status, "{version}");
    }
    let got =
        c.raw(Method::GET, "/volume/v3/volumes", &[token, ("openstack-api-version", "volume 3.5")], "").await;
    assert_eq!(got.headers["openstack-api-version"], "volume 3.5");
    assert_eq!(got.headers["vary"], "OpenStack-API-Version");
}
