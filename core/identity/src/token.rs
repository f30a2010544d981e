//! Tokens: given for a proof, for a while and for something, and taken back.

use parpen_base::{Clock, Entropy};
use parpen_model::ports::MetaStore;
use parpen_model::{
    Api, Condition, CredentialId, PrincipalId, Project, ProjectId, Query, ReadTx, Scope, Stamp, TokenId,
    WriteTx, look, write,
};
use uuid::Uuid;

use crate::login::{actor_in, actor_with, refused};
use crate::secret::token_hash;
use crate::{Actor, Credential, Principal, Proven, Role, Token, Wide, random_secret};

/// A token that was just given; its text is shown once.
pub struct Grant {
    /// The secret text.
    pub text: String,
    /// The row.
    pub token: Token,
}

/// What a token is to be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Nothing but looking at oneself and getting another token.
    Oneself,
    /// One project.
    Project(ProjectId),
    /// The service or all of its projects.
    Wide(Wide),
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
    let token = draft(entropy, clock, &text, who.principal, who.credential, seconds)?;
    let expires = who.until.map_or(token.expires, |until| until.min(token.expires));
    keep(meta, Grant { text, token: Token { api: who.api, project, expires, ..token } }).await
}

/// Gives a token for at most `seconds` to somebody who has proved who he is.
pub async fn give(
    meta: &dyn MetaStore,
    entropy: &dyn Entropy,
    clock: &dyn Clock,
    who: &Proven,
    what: For,
    methods: Vec<String>,
    seconds: i64,
) -> Result<Grant, Condition> {
    let text = random_secret(entropy);
    let token = draft(entropy, clock, &text, who.principal.id, who.credential.id, seconds)?;
    let expires = who.until.map_or(token.expires, |until| until.min(token.expires));
    if expires <= clock.now() {
        return Err(refused());
    }
    let (project, wide) = match what {
        For::Oneself => (None, None),
        For::Project(p) => (Some(p), None),
        For::Wide(w) => (None, Some(w)),
    };
    let token = Token { api: who.credential.api, project, wide, methods, expires, ..token };
    keep(meta, Grant { text, token }).await
}

fn draft(
    entropy: &dyn Entropy,
    clock: &dyn Clock,
    text: &str,
    principal: PrincipalId,
    credential: CredentialId,
    seconds: i64,
) -> Result<Token, Condition> {
    let now = clock.now();
    Ok(Token {
        id: TokenId(entropy.uuid()),
        hash: token_hash(text),
        principal,
        credential,
        api: Api::Native,
        project: None,
        wide: None,
        methods: Vec::new(),
        expires: now.checked_add(jiff::SignedDuration::from_secs(seconds)).map_err(Condition::internal)?,
        stamp: Stamp::at(now),
    })
}

async fn keep(meta: &dyn MetaStore, grant: Grant) -> Result<Grant, Condition> {
    let row = grant.token.clone();
    let now = row.stamp.created;
    write(meta, move |tx| {
        // The credential may have been replaced since it was proved, and its owner or the project disabled.
        let credential = tx.read().find::<Credential>(Scope::All, row.credential)?;
        let owner = tx.read().find::<Principal>(Scope::All, row.principal)?;
        if credential.is_none() || owner.is_none_or(|p| !p.enabled) || !is_open(tx.read(), row.project)? {
            return Err(refused());
        }
        // Tokens that are over leave with the next login of their owner.
        end_of(tx, row.principal, |old| old.expires <= now)?;
        tx.insert(&mut row.clone())
    })
    .await?;
    Ok(grant)
}

/// A token for a project that is gone or disabled opens nothing.
fn is_open(tx: &dyn ReadTx, project: Option<ProjectId>) -> Result<bool, Condition> {
    let Some(id) = project else { return Ok(true) };
    Ok(tx.find::<Project>(Scope::All, id)?.is_some_and(|p| p.enabled))
}

/// The actor behind a token that was given, with the token itself.
pub async fn redeem(
    meta: &dyn MetaStore,
    clock: &dyn Clock,
    api: Api,
    text: &str,
) -> Result<(Actor, Token), Condition> {
    let hash = token_hash(text);
    let now = clock.now();
    let found = look(meta, move |tx| {
        let Some(token) = tx.find_named::<Token>(Scope::All, "token", &hash)? else { return Ok(None) };
        let credential: Option<Credential> = tx.find(Scope::All, token.credential)?;
        let principal: Option<Principal> = tx.find(Scope::All, token.principal)?;
        let open = is_open(tx, token.project)?;
        Ok(credential.zip(principal).filter(|_| open).map(|(c, p)| (token, c, p)))
    })
    .await?;
    let Some((token, credential, principal)) = found else { return Err(refused()) };
    if token.expires <= now || token.api != api || !principal.enabled {
        return Err(refused());
    }
    let until = Some(token.expires);
    let actor = match (token.project, token.wide) {
        (Some(project), _) => actor_in(&principal, &credential, project, until)?,
        (None, Some(_)) => wide_actor(&principal, &credential, &token)?,
        (None, None) => own_actor(&principal, &credential, &token),
    };
    Ok((actor, token))
}

/// Who speaks for the whole service. What has a project is made elsewhere: this one is in none.
fn wide_actor(principal: &Principal, credential: &Credential, token: &Token) -> Result<Actor, Condition> {
    let roles = principal.wide_roles();
    if roles.is_empty() || credential.application.is_some() {
        return Err(Condition::Forbidden(format!("{:?} has no role over the service", principal.name)));
    }
    let none = ProjectId(Uuid::nil());
    Ok(actor_with(principal, credential, none, Scope::All, roles, Some(token.expires)))
}

/// Who looks at himself: with no role, whatever he is in his projects.
fn own_actor(principal: &Principal, credential: &Credential, token: &Token) -> Actor {
    let first = principal.roles.first().map_or(ProjectId(Uuid::nil()), |(p, _)| *p);
    let none = Vec::<Role>::new();
    actor_with(principal, credential, first, Scope::Project(first), none, Some(token.expires))
}

/// Ends those tokens of a principal that `which` chooses.
pub(crate) fn end_of(
    tx: &mut dyn WriteTx,
    principal: PrincipalId,
    which: impl Fn(&Token) -> bool,
) -> Result<(), Condition> {
    for token in tx.read().children::<Token>(principal)?.iter().filter(|t| which(t)) {
        tx.delete::<Token>(token.id)?;
    }
    Ok(())
}

/// Ends all tokens for a project, in the transaction that disables or removes it.
pub fn end_in(tx: &mut dyn WriteTx, project: ProjectId) -> Result<(), Condition> {
    let all: Vec<Token> = tx.read().list(Scope::All, &Query::default())?;
    for token in all.iter().filter(|t| t.project == Some(project)) {
        tx.delete::<Token>(token.id)?;
    }
    Ok(())
}

/// Ends a token.
pub async fn revoke(meta: &dyn MetaStore, token: TokenId) -> Result<(), Condition> {
    write(meta, move |tx| tx.delete::<Token>(token).map(|_| ())).await.map(|_| ())
}
