//! A member of another project: what is not his he cannot see, cannot guess and cannot touch, by any operation.

use std::collections::BTreeMap;

use http::Method;
use parpen_openstack::Endpoint;
use serde_json::Value;

use super::calls::{self, Call};
use super::scene::{Ids, Scene};
use super::{Answer, bytes};

/// The rows that belong to the project.
async fn theirs(scene: &Scene) -> BTreeMap<String, String> {
    let project = uuid::Uuid::parse_str(&scene.ids.project).unwrap().to_string();
    let mut rows = scene.dump().await;
    let own: Vec<String> = scene.ids.own().iter().map(|id| id.replace('-', "")).collect();
    let mine = |id: &str| own.iter().any(|own| id.replace('-', "").ends_with(own));
    rows.retain(|id, row| row.contains(&project) || mine(id));
    rows
}

/// The same text whoever's ids are in it.
fn neutral(text: &str, ids: &Ids) -> String {
    let plain = |id: &str| uuid::Uuid::parse_str(id).unwrap().simple().to_string();
    let all = ids.own().into_iter().chain([ids.project.as_str(), ids.user.as_str()]);
    let text = text.replace('-', "");
    all.fold(text, |text, id| text.replace(&plain(id), "<id>"))
}

/// Whether an answer tells anything that belongs to the project.
fn tells(scene: &Scene, got: &Answer) -> bool {
    let shown = |id: &&str| got.text.contains(*id);
    let words = got.text.contains("theirs") && got.status < 400;
    words || (got.status < 400 && scene.ids.own().iter().any(shown))
}

/// By these operations one may know of a thing without being in its project.
fn is_open(call: &Call) -> bool {
    // Whoever is told an offer's id and key takes it; a wrong key is said, as Cinder does.
    matches!(call.endpoint, Endpoint::TransferAccept | Endpoint::OldTransferAccept)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_guesses_or_touches_what_another_project_has() {
    let scene = Scene::start().await;
    let nothing = scene.ids.of_nothing();
    let before = theirs(&scene).await;
    assert!(before.len() > 12, "{before:?}");
    let mut faults = Vec::new();
    let pairs = calls::all(&scene.ids).into_iter().zip(calls::all(&nothing));
    for (real, made_up) in pairs.filter(|(c, _)| !c.is_public()) {
        let got = scene.send(&real, &real.path, scene.stranger.as_bytes(), bytes(&real.body)).await;
        let guessed =
            scene.send(&made_up, &made_up.path, scene.stranger.as_bytes(), bytes(&made_up.body)).await;
        scene.settle().await;
        if !got.is_sound() || tells(&scene, &got) {
            faults.push(format!("{:?} {} tells {got:?}", real.endpoint, real.body));
        }
        let same = got.status == guessed.status
            && (got.status < 400 || neutral(&got.text, &scene.ids) == neutral(&guessed.text, &nothing));
        if !same && !is_open(&real) {
            faults.push(format!("{:?} {} differs: {got:?} {guessed:?}", real.endpoint, real.body));
        }
        let now = theirs(&scene).await;
        if now != before {
            faults.push(format!("{:?} {} touched it: {got:?}", real.endpoint, real.body));
            break;
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_counts_and_markers_show_nothing_of_another_project() {
    let scene = Scene::start().await;
    let (ids, nothing) = (&scene.ids, scene.ids.of_nothing());
    let asked = |ids: &Ids| {
        let mut all = vec![
            "all_tenants=1".to_string(),
            "all_tenants=True&with_count=true".into(),
            "with_count=true".into(),
            format!("project_id={}", ids.project),
            format!("all_tenants=1&project_id={}", ids.project),
            format!("volume_id={}", ids.volume),
            format!("instance_id={}", ids.user),
            format!("user_id={}", ids.user),
            format!("group_id={}", ids.group),
            "name=theirs-volume".into(),
            "name~=theirs".into(),
            "metadata={'k':'theirs'}".into(),
            "resource_type=VOLUME".into(),
            "visibility=private&owner=".to_string() + &ids.project,
            "list_volume=True".into(),
            "usage=True".into(),
        ];
        all.extend(ids.own().iter().map(|id| format!("marker={id}")));
        all
    };
    let mut faults = Vec::new();
    for call in calls::all(ids).into_iter().filter(|c| c.method == Method::GET && !c.is_public()) {
        for (query, other) in asked(ids).into_iter().zip(asked(&nothing)) {
            let token = scene.stranger.as_bytes();
            let got = scene.send(&call, &format!("{}?{query}", call.path), token, Vec::new()).await;
            let guessed = scene.send(&call, &format!("{}?{other}", call.path), token, Vec::new()).await;
            if !got.is_sound() || tells(&scene, &got) {
                faults.push(format!("{:?}?{query} tells {got:?}", call.endpoint));
            }
            if got.status != guessed.status {
                faults.push(format!("{:?}?{query} differs: {got:?} {guessed:?}", call.endpoint));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    let summary = scene.c.call_as(&scene.stranger, Method::GET, "/volumes/summary", Value::Null).await;
    assert_eq!(summary.body["volume-summary"]["total_count"], 0);
    let limits = scene.c.call_as(&scene.stranger, Method::GET, "/limits", Value::Null).await;
    assert_eq!(limits.body["limits"]["absolute"]["totalVolumesUsed"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_projects_own_member_gets_what_a_stranger_does_not() {
    // The other tests would prove nothing if these calls were refused to everybody.
    let scene = Scene::start().await;
    let mut shown = 0;
    for call in calls::all(&scene.ids).into_iter().filter(|c| c.method == Method::GET && !c.is_public()) {
        let got = scene.send(&call, &call.path, scene.member.as_bytes(), Vec::new()).await;
        assert!(got.is_sound(), "{:?} {got:?}", call.endpoint);
        shown += usize::from(tells(&scene, &got));
    }
    assert!(shown >= 20, "{shown}");
}
