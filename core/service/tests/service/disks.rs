//! Disks: the rows follow what the stores take, and nothing else.

use parpen_base::GIB;
use parpen_model::{Condition, DiskVerb, Pool, Scope, read};
use parpen_service::disks;
use parpen_service::pools::NewDisk;

use super::house::{Disk, House};

async fn pool(house: &House) -> Pool {
    read(&*house.ports.meta, |tx| tx.get_text(Scope::All, "pool", "local")).await.unwrap()
}

fn numbers(pool: &Pool) -> Vec<u16> {
    pool.disks.iter().map(|d| d.number).collect()
}

#[tokio::test]
async fn a_disk_comes_and_goes_with_its_row() {
    let disk = Disk::new();
    let house = disk.start().await;
    let before = pool(&house).await;
    let new = NewDisk { path: Some("/dev/more".into()), ssd: Some(false), description: "more".into() };
    let added = disks::add(&house.ports, &house.actor, before.id, new.clone(), Some(GIB)).await.unwrap();
    house.ports.jobs.wait(added.job).await.unwrap();
    let grown = pool(&house).await;
    assert_eq!(numbers(&grown), [1, 2, 3, 4]);
    assert_eq!(grown.capacity, before.capacity + GIB);
    let twice = disks::add(&house.ports, &house.actor, before.id, new, Some(GIB)).await;
    assert!(matches!(twice, Err(Condition::Exists { .. })), "one file is one disk");

    disks::describe(&house.ports, &house.actor, 4, "the fourth").await.unwrap();
    assert_eq!(pool(&house).await.disks[3].description, "the fourth");
    for verb in [DiskVerb::SoftEject, DiskVerb::Forget] {
        let job = disks::change(&house.ports, &house.actor, 4, verb).await.unwrap().job;
        house.ports.jobs.wait(job).await.unwrap();
    }
    assert_eq!((numbers(&pool(&house).await), pool(&house).await.capacity), (vec![1, 2, 3], before.capacity));
    assert_eq!(disk.said(), ["add 4 /dev/more", "change 4 SoftEject", "change 4 Forget"]);
    let again = disks::add(&house.ports, &house.actor, before.id, NewDisk::at("/dev/again"), Some(GIB)).await;
    assert_eq!(again.unwrap().now.number, 5, "a number is spent for ever");
    let gone = disks::change(&house.ports, &house.actor, 4, DiskVerb::Eject).await;
    assert!(matches!(gone, Err(Condition::NotFound { .. })));
    house.kill();
}

#[tokio::test]
async fn a_disk_that_is_not_taken_leaves_no_row_and_one_that_is_held_stays() {
    let disk = Disk::new();
    let house = disk.start().await;
    let before = pool(&house).await;
    disk.faults().lock().unwrap().extend(["add", "change"]);
    let new = NewDisk::at("/dev/refused");
    let added = disks::add(&house.ports, &house.actor, before.id, new, Some(GIB)).await.unwrap();
    assert!(house.ports.jobs.wait(added.job).await.is_err());
    assert_eq!(pool(&house).await.disks, before.disks);
    let job = disks::change(&house.ports, &house.actor, 1, DiskVerb::Forget).await.unwrap().job;
    assert!(house.ports.jobs.wait(job).await.is_err(), "it holds the only copy");
    assert_eq!(numbers(&pool(&house).await), [1, 2, 3]);
    house.kill();
}
