//! The LXD API: storage pools, custom block volumes, their snapshots, operations and events.
//!
//! Who comes over the unix socket is trusted, as with LXD. Over TCP nobody is: `/` and `/1.0` are open, all
//! else is refused. Operations are the house's jobs under their own ids.
#![forbid(unsafe_code)]

mod bus;
mod calls;
mod config;
mod envelope;
mod errors;
mod etag;
mod filter;
mod from_wire;
mod router;
mod server;
mod to_wire;
mod wire;

use std::sync::Arc;

use http::StatusCode;
use parpen_base::Boxed;
use parpen_http::{Api, HttpRequest, Reply, Via};
use parpen_identity::{Actor, Login, login};
use parpen_model::{Api as Side, Condition};
use parpen_service::Ports;

pub use router::Endpoint;

/// The LXD API.
pub struct Lxd {
    ports: Ports,
    bus: Arc<bus::Bus>,
    version: &'static str,
}

impl Lxd {
    /// Over these ports; `version` is the program's.
    pub fn new(ports: Ports, version: &'static str) -> Lxd {
        Lxd { bus: bus::Bus::new(ports.clone()), ports, version }
    }
}

impl Api for Lxd {
    type Endpoint = Endpoint;
    /// None is a stranger.
    type Caller = Option<Actor>;
    const ENDPOINTS: &'static [Endpoint] = Endpoint::ALL;

    fn name(&self) -> &'static str {
        "lxd"
    }

    fn claims(&self, path: &str) -> bool {
        matches!(path.trim_start_matches('/').split('/').next(), Some("" | "1.0"))
    }

    fn route(&self, request: &HttpRequest) -> Result<Endpoint, Box<Reply>> {
        router::route(request).map(|(endpoint, _)| endpoint)
    }

    fn actor<'a>(
        &'a self,
        _endpoint: Endpoint,
        request: &'a HttpRequest,
    ) -> Boxed<'a, Result<Option<Actor>, Condition>> {
        Box::pin(async move {
            match request.via {
                Via::Unix => login(&*self.ports.meta, Side::Lxd, Login::Local).await.map(Some),
                Via::Tcp(_) => Ok(None),
            }
        })
    }

    fn call(
        &self,
        endpoint: Endpoint,
        caller: Option<Actor>,
        request: HttpRequest,
    ) -> Boxed<'_, Result<Reply, Condition>> {
        Box::pin(async move {
            let Some(actor) = caller else { return calls::stranger(endpoint) };
            match router::route(&request) {
                Ok((endpoint, params)) => {
                    calls::call(endpoint, calls::Cx { lxd: self, actor, params, request }).await
                }
                Err(reply) => Ok(*reply),
            }
        })
    }

    fn coat(&self, _endpoint: Option<Endpoint>, condition: &Condition) -> Reply {
        errors::coat(condition)
    }

    fn coat_as(&self, status: StatusCode, _endpoint: Option<Endpoint>, condition: &Condition) -> Reply {
        calls::coat_as(status, condition)
    }
}
