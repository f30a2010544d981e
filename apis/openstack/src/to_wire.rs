//! From the core's views to Cinder's documents, field by field and strictly by microversion: strict clients refuse any
//! field that their version does not know. The only place with Cinder's words for states.

pub(crate) mod policy;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parpen_base::GIB;
use parpen_model::lifecycle::{AttachState, Life};
use parpen_model::{Attachment, Attributes, Pool, Rights, Subject, Volume, VolumeType};
use parpen_service::volumes::Attached;
use parpen_service::{snapshots, volumes};
use serde_json::{Map, Value, json};

use crate::bootable::is_bootable;
use crate::config::Nbd;
use crate::cx::Look;
use crate::from_wire::{DEFAULT_TYPE, DEFAULT_TYPE_ID, IMAGE, METADATA, OWN, ZONE};
use crate::states;

/// The road by which holders reach the bytes.
const ROAD: &str = "nbd";

/// A moment as Cinder prints it: microseconds, no zone.
pub(crate) fn time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string()
}

pub(crate) fn maybe_time(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| json!(time(at)))
}

/// Bytes as gibibytes, rounded up.
pub(crate) fn gib(bytes: u64) -> u64 {
    bytes.div_ceil(GIB)
}

/// An attachment's state in one word.
pub(crate) fn attachment_status(a: &Attachment) -> &'static str {
    match a.state {
        AttachState::Reserved => "reserved",
        AttachState::Attaching => "attaching",
        AttachState::Attached => "attached",
        AttachState::Detaching => "detaching",
    }
}

/// The name of a volume's type.
pub(crate) fn type_name(t: Option<&VolumeType>) -> &str {
    t.map_or(DEFAULT_TYPE, |t| &t.name)
}

/// The id of a volume's type.
pub(crate) fn type_id(t: Option<&VolumeType>) -> String {
    t.map_or(DEFAULT_TYPE_ID, |t| t.id.0).to_string()
}

/// Cinder's name of a pool: host, backend and pool.
pub(crate) fn pool_name(pool: &Pool) -> String {
    format!("{}#{}", backend(pool), pool.name)
}

/// Cinder's name of the backend that a pool is.
pub(crate) fn backend(pool: &Pool) -> String {
    format!("parpen@{}", pool.name)
}

pub(crate) fn own(attributes: &Attributes, key: &str) -> Value {
    attributes.value(OWN, key).cloned().unwrap_or(Value::Null)
}

pub(crate) fn user(attributes: &Attributes) -> Value {
    json!(attributes.text(OWN, "user_id").unwrap_or_default())
}

/// A document of texts that is kept with something.
pub(crate) fn texts(attributes: &Attributes, space: &str) -> Value {
    Value::Object(attributes.get(space).cloned().unwrap_or_default())
}

/// A name as it is shown: what was given none has none.
pub(crate) fn name(name: &str) -> Value {
    if name.is_empty() { Value::Null } else { json!(name) }
}

/// The addresses of one thing: with the caller's project if the request's own address had it.
pub(crate) fn links(look: Look<'_>, collection: &str, id: impl std::fmt::Display) -> Value {
    let (base, within) = (look.base, look.within.map(|p| format!("/{p}")).unwrap_or_default());
    json!([
        { "rel": "self", "href": format!("{base}/volume/v3{within}/{collection}/{id}") },
        { "rel": "bookmark", "href": format!("{base}/volume{within}/{collection}/{id}") },
    ])
}

/// What a volume's document is printed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The answer to create and update: without what the extensions add.
    Made,
    /// Show and detailed lists.
    Full,
}

/// A volume in lists without detail.
pub(crate) fn volume_summary(look: Look<'_>, v: &Volume) -> Value {
    json!({ "id": v.id.to_string(), "name": name(&v.name), "links": links(look, "volumes", v.id) })
}

