//! Looking up what one has oneself, and domains.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::{Condition, Kind};
use parpen_service::projects as service;
use serde_json::{Value, json};

use super::{DOMAIN_ID, domain as brief_domain, listed, projects};
use crate::cx::{Cx, one};
use crate::to_wire::policy::is_admin;

fn domain_document(cx: &Cx) -> Value {
    let mut doc = brief_domain();
    doc["description"] = json!("The only domain");
    doc["enabled"] = json!(true);
    doc["tags"] = json!([]);
    doc["options"] = json!({});
    doc["links"] = json!({ "self": format!("{}/identity/v3/domains/{DOMAIN_ID}", cx.base) });
    doc
}

pub(crate) async fn own_projects(cx: Cx) -> Result<Reply, Condition> {
    let all = service::own(cx.ports(), cx.actor()?).await?;
    listed(&cx, "projects", &[], all.iter().map(|p| projects::document(&cx, p)))
}

pub(crate) async fn domains(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    listed(&cx, "domains", &["name", "enabled"], [domain_document(&cx)])
}

pub(crate) async fn domain(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    match cx.param("id") {
        DOMAIN_ID => one(StatusCode::OK, "domain", domain_document(&cx)),
        other => Err(Condition::not_found(Kind::Other, format!("domain: {other}"))),
    }
}

pub(crate) async fn system(cx: Cx) -> Result<Reply, Condition> {
    let all = if is_admin(cx.actor()?) { vec![json!({ "all": true })] } else { Vec::new() };
    listed(&cx, "system", &[], all)
}
