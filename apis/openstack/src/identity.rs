//! Tokens: Identity v3 as far as clients of Block Storage need it.

use http::StatusCode;
use http::header::HeaderName;
use parpen_http::{HttpRequest, Reply};
use parpen_identity::{Actor, Login, Power, Token, grant, login, may, redeem, revoke as end};
use parpen_model::{Api, Condition, Kind, Project, ProjectId};
use parpen_service::{Ports, projects};
use serde_json::{Map, Value, json};

use crate::cx::{Cx, House, one};
use crate::fields::{Fields, refuse, required};
use crate::to_wire::time;

/// How long a token holds, in seconds. Clients log in again by themselves when it is over.
const TOKEN_SECONDS: i64 = 12 * 3600;
/// The only domain.
pub(crate) const DOMAIN_ID: &str = "default";
pub(crate) const DOMAIN_NAME: &str = "Default";
const SUBJECT: HeaderName = HeaderName::from_static("x-subject-token");
const TEXT_MAX: usize = 255;

/// The only domain, as a part of other documents.
pub(crate) fn domain() -> Value {
    json!({ "id": DOMAIN_ID, "name": DOMAIN_NAME })
}

fn v3(base: &str) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{ "rel": "self", "href": format!("{base}/identity/v3/") }],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.identity-v3+json"
        }],
    })
}

pub(crate) async fn versions(cx: Cx) -> Result<Reply, Condition> {
    one(StatusCode::MULTIPLE_CHOICES, "versions", json!({ "values": [v3(&cx.base)] }))
}

pub(crate) async fn version(cx: Cx) -> Result<Reply, Condition> {
    one(StatusCode::OK, "version", v3(&cx.base))
}

/// The bearer of the token that a request carries.
pub(crate) async fn bearer(house: &House, request: &HttpRequest) -> Result<(Actor, Token), Condition> {
    let text = request.header("x-auth-token").ok_or_else(|| {
        Condition::Unauthenticated("The request you have made requires authentication.".into())
    })?;
    redeem(&*house.ports.meta, &*house.ports.clock, Api::OpenStack, text).await
}

/// Whether a service speaks for the user: it sends a token of its own beside the user's, and its bearer may operate.
pub(crate) async fn is_service(house: &House, request: &HttpRequest) -> Result<bool, Condition> {
    let Some(text) = request.header("x-service-token") else { return Ok(false) };
    match redeem(&*house.ports.meta, &*house.ports.clock, Api::OpenStack, text).await {
        Ok((actor, _)) => Ok(may(&actor, Power::Operate, None).is_ok()),
        // A service token that has run out makes the request a user's.
        Err(Condition::Unauthenticated(_)) => Ok(false),
        Err(other) => Err(other),
    }
}

/// What a login asks for.
struct Wanted {
    methods: Vec<String>,
    login: Proof,
    /// The project by name or id; none: a token without one.
    project: Option<String>,
}

enum Proof {
    Password { name: String, password: String },
    Token(String),
}

fn object(fields: &Fields, name: &str) -> Result<Option<Fields>, Condition> {
    match fields.get(name) {
        None => Ok(None),
        Some(Value::Object(map)) => Ok(Some(Fields(map.clone()))),
        Some(other) => Err(refuse(name, other, "is not of type 'object'")),
    }
}

fn needed(fields: &Fields, name: &str) -> Result<Fields, Condition> {
    object(fields, name)?.ok_or_else(|| required(name))
}

/// A name is only one together with the domain it is in, and there is one domain.
fn check_domain(fields: &Fields) -> Result<(), Condition> {
    let Some(domain) = object(fields, "domain")? else { return Ok(()) };
    let id = domain.text("id", TEXT_MAX)?;
    let name = domain.text("name", TEXT_MAX)?;
    let wrong_id = id.is_some_and(|id| id != DOMAIN_ID);
    if wrong_id || name.is_some_and(|n| !n.eq_ignore_ascii_case(DOMAIN_NAME)) {
        return Err(Condition::Unauthenticated(format!("the only domain here is {DOMAIN_NAME}")));
    }
    Ok(())
}

/// Who or what is meant: by id, or by name within a domain.
fn meant(fields: &Fields) -> Result<String, Condition> {
    check_domain(fields)?;
    let id = fields.text("id", TEXT_MAX)?;
    id.or(fields.text("name", TEXT_MAX)?).ok_or_else(|| required("name"))
}

fn wanted(auth: &Fields) -> Result<Wanted, Condition> {
    let identity = needed(auth, "identity")?;
    let methods = match identity.get("methods") {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_string).collect(),
        _ => Vec::new(),
    };
    let login = match methods.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["password"] => {
            let user = needed(&needed(&identity, "password")?, "user")?;
            // A password may begin or end with a blank, so it is taken as it is.
            let password =
                user.get("password").and_then(Value::as_str).ok_or_else(|| required("password"))?;
            Proof::Password { name: meant(&user)?, password: password.to_string() }
        }
        ["token"] => {
            let token = needed(&identity, "token")?;
            Proof::Token(token.text("id", TEXT_MAX)?.ok_or_else(|| required("id"))?)
        }
        _ => {
            let why = "the methods taken here are password and token, one at a time";
            return Err(Condition::Unauthenticated(why.into()));
        }
    };
    let project = match auth.get("scope") {
        None => None,
        Some(Value::String(s)) if s == "unscoped" => None,
        Some(Value::Object(scope)) => match object(&Fields(scope.clone()), "project")? {
            Some(project) => Some(meant(&project)?),
            None => return Err(Condition::Unauthenticated("the scope of a token here is a project".into())),
        },
        Some(other) => return Err(refuse("scope", other, "is not of type 'object'")),
    };
    Ok(Wanted { methods, login, project })
}

