//! The old flow: reserve, initialize, attach, begin detaching, terminate, detach; it speaks of volumes only.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::lifecycle::{Declaration, Standing};
use parpen_model::{AttachmentId, Condition, Kind, Rights};
use parpen_service::attachments::{self, Hold};
use parpen_service::volumes;
use serde_json::json;
use uuid::Uuid;

use crate::cx::{Cx, one};
use crate::fields::{Fields, refuse, required};
use crate::from_wire;
use crate::states::{self, bad, reword};
use crate::to_wire;
use crate::volumes::{get, id};

fn accepted() -> Result<Reply, Condition> {
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn reserve(cx: Cx) -> Result<Reply, Condition> {
    let v = get(&cx).await?.volume;
    let expected = if v.shared { "available or in-use" } else { "available" };
    let now = states::of_volume(&v);
    reword(attachments::announce(cx.ports(), cx.actor()?, v.id).await, |actual| {
        let actual = if actual == "in-use" { now } else { actual };
        format!("Invalid volume: Volume status must be {expected} to reserve, but the status is {actual}.")
    })?;
    accepted()
}

pub(crate) async fn unreserve(cx: Cx) -> Result<Reply, Condition> {
    attachments::withdraw(cx.ports(), cx.actor()?, id(&cx).await?).await?;
    accepted()
}

pub(crate) async fn begin_detaching(cx: Cx) -> Result<Reply, Condition> {
    let id = id(&cx).await?;
    let declared = volumes::declare(cx.ports(), cx.actor()?, id, Declaration::BeginDetaching).await;
    reword(declared, |_| {
        "Invalid volume: Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' \
         to detach."
            .to_string()
    })?;
    accepted()
}

pub(crate) async fn roll_detaching(cx: Cx) -> Result<Reply, Condition> {
    let id = id(&cx).await?;
    match volumes::declare(cx.ports(), cx.actor()?, id, Declaration::RollDetaching).await {
        // What is not detaching has nothing to roll back.
        Ok(_) | Err(Condition::WrongState { .. }) => accepted(),
        Err(other) => Err(other),
    }
}

/// Refuses while a volume is in maintenance.
async fn in_service(cx: &Cx, what: &str) -> Result<volumes::View, Condition> {
    let view = get(cx).await?;
    match view.volume.standing() {
        Standing::Maintenance => Err(bad(format!("Invalid volume: {what} in maintenance mode."))),
        _ => Ok(view),
    }
}

pub(crate) async fn initialize(cx: Cx) -> Result<Reply, Condition> {
    let argument = cx.argument();
    let by = from_wire::connector(&argument)?.ok_or_else(|| required("connector"))?;
    let multipath = argument.get("connector").and_then(|c| c.get("enforce_multipath")).cloned();
    let v = in_service(&cx, "The volume connection cannot be initialized").await?.volume;
    let begun = attachments::initialize(cx.ports(), cx.actor()?, v.id, by, Rights::ReadWrite).await;
    let a = reword(begun, |now| {
        format!("Invalid volume: Volume {} status must be available or attaching, but is {now}.", v.id)
    })?;
    let mut info = to_wire::nested_connection(&a, &cx.house.config.nbd);
    crate::qos::tell(&cx, a.subject, &mut info["data"]).await?;
    info["enforce_multipath"] = multipath.unwrap_or(json!(false));
    one(StatusCode::OK, "connection_info", info)
}

/// The host of a connector that may be missing: then all connections are meant.
fn host_of(fields: &Fields) -> Result<Option<String>, Condition> {
    Ok(from_wire::connector(fields)?.map(|c| c.host))
}

pub(crate) async fn terminate(cx: Cx) -> Result<Reply, Condition> {
    let argument = cx.argument();
    if !argument.0.contains_key("connector") {
        return Err(required("connector"));
    }
    let host = host_of(&argument)?;
    let id = id(&cx).await?;
    let terms = cx.detach_terms().await?;
    attachments::give_back(cx.ports(), cx.actor()?, id, host, terms).await.map_err(in_use)?;
    accepted()
}

/// A machine that has a volume open at this moment is to give it back itself.
pub(crate) fn in_use(condition: Condition) -> Condition {
    match condition {
        Condition::InUse { what: Kind::Attachment, by, .. } => Condition::Conflict(format!(
            "ConflictNovaUsingAttachment: Detach volume from instance {} using the Compute API",
            by.join(", ")
        )),
        other => other,
    }
}

pub(crate) async fn attach(cx: Cx) -> Result<Reply, Condition> {
    let argument = cx.argument();
    let instance = argument.text("instance_uuid", 255)?.filter(|i| !i.is_empty());
    let host = argument.text("host_name", 255)?.filter(|h| !h.is_empty());
    let mountpoint = argument.text("mountpoint", 255)?.filter(|m| !m.is_empty());
    let mountpoint = mountpoint.ok_or_else(|| required("mountpoint"))?;
    let mode = argument.text("mode", 255)?;
    let rights = match mode.as_deref() {
        None | Some("rw") => Rights::ReadWrite,
        Some("ro") => Rights::ReadOnly,
        Some(other) => return Err(refuse("mode", &json!(other), "is not one of ['rw', 'ro']")),
    };
    if let Some(i) = instance.as_ref().filter(|i| Uuid::parse_str(i).is_err()) {
        return Err(refuse("instance_uuid", &json!(i), "is not a 'uuid'"));
    }
    if instance.is_none() && host.is_none() {
        return Err(bad("Invalid input received: Invalid request to attach volume to an invalid target"));
    }
    if instance.is_some() && host.is_some() {
        // The instance wins, as the clients have it.
        tracing::debug!("a volume is attached to an instance and a host; the instance is meant");
    }
    let v = in_service(&cx, "The volume cannot be attached").await?.volume;
    let hold = Hold { instance, host, mountpoint: Some(mountpoint), rights };
    let held = attachments::hold(cx.ports(), cx.actor()?, v.id, hold).await;
    let held = held.map_err(|condition| match condition {
        Condition::Invalid { field, .. } if field == "mode" => {
            bad(format!("Invalid attaching mode 'rw' for volume {}.", v.id))
        }
        other => other,
    });
    reword(held, |now| match now {
        "in-use" => {
            "Error attaching volume - InvalidVolume: Invalid volume: volume is already attached and multiple \
                     attachments are not enabled"
                .to_string()
        }
        other => format!(
            "Error attaching volume - InvalidVolume: Invalid volume: status must be available or attaching, but is \
             {other}"
        ),
    })?;
    accepted()
}

/// The attachment that an argument names.
fn named(fields: &Fields) -> Result<Option<AttachmentId>, Condition> {
    let Some(text) = fields.text("attachment_id", 255)?.filter(|t| !t.is_empty()) else { return Ok(None) };
    let id = Uuid::parse_str(&text);
    id.map(|id| Some(AttachmentId(id))).map_err(|_| refuse("attachment_id", &json!(text), "is not a 'uuid'"))
}

async fn let_go(cx: &Cx, how: &str) -> Result<(), Condition> {
    let which = named(&cx.argument())?;
    let v = in_service(cx, "The volume cannot be detached").await?.volume;
    let terms = cx.detach_terms().await?;
    let done = attachments::let_go(cx.ports(), cx.actor()?, v.id, which, terms).await;
    done.map_err(in_use).map_err(|condition| match condition {
        Condition::InUse { .. } => bad(format!(
            "Error {how} volume - InvalidVolume: Invalid volume: Detach volume failed: More than one attachment, but \
             no attachment_id provided."
        )),
        Condition::NotFound { what: Kind::Attachment, name } => bad(format!(
            "Error {how} volume - VolumeAttachmentNotFound: Volume attachment could not be found with filter: \
             attachment_id = {name}."
        )),
        other => other,
    })
}

pub(crate) async fn detach(cx: Cx) -> Result<Reply, Condition> {
    let_go(&cx, "detaching").await?;
    accepted()
}

pub(crate) async fn force_detach(cx: Cx) -> Result<Reply, Condition> {
    use parpen_identity::{Power, may};
    let v = get(&cx).await?.volume;
    may(cx.actor()?, Power::Operate, Some(v.project))?;
    // Whatever the connector says, a forced end ends what the attachment has.
    let_go(&cx, "force detaching").await?;
    accepted()
}
