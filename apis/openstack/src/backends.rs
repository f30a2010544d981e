//! Pools as schedulers and operators see them: capacity, capabilities, hosts, zones.

use http::StatusCode;
use parpen_base::GIB;
use parpen_http::Reply;
use parpen_identity::{Power, may};
use parpen_model::lifecycle::Life;
use parpen_model::{Condition, Pool, ProjectId, VolumeType};
use parpen_service::capacity::Room;
use parpen_service::volumes::{Filter, View};
use parpen_service::{capacity, parts, pools, snapshots, types, volumes};
use serde_json::{Value, json};

use crate::cx::{Cx, one};
use crate::errors::{fault, said};
use crate::from_wire::{DEFAULT_TYPE, DEFAULT_TYPE_ID, ZONE};
use crate::services::{Daemon, VOLUME, daemons};
use crate::to_wire::policy::project_id;
use crate::to_wire::{backend, gib, pool_name, time};

pub(crate) async fn zones(cx: Cx) -> Result<Reply, Condition> {
    let available = parts::any_pool_enabled(cx.ports(), cx.actor()?).await?;
    let zone = json!([{ "zoneName": ZONE, "zoneState": { "available": available } }]);
    one(StatusCode::OK, "availabilityZoneInfo", zone)
}

/// What the volumes of a pool were promised, in gibibytes.
fn promised(pool: &Pool, all: &[View]) -> u64 {
    all.iter().filter(|v| v.volume.pool == pool.id).map(|v| gib(v.volume.size)).sum()
}

/// What schedulers are told alike of every pool.
pub(crate) fn facts() -> [(&'static str, Value); 11] {
    [
        ("vendor_name", json!("parpen")),
        ("driver_version", json!(env!("CARGO_PKG_VERSION"))),
        ("storage_protocol", json!("nbd")),
        ("reserved_percentage", json!(0)),
        ("thin_provisioning_support", json!(true)),
        ("thick_provisioning_support", json!(false)),
        ("multiattach", json!(true)),
        ("QoS_support", json!(true)),
        ("replication_enabled", json!(false)),
        ("backend_state", json!("up")),
        ("location_info", Value::Null),
    ]
}

fn figures(cx: &Cx, pool: &Pool, room: Room, all: &[View]) -> Value {
    let promised = promised(pool, all);
    let own = [
        ("volume_backend_name", json!(pool.name)),
        ("pool_name", json!(pool.name)),
        ("total_capacity_gb", json!(room.usable as f64 / GIB as f64)),
        ("free_capacity_gb", json!(room.usable_free as f64 / GIB as f64)),
        ("allocated_capacity_gb", json!(promised)),
        ("provisioned_capacity_gb", json!(promised)),
        ("total_volumes", json!(all.iter().filter(|v| v.volume.pool == pool.id).count())),
        ("timestamp", json!(time(cx.ports().clock.now()))),
    ];
    own.into_iter().chain(facts()).collect()
}

/// Whether a pool may hold volumes of a type.
fn holds(pool: &Pool, t: Option<&VolumeType>) -> bool {
    t.is_none_or(|t| {
        let named = t.rules.pool.as_ref().is_none_or(|name| *name == pool.name);
        named && t.rules.lacking.is_none() && t.pool.is_none_or(|id| id == pool.id)
    })
}

/// The filters of the query, each from the version that brought it.
async fn filters(cx: &Cx) -> Result<(Option<String>, Option<VolumeType>), Condition> {
    let known = |name: &str| matches!(name, "detail" | "name" | "volume_type");
    if cx.version.has(31)
        && let Some((name, _)) = cx.request.query_pairs().find(|(name, _)| !known(name))
    {
        return Err(said(format!("Invalid filters {name:.64} are found in query options.")));
    }
    let asked = |name: &str, since| cx.request.query_value(name).filter(|_| cx.version.has(since));
    let kind = match asked("volume_type", 35) {
        // What is linked to no type goes everywhere.
        Some(name) if name == DEFAULT_TYPE || name == DEFAULT_TYPE_ID.to_string() => None,
        Some(name) => Some(types::get(cx.ports(), cx.actor()?, &name).await?),
        None => None,
    };
    Ok((asked("name", 28), kind))
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let (ports, actor) = (cx.ports(), cx.actor()?);
    let (name, kind) = filters(&cx).await?;
    let detail = cx.asks("detail");
    let all = if detail { volumes::list(ports, actor, Filter::default()).await? } else { Vec::new() };
    let mut items = Vec::new();
    for pool in pools::list(ports, actor).await?.iter().filter(|p| p.life == Life::Ready) {
        if name.as_ref().is_some_and(|n| *n != pool_name(pool)) || !holds(pool, kind.as_ref()) {
            continue;
        }
        let mut one = json!({ "name": pool_name(pool) });
        if detail {
            one["capabilities"] = figures(&cx, pool, capacity::of(ports, actor, pool).await?, &all);
        }
        items.push(one);
    }
    one(StatusCode::OK, "pools", json!(items))
}

/// The backend that the path names; the part behind `#` is a pool of it.
async fn named(cx: &Cx) -> Result<Option<Pool>, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let host = cx.param("host").split('#').next().unwrap_or_default().to_string();
    let all = pools::list(cx.ports(), cx.actor()?).await?;
    Ok(all.into_iter().find(|p| backend(p) == host))
}

