//! Taking over what pools hold already, and letting it go.

use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{Power, may};
use parpen_model::lifecycle::{Standing, When};
use parpen_model::{Api, Condition, Kind, Pool, Subject, VolumeId};
use parpen_service::names::Naming;
use parpen_service::volumes::{self, Key, Manageable, Takeover};
use parpen_service::{snapshots, types};
use serde_json::{Value, json};

use crate::actions::pool_of;
use crate::bootable;
use crate::cx::{Cx, one};
use crate::fields::{Fields, refuse, required};
use crate::from_wire;
use crate::known;
use crate::paging::{Listed, page};
use crate::services::VOLUME;
use crate::states::{bad, reword};
use crate::to_wire::{self, Shape, gib};

impl Listed for Manageable {
    const KIND: Kind = Kind::Other;
    const SORTS: &'static [&'static str] = &["reference"];

    fn id(&self) -> String {
        reference(self.subject)
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "reference" => json!(reference(self.subject)),
            "size" => json!(gib(self.size)),
            _ => return None,
        })
    }

    fn metadata(&self, _: &str) -> Option<&str> {
        None
    }
}

/// The name under which something is found again in its pool.
fn reference(subject: Subject) -> String {
    match subject {
        Subject::Volume(id) => format!("volume-{id}"),
        Subject::Snapshot(id) => format!("snapshot-{id}"),
    }
}

fn printed(m: &Manageable, detailed: bool) -> Value {
    let name = |subject| json!({ "source-name": reference(subject) });
    let (safe, why) = match (m.managed, m.held) {
        (true, _) => (false, json!("already managed")),
        (false, true) => (false, json!("volume in use")),
        (false, false) => (true, Value::Null),
    };
    let mut doc = json!({ "reference": name(m.subject), "size": gib(m.size), "safe_to_manage": safe });
    if m.subject.kind() == Kind::Snapshot {
        doc["source_reference"] = m.origin.map_or(Value::Null, |o| name(o.into()));
    }
    if detailed {
        doc["reason_not_safe"] = why;
        doc["cinder_id"] = if m.managed { json!(m.subject.uuid().to_string()) } else { Value::Null };
        doc["extra_info"] = Value::Null;
    }
    doc
}

/// The pool that a listing or a takeover is about.
async fn pool(cx: &Cx, host: Option<String>) -> Result<Pool, Condition> {
    let host = host
        .filter(|h| !h.is_empty())
        .ok_or_else(|| bad("Invalid input received: One of cluster and host must be set."))?;
    pool_of(cx, &host).await?.ok_or_else(|| bad("Service is unavailable at this time."))
}

async fn listed(cx: Cx, kind: Kind, detailed: bool) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let query = |name: &str| cx.request.query_value(name);
    let keys = query("sort").unwrap_or_default() + &query("sort_key").unwrap_or_default();
    let wrong: Vec<&str> = keys
        .split(',')
        .map(|k| k.split(':').next().unwrap_or_default())
        .filter(|k| !k.is_empty() && !matches!(*k, "reference" | "size"))
        .collect();
    if !wrong.is_empty() {
        return Err(bad(format!("Invalid sort keys passed: {}", wrong.join(", "))));
    }
    let host = query("host").filter(|h| !h.is_empty());
    if let Some(host) = &host
        && pool_of(&cx, host).await?.is_none()
    {
        let text = format!("Service {VOLUME} could not be found on host {host:.128}.");
        return Err(Condition::not_found(Kind::Other, text));
    }
    let pool = pool(&cx, host).await?;
    let all = volumes::manageable(cx.ports(), cx.actor()?, &pool, Api::OpenStack, kind).await?;
    let key = if kind == Kind::Volume { "manageable-volumes" } else { "manageable-snapshots" };
    let items: Vec<Value> = page(&cx, all)?.items.iter().map(|m| printed(m, detailed)).collect();
    one(StatusCode::OK, key, json!(items))
}

pub(crate) async fn volumes_list(cx: Cx) -> Result<Reply, Condition> {
    listed(cx, Kind::Volume, false).await
}

pub(crate) async fn volumes_detail(cx: Cx) -> Result<Reply, Condition> {
    listed(cx, Kind::Volume, true).await
}

pub(crate) async fn snapshots_list(cx: Cx) -> Result<Reply, Condition> {
    listed(cx, Kind::Snapshot, false).await
}

pub(crate) async fn snapshots_detail(cx: Cx) -> Result<Reply, Condition> {
    listed(cx, Kind::Snapshot, true).await
}

