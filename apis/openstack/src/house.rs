//! The house as operators and schedulers see it: services, pools, zones, limits, quotas, extensions.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::lifecycle::Life;
use parpen_model::{Condition, Pool, Space};
use parpen_service::pools;
use serde_json::{Value, json};

use crate::cx::{Cx, one};
use crate::from_wire::ZONE;
use crate::to_wire::{backend, pool_name, time};

pub(crate) async fn zones(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    let zone = json!([{ "zoneName": ZONE, "zoneState": { "available": true } }]);
    one(StatusCode::OK, "availabilityZoneInfo", zone)
}

fn service(cx: &Cx, binary: &str, host: String, up: bool) -> Value {
    let mut one = json!({
        "binary": binary,
        "host": host,
        "zone": ZONE,
        "status": "enabled",
        "state": if up { "up" } else { "down" },
        "updated_at": time(cx.ports().clock.now()),
        "disabled_reason": null,
    });
    if binary == "cinder-volume" {
        one["frozen"] = json!(false);
        one["replication_status"] = json!("disabled");
        one["active_backend_id"] = Value::Null;
    }
    if cx.version.has(7) {
        one["cluster"] = Value::Null;
    }
    if cx.version.has(49) && binary == "cinder-volume" {
        one["backend_state"] = json!(if up { "up" } else { "down" });
    }
    one
}

pub(crate) async fn services(cx: Cx) -> Result<Reply, Condition> {
    let pools = pools::list(cx.ports(), cx.actor()?).await?;
    let scheduler = service(&cx, "cinder-scheduler", "parpen".into(), true);
    let of_pool = |p: &Pool| service(&cx, "cinder-volume", backend(p), p.life == Life::Ready);
    let all = std::iter::once(scheduler).chain(pools.iter().map(of_pool));
    let wanted = |key: &str| cx.request.query_value(key).filter(|v| !v.is_empty());
    let (host, binary) = (wanted("host"), wanted("binary"));
    let fits = |s: &Value, key: &str, want: &Option<String>| want.as_ref().is_none_or(|w| s[key] == json!(w));
    let all: Vec<Value> = all.filter(|s| fits(s, "host", &host) && fits(s, "binary", &binary)).collect();
    one(StatusCode::OK, "services", json!(all))
}

fn capabilities(cx: &Cx, pool: &Pool, space: Space) -> Value {
    json!({
        "volume_backend_name": pool.name,
        "pool_name": pool.name,
        "vendor_name": "parpen",
        "driver_version": env!("CARGO_PKG_VERSION"),
        "storage_protocol": "nbd",
        "total_capacity_gb": space.capacity as f64 / parpen_base::GIB as f64,
        "free_capacity_gb": space.free as f64 / parpen_base::GIB as f64,
        "reserved_percentage": 0,
        "thin_provisioning_support": true,
        "thick_provisioning_support": false,
        "multiattach": true,
        "QoS_support": false,
        "replication_enabled": false,
        "timestamp": time(cx.ports().clock.now()),
    })
}

pub(crate) async fn pools(cx: Cx) -> Result<Reply, Condition> {
    let (ports, actor) = (cx.ports(), cx.actor()?);
    let mut items = Vec::new();
    for pool in pools::list(ports, actor).await?.iter().filter(|p| p.life == Life::Ready) {
        let mut one = json!({ "name": pool_name(pool) });
        if cx.asks("detail") {
            one["capabilities"] = capabilities(&cx, pool, pools::space(ports, actor, pool).await?);
        }
        items.push(one);
    }
    one(StatusCode::OK, "pools", json!(items))
}

/// What this API serves beyond its core: name, alias, what it is.
const EXTENSIONS: [(&str, &str, &str); 12] = [
    ("AvailabilityZones", "os-availability-zone", "Describe availability zones"),
    ("ExtendedSnapshotAttributes", "os-extended-snapshot-attributes", "Progress and project of snapshots"),
    ("Quotas", "os-quota-sets", "Quotas of a project"),
    ("SchedulerHints", "OS-SCH-HNT", "Hints for the placement of a new volume"),
    ("SchedulerStats", "scheduler-stats", "Capacity and capabilities of pools"),
    ("Services", "os-services", "The services and their states"),
    ("TypesExtraSpecs", "os-types-extra-specs", "Extra specs of volume types"),
    ("VolumeActions", "os-volume-actions", "Actions on volumes"),
    ("VolumeHostAttribute", "os-vol-host-attr", "The pool that a volume lives in"),
    ("VolumeImageMetadata", "os-vol-image-meta", "Image metadata of volumes"),
    ("VolumeMigStatusAttribute", "os-vol-mig-status-attr", "State of a migration"),
    ("VolumeTenantAttribute", "os-vol-tenant-attr", "The project that a volume belongs to"),
];

pub(crate) async fn extensions(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    let one_of = |(name, alias, description): &(&str, &str, &str)| {
        json!({
            "name": name,
            "alias": alias,
            "description": description,
            "updated": "2023-08-31T00:00:00+00:00",
            "links": [],
        })
    };
    let all: Vec<Value> = EXTENSIONS.iter().map(one_of).collect();
    one(StatusCode::OK, "extensions", json!(all))
}
