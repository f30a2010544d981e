//! Projects, users, roles and application credentials; and what each persona may do.

use http::Method;
use serde_json::{Value, json};

use crate::{Cinder, Got};

const V3: &str = "/identity/v3";

impl Cinder {
    /// An identity call of the first principal.
    pub(crate) async fn identity(&self, method: Method, path: &str, body: Value) -> Got {
        self.identity_as(&self.token, method, path, body).await
    }

    pub(crate) async fn identity_as(&self, token: &str, method: Method, path: &str, body: Value) -> Got {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.raw(method, &format!("{V3}{path}"), &[("x-auth-token", token)], &body).await
    }

    /// A call of another bearer, in the newest version.
    pub(crate) async fn call_as(&self, token: &str, method: Method, path: &str, body: Value) -> Got {
        let headers = [("x-auth-token", token), ("openstack-api-version", "volume 3.71")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.raw(method, &format!("/volume/v3{path}"), &headers, &body).await
    }

    pub(crate) async fn project(&self, name: &str) -> String {
        let got = self.identity(Method::POST, "/projects", json!({ "project": { "name": name } })).await;
        assert_eq!(got.status, 201, "{}", got.body);
        got.body["project"]["id"].as_str().unwrap().to_string()
    }

    /// A user with a role in a project: its id and a token for it.
    pub(crate) async fn persona(&self, name: &str, project: &str, role: &str) -> (String, String) {
        let user = json!({ "user": { "name": name, "password": "pass word" } });
        let got = self.identity(Method::POST, "/users", user).await;
        assert_eq!(got.status, 201, "{}", got.body);
        let id = got.body["user"]["id"].as_str().unwrap().to_string();
        let at = format!("/projects/{project}/users/{id}/roles/{role}");
        assert_eq!(self.identity(Method::PUT, &at, Value::Null).await.status, 204);
        let token = self.enter(name, json!({ "project": { "id": project } })).await.unwrap();
        (id, token)
    }

    /// Logs a persona in.
    pub(crate) async fn enter(&self, name: &str, scope: Value) -> Result<String, u16> {
        let user = json!({ "name": name, "domain": { "id": "default" }, "password": "pass word" });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        let got = self.issue(&json!({ "auth": { "identity": identity, "scope": scope } })).await;
        match got.status {
            201 => Ok(got.headers["x-subject-token"].to_str().unwrap().to_string()),
            other => Err(other),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_are_made_found_changed_and_removed() {
    let c = Cinder::start().await;
    let wish =
        json!({ "project": { "name": "demo", "description": "d", "domain_id": "default", "tags": [] } });
    let got = c.identity(Method::POST, "/projects", wish.clone()).await;
    let keys = [
        "description",
        "domain_id",
        "enabled",
        "id",
        "is_domain",
        "links",
        "name",
        "options",
        "parent_id",
        "tags",
    ];
    assert_eq!((got.status, got.keys("project")), (201, keys.to_vec()));
    let id = got.body["project"]["id"].as_str().unwrap().to_string();
    let again = c.identity(Method::POST, "/projects", wish).await.error();
    assert_eq!((again.0, again.1.as_str()), (409, "error"));
    assert!(again.2.starts_with("Conflict occurred attempting to store project"), "{}", again.2);
    let by_name = c.identity(Method::GET, "/projects?name=demo", Value::Null).await;
    assert_eq!(by_name.body["projects"][0]["id"], id);
    let at = format!("/projects/{id}");
    let edit = json!({ "project": { "name": "demo2", "enabled": false } });
    assert_eq!(c.identity(Method::PATCH, &at, edit).await.body["project"]["enabled"], false);
    let (_, text) = (0, c.identity(Method::GET, "/projects/demo2", Value::Null).await.error());
    assert_eq!((text.0, text.2.as_str()), (404, "Could not find project: demo2."));
    assert_eq!(c.identity(Method::DELETE, &at, Value::Null).await.status, 204);
    assert_eq!(c.identity(Method::GET, &at, Value::Null).await.status, 404);
    let own = format!("/projects/{}", c.project);
    for (method, body) in [
        (Method::DELETE, Value::Null),
        (Method::PATCH, json!({ "project": { "name": "other" } })),
        (Method::PATCH, json!({ "project": { "enabled": false } })),
    ] {
        let refused = c.identity(method, &own, body).await;
        assert_eq!(refused.status, 409, "the project of all sides stays: {}", refused.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_with_volumes_stays_and_takes_its_quota_along_when_it_goes() {
    let c = Cinder::start().await;
    let demo = c.project("demo").await;
    let (_, token) = c.persona("anna", &demo, "member").await;
    let volume = json!({ "volume": { "size": 1 } });
    let made = c.call_as(&token, Method::POST, "/volumes", volume.clone()).await;
    let id = made.body["volume"]["id"].as_str().unwrap().to_string();
    c.until(&format!("/volumes/{id}"), "volume", "status", "available").await;
    let quota = json!({ "quota_set": { "volumes": 1 } });
    assert_eq!(c.put(&format!("/os-quota-sets/{demo}"), quota).await.status, 200);
    assert_eq!(c.call_as(&token, Method::POST, "/volumes", volume.clone()).await.status, 413);
    assert_eq!(c.post("/volumes", json!({ "volume": { "size": 1 } })).await.status, 202, "others go on");
    let at = format!("/projects/{demo}");
    let held = c.identity(Method::DELETE, &at, Value::Null).await.error();
    assert_eq!((held.0, held.2.contains("in use by volume")), (409, true), "{}", held.2);
    assert_eq!(c.call_as(&token, Method::DELETE, &format!("/volumes/{id}"), Value::Null).await.status, 202);
    c.until_gone(&format!("/volumes/{id}")).await;
    assert_eq!(c.identity(Method::DELETE, &at, Value::Null).await.status, 204);
    assert_eq!(c.call_as(&token, Method::GET, "/volumes", Value::Null).await.status, 401, "its tokens end");
    assert_eq!(c.enter("anna", json!({ "project": { "id": demo } })).await, Err(401));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_log_in_with_what_they_were_given_until_it_is_taken() {
    let c = Cinder::start().await;
    let demo = c.project("demo").await;
    let (id, token) = c.persona("anna", &demo, "member").await;
    let scope = || json!({ "project": { "name": "demo", "domain": { "name": "Default" } } });
    let at = format!("/users/{id}");
    let shown = c.identity(Method::GET, &at, Value::Null).await;
    let keys = ["domain_id", "enabled", "id", "links", "name", "options", "password_expires_at"];
    assert_eq!(shown.keys("user"), keys);
    let wrong = json!({ "user": { "password": "x", "original_password": "wrong" } });
    let password = format!("{at}/password");
    assert_eq!(c.identity_as(&token, Method::POST, &password, wrong).await.status, 401);
    let right = json!({ "user": { "password": "other", "original_password": "pass word" } });
    assert_eq!(c.identity_as(&token, Method::POST, &password, right).await.status, 204);
    assert_eq!(c.identity_as(&token, Method::GET, &at, Value::Null).await.status, 401, "old tokens end");
    assert_eq!(c.enter("anna", scope()).await, Err(401));
    let back = json!({ "user": { "password": "pass word", "email": "a@b", "description": null } });
    assert_eq!(c.identity(Method::PATCH, &at, back).await.body["user"]["email"], "a@b");
    let token = c.enter("anna", scope()).await.unwrap();
    let role = format!("/projects/{demo}/users/{id}/roles/member");
    assert_eq!(c.identity(Method::HEAD, &role, Value::Null).await.status, 204);
    let listed = c.identity(Method::GET, &format!("/projects/{demo}/users/{id}/roles"), Value::Null).await;
    assert_eq!(listed.body["roles"][0]["name"], "member");
    let query = format!("/role_assignments?scope.project.id={demo}&user.id={id}&include_names=1");
    let assigned = c.identity(Method::GET, &query, Value::Null).await.body["role_assignments"].clone();
    assert_eq!((assigned.as_array().unwrap().len(), &assigned[0]["role"]["name"]), (1, &json!("member")));
    assert_eq!(c.identity(Method::DELETE, &role, Value::Null).await.status, 204);
    assert_eq!(c.identity(Method::DELETE, &role, Value::Null).await.status, 404);
    assert_eq!(
        c.call_as(&token, Method::GET, "/volumes", Value::Null).await.status,
        403,
        "no role, no entry"
    );
    c.identity(Method::PUT, &role, Value::Null).await;
    let off = json!({ "user": { "enabled": false } });
    c.identity(Method::PATCH, &at, off).await;
    assert_eq!(c.call_as(&token, Method::GET, "/volumes", Value::Null).await.status, 401);
    assert_eq!(c.enter("anna", scope()).await, Err(401));
    assert_eq!(c.identity(Method::DELETE, &at, Value::Null).await.status, 204);
    assert_eq!(
        c.identity(Method::GET, &at, Value::Null).await.error().2,
        format!("Could not find user: {}.", dashed(&id))
    );
    let admin =
        c.identity(Method::GET, "/users?name=admin", Value::Null).await.body["users"][0]["id"].clone();
    let admin = format!("/users/{}", admin.as_str().unwrap());
    for (method, body) in [
        (Method::DELETE, Value::Null),
        (Method::PATCH, json!({ "user": { "password": "x" } })),
        (Method::PATCH, json!({ "user": { "enabled": false } })),
    ] {
        assert_eq!(c.identity(method, &admin, body).await.status, 409, "who holds all secrets stays");
    }
}

fn dashed(id: &str) -> String {
    uuid::Uuid::parse_str(id).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn application_credentials_act_in_one_project_until_they_end() {
    let c = Cinder::start().await;
    let demo = c.project("demo").await;
    let (user, token) = c.persona("anna", &demo, "member").await;
    let at = format!("/users/{user}/application_credentials");
    let wish = |name: &str, more: Value| {
        let mut doc = json!({ "name": name });
        doc.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "application_credential": doc })
    };
    let made = c.identity_as(&token, Method::POST, &at, wish("backup", json!({ "secret": null }))).await;
    let keys = [
        "description",
        "expires_at",
        "id",
        "links",
        "name",
        "project_id",
        "roles",
        "secret",
        "system",
        "unrestricted",
        "user_id",
    ];
    assert_eq!((made.status, made.keys("application_credential")), (201, keys.to_vec()));
    let doc = &made.body["application_credential"];
    let enter = async |given: Value| {
        let identity = json!({ "methods": ["application_credential"], "application_credential": given });
        c.issue(&json!({ "auth": { "identity": identity } })).await
    };
    let by_id = enter(json!({ "id": doc["id"], "secret": doc["secret"] })).await;
    assert_eq!((by_id.status, &by_id.body["token"]["project"]["id"]), (201, &json!(demo)));
    assert_eq!(by_id.body["token"]["application_credential"]["name"], "backup");
    let named = json!({ "name": "backup", "secret": doc["secret"],
                        "user": { "name": "anna", "domain": { "id": "default" } } });
    assert_eq!(enter(named).await.status, 201);
    let app = by_id.headers["x-subject-token"].to_str().unwrap();
    assert_eq!(c.call_as(app, Method::GET, "/volumes", Value::Null).await.status, 200);
    let another = c.identity_as(app, Method::POST, &at, wish("more", json!({}))).await;
    assert_eq!(another.status, 403, "a restricted program makes no other");
    let admin = wish("up", json!({ "roles": [{ "name": "admin" }] }));
    assert_eq!(
        c.identity_as(&token, Method::POST, &at, admin).await.status,
        400,
        "no more than its user has"
    );
    let past = wish("old", json!({ "expires_at": "2020-01-01T00:00:00" }));
    assert_eq!(c.identity_as(&token, Method::POST, &at, past).await.status, 400);
    assert_eq!(c.identity_as(&token, Method::POST, &at, wish("backup", json!({}))).await.status, 409);
    let rules = wish("rules", json!({ "access_rules": [{ "path": "/x" }] }));
    assert_eq!(
        c.identity_as(&token, Method::POST, &at, rules).await.status,
        400,
        "what is not obeyed is refused"
    );
    let all = c.identity_as(&token, Method::GET, &at, Value::Null).await;
    assert_eq!(all.body["application_credentials"].as_array().unwrap().len(), 1);
    assert!(all.body["application_credentials"][0].get("secret").is_none(), "told once");
    assert_eq!(enter(json!({ "id": doc["id"], "secret": "wrong" })).await.status, 401);
    let edit = json!({ "user": { "password": "pass word" } });
    assert_eq!(c.identity(Method::PATCH, &format!("/users/{user}"), edit).await.status, 200);
    let seen = c.call_as(app, Method::GET, "/volumes", Value::Null).await.status;
    assert_eq!(seen, 401, "a new password ends programs' tokens, too");
    let again = enter(json!({ "id": doc["id"], "secret": doc["secret"] })).await;
    assert_eq!(again.status, 201, "and not their credentials");
    let app = again.headers["x-subject-token"].to_str().unwrap();
    let token = c.enter("anna", json!({ "project": { "id": demo } })).await.unwrap();
    let one = format!("{at}/{}", doc["id"].as_str().unwrap());
    let stranger = c.persona("bert", &demo, "member").await.1;
    assert_eq!(c.identity_as(&stranger, Method::DELETE, &one, Value::Null).await.status, 403);
    assert_eq!(c.identity_as(&token, Method::DELETE, &one, Value::Null).await.status, 204);
    assert_eq!(
        c.call_as(app, Method::GET, "/volumes", Value::Null).await.status,
        401,
        "its tokens end with it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_and_the_domain_are_scopes_of_those_who_operate() {
    let c = Cinder::start().await;
    let got = c.issue(&c.password(json!({ "system": { "all": true } }))).await;
    let token = got.headers["x-subject-token"].to_str().unwrap().to_string();
    assert_eq!((got.status, &got.body["token"]["system"]), (201, &json!({ "all": true })));
    assert!(got.body["token"].get("project").is_none());
    assert_eq!(c.call_as(&token, Method::GET, "/os-services", Value::Null).await.status, 200);
    let kind = json!({ "volume_type": { "name": "fast" } });
    assert_eq!(c.call_as(&token, Method::POST, "/types", kind).await.status, 200);
    let volume = json!({ "volume": { "size": 1 } });
    assert_eq!(c.call_as(&token, Method::POST, "/volumes", volume).await.status, 403, "in whose project?");
    let domain = c.issue(&c.password(json!({ "domain": { "id": "default" } }))).await;
    assert_eq!((domain.status, &domain.body["token"]["domain"]["id"]), (201, &json!("default")));
    let (user, _) = c.persona("anna", &c.project, "member").await;
    assert_eq!(c.enter("anna", json!({ "system": { "all": true } })).await, Err(401));
    let role = format!("/system/users/{user}/roles/reader");
    assert_eq!(c.identity(Method::PUT, &role, Value::Null).await.status, 204);
    let reader = c.enter("anna", json!({ "system": { "all": true } })).await.unwrap();
    assert_eq!(
        c.call_as(&reader, Method::GET, "/volumes/detail?all_tenants=1", Value::Null).await.status,
        200
    );
    let kind = json!({ "volume_type": { "name": "slow" } });
    assert_eq!(c.call_as(&reader, Method::POST, "/types", kind).await.status, 403);
}

/// What each persona is answered: reader, member, admin of another project's neighbour.
#[tokio::test(flavor = "multi_thread")]
async fn personas_may_what_cinders_policy_says() {
    let c = Cinder::start().await;
    let (demo, other) = (c.project("demo").await, c.project("other").await);
    let (_, reader) = c.persona("reader", &demo, "reader").await;
    let (_, member) = c.persona("member", &demo, "member").await;
    let (_, stranger) = c.persona("stranger", &other, "member").await;
    let t =
        c.post("/types", json!({ "volume_type": { "name": "t", "extra_specs": { "secret": "s" } } })).await;
    let t = t.body["volume_type"]["id"].as_str().unwrap().to_string();
    let q = c.post("/qos-specs", json!({ "qos_specs": { "name": "q" } })).await;
    let q = q.body["qos_specs"]["id"].as_str().unwrap().to_string();
    let volume = c.call_as(&member, Method::POST, "/volumes", json!({ "volume": { "size": 1 } })).await;
    let v = volume.body["volume"]["id"].as_str().unwrap().to_string();
    let spec = json!({ "extra_specs": { "a": "b" } });
    let kind = json!({ "volume_type": { "name": "x" } });
    let table: Vec<(Method, String, Value, [u16; 3])> = vec![
        (Method::GET, "/volumes".into(), Value::Null, [200, 200, 200]),
        (Method::GET, format!("/volumes/{v}"), Value::Null, [200, 200, 404]),
        (Method::POST, "/volumes".into(), json!({ "volume": { "size": 1 } }), [403, 202, 202]),
        (Method::PUT, format!("/volumes/{v}"), json!({ "volume": { "name": "n" } }), [403, 200, 404]),
        (Method::GET, "/types".into(), Value::Null, [200, 200, 200]),
        (Method::GET, format!("/types/{t}/extra_specs"), Value::Null, [200, 200, 200]),
        (Method::POST, "/types".into(), kind, [403, 403, 403]),
        (Method::PUT, format!("/types/{t}"), json!({ "volume_type": { "name": "n" } }), [403, 403, 403]),
        (Method::DELETE, format!("/types/{t}"), Value::Null, [403, 403, 403]),
        (Method::POST, format!("/types/{t}/extra_specs"), spec, [403, 403, 403]),
        (Method::GET, format!("/types/{t}/encryption"), Value::Null, [403, 403, 403]),
        (Method::GET, format!("/types/{t}/os-volume-type-access"), Value::Null, [403, 403, 403]),
        (Method::GET, "/default-types".into(), Value::Null, [403, 403, 403]),
        (Method::GET, "/qos-specs".into(), Value::Null, [403, 403, 403]),
        (Method::DELETE, format!("/qos-specs/{q}"), Value::Null, [403, 403, 403]),
        (Method::GET, format!("/os-quota-sets/{demo}"), Value::Null, [200, 200, 403]),
        (Method::GET, format!("/os-quota-sets/{demo}/defaults"), Value::Null, [200, 200, 403]),
        (
            Method::PUT,
            format!("/os-quota-sets/{demo}"),
            json!({ "quota_set": { "volumes": 9 } }),
            [403, 403, 403],
        ),
        (Method::DELETE, format!("/os-quota-sets/{demo}"), Value::Null, [403, 403, 403]),
        (Method::GET, "/os-quota-class-sets/default".into(), Value::Null, [403, 403, 403]),
        (Method::GET, "/limits".into(), Value::Null, [200, 200, 200]),
    ];
    for (method, path, body, wanted) in table {
        for (token, status) in [&reader, &member, &stranger].into_iter().zip(wanted) {
            let got = c.call_as(token, method.clone(), &path, body.clone()).await;
            assert_eq!(got.status, status, "{method} {path}: {}", got.body);
        }
    }
    let shown = c.call_as(&reader, Method::GET, &format!("/types/{t}"), Value::Null).await;
    assert_eq!(shown.keys("volume_type"), ["description", "extra_specs", "id", "is_public", "name"]);
    assert_eq!(shown.body["volume_type"]["extra_specs"], json!({}), "specs are the operator's");
    let identity: [(Method, String, Value); 6] = [
        (Method::POST, "/projects".into(), json!({ "project": { "name": "p" } })),
        (Method::DELETE, format!("/projects/{demo}"), Value::Null),
        (Method::GET, "/users".into(), Value::Null),
        (Method::POST, "/users".into(), json!({ "user": { "name": "p" } })),
        (Method::GET, "/role_assignments".into(), Value::Null),
        (Method::PUT, format!("/projects/{demo}/users/{}/roles/admin", "0".repeat(32)), Value::Null),
    ];
    for (method, path, body) in identity {
        let got = c.identity_as(&member, method.clone(), &path, body).await;
        assert_eq!(got.status, 403, "{method} {path}: {}", got.body);
    }
    let foreign = c.identity_as(&member, Method::GET, &format!("/projects/{other}"), Value::Null).await;
    assert_eq!(foreign.status, 404, "another project is not seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_and_no_secret_is_repeated() {
    let c = Cinder::start().await;
    let table = [
        ("/projects", json!({ "project": {} })),
        ("/projects", json!({ "project": { "name": "" } })),
        ("/projects", json!({ "project": { "name": "x".repeat(65) } })),
        ("/projects", json!({ "project": { "name": "x", "tags": ["kept?"] } })),
        ("/projects", json!({ "project": { "name": "x", "enabled": "perhaps" } })),
        ("/projects", json!([])),
        ("/users", json!({ "user": { "name": 1 } })),
        ("/users", json!({ "user": { "name": "a", "password": ["hunter2"] } })),
        ("/users", json!({ "user": { "name": "a", "password": "" } })),
        ("/users", json!({ "user": { "name": "a", "default_project_id": "x" } })),
        ("/users", json!({ "user": null })),
    ];
    for (path, body) in table {
        let got = c.identity(Method::POST, path, body.clone()).await;
        assert_eq!(got.status, 400, "{path} {body}: {}", got.body);
        assert!(!got.body.to_string().contains("hunter2"));
    }
    let domain = json!({ "project": { "name": "x", "domain_id": "other" } });
    assert_eq!(c.identity(Method::POST, "/projects", domain).await.status, 404);
}

/// A token that was given before its user, its user's password or its project was taken back worked again as soon as
/// that was enabled again: whoever had stolen it only had to wait.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_before_a_ban_opens_nothing_after_it() {
    let c = Cinder::start().await;
    let demo = c.project("demo").await;
    let other = c.project("other").await;
    let (anna, _) = c.persona("anna", &demo, "member").await;
    let (user, place) = (format!("/users/{anna}"), format!("/projects/{demo}"));
    let here = json!({ "project": { "id": demo } });
    let works = async |token: &str| {
        let seen = c.call_as(token, Method::GET, "/volumes", Value::Null).await.status;
        assert!(matches!(seen, 200 | 401), "{seen}");
        seen == 200
    };
    for (at, what) in [(&user, "user"), (&place, "project")] {
        let given = c.enter("anna", here.clone()).await.unwrap();
        assert!(works(&given).await);
        for enabled in [false, true] {
            let edit = json!({ (what): { "enabled": enabled } });
            assert_eq!(c.identity(Method::PATCH, at, edit).await.status, 200);
            assert!(!works(&given).await, "{what} enabled {enabled}");
            assert_eq!(c.enter("anna", here.clone()).await.is_ok(), enabled);
        }
    }
    let given = c.enter("anna", here.clone()).await.unwrap();
    let elsewhere = json!({ "project": { "enabled": false } });
    assert_eq!(c.identity(Method::PATCH, &format!("/projects/{other}"), elsewhere).await.status, 200);
    assert!(works(&given).await, "another project's ban is none of hers");
    for password in ["another one", "pass word"] {
        let edit = json!({ "user": { "password": password } });
        assert_eq!(c.identity(Method::PATCH, &user, edit).await.status, 200);
        assert!(!works(&given).await, "also when the password is the old one again");
    }
}
