//! Bytes in and out of a Glance that does not always do well.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use parpen_model::ports::{ForeignImages, ImageStore};
use parpen_model::{Condition, ImageId};
use sha2::{Digest, Sha512};

use super::device::{Quiet, bytes_of, device};
use super::fake::{Asked, Fake, Said, bytes, json};
use super::keystone::{account, logged_in};
use crate::wire::Patience;
use crate::*;

const ID: &str = "0123abcd-0000-4000-8000-000000000001";
const SIZE: usize = 6 << 20;

fn id() -> ImageId {
    ImageId(ID.parse().unwrap())
}

fn sha512(bytes: &[u8]) -> String {
    Sha512::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Bytes that differ everywhere but in a stretch of zeros.
fn content() -> Vec<u8> {
    let mut all: Vec<u8> = (0..SIZE).map(|i| (i / 251 + i) as u8 | 1).collect();
    all[1 << 20..3 << 20].fill(0);
    all
}

fn record(status: &str, size: usize, hash: &str) -> Said {
    json(
        200,
        "",
        &format!(
            r#"{{"id":"{ID}","status":"{status}","visibility":"public","owner":"p","size":{size},"protected":false,
            "disk_format":"raw","container_format":"bare","min_disk":0,"min_ram":0,"tags":[],"hw_disk_bus":"virtio",
            "os_hash_algo":"sha512","os_hash_value":"{hash}","created_at":"2026-01-01T00:00:00Z"}}"#
        ),
    )
}

struct Rig {
    fake: Fake,
    glance: Glance,
    dir: tempfile::TempDir,
}

/// A Glance that answers by the script; logins are answered by themselves.
async fn rig(mut script: impl FnMut(&Asked) -> Said + Send + 'static) -> Rig {
    let fake = Fake::start(move |a| match a.line.starts_with("POST /v3/") {
        true => logged_in("ours"),
        false => script(a),
    })
    .await;
    let second = Duration::from_secs(1);
    let patience =
        Patience { connect: 5 * second, answer: 5 * second, silence: second, digestion: 5 * second };
    let wire = Wire::with(patience, "Glance", root(&fake.url, "v2").unwrap(), None).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let glance = Glance::open(account(&fake.url), wire, "its", dir.path()).unwrap();
    Rig { fake, glance, dir }
}

fn is_file(a: &Asked) -> bool {
    a.line.contains("/file ")
}

/// Where a request wants to begin.
fn start(a: &Asked) -> usize {
    let range = a.header("range").unwrap_or_default();
    range.strip_prefix("bytes=").and_then(|r| r.strip_suffix('-')).map_or(0, |n| n.parse().unwrap())
}

async fn fill(r: &Rig, over: &[u8], blank: bool) -> Result<Vec<u8>, Condition> {
    let to = device(over).await;
    r.glance.load(id(), ("raw", None), (&to, blank), &Quiet).await?;
    Ok(bytes_of(&to).await)
}

#[tokio::test]
async fn a_download_that_breaks_goes_on_where_it_was() {
    for ranges in [true, false] {
        let all = content();
        let hash = sha512(&all);
        let given = all.clone();
        let mut breaks = 0;
        let r = rig(move |a| {
            if !is_file(a) {
                return record("active", SIZE, &hash);
            }
            let from = if ranges { start(a) } else { 0 };
            // Cut short twice; the last one goes on to the end.
            breaks += 1;
            let end = if breaks < 3 { (start(a) + 1_500_000).min(SIZE) } else { SIZE };
            let head = format!("content-range: bytes {from}-{}/{SIZE}\r\n", SIZE - 1);
            let status = if ranges && from > 0 { 206 } else { 200 };
            bytes(status, &head, &given[from..end], SIZE - from)
        })
        .await;
        let mut wanted = all;
        wanted.resize(8 << 20, 0);
        assert!(fill(&r, &vec![0; 8 << 20], true).await.unwrap() == wanted, "ranges: {ranges}");
        assert_eq!(r.fake.count("GET /v2/images/0123abcd-0000-4000-8000-000000000001/file"), 3);
    }
}

#[tokio::test]
async fn what_an_earlier_try_left_is_not_taken_for_zeros() {
    let all = content();
    let (hash, given) = (sha512(&all), all.clone());
    let r = rig(move |a| match is_file(a) {
        true => bytes(200, "", &given, SIZE),
        false => record("active", SIZE, &hash),
    })
    .await;
    let mut wanted = all;
    wanted.resize(8 << 20, 0);
    assert!(fill(&r, &vec![9; 8 << 20], true).await.unwrap() == wanted);
}

/// What a fill ends with where the file is answered so.
async fn failed(size: usize, answer: impl Fn(&Asked) -> Said + Send + 'static) -> Condition {
    let hash = sha512(&content());
    let r = rig(move |a| if is_file(a) { answer(a) } else { record("active", size, &hash) }).await;
    let said = fill(&r, &vec![0; 8 << 20], true).await.unwrap_err();
    assert!(!said.to_string().contains("ours"), "{said}");
    said
}

#[tokio::test]
async fn bytes_that_are_not_the_images_are_refused() {
    let mut wrong = content();
    wrong[SIZE - 1] ^= 1;
    let said = failed(SIZE, move |_| bytes(200, "", &wrong, SIZE)).await;
    assert!(matches!(&said, Condition::DataLost(why) if why.contains("checksum")), "{said:?}");
    let said = failed(SIZE - 4096, |_| bytes(200, "", &content(), SIZE)).await;
    assert!(matches!(&said, Condition::DataLost(why) if why.contains("more bytes")), "{said:?}");
    let said = failed(SIZE, |_| json(204, "", "")).await;
    assert!(matches!(&said, Condition::DataLost(why) if why.contains("no bytes")), "{said:?}");
    let said = failed(9 << 20, |_| None).await;
    assert!(matches!(&said, Condition::Invalid { .. }), "{said:?}");
}

