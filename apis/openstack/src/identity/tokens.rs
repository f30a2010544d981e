//! Tokens: version documents, login, validation, revocation, the catalogue.

use http::StatusCode;
use http::header::HeaderName;
use parpen_http::{HttpRequest, Reply};
use parpen_identity::{
    Actor, Credential, For, Login, Power, Principal, Proven, Token, Wide, give, may, prove, redeem,
    revoke as end,
};
use parpen_model::{Api, Condition, Kind, Project, ProjectId, Scope, read};
use parpen_service::{Ports, projects};
use serde_json::{Map, Value, json};

use super::{DOMAIN_ID, DOMAIN_NAME, domain};
use crate::cx::{Cx, House, one};
use crate::fields::{Fields, refuse, required};
use crate::strict::TEXT_MAX;
use crate::to_wire::time;

/// How long a token holds, in seconds. Clients log in again by themselves when it is over.
const TOKEN_SECONDS: i64 = 12 * 3600;
const SUBJECT: HeaderName = HeaderName::from_static("x-subject-token");

fn v3(cx: &Cx) -> Value {
    let here = || format!("{}/identity/v3", cx.base);
    let at = cx.house.bearers.elsewhere().map_or_else(here, str::to_string);
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{ "rel": "self", "href": format!("{at}/") }],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.identity-v3+json"
        }],
    })
}

pub(crate) async fn versions(cx: Cx) -> Result<Reply, Condition> {
    one(StatusCode::MULTIPLE_CHOICES, "versions", json!({ "values": [v3(&cx)] }))
}

pub(crate) async fn version(cx: Cx) -> Result<Reply, Condition> {
    one(StatusCode::OK, "version", v3(&cx))
}

/// The bearer of the token that a request carries.
pub(crate) async fn bearer(house: &House, request: &HttpRequest) -> Result<(Actor, Token), Condition> {
    let text = request.header("x-auth-token").ok_or_else(|| {
        Condition::Unauthenticated("The request you have made requires authentication.".into())
    })?;
    house.bearers.bearer(text).await
}

/// Whether a service speaks for the user: it sends a token of its own beside the user's.
pub(crate) async fn is_service(house: &House, request: &HttpRequest) -> Result<bool, Condition> {
    match request.header("x-service-token") {
        Some(text) => house.bearers.is_service(text).await,
        None => Ok(false),
    }
}

/// What a login asks for.
struct Wanted {
    methods: Vec<String>,
    proof: Proof,
    scope: Asked,
}

enum Proof {
    Login(Login),
    /// Another token of the same user.
    Token(String),
}

/// What a token is asked to be for.
enum Asked {
    /// Nothing was said: the user's default project, if there is one.
    Unsaid,
    Nothing,
    /// A project by name or id.
    Project(String),
    Wide(Wide),
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

/// A secret as it is: it may begin or end with a blank.
fn secret(fields: &Fields, name: &str) -> Result<String, Condition> {
    fields.get(name).and_then(Value::as_str).map(str::to_string).ok_or_else(|| required(name))
}

fn proof(identity: &Fields, methods: &[String]) -> Result<Proof, Condition> {
    Ok(match methods.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["password"] => {
            let user = needed(&needed(identity, "password")?, "user")?;
            Proof::Login(Login::Password { password: secret(&user, "password")?, name: meant(&user)? })
        }
        ["token"] => {
            let token = needed(identity, "token")?;
            Proof::Token(token.text("id", TEXT_MAX)?.ok_or_else(|| required("id"))?)
        }
        ["application_credential"] => {
            let given = needed(identity, "application_credential")?;
            let of = object(&given, "user")?.map(|user| meant(&user)).transpose()?;
            let (id, name) = (given.text("id", TEXT_MAX)?, given.text("name", TEXT_MAX)?);
            let (name, of) = match (id, name) {
                (Some(id), _) => (id, None),
                (None, Some(name)) => (name, Some(of.ok_or_else(|| required("user"))?)),
                (None, None) => return Err(required("id")),
            };
            Proof::Login(Login::Application { name, of, secret: secret(&given, "secret")? })
        }
        _ => {
            let why = "the methods taken here are password, token and application_credential, one at a time";
            return Err(Condition::Unauthenticated(why.into()));
        }
    })
}

fn scope(auth: &Fields) -> Result<Asked, Condition> {
    let scope = match auth.get("scope") {
        None => return Ok(Asked::Unsaid),
        Some(Value::String(s)) if s == "unscoped" => return Ok(Asked::Nothing),
        Some(Value::Object(scope)) if scope.contains_key("unscoped") => return Ok(Asked::Nothing),
        Some(Value::Object(scope)) => Fields(scope.clone()),
        Some(other) => return Err(refuse("scope", other, "is not of type 'object'")),
    };
    if let Some(project) = object(&scope, "project")? {
        return meant(&project).map(Asked::Project);
    }
    if object(&scope, "system")?.is_some_and(|s| s.flag("all") == Ok(Some(true))) {
        return Ok(Asked::Wide(Wide::System));
    }
    if scope.get("domain").is_some() {
        check_domain(&scope)?;
        return Ok(Asked::Wide(Wide::Domain));
    }
    Err(Condition::Unauthenticated("the scope of a token is a project, the domain or the system".into()))
}

fn wanted(auth: &Fields) -> Result<Wanted, Condition> {
    let identity = needed(auth, "identity")?;
    let methods: Vec<String> = match identity.get("methods") {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_string).collect(),
        _ => Vec::new(),
    };
    Ok(Wanted { proof: proof(&identity, &methods)?, scope: scope(auth)?, methods })
}

