//! Which operation a path means, with and without the project in it.

use std::collections::HashSet;
use std::sync::LazyLock;

use http::{Method, StatusCode};
use parpen_http::path::{self, Found, Params, Route};
use parpen_http::{HttpRequest, Reply};

use crate::endpoint::{Endpoint, table};
use crate::errors;
use crate::fields::truth;
use crate::microversion::{Microversion, negotiate};

static TABLE: LazyLock<Vec<Route<Endpoint>>> = LazyLock::new(table);

/// The words that may follow `/volume/v3/`.
static COLLECTIONS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let third = TABLE.iter().filter(|(_, p, _)| p.starts_with("/volume/v3/"));
    third.filter_map(|(_, p, _)| path::raw_segments(p).nth(2)).collect()
});

/// Whether a path is this API's.
pub(crate) fn claims(path: &str) -> bool {
    matches!(path::raw_segments(path).next(), Some("volume" | "identity" | "image"))
}

/// The path without the project, and the project.
fn split(path: &str) -> (String, Option<String>) {
    let all: Vec<&str> = path::raw_segments(path).collect();
    if let ["volume", "v3", project, collection, ..] = all[..]
        && !COLLECTIONS.contains(project)
        && COLLECTIONS.contains(collection)
    {
        return (format!("/volume/v3/{}", all[3..].join("/")), Some(path::decode(project).into_owned()));
    }
    (path.to_string(), None)
}

/// The project that a path names.
pub(crate) fn project(path: &str) -> Option<String> {
    split(path).1
}

/// The operation and the segments that stand for names.
pub(crate) fn find(method: &Method, path: &str) -> Found<Endpoint> {
    path::find(&TABLE, method, &split(path).0)
}

/// The segments that stand for names in a path that was routed.
pub(crate) fn params(request: &HttpRequest) -> Params {
    match find(&request.method, request.path()) {
        Found::Endpoint(_, params) => params,
        Found::OtherMethod(_) | Found::Nothing => Params::default(),
    }
}

/// The operation that a request means.
pub(crate) fn route(request: &HttpRequest) -> Result<Endpoint, Box<Reply>> {
    let endpoint = match find(&request.method, request.path()) {
        Found::Endpoint(endpoint, _) => endpoint,
        Found::Nothing => {
            return Err(Box::new(errors::fault(StatusCode::NOT_FOUND, "The resource could not be found.")));
        }
        // Cinder's routes are of a path and a method together: what has another method is not found.
        Found::OtherMethod(_) if path::raw_segments(request.path()).next() == Some("volume") => {
            return Err(Box::new(errors::fault(StatusCode::NOT_FOUND, "The resource could not be found.")));
        }
        Found::OtherMethod(methods) => {
            let allow: Vec<&str> = methods.iter().map(Method::as_str).collect();
            let text = format!("The method {} is not allowed for this resource.", request.method);
            let reply = errors::fault(StatusCode::METHOD_NOT_ALLOWED, &text);
            return Err(Box::new(reply.with(http::header::ALLOW, allow.join(", "))));
        }
    };
    if !endpoint.is_identity() && !endpoint.is_public() {
        let version = negotiate(request)?;
        if !version.has(endpoint.since()) {
            return Err(Box::new(version.mark(too_old())));
        }
    }
    Ok(endpoint)
}

/// The version that a routed request asks for.
pub(crate) fn version(request: &HttpRequest) -> Microversion {
    negotiate(request).unwrap_or(Microversion::MIN)
}

/// The answer where an operation is newer than the version asked for: for that version there is nothing.
pub(crate) fn too_old() -> Reply {
    errors::fault(StatusCode::NOT_FOUND, "The resource could not be found.")
}

/// The truth values of queries that Cinder does not guess at.
const TRUTHS: [&str; 6] = ["all_tenants", "cascade", "force", "with_count", "usage", "list_volume"];

/// The answer to a request that no operation would understand: a body that is no JSON by what it says of itself, or a
/// truth value of the query that is none.
pub(crate) fn refused(request: &HttpRequest) -> Option<Reply> {
    let kind = request.header("content-type").map(|t| t.split(';').next().unwrap_or_default().trim());
    let known = |t: &str| {
        ["application/json", "application/vnd.openstack.volume+json"]
            .iter()
            .any(|k| t.eq_ignore_ascii_case(k))
    };
    let is_empty = request.header("content-length").is_none_or(|n| n == "0")
        && request.header("transfer-encoding").is_none();
    if kind.is_some_and(|t| !known(t)) && !is_empty {
        return Some(errors::fault(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Content-Type"));
    }
    let (name, value) =
        request.query_pairs().find(|(n, v)| TRUTHS.contains(&n.as_str()) && truth(v).is_none())?;
    let text = format!("Value '{value:.64}' for '{name}' is not a boolean.");
    Some(errors::fault(StatusCode::BAD_REQUEST, &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_may_stand_in_the_path_or_not() {
        let table = [
            ("/volume/v3/volumes", Endpoint::VolumesList, None),
            ("/volume/v3/volumes/", Endpoint::VolumesList, None),
            ("/volume/v3/abc/volumes", Endpoint::VolumesList, Some("abc")),
            ("/volume/v3/abc/volumes/detail", Endpoint::VolumesDetail, Some("abc")),
            ("/volume/v3/volumes/volumes", Endpoint::VolumeShow, None),
            ("/volume/v3/p/volumes/x/metadata/k", Endpoint::VolumeMetadataItem, Some("p")),
            ("/volume/v3/", Endpoint::Version, None),
            ("/volume", Endpoint::Versions, None),
            ("/identity/v3/auth/tokens", Endpoint::TokenValidate, None),
            ("/volume/v3/p/types/default", Endpoint::TypeDefault, Some("p")),
        ];
        for (path, endpoint, in_path) in table {
            assert!(claims(path));
            assert!(matches!(find(&Method::GET, path), Found::Endpoint(e, _) if e == endpoint), "{path}");
            assert_eq!(project(path).as_deref(), in_path, "{path}");
        }
        for path in ["/volume/v2", "/volume/v3/a/b/volumes", "/volume/v3/nothing", "/identity/v2.0"] {
            assert_eq!(find(&Method::GET, path), Found::Nothing, "{path}");
        }
        assert!(!claims("/v3/volumes") && !claims("/"));
    }

    #[test]
    fn no_two_operations_share_a_line() {
        let lines: HashSet<String> = TABLE.iter().map(|(m, p, _)| format!("{m} {p}")).collect();
        assert_eq!(lines.len(), TABLE.len());
        for (method, pattern, endpoint) in TABLE.iter() {
            let sample: String = pattern.replace('{', "x").replace('}', "y");
            assert!(matches!(find(method, &sample), Found::Endpoint(e, _) if e == *endpoint), "{pattern}");
        }
    }
}
