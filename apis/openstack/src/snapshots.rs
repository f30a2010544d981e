//! Snapshots.

use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{Power, may};
use parpen_model::lifecycle::{Standing, When};
use parpen_model::{Api, Condition, Kind, SnapshotId};
use parpen_service::snapshots::{self, DeleteTerms, Edit, Key, View};
use serde_json::{Value, json};

use crate::actions;
use crate::bootable;
use crate::cx::{Cx, one};
use crate::fields::{Fields, refuse, required};
use crate::from_wire::{self, METADATA, OWN, ZONE};
use crate::known;
use crate::paging::{Listed, page};
use crate::states::{self, bad, reword};
use crate::to_wire::{self, Shape};
use crate::volumes::snapshots_of;

impl Listed for View {
    const KIND: Kind = Kind::Snapshot;
    const SORTS: &'static [&'static str] =
        &["id", "name", "group_snapshot_id", "volume_id", "consumes_quota"];
    const FILTERS: &'static [&'static str] =
        &["name", "status", "volume_id", "metadata", "availability_zone", "consumes_quota"];

    fn id(&self) -> String {
        self.snapshot.id.to_string()
    }

    fn field(&self, name: &str) -> Option<Value> {
        let s = &self.snapshot;
        Some(match name {
            "id" => json!(s.id.to_string()),
            "name" | "display_name" => json!(s.name),
            "status" => json!(states::word(s.standing())),
            "description" => s.attributes.value(OWN, "description").cloned().unwrap_or(Value::Null),
            "consumes_quota" => json!(true),
            "group_snapshot_id" => json!(s.group_snapshot.map(|g| g.to_string())),
            "size" | "volume_size" => json!(to_wire::gib(s.size)),
            "volume_id" => json!(s.origin.to_string()),
            "created_at" => json!(to_wire::time(s.stamp.created)),
            "updated_at" => json!(s.stamp.updated.map(to_wire::time)),
            "availability_zone" => json!(ZONE),
            "host" => json!(to_wire::pool_name(&self.pool)),
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
pub(crate) async fn id(cx: &Cx) -> Result<SnapshotId, Condition> {
    Ok(get(cx).await?.snapshot.id)
}

/// The snapshot that the path names, with what belongs to it.
pub(crate) async fn get(cx: &Cx) -> Result<View, Condition> {
    named(cx, from_wire::id_in_path(Kind::Snapshot, cx.param("id")).map(SnapshotId)?).await
}

/// A snapshot that this side shows.
pub(crate) async fn named(cx: &Cx, id: SnapshotId) -> Result<View, Condition> {
    let view = snapshots::get(cx.ports(), cx.actor()?, &Key::Id(id)).await?;
    match view.snapshot.hidden.contains(&Api::OpenStack) {
        true => Err(Condition::not_found(Kind::Snapshot, id)),
        false => Ok(view),
    }
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let page = page(&cx, snapshots_of(&cx).await?)?;
    Ok(page.counted(&cx, "snapshots", "snapshots_links", to_wire::snapshot_base))
}

pub(crate) async fn detail(cx: Cx) -> Result<Reply, Condition> {
    let page = page(&cx, snapshots_of(&cx).await?)?;
    Ok(page
        .counted(&cx, "snapshots", "snapshots_links", |view| to_wire::snapshot(cx.look(), view, Shape::Full)))
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_known(&mut cx.request, "snapshot", cx.version, known::SNAPSHOT).await?;
    let actor = cx.actor()?;
    let id = SnapshotId(cx.ports().entropy.uuid());
    let (of, new) = from_wire::new_snapshot(&fields, actor, id, cx.version)?;
    let of = crate::volumes::named(&cx, of).await?.volume;
    let mut new = new;
    bootable::to_snapshot(&of, &mut new.attributes);
    let of = of.id;
    let forced = fields.flag("force")?.unwrap_or(false);
    let while_held = forced || cx.version.has(66);
    let new = snapshots::NewSnapshot { when: actions::snapshot_when(while_held), ..new };
    let wanted = if while_held { "available, in-use" } else { "available" };
    let begun = reword(snapshots::create(cx.ports(), actor, of, new).await, |now| {
        format!("Invalid volume: Volume {of} status must be {wanted}, but current status is: {now}.")
    })?;
    let view = snapshots::as_told(cx.ports(), begun.now).await?;
    one(StatusCode::ACCEPTED, "snapshot", to_wire::snapshot(cx.look(), &view, Shape::Made))
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    one(StatusCode::OK, "snapshot", to_wire::snapshot(cx.look(), &get(&cx).await?, Shape::Full))
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_known(&mut cx.request, "snapshot", cx.version, known::SNAPSHOT_CHANGE).await?;
    if fields.0.is_empty() {
        return Err(refuse("snapshot", &json!({}), "does not have enough properties"));
    }
    let edit = Edit {
        name: from_wire::new_name(&fields)?,
        attributes: from_wire::change(&fields)?,
        ..Edit::default()
    };
    snapshots::edit(cx.ports(), cx.actor()?, id(&cx).await?, edit).await?;
    one(StatusCode::OK, "snapshot", to_wire::snapshot(cx.look(), &get(&cx).await?, Shape::Made))
}

async fn remove(cx: Cx, force: bool) -> Result<Reply, Condition> {
    let when = if force { When::default() } else { When::Only(&[Standing::Free, Standing::Error]) };
    let terms = DeleteTerms { force, respect: true, when };
    let id = id(&cx).await?;
    if force {
        let project = named(&cx, id).await?.snapshot.project;
        may(cx.actor()?, Power::Operate, Some(project))?;
    }
    let status = if force { "" } else { "status must be available or error and" };
    reword(snapshots::delete(cx.ports(), cx.actor()?, id, terms).await, |_| {
        format!("Invalid snapshot: Snapshot {status} must not be part of a group.")
    })?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    remove(cx, false).await
}

pub(crate) async fn force_delete(cx: Cx) -> Result<Reply, Condition> {
    remove(cx, true).await
}

pub(crate) async fn reset(cx: Cx) -> Result<Reply, Condition> {
    let text = cx.argument().text("status", 255)?.ok_or_else(|| required("status"))?;
    let standing = states::said("Snapshot", &text, states::SNAPSHOT)?;
    let (ports, actor, id) = (cx.ports(), cx.actor()?, id(&cx).await?);
    snapshots::say(ports, actor, id, standing, Power::Operate, When::default(), None).await?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

/// A progress is a whole number of per cent.
fn progress(fields: &Fields) -> Result<Option<String>, Condition> {
    let Some(text) = fields.text("progress", 255)?.filter(|p| !p.is_empty()) else { return Ok(None) };
    let number = text.strip_suffix('%').and_then(|n| n.parse::<u8>().ok());
    match number {
        Some(0..=100) => Ok(Some(text)),
        _ => Err(bad("Invalid input received: progress must be an integer percentage between 0 and 100")),
    }
}

pub(crate) async fn update_status(cx: Cx) -> Result<Reply, Condition> {
    let argument = cx.argument();
    let text = argument.text("status", 255)?.ok_or_else(|| required("status"))?;
    let wanted = states::said("Snapshot", &text, states::SNAPSHOT)?;
    let progress = progress(&argument)?;
    let view = get(&cx).await?;
    may(cx.actor()?, Power::Write, Some(view.snapshot.project))?;
    let now = view.snapshot.standing();
    let allowed: &[Standing] = match now {
        Standing::Creating => &[Standing::Creating, Standing::Free, Standing::Error],
        Standing::Deleting => &[Standing::Deleting, Standing::ErrorDeleting],
        _ => {
            let now = states::word(now);
            return Err(bad(format!("Snapshot status {now} not allowed for update_snapshot_status")));
        }
    };
    if !allowed.contains(&wanted) {
        return Err(bad(format!(
            "Provided snapshot status {text} not allowed for snapshot with status {}.",
            states::word(now)
        )));
    }
    let change: Option<parpen_service::volumes::ChangeAttributes> = match progress {
        Some(p) => Some(Box::new(move |attributes| {
            attributes.entry(OWN).insert("progress".into(), json!(p));
        })),
        None => None,
    };
    let from: When = if now == Standing::Creating {
        When::Only(&[Standing::Creating])
    } else {
        When::Only(&[Standing::Deleting])
    };
    let (ports, actor) = (cx.ports(), cx.actor()?);
    snapshots::say(ports, actor, view.snapshot.id, wanted, Power::Write, from, change).await?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}
