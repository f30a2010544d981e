//! Ceilings hold at every moment, whoever comes at once.

use parpen_base::GIB;
use parpen_model::{Among, Condition, Counted, Volume};
use parpen_service::quotas::{self, Limit};
use parpen_service::snapshots::{self, NewSnapshot};
use parpen_service::volumes::{self, DeleteTerms, From, NewVolume, ResizeTerms};

use super::house::{Disk, House, native};

fn limit(counted: Counted, limit: u64) -> Limit {
    Limit { counted, among: Among::All, limit: Some(limit) }
}

async fn set(house: &House, new: Vec<Limit>) {
    quotas::set_project(&house.ports, &house.actor, house.actor.project, new).await.unwrap();
}

fn over(result: Result<impl Sized, Condition>) -> String {
    match result {
        Err(Condition::QuotaExceeded { what, limit, used, asked }) => {
            format!("{what} {used}+{asked}>{limit}")
        }
        Err(other) => panic!("refused for another reason: {other:?}"),
        Ok(_) => panic!("it was admitted"),
    }
}

async fn create(house: &House, name: &str, bytes: u64) -> Result<Volume, Condition> {
    let new = NewVolume { naming: native(name), size: Some(bytes), ..Default::default() };
    let started = volumes::create(&house.ports, &house.actor, new).await?;
    house.ports.jobs.wait(started.job).await?;
    Ok(house.row(&started.now).await)
}

#[tokio::test]
async fn volumes_snapshots_and_sizes_are_counted_together_as_rows_come_and_go() {
    let house = Disk::new().start().await;
    set(&house, vec![limit(Counted::Volumes, 2), limit(Counted::Gigabytes, 5), limit(Counted::Snapshots, 1)])
        .await;
    let v = create(&house, "one", GIB + 1).await.unwrap(); // counts as two
    let s = |name: &str| NewSnapshot { naming: native(name), ..Default::default() };
    let first = snapshots::create(&house.ports, &house.actor, v.id, s("s")).await.unwrap(); // and two more
    house.ports.jobs.wait(first.job).await.unwrap();
    let second = snapshots::create(&house.ports, &house.actor, v.id, s("t")).await;
    assert_eq!(over(second), "gigabytes 4+2>5", "sizes are looked at before numbers");
    assert_eq!(over(create(&house, "large", 2 * GIB).await), "gigabytes 4+2>5");
    let grow = volumes::resize(&house.ports, &house.actor, v.id, 4 * GIB, ResizeTerms::default()).await;
    assert_eq!(over(grow), "gigabytes 4+2>5");
    create(&house, "two", GIB).await.unwrap();
    set(&house, vec![limit(Counted::Gigabytes, 100)]).await;
    assert_eq!(over(create(&house, "three", GIB).await), "volumes 2+1>2");
    let clone = NewVolume { naming: native("c"), from: From::Volume(v.id), ..Default::default() };
    let refused = volumes::create(&house.ports, &house.actor, clone).await;
    assert_eq!(over(refused), "volumes 2+1>2", "a copy is a volume too");
    let gone = volumes::delete(
        &house.ports,
        &house.actor,
        v.id,
        DeleteTerms { snapshots: volumes::Snapshots::Delete, ..Default::default() },
    );
    house.ports.jobs.wait(gone.await.unwrap().job).await.unwrap();
    create(&house, "three", GIB).await.unwrap();
    let used = quotas::of_project(&house.ports, &house.actor, house.actor.project).await.unwrap();
    let figure = |c| used[&(c, Among::All)].figure.in_use;
    assert_eq!([Counted::Volumes, Counted::Gigabytes, Counted::Snapshots].map(figure), [2, 2, 0]);
}

