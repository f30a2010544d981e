//! Volumes.

use std::collections::BTreeMap;

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::lifecycle::{Standing, When};
use parpen_model::{
    Api, Attributes, BackupId, Condition, GroupId, ImageId, Kind, Subject, Volume, VolumeId, VolumeType,
    VolumeTypeId,
};
use parpen_service::volumes::{self, Edit, Filter, From, Key, NewVolume, View};
use parpen_service::{groups, snapshots, types};
use serde_json::{Value, json};

use crate::bootable;
use crate::cx::{Cx, one};
use crate::fields::{Fields, document, refuse};
use crate::from_wire::{self, METADATA, OWN, ZONE};
use crate::known;
use crate::paging::{Listed, page};
use crate::states::{self, bad, reword};
use crate::to_wire::{self, Shape};
use crate::{actions, backups, images};

impl Listed for View {
    const KIND: Kind = Kind::Volume;
    const SORTS: &'static [&'static str] =
        &["id", "name", "group_id", "encrypted", "consumes_quota", "bootable", "multiattach"];
    const FILTERS: &'static [&'static str] = &[
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
    ];

    fn id(&self) -> String {
        self.volume.id.to_string()
    }

    fn field(&self, name: &str) -> Option<Value> {
        let v = &self.volume;
        Some(match name {
            "id" => json!(v.id.to_string()),
            "name" | "display_name" => json!(v.name),
            "status" => json!(states::of_volume(v)),
            "description" => v.attributes.value(OWN, "description").cloned().unwrap_or(Value::Null),
            "migration_status" => json!(v.migration.map(states::of_migration)),
            "group_id" => json!(v.group.map(|g| g.to_string())),
            "encrypted" => json!(to_wire::is_encrypted(self)),
            "consumes_quota" => json!(true),
            "snapshot_id" => json!(v.made_from.and_then(|s| match s {
                Subject::Snapshot(s) => Some(s.to_string()),
                Subject::Volume(_) => None,
            })),
            "source_volid" => json!(v.made_from.and_then(|s| match s {
                Subject::Volume(s) => Some(s.to_string()),
                Subject::Snapshot(_) => None,
            })),
            "attach_status" => json!(states::of_use(v)),
            "size" => json!(to_wire::gib(v.size)),
            "created_at" => json!(to_wire::time(v.stamp.created)),
            "updated_at" => json!(v.stamp.updated.map(to_wire::time)),
            "bootable" => json!(bootable::is_bootable(&v.attributes)),
            "multiattach" => json!(v.shared),
            "project_id" => json!(v.project.0.simple().to_string()),
            "user_id" => json!(v.attributes.text(OWN, "user_id")),
            "availability_zone" => json!(ZONE),
            "volume_type_id" => json!(to_wire::type_id(self.volume_type.as_ref())),
            "host" => json!(to_wire::pool_name(&self.pool)),
            _ => return None,
        })
    }

    fn metadata(&self, key: &str) -> Option<&str> {
        self.volume.attributes.text(METADATA, key)
    }
}

/// The volume that the path names.
pub(crate) async fn id(cx: &Cx) -> Result<VolumeId, Condition> {
    Ok(get(cx).await?.volume.id)
}

/// The volume that the path names, with what belongs to it.
pub(crate) async fn get(cx: &Cx) -> Result<View, Condition> {
    let id = from_wire::id_in_path(Kind::Volume, cx.param("id")).map(VolumeId)?;
    named(cx, id).await
}

/// A volume that this side shows.
pub(crate) async fn named(cx: &Cx, id: VolumeId) -> Result<View, Condition> {
    let view = volumes::get(cx.ports(), cx.actor()?, &Key::Id(id)).await?;
    match view.volume.hidden.contains(&Api::OpenStack) {
        true => Err(Condition::not_found(Kind::Volume, id)),
        false => Ok(view),
    }
}

/// Changes a volume, which nobody may while it is in maintenance.
pub(crate) async fn edited(cx: &Cx, id: VolumeId, edit: Edit) -> Result<Volume, Condition> {
    let edit = Edit { when: When::AllBut(Standing::Maintenance), ..edit };
    let done = volumes::edit(cx.ports(), cx.actor()?, id, edit).await;
    let text = || "Invalid volume: The volume cannot be updated during maintenance.".to_string();
    Ok(reword(done, |_| text())?.0)
}

/// The volumes that this call is about: the project's, or all that the caller sees.
pub(crate) async fn all(cx: &Cx) -> Result<Vec<View>, Condition> {
    let actor = cx.actor()?;
    let project = Some(actor.project).filter(|_| !cx.asks("all_tenants"));
    let all = volumes::list(cx.ports(), actor, Filter { project, pool: None }).await?;
    Ok(all.into_iter().filter(|v| !v.volume.hidden.contains(&Api::OpenStack)).collect())
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let page = page(&cx, all(&cx).await?)?;
    Ok(page.counted(&cx, "volumes", "volumes_links", |view| to_wire::volume_summary(cx.look(), &view.volume)))
}