#[tokio::test]
async fn a_bad_day_is_out_of_reach_and_not_for_ever() {
    for (answer, words) in [
        ((|_: &Asked| json(500, "", "")) as fn(&Asked) -> Said, "answers 500"),
        (|_| json(301, "location: http://127.0.0.1:1/\r\n", ""), "another address"),
        (|_| json(403, "", ""), "give it the role admin"),
        (|_| json(401, "", ""), "same Keystone"),
        (|_| bytes(200, "", b"", SIZE), "broke off"),
        (|_| None, "did not answer in time"),
    ] {
        let said = failed(SIZE, answer).await;
        assert!(matches!(&said, Condition::Unavailable(why) if why.contains(words)), "{words}: {said:?}");
    }
    let said = failed(SIZE, |_| json(404, "", "")).await;
    assert!(matches!(said, Condition::NotFound { .. }), "{said:?}");
}

/// A Glance into which one image is put: it has what came, or `other` bytes instead.
async fn kept(other: Option<Vec<u8>>) -> (Rig, Arc<Mutex<Vec<u8>>>) {
    let got = Arc::new(Mutex::new(Vec::new()));
    let (seen, mut state) = (got.clone(), "queued");
    let r = rig(move |a| {
        if a.line.starts_with("PUT") {
            *seen.lock().unwrap() = a.body.clone();
            state = "active";
            return json(204, "", "");
        }
        if a.line.starts_with("DELETE") {
            return json(204, "", "");
        }
        let has = other.clone().unwrap_or_else(|| seen.lock().unwrap().clone());
        record(state, has.len(), &sha512(&has))
    })
    .await;
    (r, got)
}

#[tokio::test]
async fn a_volume_is_sent_with_its_length_and_proved() {
    let (r, got) = kept(None).await;
    let all = content();
    let stored = r.glance.save(id(), "raw", &device(&all).await, &Quiet).await.unwrap();
    assert!(*got.lock().unwrap() == all);
    assert_eq!(
        (stored.size, stored.virtual_size, stored.sha512),
        (SIZE as u64, Some(SIZE as u64), sha512(&all))
    );
    let put = r.fake.asked().into_iter().find(|a| a.line.starts_with("PUT")).unwrap();
    assert_eq!(put.header("content-length").unwrap(), SIZE.to_string());
    // After a crash between the last byte and the row it is found done.
    r.glance.save(id(), "raw", &device(&all).await, &Quiet).await.unwrap();
    assert_eq!(r.fake.count("PUT"), 1);
}

#[tokio::test]
async fn qcow2_passes_through_a_file_that_is_gone_afterwards() {
    let (r, got) = kept(None).await;
    let stored = r.glance.save(id(), "qcow2", &device(&content()).await, &Quiet).await.unwrap();
    let sent = got.lock().unwrap().clone();
    assert_eq!((stored.size, stored.sha512), (sent.len() as u64, sha512(&sent)));
    assert!(sent.starts_with(b"QFI\xfb") && sent.len() < SIZE);
    assert_eq!(std::fs::read_dir(r.dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_image_that_came_out_otherwise_is_deleted() {
    let (r, _) = kept(Some(vec![1; SIZE])).await;
    let said = r.glance.save(id(), "raw", &device(&content()).await, &Quiet).await.unwrap_err();
    assert!(matches!(&said, Condition::DataLost(why) if why.contains("other bytes")), "{said:?}");
    assert_eq!(r.fake.count("DELETE"), 1);
}

#[tokio::test]
async fn refused_and_stuck_uploads_end() {
    let hash = sha512(b"");
    for (answer, check) in [
        (
            (|| json(413, "", "")) as fn() -> Said,
            (|e: &Condition| matches!(e, Condition::NoSpace(_))) as fn(&Condition) -> bool,
        ),
        (|| json(410, "", ""), |e| matches!(e, Condition::NotFound { .. })),
        (|| json(503, "", ""), |e| matches!(e, Condition::Unavailable(_))),
        (|| None, |e| matches!(e, Condition::Unavailable(_))),
    ] {
        let hash = hash.clone();
        let r = rig(move |a| match a.line.starts_with("PUT") {
            true => answer(),
            false => record("queued", 0, &hash),
        })
        .await;
        let said = r.glance.save(id(), "raw", &device(&content()).await, &Quiet).await.unwrap_err();
        assert!(check(&said), "{said:?}");
    }
}

#[tokio::test]
async fn images_are_read_with_what_is_their_own() {
    let r = rig(|a| match a.line.contains("/members/") {
        true => json(404, "", ""),
        false => record("active", 5, "00"),
    })
    .await;
    let i = r.glance.find(id()).await.unwrap().unwrap();
    assert_eq!(i.attributes.value("its", "hw_disk_bus").unwrap(), "virtio");
    assert_eq!((i.size, i.sha512.as_deref()), (Some(5), Some("00")));
    assert!(i.attributes.value("its", "os_hash_algo").is_none());
    assert!(!r.glance.is_shared_with(id(), parpen_model::ProjectId(id().0)).await.unwrap());
    let gone = rig(|_| record("pending_delete", 5, "00")).await;
    assert!(gone.glance.find(id()).await.unwrap().is_none());
}
