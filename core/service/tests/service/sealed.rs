//! Types that encrypt, and how bytes get from one that does to one that does not.

use parpen_base::MIB;
use parpen_model::lifecycle::When;
use parpen_model::{Condition, ControlLocation, VolumeTypeId};
use parpen_service::images::{self, Save};
use parpen_service::types::{self, Encryption};
use parpen_service::volumes::{self, NewVolume, Place, Retype};

use super::house::{Disk, House, native};
use super::points::copies::image;
use super::points::{get, written};
use super::policy::blank;

async fn kind(house: &House, name: &str) -> VolumeTypeId {
    types::create(&house.ports, &house.actor, blank(name)).await.unwrap().0.id
}

/// The refusal advised a copy into a volume of the other type, which is refused as well.
#[tokio::test]
async fn what_a_refused_retype_advises_can_be_done() {
    let disk = Disk::new();
    let house = disk.start().await;
    let (ports, actor) = (&house.ports, &house.actor);
    let (sealed, plain) = (kind(&house, "sealed").await, kind(&house, "plain").await);
    let by_us = Encryption {
        provider: Some("luks".into()),
        control_location: Some(ControlLocation::BackEnd),
        ..Encryption::default()
    };
    types::encrypt(ports, actor, sealed, by_us, true).await.unwrap();
    let mut v = written(&house, "books").await;
    for (to, name) in [(sealed, "locked"), (plain, "open")] {
        let retyped = volumes::retype(ports, actor, v.id, Retype { to: Some(to), may_move: true }).await;
        let Err(Condition::Invalid { why, .. }) = retyped else { panic!("{retyped:?}") };
        assert!(
            why.contains("upload the volume to an image and make a volume of that type from it"),
            "{why}"
        );
        let save = Save { of: v.id, attached: false, when: When::default(), image: image(name) };
        let (_, i) = images::save(ports, actor, save).await.unwrap();
        for job in ports.jobs.list(actor).await.unwrap() {
            ports.jobs.wait(job.id).await.unwrap();
        }
        let place = Place { volume_type: Some(to), ..Place::default() };
        let new = NewVolume { naming: native(name), size: Some(MIB), place, ..NewVolume::default() };
        let begun = images::create_volume(ports, actor, i.id, new).await.unwrap();
        ports.jobs.wait(begun.job).await.unwrap();
        v = house.row(&begun.now).await;
        assert_eq!(v.key.is_some(), to == sealed);
        assert_eq!(get(&house, v.id).await, b"before");
    }
}
