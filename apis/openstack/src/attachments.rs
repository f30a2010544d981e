//! Attachments: announce, connect, complete, take away.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::lifecycle::{AttachState, Standing, When};
use parpen_model::{Attachment, AttachmentId, Condition, Kind, Volume, VolumeId};
use parpen_service::attachments::{self, Attach};
use parpen_service::volumes::Attached;
use serde_json::{Value, json};

use crate::connections::in_use;
use crate::cx::{Cx, one};
use crate::fields::{Fields, required};
use crate::from_wire;
use crate::known;
use crate::paging::{Listed, Page, page};
use crate::states::{self, bad, reword};
use crate::{to_wire, volumes};

impl Listed for Attached {
    const KIND: Kind = Kind::Attachment;
    const SORTS: &'static [&'static str] = &["id", "volume_id", "instance_id", "instance", "instance_uuid"];
    const FILTERS: &'static [&'static str] = &["volume_id", "status", "instance_id", "attach_status", "id"];

    fn id(&self) -> String {
        self.attachment.id.to_string()
    }

    fn field(&self, name: &str) -> Option<Value> {
        let a = &self.attachment;
        Some(match name {
            "id" => json!(a.id.to_string()),
            "status" | "attach_status" => json!(to_wire::attachment_status(a)),
            "volume_id" => json!(a.subject.uuid().to_string()),
            "instance_id" | "instance" | "instance_uuid" => json!(a.instance),
            "project_id" => json!(a.project.0.simple().to_string()),
            "created_at" => json!(to_wire::time(a.stamp.created)),
            _ => return None,
        })
    }

    fn metadata(&self, _: &str) -> Option<&str> {
        None
    }
}

/// An announcement of the old flow is none of this one's attachments until somebody connects.
fn shows(a: &Attachment) -> bool {
    !(a.by_volume && a.host.is_none() && a.state == AttachState::Attaching)
}

/// Whence a volume is reserved, and one that many may attach.
const EXCLUSIVE: When = When::Only(&[Standing::Free, Standing::Downloading]);
const SHARED: When = When::Only(&[Standing::Free, Standing::Attached, Standing::Downloading]);

fn is_broken(v: &Volume) -> bool {
    matches!(v.standing(), Standing::Error | Standing::ErrorDeleting | Standing::ErrorResizing)
}

fn id(cx: &Cx) -> Result<AttachmentId, Condition> {
    from_wire::id_in_path(Kind::Attachment, cx.param("id")).map(AttachmentId)
}

/// The attachments of volumes that this call is about, a page of them.
async fn paged(cx: &Cx) -> Result<Page<Attached>, Condition> {
    let actor = cx.actor()?;
    let everyones = cx.asks("all_tenants");
    let all = attachments::list(cx.ports(), actor).await?;
    let mine = |a: &Attached| shows(&a.attachment) && (everyones || a.attachment.project == actor.project);
    page(cx, all.into_iter().filter(|a| a.attachment.subject.kind() == Kind::Volume && mine(a)).collect())
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let print = |a: &Attached| to_wire::attachment_summary(&a.attachment);
    Ok(paged(&cx).await?.reply("attachments", "attachments_links", print))
}

pub(crate) async fn detail(cx: Cx) -> Result<Reply, Condition> {
    let print = |a: &Attached| to_wire::attachment(&a.attachment, &cx.house.config.nbd);
    Ok(paged(&cx).await?.reply("attachments", "attachments_links", print))
}

async fn shown(cx: &Cx, a: &Attachment) -> Result<Reply, Condition> {
    let mut doc = to_wire::attachment(a, &cx.house.config.nbd);
    crate::qos::tell(cx, a.subject, &mut doc["connection_info"]).await?;
    one(StatusCode::OK, "attachment", doc)
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_known(&mut cx.request, "attachment", cx.version, known::ATTACHMENT).await?;
    let (reserve, by) = from_wire::new_attachment(&fields, cx.version)?;
    let (ports, actor) = (cx.ports(), cx.actor()?);
    let v = volumes::named(&cx, reserve.volume).await?.volume;
    if is_broken(&v) {
        return Err(bad(format!(
            "Invalid volume: Volume attachments can not be created if the volume is in an error state. The Volume {} \
             currently has a status of: {} ",
            v.id,
            states::of_volume(&v)
        )));
    }
    let (when, wanted) = match v.shared {
        true => (SHARED, "available or in-use or downloading"),
        false => (EXCLUSIVE, "available or downloading"),
    };
    let made = attachments::attach(ports, actor, Attach { reserve, by, when }).await;
    let (a, job) = reword(made, |now| {
        format!(
            "Invalid volume: Volume {} status must be {wanted} to reserve, but the current status is {now}.",
            v.id
        )
    })?;
    if let Some(job) = job {
        // The address in the answer must work, so the gate lets the holder in first.
        ports.jobs.wait(job).await?;
    }
    shown(&cx, &a).await
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    shown(&cx, &attachments::get(cx.ports(), cx.actor()?, id(&cx)?).await?.attachment).await
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    let fields =
        Fields::read_known(&mut cx.request, "attachment", cx.version, known::ATTACHMENT_CHANGE).await?;
    let by = from_wire::connector(&fields)?.ok_or_else(|| required("connector"))?;
    let (ports, actor) = (cx.ports(), cx.actor()?);
    let of = attachments::get(ports, actor, id(&cx)?).await?.attachment.subject;
    let v = volumes::named(&cx, VolumeId(of.uuid())).await?.volume;
    if is_broken(&v) {
        return Err(Condition::Conflict(format!(
            "Resource conflict: Volume attachments can not be updated if the volume is in an error state. The Volume {} \
             currently has a status of: {} ",
            v.id,
            states::of_volume(&v)
        )));
    }
    let started = match attachments::connect(ports, actor, id(&cx)?, by).await {
        // Cinder calls it a conflict where somebody else is connected already.
        Err(Condition::InUse { name, by, .. }) => Err(Condition::Conflict(format!(
            "Resource conflict: duplicate connectors detected on volume {name}: {}",
            by.join(", ")
        ))),
        other => other,
    }?;
    ports.jobs.wait(started.job).await?;
    shown(&cx, &started.now).await
}

pub(crate) async fn complete(cx: Cx) -> Result<Reply, Condition> {
    attachments::complete(cx.ports(), cx.actor()?, id(&cx)?).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    let actor = cx.actor()?;
    let terms = cx.detach_terms().await?;
    let started = attachments::detach(cx.ports(), actor, id(&cx)?, terms).await.map_err(in_use)?;
    cx.ports().jobs.wait(started.job).await?;
    let all = attachments::list(cx.ports(), actor).await?;
    let left = all.iter().filter(|a| shows(&a.attachment) && a.attachment.subject == started.now.subject);
    let left: Vec<Value> = left.map(|a| to_wire::attachment_summary(&a.attachment)).collect();
    Ok(Reply::json(StatusCode::OK, &json!({ "attachments": left })))
}
