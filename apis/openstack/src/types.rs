//! Volume types. The default one stands for volumes that are linked to none; it has no row.

pub(crate) mod access;
pub(crate) mod defaults;
mod demands;
pub(crate) mod encryption;
pub(crate) mod specs;

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::{Attributes, Condition, Kind, Limits, Stamp, TypeRules, VolumeType, VolumeTypeId};
use parpen_service::snapshots as snapshot_service;
use parpen_service::types::{self, Edit};
use parpen_service::volumes::{From, Key, NewVolume};
use parpen_service::{snapshots, volumes};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cx::{Cx, one};
use crate::errors::said;
use crate::fields::{Fields, refuse, truth};
use crate::from_wire::{self, DEFAULT_TYPE, DEFAULT_TYPE_ID, METADATA};
use crate::paging::{Listed, page, pairs};
use crate::strict::TEXT_MAX;
use crate::to_wire::policy::{self, TypeShape, VISIBLE, is_admin};

/// A type in lists.
struct Shown(Option<VolumeType>);

impl Listed for Shown {
    const KIND: Kind = Kind::VolumeType;
    const SORTS: &'static [&'static str] = &["id", "name"];

    fn id(&self) -> String {
        crate::to_wire::type_id(self.0.as_ref())
    }

    fn field(&self, name: &str) -> Option<Value> {
        let t = self.0.as_ref();
        Some(match name {
            "id" => json!(self.id()),
            "name" => json!(crate::to_wire::type_name(t)),
            "description" => json!(t.and_then(|t| t.description.clone())),
            "created_at" => json!(t.map(|t| crate::to_wire::time(t.stamp.created))),
            "updated_at" => json!(t.and_then(|t| t.stamp.updated).map(crate::to_wire::time)),
            _ => return None,
        })
    }

    fn metadata(&self, _: &str) -> Option<&str> {
        None
    }
}

/// The type that the path names; `None` is the default one.
pub(super) async fn named(cx: &Cx) -> Result<Option<VolumeType>, Condition> {
    let id = from_wire::id_in_path(Kind::VolumeType, cx.param("id"))?;
    match id {
        DEFAULT_TYPE_ID => Ok(None),
        id => types::get(cx.ports(), cx.actor()?, &id.to_string()).await.map(Some),
    }
}

/// The id of the type that the path names, for changes: the default one is not changed.
pub(super) async fn changeable(cx: &Cx) -> Result<VolumeTypeId, Condition> {
    match named(cx).await? {
        Some(t) => Ok(t.id),
        None => Err(said(format!(
            "Invalid volume type: {DEFAULT_TYPE} stands for volumes that are linked to no type; it is not changed."
        ))),
    }
}

/// Which types a list shows by their being public; `None`: all.
fn wanted_public(cx: &Cx) -> Result<Option<bool>, Condition> {
    // Private types of others are never seen by those who do not operate the service.
    if !is_admin(cx.actor()?) {
        return Ok(None);
    }
    match cx.request.query_value("is_public") {
        None => Ok(Some(true)),
        Some(text) if text.eq_ignore_ascii_case("none") => Ok(None),
        Some(text) => {
            truth(&text).map(Some).ok_or_else(|| said(format!("Invalid is_public filter [{text:.64}]")))
        }
    }
}

/// Whether a type has these extra specs.
fn has_specs(t: Option<&VolumeType>, wanted: &[(String, Option<String>)]) -> bool {
    let have = |key: &str| t.and_then(|t| t.attributes.text(METADATA, key));
    wanted.iter().all(|(key, value)| value.as_deref().is_some_and(|v| have(key) == Some(v)))
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let actor = cx.actor()?;
    let public = wanted_public(&cx)?;
    let rows = types::list(cx.ports(), actor).await?;
    // Among the public ones are those that the caller's own project was given.
    let open = |t: &Option<VolumeType>| {
        t.as_ref().is_none_or(|t| t.public || (public == Some(true) && t.access.contains(&actor.project)))
    };
    let fits = |t: &Option<VolumeType>| public.is_none_or(|p| p == open(t));
    let mut all: Vec<Shown> =
        std::iter::once(None).chain(rows.into_iter().map(Some)).filter(fits).map(Shown).collect();
    let filter = cx.request.query_value("extra_specs").filter(|_| is_admin(actor) || cx.version.has(52));
    if let Some(wanted) = filter.map(|text| pairs(&text)) {
        // Who may not read a spec learns nothing by asking for it.
        let readable = |key: &str| is_admin(actor) || VISIBLE.contains(&key);
        if wanted.iter().all(|(key, _)| readable(key)) {
            all.retain(|t| has_specs(t.0.as_ref(), &wanted));
        } else {
            all.clear();
        }
    }
    let page = page(&cx, all)?;
    let print = |t: &Shown| policy::volume_type(t.0.as_ref(), actor, TypeShape::Full);
    Ok(page.reply("volume_types", "volume_type_links", print))
}

