//! Volumes, snapshots and clones: rows and bytes.

use parpen_base::{Buf, MIB};
use parpen_model::lifecycle::{Life, Usage};
use parpen_model::{Condition, Kind, Snapshot, Volume};
use parpen_service::snapshots::{self, NewSnapshot};
use parpen_service::volumes::{self, DeleteTerms, From, NewVolume, ResizeTerms, RollbackTerms, Snapshots};

use super::house::{Disk, House, native};

async fn write(house: &House, v: &Volume, at: u64, text: &[u8]) {
    let remote = house.exports.open(&house.actor, v.id.into(), "test", true).await.unwrap();
    remote.write(at, Buf::copy_of(text), false).await.unwrap();
    remote.flush().await.unwrap();
}

async fn text(house: &House, v: &Volume, at: u64, len: u32) -> Vec<u8> {
    let remote = house.exports.open(&house.actor, v.id.into(), "test", false).await.unwrap();
    remote.read(at, len).await.unwrap().to_vec()
}

async fn snapshot(house: &House, v: &Volume, name: &str) -> Snapshot {
    let new = NewSnapshot { naming: native(name), ..Default::default() };
    let started = snapshots::create(&house.ports, &house.actor, v.id, new).await.unwrap();
    house.ports.jobs.wait(started.job).await.unwrap();
    started.now
}

async fn clone(house: &House, from: From, name: &str, pool: Option<&str>) -> Result<Volume, Condition> {
    let mut new = NewVolume { naming: native(name), from, ..Default::default() };
    if let Some(pool) = pool {
        new.place.pool = Some(parpen_service::pools::get(&house.ports, &house.actor, pool).await?.id);
    }
    let started = volumes::create(&house.ports, &house.actor, new).await?;
    house.ports.jobs.wait(started.job).await?;
    Ok(house.row(&started.now).await)
}

#[tokio::test]
async fn snapshots_and_clones_keep_their_bytes() {
    let house = Disk::new().start().await;
    let v = house.volume("books", 4 * MIB).await;
    write(&house, &v, 8192, b"before").await;
    let s = snapshot(&house, &v, "one").await;
    write(&house, &v, 8192, b"after!").await;
    let of_snapshot = clone(&house, From::Snapshot(s.id), "old", None).await.unwrap();
    let of_volume = clone(&house, From::Volume(v.id), "new", None).await.unwrap();
    let elsewhere = clone(&house, From::Snapshot(s.id), "far", Some("dummy")).await.unwrap();
    assert_eq!(text(&house, &of_snapshot, 8192, 6).await, b"before");
    assert_eq!(text(&house, &of_volume, 8192, 6).await, b"after!");
    assert_eq!(text(&house, &elsewhere, 8192, 6).await, b"before");
    assert_ne!(elsewhere.pool, v.pool);
    let all = snapshots::list(&house.ports, &house.actor, None, true).await.unwrap();
    assert_eq!(all.len(), 1, "the snapshot that stood for the volume has gone: {all:?}");
    house
        .ports
        .jobs
        .wait(
            volumes::rollback(&house.ports, &house.actor, v.id, s.id, RollbackTerms::default())
                .await
                .unwrap()
                .job,
        )
        .await
        .unwrap();
    assert_eq!(text(&house, &v, 8192, 6).await, b"before");
}

