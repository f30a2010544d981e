//! Images as Glance writes them.

use jiff::Timestamp;
use parpen_model::lifecycle::ImageState;
use parpen_model::{Attributes, Image, ImageId, ProjectId, Stamp, Visibility};
use serde_json::{Map, Value, json};
use uuid::Uuid;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// The form of changes to an image.
pub(super) const PATCH: &str = "application/openstack-images-v2.1-json-patch";

/// What Glance itself says of an image; everything else is the image's own.
const FIELDS: [&str; 24] = [
    "id",
    "name",
    "status",
    "visibility",
    "owner",
    "protected",
    "os_hidden",
    "disk_format",
    "container_format",
    "min_disk",
    "min_ram",
    "size",
    "virtual_size",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
    "tags",
    "created_at",
    "updated_at",
    "file",
    "schema",
    "self",
    "direct_url",
    "locations",
];

/// An image, and by what its bytes are proved.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) image: Image,
    /// The algorithm's name and the value, the strongest first.
    pub(super) sums: Vec<(String, String)>,
}

impl Known {
    /// Reads a document; an image that is on its way out is none.
    pub(super) fn read(document: Value, key: &str) -> Result<Option<Known>, String> {
        let Value::Object(mut all) = document else { return Err("it is no object".into()) };
        let text = |all: &Map<String, Value>, name: &str| {
            all.get(name).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_string)
        };
        let number = |name: &str| all.get(name).and_then(Value::as_u64);
        let flag = |name: &str| all.get(name).and_then(Value::as_bool).unwrap_or(false);
        let id = text(&all, "id").and_then(|id| Uuid::parse_str(&id).ok()).ok_or("it has no id")?;
        let Some(state) = state(&text(&all, "status").unwrap_or_default()) else { return Ok(None) };
        let visible = text(&all, "visibility").unwrap_or_default();
        let visibility = Visibility::ALL.into_iter().find(|v| v.word() == visible);
        let owner = text(&all, "owner").and_then(|o| Uuid::parse_str(&o).ok()).unwrap_or_default();
        let times = |name: &str| text(&all, name).and_then(|t| t.parse::<Timestamp>().ok());
        let mut stamp = Stamp::at(times("created_at").unwrap_or(Timestamp::UNIX_EPOCH));
        stamp.updated = times("updated_at");
        let (md5, algorithm) = (text(&all, "checksum"), text(&all, "os_hash_algo"));
        let hash = algorithm.zip(text(&all, "os_hash_value"));
        let sha512 = hash.as_ref().filter(|(a, _)| a == "sha512").map(|(_, v)| v.clone());
        let sums = hash.into_iter().chain(md5.clone().map(|v| ("md5".to_string(), v))).collect();
        let tags = all.get("tags").and_then(Value::as_array).into_iter().flatten();
        let image = Image {
            id: ImageId(id),
            name: text(&all, "name"),
            project: ProjectId(owner),
            // One that is not known here is seen by the owner alone.
            visibility: visibility.unwrap_or(Visibility::Private),
            protected: flag("protected"),
            hidden: flag("os_hidden"),
            disk_format: text(&all, "disk_format"),
            container_format: text(&all, "container_format"),
            min_disk: number("min_disk").unwrap_or(0).saturating_mul(GIB),
            min_ram: number("min_ram").unwrap_or(0).saturating_mul(MIB),
            size: number("size"),
            virtual_size: number("virtual_size"),
            md5,
            sha512,
            tags: tags.filter_map(Value::as_str).map(str::to_string).collect(),
            state,
            attributes: Attributes::default(),
            stamp,
        };
        all.retain(|name, value| value.is_string() && !FIELDS.contains(&name.as_str()) && name != "stores");
        let mut attributes = Attributes::default();
        attributes.set(key, all);
        Ok(Some(Known { image: Image { attributes, ..image }, sums }))
    }
}

fn state(status: &str) -> Option<ImageState> {
    Some(match status {
        "queued" => ImageState::Queued,
        "saving" | "uploading" | "importing" => ImageState::Saving,
        "active" => ImageState::Active,
        "deactivated" => ImageState::Deactivated,
        _ => return None,
    })
}

/// The document of an image to be made.
pub(super) fn new_image(i: &Image, key: &str) -> Value {
    let mut all = i.attributes.get(key).cloned().unwrap_or_default();
    all.retain(|name, value| {
        value.is_string() && !FIELDS.contains(&name.as_str()) && !name.starts_with("os_")
    });
    let mut put = |name: &str, value: Value| all.insert(name.into(), value);
    put("id", json!(i.id.to_string()));
    put("name", json!(i.name));
    put("owner", json!(i.project.0.simple().to_string()));
    put("visibility", json!(i.visibility.word()));
    put("protected", json!(i.protected));
    put("disk_format", json!(i.disk_format));
    put("container_format", json!(i.container_format));
    put("min_disk", json!(i.min_disk.div_ceil(GIB)));
    put("min_ram", json!(i.min_ram.div_ceil(MIB)));
    put("tags", json!(i.tags));
    Value::Object(all)
}
