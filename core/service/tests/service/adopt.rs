//! A database that was lost: what the labels hold comes back under its own ids and names.

use parpen_base::MIB;
use parpen_model::{Api, Pool, Query, Scope, read, write};
use parpen_service::adopt::adopt;
use parpen_service::names::Naming;
use parpen_service::snapshots::{self, NewSnapshot};
use parpen_service::volumes::{self, NewVolume};

use super::house::{Disk, House, native};

async fn pool(house: &House) -> Pool {
    read(&*house.ports.meta, |tx| tx.get_text(Scope::All, "pool", "local")).await.unwrap()
}

#[tokio::test]
async fn what_a_lost_database_knew_comes_back_from_the_labels() {
    let disk = Disk::new();
    let first = disk.start().await;
    let naming = Naming::unique("my books", parpen_service::names::Space::global(Api::StorPool));
    let new = NewVolume { naming, size: Some(MIB), ..Default::default() };
    let started = volumes::create(&first.ports, &first.actor, new).await.unwrap();
    first.ports.jobs.wait(started.job).await.unwrap();
    let before =
        volumes::get(&first.ports, &first.actor, &volumes::Key::Id(started.now.id)).await.unwrap().volume;
    let snap = NewSnapshot { naming: native("s"), ..Default::default() };
    let taken = snapshots::create(&first.ports, &first.actor, before.id, snap).await.unwrap();
    first.ports.jobs.wait(taken.job).await.unwrap();
    let held = first.ports.figures.inventory(&pool(&first).await).await.unwrap();
    assert_eq!(held.len(), 2);

    let fresh = Disk::seeded(2).start().await;
    let mut old_pool = pool(&first).await;
    old_pool.name = "recovered".into();
    let now = fresh.ports.clock.now();
    let done = adopt(&*fresh.ports.meta, now, old_pool.clone(), held.clone()).await.unwrap();
    assert_eq!((done.volumes, done.snapshots, done.remarks.as_slice()), (1, 1, [].as_slice()));
    assert_eq!(done.projects, [before.project.0], "the project of another life is made again");
    let again = volumes::get(&fresh.ports, &fresh.actor, &volumes::Key::Id(before.id)).await.unwrap().volume;
    assert_eq!((again.handle, again.name, again.aliases), (before.handle, before.name, before.aliases));
    assert_eq!((again.size, again.project, again.life), (before.size, before.project, before.life));
    let back = snapshots::list(&fresh.ports, &fresh.actor, Some(before.id), false).await.unwrap();
    assert_eq!(back[0].snapshot.handle, taken.now.handle);

    let twice = adopt(&*fresh.ports.meta, now, old_pool, held).await.unwrap();
    assert_eq!(twice, Default::default(), "what has a row is left alone");
    first.kill();
    fresh.kill();
}

#[tokio::test]
async fn taken_names_and_lost_labels_are_said() {
    let house = Disk::new().start().await;
    house.volume("taken", MIB).await;
    let mut held = house.ports.figures.inventory(&pool(&house).await).await.unwrap();
    let text = String::from_utf8(held[0].label.clone()).unwrap();
    let other = house.ports.entropy.uuid();
    held[0].label = text.replace(&held[0].subject.uuid().to_string(), &other.to_string()).into_bytes();
    held[0].subject = parpen_model::VolumeId(other).into();
    let mut nameless = held[0].clone();
    nameless.subject = parpen_model::VolumeId(house.ports.entropy.uuid()).into();
    nameless.label = b"no label".to_vec();
    held.push(nameless);
    let now = house.ports.clock.now();
    let done = adopt(&*house.ports.meta, now, pool(&house).await, held).await.unwrap();
    assert_eq!((done.volumes, done.remarks.len()), (2, 2), "{:?}", done.remarks);
    let all = read(&*house.ports.meta, |tx| tx.list::<parpen_model::Volume>(Scope::All, &Query::default()));
    assert_eq!(all.await.unwrap().len(), 3);
    // The table of names still refuses a second bearer.
    let (names, _) = write(&*house.ports.meta, |tx| tx.read().named("handle", "taken")).await.unwrap();
    assert!(names.is_some());
    house.kill();
}
