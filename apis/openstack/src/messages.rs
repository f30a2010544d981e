//! What went wrong after its request was answered, in Cinder's numbers and sentences.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::{Condition, Kind, Message, MessageId};
use parpen_service::messages;
use serde_json::{Value, json};

use crate::cx::{Cx, one};
use crate::from_wire::id_in_path;
use crate::paging::{Listed, page};
use crate::to_wire::{links, time};

/// A number of Cinder's list and its sentence.
type Coded = (&'static str, &'static str);

/// What was being done, what came in the way, and to what: for the work that Cinder has numbers for.
fn coded(m: &Message) -> Option<(&'static str, Coded, Coded)> {
    let kind = m.work.split('@').next().unwrap_or_default();
    let (resource, action, detail) = match kind {
        "volume-create" => (
            "VOLUME",
            ("008", "create volume from backend storage"),
            ("012", "Driver failed to create the volume."),
        ),
        "volume-resize" => {
            ("VOLUME", ("007", "extend volume"), ("010", "Volume Driver failed to extend volume."))
        }
        "reassign" => ("VOLUME", ("002", "attach volume"), ("021", "Failed to attach volume.")),
        "image-fill" => ("VOLUME", ("005", "copy image to volume"), ("001", "An unknown error occurred.")),
        "image-save" => (
            "VOLUME",
            ("003", "copy volume to image"),
            ("004", "Failed to upload volume to image at backend."),
        ),
        "snapshot-create" => {
            ("VOLUME_SNAPSHOT", ("009", "create snapshot"), ("013", "Snapshot failed to create."))
        }
        "snapshot-delete" => {
            ("VOLUME_SNAPSHOT", ("010", "delete snapshot"), ("016", "Snapshot failed to delete."))
        }
        "backup-create" => {
            ("VOLUME_BACKUP", ("013", "create backup"), ("020", "Backup driver failed to create backup."))
        }
        "backup-delete" => {
            ("VOLUME_BACKUP", ("014", "delete backup"), ("025", "Backup driver failed to delete backup."))
        }
        "backup-restore" => {
            ("VOLUME_BACKUP", ("015", "restore backup"), ("026", "Backup driver failed to restore backup."))
        }
        _ => return None,
    };
    // What the core refuses of a new volume after its request was answered is its place.
    let unplaced = match (&m.why, kind) {
        (Condition::Invalid { .. }, "volume-create") => true,
        (Condition::Invalid { field, .. }, "image-fill" | "backup-restore") => {
            matches!(field.as_str(), "pool" | "volume_type")
        }
        _ => false,
    };
    if unplaced {
        let none = ("003", "Could not find any available weighted backend.");
        return Some(("VOLUME", ("001", "schedule allocate volume"), none));
    }
    let detail = match (&m.why, kind) {
        (Condition::NoSpace(_), "image-fill") => {
            ("007", "Image used for creating volume exceeds available space.")
        }
        (Condition::QuotaExceeded { .. }, _) => ("006", "Not enough quota resource for operation."),
        (Condition::InUse { .. }, "snapshot-delete") => ("015", "Snapshot is busy."),
        _ => detail,
    };
    Some((resource, action, detail))
}

/// A message that Cinder has words for.
struct Shown(Message, &'static str, Coded, Coded);

impl Shown {
    fn of(m: Message) -> Option<Shown> {
        let (resource, action, detail) = coded(&m)?;
        Some(Shown(m, resource, action, detail))
    }

    fn about(&self) -> String {
        let backup = self.0.backup.filter(|_| self.1 == "VOLUME_BACKUP");
        backup.map_or_else(|| self.0.subject.uuid().to_string(), |b| b.to_string())
    }

    fn event(&self) -> String {
        format!("VOLUME_{}_{}_{}", self.1, self.2.0, self.3.0)
    }

    fn document(&self, cx: &Cx) -> Value {
        let Shown(m, resource, action, detail) = self;
        json!({
            "id": m.id.to_string(),
            "event_id": self.event(),
            "user_message": format!("{}:{}", action.1, detail.1),
            "message_level": "ERROR",
            "created_at": time(m.stamp.created),
            "guaranteed_until": time(m.expires),
            "request_id": m.origin,
            "resource_type": resource,
            "resource_uuid": self.about(),
            "links": links(cx.look(), "messages", m.id),
        })
    }
}

impl Listed for Shown {
    const KIND: Kind = Kind::Message;
    const SORTS: &'static [&'static str] = &[
        "id",
        "event_id",
        "message_level",
        "request_id",
        "resource_type",
        "resource_uuid",
        "guaranteed_until",
    ];
    const FILTERS: &'static [&'static str] =
        &["resource_uuid", "resource_type", "event_id", "request_id", "message_level"];

    fn id(&self) -> String {
        self.0.id.to_string()
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "id" => json!(self.0.id.to_string()),
            "event_id" => json!(self.event()),
            "message_level" => json!("ERROR"),
            "request_id" => json!(self.0.origin),
            "resource_type" => json!(self.1),
            "resource_uuid" => json!(self.about()),
            "created_at" => json!(time(self.0.stamp.created)),
            "guaranteed_until" => json!(time(self.0.expires)),
            _ => return None,
        })
    }

    fn metadata(&self, _: &str) -> Option<&str> {
        None
    }
}

fn id(cx: &Cx) -> Result<MessageId, Condition> {
    id_in_path(Kind::Message, cx.param("id")).map(MessageId)
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let all = messages::list(cx.ports(), cx.actor()?).await?;
    let all: Vec<Shown> = all.into_iter().filter_map(Shown::of).collect();
    // Before 3.5 there were no pages and no filters.
    if !cx.version.has(5) {
        let all = all.iter().rev().map(|m| m.document(&cx)).collect();
        return one(StatusCode::OK, "messages", Value::Array(all));
    }
    Ok(page(&cx, all)?.reply("messages", "messages_links", |m| m.document(&cx)))
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    let found = Shown::of(messages::get(cx.ports(), cx.actor()?, id(&cx)?).await?);
    let found = found.ok_or_else(|| Condition::not_found(Kind::Message, cx.param("id")))?;
    one(StatusCode::OK, "message", found.document(&cx))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    messages::delete(cx.ports(), cx.actor()?, id(&cx)?).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}
