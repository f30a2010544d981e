//! From a credential or a token to an actor.

use std::sync::OnceLock;

use jiff::Timestamp;
use parpen_base::{Clock, Entropy};
use parpen_model::ports::MetaStore;
use parpen_model::{Api, Condition, CredentialId, ProjectId, ReadTx, Scope, Stamp, TokenId, read, write};

use tokio::sync::Semaphore;

use crate::secret::{password_fits, password_hash, token_hash};
use crate::{Actor, Credential, Principal, Role, Token, random_secret};

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
    /// A long-lived token of an API.
    Token(String),
    /// The connection itself is proof (a unix socket that only its owner can open); speaks for the first principal.
    Local,
}

/// A token that was just given; its text is shown once.
pub struct Grant {
    /// The secret text.
    pub text: String,
    /// The row.
    pub token: Token,
}

fn refused() -> Condition {
    Condition::Unauthenticated("the credential is not valid here; `parpen env` prints the valid ones".into())
}

/// The actor that `principal` is on one side, in one project.
fn actor(
    principal: &Principal,
    api: Api,
    project: ProjectId,
    credential: CredentialId,
    until: Option<Timestamp>,
) -> Result<Actor, Condition> {
    let roles: Vec<Role> = principal.roles.iter().filter(|(p, _)| *p == project).map(|(_, r)| *r).collect();
    if roles.is_empty() {
        return Err(Condition::Forbidden(format!("{:?} has no role in this project", principal.name)));
    }
    let scope = if roles.contains(&Role::Admin) { Scope::All } else { Scope::Project(project) };
    let (principal, name) = (principal.id, principal.name.clone());
    Ok(Actor { principal, name, api, project, scope, roles, credential, until })
}

fn principal_of(tx: &dyn ReadTx, name: &str) -> Result<Option<Principal>, Condition> {
    tx.find_text(Scope::All, "principal", name)
}

/// Checks a credential of one API. A wrong one is [`Condition::Unauthenticated`], whatever is wrong with it.
pub async fn login(meta: &dyn MetaStore, api: Api, login: Login) -> Result<Actor, Condition> {
    let (principal, credential, password) = read(meta, move |tx| match login {
        Login::Password { name, password } => {
            let Some(p) = principal_of(tx, &name)? else { return Ok((None, None, Some(password))) };
            let c = tx.children::<Credential>(p.id)?.into_iter().find(|c| c.api == api);
            Ok((Some(p), c, Some(password)))
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
                Some(p) => tx.children::<Credential>(p.id)?.into_iter().find(|c| c.api == api),
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
    actor(&principal, api, credential.project, credential.id, None)
}

/// Passwords that are verified at a time: it is slow on purpose, and the service has other work.
static VERIFYING: Semaphore = Semaphore::const_new(1);

/// Whether the password has this hash (none: of nobody), off the threads that answer requests.
async fn verify(password: String, hash: Option<String>) -> Result<bool, Condition> {
    static NOBODY: OnceLock<Result<String, Condition>> = OnceLock::new();
    let _turn = VERIFYING.acquire().await.map_err(Condition::internal)?;
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

/// Gives a token for at most `seconds` to somebody who has logged in; `project` none means not scoped to one.
pub async fn grant(
    meta: &dyn MetaStore,
    entropy: &dyn Entropy,
    clock: &dyn Clock,
    who: &Actor,
    project: Option<ProjectId>,
    seconds: i64,
) -> Result<Grant, Condition> {
    let text = random_secret(entropy);
    let now = clock.now();
    let expires = now.checked_add(jiff::SignedDuration::from_secs(seconds)).map_err(Condition::internal)?;
    let expires = who.until.map_or(expires, |until| until.min(expires));
    let token = Token {
        id: TokenId(entropy.uuid()),
        hash: token_hash(&text),
        principal: who.principal,
        credential: who.credential,
        api: who.api,
        project,
        expires,
        stamp: Stamp::at(now),
    };
    let row = token.clone();
    write(meta, move |tx| {
        // The credential may have been replaced since it was proved.
        if tx.read().find::<Credential>(Scope::All, row.credential)?.is_none() {
            return Err(refused());
        }
        // Tokens that are over leave with the next login of their owner.
        for old in tx.read().children::<Token>(row.principal)? {
            if old.expires <= now {
                tx.delete::<Token>(old.id)?;
            }
        }
        tx.insert(&mut row.clone())
    })
    .await?;
    Ok(Grant { text, token })
}

/// The actor behind a token that [`grant`] gave, with the token itself.
pub async fn redeem(
    meta: &dyn MetaStore,
    clock: &dyn Clock,
    api: Api,
    text: &str,
) -> Result<(Actor, Token), Condition> {
    let hash = token_hash(text);
    let now = clock.now();
    let (token, principal) = read(meta, move |tx| {
        let token: Option<Token> = tx.find_named(Scope::All, "token", &hash)?;
        let principal: Option<Principal> = match &token {
            Some(t) if tx.find::<Credential>(Scope::All, t.credential)?.is_some() => {
                tx.find(Scope::All, t.principal)?
            }
            _ => None,
        };
        Ok((token, principal))
    })
    .await?;
    let (Some(token), Some(principal)) = (token, principal) else { return Err(refused()) };
    if token.expires <= now || token.api != api {
        return Err(refused());
    }
    // A token without a project speaks for the principal's first one, for look-ups of itself.
    let project = token.project.or_else(|| principal.roles.first().map(|(p, _)| *p)).ok_or_else(refused)?;
    Ok((actor(&principal, api, project, token.credential, Some(token.expires))?, token))
}

/// Ends a token.
pub async fn revoke(meta: &dyn MetaStore, token: TokenId) -> Result<(), Condition> {
    write(meta, move |tx| tx.delete::<Token>(token).map(|_| ())).await.map(|_| ())
}