pub(crate) async fn detail(cx: Cx) -> Result<Reply, Condition> {
    let page = page(&cx, all(&cx).await?)?;
    Ok(page.counted(&cx, "volumes", "volumes_links", |view| to_wire::volume(cx.look(), view, Shape::Full)))
}

pub(crate) async fn summary(cx: Cx) -> Result<Reply, Condition> {
    let all = all(&cx).await?;
    let size: u64 = all.iter().map(|v| to_wire::gib(v.volume.size)).sum();
    let mut body = json!({ "total_size": size, "total_count": all.len() });
    if cx.version.has(36) {
        let mut metadata: BTreeMap<&String, Vec<&Value>> = BTreeMap::new();
        for (key, value) in all.iter().filter_map(|v| v.volume.attributes.get(METADATA)).flatten() {
            let values = metadata.entry(key).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
        body["metadata"] = json!(metadata);
    }
    one(StatusCode::OK, "volume-summary", body)
}

fn shown(cx: &Cx, status: StatusCode, view: &View, shape: Shape) -> Result<Reply, Condition> {
    one(status, "volume", to_wire::volume(cx.look(), view, shape))
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    let document = Fields(document(&mut cx.request).await?);
    document.only("body", &["volume", known::HINTS])?;
    if let Some(hints) = document.get(known::HINTS).filter(|h| !h.is_object()) {
        return Err(refuse(known::HINTS, hints, "is not of type 'object', 'null'"));
    }
    let fields = Fields::below(document.0, "volume")?;
    if cx.version.has(known::VOLUME_STRICT) {
        fields.only_known("volume", cx.version, known::VOLUME)?;
    }
    let actor = cx.actor()?;
    let types = types::list(cx.ports(), actor).await?;
    let id = VolumeId(cx.ports().entropy.uuid());
    let mut new = from_wire::new_volume(&fields, actor, &types, id)?;
    if fields.get("volume_type").is_none_or(|t| t == "") {
        new.place.volume_type = crate::types::implied(&cx, &new).await?;
    }
    let source = source(&cx, &new).await?;
    source.check_size(&new)?;
    source.check_type(&types, new.place.volume_type)?;
    source.make_bootable(&mut new.options.attributes);
    let chosen = types.iter().find(|t| Some(t.id) == new.place.volume_type);
    if chosen.is_some_and(|t| t.rules.shared && t.encryption.is_some()) {
        return Err(bad("Invalid volume: Multiattach cannot be used with encrypted volumes."));
    }
    // What was a consistency group once is a group.
    let group = match fields.get("group_id") {
        // Cinder's schema has any text here, and then looks for the group.
        Some(Value::String(group)) => Some(from_wire::id_in_path(Kind::Group, group)?),
        Some(other) => return Err(refuse("group_id", other, "is not of type 'string', 'null'")),
        None => fields.id("consistencygroup_id")?,
    };
    new.options.group = group.map(GroupId);
    if let Some(group) = new.options.group
        && fields.get("volume_type").is_none_or(|t| t == "")
    {
        groups::get(cx.ports(), actor, group).await?;
        return Err(bad(
            "Invalid input received: volume_type must be provided when creating a volume in a group.",
        ));
    }
    let worded = in_words_of(&new);
    let backup = fields.id("backup_id")?;
    let made = match (backup, image(&cx, &fields).await?) {
        (Some(backup), _) => backups::volume_from(&cx, BackupId(backup), new).await,
        (None, Some(image)) => images::volume_from(&cx, image, new).await,
        (None, None) => made(&cx, id, new).await,
    };
    shown(&cx, StatusCode::ACCEPTED, &made.map_err(worded)?, Shape::Made)
}

async fn made(cx: &Cx, id: VolumeId, new: NewVolume) -> Result<View, Condition> {
    volumes::create(cx.ports(), cx.actor()?, new).await?;
    volumes::get(cx.ports(), cx.actor()?, &Key::Id(id)).await
}

/// Cinder's sentences for what a new volume is made from, and for the group that it is born into.
fn in_words_of(new: &NewVolume) -> impl FnOnce(Condition) -> Condition + use<> {
    let (from, group, volume_type) = (new.from, new.options.group, new.place.volume_type);
    move |refused| match (refused, group) {
        (Condition::WrongState { what: Kind::Volume, .. }, _) if matches!(from, From::Volume(_)) => {
            bad("Invalid volume: Originating source volume status must be one of 'available, in-use' values")
        }
        (Condition::WrongState { what: Kind::Snapshot, .. }, _) if matches!(from, From::Snapshot(_)) => {
            bad("Invalid snapshot: Originating snapshot status must be one of 'available' values")
        }
        (Condition::WrongState { what: Kind::Group, .. }, Some(group)) => {
            bad(format!("Invalid group: Group {group} status must be available."))
        }
        (Condition::Invalid { field, .. }, Some(_)) if field == "group" => bad(format!(
            "Invalid input received: Invalid volume_type provided: {} (requested type must be supported by this \
             group).",
            volume_type.map_or(from_wire::DEFAULT_TYPE.to_string(), |t| t.to_string())
        )),
        (other, _) => other,
    }
}

/// What a new volume is made from.
enum Source {
    Blank,
    Volume(Box<View>),
    Snapshot(Box<snapshots::View>),
}

/// What a volume is made from must be shown by this side.
async fn source(cx: &Cx, new: &NewVolume) -> Result<Source, Condition> {
    Ok(match new.from {
        From::Blank => Source::Blank,
        From::Volume(v) => Source::Volume(Box::new(named(cx, v).await?)),
        From::Snapshot(s) => Source::Snapshot(Box::new(crate::snapshots::named(cx, s).await?)),
    })
}

impl Source {
    /// The new volume must hold it.
    fn check_size(&self, new: &NewVolume) -> Result<(), Condition> {
        let (size, what, original) = match self {
            Source::Blank => return Ok(()),
            Source::Volume(v) => (v.volume.size, "original volume", "volume"),
            Source::Snapshot(s) => (s.snapshot.size, "the snapshot", "snapshot"),
        };
        let (size, asked) = (to_wire::gib(size), to_wire::gib(new.size.unwrap_or(size)));
        if asked < size {
            return Err(bad(format!(
                "Invalid input received: Volume size '{asked}'GB cannot be smaller than {what} size {size}GB. They \
                 must be >= original {original} size."
            )));
        }
        Ok(())
    }

    /// What is encrypted otherwise is no copy's type.
    fn check_type(&self, types: &[VolumeType], asked: Option<VolumeTypeId>) -> Result<(), Condition> {
        let (own, hint) = match self {
            Source::Blank => return Ok(()),
            Source::Volume(v) => (v.volume.volume_type, "either match source volume, or omit type argument"),
            Source::Snapshot(s) => (s.snapshot.volume_type, "recommend omitting the type argument"),
        };
        let how = |t: Option<VolumeTypeId>| {
            let encryption = types.iter().find(|k| Some(k.id) == t).and_then(|k| k.encryption.as_ref());
            encryption.map(|e| (&e.provider, &e.cipher, e.key_size, e.control_location))
        };
        if own == asked || how(own) == how(asked) {
            return Ok(());
        }
        let asked = asked.map_or(from_wire::DEFAULT_TYPE_ID, |t| t.0);
        Err(bad(format!(
            "Invalid input received: Invalid volume_type provided: {asked} (requested type is not compatible; {hint})."
        )))
    }

    fn make_bootable(&self, copy: &mut Attributes) {
        match self {
            Source::Blank => {}
            Source::Volume(v) => bootable::from_volume(&v.volume, copy),
            Source::Snapshot(s) => bootable::from_snapshot(&s.snapshot, s.origin.as_ref(), copy),
        }
    }
}

/// The image that a new volume begins with: by id, by an address that ends in it, or by name.
async fn image(cx: &Cx, fields: &Fields) -> Result<Option<ImageId>, Condition> {
    let text = fields.text("imageRef", 255)?.or(fields.text("image_id", 255)?).filter(|t| !t.is_empty());
    let Some(text) = text else { return Ok(None) };
    let last = text.rsplit('/').next().unwrap_or_default();
    match uuid::Uuid::parse_str(last) {
        Ok(id) => Ok(Some(ImageId(id))),
        Err(_) => images::by_name(cx, &text).await.map(Some),
    }
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    shown(&cx, StatusCode::OK, &get(&cx).await?, Shape::Full)
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_known(&mut cx.request, "volume", cx.version, known::VOLUME_CHANGE).await?;
    if fields.0.is_empty() && cx.version.has(53) {
        return Err(refuse("volume", &json!({}), "does not have enough properties"));
    }
    let edit = from_wire::edit_volume(&fields)?;
    edited(&cx, id(&cx).await?, edit).await?;
    shown(&cx, StatusCode::OK, &get(&cx).await?, Shape::Made)
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    actions::delete(&cx, cx.asks("cascade"), cx.version.has(23) && cx.asks("force")).await
}

/// Snapshots of one volume or of all, as the caller sees them.
pub(crate) async fn snapshots_of(cx: &Cx) -> Result<Vec<snapshots::View>, Condition> {
    let actor = cx.actor()?;
    let all = snapshots::list(cx.ports(), actor, None, false).await?;
    let everyones = cx.asks("all_tenants");
    let shown = |s: &snapshots::View| !s.snapshot.hidden.contains(&Api::OpenStack);
    Ok(all.into_iter().filter(|s| shown(s) && (everyones || s.snapshot.project == actor.project)).collect())
}
