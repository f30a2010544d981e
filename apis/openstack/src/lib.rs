//! OpenStack Block Storage v3 (microversions 3.0 to 3.71) and the part of Identity v3 that its clients need.
//!
//! `endpoint` lists every operation, `from_wire` and `to_wire` translate, `errors` prints conditions; the other modules
//! are one line of calls each into the use cases. Nothing is decided here.
#![forbid(unsafe_code)]

mod actions;
mod attachments;
mod backends;
mod backups;
mod bootable;
mod config;
mod connections;
mod cx;
mod endpoint;
mod errors;
mod fields;
mod from_wire;
mod group_snapshots;
mod group_types;
mod groups;
mod house;
mod identity;
mod images;
mod known;
mod manage;
mod messages;
mod metadata;
mod microversion;
mod paging;
mod qos;
mod quotas;
mod router;
mod services;
mod snapshots;
mod states;
mod strict;
mod to_wire;
mod transfers;
mod types;
mod versions;
mod volumes;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use http::header::{HeaderName, WWW_AUTHENTICATE};
use parpen_http::{Api, Boxed, HttpRequest, Reply};
use parpen_identity::{Bearers, OwnTokens};
use parpen_model::{Api as Side, Condition};
use parpen_service::Ports;
use serde_json::Value;

pub use config::{Config, LogLevel, Logs, Nbd};
pub use cx::Caller;
pub use endpoint::Endpoint;
pub use images::PROPERTIES as IMAGE_PROPERTIES;

use cx::{Cx, House};
use microversion::Microversion;

/// The API.
pub struct OpenStack(Arc<House>);

impl OpenStack {
    /// The API over the use cases.
    pub fn new(ports: Ports, config: Config) -> OpenStack {
        let own = OwnTokens::new(ports.meta.clone(), ports.clock.clone(), Side::OpenStack);
        OpenStack(Arc::new(House { ports, config, bearers: Arc::new(own), logs: None }))
    }

    /// The same, with tokens that others give.
    pub fn with_bearers(self, bearers: Arc<dyn Bearers>) -> OpenStack {
        let House { ports, config, logs, .. } = &*self.0;
        let (ports, config, logs) = (ports.clone(), config.clone(), logs.clone());
        OpenStack(Arc::new(House { ports, config, bearers, logs }))
    }

    /// The same, able to look at and change what is logged.
    pub fn with_logs(self, logs: Arc<dyn Logs>) -> OpenStack {
        let House { ports, config, bearers, .. } = &*self.0;
        let (ports, config, bearers) = (ports.clone(), config.clone(), bearers.clone());
        OpenStack(Arc::new(House { ports, config, bearers, logs: Some(logs) }))
    }
}

async fn caller(house: &House, endpoint: Endpoint, request: &HttpRequest) -> Result<Caller, Condition> {
    identity::check_here(house, endpoint)?;
    if endpoint.is_public() {
        return Ok(Caller::Anyone);
    }
    let (actor, token) = identity::bearer(house, request).await?;
    if !endpoint.is_identity() && token.project.is_none() {
        if token.wide.is_some() && !endpoint.makes_in_project() {
            return Ok(Caller::Known(Box::new((actor, token))));
        }
        let why = "the token is for no project; ask for one with a project as its scope";
        return Err(Condition::Forbidden(why.into()));
    }
    if let Some(project) = router::project(request.path())
        && uuid::Uuid::parse_str(&project).ok() != Some(actor.project.0)
    {
        return Err(errors::said("Malformed request url"));
    }
    Ok(Caller::Known(Box::new((actor, token))))
}

async fn answer(
    house: Arc<House>,
    endpoint: Endpoint,
    caller: Caller,
    request: HttpRequest,
) -> Result<Reply, Condition> {
    let version = router::version(&request);
    if endpoint.is_identity() || endpoint.is_image() {
        return act(house, endpoint, caller, request, version).await;
    }
    if let Some(refused) = router::refused(&request) {
        return Ok(version.mark(refused));
    }
    let too_large = request.too_large();
    match act(house.clone(), endpoint, caller, request, version).await {
        Ok(reply) => Ok(version.mark(reply)),
        // What is logged, or answered with a status of its own, is written by the listener.
        Err(condition @ Condition::Internal(_)) => Err(condition),
        Err(condition) if too_large.load(Ordering::Relaxed) => Err(condition),
        Err(condition) => {
            let (status, _) = errors::status_and_text(&condition);
            Ok(version.mark(refusal(&house, status, Some(endpoint), &condition)))
        }
    }
}

