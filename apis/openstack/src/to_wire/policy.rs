//! Volume types, quality of service and what belongs to them.

use std::collections::BTreeMap;

use parpen_model::{Qos, Scope, TypeEncryption, VolumeType, VolumeTypeId};
use serde_json::{Map, Value, json};

use super::{maybe_time, time, type_id, type_name};
use crate::from_wire::METADATA;
use parpen_identity::{Actor, Role};

/// The extra specs that everybody may read.
pub(crate) const VISIBLE: [&str; 3] = ["RESKEY:availability_zones", "multiattach", "replication_enabled"];

/// Whether the caller operates the service.
pub(crate) fn is_admin(who: &Actor) -> bool {
    who.scope == Scope::All
}

/// What a type is shown as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TypeShape {
    /// The answer to create.
    Made,
    /// The answer to update.
    Changed,
    /// Show and lists.
    Full,
}

/// A volume type as the caller may see it; `None` is the one of volumes that are linked to none.
pub(crate) fn volume_type(t: Option<&VolumeType>, who: &Actor, shape: TypeShape) -> Value {
    let public = t.is_none_or(|t| t.public);
    let description = match t {
        Some(t) => json!(t.description),
        None => json!("Volumes that are linked to no type"),
    };
    let mut doc = json!({
        "id": type_id(t),
        "name": type_name(t),
        "is_public": public,
        "description": description,
        "extra_specs": specs(t, who),
    });
    if is_admin(who) && shape == TypeShape::Full {
        doc["qos_specs_id"] = json!(t.and_then(|t| t.qos).map(|q| q.to_string()));
    }
    if shape != TypeShape::Changed && who.roles.iter().any(|r| *r >= Role::Member) {
        doc["os-volume-type-access:is_public"] = json!(public);
    }
    doc
}

/// The extra specs of a type that the caller may see.
pub(crate) fn specs(t: Option<&VolumeType>, who: &Actor) -> Value {
    let mut all = t.and_then(|t| t.attributes.get(METADATA)).cloned().unwrap_or_default();
    if !is_admin(who) {
        all.retain(|key, _| VISIBLE.contains(&key.as_str()));
    }
    Value::Object(all)
}

/// How the volumes of a type are encrypted; an empty document when they are not.
pub(crate) fn encryption(t: Option<&VolumeType>) -> Map<String, Value> {
    let Some((t, e)) = t.and_then(|t| Some((t, t.encryption.as_ref()?))) else { return Map::new() };
    let mut doc = Map::new();
    doc.insert("volume_type_id".into(), json!(t.id.to_string()));
    doc.insert("encryption_id".into(), json!(e.id.to_string()));
    doc.extend(encryption_specs(e));
    doc.insert("created_at".into(), json!(time(e.stamp.created)));
    doc.insert("updated_at".into(), maybe_time(e.stamp.updated));
    doc.insert("deleted_at".into(), Value::Null);
    doc.insert("deleted".into(), json!(false));
    doc
}

/// What a type says of encryption.
pub(crate) fn encryption_specs(e: &TypeEncryption) -> [(String, Value); 4] {
    [
        ("provider".into(), json!(e.provider)),
        ("cipher".into(), json!(e.cipher)),
        ("key_size".into(), json!(e.key_size)),
        ("control_location".into(), json!(e.control_location.word())),
    ]
}

/// The type that a project takes by default.
pub(crate) fn default_type(project: &str, volume_type: VolumeTypeId) -> Value {
    json!({ "project_id": project, "volume_type_id": volume_type.to_string() })
}

/// The id of a project as clients write it.
pub(crate) fn project_id(p: parpen_model::ProjectId) -> String {
    p.0.simple().to_string()
}

/// Quality-of-service specs.
pub(crate) fn qos(q: &Qos) -> Value {
    json!({
        "id": q.id.to_string(),
        "name": q.name,
        "consumer": q.consumer.word(),
        "specs": texts(&q.specs),
    })
}

fn texts(map: &BTreeMap<String, String>) -> Value {
    Value::Object(map.iter().map(|(k, v)| (k.clone(), json!(v))).collect())
}

/// A type that points at quality-of-service specs.
pub(crate) fn association(t: &VolumeType) -> Value {
    json!({ "association_type": "volume_type", "name": t.name, "id": t.id.to_string() })
}
