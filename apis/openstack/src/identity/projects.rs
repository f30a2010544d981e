//! Projects.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::{Condition, Kind, Project, ProjectId};
use parpen_service::projects::{self, Edit};
use serde_json::{Value, json};

use super::{DOMAIN_ID, check_domain_id, hex, listed, refuse_unkept};
use crate::cx::{Cx, one};
use crate::fields::{Fields, required};
use crate::from_wire::id_in_path;

/// Longest description, in characters.
const DESCRIPTION_MAX: usize = 4096;

pub(super) fn document(cx: &Cx, p: &Project) -> Value {
    let id = hex(p.id.0);
    json!({
        "id": id,
        "name": p.name,
        "description": p.description,
        "domain_id": DOMAIN_ID,
        "parent_id": DOMAIN_ID,
        "enabled": p.enabled,
        "is_domain": false,
        "tags": [],
        "options": {},
        "links": { "self": format!("{}/identity/v3/projects/{id}", cx.base) },
    })
}

fn id(cx: &Cx) -> Result<ProjectId, Condition> {
    id_in_path(Kind::Project, cx.param("id")).map(ProjectId)
}

fn edit(fields: &Fields) -> Result<Edit, Condition> {
    refuse_unkept(fields, &["tags", "options", "is_domain"])?;
    check_domain_id(fields)?;
    Ok(Edit {
        name: fields.text("name", 64)?,
        description: fields.text("description", DESCRIPTION_MAX)?,
        enabled: fields.flag("enabled")?,
    })
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let all = projects::list(cx.ports(), cx.actor()?).await?;
    let filters = ["name", "domain_id", "parent_id", "enabled", "is_domain"];
    listed(&cx, "projects", &filters, all.iter().map(|p| document(&cx, p)))
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    one(StatusCode::OK, "project", document(&cx, &projects::get(cx.ports(), cx.actor()?, id(&cx)?).await?))
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read(&mut cx.request, "project").await?;
    let new = edit(&fields)?;
    if new.name.is_none() {
        return Err(required("name"));
    }
    let (p, _) = projects::create(cx.ports(), cx.actor()?, new).await?;
    one(StatusCode::CREATED, "project", document(&cx, &p))
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read(&mut cx.request, "project").await?;
    let (p, _) = projects::edit(cx.ports(), cx.actor()?, id(&cx)?, edit(&fields)?).await?;
    one(StatusCode::OK, "project", document(&cx, &p))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    projects::delete(cx.ports(), cx.actor()?, id(&cx)?).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}
