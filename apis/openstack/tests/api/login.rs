use http::Method;
use serde_json::{Value, json};

use crate::Cinder;

#[tokio::test(flavor = "multi_thread")]
async fn discovery_needs_no_token() {
    let c = Cinder::start().await;
    let table =
        [("/volume", 300), ("/volume/", 300), ("/volume/v3", 200), ("/volume/v3/", 200), ("/identity", 300)];
    for (path, status) in table {
        assert_eq!(c.raw(Method::GET, path, &[], "").await.status, status, "{path}");
    }
    let got = c.raw(Method::GET, "/volume/v3/", &[("host", "storage:80")], "").await;
    let version = &got.body["versions"][0];
    assert_eq!((version["version"].as_str(), version["min_version"].as_str()), (Some("3.71"), Some("3.0")));
    assert!(got.headers["x-openstack-request-id"].to_str().is_ok());
    let hostile = c.raw(Method::GET, "/volume/v3/", &[("host", "<script>")], "").await;
    assert!(!hostile.body.to_string().contains("script"), "a Host header that is none is not repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_gives_a_token_with_roles_and_a_catalog() {
    let c = Cinder::start().await;
    let by_name = json!({ "project": { "name": "admin", "domain": { "id": "default" } } });
    let got = c.issue(&c.password(by_name)).await;
    let token = &got.body["token"];
    assert_eq!(token["project"]["id"], c.project);
    assert_eq!(token["user"]["name"], "admin");
    let types: Vec<&Value> = token["catalog"].as_array().unwrap().iter().map(|e| &e["type"]).collect();
    assert_eq!(types, ["block-storage", "volumev3", "identity", "image"]);
    assert_eq!(token["catalog"][0]["endpoints"][0]["url"], "http://h:1/volume/v3");
    assert_eq!(token["catalog"][1]["endpoints"][0]["url"], format!("http://h:1/volume/v3/{}", c.project));
    assert!(token["roles"].as_array().unwrap().iter().any(|r| r["name"] == "admin"));
    let again = json!({ "auth": {
        "identity": { "methods": ["token"], "token": { "id": c.token } },
        "scope": { "project": { "id": c.project } },
    }});
    assert_eq!(c.issue(&again).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_refused_in_keystones_form() {
    let c = Cinder::start().await;
    let scope = json!({ "project": { "id": c.project } });
    let mut wrong = c.password(scope.clone());
    wrong["auth"]["identity"]["password"]["user"]["password"] = json!("wrong");
    let mut stranger = c.password(scope.clone());
    stranger["auth"]["identity"]["password"]["user"]["name"] = json!("stranger");
    let mut domain = c.password(scope);
    domain["auth"]["identity"]["password"]["user"]["domain"] = json!({ "name": "Other" });
    let project = c.password(json!({ "project": { "name": "none", "domain": { "id": "default" } } }));
    for auth in [wrong, stranger, domain, project] {
        let (status, key, _) = c.issue(&auth).await.error();
        assert_eq!((status, key.as_str()), (401, "error"), "{auth}");
    }
    for body in ["", "[]", "{}", "{\"auth\": 1}", "{\"auth\": {}}", "{\"auth\": {\"identity\": []}}", "{"] {
        let (status, key, _) = c.raw(Method::POST, "/identity/v3/auth/tokens", &[], body).await.error();
        assert_eq!((status, key.as_str()), (400, "error"), "{body:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_validated_and_revoked() {
    let c = Cinder::start().await;
    let tokens = "/identity/v3/auth/tokens";
    let other = c.log_in(json!({ "project": { "id": c.project } })).await;
    let both = [("x-auth-token", c.token.as_str()), ("x-subject-token", other.as_str())];
    let got = c.raw(Method::GET, tokens, &both, "").await;
    assert_eq!((got.status, &got.body["token"]["project"]["id"]), (200, &json!(c.project)));
    assert_eq!(c.raw(Method::DELETE, tokens, &both, "").await.status, 204);
    assert_eq!(c.raw(Method::GET, tokens, &both, "").await.error().0, 404);
    let with = |token: &str| vec![("x-auth-token".to_string(), token.to_string())];
    for (headers, status) in [(with(&other), 401), (with("none"), 401), (vec![], 401), (with(&c.token), 200)]
    {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(c.raw(Method::GET, "/volume/v3/volumes", &headers, "").await.status, status);
    }
    let unscoped = c.log_in(Value::Null).await;
    let headers = [("x-auth-token", unscoped.as_str())];
    assert_eq!(c.raw(Method::GET, "/volume/v3/volumes", &headers, "").await.error().0, 403);
    // It says who somebody is, not what he may do: the operator's own tells him where he may log in, and no more.
    assert_eq!(c.raw(Method::GET, "/identity/v3/auth/projects", &headers, "").await.status, 200);
    assert_eq!(c.raw(Method::GET, "/identity/v3/projects", &headers, "").await.status, 403);
    assert_eq!(c.raw(Method::GET, "/identity/v3/users", &headers, "").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_users_and_roles_are_looked_up() {
    let c = Cinder::start().await;
    let look = async |path: &str| {
        let headers = [("x-auth-token", c.token.as_str())];
        c.raw(Method::GET, &format!("/identity/v3{path}"), &headers, "").await
    };
    assert_eq!(look("/projects?name=admin").await.body["projects"][0]["id"], c.project);
    assert_eq!(look("/projects?name=none").await.body["projects"], json!([]));
    assert_eq!(look("/projects/admin").await.error().0, 404, "a name is looked up through the list");
    assert_eq!(look(&format!("/projects/{}", c.project)).await.body["project"]["name"], "admin");
    let user = look("/users?name=admin").await.body["users"][0]["id"].as_str().unwrap().to_string();
    assert_eq!(look(&format!("/users/{user}")).await.body["user"]["name"], "admin");
    assert_eq!(look("/domains?name=default").await.body["domains"][0]["id"], "default");
    assert_eq!(look("/domains/other").await.status, 404);
    let roles = look("/roles").await.body["roles"].as_array().unwrap().len();
    let path = format!("/role_assignments?user.id={user}&scope.project.id={}", c.project);
    assert_eq!(look(&path).await.body["role_assignments"].as_array().unwrap().len(), roles);
    let named =
        look(&format!("{path}&include_names=True&role.id=admin")).await.body["role_assignments"][0].clone();
    assert_eq!((&named["user"]["name"], &named["role"]["name"]), (&json!("admin"), &json!("admin")));
    assert_eq!(named["scope"]["project"]["name"], "admin");
    assert_eq!(look("/role_assignments?user.id=none").await.body["role_assignments"], json!([]));
    let headers = [("x-auth-token", c.token.as_str())];
    assert_eq!(c.raw(Method::POST, "/identity/v3/projects", &headers, "{}").await.error().0, 400);
}
