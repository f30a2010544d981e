//! The listener's loop: connections, requests, answers, the end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parpen_base::{Clock, Entropy};
use parpen_model::{Condition, Kind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::{Answer, Service};
use crate::framing::{HeadLimits, Seen};
use crate::listen::{Listener, Socket};
use crate::reply::{self, ReplyBody, WireBody};
use crate::request::path_of;
use crate::wire::{Busy, Desk, Patience, Wire};
use crate::{HttpRequest, Reply, Via};

/// Where numbers about requests go.
pub trait Metrics: Send + Sync {
    /// One request was answered. `endpoint` is the name of the operation, empty where none was found.
    fn request(&self, api: &'static str, endpoint: &str, status: u16, took: Duration);
}

/// Several APIs behind one or more listeners. The first that claims a path serves it.
pub struct Server {
    apis: Vec<Arc<dyn Service>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    metrics: Arc<dyn Metrics>,
    limits: HeadLimits,
    patience: Patience,
}

/// What one connection knows of itself.
#[derive(Clone)]
struct Connection {
    server: Arc<Server>,
    desk: Desk,
    via: Via,
    stop: watch::Receiver<bool>,
}

impl Server {
    /// A server of `apis`.
    pub fn new(
        apis: Vec<Arc<dyn Service>>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        metrics: Arc<dyn Metrics>,
    ) -> Server {
        let (limits, patience) = (HeadLimits::default(), Patience::default());
        Server { apis, clock, entropy, metrics, limits, patience }
    }

    /// The same with other time limits for slow clients.
    pub fn with_patience(self, patience: Patience) -> Server {
        Server { patience, ..self }
    }

    /// Serves until `stop` turns true: then no new connection is taken, and those that answer a request may finish
    /// it within `drain`.
    pub async fn serve(self: Arc<Self>, listener: Listener, stop: watch::Receiver<bool>, drain: Duration) {
        let mut connections = JoinSet::new();
        let mut ending = stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut ending) => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = accept(&listener) => match accepted {
                    Ok(socket) => {
                        connections.spawn(socket.run(self.clone(), stop.clone()));
                    }
                    Err(e) => {
                        // Out of descriptors or memory: wait for connections to end instead of spinning.
                        tracing::warn!("cannot take a connection on {}: {e}", listener.address());
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        drop(listener);
        let finished = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, finished).await.is_err() {
            tracing::warn!("{} connections were cut at the end of the drain time", connections.len());
        }
    }
}

/// Waits for the end. A sender that is gone means the same as a stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    while !*stop.borrow_and_update() {
        if stop.changed().await.is_err() {
            return;
        }
    }
}

enum Accepted {
    Tcp(tokio::net::TcpStream, Via),
    Unix(tokio::net::UnixStream),
}

async fn accept(listener: &Listener) -> io::Result<Accepted> {
    match &listener.socket {
        Socket::Tcp(socket) => {
            let (stream, peer) = socket.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Accepted::Tcp(stream, Via::Tcp(peer)))
        }
        Socket::Unix(socket) => Ok(Accepted::Unix(socket.accept().await?.0)),
    }
}

impl Accepted {
    async fn run(self, server: Arc<Server>, stop: watch::Receiver<bool>) {
        match self {
            Accepted::Tcp(stream, via) => connection(server, stream, via, stop).await,
            Accepted::Unix(stream) => connection(server, stream, Via::Unix, stop).await,
        }
    }
}

