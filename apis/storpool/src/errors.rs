//! The error document: one name for each condition.

use std::net::IpAddr;

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::lifecycle::passes;
use parpen_model::{Condition, Kind};
use serde_json::json;

use crate::names::client_of;

/// The document: a name for programs, a text for people, and whether trying again may help.
pub fn document(status: StatusCode, name: &str, descr: &str, transient: bool, generation: u64) -> Reply {
    let mut error = json!({ "name": name, "descr": descr });
    if transient {
        error["transient"] = json!(true);
    }
    Reply::json(status, &json!({ "error": error, "generation": generation }))
}

/// What becomes of a condition: status, name, and whether trying again may help.
fn verdict(condition: &Condition) -> (StatusCode, &'static str, bool) {
    match condition {
        Condition::NotFound { .. } => (StatusCode::NOT_FOUND, "objectDoesNotExist", false),
        Condition::Exists { .. } => (StatusCode::CONFLICT, "objectExists", false),
        // The bindings ask again while it is transient: that helps where running work is all that is in the way.
        Condition::WrongState { actual, .. } => (StatusCode::CONFLICT, "busy", passes(actual)),
        Condition::InUse { .. } => (StatusCode::CONFLICT, "busy", false),
        Condition::QuotaExceeded { .. } | Condition::NoSpace(_) => {
            (StatusCode::INSUFFICIENT_STORAGE, "insufficientResources", false)
        }
        Condition::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalidParam", false),
        // Somebody else was faster and nothing was changed: the same call may well succeed now.
        Condition::PreconditionFailed { .. } | Condition::Conflict(_) => (StatusCode::CONFLICT, "busy", true),
        Condition::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, "notAuthenticated", false),
        Condition::Forbidden(_) => (StatusCode::FORBIDDEN, "notAuthorized", false),
        Condition::DataLost(_) => (StatusCode::INTERNAL_SERVER_ERROR, "dataLost", false),
        Condition::Unsupported(_) => (StatusCode::NOT_IMPLEMENTED, "notImplemented", false),
        Condition::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", true),
        Condition::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, "timeout", false),
        Condition::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internalError", false),
    }
}

/// The text. Clients look for `is open at` when somebody holds a volume, and then wait or force.
fn descr(condition: &Condition) -> String {
    match condition {
        Condition::NotFound { what, name } => format!("{} '{name}' does not exist", noun(*what)),
        Condition::Exists { what, name } => format!("{} '{name}' already exists", noun(*what)),
        Condition::InUse { name, by, .. }
            if by.iter().any(|b| client_of(b).is_some() || is_connection(b)) =>
        {
            let at: Vec<String> =
                by.iter().map(|b| client_of(b).map_or(b.clone(), |n| format!("client {n}"))).collect();
            format!("'{name}' is open at {}", at.join(", "))
        }
        other => other.to_string(),
    }
}

/// Whether a holder is somebody who is connected without an attachment: a transport's name and an address.
fn is_connection(by: &str) -> bool {
    by.split_once(' ').is_some_and(|(_, address)| address.parse::<IpAddr>().is_ok())
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::VolumeType => "template",
        other => other.word(),
    }
}

/// The error document, with the newest generation that is known.
pub fn coat(condition: &Condition, generation: u64) -> Reply {
    let (status, name, transient) = verdict(condition);
    document(status, name, &descr(condition), transient, generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn every_condition_has_its_name() {
        let held = |by: &str| Condition::in_use(Kind::Volume, "vol", vec![by.into()]);
        let wrong = |actual: &str| Condition::WrongState {
            what: Kind::Volume,
            name: "vol".into(),
            actual: actual.into(),
            wanted: "ready".into(),
        };
        let quota = Condition::QuotaExceeded { what: "volumes".into(), limit: 1, used: 1, asked: 1 };
        let changed = Condition::PreconditionFailed { expected: "1".into(), actual: "2".into() };
        let all = [
            Condition::not_found(Kind::Volume, "vol"),
            Condition::not_found(Kind::VolumeType, "tpl"),
            Condition::exists(Kind::Snapshot, "snap"),
            wrong("creating"),
            wrong("resizing"),
            wrong("error"),
            held("client-19"),
            held("nbd 127.0.0.1"),
            held("nbd fe80::1"),
            held("snapshot one"),
            quota,
            Condition::NoSpace("the pool is full".into()),
            Condition::invalid("size", "it is no number"),
            changed,
            Condition::Unauthenticated("no".into()),
            Condition::Forbidden("no".into()),
            Condition::Conflict("again".into()),
            Condition::DataLost("gone".into()),
            Condition::Unsupported("not yet".into()),
            Condition::Unavailable("later".into()),
            Condition::Timeout("slow".into()),
            Condition::internal("the secret detail"),
        ];
        let lines = all.iter().map(|c| {
            let reply = coat(c, 7);
            format!("{} {}\n", reply.status.as_u16(), String::from_utf8_lossy(reply.as_bytes().unwrap()))
        });
        expect![[r#"
            404 {"error":{"name":"objectDoesNotExist","descr":"volume 'vol' does not exist"},"generation":7}
            404 {"error":{"name":"objectDoesNotExist","descr":"template 'tpl' does not exist"},"generation":7}
            409 {"error":{"name":"objectExists","descr":"snapshot 'snap' already exists"},"generation":7}
            409 {"error":{"name":"busy","descr":"volume \"vol\" is creating; this needs it to be ready","transient":true},"generation":7}
            409 {"error":{"name":"busy","descr":"volume \"vol\" is resizing; this needs it to be ready","transient":true},"generation":7}
            409 {"error":{"name":"busy","descr":"volume \"vol\" is error; this needs it to be ready"},"generation":7}
            409 {"error":{"name":"busy","descr":"'vol' is open at client 19"},"generation":7}
            409 {"error":{"name":"busy","descr":"'vol' is open at nbd 127.0.0.1"},"generation":7}
            409 {"error":{"name":"busy","descr":"'vol' is open at nbd fe80::1"},"generation":7}
            409 {"error":{"name":"busy","descr":"volume \"vol\" is in use by snapshot one"},"generation":7}
            507 {"error":{"name":"insufficientResources","descr":"the quota of volumes is used up: 1 of 1, 1 more asked for"},"generation":7}
            507 {"error":{"name":"insufficientResources","descr":"the pool is full"},"generation":7}
            400 {"error":{"name":"invalidParam","descr":"size: it is no number"},"generation":7}
            409 {"error":{"name":"busy","descr":"it has changed: 1 was expected, 2 it is","transient":true},"generation":7}
            401 {"error":{"name":"notAuthenticated","descr":"no"},"generation":7}
            403 {"error":{"name":"notAuthorized","descr":"no"},"generation":7}
            409 {"error":{"name":"busy","descr":"again","transient":true},"generation":7}
            500 {"error":{"name":"dataLost","descr":"gone"},"generation":7}
            501 {"error":{"name":"notImplemented","descr":"not yet"},"generation":7}
            503 {"error":{"name":"unavailable","descr":"later","transient":true},"generation":7}
            504 {"error":{"name":"timeout","descr":"slow"},"generation":7}
            500 {"error":{"name":"internalError","descr":"internal error; the server's log says more"},"generation":7}
        "#]].assert_eq(&lines.collect::<String>());
    }
}
