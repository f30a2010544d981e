//! From a credential to who it is, and to an actor.

use std::sync::OnceLock;

use jiff::Timestamp;
use parpen_model::ports::MetaStore;
use parpen_model::{Api, Condition, CredentialId, Project, ProjectId, ReadTx, Scope, read};

use tokio::sync::Semaphore;

use crate::secret::{password_fits, password_hash, token_hash};
use crate::{Actor, Credential, Principal, Role};

/// What somebody brings.
#[derive(Clone)]
pub enum Login {
    /// A principal's name and password.
    Password {
        /// The principal's name or id.
        name: String,
        /// The password.
        password: String,
    },
    /// The secret of a program that acts for a principal.
    Application {
        /// The credential's id, or its name together with the principal's.
        name: String,
        /// The principal's name or id, where the credential is named and not given by its id.
        of: Option<String>,
        /// The secret.
        secret: String,
    },
    /// A long-lived token of an API.
    Token(String),
    /// The connection itself is proof (a unix socket that only its owner can open); speaks for the first principal.
    Local,
}

/// Who somebody has proved to be, before it is said for which project.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The principal.
    pub principal: Principal,
    /// What it proved itself with.
    pub credential: Credential,
    /// When that proof ends.
    pub until: Option<Timestamp>,
}

pub(crate) fn refused() -> Condition {
    Condition::Unauthenticated("the credential is not valid here; `parpen env` prints the valid ones".into())
}

/// The actor that `principal` is on one side, in one project; what a program may do is bounded by its credential.
pub(crate) fn actor_in(
    principal: &Principal,
    credential: &Credential,
    project: ProjectId,
    until: Option<Timestamp>,
) -> Result<Actor, Condition> {
    let mut roles = principal.roles_in(project);
    if let Some(a) = &credential.application {
        roles.retain(|r| a.project == project && a.roles.contains(r));
        roles = Role::with_implied(roles);
    }
    if roles.is_empty() {
        return Err(Condition::Forbidden(format!("{:?} has no role in this project", principal.name)));
    }
    let scope = if roles.contains(&Role::Admin) { Scope::All } else { Scope::Project(project) };
    Ok(actor_with(principal, credential, project, scope, roles, until))
}

/// An actor with these roles.
pub(crate) fn actor_with(
    principal: &Principal,
    credential: &Credential,
    project: ProjectId,
    scope: Scope,
    roles: Vec<Role>,
    until: Option<Timestamp>,
) -> Actor {
    let (api, credential) = (credential.api, credential.id);
    let (principal, name) = (principal.id, principal.name.clone());
    Actor { principal, name, api, project, scope, roles, credential, until }
}

pub(crate) fn principal_of(tx: &dyn ReadTx, name: &str) -> Result<Option<Principal>, Condition> {
    tx.find_text(Scope::All, "principal", name)
}

/// The principal's own credential of one side, beside those of its programs.
pub(crate) fn own_credential(
    tx: &dyn ReadTx,
    of: &Principal,
    api: Api,
) -> Result<Option<Credential>, Condition> {
    let all = tx.children::<Credential>(of.id)?;
    Ok(all.into_iter().find(|c| c.api == api && c.application.is_none()))
}

type Found = (Option<Principal>, Option<Credential>);

fn application(tx: &dyn ReadTx, api: Api, name: &str, of: Option<&str>) -> Result<Found, Condition> {
    let found = match of {
        Some(of) => {
            let Some(p) = principal_of(tx, of)? else { return Ok((None, None)) };
            let named = |c: &Credential| c.application.as_ref().is_some_and(|a| a.name == name);
            tx.children::<Credential>(p.id)?.into_iter().find(named)
        }
        None => match name.parse::<CredentialId>() {
            Ok(id) => tx.find::<Credential>(Scope::All, id)?,
            Err(_) => None,
        },
    };
    let found = found.filter(|c| c.api == api && c.application.is_some());
    let principal = found.as_ref().map(|c| tx.find(Scope::All, c.principal)).transpose()?.flatten();
    Ok((principal, found))
}

