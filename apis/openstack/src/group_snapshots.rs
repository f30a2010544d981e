//! Snapshots of groups.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::{Alias, Api, Condition, GroupId, GroupSnapshot, GroupSnapshotId, Kind, SnapshotId};
use parpen_service::groups::{self, Parts};
use parpen_service::names::Naming;
use serde_json::{Map, Value, json};

use crate::bootable;
use crate::cx::{Cx, one};
use crate::fields::Fields;
use crate::from_wire::{self, OWN};
use crate::groups::{new_group, said_of_group};
use crate::known;
use crate::paging::{Listed, Page, page};
use crate::states::{self, bad, reword};
use crate::to_wire::{name, time};

impl Listed for GroupSnapshot {
    const KIND: Kind = Kind::GroupSnapshot;
    const SORTS: &'static [&'static str] = &["id", "name", "group_id", "group_type_id"];
    const FILTERS: &'static [&'static str] = &["name", "status", "group_id"];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "id" => json!(self.id.to_string()),
            "name" => json!(self.name),
            "status" => json!(states::word(self.standing())),
            "group_id" => json!(self.group.to_string()),
            "group_type_id" => json!(self.group_type.to_string()),
            "created_at" => json!(time(self.stamp.created)),
            _ => return None,
        })
    }

    fn metadata(&self, _: &str) -> Option<&str> {
        None
    }
}

fn summary(gs: &GroupSnapshot) -> Value {
    json!({ "id": gs.id.to_string(), "name": name(&gs.name), "group_type_id": gs.group_type.to_string() })
}

/// In lists without detail.
fn listed(gs: &GroupSnapshot) -> Value {
    json!({ "id": gs.id.to_string(), "name": name(&gs.name) })
}

fn detailed(cx: &Cx, gs: &GroupSnapshot) -> Value {
    let mut doc = summary(gs);
    doc["group_id"] = json!(gs.group.to_string());
    doc["status"] = json!(states::word(gs.standing()));
    doc["created_at"] = json!(time(gs.stamp.created));
    doc["description"] = gs.attributes.value(OWN, "description").cloned().unwrap_or(Value::Null);
    if cx.version.has(58) && cx.is_admin() {
        doc["project_id"] = json!(gs.project.0.simple().to_string());
    }
    doc
}

fn id(cx: &Cx) -> Result<GroupSnapshotId, Condition> {
    from_wire::id_in_path(Kind::GroupSnapshot, cx.param("id")).map(GroupSnapshotId)
}

/// The group snapshots that this call is about, a page of them.
async fn paged(cx: &Cx) -> Result<Page<GroupSnapshot>, Condition> {
    let actor = cx.actor()?;
    let project = Some(actor.project).filter(|_| !cx.asks("all_tenants"));
    page(cx, groups::list_snapshots(cx.ports(), actor, project).await?)
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    Ok(paged(&cx).await?.reply("group_snapshots", "group_snapshot_links", listed))
}

pub(crate) async fn detail(cx: Cx) -> Result<Reply, Condition> {
    Ok(paged(&cx).await?.reply("group_snapshots", "group_snapshot_links", |gs| detailed(&cx, gs)))
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    let gs = groups::get_snapshot(cx.ports(), cx.actor()?, id(&cx)?).await?;
    one(StatusCode::OK, "group_snapshot", detailed(&cx, &gs))
}

/// The name by which StorPool's bindings will know a part.
fn naming(id: SnapshotId) -> Naming {
    let alias = Alias { api: Api::StorPool, scope: String::new(), name: format!("os--snap--snapshot-{id}") };
    Naming { aliases: vec![alias], ..Naming::default() }
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    let fields =
        Fields::read_known(&mut cx.request, "group_snapshot", cx.version, known::GROUP_SNAPSHOT).await?;
    let of = GroupId(fields.required_id("group_id")?);
    let new = new_group(&cx, &fields)?;
    let attributes = from_wire::attributes(&Fields(Map::new()), cx.actor()?, None)?;
    let parts = Parts { naming, attributes, inherit: bootable::to_snapshot };
    let begun = groups::create_snapshot(cx.ports(), cx.actor()?, of, new, parts).await;
    let gs = begun.map_err(|condition| match condition {
        Condition::WrongState { what: Kind::Volume, name, actual, .. } => bad(format!(
            "Invalid volume: Volume {name} status must be available or in-use, but current status is: {}.",
            states::in_words(&actual)
        )),
        other => other,
    })?;
    one(StatusCode::ACCEPTED, "group_snapshot", summary(&gs.now))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    let done = groups::delete_snapshot(cx.ports(), cx.actor()?, id(&cx)?).await;
    reword(done, |_| {
        "Invalid GroupSnapshot: GroupSnapshot status must be available or error, and no Group can be currently using it \
         as source for its creation."
            .to_string()
    })?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn reset(cx: Cx) -> Result<Reply, Condition> {
    let standing = said_of_group(&cx, "Group snapshot")?;
    groups::say_snapshot(cx.ports(), cx.actor()?, id(&cx)?, standing).await?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}
