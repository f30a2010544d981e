//! Deaths of the jobs about backups and images.

use parpen_base::MIB;
use parpen_model::lifecycle::{ImageState, When};
use parpen_model::{Attributes, Backup, Condition, Image, ImageId, Kind, Snapshot, Visibility, Volume};
use parpen_service::backups::{self, CreateTerms, DeleteTerms, Into, NewBackup, Record};
use parpen_service::images::{self, NewImage, Refill, Save};
use parpen_service::volumes::NewVolume;

use super::{at_every_point, deaths, dies, find, get, put, rows, settled, sound, taken, written};
use crate::house::{Disk, House, native};

deaths! {
    stored of "backup-create@1";
    stored_as_a_difference of "backup-create@1";
    stored_of_a_snapshot of "backup-create@1";
    restored_to_a_new_volume of "backup-restore@1";
    restored_over_a_volume of "backup-restore@1";
    verified of "backup-verify@1";
    deleted of "backup-delete@1";
    deleted_below_another of "backup-delete@1";
    imported of "backup-import@1";
    filled of "image-fill@1";
    refilled of "image-fill@1";
    saved of "image-save@1";
    removed of "image-delete@1";
}

pub(super) fn of(v: &Volume, incremental: bool, snapshot: Option<&Snapshot>) -> NewBackup {
    NewBackup {
        of: v.id,
        snapshot: snapshot.map(|s| s.id),
        name: "b".into(),
        container: None,
        incremental,
        attributes: Attributes::default(),
    }
}

pub(super) async fn backed_up(house: &House, new: NewBackup) -> Backup {
    let begun = backups::create(&house.ports, &house.actor, new, CreateTerms::default()).await.unwrap();
    house.ports.jobs.wait(begun.job).await.unwrap();
    backups::get(&house.ports, &house.actor, begun.now.id).await.unwrap().backup
}

/// Restores a backup into a fresh volume, which must then read so.
pub(super) async fn reads(house: &House, b: &Backup, text: &[u8]) {
    let name = format!("of-{}", b.id);
    let new = NewVolume { naming: native(&name), ..NewVolume::default() };
    let begun =
        backups::restore(&house.ports, &house.actor, b.id, Into::New(Box::new(new)), backups::bytes_only)
            .await
            .unwrap();
    house.ports.jobs.wait(begun.job).await.unwrap();
    assert_eq!(get(house, begun.now.id).await, text);
}

/// Makes a backup of what `prepare` made, and looks that the next life can restore every one.
async fn made(
    kind: &str,
    prepare: impl AsyncFn(&House) -> (Volume, NewBackup),
    base: Option<&[u8]>,
    text: &[u8],
) {
    dies(
        kind,
        prepare,
        async |house, (_, new)| {
            let begun =
                backups::create(&house.ports, &house.actor, new.clone(), CreateTerms::default()).await;
            begun.unwrap();
        },
        async |house, _| {
            for b in rows::<Backup>(house).await {
                let has = base.filter(|_| b.base.is_none()).unwrap_or(text);
                reads(house, &b, has).await;
            }
        },
    )
    .await;
}

async fn stored(kind: &str) {
    let prepare = async |house: &House| {
        let v = written(house, "books").await;
        let new = of(&v, false, None);
        (v, new)
    };
    made(kind, prepare, None, b"before").await;
}

async fn stored_as_a_difference(kind: &str) {
    let prepare = async |house: &House| {
        let v = written(house, "books").await;
        backed_up(house, of(&v, false, None)).await;
        put(house, v.id, b"after!").await;
        let new = of(&v, true, None);
        (v, new)
    };
    made(kind, prepare, Some(b"before"), b"after!").await;
}

async fn stored_of_a_snapshot(kind: &str) {
    let prepare = async |house: &House| {
        let v = written(house, "books").await;
        let s = taken(house, &v, "one").await;
        put(house, v.id, b"after!").await;
        let new = of(&v, false, Some(&s));
        (v, new)
    };
    made(kind, prepare, None, b"before").await;
}

/// A volume that was backed up and written to afterwards.
async fn scene(house: &House) -> (Volume, Backup) {
    let v = written(house, "books").await;
    let b = backed_up(house, of(&v, false, None)).await;
    put(house, v.id, b"after!").await;
    (v, b)
}

