use proptest::prelude::*;

use super::*;

/// Status and text of a refusal.
fn refused<T>(result: Result<T, Stop>) -> (u16, String) {
    match result {
        Ok(_) => panic!("it was taken"),
        Err(Stop::Reply(reply)) => {
            let body = reply.as_bytes().unwrap().to_vec();
            (reply.status.as_u16(), String::from_utf8(body).unwrap())
        }
        Err(Stop::Condition(c)) => (errors::coat(&c).status.as_u16(), c.to_string()),
    }
}

fn made(body: &str) -> Make {
    make(body.as_bytes()).unwrap_or_else(|_| panic!("{body} is refused"))
}

#[test]
fn the_sources_say_what_a_post_does() {
    let clone = Make::Clone { volume: "v".into(), snapshot: "s".into() };
    assert_eq!(made(r#"{"from_volume":"v","from_snapshot":"s","size_total":7}"#), clone);
    assert_eq!(made(r#"{"from_snapshot":"s"}"#), Make::Rollback { snapshot: "s".into() });
    let blank = made(r#"{"from_volume":"v","size_total":1024,"unknown":{"a":[1]}}"#);
    let Make::Blank { size, kept } = blank else { panic!("a source without its snapshot is none") };
    assert_eq!((size, kept.value(KEPT, "size_total")), (1024, Some(&Value::from(1024))));
    assert_eq!(kept.get(KEPT).unwrap().len(), 1);
    assert!(matches!(made("{}"), Make::Blank { size: 0, .. }));
}

#[test]
fn what_does_not_fit_is_said_by_field() {
    let body =
        r#"{"size_total":"7","autosize_enabled":null,"name":"","max_autosize":1.0,"caching_policy":[]}"#;
    let (status, text) = refused(make(body.as_bytes()));
    assert_eq!(status, 400);
    expect_test::expect![[r#"{"errors":{"autosize_enabled":"null is not of type 'boolean'","caching_policy":"[] is not of type 'string'","max_autosize":"1.0 is not of type 'integer'","name":"'' is too short","size_total":"\"7\" is not of type 'integer'"},"message":"Input payload validation failed"}"#]]
    .assert_eq(&text);
    for body in ["[]", "null", "7", "\"text\"", "{\"size_total\":-1}", "{\"size_total\":true}"] {
        let (status, text) = refused(make(body.as_bytes()));
        assert!(status == 400 && text.contains("Input payload validation failed"), "{body}: {text}");
    }
    let (_, text) = refused(make(b"{\"size_total\":18446744073709551616}"));
    assert!(text.contains("too large"), "{text}");
    for body in ["", "{", "{\"a\":}", "\u{0}", "{} {}"] {
        assert_eq!(refused(make(body.as_bytes())).0, 400, "{body:?}");
    }
    assert_eq!(refused(make(b"{\"caching_policy\":\"\xff\"}")).0, 400);
}

#[test]
fn a_patch_changes_what_can_be_changed() {
    let change_of = |body: &str| change(body.as_bytes()).unwrap_or_else(|_| panic!("{body} is refused"));
    let nothing = "No PATCH data provided!";
    for body in ["{}", r#"{"unknown":1}"#, r#"{"name":"x","uuid":"y"}"#] {
        let (status, text) = refused(change_of(body).check());
        assert!(status == 400 && text.contains(nothing), "{body}: {text}");
    }
    let (status, text) = refused(change_of(r#"{"size_total":1,"junction_path":"/x"}"#).check());
    assert!(status == 400 && text.contains("'junction_path' is read-only"), "{text}");
    let (status, text) = refused(change_of(r#"{"active_policy_name":"office"}"#).check());
    assert!(status == 400 && text.contains("No such policy: 'office'"), "{text}");
    let big = "123456789012345678901234567890";
    let both = change_of(&format!(r#"{{"max_autosize":{big},"compression_enabled":true,"unknown":1}}"#));
    assert!(both.check().is_ok() && both.size().is_none());
    let kept = both.kept();
    assert_eq!(kept.get("max_autosize"), Some(&Value::from(big)));
    assert_eq!((kept.get("compression_enabled"), kept.len()), (Some(&Value::Bool(true)), 2));
}

#[test]
fn names_are_of_few_characters() {
    for good in ["books", "node:/a/b", "A_.-z", "list"] {
        assert!(check_name("volume", good).is_ok(), "{good}");
    }
    for bad in ["a b", "a+b", "a,b", "~", "é", "a\u{0}"] {
        let (status, text) = refused(check_name("volume", bad));
        assert!(status == 400 && text.contains("Invalid volume name"), "{bad}: {text}");
    }
}

#[test]
fn a_snapshot_needs_a_body() {
    assert!(matches!(purge(b"{}"), Ok(false)));
    assert!(matches!(purge(br#"{"purge_old_if_needed":true}"#), Ok(true)));
    assert_eq!(refused(purge(br#"{"purge_old_if_needed":1}"#)).0, 400);
    assert_eq!(refused(purge(b"")).0, 400);
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (make(&bytes).is_ok(), change(&bytes).is_ok(), purge(&bytes).is_ok());
    }

    #[test]
    fn no_value_makes_it_panic(key in "(size_total|max_autosize|name|from_volume|active_policy_name)",
                               value in "(-?[0-9]{0,30}(\\.[0-9]{1,3})?(e[0-9]{1,4})?|\"[^\"\\\\]{0,9}\"|null|\\[\\]|\\{\\})") {
        let body = format!("{{\"{key}\":{value}}}");
        if let Ok(make) = make(body.as_bytes()) {
            let blank = matches!(make, Make::Blank { .. });
            prop_assert!(blank);
        }
    }
}
