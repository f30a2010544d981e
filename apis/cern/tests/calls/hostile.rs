use http::Method;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::World;

fn methods() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
    ])
}

fn targets() -> impl Strategy<Value = String> {
    prop_oneof![
        "/(v3|conf|login_basic)(/(local|volumes|export|rule|snapshots|locks|[a-z%:.]{1,4}|%[0-9A-F]{2})){0,6}/?",
        "/v3/(local|dummy)/volumes/[a-z:/%._-]{1,12}(/(snapshots|locks)(/[ -~]{1,5})?)?(\\?[ -~]{0,8})?",
        "/[ -~]{0,40}",
    ]
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        "\\{(\"(size_total|from_volume|from_snapshot|max_autosize|purge_old_if_needed)\":(-?[0-9]{1,25}|null|\"[a-z/]{0,5}\"|true|\\[\\]))?\\}"
            .prop_map(String::into_bytes),
    ]
}

/// Whatever comes, the answer is one of this API's own: no panic, no internal error.
#[test]
fn nothing_makes_it_stumble() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let all = (methods(), targets(), bodies(), any::<bool>());
    let outcome = runner.run(&all, |(method, target, body, known)| {
        let reply = runtime.block_on(async {
            match known {
                true => world.reply_to(method.clone(), &target, &body).await,
                false => world.raw(method.clone(), &target, &[], &body).await,
            }
        });
        prop_assert_ne!(reply.status.as_u16(), 500, "{} {}", method, target);
        if reply.status.is_client_error() {
            let kind = reply.headers["content-type"].to_str().unwrap();
            prop_assert!(kind == "application/json" || reply.status.as_u16() == 404, "{} {}", method, target);
        }
        Ok(())
    });
    outcome.unwrap();
}

#[tokio::test]
async fn a_name_of_a_mebibyte_is_refused() {
    let w = World::new().await;
    let long = "n".repeat(1 << 20);
    assert_eq!(w.volume(Method::GET, &long, "").await.0, 404);
    assert_eq!(w.volume(Method::POST, &long, "{}").await.0, 400);
    let body = format!(r#"{{"caching_policy":"{long}"}}"#);
    assert_eq!(w.volume(Method::POST, "x", &body).await.0, 413);
    assert_eq!(w.volume(Method::GET, "x", "").await.0, 404);
    let host = format!("x/locks/{long}");
    w.volume(Method::POST, "x", "{}").await;
    assert_eq!(w.volume(Method::PUT, &host, "").await.0, 400);
    assert_eq!(w.send(Method::GET, "/v3/local/volumes/x/locks", "").await.1, serde_json::json!([]));
}
