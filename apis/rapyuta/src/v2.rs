//! Documents of the second API. Its client refuses unknown keys at the top, so there are these and no more.

use parpen_model::{Api as Side, Project, Volume};
use parpen_service::volumes::View;
use serde_json::{Value, json};

use crate::from_wire::{KEPT, Page, is_v2_capacity};
use crate::guid;
use crate::state::{self, Status};

const API_VERSION: &str = "api.rapyuta.io/v2";
/// There is one organisation; `parpen env rapyuta` prints it.
const ORGANIZATION: &str = "parpen";

/// Whether the client can read this volume as a disk: others are left out.
pub(crate) fn is_shown(v: &Volume) -> bool {
    is_v2_capacity(state::capacity(v))
}

/// Whether the filters of a list let a volume through.
pub(crate) fn passes(page: &Page, v: &Volume) -> bool {
    let one_of = |wanted: &[String], value: &str| wanted.is_empty() || wanted.iter().any(|w| w == value);
    let labels = v.attributes.value(KEPT, "labels");
    let has = |(key, value): &(String, String)| {
        labels.and_then(|l| l.get(key)).and_then(Value::as_str) == Some(value.as_str())
    };
    one_of(&page.names, &v.shown_in(Side::Rapyuta))
        && one_of(&page.regions, v.attributes.text(KEPT, "region").unwrap_or_default())
        && one_of(&page.status, state::of(v).word())
        && page.labels.iter().all(has)
}

/// A disk. `used`: bytes that stand on its account, if they are known.
pub(crate) fn disk(view: &View, project: &Project, used: Option<u64>) -> Value {
    let v = &view.volume;
    let guid = guid::disk(v.id);
    let kept = |key| v.attributes.value(KEPT, key).cloned();
    let bound = match (state::of(v), state::user(view)) {
        (Status::Bound, Some(user)) => json!({ "deployment_guid": user, "deployment_name": user }),
        _ => json!({}),
    };
    json!({
        "apiVersion": API_VERSION,
        "kind": "Disk",
        "metadata": {
            "name": v.shown_in(Side::Rapyuta),
            "guid": guid,
            "projectGUID": guid::project(v.project),
            "organizationGUID": ORGANIZATION,
            "organizationCreatorGUID": null,
            "creatorGUID": null,
            "labels": kept("labels").unwrap_or_else(|| json!({})),
            "region": kept("region"),
            "createdAt": format!("{:.3}", v.stamp.created),
            "updatedAt": format!("{:.3}", v.stamp.updated.unwrap_or(v.stamp.created)),
            "deletedAt": null,
            "organizationName": ORGANIZATION,
            "shortGUID": guid.get(.."disk-".len() + 5),
            "projectName": project.name,
        },
        "spec": { "runtime": "cloud", "capacity": state::capacity(v) },
        "status": {
            "status": state::of(v).word(),
            // The client divides these by the bytes of a GiB.
            "capacityUsed": used.map(|bytes| bytes as f64),
            "capacityAvailable": used.map(|bytes| v.size.saturating_sub(bytes) as f64),
            "errorCode": v.fault,
            "diskBound": bound,
        },
    })
}

/// A page of disks; `next`: the place to go on from.
pub(crate) fn list(items: Vec<Value>, next: Option<i64>) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "DiskList",
        "metadata": { "continue": next },
        "items": items,
    })
}
