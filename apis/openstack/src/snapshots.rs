//! Snapshots.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::{Condition, Kind, SnapshotId};
use parpen_service::snapshots::{self, DeleteTerms, Edit, Key, View};
use serde_json::{Value, json};

use crate::cx::{Cx, one};
use crate::fields::Fields;
use crate::from_wire::{self, METADATA, OWN};
use crate::paging::{Listed, Page, page};
use crate::to_wire::{self, Shape};
use crate::volumes::snapshots_of;

impl Listed for View {
    fn id(&self) -> String {
        self.snapshot.id.to_string()
    }

    fn field(&self, name: &str) -> Option<Value> {
        let s = &self.snapshot;
        Some(match name {
            "id" => json!(s.id.to_string()),
            "name" | "display_name" => json!(s.name),
            "status" => json!(to_wire::snapshot_status(s)),
            "size" | "volume_size" => json!(to_wire::gib(s.size)),
            "volume_id" => json!(s.origin.to_string()),
            "created_at" => json!(to_wire::time(s.stamp.created)),
            "updated_at" => json!(s.stamp.updated.map(to_wire::time)),
            "project_id" => json!(s.project.0.simple().to_string()),
            "user_id" => json!(s.attributes.text(OWN, "user_id")),
            _ => return None,
        })
    }

    fn metadata(&self, key: &str) -> Option<&str> {
        self.snapshot.attributes.text(METADATA, key)
    }
}

/// The snapshot that the path names.
pub(crate) fn id(cx: &Cx) -> Result<SnapshotId, Condition> {
    from_wire::id_in_path(Kind::Snapshot, cx.param("id")).map(SnapshotId)
}

/// The snapshot that the path names, with what belongs to it.
pub(crate) async fn get(cx: &Cx) -> Result<View, Condition> {
    snapshots::get(cx.ports(), cx.actor()?, &Key::Id(id(cx)?)).await
}

fn listed(cx: &Cx, page: Page<View>, print: impl Fn(&View) -> Value) -> Result<Reply, Condition> {
    let items: Vec<Value> = page.items.iter().map(print).collect();
    let mut body = json!({ "snapshots": items });
    if let Some(next) = page.next {
        body["snapshots_links"] = json!([{ "rel": "next", "href": next }]);
    }
    if cx.version.has(45) && cx.asks("with_count") {
        body["count"] = json!(page.count);
    }
    Ok(Reply::json(StatusCode::OK, &body))
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let page = page(&cx, snapshots_of(&cx).await?)?;
    listed(&cx, page, to_wire::snapshot_base)
}

pub(crate) async fn detail(cx: Cx) -> Result<Reply, Condition> {
    let page = page(&cx, snapshots_of(&cx).await?)?;
    listed(&cx, page, |view| to_wire::snapshot(view, cx.version, Shape::Full))
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read(&mut cx.request, "snapshot").await?;
    let actor = cx.actor()?;
    let id = SnapshotId(cx.ports().entropy.uuid());
    let (of, new) = from_wire::new_snapshot(&fields, actor, id, cx.version)?;
    snapshots::create(cx.ports(), actor, of, new).await?;
    let view = snapshots::get(cx.ports(), actor, &Key::Id(id)).await?;
    one(StatusCode::ACCEPTED, "snapshot", to_wire::snapshot(&view, cx.version, Shape::Made))
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    one(StatusCode::OK, "snapshot", to_wire::snapshot(&get(&cx).await?, cx.version, Shape::Full))
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read(&mut cx.request, "snapshot").await?;
    let edit =
        Edit { name: from_wire::name(&fields)?, attributes: from_wire::change(&fields)?, ..Edit::default() };
    snapshots::edit(cx.ports(), cx.actor()?, id(&cx)?, edit).await?;
    one(StatusCode::OK, "snapshot", to_wire::snapshot(&get(&cx).await?, cx.version, Shape::Made))
}

async fn remove(cx: Cx, terms: DeleteTerms) -> Result<Reply, Condition> {
    snapshots::delete(cx.ports(), cx.actor()?, id(&cx)?, terms).await?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    remove(cx, DeleteTerms { force: false }).await
}

pub(crate) async fn force_delete(cx: Cx) -> Result<Reply, Condition> {
    remove(cx, DeleteTerms { force: true }).await
}
