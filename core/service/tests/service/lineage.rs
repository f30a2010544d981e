//! What volumes and snapshots share, who goes with whom, and ceilings that change while somebody is inside.

use parpen_base::Buf;
use parpen_block::{Op, Queue, Request, Session, Wake};
use parpen_model::lifecycle::Life;
use parpen_model::{Api, Condition, IoCeiling, Kind, SnapshotId, Volume, WantedLimits};
use parpen_service::names::{Naming, Rename, Space};
use parpen_service::snapshots::{self, NewSnapshot};
use parpen_service::volumes::{
    self, Change, DeleteTerms, Edit, Filter, From, NewVolume, ResizeTerms, Snapshots,
};

use crate::house::{Disk, House, native};

const MIB: u64 = 1 << 20;

async fn snapshot(h: &House, v: &Volume, name: &str, bound: bool) -> SnapshotId {
    let naming = Naming::unique(name.to_string(), Space::within(Api::Native, v.id));
    let new = NewSnapshot { naming, bound, ..Default::default() };
    let started = snapshots::create(&h.ports, &h.actor, v.id, new).await.unwrap();
    h.ports.jobs.wait(started.job).await.unwrap();
    started.now.id
}

async fn find(h: &House, id: SnapshotId) -> Option<parpen_model::Snapshot> {
    snapshots::get(&h.ports, &h.actor, &snapshots::Key::Id(id)).await.ok().map(|s| s.snapshot)
}

#[tokio::test]
async fn what_was_told_of_a_snapshot_stays_said_when_it_is_gone() {
    let h = Disk::new().start().await;
    let v = h.volume("books", MIB).await;
    let naming = Naming::unique("one".to_string(), Space::within(Api::Native, v.id));
    let new = NewSnapshot { naming, ..Default::default() };
    let started = snapshots::create(&h.ports, &h.actor, v.id, new).await.unwrap();
    h.ports.jobs.wait(started.job).await.unwrap();
    let gone = snapshots::delete(&h.ports, &h.actor, started.now.id, Default::default()).await.unwrap();
    h.ports.jobs.wait(gone.job).await.unwrap();
    assert!(find(&h, started.now.id).await.is_none());
    let view = snapshots::as_told(&h.ports, started.now).await.unwrap();
    assert_eq!((view.snapshot.life, view.origin.map(|v| v.id)), (Life::Creating, Some(v.id)));
}

#[tokio::test]
async fn a_frozen_volume_goes_on_as_a_snapshot_of_its_name() {
    let disk = Disk::new();
    let h = disk.start().await;
    let v = h.volume("books", MIB).await;
    let inside = h.connect("books", "10.0.0.1").await.unwrap();
    let refused = volumes::freeze(&h.ports, &h.actor, v.id, false).await;
    assert!(matches!(refused, Err(Condition::InUse { .. })), "{refused:?}");
    drop(inside);
    let job = volumes::freeze(&h.ports, &h.actor, v.id, false).await.unwrap().job;
    h.ports.jobs.wait(job).await.unwrap();
    assert!(volumes::list(&h.ports, &h.actor, Filter::default()).await.unwrap().is_empty());
    let all = snapshots::list(&h.ports, &h.actor, None, false).await.unwrap();
    let s = &all[0].snapshot;
    assert_eq!((s.handle.as_str(), s.origin, s.size, s.life), ("books", v.id, MIB, Life::Ready));
    let session = h.connect("books", "10.0.0.1").await.unwrap();
    assert!(session.capabilities().read_only);
    let new = NewVolume { naming: native("copy"), from: From::Snapshot(s.id), ..Default::default() };
    let job = volumes::create(&h.ports, &h.actor, new).await.unwrap().job;
    h.ports.jobs.wait(job).await.unwrap();
}