pub(crate) async fn capabilities(cx: Cx) -> Result<Reply, Condition> {
    let Some(pool) = named(&cx).await? else {
        let text = format!("Can't find service: {:.128}", cx.param("host"));
        return Ok(fault(StatusCode::NOT_FOUND, &text));
    };
    let property =
        |title: &str, kind: &str, text: &str| json!({ "title": title, "type": kind, "description": text });
    let qos = "Ceilings by total_iops_sec, total_bytes_sec, or both of read_* and write_* as their sum.";
    let doc = json!({
        "namespace": format!("OS::Storage::Capabilities::{}", backend(&pool)),
        "vendor_name": "parpen",
        "volume_backend_name": pool.name,
        "pool_name": pool.name,
        "driver_version": env!("CARGO_PKG_VERSION"),
        "storage_protocol": "nbd",
        "display_name": pool.name,
        "description": pool.description,
        "visibility": "public",
        "replication_targets": [],
        "properties": {
            "thin_provisioning": property("Thin Provisioning", "boolean", "Volumes take what is written."),
            "qos": property("QoS", "boolean", qos),
            "multiattach": property("Multiattach", "boolean", "Several hosts may attach a volume."),
            "replication_enabled": property("Replication", "boolean", "Not offered."),
        },
    });
    Ok(Reply::json(StatusCode::OK, &doc))
}

pub(crate) async fn hosts(cx: Cx) -> Result<Reply, Condition> {
    let zone = cx.request.query_value("zone").filter(|z| !z.is_empty());
    let all = daemons(&cx).await?;
    let here = zone.is_none_or(|z| z == ZONE);
    let doc = |d: &Daemon| {
        json!({
            "host_name": d.host,
            "service": d.binary,
            "zone": ZONE,
            "service-status": if d.up { "available" } else { "unavailable" },
            "service-state": "enabled",
            "last-update": time(cx.ports().clock.now()),
        })
    };
    // Cinder lists those only that are enabled.
    let shown = all.iter().filter(|d| here && d.enabled()).map(doc).collect();
    one(StatusCode::OK, "hosts", Value::Array(shown))
}

/// What one project, or all, have on a host.
struct Held {
    volumes: u64,
    volume_gib: u64,
    snapshots: u64,
    snapshot_gib: u64,
}

fn resource(host: &str, project: &str, held: &Held) -> Value {
    json!({ "resource": {
        "host": host,
        "project": project,
        "volume_count": held.volumes.to_string(),
        "total_volume_gb": held.volume_gib.to_string(),
        "snapshot_count": held.snapshots.to_string(),
        "total_snapshot_gb": held.snapshot_gib.to_string(),
    }})
}

pub(crate) async fn host(cx: Cx) -> Result<Reply, Condition> {
    let Some(pool) = named(&cx).await? else {
        let text = format!("Service {VOLUME} could not be found on host {:.128}.", cx.param("host"));
        return Ok(fault(StatusCode::NOT_FOUND, &text));
    };
    let (ports, actor) = (cx.ports(), cx.actor()?);
    let all = volumes::list(ports, actor, Filter { pool: Some(pool.id), project: None }).await?;
    let taken = snapshots::list(ports, actor, None, false).await?;
    let held = |of: Option<ProjectId>| {
        let its = |p: ProjectId| of.is_none_or(|o| o == p);
        let volumes: Vec<u64> =
            all.iter().filter(|v| its(v.volume.project)).map(|v| gib(v.volume.size)).collect();
        let snapshots = taken.iter().map(|s| &s.snapshot).filter(|s| s.pool == pool.id && its(s.project));
        let snapshots: Vec<u64> = snapshots.map(|s| gib(s.size)).collect();
        Held {
            volumes: volumes.len() as u64,
            volume_gib: volumes.iter().sum(),
            snapshots: snapshots.len() as u64,
            snapshot_gib: snapshots.iter().sum(),
        }
    };
    let mut projects: Vec<ProjectId> = all.iter().map(|v| v.volume.project).collect();
    projects.sort();
    projects.dedup();
    let host = backend(&pool);
    let total = resource(&host, "(total)", &held(None));
    let each = projects.iter().map(|p| resource(&host, &project_id(*p), &held(Some(*p))));
    one(StatusCode::OK, "host", Value::Array(std::iter::once(total).chain(each).collect()))
}
