use http::Method;
use serde_json::json;

use crate::world::{World, basic, told};

const GET: Method = Method::GET;

#[tokio::test]
async fn without_a_login_there_is_conf_only() {
    let w = World::new().await;
    let (status, document) = w.anonymous(GET, "/v3/local/volumes", "").await;
    assert_eq!((status, &document["message"]), (403, &json!("The current user is not in role USER_ROLE")));
    let refused = [
        (GET, "/v3/local/volumes/x", "", "USER_ROLE"),
        (GET, "/v3/nowhere/volumes", "", "USER_ROLE"),
        (Method::POST, "/v3/local/volumes/x", "{}", "ADMIN_ROLE"),
        (Method::PATCH, "/v3/local/volumes/x", "{}", "UBER_ADMIN_ROLE"),
        (Method::DELETE, "/v3/local/volumes/x", "", "UBER_ADMIN_ROLE"),
        (Method::POST, "/v3/local/volumes/x/snapshots/s", "{}", "ADMIN_ROLE"),
        (GET, "/v3/local/export", "", "ADMIN_ROLE"),
    ];
    for (method, target, body, role) in refused {
        let (status, document) = w.anonymous(method.clone(), target, body).await;
        let text = document["message"].as_str().unwrap();
        assert!(status == 403 && text.ends_with(role), "{method} {target}: {status} {text}");
    }
    // A body that does not fit is told so whoever sends it.
    let (status, _) = w.anonymous(Method::POST, "/v3/local/volumes/x", r#"{"size_total":"1"}"#).await;
    assert_eq!(status, 400);
    assert_eq!(w.anonymous(GET, "/conf/subsystems", "").await, (200, json!(["local", "dummy"])));
    assert_eq!(w.anonymous(GET, "/conf/me/roles", "").await, (200, json!([])));
    assert_eq!(w.anonymous(GET, "/conf/roles/USER_ROLE/am_i_a", "").await, (200, json!(false)));
}

#[tokio::test]
async fn anonymous_readers_only_read() {
    let w = World::with(true).await;
    assert_eq!(w.anonymous(GET, "/v3/local/volumes", "").await, (200, json!([])));
    assert_eq!(w.anonymous(GET, "/conf/me/roles", "").await, (200, json!(["USER_ROLE"])));
    assert_eq!(w.anonymous(Method::POST, "/v3/local/volumes/x", "{}").await.0, 403);
    assert_eq!(w.anonymous(Method::DELETE, "/v3/local/volumes/x", "").await.0, 403);
}

#[tokio::test]
async fn conf_tells_roles() {
    let w = World::new().await;
    let all = json!(["USER_ROLE", "ADMIN_ROLE", "UBER_ADMIN_ROLE"]);
    assert_eq!(w.send(GET, "/conf/roles", "").await, (200, all.clone()));
    assert_eq!(w.send(GET, "/conf/me/roles", "").await, (200, all));
    assert_eq!(w.send(GET, "/conf/roles/UBER_ADMIN_ROLE/am_i_a", "").await, (200, json!(true)));
    assert_eq!(w.send(GET, "/conf/roles/ADMIN_ROLE/egroups", "").await, (200, json!([])));
    assert_eq!(w.send(GET, "/conf/roles/KING/am_i_a", "").await.0, 404);
    assert_eq!(w.send(GET, "/conf/roles/KING/egroups", "").await.0, 404);
}

#[tokio::test]
async fn a_session_begins_with_basic_and_ends_with_logout() {
    let w = World::new().await;
    let right = basic("admin", &w.password);
    let wrong = [basic("admin", "wrong"), basic("nobody", &w.password), "Basic !".into(), "Bearer x".into()];
    for header in &wrong {
        let reply = w.raw(GET, "/login_basic", &[("authorization", header)], b"").await;
        assert_eq!(reply.status.as_u16(), 401, "{header}");
        assert!(reply.headers["www-authenticate"].to_str().unwrap().starts_with("Basic"));
        assert!(told(reply).1["message"].is_string());
    }
    assert_eq!(w.raw(GET, "/login_basic", &[], b"").await.status.as_u16(), 401);
    // On the API's own routes only the cookie counts.
    let volumes = "/v3/local/volumes";
    assert_eq!(w.raw(GET, volumes, &[("authorization", &right)], b"").await.status.as_u16(), 403);
    assert_eq!(w.raw(GET, volumes, &[("cookie", "session=forged")], b"").await.status.as_u16(), 403);
    let reply = w.raw(GET, "/login_basic", &[("authorization", &right)], b"").await;
    let cookie = reply.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_string();
    let cookies = format!("theme=dark; {cookie}");
    assert_eq!(w.raw(GET, volumes, &[("cookie", &cookies)], b"").await.status.as_u16(), 200);
    let out = w.raw(GET, "/logout", &[("cookie", &cookies)], b"").await;
    assert_eq!(out.status.as_u16(), 302);
    assert!(out.headers["set-cookie"].to_str().unwrap().starts_with("session=;"));
    assert_eq!(w.raw(GET, volumes, &[("cookie", &cookies)], b"").await.status.as_u16(), 403);
    assert_eq!(w.send(GET, volumes, "").await.0, 200, "another session goes on");
}

#[tokio::test]
async fn what_is_not_built_says_so() {
    let w = World::new().await;
    let policy = "/v3/local/export/office";
    for (method, target) in [
        (GET, "/v3/local/export"),
        (GET, policy),
        (Method::POST, policy),
        (Method::DELETE, policy),
        (Method::PUT, "/v3/local/export/office/rule/10.0.0.0/8"),
        (Method::DELETE, "/v3/local/export/office/rule/10.0.0.0/8"),
        (GET, "/login"),
        (GET, "/oauth-done"),
        (GET, "/swagger.json"),
    ] {
        let (status, document) = w.send(method, target, "").await;
        assert!(status == 501 && document["message"].is_string(), "{target}: {document}");
    }
    let page = w.reply(GET, "/v3/local/nothing", "").await;
    assert_eq!(
        (page.status.as_u16(), &page.headers["content-type"]),
        (404, &"text/html; charset=utf-8".parse().unwrap())
    );
    let other = w.reply(Method::PUT, "/v3/local/volumes/x", "").await;
    assert_eq!(
        (other.status.as_u16(), other.headers["allow"].to_str().unwrap()),
        (405, "GET, POST, PATCH, DELETE")
    );
}
