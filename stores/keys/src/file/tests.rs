use std::os::unix::fs::PermissionsExt;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use parpen_model::KeyId;

use super::*;

/// These futures never wait.
fn now<T>(f: impl Future<Output = T>) -> T {
    match pin!(f).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn row(w: WrappedKey) -> DataKey {
    DataKey { id: KeyId(Uuid::from_u128(1)), wrapped_by: w.wrapped_by, wrapped: w.wrapped }
}

#[test]
fn keys_are_wrapped_and_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let keys = FileKeys::new(path.clone());
    assert!(!path.exists(), "made at the first use");
    let (one, two) = (row(now(keys.create()).unwrap()), row(now(keys.create()).unwrap()));
    assert_ne!(one.wrapped, two.wrapped);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let sealed = |keys: &FileKeys, row: &DataKey| {
        let mut bytes = vec![5; 512];
        now(keys.open(row)).unwrap().encrypt(1, &mut bytes);
        bytes
    };
    assert_ne!(sealed(&keys, &one), sealed(&keys, &two));
    assert_eq!(sealed(&keys, &one), sealed(&FileKeys::new(path), &one), "also after a restart");
}

#[test]
fn a_wrong_or_open_key_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let good = row(now(FileKeys::new(path.clone()).create()).unwrap());
    let open = |row: &DataKey| now(FileKeys::new(path.clone()).open(row)).map(drop);
    let mut bad = good.clone();
    bad.wrapped.replace_range(20..21, if &good.wrapped[20..21] == "A" { "B" } else { "A" });
    assert!(matches!(open(&bad), Err(Condition::DataLost(_))));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(open(&good), Err(Condition::Unavailable(why)) if why.contains("0600")));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(open(&good), Err(Condition::Unavailable(_))), "no new key for old volumes");
    assert!(!path.exists());
    now(FileKeys::new(path.clone()).create()).unwrap();
    assert!(matches!(open(&good), Err(Condition::Unavailable(why)) if why.contains("right file")));
}
