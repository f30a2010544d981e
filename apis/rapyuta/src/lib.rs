//! rapyuta.io persistent volumes: a volume is a disk of its project, by guid in the first API and by name in the
//! second.
//!
//! Credential: `Authorization: Bearer <token>`, with the header `project: project-<32 hex>`; the token is bound to
//! one project, and its holder sees nothing else.
#![forbid(unsafe_code)]

mod calls;
mod errors;
mod from_wire;
mod guid;
mod router;
mod state;
mod v1;
mod v2;

use parpen_base::Boxed;
use parpen_http::{Api, HttpRequest, Reply};
use parpen_identity::{Actor, Login, login};
use parpen_model::{Api as Side, Condition, Scope};
use parpen_service::Ports;
pub use router::Endpoint;

/// The rapyuta API.
pub struct Rapyuta {
    ports: Ports,
}

impl Rapyuta {
    /// Over these ports.
    pub fn new(ports: Ports) -> Rapyuta {
        Rapyuta { ports }
    }
}

fn bearer(request: &HttpRequest) -> Result<String, Condition> {
    let header = request.header("authorization").unwrap_or_default();
    match header.strip_prefix("Bearer").map(str::trim).filter(|token| !token.is_empty()) {
        Some(token) => Ok(token.to_string()),
        None => {
            Err(Condition::Unauthenticated("this needs the header `Authorization: Bearer <token>`".into()))
        }
    }
}

/// Refuses a project that is not the token's; without the header the token's own is meant.
fn check_project(request: &HttpRequest, actor: &Actor) -> Result<(), Condition> {
    match request.headers.get("project") {
        Some(asked) if asked.as_bytes() != guid::project(actor.project).as_bytes() => {
            Err(Condition::Forbidden("this token is for another project".into()))
        }
        _ => Ok(()),
    }
}

impl Api for Rapyuta {
    type Endpoint = Endpoint;
    type Caller = Actor;
    const ENDPOINTS: &'static [Endpoint] = Endpoint::ALL;

    fn name(&self) -> &'static str {
        "rapyuta"
    }

    fn claims(&self, path: &str) -> bool {
        router::claims(path)
    }

    fn route(&self, request: &HttpRequest) -> Result<Endpoint, Box<Reply>> {
        router::route(request).map(|(e, _)| e)
    }

    fn actor<'a>(&'a self, _e: Endpoint, request: &'a HttpRequest) -> Boxed<'a, Result<Actor, Condition>> {
        Box::pin(async move {
            let token = bearer(request)?;
            let actor = login(&*self.ports.meta, Side::Rapyuta, Login::Token(token)).await?;
            check_project(request, &actor)?;
            // Even an operator is the tenant of one project here.
            Ok(Actor { scope: Scope::Project(actor.project), ..actor })
        })
    }

    fn call(&self, _e: Endpoint, actor: Actor, request: HttpRequest) -> Boxed<'_, Result<Reply, Condition>> {
        Box::pin(calls::call(&self.ports, actor, request))
    }

    fn coat(&self, _e: Option<Endpoint>, condition: &Condition) -> Reply {
        errors::coat(condition)
    }
}