/// Does what a request asks for.
async fn act(
    house: Arc<House>,
    endpoint: Endpoint,
    caller: Caller,
    request: HttpRequest,
    version: Microversion,
) -> Result<Reply, Condition> {
    let params = router::params(&request);
    let base = house.config.base(&request);
    let ports = house.ports.on_behalf_of(&request.id);
    let within = router::project(request.path());
    let mut cx = Cx { house, ports, caller, request, params, version, base, within, argument: Value::Null };
    let mut endpoint = endpoint;
    if endpoint.is_action_group() {
        let (key, argument) = actions::named(&mut cx).await?;
        let unknown = || {
            errors::said(format!(
                "There is no such action: {key}. Verify the request body and Content-Type header and try again."
            ))
        };
        endpoint = endpoint::action(endpoint, &key).ok_or_else(unknown)?;
        if !version.has(endpoint.since()) {
            return Ok(router::too_old());
        }
        if let (Some(known), Value::Object(fields)) = (known::of_action(endpoint), &argument) {
            fields::Fields(fields.clone()).only_known(&key, version, known)?;
        }
        cx.argument = argument;
    }
    endpoint::dispatch(endpoint, cx).await
}

/// The document of a refusal.
fn refusal(house: &House, status: StatusCode, endpoint: Option<Endpoint>, condition: &Condition) -> Reply {
    let reply = match endpoint {
        Some(e) if e.is_identity() => {
            errors::identity_fault(status, &errors::identity_status_and_text(condition).1)
        }
        _ => errors::fault(status, &errors::status_and_text(condition).1),
    };
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => reply.with(http::header::RETRY_AFTER, "0"),
        StatusCode::UNAUTHORIZED => {
            let at = house.bearers.elsewhere().unwrap_or("/identity");
            reply.with(WWW_AUTHENTICATE, format!("Keystone uri=\"{at}\""))
        }
        _ => reply,
    }
}

impl Api for OpenStack {
    type Endpoint = Endpoint;
    type Caller = Caller;
    const ENDPOINTS: &'static [Endpoint] = Endpoint::ALL;

    fn name(&self) -> &'static str {
        "openstack"
    }

    fn claims(&self, path: &str) -> bool {
        router::claims(path)
    }

    fn route(&self, request: &HttpRequest) -> Result<Endpoint, Box<Reply>> {
        router::route(request)
    }

    fn actor<'a>(
        &'a self,
        endpoint: Endpoint,
        request: &'a HttpRequest,
    ) -> Boxed<'a, Result<Caller, Condition>> {
        Box::pin(caller(&self.0, endpoint, request))
    }

    fn call(
        &self,
        endpoint: Endpoint,
        caller: Caller,
        request: HttpRequest,
    ) -> Boxed<'_, Result<Reply, Condition>> {
        Box::pin(answer(self.0.clone(), endpoint, caller, request))
    }

    fn coat(&self, endpoint: Option<Endpoint>, condition: &Condition) -> Reply {
        let (status, _) = match endpoint {
            Some(e) if e.is_identity() => errors::identity_status_and_text(condition),
            _ => errors::status_and_text(condition),
        };
        self.coat_as(status, endpoint, condition)
    }

    fn coat_as(&self, status: StatusCode, endpoint: Option<Endpoint>, condition: &Condition) -> Reply {
        refusal(&self.0, status, endpoint, condition)
    }

    fn finish(&self, request_id: &str, reply: Reply) -> Reply {
        // The second is what older clients look for.
        reply
            .with(HeaderName::from_static("x-openstack-request-id"), request_id)
            .with(HeaderName::from_static("x-compute-request-id"), request_id)
    }
}

#[cfg(test)]
mod tests;
