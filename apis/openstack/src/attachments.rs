//! Attachments: announce, connect, complete, take away.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::{Attachment, AttachmentId, Condition, Kind};
use parpen_service::attachments::{self, Connect};
use parpen_service::volumes::Attached;
use serde_json::{Value, json};

use crate::cx::{Cx, one};
use crate::fields::{Fields, required};
use crate::from_wire;
use crate::paging::{Listed, Page, page};
use crate::to_wire;

impl Listed for Attached {
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

fn id(cx: &Cx) -> Result<AttachmentId, Condition> {
    from_wire::id_in_path(Kind::Attachment, cx.param("id")).map(AttachmentId)
}

/// The attachments of volumes that this call is about, a page of them.
async fn paged(cx: &Cx) -> Result<Page<Attached>, Condition> {
    let actor = cx.actor()?;
    let everyones = cx.asks("all_tenants");
    let all = attachments::list(cx.ports(), actor).await?;
    let mine = |a: &Attached| everyones || a.attachment.project == actor.project;
    page(cx, all.into_iter().filter(|a| a.attachment.subject.kind() == Kind::Volume && mine(a)).collect())
}

fn listed(page: Page<Attached>, print: impl Fn(&Attachment) -> Value) -> Result<Reply, Condition> {
    let items: Vec<Value> = page.items.iter().map(|a| print(&a.attachment)).collect();
    let mut body = json!({ "attachments": items });
    if let Some(next) = page.next {
        body["attachments_links"] = json!([{ "rel": "next", "href": next }]);
    }
    Ok(Reply::json(StatusCode::OK, &body))
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    listed(paged(&cx).await?, to_wire::attachment_summary)
}

pub(crate) async fn detail(cx: Cx) -> Result<Reply, Condition> {
    listed(paged(&cx).await?, |a| to_wire::attachment(a, &cx.house.config.nbd))
}

fn shown(cx: &Cx, a: &Attachment) -> Result<Reply, Condition> {
    one(StatusCode::OK, "attachment", to_wire::attachment(a, &cx.house.config.nbd))
}

/// Names the holder and waits until the gate lets it in: the answer's address must work.
async fn connect(cx: &Cx, id: AttachmentId, by: Connect) -> Result<Attachment, Condition> {
    let started = attachments::connect(cx.ports(), cx.actor()?, id, by).await?;
    cx.ports().jobs.wait(started.job).await?;
    Ok(started.now)
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read(&mut cx.request, "attachment").await?;
    let (want, by) = from_wire::new_attachment(&fields)?;
    let (reserved, _) = attachments::reserve(cx.ports(), cx.actor()?, want).await?;
    let Some(by) = by else { return shown(&cx, &reserved) };
    match connect(&cx, reserved.id, by).await {
        Ok(connected) => shown(&cx, &connected),
        Err(condition) => {
            // All or nothing: a holder that is refused leaves no reservation.
            let undo = attachments::detach(cx.ports(), cx.actor()?, reserved.id).await?;
            cx.ports().jobs.wait(undo.job).await?;
            Err(condition)
        }
    }
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    shown(&cx, &attachments::get(cx.ports(), cx.actor()?, id(&cx)?).await?.attachment)
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read(&mut cx.request, "attachment").await?;
    let by = from_wire::connector(&fields)?.ok_or_else(|| required("connector"))?;
    shown(&cx, &connect(&cx, id(&cx)?, by).await?)
}

pub(crate) async fn complete(cx: Cx) -> Result<Reply, Condition> {
    attachments::complete(cx.ports(), cx.actor()?, id(&cx)?).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    let actor = cx.actor()?;
    let started = attachments::detach(cx.ports(), actor, id(&cx)?).await?;
    cx.ports().jobs.wait(started.job).await?;
    let all = attachments::list(cx.ports(), actor).await?;
    let left = all.iter().filter(|a| a.attachment.subject == started.now.subject);
    let left: Vec<Value> = left.map(|a| to_wire::attachment_summary(&a.attachment)).collect();
    Ok(Reply::json(StatusCode::OK, &json!({ "attachments": left })))
}
