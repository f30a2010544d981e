//! Disks: the rows follow what the stores take, and nothing else.

use parpen_base::{GIB, MIB};
use parpen_model::{
    Condition, Disk as Medium, DiskState, DiskVerb, Driver, Pool, PoolHealth, Scope, Scrubbed, Upkeep, read,
};
use parpen_service::pools::NewDisk;
use parpen_service::volumes::{self, DeleteTerms};
use parpen_service::{alarms, capacity, disks, pools};

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

#[tokio::test]
async fn a_disk_that_the_store_knows_gets_its_own_number_back() {
    // A database that was put back lacked the row of disk 6: as number 4 it would have been one that is not there.
    let disk = Disk::new();
    let house = disk.start().await;
    let pool_id = pool(&house).await.id;
    disk.shown().lock().unwrap().known = vec![("/dev/six".into(), 6), ("/dev/two".into(), 2)];
    let add = |path| disks::add(&house.ports, &house.actor, pool_id, NewDisk::at(path), Some(GIB));
    let added = add("/dev/six").await.unwrap();
    house.ports.jobs.wait(added.job).await.unwrap();
    assert_eq!((added.now.number, numbers(&pool(&house).await)), (6, vec![1, 2, 3, 6]));
    let refused = add("/dev/two").await;
    assert!(matches!(refused, Err(Condition::Conflict(why)) if why.contains("disk return 2")));
    assert_eq!(numbers(&pool(&house).await), [1, 2, 3, 6]);
    assert_eq!(add("/dev/new").await.unwrap().now.number, 4);
    house.kill();
}

#[tokio::test]
async fn rows_follow_disks_that_changed_their_names_before_one_is_forgotten() {
    let disk = Disk::new();
    let house = disk.start().await;
    let before = pool(&house).await.disks;
    let mut found = before.clone();
    (found[0].path, found[1].path) = (before[1].path.clone(), before[0].path.clone());
    disk.shown().lock().unwrap().found = found.clone();
    let job = disks::change(&house.ports, &house.actor, 2, DiskVerb::Forget).await.unwrap().job;
    house.ports.jobs.wait(job).await.unwrap();
    assert_eq!(pool(&house).await.disks, [found[0].clone(), found[2].clone()]);
    house.kill();
}

/// A disk as its store shows it, half full.
pub fn medium(pool: &Pool, id: u16, state: DiskState) -> Medium {
    let there = state.is_there();
    Medium {
        id,
        uuid: uuid::Uuid::from_u128(u128::from(id)),
        pool: pool.id,
        path: format!("/dev/{id}"),
        description: String::new(),
        ssd: false,
        state,
        fault: None,
        size: 10 * GIB,
        used: if there { 5 * GIB } else { 0 },
        free: if there { 5 * GIB } else { 0 },
        stored: if there { 4 * GIB } else { 0 },
        ignored: false,
        objects: 0,
        objects_max: 0,
        entries: 0,
        entries_max: 0,
        group_size: GIB,
        scrub: Scrubbed::default(),
    }
}

async fn alarms(house: &House) -> Vec<String> {
    let all = alarms::list(&house.ports, &house.actor).await.unwrap();
    assert_eq!(house.ports.alarms.current(), all);
    all.into_iter().map(|a| a.id).collect()
}

