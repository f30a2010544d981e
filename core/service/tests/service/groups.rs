//! Groups whose members live in several pools.

use parpen_base::MIB;
use parpen_model::lifecycle::Life;
use parpen_service::groups::{self, GroupEdit, NewGroup, NewType, Parts};
use parpen_service::names::Naming;
use parpen_service::{snapshots, volumes};

use super::house::{Disk, native};

#[tokio::test]
async fn a_snapshot_of_a_group_reaches_over_pools_and_waits_for_nobody() {
    let house = Disk::new().start().await;
    let (ports, actor) = (&house.ports, &house.actor);
    let near = house.volume("near", MIB).await;
    let mut far = volumes::NewVolume { naming: native("far"), size: Some(MIB), ..Default::default() };
    far.place.pool = Some(parpen_service::pools::get(ports, actor, "dummy").await.unwrap().id);
    let far = volumes::create(ports, actor, far).await.unwrap();
    ports.jobs.wait(far.job).await.unwrap();
    let kind = NewType { name: "t".into(), description: None, public: true, attributes: Default::default() };
    let kind = groups::create_type(ports, actor, kind).await.unwrap();
    let new = || NewGroup { name: "g".into(), attributes: Default::default() };
    let g = groups::create(ports, actor, new(), kind.id, vec![None]).await.unwrap();
    let edit = GroupEdit { add: vec![near.id, far.now.id], ..Default::default() };
    groups::update(ports, actor, g.id, edit).await.unwrap();
    // Somebody has one open: he is held for a moment and goes on.
    let open = house.connect("near", "10.0.0.1").await.unwrap();
    let parts = Parts { naming: |_| Naming::default(), attributes: Default::default(), inherit: |_, _| {} };
    let begun = groups::create_snapshot(ports, actor, g.id, new(), parts).await.unwrap();
    ports.jobs.wait(begun.job).await.unwrap();
    assert!(!open.is_cut());
    let parts = snapshots::list(ports, actor, None, true).await.unwrap();
    assert_eq!(parts.len(), 2);
    assert!(parts.iter().all(|s| s.snapshot.life == Life::Ready));
    assert_ne!(parts[0].pool.id, parts[1].pool.id);
    assert!(house.connect("far", "10.0.0.2").await.is_ok(), "nothing stays held");
}
