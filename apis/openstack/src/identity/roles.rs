//! Roles, and who has them where. A domain and the system are the same here: the whole service.

use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{Place, Power, Principal, Role, give_role, may, take_role};
use parpen_model::{Condition, Kind, ProjectId};
use parpen_service::projects as service;
use serde_json::{Value, json};

use super::{DOMAIN_ID, domain, hex, listed, users};
use crate::cx::{Cx, one};
use crate::fields::truth;
use crate::from_wire::id_in_path;

fn document(cx: &Cx, r: Role) -> Value {
    json!({
        "id": r.word(),
        "name": r.word(),
        "domain_id": null,
        "description": null,
        "options": {},
        "links": { "self": format!("{}/identity/v3/roles/{}", cx.base, r.word()) },
    })
}

fn role(word: &str) -> Result<Role, Condition> {
    let found = Role::ALL.into_iter().find(|r| r.word() == word);
    found.ok_or_else(|| Condition::not_found(Kind::Other, format!("role: {word}")))
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    listed(&cx, "roles", &["name"], Role::ALL.map(|r| document(&cx, r)))
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    one(StatusCode::OK, "role", document(&cx, role(cx.param("id"))?))
}

/// Where the path speaks of.
fn place(cx: &Cx) -> Result<Place, Condition> {
    match (cx.param("id"), cx.param("domain")) {
        ("", "" | DOMAIN_ID) => Ok(Place::Wide),
        ("", other) => Err(Condition::not_found(Kind::Other, format!("domain: {other}"))),
        (project, _) => id_in_path(Kind::Project, project).map(|p| Place::Project(ProjectId(p))),
    }
}

/// The roles that a user was given there, without those that they imply.
async fn given(cx: &Cx) -> Result<Vec<Role>, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let user = service::principal(cx.ports(), cx.actor()?, users::id(cx, "user")?).await?;
    Ok(match place(cx)? {
        Place::Wide => user.wide,
        Place::Project(p) => {
            service::get(cx.ports(), cx.actor()?, p).await?;
            user.roles.iter().filter(|(of, _)| *of == p).map(|(_, r)| *r).collect()
        }
    })
}

pub(crate) async fn in_project(cx: Cx) -> Result<Reply, Condition> {
    let all = given(&cx).await?;
    listed(&cx, "roles", &[], all.into_iter().map(|r| document(&cx, r)))
}

pub(crate) async fn check(cx: Cx) -> Result<Reply, Condition> {
    let role = role(cx.param("role"))?;
    match given(&cx).await?.contains(&role) {
        true => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        false => {
            Err(Condition::not_found(Kind::Other, format!("role assignment with role: {}", role.word())))
        }
    }
}

pub(crate) async fn grant(cx: Cx) -> Result<Reply, Condition> {
    let (to, at, role) = (users::id(&cx, "user")?, place(&cx)?, role(cx.param("role"))?);
    give_role(&*cx.ports().meta, cx.actor()?, to, at, role).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn take(cx: Cx) -> Result<Reply, Condition> {
    let (from, at, role) = (users::id(&cx, "user")?, place(&cx)?, role(cx.param("role"))?);
    take_role(&*cx.ports().meta, cx.actor()?, from, at, role).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// One assignment; each part is an id and, where the caller asks for them, a name.
fn assignment(cx: &Cx, user: &Principal, project: Option<(&str, &str)>, role: Role) -> Value {
    let names = cx.request.query_pairs().any(|(n, v)| n == "include_names" && truth(&v) != Some(false));
    let part = |(id, name): (&str, &str), domain: Value| match names {
        true => json!({ "id": id, "name": name, "domain": domain }),
        false => json!({ "id": id }),
    };
    let user_id = hex(user.id.0);
    let at = project.map_or("system".to_string(), |(id, _)| format!("projects/{id}"));
    let at = format!("{}/identity/v3/{at}/users/{user_id}/roles/{}", cx.base, role.word());
    let scope = match project {
        Some(project) => json!({ "project": part(project, domain()) }),
        None => json!({ "system": { "all": true } }),
    };
    json!({
        "role": part((role.word(), role.word()), Value::Null),
        "user": part((&user_id, &user.name), domain()),
        "scope": scope,
        "links": { "assignment": at },
    })
}

pub(crate) async fn assignments(cx: Cx) -> Result<Reply, Condition> {
    let wanted = |name: &str| cx.request.query_value(name).filter(|v| !v.is_empty());
    let (user, project, role) = (wanted("user.id"), wanted("scope.project.id"), wanted("role.id"));
    // There are no groups, and the domain's assignments are the system's.
    let none = wanted("group.id").is_some();
    let system_only = wanted("scope.system").is_some() || wanted("scope.domain.id").is_some();
    let all = |want: &Option<String>, have: &str| want.as_ref().is_none_or(|w| w == have);
    let projects = service::list(cx.ports(), cx.actor()?).await?;
    let mut items = Vec::new();
    for principal in service::principals(cx.ports(), cx.actor()?).await? {
        if none || !all(&user, &hex(principal.id.0)) {
            continue;
        }
        for (of, given) in principal.roles.iter().filter(|_| !system_only) {
            let id = hex(of.0);
            if all(&project, &id) && all(&role, given.word()) {
                let named = projects.iter().find(|p| p.id == *of).map_or("", |p| &p.name);
                items.push(assignment(&cx, &principal, Some((&id, named)), *given));
            }
        }
        for given in principal.wide.iter().filter(|r| project.is_none() && all(&role, r.word())) {
            items.push(assignment(&cx, &principal, None, *given));
        }
    }
    listed(&cx, "role_assignments", &[], items)
}
