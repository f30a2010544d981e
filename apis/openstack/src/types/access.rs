//! Which projects may use a type that is not public.

use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{Power, may};
use parpen_model::{Condition, Kind, ProjectId, VolumeTypeId};
use parpen_service::types;
use serde_json::{Value, json};

use super::{changeable, named};
use crate::cx::{Cx, one};
use crate::errors::{fault, said};
use crate::from_wire::id_in_path;
use crate::to_wire::policy::project_id;

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let Some(t) = named(&cx).await?.filter(|t| !t.public) else {
        return Ok(fault(StatusCode::NOT_FOUND, "Access list not available for public volume types."));
    };
    let entry = |p: &ProjectId| json!({ "volume_type_id": t.id.to_string(), "project_id": project_id(*p) });
    one(StatusCode::OK, "volume_type_access", Value::Array(t.access.iter().map(entry).collect()))
}

/// The project that the action names, as it was named.
fn project(cx: &Cx) -> Result<(ProjectId, String), Condition> {
    let fields = cx.argument();
    fields.only("project", &["project"])?;
    let text = fields.name("project")?;
    Ok((ProjectId(id_in_path(Kind::Project, &text)?), text))
}

fn combination(id: VolumeTypeId, project: &str) -> String {
    format!("{id} / {project} combination")
}

fn on_public(condition: Condition) -> Condition {
    match condition {
        Condition::Invalid { field, .. } if field == "volume type" => {
            said("Invalid volume type: Type access modification is not applicable to public volume type.")
        }
        other => other,
    }
}

pub(crate) async fn add(cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let (project, text) = project(&cx)?;
    let id: VolumeTypeId = changeable(&cx).await?;
    let added = types::admit(cx.ports(), cx.actor()?, id, project).await;
    added.map_err(on_public).map_err(|condition| match condition {
        Condition::Exists { .. } => {
            let of = combination(id, &text);
            Condition::Conflict(format!("Volume type access for {of} already exists."))
        }
        other => other,
    })?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn remove(cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let (project, text) = project(&cx)?;
    let id: VolumeTypeId = changeable(&cx).await?;
    match types::expel(cx.ports(), cx.actor()?, id, project).await.map_err(on_public) {
        Ok(_) => Ok(Reply::empty(StatusCode::ACCEPTED)),
        Err(Condition::NotFound { what: Kind::Project, .. }) => {
            let text = format!("Volume type access not found for {}.", combination(id, &text));
            Ok(fault(StatusCode::NOT_FOUND, &text))
        }
        Err(other) => Err(other),
    }
}
