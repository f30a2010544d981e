//! One service that is spoken to over HTTP, with a bound on everything.

use std::path::Path;
use std::time::Duration;

use parpen_model::Condition;
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode, redirect};
use serde_json::Value;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a question with a short answer may take in all.
const ANSWER: Duration = Duration::from_secs(10);
/// How long nothing may come of a long answer.
const SILENCE: Duration = Duration::from_secs(30);
/// The longest document that is read; a token with a large catalogue has some 100 KiB.
const DOCUMENT_MAX: usize = 1 << 20;

/// The way to one service.
#[derive(Clone)]
pub struct Wire {
    client: Client,
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
        // The first in the process wins; every user of TLS here brings the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("parpen/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE);
        if let Some(path) = ca_file {
            let bad = |why: String| Condition::invalid("ca_file", format!("{} {why}", path.display()));
            let pem = std::fs::read(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
            let all =
                Certificate::from_pem_bundle(&pem).map_err(|_| bad("holds no certificates as PEM".into()))?;
            if all.is_empty() {
                return Err(bad("holds no certificates as PEM".into()));
            }
            builder = builder.tls_certs_only(all);
        }
        let client = builder
            .build()
            .map_err(|e| Condition::invalid("url", format!("{root} cannot be spoken to: {e}")))?;
        Ok(Wire { client, what, root })
    }

    /// Its address, without a slash at the end.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// What people call it, with its address.
    pub(crate) fn name(&self) -> String {
        format!("the {} at {}", self.what, self.root)
    }

    /// A request to a path.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.root))
    }

    /// It is out of reach, in words that say what to look at.
    pub(crate) fn away(&self, why: &str) -> Condition {
        Condition::Unavailable(format!("{} {why}", self.name()))
    }

    fn failed(&self, e: reqwest::Error) -> Condition {
        // The address of the request may name what nobody else should read; the service's own is said instead.
        let e = e.without_url();
        tracing::warn!(service = self.name(), error = ?e, "a request failed");
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

    /// Sends a request and reads its short answer; a body that is no JSON is null.
    pub(crate) async fn ask(&self, request: RequestBuilder) -> Result<Answer, Condition> {
        let mut response = self.send(request.timeout(ANSWER)).await?;
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
