//! The native API: what the command line and the console speak, and the service's health and figures.
//!
//! It shows volumes as the core keeps them; its documents ([`doc`]) are what `--output json` prints. Credential:
//! `Authorization: Bearer <native token>`; `/health` and `/metrics` need none.
#![forbid(unsafe_code)]

mod calls;
pub mod doc;
mod errors;
mod from_wire;
mod router;
mod to_wire;

use std::sync::Arc;

use http::StatusCode;
use parpen_base::Boxed;
use parpen_http::{Api, HttpRequest, Reply};
use parpen_identity::{Actor, Login, login};
use parpen_model::{Api as Side, Condition};
use parpen_service::{HouseExports, Ports};
pub use router::Endpoint;

/// Gives sides new secrets.
pub type Rotate = Arc<dyn Fn(Vec<Side>) -> Boxed<'static, Result<(), Condition>> + Send + Sync>;

/// What the binary tells the native API about the process.
pub struct House {
    /// The use cases' ports.
    pub ports: Ports,
    /// The way to the bytes, for import and export.
    pub exports: HouseExports,
    /// Where NBD really listens: `host:port`.
    pub nbd: String,
    /// The text of `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Gives these sides new secrets and ends the old ones.
    pub rotate: Rotate,
    /// The version of the program.
    pub version: &'static str,
}

/// The native API.
pub struct Native {
    pub(crate) house: House,
}

impl Native {
    /// Over this house.
    pub fn new(house: House) -> Native {
        Native { house }
    }
}

/// The token of an `Authorization: Bearer` header.
fn bearer(request: &HttpRequest) -> Result<String, Condition> {
    let header = request.header("authorization").unwrap_or_default();
    match header.strip_prefix("Bearer ").map(str::trim).filter(|t| !t.is_empty()) {
        Some(token) => Ok(token.to_string()),
        None => Err(Condition::Unauthenticated(
            "this needs the header `Authorization: Bearer <token>`; `parpen credential show` prints the token".into(),
        )),
    }
}

impl Api for Native {
    type Endpoint = Endpoint;
    type Caller = Option<Actor>;
    const ENDPOINTS: &'static [Endpoint] = Endpoint::ALL;

    fn name(&self) -> &'static str {
        "native"
    }

    fn claims(&self, path: &str) -> bool {
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        matches!(first, "api" | "health" | "metrics")
    }

    fn route(&self, request: &HttpRequest) -> Result<Endpoint, Box<Reply>> {
        router::route(request).map(|(e, _)| e)
    }

    fn actor<'a>(
        &'a self,
        e: Endpoint,
        request: &'a HttpRequest,
    ) -> Boxed<'a, Result<Option<Actor>, Condition>> {
        Box::pin(async move {
            if matches!(e, Endpoint::Health | Endpoint::Metrics) {
                return Ok(None);
            }
            let token = bearer(request)?;
            login(&*self.house.ports.meta, Side::Native, Login::Token(token)).await.map(Some)
        })
    }

    fn call(
        &self,
        e: Endpoint,
        caller: Option<Actor>,
        request: HttpRequest,
    ) -> Boxed<'_, Result<Reply, Condition>> {
        Box::pin(async move {
            match (e, caller) {
                (Endpoint::Health, _) => {
                    Ok(Reply::json(StatusCode::OK, &serde_json::json!({"status": "ok"})))
                }
                (Endpoint::Metrics, _) => Ok(Reply::bytes(
                    StatusCode::OK,
                    "application/openmetrics-text; version=1.0.0; charset=utf-8",
                    (self.house.metrics)(),
                )),
                (e, Some(actor)) => calls::call(&self.house, e, &actor, request).await,
                (_, None) => Err(Condition::internal("an operation without its caller")),
            }
        })
    }

    fn coat(&self, _e: Option<Endpoint>, condition: &Condition) -> Reply {
        errors::coat(condition)
    }
}
