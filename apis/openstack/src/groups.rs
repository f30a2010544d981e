//! Groups of volumes.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::{
    Alias, Api, Condition, GroupId, GroupSnapshotId, GroupSource, Kind, VolumeId, VolumeTypeId,
};
use parpen_service::groups::{self, GroupEdit, Members, NewGroup, View};
use parpen_service::names::Naming;
use parpen_service::types;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bootable;
use crate::cx::{Cx, one};
use crate::fields::{Fields, refuse, required};
use crate::from_wire::{self, DEFAULT_TYPE_ID, OWN, ZONE};
use crate::known;
use crate::paging::{Listed, Page, page};
use crate::states::{self, bad, reword};
use crate::to_wire::{name, time};

impl Listed for View {
    const KIND: Kind = Kind::Group;
    const SORTS: &'static [&'static str] = &["id", "name", "group_type", "group_type_id"];
    const FILTERS: &'static [&'static str] = &["name"];

    fn id(&self) -> String {
        self.group.id.to_string()
    }

    fn field(&self, name: &str) -> Option<Value> {
        let g = &self.group;
        Some(match name {
            "id" => json!(g.id.to_string()),
            "name" => json!(g.name),
            "status" => json!(states::word(g.standing())),
            "created_at" => json!(time(g.stamp.created)),
            "group_type" | "group_type_id" => json!(g.group_type.to_string()),
            "availability_zone" => json!(ZONE),
            "project_id" => json!(g.project.0.simple().to_string()),
            _ => return None,
        })
    }

    fn metadata(&self, _: &str) -> Option<&str> {
        None
    }
}

/// A type in a group's list: the default one has an id that no row has.
fn type_id(t: &Option<VolumeTypeId>) -> String {
    t.map_or(DEFAULT_TYPE_ID, |t| t.0).to_string()
}

fn summary(view: &View) -> Value {
    json!({ "id": view.group.id.to_string(), "name": name(&view.group.name) })
}

fn detailed(cx: &Cx, view: &View) -> Value {
    let g = &view.group;
    let mut doc = json!({
        "id": g.id.to_string(),
        "status": states::word(g.standing()),
        "availability_zone": ZONE,
        "created_at": time(g.stamp.created),
        "name": name(&g.name),
        "description": g.attributes.value(OWN, "description").cloned().unwrap_or(Value::Null),
        "group_type": g.group_type.to_string(),
        "volume_types": g.volume_types.iter().map(type_id).collect::<Vec<_>>(),
    });
    if cx.version.has(14) {
        let (snapshot, group) = match g.made_from {
            Some(GroupSource::Snapshot(s)) => (Some(s.to_string()), None),
            Some(GroupSource::Group(g)) => (None, Some(g.to_string())),
            None => (None, None),
        };
        doc["group_snapshot_id"] = json!(snapshot);
        doc["source_group_id"] = json!(group);
    }
    if cx.version.has(25) && cx.asks("list_volume") {
        doc["volumes"] = json!(view.volumes.iter().map(VolumeId::to_string).collect::<Vec<_>>());
    }
    if cx.version.has(38) {
        doc["replication_status"] = json!("disabled");
    }
    if cx.version.has(58) && cx.is_admin() {
        doc["project_id"] = json!(g.project.0.simple().to_string());
    }
    doc
}

fn id(cx: &Cx) -> Result<GroupId, Condition> {
    from_wire::id_in_path(Kind::Group, cx.param("id")).map(GroupId)
}

async fn get(cx: &Cx) -> Result<View, Condition> {
    groups::get(cx.ports(), cx.actor()?, id(cx)?).await
}

/// The groups that this call is about, a page of them.
async fn paged(cx: &Cx) -> Result<Page<View>, Condition> {
    let actor = cx.actor()?;
    let project = Some(actor.project).filter(|_| !cx.asks("all_tenants"));
    page(cx, groups::list(cx.ports(), actor, project).await?)
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    Ok(paged(&cx).await?.reply("groups", "group_links", summary))
}

