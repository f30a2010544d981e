//! What is made of a volume's bytes, or put over them, asks in its transaction how the volume stands.

use parpen_base::MIB;
use parpen_model::lifecycle::{Standing, When};
use parpen_model::{Attributes, Condition, Kind, Volume};
use parpen_service::backups::{self, CreateTerms, Into, NewBackup};
use parpen_service::images::{self, Refill, Save};
use parpen_service::volumes::{self, From, NewVolume, Options, Said};

use super::house::{Disk, House, native};
use super::points::copies::{image, uploaded};
use super::points::written;

const FREE: When = When::Only(&[Standing::Free]);

fn of(v: &Volume) -> NewBackup {
    NewBackup {
        of: v.id,
        snapshot: None,
        name: String::new(),
        container: None,
        incremental: false,
        attributes: Attributes::default(),
    }
}

fn stands_wrong<T>(what: Result<T, Condition>) {
    match what {
        Err(Condition::WrongState { what: Kind::Volume, actual, wanted, .. }) => {
            assert_eq!((actual.as_str(), wanted.as_str()), ("in maintenance", "free"));
        }
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("a volume in maintenance was taken"),
    }
}

/// One that is declared to be in maintenance is free by its axes: only the terms keep it from being worked with.
async fn shelved(house: &House) -> Volume {
    let v = written(house, "books").await;
    let said = Said { standing: Some(Standing::Maintenance), ..Said::default() };
    volumes::say(&house.ports, &house.actor, v.id, said).await.unwrap();
    v
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_ask_how_a_volume_stands() {
    let disk = Disk::new();
    let house = disk.start().await;
    let v = shelved(&house).await;
    let (ports, actor) = (&house.ports, &house.actor);
    let clone = |name: &str, source| NewVolume {
        naming: native(name),
        from: From::Volume(v.id),
        options: Options { source, ..Options::default() },
        ..NewVolume::default()
    };
    stands_wrong(volumes::create(ports, actor, clone("one", FREE)).await);
    stands_wrong(backups::create(ports, actor, of(&v), CreateTerms { attached: true, when: FREE }).await);
    let save = |when| Save { of: v.id, attached: false, when, image: image("i") };
    stands_wrong(images::save(ports, actor, save(FREE)).await);
    assert!(images::list(ports, actor).await.unwrap().is_empty(), "an image that was refused left a row");

    let all = [
        volumes::create(ports, actor, clone("two", When::default())).await.unwrap().job,
        backups::create(ports, actor, of(&v), CreateTerms::default()).await.unwrap().job,
    ];
    for job in all {
        ports.jobs.wait(job).await.unwrap();
    }
    images::save(ports, actor, save(When::default())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_over_a_volume_asks_how_it_stands() {
    let disk = Disk::new();
    let house = disk.start().await;
    let source = house.volume("source", MIB).await;
    let (ports, actor) = (&house.ports, &house.actor);
    let backup = backups::create(ports, actor, of(&source), CreateTerms::default()).await.unwrap();
    ports.jobs.wait(backup.job).await.unwrap();
    let v = shelved(&house).await;
    let i = uploaded(&house, b"after!").await;
    let with = |when| Refill { image: i, reserved: false, when, attributes: Attributes::default() };
    stands_wrong(
        backups::restore(ports, actor, backup.now.id, Into::Existing(v.id, FREE), backups::bytes_only).await,
    );
    stands_wrong(images::refill(ports, actor, v.id, with(FREE)).await);
    let begun = images::refill(ports, actor, v.id, with(When::default())).await.unwrap();
    ports.jobs.wait(begun.job).await.unwrap();
}
