//! Images: the part of Image v2 that clients of Block Storage use.

mod bytes;
mod wire;

pub(crate) use bytes::{download, upload};

use http::StatusCode;
use http::header::LOCATION;
use parpen_http::Reply;
use parpen_model::lifecycle::{ImageEvent, Standing, When, image};
use parpen_model::{Attributes, Condition, Image, ImageId, Kind, VolumeId};
use parpen_service::images::{self, Refill, Save};
use parpen_service::volumes::{self, NewVolume};
use serde_json::{Map, Value, json};

use crate::bootable;
use crate::cx::{Cx, one};
use crate::fields::{Fields, document};
use crate::from_wire::{self, IMAGE};
use crate::paging::{Listed, page};
use crate::states::{self, FREE_OR_HELD, bad};
use crate::to_wire::{gib, own, time};

/// Where this API keeps an image's own properties.
pub const PROPERTIES: &str = "openstack.properties";

/// The version document.
fn versions_document(cx: &Cx) -> Value {
    let here = || format!("{}/image", cx.base);
    let href = format!("{}/v2/", cx.house.config.images_at.clone().unwrap_or_else(here));
    let one = |id: &str, status: &str| json!({ "id": id, "status": status, "links": [{ "rel": "self", "href": href }] });
    json!({ "versions": [one("v2.9", "CURRENT"), one("v2.7", "SUPPORTED"), one("v2.0", "SUPPORTED")] })
}

pub(crate) async fn versions(cx: Cx) -> Result<Reply, Condition> {
    Ok(Reply::json(StatusCode::MULTIPLE_CHOICES, &versions_document(&cx)))
}

impl Listed for Image {
    const KIND: Kind = Kind::Image;
    const SORTS: &'static [&'static str] = &[
        "id",
        "name",
        "visibility",
        "owner",
        "disk_format",
        "container_format",
        "protected",
        "os_hidden",
        "checksum",
    ];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "id" => json!(self.id.to_string()),
            "name" => json!(self.name),
            "status" => json!(self.state.word()),
            "visibility" => json!(self.visibility.word()),
            "owner" => json!(self.project.0.simple().to_string()),
            "disk_format" => json!(self.disk_format),
            "container_format" => json!(self.container_format),
            "protected" => json!(self.protected),
            "os_hidden" => json!(self.hidden),
            "size" => json!(self.size),
            "checksum" => json!(self.md5),
            "created_at" => json!(time(self.stamp.created)),
            "updated_at" => json!(time(self.stamp.updated.unwrap_or(self.stamp.created))),
            other => return self.attributes.value(PROPERTIES, other).cloned(),
        })
    }

    fn metadata(&self, _key: &str) -> Option<&str> {
        None
    }
}

fn id(cx: &Cx) -> Result<ImageId, Condition> {
    from_wire::id_in_path(Kind::Image, cx.param("id")).map(ImageId)
}

