//! The three forms of LXD's answers: sync, async, error.

use http::StatusCode;
use http::header::{ETAG, HeaderName, LOCATION};
use parpen_http::Reply;
use serde::Serialize;
use serde_json::{Value, json};

use crate::to_wire::Operation;

#[derive(Serialize)]
struct Envelope<T> {
    #[serde(rename = "type")]
    kind: &'static str,
    status: &'static str,
    status_code: u16,
    operation: String,
    error_code: u16,
    error: String,
    metadata: T,
}

/// A result that is there. The document says 200 also where HTTP says 201.
fn document<T: Serialize>(status: StatusCode, metadata: T) -> Reply {
    let envelope = Envelope {
        kind: "sync",
        status: "Success",
        status_code: 200,
        operation: String::new(),
        error_code: 0,
        error: String::new(),
        metadata,
    };
    Reply::json(status, &envelope)
}

/// 200 with a result.
pub(crate) fn sync<T: Serialize>(metadata: T) -> Reply {
    document(StatusCode::OK, metadata)
}

/// 200 with a result and its ETag.
pub(crate) fn tagged<T: Serialize>(metadata: T, hash: &str) -> Reply {
    sync(metadata).with(ETAG, format!("\"{hash}\""))
}

/// 200 with nothing to say.
pub(crate) fn empty() -> Reply {
    sync(json!({}))
}

/// 201, and where it is.
pub(crate) fn created(location: &str) -> Reply {
    document(StatusCode::CREATED, Value::Null).with(LOCATION, location)
}

/// 202: an operation goes on.
pub(crate) fn accepted(operation: &Operation) -> Reply {
    let at = operation.url();
    let envelope = Envelope {
        kind: "async",
        status: "Operation created",
        status_code: 100,
        operation: at.clone(),
        error_code: 0,
        error: String::new(),
        metadata: operation,
    };
    Reply::json(StatusCode::ACCEPTED, &envelope).with(LOCATION, at)
}

/// A refusal.
pub(crate) fn error(status: StatusCode, text: &str) -> Reply {
    let envelope = Envelope {
        kind: "error",
        status: "",
        status_code: 0,
        operation: String::new(),
        error_code: status.as_u16(),
        error: text.to_string(),
        metadata: Value::Null,
    };
    Reply::json(status, &envelope).with(HeaderName::from_static("x-content-type-options"), "nosniff")
}
