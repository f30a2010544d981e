use http::Method;
use serde_json::{Value, json};

use crate::Cinder;

fn id(document: &Value) -> String {
    document["id"].as_str().unwrap().to_string()
}

async fn group_type(c: &Cinder, name: &str) -> String {
    let wire = json!({ "group_type": { "name": name, "group_specs": { "a": "1" } } });
    let got = c.post("/group_types", wire).await;
    assert_eq!(got.status, 202, "{}", got.body);
    id(&got.body["group_type"])
}

async fn group(c: &Cinder, kind: &str) -> String {
    let wire = json!({ "group": {
        "name": "g", "description": "d", "group_type": kind, "volume_types": ["__DEFAULT__"] } });
    let got = c.post("/groups", wire).await;
    assert_eq!((got.status, got.body["group"].as_object().unwrap().len()), (202, 2), "{}", got.body);
    let path = format!("/groups/{}", id(&got.body["group"]));
    c.until(&path, "group", "status", "available").await;
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn group_types_have_specs_of_their_own() {
    let c = Cinder::start().await;
    let kind = group_type(&c, "together").await;
    let again = c.post("/group_types", json!({ "group_type": { "name": "together" } })).await.error();
    assert_eq!((again.0, again.2.as_str()), (409, "Group Type together already exists."));
    let path = format!("/group_types/{kind}");
    let got = c.call(Method::PUT, &path, json!({ "group_type": { "description": "x" } })).await;
    assert_eq!((got.status, &got.body["group_type"]["description"]), (200, &json!("x")));
    let got = c.call(Method::PUT, &path, json!({ "group_type": {} })).await.error();
    assert_eq!(got.2, "Specify group type name, description or a combination thereof.");
    let specs = format!("{path}/group_specs");
    assert_eq!(c.post(&specs, json!({ "group_specs": { "b": "2" } })).await.status, 202);
    assert_eq!(c.get(&specs).await.body, json!({ "group_specs": { "a": "1", "b": "2" } }));
    assert_eq!(c.get(&format!("{specs}/b")).await.body, json!({ "b": "2" }));
    let got = c.call(Method::PUT, &format!("{specs}/b"), json!({ "b": "3" })).await;
    assert_eq!((got.status, got.body), (200, json!({ "b": "3" })));
    let got = c.call(Method::PUT, &format!("{specs}/b"), json!({ "c": "3" })).await.error();
    assert_eq!(got.2, "Request body and URI mismatch");
    assert_eq!(c.call(Method::DELETE, &format!("{specs}/a"), Value::Null).await.status, 202);
    assert_eq!(c.call(Method::DELETE, &format!("{specs}/a"), Value::Null).await.error().0, 404);
    let none = c.get("/group_types/default").await;
    assert_eq!(none.headers["openstack-api-version"], "volume 3.71", "errors tell the version too");
    assert_eq!(none.error().2, "Default group type can not be found.");
    assert_eq!(c.get("/group_types/none").await.headers["openstack-api-version"], "volume 3.71");
    assert_eq!(c.get("/group_types/together").await.error().0, 404, "a name is looked up through the list");
    assert_eq!(c.get("/group_types").await.body["group_types"].as_array().unwrap().len(), 1);
    let g = group(&c, "together").await;
    let used = c.call(Method::DELETE, &path, Value::Null).await.error();
    assert_eq!((used.0, used.2.as_str()), (400, "Target group type is still in use."));
    let gone = json!({ "delete": { "delete-volumes": false } });
    assert_eq!(c.post(&format!("{g}/action"), gone).await.status, 202);
    c.until_gone(&g).await;
    assert_eq!(c.call(Method::DELETE, &path, Value::Null).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_changed_snapshotted_made_again_and_deleted() {
    let c = Cinder::start().await;
    let kind = group_type(&c, "together").await;
    let g = group(&c, &kind).await;
    let gid = g.trim_start_matches("/groups/").to_string();
    let inside =
        c.volume(json!({ "size": 1, "name": "in", "group_id": gid, "volume_type": "__DEFAULT__" })).await;
    assert_eq!(inside["group_id"], gid.as_str());
    let outside = c.volume(json!({ "size": 2, "name": "out" })).await;
    let add = json!({ "group": { "name": "h", "add_volumes": id(&outside) } });
    assert_eq!(c.call(Method::PUT, &g, add.clone()).await.status, 202);
    let got = c.get(&format!("{g}?list_volume=True")).await.body["group"].clone();
    assert_eq!((got["name"].as_str(), got["volumes"].as_array().unwrap().len()), (Some("h"), 2));
    let nothing = c.call(Method::PUT, &g, json!({ "group": {} })).await.error();
    assert!(
        nothing.2.starts_with(&format!("Invalid group: Cannot update group {gid} because no valid name"))
    );
    let strange = uuid::Uuid::from_u128(9);
    let wrong = json!({ "group": { "add_volumes": strange } });
    let wrong = c.call(Method::PUT, &g, wrong).await.error();
    let text =
        format!("Invalid volume: Cannot add volume {strange} to group {gid} because volume cannot be found.");
    assert_eq!((wrong.0, wrong.2), (400, text));
    let wrong = json!({ "group": { "remove_volumes": strange } });
    assert!(c.call(Method::PUT, &g, wrong).await.error().2.ends_with("because it is not in the group."));

    let single = c.call(Method::DELETE, &format!("/volumes/{}", id(&inside)), Value::Null).await.error();
    assert!(single.0 == 400 && single.2.contains("belong to a group"), "{single:?}");
    let wire = json!({ "group_snapshot": { "group_id": gid, "name": "now" } });
    let got = c.post("/group_snapshots", wire).await;
    assert_eq!((got.status, got.body["group_snapshot"].as_object().unwrap().len()), (202, 3), "{}", got.body);
    let gs = id(&got.body["group_snapshot"]);
    let gs_path = format!("/group_snapshots/{gs}");
    c.until(&gs_path, "group_snapshot", "status", "available").await;
    let parts = c.get("/snapshots/detail").await.body["snapshots"].clone();
    assert_eq!(parts.as_array().unwrap().len(), 2);
    assert!(parts.as_array().unwrap().iter().all(|s| s["group_snapshot_id"] == gs.as_str()));
    let part = format!("/snapshots/{}", id(&parts[0]));
    let single = c.call(Method::DELETE, &part, Value::Null).await.error();
    assert!(single.2.contains("must not be part of a group"), "{single:?}");
    let held = c.post(&format!("{g}/action"), json!({ "delete": { "delete-volumes": true } })).await.error();
    assert_eq!(held.2, "Invalid group: Group has existing snapshots.");

    for source in [json!({ "group_snapshot_id": gs }), json!({ "source_group_id": gid })] {
        let mut wire = source.clone();
        wire["name"] = json!("like it");
        let got = c.post("/groups/action", json!({ "create-from-src": wire })).await;
        assert_eq!(got.status, 202, "{}", got.body);
        let made = format!("/groups/{}", id(&got.body["group"]));
        let shown = c.until(&made, "group", "status", "available").await;
        for (key, value) in source.as_object().unwrap() {
            assert_eq!(&shown[key], value);
        }
        let members = c.get(&format!("{made}?list_volume=True")).await.body["group"]["volumes"].clone();
        assert_eq!(members.as_array().unwrap().len(), 2);
        let sizes: Vec<u64> = futures_of(&c, &members).await;
        assert_eq!(sizes, [1, 2]);
        assert_eq!(
            c.post(&format!("{made}/action"), json!({ "delete": { "delete-volumes": true } })).await.status,
            202
        );
        c.until_gone(&made).await;
    }
    let left = c.get("/snapshots").await.body["snapshots"].as_array().unwrap().len();
    assert_eq!(left, 2, "the snapshots for the time of a copy are gone");
    let both = json!({ "group_snapshot_id": gs, "source_group_id": gid });
    assert_eq!(c.post("/groups/action", json!({ "create-from-src": both })).await.error().0, 400);

    let say = json!({ "reset_status": { "status": "error" } });
    assert_eq!(c.post(&format!("{gs_path}/action"), say.clone()).await.status, 202);
    assert_eq!(c.get(&gs_path).await.body["group_snapshot"]["status"], "error");
    assert_eq!(c.call(Method::DELETE, &gs_path, Value::Null).await.status, 202);
    c.until_gone(&gs_path).await;
    assert_eq!(c.post(&format!("{g}/action"), say).await.status, 202);
    assert_eq!(c.get(&g).await.body["group"]["status"], "error");
    let wrong = json!({ "reset_status": { "status": "in-use" } });
    assert_eq!(c.post(&format!("{g}/action"), wrong).await.error().0, 400);
    let still = c.post(&format!("{g}/action"), json!({ "delete": {} })).await.error();
    let text = format!(
        "Invalid group: Group {gid} still contains volumes. The delete-volumes flag is required to delete it."
    );
    assert_eq!(still.2, text);
    for action in
        ["enable_replication", "disable_replication", "failover_replication", "list_replication_targets"]
    {
        let got = c.post(&format!("{g}/action"), json!({ action: {} })).await.error();
        assert_eq!(got.2, format!("Invalid group type: Group {gid} is not a replication group type."));
    }
    let out = json!({ "group": { "remove_volumes": id(&outside) } });
    let busy = c.call(Method::PUT, &g, out.clone()).await.error();
    assert_eq!(busy.2, "Invalid group: Group status must be available.");
    assert_eq!(
        c.post(&format!("{g}/action"), json!({ "reset_status": { "status": "available" } })).await.status,
        202
    );
    assert_eq!(c.call(Method::PUT, &g, out).await.status, 202);
    assert_eq!(
        c.post(&format!("{g}/action"), json!({ "delete": { "delete-volumes": true } })).await.status,
        202
    );
    c.until_gone(&g).await;
    c.until_gone(&format!("/volumes/{}", id(&inside))).await;
    assert_eq!(c.get(&format!("/volumes/{}", id(&outside))).await.body["volume"]["status"], "available");
}

async fn futures_of(c: &Cinder, members: &Value) -> Vec<u64> {
    let mut sizes = Vec::new();
    for m in members.as_array().unwrap() {
        let v = c.get(&format!("/volumes/{}", m.as_str().unwrap())).await.body["volume"].clone();
        assert_eq!(v["status"], "available");
        sizes.push(v["size"].as_u64().unwrap());
    }
    sizes
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_group_makes_no_other() {
    let c = Cinder::start().await;
    let kind = group_type(&c, "together").await;
    let g = group(&c, &kind).await;
    let source = json!({ "source_group_id": g.trim_start_matches("/groups/") });
    let got = c.post("/groups/action", json!({ "create-from-src": source })).await.error();
    assert_eq!(
        (got.0, got.2.as_str()),
        (400, "Invalid group: Source Group is empty. No group will be created.")
    );
    let unknown = json!({ "group": { "group_type": "nope", "volume_types": ["__DEFAULT__"] } });
    let got = c.post("/groups", unknown).await.error();
    assert_eq!((got.0, got.2.as_str()), (404, "Group type with name nope could not be found."));
}
