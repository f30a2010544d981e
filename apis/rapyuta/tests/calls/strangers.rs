//! A token of another project: what is not its project's it cannot see, cannot guess and cannot touch.

use http::Method;
use parpen_identity::Role;
use parpen_model::Api;
use parpen_rapyuta::Endpoint;
use serde_json::{Value, json};

use crate::house::people::{Person, person};
use crate::world::{World, told};

/// What a project has here, as a client would name it.
struct Ids {
    disk: String,
    deployment: String,
    name: &'static str,
}

async fn send(w: &World, token: &str, method: &Method, path: &str, body: &Value) -> (u16, Value) {
    let token = format!("Bearer {token}");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("authorization", &*token), ("organizationguid", "parpen")];
    told(w.raw(method.clone(), path, &headers, body.as_bytes()).await)
}

fn calls(ids: &Ids) -> Vec<(Endpoint, Method, String)> {
    let mut all = Vec::new();
    for endpoint in Endpoint::ALL {
        // What is made is one's own; the names of others are free to take.
        if matches!(endpoint, Endpoint::DiskMake | Endpoint::V2DiskMake) {
            continue;
        }
        let (method, pattern) = endpoint.pattern();
        let guid = if pattern.starts_with("/disk") { &ids.disk } else { &ids.deployment };
        let path = pattern.replace("{guid}", guid).replace("{name}", ids.name);
        all.push((*endpoint, method.clone(), path.clone()));
        for query in [format!("deployment_guid={}", ids.deployment), format!("name={}", ids.name)] {
            all.push((*endpoint, method.clone(), format!("{path}?{query}")));
        }
    }
    all
}

async fn disks(w: &World, token: &str) -> [Value; 2] {
    let list = async |path: &str| {
        let (status, document) = send(w, token, &Method::GET, path, &Value::Null).await;
        assert_eq!(status, 200, "{document}");
        document
    };
    [list("/disk").await, list("/v2/disks/").await]
}

#[tokio::test]
async fn nobody_sees_guesses_or_touches_what_another_project_has() {
    let w = World::new().await;
    let owner = person(&w.house.ports, "owner", Role::Member, Api::Rapyuta).await;
    let stranger = person(&w.house.ports, "stranger", Role::Member, Api::Rapyuta).await;
    let wish = |name: &str| json!({ "name": name, "runtime": "cloud", "capacity": 32, "diskType": "ssd" });
    let (status, made) = send(&w, &owner.secret, &Method::POST, "/disk", &wish("theirs")).await;
    assert_eq!(status, 201, "{made}");
    let text = |field: &str| made[field].as_str().unwrap().to_string();
    let theirs = Ids { disk: text("guid"), deployment: text("internalDeploymentGUID"), name: "theirs" };
    // The same form, and nobody's.
    let other =
        |guid: &str| guid.split_once('-').map(|(kind, _)| format!("{kind}-{}", "a".repeat(20))).unwrap();
    let nothing = Ids { disk: other(&theirs.disk), deployment: other(&theirs.deployment), name: "absent" };

    let before = disks(&w, &owner.secret).await;
    let (mut faults, mut shown) = (Vec::new(), 0);
    for (real, made_up) in calls(&theirs).into_iter().zip(calls(&nothing)) {
        let (endpoint, method, path) = real;
        let (status, got) = send(&w, &stranger.secret, &method, &path, &Value::Null).await;
        let (same, guessed) = send(&w, &stranger.secret, &made_up.1, &made_up.2, &Value::Null).await;
        let neutral = |document: &Value, ids: &Ids| {
            let text = document.to_string().replace(&ids.disk, "<disk>");
            text.replace(&ids.deployment, "<deployment>").replace(ids.name, "<name>")
        };
        if status < 400 && (got.to_string().contains("theirs") || got.to_string().contains(&theirs.disk)) {
            faults.push(format!("{endpoint:?} tells {status} {got}"));
        }
        if (status, neutral(&got, &theirs)) != (same, neutral(&guessed, &nothing)) {
            faults.push(format!("{endpoint:?} {path} differs: {status} {got}, {same} {guessed}"));
        }
        if method == Method::GET {
            let seen = send(&w, &owner.secret, &method, &path, &Value::Null).await.1;
            shown += usize::from(seen.to_string().contains("theirs"));
        }
        if disks(&w, &owner.secret).await != before {
            faults.push(format!("{endpoint:?} {path} touched it: {status} {got}"));
            break;
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(shown >= 5, "the owner sees what a stranger does not: {shown}");
    // The owner's name is free here, and his project is not opened by asking for it.
    let (status, mine) = send(&w, &stranger.secret, &Method::POST, "/disk", &wish("theirs")).await;
    assert_eq!(status, 201, "{mine}");
    assert_eq!(disks(&w, &owner.secret).await, before);
    refuses_the_project(&w, &owner, &stranger).await;
}

async fn refuses_the_project(w: &World, owner: &Person, stranger: &Person) {
    let (token, project) =
        (format!("Bearer {}", stranger.secret), format!("project-{}", owner.actor.project.0.simple()));
    for path in ["/disk", "/v2/disks/", "/v2/disks/theirs"] {
        let headers = [("authorization", &*token), ("project", &*project)];
        let (status, got) = told(w.raw(Method::GET, path, &headers, b"").await);
        assert_eq!(status, 403, "{path}: {got}");
    }
}
