//! Every condition's status and LXD's words for it.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::{Condition, Kind};

use crate::envelope;

/// The error document.
pub(crate) fn coat(condition: &Condition) -> Reply {
    envelope::error(status(condition), &text(condition))
}

/// The HTTP status, which the document repeats.
fn status(condition: &Condition) -> StatusCode {
    use Condition::*;
    match condition {
        NotFound { .. } => StatusCode::NOT_FOUND,
        Exists { .. } => StatusCode::CONFLICT,
        // LXD answers 400, not 409, where something is in use or in another state.
        WrongState { .. } | InUse { .. } | Invalid { .. } => StatusCode::BAD_REQUEST,
        QuotaExceeded { .. } | Unauthenticated(_) | Forbidden(_) => StatusCode::FORBIDDEN,
        NoSpace(_) => StatusCode::INSUFFICIENT_STORAGE,
        PreconditionFailed { .. } => StatusCode::PRECONDITION_FAILED,
        Conflict(_) => StatusCode::CONFLICT,
        Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
        Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
        DataLost(_) | Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The text; also the `err` of an operation that failed.
pub(crate) fn text(condition: &Condition) -> String {
    use Condition::*;
    match condition {
        NotFound { what, name } => not_found(*what, name),
        Exists { what: Kind::Volume, .. } => "Volume by that name already exists".into(),
        Exists { what: Kind::Snapshot, name } => format!("Snapshot {name:?} already in use"),
        Exists { what: Kind::Pool, .. } => "The storage pool already exists".into(),
        // pylxd looks for "currently in use".
        InUse { what: Kind::Pool, by, .. } => {
            format!("The storage pool is currently in use: {}", by.join(", "))
        }
        InUse { what: Kind::Volume, by, .. } => {
            format!("The storage volume is still in use: {}", by.join(", "))
        }
        InUse { what: Kind::Snapshot, by, .. } => {
            format!("The storage volume snapshot is still in use: {}", by.join(", "))
        }
        // What from_wire refuses has LXD's own sentence and no field of the core.
        Invalid { field, why } if field.is_empty() => why.clone(),
        PreconditionFailed { expected, actual } => format!("ETag doesn't match: {actual} vs {expected}"),
        Unauthenticated(_) => "not authorized".into(),
        Exists { .. }
        | InUse { .. }
        | WrongState { .. }
        | QuotaExceeded { .. }
        | NoSpace(_)
        | Invalid { .. }
        | Forbidden(_)
        | Conflict(_)
        | DataLost(_)
        | Unsupported(_)
        | Unavailable(_)
        | Timeout(_)
        | Internal(_) => condition.to_string(),
    }
}

fn not_found(what: Kind, name: &str) -> String {
    match what {
        Kind::Volume => "Storage pool volume not found".into(),
        Kind::Snapshot => "Storage volume snapshot not found".into(),
        Kind::Pool => "Storage pool not found".into(),
        Kind::Job => "Operation not found".into(),
        Kind::Project => format!("Failed to load project {name:?}: Project not found"),
        // Nouns that only LXD has are named by from_wire.
        Kind::Other => format!("{name} not found"),
        Kind::VolumeType
        | Kind::Host
        | Kind::Attachment
        | Kind::Lock
        | Kind::Pin
        | Kind::Principal
        | Kind::Credential
        | Kind::Token
        | Kind::PlacementGroup
        | Kind::Disk
        | Kind::Backup
        | Kind::Image
        | Kind::SpentImage
        | Kind::Qos
        | Kind::Quota
        | Kind::Service
        | Kind::Message
        | Kind::Group
        | Kind::GroupType
        | Kind::GroupSnapshot
        | Kind::Transfer => Condition::not_found(what, name).to_string(),
    }
}
