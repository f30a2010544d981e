//! Every operation and its path.

use http::header::ALLOW;
use http::{Method, StatusCode};
use parpen_http::path::{self, Found, Params};
use parpen_http::{HttpRequest, Reply};

use crate::errors;

macro_rules! endpoints {
    ($($name:ident = $method:ident $path:literal $built:literal,)*) => {
        /// Every operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // the table below says it
        pub enum Endpoint { $($name),* }
        impl Endpoint {
            /// All of them.
            pub const ALL: &'static [Endpoint] = &[$(Endpoint::$name),*];
            /// Its method and path.
            pub fn pattern(self) -> (Method, &'static str) {
                match self { $(Endpoint::$name => (Method::$method, $path)),* }
            }
            /// Whether it does something here; the others are refused, as the platform refuses them.
            pub fn is_built(self) -> bool {
                match self { $(Endpoint::$name => $built == "built"),* }
            }
        }
        fn table() -> Vec<path::Route<Endpoint>> {
            vec![$((Method::$method, $path, Endpoint::$name)),*]
        }
    };
}

endpoints! {
    PackageShow = GET "/serviceclass/status" "built",
    PackageAdd = POST "/serviceclass/add" "refused",
    PackageDelete = DELETE "/serviceclass/delete" "refused",
    DiskList = GET "/disk" "built",
    DiskMake = POST "/disk" "built",
    DiskShow = GET "/disk/{guid}" "built",
    DiskDelete = DELETE "/disk/{guid}" "built",
    InstanceShow = GET "/serviceinstance/{guid}" "built",
    V2DiskList = GET "/v2/disks" "built",
    V2DiskMake = POST "/v2/disks" "built",
    V2DiskShow = GET "/v2/disks/{name}" "built",
    V2DiskDelete = DELETE "/v2/disks/{name}" "built",
}

/// Whether the first segments of a raw path are of this API.
pub(crate) fn claims(path: &str) -> bool {
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/');
    match segments.next() {
        Some("serviceclass" | "serviceinstance" | "disk") => true,
        Some("v2") => segments.next() == Some("disks"),
        _ => false,
    }
}

/// The operation and the names in its path; the reply where none is.
pub(crate) fn route(request: &HttpRequest) -> Result<(Endpoint, Params), Box<Reply>> {
    match path::find(&table(), &request.method, request.path()) {
        Found::Endpoint(e, params) => Ok((e, params)),
        Found::OtherMethod(methods) => {
            let allowed = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            let text = format!("this path answers {allowed} only");
            let reply = errors::document(StatusCode::METHOD_NOT_ALLOWED, &text);
            Err(Box::new(reply.with(ALLOW, allowed)))
        }
        Found::Nothing => Err(Box::new(errors::document(StatusCode::NOT_FOUND, "there is no such path"))),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use parpen_http::Via;

    use super::*;

    fn asked(method: Method, target: &str) -> Result<(Endpoint, Params), u16> {
        let request = HttpRequest::new(method, target, HeaderMap::new(), Via::Unix, Bytes::new());
        route(&request).map_err(|reply| reply.status.as_u16())
    }

    #[test]
    fn both_apis_have_their_paths() {
        let (e, params) = asked(Method::GET, "/v2/disks/my%20disk/").unwrap();
        assert_eq!((e, params.get("name")), (Endpoint::V2DiskShow, "my disk"));
        let (e, _) = asked(Method::GET, "/v2/disks/?continue=0&limit=50&names=").unwrap();
        assert_eq!(e, Endpoint::V2DiskList);
        let (e, params) = asked(Method::DELETE, "/disk/disk-abc").unwrap();
        assert_eq!((e, params.get("guid")), (Endpoint::DiskDelete, "disk-abc"));
        assert_eq!(
            asked(Method::GET, "/serviceclass/status?package_uid=x").unwrap().0,
            Endpoint::PackageShow
        );
        assert_eq!(asked(Method::PUT, "/disk"), Err(405));
        assert_eq!(asked(Method::GET, "/serviceclass/other"), Err(404));
        assert_eq!(asked(Method::GET, "/v2/disks/a/b"), Err(404));
    }

    #[test]
    fn only_its_own_paths_are_claimed() {
        for own in
            ["/disk", "/disk/x", "/serviceclass/status", "/serviceinstance/dep-a", "/v2/disks/", "/v2/disks"]
        {
            assert!(claims(own), "{own}");
        }
        for other in ["/", "/disks", "/v2", "/v2/images", "/volume/v3/x", "/v3/local/volumes"] {
            assert!(!claims(other), "{other}");
        }
    }
}
