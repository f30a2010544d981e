//! The API over the real core: rows in a database in memory, jobs that run, a store that keeps bytes in memory.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // a test may

#[allow(dead_code)] // the core's own tests use more of it
#[path = "../../../../core/service/tests/service/house/mod.rs"]
mod house;

mod actions;
mod alike;
mod attach;
mod bad;
mod copies;
mod crowd;
mod every;
mod fields;
mod groups;
mod images;
mod life;
mod login;
mod made;
mod moves;
mod people;
mod quotas;
mod services;
mod transfers;
mod types;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use parpen_http::{HttpRequest, Reply, Service, Via, serve};
use parpen_identity::{Secrets, rotate};
use parpen_model::{Api, Condition};
use parpen_openstack::{Config, Nbd, OpenStack};
use serde_json::{Value, json};

/// A running API and a token for it.
pub(crate) struct Cinder {
    pub(crate) house: house::House,
    /// What outlives it: the files of backups and images end with this.
    _disk: house::Disk,
    /// Verbs of the store that fail next.
    pub(crate) faults: Arc<std::sync::Mutex<Vec<&'static str>>>,
    api: Arc<dyn Service>,
    pub(crate) password: String,
    pub(crate) project: String,
    pub(crate) token: String,
}

/// What came back.
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Got {
    /// The names of the fields of the document below `key`; of the whole document where it is empty.
    pub(crate) fn keys(&self, key: &str) -> Vec<&str> {
        let inner = if key.is_empty() { &self.body } else { &self.body[key] };
        let mut all: Vec<&str> = inner.as_object().unwrap().keys().map(String::as_str).collect();
        all.sort_unstable();
        all
    }

    fn of(reply: Reply) -> Got {
        let bytes = reply.as_bytes().unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(bytes).unwrap() };
        Got { status: reply.status.as_u16(), headers: reply.headers, body }
    }

    /// The message of an error, with its status and the document's key.
    pub(crate) fn error(&self) -> (u16, String, String) {
        let (key, inner) = self.body.as_object().unwrap().iter().next().unwrap();
        assert_eq!(inner["code"], self.status, "the document repeats the status: {}", self.body);
        (self.status, key.clone(), inner["message"].as_str().unwrap().to_string())
    }
}

impl Cinder {
    pub(crate) async fn start() -> Cinder {
        let disk = house::Disk::new();
        let (faults, house) = (disk.faults(), disk.start().await);
        let (ports, actor) = (house.ports.clone(), house.actor.clone());
        let secrets = Secrets {
            principal: "admin".into(),
            principal_id: actor.principal,
            project: "admin".into(),
            project_id: actor.project,
            secrets: Default::default(),
        };
        let mut password = String::new();
        let keep = |s: &Secrets| -> Result<(), Condition> {
            password = s.secrets[&Api::OpenStack].clone();
            Ok(())
        };
        let sides = [Api::OpenStack];
        rotate(&*ports.meta, &*ports.entropy, &*ports.clock, secrets, &sides, keep).await.unwrap();
        let nbd = Nbd { host: "127.0.0.1".into(), port: 10809, socket: None };
        let config = Config { public: None, region: "RegionOne".into(), nbd, images_at: None };
        let api = serve(OpenStack::new(ports, config).with_logs(Arc::new(services::TestLogs::default())));
        let project = actor.project.0.simple().to_string();
        let mut cinder = Cinder { house, _disk: disk, faults, api, password, project, token: String::new() };
        cinder.token = cinder.log_in(json!({ "project": { "id": cinder.project.clone() } })).await;
        cinder
    }

    /// A request with these headers and nothing else.
    pub(crate) async fn raw(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Got {
        assert!(self.api.claims(target));
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().chain(&[("host", "h:1")]) {
            map.insert(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let via = Via::Tcp(([127, 0, 0, 1], 1).into());
        let request = HttpRequest::new(method, target, map, via, body.to_string().into());
        Got::of(self.api.answer(request).await.reply)
    }

    /// A request of the token's bearer, in the newest version.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> Got {
        let headers = [("x-auth-token", self.token.as_str()), ("openstack-api-version", "volume 3.71")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.raw(method, &format!("/volume/v3{path}"), &headers, &body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.call(Method::GET, path, Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Got {
        self.call(Method::POST, path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Got {
        self.call(Method::PUT, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Got {
        self.call(Method::DELETE, path, Value::Null).await
    }

    /// The document of a login with the password.
    pub(crate) fn password(&self, scope: Value) -> Value {
        let user = json!({ "name": "admin", "domain": { "name": "Default" }, "password": self.password });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        json!({ "auth": { "identity": identity, "scope": scope } })
    }

    pub(crate) async fn issue(&self, auth: &Value) -> Got {
        self.raw(Method::POST, "/identity/v3/auth/tokens", &[], &auth.to_string()).await
    }

    async fn log_in(&self, scope: Value) -> String {
        let got = self.issue(&self.password(scope)).await;
        assert_eq!(got.status, 201, "{}", got.body);
        got.headers["x-subject-token"].to_str().unwrap().to_string()
    }

    /// Asks again until `field` of the document at `path` is `wanted`.
    pub(crate) async fn until(&self, path: &str, key: &str, field: &str, wanted: &str) -> Value {
        for _ in 0..200 {
            let got = self.get(path).await;
            if got.body[key][field] == wanted {
                return got.body[key].clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} never had {field} {wanted}");
    }

    /// Asks again until `path` is not found.
    pub(crate) async fn until_gone(&self, path: &str) {
        for _ in 0..200 {
            if self.get(path).await.status == 404 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} never went");
    }

    /// A volume that is there.
    pub(crate) async fn volume(&self, fields: Value) -> Value {
        let got = self.post("/volumes", json!({ "volume": fields })).await;
        assert_eq!((got.status, &got.body["volume"]["status"]), (202, &json!("creating")), "{}", got.body);
        let id = got.body["volume"]["id"].as_str().unwrap().to_string();
        self.until(&format!("/volumes/{id}"), "volume", "status", "available").await
    }
}