/// The name in a reference, by either of the keys that drivers use.
fn named(fields: &Fields) -> Result<String, Condition> {
    let reference = match fields.get("ref") {
        Some(Value::Object(map)) => Fields(map.clone()),
        Some(Value::String(text)) => return Ok(text.clone()),
        Some(other) => return Err(refuse("ref", other, "is not of type 'object'")),
        None => return Err(required("ref")),
    };
    let name = reference.text("source-name", 255)?.or(reference.text("source-id", 255)?);
    name.filter(|n| !n.is_empty()).ok_or_else(|| {
        bad("Invalid input received: Reference must contain source-name or source-id element.")
    })
}

/// What cannot be found under its reference is Cinder's fault of the caller.
fn unknown(condition: Condition, name: &str) -> Condition {
    match condition {
        Condition::NotFound { what: Kind::Volume | Kind::Snapshot, .. } => bad(format!(
            "Manage existing volume failed due to invalid backend reference {name}: it does not exist."
        )),
        Condition::Exists { .. } => {
            bad("Invalid volume: Unable to manage existing volume. The volume is already managed")
        }
        other => other,
    }
}

pub(crate) async fn volume(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_known(&mut cx.request, "volume", cx.version, known::VOLUME_TAKEN).await?;
    may(cx.actor()?, Power::Operate, None)?;
    let (ports, actor) = (cx.ports(), cx.actor()?);
    let host = fields.text("host", 255)?;
    if host.is_none() && fields.get("cluster").is_none() {
        return Err(required("host"));
    }
    let pool = pool(&cx, host).await?;
    let name = named(&fields)?;
    let all = types::list(ports, actor).await?;
    let kind = fields.text("volume_type", 255)?.filter(|t| !t.is_empty());
    let volume_type = match &kind {
        Some(t) => from_wire::volume_type(&all, t).map_err(|condition| match condition {
            Condition::NotFound { .. } => {
                bad(format!("Invalid volume type: Cannot find requested '{t}' volume type"))
            }
            other => other,
        })?,
        None => None,
    };
    from_wire::zone(&fields)?;
    let mut attributes = from_wire::attributes(&fields, actor, fields.texts("metadata")?)?;
    if fields.flag("bootable")?.unwrap_or(false) {
        bootable::set(&mut attributes, true);
    }
    let naming = Naming { name: from_wire::name(&fields)?.unwrap_or_default(), ..Naming::default() };
    let new = Takeover { naming, volume_type, attributes };
    let taken = volumes::take_over(ports, actor, pool.id, &name, Api::OpenStack, new).await;
    let id = taken.map_err(|c| unknown(c, &name))?.id;
    let view = volumes::get(ports, actor, &Key::Id(id)).await?;
    // The one answer that has no microversions in Cinder.
    let look = crate::cx::Look { version: crate::microversion::Microversion::MIN, ..cx.look() };
    one(StatusCode::ACCEPTED, "volume", to_wire::volume(look, &view, Shape::Made))
}

pub(crate) async fn snapshot(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_known(&mut cx.request, "snapshot", cx.version, known::SNAPSHOT_TAKEN).await?;
    may(cx.actor()?, Power::Operate, None)?;
    let (ports, actor) = (cx.ports(), cx.actor()?);
    let of = VolumeId(fields.required_id("volume_id")?);
    let name = named(&fields)?;
    let of = crate::volumes::named(&cx, of).await?;
    let attributes = from_wire::attributes(&fields, actor, fields.texts("metadata")?)?;
    let naming = Naming { name: from_wire::name(&fields)?.unwrap_or_default(), ..Naming::default() };
    let new = Takeover { naming, attributes, ..Takeover::default() };
    let taken = volumes::take_snapshot_over(ports, actor, of.volume.id, &name, Api::OpenStack, new).await;
    let id = taken.map_err(|c| unknown(c, &name))?.id;
    let view = snapshots::get(ports, actor, &snapshots::Key::Id(id)).await?;
    one(StatusCode::ACCEPTED, "snapshot", to_wire::snapshot(cx.look(), &view, Shape::Made))
}

pub(crate) async fn volume_release(cx: Cx) -> Result<Reply, Condition> {
    let id = crate::volumes::id(&cx).await?;
    let when = When::Only(&[
        Standing::Free,
        Standing::Error,
        Standing::ErrorRestoring,
        Standing::ErrorResizing,
        Standing::ErrorManaging,
    ]);
    let done = volumes::let_loose(cx.ports(), cx.actor()?, id, Api::OpenStack, when).await;
    reword(done, |_| {
        "Invalid volume: Volume status must be available or error or error_restoring or error_extending or \
         error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, \
         or be disassociated from snapshots after volume transfer."
            .to_string()
    })?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn snapshot_release(cx: Cx) -> Result<Reply, Condition> {
    let id = crate::snapshots::id(&cx).await?;
    let done = volumes::let_snapshot_loose(cx.ports(), cx.actor()?, id, Api::OpenStack).await;
    reword(done, |_| {
        "Invalid snapshot: Snapshot status must be available or error and must not be part of a group."
            .to_string()
    })?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}
