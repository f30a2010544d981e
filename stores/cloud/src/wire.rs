//! One service that is spoken to over HTTP, with a bound on everything.

use std::path::Path;
use std::time::Duration;

use parpen_model::Condition;
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode, redirect, retry};
use serde_json::Value;

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a connection.
    pub(crate) connect: Duration,
    /// For all of a short answer.
    pub(crate) answer: Duration,
    /// For the next bytes of a long answer, or for the next of ours to be taken.
    pub(crate) silence: Duration,
    /// For the answer to a long upload that was taken.
    pub(crate) digestion: Duration,
}

impl Patience {
    const USUAL: Patience = Patience {
        connect: Duration::from_secs(3),
        answer: Duration::from_secs(20),
        silence: Duration::from_secs(60),
        digestion: Duration::from_secs(600),
    };
}

/// How long a connection may rest and still be used again. Servers end resting ones after a few seconds (gunicorn after
/// two), and a request that is sent at that moment is lost.
const REST: Duration = Duration::from_secs(1);

/// The longest document that is read; a token with a large catalogue has some 100 KiB.
const DOCUMENT_MAX: usize = 1 << 20;

/// The way to one service.
#[derive(Clone)]
pub struct Wire {
    client: Client,
    /// For requests whose own bodies take long.
    patient: Client,
    pub(crate) patience: Patience,
    /// What people call it: "the Keystone".
    what: &'static str,
    root: String,
}

/// A short answer, all of it.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) document: Value,
}

/// The address of a service's API of one version, whether that was written at its end or not.
pub fn root(url: &str, version: &str) -> Result<String, String> {
    let said = || format!("{url:?} is no address: write it like https://cloud.example.org:5000");
    let parsed = reqwest::Url::parse(url).map_err(|_| said())?;
    if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
        return Err(said());
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("an address must be without any credential".into());
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(said());
    }
    let text = parsed.as_str().trim_end_matches('/');
    let text = text.strip_suffix(&format!("/{version}")).unwrap_or(text);
    Ok(text.trim_end_matches('/').to_string())
}

impl Wire {
    /// The way to what is at `root`. Whoever has a certificate of `ca_file` is believed, else those whom the system
    /// believes.
    pub fn open(what: &'static str, root: String, ca_file: Option<&Path>) -> Result<Wire, Condition> {
        Wire::with(Patience::USUAL, what, root, ca_file)
    }

    pub(crate) fn with(
        patience: Patience,
        what: &'static str,
        root: String,
        ca_file: Option<&Path>,
    ) -> Result<Wire, Condition> {
        // The first in the process wins; every user of TLS here brings the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let trusted = ca_file.map(certificates).transpose()?;
        let address =
            reqwest::Url::parse(&root).map_err(|e| Condition::invalid("url", format!("{root}: {e}")))?;
        let client = |silence: Option<Duration>| {
            let mut builder = Client::builder()
                .user_agent(concat!("parpen/", env!("CARGO_PKG_VERSION")))
                .no_proxy()
                .redirect(redirect::Policy::none())
                .retry(again(address.host_str().unwrap_or_default().to_string()))
                .pool_idle_timeout(REST)
                .connect_timeout(patience.connect);
            if let Some(silence) = silence {
                builder = builder.read_timeout(silence);
            }
            if let Some(trusted) = &trusted {
                builder = builder.tls_certs_only(trusted.clone());
            }
            let bad = |e| Condition::invalid("url", format!("{root} cannot be spoken to: {e}"));
            builder.build().map_err(bad)
        };
        let (client, patient) = (client(Some(patience.silence))?, client(None)?);
        Ok(Wire { client, patient, patience, what, root })
    }

    /// Its address, without a slash at the end.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// What people call it, with its address.
    pub(crate) fn name(&self) -> String {
        format!("the {} at {}", self.what, self.root)
    }

