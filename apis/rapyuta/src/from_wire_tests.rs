use bytes::Bytes;
use http::{HeaderMap, Method};
use parpen_http::{Via, parse_json};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn disk() -> Value {
    json!({"name": "books", "runtime": "cloud", "capacity": 32, "diskType": "ssd"})
}

fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    match document.pointer_mut(pointer) {
        Some(place) => *place = value,
        None => {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            document.pointer_mut(parent).unwrap()[key] = value;
        }
    }
    document
}

fn field(result: Result<Wish, Condition>) -> String {
    match result {
        Err(Condition::Invalid { field, .. }) => field,
        other => panic!("it is taken: {other:?}"),
    }
}

#[test]
fn a_disk_of_the_first_api() {
    let wish = v1_disk(&disk()).unwrap();
    let want = Wish { name: "books".into(), gib: 32, labels: Map::new(), region: None };
    assert_eq!(wish, want);
    assert_eq!(v1_disk(&with(disk(), "/diskType", json!("default"))).unwrap(), want);
    assert_eq!(v1_disk(&json!({"name": "books", "capacity": 32})).unwrap(), want);
    let command = wish.command(ProjectId(uuid::Uuid::nil()));
    assert_eq!((command.size, command.naming.name.as_str()), (Some(32 * GIB), "books"));
    for (pointer, bad) in [
        ("/name", json!("ab")),
        ("/name", json!("a".repeat(76))),
        ("/name", json!("a b c")),
        ("/name", json!("bücher")),
        ("/name", json!(7)),
        ("/name", Value::Null),
        ("/capacity", json!(6)),
        ("/capacity", json!(0)),
        ("/capacity", json!(-4)),
        ("/capacity", json!(32.0)),
        ("/capacity", json!("32")),
        ("/capacity", json!(true)),
        ("/capacity", json!(1024)),
        ("/diskType", json!("hdd")),
        ("/runtime", json!("device")),
        ("/labels", json!({"a": 1})),
        ("/labels", json!(["a"])),
    ] {
        assert_eq!(field(v1_disk(&with(disk(), pointer, bad))), pointer[1..], "{pointer}");
    }
    assert_eq!(field(v1_disk(&json!([]))), "body");
}

#[test]
fn a_disk_of_the_second_api() {
    let body = json!({
        "apiVersion": "apiextensions.rapyuta.io/v1",
        "kind": "Disk",
        "metadata": {"name": "books", "guid": null, "labels": {"a": "b"}, "region": "jp", "createdAt": null},
        "spec": {"runtime": "cloud", "capacity": 100},
        "status": null,
    });
    let wish = v2_disk(&body).unwrap();
    assert_eq!((wish.gib, wish.region.as_deref(), wish.labels.len()), (100, Some("jp"), 1));
    for (pointer, bad, name) in [
        ("/apiVersion", json!("v1"), "apiVersion"),
        ("/kind", json!("Volume"), "kind"),
        ("/metadata", Value::Null, "metadata"),
        ("/spec", json!([]), "spec"),
        ("/spec/capacity", json!(5), "capacity"),
        ("/spec/capacity", json!(2), "capacity"),
        ("/spec/capacity", json!(514), "capacity"),
        ("/spec/runtime", json!("device"), "runtime"),
        ("/metadata/name", json!("x"), "name"),
        ("/metadata/labels", json!({"a": null}), "labels"),
        ("/metadata/region", json!(1), "region"),
    ] {
        assert_eq!(field(v2_disk(&with(body.clone(), pointer, bad))), name, "{pointer}");
    }
}

fn asked(query: &str) -> Result<Page, Condition> {
    let target = format!("/v2/disks/?{query}");
    page(&HttpRequest::new(Method::GET, &target, HeaderMap::new(), Via::Unix, Bytes::new()))
}

#[test]
fn empty_parameters_are_absent() {
    let all = asked("continue=0&limit=50&labelSelector=&names=&regions=&status=").unwrap();
    assert_eq!(all, asked("").unwrap());
    assert_eq!((all.after, all.limit, all.names.len()), (0, 50, 0));
    let some = asked("continue=7&limit=2&names=a&names=b,c&labelSelector=x%3Dy%3Dz&status=Bound").unwrap();
    assert_eq!((some.after, some.limit, some.names), (7, 2, vec!["a".into(), "b".into(), "c".to_string()]));
    assert_eq!(some.labels, [("x".to_string(), "y=z".to_string())]);
    for bad in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=x",
        "continue=x",
        "labelSelector=x",
        "labelSelector=%3Dx",
    ] {
        assert!(asked(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), capacity in any::<f64>()) {
        if let Ok(value) = parse_json::<Value>(&bytes) {
            let _ = (v1_disk(&value).is_ok(), v2_disk(&value).is_ok());
        }
        let odd = with(disk(), "/capacity", json!(capacity));
        prop_assert!(v1_disk(&odd).is_err());
    }

    #[test]
    fn no_query_makes_it_panic(query in "[ -~]{0,60}") {
        let _ = asked(&query).is_ok();
    }
}
