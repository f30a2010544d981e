//! A running core over rows in memory and a store of bytes that only remembers sizes; the API in front of
//! it is real.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use parpen_base::{Boxed, Clock, GIB, SeededEntropy};
use parpen_block::{Address, Claim, Exports, Gate, Home, Memory, Peer, ReactorId, Session};
use parpen_http::{HttpRequest, Service, Via};
use parpen_identity::{Actor, Login, bootstrap, login};
use parpen_meta::Store;
use parpen_model::ports::{DataPath, Drivers, Made, Media, MetaStore, Rollback, VolumeBackend};
use parpen_model::{
    Api, Condition, DiskState, Driver, Found, Label, NewBytes, Pool, PoolId, SnapshotId, Source, Space,
    Subject, VolumeId,
};
use parpen_service::{HouseExports, Ports, Start, first_pools, start};
use parpen_storpool::StorPool;
use serde_json::Value;
use uuid::Uuid;

/// A clock that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> jiff::Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }
    fn steady(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

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

/// What, how large, and its label.
pub type Piece = (Subject, u64, Vec<u8>);

/// Sizes and labels, no bytes.
pub struct Sizes {
    pub pool: PoolId,
    pub fault: Option<String>,
    pub held: Mutex<HashMap<Uuid, Piece>>,
    /// Disks that have objects; none: one disk that only has figures.
    pub disks: Mutex<BTreeMap<u16, DiskState>>,
    /// A balancing plan was made.
    pub is_planned: Mutex<bool>,
}

impl Sizes {
    fn size_of(&self, id: Uuid) -> Result<u64, Condition> {
        let held = self.held.lock().unwrap();
        held.get(&id).map(|(_, size, _)| *size).ok_or_else(|| Condition::internal("the store lacks it"))
    }

    fn put(&self, subject: Subject, size: u64, label: &Label) {
        self.held.lock().unwrap().insert(subject.uuid(), (subject, size, label.to_bytes()));
    }
}

impl VolumeBackend for Sizes {
    fn at_generation(&self, _generation: u64) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async { Ok(()) })
    }
    fn close(&self) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async { Ok(()) })
    }
    fn create<'a>(
        &'a self,
        id: VolumeId,
        _: &'a Source,
        want: &'a NewBytes,
        label: &'a Label,
    ) -> Boxed<'a, Result<Made, Condition>> {
        self.put(id.into(), want.size, label);
        Box::pin(async { Ok(Made::Ready) })
    }
    fn snapshot<'a>(&'a self, all: &'a [(VolumeId, SnapshotId, Label)]) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async move {
            for (volume, snapshot, label) in all {
                self.put((*snapshot).into(), self.size_of(volume.0)?, label);
            }
            Ok(())
        })
    }
    fn resize(&self, id: VolumeId, bytes: u64) -> Boxed<'_, Result<(), Condition>> {
        if let Some(held) = self.held.lock().unwrap().get_mut(&id.0) {
            held.1 = bytes;
        }
        Box::pin(async { Ok(()) })
    }
    fn delete(&self, what: Subject) -> Boxed<'_, Result<(), Condition>> {
        self.held.lock().unwrap().remove(&what.uuid());
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
        let held = self.held.lock().unwrap();
        let found = held.values().map(|(subject, size, label)| Found {
            subject: *subject,
            size: *size,
            stored: size / 4,
            label: label.clone(),
            parent: None,
        });
        let found = found.collect();
        Box::pin(async { Ok(found) })
    }
    fn space(&self) -> Boxed<'_, Result<Space, Condition>> {
        Box::pin(async { Ok(Space { capacity: 100 * GIB, used: 0, free: 100 * GIB }) })
    }
    fn rollback(&self) -> Option<&dyn Rollback> {
        Some(self)
    }
    fn media(&self) -> Option<&dyn Media> {
        Some(self)
    }
}

impl Rollback for Sizes {
    fn rollback(&self, id: VolumeId, to: SnapshotId) -> Boxed<'_, Result<(), Condition>> {
        let size = self.size_of(to.0);
        Box::pin(async move { self.resize(id, size?).await })
    }
}

/// Opens stores of sizes. A fault here is one of every disk.
struct SizesDrivers {
    fault: Option<String>,
    disks: u16,
}

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
    fn open<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Arc<dyn VolumeBackend>, Condition>> {
        let store = Sizes {
            pool: pool.id,
            fault: self.fault.clone(),
            held: Mutex::default(),
            disks: Mutex::new((1..=self.disks).map(|n| (n, DiskState::Up)).collect()),
            is_planned: Mutex::default(),
        };
        Box::pin(async { Ok(Arc::new(store) as Arc<dyn VolumeBackend>) })
    }
    fn destroy<'a>(&'a self, _: &'a Pool) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async { Ok(()) })
    }
    fn capacity_for(&self, _: Driver, _: Option<&str>, asked: Option<u64>, _: u64) -> Result<u64, Condition> {
        Ok(asked.unwrap_or(100 * GIB))
    }
}

