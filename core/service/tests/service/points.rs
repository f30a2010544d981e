//! A process that dies at every point of every job: before and after each commit and each verb of a store. The next
//! life ends every job, leaves nothing half done, and has the right bytes.

use parpen_base::{Buf, MIB};
use parpen_model::lifecycle::{Life, Migration};
use parpen_model::{
    Backup, Condition, Driver, Group, GroupId, GroupSource, Kind, Query, Scope, Snapshot, Volume, VolumeId,
    read,
};
use parpen_service::attachments::{self, Change, Detach};
use parpen_service::groups::{self, Members, NewGroup, NewType};
use parpen_service::names::Naming;
use parpen_service::pools::{self, NewPool};
use parpen_service::snapshots::{self, NewSnapshot};
use parpen_service::volumes::{
    self, DeleteTerms, From, MoveTerms, NewVolume, ResizeTerms, RollbackTerms, Snapshots,
};
use parpen_service::{data, transfers};

use super::house::{Disk, House, native, thread};

/// More points than any of these jobs has.
const MANY: i64 = 200;

/// Waits until no job is left that is not over.
async fn settled(house: &House) {
    for job in house.ports.jobs.list(&house.actor).await.unwrap() {
        // A job that fails is over too; what became of its rows is what the test looks at.
        let _ = house.ports.jobs.wait(job.id).await;
    }
}

/// Runs `act` on what `prepare` made, dies at the first point, then at the second and so on until it gets through, and
/// lets `check` look at the next life each time. Answers how many points there were.
pub(super) async fn at_every_point<S>(
    prepare: impl AsyncFn(&House) -> S,
    act: impl AsyncFn(&House, &S),
    check: impl AsyncFn(&House, &S),
) -> i64 {
    for n in 0..MANY {
        let disk = Disk::new();
        let house = disk.start().await;
        let scene = prepare(&house).await;
        disk.life.arm(n);
        let whole = async {
            act(&house, &scene).await;
            settled(&house).await;
        };
        let died = tokio::select! {
            _ = whole => false,
            _ = disk.life.died() => true,
        };
        house.kill();
        disk.life.revive();
        let last = disk.start().await;
        settled(&last).await;
        sound(&last).await;
        check(&last, &scene).await;
        if !died {
            return n;
        }
    }
    panic!("it has more than {MANY} points");
}

/// Nothing is half done: whatever is there is ready, no work is left over, and no snapshots of the service that no backup keeps.
async fn sound(house: &House) {
    let jobs = house.ports.jobs.list(&house.actor).await.unwrap();
    assert!(jobs.iter().all(|j| j.is_final()), "{jobs:?}");
    let all: Vec<Volume> = rows(house).await;
    for v in &all {
        assert!(v.life == Life::Ready && v.work.is_empty(), "{v:?}");
        assert!(!v.migration.is_some_and(Migration::is_under_way), "{v:?}");
    }
    let snapshots: Vec<Snapshot> = rows(house).await;
    let backups: Vec<Backup> = rows(house).await;
    // The newest backup keeps the snapshot that it was made of, for the next one to be compared with.
    let kept = |s: &Snapshot| !s.transient || backups.iter().any(|b| b.held == Some(s.id));
    assert!(snapshots.iter().all(|s| s.life == Life::Ready && kept(s)), "{snapshots:?}");
    let groups: Vec<Group> = rows(house).await;
    assert!(groups.iter().all(|g| g.life == Life::Ready), "{groups:?}");
    // Each pool holds what the rows say, and nothing else.
    for pool in pools::list(&house.ports, &house.actor).await.unwrap() {
        let mut held: Vec<_> =
            house.ports.figures.inventory(&pool).await.unwrap().iter().map(|f| f.subject.uuid()).collect();
        let mut known: Vec<_> = all
            .iter()
            .filter(|v| v.pool == pool.id)
            .map(|v| v.id.0)
            .chain(snapshots.iter().filter(|s| s.pool == pool.id).map(|s| s.id.0))
            .collect();
        held.sort();
        known.sort();
        assert_eq!(held, known, "pool {}", pool.name);
    }
}

