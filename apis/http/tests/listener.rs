//! A real listener on loopback, driven with raw sockets.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // a test may

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use parpen_base::{SystemClock, SystemEntropy};
use parpen_http::{
    Address, Api, BindError, Boxed, HttpRequest, Listener, Metrics, Patience, Reply, Server, UpgradedIo, Via,
    path, serve,
};
use parpen_model::Condition;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Endpoint {
    Echo,
    Sum,
    Small,
    Json,
    Panic,
    Broken,
    Shout,
    Stream,
    Slow,
    Flood,
}

/// More than the kernel's buffers of a connection hold.
const FLOOD: usize = 64 << 20;

struct Fake;

fn table() -> Vec<path::Route<Endpoint>> {
    vec![
        (Method::GET, "/fake/echo/{x}", Endpoint::Echo),
        (Method::PUT, "/fake/sum", Endpoint::Sum),
        (Method::PUT, "/fake/small", Endpoint::Small),
        (Method::POST, "/fake/json", Endpoint::Json),
        (Method::GET, "/fake/panic", Endpoint::Panic),
        (Method::GET, "/fake/broken", Endpoint::Broken),
        (Method::GET, "/fake/shout", Endpoint::Shout),
        (Method::GET, "/fake/stream", Endpoint::Stream),
        (Method::GET, "/fake/slow", Endpoint::Slow),
        (Method::GET, "/fake/flood", Endpoint::Flood),
    ]
}

async fn shout(mut io: UpgradedIo) {
    let mut buf = [0; 64];
    while let Ok(n @ 1..) = io.read(&mut buf).await {
        let loud = buf[..n].to_ascii_uppercase();
        io.write_all(&loud).await.unwrap();
    }
}

async fn answer(endpoint: Endpoint, mut r: HttpRequest) -> Result<Reply, Condition> {
    let ok = |v| Ok(Reply::json(StatusCode::OK, &v));
    match endpoint {
        Endpoint::Echo => {
            let path::Found::Endpoint(_, params) = path::find(&table(), &r.method, r.path()) else {
                return Err(Condition::internal("routed here"));
            };
            let target = String::from_utf8_lossy(&r.target).into_owned();
            let query: Vec<_> = r.query_pairs().collect();
            ok(json!({"target": target, "x": params.get("x"), "query": query, "unix": r.via == Via::Unix}))
        }
        Endpoint::Sum => {
            let (mut bytes, mut sum) = (0, 0u64);
            while let Some(piece) = r.chunk().await? {
                bytes += piece.len();
                sum += piece.iter().map(|b| u64::from(*b)).sum::<u64>();
            }
            ok(json!({"bytes": bytes, "sum": sum}))
        }
        Endpoint::Small => ok(json!({"bytes": r.bytes(10).await?.len()})),
        Endpoint::Json => ok(r.json::<serde_json::Value>(1 << 20).await?),
        Endpoint::Panic => panic!("a handler that panics"),
        Endpoint::Broken => Err(Condition::internal("secret detail")),
        Endpoint::Shout => {
            let mut headers = HeaderMap::new();
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("shout"));
            Ok(Reply::upgrade(headers, Box::new(|io| Box::pin(shout(io)))))
        }
        Endpoint::Stream => {
            let (reply, sender) = Reply::stream(StatusCode::OK, 1);
            tokio::spawn(async move {
                for piece in ["one ", "two ", "three"] {
                    sender.send(Ok(piece.into())).await.unwrap();
                }
            });
            Ok(reply)
        }
        Endpoint::Flood => Ok(Reply::bytes(StatusCode::OK, "text/plain", vec![b'x'; FLOOD])),
        Endpoint::Slow => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            ok(json!("slow"))
        }
    }
}

impl Api for Fake {
    type Endpoint = Endpoint;
    type Caller = ();
    const ENDPOINTS: &'static [Endpoint] = &[Endpoint::Echo];

