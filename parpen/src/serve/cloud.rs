//! The OpenStack beside this service, where the settings name one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use parpen_base::Clock;
use parpen_cloud::{Account, Keystone, Proof, Wire, root};
use parpen_identity::{Bearers, VouchedTokens};
use parpen_model::Api;
use parpen_model::ports::MetaStore;
use serde::Deserialize;

use crate::config::Identity;

/// How long an answer about a token is believed unless something else is said.
const CACHE_SECONDS: u64 = 30;
/// Longest that it may be: so long a token goes on that was taken back.
const CACHE_SECONDS_MAX: u64 = 300;

/// The Keystone that knows the users, if it is not this service.
pub struct OtherIdentity {
    keystone: Arc<Keystone>,
    hold: Duration,
    /// Where people log in.
    pub address: String,
}

impl OtherIdentity {
    /// The one that the settings name; nothing is asked yet.
    pub fn open(s: &Identity, clock: Arc<dyn Clock>) -> anyhow::Result<Option<OtherIdentity>> {
        let Some(url) = &s.url else {
            if s.credentials_file.is_some() || s.ca_file.is_some() || s.cache_seconds.is_some() {
                bail!("[identity] has settings but no url: name the Keystone, or leave the section out");
            }
            return Ok(None);
        };
        let seconds = s.cache_seconds.unwrap_or(CACHE_SECONDS);
        if seconds > CACHE_SECONDS_MAX {
            bail!("identity.cache_seconds is {seconds}: it must be at most {CACHE_SECONDS_MAX}");
        }
        let account =
            account("identity.url", url, s.credentials_file.as_deref(), s.ca_file.as_deref(), clock)?;
        let address = format!("{}/v3", root(url, "v3").map_err(anyhow::Error::msg)?);
        let keystone = Arc::new(Keystone::new(account));
        Ok(Some(OtherIdentity { keystone, hold: Duration::from_secs(seconds), address }))
    }

    /// Those who have its tokens.
    pub fn bearers(&self, meta: Arc<dyn MetaStore>, clock: Arc<dyn Clock>) -> Arc<dyn Bearers> {
        Arc::new(VouchedTokens::new(meta, clock, Api::OpenStack, self.keystone.clone(), self.hold))
    }
}

/// This service's account at a Keystone.
fn account(
    setting: &str,
    url: &str,
    file: Option<&Path>,
    ca_file: Option<&Path>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Arc<Account>> {
    let root = root(url, "v3").map_err(|why| anyhow::anyhow!("{setting}: {why}"))?;
    let proof = proof(setting, file, |name| std::env::var(name).ok().filter(|v| !v.is_empty()))?;
    let wire = Wire::open("Keystone", root, ca_file).map_err(|e| anyhow::anyhow!("{setting}: {e}"))?;
    Ok(Arc::new(Account::new(wire, proof, clock)))
}

/// A credentials file; whatever is wrong with it, its content is never repeated.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Credentials {
    username: Option<String>,
    password: Option<String>,
    project_name: Option<String>,
    user_domain_name: Option<String>,
    project_domain_name: Option<String>,
    application_credential_id: Option<String>,
    application_credential_secret: Option<String>,
}

fn proof(setting: &str, file: Option<&Path>, var: impl Fn(&str) -> Option<String>) -> anyhow::Result<Proof> {
    let c = match file {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let parsed: Option<Credentials> = toml::from_str(&text).ok();
            parsed.with_context(|| {
                format!("{} cannot be understood as TOML with credentials", path.display())
            })?
        }
        None => Credentials {
            username: var("OS_USERNAME"),
            password: var("OS_PASSWORD"),
            project_name: var("OS_PROJECT_NAME"),
            user_domain_name: var("OS_USER_DOMAIN_NAME"),
            project_domain_name: var("OS_PROJECT_DOMAIN_NAME"),
            application_credential_id: var("OS_APPLICATION_CREDENTIAL_ID"),
            application_credential_secret: var("OS_APPLICATION_CREDENTIAL_SECRET"),
        },
    };
    if let (Some(id), Some(secret)) = (c.application_credential_id, c.application_credential_secret) {
        return Ok(Proof::Application { id, secret });
    }
    let default = || "Default".to_string();
    match (c.username, c.password) {
        (Some(username), Some(password)) => Ok(Proof::Password {
            username,
            password,
            user_domain: c.user_domain_name.unwrap_or_else(default),
            project: c.project_name.unwrap_or_else(|| "service".into()),
            project_domain: c.project_domain_name.unwrap_or_else(default),
        }),
        _ => match file {
            Some(path) => bail!(
                "{} must have username and password, or application_credential_id and application_credential_secret",
                path.display()
            ),
            None => bail!(
                "{setting} needs credentials_file, or OS_USERNAME and OS_PASSWORD in the environment, for an account \
                 of this service"
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_come_from_a_file_or_the_environment_and_are_in_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("account");
        std::fs::write(&file, "username = \"parpen\"\npassword = \"hush\"\n").unwrap();
        let of_file = proof("identity.url", Some(&file), |_| None).unwrap();
        assert!(matches!(of_file, Proof::Password { project, user_domain, .. }
            if project == "service" && user_domain == "Default"));
        let of_environment = proof("identity.url", None, |name| Some(format!("the {name}"))).unwrap();
        assert!(
            matches!(of_environment, Proof::Application { id, .. } if id == "the OS_APPLICATION_CREDENTIAL_ID")
        );
        for text in ["password = \"hush\"", "password = hush", "usr = \"hush\""] {
            std::fs::write(&file, text).unwrap();
            let said = proof("identity.url", Some(&file), |_| None).err().unwrap();
            assert!(!format!("{said:#}").contains("hush"), "{said:#}");
        }
        let said = proof("identity.url", None, |_| None).err().unwrap().to_string();
        assert!(said.contains("OS_USERNAME"), "{said}");
    }

    #[test]
    fn a_section_without_its_address_is_refused() {
        let clock: Arc<dyn Clock> = Arc::new(parpen_base::SystemClock::new());
        let s = Identity { cache_seconds: Some(5), ..Identity::default() };
        assert!(OtherIdentity::open(&s, clock.clone()).err().unwrap().to_string().contains("no url"));
        let s = Identity { url: Some("keystone:5000".into()), ..Identity::default() };
        assert!(OtherIdentity::open(&s, clock.clone()).err().unwrap().to_string().contains("is no address"));
        let s = Identity { url: Some("http://k".into()), cache_seconds: Some(301), ..Identity::default() };
        assert!(OtherIdentity::open(&s, clock).err().unwrap().to_string().contains("at most 300"));
    }
}