    /// A request with a short answer.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.root)).timeout(self.patience.answer)
    }

    /// A request with a long answer.
    pub(crate) fn download(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.root))
    }

    /// A request with a long body; its sender keeps an eye on the time.
    pub(crate) fn upload(&self, path: &str) -> RequestBuilder {
        self.patient.put(format!("{}{path}", self.root))
    }

    /// It is out of reach, in words that say what to look at.
    pub(crate) fn away(&self, why: &str) -> Condition {
        Condition::Unavailable(format!("{} {why}", self.name()))
    }

    fn failed(&self, e: reqwest::Error) -> Condition {
        // The address of the request may name what nobody else should read; the service's own is said instead.
        let e = e.without_url();
        tracing::warn!(service = self.name(), error = ?e, "a request failed");
        if let Some(why) = distrusted(&e) {
            return self.away(why);
        }
        match (e.is_timeout(), e.is_connect()) {
            (true, _) => self.away("did not answer in time"),
            (false, true) => self.away("cannot be reached: is it running, and is its address right?"),
            (false, false) => self.away("broke off in the middle of an answer"),
        }
    }

    /// Sends a request; what it answers is given as it is, unless it is a fault of the service.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, Condition> {
        let response = request.send().await.map_err(|e| self.failed(e))?;
        let status = response.status();
        if status.is_redirection() && status != StatusCode::MULTIPLE_CHOICES {
            return Err(self.away(&format!("answers {} with another address: set that one", status.as_u16())));
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(self.away(&format!("answers {}: its own log says why", status.as_u16())));
        }
        Ok(response)
    }

    /// The next bytes of an answer.
    pub(crate) async fn chunk(&self, response: &mut Response) -> Result<Option<Vec<u8>>, Condition> {
        let chunk = response.chunk().await.map_err(|e| self.failed(e))?;
        Ok(chunk.map(Vec::from))
    }

    /// Reads a short answer; a body that is no JSON is null.
    pub(crate) async fn read(&self, mut response: Response) -> Result<Answer, Condition> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            if body.len() + chunk.len() > DOCUMENT_MAX {
                return Err(self.away("answers with more than 1 MiB: is that address right?"));
            }
            body.extend_from_slice(&chunk);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, document: serde_json::from_slice(&body).unwrap_or_default() })
    }
}

/// A request whose connection ended before any answer is sent again, twice at most: all that are sent here may come
/// twice (a new image is announced with an id of our own). A long body goes once only, it cannot be said again.
fn again(host: String) -> retry::Builder {
    let lost = |e: &reqwest::Error| !e.is_timeout() && !e.is_connect();
    retry::for_host(host).no_budget().classify_fn(move |asked| {
        match asked.error().and_then(|e| e.downcast_ref()).is_some_and(lost) {
            true => asked.retryable(),
            false => asked.success(),
        }
    })
}

/// Why the certificate that was shown is not believed, where that is what failed.
fn distrusted(e: &reqwest::Error) -> Option<&'static str> {
    use rustls::CertificateError::*;
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(e) = next {
        if let Some(rustls::Error::InvalidCertificate(why)) = e.downcast_ref() {
            return Some(match why {
                UnknownIssuer => {
                    "shows a certificate of a CA that is not believed here: name that CA's own in ca_file"
                }
                NotValidForName | NotValidForNameContext { .. } => {
                    "shows a certificate for another name: is its address right?"
                }
                Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
                    "shows a certificate that is not valid at this time"
                }
                _ => "shows a certificate that is not believed here",
            });
        }
        // What an I/O error holds is what it stands for: its source is that one's, already a step further.
        next = match e.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref()) {
            Some(held) => Some(held),
            None => e.source(),
        };
    }
    None
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, Condition> {
    let bad = |why: String| Condition::invalid("ca_file", format!("{} {why}", path.display()));
    let pem = std::fs::read(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) | Err(_) => Err(bad("holds no certificates as PEM".into())),
    }
}
