//! Pools: what they are, how much they have, what to look at.

use parpen_http::path::Params;
use parpen_http::{HttpRequest, Reply};
use parpen_identity::Actor;
use parpen_model::{Condition, Pool};
use parpen_service::alarms::Alarm;
use parpen_service::{Ports, alarms, capacity, pools};

use super::{BODY, gone, ok};
use crate::doc::{PoolChange, PoolDoc, PoolWish};
use crate::router::Endpoint;
use crate::{from_wire, to_wire};

pub(super) async fn call(
    ports: &Ports,
    e: Endpoint,
    actor: &Actor,
    params: Params,
    mut request: HttpRequest,
) -> Result<Reply, Condition> {
    match e {
        Endpoint::PoolList => {
            let alarms = alarms::list(ports, actor).await?;
            return ok(&docs(ports, actor, &alarms).await?);
        }
        Endpoint::PoolCreate => return create(ports, actor, request.json(BODY).await?).await,
        _ => {}
    }
    let pool = pools::get(ports, actor, params.get("pool")).await?;
    match e {
        Endpoint::PoolChange => {
            let wish: PoolChange = request.json(BODY).await?;
            let edit = pools::Edit {
                description: wish.description,
                replication: wish.replication,
                relocate: wish.relocate,
                balance: wish.auto_balance,
                attributes: None,
            };
            let (pool, job) = pools::edit(ports, actor, pool.id, edit).await?;
            if let Some(job) = job {
                ports.jobs.wait(job).await?;
            }
            shown(ports, actor, &pool).await
        }
        Endpoint::PoolDelete => {
            ports.jobs.wait(pools::delete(ports, actor, pool.id).await?.job).await?;
            gone()
        }
        _ => shown(ports, actor, &pool).await,
    }
}

async fn create(ports: &Ports, actor: &Actor, wish: PoolWish) -> Result<Reply, Condition> {
    let new = pools::NewPool {
        name: wish.name,
        driver: from_wire::driver(&wish.driver)?,
        disks: wish.disks.into_iter().map(pools::NewDisk::at).collect(),
        capacity: wish.capacity,
        replication: wish.replication,
        description: wish.description,
        attributes: Default::default(),
    };
    let started = pools::create(ports, actor, new).await?;
    ports.jobs.wait(started.job).await?;
    let pool = pools::get(ports, actor, &started.now.name).await?;
    shown(ports, actor, &pool).await
}

async fn shown(ports: &Ports, actor: &Actor, pool: &Pool) -> Result<Reply, Condition> {
    let alarms = alarms::list(ports, actor).await?;
    ok(&doc(ports, actor, pool, &alarms).await)
}

/// All pools, with what there is to look at.
pub(super) async fn docs(ports: &Ports, actor: &Actor, alarms: &[Alarm]) -> Result<Vec<PoolDoc>, Condition> {
    let mut all = Vec::new();
    for pool in pools::list(ports, actor).await? {
        all.push(doc(ports, actor, &pool, alarms).await);
    }
    Ok(all)
}

/// A pool whose store does not answer is shown without figures; why stands in the log.
async fn doc(ports: &Ports, actor: &Actor, pool: &Pool, alarms: &[Alarm]) -> PoolDoc {
    let mut doc = to_wire::pool(pool);
    doc.remark = ports.figures.remark(pool);
    doc.alarms = alarms.iter().filter(|a| a.pool == pool.name).map(to_wire::alarm).collect();
    match capacity::of(ports, actor, pool).await {
        Ok(room) => {
            (doc.used, doc.free, doc.stored) = (Some(room.raw.used), Some(room.raw.free), Some(room.stored));
            (doc.usable, doc.usable_free) = (Some(room.usable), Some(room.usable_free));
            doc
        }
        Err(e) => {
            tracing::warn!(pool = pool.name, error = ?e, "the figures of a pool cannot be had");
            doc.state = "unavailable".into();
            doc.fault = doc.fault.or(Some(e.to_string()));
            doc
        }
    }
}