/// Checks a credential of one API. A wrong one is [`Condition::Unauthenticated`], whatever is wrong with it.
pub async fn prove(meta: &dyn MetaStore, api: Api, login: Login) -> Result<Proven, Condition> {
    let (principal, credential, password) = read(meta, move |tx| match login {
        Login::Password { name, password } => {
            let Some(p) = principal_of(tx, &name)? else { return Ok((None, None, Some(password))) };
            let c = own_credential(tx, &p, api)?;
            Ok((Some(p), c, Some(password)))
        }
        Login::Application { name, of, secret } => {
            let (p, c) = application(tx, api, &name, of.as_deref())?;
            Ok((p, c, Some(secret)))
        }
        Login::Token(text) => {
            let c: Option<Credential> =
                tx.find_named(Scope::All, &Credential::space(api), &token_hash(&text))?;
            let p = c.as_ref().map(|c| tx.get(Scope::All, c.principal)).transpose()?;
            Ok((p, c, None))
        }
        Login::Local => {
            let p = principal_of(tx, crate::FIRST_PRINCIPAL)?;
            let c = match &p {
                Some(p) => own_credential(tx, p, api)?,
                None => None,
            };
            Ok((p, c, None))
        }
    })
    .await?;
    if let Some(password) = password {
        // An unknown name takes as long as a wrong password, so that nobody learns names from it.
        let hash = credential.as_ref().map(|c| c.hash.clone());
        if !verify(password, hash).await? {
            return Err(refused());
        }
    }
    let (Some(principal), Some(credential)) = (principal, credential) else { return Err(refused()) };
    if !principal.enabled {
        return Err(refused());
    }
    let until = credential.application.as_ref().and_then(|a| a.expires);
    Ok(Proven { principal, credential, until })
}

/// Checks a credential that is bound to a project, as those of the sides are that know of none.
pub async fn login(meta: &dyn MetaStore, api: Api, login: Login) -> Result<Actor, Condition> {
    let proven = prove(meta, api, login).await?;
    let project = proven.credential.project.ok_or_else(refused)?;
    check_enabled(meta, project).await?;
    actor_in(&proven.principal, &proven.credential, project, proven.until)
}

async fn check_enabled(meta: &dyn MetaStore, project: ProjectId) -> Result<(), Condition> {
    let found: Option<Project> = read(meta, move |tx| tx.find(Scope::All, project)).await?;
    match found {
        Some(p) if !p.enabled => Err(Condition::Forbidden(format!("the project {:?} is disabled", p.name))),
        _ => Ok(()),
    }
}

/// Passwords that are hashed at a time: it is slow on purpose, and the service has other work.
static HASHING: Semaphore = Semaphore::const_new(1);

/// Whether the password has this hash (none: of nobody), off the threads that answer requests.
pub(crate) async fn verify(password: String, hash: Option<String>) -> Result<bool, Condition> {
    static NOBODY: OnceLock<Result<String, Condition>> = OnceLock::new();
    let _turn = HASHING.acquire().await.map_err(Condition::internal)?;
    let work = move || match hash {
        Some(hash) => Ok(password_fits(&password, &hash)),
        None => {
            let nobody = NOBODY.get_or_init(|| password_hash("nobody's")).clone()?;
            password_fits(&password, &nobody);
            Ok(false)
        }
    };
    tokio::task::spawn_blocking(work).await.map_err(Condition::internal)?
}

/// The hash of a password, off the threads that answer requests.
pub(crate) async fn hashed(password: String) -> Result<String, Condition> {
    let _turn = HASHING.acquire().await.map_err(Condition::internal)?;
    tokio::task::spawn_blocking(move || password_hash(&password)).await.map_err(Condition::internal)?
}
