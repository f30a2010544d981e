//! From conditions to Cinder's and Keystone's error documents.

use std::borrow::Cow;

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::{Condition, Kind};
use serde_json::json;

use crate::states;

/// Longest sentence of a refusal, in characters.
const MESSAGE_MAX: usize = 1000;

/// The key of Cinder's error document. What has no name of its own is a `computeFault`.
fn name(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "badRequest",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "itemNotFound",
        405 => "badMethod",
        409 => "conflictingRequest",
        413 => "overLimit",
        415 => "badMediaType",
        501 => "notImplemented",
        503 => "serviceUnavailable",
        _ => "computeFault",
    }
}

/// Cinder's error document.
pub(crate) fn fault(status: StatusCode, message: &str) -> Reply {
    let mut document = json!({ "code": status.as_u16(), "message": bounded(message) });
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        document["retryAfter"] = json!("0");
    }
    Reply::json(status, &json!({ name(status): document }))
}

/// What a refusal says, without repeating all of a long name.
fn bounded(message: &str) -> Cow<'_, str> {
    match message.char_indices().nth(MESSAGE_MAX) {
        None => message.into(),
        Some((end, _)) => format!("{}...", &message[..end]).into(),
    }
}

/// Keystone's error document.
pub(crate) fn identity_fault(status: StatusCode, message: &str) -> Reply {
    let (message, title) = (bounded(message), status.canonical_reason().unwrap_or("Error"));
    let body = json!({ "error": { "code": status.as_u16(), "message": message, "title": title } });
    Reply::json(status, &body)
}

/// The status of a condition and the text for the client, as Identity has them.
pub(crate) fn identity_status_and_text(condition: &Condition) -> (StatusCode, String) {
    let noun = |what: &Kind| match what {
        Kind::Principal => "user",
        Kind::Credential => "application_credential",
        other => other.word(),
    };
    match condition {
        Condition::NotFound { what: Kind::Other, name } => {
            (StatusCode::NOT_FOUND, format!("Could not find {name}."))
        }
        Condition::NotFound { what, name } => {
            (StatusCode::NOT_FOUND, format!("Could not find {}: {name}.", noun(what)))
        }
        Condition::Exists { what, name } => {
            let noun = noun(what);
            let text = format!(
                "Conflict occurred attempting to store {noun} - Duplicate entry found with name {name} at domain \
                 ID default."
            );
            (StatusCode::CONFLICT, text)
        }
        Condition::InUse { .. } => (StatusCode::CONFLICT, condition.to_string()),
        other => status_and_text(other),
    }
}
/// The fields that are whole things.
const THINGS: [&str; 5] = ["volume", "snapshot", "group", "auth key", "pool"];

