//! Disks, their tasks, and the balance of pools.

use parpen_http::path::Params;
use parpen_http::{HttpRequest, Reply};
use parpen_identity::Actor;
use parpen_model::{BalanceVerb, Condition, Kind, Pool};
use parpen_service::pools::NewDisk;
use parpen_service::{Ports, alarms, disks, media, pools};

use super::{BODY, gone, ok};
use crate::doc::{DiskChange, DiskWish};
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
        Endpoint::DiskList => {
            let pools = pools::list(ports, actor).await?;
            let all = disks::list(ports, actor).await?;
            let alarms = alarms::list(ports, actor).await?;
            let doc = |d: &parpen_model::Disk| to_wire::disk(d, name_of(&pools, d.pool), &alarms);
            ok(&all.iter().map(doc).collect::<Vec<_>>())
        }
        Endpoint::DiskAdd => add(ports, actor, request.json(BODY).await?).await,
        Endpoint::TaskList => {
            ok(&disks::tasks(ports, actor).await?.iter().map(to_wire::task).collect::<Vec<_>>())
        }
        Endpoint::BalanceShow | Endpoint::BalanceStart | Endpoint::BalanceStop => {
            let pool = pools::get(ports, actor, params.get("pool")).await?;
            let verb = match e {
                Endpoint::BalanceStart => Some(BalanceVerb::Commit),
                Endpoint::BalanceStop => Some(BalanceVerb::Stop),
                _ => None,
            };
            if let Some(verb) = verb {
                ports.jobs.wait(disks::rebalance(ports, actor, pool.id, verb).await?.job).await?;
            }
            ok(&to_wire::balance(&disks::balance(ports, actor, &pool).await?))
        }
        _ => one(ports, e, actor, params, request).await,
    }
}

async fn one(
    ports: &Ports,
    e: Endpoint,
    actor: &Actor,
    params: Params,
    mut request: HttpRequest,
) -> Result<Reply, Condition> {
    let text = params.get("disk");
    let number: u16 = text.parse().map_err(|_| Condition::not_found(Kind::Disk, text))?;
    match e {
        Endpoint::DiskDescribe => {
            let wish: DiskChange = request.json(BODY).await?;
            disks::describe(ports, actor, number, &wish.description).await?;
        }
        Endpoint::DiskVerb => {
            let verb = match from_wire::disk_act(params.get("verb"))? {
                from_wire::DiskAct::Verb(verb) => verb,
                from_wire::DiskAct::Ignore(on) => {
                    disks::ignore(ports, actor, number, on).await?;
                    return shown(ports, actor, number).await;
                }
            };
            ports.jobs.wait(disks::change(ports, actor, number, verb).await?.job).await?;
            if verb.is_final() {
                return gone();
            }
        }
        _ => {}
    }
    shown(ports, actor, number).await
}

async fn shown(ports: &Ports, actor: &Actor, number: u16) -> Result<Reply, Condition> {
    let pools = pools::list(ports, actor).await?;
    let d = disks::get(ports, actor, number).await?;
    let alarms = alarms::list(ports, actor).await?;
    ok(&to_wire::disk(&d, name_of(&pools, d.pool), &alarms))
}

fn name_of(pools: &[Pool], id: parpen_model::PoolId) -> String {
    pools.iter().find(|p| p.id == id).map(|p| p.name.clone()).unwrap_or_default()
}

async fn add(ports: &Ports, actor: &Actor, wish: DiskWish) -> Result<Reply, Condition> {
    let pool = pools::get(ports, actor, wish.pool.as_deref().unwrap_or(media::FIRST_POOL)).await?;
    let ssd = match wish.medium.as_deref() {
        None => None,
        Some("ssd") => Some(true),
        Some("hdd") => Some(false),
        Some(_) => return Err(Condition::invalid("medium", "it is `ssd` or `hdd`")),
    };
    let new = NewDisk { path: wish.path, ssd, description: wish.description };
    let started = disks::add(ports, actor, pool.id, new, wish.capacity).await?;
    ports.jobs.wait(started.job).await?;
    shown(ports, actor, started.now.number).await
}
