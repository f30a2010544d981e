//! Tokens that another identity service gave and vouches for.
//!
//! What it says is kept for a moment, so that it is not asked for every request: no longer than the token lasts, and
//! never so long that a token which was taken back goes on for more than that moment. When it cannot be asked, nobody
//! is refused as unknown: the answer is that it is out of reach.

mod cache;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parpen_base::{Boxed, Clock};
use parpen_model::ports::MetaStore;
use parpen_model::{
    Api, Condition, CredentialId, PrincipalId, Project, ProjectId, Scope, Stamp, TokenId, WriteTx, read,
    write,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::secret::token_hash;
use crate::{Actor, Bearers, Power, Role, Token, Wide, may};
use cache::Cache;

/// What a token of another service is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VouchedFor {
    /// Nothing but its bearer.
    Oneself,
    /// One project.
    Project {
        /// Its id there.
        id: String,
        /// Its name there, unique within its domain.
        name: String,
        /// The name of its domain.
        domain: String,
    },
    /// A domain of projects and users.
    Domain,
    /// The whole installation.
    System,
}

/// What another service says of a token, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// The user's id there.
    pub user: String,
    /// The user's name there.
    pub user_name: String,
    /// The names of its roles, those that others imply among them.
    pub roles: Vec<String>,
    /// Administrators of this project are those of the installation; another project's are only its members.
    pub operators: bool,
    /// What it is for.
    pub what: VouchedFor,
    /// By what the login was proved.
    pub methods: Vec<String>,
    /// Since when.
    pub issued: Timestamp,
    /// Until when.
    pub expires: Timestamp,
}

/// Another identity service.
pub trait Voucher: Send + Sync {
    /// Where people log in.
    fn address(&self) -> &str;
    /// What it says of a token; `None`: it knows no such token, or no longer. When it cannot be asked, that is
    /// [`Condition::Unavailable`].
    fn vouch<'a>(&'a self, token: &'a str) -> Boxed<'a, Result<Option<Vouched>, Condition>>;
}

/// Bearers of another service's tokens.
pub struct VouchedTokens {
    meta: Arc<dyn MetaStore>,
    clock: Arc<dyn Clock>,
    api: Api,
    voucher: Arc<dyn Voucher>,
    cache: Cache,
}

/// The longest token that is asked about. Theirs have some hundred letters; a header that is longer than servers commonly
/// take would look like a service that is out of order.
const TOKEN_MAX: usize = 4096;
/// What other services log in with beside their user's token.
const SERVICE_ROLE: &str = "service";

impl VouchedTokens {
    /// Asks `voucher`, and believes an answer for as long as `hold`.
    pub fn new(
        meta: Arc<dyn MetaStore>,
        clock: Arc<dyn Clock>,
        api: Api,
        voucher: Arc<dyn Voucher>,
        hold: Duration,
    ) -> VouchedTokens {
        VouchedTokens { meta, clock, api, voucher, cache: Cache::new(hold) }
    }

    fn unknown(&self) -> Condition {
        let at = self.voucher.address();
        Condition::Unauthenticated(format!(
            "the token is not known at {at}, or it has ended: log in there again"
        ))
    }

    async fn vouched(&self, text: &str) -> Result<Vouched, Condition> {
        let plain = !text.is_empty() && text.len() <= TOKEN_MAX && text.bytes().all(|b| b.is_ascii_graphic());
        if !plain {
            return Err(self.unknown());
        }
        let said = self.cache.get(text, &*self.clock, self.voucher.vouch(text)).await?;
        said.filter(|v| v.expires > self.clock.now()).ok_or_else(|| self.unknown())
    }

    async fn find(&self, text: &str) -> Result<(Actor, Token), Condition> {
        let said = self.vouched(text).await?;
        let (project, wide) = match &said.what {
            VouchedFor::Project { id, name, domain } => {
                (Some(self.known_project(id, name, domain).await?), None)
            }
            VouchedFor::Domain => (None, Some(Wide::Domain)),
            VouchedFor::System => (None, Some(Wide::System)),
            VouchedFor::Oneself => (None, None),
        };
        let credential = CredentialId(id_of(&format!("{} {:?}", said.user, said.methods)));
        let actor = actor(&said, self.api, project, wide, credential)?;
        let hash = token_hash(text);
        let token = Token {
            id: TokenId(id_of(&hash)),
            hash,
            principal: actor.principal,
            credential,
            api: self.api,
            project,
            wide,
            methods: said.methods,
            expires: said.expires,
            stamp: Stamp::at(said.issued),
        };
        Ok((actor, token))
    }

