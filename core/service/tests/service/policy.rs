//! Volume types, quality of service and switched parts: what they demand is what volumes get.

use parpen_base::GIB;
use parpen_identity::{Actor, Role};
use parpen_model::lifecycle::Life;
use parpen_model::{
    Attributes, Condition, Limits, Part, Project, ProjectId, QosConsumer, Scope, Stamp, TypeRules,
    VolumeType, VolumeTypeId, write,
};
use parpen_service::parts::{self, Switch};
use parpen_service::qos::{self, Wanted};
use parpen_service::volumes::{self, DeleteTerms, NewVolume, Place, ResizeTerms};
use parpen_service::{messages, pools, types};
use uuid::Uuid;

use super::house::{Disk, House, native};

pub(super) fn blank(name: &str) -> VolumeType {
    VolumeType {
        id: VolumeTypeId(Uuid::nil()),
        name: name.into(),
        description: None,
        public: true,
        pool: None,
        place_all: None,
        place_tail: None,
        replication: None,
        limits: Limits::default(),
        size: None,
        parent: None,
        encryption: None,
        qos: None,
        access: Vec::new(),
        rules: TypeRules::default(),
        attributes: Attributes::default(),
        stamp: Stamp::at(jiff::Timestamp::UNIX_EPOCH),
    }
}

async fn of_type(
    house: &House,
    actor: &Actor,
    name: &str,
    t: VolumeTypeId,
) -> Result<parpen_model::Volume, Condition> {
    let place = Place { volume_type: Some(t), ..Place::default() };
    let new = NewVolume { naming: native(name), size: Some(GIB), place, ..Default::default() };
    let started = volumes::create(&house.ports, actor, new).await?;
    house.ports.jobs.wait(started.job).await?;
    Ok(house.row(&started.now).await)
}

#[tokio::test]
async fn a_type_chooses_the_pool_bounds_the_size_and_shares() {
    let house = Disk::new().start().await;
    let (ports, actor) = (&house.ports, &house.actor);
    let rules = TypeRules {
        pool: Some("dummy".into()),
        shared: true,
        smallest: Some(GIB),
        largest: Some(2 * GIB),
        ..TypeRules::default()
    };
    let t = types::create(ports, actor, VolumeType { rules, ..blank("fast") }).await.unwrap().0;
    let v = of_type(&house, actor, "a", t.id).await.unwrap();
    assert_eq!(v.pool, pools::get(ports, actor, "dummy").await.unwrap().id);
    assert!(v.shared);
    let large = volumes::resize(ports, actor, v.id, 3 * GIB, ResizeTerms::default()).await;
    assert!(matches!(large, Err(Condition::Invalid { field, .. }) if field == "size"));
    let used = types::change_rules(ports, actor, t.id, Box::new(|_| Ok(()))).await;
    assert!(matches!(used, Err(Condition::InUse { .. })), "a type in use demands what it did");
    assert!(matches!(types::delete(ports, actor, t.id).await, Err(Condition::InUse { .. })));
    let rules = TypeRules { pool: Some("nowhere".into()), ..TypeRules::default() };
    let t = types::create(ports, actor, VolumeType { rules, ..blank("far") }).await.unwrap().0;
    let refused = of_type(&house, actor, "b", t.id).await.unwrap_err();
    assert!(refused.to_string().contains("nowhere"), "{refused}");
}

#[tokio::test]
async fn specs_bind_new_volumes_of_the_types_that_point_at_them() {
    let house = Disk::new().start().await;
    let (ports, actor) = (&house.ports, &house.actor);
    let t = types::create(ports, actor, blank("fast")).await.unwrap().0;
    let bind = || -> qos::Bind {
        Box::new(|w| Limits {
            requests_per_second: w.specs.get("total_iops_sec").and_then(|s| s.parse().ok()),
            bytes_per_second: None,
        })
    };
    let specs = [("total_iops_sec".to_string(), "500".to_string())].into();
    let want = Wanted { consumer: QosConsumer::Both, specs };
    let q = qos::create(ports, actor, "gold", want.clone(), bind()).await.unwrap().0;
    assert!(matches!(qos::create(ports, actor, "gold", want, bind()).await, Err(Condition::Exists { .. })));
    qos::associate(ports, actor, q.id, t.id).await.unwrap();
    let v = of_type(&house, actor, "a", t.id).await.unwrap();
    assert_eq!(v.limits.requests_per_second, Some(500));
    assert_eq!(qos::told_to_host(ports, v.id).await.unwrap(), Some(q.specs));
    assert!(matches!(qos::delete(ports, actor, q.id, false).await, Err(Condition::InUse { .. })));
    qos::delete(ports, actor, q.id, true).await.unwrap();
    let v = of_type(&house, actor, "b", t.id).await.unwrap();
    assert_eq!(v.limits.requests_per_second, None);
}

