//! From a credential or a token to an actor.

use parpen_base::{Clock, Entropy};
use parpen_model::ports::MetaStore;
use parpen_model::{Api, Condition, ProjectId, ReadTx, Scope, Stamp, TokenId, read, write};

use crate::secret::{password_fits, token_hash};
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
fn actor(principal: &Principal, api: Api, project: ProjectId) -> Result<Actor, Condition> {
    let roles: Vec<Role> = principal.roles.iter().filter(|(p, _)| *p == project).map(|(_, r)| *r).collect();
    if roles.is_empty() {
        return Err(Condition::Forbidden(format!("{:?} has no role in this project", principal.name)));
    }
    let scope = if roles.contains(&Role::Admin) { Scope::All } else { Scope::Project(project) };
    Ok(Actor { principal: principal.id, name: principal.name.clone(), api, project, scope, roles })
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
    let (Some(principal), Some(credential)) = (principal, credential) else { return Err(refused()) };
    if password.is_some_and(|p| !password_fits(&p, &credential.hash)) {
        return Err(refused());
    }
    actor(&principal, api, credential.project)
}

/// Gives a token for `seconds` to somebody who has logged in; `project` none means not scoped to one.
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
    let token = Token {
        id: TokenId(entropy.uuid()),
        hash: token_hash(&text),
        principal: who.principal,
        api: who.api,
        project,
        expires,
        stamp: Stamp::at(now),
    };
    let row = token.clone();
    write(meta, move |tx| {
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
            Some(t) => tx.find(Scope::All, t.principal)?,
            None => None,
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
    Ok((actor(&principal, api, project)?, token))
}

/// Ends a token.
pub async fn revoke(meta: &dyn MetaStore, token: TokenId) -> Result<(), Condition> {
    write(meta, move |tx| tx.delete::<Token>(token).map(|_| ())).await.map(|_| ())
}
