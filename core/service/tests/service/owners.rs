//! A volume changes hands, and what its old owner kept stays his.

use std::sync::Arc;

use parpen_base::MIB;
use parpen_identity::Actor;
use parpen_model::{Attributes, Condition, Kind, ProjectId, Scope, Snapshot, Volume, read};
use parpen_service::backups::{self, CreateTerms, NewBackup};
use parpen_service::snapshots::{self, NewSnapshot};
use parpen_service::transfers::{self, Offer};
use parpen_service::volumes::{self, DeleteTerms, Snapshots};
use uuid::Uuid;

use super::house::drivers::{HELD, HOLD};
use super::house::{Disk, House, native};

fn of_project(house: &House, n: u128) -> Actor {
    let project = ProjectId(Uuid::from_u128(n));
    Actor { project, scope: Scope::Project(project), ..house.actor.clone() }
}

fn offer(v: &Volume, without_snapshots: bool) -> Offer {
    Offer { volume: v.id, name: None, without_snapshots, encrypted: false }
}

async fn hand_over(house: &House, v: &Volume, from: &Actor, to: &Actor, without_snapshots: bool) {
    let offered = transfers::create(&house.ports, from, offer(v, without_snapshots)).await.unwrap();
    let (id, key) = (offered.transfer.id, offered.key);
    transfers::accept(&house.ports, to, id, &key, Box::new(|_| ())).await.unwrap();
}

async fn row(house: &House, s: &Snapshot) -> Option<Snapshot> {
    let id = s.id;
    read(&*house.ports.meta, move |tx| tx.find(Scope::All, id)).await.unwrap()
}

fn backup(v: &Volume, of: Option<&Snapshot>, incremental: bool) -> NewBackup {
    let (name, attributes) = ("b".into(), Attributes::default());
    NewBackup { of: v.id, snapshot: of.map(|s| s.id), name, container: None, incremental, attributes }
}

#[tokio::test]
async fn what_an_old_owner_kept_is_not_the_new_ones() {
    let disk = Disk::new();
    let house = disk.start().await;
    let (old, new) = (of_project(&house, 5), of_project(&house, 6));
    let v = house.volume("books", MIB).await;
    hand_over(&house, &v, &house.actor.clone(), &old, false).await;
    let wish = NewSnapshot { naming: native("kept"), ..Default::default() };
    let s = snapshots::create(&house.ports, &old, v.id, wish).await.unwrap();
    house.ports.jobs.wait(s.job).await.unwrap();
    let full = backups::create(&house.ports, &old, backup(&v, None, false), CreateTerms::default());
    house.ports.jobs.wait(full.await.unwrap().job).await.unwrap();
    hand_over(&house, &v, &old, &new, true).await;

    // Not by offering it to oneself.
    hand_over(&house, &v, &new, &new, false).await;
    assert_eq!(row(&house, &s.now).await.unwrap().project, old.project);
    // Not by a backup.
    let wanted = backup(&v, Some(&s.now), false);
    let refused = backups::create(&house.ports, &new, wanted, CreateTerms::default()).await;
    assert!(matches!(refused, Err(Condition::NotFound { what: Kind::Snapshot, .. })));
    let refused = backups::create(&house.ports, &new, backup(&v, None, true), CreateTerms::default()).await;
    assert!(matches!(refused, Err(Condition::Invalid { .. })), "the old owner's backup is no base");
    // Not by deleting everything.
    let terms = DeleteTerms { snapshots: Snapshots::Delete, ..Default::default() };
    let refused = volumes::delete(&house.ports, &new, v.id, terms).await;
    let Err(Condition::InUse { by, .. }) = refused else { panic!("it is refused") };
    assert_eq!(by, ["a snapshot of another project"]);
    assert!(row(&house, &s.now).await.is_some());
}

/// A session that was looked up before a volume was handed over and made afterwards stayed open: the old owner went on
/// reading and writing what was another's.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_let_in_while_a_volume_changes_hands_is_let_in_by_its_new_owner() {
    let disk = Disk::new();
    let house = Arc::new(disk.start().await);
    let (old, new) = (of_project(&house, 5), of_project(&house, 6));
    let v = house.volume("books", MIB).await;
    hand_over(&house, &v, &house.actor.clone(), &old, false).await;
    disk.faults().lock().unwrap().push(HOLD);
    let (late, by, id) = (house.clone(), old.clone(), v.id);
    let late = tokio::spawn(async move { late.exports.open(&by, id.into(), "test", true).await.map(|_| ()) });
    while !disk.faults().lock().unwrap().contains(&HELD) {
        tokio::task::yield_now().await;
    }
    hand_over(&house, &v, &old, &new, false).await;
    disk.faults().lock().unwrap().clear();
    let refused = late.await.unwrap().unwrap_err();
    assert!(matches!(refused, Condition::NotFound { what: Kind::Volume, .. }), "{refused}");
    assert!(house.ports.sessions.all().is_empty());
    house.exports.open(&new, v.id.into(), "test", true).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_opens_what_is_on_offer() {
    let disk = Disk::new();
    let house = disk.start().await;
    let owner = house.actor.clone();
    let v = house.volume("books", MIB).await;
    let offered = transfers::create(&house.ports, &owner, offer(&v, false)).await.unwrap();
    let refused = house.connect("books", "127.0.0.1").await.map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("on offer"), "{refused}");
    transfers::delete(&house.ports, &owner, offered.transfer.id).await.unwrap();
    house.connect("books", "127.0.0.1").await.unwrap();
}