/// The status of a condition and the text for the client.
pub(crate) fn status_and_text(condition: &Condition) -> (StatusCode, String) {
    let plain = condition.to_string();
    match condition {
        Condition::NotFound { what, name } => (StatusCode::NOT_FOUND, not_found(*what, name)),
        Condition::Exists { .. } => (StatusCode::CONFLICT, plain),
        Condition::WrongState { what, name, actual, wanted } => {
            let noun = noun(*what);
            let (actual, wanted) = (states::in_words(actual), states::in_words(wanted));
            let text =
                format!("Invalid {}: {noun} {name} is {actual}; it must be {wanted}.", noun.to_lowercase());
            (StatusCode::BAD_REQUEST, text)
        }
        Condition::InUse { what, name, by } => {
            let noun = noun(*what);
            let by = by.join(", ");
            (
                StatusCode::BAD_REQUEST,
                format!("Invalid {}: {noun} {name} is in use by {by}.", noun.to_lowercase()),
            )
        }
        Condition::QuotaExceeded { what, limit, used, asked } => {
            (StatusCode::PAYLOAD_TOO_LARGE, over_quota(what, *limit, *used, *asked))
        }
        Condition::NoSpace(_) => (StatusCode::PAYLOAD_TOO_LARGE, plain),
        Condition::Invalid { field, why } if field == "body" => {
            (StatusCode::BAD_REQUEST, format!("Malformed request body: {why}"))
        }
        Condition::Invalid { field, why } if field.is_empty() => (StatusCode::BAD_REQUEST, why.clone()),
        // What is wrong with a thing and not with a value; Cinder has a sentence of its own for each kind.
        Condition::Invalid { field, why } if THINGS.contains(&field.as_str()) => {
            (StatusCode::BAD_REQUEST, format!("Invalid {field}: {why}"))
        }
        Condition::Invalid { field, why } if field == "request" => {
            (StatusCode::BAD_REQUEST, format!("Malformed request: {why}"))
        }
        Condition::Invalid { field, why } => {
            (StatusCode::BAD_REQUEST, format!("Invalid input for field/attribute {field}. {why}"))
        }
        Condition::PreconditionFailed { .. } | Condition::Conflict(_) => (StatusCode::CONFLICT, plain),
        Condition::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, plain),
        Condition::Forbidden(_) => (StatusCode::FORBIDDEN, plain),
        Condition::DataLost(_) | Condition::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, plain),
        Condition::Unsupported(_) => (StatusCode::NOT_IMPLEMENTED, plain),
        Condition::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, plain),
        Condition::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, plain),
    }
}

fn noun(what: Kind) -> &'static str {
    match what {
        Kind::Volume => "Volume",
        Kind::Snapshot => "Snapshot",
        Kind::Pool => "Pool",
        Kind::Project => "Project",
        Kind::VolumeType => "Volume type",
        Kind::Host => "Host",
        Kind::Attachment => "Volume attachment",
        Kind::Principal => "User",
        Kind::Lock => "Lock",
        Kind::Job => "Job",
        Kind::Pin => "Pin",
        Kind::Credential => "Credential",
        Kind::Token => "Token",
        Kind::PlacementGroup => "Placement group",
        Kind::Disk => "Disk",
        Kind::Backup => "Backup",
        Kind::Image | Kind::SpentImage => "Image",
        Kind::Qos => "QoS specs",
        Kind::Quota => "Quota",
        Kind::Service => "Service",
        Kind::Message => "Message",
        Kind::Group => "Group",
        Kind::GroupType => "Group type",
        Kind::GroupSnapshot => "GroupSnapshot",
        Kind::Transfer => "Transfer",
        Kind::Other => "Resource",
    }
}

/// A ceiling would be passed: the text names Cinder's exception, as clients look for it.
fn over_quota(what: &str, limit: u64, used: u64, asked: u64) -> String {
    let what = &what.replace("_without_type", &format!("_{}", crate::from_wire::DEFAULT_TYPE));
    let counted = what.split_once('_').map_or(what.as_str(), |(counted, _)| counted);
    match (what.as_str(), counted) {
        ("per_volume_gigabytes", _) => format!(
            "VolumeSizeExceedsLimit: Requested volume size {asked}G is larger than maximum allowed limit {limit}G."
        ),
        ("backup_gigabytes", _) => format!(
            "VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup gigabytes quota. \
             Requested {asked}G, quota is {limit}G and {used}G has been consumed."
        ),
        (_, "gigabytes") => format!(
            "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed {what} quota. \
             Requested {asked}G, quota is {limit}G and {used}G has been consumed."
        ),
        (_, "volumes") => format!(
            "VolumeLimitExceeded: Maximum number of volumes allowed ({limit}) exceeded for quota '{what}'."
        ),
        (_, "snapshots") => {
            format!("SnapshotLimitExceeded: Maximum number of snapshots allowed ({limit}) exceeded")
        }
        (_, "backups") => {
            format!("BackupLimitExceeded: Maximum number of backups allowed ({limit}) exceeded")
        }
        (_, "groups") => format!("GroupLimitExceeded: Maximum number of groups allowed ({limit}) exceeded"),
        _ => format!("UnexpectedOverQuota: Unexpected over quota on {what}."),
    }
}