    fn name(&self) -> &'static str {
        "fake"
    }
    fn claims(&self, path: &str) -> bool {
        path::segments(path).next().is_some_and(|s| s == "fake")
    }
    fn route(&self, r: &HttpRequest) -> Result<Endpoint, Box<Reply>> {
        match path::find(&table(), &r.method, r.path()) {
            path::Found::Endpoint(endpoint, _) => Ok(endpoint),
            path::Found::OtherMethod(_) => Err(Box::new(Reply::empty(StatusCode::METHOD_NOT_ALLOWED))),
            path::Found::Nothing => Err(Box::new(Reply::empty(StatusCode::NOT_FOUND))),
        }
    }
    fn actor<'a>(&'a self, _: Endpoint, r: &'a HttpRequest) -> Boxed<'a, Result<(), Condition>> {
        let stranger = r.header("x-stranger").is_some();
        Box::pin(async move {
            if stranger { Err(Condition::Unauthenticated("who are you?".into())) } else { Ok(()) }
        })
    }
    fn call(&self, e: Endpoint, (): (), r: HttpRequest) -> Boxed<'_, Result<Reply, Condition>> {
        Box::pin(answer(e, r))
    }
    fn coat(&self, endpoint: Option<Endpoint>, condition: &Condition) -> Reply {
        let status = match condition {
            Condition::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Condition::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            _ => StatusCode::BAD_REQUEST,
        };
        let at = format!("{endpoint:?}");
        Reply::json(status, &json!({"fake": condition.to_string(), "at": at}))
    }
    fn finish(&self, id: &str, reply: Reply) -> Reply {
        reply.with(http::HeaderName::from_static("x-id"), id)
    }
}

#[derive(Default)]
struct Counted(Mutex<Vec<(String, u16)>>);

impl Metrics for Counted {
    fn request(&self, api: &'static str, endpoint: &str, status: u16, _: Duration) {
        self.0.lock().unwrap().push((format!("{api}/{endpoint}"), status));
    }
}

/// A server that runs until it is dropped.
struct Running {
    address: Address,
    stop: watch::Sender<bool>,
    counted: Arc<Counted>,
    task: Option<tokio::task::JoinHandle<()>>,
    runtime: tokio::runtime::Runtime,
}

fn start(address: &Address) -> Running {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let counted = Arc::new(Counted::default());
    let patience = Patience {
        head: Duration::from_millis(300),
        body: Duration::from_millis(300),
        idle: Duration::from_secs(2),
        write: Duration::from_millis(300),
        linger: Duration::from_millis(200),
    };
    let server = Server::new(
        vec![serve(Fake)],
        Arc::new(SystemClock::new()),
        Arc::new(SystemEntropy),
        counted.clone(),
    )
    .with_patience(patience);
    let listener = runtime.block_on(Listener::bind(address)).unwrap();
    let address = listener.address().clone();
    let (stop, stopped) = watch::channel(false);
    let task = runtime.spawn(Arc::new(server).serve(listener, stopped, Duration::from_secs(5)));
    Running { address, stop, counted, task: Some(task), runtime }
}

impl Running {
    fn tcp() -> Running {
        start(&Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))))
    }

    fn connect(&self) -> TcpStream {
        let Address::Tcp(addr) = self.address else { panic!("not tcp") };
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Sends, half-closes nothing, reads to the end.
    fn talk(&self, text: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        stream.write_all(text.as_ref()).unwrap();
        read_all(&mut stream)
    }

    fn end(mut self) {
        self.stop.send(true).unwrap();
        let task = self.task.take().unwrap();
        self.runtime.block_on(task).unwrap();
    }
}

fn read_all(stream: &mut impl Read) -> String {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    String::from_utf8(all).unwrap()
}

const CLOSE: &str = "Host: x\r\nConnection: close\r\n";

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\n{CLOSE}\r\n")
}

