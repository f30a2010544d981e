//! Deaths of the jobs about pools and their disks.

use parpen_base::GIB;
use parpen_model::{BalanceVerb, DiskVerb, Driver, Pool};
use parpen_service::pools::{self, NewDisk, NewPool};
use parpen_service::{disks, volumes};

use super::{deaths, dies, get, put, rows};
use crate::house::{House, native};

deaths! {
    made of "pool-create@1";
    removed of "pool-delete@1";
    given_a_disk of "disk-add@1";
    a_disk_emptied of "disk-change@1";
    a_disk_forgotten of "disk-change@1";
    balanced of "pool-balance@1";
    told_what_to_do of "pool-upkeep@1";
}

fn second() -> NewPool {
    NewPool {
        name: "two".into(),
        driver: Driver::Local,
        disks: Vec::new(),
        capacity: None,
        replication: None,
        description: String::new(),
        attributes: Default::default(),
    }
}

async fn pool(house: &House, name: &str) -> Option<Pool> {
    rows::<Pool>(house).await.into_iter().find(|p| p.name == name)
}

async fn local(house: &House) -> Pool {
    pool(house, "local").await.unwrap()
}

async fn made(kind: &str) {
    dies(
        kind,
        async |_| (),
        async |house, _| {
            pools::create(&house.ports, &house.actor, second()).await.unwrap();
        },
        async |house, _| {
            // What is there can be used at once, and what is not can be made.
            if pool(house, "two").await.is_none() {
                let job = pools::create(&house.ports, &house.actor, second()).await.unwrap().job;
                house.ports.jobs.wait(job).await.unwrap();
            }
            let place = volumes::Place { pool: pool(house, "two").await.map(|p| p.id), ..Default::default() };
            let new =
                volumes::NewVolume { naming: native("v"), size: Some(1 << 20), place, ..Default::default() };
            let v = volumes::create(&house.ports, &house.actor, new).await.unwrap();
            house.ports.jobs.wait(v.job).await.unwrap();
            put(house, v.now.id, b"before").await;
            assert_eq!(get(house, v.now.id).await, b"before");
        },
    )
    .await;
}

async fn removed(kind: &str) {
    dies(
        kind,
        async |house| {
            let made = pools::create(&house.ports, &house.actor, second()).await.unwrap();
            house.ports.jobs.wait(made.job).await.unwrap();
            made.now.id
        },
        async |house, id| {
            pools::delete(&house.ports, &house.actor, *id).await.unwrap();
        },
        async |house, _| {
            // Its name is free again, or it is there as before.
            let there = pool(house, "two").await.is_some();
            let again = pools::create(&house.ports, &house.actor, second()).await;
            assert_eq!(again.is_err(), there);
            if let Ok(again) = again {
                house.ports.jobs.wait(again.job).await.unwrap();
            }
        },
    )
    .await;
}

fn fourth() -> NewDisk {
    NewDisk::at("/dev/more")
}

async fn given_a_disk(kind: &str) {
    dies(
        kind,
        async |house| local(house).await,
        async |house, before| {
            disks::add(&house.ports, &house.actor, before.id, fourth(), Some(GIB)).await.unwrap();
        },
        async |house, before| {
            let now = local(house).await;
            let more = now.disks.len() - before.disks.len();
            assert!(more <= 1, "{now:?}");
            assert_eq!(now.capacity, before.capacity + more as u64 * GIB, "the row has it whole or not");
        },
    )
    .await;
}

/// Says something of a fourth disk, and looks that the row follows.
async fn said(kind: &str, verb: DiskVerb) {
    dies(
        kind,
        async |house| {
            let pool = local(house).await.id;
            let added = disks::add(&house.ports, &house.actor, pool, fourth(), Some(GIB)).await.unwrap();
            house.ports.jobs.wait(added.job).await.unwrap();
            local(house).await
        },
        async |house, _| {
            disks::change(&house.ports, &house.actor, 4, verb).await.unwrap();
        },
        async |house, before| {
            let now = local(house).await;
            let gone = now.disks.len() < before.disks.len();
            assert!(!gone || verb == DiskVerb::Forget, "{now:?}");
            assert_eq!(now.spent, if gone { vec![4] } else { Vec::new() }, "{now:?}");
            assert_eq!(now.capacity, now.disks.iter().map(|d| d.capacity).sum::<u64>());
        },
    )
    .await;
}

async fn a_disk_emptied(kind: &str) {
    said(kind, DiskVerb::SoftEject).await;
}

async fn a_disk_forgotten(kind: &str) {
    said(kind, DiskVerb::Forget).await;
}

async fn balanced(kind: &str) {
    dies(
        kind,
        async |house| local(house).await,
        async |house, pool| {
            disks::rebalance(&house.ports, &house.actor, pool.id, BalanceVerb::Commit).await.unwrap();
        },
        async |house, before| assert_eq!(local(house).await.disks, before.disks),
    )
    .await;
}

async fn told_what_to_do(kind: &str) {
    dies(
        kind,
        async |house| local(house).await,
        async |house, pool| {
            let edit = pools::Edit { relocate: Some(false), ..pools::Edit::default() };
            pools::edit(&house.ports, &house.actor, pool.id, edit).await.unwrap();
        },
        async |house, before| {
            let now = local(house).await;
            // Where it was not written down it is not so.
            assert!(now.upkeep == before.upkeep || !now.upkeep.relocate, "{now:?}");
            assert_eq!(now.disks, before.disks);
        },
    )
    .await;
}
