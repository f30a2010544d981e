//! What the API tells of itself: extensions and filters; and what one process has none of: clusters, old groups.

use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{Power, may};
use parpen_model::{Condition, Part, Subject};
use parpen_service::jobs;
use serde_json::{Value, json};

use crate::cx::{Cx, one};
use crate::errors::{fault, invalid_input, said};
use crate::fields::{Fields, document, refuse};
use crate::services::{Daemon, VOLUME, daemons};
use crate::strict::TEXT_MAX;

/// What this API serves beyond its core: name, alias, what it is.
const EXTENSIONS: [(&str, &str, &str); 26] = [
    ("AdminActions", "os-admin-actions", "States declared by operators"),
    ("AvailabilityZones", "os-availability-zone", "Describe availability zones"),
    ("Capabilities", "capabilities", "What a backend can do"),
    ("ExtendedServices", "os-extended-services", "Why a service is disabled"),
    ("ExtendedSnapshotAttributes", "os-extended-snapshot-attributes", "Progress and project of snapshots"),
    ("Hosts", "os-hosts", "What is on each host"),
    ("Qos_specs_manage", "qos-specs", "Quality-of-service specs"),
    ("QuotaClasses", "os-quota-class-sets", "Quotas of classes"),
    ("Quotas", "os-quota-sets", "Quotas of a project"),
    ("SchedulerHints", "OS-SCH-HNT", "Hints for the placement of a new volume"),
    ("Scheduler_stats", "scheduler-stats", "Capacity and capabilities of pools"),
    ("Services", "os-services", "The services and their states"),
    ("SnapshotActions", "os-snapshot-actions", "Actions on snapshots"),
    ("TypesExtraSpecs", "os-types-extra-specs", "Extra specs of volume types"),
    ("TypesManage", "os-types-manage", "Making, changing and deleting volume types"),
    ("UsedLimits", "os-used-limits", "What is used of the limits"),
    ("VolumeActions", "os-volume-actions", "Actions on volumes"),
    ("VolumeHostAttribute", "os-vol-host-attr", "The pool that a volume lives in"),
    ("VolumeImageMetadata", "os-vol-image-meta", "Image metadata of volumes"),
    ("VolumeManage", "os-volume-manage", "Taking volumes over and letting them go"),
    ("VolumeMigStatusAttribute", "os-vol-mig-status-attr", "State of a migration"),
    ("VolumeTenantAttribute", "os-vol-tenant-attr", "The project that a volume belongs to"),
    ("VolumeTransfer", "os-volume-transfer", "Offering volumes to other projects"),
    ("VolumeTypeAccess", "os-volume-type-access", "Who may use a private volume type"),
    ("VolumeTypeEncryption", "encryption", "How volumes of a type are encrypted"),
    ("VolumeUnmanage", "os-volume-unmanage", "Letting volumes go"),
];

fn extension_document((name, alias, description): &(&str, &str, &str)) -> Value {
    json!({
        "name": name,
        "alias": alias,
        "description": description,
        "updated": "2023-08-31T00:00:00+00:00",
        "links": [],
    })
}

pub(crate) async fn extensions(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    one(StatusCode::OK, "extensions", EXTENSIONS.iter().map(extension_document).collect())
}

pub(crate) async fn extension(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    match EXTENSIONS.iter().find(|(_, alias, _)| *alias == cx.param("alias")) {
        Some(found) => one(StatusCode::OK, "extension", extension_document(found)),
        None => Ok(fault(StatusCode::NOT_FOUND, "The resource could not be found.")),
    }
}

/// By what lists may be filtered by those who do not operate the service.
const FILTERS: [(&str, &[&str]); 9] = [
    (
        "volume",
        &[
            "name",
            "status",
            "metadata",
            "bootable",
            "migration_status",
            "availability_zone",
            "group_id",
            "size",
            "created_at",
            "updated_at",
            "consumes_quota",
        ],
    ),
    ("backup", &["name", "status", "volume_id"]),
    ("snapshot", &["name", "status", "volume_id", "metadata", "availability_zone", "consumes_quota"]),
    ("group", &["name"]),
    ("group_snapshot", &["name", "status", "group_id"]),
    ("attachment", &["volume_id", "status", "instance_id", "attach_status"]),
    ("message", &["resource_uuid", "resource_type", "event_id", "request_id", "message_level"]),
    ("pool", &["name", "volume_type"]),
    ("volume_type", &["is_public", "extra_specs"]),
];

pub(crate) async fn filters(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    let wanted = cx.request.query_value("resource").filter(|r| !r.is_empty());
    let shown = FILTERS.iter().filter(|(name, _)| wanted.as_ref().is_none_or(|w| w == name));
    let shown = shown.map(|(name, filters)| json!({ "resource": name, "filters": filters })).collect();
    one(StatusCode::OK, "resource_filters", Value::Array(shown))
}

/// What clusters may be filtered by; the last three since 3.26.
const CLUSTER_FILTERS: [&str; 8] =
    ["name", "binary", "is_up", "disabled", "num_hosts", "num_down_hosts", "replication_status", "frozen"];

pub(crate) async fn clusters(cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let known = if cx.version.has(26) { &CLUSTER_FILTERS[..] } else { &CLUSTER_FILTERS[..6] };
    let known = |n: &str| known.contains(&n) || n == "active_backend_id" && cx.version.has(26);
    match cx.request.query_pairs().find(|(name, _)| !known(name)) {
        Some((name, _)) => Err(invalid_input(format!("Invalid filter keys: {name:.64}"))),
        None => one(StatusCode::OK, "clusters", json!([])),
    }
}

