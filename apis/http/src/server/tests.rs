use std::sync::Mutex;

use http::Method;
use parpen_base::{SeededEntropy, SystemClock};
use parpen_model::Condition;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::framing::Framer;
use crate::{Api, Boxed};

/// Writes down every request that reaches it.
#[derive(Clone, Default)]
struct Ears(Arc<Mutex<Vec<String>>>);

impl Metrics for Ears {
    fn request(&self, _: &'static str, _: &str, _: u16, _: Duration) {}
}

impl Api for Ears {
    type Endpoint = ();
    type Caller = ();
    const ENDPOINTS: &'static [()] = &[()];

    fn name(&self) -> &'static str {
        "ears"
    }
    fn claims(&self, _: &str) -> bool {
        true
    }
    fn route(&self, r: &HttpRequest) -> Result<(), Box<Reply>> {
        let target = String::from_utf8_lossy(&r.target).into_owned();
        self.0.lock().unwrap().push(target);
        Ok(())
    }
    fn actor<'a>(&'a self, (): (), _: &'a HttpRequest) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async { Ok(()) })
    }
    fn call(&self, (): (), (): (), mut r: HttpRequest) -> Boxed<'_, Result<Reply, Condition>> {
        Box::pin(async move {
            let body = r.bytes(1 << 20).await?;
            let status = if r.method == Method::PUT && body.is_empty() { 204 } else { 200 };
            Ok(Reply::empty(StatusCode::from_u16(status).map_err(Condition::internal)?))
        })
    }
    fn coat(&self, _: Option<()>, c: &Condition) -> Reply {
        plain(StatusCode::BAD_REQUEST, c)
    }
}

/// What reached the API of a byte stream, and whether the two readings of it ever differed.
async fn heard(text: Vec<u8>) -> Vec<String> {
    let ears = Ears::default();
    let server = Server::new(
        vec![crate::serve(ears.clone())],
        Arc::new(SystemClock::new()),
        Arc::new(SeededEntropy::new(1)),
        Arc::new(ears.clone()),
    )
    .with_patience(Patience { linger: Duration::from_millis(1), ..Patience::default() });
    let (mut client, inner) = tokio::io::duplex(1 << 20);
    let (_stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(connection(Arc::new(server), inner, Via::Unix, stopped));
    client.write_all(&text).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answers = Vec::new();
    client.read_to_end(&mut answers).await.unwrap();
    serving.await.unwrap();
    let heard = ears.0.lock().unwrap();
    heard.clone()
}

/// What the framer alone takes for requests.
fn framed(text: &[u8]) -> Vec<String> {
    let (mut framer, mut out) = (Framer::new(HeadLimits::default()), Vec::new());
    let _ = framer.push(text, &mut out); // a broken body ends the stream; what came before it counts
    let seen = std::iter::from_fn(|| framer.take_seen());
    let good = seen.filter(|s| s.refused.is_none());
    good.map(|s| String::from_utf8_lossy(&s.target).into_owned()).collect()
}

/// Bytes that look like HTTP, with the spots where readers differ shaken.
fn nearly_http() -> impl Strategy<Value = Vec<u8>> {
    let target = "/[a-c#? \"<%0-9]{0,6}";
    let header = prop_oneof![
        "Content-Length: [0-9]{1,2}",
        "Content-Length[ :]{1,3}[+0-9 ,]{0,4}",
        "Transfer-Encoding: (chunked|Chunked|identity|chunked, chunked| chunked )",
        "Connection: (close|keep-alive|upgrade)",
        "Expect: 100-continue",
        "X[a-z]{0,2}:[ \ta-z]{0,5}",
        " [a-z]{1,4}",
    ];
    let end = prop_oneof![9 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r")];
    let body = prop_oneof![
        3 => Just(String::new()),
        2 => "[0-9a-f]{1,2}\r\n[a-z]{0,8}\r\n0\r\n\r\n",
        2 => "[a-z]{0,12}",
        1 => "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
        1 => "0\r\nX: y\r\n\r\n",
    ];
    let message = (
        prop::sample::select(vec!["GET", "PUT", "POST", "HEAD"]),
        target,
        prop::sample::select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]),
        prop::collection::vec((header, end), 0..3),
        body,
    );
    let text = message.prop_map(|(method, target, version, headers, body)| {
        let headers: String = headers.iter().map(|(h, end)| format!("{h}{end}")).collect();
        format!("{method} {target} {version}\r\nHost: x\r\n{headers}\r\n{body}").into_bytes()
    });
    prop::collection::vec(text, 1..5).prop_map(|all| all.concat())
}

proptest! {
    // A failing case may be one that waits, so few are tried while shrinking.
    #![proptest_config(ProptestConfig { max_shrink_iters: 16, ..ProptestConfig::default() })]

    /// The library never takes for a request what the framer did not, nor another one: nothing can be smuggled.
    #[test]
    fn both_readers_find_the_same_requests(text in nearly_http()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let limit = Duration::from_secs(3);
        let heard = runtime.block_on(async { tokio::time::timeout(limit, heard(text.clone())).await });
        let heard = heard.expect("one reader waits for bytes that the other has taken for something else");
        let framed = framed(&text);
        prop_assert!(framed.starts_with(&heard), "{heard:?} of {framed:?}");
    }
}
