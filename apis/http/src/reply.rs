//! What an API answers.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::Boxed;

/// The connection after an upgrade: raw bytes both ways.
pub type UpgradedIo = TokioIo<hyper::upgrade::Upgraded>;

/// What runs on the connection after a `101`.
pub type Upgrade = Box<dyn FnOnce(UpgradedIo) -> Boxed<'static, ()> + Send>;

/// One answer.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// What follows them.
    pub body: ReplyBody,
}

/// What follows the headers.
pub enum ReplyBody {
    /// These bytes.
    Bytes(Bytes),
    /// Pieces as they come.
    Stream(Pieces),
    /// Another protocol.
    Upgrade(Upgrade),
}

/// A body whose pieces come through a channel; an error breaks the connection off, so the client sees that it is
/// not whole.
pub struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl Reply {
    /// No body.
    pub fn empty(status: StatusCode) -> Reply {
        Reply { status, headers: HeaderMap::new(), body: ReplyBody::Bytes(Bytes::new()) }
    }

    /// Bytes of a content type.
    pub fn bytes(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
        let mut reply = Reply::empty(status);
        reply.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        reply.body = ReplyBody::Bytes(body.into());
        reply
    }

    /// A JSON document.
    pub fn json(status: StatusCode, document: &impl Serialize) -> Reply {
        let body = serde_json::to_vec(document).expect("our documents have text keys and finite numbers");
        Reply::bytes(status, "application/json", body)
    }

    /// Pieces as they come, through a channel of `depth`.
    pub fn stream(status: StatusCode, depth: usize) -> (Reply, mpsc::Sender<io::Result<Bytes>>) {
        let (sender, receiver) = mpsc::channel(depth);
        let mut reply = Reply::empty(status);
        reply.body = ReplyBody::Stream(Pieces(receiver));
        (reply, sender)
    }

    /// `101`: `then` gets the connection. `headers` name the protocol (`Upgrade`, `Connection` and its own).
    pub fn upgrade(headers: HeaderMap, then: Upgrade) -> Reply {
        Reply { status: StatusCode::SWITCHING_PROTOCOLS, headers, body: ReplyBody::Upgrade(then) }
    }

    /// The same with one header more. A value that no header can hold (it comes from us, with a client's text in it)
    /// is left out.
    pub fn with(mut self, name: HeaderName, value: impl AsRef<str>) -> Reply {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The bytes of a reply that has them at once.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match &self.body {
            ReplyBody::Bytes(bytes) => Some(bytes),
            ReplyBody::Stream(_) | ReplyBody::Upgrade(_) => None,
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = ready!(self.0.poll_recv(cx));
        Poll::Ready(next.map(|piece| piece.map(Frame::data)))
    }
}

/// The body type that the library sees. `held` lives until the last byte was handed over.
pub(crate) type WireBody = UnsyncBoxBody<Bytes, io::Error>;

pub(crate) fn whole<T: Send + Unpin + 'static>(bytes: Bytes, held: T) -> WireBody {
    Held { body: Full::new(bytes).map_err(|e: Infallible| match e {}), _held: held }.boxed_unsync()
}

pub(crate) fn pieces<T: Send + Unpin + 'static>(pieces: Pieces, held: T) -> WireBody {
    Held { body: pieces, _held: held }.boxed_unsync()
}

struct Held<B, T> {
    body: B,
    _held: T,
}

impl<B: Body<Data = Bytes, Error = io::Error> + Unpin, T: Unpin> Body for Held<B, T> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
