use bytes::Bytes;
use http::HeaderMap;
use parpen_http::Via;

use super::*;

fn asked(method: Method, target: &str) -> Result<Route, u16> {
    let request = HttpRequest::new(method, target, HeaderMap::new(), Via::Unix, Bytes::new());
    route(&request).map_err(|reply| reply.status.as_u16())
}

/// The operation, subsystem, name and part that a GET finds.
fn got(target: &str) -> (Endpoint, String, String, String) {
    let Route { endpoint, names } = asked(Method::GET, target).unwrap();
    (endpoint, names.subsystem, names.name, names.part)
}

fn is(endpoint: Endpoint, name: &str, part: &str) -> (Endpoint, String, String, String) {
    (endpoint, "local".into(), name.into(), part.into())
}

#[test]
fn volume_names_hold_slashes() {
    assert_eq!(got("/v3/local/volumes"), is(Endpoint::VolumeList, "", ""));
    assert_eq!(got("/v3/local/volumes/books"), is(Endpoint::VolumeShow, "books", ""));
    assert_eq!(got("/v3/local/volumes/node:/a/b"), is(Endpoint::VolumeShow, "node:/a/b", ""));
    assert_eq!(got("/v3/local/volumes/node%3A%2Fa%2fb"), is(Endpoint::VolumeShow, "node:/a/b", ""));
    assert_eq!(got("/v3/local/volumes/a//b/"), is(Endpoint::VolumeShow, "a//b/", ""));
}

#[test]
fn suffixes_come_first() {
    let (list, show) = (Endpoint::SnapshotList, Endpoint::SnapshotShow);
    assert_eq!(got("/v3/local/volumes/a/b/snapshots"), is(list, "a/b", ""));
    assert_eq!(got("/v3/local/volumes/a/b/snapshots/one"), is(show, "a/b", "one"));
    assert_eq!(got("/v3/local/volumes/a/locks"), is(Endpoint::LockList, "a", ""));
    assert_eq!(got("/v3/local/volumes/a/snapshots/snapshots"), is(show, "a", "snapshots"));
    assert_eq!(got("/v3/local/volumes/a/locks/b/snapshots/c"), is(show, "a/locks/b", "c"));
    // Where nothing stands before or after the word, it is a part of the volume's name.
    assert_eq!(got("/v3/local/volumes/snapshots"), is(Endpoint::VolumeShow, "snapshots", ""));
    assert_eq!(got("/v3/local/volumes/snapshots/x"), is(Endpoint::VolumeShow, "snapshots/x", ""));
    assert_eq!(got("/v3/local/volumes/a/snapshots/"), is(Endpoint::VolumeShow, "a/snapshots/", ""));
    let put = asked(Method::PUT, "/v3/local/volumes/a/b/locks/host.example").unwrap();
    assert_eq!((put.endpoint, &*put.names.part), (Endpoint::LockPut, "host.example"));
}

#[test]
fn the_first_rule_splits_a_policy() {
    assert_eq!(got("/v3/local/export"), is(Endpoint::PolicyList, "", ""));
    assert_eq!(got("/v3/local/export/a/b"), is(Endpoint::PolicyShow, "a/b", ""));
    let put = asked(Method::PUT, "/v3/local/export/a/rule/10.0.0.0/8/rule/x").unwrap();
    assert_eq!(put.endpoint, Endpoint::RulePut);
    assert_eq!((&*put.names.name, &*put.names.part), ("a", "10.0.0.0/8/rule/x"));
}

#[test]
fn the_rest_has_fixed_paths() {
    let e = |target: &str| asked(Method::GET, target).map(|r| r.endpoint);
    assert_eq!(e("/conf/subsystems"), Ok(Endpoint::Subsystems));
    assert_eq!(e("/conf/roles"), Ok(Endpoint::Roles));
    assert_eq!(e("/conf/me/roles"), Ok(Endpoint::MyRoles));
    assert_eq!(asked(Method::GET, "/conf/roles/ADMIN_ROLE/am_i_a").unwrap().names.name, "ADMIN_ROLE");
    assert_eq!(e("/conf/roles/ADMIN_ROLE/egroups"), Ok(Endpoint::RoleEgroups));
    assert_eq!(e("/login_basic"), Ok(Endpoint::LoginBasic));
    for nothing in [
        "/conf",
        "/conf/roles//am_i_a",
        "/conf/roles/x/y",
        "/v3",
        "/v3/",
        "/v3/local",
        "/v3//volumes",
        "/v3/local/volumes/",
        "/v3/local/volumes//a",
        "/v3/local/volumes/a%0Ab",
        "/v3/local/other",
        "/v3/local/export/",
    ] {
        assert_eq!(e(nothing), Err(404), "{nothing}");
    }
    assert_eq!(asked(Method::PUT, "/v3/local/volumes/a").map(|r| r.endpoint), Err(405));
    assert_eq!(asked(Method::POST, "/v3/local/volumes/a/snapshots").map(|r| r.endpoint), Err(405));
    assert_eq!(asked(Method::HEAD, "/v3/local/volumes").map(|r| r.endpoint), Ok(Endpoint::VolumeList));
}

#[test]
fn only_its_own_paths_are_claimed() {
    for own in ["/v3/local/volumes", "/conf/roles", "/login", "/login_basic", "/logout", "/swagger.json"] {
        assert!(claims(own), "{own}");
    }
    for other in ["/", "/volume/v3/x", "/identity/v3", "/1.0", "/v2/disks", "/api/volumes", "/loginx"] {
        assert!(!claims(other), "{other}");
    }
}
