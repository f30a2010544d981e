//! Chains of backups against plain bytes, and stores that break.

mod broken;
#[path = "../../cloud/src/tests/device.rs"]
mod device;

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use parpen_base::{ByteRange, SystemClock};
use parpen_block::Memory;
use parpen_model::ports::{Archive, NewArchive, Place, Target};
use parpen_model::{BackupId, Condition, VolumeId};
use proptest::prelude::*;
use uuid::Uuid;

use crate::ObjectArchive;
use crate::segment::BLOCK;
use device::{Quiet, bytes_of, device, remote};

fn archive(store: Arc<dyn ObjectStore>) -> ObjectArchive {
    let mut a = ObjectArchive::new(store, Arc::new(SystemClock::new()), "me".into());
    a.segment = 3 * BLOCK;
    a
}

fn place(n: u128) -> Place {
    let volume = VolumeId(Uuid::from_u128(77));
    Place { container: "c".into(), volume, backup: BackupId(Uuid::from_u128(n)) }
}

fn new(n: u128, base: Option<u128>) -> NewArchive {
    let facts = serde_json::json!({ "n": n.to_string() });
    NewArchive { place: place(n), base: base.map(|b| place(b).backup), changed: None, facts }
}

async fn restored(a: &ObjectArchive, n: u128, over: &[u8]) -> Vec<u8> {
    let target = Target { to: device(over).await, blank: over.iter().all(|b| *b == 0), cipher: None };
    a.load(&place(n), &target, &Quiet).await.unwrap();
    bytes_of(&target.to).await
}

async fn objects(store: &dyn ObjectStore) -> usize {
    use futures_util::TryStreamExt;
    store.list(None).try_collect::<Vec<_>>().await.unwrap().len()
}

/// So many blocks of bytes that do not compress.
fn noise(blocks: u64) -> Vec<u8> {
    let mut n = 1u32;
    let mut next = || {
        n = n.wrapping_mul(1664525).wrapping_add(1013904223);
        (n >> 24) as u8
    };
    (0..blocks * BLOCK).map(|_| next()).collect()
}

/// Writes to a volume, its new size, and whether what has changed is told.
#[derive(Clone, Debug)]
struct Turn {
    sectors: u64,
    writes: Vec<(u64, u16, u8)>,
    hint: bool,
}

fn turn() -> impl Strategy<Value = Turn> {
    let write = (0u64..3000, 1u16..900, 0u8..3);
    (1u64..3000, prop::collection::vec(write, 0..6), any::<bool>()).prop_map(|(sectors, writes, hint)| Turn {
        sectors,
        writes,
        hint,
    })
}

/// Does a turn; answers what was touched.
fn apply(bytes: &mut Vec<u8>, turn: &Turn, salt: usize) -> Vec<ByteRange> {
    bytes.resize(turn.sectors as usize * 512, 0);
    let size = bytes.len() as u64;
    let mut touched = Vec::new();
    for (at, n, value) in &turn.writes {
        let at = (at * 512).min(size - 512);
        let len = (u64::from(*n) * 512).min(size - at);
        for (i, b) in bytes[at as usize..(at + len) as usize].iter_mut().enumerate() {
            *b = if *value == 0 { 0 } else { value.wrapping_mul((i / 700 + salt) as u8 | 1) };
        }
        touched.push(ByteRange::within(at, len, size).unwrap());
    }
    touched
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A chain of full and incremental backups, of which any are deleted in any order, always gives back the bytes of
    /// those that are left, over a blank device and over one with other bytes; in the end nothing is left in the store.
    #[test]
    fn chains_give_back_what_was_there(
        turns in prop::collection::vec(turn(), 1..6),
        order in prop::collection::vec(any::<prop::sample::Index>(), 6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let a = archive(store.clone());
            let (mut bytes, mut model) = (Vec::new(), BTreeMap::new());
            for (i, turn) in turns.iter().enumerate() {
                let touched = apply(&mut bytes, turn, i);
                let n = i as u128;
                let changed = turn.hint.then_some(touched);
                let wish = NewArchive { changed, ..new(n, n.checked_sub(1)) };
                let made = a.store(&wish, &device(&bytes).await, &Quiet).await.unwrap();
                assert_eq!(made.size, bytes.len() as u64);
                model.insert(n, bytes.clone());
            }
            for index in order {
                for (n, want) in &model {
                    assert!(restored(&a, *n, &vec![0; want.len()]).await == *want, "backup {n}, blank");
                    assert!(restored(&a, *n, &vec![9; want.len()]).await == *want, "backup {n}, over others");
                    a.verify(&place(*n), &Quiet).await.unwrap();
                }
                let Some(n) = (!model.is_empty()).then(|| *index.get(&model.keys().copied().collect::<Vec<_>>())) else {
                    break;
                };
                a.remove(&place(n)).await.unwrap();
                model.remove(&n);
                let gone = a.facts(&place(n)).await;
                assert!(matches!(gone, Err(Condition::NotFound { .. })), "{gone:?}");
            }
            for n in model.keys() {
                a.remove(&place(*n)).await.unwrap();
            }
            assert_eq!(objects(&*store).await, 0, "nothing is left behind");
        });
    }
}

