use super::*;

#[test]
fn every_state_has_a_word() {
    let mut seen = Vec::new();
    for life in Life::ALL {
        for usage in Usage::ALL {
            for work in Work::ALL {
                for health in Health::ALL {
                    seen.push(state(*life, *usage, &[*work], *health));
                }
            }
        }
    }
    assert!(seen.iter().all(|word| ["online", "offline", "restricted"].contains(word)));
    assert_eq!(state(Life::Ready, Usage::Attached, &[], Health::Up), "online");
    assert_eq!(state(Life::Ready, Usage::Free, &[Work::RollingBack], Health::UpSoon), "restricted");
    assert_eq!(state(Life::Ready, Usage::Free, &[], Health::Down), "offline");
    assert_eq!(state(Life::Creating, Usage::Free, &[], Health::Up), "offline");
}

#[test]
fn times_are_those_of_mail() {
    let at: Timestamp = "2026-11-21T02:32:05.123456789Z".parse().unwrap();
    assert_eq!(mail_time(at).unwrap(), "Sat, 21 Nov 2026 02:32:05 -0000");
}

#[test]
fn masks_choose_keys() {
    let lock = SnapshotRead { name: "one".into(), size_kbytes: None, creation_time: "then".into() };
    let only = |header: &str| {
        let mask = Mask::parse(header).unwrap();
        serde_json::to_string(&mask.of(&lock).unwrap()).unwrap()
    };
    assert_eq!(only("{name}"), r#"{"name":"one"}"#);
    assert_eq!(only("name, nothing"), r#"{"name":"one","nothing":null}"#);
    assert_eq!(only("{*}"), r#"{"creation_time":"then","name":"one","size_kbytes":null}"#);
    for bad in ["", "{}", "{a{b}}", "a,,b", "é", "{name"] {
        assert!(Mask::parse(bad).is_err(), "{bad}");
    }
}
