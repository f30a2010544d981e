//! A process that dies at every point of every kind of job: before and after each commit and each verb of a store, and
//! once more while the next life takes the work up. The last life ends every job, leaves nothing half done in rows,
//! stores, backups and images, and has the right bytes.

mod attachments;
pub(super) mod copies;
mod groups;
mod pools;
mod snapshots;
mod volumes;

use std::collections::BTreeSet;

use parpen_base::{Buf, MIB};
use parpen_block::Remote;
use parpen_model::lifecycle::{AttachState, BackupState, ImageState, Life, Migration, Standing};
use parpen_model::{
    Attachment, Backup, Counted, Group, GroupSnapshot, Image, JobState, Noun, Pin, Pool, Query, Scope,
    Snapshot, Subject, Volume, read,
};
use parpen_service::snapshots::NewSnapshot;
use parpen_service::{access, data, jobs, quotas};

use super::house::{Disk, House, native};

/// More points than any of these jobs has.
const MANY: i64 = 200;
/// The second death comes at one of so many points of the second life, another each time.
const AGAIN: i64 = 7;

/// Names the tests of a file and the kind of job whose every point each of them dies at.
macro_rules! deaths {
    ($($test:ident of $kind:literal;)*) => {
        /// The kinds of jobs that die here.
        pub(super) const KINDS: &[&str] = &[$($kind),*];
        mod deaths {
            $(#[tokio::test]
            async fn $test() {
                super::$test($kind).await;
            })*
        }
    };
}
use deaths;

#[test]
fn every_kind_of_job_dies_at_every_point_somewhere() {
    let files =
        [attachments::KINDS, copies::KINDS, groups::KINDS, pools::KINDS, snapshots::KINDS, volumes::KINDS];
    let dying: BTreeSet<&str> = files.into_iter().flatten().copied().collect();
    assert_eq!(dying, jobs::kinds().collect(), "kinds of jobs that die in these files, and those there are");
}

