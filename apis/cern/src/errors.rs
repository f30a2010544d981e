//! The error documents: `{"message"}`, with `"errors"` by field where a body does not fit its schema.

use std::collections::BTreeMap;

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use parpen_http::Reply;
use parpen_model::{Condition, Kind};
use serde_json::json;

/// The document.
pub(crate) fn document(status: StatusCode, message: &str) -> Reply {
    Reply::json(status, &json!({ "message": message }))
}

/// A body that does not fit its schema, with what is wrong by field.
pub(crate) fn schema(errors: &BTreeMap<String, String>) -> Reply {
    let message = "Input payload validation failed";
    Reply::json(StatusCode::BAD_REQUEST, &json!({ "errors": errors, "message": message }))
}

/// Unknown URLs are answered with a page.
pub(crate) fn no_such_path() -> Reply {
    let page = "<!doctype html>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n\
                <p>There is nothing at this URL; volumes are below /v3/&lt;subsystem&gt;/volumes.</p>\n";
    Reply::bytes(StatusCode::NOT_FOUND, "text/html; charset=utf-8", page)
}

/// Part of the API, but not here yet.
pub(crate) fn not_implemented(what: &str) -> Condition {
    Condition::Unsupported(format!("{what} not implemented by this server"))
}

/// What this API calls things.
fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Pool => "subsystem",
        Kind::Volume
        | Kind::Snapshot
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

/// Every condition's status and text.
pub(crate) fn coat(c: &Condition) -> Reply {
    use Condition::*;
    let said = c.to_string();
    let (status, message) = match c {
        NotFound { what, name } => (StatusCode::NOT_FOUND, format!("No such {}: '{name}'", noun(*what))),
        Exists { what, name } => {
            (StatusCode::BAD_REQUEST, format!("The {} name is already in use: '{name}'", noun(*what)))
        }
        WrongState { .. } => (StatusCode::CONFLICT, said),
        InUse { .. } => (StatusCode::CONFLICT, said),
        QuotaExceeded { .. } => (StatusCode::FORBIDDEN, said),
        NoSpace(_) => (StatusCode::INSUFFICIENT_STORAGE, said),
        Invalid { .. } => (StatusCode::BAD_REQUEST, said),
        PreconditionFailed { .. } => (StatusCode::PRECONDITION_FAILED, said),
        Unauthenticated(_) => (StatusCode::UNAUTHORIZED, said),
        Forbidden(_) => (StatusCode::FORBIDDEN, said),
        Conflict(_) => (StatusCode::CONFLICT, said),
        DataLost(_) => (StatusCode::INTERNAL_SERVER_ERROR, said),
        Unsupported(_) => (StatusCode::NOT_IMPLEMENTED, said),
        Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, said),
        Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, said),
        Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error".to_string()),
    };
    let reply = document(status, &message);
    match c {
        Unauthenticated(_) => reply.with(WWW_AUTHENTICATE, "Basic realm=\"parpen\""),
        _ => reply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_its_status() {
        let text = || "why".to_string();
        let table = [
            (Condition::not_found(Kind::Volume, "x"), 404),
            (Condition::exists(Kind::Volume, "x"), 400),
            (Condition::WrongState { what: Kind::Volume, name: text(), actual: text(), wanted: text() }, 409),
            (Condition::in_use(Kind::Volume, "x", vec![text()]), 409),
            (Condition::QuotaExceeded { what: text(), limit: 1, used: 1, asked: 1 }, 403),
            (Condition::NoSpace(text()), 507),
            (Condition::invalid("size", "why"), 400),
            (Condition::PreconditionFailed { expected: text(), actual: text() }, 412),
            (Condition::Unauthenticated(text()), 401),
            (Condition::Forbidden(text()), 403),
            (Condition::Conflict(text()), 409),
            (Condition::DataLost(text()), 500),
            (Condition::Unsupported(text()), 501),
            (Condition::Unavailable(text()), 503),
            (Condition::Timeout(text()), 504),
            (Condition::internal("a secret of the house"), 500),
        ];
        for (condition, status) in table {
            let reply = coat(&condition);
            assert_eq!(reply.status.as_u16(), status, "{condition:?}");
            assert_eq!(reply.headers.contains_key(WWW_AUTHENTICATE), status == 401);
            let document: serde_json::Value = serde_json::from_slice(reply.as_bytes().unwrap()).unwrap();
            let message = document["message"].as_str().unwrap();
            assert!(!message.is_empty() && !message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn clients_look_for_these_words() {
        let said = |c| String::from_utf8(coat(&c).as_bytes().unwrap().to_vec()).unwrap();
        assert!(said(Condition::not_found(Kind::Volume, "x")).contains("No such volume: 'x'"));
        assert!(said(Condition::not_found(Kind::Pool, "x")).contains("No such subsystem: 'x'"));
        assert!(said(Condition::exists(Kind::Volume, "x")).contains("in use"));
    }
}