    /// The row of a project of theirs; one that is new here is made known.
    async fn known_project(&self, id: &str, name: &str, domain: &str) -> Result<ProjectId, Condition> {
        let Ok(uuid) = Uuid::parse_str(id) else {
            return Err(Condition::Forbidden(format!("the project {id:?} has an id that is no UUID")));
        };
        let id = ProjectId(uuid);
        let names = names(id, name, domain);
        let row: Option<Project> = read(&*self.meta, move |tx| tx.find(Scope::All, id)).await?;
        match row {
            Some(p) if !p.enabled => {
                Err(Condition::Forbidden(format!("the project {:?} is disabled here", p.name)))
            }
            Some(p) if names.contains(&p.name) => Ok(id),
            Some(_) | None => {
                let now = self.clock.now();
                write(&*self.meta, move |tx| make_known(tx, id, &names, now)).await?;
                Ok(id)
            }
        }
    }
}

/// What a project may be called here, the nicest first; the last is nobody else's.
fn names(id: ProjectId, name: &str, domain: &str) -> [String; 3] {
    let name: String = name.chars().filter(|c| !c.is_control()).take(128).collect();
    let domain: String = domain.chars().filter(|c| !c.is_control()).take(64).collect();
    let simple = id.0.simple();
    [name.clone(), format!("{name} ({domain})"), format!("{name} ({simple})")]
}

fn make_known(
    tx: &mut dyn WriteTx,
    id: ProjectId,
    names: &[String],
    now: Timestamp,
) -> Result<(), Condition> {
    let row: Option<Project> = tx.read().find(Scope::All, id)?;
    if row.as_ref().is_some_and(|p| names.contains(&p.name)) {
        return Ok(());
    }
    let mut name = None;
    for candidate in names.iter().filter(|n| !n.trim().is_empty()) {
        if tx.read().named("project", candidate)?.is_none() {
            name = Some(candidate.clone());
            break;
        }
    }
    let name = name.unwrap_or_else(|| id.0.simple().to_string());
    match row {
        Some(mut p) => {
            (p.name, p.stamp.updated) = (name, Some(now));
            tx.update(&mut p)
        }
        None => tx.insert(&mut Project {
            id,
            name,
            description: "of another identity service".into(),
            enabled: true,
            default_type: None,
            stamp: Stamp::at(now),
        }),
    }
}

/// The id here of what has `text` as its id elsewhere: the same, where that is a UUID.
fn id_of(text: &str) -> Uuid {
    Uuid::parse_str(text).unwrap_or_else(|_| {
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        uuid::Builder::from_custom_bytes(half).into_uuid()
    })
}

/// Our roles among those that were named.
fn roles(said: &Vouched) -> Vec<Role> {
    let is = |role: &Role| said.roles.iter().any(|name| name.eq_ignore_ascii_case(role.word()));
    let named = Role::ALL.into_iter().filter(is);
    // Of a project that is not the operators' own, an administrator is a member.
    Role::with_implied(named.map(|r| if said.operators { r } else { r.min(Role::Member) }))
}

/// By the rules that tokens of this service go by, but for domains: one of many must not show what is in the others,
/// so a token for one opens what it does for administrators only.
fn actor(
    said: &Vouched,
    api: Api,
    project: Option<ProjectId>,
    wide: Option<Wide>,
    credential: CredentialId,
) -> Result<Actor, Condition> {
    let all = roles(said);
    let admin = all.contains(&Role::Admin);
    let none = ProjectId(Uuid::nil());
    let (project, scope, roles) = match (project, wide) {
        (Some(p), _) if all.is_empty() => {
            let why =
                format!("{:?} has no role in the project {} that counts here", said.user_name, p.0.simple());
            return Err(Condition::Forbidden(why));
        }
        (Some(p), _) => (p, if admin { Scope::All } else { Scope::Project(p) }, all),
        (None, Some(Wide::System)) if !all.is_empty() => (none, Scope::All, all),
        (None, Some(Wide::Domain)) if admin => (none, Scope::All, all),
        (None, Some(_)) => {
            return Err(Condition::Forbidden(format!("{:?} has no role over the service", said.user_name)));
        }
        (None, None) => (none, Scope::Project(none), Vec::new()),
    };
    let (principal, name) = (PrincipalId(id_of(&said.user)), said.user_name.clone());
    Ok(Actor { principal, name, api, project, scope, roles, credential, until: Some(said.expires) })
}

impl Bearers for VouchedTokens {
    fn bearer<'a>(&'a self, text: &'a str) -> Boxed<'a, Result<(Actor, Token), Condition>> {
        Box::pin(self.find(text))
    }

    fn is_service<'a>(&'a self, text: &'a str) -> Boxed<'a, Result<bool, Condition>> {
        Box::pin(async move {
            let said = match self.vouched(text).await {
                Ok(said) => said,
                Err(Condition::Unauthenticated(_)) => return Ok(false),
                Err(other) => return Err(other),
            };
            if said.roles.iter().any(|r| r.eq_ignore_ascii_case(SERVICE_ROLE)) {
                return Ok(true);
            }
            match self.find(text).await {
                Ok((actor, _)) => Ok(may(&actor, Power::Operate, None).is_ok()),
                Err(Condition::Forbidden(_)) => Ok(false),
                Err(other) => Err(other),
            }
        })
    }

    fn elsewhere(&self) -> Option<&str> {
        Some(self.voucher.address())
    }
}
