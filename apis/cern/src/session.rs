//! HTTP Basic at the door, a cookie inside: the only credential of the API's routes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use parpen_http::{HttpRequest, Reply};
use parpen_identity::{Actor, Login, Token, grant, login, redeem, revoke};
use parpen_model::{Api as Side, Condition};
use parpen_service::Ports;

/// How long a session holds, in seconds.
const SECONDS: i64 = 12 * 60 * 60;

/// The text of the session cookie.
fn cookie(request: &HttpRequest) -> Option<&str> {
    let all = request.headers.get_all(COOKIE).iter().filter_map(|v| v.to_str().ok());
    let mut pairs = all.flat_map(|v| v.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == "session").map(|(_, text)| text.trim_matches('"'))
}

/// Whose session the request belongs to. A session that is over is none.
pub(crate) async fn of(ports: &Ports, request: &HttpRequest) -> Result<Option<(Actor, Token)>, Condition> {
    let Some(text) = cookie(request).filter(|t| !t.is_empty()) else { return Ok(None) };
    match redeem(&*ports.meta, &*ports.clock, Side::Cern, text).await {
        Ok(found) => Ok(Some(found)),
        Err(Condition::Unauthenticated(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Name and password of an `Authorization: Basic` header.
fn basic(request: &HttpRequest) -> Option<(String, String)> {
    let (scheme, coded) = request.header("authorization")?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(coded.trim()).ok()?).ok()?;
    text.split_once(':').map(|(name, password)| (name.to_string(), password.to_string()))
}

fn home(cookie: &str) -> Reply {
    Reply::empty(StatusCode::FOUND).with(LOCATION, "/").with(SET_COOKIE, cookie)
}

/// Opens a session for a name and password.
pub(crate) async fn open(ports: &Ports, request: &HttpRequest) -> Result<Reply, Condition> {
    let (name, password) = basic(request).ok_or_else(|| {
        Condition::Unauthenticated("log in here with a user name and password (HTTP Basic)".into())
    })?;
    let actor = login(&*ports.meta, Side::Cern, Login::Password { name, password }).await?;
    let project = Some(actor.project);
    let given = grant(&*ports.meta, &*ports.entropy, &*ports.clock, &actor, project, SECONDS).await?;
    Ok(home(&format!("session={}; HttpOnly; Path=/; SameSite=Lax", given.text)))
}

/// Ends the session, if there is one.
pub(crate) async fn close(ports: &Ports, request: &HttpRequest) -> Result<Reply, Condition> {
    if let Some((_, token)) = of(ports, request).await? {
        revoke(&*ports.meta, token.id).await?;
    }
    Ok(home("session=; Max-Age=0; HttpOnly; Path=/; SameSite=Lax"))
}
