//! Documents of the first API.

use parpen_model::{Api as Side, ProjectId};
use parpen_service::volumes::View;
use serde_json::{Value, json};

use crate::from_wire::KEPT;
use crate::{guid, state};

/// The one package there is.
pub(crate) const PACKAGE: &str = "io-public-persistent-volume";
const PACKAGE_NAME: &str = "Rapyuta IO Persistent Volume";
const API_VERSION: &str = "2.0.0";
const COMPONENT: &str = "io-pv";
const COMPONENT_NAME: &str = "volumeComponent";
const PLAN: &str = "default";
const DISK_TYPE: &str = "ssd";
const RUNTIME: &str = "cloud";

/// The package of persistent volumes, as it looks from a project. `since`: when the house was founded.
pub(crate) fn package(project: ProjectId, since: &str) -> Value {
    let component = json!({ "componentId": COMPONENT, "componentName": COMPONENT_NAME, "runtime": RUNTIME });
    json!({
        "packageInfo": {
            "guid": PACKAGE,
            "packageName": PACKAGE_NAME,
            "packageVersion": "1.0.0",
            "apiVersion": API_VERSION,
            "bindable": true,
            "description": "Block storage for deployments in the cloud",
            "category": "Storage",
            "isPublic": true,
            "status": "Complete",
            "tags": [],
            "buildGeneration": 1,
            "ownerProject": guid::project(project),
            "creator": "",
            "CreatedAt": since,
            "UpdatedAt": since,
            "DeletedAt": null,
            "plans": [{
                "planId": PLAN,
                "planName": PLAN,
                "packageId": PACKAGE,
                "description": "",
                "singleton": false,
                "metadata": [],
                "inboundROSInterfaces": { "anyIncomingScopedOrTargetedRosConfig": false },
                "dependentDeployments": [],
                "components": { "components": [] },
                "internalComponents": [component],
                "CreatedAt": since,
                "UpdatedAt": since,
                "DeletedAt": null,
            }],
        },
        "packageUrl": "",
    })
}

fn labels(view: &View) -> Value {
    view.volume.attributes.value(KEPT, "labels").cloned().unwrap_or_else(|| json!({}))
}

fn faults(view: &View) -> Vec<&str> {
    view.volume.fault.iter().map(String::as_str).collect()
}

/// A disk.
pub(crate) fn disk(view: &View) -> Value {
    let v = &view.volume;
    let user = state::user(view).unwrap_or_default();
    json!({
        "createdAt": format!("{:.3}", v.stamp.created),
        "name": v.shown_in(Side::Rapyuta),
        "guid": guid::disk(v.id),
        "diskType": DISK_TYPE,
        "capacity": state::capacity(v),
        "runtime": RUNTIME,
        "status": state::of(v).word(),
        "errors": faults(view),
        "internalDeploymentGUID": guid::deployment(v.id),
        "usedBy": user,
        "usedByDeploymentName": user,
        "labels": labels(view),
    })
}

/// The deployment of a disk.
pub(crate) fn instance(view: &View) -> Value {
    let v = &view.volume;
    let (name, status, phase) = (v.shown_in(Side::Rapyuta), state::of(v).word(), state::phase(v));
    let user = state::user(view);
    let labels = match labels(view) {
        Value::Object(map) => map.into_iter().map(|(k, v)| json!({ "key": k, "value": v })).collect(),
        _ => Vec::new(),
    };
    json!({
        "ID": v.stamp.seq,
        "deploymentId": guid::deployment(v.id),
        "name": name,
        "packageId": PACKAGE,
        "packageName": PACKAGE_NAME,
        "packageAPIVersion": API_VERSION,
        "planId": PLAN,
        "bindable": true,
        "labels": labels,
        "parameters": {
            "global": {},
            COMPONENT: {
                "component_id": COMPONENT,
                "capacity": state::capacity(v),
                "diskType": DISK_TYPE,
                "bridge_params": { "alias": COMPONENT_NAME },
            },
        },
        "componentInfo": [{
            "componentID": COMPONENT,
            "componentInstanceID": guid::component(v.id),
            "name": COMPONENT_NAME,
            "runtime": RUNTIME,
            "status": status,
            "phase": phase,
            "errorCode": [],
            "executablesStatusInfo": [],
            "executableMetaData": [],
            "isDeprovisioned": false,
        }],
        "componentInstanceIds": [guid::component(v.id)],
        "dependentDeployments": [],
        "dependentDeploymentStatus": {},
        "packageDependencyStatus": {},
        "coreNetworks": {},
        "phase": phase,
        "status": status,
        "provisionContext": {},
        "currentGeneration": 1,
        "errors": faults(view),
        "inUse": user.is_some(),
        "usedBy": user.unwrap_or_default(),
        "ownerProject": guid::project(v.project),
        "creator": "",
        "CreatedAt": format!("{:.3}", v.stamp.created),
        "UpdatedAt": format!("{:.3}", v.stamp.updated.unwrap_or(v.stamp.created)),
        "DeletedAt": null,
    })
}
