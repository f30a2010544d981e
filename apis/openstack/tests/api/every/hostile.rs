//! Documents, paths, queries, versions and tokens that are none: each is refused in the API's own form, and what is
//! refused changes nothing.

use http::Method;
use parpen_identity::Token;
use parpen_model::{Query, Scope, write};
use parpen_openstack::Endpoint;
use serde_json::{Value, json};

use super::calls::{self, Call};
use super::scene::Scene;
use super::{Answer, bytes};

/// Collects what is wrong, so that one run tells all.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, call: &Call, what: &str, answer: &Answer) {
        let line = format!("{:?} {what:.300}: {} {:.300}", call.endpoint, answer.status, answer.text);
        self.0.push(line);
    }

    fn none(self) {
        assert!(self.0.is_empty(), "{} faults:\n{}", self.0.len(), self.0.join("\n"));
    }
}

/// Sends one of an operation's wrong requests. Answers whether it was taken after all.
async fn probe(
    scene: &Scene,
    call: &Call,
    what: &str,
    target: &str,
    body: Vec<u8>,
    faults: &mut Faults,
) -> bool {
    let before = scene.commits().await;
    let answer = scene.send(call, target, scene.c.token.as_bytes(), body).await;
    if !answer.is_sound() {
        faults.add(call, what, &answer);
    }
    if answer.status >= 400 && scene.commits().await != before {
        faults.add(call, &format!("{what} changed something although it was refused"), &answer);
    }
    if answer.status < 400 {
        scene.settle().await;
    }
    answer.status < 400
}

/// Whether all that the operations are about is still there.
async fn is_whole(scene: &Scene) -> bool {
    let rows = scene.dump().await;
    let there = |id: &&str| rows.keys().any(|k| k.replace('-', "").ends_with(&id.replace('-', "")));
    scene.ids.own().iter().all(there)
}

/// Paths of all values in a document.
fn places(document: &Value, at: &str, into: &mut Vec<String>) {
    let mut below = |name: &str, value: &Value| {
        let path = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        places(value, &path, into);
        into.push(path);
    };
    match document {
        Value::Object(map) => map.iter().for_each(|(name, value)| below(name, value)),
        Value::Array(all) => all.iter().enumerate().for_each(|(i, value)| below(&i.to_string(), value)),
        _ => {}
    }
}

