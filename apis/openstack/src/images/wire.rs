//! Image v2's documents, to and from the core's nouns.

use parpen_base::{GIB, MIB};
use parpen_http::parse_json;
use parpen_model::{Attributes, Condition, Image, ImageId, Visibility, Volume};
use parpen_service::images::NewImage;
use serde_json::{Map, Value, json};

use super::PROPERTIES;
use crate::fields::{Fields, refuse, required};
use crate::from_wire::IMAGE;
use crate::microversion::Microversion;
use crate::states::bad;
use crate::to_wire::gib;

const TEXT_MAX: usize = 255;
/// Most properties of its own that an image has, and longest value of one, in characters.
const PROPERTIES_MAX: usize = 128;
const VALUE_MAX: usize = 4096;
/// What clients cannot set.
const READ_ONLY: [&str; 17] = [
    "id",
    "status",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
    "size",
    "virtual_size",
    "created_at",
    "updated_at",
    "self",
    "file",
    "schema",
    "locations",
    "direct_url",
    "stores",
    "owner",
    "deleted",
];
const DISK_FORMATS: [&str; 11] =
    ["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"];
const CONTAINER_FORMATS: [&str; 7] = ["ami", "ari", "aki", "bare", "ovf", "ova", "docker"];

/// A moment as Glance prints it.
fn moment(at: jiff::Timestamp) -> String {
    at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An image.
pub(super) fn image(i: &Image) -> Value {
    let mut doc = i.attributes.get(PROPERTIES).cloned().unwrap_or_default();
    let mut put = |key: &str, value: Value| doc.insert(key.into(), value);
    put("id", json!(i.id.to_string()));
    put("name", json!(i.name));
    put("status", json!(i.state.word()));
    put("visibility", json!(i.visibility.word()));
    put("protected", json!(i.protected));
    put("os_hidden", json!(i.hidden));
    put("checksum", json!(i.md5));
    put("os_hash_algo", json!(i.sha512.as_ref().map(|_| "sha512")));
    put("os_hash_value", json!(i.sha512));
    put("owner", json!(i.project.0.simple().to_string()));
    put("size", json!(i.size));
    put("virtual_size", json!(i.virtual_size));
    put("min_disk", json!(gib(i.min_disk)));
    put("min_ram", json!(i.min_ram / MIB));
    put("disk_format", json!(i.disk_format));
    put("container_format", json!(i.container_format));
    put("tags", json!(i.tags));
    put("created_at", json!(moment(i.stamp.created)));
    put("updated_at", json!(moment(i.stamp.updated.unwrap_or(i.stamp.created))));
    put("self", json!(format!("/v2/images/{}", i.id)));
    put("file", json!(format!("/v2/images/{}/file", i.id)));
    put("schema", json!("/v2/schemas/image"));
    Value::Object(doc)
}

fn visibility(text: &str) -> Result<Visibility, Condition> {
    let found = Visibility::ALL.into_iter().find(|v| v.word() == text);
    found.ok_or_else(|| {
        refuse("visibility", &json!(text), "is not one of ['public', 'private', 'shared', 'community']")
    })
}

fn one_of(name: &str, value: Option<String>, all: &[&str]) -> Result<Option<String>, Condition> {
    match value {
        Some(v) if !all.contains(&v.as_str()) => {
            Err(refuse(name, &json!(v), &format!("is not one of {all:?}")))
        }
        other => Ok(other),
    }
}

fn scaled(n: Option<u64>, name: &str, unit: u64) -> Result<u64, Condition> {
    n.unwrap_or(0).checked_mul(unit).ok_or_else(|| refuse(name, &json!(n), "is too large"))
}

fn tags(value: Option<&Value>) -> Result<Vec<String>, Condition> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let texts = value.as_array().and_then(|all| all.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    let texts = texts.ok_or_else(|| refuse("tags", value, "is not a list of texts"))?;
    let mut tags: Vec<String> = Vec::new();
    for tag in texts {
        if tag.chars().count() > TEXT_MAX {
            return Err(refuse("tags", value, "has a tag that is too long"));
        }
        if !tags.iter().any(|t| t == tag) {
            tags.push(tag.to_string());
        }
    }
    match tags.len() > PROPERTIES_MAX {
        true => Err(refuse("tags", value, "has too many tags")),
        false => Ok(tags),
    }
}

/// A property of the image's own.
fn property(key: &str, value: &Value) -> Result<Value, Condition> {
    if key.is_empty() || key.chars().count() > TEXT_MAX {
        return Err(refuse("property", &json!(key), "is no name of 1 to 255 characters"));
    }
    match value {
        Value::String(s) if s.chars().count() <= VALUE_MAX => Ok(value.clone()),
        Value::String(_) => Err(refuse(key, value, "is too long")),
        other => Err(refuse(key, other, "is not of type 'string'")),
    }
}

fn refuse_read_only(key: &str) -> Result<(), Condition> {
    match READ_ONLY.contains(&key) {
        true => Err(Condition::Forbidden(format!("Attribute '{key}' is read-only."))),
        false => Ok(()),
    }
}

/// `POST /v2/images`.
pub(super) fn new_image(fields: &Fields) -> Result<NewImage, Condition> {
    const KNOWN: [&str; 11] = [
        "id",
        "name",
        "visibility",
        "protected",
        "os_hidden",
        "disk_format",
        "container_format",
        "min_disk",
        "min_ram",
        "tags",
        "owner",
    ];
    let mut properties = Map::new();
    for (key, value) in fields.0.iter().filter(|(k, _)| !KNOWN.contains(&k.as_str())) {
        refuse_read_only(key)?;
        properties.insert(key.clone(), property(key, value)?);
    }
    if properties.len() > PROPERTIES_MAX {
        return Err(Condition::invalid(
            "properties",
            "The limit has been exceeded on the number of allowed image properties.",
        ));
    }
    let mut attributes = Attributes::default();
    attributes.set(PROPERTIES, properties);
    let wanted = fields.text("visibility", TEXT_MAX)?;
    Ok(NewImage {
        id: fields.id("id")?.map(ImageId),
        name: fields.text("name", TEXT_MAX)?,
        visibility: wanted.map_or(Ok(Visibility::Shared), |v| visibility(&v))?,
        protected: fields.flag("protected")?.unwrap_or(false),
        hidden: fields.flag("os_hidden")?.unwrap_or(false),
        disk_format: one_of("disk_format", fields.text("disk_format", TEXT_MAX)?, &DISK_FORMATS)?,
        container_format: one_of(
            "container_format",
            fields.text("container_format", TEXT_MAX)?,
            &CONTAINER_FORMATS,
        )?,
        min_disk: scaled(fields.whole("min_disk", 0)?, "min_disk", GIB)?,
        min_ram: scaled(fields.whole("min_ram", 0)?, "min_ram", MIB)?,
        tags: tags(fields.get("tags"))?,
        attributes,
    })
}

/// `os-volume_upload_image`: the image that is made.
pub(super) fn saved_image(fields: &Fields, v: &Volume, version: Microversion) -> Result<NewImage, Condition> {
    let name = fields
        .text("image_name", TEXT_MAX)?
        .filter(|n| !n.is_empty())
        .ok_or_else(|| required("image_name"))?;
    let disk = fields.text("disk_format", TEXT_MAX)?.unwrap_or_else(|| "raw".into());
    let container = fields.text("container_format", TEXT_MAX)?.unwrap_or_else(|| "bare".into());
    if !["raw", "qcow2"].contains(&disk.as_str()) {
        return Err(bad(format!(
            "Invalid input received: images of the disk format {disk} cannot be made here"
        )));
    }
    if container != "bare" {
        return Err(bad(format!(
            "Invalid input received: images of the container format {container} cannot be made here"
        )));
    }
    let (shown, protected) = match version.has(1) {
        true => (fields.text("visibility", TEXT_MAX)?, fields.flag("protected")?.unwrap_or(false)),
        false => (None, false),
    };
    // What the volume kept of an image goes into the one that is made of it, but for what described that one's file.
    let mut properties = v.attributes.get(IMAGE).cloned().unwrap_or_default();
    for own in [
        "image_id",
        "image_name",
        "checksum",
        "container_format",
        "disk_format",
        "min_disk",
        "min_ram",
        "size",
    ] {
        properties.remove(own);
    }
    let mut attributes = Attributes::default();
    attributes.set(PROPERTIES, properties);
    Ok(NewImage {
        id: None,
        name: Some(name),
        visibility: shown.map_or(Ok(Visibility::Private), |v| visibility(&v))?,
        protected,
        hidden: false,
        disk_format: Some(disk),
        container_format: Some(container),
        min_disk: 0,
        min_ram: 0,
        tags: Vec::new(),
        attributes,
    })
}

/// One step of a JSON patch; no value: it is removed.
pub(super) struct Change {
    key: String,
    value: Option<Value>,
    /// It must be there already.
    replaces: bool,
}

/// A JSON patch in either of the forms that Glance takes.
pub(super) fn patch(body: &[u8]) -> Result<Vec<Change>, Condition> {
    let all: Vec<Map<String, Value>> = parse_json(body)?;
    all.iter().map(change).collect()
}

fn change(step: &Map<String, Value>) -> Result<Change, Condition> {
    let invalid = |why: &str| Condition::invalid("body", why);
    let text = |key: &str| step.get(key).and_then(Value::as_str);
    // The older form has the path below the operation's name.
    let (op, path) = match (text("op"), text("path")) {
        (Some(op), Some(path)) => (op, path),
        _ => ["add", "replace", "remove"]
            .into_iter()
            .find_map(|op| Some((op, text(op)?)))
            .ok_or_else(|| invalid("a change has an op and a path"))?,
    };
    let key = path.strip_prefix('/').unwrap_or(path).replace("~1", "/").replace("~0", "~");
    let value = || step.get("value").cloned().ok_or_else(|| invalid("this change needs a value"));
    match op {
        "add" => Ok(Change { key, value: Some(value()?), replaces: false }),
        "replace" => Ok(Change { key, value: Some(value()?), replaces: true }),
        "remove" => Ok(Change { key, value: None, replaces: true }),
        other => Err(invalid(&format!("there is no operation {other}"))),
    }
}

/// Changes an image by one step.
pub(super) fn apply(i: &mut Image, change: &Change) -> Result<(), Condition> {
    refuse_read_only(&change.key)?;
    let mut one = Map::new();
    one.insert(change.key.clone(), change.value.clone().unwrap_or(Value::Null));
    let fields = Fields(one);
    let key = change.key.as_str();
    match key {
        "name" => i.name = fields.text(key, TEXT_MAX)?,
        "visibility" => {
            let text = fields.text(key, TEXT_MAX)?.ok_or_else(|| required(key))?;
            i.visibility = visibility(&text)?;
        }
        "protected" => i.protected = fields.flag(key)?.unwrap_or(false),
        "os_hidden" => i.hidden = fields.flag(key)?.unwrap_or(false),
        "min_disk" => i.min_disk = scaled(fields.whole(key, 0)?, key, GIB)?,
        "min_ram" => i.min_ram = scaled(fields.whole(key, 0)?, key, MIB)?,
        "tags" => i.tags = tags(fields.get(key))?,
        "disk_format" | "container_format" => {
            if i.size.is_some() {
                return Err(Condition::Forbidden(format!(
                    "Attribute {key} can be only replaced for a queued image."
                )));
            }
            match key {
                "disk_format" => i.disk_format = one_of(key, fields.text(key, TEXT_MAX)?, &DISK_FORMATS)?,
                _ => i.container_format = one_of(key, fields.text(key, TEXT_MAX)?, &CONTAINER_FORMATS)?,
            }
        }
        _ => return apply_property(i, change),
    }
    Ok(())
}

fn apply_property(i: &mut Image, change: &Change) -> Result<(), Condition> {
    let mut all = i.attributes.get(PROPERTIES).cloned().unwrap_or_default();
    if change.replaces && !all.contains_key(&change.key) {
        let missing = Condition::Conflict(format!("Property {} does not exist.", change.key));
        return Err(missing);
    }
    match &change.value {
        Some(value) => all.insert(change.key.clone(), property(&change.key, value)?),
        None => all.remove(&change.key),
    };
    if all.len() > PROPERTIES_MAX {
        return Err(Condition::invalid("properties", "an image has at most 128 properties of its own"));
    }
    i.attributes.set(PROPERTIES, all);
    Ok(())
}
