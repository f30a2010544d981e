//! Projects and the principals in them: looking.

use parpen_identity::{Actor, Power, Principal, may};
use parpen_model::{Condition, Project, ProjectId, Query, Scope, read};

use crate::Ports;

/// The projects that the actor sees, the oldest first.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<Project>, Condition> {
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| tx.list(scope, &Query::default())).await
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

/// The configuration generation.
pub async fn generation(ports: &Ports) -> Result<u64, Condition> {
    read(&*ports.meta, |tx| tx.generation()).await
}

/// Principals, for operators.
pub async fn principals(ports: &Ports, actor: &Actor) -> Result<Vec<Principal>, Condition> {
    may(actor, Power::Operate, None)?;
    read(&*ports.meta, |tx| tx.list(Scope::All, &Query::default())).await
}
