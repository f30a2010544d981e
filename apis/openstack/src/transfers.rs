//! Offers of volumes to other projects, by the new paths and by the old.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::lifecycle::Standing;
use parpen_model::{Attributes, Condition, Kind, Transfer, TransferId, VolumeId};
use parpen_service::transfers::{self, Offer};
use serde_json::{Value, json};

use crate::cx::{Cx, one};
use crate::fields::{Fields, required};
use crate::from_wire::{self, OWN};
use crate::known;
use crate::paging::{Listed, Page, page};
use crate::states::{bad, reword};
use crate::to_wire::time;
use crate::volumes;

impl Listed for Transfer {
    const KIND: Kind = Kind::Transfer;
    const SORTS: &'static [&'static str] = &["id", "name", "volume_id"];
    const NEWEST_FIRST: bool = false;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "id" => json!(self.id.to_string()),
            "name" | "display_name" => json!(self.name),
            "volume_id" => json!(self.volume.to_string()),
            "created_at" => json!(time(self.stamp.created)),
            _ => return None,
        })
    }

    fn metadata(&self, _: &str) -> Option<&str> {
        None
    }
}

fn links(cx: &Cx, t: &Transfer) -> Value {
    crate::to_wire::links(cx.look(), "os-volume-transfer", t.id)
}

fn summary(cx: &Cx, t: &Transfer) -> Value {
    json!({ "id": t.id.to_string(), "volume_id": t.volume.to_string(), "name": t.name, "links": links(cx, t) })
}

/// Show, detailed lists and the answer to create, which has the key besides.
fn detailed(cx: &Cx, t: &Transfer) -> Value {
    let mut doc = summary(cx, t);
    doc["created_at"] = json!(time(t.stamp.created));
    if cx.version.has(55) {
        doc["no_snapshots"] = json!(t.without_snapshots);
    }
    if cx.version.has(57) {
        // One that was accepted is gone.
        doc["source_project_id"] = json!(t.project.0.simple().to_string());
        doc["destination_project_id"] = Value::Null;
        doc["accepted"] = json!(false);
    }
    doc
}

fn id(cx: &Cx) -> Result<TransferId, Condition> {
    from_wire::id_in_path(Kind::Transfer, cx.param("id")).map(TransferId)
}

/// The offers that this call is about, a page of them.
async fn paged(cx: &Cx) -> Result<Page<Transfer>, Condition> {
    let actor = cx.actor()?;
    let project = Some(actor.project).filter(|_| !cx.asks("all_tenants"));
    page(cx, transfers::list(cx.ports(), actor, project).await?)
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    Ok(paged(&cx).await?.reply("transfers", "transfers_links", |t| summary(&cx, t)))
}

pub(crate) async fn detail(cx: Cx) -> Result<Reply, Condition> {
    Ok(paged(&cx).await?.reply("transfers", "transfers_links", |t| detailed(&cx, t)))
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    let t = transfers::get(cx.ports(), cx.actor()?, id(&cx)?).await?;
    one(StatusCode::OK, "transfer", detailed(&cx, &t))
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_known(&mut cx.request, "transfer", cx.version, known::TRANSFER).await?;
    let volume = VolumeId(fields.required_id("volume_id")?);
    let name = fields.get("name").map(|_| fields.name("name")).transpose()?;
    let without = cx.version.has(55) && fields.flag("no_snapshots")?.unwrap_or(false);
    let volume = volumes::named(&cx, volume).await?.volume.id;
    // Its key goes with it since 3.70, and with all that is encrypted with it.
    let encrypted = cx.version.has(70) && !without;
    let offer = Offer { volume, name, without_snapshots: without, encrypted };
    let offered = transfers::create(cx.ports(), cx.actor()?, offer).await;
    let offered = offered.map_err(|condition| match condition {
        Condition::WrongState { what: Kind::Snapshot, name, .. } => {
            bad(format!("Invalid snapshot: snapshot: {name} status must be available"))
        }
        other => other,
    });
    let offered = reword(offered, |_| "Invalid volume: status must be available".to_string())?;
    let mut doc = detailed(&cx, &offered.transfer);
    doc["auth_key"] = json!(offered.key);
    one(StatusCode::ACCEPTED, "transfer", doc)
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    transfers::delete(cx.ports(), cx.actor()?, id(&cx)?).await?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn accept(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_known(&mut cx.request, "accept", cx.version, known::ACCEPT).await?;
    let key = fields.text("auth_key", 255)?.ok_or_else(|| required("auth_key"))?;
    let actor = cx.actor()?;
    let user = actor.principal.0.simple().to_string();
    let owned = Box::new(move |attributes: &mut Attributes| {
        attributes.entry(OWN).insert("user_id".into(), json!(user));
    });
    let taken = transfers::accept(cx.ports(), actor, id(&cx)?, &key, owned).await;
    let t = reword(taken, |now| match now {
        // As Cinder has it where an operator took the volume out of the offer.
        "maintenance" => "Invalid volume: The volume cannot accept transfer in maintenance mode.".to_string(),
        other => format!(
            "Invalid volume: Transfer of volume needs it to be {}, but it is {other}.",
            crate::states::word(Standing::Offered)
        ),
    })?;
    one(StatusCode::ACCEPTED, "transfer", summary(&cx, &t))
}
