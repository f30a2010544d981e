//! A Keystone that is asked what tokens are.

use std::sync::Arc;

use parpen_base::Boxed;
use parpen_identity::{Vouched, VouchedFor, Voucher};
use parpen_model::Condition;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use crate::Account;

/// A Keystone, asked in the name of this service's account, which needs the role `service` or `admin` for it.
pub struct Keystone {
    account: Arc<Account>,
    address: String,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Project {
    id: String,
    name: String,
    domain: Named,
}

#[derive(Deserialize)]
struct System {
    all: bool,
}

/// A token's document; what is not read here is left out.
#[derive(Deserialize)]
struct Token {
    user: Named,
    #[serde(default)]
    roles: Vec<Named>,
    project: Option<Project>,
    domain: Option<Named>,
    system: Option<System>,
    /// Only where the installation has named a project of its operators.
    is_admin_project: Option<bool>,
    #[serde(default)]
    methods: Vec<String>,
    issued_at: jiff::Timestamp,
    expires_at: jiff::Timestamp,
}

impl Keystone {
    /// The Keystone at which the account is.
    pub fn new(account: Arc<Account>) -> Keystone {
        let address = format!("{}/v3", account.keystone().root());
        Keystone { account, address }
    }

    async fn look(&self, token: &str) -> Result<Option<Vouched>, Condition> {
        let keystone = self.account.keystone();
        let request =
            || keystone.request(Method::GET, "/v3/auth/tokens?nocatalog").header("x-subject-token", token);
        let answer = self.account.ask(keystone, request).await?;
        match answer.status {
            StatusCode::OK => {}
            // It does not know the token, or nothing that it could look like.
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                return Ok(None);
            }
            StatusCode::FORBIDDEN => {
                return Err(keystone.away(
                    "does not let this service's account look at tokens: give it the role service (or admin)",
                ));
            }
            other => return Err(keystone.away(&format!("answers {} about a token", other.as_u16()))),
        }
        let mut document = answer.document;
        let token: Token = serde_json::from_value(document["token"].take()).map_err(|e| {
            tracing::error!(error = %e, "a token's document cannot be read");
            keystone.away("describes a token in a way that is not known here")
        })?;
        Ok(Some(token.vouched()))
    }
}

impl Token {
    fn vouched(self) -> Vouched {
        let what = match (self.project, self.domain, self.system) {
            (Some(p), _, _) => VouchedFor::Project { id: p.id, name: p.name, domain: p.domain.name },
            (None, Some(_), _) => VouchedFor::Domain,
            (None, None, Some(System { all: true })) => VouchedFor::System,
            (None, None, _) => VouchedFor::Oneself,
        };
        Vouched {
            user: self.user.id,
            user_name: self.user.name,
            roles: self.roles.into_iter().map(|r| r.name).collect(),
            operators: self.is_admin_project.unwrap_or(true),
            what,
            methods: self.methods,
            issued: self.issued_at,
            expires: self.expires_at,
        }
    }
}

impl Voucher for Keystone {
    fn address(&self) -> &str {
        &self.address
    }

    fn vouch<'a>(&'a self, token: &'a str) -> Boxed<'a, Result<Option<Vouched>, Condition>> {
        Box::pin(self.look(token))
    }
}
