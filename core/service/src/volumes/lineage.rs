//! What volumes and snapshots share: what one costs, and what differs between two.

use parpen_identity::{Actor, Power, may};
use parpen_model::ports::{Change, Figures as Cost};
use parpen_model::{Condition, Pool, PoolId, ProjectId, ReadTx, Scope, Snapshot, Subject, Volume, read};

use crate::Ports;

/// Pool and project of a volume or snapshot.
fn place(tx: &dyn ReadTx, scope: Scope, what: Subject) -> Result<(PoolId, ProjectId), Condition> {
    match what {
        Subject::Volume(id) => tx.get::<Volume>(scope, id).map(|v| (v.pool, v.project)),
        Subject::Snapshot(id) => tx.get::<Snapshot>(scope, id).map(|s| (s.pool, s.project)),
    }
}

/// What a volume or snapshot costs; `None` where its store cannot tell.
pub async fn cost(ports: &Ports, actor: &Actor, what: Subject) -> Result<Option<Cost>, Condition> {
    let scope = actor.scope;
    let (pool, project) = read(&*ports.meta, move |tx| {
        let (pool, project) = place(tx, scope, what)?;
        Ok((tx.get::<Pool>(Scope::All, pool)?, project))
    })
    .await?;
    may(actor, Power::Read, Some(project))?;
    ports.figures.cost(&pool, what).await
}

/// What of `to` differs from `from` (`None`: from nothing) within `len` bytes from `offset` on: the pieces add up to
/// `len`, or to less; then the caller asks again behind them.
pub async fn diff(
    ports: &Ports,
    actor: &Actor,
    from: Option<Subject>,
    to: Subject,
    (offset, len): (u64, u64),
) -> Result<Vec<Change>, Condition> {
    let scope = actor.scope;
    let (pool, others, projects) = read(&*ports.meta, move |tx| {
        let (pool, project) = place(tx, scope, to)?;
        let other = from.map(|from| place(tx, scope, from)).transpose()?;
        let projects = [Some(project), other.map(|(_, p)| p)];
        Ok((tx.get::<Pool>(Scope::All, pool)?, other.map(|(p, _)| p), projects))
    })
    .await?;
    for project in projects.into_iter().flatten() {
        may(actor, Power::Read, Some(project))?;
    }
    if others.is_some_and(|other| other != pool.id) {
        return Err(Condition::invalid(
            "from",
            "it is in another pool: only what shares a pool can be compared",
        ));
    }
    ports.figures.diff(&pool, from, to, (offset, len)).await
}