/// Whether a login can be read; for tests with hostile documents.
#[cfg(test)]
pub(crate) fn check_login(auth: &Fields) -> Result<(), Condition> {
    wanted(auth).map(|_| ())
}

pub(crate) async fn issue(mut cx: Cx) -> Result<Reply, Condition> {
    let wanted = wanted(&Fields::read(&mut cx.request, "auth").await?)?;
    let ports = cx.ports();
    let who = match wanted.login {
        Proof::Password { name, password } => {
            login(&*ports.meta, Api::OpenStack, Login::Password { name, password }).await?
        }
        Proof::Token(text) => redeem(&*ports.meta, &*ports.clock, Api::OpenStack, &text).await?.0,
    };
    let refused = |_| Condition::Unauthenticated("the project is unknown, or you have no role in it".into());
    let project = match &wanted.project {
        Some(name) => Some(projects::find(ports, name).await.map_err(refused)?.id),
        None => None,
    };
    let given = grant(&*ports.meta, &*ports.entropy, &*ports.clock, &who, project, TOKEN_SECONDS).await?;
    // Redeeming it tells whether the principal has a role there; a token that opens nothing is taken back.
    let (actor, token) = match redeem(&*ports.meta, &*ports.clock, Api::OpenStack, &given.text).await {
        Ok(bearer) => bearer,
        Err(Condition::Forbidden(_)) => {
            end(&*ports.meta, given.token.id).await?;
            return Err(refused(Condition::Forbidden(String::new())));
        }
        Err(other) => return Err(other),
    };
    let document = document(&cx, &actor, &token, wanted.methods).await?;
    Ok(one(StatusCode::CREATED, "token", document)?.with(SUBJECT, given.text))
}

/// Somebody's token, looked at by another bearer or by himself.
async fn subject(cx: &Cx) -> Result<(String, Actor, Token), Condition> {
    let (caller, _) = cx.known()?;
    let text = cx.request.header(SUBJECT.as_str()).ok_or_else(|| required("X-Subject-Token"))?.to_string();
    let ports = cx.ports();
    let found = redeem(&*ports.meta, &*ports.clock, Api::OpenStack, &text).await;
    let unknown = |_| Condition::not_found(Kind::Token, "of that text");
    let (actor, token) = found.map_err(unknown)?;
    if actor.principal != caller.principal {
        may(caller, Power::Operate, None)?;
    }
    Ok((text, actor, token))
}

pub(crate) async fn validate(cx: Cx) -> Result<Reply, Condition> {
    let (text, actor, token) = subject(&cx).await?;
    let document = document(&cx, &actor, &token, vec!["password".into()]).await?;
    Ok(one(StatusCode::OK, "token", document)?.with(SUBJECT, text))
}

pub(crate) async fn revoke(cx: Cx) -> Result<Reply, Condition> {
    let (_, _, token) = subject(&cx).await?;
    end(&*cx.ports().meta, token.id).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn catalog(cx: Cx) -> Result<Reply, Condition> {
    let body = json!({
        "catalog": entries(&cx, &cx.project()?),
        "links": { "self": format!("{}/identity/v3/auth/catalog", cx.base), "next": null, "previous": null },
    });
    Ok(Reply::json(StatusCode::OK, &body))
}

async fn project_of(ports: &Ports, id: ProjectId) -> Result<Project, Condition> {
    projects::find(ports, &id.to_string()).await
}

/// A token as clients read it.
async fn document(cx: &Cx, actor: &Actor, token: &Token, methods: Vec<String>) -> Result<Value, Condition> {
    let zulu = |at| format!("{}Z", time(at));
    let mut doc = json!({
        "methods": methods,
        "user": {
            "id": actor.principal.0.simple().to_string(),
            "name": actor.name,
            "domain": domain(),
            "password_expires_at": null,
        },
        "audit_ids": [token.id.0.simple().to_string()],
        "expires_at": zulu(token.expires),
        "issued_at": zulu(token.stamp.created),
    });
    if let Some(id) = token.project {
        let project = project_of(cx.ports(), id).await?;
        let project_id = id.0.simple().to_string();
        doc["project"] = json!({ "id": project_id, "name": project.name, "domain": domain() });
        doc["is_domain"] = json!(false);
        let roles = actor.roles.iter().map(|r| json!({ "id": r.word(), "name": r.word() }));
        doc["roles"] = Value::Array(roles.collect());
        if !cx.request.query_pairs().any(|(name, _)| name == "nocatalog") {
            doc["catalog"] = entries(cx, &project_id);
        }
    }
    Ok(doc)
}

/// The catalogue: where everything is.
fn entries(cx: &Cx, project: &str) -> Value {
    let region = &cx.house.config.region;
    let entry = |kind: &str, name: &str, url: String| {
        let endpoint = |interface: &str| {
            json!({
                "id": format!("{kind}-{interface}"),
                "interface": interface,
                "region": region,
                "region_id": region,
                "url": url,
            })
        };
        let mut one = Map::new();
        one.insert("id".into(), json!(kind));
        one.insert("type".into(), json!(kind));
        one.insert("name".into(), json!(name));
        one.insert("endpoints".into(), ["public", "internal", "admin"].map(endpoint).to_vec().into());
        Value::Object(one)
    };
    let base = &cx.base;
    json!([
        entry("block-storage", "cinder", format!("{base}/volume/v3")),
        entry("volumev3", "cinderv3", format!("{base}/volume/v3/{project}")),
        entry("identity", "keystone", format!("{base}/identity")),
        entry("image", "glance", format!("{base}/image")),
    ])
}