fn shown(cx: &Cx, t: Option<&VolumeType>, shape: TypeShape) -> Result<Reply, Condition> {
    one(StatusCode::OK, "volume_type", policy::volume_type(t, cx.actor()?, shape))
}

pub(crate) async fn default(cx: Cx) -> Result<Reply, Condition> {
    let actor = cx.actor()?;
    let id = types::default_of(cx.ports(), actor, actor.project).await?;
    let row = match id {
        Some(id) => Some(types::get(cx.ports(), actor, &id.to_string()).await?),
        None => None,
    };
    shown(&cx, row.as_ref(), TypeShape::Full)
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    shown(&cx, named(&cx).await?.as_ref(), TypeShape::Full)
}

fn exists(condition: Condition) -> Condition {
    match condition {
        Condition::Exists { name, .. } => Condition::Conflict(format!("Volume Type {name} already exists.")),
        other => other,
    }
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_alone(&mut cx.request, "volume_type").await?;
    fields.only("volume_type", &["name", "description", "extra_specs", "os-volume-type-access:is_public"])?;
    let name = fields.name("name")?;
    if name == DEFAULT_TYPE {
        return Err(exists(Condition::exists(Kind::VolumeType, name)));
    }
    let extra = fields.specs("extra_specs", "-_:. /")?.unwrap_or_default();
    let mut new = VolumeType {
        // The use case gives id and times.
        id: VolumeTypeId(Uuid::nil()),
        stamp: Stamp::at(cx.ports().clock.now()),
        name,
        description: fields.text("description", TEXT_MAX)?,
        public: fields.flag("os-volume-type-access:is_public")?.unwrap_or(true),
        pool: None,
        place_all: None,
        place_tail: None,
        replication: None,
        limits: Limits::default(),
        size: None,
        parent: None,
        encryption: None,
        qos: None,
        access: Vec::new(),
        rules: TypeRules::default(),
        attributes: Attributes::default(),
    };
    specs::set(&mut new, extra)?;
    let (made, _) = types::create(cx.ports(), cx.actor()?, new).await.map_err(exists)?;
    shown(&cx, Some(&made), TypeShape::Made)
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_alone(&mut cx.request, "volume_type").await?;
    fields.only("volume_type", &["name", "description", "is_public"])?;
    if let Some(given @ Value::String(name)) = fields.get("name") {
        if name.is_empty() {
            return Err(refuse("name", given, "is too short"));
        }
        if name.trim().is_empty() {
            return Err(said("Volume type name can not be empty."));
        }
    }
    let edit = Edit {
        name: fields.text("name", TEXT_MAX)?,
        description: fields.text("description", TEXT_MAX)?,
        public: fields.flag("is_public")?,
    };
    if edit.name.is_none() && edit.description.is_none() && edit.public.is_none() {
        return Err(said("Specify volume type name, description, is_public or a combination thereof."));
    }
    let id = changeable(&cx).await?;
    if edit.name.as_deref() == Some(DEFAULT_TYPE) {
        parpen_identity::may(cx.actor()?, parpen_identity::Power::Operate, None)?;
        return Err(exists(Condition::exists(Kind::VolumeType, DEFAULT_TYPE)));
    }
    let (t, _) = types::edit(cx.ports(), cx.actor()?, id, edit).await.map_err(exists)?;
    shown(&cx, Some(&t), TypeShape::Changed)
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    let actor = cx.actor()?;
    parpen_identity::may(actor, parpen_identity::Power::Operate, None)?;
    let default =
        |id: Uuid| said(format!("The volume type {id} is a default volume type and cannot be deleted."));
    let id = named(&cx).await?.map(|t| t.id).ok_or_else(|| default(DEFAULT_TYPE_ID))?;
    types::delete(cx.ports(), actor, id).await.map_err(|condition| match condition {
        Condition::InUse { .. } => said("Target volume type is still in use."),
        Condition::Conflict(_) => default(id.0),
        other => other,
    })?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

/// The type of a new volume that names none: its source's, else the project's default.
pub(crate) async fn implied(cx: &Cx, new: &NewVolume) -> Result<Option<VolumeTypeId>, Condition> {
    let (ports, actor) = (cx.ports(), cx.actor()?);
    Ok(match new.from {
        From::Snapshot(id) => {
            snapshots::get(ports, actor, &snapshot_service::Key::Id(id)).await?.snapshot.volume_type
        }
        From::Volume(id) => volumes::get(ports, actor, &Key::Id(id)).await?.volume.volume_type,
        From::Blank => types::default_of(ports, actor, actor.project).await?,
    })
}
