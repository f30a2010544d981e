//! A process that dies right after the first transaction of a use case: the next life finishes or undoes the job.

use parpen_base::MIB;
use parpen_model::lifecycle::Life;
use parpen_model::{Job, JobState, Scope, write};
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

/// Longer than any step is tried again.
fn away(verb: &'static str) -> Vec<&'static str> {
    vec![verb; 8]
}

// A store that was out of reach while a deletion ran once made the volume "ready" again, without its bytes.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_cannot_go_on_is_finished_by_the_next_life_never_undone() {
    let disk = Disk::new();
    let first = disk.start().await;
    let v = first.volume("gone", MIB).await;
    disk.faults().lock().unwrap().extend(away("delete away"));
    let job = volumes::delete(&first.ports, &first.actor, v.id, DeleteTerms::default()).await.unwrap().job;
    let parked = first.ports.jobs.wait(job).await;
    assert!(matches!(parked, Err(parpen_model::Condition::Unavailable(_))), "{parked:?}");
    assert_eq!(first.row(&v).await.life, Life::Deleting);
    first.kill();
    let last = disk.start().await;
    settled(&last).await;
    assert!(volumes::list(&last.ports, &last.actor, Default::default()).await.unwrap().is_empty());
}

// A clone whose temporary snapshot could not be dropped was once deleted although it was ready and in use.
#[tokio::test(start_paused = true)]
async fn what_is_ready_stays_when_a_later_step_cannot_go_on() {
    let disk = Disk::new();
    let first = disk.start().await;
    let kept = first.volume("kept", MIB).await;
    disk.faults().lock().unwrap().extend(away("delete away"));
    let copy = NewVolume { naming: native("copy"), from: From::Volume(kept.id), ..Default::default() };
    let started = volumes::create(&first.ports, &first.actor, copy).await.unwrap();
    assert!(first.ports.jobs.wait(started.job).await.is_err());
    assert_eq!(first.row(&started.now).await.life, Life::Ready);
    first.kill();
    let last = disk.start().await;
    settled(&last).await;
    assert_eq!(last.row(&started.now).await.life, Life::Ready);
    assert!(snapshots::list(&last.ports, &last.actor, None, true).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_a_moment_is_waited_for() {
    let disk = Disk::new();
    let house = disk.start().await;
    disk.faults().lock().unwrap().extend(["create away", "create away"]);
    assert_eq!(house.volume("late", MIB).await.life, Life::Ready);
}

// Versions that ended a job in a commit of its own could die before it.
#[tokio::test]
async fn a_job_whose_steps_are_all_done_is_ended_by_the_next_life() {
    let disk = Disk::new();
    let first = disk.start().await;
    let new = NewVolume { naming: native("made"), size: Some(MIB), ..Default::default() };
    let started = volumes::create(&first.ports, &first.actor, new).await.unwrap();
    first.ports.jobs.wait(started.job).await.unwrap();
    let id = started.job;
    let not_ended = write(&*first.ports.meta, move |tx| {
        let mut job: Job = tx.read().get(Scope::All, id)?;
        job.state = JobState::Running;
        tx.update(&mut job)
    });
    not_ended.await.unwrap();
    first.kill();
    let last = disk.start().await;
    assert_eq!(last.ports.jobs.wait(id).await.unwrap().state, JobState::Done);
    assert_eq!(last.row(&started.now).await.life, Life::Ready);
}
