//! Jobs as operations, and events.

use std::collections::BTreeMap;

use jiff::Timestamp;
use parpen_model::{Job, JobState};
use serde::Serialize;
use serde_json::{Value, json};

use super::PROJECT;

/// What an operation is about: kind of thing -> addresses.
pub(crate) type Resources = BTreeMap<&'static str, Vec<String>>;

/// What is said of an operation that its job does not know.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// In words.
    pub(crate) description: &'static str,
    /// What it is about.
    pub(crate) resources: Resources,
}

/// An operation's document.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Operation {
    pub(crate) id: String,
    class: &'static str,
    description: &'static str,
    created_at: Timestamp,
    updated_at: Timestamp,
    status: &'static str,
    status_code: u16,
    resources: Option<Resources>,
    metadata: Option<Value>,
    may_cancel: bool,
    err: String,
    location: &'static str,
}

impl Operation {
    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("/1.0/operations/{}", self.id)
    }

    /// Whether nothing more will happen.
    pub(crate) fn is_final(&self) -> bool {
        self.status_code >= 200
    }

    /// The group in which lists show it.
    pub(crate) fn group(&self) -> String {
        self.status.to_lowercase()
    }
}

/// What jobs of a kind do, in LXD's words.
pub(crate) fn description(kind: &str) -> &'static str {
    match kind.split('@').next().unwrap_or_default() {
        "volume-create" => "Creating storage volume",
        "volume-delete" => "Deleting storage volume",
        "volume-resize" => "Updating storage volume",
        "volume-rollback" => "Restoring storage volume",
        "snapshot-create" => "Creating storage volume snapshot",
        "snapshot-delete" => "Deleting storage volume snapshot",
        "pool-create" => "Creating storage pool",
        "pool-delete" => "Deleting storage pool",
        _ => "Executing operation",
    }
}

/// A job as an operation.
pub(crate) fn operation(job: &Job, told: Told) -> Operation {
    let (status, status_code) = match job.state {
        JobState::Running | JobState::Undoing => ("Running", 103),
        JobState::Done => ("Success", 200),
        JobState::Failed => ("Failure", 400),
    };
    let failed = job.error.as_ref().filter(|_| job.state == JobState::Failed);
    let percent = |(done, of): (u64, u64)| {
        let percent = u128::from(done) * 100 / u128::from(of.max(1));
        json!({ "copy_progress": format!("{percent}%") })
    };
    Operation {
        id: job.id.to_string(),
        class: "task",
        description: told.description,
        created_at: job.stamp.created,
        updated_at: job.stamp.updated.unwrap_or(job.stamp.created),
        status,
        status_code,
        resources: (!told.resources.is_empty()).then_some(told.resources),
        metadata: job.progress.filter(|_| !job.is_final()).map(percent),
        may_cancel: false,
        err: failed.map(crate::errors::text).unwrap_or_default(),
        location: "none",
    }
}

/// An operation that was done at once, without a job.
pub(crate) fn done_at_once(id: String, now: Timestamp, told: Told) -> Operation {
    Operation {
        id,
        class: "task",
        description: told.description,
        created_at: now,
        updated_at: now,
        status: "Success",
        status_code: 200,
        resources: Some(told.resources),
        metadata: None,
        may_cancel: false,
        err: String::new(),
        location: "none",
    }
}

/// One event, as the websocket sends it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Event {
    /// `operation` or `lifecycle`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    timestamp: Timestamp,
    metadata: Value,
    location: &'static str,
    project: &'static str,
}

/// An operation changed.
pub(crate) fn operation_event(now: Timestamp, operation: &Operation) -> Event {
    let metadata = serde_json::to_value(operation).expect("a struct of texts, maps and numbers is JSON");
    Event { kind: "operation", timestamp: now, metadata, location: "none", project: PROJECT }
}

/// Something was made, changed or removed.
pub(crate) fn lifecycle_event(now: Timestamp, action: &str, source: &str, username: &str) -> Event {
    let metadata = json!({
        "action": action,
        "source": source,
        "requestor": { "username": username, "protocol": "unix", "address": "@" },
    });
    Event { kind: "lifecycle", timestamp: now, metadata, location: "none", project: PROJECT }
}
