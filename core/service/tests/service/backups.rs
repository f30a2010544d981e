//! Backups as jobs: what an interrupted life leaves is finished by the next one, and every state ends.

use parpen_base::{Buf, MIB};
use parpen_model::lifecycle::{BackupState, Life, When};
use parpen_model::{Attributes, Backup, Condition, Subject, Volume};
use parpen_service::backups::{self, CreateTerms, DeleteTerms, Into, NewBackup};
use parpen_service::snapshots;
use parpen_service::volumes::{self, NewVolume};

use super::house::{Disk, House, native};

fn of(v: &Volume, incremental: bool) -> NewBackup {
    NewBackup {
        of: v.id,
        snapshot: None,
        name: "b".into(),
        container: None,
        incremental,
        attributes: Attributes::default(),
    }
}

async fn write(house: &House, v: &Volume, offset: u64, value: u8) {
    let remote = house.exports.open(&house.actor, v.id.into(), "test", true).await.unwrap();
    remote.write(offset, Buf::copy_of(&[value; 4096]), true).await.unwrap();
}

async fn first_byte(house: &House, of: Subject, offset: u64) -> u8 {
    let remote = house.exports.open(&house.actor, of, "test", false).await.unwrap();
    remote.read(offset, 512).await.unwrap()[0]
}

async fn made(house: &House, v: &Volume, incremental: bool) -> Backup {
    let terms = CreateTerms::default();
    let begun = backups::create(&house.ports, &house.actor, of(v, incremental), terms).await.unwrap();
    house.ports.jobs.wait(begun.job).await.unwrap();
    backups::get(&house.ports, &house.actor, begun.now.id).await.unwrap().backup
}

async fn settled(house: &House) {
    for job in house.ports.jobs.list(&house.actor).await.unwrap() {
        // A job that fails is over too; what became of its rows is what the test looks at.
        let _ = house.ports.jobs.wait(job.id).await;
    }
}

fn into(name: &str) -> Into {
    Into::New(Box::new(NewVolume { naming: native(name), ..NewVolume::default() }))
}

#[tokio::test]
async fn every_job_about_backups_is_taken_up_by_the_next_life() {
    let disk = Disk::new();
    let first = disk.start().await;
    let (v, target) = (first.volume("v", MIB).await, first.volume("target", 2 * MIB).await);
    write(&first, &v, 0, 7).await;
    let (base, gone) = (made(&first, &v, false).await, made(&first, &v, false).await);
    first.kill();

    let dead = disk.start_with(false).await;
    let (ports, actor) = (&dead.ports, &dead.actor);
    write(&dead, &v, 8192, 8).await;
    let late = backups::create(ports, actor, of(&v, true), CreateTerms::default()).await.unwrap().now;
    backups::restore(ports, actor, base.id, into("again"), backups::bytes_only).await.unwrap();
    backups::delete(ports, actor, gone.id, DeleteTerms { dependents: true }).await.unwrap_err();
    dead.kill();

    let last = disk.start().await;
    settled(&last).await;
    let late = backups::get(&last.ports, &last.actor, late.id).await.unwrap().backup;
    assert_eq!((late.state, late.base), (BackupState::Available, Some(gone.id)), "{late:?}");
    let key =
        volumes::Key::Named(parpen_service::names::Space::global(parpen_model::Api::Native), "again".into());
    let again = volumes::get(&last.ports, &last.actor, &key).await.unwrap().volume;
    assert_eq!((again.life, again.size, again.work.len()), (Life::Ready, MIB, 0));
    assert_eq!(first_byte(&last, again.id.into(), 0).await, 7);

    // Its base goes, and it is still whole.
    let (ports, actor) = (&last.ports, &last.actor);
    let job = backups::delete(ports, actor, gone.id, DeleteTerms { dependents: true }).await.unwrap().job;
    ports.jobs.wait(job).await.unwrap();
    let job = backups::restore(
        ports,
        actor,
        late.id,
        Into::Existing(target.id, When::default()),
        backups::bytes_only,
    )
    .await
    .unwrap()
    .job;
    ports.jobs.wait(job).await.unwrap();
    assert_eq!(first_byte(&last, target.id.into(), 0).await, 7);
    assert_eq!(first_byte(&last, target.id.into(), 8192).await, 8);
    let left = snapshots::list(ports, actor, None, true).await.unwrap();
    assert!(left.iter().all(|s| late.held == Some(s.snapshot.id)), "no other snapshot is left: {left:?}");
}

#[tokio::test]
async fn what_fails_ends_in_a_state_that_can_be_deleted() {
    let disk = Disk::new();
    let house = disk.start().await;
    let (ports, actor) = (&house.ports, &house.actor);
    let v = house.volume("v", MIB).await;
    disk.faults().lock().unwrap().push("snapshot");
    let begun = backups::create(ports, actor, of(&v, false), CreateTerms::default()).await.unwrap();
    assert!(ports.jobs.wait(begun.job).await.is_err());
    let broken = backups::get(ports, actor, begun.now.id).await.unwrap().backup;
    assert_eq!(broken.state, BackupState::Error);
    assert!(broken.fault.is_some());
    let refused = backups::restore(ports, actor, broken.id, into("x"), backups::bytes_only).await;
    assert!(matches!(refused, Err(Condition::WrongState { .. })), "{refused:?}");
    let job = backups::delete(ports, actor, broken.id, DeleteTerms::default()).await.unwrap().job;
    ports.jobs.wait(job).await.unwrap();
    assert!(backups::list(ports, actor).await.unwrap().is_empty());
    assert!(snapshots::list(ports, actor, None, true).await.unwrap().is_empty());
    assert!(house.row(&v).await.work.is_empty());
}

#[tokio::test]
async fn rules_of_chains_and_sizes_hold() {
    let disk = Disk::new();
    let house = disk.start().await;
    let (ports, actor) = (&house.ports, &house.actor);
    let v = house.volume("v", 2 * MIB).await;
    let none = backups::create(ports, actor, of(&v, true), CreateTerms::default()).await;
    assert!(matches!(none, Err(Condition::Invalid { .. })), "{none:?}");
    let base = made(&house, &v, false).await;
    let next = made(&house, &v, true).await;
    assert_eq!(next.base, Some(base.id));
    let refused = backups::delete(ports, actor, base.id, DeleteTerms::default()).await;
    assert!(matches!(refused, Err(Condition::InUse { .. })), "{refused:?}");
    let small = house.volume("small", MIB).await;
    let refused = backups::restore(
        ports,
        actor,
        base.id,
        Into::Existing(small.id, When::default()),
        backups::bytes_only,
    )
    .await;
    assert!(matches!(refused, Err(Condition::Invalid { .. })), "{refused:?}");
    backups::reset(ports, actor, base.id, BackupState::Error).await.unwrap();
    assert!(backups::restore(ports, actor, base.id, into("x"), backups::bytes_only).await.is_err());
    assert_eq!(made(&house, &v, true).await.base, Some(next.id));
    backups::reset(ports, actor, base.id, BackupState::Available).await.unwrap();
    // Deleting the volume lets go of the snapshots that were kept for the next backup.
    let job = volumes::delete(ports, actor, v.id, volumes::DeleteTerms::default()).await.unwrap().job;
    ports.jobs.wait(job).await.unwrap();
    assert!(snapshots::list(ports, actor, None, true).await.unwrap().is_empty());
    let job = backups::restore(ports, actor, next.id, into("back"), backups::bytes_only).await.unwrap().job;
    ports.jobs.wait(job).await.unwrap();
}
