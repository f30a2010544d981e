//! What stores tell of objects, put together.

use std::collections::BTreeSet;

use parpen_model::lifecycle::Health;
use parpen_model::{Condition, Subject, read};
use parpen_model::{CopyState, DiskState, HeldObject, Keeping, Pool, Scope, StoredObject};
use parpen_service::objects::{self, Share};
use uuid::Uuid;

use super::disks::medium;
use super::house::{Disk, House};

async fn pool(house: &House) -> Pool {
    read(&*house.ports.meta, |tx| tx.get_text(Scope::All, "pool", "local")).await.unwrap()
}

#[tokio::test]
async fn a_pool_that_does_not_tell_keeps_no_other_from_it_and_has_nothing_in_reach() {
    let disk = Disk::new();
    let house = disk.start().await;
    let (local, id) = (pool(&house).await.id, Uuid::from_u128(7));
    let told = Keeping { due: 3, stored: 5, ..Keeping::default() };
    disk.shown().lock().unwrap().survey.all.insert(id, told.clone());
    let kept = objects::kept(&house.ports, &house.actor).await.unwrap();
    assert_eq!((kept.of(local, id, 9), kept.due_volumes()), (told.clone(), 1));
    assert_eq!(kept.of(local, Uuid::from_u128(8), 9), Keeping::default(), "it holds nothing yet");

    disk.faults().lock().unwrap().push("survey");
    let kept = objects::kept(&house.ports, &house.actor).await.unwrap();
    let silent = [local, local].map(|p| kept.of(p, id, 9))[0].clone();
    assert_eq!((silent.unreachable_bytes, objects::health(Health::Up, &silent)), (9, Health::Down));
    house.kill();
}

#[test]
fn the_worst_of_row_and_objects_is_how_well_it_is() {
    let k = |lost, away, soon| Keeping { lost, away, soon, ..Keeping::default() };
    assert_eq!(objects::health(Health::Up, &k(0, 0, 0)), Health::Up);
    assert_eq!(objects::health(Health::Up, &k(0, 0, 1)), Health::UpSoon);
    assert_eq!(objects::health(Health::UpSoon, &k(0, 1, 1)), Health::Down);
    assert_eq!(objects::health(Health::Down, &k(1, 1, 1)), Health::DataLost);
    assert_eq!(objects::health(Health::DataLost, &k(0, 1, 0)), Health::DataLost, "the row knows more");
    let away = Keeping { missing: BTreeSet::from([2]), ..Keeping::default() };
    assert!(objects::is_blocked(&away) && !objects::is_blocked(&k(0, 0, 0)));
}

#[tokio::test]
async fn objects_are_counted_by_disks_page_by_page() {
    let disk = Disk::new();
    let house = disk.start().await;
    let p = pool(&house).await;
    let object = |n: u64| StoredObject {
        disks: vec![1, 2],
        stored: n.is_multiple_of(2),
        own: n.is_multiple_of(4).then_some(10),
        due: if n.is_multiple_of(8) { vec![3, 2] } else { vec![1, 2] },
        planned: vec![1, 2],
    };
    disk.shown().lock().unwrap().objects = (0..10_000).map(object).collect();
    let what = Subject::Volume(Uuid::from_u128(1).into());
    let spread = objects::spread(&house.ports, &house.actor, &p, what).await.unwrap();
    assert_eq!(spread.per_disk.into_iter().collect::<Vec<_>>(), [(1, 5000), (2, 5000)]);
    assert_eq!(spread.due.into_iter().collect::<Vec<_>>(), [(vec![1, 2], 3750), (vec![3, 2], 1250)]);
    let first =
        Share { now: (2500, 25_000), due: (1250, 12_500), planned: (2500, 25_000), ..Share::default() };
    let third = Share { due: (1250, 12_500), due_in: (1250, 12_500), ..Share::default() };
    assert_eq!((spread.shares[&1], spread.shares[&3]), (first, third));
    let (sets, all) = objects::places(&house.ports, &house.actor, (&p, what), 10_000).await.unwrap();
    assert_eq!((sets, all.len()), (vec![vec![1, 2]], 10_000));
    let long = objects::places(&house.ports, &house.actor, (&p, what), 9_999).await;
    assert!(matches!(long, Err(Condition::Unsupported(why)) if why.contains("9999")));
    house.kill();
}

#[tokio::test]
async fn what_a_disk_has_is_counted_by_owner() {
    let disk = Disk::new();
    let house = disk.start().await;
    let (ports, actor, p) = (&house.ports, &house.actor, pool(&house).await);
    let owner = Uuid::from_u128(5);
    let held = |n: u64| HeldObject {
        of: (!n.is_multiple_of(3)).then_some(owner),
        at: (n / 100, n % 100),
        bytes: 2,
        version: 1,
        generation: 1,
        copy: if n % 3 == 1 { CopyState::Behind } else { CopyState::Good },
    };
    disk.shown().lock().unwrap().held = (0..9000).map(held).collect();
    let show = |state| vec![medium(&p, 1, state)];
    disk.shown().lock().unwrap().disks = show(DiskState::Up);
    let parts = objects::on_disk(ports, actor, 1).await.unwrap();
    let owned = &parts[&Some(owner)];
    assert_eq!((owned.objects, owned.bytes), (6000, 12_000));
    assert_eq!(owned.copies, [(CopyState::Behind, 3000), (CopyState::Good, 3000)]);
    assert_eq!(parts[&None].objects, 3000, "what deleted ones left");
    assert_eq!(objects::all_on_disk(ports, actor, 1, 9000).await.unwrap().len(), 9000);
    assert!(matches!(objects::all_on_disk(ports, actor, 1, 8999).await, Err(Condition::Unsupported(_))));
    disk.shown().lock().unwrap().disks = show(DiskState::Failed);
    assert!(matches!(objects::on_disk(ports, actor, 1).await, Err(Condition::Conflict(_))));
    house.kill();
}
