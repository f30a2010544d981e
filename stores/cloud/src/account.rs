//! The account with which this service speaks to the others, and the token that it has at the moment.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parpen_base::Clock;
use parpen_model::Condition;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::Wire;
use crate::wire::Answer;

/// A token is renewed when it would last no longer than this.
const SPARE: SignedDuration = SignedDuration::from_secs(60);

/// How the account proves itself.
#[derive(Clone)]
pub enum Proof {
    /// A user's name and password.
    Password {
        /// Its name.
        username: String,
        /// The name of its domain.
        user_domain: String,
        /// Its password.
        password: String,
        /// The name of the project in which it has its role.
        project: String,
        /// The name of that project's domain.
        project_domain: String,
    },
    /// An application credential.
    Application {
        /// Its id.
        id: String,
        /// Its secret.
        secret: String,
    },
}

struct Held {
    text: String,
    expires: Timestamp,
}

/// An account at a Keystone.
pub struct Account {
    keystone: Wire,
    proof: Proof,
    clock: Arc<dyn Clock>,
    /// One logs in at a time; the others wait and take what it got.
    held: Mutex<Option<Held>>,
}

impl Account {
    /// The account of that proof. Nothing is asked before it is used.
    pub fn new(keystone: Wire, proof: Proof, clock: Arc<dyn Clock>) -> Account {
        Account { keystone, proof, clock, held: Mutex::new(None) }
    }

    /// The way to the Keystone.
    pub(crate) fn keystone(&self) -> &Wire {
        &self.keystone
    }

    fn document(&self) -> Value {
        match &self.proof {
            Proof::Password { username, user_domain, password, project, project_domain } => json!({ "auth": {
                "identity": { "methods": ["password"], "password": { "user": {
                    "name": username, "domain": { "name": user_domain }, "password": password,
                }}},
                "scope": { "project": { "name": project, "domain": { "name": project_domain } } },
            }}),
            Proof::Application { id, secret } => json!({ "auth": { "identity": {
                "methods": ["application_credential"],
                "application_credential": { "id": id, "secret": secret },
            }}}),
        }
    }

    async fn log_in(&self) -> Result<Held, Condition> {
        let request = self.keystone.request(Method::POST, "/v3/auth/tokens?nocatalog");
        let request = request.header("content-type", "application/json").body(self.document().to_string());
        let answer = self.keystone.read(self.keystone.send(request).await?).await?;
        let why = match answer.status {
            StatusCode::CREATED => {
                let text = answer.headers.get("x-subject-token").and_then(|t| t.to_str().ok());
                let expires = answer.document["token"]["expires_at"].as_str().and_then(|t| t.parse().ok());
                if let (Some(text), Some(expires)) = (text, expires) {
                    return Ok(Held { text: text.to_string(), expires });
                }
                "answers a login with no token: is that address right?".to_string()
            }
            StatusCode::UNAUTHORIZED => {
                "refuses this service's own account: look at its name, password and project \
                                         in the credentials of parpen.toml"
                    .to_string()
            }
            StatusCode::NOT_FOUND => "has no /v3/auth/tokens: is that address right?".to_string(),
            other => format!("answers this service's login with {}", other.as_u16()),
        };
        tracing::error!(keystone = self.keystone.root(), why, "this service cannot log in");
        Err(self.keystone.away(&why))
    }

    /// A token; another one than `refused`, which was no longer taken.
    async fn token(&self, refused: Option<&str>) -> Result<String, Condition> {
        let mut held = self.held.lock().await;
        let soon = self.clock.now().checked_add(SPARE).map_err(Condition::internal)?;
        if let Some(h) = held.as_ref().filter(|h| h.expires > soon && refused != Some(h.text.as_str())) {
            return Ok(h.text.clone());
        }
        *held = None;
        let new = self.log_in().await?;
        let text = new.text.clone();
        *held = Some(new);
        Ok(text)
    }

    /// Logs in, unless that was done: whether the service can be reached and takes the account.
    pub async fn check(&self) -> Result<(), Condition> {
        self.token(None).await.map(|_| ())
    }

    /// A token for a request that cannot be said twice.
    pub(crate) async fn fresh(&self) -> Result<String, Condition> {
        self.token(None).await
    }

    /// Sends a request in the account's name; once more where the token was no longer taken.
    pub(crate) async fn send(
        &self,
        of: &Wire,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Response, Condition> {
        let token = self.token(None).await?;
        let response = of.send(request().header("x-auth-token", &token)).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let token = self.token(Some(&token)).await?;
        let response = of.send(request().header("x-auth-token", &token)).await?;
        match response.status() {
            StatusCode::UNAUTHORIZED => {
                Err(of.away("takes no token of this service's own account: do both use the same Keystone?"))
            }
            _ => Ok(response),
        }
    }

    /// The same, with all of a short answer.
    pub(crate) async fn ask(
        &self,
        of: &Wire,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Answer, Condition> {
        of.read(self.send(of, request).await?).await
    }
}
