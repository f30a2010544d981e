//! What bodies become.

use proptest::prelude::*;
use serde_json::json;

use super::pools::pool_path;
use super::volumes::volume_name;
use super::*;
use crate::to_wire::NO_DATE;
use crate::wire;

fn volumes_post(body: serde_json::Value) -> Result<WantedVolume, Condition> {
    wanted_volume(Some("custom"), serde_json::from_value(body).unwrap())
}

#[test]
fn nulls_are_nothing() {
    let w = volumes_post(json!({
        "name": "v", "config": null, "description": null, "content_type": null,
        // As lxc sends it for a blank volume.
        "source": { "type": "", "name": "", "pool": "", "volume_only": false, "refresh": false },
    }))
    .unwrap();
    assert_eq!((w.source, w.config.len(), w.description), (WantedSource::Blank, 0, None));
    let null_value = volumes_post(json!({ "name": "v", "config": { "user.a": null } })).unwrap();
    assert!(null_value.config.is_empty());
}

#[test]
fn a_source_may_be_a_snapshot() {
    let w = volumes_post(json!({ "name": "c", "source": { "type": "copy", "name": "v/s/t", "pool": "p" } }));
    let want = WantedSource::Copy {
        pool: Some("p".into()),
        volume: "v".into(),
        snapshot: Some("s/t".into()),
        volume_only: false,
    };
    assert_eq!(w.unwrap().source, want);
    assert!(volumes_post(json!({ "name": "c", "source": { "type": "copy" } })).is_err());
}

#[test]
fn a_missing_date_is_not_a_null_one() {
    let put = |v| serde_json::from_value::<wire::SnapshotPut>(v).unwrap().expires_at;
    assert_eq!(put(json!({})), None);
    assert_eq!(put(json!({ "expires_at": null })), Some(None));
    assert_eq!(put(json!({ "expires_at": "x" })), Some(Some("x".into())));
    assert_eq!(expires_at(Some(NO_DATE.into())), Ok(None));
    assert!(expires_at(Some("2183-06-16T00:00:00Z".into())).unwrap().is_some());
}

#[test]
fn sources_of_pools_are_paths() {
    let path = |driver: &str, source: &str| pool_path(driver, "p", Some(&source.to_string()));
    assert_eq!(path("dir", "/mnt/x/"), Ok(Some("/mnt/x/p.disk".into())));
    assert_eq!(path("lvm", "/dev/sdb"), Ok(Some("/dev/sdb".into())));
    assert_eq!(pool_path("dir", "p", None), Ok(None));
    assert!(matches!(path("zfs", "tank"), Err(Condition::Unsupported(_))));
}

proptest! {
    #[test]
    fn names_that_pass_are_one_segment(name in ".{0,20}") {
        if let Ok(n) = volume_name(Some(name.clone())) {
            prop_assert!(!n.is_empty() && !n.contains('/') && n != "." && n != "..");
        }
        if let Ok(n) = snapshot_name(name) {
            prop_assert!(!n.contains(char::is_whitespace) && !n.contains('/'));
        }
    }
}