async fn rows<N: parpen_model::Noun + Send + 'static>(house: &House) -> Vec<N> {
    read(&*house.ports.meta, |tx| tx.list(Scope::All, &Query::default())).await.unwrap()
}

async fn put(house: &House, v: VolumeId, text: &[u8]) {
    let session = house.connect(&v.to_string(), "10.0.0.9").await.unwrap();
    let disk = data::open(session, &thread()).await.unwrap();
    let mut page = vec![0; 4096];
    page[..text.len()].copy_from_slice(text);
    disk.write(8192, Buf::copy_of(&page), true).await.unwrap();
}

async fn get(house: &House, id: &str, len: usize) -> Vec<u8> {
    let session = house.connect(id, "10.0.0.9").await.unwrap();
    let disk = data::open(session, &thread()).await.unwrap();
    disk.read(8192, 4096).await.unwrap()[..len].to_vec()
}

async fn written(house: &House, name: &str) -> Volume {
    let v = house.volume(name, MIB).await;
    put(house, v.id, b"before").await;
    v
}

async fn taken(house: &House, v: &Volume, name: &str) -> Snapshot {
    let new = NewSnapshot { naming: native(name), ..Default::default() };
    let started = snapshots::create(&house.ports, &house.actor, v.id, new).await.unwrap();
    house.ports.jobs.wait(started.job).await.unwrap();
    started.now
}

async fn find(house: &House, name: &str) -> Option<Volume> {
    rows::<Volume>(house).await.into_iter().find(|v| v.name == name)
}

#[tokio::test]
async fn making_a_volume() {
    let points = at_every_point(
        async |_| (),
        async |house, _| {
            let new = NewVolume { naming: native("born"), size: Some(MIB), ..Default::default() };
            volumes::create(&house.ports, &house.actor, new).await.unwrap();
        },
        async |house, _| {
            if let Some(v) = find(house, "born").await {
                assert_eq!(get(house, &v.id.to_string(), 4).await, [0; 4]);
            }
        },
    )
    .await;
    assert!(points > 4, "{points}");
}

