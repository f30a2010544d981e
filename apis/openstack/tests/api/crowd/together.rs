//! Groups, offers and backups of which many want the same at once, and ceilings that many reach at once.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::{CLIENTS, call, id, post, states, used};
use crate::Cinder;

/// What each of fifty clients answers, who all begin at once.
async fn crowd<G: Future<Output: Send + 'static> + Send + 'static>(
    c: &Arc<Cinder>,
    client: impl Fn(Arc<Cinder>, usize) -> G,
) -> Vec<G::Output> {
    let all: Vec<_> = (0..CLIENTS).map(|n| tokio::spawn(client(c.clone(), n))).collect();
    let mut answers = Vec::new();
    for one in all {
        answers.push(one.await.unwrap());
    }
    answers
}

async fn group(c: &Cinder) -> String {
    let kind = c.post("/group_types", json!({ "group_type": { "name": "t" } })).await.body;
    let body = json!({ "group": { "name": "g", "group_type": id(&kind["group_type"]),
                                  "volume_types": ["__DEFAULT__"] } });
    let g = id(&c.post("/groups", body).await.body["group"]);
    c.until(&format!("/groups/{g}"), "group", "status", "available").await;
    g
}

/// One client's volume joins the group, is backed up, and every tenth takes a snapshot of
/// the group; it may lose any race but the first.
async fn joins(c: &Cinder, n: usize, g: &str) -> (String, bool) {
    let v = id(&c.volume(json!({ "size": 1, "name": format!("v{n}") })).await);
    let joined = c.put(&format!("/groups/{g}"), json!({ "group": { "add_volumes": v } })).await;
    assert_eq!(joined.status, 202, "{}", joined.body);
    let (status, b) = post(c, "/backups", json!({ "backup": { "volume_id": v, "force": true } })).await;
    assert!(matches!(status, 202 | 400), "{b}");
    let backed_up = status == 202;
    if backed_up {
        c.until(&format!("/backups/{}", id(&b["backup"])), "backup", "status", "available").await;
    }
    if !n.is_multiple_of(10) {
        return (v, backed_up);
    }
    let of_group = json!({ "group_snapshot": { "group_id": g, "name": "s" } });
    let (status, s) = post(c, "/group_snapshots", of_group).await;
    if status == 202 {
        let path = format!("/group_snapshots/{}", id(&s["group_snapshot"]));
        c.until(&path, "group_snapshot", "status", "available").await;
        // Others may be deleting what this one is about to.
        assert!(matches!(call(c, Method::DELETE, &path, Value::Null).await.0, 202 | 400 | 404));
    }
    (v, backed_up)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_group_that_all_join_has_all_and_goes_with_all() {
    let c = Arc::new(Cinder::start().await);
    let g = group(&c).await;
    let watcher = tokio::spawn({
        let c = c.clone();
        async move {
            loop {
                states(&c, "groups", &["available", "creating", "updating", "deleting"]).await;
                states(&c, "group_snapshots", &["creating", "available", "deleting"]).await;
                states(&c, "backups", &["creating", "available"]).await;
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    });
    let made = crowd(&c, |c, n| {
        let g = g.clone();
        async move { joins(&c, n, &g).await }
    })
    .await;
    assert!(!watcher.is_finished(), "{:?}", watcher.await);
    watcher.abort();
    let shown = c.get(&format!("/groups/{g}?list_volume=True")).await.body["group"]["volumes"].clone();
    let mut members: Vec<String> =
        shown.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_string()).collect();
    let mut all: Vec<String> = made.iter().map(|(v, _)| v.clone()).collect();
    members.sort();
    all.sort();
    assert_eq!(members, all, "nobody's joining was lost");
    let backups = made.iter().filter(|(_, backed_up)| *backed_up).count() as u64;
    assert!(backups > 0);
    assert_eq!((used(&c, "backups").await, used(&c, "backup_gigabytes").await), (backups, backups));
    let left = c.get("/group_snapshots").await.body["group_snapshots"].clone();
    for s in left.as_array().unwrap() {
        c.until_gone(&format!("/group_snapshots/{}", id(s))).await;
    }
    assert_eq!(used(&c, "snapshots").await, 0);
    assert_eq!(used(&c, "volumes").await, CLIENTS as u64);
    let gone = json!({ "delete": { "delete-volumes": true } });
    let (status, answer) = post(&c, &format!("/groups/{g}/action"), gone).await;
    assert_eq!(status, 202, "{answer}");
    c.until_gone(&format!("/groups/{g}")).await;
    assert_eq!((used(&c, "volumes").await, used(&c, "gigabytes").await), (0, 0));
    assert_eq!((used(&c, "groups").await, used(&c, "backups").await), (0, backups));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_offer_is_taken_once_whoever_takes_it() {
    let c = Arc::new(Cinder::start().await);
    let v = id(&c.volume(json!({ "size": 1 })).await);
    let offer = json!({ "transfer": { "volume_id": v, "name": "t" } });
    let offered = crowd(&c, |c, _| {
        let offer = offer.clone();
        async move { post(&c, "/volume-transfers", offer).await }
    })
    .await;
    let mut offers = offered.into_iter().filter(|(status, _)| *status == 202);
    let (first, more) = (offers.next().unwrap().1["transfer"].clone(), offers.count());
    assert_eq!(more, 0, "it is offered once");
    let taker = c.project("takers").await;
    let token = c.persona("taker", &taker, "member").await.1;
    let path = format!("/volume-transfers/{}/accept", id(&first));
    let taken = crowd(&c, |c, _| {
        let body = json!({ "accept": { "auth_key": first["auth_key"] } });
        let (token, path) = (token.clone(), path.clone());
        async move { c.call_as(&token, Method::POST, &path, body).await.status }
    })
    .await;
    assert!(taken.iter().all(|status| matches!(status, 202 | 400 | 404)), "{taken:?}");
    assert_eq!(taken.iter().filter(|status| **status == 202).count(), 1);
    let now = c.get(&format!("/volumes/{v}")).await.body["volume"].clone();
    assert_eq!((&now["os-vol-tenant-attr:tenant_id"], &now["status"]), (&json!(taker), &json!("available")));
    assert_eq!(used(&c, "volumes").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_ceiling_admits_as_many_as_it_says_and_not_one_more() {
    let c = Arc::new(Cinder::start().await);
    let set = json!({ "quota_set": { "volumes": 20, "snapshots": 7, "backups": 5, "gigabytes": 1000 } });
    assert_eq!(c.put(&format!("/os-quota-sets/{}", c.project), set).await.status, 200);
    let make = async |path: &'static str, body: Value| {
        let made = crowd(&c, |c, _| {
            let body = body.clone();
            async move { post(&c, path, body).await }
        })
        .await;
        for (status, body) in &made {
            assert!(matches!(status, 202 | 413), "{path}: {body}");
        }
        made.into_iter().filter(|(status, _)| *status == 202).map(|(_, body)| body).collect::<Vec<_>>()
    };
    let volumes = make("/volumes", json!({ "volume": { "size": 1 } })).await;
    assert_eq!((volumes.len(), used(&c, "volumes").await), (20, 20));
    let v = id(&volumes[0]["volume"]);
    c.until(&format!("/volumes/{v}"), "volume", "status", "available").await;
    let snapshots = make("/snapshots", json!({ "snapshot": { "volume_id": v } })).await;
    assert_eq!((snapshots.len(), used(&c, "snapshots").await), (7, 7));
    assert_eq!(used(&c, "gigabytes").await, 27);
}
