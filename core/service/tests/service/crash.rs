//! A process that dies right after the first transaction of a use case: the next life finishes or undoes the job.

use parpen_base::MIB;
use parpen_model::lifecycle::Life;
use parpen_service::snapshots::{self, NewSnapshot};
use parpen_service::volumes::{self, DeleteTerms, From, NewVolume, ResizeTerms};

use super::house::{Disk, House, native};

/// Waits until no job is left that is not over.
async fn settled(house: &House) {
    for job in house.ports.jobs.list(&house.actor).await.unwrap() {
        // A job that fails is over too; what became of its rows is what the test looks at.
        let _ = house.ports.jobs.wait(job.id).await;
    }
}

#[tokio::test]
async fn every_kind_of_job_is_taken_up_by_the_next_life() {
    let disk = Disk::new();
    let first = disk.start().await;
    let (kept, grown, gone) =
        (first.volume("kept", MIB).await, first.volume("grown", MIB).await, first.volume("gone", MIB).await);
    first.kill();

    let dead = disk.start_with(false).await;
    let (ports, actor) = (&dead.ports, &dead.actor);
    let new = NewVolume { naming: native("born"), size: Some(MIB), ..Default::default() };
    volumes::create(ports, actor, new).await.unwrap();
    let copy = NewVolume { naming: native("copy"), from: From::Volume(kept.id), ..Default::default() };
    volumes::create(ports, actor, copy).await.unwrap();
    volumes::resize(ports, actor, grown.id, 2 * MIB, ResizeTerms::default()).await.unwrap();
    volumes::delete(ports, actor, gone.id, DeleteTerms::default()).await.unwrap();
    let snap = NewSnapshot { naming: native("s"), ..Default::default() };
    snapshots::create(ports, actor, kept.id, snap).await.unwrap();
    assert!(
        volumes::resize(ports, actor, grown.id, 3 * MIB, ResizeTerms::default()).await.is_err(),
        "one at a time"
    );
    dead.kill();

    let last = disk.start().await;
    settled(&last).await;
    let mut names: Vec<_> = volumes::list(&last.ports, &last.actor, Default::default()).await.unwrap();
    names.sort_by_key(|v| v.volume.handle.to_string());
    let seen: Vec<_> =
        names.iter().map(|v| (v.volume.handle.as_str(), v.volume.life, v.volume.size)).collect();
    let ready = Life::Ready;
    let want = [("born", ready, MIB), ("copy", ready, MIB), ("grown", ready, 2 * MIB), ("kept", ready, MIB)];
    assert_eq!(seen, want);
    assert!(names.iter().all(|v| v.volume.work.is_empty()));
    let left = snapshots::list(&last.ports, &last.actor, None, true).await.unwrap();
    assert_eq!(left.len(), 1, "only the one that was asked for: {left:?}");
    assert!(last.ports.jobs.list(&last.actor).await.unwrap().iter().all(|j| j.is_final()));
}

#[tokio::test]
async fn a_failing_store_is_undone_by_the_next_life_too() {
    let disk = Disk::new();
    let first = disk.start().await;
    let v = first.volume("kept", MIB).await;
    first.kill();
    let dead = disk.start_with(false).await;
    let snap = NewSnapshot { naming: native("s"), ..Default::default() };
    snapshots::create(&dead.ports, &dead.actor, v.id, snap).await.unwrap();
    volumes::resize(&dead.ports, &dead.actor, v.id, 2 * MIB, ResizeTerms::default()).await.unwrap();
    dead.kill();
    disk.faults().lock().unwrap().extend(["snapshot", "resize"]);
    let last = disk.start().await;
    settled(&last).await;
    assert!(snapshots::list(&last.ports, &last.actor, None, true).await.unwrap().is_empty());
    let v = last.row(&v).await;
    assert!(v.life == Life::Ready && v.work.is_empty() && v.size == MIB);
}