pub(crate) async fn detail(cx: Cx) -> Result<Reply, Condition> {
    Ok(paged(&cx).await?.reply("groups", "group_links", |view| detailed(&cx, view)))
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    one(StatusCode::OK, "group", detailed(&cx, &get(&cx).await?))
}

/// What is kept with something new that a user makes: who it was, and a description.
pub(crate) fn new_group(cx: &Cx, fields: &Fields) -> Result<NewGroup, Condition> {
    Ok(NewGroup {
        name: from_wire::name(fields)?.unwrap_or_default(),
        attributes: from_wire::attributes(fields, cx.actor()?, None)?,
    })
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_known(&mut cx.request, "group", cx.version, known::GROUP).await?;
    let (ports, actor) = (cx.ports(), cx.actor()?);
    let kind = fields.text("group_type", 255)?.ok_or_else(|| required("group_type"))?;
    let kind = groups::get_type(ports, actor, &kind).await.map_err(|condition| match condition {
        Condition::NotFound { name, .. } if Uuid::parse_str(&name).is_err() => {
            Condition::not_found(Kind::GroupType, format!("with name {name}"))
        }
        other => other,
    })?;
    let named = match fields.get("volume_types") {
        Some(Value::Array(all)) if !all.is_empty() => all.clone(),
        Some(Value::Array(all)) => return Err(refuse("volume_types", &json!(all), "is too short")),
        Some(other) => return Err(refuse("volume_types", other, "is not of type 'array'")),
        None => return Err(required("volume_types")),
    };
    from_wire::zone(&fields)?;
    let all = types::list(ports, actor).await?;
    let mut volume_types = Vec::new();
    for name in &named {
        let text = name.as_str().ok_or_else(|| refuse("volume_types", name, "is not of type 'string'"))?;
        volume_types.push(from_wire::volume_type(&all, text)?);
    }
    if (1..named.len()).any(|n| named[..n].contains(&named[n])) {
        return Err(refuse("volume_types", &json!(named), "has non-unique elements"));
    }
    let group = groups::create(ports, actor, new_group(&cx, &fields)?, kind.id, volume_types).await?;
    one(StatusCode::ACCEPTED, "group", summary(&View { group, volumes: Vec::new() }))
}

/// The name by which StorPool's bindings will know a new volume.
fn naming(id: VolumeId) -> Naming {
    let alias = Alias { api: Api::StorPool, scope: String::new(), name: format!("os--volume-{id}") };
    Naming { aliases: vec![alias], ..Naming::default() }
}

pub(crate) async fn create_from(mut cx: Cx) -> Result<Reply, Condition> {
    let fields =
        Fields::read_known(&mut cx.request, "create-from-src", cx.version, known::GROUP_COPY).await?;
    let source = match (fields.id("group_snapshot_id")?, fields.id("source_group_id")?) {
        (Some(s), None) => GroupSource::Snapshot(GroupSnapshotId(s)),
        (None, Some(g)) => GroupSource::Group(GroupId(g)),
        _ => {
            return Err(bad(
                "Either 'group_snapshot_id' or 'source_group_id' must be provided to create a group from source, \
                 and not both.",
            ));
        }
    };
    let attributes = from_wire::attributes(&Fields(serde_json::Map::new()), cx.actor()?, None)?;
    let like = Members { naming, attributes, inherit: bootable::from_member };
    let new = new_group(&cx, &fields)?;
    let group = groups::create_from(cx.ports(), cx.actor()?, new, source, like).await?.now;
    one(StatusCode::ACCEPTED, "group", summary(&View { group, volumes: Vec::new() }))
}