#[tokio::test]
async fn an_increment_stores_what_changed_and_holes_stay_holes() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let a = archive(store.clone());
    let mut bytes = noise(20);
    bytes.resize(40 * BLOCK as usize, 0);
    let full = a.store(&new(1, None), &device(&bytes).await, &Quiet).await.unwrap();
    assert!((20 * BLOCK..21 * BLOCK).contains(&full.stored), "{full:?}");
    bytes[5 * BLOCK as usize] ^= 1;
    bytes[7 * BLOCK as usize..8 * BLOCK as usize].fill(0);
    let more = a.store(&new(2, Some(1)), &device(&bytes).await, &Quiet).await.unwrap();
    assert!((BLOCK..BLOCK + 4096).contains(&more.stored), "{more:?}");
    let target = Memory::new(bytes.len() as u64);
    let to = Target { to: remote(&target).await, blank: true, cipher: None };
    a.load(&place(2), &to, &Quiet).await.unwrap();
    assert!(bytes_of(&to.to).await == bytes);
    assert_eq!(target.stored(), 19 * BLOCK, "only data takes room");
    // Said twice, it is done once.
    assert_eq!(a.store(&new(2, Some(1)), &device(&bytes).await, &Quiet).await.unwrap(), more);
    let (facts, figures) = a.facts(&place(2)).await.unwrap();
    assert_eq!((facts["n"].as_str(), figures), (Some("2"), more));
}

#[tokio::test]
async fn damage_is_named_and_never_restored() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let a = archive(store.clone());
    let bytes = vec![5u8; 9 * BLOCK as usize];
    a.store(&new(1, None), &device(&bytes).await, &Quiet).await.unwrap();
    let segment = a.segment_path(&place(1), &format!("{}/00000000", place(1).backup));
    let good = a.get(&segment).await.unwrap();
    let mut bad = good.to_vec();
    bad[20] ^= 1;
    a.put(&segment, bad.into(), object_store::PutMode::Overwrite).await.unwrap();
    assert!(matches!(a.verify(&place(1), &Quiet).await, Err(Condition::DataLost(_))));
    a.delete(&segment).await.unwrap();
    assert!(matches!(a.verify(&place(1), &Quiet).await, Err(Condition::DataLost(_))));
    let to = Target { to: device(&bytes).await, blank: false, cipher: None };
    assert!(a.load(&place(1), &to, &Quiet).await.is_err());
    a.put(&segment, good, object_store::PutMode::Overwrite).await.unwrap();
    a.verify(&place(1), &Quiet).await.unwrap();
    let small = Target { to: device(&bytes[512..]).await, blank: false, cipher: None };
    assert!(matches!(a.load(&place(1), &small, &Quiet).await, Err(Condition::Invalid { .. })));
}

#[tokio::test]
async fn a_directory_is_a_store_and_keeps_its_files_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let a = ObjectArchive::local(&dir.path().join("b"), clock.clone(), "me".into()).unwrap();
    let bytes = vec![3u8; 2 * BLOCK as usize];
    a.store(&new(1, None), &device(&bytes).await, &Quiet).await.unwrap();
    drop(a);
    let a = ObjectArchive::local(&dir.path().join("b"), clock, "me".into()).unwrap();
    assert!(restored(&a, 1, &bytes).await == bytes);
    a.remove(&place(1)).await.unwrap();
    a.remove(&place(1)).await.unwrap();
}

// A lease of a process that was killed must not stop its own next life; that of another service does.
#[tokio::test(start_paused = true)]
async fn leases_are_taken_over_by_their_owner_only() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (mine, mut theirs) = (archive(store.clone()), archive(store));
    theirs.owner = "they".into();
    let _left_by_a_kill = mine.lease(&place(1)).await.unwrap();
    let again = mine.lease(&place(1)).await.unwrap();
    assert!(matches!(theirs.lease(&place(1)).await, Err(Condition::Unavailable(_))));
    again.release().await.unwrap();
    theirs.lease(&place(1)).await.unwrap().release().await.unwrap();
}
