//! Deaths of the jobs about groups and their snapshots.

use parpen_model::{Backup, Group, GroupId, GroupSnapshotId, GroupSource, Snapshot, Volume, VolumeId};
use parpen_service::groups::{self, Members, NewGroup, NewType, Parts};
use parpen_service::names::Naming;

use super::{copies, deaths, dies, get, rows, written};
use crate::house::House;

deaths! {
    like_a_group of "group-create@1";
    like_a_snapshot_of_one of "group-create@1";
    deleted_with_its_members of "group-delete@1";
    deleted_with_members_that_were_backed_up of "group-delete@1";
    snapshotted of "group-snapshot-create@1";
    a_snapshot_deleted of "group-snapshot-delete@1";
}

fn nameless(_: VolumeId) -> Naming {
    Naming::default()
}

fn parts() -> Parts {
    Parts { naming: |_| Naming::default(), attributes: Default::default(), inherit: |_, _| {} }
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

async fn group_snapshot(house: &House) -> GroupSnapshotId {
    let g = group(house).await;
    let begun = groups::create_snapshot(&house.ports, &house.actor, g, called("now"), parts()).await.unwrap();
    house.ports.jobs.wait(begun.job).await.unwrap();
    begun.now.id
}

/// Makes a group like a source, and looks that the next life has all members of all groups.
async fn made(kind: &str, prepare: impl AsyncFn(&House) -> GroupSource) {
    dies(
        kind,
        prepare,
        async |house, source| {
            let like = Members { naming: nameless, attributes: Default::default(), inherit: |_, _, _| {} };
            groups::create_from(&house.ports, &house.actor, called("like it"), *source, like).await.unwrap();
        },
        async |house, _| {
            for view in groups::list(&house.ports, &house.actor, None).await.unwrap() {
                assert_eq!(view.volumes.len(), 2);
                for v in view.volumes {
                    assert_eq!(get(house, v).await, b"before");
                }
            }
        },
    )
    .await;
}

async fn like_a_group(kind: &str) {
    made(kind, async |house| GroupSource::Group(group(house).await)).await;
}

async fn like_a_snapshot_of_one(kind: &str) {
    made(kind, async |house| GroupSource::Snapshot(group_snapshot(house).await)).await;
}

async fn deleted_with_its_members(kind: &str) {
    dies(
        kind,
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

// The snapshot that a member's backup keeps for the next one was once a reason to refuse.
async fn deleted_with_members_that_were_backed_up(kind: &str) {
    dies(
        kind,
        async |house| {
            let g = group(house).await;
            for v in rows::<Volume>(house).await {
                copies::backed_up(house, copies::of(&v, false, None)).await;
            }
            g
        },
        async |house, g| {
            groups::delete(&house.ports, &house.actor, *g, true).await.unwrap();
        },
        async |house, _| {
            let left = (rows::<Group>(house).await.len(), rows::<Volume>(house).await.len());
            assert!(left == (1, 2) || left == (0, 0), "all or none: {left:?}");
            assert_eq!(rows::<Snapshot>(house).await.len(), left.1);
            for b in rows::<Backup>(house).await {
                copies::reads(house, &b, b"before").await;
            }
        },
    )
    .await;
}

async fn all_parts_or_none(house: &House) {
    let whole = groups::list_snapshots(&house.ports, &house.actor, None).await.unwrap();
    let parts = rows::<Snapshot>(house).await;
    assert_eq!(parts.len(), 2 * whole.len(), "all parts or none");
    for s in parts {
        assert_eq!(get(house, s.id).await, b"before");
    }
}

async fn snapshotted(kind: &str) {
    dies(
        kind,
        group,
        async |house, g| {
            groups::create_snapshot(&house.ports, &house.actor, *g, called("now"), parts()).await.unwrap();
        },
        async |house, _| all_parts_or_none(house).await,
    )
    .await;
}

async fn a_snapshot_deleted(kind: &str) {
    dies(
        kind,
        group_snapshot,
        async |house, gs| {
            groups::delete_snapshot(&house.ports, &house.actor, *gs).await.unwrap();
        },
        async |house, _| all_parts_or_none(house).await,
    )
    .await;
}