/// Volumes that a text names, with commas between.
fn volumes_in(fields: &Fields, name: &str, group: GroupId) -> Result<Vec<VolumeId>, Condition> {
    let text = fields.text(name, 1 << 16)?.unwrap_or_default();
    let parts = text.trim_matches(',').split(',').map(str::trim).filter(|p| !p.is_empty());
    let way = if name == "add_volumes" {
        ("add", "to", "volume cannot be found.")
    } else {
        ("remove", "from", "it is not in the group.")
    };
    let one = |p: &str| {
        let id = Uuid::parse_str(p).map(VolumeId);
        let (verb, into, why) = way;
        id.map_err(|_| {
            Condition::invalid(
                "volume",
                format!("Cannot {verb} volume {p} {into} group {group} because {why}"),
            )
        })
    };
    parts.map(one).collect()
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_known(&mut cx.request, "group", cx.version, known::GROUP_CHANGE).await?;
    let view = get(&cx).await?;
    let id = view.group.id;
    let add = volumes_in(&fields, "add_volumes", id)?;
    let remove = volumes_in(&fields, "remove_volumes", id)?;
    let both: Vec<String> = add.iter().filter(|v| remove.contains(v)).map(|v| format!("'{v}'")).collect();
    if !both.is_empty() {
        let list = both.join(", ");
        return Err(bad(format!("Invalid volume: UUIDs [{list}] are in both add and remove volume list.")));
    }
    let name = from_wire::name(&fields)?.filter(|n| *n != view.group.name);
    let before = view.group.attributes.value(OWN, "description").cloned().unwrap_or(Value::Null);
    let described = from_wire::description(&fields)?.filter(|d| !d.is_null() && *d != before);
    let joining = add.iter().any(|v| !view.volumes.contains(v));
    if name.is_none() && described.is_none() && !joining && remove.is_empty() {
        return Err(bad(format!(
            "Invalid group: Cannot update group {id} because no valid name, description, add_volumes, or \
             remove_volumes were provided."
        )));
    }
    let attributes = described.map(|d| -> parpen_service::volumes::ChangeAttributes {
        Box::new(move |attributes| {
            attributes.entry(OWN).insert("description".into(), d.clone());
        })
    });
    let edit = GroupEdit { name, attributes, add, remove };
    let done = groups::update(cx.ports(), cx.actor()?, id, edit).await;
    done.map_err(|condition| match condition {
        Condition::WrongState { what: Kind::Group, .. } => bad("Invalid group: Group status must be available."),
        Condition::WrongState { what: Kind::Volume, name, actual, wanted } => {
            let (verb, way) = if wanted.contains("error") { ("remove", "from") } else { ("add", "to") };
            let valid: Vec<String> =
                states::in_words(&wanted).split(" or ").map(|w| format!("'{w}'")).collect();
            bad(format!(
                "Invalid volume: Cannot {verb} volume {name} {way} group {id} because volume is in an invalid state: \
                 {}. Valid states are: ({}).",
                states::in_words(&actual),
                valid.join(", ")
            ))
        }
        other => other,
    })?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    if !cx.argument.is_object() {
        return Err(refuse("delete", &cx.argument, "is not of type 'object'"));
    }
    let with_members = cx.argument().flag("delete-volumes")?.unwrap_or(false);
    let id = id(&cx)?;
    let done = groups::delete(cx.ports(), cx.actor()?, id, with_members).await;
    reword(done, |now| {
        if with_members {
            format!(
                "Invalid group: Cannot delete group {id}. Group status must be available or error and must not have \
                 dependent group snapshots, and it cannot be the source for an ongoing group or group snapshot \
                 creation."
            )
        } else {
            format!("Invalid group: Group status must be available or error, but current status is: {now}")
        }
    })?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn reset(cx: Cx) -> Result<Reply, Condition> {
    let standing = said_of_group(&cx, "Group")?;
    groups::say(cx.ports(), cx.actor()?, id(&cx)?, standing).await?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

/// The status that a reset of a group or of a snapshot of one asks for.
pub(crate) fn said_of_group(cx: &Cx, what: &str) -> Result<parpen_model::lifecycle::Standing, Condition> {
    let text = cx.argument().text("status", 255)?.ok_or_else(|| required("status"))?;
    if text.is_empty() {
        return Err(bad(format!("Invalid {} status: The 'status' can not be empty.", what.to_lowercase())));
    }
    states::said(what, &text, states::GROUP)
}

/// No group has a type with replication here, and Cinder says so of each.
pub(crate) async fn not_replicated(cx: Cx) -> Result<Reply, Condition> {
    let view = get(&cx).await?;
    Err(bad(format!("Invalid group type: Group {} is not a replication group type.", view.group.id)))
}
