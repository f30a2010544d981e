//! A running core over rows in memory and a store of bytes that only remembers sizes; the API in front of
//! it is real.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use parpen_base::{Boxed, GIB, SeededEntropy, SystemClock};
use parpen_block::{Gate, Home, Memory, ReactorId};
use parpen_http::{HttpRequest, Reply, Service, Via};
use parpen_identity::{Actor, Login, bootstrap, login};
use parpen_lxd::Lxd;
use parpen_meta::Store;
use parpen_model::ports::{DataPath, Drivers, Made, MetaStore, Rollback, VolumeBackend};
use parpen_model::{
    Api, Condition, Driver, Found, Label, NewBytes, Pool, SnapshotId, Source, Space, Subject, VolumeId,
};
use parpen_service::{Ports, Start, first_pools, start};
use serde_json::{Value, json};
use uuid::Uuid;

/// A home for queues: everything runs at once.
struct Here;

impl Home for Here {
    fn id(&self) -> ReactorId {
        ReactorId(0)
    }
    fn run(&self, f: Box<dyn FnOnce() + Send>) {
        f()
    }
}

/// Sizes, no bytes.
#[derive(Default)]
struct Sizes(Mutex<HashMap<Uuid, (Subject, u64)>>);

impl Sizes {
    fn size_of(&self, id: Uuid) -> Result<u64, Condition> {
        let held = self.0.lock().unwrap();
        held.get(&id).map(|(_, size)| *size).ok_or_else(|| Condition::internal("the store lacks it"))
    }

    fn put(&self, subject: Subject, size: u64) {
        self.0.lock().unwrap().insert(subject.uuid(), (subject, size));
    }
}

impl VolumeBackend for Sizes {
    fn create<'a>(
        &'a self,
        id: VolumeId,
        _: &'a Source,
        want: &'a NewBytes,
        _: &'a Label,
    ) -> Boxed<'a, Result<Made, Condition>> {
        self.put(id.into(), want.size);
        Box::pin(async { Ok(Made::Ready) })
    }
    fn snapshot<'a>(&'a self, all: &'a [(VolumeId, SnapshotId, Label)]) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async move {
            for (volume, snapshot, label) in all {
                // The one name under which this store fails.
                if label.handle.ends_with("@unlucky") {
                    return Err(Condition::NoSpace("the pool has no space left".into()));
                }
                self.put((*snapshot).into(), self.size_of(volume.0)?);
            }
            Ok(())
        })
    }
    fn resize(&self, id: VolumeId, bytes: u64) -> Boxed<'_, Result<(), Condition>> {
        self.put(id.into(), bytes);
        Box::pin(async { Ok(()) })
    }
    fn delete(&self, what: Subject) -> Boxed<'_, Result<(), Condition>> {
        self.0.lock().unwrap().remove(&what.uuid());
        Box::pin(async { Ok(()) })
    }
    fn data(&self, what: Subject) -> Boxed<'_, Result<DataPath, Condition>> {
        let size = self.size_of(what.uuid());
        Box::pin(async move { Ok(DataPath::Here(Arc::new(Memory::new(size?)))) })
    }
    fn relabel<'a>(&'a self, _: &'a [Label]) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async { Ok(()) })
    }
    fn inventory(&self) -> Boxed<'_, Result<Vec<Found>, Condition>> {
        let held = self.0.lock().unwrap();
        let found = held.values().map(|(subject, size)| Found {
            subject: *subject,
            size: *size,
            stored: size / 4,
            label: Vec::new(),
            parent: None,
        });
        let found = found.collect();
        Box::pin(async { Ok(found) })
    }
    fn space(&self) -> Boxed<'_, Result<Space, Condition>> {
        Box::pin(async { Ok(Space { capacity: 100 * GIB, used: GIB, free: 99 * GIB }) })
    }
    fn at_generation(&self, _: u64) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async { Ok(()) })
    }
    fn close(&self) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async { Ok(()) })
    }
    fn rollback(&self) -> Option<&dyn Rollback> {
        Some(self)
    }
}

impl Rollback for Sizes {
    fn rollback(&self, id: VolumeId, to: SnapshotId) -> Boxed<'_, Result<(), Condition>> {
        let size = self.size_of(to.0);
        Box::pin(async move { self.resize(id, size?).await })
    }
}

struct SizesDrivers;

