//! A running core over rows and stores in memory; the API in front of it is real.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use parpen_http::{HttpRequest, Reply, Service, Via};
use parpen_identity::{Secrets, rotate};
use parpen_model::Api;
use parpen_rapyuta::Rapyuta;
use serde_json::Value;

use crate::house::{Disk, House};

/// The core, the API and somebody's token.
pub struct World {
    pub house: House,
    service: Arc<dyn Service>,
    pub token: String,
    pub project: String,
}

impl World {
    pub async fn new() -> World {
        let house = Disk::new().start().await;
        let service = parpen_http::serve(Rapyuta::new(house.ports.clone()));
        let token = token(&house).await;
        let project = format!("project-{}", house.actor.project.0.simple());
        World { house, service, token, project }
    }

    /// A request with these headers.
    pub async fn raw(&self, method: Method, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let pair = |(n, v): &(&str, &str)| {
            (HeaderName::from_bytes(n.as_bytes()).unwrap(), HeaderValue::from_str(v).unwrap())
        };
        let headers: HeaderMap = headers.iter().map(pair).collect();
        let request = HttpRequest::new(method, target, headers, Via::Unix, Bytes::copy_from_slice(body));
        self.service.answer(request).await.reply
    }

    /// A request with the right token and project.
    pub async fn reply(&self, method: Method, target: &str, body: &[u8]) -> Reply {
        let token = format!("Bearer {}", self.token);
        let headers =
            [("authorization", &*token), ("project", &*self.project), ("organizationguid", "parpen")];
        self.raw(method, target, &headers, body).await
    }

    /// Its status and document.
    pub async fn send(&self, method: Method, target: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        told(self.reply(method, target, body.as_bytes()).await)
    }

    pub async fn get(&self, target: &str) -> (u16, Value) {
        self.send(Method::GET, target, Value::Null).await
    }

    pub async fn delete(&self, target: &str) -> (u16, Value) {
        self.send(Method::DELETE, target, Value::Null).await
    }
}

/// Status and document; there always is one.
pub fn told(reply: Reply) -> (u16, Value) {
    assert_eq!(reply.headers["content-type"], "application/json");
    let document: Value = serde_json::from_slice(reply.as_bytes().unwrap()).unwrap();
    if reply.status.as_u16() >= 400 {
        assert!(document["error"].is_string(), "{document}");
    }
    (reply.status.as_u16(), document)
}

/// A document with what differs from run to run taken out.
pub fn steady(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap();
    let v1 = document["guid"].as_str().or(document["deploymentId"].as_str());
    if let Some(guid) = v1.or(document["metadata"]["guid"].as_str()) {
        let letters = guid.split_once('-').unwrap().1;
        assert!(letters.len() == 20 && letters.bytes().all(|b| b.is_ascii_lowercase()), "{guid}");
        text = text.replace(letters, "<letters>").replace(&letters[..5], "<short>");
    }
    let line = |line: &str| match line.split_once(": \"") {
        Some((key, value)) if key.to_lowercase().ends_with("at\"") => {
            assert!(value.len() > 20 && value.contains("Z\""), "{line}");
            format!("{key}: \"<time>\",")
        }
        _ => line.to_string(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A new token for the first principal; the first one was kept by nobody.
async fn token(house: &House) -> String {
    let actor = &house.actor;
    let old = Secrets {
        principal: actor.name.clone(),
        principal_id: actor.principal,
        project: "admin".into(),
        project_id: actor.project,
        secrets: BTreeMap::new(),
    };
    let mut token = String::new();
    let keep = |new: &Secrets| {
        token = new.secrets[&Api::Rapyuta].clone();
        Ok(())
    };
    let ports = &house.ports;
    rotate(&*ports.meta, &*ports.entropy, &*ports.clock, old, &[Api::Rapyuta], keep).await.unwrap();
    token
}