#[tokio::test]
async fn a_private_type_is_only_for_those_who_were_let_in() {
    let house = Disk::new().start().await;
    let (ports, actor) = (&house.ports, &house.actor);
    let theirs = ProjectId(Uuid::from_u128(77));
    let stamp = Stamp::at(jiff::Timestamp::UNIX_EPOCH);
    write(&*ports.meta, move |tx| {
        let (name, description) = ("theirs".to_string(), String::new());
        tx.insert(&mut Project { id: theirs, name, description, enabled: true, default_type: None, stamp })
    })
    .await
    .unwrap();
    let stranger =
        Actor { project: theirs, scope: Scope::Project(theirs), roles: vec![Role::Member], ..actor.clone() };
    let t = types::create(ports, actor, VolumeType { public: false, ..blank("secret") }).await.unwrap().0;
    assert!(types::list(ports, &stranger).await.unwrap().is_empty());
    let refused = of_type(&house, &stranger, "a", t.id).await;
    assert!(matches!(refused, Err(Condition::NotFound { .. })), "{refused:?}");
    types::admit(ports, actor, t.id, theirs).await.unwrap();
    assert_eq!(types::list(ports, &stranger).await.unwrap().len(), 1);
    of_type(&house, &stranger, "a", t.id).await.unwrap();
    types::set_default(ports, actor, theirs, Some(t.id)).await.unwrap();
    assert!(matches!(types::delete(ports, actor, t.id).await, Err(Condition::Conflict(_))));
    let change = types::edit(ports, &stranger, t.id, types::Edit::default()).await;
    assert!(matches!(change, Err(Condition::Forbidden(_))));
}

#[tokio::test]
async fn a_disabled_pool_gets_nothing_new_and_a_frozen_one_is_not_changed() {
    let house = Disk::new().start().await;
    let (ports, actor) = (&house.ports, &house.actor);
    let v = house.volume("old", GIB).await;
    let part = Part::Pool(v.pool);
    let place = || Place { pool: Some(v.pool), ..Place::default() };
    let new = |name: &str| NewVolume {
        naming: native(name),
        size: Some(GIB),
        place: place(),
        ..Default::default()
    };
    parts::switch(ports, actor, part, Switch::Disable(Some("new disks".into()))).await.unwrap();
    let refused = volumes::create(ports, actor, new("a")).await.unwrap_err();
    assert!(refused.to_string().contains("disabled (new disks)"), "{refused}");
    let grown = volumes::resize(ports, actor, v.id, 2 * GIB, ResizeTerms::default()).await.unwrap();
    ports.jobs.wait(grown.job).await.unwrap();
    parts::switch(ports, actor, part, Switch::Enable).await.unwrap();
    parts::switch(ports, actor, part, Switch::Freeze).await.unwrap();
    let twice = parts::switch(ports, actor, part, Switch::Freeze).await;
    assert!(matches!(twice, Err(Condition::WrongState { .. })));
    let changes = [
        volumes::create(ports, actor, new("b")).await.map(|_| ()),
        volumes::resize(ports, actor, v.id, 3 * GIB, ResizeTerms::default()).await.map(|_| ()),
        volumes::delete(ports, actor, v.id, DeleteTerms::default()).await.map(|_| ()),
        parpen_service::snapshots::create(ports, actor, v.id, Default::default()).await.map(|_| ()),
    ];
    for refused in changes {
        assert!(refused.unwrap_err().to_string().contains("frozen"));
    }
    parts::switch(ports, actor, part, Switch::Thaw).await.unwrap();
    volumes::create(ports, actor, new("b")).await.unwrap();
}

#[tokio::test]
async fn a_job_that_fails_leaves_a_message_for_its_project() {
    let disk = Disk::new();
    let house = disk.start().await;
    disk.faults().lock().unwrap().push("create");
    let ports = house.ports.on_behalf_of("req-7");
    let options = volumes::Options { keep_failed: true, ..Default::default() };
    let new = NewVolume { naming: native("a"), size: Some(GIB), options, ..Default::default() };
    let started = volumes::create(&ports, &house.actor, new).await.unwrap();
    ports.jobs.wait(started.job).await.unwrap_err();
    assert_eq!(house.row(&started.now).await.life, Life::Error);
    let all = messages::list(&ports, &house.actor).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].work.as_str(), all[0].origin.as_deref()), ("volume-create@1", Some("req-7")));
    assert_eq!(all[0].subject, started.now.id.into());
    messages::delete(&ports, &house.actor, all[0].id).await.unwrap();
    assert!(messages::list(&ports, &house.actor).await.unwrap().is_empty());
}