impl Drivers for SizesDrivers {
    fn default_path(&self, pool: &str, number: Option<u16>) -> String {
        number.map_or_else(|| pool.to_string(), |n| format!("{pool}-{n}"))
    }
    fn is_ssd(&self, _: &str) -> bool {
        true
    }
    fn remark(&self, _: &Pool) -> Option<String> {
        None
    }
    fn open<'a>(&'a self, _: &'a Pool) -> Boxed<'a, Result<Arc<dyn VolumeBackend>, Condition>> {
        Box::pin(async { Ok(Arc::new(Sizes::default()) as Arc<dyn VolumeBackend>) })
    }
    fn destroy<'a>(&'a self, _: &'a Pool) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async { Ok(()) })
    }
    fn capacity_for(&self, _: Driver, _: Option<&str>, asked: Option<u64>, _: u64) -> Result<u64, Condition> {
        Ok(asked.unwrap_or(100 * GIB))
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    fn of(reply: &Reply) -> Answer {
        let bytes = reply.as_bytes().unwrap();
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(bytes).unwrap(),
        };
        Answer { status: reply.status.as_u16(), headers: reply.headers.clone(), body }
    }

    /// The result of what succeeded at once.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!((self.status, &self.body["type"]), (200, &json!("sync")), "{self:?}");
        assert_eq!(self.body["status_code"], 200);
        self.body["metadata"].clone()
    }

    /// The text of a refusal with this status.
    #[track_caller]
    pub fn refused(self, status: u16) -> String {
        assert_eq!((self.status, &self.body["type"]), (status, &json!("error")), "{self:?}");
        assert_eq!(self.body["error_code"], status);
        assert_eq!(self.body["metadata"], Value::Null);
        assert_eq!(self.headers["x-content-type-options"], "nosniff");
        self.body["error"].as_str().unwrap().to_string()
    }

    pub fn header(&self, name: &str) -> String {
        self.headers[name].to_str().unwrap().to_string()
    }
}

/// The core and the API.
pub struct World {
    pub ports: Ports,
    /// Somebody who came through another side.
    pub other: Actor,
    pub service: Arc<dyn Service>,
}

impl World {
    pub async fn new() -> World {
        let meta: Arc<dyn MetaStore> = Arc::new(Store::memory().unwrap());
        let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SeededEntropy::new(5)));
        bootstrap(&*meta, &*entropy, &*clock, None, |_| Ok(())).await.unwrap();
        let (drivers, home, gate) = (Arc::new(SizesDrivers), Arc::new(Here), Gate::new());
        let parts = Start {
            meta: meta.clone(),
            drivers,
            copies: parpen_service::Copies::none(),
            home,
            gate,
            clock,
            entropy,
            restored: false,
        };
        let (ports, _, runner) = start(parts).await.unwrap();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            // Nobody stops it: it goes with the test's runtime.
            let _stop = stop;
            runner.run(stopped).await.unwrap();
        });
        let other = login(&*meta, Api::OpenStack, Login::Local).await.unwrap();
        first_pools(&ports, &other).await.unwrap();
        let service = parpen_http::serve(Lxd::new(ports.clone(), "1.2.3"));
        World { ports, other, service }
    }

    /// A request with these headers and this body, by this door.
    pub async fn raw(
        &self,
        via: Via,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let pair =
            |(n, v): &(&str, &str)| (HeaderName::try_from(*n).unwrap(), HeaderValue::from_str(v).unwrap());
        let headers: HeaderMap = headers.iter().map(pair).collect();
        let body = Bytes::copy_from_slice(body);
        let request = HttpRequest::new(method, target, headers, via, body);
        Answer::of(&self.service.answer(request).await.reply)
    }

    /// A request over the socket.
    pub async fn send(&self, method: Method, target: &str, body: Value) -> Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.raw(Via::Unix, method, target, &[], &body).await
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.send(Method::GET, target, Value::Null).await
    }

    pub async fn post(&self, target: &str, body: Value) -> Answer {
        self.send(Method::POST, target, body).await
    }

    pub async fn put(&self, target: &str, body: Value) -> Answer {
        self.send(Method::PUT, target, body).await
    }

    pub async fn patch(&self, target: &str, body: Value) -> Answer {
        self.send(Method::PATCH, target, body).await
    }

    pub async fn delete(&self, target: &str) -> Answer {
        self.send(Method::DELETE, target, Value::Null).await
    }

    /// Waits for the operation of a 202 and gives its last document.
    #[track_caller]
    pub fn wait(&self, answer: Answer) -> impl Future<Output = Value> {
        assert_eq!((answer.status, &answer.body["type"]), (202, &json!("async")), "{answer:?}");
        assert_eq!(
            (&answer.body["status"], &answer.body["status_code"]),
            (&json!("Operation created"), &json!(100))
        );
        let at = answer.body["operation"].as_str().unwrap().to_string();
        assert_eq!(answer.header("location"), at);
        assert_eq!(answer.body["metadata"]["id"], at.rsplit('/').next().unwrap());
        async move { self.get(&format!("{at}/wait?timeout=20")).await.ok() }
    }

    /// A blank volume in the pool `local`.
    pub async fn volume(&self, name: &str, size: &str) {
        let body = json!({ "name": name, "content_type": "block", "config": { "size": size } });
        assert_eq!(self.post("/1.0/storage-pools/local/volumes/custom", body).await.ok(), json!({}));
    }

    /// A snapshot of a volume in the pool `local`.
    pub async fn snapshot(&self, volume: &str, name: &str) {
        let answer = self.post(&format!("{}/snapshots", at(volume)), json!({ "name": name })).await;
        assert_eq!(self.wait(answer).await["status"], "Success");
    }
}

/// The address of a volume in the pool `local`.
pub fn at(volume: &str) -> String {
    format!("/1.0/storage-pools/local/volumes/custom/{volume}")
}
