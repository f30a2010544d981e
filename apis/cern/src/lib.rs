//! The CERN storage-api: a pool is a subsystem, its volumes are below `/v3/<subsystem>/volumes`.
//!
//! Credential: the cookie `session`, which `/login_basic` gives for a user name and a password. Without it `/conf`
//! and the login answer, and with `anonymous_read` the reading operations; everything else is 403.
#![forbid(unsafe_code)]

mod calls;
mod errors;
mod from_wire;
mod roles;
mod router;
mod session;
mod to_wire;

use parpen_base::Boxed;
use parpen_http::{Api, HttpRequest, Reply};
use parpen_identity::{Actor, Login, Role as HouseRole, login, may};
use parpen_model::{Api as Side, Condition};
use parpen_service::Ports;
use roles::Role;
pub use router::Endpoint;

/// The CERN API.
pub struct Cern {
    ports: Ports,
    anonymous_read: bool,
}

impl Cern {
    /// Over these ports. `anonymous_read`: callers without a login may look.
    pub fn new(ports: Ports, anonymous_read: bool) -> Cern {
        Cern { ports, anonymous_read }
    }
}

/// Who calls.
pub struct Caller {
    /// As whom the house knows him; somebody without a login is a reader.
    actor: Actor,
    /// Whether the roles of the actor are his.
    admitted: bool,
}

impl Caller {
    /// Whether he has a role.
    fn is_a(&self, role: Role) -> bool {
        self.admitted && may(&self.actor, role.power(), None).is_ok()
    }
}

impl Api for Cern {
    type Endpoint = Endpoint;
    type Caller = Caller;
    const ENDPOINTS: &'static [Endpoint] = Endpoint::ALL;

    fn name(&self) -> &'static str {
        "cern"
    }

    fn claims(&self, path: &str) -> bool {
        router::claims(path)
    }

    fn route(&self, request: &HttpRequest) -> Result<Endpoint, Box<Reply>> {
        router::route(request).map(|r| r.endpoint)
    }

    fn actor<'a>(&'a self, _e: Endpoint, request: &'a HttpRequest) -> Boxed<'a, Result<Caller, Condition>> {
        Box::pin(async move {
            if let Some((actor, _)) = session::of(&self.ports, request).await? {
                return Ok(Caller { actor, admitted: true });
            }
            let bound = login(&*self.ports.meta, Side::Cern, Login::Local).await?;
            let actor = Actor { name: "anonymous".into(), roles: vec![HouseRole::Reader], ..bound };
            Ok(Caller { actor, admitted: self.anonymous_read })
        })
    }

    fn call(
        &self,
        _e: Endpoint,
        caller: Caller,
        request: HttpRequest,
    ) -> Boxed<'_, Result<Reply, Condition>> {
        Box::pin(calls::call(&self.ports, caller, request))
    }

    fn coat(&self, _e: Option<Endpoint>, condition: &Condition) -> Reply {
        errors::coat(condition)
    }
}
