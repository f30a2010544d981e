//! A request as an API sees it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use parpen_model::Condition;
use serde::de::DeserializeOwned;

use crate::head;
use crate::path;

/// By which door a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// TCP, from this peer.
    Tcp(SocketAddr),
    /// A unix socket that only its owner and group can open.
    Unix,
}

/// One request.
#[derive(Debug)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// The target exactly as the client sent it.
    pub target: Vec<u8>,
    /// The headers.
    pub headers: HeaderMap,
    /// By which door it came.
    pub via: Via,
    /// Names this request in the log.
    pub id: String,
    uri: String,
    body: Body,
}

/// What a body is read from. The mutex is never locked: it makes the type shareable, access is by `&mut`.
#[derive(Debug)]
struct Body {
    source: Mutex<Source>,
    too_large: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Source {
    Live(Incoming),
    Whole(Bytes),
}

impl HttpRequest {
    /// A request that did not come from a socket: for tests of routers, and for callers inside the process.
    pub fn new(method: Method, target: &str, headers: HeaderMap, via: Via, body: Bytes) -> HttpRequest {
        let uri = head::encode(target.as_bytes());
        let source = Source::Whole(body);
        HttpRequest::build(method, (target.as_bytes().to_vec(), uri), headers, via, "inside".into(), source)
    }

    pub(crate) fn live(
        parts: http::request::Parts,
        target: (Vec<u8>, String),
        via: Via,
        id: String,
        body: Incoming,
    ) -> HttpRequest {
        HttpRequest::build(parts.method, target, parts.headers, via, id, Source::Live(body))
    }

    fn build(
        method: Method,
        (target, uri): (Vec<u8>, String),
        headers: HeaderMap,
        via: Via,
        id: String,
        source: Source,
    ) -> HttpRequest {
        let body = Body { source: Mutex::new(source), too_large: Arc::default() };
        HttpRequest { method, target, headers, via, id, uri, body }
    }

    /// The raw path: percent-encoded ASCII, without the query. What was a bare `#` reads `%23`.
    pub fn path(&self) -> &str {
        path_of(&self.uri)
    }

    /// The raw query, without the question mark; empty if there is none.
    pub fn query(&self) -> &str {
        self.uri.split_once('?').map(|(_, q)| q).unwrap_or_default()
    }

    /// The pairs of the query, decoded.
    pub fn query_pairs(&self) -> impl Iterator<Item = (String, String)> {
        path::query_pairs(self.query())
    }

    /// The first value of one name in the query.
    pub fn query_value(&self, name: &str) -> Option<String> {
        self.query_pairs().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The first header of that name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// Set by reading a body over its limit; the answer's status then says so.
    pub fn too_large(&self) -> Arc<AtomicBool> {
        self.body.too_large.clone()
    }

    /// The whole body, if it has at most `limit` bytes.
    pub async fn bytes(&mut self, limit: usize) -> Result<Bytes, Condition> {
        let announced = match self.source() {
            Source::Live(body) => body.size_hint().lower(),
            Source::Whole(bytes) => bytes.len() as u64,
        };
        if announced > limit as u64 {
            return Err(self.over(limit));
        }
        let mut all = BytesMut::new();
        while let Some(piece) = self.chunk().await? {
            if all.len() + piece.len() > limit {
                return Err(self.over(limit));
            }
            if all.is_empty() && self.is_at_end() {
                return Ok(piece);
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// The next piece of the body, for uploads that are not to be held in memory.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Condition> {
        match self.source() {
            Source::Whole(bytes) if bytes.is_empty() => Ok(None),
            Source::Whole(bytes) => Ok(Some(std::mem::take(bytes))),
            Source::Live(body) => loop {
                match body.frame().await {
                    None => return Ok(None),
                    Some(Err(e)) => return Err(Condition::invalid("body", format!("it broke off: {e}"))),
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some(data));
                        }
                    }
                }
            },
        }
    }

    /// The body as JSON.
    pub async fn json<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, Condition> {
        parse_json(&self.bytes(limit).await?)
    }

    fn source(&mut self) -> &mut Source {
        self.body.source.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn is_at_end(&mut self) -> bool {
        match self.source() {
            Source::Live(body) => body.is_end_stream(),
            Source::Whole(bytes) => bytes.is_empty(),
        }
    }

    fn over(&self, limit: usize) -> Condition {
        self.body.too_large.store(true, Ordering::Relaxed);
        Condition::invalid("body", format!("it is longer than {limit} bytes"))
    }
}

/// The path of a target in origin form.
pub(crate) fn path_of(uri: &str) -> &str {
    uri.split_once('?').map_or(uri, |(path, _)| path)
}

/// JSON from bytes; what is wrong is said with line and column. Nesting deeper than 128 is refused.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Condition> {
    serde_json::from_slice(bytes).map_err(|e| {
        use serde_json::error::Category;
        let why = match e.classify() {
            Category::Eof if bytes.trim_ascii().is_empty() => "it is empty; JSON is expected".to_string(),
            Category::Eof | Category::Syntax | Category::Io => format!("it is not JSON: {e}"),
            Category::Data => format!("it is JSON of another form: {e}"),
        };
        Condition::invalid("body", why)
    })
}