#[test]
fn a_hash_and_other_raw_bytes_arrive_whole() {
    let server = Running::tcp();
    let answer = server.talk(get("/fake/echo/h@b#pool \"ü\"?q=a b#c&r=%26"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["target"], "/fake/echo/h@b#pool \"ü\"?q=a b#c&r=%26");
    assert_eq!(body["x"], "h@b#pool \"ü\"");
    assert_eq!(body["query"], json!([["q", "a b#c"], ["r", "&"]]));
    assert!(server.talk(get("/fake/echo/x?")).starts_with("HTTP/1.1 200 "));
    assert!(server.talk(get("//fake/echo/x")).starts_with("HTTP/1.1 404 "), "an empty segment is one");
    assert!(server.talk(get("http://a.b:80/fake/echo/x?y")).starts_with("HTTP/1.1 200 "));
    server.end();
}

#[test]
fn a_message_that_cannot_be_read_gets_the_document_of_its_api() {
    let server = Running::tcp();
    let long = server.talk(get(&format!("/fake/echo/{}", "a".repeat(9 << 10))));
    assert!(long.starts_with("HTTP/1.1 414 "), "{long}");
    assert!(long.contains("{\"fake\":\"request: the target of the request is longer than 8192 bytes\""));
    assert!(long.contains("x-id: req-") && long.contains("connection: close"));
    let both = "POST /fake/sum HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = server.talk(format!("{both}{}", get("/fake/echo/smuggled")));
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("{\"fake\":"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "nothing after it is answered");
    let elsewhere = server.talk(get(&format!("/other/{}", "a".repeat(9 << 10))));
    assert!(elsewhere.starts_with("HTTP/1.1 414 ") && elsewhere.contains("{\"error\":"), "{elsewhere}");
    // What is still being sent while it is refused must not cost the client the answer.
    let flood = server.talk(get(&format!("/fake/{}", "a".repeat(600 << 10))));
    assert!(flood.starts_with("HTTP/1.1 414 "), "{flood}");
    server.end();
}

#[test]
fn requests_in_one_packet_are_answered_in_order() {
    let server = Running::tcp();
    let body = "PUT /fake/sum HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let first = "GET /fake/echo/one HTTP/1.1\r\nHost: x\r\n\r\n";
    let upgrade = "GET /fake/echo/two HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n";
    let head = "HEAD /fake/echo/three HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = server.talk(format!("{first}{body}{upgrade}{head}{}", get("/fake/nothing")));
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 4, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 404 ").count(), 1);
    let place = |s: &str| answer.find(s).unwrap_or_else(|| panic!("{s} in {answer}"));
    assert!(place("/one") < place("\"sum\":294") && place("\"sum\":294") < place("/two"));
    assert!(!answer.contains("/three"), "HEAD has no body");
    let old = server.talk("GET /fake/echo/x HTTP/1.0\r\n\r\n");
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
    server.end();
}

#[test]
fn bodies_are_limited_and_uploads_stream() {
    let server = Running::tcp();
    let put = |path: &str, body: &str| {
        let n = body.len();
        server.talk(format!("PUT {path} HTTP/1.1\r\n{CLOSE}Content-Length: {n}\r\n\r\n{body}"))
    };
    assert!(put("/fake/small", "0123456789").contains("{\"bytes\":10}"));
    let over = put("/fake/small", "0123456789a");
    assert!(over.starts_with("HTTP/1.1 413 ") && over.contains("longer than 10 bytes"), "{over}");
    let chunks = "6\r\n012345\r\n6\r\n012345\r\n0\r\n\r\n";
    let over = format!("PUT /fake/small HTTP/1.1\r\n{CLOSE}Transfer-Encoding: chunked\r\n\r\n{chunks}");
    assert!(server.talk(over).starts_with("HTTP/1.1 413 "));
    let big = "a".repeat(3 << 20);
    assert!(put("/fake/sum", &big).contains(&format!("\"bytes\":{}", 3 << 20)));
    let broken = format!("PUT /fake/sum HTTP/1.1\r\n{CLOSE}Transfer-Encoding: chunked\r\n\r\nzz\r\n");
    let broken = server.talk(broken);
    assert!(broken.starts_with("HTTP/1.1 400 ") && broken.contains("it broke off"), "{broken}");
    assert!(server.talk(get("/fake/stream")).contains("one "));
    server.end();
}

#[test]
fn json_that_is_none_is_said_in_words() {
    let server = Running::tcp();
    let post = |body: &str| {
        let n = body.len();
        server.talk(format!("POST /fake/json HTTP/1.1\r\n{CLOSE}Content-Length: {n}\r\n\r\n{body}"))
    };
    assert!(post("{\"a\": [1]}").contains("{\"a\":[1]}"));
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for (body, why) in [
        ("", "it is empty; JSON is expected"),
        ("{\"a\": ", "it is not JSON: EOF"),
        ("{'a': 1}", "it is not JSON: key must be a string at line 1 column 2"),
        (deep.as_str(), "it is not JSON: recursion limit exceeded"),
    ] {
        let answer = post(body);
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(why), "{answer}");
    }
    server.end();
}

