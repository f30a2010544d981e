//! The OpenStack beside this service, where the settings name one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use parpen_base::Clock;
use parpen_cloud::{Account, Glance, Keystone, Proof, Wire, root};
use parpen_identity::{Bearers, VouchedTokens};
use parpen_model::Api;
use parpen_model::ports::{ImageStore, MetaStore};
use parpen_openstack::IMAGE_PROPERTIES;
use serde::Deserialize;

use crate::config::{Identity, Images};

/// How long an answer about a token is believed unless something else is said.
const CACHE_SECONDS: u64 = 30;
/// Longest that it may be: so long a token goes on that was taken back.
const CACHE_SECONDS_MAX: u64 = 300;

/// The services that the settings name.
pub struct Cloud {
    /// The Keystone that knows the users, if it is not this service.
    pub identity: Option<OtherIdentity>,
    /// The Glance that keeps the images, if it is not this service.
    pub images: Option<OtherImages>,
}

/// A Keystone.
pub struct OtherIdentity {
    /// This service's account there.
    pub account: Arc<Account>,
    hold: Duration,
    /// Where people log in.
    pub address: String,
}

/// A Glance.
pub struct OtherImages {
    account: Arc<Account>,
    wire: Wire,
    /// Where it is.
    pub address: String,
}

impl Cloud {
    /// What the settings name; nothing is asked yet.
    pub fn open(identity: &Identity, images: &Images, clock: Arc<dyn Clock>) -> anyhow::Result<Cloud> {
        let other = OtherIdentity::open(identity, clock.clone())?;
        let images = OtherImages::open(images, identity, other.as_ref(), clock)?;
        Ok(Cloud { identity: other, images })
    }
}

impl OtherImages {
    fn open(
        s: &Images,
        identity: &Identity,
        other: Option<&OtherIdentity>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Option<OtherImages>> {
        let Some(url) = &s.url else {
            if s.identity_url.is_some() || s.credentials_file.is_some() || s.ca_file.is_some() {
                bail!("[images] says how to reach a Glance but has no url: name it, or leave the rest out");
            }
            return Ok(None);
        };
        if s.path.is_some() {
            bail!("images has both a path and a url: keep one");
        }
        let ca_file = s.ca_file.as_deref().or(identity.ca_file.as_deref());
        let account = match (&s.identity_url, &s.credentials_file, other) {
            (None, None, Some(other)) => other.account.clone(),
            (at, file, _) => {
                let Some(at) = at.as_ref().or(identity.url.as_ref()) else {
                    bail!(
                        "images.url needs images.identity_url: the Keystone whose tokens that Glance takes"
                    );
                };
                let file = file.as_deref().or(identity.credentials_file.as_deref());
                account("images.identity_url", at, file, ca_file, clock)?
            }
        };
        let address = root(url, "v2").map_err(|why| anyhow::anyhow!("images.url: {why}"))?;
        let wire =
            Wire::open("Glance", address.clone(), ca_file).map_err(|e| anyhow::anyhow!("images.url: {e}"))?;
        Ok(Some(OtherImages { account, wire, address }))
    }

    /// The store of its images; what passes through a file does so below the data directory.
    pub fn store(&self, data: &Path) -> anyhow::Result<Arc<dyn ImageStore>> {
        let (account, wire) = (self.account.clone(), self.wire.clone());
        Ok(Arc::new(Glance::open(account, wire, IMAGE_PROPERTIES, &data.join("spool"))?))
    }
}

impl OtherIdentity {
    fn open(s: &Identity, clock: Arc<dyn Clock>) -> anyhow::Result<Option<OtherIdentity>> {
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
        Ok(Some(OtherIdentity { account, hold: Duration::from_secs(seconds), address }))
    }

    /// Those who have its tokens.
    pub fn bearers(&self, meta: Arc<dyn MetaStore>, clock: Arc<dyn Clock>) -> Arc<dyn Bearers> {
        let keystone = Arc::new(Keystone::new(self.account.clone()));
        Arc::new(VouchedTokens::new(meta, clock, Api::OpenStack, keystone, self.hold))
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

    fn refused(identity: Identity, images: Images) -> String {
        let clock: Arc<dyn Clock> = Arc::new(parpen_base::SystemClock::new());
        format!("{:#}", Cloud::open(&identity, &images, clock).err().expect("it is refused"))
    }

    #[test]
    fn settings_that_do_not_fit_are_refused_in_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("account");
        std::fs::write(&file, "username = \"parpen\"\npassword = \"hush\"\n").unwrap();
        let file = Some(file);
        let of = |url: &str| Identity {
            url: Some(url.into()),
            credentials_file: file.clone(),
            ..Identity::default()
        };
        let at = |url: &str| Images { url: Some(url.into()), ..Images::default() };
        let none = Images::default;
        let short = Identity { cache_seconds: Some(5), ..Identity::default() };
        assert!(refused(short, none()).contains("no url"));
        assert!(refused(of("keystone:5000"), none()).contains("is no address"));
        assert!(
            refused(Identity { cache_seconds: Some(301), ..of("http://k") }, none()).contains("at most 300")
        );
        let absent = Identity { ca_file: Some(dir.path().join("absent")), ..of("http://k") };
        assert!(refused(absent, none()).contains("cannot be read"));
        assert!(refused(Identity::default(), at("http://g")).contains("needs images.identity_url"));
        let both = Images { path: Some("images".into()), ..at("http://g") };
        assert!(refused(of("http://k"), both).contains("both a path and a url"));
        assert!(refused(of("http://k"), at("g:9292")).contains("images.url"));
        let lonely = Images { identity_url: Some("http://k".into()), ..none() };
        assert!(refused(Identity::default(), lonely).contains("no url"));
        let clock: Arc<dyn Clock> = Arc::new(parpen_base::SystemClock::new());
        let good = Cloud::open(&of("http://k/v3/"), &at("http://g/v2/"), clock).unwrap();
        assert_eq!(good.identity.unwrap().address, "http://k/v3");
        assert_eq!(good.images.unwrap().address, "http://g");
    }
}
