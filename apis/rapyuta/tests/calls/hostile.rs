use http::Method;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::{World, told};

fn methods() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
}

fn targets() -> impl Strategy<Value = String> {
    prop_oneof![
        "/(disk|serviceinstance|v2/disks|serviceclass/(status|add|delete))(/[a-z%0-9-]{0,9}){0,2}/?(\\?[ -~]{0,30})?",
        "/(disk|v2/disks/)\\?(limit|continue|names|labelSelector|deployment_guid)=[ -~]{0,12}",
        "/[ -~]{0,40}",
    ]
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        "\\{\"name\":\"[a-z]{1,5}\",\"capacity\":(4|-1|1e99|null)\\}".prop_map(String::into_bytes),
        "\\{\"metadata\":(\\{\"name\":\"[a-z]{1,5}\"\\}|null|7),\"spec\":(\\{\"capacity\":(6|1)\\}|\\[\\])\\}"
            .prop_map(String::into_bytes),
    ]
}

/// Whatever comes, the answer is an error document of this API or a success: no panic, no internal error.
#[test]
fn nothing_makes_it_stumble() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let all = (methods(), targets(), bodies());
    let outcome = runner.run(&all, |(method, target, body)| {
        let (status, document) = told(runtime.block_on(world.reply(method.clone(), &target, &body)));
        prop_assert!(status != 500, "{} {}: {}", method, target, document);
        Ok(())
    });
    outcome.unwrap();
}
