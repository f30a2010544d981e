//! Deaths of the jobs about volumes.

use parpen_base::MIB;
use parpen_model::lifecycle::When;
use parpen_model::{
    Api, Attributes, ControlLocation, Driver, PoolId, Snapshot, Subject, TypeRules, Volume, VolumeType,
    VolumeTypeId,
};
use parpen_service::pools::{self, NewPool};
use parpen_service::types::{self, Encryption};
use parpen_service::volumes::{
    self, DeleteTerms, From, MoveTerms, NewVolume, Place, ResizeTerms, Retype, RollbackTerms, Snapshots,
    Takeover,
};

use super::{at_every_point, copies, deaths, dies, find, get, put, rows, taken, written};
use crate::house::{House, native};
use crate::policy::blank as plain;

deaths! {
    blank of "volume-create@1";
    of_a_volume of "volume-create@1";
    of_a_snapshot of "volume-create@1";
    of_a_snapshot_in_another_pool of "volume-create@1";
    sealed of "volume-create@1";
    deleted of "volume-delete@1";
    deleted_with_its_snapshots of "volume-delete@1";
    deleted_without_its_snapshots of "volume-delete@1";
    grown of "volume-resize@1";
    shrunk of "volume-resize@1";
    moved of "volume-move@1";
    moved_after_a_backup of "volume-move@1";
    retyped_into_another_pool of "volume-move@1";
    rolled_back of "volume-rollback@1";
    frozen of "volume-freeze@1";
    flattened of "volume-rebase@1";
    a_snapshot_cut_off of "volume-rebase@1";
}

/// Makes a volume called `born`, and looks that the next life has all of it or nothing.
async fn born<S>(kind: &str, prepare: impl AsyncFn(&House) -> S, new: impl Fn(&S) -> NewVolume, has: &[u8]) {
    dies(
        kind,
        prepare,
        async |house, scene| {
            let new = NewVolume { naming: native("born"), ..new(scene) };
            volumes::create(&house.ports, &house.actor, new).await.unwrap();
        },
        async |house, _| {
            if let Some(v) = find(house, "born").await {
                assert_eq!(get(house, v.id).await, has);
            }
        },
    )
    .await;
}

async fn blank(kind: &str) {
    let new = |_: &()| NewVolume { size: Some(MIB), ..Default::default() };
    born(kind, async |_| (), new, &[0; 6]).await;
}

async fn of_a_volume(kind: &str) {
    let from = |v: &Volume| NewVolume { from: From::Volume(v.id), ..Default::default() };
    born(kind, async |house| written(house, "books").await, from, b"before").await;
}

async fn of_a_snapshot(kind: &str) {
    let prepare = async |house: &House| {
        let v = written(house, "books").await;
        let s = taken(house, &v, "one").await;
        put(house, v.id, b"after!").await;
        s
    };
    let from =
        |s: &Snapshot| NewVolume { from: From::Snapshot(s.id), size: Some(2 * MIB), ..Default::default() };
    born(kind, prepare, from, b"before").await;
}

async fn of_a_snapshot_in_another_pool(kind: &str) {
    let prepare = async |house: &House| {
        let v = written(house, "books").await;
        (taken(house, &v, "one").await, second_pool(house).await)
    };
    let from = |(s, pool): &(Snapshot, PoolId)| {
        let place = Place { pool: Some(*pool), ..Default::default() };
        NewVolume { from: From::Snapshot(s.id), place, ..Default::default() }
    };
    born(kind, prepare, from, b"before").await;
}

async fn sealed(kind: &str) {
    let prepare = async |house: &House| {
        let (t, _) = types::create(&house.ports, &house.actor, plain("sealed")).await.unwrap();
        let want = Encryption {
            provider: Some("luks".into()),
            control_location: Some(ControlLocation::BackEnd),
            ..Default::default()
        };
        types::encrypt(&house.ports, &house.actor, t.id, want, true).await.unwrap();
        t.id
    };
    let new = |t: &VolumeTypeId| {
        let place = Place { volume_type: Some(*t), ..Default::default() };
        NewVolume { size: Some(MIB), place, ..Default::default() }
    };
    born(kind, prepare, new, &[0; 6]).await;
}

