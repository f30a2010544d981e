//! Making, changing and removing principals, and what they are where.

use parpen_base::{Clock, Entropy};
use parpen_model::ports::MetaStore;
use parpen_model::{
    Api, Condition, CredentialId, Kind, PrincipalId, Project, ProjectId, Query, Scope, Stamp, WriteTx, read,
    write,
};

use crate::login::{hashed, own_credential, verify};
use crate::token::{end_in, end_of};
use crate::{About, Actor, Credential, FIRST_PRINCIPAL, FIRST_PROJECT, Power, Principal, Role, may};

/// Longest name, in characters.
const NAME_MAX: usize = 255;
/// Longest password, in bytes.
const PASSWORD_MAX: usize = 4096;

/// A principal to be made.
#[derive(Clone, Debug, Default)]
pub struct NewPerson {
    /// Unique.
    pub name: String,
    /// None: it cannot log in by one.
    pub password: Option<String>,
    /// It may log in.
    pub enabled: bool,
    /// What else is kept of it.
    pub about: About,
}

/// What is to be different; absent parts stay.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// The unique name.
    pub name: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// It may log in.
    pub enabled: Option<bool>,
    /// What else is kept of it.
    pub about: Option<About>,
}

/// Where somebody has a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In one project.
    Project(ProjectId),
    /// Over the whole service.
    Wide,
}

fn check_name(name: &str) -> Result<(), Condition> {
    let long = name.chars().count() > NAME_MAX;
    if name.trim().is_empty() || long || name.chars().any(char::is_control) {
        let why = format!("a name has 1 to {NAME_MAX} characters, none of them control characters");
        return Err(Condition::invalid("name", why));
    }
    Ok(())
}

fn check_password(password: &str) -> Result<(), Condition> {
    match password.len() {
        1..=PASSWORD_MAX => Ok(()),
        _ => Err(Condition::invalid("password", format!("a password has 1 to {PASSWORD_MAX} bytes"))),
    }
}

async fn hash_of(password: Option<&String>) -> Result<Option<String>, Condition> {
    let Some(password) = password else { return Ok(None) };
    check_password(password)?;
    hashed(password.clone()).await.map(Some)
}

/// The first principal and its project hold the doors of all sides: what would close them is refused.
fn refuse_first(name: &str, what: &str) -> Result<(), Condition> {
    match name == FIRST_PRINCIPAL {
        true => Err(Condition::Conflict(format!(
            "{FIRST_PRINCIPAL:?} holds the secrets of every side of this service: {what}"
        ))),
        false => Ok(()),
    }
}

/// Makes a principal that logs in to one side.
pub async fn add(
    meta: &dyn MetaStore,
    entropy: &dyn Entropy,
    clock: &dyn Clock,
    actor: &Actor,
    new: NewPerson,
) -> Result<Principal, Condition> {
    may(actor, Power::Operate, None)?;
    check_name(&new.name)?;
    let hash = hash_of(new.password.as_ref()).await?;
    let (id, credential) = (PrincipalId(entropy.uuid()), CredentialId(entropy.uuid()));
    let (stamp, api) = (Stamp::at(clock.now()), actor.api);
    let (made, _) = write(meta, move |tx| {
        if tx.read().named("principal", &new.name)?.is_some() {
            return Err(Condition::exists(Kind::Principal, &new.name));
        }
        let NewPerson { name, enabled, about, .. } = new.clone();
        let mut p = Principal { id, name, roles: Vec::new(), wide: Vec::new(), enabled, about, stamp };
        tx.insert(&mut p)?;
        if let Some(hash) = &hash {
            tx.insert(&mut password_credential(credential, id, api, hash, stamp))?;
        }
        Ok(p)
    })
    .await?;
    Ok(made)
}

fn password_credential(id: CredentialId, of: PrincipalId, api: Api, hash: &str, stamp: Stamp) -> Credential {
    Credential { id, principal: of, api, project: None, application: None, hash: hash.to_string(), stamp }
}

/// Replaces the password. All tokens of that side end, as in Keystone: whoever knew the old one may have made a program's
/// credential, too. Those credentials stay, so programs get new tokens.
fn replace_password(tx: &mut dyn WriteTx, p: &Principal, mut new: Credential) -> Result<(), Condition> {
    end_of(tx, p.id, |t| t.api == new.api)?;
    if let Some(old) = own_credential(tx.read(), p, new.api)? {
        new.project = old.project;
        tx.delete::<Credential>(old.id)?;
    }
    tx.insert(&mut new)
}

/// Changes a principal. What it was given before it was disabled or got another password opens nothing any more.
pub async fn change(
    meta: &dyn MetaStore,
    entropy: &dyn Entropy,
    clock: &dyn Clock,
    actor: &Actor,
    id: PrincipalId,
    edit: Edit,
) -> Result<Principal, Condition> {
    may(actor, Power::Operate, None)?;
    if let Some(name) = &edit.name {
        check_name(name)?;
    }
    let hash = hash_of(edit.password.as_ref()).await?;
    let credential = CredentialId(entropy.uuid());
    let (stamp, api) = (Stamp::at(clock.now()), actor.api);
    let (changed, _) = write(meta, move |tx| {
        let mut p: Principal = tx.read().get(Scope::All, id)?;
        if edit.name.as_ref().is_some_and(|n| *n != p.name) || edit.enabled == Some(false) {
            refuse_first(&p.name, "it keeps its name and stays enabled")?;
        }
        if let Some(name) = edit.name.as_ref().filter(|n| **n != p.name) {
            if tx.read().named("principal", name)?.is_some() {
                return Err(Condition::exists(Kind::Principal, name));
            }
            p.name = name.clone();
        }
        p.enabled = edit.enabled.unwrap_or(p.enabled);
        p.about = edit.about.clone().unwrap_or(p.about);
        p.stamp.updated = Some(stamp.created);
        tx.update(&mut p)?;
        if !p.enabled {
            end_of(tx, p.id, |_| true)?;
        }
        if let Some(hash) = &hash {
            refuse_first(&p.name, "`parpen credential rotate` gives it new ones")?;
            replace_password(tx, &p, password_credential(credential, id, api, hash, stamp))?;
        }
        Ok(p)
    })
    .await?;
    Ok(changed)
}