#[tokio::test]
async fn a_growing_volume_counts_with_its_new_size_before_it_has_it() {
    let disk = Disk::new();
    let house = disk.start().await;
    let v = create(&house, "one", GIB).await.unwrap();
    set(&house, vec![limit(Counted::Gigabytes, 5), limit(Counted::VolumeSize, 4)]).await;
    house.kill();
    let house = disk.start_with(false).await; // the job of the resize never runs
    let terms = ResizeTerms::default();
    let large = volumes::resize(&house.ports, &house.actor, v.id, 5 * GIB, terms).await;
    assert_eq!(over(large), "per_volume_gigabytes 0+5>4");
    volumes::resize(&house.ports, &house.actor, v.id, 4 * GIB, terms).await.unwrap();
    let used = quotas::usage(&house.ports, &house.actor, house.actor.project, Counted::Gigabytes).await;
    let figure = used.unwrap().figure;
    assert_eq!((figure.in_use, figure.reserved), (1, 3));
    let new = NewVolume { naming: native("two"), size: Some(2 * GIB), ..Default::default() };
    assert_eq!(over(volumes::create(&house.ports, &house.actor, new).await), "gigabytes 4+2>5");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_at_once_never_pass_a_ceiling() {
    let house = std::sync::Arc::new(Disk::new().start().await);
    set(&house, vec![limit(Counted::Volumes, 7), limit(Counted::Gigabytes, 9)]).await;
    let one = |n: usize| {
        let house = house.clone();
        async move {
            let made =
                create(&house, &format!("v{n}"), if n.is_multiple_of(2) { GIB } else { 2 * GIB }).await;
            match made {
                // Half of those that come go again, so that room is made and taken all the time.
                Ok(v) if n % 4 < 2 => {
                    let gone =
                        volumes::delete(&house.ports, &house.actor, v.id, DeleteTerms::default()).await;
                    house.ports.jobs.wait(gone.unwrap().job).await.unwrap();
                }
                Ok(_) => {}
                Err(refused) => drop(over(Err::<(), _>(refused))),
            }
            let used = quotas::of_project(&house.ports, &house.actor, house.actor.project).await.unwrap();
            for (what, ceiling) in [(Counted::Volumes, 7), (Counted::Gigabytes, 9)] {
                assert!(used[&(what, Among::All)].figure.in_use <= ceiling, "{what:?}");
            }
        }
    };
    let all: Vec<_> = (0..50).map(|n| tokio::spawn(one(n))).collect();
    for task in all {
        task.await.unwrap();
    }
    let rows = volumes::list(&house.ports, &house.actor, volumes::Filter::default()).await.unwrap();
    let used = quotas::of_project(&house.ports, &house.actor, house.actor.project).await.unwrap();
    assert_eq!(used[&(Counted::Volumes, Among::All)].figure.in_use, rows.len() as u64);
    let sizes: u64 = rows.iter().map(|v| v.volume.size / GIB).sum();
    assert_eq!(used[&(Counted::Gigabytes, Among::All)].figure.in_use, sizes);
}

#[tokio::test]
async fn the_default_class_holds_until_a_project_has_its_own() {
    let house = Disk::new().start().await;
    let (ports, actor) = (&house.ports, &house.actor);
    quotas::set_class(ports, actor, "default", vec![limit(Counted::Volumes, 1)]).await.unwrap();
    create(&house, "one", GIB).await.unwrap();
    assert_eq!(over(create(&house, "two", GIB).await), "volumes 1+1>1");
    let any = Limit { limit: None, ..limit(Counted::Volumes, 0) };
    quotas::set_project(ports, actor, actor.project, vec![any]).await.unwrap();
    create(&house, "two", GIB).await.unwrap();
    let below = quotas::set_project(ports, actor, actor.project, vec![limit(Counted::Volumes, 1)]).await;
    assert_eq!(over(below), "volumes 2+0>1", "not below what there is");
    quotas::reset(ports, actor, actor.project).await.unwrap();
    assert_eq!(over(create(&house, "three", GIB).await), "volumes 2+1>1");
}
