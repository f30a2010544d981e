//! Talking to the running server.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use parpen_model::Api;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::{Agent, Body, SendBody};

use super::Common;
use crate::config;
use crate::files::{self, RunFile};

/// The native API of one server.
pub struct Client {
    agent: Agent,
    base: String,
    token: String,
}

impl Client {
    /// The server of a data directory; in words when nothing runs there.
    pub(super) fn of(common: &Common) -> anyhow::Result<Client> {
        Client::at(&config::data_dir(common.data_dir.as_deref())?)
    }

    fn at(data: &Path) -> anyhow::Result<Client> {
        let run = RunFile::read(data)?;
        let secrets = files::read_secrets(data)?;
        let token =
            secrets.secrets.get(&Api::Native).context("credentials.json has no native secret")?.clone();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .build();
        Ok(Client { agent: config.into(), base: format!("http://{}/api", run.http), token })
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// `GET`.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self.agent.get(self.url(path)).header("Authorization", self.bearer()).call();
        read(self.heard(answer)?)
    }

    /// `POST`.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        let answer = self.agent.post(self.url(path)).header("Authorization", self.bearer()).send_json(body);
        read(self.heard(answer)?)
    }

    /// `POST` whose answer has no document.
    pub fn post_quietly(&self, path: &str, body: &impl Serialize) -> anyhow::Result<()> {
        let answer = self.agent.post(self.url(path)).header("Authorization", self.bearer()).send_json(body);
        self.heard(answer).map(|_| ())
    }

    /// `PATCH`.
    pub fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        let answer = self.agent.patch(self.url(path)).header("Authorization", self.bearer()).send_json(body);
        read(self.heard(answer)?)
    }

    /// `DELETE`.
    pub fn delete(&self, path: &str) -> anyhow::Result<()> {
        let answer = self.agent.delete(self.url(path)).header("Authorization", self.bearer()).call();
        self.heard(answer).map(|_| ())
    }

    /// `PUT` of a stream of known length.
    pub fn put_stream(&self, path: &str, length: u64, mut from: impl Read) -> anyhow::Result<()> {
        let answer = self
            .agent
            .put(self.url(path))
            .header("Authorization", self.bearer())
            .header("Content-Length", length.to_string())
            .send(SendBody::from_reader(&mut from));
        self.heard(answer).map(|_| ())
    }

    /// `GET` of a stream: its length and its bytes.
    pub fn get_stream(&self, path: &str) -> anyhow::Result<(u64, impl Read + use<>)> {
        let answer = self.agent.get(self.url(path)).header("Authorization", self.bearer()).call();
        let answer = self.heard(answer)?;
        let length = answer.headers().get("content-length").and_then(|l| l.to_str().ok()?.parse().ok());
        let length = length.context("the server did not say how many bytes come")?;
        Ok((length, answer.into_body().into_reader()))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// An answer that is no error.
    fn heard(&self, answer: Result<Response<Body>, ureq::Error>) -> anyhow::Result<Response<Body>> {
        let mut answer =
            answer.with_context(|| format!("the server at {} does not answer as one", self.base))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        let document: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        let message = document.as_ref().and_then(|d| d.pointer("/error/message")?.as_str());
        match message {
            Some(m) => bail!("{m}"),
            None => bail!("the server answered {status}: {}", text.chars().take(500).collect::<String>()),
        }
    }
}

fn read<T: DeserializeOwned>(mut answer: Response<Body>) -> anyhow::Result<T> {
    let text = answer.body_mut().with_config().limit(1 << 30).read_to_string()?;
    serde_json::from_str(&text).context("the server's answer is of another form: is it of another version?")
}

/// One segment of a path.
pub fn segment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn segments_are_quoted() {
        assert_eq!(super::segment("a b/c@d"), "a%20b%2Fc%40d");
    }
}
