//! A member of another project: what is not his he cannot see, cannot guess and cannot touch, by any operation.
//!
//! Names of this API are unique within a pool over all projects: that one is taken is all that is ever told.

use http::Method;
use parpen_cern::Endpoint;
use parpen_identity::Role;
use parpen_model::Api;
use serde_json::{Value, json};

use crate::house::people::person;
use crate::world::{World, basic, told};

async fn enter(w: &World, name: &str) -> String {
    let secret = person(&w.house.ports, name, Role::Member, Api::Cern).await.secret;
    let reply = w.raw(Method::GET, "/login_basic", &[("authorization", &basic(name, &secret))], b"").await;
    let cookie = reply.headers["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_string()
}

async fn send(w: &World, cookie: &str, method: Method, path: &str, body: &str) -> (u16, Value) {
    told(w.raw(method, path, &[("cookie", cookie), ("host", "filer.example:7475")], body.as_bytes()).await)
}

/// Bodies that name what a project has, for the operations that take some.
fn bodies(endpoint: Endpoint, volume: &str) -> Vec<Value> {
    match endpoint {
        Endpoint::VolumeMake => vec![
            json!({ "from_volume": volume, "from_snapshot": "kept" }),
            json!({ "from_snapshot": "kept" }),
        ],
        Endpoint::VolumeChange => vec![json!({ "size_total": 4 << 20 }), json!({ "comment": "mine" })],
        Endpoint::SnapshotMake => vec![json!({}), json!({ "purge_old_if_needed": true })],
        _ => vec![Value::Null],
    }
}

/// Every operation about a volume of this name.
fn calls(volume: &str) -> Vec<(Endpoint, Method, String, String)> {
    let mut all = Vec::new();
    for endpoint in Endpoint::ALL {
        let (method, pattern) = endpoint.pattern();
        let pattern = pattern.replace("{subsystem}", "local").replace("{role}", "ADMIN_ROLE");
        for part in ["kept", "new"] {
            let path =
                pattern.replace("{volume}", volume).replace("{snapshot}", part).replace("{host}", "node-1");
            for body in bodies(*endpoint, volume) {
                let body = if body.is_null() { String::new() } else { body.to_string() };
                all.push((*endpoint, Method::from_bytes(method.as_bytes()).unwrap(), path.clone(), body));
            }
        }
    }
    all
}

/// All that the owner sees of what is his.
async fn picture(w: &World, cookie: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for path in ["", "/theirs", "/theirs/snapshots", "/theirs/locks"] {
        let (status, document) = send(w, cookie, Method::GET, &format!("/v3/local/volumes{path}"), "").await;
        assert_eq!(status, 200, "{path}: {document}");
        all.push(document);
    }
    all
}

#[tokio::test]
async fn nobody_sees_guesses_or_touches_what_another_project_has() {
    let w = World::new().await;
    let (owner, stranger) = (enter(&w, "owner").await, enter(&w, "stranger").await);
    let at = "/v3/local/volumes/theirs";
    let make = async |method: Method, path: String, body: &str| {
        let (status, document) = send(&w, &owner, method, &path, body).await;
        assert_eq!(status, 201, "{path}: {document}");
    };
    make(Method::POST, at.into(), &json!({ "size_total": 2 << 20 }).to_string()).await;
    make(Method::POST, format!("{at}/snapshots/kept"), "{}").await;
    make(Method::PUT, format!("{at}/locks/node-1"), "").await;

    let before = picture(&w, &owner).await;
    let (mut faults, mut shown) = (Vec::new(), 0);
    for (real, made_up) in calls("theirs").into_iter().zip(calls("absent")) {
        let (endpoint, method, path, body) = real;
        if matches!(endpoint, Endpoint::Logout | Endpoint::LoginBasic) {
            continue;
        }
        let (status, got) = send(&w, &stranger, method.clone(), &path, &body).await;
        let (other, guessed) = send(&w, &stranger, made_up.1, &made_up.2, &made_up.3).await;
        if status < 400 && got.to_string().contains("theirs") {
            faults.push(format!("{endpoint:?} {body} tells {status} {got}"));
        }
        if (status, got.to_string().replace("theirs", "absent")) != (other, guessed.to_string()) {
            faults.push(format!("{endpoint:?} {body} differs: {status} {got}, {other} {guessed}"));
        }
        if method == Method::GET {
            let (status, seen) = send(&w, &owner, method, &path, &body).await;
            shown += usize::from(status == 200 && seen != got);
        }
        if picture(&w, &owner).await != before {
            faults.push(format!("{endpoint:?} {body} touched it: {status} {got}"));
            break;
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(shown >= 5, "the owner sees what a stranger does not: {shown}");
}
