//! Looking up projects, users, roles and domains, by id or by name.

use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{Principal, Role};
use parpen_model::{Condition, Kind, PrincipalId, Project, ProjectId};
use parpen_service::projects as service;
use serde_json::{Value, json};

use crate::cx::{Cx, one};
use crate::from_wire::id_in_path;
use crate::identity::{DOMAIN_ID, DOMAIN_NAME, domain as brief_domain};

/// A list in Identity's frame, those of the items that the query's `name` and `domain_id` fit.
fn listed(cx: &Cx, key: &str, items: impl IntoIterator<Item = Value>) -> Result<Reply, Condition> {
    let wanted = |field: &str| cx.request.query_value(field);
    let (name, domain) = (wanted("name"), wanted("domain_id"));
    let fits = |item: &Value, field: &str, want: &Option<String>| {
        want.as_ref().is_none_or(|w| item.get(field).is_none_or(|have| have == w))
    };
    let by_name = |item: &Value| match (key, &name) {
        // The one domain's name is matched in any case, as clients write it.
        ("domains", Some(n)) => n.eq_ignore_ascii_case(DOMAIN_NAME),
        _ => fits(item, "name", &name),
    };
    let items: Vec<Value> =
        items.into_iter().filter(|i| by_name(i) && fits(i, "domain_id", &domain)).collect();
    let own = format!("{}{}", cx.base, cx.request.path());
    let body = json!({ key: items, "links": { "self": own, "next": null, "previous": null } });
    Ok(Reply::json(StatusCode::OK, &body))
}

fn project_document(cx: &Cx, p: &Project) -> Value {
    let id = p.id.0.simple().to_string();
    json!({
        "id": id,
        "name": p.name,
        "description": p.description,
        "domain_id": DOMAIN_ID,
        "parent_id": DOMAIN_ID,
        "enabled": true,
        "is_domain": false,
        "tags": [],
        "options": {},
        "links": { "self": format!("{}/identity/v3/projects/{id}", cx.base) },
    })
}

fn user_document(cx: &Cx, p: &Principal) -> Value {
    let id = p.id.0.simple().to_string();
    json!({
        "id": id,
        "name": p.name,
        "domain_id": DOMAIN_ID,
        "enabled": true,
        "password_expires_at": null,
        "options": {},
        "links": { "self": format!("{}/identity/v3/users/{id}", cx.base) },
    })
}

fn role_document(cx: &Cx, r: Role) -> Value {
    json!({
        "id": r.word(),
        "name": r.word(),
        "domain_id": null,
        "description": null,
        "options": {},
        "links": { "self": format!("{}/identity/v3/roles/{}", cx.base, r.word()) },
    })
}

fn domain_document(cx: &Cx) -> Value {
    let mut doc = brief_domain();
    doc["description"] = json!("The only domain");
    doc["enabled"] = json!(true);
    doc["links"] = json!({ "self": format!("{}/identity/v3/domains/{DOMAIN_ID}", cx.base) });
    doc
}

pub(crate) async fn projects(cx: Cx) -> Result<Reply, Condition> {
    let all = service::list(cx.ports(), cx.actor()?).await?;
    listed(&cx, "projects", all.iter().map(|p| project_document(&cx, p)))
}

pub(crate) async fn own_projects(cx: Cx) -> Result<Reply, Condition> {
    projects(cx).await
}

pub(crate) async fn project(cx: Cx) -> Result<Reply, Condition> {
    let id = ProjectId(id_in_path(Kind::Project, cx.param("id"))?);
    let all = service::list(cx.ports(), cx.actor()?).await?;
    let found = all.iter().find(|p| p.id == id).ok_or_else(|| Condition::not_found(Kind::Project, id))?;
    one(StatusCode::OK, "project", project_document(&cx, found))
}

pub(crate) async fn users(cx: Cx) -> Result<Reply, Condition> {
    let all = service::principals(cx.ports(), cx.actor()?).await?;
    listed(&cx, "users", all.iter().map(|p| user_document(&cx, p)))
}

/// The user that the path names.
async fn named_user(cx: &Cx) -> Result<Principal, Condition> {
    let id = PrincipalId(id_in_path(Kind::Principal, cx.param("id"))?);
    let all = service::principals(cx.ports(), cx.actor()?).await?;
    all.into_iter().find(|p| p.id == id).ok_or_else(|| Condition::not_found(Kind::Principal, id))
}

pub(crate) async fn user(cx: Cx) -> Result<Reply, Condition> {
    one(StatusCode::OK, "user", user_document(&cx, &named_user(&cx).await?))
}

pub(crate) async fn user_projects(cx: Cx) -> Result<Reply, Condition> {
    let user = named_user(&cx).await?;
    let all = service::list(cx.ports(), cx.actor()?).await?;
    let his = all.iter().filter(|p| user.roles.iter().any(|(project, _)| *project == p.id));
    listed(&cx, "projects", his.map(|p| project_document(&cx, p)))
}

pub(crate) async fn roles(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    listed(&cx, "roles", Role::ALL.map(|r| role_document(&cx, r)))
}

pub(crate) async fn role(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    let id = cx.param("id");
    let found = Role::ALL.into_iter().find(|r| r.word() == id);
    let role = found.ok_or_else(|| Condition::not_found(Kind::Other, format!("role {id}")))?;
    one(StatusCode::OK, "role", role_document(&cx, role))
}

pub(crate) async fn assignments(cx: Cx) -> Result<Reply, Condition> {
    let wanted = |name: &str| cx.request.query_value(name);
    let (user, project, role) = (wanted("user.id"), wanted("scope.project.id"), wanted("role.id"));
    let mut items = Vec::new();
    for principal in service::principals(cx.ports(), cx.actor()?).await? {
        let user_id = principal.id.0.simple().to_string();
        for (of, given) in &principal.roles {
            let project_id = of.0.simple().to_string();
            let parts = [(&user, user_id.as_str()), (&project, &project_id), (&role, given.word())];
            if parts.iter().all(|(want, have)| want.as_ref().is_none_or(|w| w == have)) {
                let assignment = format!(
                    "{}/identity/v3/projects/{project_id}/users/{user_id}/roles/{}",
                    cx.base,
                    given.word()
                );
                items.push(json!({
                    "role": { "id": given.word() },
                    "user": { "id": user_id },
                    "scope": { "project": { "id": project_id } },
                    "links": { "assignment": assignment },
                }));
            }
        }
    }
    listed(&cx, "role_assignments", items)
}

pub(crate) async fn domains(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    listed(&cx, "domains", [domain_document(&cx)])
}

pub(crate) async fn domain(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    match cx.param("id") {
        DOMAIN_ID => one(StatusCode::OK, "domain", domain_document(&cx)),
        other => Err(Condition::not_found(Kind::Other, format!("domain {other}"))),
    }
}