/// Deletes a volume that has a snapshot if `with`, and looks that what is left is one of `left`: numbers of volumes
/// and snapshots.
async fn gone(kind: &str, with: bool, snapshots: Snapshots, left: [(usize, usize); 2]) {
    dies(
        kind,
        async |house| {
            let v = written(house, "books").await;
            if with {
                taken(house, &v, "one").await;
            }
            v
        },
        async |house, v| {
            let terms = DeleteTerms { snapshots, ..Default::default() };
            volumes::delete(&house.ports, &house.actor, v.id, terms).await.unwrap();
        },
        async |house, _| {
            let all = (rows::<Volume>(house).await, rows::<Snapshot>(house).await);
            assert!(left.contains(&(all.0.len(), all.1.len())), "{all:?}");
            for subject in all.0.iter().map(|v| Subject::from(v.id)).chain(all.1.iter().map(|s| s.id.into()))
            {
                assert_eq!(get(house, subject).await, b"before");
            }
        },
    )
    .await;
}

async fn deleted(kind: &str) {
    gone(kind, false, Snapshots::Refuse, [(1, 0), (0, 0)]).await;
}

async fn deleted_with_its_snapshots(kind: &str) {
    gone(kind, true, Snapshots::Delete, [(1, 1), (0, 0)]).await;
}

async fn deleted_without_its_snapshots(kind: &str) {
    gone(kind, true, Snapshots::Keep, [(1, 1), (0, 1)]).await;
}

async fn resized(kind: &str, from: u64, to: u64, terms: ResizeTerms) {
    dies(
        kind,
        async |house| {
            let v = house.volume("books", from).await;
            put(house, v.id, b"before").await;
            v
        },
        async |house, v| {
            volumes::resize(&house.ports, &house.actor, v.id, to, terms).await.unwrap();
        },
        async |house, v| {
            let now = house.row(v).await;
            assert!(now.size == from || now.size == to);
            let session = house.connect("books", "10.0.0.9").await.unwrap();
            assert_eq!(session.geometry().size, now.size);
            drop(session);
            assert_eq!(get(house, v.id).await, b"before");
        },
    )
    .await;
}

async fn grown(kind: &str) {
    resized(kind, MIB, 2 * MIB, ResizeTerms::default()).await;
}

async fn shrunk(kind: &str) {
    resized(kind, 2 * MIB, MIB, ResizeTerms { allow_shrink: true, ..Default::default() }).await;
}

async fn second_pool(house: &House) -> PoolId {
    let new = NewPool {
        name: "two".into(),
        driver: Driver::Local,
        disks: Vec::new(),
        capacity: None,
        replication: None,
        description: String::new(),
        attributes: Attributes::default(),
    };
    let started = pools::create(&house.ports, &house.actor, new).await.unwrap();
    house.ports.jobs.wait(started.job).await.unwrap();
    started.now.id
}

async fn moved(kind: &str) {
    dies(
        kind,
        async |house| (written(house, "books").await, second_pool(house).await),
        async |house, (v, to)| {
            let terms = MoveTerms { shelve: true };
            volumes::migrate(&house.ports, &house.actor, v.id, *to, terms).await.unwrap();
        },
        async |house, (v, to)| {
            let now = house.row(v).await;
            assert!(now.migration.is_none() == (now.pool != *to), "moved to the end or not begun: {now:?}");
            assert_eq!(get(house, v.id).await, b"before");
        },
    )
    .await;
}

// The snapshot that a backup keeps for the next one was once a reason to refuse, which nobody could see or remove.
async fn moved_after_a_backup(kind: &str) {
    dies(
        kind,
        async |house| {
            let v = written(house, "books").await;
            copies::backed_up(house, copies::of(&v, false, None)).await;
            (v, second_pool(house).await)
        },
        async |house, (v, to)| {
            let terms = MoveTerms { shelve: true };
            volumes::migrate(&house.ports, &house.actor, v.id, *to, terms).await.unwrap();
        },
        async |house, (v, to)| {
            let now = house.row(v).await;
            let kept = rows::<Snapshot>(house).await.len();
            assert_eq!(kept == 0, now.pool == *to, "{now:?}");
            put(house, v.id, b"after!").await;
            let next = copies::backed_up(house, copies::of(v, true, None)).await;
            copies::reads(house, &next, b"after!").await;
        },
    )
    .await;
}

