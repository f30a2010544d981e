//! The error document of both APIs: `{"error": "..."}`, always an object, for the old client falls over anything else.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::{Condition, Kind};
use serde_json::json;

/// The document.
pub(crate) fn document(status: StatusCode, text: &str) -> Reply {
    Reply::json(status, &json!({ "error": text }))
}

/// What this API calls things.
fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Volume => "disk",
        Kind::Snapshot
        | Kind::Pool
        | Kind::Project
        | Kind::VolumeType
        | Kind::Host
        | Kind::Attachment
        | Kind::Lock
        | Kind::Job
        | Kind::Pin
        | Kind::Principal
        | Kind::Credential
        | Kind::Token
        | Kind::PlacementGroup
        | Kind::Backup
        | Kind::Image
        | Kind::SpentImage
        | Kind::Disk
        | Kind::Qos
        | Kind::Quota
        | Kind::Service
        | Kind::Message
        | Kind::Group
        | Kind::GroupType
        | Kind::GroupSnapshot
        | Kind::Transfer
        | Kind::Other => kind.word(),
    }
}

/// Every condition's status and text. 500 is for our own faults only: the old client asks again when it sees one.
pub(crate) fn coat(c: &Condition) -> Reply {
    use Condition::*;
    let said = c.to_string();
    let (status, text) = match c {
        NotFound { what, name } => (StatusCode::NOT_FOUND, format!("there is no {} {name:?}", noun(*what))),
        Exists { what, name } => {
            (StatusCode::CONFLICT, format!("there is a {} {name:?} already", noun(*what)))
        }
        WrongState { .. } => (StatusCode::CONFLICT, said),
        InUse { what, name, by } => (
            StatusCode::CONFLICT,
            format!("the {} {name:?} is in use by {}; release it first", noun(*what), by.join(", ")),
        ),
        QuotaExceeded { .. } => (StatusCode::FORBIDDEN, said),
        NoSpace(_) => (StatusCode::INSUFFICIENT_STORAGE, said),
        Invalid { .. } => (StatusCode::BAD_REQUEST, said),
        PreconditionFailed { .. } => (StatusCode::PRECONDITION_FAILED, said),
        Unauthenticated(_) => (StatusCode::UNAUTHORIZED, said),
        Forbidden(_) => (StatusCode::FORBIDDEN, said),
        Conflict(_) => (StatusCode::CONFLICT, said),
        DataLost(_) => (StatusCode::SERVICE_UNAVAILABLE, said),
        Unsupported(_) => (StatusCode::NOT_IMPLEMENTED, said),
        Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, said),
        Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, said),
        Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, said),
    };
    document(status, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_its_status() {
        let text = || "why".to_string();
        let table = [
            (Condition::not_found(Kind::Volume, "x"), 404),
            (Condition::exists(Kind::Volume, "x"), 409),
            (Condition::WrongState { what: Kind::Volume, name: text(), actual: text(), wanted: text() }, 409),
            (Condition::in_use(Kind::Volume, "x", vec![text()]), 409),
            (Condition::QuotaExceeded { what: text(), limit: 1, used: 1, asked: 1 }, 403),
            (Condition::NoSpace(text()), 507),
            (Condition::invalid("capacity", "why"), 400),
            (Condition::PreconditionFailed { expected: text(), actual: text() }, 412),
            (Condition::Unauthenticated(text()), 401),
            (Condition::Forbidden(text()), 403),
            (Condition::Conflict(text()), 409),
            (Condition::DataLost(text()), 503),
            (Condition::Unsupported(text()), 501),
            (Condition::Unavailable(text()), 503),
            (Condition::Timeout(text()), 504),
            (Condition::internal("a secret of the house"), 500),
        ];
        for (condition, status) in table {
            let reply = coat(&condition);
            assert_eq!(reply.status.as_u16(), status, "{condition:?}");
            let document: serde_json::Value = serde_json::from_slice(reply.as_bytes().unwrap()).unwrap();
            let error = document["error"].as_str().unwrap();
            assert!(!error.is_empty() && !error.contains("secret"), "{error}");
        }
    }
}
