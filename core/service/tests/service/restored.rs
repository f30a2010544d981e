//! A database that is put back from a copy: the jobs that were open in it have ended since, or never will.

use parpen_base::MIB;
use parpen_model::lifecycle::Life;
use parpen_model::{JobState, Pool, Query, Scope, read};
use parpen_service::snapshots::{self, NewSnapshot};
use parpen_service::volumes::{self, DeleteTerms, NewVolume, ResizeTerms};

use super::house::{Disk, House, native};

/// The ids that a pool's store holds.
async fn held(house: &House) -> Vec<uuid::Uuid> {
    let pools: Vec<Pool> =
        read(&*house.ports.meta, |tx| tx.list(Scope::All, &Query::default())).await.unwrap();
    let local = pools.iter().find(|p| p.name == "local").unwrap();
    let found = house.ports.figures.inventory(local).await.unwrap();
    found.iter().map(|f| f.subject.uuid()).collect()
}

// A move that was under way in the copy, and had ended long ago, was undone at the start: the volume's only copy was
// removed. Deletions, roll backs and creations of that time were taken up likewise.
#[tokio::test]
async fn no_job_of_a_restored_copy_touches_what_is_there_now() {
    let disk = Disk::new();
    let first = disk.start().await;
    let (gone, grown, kept) =
        (first.volume("gone", MIB).await, first.volume("grown", MIB).await, first.volume("kept", MIB).await);
    first.kill();
    let dead = disk.start_with(false).await;
    let (ports, actor) = (&dead.ports, &dead.actor);
    volumes::delete(ports, actor, gone.id, DeleteTerms::default()).await.unwrap();
    volumes::resize(ports, actor, grown.id, 2 * MIB, ResizeTerms::default()).await.unwrap();
    let new = NewVolume { naming: native("born"), size: Some(MIB), ..Default::default() };
    let born = volumes::create(ports, actor, new).await.unwrap().now;
    let snap = NewSnapshot { naming: native("s"), ..Default::default() };
    snapshots::create(ports, actor, kept.id, snap).await.unwrap();
    let before = held(&dead).await;
    dead.kill();

    let last = disk.start_restored().await;
    let jobs = last.ports.jobs.list(&last.actor).await.unwrap();
    let open: Vec<_> = jobs.iter().filter(|j| j.state != JobState::Done).collect();
    assert_eq!(open.len(), 4);
    assert!(open.iter().all(|j| j.state == JobState::Failed && j.error.is_some()));
    assert_eq!(held(&last).await, before);
    for v in [&gone, &grown, &born] {
        let v = last.row(v).await;
        assert!(v.life == Life::Error && v.work.is_empty() && v.fault.is_some(), "{v:?}");
    }
    assert_eq!(last.row(&kept).await.life, Life::Ready);
    let shots = snapshots::list(&last.ports, &last.actor, None, true).await.unwrap();
    assert!(shots.iter().all(|s| s.snapshot.life == Life::Error), "{shots:?}");
    // Whoever has looked at it can go on.
    let job = volumes::delete(&last.ports, &last.actor, gone.id, DeleteTerms::default()).await.unwrap().job;
    last.ports.jobs.wait(job).await.unwrap();
    assert!(!held(&last).await.contains(&gone.id.0));
}