/// A refusal in exactly these words.
pub(crate) fn said(text: impl Into<String>) -> Condition {
    Condition::invalid("", text.into())
}

/// Cinder's refusal of a value that only it could judge.
pub(crate) fn invalid_input(reason: impl std::fmt::Display) -> Condition {
    said(format!("Invalid input received: {reason}"))
}

fn not_found(what: Kind, name: &str) -> String {
    match what {
        // A whole sentence stands for itself.
        Kind::Other if name.ends_with('.') => name.to_string(),
        Kind::Attachment => {
            format!("Volume attachment could not be found with filter: attachment_id = {name}.")
        }
        Kind::Qos => format!("No such QoS spec {name}."),
        _ => format!("{} {name} could not be found.", noun(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_have_cinders_names_and_texts() {
        let invalid = |field, why| Condition::invalid(field, why);
        let quota = Condition::QuotaExceeded { what: "gigabytes".into(), limit: 1, used: 0, asked: 2 };
        let table = [
            (Condition::not_found(Kind::Volume, "x"), 404, "itemNotFound", "Volume x could not be found."),
            (Condition::exists(Kind::Volume, "x"), 409, "conflictingRequest", "already"),
            (Condition::in_use(Kind::Volume, "v", vec!["h".into()]), 400, "badRequest", "Invalid volume: "),
            (quota, 413, "overLimit", "VolumeSizeExceedsAvailableQuota"),
            (said("In these words."), 400, "badRequest", "In these words."),
            (Condition::NoSpace("full".into()), 413, "overLimit", "full"),
            (
                invalid("size", "Value: -1. -1 is less than the minimum of 1"),
                400,
                "badRequest",
                "Invalid input for field/attribute size. Value: -1. -1 is less than the minimum of 1",
            ),
            (invalid("body", "it is empty"), 400, "badRequest", "Malformed request body: it is empty"),
            (Condition::Unauthenticated("no".into()), 401, "unauthorized", "no"),
            (Condition::Forbidden("no".into()), 403, "forbidden", "no"),
            (Condition::Conflict("no".into()), 409, "conflictingRequest", "no"),
            (Condition::DataLost("no".into()), 500, "computeFault", "no"),
            (Condition::Unsupported("no".into()), 501, "notImplemented", "no"),
            (Condition::Unavailable("no".into()), 503, "serviceUnavailable", "no"),
            (Condition::Timeout("no".into()), 504, "computeFault", "no"),
            (Condition::internal("secret"), 500, "computeFault", "the server's log says more"),
        ];
        for (condition, status, key, text) in table {
            let (got, message) = status_and_text(&condition);
            assert_eq!((got.as_u16(), name(got)), (status, key), "{condition:?}");
            assert!(message.contains(text) && !message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn each_ceiling_has_cinders_sentence() {
        let text = |what: &str| {
            let over = Condition::QuotaExceeded { what: what.into(), limit: 5, used: 4, asked: 2 };
            status_and_text(&over).1
        };
        let sizes = "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed";
        let tail = "quota. Requested 2G, quota is 5G and 4G has been consumed.";
        assert_eq!(text("gigabytes"), format!("{sizes} gigabytes {tail}"));
        assert_eq!(text("gigabytes_fast"), format!("{sizes} gigabytes_fast {tail}"));
        let many = "VolumeLimitExceeded: Maximum number of volumes allowed (5) exceeded for quota";
        assert_eq!(text("volumes"), format!("{many} 'volumes'."));
        assert_eq!(text("volumes_my_type"), format!("{many} 'volumes_my_type'."));
        assert_eq!(
            text("snapshots"),
            "SnapshotLimitExceeded: Maximum number of snapshots allowed (5) exceeded"
        );
        assert!(text("per_volume_gigabytes").starts_with("VolumeSizeExceedsLimit: Requested volume size 2G"));
        assert!(text("backup_gigabytes").starts_with("VolumeBackupSizeExceedsAvailableQuota: "));
    }
}
