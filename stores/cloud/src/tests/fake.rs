//! A small HTTP server that answers what a test tells it to.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|l| {
            let (n, v) = l.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| v.trim().to_string())
        })
    }
}

/// What is sent back, to the letter; then the connection is closed. Nothing at all: it is kept open in silence.
pub(crate) type Said = Option<Vec<u8>>;
type Script = Box<dyn FnMut(&Asked) -> Said + Send>;

/// The server; it ends with the test.
pub(crate) struct Fake {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// An answer with a JSON document.
pub(crate) fn json(status: u16, headers: &str, body: &str) -> Said {
    let len = body.len();
    Some(
        format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}content-length: {len}\r\n\r\n{body}")
            .into(),
    )
}

/// An answer with bytes.
pub(crate) fn bytes(status: u16, headers: &str, body: &[u8], claimed: usize) -> Said {
    let head =
        format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}content-length: {claimed}\r\n\r\n");
    Some([head.as_bytes(), body].concat())
}

impl Fake {
    pub(crate) async fn start(script: impl FnMut(&Asked) -> Said + Send + 'static) -> Fake {
        Fake::over(None, script).await
    }

    /// The same behind TLS, where that is given.
    pub(crate) async fn over(
        tls: Option<TlsAcceptor>,
        script: impl FnMut(&Asked) -> Said + Send + 'static,
    ) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let log = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log) = (script.clone(), log.clone());
                match tls.clone() {
                    None => drop(tokio::spawn(serve(stream, script, log))),
                    Some(tls) => drop(tokio::spawn(async move {
                        // Whoever does not believe the certificate goes away.
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, script, log).await;
                        }
                    })),
                }
            }
        });
        Fake { url, asked }
    }

    /// The requests until now.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many began with this.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.asked().iter().filter(|a| a.line.starts_with(line)).count()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: Arc<Mutex<Script>>,
    log: Arc<Mutex<Vec<Asked>>>,
) {
    let mut all = Vec::new();
    let mut piece = vec![0; 65536];
    let end = loop {
        let n = stream.read(&mut piece).await.unwrap_or(0);
        all.extend_from_slice(&piece[..n]);
        match all.windows(4).position(|w| w == b"\r\n\r\n") {
            Some(end) => break end,
            None if n == 0 => return,
            None => {}
        }
    };
    let head = String::from_utf8_lossy(&all[..end]).to_string();
    let line = head.lines().next().unwrap_or_default().to_string();
    let mut asked = Asked { line, head, body: all.split_off(end + 4) };
    let wanted = asked.header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    while asked.body.len() < wanted {
        match stream.read(&mut piece).await.unwrap_or(0) {
            0 => break,
            n => asked.body.extend_from_slice(&piece[..n]),
        }
    }
    let said = (script.lock().unwrap())(&asked);
    log.lock().unwrap().push(asked);
    match said {
        Some(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        None => std::future::pending().await,
    }
}
