//! Operations: jobs, and what was done at once.

use std::collections::BTreeMap;
use std::time::Duration;

use parpen_http::Reply;
use parpen_model::Condition;
use serde_json::Value;

use super::Cx;
use crate::to_wire::Operation;
use crate::{envelope, from_wire};

pub(super) async fn list(cx: Cx<'_>) -> Result<Reply, Condition> {
    let mut all = Vec::new();
    for job in cx.ports().jobs.list(&cx.actor).await?.iter().filter(|j| cx.bus().is_recent(j)) {
        all.push(cx.bus().operation(&cx.actor, job).await);
    }
    all.extend(cx.bus().short());
    let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for operation in all {
        let entry = match cx.recursive() {
            true => serde_json::to_value(&operation).map_err(Condition::internal)?,
            false => Value::from(operation.url()),
        };
        groups.entry(operation.group()).or_default().push(entry);
    }
    Ok(envelope::sync(groups))
}

/// The operation of the path as it is now.
async fn found(cx: &Cx<'_>) -> Result<Operation, Condition> {
    let id = from_wire::operation_id(cx.params.get("operation"))?;
    if let Some(operation) = cx.bus().short().into_iter().find(|o| o.id == id.to_string()) {
        return Ok(operation);
    }
    let job = cx.ports().jobs.get(&cx.actor, id).await?;
    Ok(cx.bus().operation(&cx.actor, &job).await)
}

pub(super) async fn get(cx: Cx<'_>) -> Result<Reply, Condition> {
    Ok(envelope::sync(found(&cx).await?))
}

/// `timeout` is in seconds; without it, or below zero, there is no limit. The operation is answered as it is
/// then.
pub(super) async fn wait(cx: Cx<'_>) -> Result<Reply, Condition> {
    let limit = match cx.request.query_value("timeout").filter(|t| !t.is_empty()) {
        None => -1,
        Some(text) => text
            .parse::<i64>()
            .map_err(|_| Condition::invalid("timeout", format!("{text:?} is not a number of seconds")))?,
    };
    if found(&cx).await?.is_final() {
        return get(cx).await;
    }
    let id = from_wire::operation_id(cx.params.get("operation"))?;
    let jobs = &cx.ports().jobs;
    // How it ended stands in the job's row, which is read below; here only the end matters.
    match u64::try_from(limit) {
        Ok(seconds) => {
            let _ = tokio::time::timeout(Duration::from_secs(seconds), jobs.wait(id)).await;
        }
        Err(_) => {
            let _ = jobs.wait(id).await;
        }
    }
    get(cx).await
}

/// No operation here can be called off.
pub(super) async fn delete(cx: Cx<'_>) -> Result<Reply, Condition> {
    found(&cx).await?;
    Err(Condition::invalid("", "This operation can't be cancelled"))
}