fn wrong_values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(9_223_372_036_854_775_808_u64),
        json!(1e308),
        json!("NaN"),
        json!("9223372036854775808"),
        json!("\u{0}\u{ffff}\u{202e}/../.."),
        json!("x".repeat(70_000)),
        json!([]),
        json!({ "a": { "b": [{ "c": 1 }] } }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_types_in_every_field_of_every_document_are_refused() {
    let mut scene = Scene::start().await;
    let mut faults = Faults::default();
    for i in 0..calls::all(&scene.ids).len() {
        let call = calls::all(&scene.ids).remove(i);
        if call.body.is_null() || call.endpoint == Endpoint::ImageUpload {
            continue;
        }
        let mut all = vec![String::new()];
        places(&call.body, "", &mut all);
        let mut taken = false;
        for at in &all {
            for wrong in wrong_values() {
                let mut document = call.body.clone();
                *document.pointer_mut(at).unwrap() = wrong.clone();
                let what = format!("{at} = {wrong:.60}");
                taken |= probe(&scene, &call, &what, &call.path, bytes(&document), &mut faults).await;
            }
        }
        if taken && !is_whole(&scene).await {
            scene = Scene::start().await;
        }
    }
    faults.none();
}

fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |open: &str| open.repeat(50_000).into_bytes();
    let huge = format!("{{\"volume\": \"{}\"}}", "x".repeat(2 << 20));
    vec![
        ("nothing", Vec::new()),
        ("a brace", b"{".to_vec()),
        ("an end too early", b"{\"volume\": {\"size\": 1".to_vec()),
        ("a number", b"1".to_vec()),
        ("a list of nothing", b"[]".to_vec()),
        ("not a number", b"{\"volume\": {\"size\": NaN}}".to_vec()),
        ("no text", vec![0xff, 0xfe, 0x00]),
        ("text after the end", b"{} {}".to_vec()),
        ("a large number", b"{\"volume\": {\"size\": 1e999999}}".to_vec()),
        ("deep lists", deep("[")),
        ("deep objects", deep("{\"a\":")),
        ("two mebibytes", huge.into_bytes()),
        ("the wrong key", b"{\"\": {}}".to_vec()),
        ("two keys", b"{\"a\": {}, \"b\": {}}".to_vec()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_document_is_refused_by_every_operation_that_takes_one() {
    let scene = Scene::start().await;
    let mut faults = Faults::default();
    for call in calls::all(&scene.ids) {
        if call.body.is_null() || call.endpoint == Endpoint::ImageUpload {
            continue;
        }
        for (what, body) in malformed() {
            // A list of no changes is a list of changes.
            let patch = call.endpoint == Endpoint::ImageUpdate && what == "a list of nothing";
            if probe(&scene, &call, what, &call.path, body, &mut faults).await && !patch {
                faults.0.push(format!("{:?} took {what}", call.endpoint));
            }
        }
    }
    faults.none();
}

const TRICKS: [&str; 14] = [
    "%2e%2e",
    "..",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%00",
    "%F0%9F%92%A9",
    "%ff%fe",
    "%",
    "%25%32%65",
    "-1",
    "9223372036854775808",
    "null",
    "'%20OR%201=1--",
    "*",
    "00000000-0000-0000-0000-000000000000",
];

#[tokio::test(flavor = "multi_thread")]
async fn tricks_in_paths_reach_nothing() {
    let mut scene = Scene::start().await;
    let mut faults = Faults::default();
    for i in 0..calls::all(&scene.ids).len() {
        let call = calls::all(&scene.ids).remove(i);
        let mut taken = false;
        for (n, _) in call.pattern.split('/').enumerate().filter(|(_, s)| s.starts_with('{')) {
            let long = "a".repeat(5000);
            for trick in TRICKS.into_iter().chain([long.as_str()]) {
                let mut segments: Vec<&str> = call.path.split('/').collect();
                segments[n] = trick;
                let target = segments.join("/");
                taken |= probe(&scene, &call, &target, &target, bytes(&call.body), &mut faults).await;
            }
        }
        if taken && !is_whole(&scene).await {
            scene = Scene::start().await;
        }
    }
    faults.none();
}

const QUERIES: [&str; 16] = [
    "limit=-1",
    "limit=9223372036854775808",
    "limit=x",
    "limit=0",
    "offset=-1",
    "offset=9223372036854775808",
    "marker=%00",
    "marker=00000000-0000-0000-0000-000000000000",
    "sort=;drop:up",
    "sort_key=%F0%9F%92%A9&sort_dir=up",
    "all_tenants=%00&name=%ff",
    "metadata={'a'",
    "created_at=gt:never",
    "size>=-1&size=x",
    "is_public=maybe&extra_specs={",
    "%00=%00&&==&a[]=1",
];

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_mean_nothing_break_nothing() {
    let scene = Scene::start().await;
    let mut faults = Faults::default();
    for call in calls::all(&scene.ids).into_iter().filter(|c| c.method == Method::GET) {
        // These change something although they are asked with GET, as Cinder has it.
        let changes = [Endpoint::QosAssociate, Endpoint::QosDisassociate, Endpoint::QosDisassociateAll];
        let long = format!("name={}&sort={}", "x".repeat(5000), "a,".repeat(2000));
        for query in QUERIES.into_iter().chain([long.as_str()]) {
            let target = format!("{}?{query}", call.path);
            let before = scene.commits().await;
            probe(&scene, &call, query, &target, Vec::new(), &mut faults).await;
            if scene.commits().await != before && !changes.contains(&call.endpoint) {
                faults.0.push(format!("{:?}?{query} changed something", call.endpoint));
            }
        }
    }
    faults.none();
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_there_are_not_are_refused_by_every_operation() {
    let scene = Scene::start().await;
    let before = scene.commits().await;
    for call in calls::all(&scene.ids).into_iter().filter(|c| c.is_volume()) {
        for (version, status) in [
            ("3.72", 406),
            ("4.0", 406),
            ("2.71", 406),
            ("3.x", 400),
            ("3.99999999999", 400),
            ("", 400),
            ("-3.1", 400),
        ] {
            let token = ("x-auth-token", scene.c.token.clone().into_bytes());
            let asked = ("openstack-api-version", format!("volume {version}").into_bytes());
            let got = scene.send_with(&call, &call.path, &[token, asked], bytes(&call.body)).await;
            assert!(got.is_sound() && got.status == status, "{:?} {version}: {got:?}", call.endpoint);
        }
    }
    assert_eq!(scene.commits().await, before, "nothing was changed");
}

/// A token of the first principal that was good until now.
async fn outlived(scene: &Scene) -> String {
    let scope = json!({ "project": { "id": scene.c.project } });
    let got = scene.c.issue(&scene.c.password(scope)).await;
    let text = got.headers["x-subject-token"].to_str().unwrap().to_string();
    write(&*scene.c.house.ports.meta, |tx| {
        // The last that was given.
        let mut all: Vec<Token> = tx.read().list(Scope::All, &Query::default())?;
        let mut last = all.pop().expect("one was given just now");
        last.expires = jiff::Timestamp::UNIX_EPOCH;
        tx.update(&mut last)
    })
    .await
    .unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_none_open_no_operation() {
    let scene = Scene::start().await;
    let good = scene.c.token.clone();
    let expired = outlived(&scene).await;
    let scope = json!({ "project": { "id": scene.c.project } });
    let revoked = scene.c.issue(&scene.c.password(scope)).await.headers["x-subject-token"].clone();
    let own = [("x-auth-token", good.as_str()), ("x-subject-token", revoked.to_str().unwrap())];
    let got = scene.c.raw(Method::DELETE, "/identity/v3/auth/tokens", &own, "").await;
    assert_eq!(got.status, 204);
    let tokens: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("truncated", good.as_bytes()[..good.len() - 1].to_vec()),
        ("longer", format!("{good}0").into_bytes()),
        ("of another service", good.chars().rev().collect::<String>().into_bytes()),
        ("of another case", good.to_uppercase().into_bytes()),
        ("no text", vec![0xff, 0xfe]),
        ("enormous", vec![b'a'; 100_000]),
        ("expired", expired.into_bytes()),
        ("revoked", revoked.as_bytes().to_vec()),
    ];
    let before = scene.commits().await;
    for call in calls::all(&scene.ids).into_iter().filter(|c| !c.is_public()) {
        for (what, token) in &tokens {
            if *token == good.as_bytes() {
                continue;
            }
            let got = scene.send(&call, &call.path, token, bytes(&call.body)).await;
            assert!(got.is_sound() && got.status == 401, "{:?}, {what}: {got:?}", call.endpoint);
        }
        let newest = [("openstack-api-version", b"volume 3.71".to_vec())];
        let got = scene.send_with(&call, &call.path, &newest, bytes(&call.body)).await;
        assert!(got.is_sound() && got.status == 401, "{:?} without one: {got:?}", call.endpoint);
    }
    assert_eq!(scene.commits().await, before, "nothing was changed");
}
