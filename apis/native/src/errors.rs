//! The native error document: `{"error": {"code", "message"}}`.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::Condition;
use serde_json::json;

/// The document.
pub(crate) fn document(status: StatusCode, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "error": { "code": code, "message": message } }))
}

/// Every condition's status and code.
pub(crate) fn coat(c: &Condition) -> Reply {
    use Condition::*;
    let (status, code) = match c {
        NotFound { .. } => (StatusCode::NOT_FOUND, "not-found"),
        Exists { .. } => (StatusCode::CONFLICT, "exists"),
        WrongState { .. } => (StatusCode::CONFLICT, "wrong-state"),
        InUse { .. } => (StatusCode::CONFLICT, "in-use-by-others"),
        QuotaExceeded { .. } => (StatusCode::FORBIDDEN, "quota-exceeded"),
        NoSpace(_) => (StatusCode::INSUFFICIENT_STORAGE, "no-space"),
        Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid"),
        PreconditionFailed { .. } => (StatusCode::PRECONDITION_FAILED, "precondition-failed"),
        Unauthenticated(_) => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
        Conflict(_) => (StatusCode::CONFLICT, "conflict"),
        DataLost(_) => (StatusCode::INTERNAL_SERVER_ERROR, "data-lost"),
        Unsupported(_) => (StatusCode::NOT_IMPLEMENTED, "unsupported"),
        Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
        Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    };
    document(status, code, &c.to_string())
}