#[test]
fn a_panic_costs_one_request() {
    let server = Running::tcp();
    let mut stream = server.connect();
    for (target, status) in [("panic", "500"), ("broken", "500"), ("echo/x", "200")] {
        write!(stream, "GET /fake/{target} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut buf = [0; 1000];
        let n = stream.read(&mut buf).unwrap();
        let answer = String::from_utf8_lossy(&buf[..n]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(!answer.contains("panics") && !answer.contains("secret"), "{answer}");
    }
    drop(stream);
    let stranger = format!("GET /fake/echo/x HTTP/1.1\r\n{CLOSE}X-Stranger: 1\r\n\r\n");
    assert!(server.talk(stranger).starts_with("HTTP/1.1 401 "));
    assert!(server.talk(get("/nobody")).contains("{\"error\":\"there is no object \\\"/nobody\\\"\"}"));
    let counted = server.counted.0.lock().unwrap().clone();
    let want =
        [("fake/Panic", 500), ("fake/Broken", 500), ("fake/Echo", 200), ("fake/Echo", 401), ("none/", 404)];
    assert_eq!(counted, want.map(|(n, s)| (n.to_string(), s)));
    server.end();
}

#[test]
fn an_upgrade_hands_the_connection_over() {
    let server = Running::tcp();
    let mut stream = server.connect();
    // The first raw bytes come in the same packet as the request.
    let ask = "GET /fake/shout HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nhello";
    stream.write_all(ask.as_bytes()).unwrap();
    let mut all = String::new();
    while !all.ends_with("HELLO") {
        let mut buf = [0; 500];
        let n = stream.read(&mut buf).unwrap();
        assert!(n > 0, "{all}");
        all.push_str(std::str::from_utf8(&buf[..n]).unwrap());
    }
    assert!(all.starts_with("HTTP/1.1 101 "), "{all}");
    stream.write_all(b"get /#x http/1.1\r\n\r\n").unwrap();
    let mut buf = [0; 20];
    stream.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"GET /#X HTTP/1.1\r\n\r\n");
    // Without asking in the form of HTTP/1.1 there is none.
    assert!(server.talk(get("/fake/shout")).starts_with("HTTP/1.1 426 "));
    server.end();
}

#[test]
fn slow_clients_are_not_waited_for() {
    let server = Running::tcp();
    let head = server.talk("GET /fake/echo/x HTTP/1.1\r\nHos");
    assert!(head.starts_with("HTTP/1.1 408 ") && head.contains("{\"fake\":"), "{head}");
    let body = server.talk("PUT /fake/sum HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    assert!(body.starts_with("HTTP/1.1 400 ") && body.contains("it broke off"), "{body}");
    assert_eq!(server.talk(""), "", "an idle connection is closed without a word");
    server.end();
}

#[test]
fn every_answer_starts_the_time_of_an_idle_connection_anew() {
    let server = Running::tcp();
    let mut stream = server.connect();
    for _ in 0..3 {
        let pause = async { tokio::time::sleep(Duration::from_millis(800)).await };
        server.runtime.block_on(pause); // less than the patience once, more of it in all
        stream.write_all(b"GET /fake/echo/x HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut buf = [0; 1000];
        let n = stream.read(&mut buf).unwrap();
        assert!(buf[..n].starts_with(b"HTTP/1.1 200 "));
    }
    drop(stream);
    server.end();
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let server = Running::tcp();
    let mut stuck = server.connect();
    stuck.write_all(b"GET /fake/flood HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let pause = async { tokio::time::sleep(Duration::from_millis(1000)).await };
    server.runtime.block_on(pause); // longer than the patience, with nothing taken
    let mut all = Vec::new();
    let end = stuck.read_to_end(&mut all);
    assert!(end.is_err() || all.len() < FLOOD, "{} bytes came of an answer that was given up", all.len());
    server.end();
}

#[test]
fn a_stop_lets_requests_finish() {
    let server = Running::tcp();
    let mut busy = server.connect();
    let idle = server.connect();
    busy.write_all(b"GET /fake/slow HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let pause = async { tokio::time::sleep(Duration::from_millis(100)).await };
    server.runtime.block_on(pause); // the request must have reached its handler
    let address = server.address.clone();
    server.end();
    assert!(read_all(&mut busy).contains("\"slow\""));
    drop(idle);
    let Address::Tcp(addr) = address else { panic!("tcp") };
    assert!(TcpStream::connect(addr).is_err(), "nobody listens any more");
}

#[test]
fn unix_sockets_are_cleared_of_the_dead_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let address = Address::Unix(path.clone());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap()); // a dead server's file
    let server = start(&address);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o660);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(get("/fake/echo/x").as_bytes()).unwrap();
    assert!(read_all(&mut stream).contains("\"unix\":true"));
    let bind = |address: Address| server.runtime.block_on(Listener::bind(&address)).unwrap_err();
    assert!(matches!(bind(address), BindError::InUse(_)));
    let file = dir.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(matches!(bind(Address::Unix(file.clone())), BindError::NotASocket(_)));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    let long = bind(Address::Unix(dir.path().join("x".repeat(120))));
    assert!(long.to_string().contains("a unix socket's path can have 107"), "{long}");
    let other = Running::tcp();
    let taken = server.runtime.block_on(Listener::bind(&other.address)).unwrap_err();
    assert_eq!(taken.to_string(), format!("{} is in use by another process", other.address));
    other.end();
    server.end();
    assert!(!path.exists(), "the file goes with the listener");
}
