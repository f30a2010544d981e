//! The websocket of events, over a real listener.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::Method;
use parpen_base::{SeededEntropy, SystemClock};
use parpen_http::{Address, Listener, Metrics, Server, Via};
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::world::{World, at};

struct NoMetrics;
impl Metrics for NoMetrics {
    fn request(&self, _: &'static str, _: &str, _: u16, _: Duration) {}
}

type Socket = WebSocketStream<UnixStream>;

/// A listener in a folder of its own, and a websocket to it.
async fn listen(w: &World, query: &str) -> (tempfile::TempDir, tokio::sync::watch::Sender<bool>, Socket) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unix.socket");
    let listener = Listener::bind(&Address::Unix(path.clone())).await.unwrap();
    let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SeededEntropy::new(1)));
    let server = Arc::new(Server::new(vec![w.service.clone()], clock, entropy, Arc::new(NoMetrics)));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(server.serve(listener, stopped, Duration::from_secs(1)));
    let stream = UnixStream::connect(path).await.unwrap();
    let (socket, _) = client_async(format!("ws://lxd/1.0/events{query}"), stream).await.unwrap();
    (folder, stop, socket)
}

/// The next event; pings are answered by the library.
async fn next(socket: &mut Socket) -> Value {
    loop {
        match timeout(Duration::from_secs(20), socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(payload) => assert_eq!(&payload[..], b"keepalive"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_operation_is_heard() {
    let w = World::new().await;
    w.volume("v", "1MiB").await;
    let (_folder, _stop, mut socket) = listen(&w, "?type=operation").await;
    let answer = w.post(&format!("{}/snapshots", at("v")), json!({ "name": "s" })).await;
    let id = answer.body["metadata"]["id"].clone();
    loop {
        let event = next(&mut socket).await;
        assert_eq!((&event["type"], &event["project"]), (&json!("operation"), &json!("default")));
        assert_eq!(event["metadata"]["id"], id);
        assert_eq!(event["metadata"]["description"], "Creating storage volume snapshot");
        if event["metadata"]["status_code"] == 200 {
            break;
        }
    }
    // Operations that need no job are heard as well.
    let answer = w.post(&format!("{}/snapshots/s", at("v")), json!({ "name": "t" })).await;
    loop {
        let event = next(&mut socket).await;
        if event["metadata"]["id"] == answer.body["metadata"]["id"] {
            assert_eq!(event["metadata"]["status"], "Success");
            break;
        }
    }
    socket.close(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lifecycle_says_what_was_made() {
    let w = World::new().await;
    let (_folder, _stop, mut socket) = listen(&w, "?type=lifecycle").await;
    w.volume("v", "1MiB").await;
    w.snapshot("v", "s").await;
    w.delete(&at("v")).await.ok();
    for (action, source) in [
        ("storage-volume-created", at("v")),
        ("storage-volume-snapshot-created", format!("{}/snapshots/s", at("v"))),
        ("storage-volume-deleted", at("v")),
    ] {
        let event = next(&mut socket).await;
        assert_eq!(event["type"], "lifecycle");
        assert_eq!(
            (&event["metadata"]["action"], &event["metadata"]["source"]),
            (&json!(action), &json!(source))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_talks_too_much_is_cut() {
    let w = World::new().await;
    let (_folder, _stop, mut socket) = listen(&w, "").await;
    // The server may be gone before the last byte is sent.
    let _ = socket.send(Message::text("x".repeat(1 << 20))).await;
    let ended = timeout(Duration::from_secs(20), async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(_))) | Some(Err(_)) | None => return,
                Some(Ok(_)) => {}
            }
        }
    });
    ended.await.expect("the connection ends");
    w.get("/1.0").await.ok();
}

#[tokio::test]
async fn what_is_no_handshake_is_refused() {
    let w = World::new().await;
    w.get("/1.0/events").await.refused(400);
    w.get("/1.0/events?type=gossip").await.refused(400);
    let upgrade = [("upgrade", "websocket"), ("connection", "keep-alive, Upgrade")];
    let with = |more: &[(&'static str, &'static str)]| [&upgrade[..], more].concat();
    for headers in [
        with(&[("sec-websocket-version", "8"), ("sec-websocket-key", "eA==")]),
        with(&[("sec-websocket-version", "13")]),
    ] {
        w.raw(Via::Unix, Method::GET, "/1.0/events", &headers, b"").await.refused(400);
    }
}