#[tokio::test]
async fn sizes_are_multiples_of_512_and_shrink_only_when_allowed() {
    let house = Disk::new().start().await;
    let v = house.volume("odd", 1_000_001).await;
    assert_eq!(v.size, 1_000_448);
    let smaller = volumes::resize(&house.ports, &house.actor, v.id, 4096, ResizeTerms::default()).await;
    assert!(matches!(smaller, Err(Condition::Invalid { .. })));
    let more = volumes::NewSize::By(512);
    let job =
        volumes::resize(&house.ports, &house.actor, v.id, more, ResizeTerms::default()).await.unwrap().job;
    house.ports.jobs.wait(job).await.unwrap();
    assert_eq!(house.row(&v).await.size, 1_000_960);
    let terms = ResizeTerms { allow_shrink: true, ..Default::default() };
    let job = volumes::resize(&house.ports, &house.actor, v.id, 4096, terms).await.unwrap().job;
    house.ports.jobs.wait(job).await.unwrap();
    assert_eq!(house.row(&v).await.size, 4096);
    let huge = volumes::resize(&house.ports, &house.actor, v.id, u64::MAX, terms).await;
    assert!(matches!(huge, Err(Condition::Invalid { .. })));
}

#[tokio::test]
async fn a_volume_with_snapshots_goes_as_the_terms_say() {
    let house = Disk::new().start().await;
    let v = house.volume("books", MIB).await;
    snapshot(&house, &v, "one").await;
    let refused = volumes::delete(&house.ports, &house.actor, v.id, DeleteTerms::default()).await;
    assert!(matches!(refused, Err(Condition::InUse { .. })), "{refused:?}");
    let terms = DeleteTerms { snapshots: Snapshots::Keep, ..Default::default() };
    let job = volumes::delete(&house.ports, &house.actor, v.id, terms).await.unwrap().job;
    house.ports.jobs.wait(job).await.unwrap();
    let left = snapshots::list(&house.ports, &house.actor, None, false).await.unwrap();
    assert!(
        left[0].origin.is_none() && left[0].snapshot.origin == v.id && left[0].snapshot.life == Life::Ready
    );
    let back = clone(&house, From::Snapshot(left[0].snapshot.id), "back", None).await.unwrap();
    assert_eq!((back.life, back.usage), (Life::Ready, Usage::Free));
}

#[tokio::test]
async fn what_fails_leaves_no_trace_or_shows_its_error() {
    let disk = Disk::new();
    let house = disk.start().await;
    disk.faults().lock().unwrap().push("create");
    let failed = clone(&house, From::Blank, "none", None).await;
    assert!(failed.is_err(), "no size was said");
    let new = |keep| {
        let mut new = NewVolume { naming: native("broken"), size: Some(MIB), ..Default::default() };
        new.options.keep_failed = keep;
        new
    };
    let started = volumes::create(&house.ports, &house.actor, new(false)).await.unwrap();
    assert!(matches!(house.ports.jobs.wait(started.job).await, Err(Condition::NoSpace(_))));
    assert!(volumes::list(&house.ports, &house.actor, Default::default()).await.unwrap().is_empty());
    disk.faults().lock().unwrap().push("create");
    let started = volumes::create(&house.ports, &house.actor, new(true)).await.unwrap();
    assert!(house.ports.jobs.wait(started.job).await.is_err());
    let shown = house.row(&started.now).await;
    assert!(shown.life == Life::Error && shown.fault.is_some());
    let job =
        volumes::delete(&house.ports, &house.actor, shown.id, DeleteTerms::default()).await.unwrap().job;
    house.ports.jobs.wait(job).await.unwrap();
}

// Of two who delete a volume at once the second found it busy, also on the sides that call deleting idempotent.
#[tokio::test]
async fn what_is_being_deleted_is_gone_where_a_side_says_so() {
    let disk = Disk::new();
    let house = disk.start().await;
    let v = house.volume("books", MIB).await;
    house.kill();
    // No job runs, so the first removal never ends.
    let house = disk.start_with(false).await;
    let delete = |once| {
        let terms = DeleteTerms { once, ..Default::default() };
        volumes::delete(&house.ports, &house.actor, v.id, terms)
    };
    delete(true).await.unwrap();
    assert_eq!(delete(true).await.unwrap_err(), Condition::not_found(Kind::Volume, "books"));
    assert!(matches!(delete(false).await, Err(Condition::WrongState { .. })));
    house.kill();
}
