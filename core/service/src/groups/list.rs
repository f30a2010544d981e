//! Looking at groups, and what an operator says of one.

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::Standing;
use parpen_model::{
    Condition, Group, GroupId, ProjectId, Query, ReadTx, Scope, Volume, VolumeId, read, write,
};

use crate::Ports;

/// A group and its members.
#[derive(Clone, Debug)]
pub struct View {
    /// The row.
    pub group: Group,
    /// Its members, the oldest first.
    pub volumes: Vec<VolumeId>,
}

/// The members of a group, the oldest first.
pub(crate) fn members(tx: &dyn ReadTx, g: &Group) -> Result<Vec<Volume>, Condition> {
    let query = Query { project: Some(g.project), ..Query::default() };
    let all = tx.list::<Volume>(Scope::All, &query)?;
    Ok(all.into_iter().filter(|v| v.group == Some(g.id)).collect())
}

/// One group.
pub async fn get(ports: &Ports, actor: &Actor, id: GroupId) -> Result<View, Condition> {
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| {
        let group: Group = tx.get(scope, id)?;
        let volumes = members(tx, &group)?.iter().map(|v| v.id).collect();
        Ok(View { group, volumes })
    })
    .await
}

/// Groups that the actor sees, of one project or all, the oldest first.
pub async fn list(ports: &Ports, actor: &Actor, project: Option<ProjectId>) -> Result<Vec<View>, Condition> {
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| {
        let query = Query { project, ..Query::default() };
        let volumes: Vec<Volume> = tx.list(scope, &query)?;
        let of = |g: &Group| volumes.iter().filter(|v| v.group == Some(g.id)).map(|v| v.id).collect();
        let groups = tx.list::<Group>(scope, &query)?;
        Ok(groups.into_iter().map(|group| View { volumes: of(&group), group }).collect())
    })
    .await
}

/// Lets an operator say how a group stands.
pub async fn say(ports: &Ports, actor: &Actor, id: GroupId, standing: Standing) -> Result<(), Condition> {
    let (actor, now) = (actor.clone(), ports.clock.now());
    write(&*ports.meta, move |tx| {
        let mut g: Group = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Operate, Some(g.project))?;
        g.declared = None;
        g.declared = Some(standing).filter(|s| *s != g.standing());
        g.stamp.updated = Some(now);
        tx.update(&mut g)
    })
    .await
    .map(|_| ())
}
