//! Users.

use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{About, Edit, NewPerson, Power, Principal, add, change, may, remove, set_password};
use parpen_model::{Condition, Kind, PrincipalId};
use parpen_service::projects as service;
use serde_json::{Value, json};

use super::{
    DOMAIN_ID, check_domain_id, hex, listed, project_field, projects as project_documents, refuse_unkept,
};
use crate::cx::{Cx, one};
use crate::fields::{Fields, refuse, required};
use crate::from_wire::id_in_path;
use crate::strict::TEXT_MAX;

fn document(cx: &Cx, p: &Principal) -> Value {
    let id = hex(p.id.0);
    let mut doc = json!({
        "id": id,
        "name": p.name,
        "domain_id": DOMAIN_ID,
        "enabled": p.enabled,
        "password_expires_at": null,
        "options": {},
        "links": { "self": format!("{}/identity/v3/users/{id}", cx.base) },
    });
    let about = &p.about;
    let project = about.default_project.map(|p| hex(p.0));
    for (key, value) in
        [("description", &about.description), ("email", &about.email), ("default_project_id", &project)]
    {
        if let Some(value) = value {
            doc[key] = json!(value);
        }
    }
    doc
}

pub(super) fn id(cx: &Cx, param: &str) -> Result<PrincipalId, Condition> {
    id_in_path(Kind::Principal, cx.param(param)).map(PrincipalId)
}

/// A password, which may begin or end with a blank and is taken as it is.
fn secret(fields: &Fields, name: &str) -> Result<Option<String>, Condition> {
    match fields.get(name) {
        None => Ok(None),
        Some(Value::String(s)) => Ok(Some(s.clone())),
        // A wrong value is not repeated: it may be the secret all the same.
        Some(_) => Err(refuse(name, &json!("***"), "is not of type 'string'")),
    }
}

/// What is kept of a user: as it was, and what the document says.
fn about(fields: &Fields, was: About) -> Result<About, Condition> {
    let there = |name: &str| fields.0.contains_key(name);
    let text = |name: &str, was: Option<String>| {
        if there(name) { fields.text(name, TEXT_MAX) } else { Ok(was) }
    };
    Ok(About {
        description: text("description", was.description)?,
        email: text("email", was.email)?,
        default_project: match there("default_project_id") {
            true => project_field(fields, "default_project_id")?,
            false => was.default_project,
        },
    })
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let all = service::principals(cx.ports(), cx.actor()?).await?;
    listed(&cx, "users", &["name", "domain_id", "enabled"], all.iter().map(|p| document(&cx, p)))
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    let user = service::principal(cx.ports(), cx.actor()?, id(&cx, "id")?).await?;
    one(StatusCode::OK, "user", document(&cx, &user))
}

pub(crate) async fn projects(cx: Cx) -> Result<Reply, Condition> {
    let user = service::principal(cx.ports(), cx.actor()?, id(&cx, "id")?).await?;
    let all = match cx.actor()?.principal == user.id {
        true => service::own(cx.ports(), cx.actor()?).await?,
        false => service::list(cx.ports(), cx.actor()?).await?,
    };
    let his = all.iter().filter(|p| user.roles.iter().any(|(project, _)| *project == p.id));
    listed(&cx, "projects", &["name", "enabled"], his.map(|p| project_documents::document(&cx, p)))
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let fields = Fields::read(&mut cx.request, "user").await?;
    check_domain_id(&fields)?;
    refuse_unkept(&fields, &["options", "federated"])?;
    let new = NewPerson {
        name: fields.text("name", TEXT_MAX)?.ok_or_else(|| required("name"))?,
        password: secret(&fields, "password")?,
        enabled: fields.flag("enabled")?.unwrap_or(true),
        about: about(&fields, About::default())?,
    };
    let ports = cx.ports();
    let made = add(&*ports.meta, &*ports.entropy, &*ports.clock, cx.actor()?, new).await?;
    one(StatusCode::CREATED, "user", document(&cx, &made))
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let fields = Fields::read(&mut cx.request, "user").await?;
    check_domain_id(&fields)?;
    refuse_unkept(&fields, &["options", "federated"])?;
    let (ports, id) = (cx.ports(), id(&cx, "id")?);
    let was = service::principal(ports, cx.actor()?, id).await?.about;
    let edit = Edit {
        name: fields.text("name", TEXT_MAX)?,
        password: secret(&fields, "password")?,
        enabled: fields.flag("enabled")?,
        about: Some(about(&fields, was)?),
    };
    let changed = change(&*ports.meta, &*ports.entropy, &*ports.clock, cx.actor()?, id, edit).await?;
    one(StatusCode::OK, "user", document(&cx, &changed))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    remove(&*cx.ports().meta, cx.actor()?, id(&cx, "id")?).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn password(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read(&mut cx.request, "user").await?;
    let actor = cx.actor()?;
    if id(&cx, "id")? != actor.principal {
        return Err(Condition::Forbidden("a password is changed by its own user".into()));
    }
    let given = |name: &str| secret(&fields, name)?.ok_or_else(|| required(name));
    let (old, new) = (given("original_password")?, given("password")?);
    let ports = cx.ports();
    set_password(&*ports.meta, &*ports.entropy, &*ports.clock, actor, old, new).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}