/// Gives oneself another password.
pub async fn set_password(
    meta: &dyn MetaStore,
    entropy: &dyn Entropy,
    clock: &dyn Clock,
    actor: &Actor,
    old: String,
    new: String,
) -> Result<(), Condition> {
    let (id, api) = (actor.principal, actor.api);
    let (p, present) = read(meta, move |tx| {
        let p: Principal = tx.get(Scope::All, id)?;
        let c = own_credential(tx, &p, api)?;
        Ok((p, c.map(|c| c.hash)))
    })
    .await?;
    refuse_first(&p.name, "`parpen credential rotate` gives it new ones")?;
    if !verify(old, present).await? {
        return Err(Condition::Unauthenticated("the original password is not this one".into()));
    }
    check_password(&new)?;
    let hash = hashed(new).await?;
    let (credential, stamp) = (CredentialId(entropy.uuid()), Stamp::at(clock.now()));
    write(meta, move |tx| {
        let p: Principal = tx.read().get(Scope::All, id)?;
        replace_password(tx, &p, password_credential(credential, id, api, &hash, stamp))
    })
    .await
    .map(|_| ())
}

/// Removes a principal with its credentials and tokens. What it made stays its project's.
pub async fn remove(meta: &dyn MetaStore, actor: &Actor, id: PrincipalId) -> Result<(), Condition> {
    may(actor, Power::Operate, None)?;
    write(meta, move |tx| {
        let p: Principal = tx.read().get(Scope::All, id)?;
        refuse_first(&p.name, "it is not removed")?;
        end_of(tx, id, |_| true)?;
        for credential in tx.read().children::<Credential>(id)? {
            tx.delete::<Credential>(credential.id)?;
        }
        tx.delete::<Principal>(id).map(|_| ())
    })
    .await
    .map(|_| ())
}

/// Gives a role; one that is there already stays.
pub async fn give_role(
    meta: &dyn MetaStore,
    actor: &Actor,
    to: PrincipalId,
    at: Place,
    role: Role,
) -> Result<(), Condition> {
    may(actor, Power::Operate, None)?;
    write(meta, move |tx| {
        let mut p: Principal = tx.read().get(Scope::All, to)?;
        match at {
            Place::Project(project) => {
                tx.read().get::<Project>(Scope::All, project)?;
                if !p.roles.contains(&(project, role)) {
                    p.roles.push((project, role));
                }
            }
            Place::Wide if p.wide.contains(&role) => {}
            Place::Wide => p.wide.push(role),
        }
        tx.update(&mut p)
    })
    .await
    .map(|_| ())
}

/// Takes a role away; one that is not there is not found.
pub async fn take_role(
    meta: &dyn MetaStore,
    actor: &Actor,
    from: PrincipalId,
    at: Place,
    role: Role,
) -> Result<(), Condition> {
    may(actor, Power::Operate, None)?;
    write(meta, move |tx| {
        let mut p: Principal = tx.read().get(Scope::All, from)?;
        let absent = || Condition::not_found(Kind::Other, format!("role assignment {}", role.word()));
        match at {
            Place::Project(project) => {
                let of: Project = tx.read().get(Scope::All, project)?;
                if of.name == FIRST_PROJECT && role == Role::Admin {
                    refuse_first(&p.name, "it stays admin of its project")?;
                }
                let before = p.roles.len();
                p.roles.retain(|r| *r != (project, role));
                if p.roles.len() == before {
                    return Err(absent());
                }
            }
            Place::Wide => {
                if !p.wide.contains(&role) {
                    return Err(absent());
                }
                p.wide.retain(|r| *r != role);
            }
        }
        tx.update(&mut p)
    })
    .await
    .map(|_| ())
}

/// Takes everything away that principals are and have in a project, in the transaction that removes it.
pub fn leave_project(tx: &mut dyn WriteTx, project: ProjectId) -> Result<(), Condition> {
    let every = Query::default();
    let credentials: Vec<Credential> = tx.read().list(Scope::All, &every)?;
    if credentials.iter().any(|c| c.project == Some(project)) {
        let by = vec!["a side of this service, which is bound to it".to_string()];
        return Err(Condition::in_use(Kind::Project, project, by));
    }
    let of_programs =
        credentials.iter().filter(|c| c.application.as_ref().is_some_and(|a| a.project == project));
    for c in of_programs {
        tx.delete::<Credential>(c.id)?;
    }
    end_in(tx, project)?;
    for mut p in tx.read().list::<Principal>(Scope::All, &every)? {
        let before = p.roles.len();
        p.roles.retain(|(of, _)| *of != project);
        if p.roles.len() != before {
            tx.update(&mut p)?;
        }
    }
    Ok(())
}
