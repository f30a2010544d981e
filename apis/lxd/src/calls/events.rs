//! The websocket of events.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use http::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use parpen_http::{Reply, UpgradedIo};
use parpen_identity::Actor;
use parpen_model::{Condition, Job};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::Cx;
use crate::bus::Bus;
use crate::to_wire::{Event, operation_event};

/// Between two pings.
const PING: Duration = Duration::from_secs(10);
/// Without a sign of life for so long the listener is given up.
const SILENCE: Duration = Duration::from_secs(35);
/// How long a listener may take to read what is sent.
const SEND: Duration = Duration::from_secs(10);
/// Longest message from a listener, in bytes; they have nothing to say.
const MESSAGE_MAX: usize = 64 << 10;
/// The kinds of events that LXD knows.
const KINDS: [&str; 3] = ["operation", "lifecycle", "logging"];

/// A listener and what it wants to hear.
struct Listener {
    socket: WebSocketStream<UpgradedIo>,
    kinds: Vec<String>,
    jobs: Receiver<Job>,
    events: Receiver<Event>,
    bus: std::sync::Arc<Bus>,
    actor: Actor,
    clock: std::sync::Arc<dyn parpen_base::Clock>,
}

/// The connection is over.
struct Over;

pub(super) fn open(cx: Cx<'_>) -> Result<Reply, Condition> {
    let kinds = kinds(cx.request.query_value("type").unwrap_or_default())?;
    let headers = handshake(&cx.request.headers)?;
    // Listening begins before the answer: what happens after it is heard.
    let (jobs, events) = (cx.ports().jobs.changes(), cx.bus().events());
    let (bus, clock, actor) = (cx.bus().clone(), cx.ports().clock.clone(), cx.actor.clone());
    let then = move |io: UpgradedIo| -> parpen_http::Boxed<'static, ()> {
        Box::pin(async move {
            let limits = WebSocketConfig::default()
                .max_message_size(Some(MESSAGE_MAX))
                .max_frame_size(Some(MESSAGE_MAX));
            let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(limits)).await;
            let listener = Listener { socket, kinds, jobs, events, bus, actor, clock };
            listener.run().await;
        })
    };
    Ok(Reply::upgrade(headers, Box::new(then)))
}

fn kinds(text: String) -> Result<Vec<String>, Condition> {
    if text.is_empty() {
        return Ok(KINDS.map(str::to_string).to_vec());
    }
    let wanted: Vec<String> = text.split(',').map(str::to_string).collect();
    match wanted.iter().find(|k| !KINDS.contains(&k.as_str())) {
        Some(unknown) => Err(Condition::invalid("", format!("{unknown:?} isn't a supported event type"))),
        None => Ok(wanted),
    }
}

/// The headers of the answer to an opening handshake (RFC 6455, 4.2.2).
fn handshake(asked: &HeaderMap) -> Result<HeaderMap, Condition> {
    let text = |name: &str| asked.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let has = |name: &str, word: &str| text(name).split(',').any(|w| w.trim().eq_ignore_ascii_case(word));
    if !has("upgrade", "websocket") || !has("connection", "upgrade") {
        return Err(Condition::invalid("", "events are sent over a websocket; this is no request for one"));
    }
    if text("sec-websocket-version") != "13" {
        return Err(Condition::invalid("", "only version 13 of the websocket protocol is spoken here"));
    }
    let key = text("sec-websocket-key");
    if key.is_empty() {
        return Err(Condition::invalid("", "the header Sec-WebSocket-Key is missing"));
    }
    let mut headers = HeaderMap::new();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(Condition::internal)?;
    headers.insert(HeaderName::from_static("sec-websocket-accept"), accept);
    Ok(headers)
}

impl Listener {
    async fn run(mut self) {
        let mut pings = interval(PING);
        let mut last_sign = self.now();
        loop {
            let step = tokio::select! {
                said = self.socket.next() => match said {
                    Some(Ok(Message::Close(_))) | Some(Err(_)) | None => Err(Over),
                    Some(Ok(_)) => { last_sign = self.now(); Ok(()) }
                },
                job = self.jobs.recv() => self.on_job(job).await,
                event = self.events.recv() => self.on_event(event).await,
                _ = pings.tick() => {
                    if self.now().saturating_sub(last_sign) > SILENCE {
                        Err(Over)
                    } else {
                        self.send(Message::Ping(Bytes::from_static(b"keepalive"))).await
                    }
                }
            };
            if step.is_err() {
                // Says goodbye where the other side still listens; it may be gone, which is no fault.
                let _ = timeout(SEND, self.socket.close(None)).await;
                return;
            }
        }
    }

    fn now(&self) -> Duration {
        self.clock.steady()
    }

    async fn on_job(&mut self, job: Result<Job, RecvError>) -> Result<(), Over> {
        let job = self.heard(job).await?;
        if !self.wants("operation") {
            return Ok(());
        }
        let operation = self.bus.operation(&self.actor, &job).await;
        self.tell(&operation_event(self.clock.now(), &operation)).await
    }

    async fn on_event(&mut self, event: Result<Event, RecvError>) -> Result<(), Over> {
        let event = self.heard(event).await?;
        if self.wants(event.kind) { self.tell(&event).await } else { Ok(()) }
    }

    /// What was heard. A listener that missed something is cut, for it would wait for the end of an operation
    /// for ever.
    async fn heard<T>(&mut self, what: Result<T, RecvError>) -> Result<T, Over> {
        match what {
            Ok(heard) => Ok(heard),
            Err(RecvError::Closed) => Err(Over),
            Err(RecvError::Lagged(n)) => {
                tracing::warn!("a listener of events was too slow by {n} and is cut");
                let frame =
                    CloseFrame { code: CloseCode::Policy, reason: "too slow: events were lost".into() };
                self.send(Message::Close(Some(frame))).await?;
                Err(Over)
            }
        }
    }

    fn wants(&self, kind: &str) -> bool {
        self.kinds.iter().any(|k| k == kind)
    }

    async fn tell(&mut self, event: &Event) -> Result<(), Over> {
        let text = serde_json::to_string(event).map_err(|_| Over)?;
        self.send(Message::text(text)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Over> {
        match timeout(SEND, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Over),
        }
    }
}