async fn connection<S>(server: Arc<Server>, stream: S, via: Via, stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (wire, desk) = Wire::new(stream, server.limits, server.patience);
    let me = Connection { server, desk, via, stop: stop.clone() };
    let service = service_fn(move |request| {
        let me = me.clone();
        async move { me.request(request).await }
    });
    let http = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .max_headers(128)
        .serve_connection(TokioIo::new(wire), service)
        .with_upgrades();
    let mut http = std::pin::pin!(http);
    let mut ending = stop;
    let mut asked = false;
    let ended = loop {
        tokio::select! {
            ended = http.as_mut() => break ended,
            () = stopped(&mut ending), if !asked => {
                asked = true;
                http.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(e) = ended {
        tracing::debug!("a connection from {via:?} broke off: {e}");
    }
}

impl Connection {
    /// One request from the library. An error closes the connection without an answer.
    async fn request(self, mut request: Request<Incoming>) -> io::Result<Response<WireBody>> {
        let started = self.server.clock.steady();
        let (seen, busy) = self.desk.take().ok_or_else(|| io::Error::other("no head was seen for it"))?;
        let upgrade = hyper::upgrade::on(&mut request);
        let (parts, body) = request.into_parts();
        let id = format!("req-{}", self.server.entropy.uuid());
        let (method, uri) = (parts.method.clone(), seen.uri.clone());
        let path = path_of(&uri);
        let api = self.server.apis.iter().find(|api| api.claims(path));
        let answer = if seen.refused.is_some() {
            refusal(api, seen, &id)
        } else if parts.uri.path_and_query().is_none_or(|p| p.as_str() != seen.uri) && seen.uri != "*" {
            // The library and the framer do not speak of the same message: nothing here can be trusted.
            tracing::error!(request = id, "the request line was read in two ways");
            return Err(io::Error::other("the request line was read in two ways"));
        } else {
            let request = HttpRequest::live(parts, (seen.target, seen.uri), self.via, id.clone(), body);
            match api {
                Some(api) => api.answer(request).await,
                None => Answer { reply: unclaimed(path), endpoint: None },
            }
        };
        let took = self.server.clock.steady().saturating_sub(started);
        let name = api.map_or("none", |api| api.name());
        let endpoint = answer.endpoint.unwrap_or_default();
        let status = answer.reply.status.as_u16();
        self.server.metrics.request(name, &endpoint, status, took);
        let ms = took.as_secs_f64() * 1e3;
        tracing::debug!(request = id, api = name, endpoint, %method, path, status, ms, "answered");
        Ok(self.send(answer.reply, upgrade, busy))
    }

    /// The reply in the library's type.
    fn send(self, reply: Reply, upgrade: hyper::upgrade::OnUpgrade, busy: Busy) -> Response<WireBody> {
        let Reply { mut status, mut headers, body } = reply;
        let mut upgraded = false;
        let body = match body {
            ReplyBody::Bytes(bytes) => reply::whole(bytes, busy),
            ReplyBody::Stream(pieces) => reply::pieces(pieces, busy),
            ReplyBody::Upgrade(then) if self.desk.can_upgrade() => {
                upgraded = true;
                let mut stop = self.stop.clone();
                tokio::spawn(async move {
                    let work = async {
                        match upgrade.await {
                            Ok(io) => then(TokioIo::new(io)).await,
                            Err(e) => tracing::debug!("an upgrade broke off: {e}"),
                        }
                    };
                    tokio::select! {
                        () = work => {}
                        () = stopped(&mut stop) => {}
                    }
                });
                reply::whole(bytes::Bytes::new(), busy)
            }
            ReplyBody::Upgrade(_) => {
                // The client did not ask for it in a form that HTTP/1.1 knows.
                status = StatusCode::UPGRADE_REQUIRED;
                headers.remove(http::header::CONNECTION);
                reply::whole(bytes::Bytes::new(), busy)
            }
        };
        self.desk.decide(upgraded);
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// The answer to a message that was refused before it was a request.
fn refusal(api: Option<&Arc<dyn Service>>, seen: Seen, id: &str) -> Answer {
    let reply = match seen.refused {
        Some(refused) => {
            let condition = Condition::invalid("request", &refused.why);
            match api {
                Some(api) => api.refuse(refused.status, &condition, id),
                None => plain(refused.status, &condition),
            }
        }
        None => plain(StatusCode::BAD_REQUEST, &Condition::invalid("request", "it cannot be read")),
    };
    Answer { reply: reply.with(http::header::CONNECTION, "close"), endpoint: None }
}

fn unclaimed(path: &str) -> Reply {
    plain(StatusCode::NOT_FOUND, &Condition::not_found(Kind::Other, path))
}

fn plain(status: StatusCode, condition: &Condition) -> Reply {
    Reply::json(status, &serde_json::json!({ "error": condition.to_string() }))
}
