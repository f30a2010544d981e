//! One arm per operation: parse, call one use case, print.

mod admin;
mod copies;
mod data;
mod disks;
mod lineage;
mod of_pools;

use http::StatusCode;
use parpen_http::path::Params;
use parpen_http::{HttpRequest, Reply};
use parpen_identity::{Actor, Power, may};
use parpen_model::{Condition, JobId, Kind};
use parpen_service::media::WantedPlacement;
use parpen_service::names::Naming;
use parpen_service::{alarms, hosts, pools, projects, snapshots, volumes};
use serde::Serialize;

use crate::doc::{JoinWish, RollbackWish, RotateWish, SnapshotWish, StatusDoc, VolumeChange, VolumeWish};
use crate::router::{self, Endpoint};
use crate::{House, from_wire, to_wire};

/// Longest document, in bytes.
const BODY: usize = 256 * 1024;

fn ok(document: &impl Serialize) -> Result<Reply, Condition> {
    Ok(Reply::json(StatusCode::OK, document))
}

fn gone() -> Result<Reply, Condition> {
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn call(
    house: &House,
    e: Endpoint,
    actor: &Actor,
    mut request: HttpRequest,
) -> Result<Reply, Condition> {
    let Ok((_, params)) = router::route(&request) else {
        return Err(Condition::internal("a routed request lost its route"));
    };
    let ports = &house.ports;
    match e {
        Endpoint::Health | Endpoint::Metrics => Err(Condition::internal("answered before")),
        Endpoint::Status => status(house, actor).await,
        Endpoint::PoolList
        | Endpoint::PoolCreate
        | Endpoint::PoolShow
        | Endpoint::PoolChange
        | Endpoint::PoolDelete => of_pools::call(ports, e, actor, params, request).await,
        Endpoint::BalanceShow
        | Endpoint::BalanceStart
        | Endpoint::BalanceStop
        | Endpoint::DiskList
        | Endpoint::DiskAdd
        | Endpoint::DiskShow
        | Endpoint::DiskDescribe
        | Endpoint::DiskVerb
        | Endpoint::TaskList => disks::call(ports, e, actor, params, request).await,
        Endpoint::TypeList
        | Endpoint::TypeCreate
        | Endpoint::TypeShow
        | Endpoint::TypeDelete
        | Endpoint::QuotaShow
        | Endpoint::QuotaSet
        | Endpoint::QuotaReset
        | Endpoint::ProjectList
        | Endpoint::ProjectCreate
        | Endpoint::ProjectDelete
        | Endpoint::UserList
        | Endpoint::UserCreate
        | Endpoint::UserDelete
        | Endpoint::RoleGive
        | Endpoint::RoleTake => admin::call(ports, e, actor, params, request).await,
        Endpoint::VolumeList
        | Endpoint::VolumeCreate
        | Endpoint::VolumeShow
        | Endpoint::VolumeChange
        | Endpoint::VolumeDelete
        | Endpoint::VolumeRollback
        | Endpoint::VolumeFreeze
        | Endpoint::VolumeFlatten
        | Endpoint::VolumeDiff
        | Endpoint::VolumeImport
        | Endpoint::VolumeExport => volume(house, e, actor, params, request).await,
        Endpoint::SnapshotCreate
        | Endpoint::SnapshotList
        | Endpoint::SnapshotShow
        | Endpoint::SnapshotDelete
        | Endpoint::SnapshotFlatten
        | Endpoint::SnapshotDiff
        | Endpoint::SnapshotExport => snapshot(house, e, actor, params, request).await,
        Endpoint::BackupList
        | Endpoint::BackupCreate
        | Endpoint::BackupImport
        | Endpoint::BackupShow
        | Endpoint::BackupDelete
        | Endpoint::BackupRestore
        | Endpoint::BackupVerify
        | Endpoint::BackupRecord => copies::backup(house, e, actor, params, request).await,
        Endpoint::ImageList
        | Endpoint::ImageCreate
        | Endpoint::ImageShow
        | Endpoint::ImageDelete
        | Endpoint::ImageUpload
        | Endpoint::ImageDownload
        | Endpoint::ImageVolume => copies::image(house, e, actor, params, request).await,
        Endpoint::CredentialRotate => {
            may(actor, Power::Operate, None)?;
            let wish: RotateWish = request.json(BODY).await?;
            (house.rotate)(from_wire::sides(&wish.apis)?).await?;
            gone()
        }
        Endpoint::HostList => {
            ok(&hosts::list(ports, actor).await?.iter().map(to_wire::host).collect::<Vec<_>>())
        }
        Endpoint::HostJoin => {
            let wish: JoinWish = request.json(BODY).await?;
            ok(&to_wire::host(&hosts::join(ports, actor, &wish.host, &wish.other).await?))
        }
        Endpoint::JobList => ok(&ports.jobs.list(actor).await?.iter().map(to_wire::job).collect::<Vec<_>>()),
        Endpoint::JobShow => {
            let text = params.get("job");
            let id: JobId = text.parse().map_err(|_| Condition::not_found(Kind::Job, text))?;
            ok(&to_wire::job(&ports.jobs.get(actor, id).await?))
        }
    }
}

async fn volume(
    house: &House,
    e: Endpoint,
    actor: &Actor,
    params: Params,
    mut request: HttpRequest,
) -> Result<Reply, Condition> {
    let ports = &house.ports;
    match e {
        Endpoint::VolumeList => {
            let pool = match request.query_value("pool") {
                Some(name) => Some(pools::get(ports, actor, &name).await?.id),
                None => None,
            };
            let all = volumes::list(ports, actor, volumes::Filter { pool, project: None }).await?;
            return ok(&all.iter().map(|v| to_wire::volume(v, &house.nbd)).collect::<Vec<_>>());
        }
        Endpoint::VolumeCreate => {
            let wish: VolumeWish = request.json(BODY).await?;
            return volume_create(house, actor, wish).await;
        }
        _ => {}
    }
    let view = volumes::get(ports, actor, &from_wire::volume_key(params.get("volume"))).await?;
    let id = view.volume.id;
    match e {
        Endpoint::VolumeChange => {
            let change: VolumeChange = request.json(BODY).await?;
            volume_change(house, actor, (id, params.get("volume")), change).await
        }
        Endpoint::VolumeDelete => {
            let snapshots = match from_wire::flag(&request, "snapshots", false)? {
                true => volumes::Snapshots::Delete,
                false => volumes::Snapshots::Refuse,
            };
            let force = from_wire::flag(&request, "force", false)?;
            let terms = volumes::DeleteTerms { snapshots, force, ..Default::default() };
            ports.jobs.wait(volumes::delete(ports, actor, id, terms).await?.job).await?;
            gone()
        }
        Endpoint::VolumeRollback => {
            let wish: RollbackWish = request.json(BODY).await?;
            let to = match from_wire::snapshot_of(ports, actor, &view, &wish.snapshot).await {
                Err(Condition::NotFound { .. }) => from_wire::snapshot(ports, actor, &wish.snapshot).await?,
                found => found?,
            };
            let terms = volumes::RollbackTerms { force: wish.force, ..Default::default() };
            ports.jobs.wait(volumes::rollback(ports, actor, id, to.snapshot.id, terms).await?.job).await?;
            show(house, actor, id).await
        }
        Endpoint::VolumeImport => data::import(house, actor, id.into(), request).await,
        Endpoint::VolumeExport => data::export(house, actor, id.into()).await,
        Endpoint::VolumeFreeze => lineage::freeze(house, actor, &view, &request).await,
        Endpoint::VolumeFlatten => {
            lineage::flatten(ports, actor, (id.into(), Some(&view)), request).await?;
            show(house, actor, id).await
        }
        Endpoint::VolumeDiff => {
            lineage::diff(ports, actor, (id.into(), view.volume.size), Some(&view), &request).await
        }
        _ => {
            let mut doc = to_wire::volume(&view, &house.nbd);
            doc.space = lineage::cost(ports, actor, id.into()).await;
            ok(&doc)
        }
    }
}

/// A volume as a change has left it. What it costs is counted only for who asks to see it: that takes longer the more it
/// holds, and no change does.
async fn show(house: &House, actor: &Actor, id: parpen_model::VolumeId) -> Result<Reply, Condition> {
    let view = volumes::get(&house.ports, actor, &volumes::Key::Id(id)).await?;
    ok(&to_wire::volume(&view, &house.nbd))
}

async fn volume_create(house: &House, actor: &Actor, wish: VolumeWish) -> Result<Reply, Condition> {
    let ports = &house.ports;
    from_wire::positive(wish.size)?;
    let mut new = volumes::NewVolume {
        naming: Naming::unique(wish.name, from_wire::space()),
        size: wish.size,
        ..Default::default()
    };
    new.place.placement =
        WantedPlacement { all: wish.place, tail: wish.place_tail, replication: wish.replication };
    if let Some(name) = &wish.pool {
        new.place.pool = Some(pools::get(ports, actor, name).await?.id);
    }
    if let Some(text) = &wish.source {
        new.from = from_wire::source(ports, actor, text).await?;
    }
    let started = volumes::create(ports, actor, new).await?;
    ports.jobs.wait(started.job).await?;
    show(house, actor, started.now.id).await
}

async fn volume_change(
    house: &House,
    actor: &Actor,
    (id, meant): (parpen_model::VolumeId, &str),
    change: VolumeChange,
) -> Result<Reply, Condition> {
    let ports = &house.ports;
    from_wire::positive(change.size)?;
    let terms =
        volumes::ResizeTerms { allow_shrink: change.shrink, force: change.force, ..Default::default() };
    let changed = volumes::Change {
        edit: volumes::Edit { limits: from_wire::limits(&change.limits)?, ..volumes::Edit::default() },
        rename: change.name.map(|name| from_wire::renamed(meant, name)),
        size: change.size.map(|bytes| (bytes.into(), terms)),
    };
    if let Some(job) = volumes::change(ports, actor, id, changed).await?.job {
        ports.jobs.wait(job).await?;
    }
    show(house, actor, id).await
}

async fn snapshot(
    house: &House,
    e: Endpoint,
    actor: &Actor,
    params: Params,
    mut request: HttpRequest,
) -> Result<Reply, Condition> {
    let ports = &house.ports;
    match e {
        Endpoint::SnapshotCreate => {
            let wish: SnapshotWish = request.json(BODY).await?;
            let v = volumes::get(ports, actor, &from_wire::volume_key(params.get("volume"))).await?;
            let space = parpen_service::names::Space::within(parpen_model::Api::Native, v.volume.id);
            let new =
                snapshots::NewSnapshot { naming: Naming::unique(wish.name, space), ..Default::default() };
            let started = snapshots::create(ports, actor, v.volume.id, new).await?;
            ports.jobs.wait(started.job).await?;
            let view = snapshots::get(ports, actor, &snapshots::Key::Id(started.now.id)).await?;
            return ok(&to_wire::snapshot(&view, &house.nbd));
        }
        Endpoint::SnapshotList => {
            let of = match request.query_value("volume") {
                Some(name) => {
                    Some(volumes::get(ports, actor, &from_wire::volume_key(&name)).await?.volume.id)
                }
                None => None,
            };
            let all = snapshots::list(ports, actor, of, false).await?;
            return ok(&all.iter().map(|s| to_wire::snapshot(s, &house.nbd)).collect::<Vec<_>>());
        }
        _ => {}
    }
    let view = from_wire::snapshot(ports, actor, params.get("snapshot")).await?;
    match e {
        Endpoint::SnapshotDelete => {
            let terms = snapshots::DeleteTerms {
                force: from_wire::flag(&request, "force", false)?,
                ..Default::default()
            };
            ports.jobs.wait(snapshots::delete(ports, actor, view.snapshot.id, terms).await?.job).await?;
            gone()
        }
        Endpoint::SnapshotExport => data::export(house, actor, view.snapshot.id.into()).await,
        Endpoint::SnapshotFlatten => {
            let id = view.snapshot.id;
            lineage::flatten(ports, actor, (id.into(), None), request).await?;
            let view = snapshots::get(ports, actor, &snapshots::Key::Id(id)).await?;
            lineage::shown(house, actor, &view).await
        }
        Endpoint::SnapshotDiff => {
            let to = (view.snapshot.id.into(), view.snapshot.size);
            lineage::diff(ports, actor, to, None, &request).await
        }
        _ => lineage::shown(house, actor, &view).await,
    }
}

async fn status(house: &House, actor: &Actor) -> Result<Reply, Condition> {
    let ports = &house.ports;
    let alarms = alarms::list(ports, actor).await?;
    let running = ports.jobs.list(actor).await?;
    ok(&StatusDoc {
        version: house.version.into(),
        generation: projects::generation(ports).await?,
        volumes: volumes::list(ports, actor, Default::default()).await?.len(),
        snapshots: snapshots::list(ports, actor, None, false).await?.len(),
        jobs: running.iter().filter(|j| !j.is_final()).map(to_wire::job).collect(),
        pools: of_pools::docs(ports, actor, &alarms).await?,
        sessions: ports.sessions.all().iter().map(to_wire::session).collect(),
        alarms: alarms.iter().map(to_wire::alarm).collect(),
    })
}