/// Whether a login can be read; for tests with hostile documents.
#[cfg(test)]
pub(crate) fn check_login(auth: &Fields) -> Result<(), Condition> {
    wanted(auth).map(|_| ())
}

/// Who brings a token: the same as when he got it, until that ends.
async fn proven_by(ports: &Ports, text: &str) -> Result<Proven, Condition> {
    let (actor, token) = redeem(&*ports.meta, &*ports.clock, Api::OpenStack, text).await?;
    let (principal, credential) = (actor.principal, actor.credential);
    read(&*ports.meta, move |tx| {
        Ok(Proven {
            principal: tx.get::<Principal>(Scope::All, principal)?,
            credential: tx.get::<Credential>(Scope::All, credential)?,
            until: Some(token.expires),
        })
    })
    .await
}

fn no_role() -> Condition {
    Condition::Unauthenticated("the project is unknown, or you have no role in it".into())
}

/// What the token is given for.
async fn purpose(ports: &Ports, who: &Proven, asked: &Asked) -> Result<For, Condition> {
    let unknown = |condition| match condition {
        Condition::NotFound { .. } => no_role(),
        other => other,
    };
    Ok(match (asked, &who.credential.application) {
        (Asked::Unsaid | Asked::Nothing, Some(a)) => For::Project(a.project),
        (Asked::Project(name), _) => For::Project(projects::find(ports, name).await.map_err(unknown)?.id),
        (Asked::Wide(wide), _) => For::Wide(*wide),
        (Asked::Nothing, None) => For::Oneself,
        (Asked::Unsaid, None) => {
            let usual = who.principal.about.default_project;
            usual.filter(|p| !who.principal.roles_in(*p).is_empty()).map_or(For::Oneself, For::Project)
        }
    })
}

pub(crate) async fn issue(mut cx: Cx) -> Result<Reply, Condition> {
    let wanted = wanted(&Fields::read(&mut cx.request, "auth").await?)?;
    let ports = cx.ports();
    let who = match wanted.proof {
        Proof::Login(login) => prove(&*ports.meta, Api::OpenStack, login).await?,
        Proof::Token(text) => proven_by(ports, &text).await?,
    };
    let what = purpose(ports, &who, &wanted.scope).await?;
    let (meta, entropy, clock) = (&*ports.meta, &*ports.entropy, &*ports.clock);
    let given = give(meta, entropy, clock, &who, what, wanted.methods, TOKEN_SECONDS).await?;
    // Redeeming it tells whether the principal has a role there; a token that opens nothing is taken back.
    let (actor, token) = match redeem(meta, clock, Api::OpenStack, &given.text).await {
        Ok(bearer) => bearer,
        Err(Condition::Forbidden(_) | Condition::Unauthenticated(_)) => {
            end(meta, given.token.id).await?;
            return Err(no_role());
        }
        Err(other) => return Err(other),
    };
    let document = document(&cx, &actor, &token).await?;
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
    let document = document(&cx, &actor, &token).await?;
    Ok(one(StatusCode::OK, "token", document)?.with(SUBJECT, text))
}

pub(crate) async fn revoke(cx: Cx) -> Result<Reply, Condition> {
    let (_, _, token) = subject(&cx).await?;
    end(&*cx.ports().meta, token.id).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn catalog(cx: Cx) -> Result<Reply, Condition> {
    let body = json!({
        "catalog": entries(&cx, cx.known()?.1.project),
        "links": { "self": format!("{}/identity/v3/auth/catalog", cx.base), "next": null, "previous": null },
    });
    Ok(Reply::json(StatusCode::OK, &body))
}

async fn project_of(ports: &Ports, id: ProjectId) -> Result<Project, Condition> {
    projects::find(ports, &id.to_string()).await
}

/// A token as clients read it.
async fn document(cx: &Cx, actor: &Actor, token: &Token) -> Result<Value, Condition> {
    let zulu = |at| format!("{}Z", time(at));
    let mut doc = json!({
        "methods": token.methods,
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
    let by = token.credential;
    let by: Option<Credential> = read(&*cx.ports().meta, move |tx| tx.find(Scope::All, by)).await?;
    if let Some((id, a)) = by.and_then(|c| Some((c.id, c.application?))) {
        let id = id.0.simple().to_string();
        doc["application_credential"] = json!({ "id": id, "name": a.name, "restricted": !a.unrestricted });
    }
    match (token.project, token.wide) {
        (Some(id), _) => {
            let project = project_of(cx.ports(), id).await?;
            doc["project"] =
                json!({ "id": id.0.simple().to_string(), "name": project.name, "domain": domain() });
            doc["is_domain"] = json!(false);
        }
        (None, Some(Wide::System)) => doc["system"] = json!({ "all": true }),
        (None, Some(Wide::Domain)) => doc["domain"] = domain(),
        (None, None) => return Ok(doc),
    }
    let roles = actor.roles.iter().map(|r| json!({ "id": r.word(), "name": r.word() }));
    doc["roles"] = Value::Array(roles.collect());
    if !cx.request.query_pairs().any(|(name, _)| name == "nocatalog") {
        doc["catalog"] = entries(cx, token.project);
    }
    Ok(doc)
}

/// The catalogue: where everything is.
fn entries(cx: &Cx, project: Option<ProjectId>) -> Value {
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
    let within = project.map(|p| format!("/{}", p.0.simple())).unwrap_or_default();
    let images = cx.house.config.images_at.clone().unwrap_or_else(|| format!("{base}/image"));
    json!([
        entry("block-storage", "cinder", format!("{base}/volume/v3")),
        entry("volumev3", "cinderv3", format!("{base}/volume/v3{within}")),
        entry("identity", "keystone", format!("{base}/identity")),
        entry("image", "glance", images),
    ])
}
