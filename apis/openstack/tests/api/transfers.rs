use http::Method;
use parpen_model::{Api, ProjectId, Stamp};
use serde_json::{Value, json};

use crate::Cinder;

fn id(document: &Value) -> String {
    document["id"].as_str().unwrap().to_string()
}

/// Another project, as an actor in it.
async fn stranger(c: &Cinder) -> parpen_identity::Actor {
    let project = ProjectId(uuid::Uuid::from_u128(77));
    let stamp = Stamp::at(c.house.ports.clock.now());
    parpen_model::write(&*c.house.ports.meta, move |tx| {
        let mut p = parpen_model::Project {
            id: project,
            name: "other".into(),
            description: String::new(),
            enabled: true,
            default_type: None,
            stamp,
        };
        tx.insert(&mut p)
    })
    .await
    .unwrap();
    let mut actor = c.house.actor.clone();
    (actor.project, actor.api) = (project, Api::OpenStack);
    (actor.scope, actor.roles) = (parpen_model::Scope::Project(project), vec![parpen_identity::Role::Member]);
    actor
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_made_seen_and_withdrawn() {
    let c = Cinder::start().await;
    let v = c.volume(json!({ "size": 1, "name": "books" })).await;
    let path = format!("/volumes/{}", id(&v));
    let wire = json!({ "transfer": { "volume_id": id(&v), "name": "take it" } });
    for root in ["/volume-transfers", "/os-volume-transfer"] {
        let got = c.post(root, wire.clone()).await;
        let t = got.body["transfer"].clone();
        assert_eq!((got.status, t["auth_key"].as_str().unwrap().len()), (202, 16), "{t}");
        assert_eq!(c.get(&path).await.body["volume"]["status"], "awaiting-transfer");
        let shown = c.get(&format!("{root}/{}", id(&t))).await.body["transfer"].clone();
        assert!(shown.get("auth_key").is_none(), "the key is told once");
        assert!(!shown.to_string().contains(t["auth_key"].as_str().unwrap()));
        assert_eq!(c.get(root).await.body["transfers"].as_array().unwrap().len(), 1);
        assert_eq!(c.get(&format!("{root}/detail")).await.body["transfers"][0]["name"], "take it");
        let twice = c.post(root, wire.clone()).await.error();
        assert_eq!((twice.0, twice.2.as_str()), (400, "Invalid volume: status must be available"));
        let wrong = json!({ "accept": { "auth_key": "0123456789abcdef" } });
        let wrong = c.post(&format!("{root}/{}/accept", id(&t)), wrong).await.error();
        let text = format!("Invalid auth key: Attempt to transfer {} with invalid auth key.", id(&t));
        assert_eq!((wrong.0, wrong.2), (400, text));
        assert_eq!(c.call(Method::DELETE, &path, Value::Null).await.error().0, 400, "it is on offer");
        assert_eq!(c.call(Method::DELETE, &format!("{root}/{}", id(&t)), Value::Null).await.status, 202);
        assert_eq!(c.get(&path).await.body["volume"]["status"], "available");
        assert_eq!(c.get(&format!("{root}/{}", id(&t))).await.error().0, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_knows_the_key_takes_the_volume_and_its_snapshots() {
    let c = Cinder::start().await;
    let other = stranger(&c).await;
    for without in [false, true] {
        let v = c.volume(json!({ "size": 1, "name": "books" })).await;
        let wire = json!({ "snapshot": { "volume_id": id(&v), "name": "s" } });
        let s = id(&c.post("/snapshots", wire).await.body["snapshot"]);
        c.until(&format!("/snapshots/{s}"), "snapshot", "status", "available").await;
        let wire = json!({ "transfer": { "volume_id": id(&v), "no_snapshots": without } });
        let t = c.post("/volume-transfers", wire).await.body["transfer"].clone();
        assert_eq!(t["no_snapshots"], without);
        let key = t["auth_key"].as_str().unwrap();
        let ports = &c.house.ports;
        let taken = parpen_service::transfers::accept(
            ports,
            &other,
            id(&t).parse().unwrap(),
            key,
            Box::new(|a| {
                a.entry("openstack").insert("user_id".into(), json!("u"));
            }),
        );
        taken.await.unwrap();
        let now = c.get(&format!("/volumes/{}", id(&v))).await.body["volume"].clone();
        assert_eq!(now["os-vol-tenant-attr:tenant_id"], other.project.0.simple().to_string());
        assert_eq!((&now["status"], &now["user_id"]), (&json!("available"), &json!("u")));
        let s = c.get(&format!("/snapshots/{s}")).await.body["snapshot"].clone();
        let of = s["os-extended-snapshot-attributes:project_id"].as_str().unwrap();
        assert_eq!(of == other.project.0.simple().to_string(), !without);
        assert_eq!(c.get(&format!("/volume-transfers/{}", id(&t))).await.error().0, 404);
        // The former owner's project does not list it any more, the operator sees it among all.
        let mine = c.get("/volumes").await.body["volumes"].clone();
        assert!(!mine.as_array().unwrap().iter().any(|m| id(m) == id(&v)));
    }
}