#[tokio::test]
async fn making_a_volume_of_another() {
    at_every_point(
        async |house| written(house, "books").await,
        async |house, v| {
            let from = From::Volume(v.id);
            let new = NewVolume { naming: native("copy"), from, ..Default::default() };
            volumes::create(&house.ports, &house.actor, new).await.unwrap();
        },
        async |house, _| {
            if let Some(v) = find(house, "copy").await {
                assert_eq!(get(house, &v.id.to_string(), 6).await, b"before");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn resizing() {
    at_every_point(
        async |house| written(house, "books").await,
        async |house, v| {
            volumes::resize(&house.ports, &house.actor, v.id, 2 * MIB, ResizeTerms::default()).await.unwrap();
        },
        async |house, v| {
            let now = house.row(v).await;
            assert!(now.size == MIB || now.size == 2 * MIB);
            let session = house.connect("books", "10.0.0.9").await.unwrap();
            assert_eq!(session.geometry().size, now.size);
            drop(session);
            assert_eq!(get(house, "books", 6).await, b"before");
        },
    )
    .await;
}

#[tokio::test]
async fn rolling_back() {
    at_every_point(
        async |house| {
            let v = written(house, "books").await;
            let s = taken(house, &v, "one").await;
            put(house, v.id, b"after!").await;
            (v, s)
        },
        async |house, (v, s)| {
            volumes::rollback(
                &house.ports,
                &house.actor,
                v.id,
                s.id,
                RollbackTerms { force: true, ..Default::default() },
            )
            .await
            .unwrap();
        },
        async |house, (_, s)| {
            let now = get(house, "books", 6).await;
            assert!(now == b"before" || now == b"after!", "{now:?}");
            assert_eq!(get(house, &s.id.to_string(), 6).await, b"before");
        },
    )
    .await;
}

#[tokio::test]
async fn snapshotting_and_deleting_all() {
    at_every_point(
        async |house| written(house, "books").await,
        async |house, v| {
            let new = NewSnapshot { naming: native("one"), ..Default::default() };
            snapshots::create(&house.ports, &house.actor, v.id, new).await.unwrap();
        },
        async |house, _| {
            for s in rows::<Snapshot>(house).await {
                assert_eq!(get(house, &s.id.to_string(), 6).await, b"before");
            }
        },
    )
    .await;
    at_every_point(
        async |house| {
            let v = written(house, "books").await;
            taken(house, &v, "one").await;
            v
        },
        async |house, v| {
            let terms = DeleteTerms { snapshots: Snapshots::Delete, ..Default::default() };
            volumes::delete(&house.ports, &house.actor, v.id, terms).await.unwrap();
        },
        async |house, _| {
            let left = (rows::<Volume>(house).await.len(), rows::<Snapshot>(house).await.len());
            assert!(left == (1, 1) || left == (0, 0), "both or none: {left:?}");
        },
    )
    .await;
    at_every_point(
        async |house| {
            let v = written(house, "books").await;
            taken(house, &v, "one").await
        },
        async |house, s| {
            snapshots::delete(&house.ports, &house.actor, s.id, Default::default()).await.unwrap();
        },
        async |house, _| assert_eq!(get(house, "books", 6).await, b"before"),
    )
    .await;
}

async fn second_pool(house: &House) -> parpen_model::PoolId {
    let new = NewPool {
        name: "two".into(),
        driver: Driver::Local,
        disks: Vec::new(),
        capacity: None,
        description: String::new(),
        attributes: Default::default(),
    };
    let started = pools::create(&house.ports, &house.actor, new).await.unwrap();
    house.ports.jobs.wait(started.job).await.unwrap();
    started.now.id
}

#[tokio::test]
async fn moving_to_another_pool() {
    let points = at_every_point(
        async |house| (written(house, "books").await, second_pool(house).await),
        async |house, (v, to)| {
            volumes::migrate(&house.ports, &house.actor, v.id, *to, MoveTerms { shelve: true })
                .await
                .unwrap();
        },
        async |house, (v, to)| {
            let now = house.row(v).await;
            assert!(now.declared.is_none(), "{now:?}");
            assert!(now.migration.is_none() == (now.pool != *to), "moved to the end or not begun: {now:?}");
            assert_eq!(get(house, "books", 6).await, b"before");
        },
    )
    .await;
    assert!(points > 10, "{points}");
}

#[tokio::test]
async fn handing_over() {
    at_every_point(
        async |house| written(house, "books").await,
        async |house, v| {
            let change = Change {
                subject: v.id.into(),
                detach: Detach::Everyone,
                read_write: vec!["client-1".into()],
                read_only: Vec::new(),
                force: false,
            };
            attachments::reassign(&house.ports, &house.actor, vec![change]).await.unwrap();
        },
        async |house, v| {
            let all = attachments::list(&house.ports, &house.actor).await.unwrap();
            let now = house.row(v).await.usage;
            assert_eq!(now == parpen_model::lifecycle::Usage::Attached, all.len() == 1, "{now:?} {all:?}");
        },
    )
    .await;
}

fn nameless(_: VolumeId) -> Naming {
    Naming::default()
}

fn nameless_part(_: parpen_model::SnapshotId) -> Naming {
    Naming::default()
}

fn called(name: &str) -> NewGroup {
    NewGroup { name: name.into(), attributes: Default::default() }
}

/// A group with two members that have bytes.
async fn group(house: &House) -> GroupId {
    let (ports, actor) = (&house.ports, &house.actor);
    let kind = NewType { name: "t".into(), description: None, public: true, attributes: Default::default() };
    let kind = groups::create_type(ports, actor, kind).await.unwrap();
    let g = groups::create(ports, actor, called("g"), kind.id, vec![None]).await.unwrap();
    let add = vec![written(house, "one").await.id, written(house, "two").await.id];
    let edit = groups::GroupEdit { add, ..Default::default() };
    groups::update(ports, actor, g.id, edit).await.unwrap().id
}

#[tokio::test]
async fn groups_and_their_snapshots() {
    at_every_point(
        group,
        async |house, g| {
            let like = Members { naming: nameless, attributes: Default::default() };
            let source = GroupSource::Group(*g);
            groups::create_from(&house.ports, &house.actor, called("like it"), source, like).await.unwrap();
        },
        async |house, _| {
            let all = groups::list(&house.ports, &house.actor, None).await.unwrap();
            for view in all {
                assert_eq!(view.volumes.len(), 2);
                for v in view.volumes {
                    assert_eq!(get(house, &v.to_string(), 6).await, b"before");
                }
            }
        },
    )
    .await;
    at_every_point(
        group,
        async |house, g| {
            let (ports, actor) = (&house.ports, &house.actor);
            let attributes = Default::default();
            groups::create_snapshot(ports, actor, *g, called("now"), nameless_part, attributes)
                .await
                .unwrap();
        },
        async |house, _| {
            let whole = groups::list_snapshots(&house.ports, &house.actor, None).await.unwrap();
            assert_eq!(rows::<Snapshot>(house).await.len(), 2 * whole.len(), "all parts or none");
        },
    )
    .await;
    at_every_point(
        group,
        async |house, g| {
            groups::delete(&house.ports, &house.actor, *g, true).await.unwrap();
        },
        async |house, _| {
            let left = (rows::<Group>(house).await.len(), rows::<Volume>(house).await.len());
            assert!(left == (1, 2) || left == (0, 0), "all or none: {left:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn deleting_a_snapshot_of_a_group() {
    at_every_point(
        async |house| {
            let g = group(house).await;
            let (ports, actor) = (&house.ports, &house.actor);
            let attributes = Default::default();
            let begun = groups::create_snapshot(ports, actor, g, called("now"), nameless_part, attributes)
                .await
                .unwrap();
            ports.jobs.wait(begun.job).await.unwrap();
            begun.now.id
        },
        async |house, gs| {
            groups::delete_snapshot(&house.ports, &house.actor, *gs).await.unwrap();
        },
        async |house, _| {
            let whole = groups::list_snapshots(&house.ports, &house.actor, None).await.unwrap();
            assert_eq!(rows::<Snapshot>(house).await.len(), 2 * whole.len(), "all parts or none");
        },
    )
    .await;
}

#[tokio::test]
async fn taking_an_offered_volume_is_one_commit() {
    at_every_point(
        async |house| {
            let v = written(house, "books").await;
            taken(house, &v, "one").await;
            let offered = transfers::create(&house.ports, &house.actor, v.id, None, false).await.unwrap();
            (v, offered.transfer.id, offered.key)
        },
        async |house, (_, t, key)| {
            let mut other = house.actor.clone();
            other.project = parpen_model::ProjectId(uuid_of(5));
            transfers::accept(&house.ports, &other, *t, key, Box::new(|_| ())).await.unwrap();
        },
        async |house, (v, t, _)| {
            let now = house.row(v).await;
            let snapshot = rows::<Snapshot>(house).await.remove(0);
            assert_eq!(snapshot.project, now.project);
            let offer = transfers::get(&house.ports, &house.actor, *t).await;
            let gone = matches!(offer, Err(Condition::NotFound { what: Kind::Transfer, .. }));
            assert_eq!(gone, now.project.0 == uuid_of(5));
            assert_eq!(now.declared.is_none(), gone);
        },
    )
    .await;
}

fn uuid_of(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}
