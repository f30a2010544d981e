//! Who may come in, and what the door itself answers.

use http::Method;
use parpen_http::{Api, Via};
use parpen_lxd::{Endpoint, Lxd};
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn over_tcp_there_is_only_the_door() {
    let w = World::new().await;
    let tcp = |method: Method, path: String| {
        let w = &w;
        async move { w.raw(Via::Tcp("127.0.0.1:1".parse().unwrap()), method, &path, &[], b"").await }
    };
    assert_eq!(tcp(Method::GET, "/".into()).await.ok(), json!(["/1.0"]));
    let server = tcp(Method::GET, "/1.0".into()).await.ok();
    assert_eq!((&server["auth"], server.get("environment")), (&json!("untrusted"), None));
    for endpoint in Endpoint::ALL {
        let (method, path) = endpoint.line();
        if matches!(endpoint, Endpoint::Root | Endpoint::ServerGet) {
            continue;
        }
        assert_eq!(tcp(method, path.to_string()).await.refused(403), "not authorized", "{endpoint:?}");
    }
}

#[tokio::test]
async fn the_socket_is_trusted() {
    let w = World::new().await;
    assert_eq!(w.get("/").await.ok(), json!(["/1.0"]));
    let server = w.get("/1.0").await.ok();
    assert_eq!((&server["auth"], &server["api_version"]), (&json!("trusted"), &json!("1.0")));
    assert_eq!(server["environment"]["server_version"], "1.2.3");
    assert_eq!(server["environment"]["server_clustered"], false);
    let extensions: Vec<&str> =
        server["api_extensions"].as_array().unwrap().iter().map(|e| e.as_str().unwrap()).collect();
    assert!(extensions.contains(&"storage") && extensions.contains(&"custom_block_volumes"));
    // These turn answers into 202, which older clients do not expect.
    assert!(!extensions.iter().any(|e| e.ends_with("_operations")));
}

#[tokio::test]
async fn what_is_not_there_is_said_in_lxds_form() {
    let w = World::new().await;
    for path in ["/1.0/nothere", "/1.0/storage-pools/", "/1.0/storage-pools/local/volumes/custom/"] {
        assert_eq!(w.get(path).await.refused(404), "not found", "{path}");
    }
    assert_eq!(w.send(Method::HEAD, "/1.0/storage-pools/local", Value::Null).await.status, 501);
    assert_eq!(w.post("/1.0/storage-pools/local", json!({})).await.refused(501), "not implemented");
    let options = w.send(Method::OPTIONS, "/1.0/storage-pools/local", Value::Null).await;
    assert_eq!((options.status, options.body), (200, Value::Null));
    for endpoint in Lxd::ENDPOINTS.iter().filter(|e| !e.is_built()) {
        let (method, path) = endpoint.line();
        assert_eq!(w.send(method, path, json!({})).await.refused(501), "not implemented", "{endpoint:?}");
    }
    for (path, text) in [
        ("instances/i", "Instance not found"),
        ("containers/i", "Instance not found"),
        ("profiles/p", "Profile not found"),
        ("certificates/c", "Certificate not found"),
        ("warnings/w", "Warning not found"),
    ] {
        assert_eq!(w.get(&format!("/1.0/{path}")).await.refused(404), text);
    }
    for list in ["instances", "containers", "virtual-machines", "profiles", "certificates", "warnings"] {
        assert_eq!(w.get(&format!("/1.0/{list}?recursion=1")).await.ok(), json!([]));
    }
}

#[tokio::test]
async fn there_is_one_project() {
    let w = World::new().await;
    w.volume("v", "1MiB").await;
    assert_eq!(w.get("/1.0/projects").await.ok(), json!(["/1.0/projects/default"]));
    let all = w.get("/1.0/projects?recursion=1").await.ok();
    assert_eq!(all[0]["used_by"], json!([crate::world::at("v")]));
    assert_eq!(w.get("/1.0/projects/default").await.ok(), all[0]);
    w.get("/1.0/projects/nope").await.refused(404);
    w.get("/1.0/storage-pools?project=default").await.ok();
    let text = w.get("/1.0/storage-pools?project=nope").await.refused(404);
    assert_eq!(text, "Failed to load project \"nope\": Project not found");
    w.get("/1.0/storage-pools?target=none").await.ok();
    w.get("/1.0/storage-pools?target=other").await.refused(400);
}

#[tokio::test]
async fn envelopes_are_those_of_lxd_to_the_letter() {
    // As recorded from LXD 5.0.2; the order of keys too.
    let w = World::new().await;
    let sync = r#"{"type":"sync","status":"Success","status_code":200,"operation":"","#.to_string()
        + r#""error_code":0,"error":"","metadata":["/1.0"]}"#;
    assert_eq!(w.get("/").await.body.to_string(), sync);
    let error = r#"{"type":"error","status":"","status_code":0,"operation":"","#.to_string()
        + r#""error_code":404,"error":"not found","metadata":null}"#;
    assert_eq!(w.get("/1.0/nothere").await.body.to_string(), error);
    w.volume("v", "1MiB").await;
    let answer = w.post(&format!("{}/snapshots", crate::world::at("v")), json!({ "name": "s" })).await;
    let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let envelope = "type status status_code operation error_code error metadata";
    let operation = "id class description created_at updated_at status status_code resources metadata \
                     may_cancel err location";
    assert_eq!(keys(&answer.body), envelope);
    assert_eq!(keys(&answer.body["metadata"]), operation);
    let volume = "config description name type used_by location content_type project created_at";
    assert_eq!(keys(&w.get(&crate::world::at("v")).await.ok()), volume);
    let pool = "config description name driver used_by status locations managed";
    assert_eq!(keys(&w.get("/1.0/storage-pools/local").await.ok()), pool);
    w.wait(answer).await;
    let snapshot = "description expires_at name config content_type created_at";
    let one = format!("{}/snapshots/s", crate::world::at("v"));
    assert_eq!(keys(&w.get(&one).await.ok()), snapshot);
}
