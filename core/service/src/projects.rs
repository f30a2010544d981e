//! Projects and the principals in them.

use parpen_identity::{Actor, FIRST_PROJECT, Power, Principal, end_in, leave_project, may};
use parpen_model::{
    Backup, Condition, Group, Kind, Message, PrincipalId, Project, ProjectId, Query, Quota, Scope, Snapshot,
    Stamp, Volume, VolumeType, Whose, WriteTx, read, write,
};

use crate::{Ports, names, quotas};

/// The projects that the actor sees, the oldest first.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<Project>, Condition> {
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| tx.list(scope, &Query::default())).await
}

/// The enabled projects that the actor itself has a role in, the oldest first.
pub async fn own(ports: &Ports, actor: &Actor) -> Result<Vec<Project>, Condition> {
    let id = actor.principal;
    read(&*ports.meta, move |tx| {
        let roles = tx.find::<Principal>(Scope::All, id)?.map(|p| p.roles).unwrap_or_default();
        let all: Vec<Project> = tx.list(Scope::All, &Query::default())?;
        Ok(all.into_iter().filter(|p| p.enabled && roles.iter().any(|(of, _)| *of == p.id)).collect())
    })
    .await
}

/// A project by name or id; used by logins too, which have no actor yet.
pub async fn find(ports: &Ports, name: &str) -> Result<Project, Condition> {
    let name = name.to_string();
    read(&*ports.meta, move |tx| tx.get_text(Scope::All, "project", &name)).await
}

/// A project by id, if the actor sees it.
pub async fn get(ports: &Ports, actor: &Actor, id: ProjectId) -> Result<Project, Condition> {
    let scope = actor.scope;
    let project: Project = read(&*ports.meta, move |tx| tx.get(scope, id)).await?;
    may(actor, Power::Read, Some(id))?;
    Ok(project)
}

/// What a project is to be; absent parts stay, or are empty and enabled in a new one.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// The unique name.
    pub name: Option<String>,
    /// In words.
    pub description: Option<String>,
    /// Who is in it may log in for it.
    pub enabled: Option<bool>,
}

fn check_name(name: &str) -> Result<(), Condition> {
    names::check(name)?;
    match name.trim().is_empty() {
        true => Err(Condition::invalid("name", "a project has a name")),
        false => Ok(()),
    }
}

/// Makes a project.
pub async fn create(ports: &Ports, actor: &Actor, new: Edit) -> Result<(Project, u64), Condition> {
    may(actor, Power::Operate, None)?;
    check_name(new.name.as_deref().unwrap_or_default())?;
    let (id, stamp) = (ProjectId(ports.entropy.uuid()), Stamp::at(ports.clock.now()));
    write(&*ports.meta, move |tx| {
        let name = new.name.clone().unwrap_or_default();
        if tx.read().named("project", &name)?.is_some() {
            return Err(Condition::exists(Kind::Project, &name));
        }
        let description = new.description.clone().unwrap_or_default();
        let enabled = new.enabled.unwrap_or(true);
        let mut p = Project { id, name, description, enabled, default_type: None, stamp };
        tx.insert(&mut p)?;
        Ok(p)
    })
    .await
}

/// Changes a project. The first one keeps its name and stays enabled: every side is bound to it.
/// Tokens for a project that is disabled end.
pub async fn edit(
    ports: &Ports,
    actor: &Actor,
    id: ProjectId,
    edit: Edit,
) -> Result<(Project, u64), Condition> {
    may(actor, Power::Operate, None)?;
    if let Some(name) = &edit.name {
        check_name(name)?;
    }
    let now = ports.clock.now();
    write(&*ports.meta, move |tx| {
        let mut p: Project = tx.read().get(Scope::All, id)?;
        let renamed = edit.name.clone().filter(|n| *n != p.name);
        if p.name == FIRST_PROJECT && (renamed.is_some() || edit.enabled == Some(false)) {
            let why = "every side of this service is bound to it: it keeps its name and stays enabled";
            return Err(Condition::Conflict(why.into()));
        }
        if let Some(name) = renamed {
            if tx.read().named("project", &name)?.is_some() {
                return Err(Condition::exists(Kind::Project, &name));
            }
            p.name = name;
        }
        p.description = edit.description.clone().unwrap_or(p.description);
        p.enabled = edit.enabled.unwrap_or(p.enabled);
        p.stamp.updated = Some(now);
        tx.update(&mut p)?;
        if !p.enabled {
            end_in(tx, id)?;
        }
        Ok(p)
    })
    .await
}

/// Deletes a project that has no volume, snapshot, backup or group left, with everything else that is its.
pub async fn delete(ports: &Ports, actor: &Actor, id: ProjectId) -> Result<u64, Condition> {
    may(actor, Power::Operate, None)?;
    let (_, generation) = write(&*ports.meta, move |tx| {
        let p: Project = tx.read().get(Scope::All, id)?;
        let its = Query { project: Some(id), ..Query::default() };
        let volumes = tx.read().list::<Volume>(Scope::Project(id), &its)?;
        let snapshots = tx.read().list::<Snapshot>(Scope::Project(id), &its)?;
        let backups = tx.read().list::<Backup>(Scope::Project(id), &its)?;
        let groups = tx.read().list::<Group>(Scope::Project(id), &its)?;
        let by: Vec<String> = volumes
            .iter()
            .map(|v| format!("volume {}", v.handle))
            .chain(snapshots.iter().map(|s| format!("snapshot {}", s.handle)))
            .chain(backups.iter().map(|b| format!("backup {}", b.id)))
            .chain(groups.iter().map(|g| format!("group {}", g.id)))
            .collect();
        if !by.is_empty() {
            return Err(Condition::in_use(Kind::Project, &p.name, by));
        }
        leave_project(tx, id)?;
        forget(tx, id)?;
        tx.delete::<Project>(id)
    })
    .await?;
    Ok(generation)
}

/// Removes what is kept about a project elsewhere.
fn forget(tx: &mut dyn WriteTx, id: ProjectId) -> Result<(), Condition> {
    if let Some(q) = quotas::row(tx.read(), &Whose::Project(id))? {
        tx.delete::<Quota>(q.id)?;
    }
    for m in tx.read().list::<Message>(Scope::Project(id), &Query::default())? {
        tx.delete::<Message>(m.id)?;
    }
    for mut t in tx.read().list::<VolumeType>(Scope::All, &Query::default())? {
        if t.access.contains(&id) {
            t.access.retain(|p| *p != id);
            tx.update(&mut t)?;
        }
    }
    Ok(())
}

/// The configuration generation.
pub async fn generation(ports: &Ports) -> Result<u64, Condition> {
    read(&*ports.meta, |tx| tx.generation()).await
}

/// Principals, for operators.
pub async fn principals(ports: &Ports, actor: &Actor) -> Result<Vec<Principal>, Condition> {
    may(actor, Power::Operate, None)?;
    read(&*ports.meta, |tx| tx.list(Scope::All, &Query::default())).await
}

/// A principal, for itself and for operators.
pub async fn principal(ports: &Ports, actor: &Actor, id: PrincipalId) -> Result<Principal, Condition> {
    if actor.principal != id {
        may(actor, Power::Operate, None)?;
    }
    read(&*ports.meta, move |tx| tx.get(Scope::All, id)).await
}
