//! A member of another project: what is not his he cannot see, cannot guess and cannot touch, by any call.
//!
//! Names of this API are unique over all projects, as its clients expect: that one is taken is all that is ever told.

use http::Method;
use parpen_identity::Role;
use parpen_model::Api;
use parpen_storpool::Endpoint;
use serde_json::{Value, json};

use crate::people::person;
use crate::world::World;

/// What a project has here, as a client would name it.
#[derive(Clone)]
struct Names {
    volume: String,
    snapshot: String,
    held: String,
}

impl Names {
    fn of(begin: &str) -> Names {
        let name = |what: &str| format!("{begin}-{what}");
        Names { volume: name("volume"), snapshot: name("snapshot"), held: name("held") }
    }

    fn all(&self) -> [&str; 3] {
        [&self.volume, &self.snapshot, &self.held]
    }
}

/// Bodies that name what a project has, for the calls that take some.
fn bodies(endpoint: Endpoint, n: &Names) -> Vec<Value> {
    let (v, s, held) = (&n.volume, &n.snapshot, &n.held);
    match endpoint {
        Endpoint::VolumeCreate => vec![
            json!({ "name": "mine-1", "parent": s }),
            json!({ "name": "mine-2", "baseOn": v }),
            json!({ "name": "mine-3", "baseOn": held }),
        ],
        Endpoint::VolumeUpdate => vec![
            json!({ "rename": "mine" }),
            json!({ "sizeAdd": 1 << 30 }),
            json!({ "bw": 1024, "tags": { "k": "v" } }),
        ],
        Endpoint::SnapshotUpdate => vec![json!({ "rename": "mine" }), json!({ "bind": true })],
        Endpoint::VolumeDelete => vec![json!({}), json!({ "onAttached": "detachForce" })],
        Endpoint::VolumeRevert => vec![json!({ "toSnapshot": s })],
        Endpoint::VolumeSnapshot => vec![json!({ "name": "mine-snapshot" })],
        Endpoint::VolumeRebase | Endpoint::SnapshotRebase => vec![json!({}), json!({ "parentName": s })],
        Endpoint::VolumesGroupSnapshot => vec![json!({ "volumes": [{ "volume": v }, { "volume": held }] })],
        Endpoint::VolumesReassign | Endpoint::VolumesReassignWait => {
            let entries = json!([{ "volume": v, "rw": [9] }, { "snapshot": s, "ro": [9] }]);
            let taken = json!([{ "volume": held, "detach": "all", "force": true }]);
            let body = |list: &Value| match endpoint {
                Endpoint::VolumesReassign => list.clone(),
                _ => json!({ "reassign": list }),
            };
            vec![body(&entries), body(&taken)]
        }
        _ => vec![json!({})],
    }
}

/// Every call about what a project has.
fn calls(n: &Names) -> Vec<(Endpoint, Method, String, Value)> {
    let mut all = Vec::new();
    for endpoint in Endpoint::ALL {
        let (method, pattern) = endpoint.line();
        let names: Vec<&str> = if pattern.contains("{name}") { n.all().into() } else { vec![""] };
        for name in names {
            let path = pattern.replace("{name}", name).replace("{id}", "1").replace("{disk}", "1");
            for body in bodies(*endpoint, n) {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                all.push((*endpoint, method, path.replace("{key}", "k"), body));
            }
        }
    }
    all
}

async fn send(w: &World, token: &str, method: &Method, call: &str, body: &Value) -> (u16, Value) {
    let body = if *method == Method::GET { String::new() } else { body.to_string() };
    let auth = format!("Storpool v1:{token}");
    w.raw(method.clone(), &format!("/ctrl/1.0/{call}"), &auth, body.as_bytes()).await
}

/// All that the owner sees of what is his.
async fn picture(w: &World, token: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for call in ["VolumesList", "SnapshotsList", "AttachmentsList", "VolumesAndSnapshotsList"] {
        let (status, document) = send(w, token, &Method::GET, call, &Value::Null).await;
        assert!(status == 200 || call == "VolumesAndSnapshotsList", "{call}: {document}");
        all.push(document["data"].clone());
    }
    all
}

/// The same text whatever was asked for.
fn neutral(document: &Value, n: &Names) -> String {
    let mut document = document.clone();
    document["generation"] = Value::Null;
    n.all().iter().fold(document.to_string(), |text, name| text.replace(*name, "<name>"))
}

#[tokio::test]
async fn nobody_sees_guesses_or_touches_what_another_project_has() {
    let w = World::new().await;
    let owner = person(&w.ports, "owner", Role::Member, Api::StorPool).await.secret;
    let stranger = person(&w.ports, "stranger", Role::Member, Api::StorPool).await.secret;
    let (theirs, nothing) = (Names::of("theirs"), Names::of("absent"));
    let make = async |call: String, body: Value| {
        let (status, document) = send(&w, &owner, &Method::POST, &call, &body).await;
        assert_eq!(status, 200, "{call}: {document}");
        document["data"]["globalId"].clone()
    };
    let volume = json!({ "name": theirs.volume, "size": 1 << 30 });
    let id = make("VolumeCreate".into(), volume).await.as_str().unwrap().to_string();
    let held = json!({ "name": theirs.held, "size": 1 << 30 });
    make("VolumeCreate".into(), held).await;
    make(format!("VolumeSnapshot/{}", theirs.volume), json!({ "name": theirs.snapshot })).await;
    make("VolumesReassign".into(), json!([{ "volume": theirs.held, "rw": [3] }])).await;

    let before = picture(&w, &owner).await;
    assert!(before.iter().take(3).all(|list| !list.as_array().unwrap().is_empty()), "{before:?}");
    let mut faults = Vec::new();
    let mut shown = 0;
    for (real, made_up) in calls(&theirs).into_iter().zip(calls(&nothing)) {
        let (endpoint, method, call, body) = real;
        let (status, got) = send(&w, &stranger, &method, &call, &body).await;
        let (other, guessed) = send(&w, &stranger, &made_up.1, &made_up.2, &made_up.3).await;
        let told = |document: &Value| document["data"].to_string().contains("theirs");
        if told(&got) || status >= 500 && got["error"]["name"] != "notImplemented" {
            faults.push(format!("{endpoint:?} {body} tells {status} {got}"));
        }
        if (status, neutral(&got, &theirs)) != (other, neutral(&guessed, &nothing)) {
            faults.push(format!("{endpoint:?} {body} differs: {status} {got}, {other} {guessed}"));
        }
        if method == Method::GET {
            shown += usize::from(told(&send(&w, &owner, &method, &call, &body).await.1));
        }
        if picture(&w, &owner).await != before {
            faults.push(format!("{endpoint:?} {body} touched it: {status} {got}"));
            break;
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(shown >= 10, "the owner sees what a stranger does not: {shown}");
    for call in [format!("Volume/~{id}"), format!("VolumeDelete/~{id}")] {
        let method = if call.starts_with("VolumeD") { Method::POST } else { Method::GET };
        let (status, got) = send(&w, &stranger, &method, &call, &json!({})).await;
        assert_eq!((status, &got["error"]["name"]), (404, &json!("objectDoesNotExist")), "{call} {got}");
    }
    assert_eq!(picture(&w, &owner).await, before);
}
