//! Volumes.

use std::collections::BTreeMap;

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::{Condition, Kind, SnapshotId, VolumeId};
use parpen_service::volumes::{
    self, DeleteTerms, Edit, Filter, Key, ResizeTerms, RollbackTerms, Snapshots, View,
};
use parpen_service::{snapshots, types};
use serde_json::{Value, json};

use crate::cx::{Cx, one};
use crate::fields::{Fields, document, required};
use crate::from_wire::{self, METADATA, OWN, ZONE};
use crate::paging::{Listed, Page, page};
use crate::to_wire::{self, Shape};

impl Listed for View {
    fn id(&self) -> String {
        self.volume.id.to_string()
    }

    fn field(&self, name: &str) -> Option<Value> {
        let v = &self.volume;
        Some(match name {
            "id" => json!(v.id.to_string()),
            "name" | "display_name" => json!(v.name),
            "status" => json!(to_wire::volume_status(v)),
            "size" => json!(to_wire::gib(v.size)),
            "created_at" => json!(to_wire::time(v.stamp.created)),
            "updated_at" => json!(v.stamp.updated.map(to_wire::time)),
            "bootable" => json!(to_wire::bootable(&v.attributes)),
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
pub(crate) fn id(cx: &Cx) -> Result<VolumeId, Condition> {
    from_wire::id_in_path(Kind::Volume, cx.param("id")).map(VolumeId)
}

/// The volume that the path names, with what belongs to it.
pub(crate) async fn get(cx: &Cx) -> Result<View, Condition> {
    volumes::get(cx.ports(), cx.actor()?, &Key::Id(id(cx)?)).await
}

/// The volumes that this call is about: the project's, or all that the caller sees.
pub(crate) async fn all(cx: &Cx) -> Result<Vec<View>, Condition> {
    let actor = cx.actor()?;
    let project = Some(actor.project).filter(|_| !cx.asks("all_tenants"));
    volumes::list(cx.ports(), actor, Filter { project, pool: None }).await
}

fn listed(cx: &Cx, page: Page<View>, print: impl Fn(&View) -> Value) -> Result<Reply, Condition> {
    let items: Vec<Value> = page.items.iter().map(print).collect();
    let mut body = json!({ "volumes": items });
    if let Some(next) = page.next {
        body["volumes_links"] = json!([{ "rel": "next", "href": next }]);
    }
    if cx.version.has(45) && cx.asks("with_count") {
        body["count"] = json!(page.count);
    }
    Ok(Reply::json(StatusCode::OK, &body))
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let page = page(&cx, all(&cx).await?)?;
    listed(&cx, page, |view| to_wire::volume_summary(&cx.base, &view.volume))
}

pub(crate) async fn detail(cx: Cx) -> Result<Reply, Condition> {
    let page = page(&cx, all(&cx).await?)?;
    listed(&cx, page, |view| to_wire::volume(&cx.base, view, cx.version, Shape::Full))
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
    one(status, "volume", to_wire::volume(&cx.base, view, cx.version, shape))
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read(&mut cx.request, "volume").await?;
    let actor = cx.actor()?;
    let types = types::list(cx.ports(), actor).await?;
    let id = VolumeId(cx.ports().entropy.uuid());
    let mut new = from_wire::new_volume(&fields, actor, &types, id)?;
    if fields.get("volume_type").is_none_or(|t| t == "") {
        new.place.volume_type = crate::types::implied(&cx, &new).await?;
    }
    volumes::create(cx.ports(), actor, new).await?;
    let view = volumes::get(cx.ports(), actor, &Key::Id(id)).await?;
    shown(&cx, StatusCode::ACCEPTED, &view, Shape::Made)
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    shown(&cx, StatusCode::OK, &get(&cx).await?, Shape::Full)
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read(&mut cx.request, "volume").await?;
    let edit = from_wire::edit_volume(&fields)?;
    volumes::edit(cx.ports(), cx.actor()?, id(&cx)?, edit).await?;
    shown(&cx, StatusCode::OK, &get(&cx).await?, Shape::Made)
}

async fn remove(cx: Cx, terms: DeleteTerms) -> Result<Reply, Condition> {
    volumes::delete(cx.ports(), cx.actor()?, id(&cx)?, terms).await?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    let snapshots = if cx.asks("cascade") { Snapshots::Delete } else { Snapshots::Refuse };
    let terms = DeleteTerms { snapshots, force: cx.version.has(23) && cx.asks("force"), ignore_lock: false };
    remove(cx, terms).await
}

pub(crate) async fn force_delete(cx: Cx) -> Result<Reply, Condition> {
    let terms = DeleteTerms { snapshots: Snapshots::Refuse, force: true, ignore_lock: false };
    remove(cx, terms).await
}

pub(crate) async fn extend(cx: Cx) -> Result<Reply, Condition> {
    let bytes = from_wire::new_size(&cx.argument())?;
    let terms = ResizeTerms { allow_shrink: false, require_detached: !cx.version.has(42), force: false };
    volumes::resize(cx.ports(), cx.actor()?, id(&cx)?, bytes, terms).await?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn readonly(cx: Cx) -> Result<Reply, Condition> {
    let readonly = cx.argument().flag("readonly")?.ok_or_else(|| required("readonly"))?;
    let edit = Edit { readonly: Some(readonly), ..Edit::default() };
    volumes::edit(cx.ports(), cx.actor()?, id(&cx)?, edit).await?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn bootable(cx: Cx) -> Result<Reply, Condition> {
    let bootable = cx.argument().flag("bootable")?.ok_or_else(|| required("bootable"))?;
    let change: volumes::ChangeAttributes = Box::new(move |attributes| {
        attributes.entry(OWN).insert("bootable".into(), json!(bootable));
    });
    let edit = Edit { attributes: Some(change), ..Edit::default() };
    volumes::edit(cx.ports(), cx.actor()?, id(&cx)?, edit).await?;
    Ok(Reply::empty(StatusCode::OK))
}

pub(crate) async fn revert(cx: Cx) -> Result<Reply, Condition> {
    let to = SnapshotId(cx.argument().required_id("snapshot_id")?);
    let terms = RollbackTerms { only_latest: true, ..RollbackTerms::default() };
    let begun = volumes::rollback(cx.ports(), cx.actor()?, id(&cx)?, to, terms).await;
    // Cinder calls a volume that is not at rest a conflict here, and a bad request everywhere else.
    begun.map_err(|condition| match condition {
        Condition::InUse { .. } | Condition::WrongState { .. } => Condition::Conflict(condition.to_string()),
        other => other,
    })?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

/// The action that the body names: its key and argument.
pub(crate) async fn named_action(cx: &mut Cx) -> Result<(String, Value), Condition> {
    let mut entries = document(&mut cx.request).await?.into_iter();
    match (entries.next(), entries.next()) {
        (Some(action), None) => Ok(action),
        _ => Err(Condition::invalid("body", "an action is an object with exactly one key")),
    }
}

/// Snapshots of one volume or of all, as the caller sees them.
pub(crate) async fn snapshots_of(cx: &Cx) -> Result<Vec<snapshots::View>, Condition> {
    let actor = cx.actor()?;
    let all = snapshots::list(cx.ports(), actor, None, false).await?;
    let everyones = cx.asks("all_tenants");
    Ok(all.into_iter().filter(|s| everyones || s.snapshot.project == actor.project).collect())
}