fn no_cluster(name: &str) -> Reply {
    fault(StatusCode::NOT_FOUND, &format!("Cluster {name:.128} could not be found."))
}

pub(crate) async fn cluster(cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    Ok(no_cluster(cx.param("name")))
}

pub(crate) async fn switch_cluster(mut cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let fields = Fields(document(&mut cx.request).await?);
    fields.only("body", &["name", "binary", "disabled_reason"])?;
    Ok(no_cluster(&fields.name("name")?))
}

/// Takes up jobs that wait for the next start. Answers the services whose jobs go on.
pub(crate) async fn cleanup(mut cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let fields = Fields(document(&mut cx.request).await?);
    let known =
        ["cluster_name", "disabled", "host", "is_up", "binary", "resource_id", "resource_type", "service_id"];
    fields.only("body", &known)?;
    let text = |name: &str| fields.text(name, TEXT_MAX).map(|t| t.filter(|t| !t.is_empty()));
    let kind = match text("resource_type")?.map(|t| t.to_lowercase()).as_deref() {
        None => None,
        Some("volume") => Some(parpen_model::Kind::Volume),
        Some("snapshot") => Some(parpen_model::Kind::Snapshot),
        Some(other) => {
            let why = format!("Resource type {other:.64} not valid, must be Volume or Snapshot");
            return Err(invalid_input(why));
        }
    };
    let binary = text("binary")?;
    if let Some(b) = binary.as_ref().filter(|b| !matches!(b.as_str(), "cinder-volume" | "cinder-scheduler")) {
        return Err(refuse("binary", &json!(b), "is not one of ['cinder-volume', 'cinder-scheduler']"));
    }
    let (host, cluster, resource) = (text("host")?, text("cluster_name")?, fields.id("resource_id")?);
    let number = fields.whole("service_id", 0)?;
    let all = daemons(&cx).await?;
    let meant: Vec<_> = all
        .iter()
        .filter(|d| {
            host.as_ref().is_none_or(|h| *h == d.host) && binary.as_ref().is_none_or(|b| b == d.binary)
        })
        .filter(|d| cluster.is_none() && number.is_none_or(|n| i64::try_from(n) == Ok(d.number)))
        .filter(|d| d.binary == VOLUME)
        .collect();
    let pools =
        meant.iter().filter_map(|d| if let Part::Pool(id) = d.part { Some(id) } else { None }).collect();
    let wanted =
        move |s: Subject| kind.is_none_or(|k| k == s.kind()) && resource.is_none_or(|r| r == s.uuid());
    let resumed = jobs::resume(cx.ports(), cx.actor()?, pools, wanted).await?;
    if resource.is_some() && resumed.is_empty() {
        let id = resource.unwrap_or_default();
        return Err(invalid_input(format!("There is no resource with UUID {id} pending cleanup.")));
    }
    let going = meant.iter().filter(|d| matches!(d.part, Part::Pool(id) if resumed.contains(&id)));
    let doc = |d: &&Daemon| {
        let (host, binary) = (&d.host, d.binary);
        json!({ "id": d.number, "host": host, "binary": binary, "cluster_name": null })
    };
    let body = json!({ "cleaning": going.map(doc).collect::<Vec<_>>(), "unavailable": [] });
    Ok(Reply::json(StatusCode::ACCEPTED, &body))
}

pub(crate) async fn consistency_groups(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    one(StatusCode::OK, "consistencygroups", json!([]))
}

/// These are made as groups of a type that only an upgrade of an old Cinder leaves behind.
pub(crate) async fn make_consistency_group(mut cx: Cx) -> Result<Reply, Condition> {
    let project = cx.actor()?.project;
    may(cx.actor()?, Power::Write, Some(project))?;
    let fields = Fields::read(&mut cx.request, "consistencygroup").await?;
    if fields.text("volume_types", 10_000)?.is_none_or(|t| t.is_empty()) {
        let name = fields.text("name", TEXT_MAX)?.unwrap_or_else(|| "None".into());
        return Err(said(format!("volume_types must be provided to create consistency group {name}.")));
    }
    Err(said(
        "Group type default_cgsnapshot_type not found. Rerun migration script to create the default cgsnapshot \
         type.",
    ))
}

fn no_group(id: &str) -> Reply {
    fault(StatusCode::NOT_FOUND, &format!("Group {id:.128} could not be found."))
}

pub(crate) async fn consistency_group(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    Ok(no_group(cx.param("id")))
}

pub(crate) async fn cgsnapshots(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    one(StatusCode::OK, "cgsnapshots", json!([]))
}

pub(crate) async fn make_cgsnapshot(mut cx: Cx) -> Result<Reply, Condition> {
    let project = cx.actor()?.project;
    may(cx.actor()?, Power::Write, Some(project))?;
    let fields = Fields::read(&mut cx.request, "cgsnapshot").await?;
    Ok(no_group(&fields.name("consistencygroup_id")?))
}

pub(crate) async fn cgsnapshot(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    let text = format!("GroupSnapshot {:.128} could not be found.", cx.param("id"));
    Ok(fault(StatusCode::NOT_FOUND, &text))
}
