//! A running core over rows and stores in memory; the API in front of it is real.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use parpen_cern::Cern;
use parpen_http::{HttpRequest, Reply, Service, Via};
use parpen_identity::{Secrets, rotate};
use parpen_model::Api;
use serde_json::Value;

use crate::house::{Disk, House};

/// The core, the API and a session of somebody who may do everything.
pub struct World {
    pub house: House,
    service: Arc<dyn Service>,
    pub password: String,
    cookie: String,
    disk: Disk,
}

impl World {
    pub async fn new() -> World {
        World::with(false).await
    }

    pub async fn with(anonymous_read: bool) -> World {
        let disk = Disk::new();
        let house = disk.start().await;
        let service = parpen_http::serve(Cern::new(house.ports.clone(), anonymous_read));
        let password = password(&house).await;
        let mut world = World { house, service, password, cookie: String::new(), disk };
        world.cookie = world.log_in().await;
        world
    }

    /// Makes verbs of the stores fail, once each.
    pub fn fail(&self, verb: &'static str) {
        self.disk.faults().lock().unwrap().push(verb);
    }

    async fn log_in(&self) -> String {
        let basic = basic("admin", &self.password);
        let reply = self.raw(Method::GET, "/login_basic", &[("authorization", &basic)], b"").await;
        assert_eq!((reply.status.as_u16(), reply.headers["location"].to_str().unwrap()), (302, "/"));
        let cookie = reply.headers["set-cookie"].to_str().unwrap();
        assert!(cookie.contains("; HttpOnly"), "{cookie}");
        cookie.split(';').next().unwrap().to_string()
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

    /// A request of somebody logged in.
    pub async fn reply(&self, method: Method, target: &str, body: &str) -> Reply {
        self.reply_to(method, target, body.as_bytes()).await
    }

    /// The same with any bytes.
    pub async fn reply_to(&self, method: Method, target: &str, body: &[u8]) -> Reply {
        let headers = [("cookie", &*self.cookie), ("host", "filer.example:7475")];
        self.raw(method, target, &headers, body).await
    }

    /// Its status and document; null where there is none.
    pub async fn send(&self, method: Method, target: &str, body: &str) -> (u16, Value) {
        told(self.reply(method, target, body).await)
    }

    /// A request below `/v3/local/volumes/`.
    pub async fn volume(&self, method: Method, name: &str, body: &str) -> (u16, Value) {
        self.send(method, &format!("/v3/local/volumes/{name}"), body).await
    }

    /// A GET of somebody logged in that asks for some keys only.
    pub async fn masked(&self, target: &str, mask: &str) -> (u16, Value) {
        let headers = [("cookie", &*self.cookie), ("x-fields", mask)];
        told(self.raw(Method::GET, target, &headers, b"").await)
    }

    /// A request of somebody without a session.
    pub async fn anonymous(&self, method: Method, target: &str, body: &str) -> (u16, Value) {
        told(self.raw(method, target, &[], body.as_bytes()).await)
    }
}

/// Status and document.
pub fn told(reply: Reply) -> (u16, Value) {
    let bytes = reply.as_bytes().unwrap();
    let document = match bytes.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(bytes).unwrap(),
    };
    (reply.status.as_u16(), document)
}

/// An `Authorization` header.
pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// A new password for the first principal; the first one was kept by nobody.
async fn password(house: &House) -> String {
    let actor = &house.actor;
    let old = Secrets {
        principal: actor.name.clone(),
        principal_id: actor.principal,
        project: "admin".into(),
        project_id: actor.project,
        secrets: BTreeMap::new(),
    };
    let mut password = String::new();
    let keep = |new: &Secrets| {
        password = new.secrets[&Api::Cern].clone();
        Ok(())
    };
    let ports = &house.ports;
    rotate(&*ports.meta, &*ports.entropy, &*ports.clock, old, &[Api::Cern], keep).await.unwrap();
    password
}