/// A volume.
pub(crate) fn volume(look: Look<'_>, view: &volumes::View, shape: Shape) -> Value {
    let v = &view.volume;
    let project = v.project.0.simple().to_string();
    let (snapshot, source) = match v.made_from {
        Some(Subject::Snapshot(s)) => (json!(s.to_string()), Value::Null),
        Some(Subject::Volume(s)) => (Value::Null, json!(s.to_string())),
        None => (Value::Null, Value::Null),
    };
    let mut doc = json!({
        "id": v.id.to_string(),
        "status": states::of_volume(v),
        "size": gib(v.size),
        "availability_zone": ZONE,
        "created_at": time(v.stamp.created),
        "updated_at": maybe_time(v.stamp.updated),
        "name": name(&v.name),
        "description": own(&v.attributes, "description"),
        "volume_type": type_name(view.volume_type.as_ref()),
        "snapshot_id": snapshot,
        "source_volid": source,
        "metadata": metadata(v, &view.attachments),
        "links": links(look, "volumes", v.id),
        "user_id": user(&v.attributes),
        "bootable": is_bootable(&v.attributes).to_string(),
        "encrypted": is_encrypted(view),
        "replication_status": null,
        "consistencygroup_id": null,
        "multiattach": v.shared,
        "attachments": volume_attachments(v, &view.attachments, look.admin),
    });
    let fields = doc.as_object_mut().expect("it was made as an object");
    let migration = json!(v.migration.map(states::of_migration));
    if look.admin {
        fields.insert("migration_status".into(), migration.clone());
    }
    volume_by_version(fields, view, look);
    if shape == Shape::Full {
        fields.insert("os-vol-tenant-attr:tenant_id".into(), json!(project));
        if look.admin {
            fields.insert("os-vol-host-attr:host".into(), json!(pool_name(&view.pool)));
            fields.insert("os-vol-mig-status-attr:migstat".into(), migration);
            fields.insert("os-vol-mig-status-attr:name_id".into(), Value::Null);
        }
        if let Some(image) = v.attributes.get(IMAGE) {
            fields.insert("volume_image_metadata".into(), Value::Object(image.clone()));
        }
    }
    doc
}

/// What later microversions added to a volume.
fn volume_by_version(fields: &mut Map<String, Value>, view: &volumes::View, look: Look<'_>) {
    let mut add = |since, key: &str, value| {
        let hidden = !look.admin && matches!(key, "provider_id" | "cluster_name");
        if look.version.has(since) && !hidden {
            fields.insert(key.into(), value);
        }
    };
    add(13, "group_id", json!(view.volume.group.map(|g| g.to_string())));
    add(21, "provider_id", Value::Null);
    add(48, "service_uuid", Value::Null);
    add(48, "shared_targets", json!(false));
    add(61, "cluster_name", Value::Null);
    add(63, "volume_type_id", json!(type_id(view.volume_type.as_ref())));
    if let Some(key) = &view.volume.key {
        add(64, "encryption_key_id", json!(key.id.to_string()));
    }
    add(65, "consumes_quota", json!(true));
}

/// A volume's metadata, with what the flow that knows volumes only adds to it.
fn metadata(v: &Volume, all: &[Attached]) -> Value {
    let mut document = texts(&v.attributes, METADATA);
    let held = all.iter().find(|a| a.attachment.by_volume && a.attachment.state == AttachState::Attached);
    if held.is_some() || v.attributes.value(OWN, "readonly_said").is_some() {
        document["readonly"] = json!(if v.readonly { "True" } else { "False" });
    }
    if let Some(held) = held {
        document["attached_mode"] = json!(mode(held.attachment.rights));
    }
    document
}

/// Whether somebody encrypts its bytes: the service, or by its type whoever attaches it.
pub(crate) fn is_encrypted(view: &volumes::View) -> bool {
    view.volume.is_encrypted(view.volume_type.as_ref())
}

/// Who attaches a volume. Who that is on which host is for operators to know.
fn volume_attachments(v: &Volume, all: &[Attached], admin: bool) -> Value {
    let shown = all.iter().filter(|a| a.attachment.state == AttachState::Attached);
    let one = |a: &Attached| {
        json!({
            "server_id": a.attachment.instance,
            "attachment_id": a.attachment.id.to_string(),
            "attached_at": maybe_time(a.attachment.attached),
            "host_name": a.host.as_ref().filter(|_| admin).map(|h| &h.name),
            "volume_id": v.id.to_string(),
            "device": a.attachment.mountpoint,
            "id": v.id.to_string(),
        })
    };
    Value::Array(shown.map(one).collect())
}

