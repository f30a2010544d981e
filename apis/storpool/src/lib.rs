//! The StorPool API: router, wire structs, from_wire, to_wire, errors.
//!
//! [`StorPool`] is the API as the listener takes it. A call is found by [`endpoint`], its body read by
//! [`from_wire`], one use case called by a function below [`calls`], and the answer printed by [`to_wire`].
#![forbid(unsafe_code)]

mod calls;
mod endpoint;
mod errors;
mod fields;
mod from_wire;
mod names;
mod to_wire;

use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Method, StatusCode};
use parpen_http::{Api, Boxed, HttpRequest, Reply};
use parpen_identity::{Actor, Login, login};
use parpen_model::Condition;
use parpen_service::{Ports, projects};
use serde_json::json;

pub use endpoint::{Endpoint, Since};

use calls::{Call, Done};

/// Longest body, in bytes.
const BODY_MAX: usize = 4 << 20;

/// The API.
pub struct StorPool {
    ports: Ports,
    /// The newest generation that is known, for error documents; 0: none yet.
    generation: AtomicU64,
}

impl StorPool {
    /// The API over the use cases.
    pub fn new(ports: Ports) -> StorPool {
        StorPool { ports, generation: AtomicU64::new(0) }
    }

    fn known_generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    fn learn(&self, generation: u64) {
        self.generation.fetch_max(generation, Ordering::Relaxed);
    }

    async fn authenticate(&self, request: &HttpRequest) -> Result<Actor, Condition> {
        // Later calls renew it; before the first that succeeds its refusals need one, too.
        if self.known_generation() == 0 {
            self.learn(projects::generation(&self.ports).await?);
        }
        let header = request.header("authorization").unwrap_or_default();
        let token = header.strip_prefix("Storpool v1:").ok_or_else(|| {
            Condition::Unauthenticated("the header `Authorization: Storpool v1:<token>` is missing".into())
        })?;
        login(&*self.ports.meta, parpen_model::Api::StorPool, Login::Token(token.trim().to_string())).await
    }

    async fn answer(
        &self,
        endpoint: Endpoint,
        actor: Actor,
        mut request: HttpRequest,
    ) -> Result<Reply, Condition> {
        let Some(handler) = calls::handler(endpoint) else {
            let (_, call) = endpoint.line();
            let name = call.split('/').next().unwrap_or(call);
            return Err(Condition::Unsupported(format!("{name} is not implemented yet")));
        };
        let body = match request.method {
            Method::POST => fields::body(&request.bytes(BODY_MAX).await?)?,
            _ => json!({}),
        };
        // The router knew the path when it found the endpoint.
        let params = endpoint::route(&request, 0).map(|(_, params)| params).unwrap_or_default();
        let generation = projects::generation(&self.ports).await?;
        self.learn(generation);
        let call = Call { ports: &self.ports, actor: &actor, params: &params, body: &body, generation };
        let Done { data, generation } = handler(&call).await?;
        self.learn(generation);
        Ok(Reply::json(StatusCode::OK, &json!({ "generation": generation, "data": data })))
    }
}

impl Api for StorPool {
    type Endpoint = Endpoint;
    type Caller = Actor;
    const ENDPOINTS: &'static [Endpoint] = Endpoint::ALL;

    fn name(&self) -> &'static str {
        "storpool"
    }

    fn claims(&self, path: &str) -> bool {
        path == "/ctrl" || path.starts_with("/ctrl/")
    }

    fn route(&self, request: &HttpRequest) -> Result<Endpoint, Box<Reply>> {
        endpoint::route(request, self.known_generation()).map(|(endpoint, _)| endpoint)
    }

    fn actor<'a>(&'a self, _: Endpoint, request: &'a HttpRequest) -> Boxed<'a, Result<Actor, Condition>> {
        Box::pin(self.authenticate(request))
    }

    fn call(
        &self,
        endpoint: Endpoint,
        caller: Actor,
        request: HttpRequest,
    ) -> Boxed<'_, Result<Reply, Condition>> {
        Box::pin(self.answer(endpoint, caller, request))
    }

    fn coat(&self, _: Option<Endpoint>, condition: &Condition) -> Reply {
        errors::coat(condition, self.known_generation())
    }

    fn finish(&self, _: &str, mut reply: Reply) -> Reply {
        reply.headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
        reply
    }
}
