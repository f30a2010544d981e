//! The types that projects take when a new volume names none.

use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{Power, may};
use parpen_model::{Condition, Kind, Project, ProjectId};
use parpen_service::{projects, types};
use serde_json::Value;
use uuid::Uuid;

use crate::cx::{Cx, one};
use crate::errors::{fault, said};
use crate::fields::Fields;
use crate::to_wire::policy::{default_type, project_id};

fn no_project(cx: &Cx) -> Reply {
    fault(StatusCode::NOT_FOUND, &format!("Project with id {} not found.", cx.param("project")))
}

/// The project that the path names by its id.
async fn project(cx: &Cx) -> Result<Option<Project>, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let Ok(id) = Uuid::parse_str(cx.param("project")) else { return Ok(None) };
    match projects::get(cx.ports(), cx.actor()?, ProjectId(id)).await {
        Ok(p) => Ok(Some(p)),
        Err(Condition::NotFound { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let all = types::defaults(cx.ports(), cx.actor()?).await?;
    let all = all.iter().map(|(p, t)| default_type(&project_id(*p), *t)).collect();
    one(StatusCode::OK, "default_types", Value::Array(all))
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    let Some(p) = project(&cx).await? else { return Ok(no_project(&cx)) };
    match p.default_type {
        Some(t) => one(StatusCode::OK, "default_type", default_type(cx.param("project"), t)),
        None => {
            let text = format!("Default type for project {} not found.", cx.param("project"));
            Ok(fault(StatusCode::NOT_FOUND, &text))
        }
    }
}

pub(crate) async fn set(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_alone(&mut cx.request, "default_type").await?;
    fields.only("default_type", &["volume_type"])?;
    let name = fields.name("volume_type")?;
    let Some(p) = project(&cx).await? else { return Ok(no_project(&cx)) };
    let found = types::get(cx.ports(), cx.actor()?, &name).await.map_err(|condition| match condition {
        Condition::NotFound { what: Kind::VolumeType, .. } if Uuid::parse_str(&name).is_ok() => {
            said(format!("Volume type {name} could not be found."))
        }
        Condition::NotFound { what: Kind::VolumeType, .. } => {
            said(format!("Volume type with name {name} could not be found."))
        }
        other => other,
    })?;
    types::set_default(cx.ports(), cx.actor()?, p.id, Some(found.id)).await?;
    one(StatusCode::OK, "default_type", default_type(cx.param("project"), found.id))
}

pub(crate) async fn unset(cx: Cx) -> Result<Reply, Condition> {
    if let Some(p) = project(&cx).await? {
        types::set_default(cx.ports(), cx.actor()?, p.id, None).await?;
    }
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}