async fn restored_to_a_new_volume(kind: &str) {
    dies(
        kind,
        scene,
        async |house, (_, b)| {
            let into = Into::New(Box::new(NewVolume { naming: native("born"), ..NewVolume::default() }));
            backups::restore(&house.ports, &house.actor, b.id, into, backups::bytes_only).await.unwrap();
        },
        async |house, (v, b)| {
            if let Some(born) = find(house, "born").await {
                assert_eq!(get(house, born.id).await, b"before");
            }
            assert_eq!(get(house, v.id).await, b"after!");
            reads(house, b, b"before").await;
        },
    )
    .await;
}

async fn restored_over_a_volume(kind: &str) {
    dies(
        kind,
        scene,
        async |house, (v, b)| {
            backups::restore(
                &house.ports,
                &house.actor,
                b.id,
                Into::Existing(v.id, When::default()),
                backups::bytes_only,
            )
            .await
            .unwrap();
        },
        async |house, (v, b)| {
            let now = get(house, v.id).await;
            assert!(now == b"before" || now == b"after!", "{now:?}");
            reads(house, b, b"before").await;
        },
    )
    .await;
}

async fn verified(kind: &str) {
    dies(
        kind,
        scene,
        async |house, (_, b)| {
            backups::verify(&house.ports, &house.actor, b.id).await.unwrap();
        },
        async |house, (_, b)| {
            assert_eq!(rows::<Backup>(house).await[0].fault, None);
            reads(house, b, b"before").await;
        },
    )
    .await;
}

async fn deleted(kind: &str) {
    dies(
        kind,
        scene,
        async |house, (_, b)| {
            backups::delete(&house.ports, &house.actor, b.id, DeleteTerms::default()).await.unwrap();
        },
        async |house, (v, _)| {
            assert_eq!(get(house, v.id).await, b"after!");
            for b in rows::<Backup>(house).await {
                reads(house, &b, b"before").await;
            }
        },
    )
    .await;
}

async fn deleted_below_another(kind: &str) {
    dies(
        kind,
        async |house| {
            let (v, base) = scene(house).await;
            (backed_up(house, of(&v, true, None)).await, base)
        },
        async |house, (_, base)| {
            let terms = DeleteTerms { dependents: true };
            backups::delete(&house.ports, &house.actor, base.id, terms).await.unwrap();
        },
        async |house, (next, _)| reads(house, next, b"after!").await,
    )
    .await;
}

// The rows are those of a service that lost the backup's: its bytes are there, and nobody knows them.
async fn imported(kind: &str) {
    dies(
        kind,
        async |house| {
            let (_, b) = scene(house).await;
            let record: Record = backups::export(&house.ports, &house.actor, b.id).await.unwrap();
            parpen_model::write(&*house.ports.meta, move |tx| {
                if let Some(held) = b.held {
                    let mut s: Snapshot = tx.read().get(parpen_model::Scope::All, held)?;
                    s.transient = false;
                    tx.update(&mut s)?;
                }
                tx.delete::<Backup>(b.id)
            })
            .await
            .unwrap();
            record
        },
        async |house, record| {
            backups::import(&house.ports, &house.actor, record.clone()).await.unwrap();
        },
        async |house, record| {
            if rows::<Backup>(house).await.is_empty() {
                let job = backups::import(&house.ports, &house.actor, record.clone()).await.unwrap().job;
                house.ports.jobs.wait(job).await.unwrap();
            }
            reads(house, &rows::<Backup>(house).await[0], b"before").await;
        },
    )
    .await;
}

pub(crate) fn image(name: &str) -> NewImage {
    NewImage {
        id: None,
        name: Some(name.into()),
        visibility: Visibility::Private,
        protected: false,
        hidden: false,
        disk_format: Some("raw".into()),
        container_format: Some("bare".into()),
        min_disk: 0,
        min_ram: 0,
        tags: Vec::new(),
        attributes: Attributes::default(),
    }
}