/// Waits until no job is left that is not over, and none is to come: bound snapshots go by jobs that begin by themselves.
async fn settled(house: &House) {
    loop {
        for job in house.ports.jobs.list(&house.actor).await.unwrap().iter().filter(|j| !j.is_final()) {
            // A job that fails is over too; what became of its rows is what the test looks at.
            let _ = house.ports.jobs.wait(job.id).await;
        }
        let volumes: Vec<Volume> = rows(house).await;
        let needless = |s: &Snapshot| s.bound && volumes.iter().all(|v| v.parent != Some(s.id));
        let open = house.ports.jobs.list(&house.actor).await.unwrap().iter().any(|j| !j.is_final());
        if !open && !rows::<Snapshot>(house).await.iter().any(needless) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// One more life that may die, too.
async fn life(disk: &Disk, points: i64) {
    disk.life.arm(points);
    let whole = async {
        let house = disk.start().await;
        settled(&house).await;
    };
    tokio::select! {
        _ = whole => {}
        _ = disk.life.died() => {}
    }
    disk.life.revive();
}

/// Runs `act` on what `prepare` made, dies at the first point, then at the second and so on until it gets through, and
/// lets `check` look at the next life each time: the second life, and the third when the second died as well. Answers
/// how many points there were. `kind` is the kind of job that it is about, where there is one.
async fn at_every_point<S>(
    kind: Option<&str>,
    prepare: impl AsyncFn(&House) -> S,
    act: impl AsyncFn(&House, &S),
    check: impl AsyncFn(&House, &S),
) -> i64 {
    for n in 0..MANY {
        let mut died = false;
        let twice = (n % 3 == 0).then_some(Some(n % AGAIN));
        for again in std::iter::once(None).chain(twice) {
            let disk = Disk::new();
            let house = disk.start().await;
            let scene = prepare(&house).await;
            disk.life.arm(n);
            let whole = async {
                act(&house, &scene).await;
                settled(&house).await;
            };
            died = tokio::select! {
                _ = whole => false,
                _ = disk.life.died() => true,
            };
            house.kill();
            disk.life.revive();
            if let Some(points) = again.filter(|_| died) {
                life(&disk, points).await;
            }
            let last = disk.start().await;
            settled(&last).await;
            // The bytes of a backup that is taken over lie there before anybody knows them.
            if kind != Some("backup-import@1") {
                sound(&disk, &last).await;
            }
            check(&last, &scene).await;
            settled(&last).await;
            sound(&disk, &last).await;
            if !died {
                let done = last.ports.jobs.list(&last.actor).await.unwrap();
                let of = |kind: &str| done.iter().any(|j| j.kind == kind && j.state == JobState::Done);
                assert!(kind.is_none_or(of), "the job that this is about was done: {done:?}");
            }
            last.kill();
        }
        if !died {
            return n;
        }
    }
    panic!("it has more than {MANY} points");
}

/// The same for a job of this kind, which must have more points than one.
async fn dies<S>(
    kind: &str,
    prepare: impl AsyncFn(&House) -> S,
    act: impl AsyncFn(&House, &S),
    check: impl AsyncFn(&House, &S),
) {
    let points = at_every_point(Some(kind), prepare, act, check).await;
    // The first commit and the job's last one, each with a point before and behind.
    assert!(points >= 4, "{kind} has only {points}");
}

/// Nothing is half done: whatever is there is ready or held, no work is left over, no snapshot of the service that no
/// backup keeps, no pin, no byte in a store of which no row knows, and what is counted is what is there.
async fn sound(disk: &Disk, house: &House) {
    let jobs = house.ports.jobs.list(&house.actor).await.unwrap();
    assert!(jobs.iter().all(|j| j.is_final()), "{jobs:?}");
    let volumes: Vec<Volume> = rows(house).await;
    for v in &volumes {
        assert!(v.life == Life::Ready && v.work.is_empty(), "{v:?}");
        assert!(!v.migration.is_some_and(Migration::is_under_way), "{v:?}");
        assert!(v.declared.is_none_or(|d| d == Standing::Offered), "{v:?}");
    }
    let snapshots: Vec<Snapshot> = rows(house).await;
    let backups: Vec<Backup> = rows(house).await;
    // The newest backup keeps the snapshot that it was made of, for the next one to be compared with.
    let kept = |s: &Snapshot| !s.transient || backups.iter().any(|b| b.held == Some(s.id));
    assert!(snapshots.iter().all(|s| s.life == Life::Ready && kept(s)), "{snapshots:?}");
    assert!(backups.iter().all(|b| b.state == BackupState::Available), "{backups:?}");
    let groups: Vec<Group> = rows(house).await;
    assert!(groups.iter().all(|g| g.life == Life::Ready), "{groups:?}");
    let parts: Vec<GroupSnapshot> = rows(house).await;
    assert!(parts.iter().all(|g| g.life == Life::Ready), "{parts:?}");
    let attachments: Vec<Attachment> = rows(house).await;
    assert!(attachments.iter().all(|a| a.state != AttachState::Detaching), "{attachments:?}");
    let pins: Vec<Pin> = rows(house).await;
    assert!(pins.is_empty(), "{pins:?}");
    stores_hold_what_rows_say(house, &volumes, &snapshots).await;
    copies_are_those_of_rows(disk, house, &backups).await;
    counted(house, &volumes, &snapshots).await;
}

/// Each pool is ready and holds what the rows say, and nothing else.
async fn stores_hold_what_rows_say(house: &House, volumes: &[Volume], snapshots: &[Snapshot]) {
    for pool in rows::<Pool>(house).await {
        assert_eq!(pool.life, Life::Ready, "{pool:?}");
        let found = house.ports.figures.inventory(&pool).await.unwrap();
        let held: BTreeSet<_> = found.iter().map(|f| f.subject.uuid()).collect();
        let here = volumes.iter().filter(|v| v.pool == pool.id).map(|v| Subject::from(v.id));
        let here = here.chain(snapshots.iter().filter(|s| s.pool == pool.id).map(|s| s.id.into()));
        assert_eq!(held, here.map(Subject::uuid).collect(), "pool {}", pool.name);
    }
}

/// The files of backups and images are those of the rows.
async fn copies_are_those_of_rows(disk: &Disk, house: &House, backups: &[Backup]) {
    let manifest = |path: &String| path.contains("/manifests/");
    let kept: Vec<String> = disk.kept("backups").into_iter().filter(manifest).collect();
    let known = |path: &String| backups.iter().any(|b| path.ends_with(&b.id.to_string()));
    assert!(kept.len() == backups.len() && kept.iter().all(known), "{kept:?} {backups:?}");
    if backups.is_empty() {
        let segments: Vec<String> =
            disk.kept("backups").into_iter().filter(|p| p.contains("/segments/")).collect();
        assert_eq!(segments, [""; 0], "bytes of backups that nobody can read");
    }
    let images: Vec<Image> = rows(house).await;
    assert!(images.iter().all(|i| i.state != ImageState::Saving), "{images:?}");
    let active = images.iter().filter(|i| i.state == ImageState::Active);
    let active: BTreeSet<String> = active.map(|i| i.id.to_string()).collect();
    assert_eq!(disk.kept("images").into_iter().collect::<BTreeSet<_>>(), active);
}

/// What is counted for a quota is what is there, and nothing is reserved for what ended.
async fn counted(house: &House, volumes: &[Volume], snapshots: &[Snapshot]) {
    let mine = house.actor.project;
    let all = quotas::of_project(&house.ports, &house.actor, mine).await.unwrap();
    assert!(all.values().all(|u| u.figure.reserved == 0), "{all:?}");
    let used = |counted| quotas::usage(&house.ports, &house.actor, mine, counted);
    let there = volumes.iter().filter(|v| v.project == mine && v.hidden.is_empty()).count() as u64;
    assert_eq!(used(Counted::Volumes).await.unwrap().figure.in_use, there);
    let there = snapshots.iter().filter(|s| s.project == mine && !s.transient && s.hidden.is_empty());
    assert_eq!(used(Counted::Snapshots).await.unwrap().figure.in_use, there.count() as u64);
}

async fn rows<N: Noun + Send + 'static>(house: &House) -> Vec<N> {
    read(&*house.ports.meta, |tx| tx.list(Scope::All, &Query::default())).await.unwrap()
}

async fn open(house: &House, of: Subject) -> Remote {
    let session = house.connect(&of.uuid().to_string(), "10.0.0.9").await.unwrap();
    data::open(session, &super::house::thread()).await.unwrap()
}

/// Lets go of a disk, and waits until its session has ended with it on its own thread.
async fn close(house: &House, of: Subject, disk: Remote) {
    drop(disk);
    while !house.ports.sessions.of(access::plain_export(of)).is_empty() {
        tokio::task::yield_now().await;
    }
}

/// Writes a text at a place that is no beginning.
pub(super) async fn put(house: &House, of: impl Into<Subject>, text: &[u8]) {
    let of = of.into();
    let disk = open(house, of).await;
    let mut page = vec![0; 4096];
    page[..text.len()].copy_from_slice(text);
    disk.write(8192, Buf::copy_of(&page), true).await.unwrap();
    close(house, of, disk).await;
}

/// What is written at that place, as far as a text of these tests is long.
pub(super) async fn get(house: &House, of: impl Into<Subject>) -> Vec<u8> {
    let of = of.into();
    let disk = open(house, of).await;
    let text = disk.read(8192, 4096).await.unwrap()[..6].to_vec();
    close(house, of, disk).await;
    text
}

/// A volume with a text in it.
pub(super) async fn written(house: &House, name: &str) -> Volume {
    let v = house.volume(name, MIB).await;
    put(house, v.id, b"before").await;
    v
}

/// A snapshot of a volume, made to the end.
async fn taken(house: &House, v: &Volume, name: &str) -> Snapshot {
    let new = NewSnapshot { naming: native(name), ..Default::default() };
    let started = parpen_service::snapshots::create(&house.ports, &house.actor, v.id, new).await.unwrap();
    house.ports.jobs.wait(started.job).await.unwrap();
    started.now
}

async fn find(house: &House, name: &str) -> Option<Volume> {
    rows::<Volume>(house).await.into_iter().find(|v| v.name == name)
}