async fn retyped_into_another_pool(kind: &str) {
    dies(
        kind,
        async |house| {
            let v = written(house, "books").await;
            let pool = second_pool(house).await;
            let rules = TypeRules { pool: Some("two".into()), ..Default::default() };
            let t = VolumeType { rules, ..plain("far") };
            (v, pool, types::create(&house.ports, &house.actor, t).await.unwrap().0.id)
        },
        async |house, (v, _, t)| {
            let want = Retype { to: Some(*t), may_move: true };
            volumes::retype(&house.ports, &house.actor, v.id, want).await.unwrap();
        },
        async |house, (v, to, t)| {
            let now = house.row(v).await;
            assert_eq!(now.pool == *to, now.volume_type == Some(*t), "both or neither: {now:?}");
            assert_eq!(get(house, v.id).await, b"before");
        },
    )
    .await;
}

async fn rolled_back(kind: &str) {
    dies(
        kind,
        async |house| {
            let v = written(house, "books").await;
            let s = taken(house, &v, "one").await;
            put(house, v.id, b"after!").await;
            (v, s)
        },
        async |house, (v, s)| {
            let terms = RollbackTerms { force: true, ..Default::default() };
            volumes::rollback(&house.ports, &house.actor, v.id, s.id, terms).await.unwrap();
        },
        async |house, (v, s)| {
            let now = get(house, v.id).await;
            assert!(now == b"before" || now == b"after!", "{now:?}");
            assert_eq!(get(house, s.id).await, b"before");
        },
    )
    .await;
}

async fn frozen(kind: &str) {
    dies(
        kind,
        async |house| written(house, "books").await,
        async |house, v| {
            volumes::freeze(&house.ports, &house.actor, v.id, false).await.unwrap();
        },
        async |house, v| {
            let (volumes, snapshots) = (rows::<Volume>(house).await, rows::<Snapshot>(house).await);
            assert_eq!(volumes.len() + snapshots.len(), 1, "the one or the other");
            let now = snapshots.first().map_or(v.id.into(), |s| Subject::from(s.id));
            assert_eq!(get(house, now).await, b"before");
        },
    )
    .await;
}

async fn flattened(kind: &str) {
    dies(
        kind,
        async |house| {
            let v = written(house, "books").await;
            let from = From::Snapshot(taken(house, &v, "one").await.id);
            let new = NewVolume { naming: native("copy"), from, ..Default::default() };
            let started = volumes::create(&house.ports, &house.actor, new).await.unwrap();
            house.ports.jobs.wait(started.job).await.unwrap();
            started.now
        },
        async |house, v| {
            volumes::rebase(&house.ports, &house.actor, v.id.into(), None).await.unwrap();
        },
        async |house, v| assert_eq!(get(house, v.id).await, b"before"),
    )
    .await;
}

async fn a_snapshot_cut_off(kind: &str) {
    dies(
        kind,
        async |house| {
            let v = written(house, "books").await;
            taken(house, &v, "one").await;
            taken(house, &v, "two").await
        },
        async |house, s| {
            volumes::rebase(&house.ports, &house.actor, s.id.into(), None).await.unwrap();
        },
        async |house, s| assert_eq!(get(house, s.id).await, b"before"),
    )
    .await;
}

// Letting a volume go and taking it over again are single commits, beside the label in the store.
#[tokio::test]
async fn let_go_and_taken_over() {
    let points = at_every_point(
        None,
        async |house| {
            let v = written(house, "books").await;
            copies::backed_up(house, copies::of(&v, false, None)).await;
            v
        },
        async |house, v| {
            let (ports, actor) = (&house.ports, &house.actor);
            volumes::let_loose(ports, actor, v.id, Api::OpenStack, When::default()).await.unwrap();
            let new = Takeover { naming: native("again"), ..Default::default() };
            let reference = v.id.to_string();
            volumes::take_over(ports, actor, v.pool, &reference, Api::OpenStack, new).await.unwrap();
        },
        async |house, v| {
            let now = house.row(v).await;
            assert!(now.name == "books" || (now.name == "again" && now.hidden.is_empty()), "{now:?}");
            assert_eq!(get(house, v.id).await, b"before");
        },
    )
    .await;
    assert!(points >= 4, "{points}");
}