/// Sends a disk whose text is where the tests look for it.
async fn send(house: &House, id: ImageId, text: &[u8]) {
    let mut upload = images::upload(&house.ports, &house.actor, id).await.unwrap();
    let mut disk = vec![0; MIB as usize];
    disk[8192..8192 + text.len()].copy_from_slice(text);
    upload.write(disk).await.unwrap();
    upload.finish().await.unwrap();
}

pub(crate) async fn uploaded(house: &House, text: &[u8]) -> ImageId {
    let i = images::create(&house.ports, &house.actor, image("i")).await.unwrap();
    send(house, i.id, text).await;
    i.id
}

async fn filled(kind: &str) {
    dies(
        kind,
        async |house| uploaded(house, b"before").await,
        async |house, i| {
            let new = NewVolume { naming: native("born"), size: Some(2 * MIB), ..Default::default() };
            images::create_volume(&house.ports, &house.actor, *i, new).await.unwrap();
        },
        async |house, _| {
            if let Some(v) = find(house, "born").await {
                assert_eq!(get(house, v.id).await, b"before");
            }
        },
    )
    .await;
}

async fn refilled(kind: &str) {
    dies(
        kind,
        async |house| (written(house, "books").await, uploaded(house, b"after!").await),
        async |house, (v, i)| {
            let nothing = Attributes::default();
            let with = Refill { image: *i, reserved: false, when: When::default(), attributes: nothing };
            images::refill(&house.ports, &house.actor, v.id, with).await.unwrap();
        },
        async |house, (v, _)| {
            let now = get(house, v.id).await;
            assert!(now == b"before" || now == b"after!", "{now:?}");
        },
    )
    .await;
}

async fn saved(kind: &str) {
    dies(
        kind,
        async |house| written(house, "books").await,
        async |house, v| {
            let save = Save { of: v.id, attached: false, when: When::default(), image: image("i") };
            images::save(&house.ports, &house.actor, save).await.unwrap();
        },
        async |house, v| {
            assert_eq!(get(house, v.id).await, b"before");
            for i in rows::<Image>(house).await {
                let new = NewVolume { naming: native("of-it"), size: Some(MIB), ..Default::default() };
                let made = images::create_volume(&house.ports, &house.actor, i.id, new).await.unwrap();
                house.ports.jobs.wait(made.job).await.unwrap();
                assert_eq!(get(house, made.now.id).await, b"before");
            }
        },
    )
    .await;
}

async fn removed(kind: &str) {
    dies(
        kind,
        async |house| uploaded(house, b"before").await,
        async |house, i| images::delete(&house.ports, &house.actor, *i).await.unwrap(),
        async |_, _| (),
    )
    .await;
}

// An upload is no job: its bytes come with a request, which ends with the process.
#[tokio::test]
async fn an_upload_that_breaks_off_can_be_begun_again() {
    let points = at_every_point(
        None,
        async |house| images::create(&house.ports, &house.actor, image("i")).await.unwrap().id,
        async |house, i| send(house, *i, b"before").await,
        async |house, i| {
            let now = images::get(&house.ports, &house.actor, *i).await.unwrap().state;
            if now == ImageState::Queued {
                send(house, *i, b"before").await;
            }
            let new = NewVolume { naming: native("of-it"), size: Some(MIB), ..Default::default() };
            let made = images::create_volume(&house.ports, &house.actor, *i, new).await.unwrap();
            house.ports.jobs.wait(made.job).await.unwrap();
            assert_eq!(get(house, made.now.id).await, b"before");
        },
    )
    .await;
    assert!(points >= 4, "{points}");
}

// Its end was once told as a fault of the store.
#[tokio::test]
async fn an_image_that_is_deleted_while_its_bytes_come_is_not_there() {
    let disk = Disk::new();
    let house = disk.start().await;
    let i = images::create(&house.ports, &house.actor, image("i")).await.unwrap();
    let mut upload = images::upload(&house.ports, &house.actor, i.id).await.unwrap();
    upload.write(vec![7; 512]).await.unwrap();
    images::delete(&house.ports, &house.actor, i.id).await.unwrap();
    settled(&house).await;
    let end = upload.finish().await;
    assert!(matches!(end, Err(Condition::NotFound { what: Kind::Image, .. })), "{end:?}");
    sound(&disk, &house).await;
}
