//! Deaths of the jobs about snapshots.

use parpen_model::{Condition, Kind, ProjectId, Snapshot};
use parpen_service::snapshots::{self, NewSnapshot};
use parpen_service::transfers::{self, Offer};
use parpen_service::volumes::{self, DeleteTerms, From, NewVolume};
use uuid::Uuid;

use super::{at_every_point, deaths, dies, find, get, put, rows, taken, written};
use crate::house::native;

deaths! {
    one of "snapshot-create@1";
    several_at_once of "snapshot-create@1";
    deleted of "snapshot-delete@1";
    deleted_under_a_clone of "snapshot-delete@1";
    bound_to_what_grew_from_it of "snapshot-delete@1";
}

async fn one(kind: &str) {
    dies(
        kind,
        async |house| written(house, "books").await,
        async |house, v| {
            let new = NewSnapshot { naming: native("one"), ..Default::default() };
            snapshots::create(&house.ports, &house.actor, v.id, new).await.unwrap();
        },
        async |house, _| {
            for s in rows::<Snapshot>(house).await {
                assert_eq!(get(house, s.id).await, b"before");
            }
        },
    )
    .await;
}

async fn several_at_once(kind: &str) {
    dies(
        kind,
        async |house| [written(house, "one").await, written(house, "two").await],
        async |house, all| {
            let new = |n: &str| NewSnapshot { naming: native(n), ..Default::default() };
            let wanted = vec![(all[0].id, new("a")), (all[1].id, new("b"))];
            snapshots::group(&house.ports, &house.actor, wanted).await.unwrap();
        },
        async |house, _| {
            let all = rows::<Snapshot>(house).await;
            assert!(all.is_empty() || all.len() == 2, "{all:?}");
            for s in all {
                assert_eq!(get(house, s.id).await, b"before");
            }
        },
    )
    .await;
}

async fn deleted(kind: &str) {
    dies(
        kind,
        async |house| {
            let v = written(house, "books").await;
            (taken(house, &v, "one").await, v)
        },
        async |house, (s, _)| {
            snapshots::delete(&house.ports, &house.actor, s.id, Default::default()).await.unwrap();
        },
        async |house, (_, v)| assert_eq!(get(house, v.id).await, b"before"),
    )
    .await;
}

async fn deleted_under_a_clone(kind: &str) {
    dies(
        kind,
        async |house| {
            let v = written(house, "books").await;
            let s = taken(house, &v, "one").await;
            put(house, v.id, b"after!").await;
            let new = NewVolume { naming: native("c"), from: From::Snapshot(s.id), ..Default::default() };
            let copy = volumes::create(&house.ports, &house.actor, new).await.unwrap();
            house.ports.jobs.wait(copy.job).await.unwrap();
            (s, v, copy.now)
        },
        async |house, (s, _, _)| {
            snapshots::delete(&house.ports, &house.actor, s.id, Default::default()).await.unwrap();
        },
        async |house, (_, v, copy)| {
            assert_eq!(get(house, v.id).await, b"after!");
            assert_eq!(get(house, copy.id).await, b"before");
        },
    )
    .await;
}

// It goes by a job of its own, which the end of another one begins.
async fn bound_to_what_grew_from_it(kind: &str) {
    dies(
        kind,
        async |house| {
            let v = written(house, "books").await;
            let new = NewSnapshot { naming: native("bound"), bound: true, ..Default::default() };
            let s = snapshots::create(&house.ports, &house.actor, v.id, new).await.unwrap();
            house.ports.jobs.wait(s.job).await.unwrap();
            let from = From::Snapshot(s.now.id);
            let new = NewVolume { naming: native("c"), from, ..Default::default() };
            let copy = volumes::create(&house.ports, &house.actor, new).await.unwrap();
            house.ports.jobs.wait(copy.job).await.unwrap();
            let cut = volumes::rebase(&house.ports, &house.actor, v.id.into(), None).await.unwrap();
            house.ports.jobs.wait(cut.job).await.unwrap();
            copy.now
        },
        async |house, copy| {
            volumes::delete(&house.ports, &house.actor, copy.id, DeleteTerms::default()).await.unwrap();
        },
        async |house, copy| {
            // It stays as long as the clone does, and goes after it without being asked for.
            while rows::<Snapshot>(house).await.len() != usize::from(find(house, "c").await.is_some()) {
                tokio::task::yield_now().await;
            }
            if find(house, "c").await.is_some() {
                assert_eq!(get(house, copy.id).await, b"before");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn taking_an_offered_volume_is_one_commit() {
    let receiver = ProjectId(Uuid::from_u128(5));
    let points = at_every_point(
        None,
        async |house| {
            let v = written(house, "books").await;
            taken(house, &v, "one").await;
            v
        },
        async |house, v| {
            let offer = Offer { volume: v.id, name: None, without_snapshots: false, encrypted: false };
            let offered = transfers::create(&house.ports, &house.actor, offer).await.unwrap();
            let mut other = house.actor.clone();
            other.project = receiver;
            let (id, key) = (offered.transfer.id, offered.key);
            transfers::accept(&house.ports, &other, id, &key, Box::new(|_| ())).await.unwrap();
        },
        async |house, v| {
            let now = house.row(v).await;
            let snapshot = rows::<Snapshot>(house).await.remove(0);
            assert_eq!(snapshot.project, now.project);
            let offers = transfers::list(&house.ports, &house.actor, None).await.unwrap();
            assert_eq!(now.declared.is_some(), offers.len() == 1, "it is on offer or it is not: {now:?}");
            assert!(now.project != receiver || offers.is_empty());
            for offer in offers {
                transfers::delete(&house.ports, &house.actor, offer.id).await.unwrap();
                let gone = transfers::get(&house.ports, &house.actor, offer.id).await;
                assert!(matches!(gone, Err(Condition::NotFound { what: Kind::Transfer, .. })));
            }
        },
    )
    .await;
    assert_eq!(points, 6, "an offer is a commit, and so is taking it; then its label is renewed");
}