#[tokio::test]
async fn an_ignored_disk_is_not_counted_until_it_is_whole_again() {
    use DiskState::{Absent, Resyncing, Up};
    let disk = Disk::new();
    let house = disk.start().await;
    let (ports, actor) = (&house.ports, &house.actor);
    let p = pool(&house).await;
    let show = |state| {
        let all = vec![medium(&p, 1, Up), medium(&p, 2, state), medium(&p, 3, Up)];
        disk.shown().lock().unwrap().disks = all;
    };
    show(Up);
    let refused = disks::ignore(ports, actor, 2, true).await;
    assert!(matches!(refused, Err(Condition::Conflict(why)) if why.contains("eject it first")));
    assert!(matches!(disks::ignore(ports, actor, 9, true).await, Err(Condition::NotFound { .. })));
    assert_eq!(alarms(&house).await, Vec::<String>::new());

    show(Absent);
    assert_eq!(alarms(&house).await, ["disk-away:2"]);
    disks::ignore(ports, actor, 2, true).await.unwrap();
    assert!(disks::get(ports, actor, 2).await.unwrap().ignored);
    assert_eq!(alarms(&house).await, Vec::<String>::new());
    assert_eq!(disk.shown().lock().unwrap().left_out, [2]);
    assert!(pool(&house).await.disks[1].ignored, "a restart does not change it");
    disks::ignore(ports, actor, 2, false).await.unwrap();
    assert_eq!(alarms(&house).await, ["disk-away:2"]);
    assert!(disk.shown().lock().unwrap().left_out.is_empty());

    disks::ignore(ports, actor, 2, true).await.unwrap();
    show(Resyncing);
    alarms(&house).await;
    assert!(disks::get(ports, actor, 2).await.unwrap().ignored, "it is not whole yet");
    show(Up);
    alarms(&house).await;
    assert!(!disks::get(ports, actor, 2).await.unwrap().ignored);
    show(Absent);
    assert_eq!(alarms(&house).await, ["disk-away:2"], "it is another time that it is away");
    house.kill();
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_disk_goes_on_when_all_serve_again() {
    let disk = Disk::new();
    let house = disk.start().await;
    let (ports, actor) = (&house.ports, &house.actor);
    let (p, v) = (pool(&house).await, house.volume("back", MIB).await);
    let show = |state| disk.shown().lock().unwrap().disks = vec![medium(&p, 1, state)];
    // Longer than any step is tried again.
    disk.faults().lock().unwrap().extend(["delete away"; 8]);
    show(DiskState::Absent);
    let job = volumes::delete(ports, actor, v.id, DeleteTerms::default()).await.unwrap().job;
    assert!(ports.jobs.wait(job).await.is_err());
    for state in [DiskState::Absent, DiskState::Resyncing] {
        show(state);
        alarms(&house).await;
        for _ in 0..200 {
            assert!(!ports.jobs.get(actor, job).await.unwrap().is_final(), "{state:?}");
        }
    }
    show(DiskState::Up);
    alarms(&house).await;
    let mut looks = 0;
    while !ports.jobs.get(actor, job).await.unwrap().is_final() {
        looks += 1;
        assert!(looks < 20_000, "nobody takes it up");
    }
    assert!(volumes::list(ports, actor, Default::default()).await.unwrap().is_empty());
    house.kill();
}

#[tokio::test]
async fn what_objects_are_short_of_is_asked_of_the_store() {
    let disk = Disk::new();
    let house = disk.start().await;
    let p = pool(&house).await;
    disk.shown().lock().unwrap().disks = vec![medium(&p, 1, DiskState::Up)];
    disk.shown().lock().unwrap().health = PoolHealth { objects: 9, short: 2, away: 0, lost: 1 };
    assert_eq!(alarms(&house).await, ["data-lost:local", "objects-short:local"]);
    house.kill();
}

fn copied(copies: u8) -> pools::Edit {
    pools::Edit { replication: Some(copies), ..pools::Edit::default() }
}

#[tokio::test]
async fn what_a_pool_does_by_itself_is_kept_and_its_store_hears_it() {
    let disk = Disk::new();
    let house = disk.start().await;
    let (ports, actor) = (&house.ports, &house.actor);
    let p = pool(&house).await;
    assert_eq!(p.upkeep, Upkeep { relocate: true, balance: false });
    let edit = pools::Edit { relocate: Some(false), ..pools::Edit::default() };
    let (_, job) = pools::edit(ports, actor, p.id, edit).await.unwrap();
    ports.jobs.wait(job.unwrap()).await.unwrap();
    let both = pools::Edit { balance: Some(true), description: Some("d".into()), ..pools::Edit::default() };
    let (now, job) = pools::edit(ports, actor, p.id, both).await.unwrap();
    ports.jobs.wait(job.unwrap()).await.unwrap();
    assert_eq!(now.upkeep, Upkeep { relocate: false, balance: true });
    assert_eq!((pool(&house).await.upkeep, pool(&house).await.description), (now.upkeep, "d".into()));
    let heard = [false, true].map(|balance| format!("keep up {:?}", Upkeep { relocate: false, balance }));
    assert_eq!(disk.said(), heard);
    let words = pools::Edit { description: Some("e".into()), ..pools::Edit::default() };
    assert!(pools::edit(ports, actor, p.id, words).await.unwrap().1.is_none(), "words are no job");
    house.kill();
}

#[tokio::test]
async fn a_pool_without_disks_does_nothing_by_itself() {
    let house = Disk::new().start().await;
    let (ports, actor) = (&house.ports, &house.actor);
    let new = pools::NewPool {
        name: "quick".into(),
        driver: Driver::Memory,
        disks: Vec::new(),
        capacity: Some(GIB),
        replication: None,
        description: "as made".into(),
        attributes: Default::default(),
    };
    let made = pools::create(ports, actor, new).await.unwrap();
    ports.jobs.wait(made.job).await.unwrap();
    let edit =
        pools::Edit { balance: Some(true), description: Some("other".into()), ..pools::Edit::default() };
    let refused = pools::edit(ports, actor, made.now.id, edit).await;
    assert!(matches!(refused, Err(Condition::Unsupported(_))), "{refused:?}");
    assert_eq!(pools::get(ports, actor, "quick").await.unwrap().description, "as made");
    house.kill();
}

#[tokio::test]
async fn a_pool_tells_what_its_copies_leave() {
    let disk = Disk::new();
    let house = disk.start().await;
    let (ports, actor) = (&house.ports, &house.actor);
    let p = pool(&house).await;
    disk.shown().lock().unwrap().disks = (1..=3).map(|n| medium(&p, n, DiskState::Up)).collect();
    let once = capacity::of(ports, actor, &p).await.unwrap();
    assert_eq!((once.copies, once.usable, once.usable_free), (1, 30 * GIB, 15 * GIB));
    assert_eq!(once.stored, 12 * GIB);
    for (copies, usable) in [(2, 15), (3, 10)] {
        let (p, _) = pools::edit(ports, actor, p.id, copied(copies)).await.unwrap();
        let room = capacity::of(ports, actor, &p).await.unwrap();
        assert_eq!((room.copies, room.usable), (copies, usable * GIB));
    }
    for wrong in [0, 4] {
        let refused = pools::edit(ports, actor, p.id, copied(wrong)).await;
        assert!(matches!(refused, Err(Condition::Invalid { .. })), "{wrong}");
    }
    house.kill();
}