/// A snapshot as lists without detail and the answer to create have it.
pub(crate) fn snapshot_base(view: &snapshots::View) -> Value {
    let s = &view.snapshot;
    json!({
        "id": s.id.to_string(),
        "created_at": time(s.stamp.created),
        "updated_at": maybe_time(s.stamp.updated),
        "name": name(&s.name),
        "description": own(&s.attributes, "description"),
        "volume_id": s.origin.to_string(),
        "status": states::word(s.standing()),
        "size": gib(s.size),
        "metadata": texts(&s.attributes, METADATA),
    })
}

/// A snapshot.
pub(crate) fn snapshot(look: Look<'_>, view: &snapshots::View, shape: Shape) -> Value {
    let s = &view.snapshot;
    let mut doc = snapshot_base(view);
    let fields = doc.as_object_mut().expect("it was made as an object");
    let mut add = |since, key: &str, value| {
        if look.version.has(since) {
            fields.insert(key.into(), value);
        }
    };
    add(14, "group_snapshot_id", json!(s.group_snapshot.map(|g| g.to_string())));
    add(41, "user_id", user(&s.attributes));
    add(65, "consumes_quota", json!(true));
    if shape == Shape::Full {
        let plain = if s.life == Life::Creating { "0%" } else { "100%" };
        let progress = s.attributes.text(OWN, "progress").unwrap_or(plain);
        add(0, "os-extended-snapshot-attributes:progress", json!(progress));
        add(0, "os-extended-snapshot-attributes:project_id", json!(s.project.0.simple().to_string()));
    }
    doc
}

/// An attachment in lists without detail.
pub(crate) fn attachment_summary(a: &Attachment) -> Value {
    json!({
        "id": a.id.to_string(),
        "status": attachment_status(a),
        "instance": a.instance,
        "volume_id": a.subject.uuid().to_string(),
    })
}

/// An attachment.
pub(crate) fn attachment(a: &Attachment, nbd: &Nbd) -> Value {
    let mut doc = attachment_summary(a);
    let fields = doc.as_object_mut().expect("it was made as an object");
    let moment = |at: Option<Timestamp>| at.map_or_else(|| json!(""), |at| json!(time(at)));
    fields.insert("attached_at".into(), moment(a.attached));
    fields.insert("detached_at".into(), moment(None));
    fields.insert("attach_mode".into(), json!(mode(a.rights)));
    fields.insert("connection_info".into(), Value::Object(flat_connection(a, nbd)));
    doc
}

fn mode(rights: Rights) -> &'static str {
    match rights {
        Rights::ReadOnly => "ro",
        Rights::ReadWrite => "rw",
    }
}

/// How the holder reaches the bytes: what both forms of connection information are made of.
fn connection_data(a: &Attachment, nbd: &Nbd) -> Map<String, Value> {
    let mut info = Map::new();
    let mut put = |key: &str, value: Value| info.insert(key.into(), value);
    put("volume_id", json!(a.subject.uuid().to_string()));
    put("host", json!(nbd.host));
    put("port", json!(nbd.port));
    if let Some(socket) = &nbd.socket {
        put("socket", json!(socket.display().to_string()));
    }
    put("export", json!(a.export));
    put("access_mode", json!(mode(a.rights)));
    put("encrypted", json!(false));
    put("discard", json!(true));
    put("qos_specs", Value::Null);
    put("cacheable", json!(false));
    info
}

/// Flat, as the attachments API has it; empty while nobody is named.
fn flat_connection(a: &Attachment, nbd: &Nbd) -> Map<String, Value> {
    if a.state == AttachState::Reserved {
        return Map::new();
    }
    let mut info = connection_data(a, nbd);
    info.insert("driver_volume_type".into(), json!(ROAD));
    info.insert("attachment_id".into(), json!(a.id.to_string()));
    info
}

/// Nested, as the old flow has it.
pub(crate) fn nested_connection(a: &Attachment, nbd: &Nbd) -> Value {
    json!({ "driver_volume_type": ROAD, "data": connection_data(a, nbd) })
}