#[tokio::test]
async fn a_freeze_that_a_crash_interrupts_is_finished() {
    let disk = Disk::new();
    let h = disk.start().await;
    let v = h.volume("books", MIB).await;
    h.kill();
    let h = disk.start_with(false).await;
    let job = volumes::freeze(&h.ports, &h.actor, v.id, false).await.unwrap().job;
    let refused = h.connect("books", "10.0.0.1").await.err().unwrap();
    assert!(refused.to_string().contains("becoming a snapshot"), "{refused}");
    h.kill();
    let h = disk.start().await;
    h.ports.jobs.wait(job).await.unwrap();
    assert_eq!(snapshots::list(&h.ports, &h.actor, None, false).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_flattened_volume_has_no_parent_and_stays_usable() {
    let h = Disk::new().start().await;
    let v = h.volume("books", MIB).await;
    let first = snapshot(&h, &v, "one", false).await;
    let second = snapshot(&h, &v, "two", false).await;
    let other = h.volume("other", MIB).await;
    let alien = snapshot(&h, &other, "x", false).await;
    let refused = volumes::rebase(&h.ports, &h.actor, v.id.into(), Some(alien)).await;
    assert!(matches!(refused, Err(Condition::Invalid { .. })), "{refused:?}");
    let _inside = h.connect("books", "10.0.0.1").await.unwrap();
    for onto in [Some(first), None] {
        assert_ne!(h.row(&v).await.parent, onto);
        let job = volumes::rebase(&h.ports, &h.actor, v.id.into(), onto).await.unwrap().job;
        h.ports.jobs.wait(job).await.unwrap();
        let row = h.row(&v).await;
        assert_eq!((row.parent, row.work.len()), (onto, 0));
    }
    let job = volumes::rebase(&h.ports, &h.actor, second.into(), None).await.unwrap().job;
    h.ports.jobs.wait(job).await.unwrap();
    assert_eq!(find(&h, second).await.unwrap().parent, None);
}

#[tokio::test]
async fn a_flatten_that_finds_no_room_leaves_the_volume_as_it_was() {
    let disk = Disk::new();
    let h = disk.start().await;
    let v = h.volume("books", MIB).await;
    let s = snapshot(&h, &v, "one", false).await;
    disk.faults().lock().unwrap().push("rebase");
    let job = volumes::rebase(&h.ports, &h.actor, v.id.into(), None).await.unwrap().job;
    assert!(matches!(h.ports.jobs.wait(job).await, Err(Condition::NoSpace(_))));
    let row = h.row(&v).await;
    assert_eq!((row.parent, row.work.len()), (Some(s), 0));
}

#[tokio::test]
async fn snapshots_of_a_group_are_one_job_or_none() {
    let h = Disk::new().start().await;
    let (a, b) = (h.volume("a", MIB).await, h.volume("b", MIB).await);
    let new = |name: &str| NewSnapshot { naming: native(name), ..Default::default() };
    let twice = vec![(a.id, new("x")), (a.id, new("y"))];
    assert!(matches!(snapshots::group(&h.ports, &h.actor, twice).await, Err(Condition::Invalid { .. })));
    let taken = vec![(a.id, new("x")), (b.id, new("x"))];
    let refused = snapshots::group(&h.ports, &h.actor, taken).await;
    assert!(matches!(refused, Err(Condition::Exists { .. })), "{refused:?}");
    assert!(snapshots::list(&h.ports, &h.actor, None, true).await.unwrap().is_empty());
    let both = vec![(a.id, new("x")), (b.id, new("y"))];
    let started = snapshots::group(&h.ports, &h.actor, both).await.unwrap();
    h.ports.jobs.wait(started.job).await.unwrap();
    assert_eq!(h.row(&a).await.parent, Some(started.now[0].id));
    assert_eq!(h.row(&b).await.parent, Some(started.now[1].id));
}

#[tokio::test]
async fn a_bound_snapshot_goes_with_the_last_that_grew_from_it() {
    let h = Disk::new().start().await;
    let v = h.volume("books", MIB).await;
    let s = snapshot(&h, &v, "one", true).await;
    let new = NewVolume { naming: native("child"), from: From::Snapshot(s), ..Default::default() };
    let started = volumes::create(&h.ports, &h.actor, new).await.unwrap();
    h.ports.jobs.wait(started.job).await.unwrap();
    let job = volumes::rebase(&h.ports, &h.actor, v.id.into(), None).await.unwrap().job;
    h.ports.jobs.wait(job).await.unwrap();
    assert!(find(&h, s).await.is_some(), "the clone still grows from it");
    let mut changes = h.ports.jobs.changes();
    let terms = DeleteTerms { snapshots: Snapshots::Keep, ..Default::default() };
    let job = volumes::delete(&h.ports, &h.actor, started.now.id, terms).await.unwrap().job;
    h.ports.jobs.wait(job).await.unwrap();
    while find(&h, s).await.is_some() {
        changes.recv().await.unwrap();
    }
}

fn queue(session: &Session) -> Box<dyn Queue> {
    session.open(8, Wake::new(|| ())).unwrap()
}

/// How many reads pass at once, of a hundred.
fn burst(q: &mut dyn Queue) -> usize {
    let read = |tag| Request { tag, op: Op::Read, offset: 0, len: 512, buf: Some(Buf::zeroed(512)) };
    (0..100).take_while(|tag| q.submit(read(*tag)).is_ok() && q.reap().is_some()).count()
}

#[tokio::test]
async fn ceilings_bind_those_who_are_inside() {
    let h = Disk::new().start().await;
    let v = h.volume("books", MIB).await;
    let session = h.connect("books", "10.0.0.1").await.unwrap();
    let mut q = queue(&session);
    assert_eq!(burst(&mut *q), 100);
    for (ceiling, most) in [(IoCeiling::At(0), 0), (IoCeiling::At(10), 3), (IoCeiling::Unlimited, 100)] {
        let limits = WantedLimits { requests_per_second: Some(ceiling), ..Default::default() };
        volumes::edit(&h.ports, &h.actor, v.id, Edit { limits, ..Default::default() }).await.unwrap();
        let passed = burst(&mut *q);
        assert!(passed <= most && (passed > 0) == (most > 0), "{passed} at {ceiling:?}");
        let again = h.connect("books", "10.0.0.2").await.unwrap();
        assert!(burst(&mut *queue(&again)) <= most, "another connection shares the bucket");
    }
}

#[tokio::test]
async fn a_change_is_taken_as_a_whole_or_not_at_all() {
    let h = Disk::new().start().await;
    let (v, _) = (h.volume("books", MIB).await, h.volume("other", MIB).await);
    let all = |to: &str, size: u64| Change {
        edit: Edit {
            limits: WantedLimits { bytes_per_second: Some(IoCeiling::At(7)), ..Default::default() },
            readonly: Some(true),
            ..Default::default()
        },
        rename: Some(Rename::by_id(Space::global(Api::Native), to)),
        size: Some((size.into(), ResizeTerms::default())),
    };
    let before = h.row(&v).await;
    for (to, size) in [("other", 2 * MIB), ("new", MIB / 2)] {
        volumes::change(&h.ports, &h.actor, v.id, all(to, size)).await.unwrap_err();
        assert_eq!(h.row(&v).await, before);
    }
    let changed = volumes::change(&h.ports, &h.actor, v.id, all("new", 2 * MIB)).await.unwrap();
    assert_eq!((changed.now.handle.as_str(), changed.now.readonly), ("new", true));
    h.ports.jobs.wait(changed.job.unwrap()).await.unwrap();
    let row = h.row(&v).await;
    assert_eq!((row.size, row.limits.bytes_per_second), (2 * MIB, Some(7)));
}

#[tokio::test]
async fn costs_and_differences_are_told_to_those_who_may_see_both() {
    let h = Disk::new().start().await;
    let v = h.volume("books", MIB).await;
    let s = snapshot(&h, &v, "one", false).await;
    let cost = volumes::cost(&h.ports, &h.actor, v.id.into()).await.unwrap().unwrap();
    assert_eq!((cost.stored, cost.freed), (8192, 4096));
    let pieces = volumes::diff(&h.ports, &h.actor, Some(s.into()), v.id.into(), (0, MIB)).await.unwrap();
    assert_eq!(pieces.iter().map(|p| p.len).sum::<u64>(), MIB);
    let nobody = SnapshotId(uuid::Uuid::from_u128(1));
    let refused = volumes::diff(&h.ports, &h.actor, Some(nobody.into()), v.id.into(), (0, MIB)).await;
    assert!(matches!(refused, Err(Condition::NotFound { what: Kind::Snapshot, .. })), "{refused:?}");
}