/// What lists show without being asked for more: nothing hidden, and no others' community images.
fn is_listed(cx: &Cx, i: &Image) -> Result<bool, Condition> {
    let asked = |name: &str| cx.request.query_value(name);
    let mine = i.project == cx.actor()?.project;
    let community = i.visibility == parpen_model::Visibility::Community;
    let number = |name: &str| asked(name).and_then(|v| v.parse::<u64>().ok());
    let size = i.size.unwrap_or(0);
    let tags: Vec<String> = cx.request.query_pairs().filter(|(n, _)| n == "tag").map(|(_, v)| v).collect();
    Ok((asked("os_hidden").is_some() || !i.hidden)
        && (!community || mine || asked("visibility").as_deref() == Some("community"))
        && number("size_min").is_none_or(|n| size >= n)
        && number("size_max").is_none_or(|n| size <= n)
        && tags.iter().all(|t| i.tags.contains(t)))
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let mut all = Vec::new();
    for i in images::list(cx.ports(), cx.actor()?).await? {
        if is_listed(&cx, &i)? {
            all.push(i);
        }
    }
    let page = page(&cx, all)?;
    let items: Vec<Value> = page.items.iter().map(wire::image).collect();
    let mut body = json!({ "images": items, "first": "/v2/images", "schema": "/v2/schemas/images" });
    if let Some(next) = page.next {
        let root = format!("{}/image", cx.base);
        body["next"] = json!(next.strip_prefix(&root).unwrap_or(&next));
    }
    Ok(Reply::json(StatusCode::OK, &body))
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields(document(&mut cx.request).await?);
    let new = wire::new_image(&fields)?;
    let made = images::create(cx.ports(), cx.actor()?, new).await?;
    let at = format!("{}/image/v2/images/{}", cx.base, made.id);
    Ok(Reply::json(StatusCode::CREATED, &wire::image(&made)).with(LOCATION, at))
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    Ok(Reply::json(StatusCode::OK, &wire::image(&images::get(cx.ports(), cx.actor()?, id(&cx)?).await?)))
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    let patch = wire::patch(&cx.request.bytes(114_688).await?)?;
    let changed = images::edit(cx.ports(), cx.actor()?, id(&cx)?, move |i| {
        patch.iter().try_for_each(|change| wire::apply(i, change))
    })
    .await?;
    Ok(Reply::json(StatusCode::OK, &wire::image(&changed)))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    images::delete(cx.ports(), cx.actor()?, id(&cx)?).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn moved(cx: Cx, event: ImageEvent) -> Result<Reply, Condition> {
    images::edit(cx.ports(), cx.actor()?, id(&cx)?, move |i| {
        let refused =
            |_| Condition::Forbidden(format!("Not allowed to {event} image in status '{}'", i.state));
        i.state = image(i.state, event).map_err(refused)?;
        Ok(())
    })
    .await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn deactivate(cx: Cx) -> Result<Reply, Condition> {
    moved(cx, ImageEvent::Deactivate).await
}

pub(crate) async fn reactivate(cx: Cx) -> Result<Reply, Condition> {
    moved(cx, ImageEvent::Reactivate).await
}

pub(crate) async fn tag(cx: Cx) -> Result<Reply, Condition> {
    let tag = cx.param("tag").to_string();
    if tag.chars().count() > 255 {
        return Err(Condition::invalid("tag", "a tag has at most 255 characters"));
    }
    images::edit(cx.ports(), cx.actor()?, id(&cx)?, move |i| {
        if !i.tags.contains(&tag) {
            i.tags.push(tag.clone());
        }
        Ok(())
    })
    .await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn untag(cx: Cx) -> Result<Reply, Condition> {
    let tag = cx.param("tag").to_string();
    images::edit(cx.ports(), cx.actor()?, id(&cx)?, move |i| {
        let before = i.tags.len();
        i.tags.retain(|t| *t != tag);
        match i.tags.len() == before {
            true => Err(Condition::not_found(Kind::Other, &tag)),
            false => Ok(()),
        }
    })
    .await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// An image as a volume's source: one that cannot be seen is refused in Cinder's words.
async fn source(cx: &Cx, id: ImageId) -> Result<Image, Condition> {
    images::source(cx.ports(), cx.actor()?, id).await.map_err(|e| match e {
        Condition::NotFound { .. } => bad("Invalid image identifier or unable to access requested image."),
        other => other,
    })
}

/// The image of a name, where that is one image.
pub(crate) async fn by_name(cx: &Cx, name: &str) -> Result<ImageId, Condition> {
    let all = match images::list(cx.ports(), cx.actor()?).await {
        // Elsewhere images are known by id alone.
        Err(Condition::Unsupported(_)) => Vec::new(),
        other => other?,
    };
    let mut found = all.iter().filter(|i| i.name.as_deref() == Some(name));
    match (found.next(), found.next()) {
        (Some(i), None) => Ok(i.id),
        (Some(_), Some(_)) => Err(Condition::Conflict(format!(
            "Multiple matches found for '{name}', use an ID to be more specific."
        ))),
        (None, _) => Err(bad("Invalid image identifier or unable to access requested image.")),
    }
}

/// Refusals of the core about an image, as Cinder says them.
fn worded(e: Condition) -> Condition {
    match e {
        Condition::Invalid { field, why } if field == "image" => {
            bad(format!("Invalid input received: {why}"))
        }
        other => other,
    }
}

/// What a volume keeps of the image it was made from.
fn kept(i: &Image) -> Map<String, Value> {
    let mut all = i.attributes.get(PROPERTIES).cloned().unwrap_or_default();
    all.retain(|key, _| !key.starts_with("os_hash_") && !key.starts_with("owner_specified.openstack."));
    let mut put = |key: &str, value: String| all.insert(key.into(), json!(value));
    put("image_id", i.id.to_string());
    put("image_name", i.name.clone().unwrap_or_default());
    put("checksum", i.md5.clone().unwrap_or_default());
    put("container_format", i.container_format.clone().unwrap_or_default());
    put("disk_format", i.disk_format.clone().unwrap_or_default());
    put("min_disk", gib(i.min_disk).to_string());
    put("min_ram", (i.min_ram >> 20).to_string());
    put("size", i.size.unwrap_or(0).to_string());
    all
}

fn kept_with(i: &Image, attributes: &mut Attributes) {
    attributes.set(IMAGE, kept(i));
    bootable::set(attributes, true);
}

/// `POST /volumes` with an image as the source.
pub(crate) async fn volume_from(
    cx: &Cx,
    id: ImageId,
    mut new: NewVolume,
) -> Result<volumes::View, Condition> {
    let i = source(cx, id).await?;
    kept_with(&i, &mut new.options.attributes);
    let begun = images::create_volume(cx.ports(), cx.actor()?, id, new).await.map_err(worded)?;
    volumes::get(cx.ports(), cx.actor()?, &volumes::Key::Id(begun.now.id)).await
}

/// How a volume may stand that gets another image.
const REIMAGED: When = When::Only(&[Standing::Free, Standing::Error]);
/// The same where `reimage_reserved` is said.
const REIMAGED_RESERVED: When = When::Only(&[Standing::Free, Standing::Error, Standing::Reserved]);

/// `os-reimage`.
pub(crate) async fn reimage(cx: Cx) -> Result<Reply, Condition> {
    let fields = cx.argument();
    let image = ImageId(fields.required_id("image_id")?);
    let reserved = fields.flag("reimage_reserved")?.unwrap_or(false);
    let view = crate::volumes::get(&cx).await?;
    let i = source(&cx, image).await.map_err(|e| match e {
        Condition::Invalid { .. } => Condition::not_found(Kind::Image, image),
        other => other,
    })?;
    let mut attributes = view.volume.attributes.clone();
    kept_with(&i, &mut attributes);
    let (wanted, when) = match reserved {
        true => ("available or error or reserved", REIMAGED_RESERVED),
        false => ("available or error", REIMAGED),
    };
    let of = view.volume.id;
    let refused = |now: &str| {
        bad(format!("Invalid volume: Volume {of} status must be {wanted}, but current status is {now}."))
    };
    let with = Refill { image, reserved, when, attributes };
    let begun = images::refill(cx.ports(), cx.actor()?, of, with).await;
    begun.map_err(|e| match e {
        Condition::WrongState { what: Kind::Volume, actual, .. } => refused(&states::in_words(&actual)),
        Condition::InUse { .. } => refused("in-use"),
        other => worded(other),
    })?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

/// `os-volume_upload_image`.
pub(crate) async fn save(cx: Cx) -> Result<Reply, Condition> {
    let fields = cx.argument();
    let view = crate::volumes::get(&cx).await?;
    let of = view.volume.id;
    let image = wire::saved_image(&fields, &view.volume, cx.version)?;
    let attached = fields.flag("force")?.unwrap_or(false);
    let wish = Save { of, attached, when: FREE_OR_HELD, image };
    let (v, i) = images::save(cx.ports(), cx.actor()?, wish).await.map_err(|e| refused(e, of))?;
    let kind = match &view.volume_type {
        Some(t) => json!({ "id": t.id.to_string(), "name": t.name, "is_public": t.public }),
        None => Value::Null,
    };
    let mut doc = json!({
        "id": v.id.to_string(),
        "updated_at": time(cx.ports().clock.now()),
        "status": "uploading",
        "display_description": own(&v.attributes, "description"),
        "size": gib(v.size),
        "volume_type": kind,
        "image_id": i.id.to_string(),
        "container_format": i.container_format,
        "disk_format": i.disk_format,
        "image_name": i.name,
    });
    if cx.version.has(1) {
        doc["visibility"] = json!(i.visibility.word());
        doc["protected"] = json!(i.protected);
    }
    one(StatusCode::ACCEPTED, "os-volume_upload_image", doc)
}

fn refused(e: Condition, of: VolumeId) -> Condition {
    match e {
        Condition::WrongState { what: Kind::Volume, actual, .. } => bad(format!(
            "Invalid volume: Volume {of} status must be available or in-use, but current status is: {}.",
            states::in_words(&actual)
        )),
        Condition::InUse { .. } => bad("Invalid volume: Volume status is in-use."),
        other => worded(other),
    }
}
