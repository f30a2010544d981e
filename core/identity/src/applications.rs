//! Credentials of programs that act for a principal in one project.

use jiff::Timestamp;
use parpen_base::{Clock, Entropy};
use parpen_model::ports::MetaStore;
use parpen_model::{Condition, CredentialId, Kind, PrincipalId, Scope, Stamp, read, write};

use crate::login::hashed;
use crate::token::end_of;
use crate::{Actor, Application, Credential, Power, Role, may, random_secret};

/// A credential to be made for a program.
#[derive(Clone, Debug, Default)]
pub struct NewApplication {
    /// Unique among those of the principal.
    pub name: String,
    /// In words.
    pub description: Option<String>,
    /// None: one is drawn.
    pub secret: Option<String>,
    /// None: as long as it is there.
    pub expires: Option<Timestamp>,
    /// None: those that the actor has.
    pub roles: Option<Vec<Role>>,
    /// It may make and remove such credentials itself.
    pub unrestricted: bool,
}

fn is_own(actor: &Actor, of: PrincipalId) -> Result<(), Condition> {
    match actor.principal == of {
        true => Ok(()),
        false => Err(Condition::Forbidden("these credentials are another user's own".into())),
    }
}

/// Programs make none of these, unless they were let to.
async fn check_maker(meta: &dyn MetaStore, actor: &Actor) -> Result<(), Condition> {
    let id = actor.credential;
    let by: Option<Credential> = read(meta, move |tx| tx.find(Scope::All, id)).await?;
    match by.and_then(|c| c.application) {
        Some(a) if !a.unrestricted => {
            Err(Condition::Forbidden("an application credential that is restricted cannot do this".into()))
        }
        _ => Ok(()),
    }
}

/// Makes a credential for a program, for the project and with roles that the actor has now. Answers the secret, which
/// is told this once.
pub async fn new_application(
    meta: &dyn MetaStore,
    entropy: &dyn Entropy,
    clock: &dyn Clock,
    actor: &Actor,
    of: PrincipalId,
    new: NewApplication,
) -> Result<(Credential, String), Condition> {
    is_own(actor, of)?;
    check_maker(meta, actor).await?;
    let roles = new.roles.clone().unwrap_or_else(|| actor.roles.clone());
    if actor.roles.is_empty() || roles.is_empty() || roles.iter().any(|r| !actor.roles.contains(r)) {
        return Err(Condition::invalid("roles", "a program has roles that its user has in this project"));
    }
    if new.name.trim().is_empty() || new.name.chars().count() > 255 {
        return Err(Condition::invalid("name", "a name has 1 to 255 characters"));
    }
    if new.expires.is_some_and(|e| e <= clock.now()) {
        return Err(Condition::invalid("expires_at", "it lies in the past"));
    }
    let secret = new.secret.clone().unwrap_or_else(|| random_secret(entropy));
    if secret.is_empty() || secret.len() > 4096 {
        return Err(Condition::invalid("secret", "a secret has 1 to 4096 bytes"));
    }
    let application = Application {
        name: new.name,
        description: new.description,
        project: actor.project,
        roles,
        expires: new.expires,
        unrestricted: new.unrestricted,
    };
    let row = Credential {
        id: CredentialId(entropy.uuid()),
        principal: of,
        api: actor.api,
        project: None,
        application: Some(application),
        hash: hashed(secret.clone()).await?,
        stamp: Stamp::at(clock.now()),
    };
    let (made, _) = write(meta, move |tx| {
        let mut row = row.clone();
        let name = |c: &Credential| c.application.as_ref().map(|a| a.name.clone());
        if tx.read().children::<Credential>(of)?.iter().any(|c| name(c) == name(&row)) {
            return Err(Condition::exists(Kind::Credential, name(&row).unwrap_or_default()));
        }
        tx.insert(&mut row)?;
        Ok(row)
    })
    .await?;
    Ok((made, secret))
}

/// The credentials of a principal's programs, the oldest first: for itself and for operators.
pub async fn applications(
    meta: &dyn MetaStore,
    actor: &Actor,
    of: PrincipalId,
) -> Result<Vec<Credential>, Condition> {
    if actor.principal != of {
        may(actor, Power::Operate, None)?;
    }
    let all = read(meta, move |tx| tx.children::<Credential>(of)).await?;
    Ok(all.into_iter().filter(|c| c.application.is_some()).collect())
}

/// One of them.
pub async fn application(
    meta: &dyn MetaStore,
    actor: &Actor,
    of: PrincipalId,
    id: CredentialId,
) -> Result<Credential, Condition> {
    let all = applications(meta, actor, of).await?;
    all.into_iter().find(|c| c.id == id).ok_or_else(|| Condition::not_found(Kind::Credential, id))
}

/// Removes one with all tokens that were given for it.
pub async fn forget_application(
    meta: &dyn MetaStore,
    actor: &Actor,
    of: PrincipalId,
    id: CredentialId,
) -> Result<(), Condition> {
    is_own(actor, of).or_else(|_| may(actor, Power::Operate, None))?;
    check_maker(meta, actor).await?;
    application(meta, actor, of, id).await?;
    write(meta, move |tx| {
        end_of(tx, of, |t| t.credential == id)?;
        tx.delete::<Credential>(id).map(|_| ())
    })
    .await
    .map(|_| ())
}