/// The core, the API and somebody who may use it.
pub struct World {
    /// The use cases' ports, for what other APIs would do.
    pub ports: Ports,
    /// Somebody who came through the OpenStack side.
    pub other: Actor,
    service: Arc<dyn Service>,
    exports: HouseExports,
    token: String,
}

impl World {
    pub async fn new() -> World {
        World::of(None, 0).await
    }

    pub async fn with_fault(fault: &str) -> World {
        World::of(Some(fault), 0).await
    }

    /// With disks of which each has its part of what volumes hold.
    pub async fn with_disks() -> World {
        World::of(None, 3).await
    }

    async fn of(fault: Option<&str>, disks: u16) -> World {
        let meta: Arc<dyn MetaStore> = Arc::new(Store::memory().unwrap());
        let (clock, entropy) = (Arc::new(Still), Arc::new(SeededEntropy::new(5)));
        let mut token = String::new();
        let keep = |s: &parpen_identity::Secrets| {
            token = s.secrets[&Api::StorPool].clone();
            Ok(())
        };
        bootstrap(&*meta, &*entropy, &*clock, None, keep).await.unwrap();
        let drivers = Arc::new(SizesDrivers { fault: fault.map(str::to_string), disks });
        let (home, gate) = (Arc::new(Here), Gate::new());
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
        let (ports, exports, runner) = start(parts).await.unwrap();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            // Nobody stops it: it goes with the test's runtime.
            let _stop = stop;
            runner.run(stopped).await.unwrap();
        });
        let other = login(&*meta, Api::OpenStack, Login::Local).await.unwrap();
        first_pools(&ports, &other).await.unwrap();
        let service = parpen_http::serve(StorPool::new(ports.clone()));
        World { ports, other, service, exports, token }
    }

    /// A request with these headers, as status and document.
    pub async fn raw(&self, method: Method, target: &str, auth: &str, body: &[u8]) -> (u16, Value) {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_str(auth).unwrap());
        let body = Bytes::copy_from_slice(body);
        let request = HttpRequest::new(method, target, headers, Via::Unix, body);
        let reply = self.service.answer(request).await.reply;
        assert_eq!(reply.headers["content-type"], "application/json");
        let document = serde_json::from_slice(reply.as_bytes().unwrap()).unwrap();
        (reply.status.as_u16(), document)
    }

    /// A request with the right token.
    pub async fn send(&self, method: Method, call: &str, body: &[u8]) -> (u16, Value) {
        let auth = format!("Storpool v1:{}", self.token);
        self.raw(method, &format!("/ctrl/1.0/{call}"), &auth, body).await
    }

    /// What a GET shows; it must succeed.
    pub async fn get(&self, call: &str) -> Value {
        data(call, self.send(Method::GET, call, b"").await)
    }

    /// What a POST answers; it must succeed.
    pub async fn post(&self, call: &str, body: Value) -> Value {
        let data = data(call, self.send(Method::POST, call, body.to_string().as_bytes()).await);
        assert_eq!(data["ok"], true, "{call}");
        assert!(data["generation"].is_u64(), "{call}");
        data
    }

    /// The name and text of a refusal; the call must be refused.
    pub async fn refused(&self, method: Method, call: &str, body: Value) -> (String, String) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, document) = self.send(method, call, body.as_bytes()).await;
        assert!(status >= 400, "{call}: {document}");
        assert!(document["generation"].is_u64() && document.get("data").is_none(), "{document}");
        let text = |field: &str| document["error"][field].as_str().unwrap().to_string();
        (text("name"), text("descr"))
    }

    /// Opens an export as a transport would.
    pub async fn open(&self, name: &str) -> Session {
        let peer = Peer { transport: "nbd", address: Address::Local, tls_name: None };
        let (answer, session) = tokio::sync::oneshot::channel();
        let claim = Claim { name: name.to_string(), peer };
        self.exports.admit(claim, Box::new(move |s| drop(answer.send(s))));
        session.await.unwrap().unwrap()
    }
}

fn data(call: &str, (status, mut document): (u16, Value)) -> Value {
    assert_eq!(status, 200, "{call}: {document}");
    assert!(document["generation"].is_u64() && document.get("error").is_none(), "{document}");
    document["data"].take()
}
