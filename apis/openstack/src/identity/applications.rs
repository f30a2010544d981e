//! Application credentials: programs that act for a user in one project.

use http::StatusCode;
use jiff::Timestamp;
use parpen_http::Reply;
use parpen_identity::{
    Credential, NewApplication, Role, application, applications, forget_application, new_application,
};
use parpen_model::{Condition, CredentialId, Kind};
use serde_json::{Value, json};

use super::{hex, listed, refuse_unkept, users};
use crate::cx::{Cx, one};
use crate::fields::{Fields, refuse, required};
use crate::from_wire::id_in_path;
use crate::strict::TEXT_MAX;
use crate::to_wire::time;

fn document(cx: &Cx, c: &Credential) -> Value {
    let Some(a) = &c.application else { return Value::Null };
    let (id, user) = (hex(c.id.0), hex(c.principal.0));
    let role = |r: &Role| json!({ "id": r.word(), "name": r.word(), "domain_id": null });
    json!({
        "id": id,
        "name": a.name,
        "description": a.description,
        "user_id": user,
        "project_id": hex(a.project.0),
        "system": null,
        "roles": a.roles.iter().map(role).collect::<Vec<_>>(),
        "expires_at": a.expires.map(time),
        "unrestricted": a.unrestricted,
        "links": { "self": format!("{}/identity/v3/users/{user}/application_credentials/{id}", cx.base) },
    })
}

fn credential(cx: &Cx) -> Result<CredentialId, Condition> {
    id_in_path(Kind::Credential, cx.param("credential")).map(CredentialId)
}

/// A moment with a zone or in UTC.
fn moment(fields: &Fields, name: &str) -> Result<Option<Timestamp>, Condition> {
    let Some(text) = fields.text(name, TEXT_MAX)? else { return Ok(None) };
    let parsed = text.parse().or_else(|_| format!("{text}Z").parse());
    let parsed: Result<Timestamp, _> = parsed;
    parsed.map(Some).map_err(|_| refuse(name, &json!(text), "is not a 'date-time'"))
}

fn roles(fields: &Fields) -> Result<Option<Vec<Role>>, Condition> {
    let all = match fields.get("roles") {
        None => return Ok(None),
        Some(Value::Array(all)) if all.is_empty() => return Ok(None),
        Some(Value::Array(all)) => all,
        Some(other) => return Err(refuse("roles", other, "is not of type 'array'")),
    };
    let one = |given: &Value| {
        let word = given.get("id").or(given.get("name")).and_then(Value::as_str);
        let found = Role::ALL.into_iter().find(|r| Some(r.word()) == word);
        found.ok_or_else(|| Condition::not_found(Kind::Other, format!("role: {}", word.unwrap_or_default())))
    };
    all.iter().map(one).collect::<Result<_, _>>().map(Some)
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let all = applications(&*cx.ports().meta, cx.actor()?, users::id(&cx, "id")?).await?;
    listed(&cx, "application_credentials", &["name"], all.iter().map(|c| document(&cx, c)))
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    let of = users::id(&cx, "id")?;
    let found = application(&*cx.ports().meta, cx.actor()?, of, credential(&cx)?).await?;
    one(StatusCode::OK, "application_credential", document(&cx, &found))
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read(&mut cx.request, "application_credential").await?;
    refuse_unkept(&fields, &["access_rules"])?;
    let (actor, token) = cx.known()?;
    if token.project.is_none() {
        return Err(Condition::Forbidden(
            "this needs a token for the project that the program works in".into(),
        ));
    }
    let new = NewApplication {
        name: fields.text("name", TEXT_MAX)?.ok_or_else(|| required("name"))?,
        description: fields.text("description", TEXT_MAX)?,
        secret: fields.text("secret", 4096)?,
        expires: moment(&fields, "expires_at")?,
        roles: roles(&fields)?,
        unrestricted: fields.flag("unrestricted")?.unwrap_or(false),
    };
    let (ports, of) = (cx.ports(), users::id(&cx, "id")?);
    let (made, secret) =
        new_application(&*ports.meta, &*ports.entropy, &*ports.clock, actor, of, new).await?;
    let mut doc = document(&cx, &made);
    doc["secret"] = json!(secret);
    one(StatusCode::CREATED, "application_credential", doc)
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    let of = users::id(&cx, "id")?;
    forget_application(&*cx.ports().meta, cx.actor()?, of, credential(&cx)?).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}
