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
        | Kind::Disk
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
