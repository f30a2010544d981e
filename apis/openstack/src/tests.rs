use std::collections::BTreeSet;

use jiff::Timestamp;
use parpen_identity::{Actor, Role};
use parpen_model::lifecycle::{AttachState, Health, Life, Standing, Usage, Work};
use parpen_model::{
    Api as Side, Attachment, AttachmentId, Attributes, CredentialId, Driver, Handle, Limits, Placement, Pool,
    PoolId, PrincipalId, ProjectId, Rights, Scope, Snapshot, SnapshotId, Stamp, Volume, VolumeId,
};
use parpen_service::volumes::Attached;
use proptest::prelude::*;
use serde_json::{Map, json};
use uuid::Uuid;

use super::*;
use crate::cx::Look;
use crate::fields::Fields;
use crate::microversion::Microversion;
use crate::to_wire::Shape;

const BASE: &str = "http://h:1";

fn stamp() -> Stamp {
    Stamp::at(Timestamp::from_second(1_800_000_000).unwrap())
}

fn placement() -> Placement {
    Placement { all: "default".into(), tail: "default".into(), replication: 1 }
}

fn pool() -> Pool {
    Pool {
        id: PoolId(Uuid::from_u128(9)),
        name: "local".into(),
        driver: Driver::Memory,
        disks: Vec::new(),
        spent: Vec::new(),
        replication: 1,
        upkeep: parpen_model::Upkeep::default(),
        capacity: 1 << 40,
        description: String::new(),
        attributes: Attributes::default(),
        life: Life::Ready,
        fault: None,
        stamp: stamp(),
    }
}

fn volume() -> Volume {
    let id = VolumeId(Uuid::from_u128(1));
    Volume {
        id,
        name: "books".into(),
        handle: Handle::from_name("books", id.0, 1),
        aliases: Vec::new(),
        project: ProjectId(Uuid::from_u128(2)),
        pool: PoolId(Uuid::from_u128(9)),
        size: (2 << 30) + 512,
        volume_type: None,
        placement: placement(),
        limits: Limits::default(),
        readonly: false,
        shared: false,
        parent: None,
        made_from: None,
        life: Life::Ready,
        usage: Usage::Free,
        work: Vec::new(),
        health: Health::Up,
        declared: None,
        migration: None,
        group: None,
        hidden: Vec::new(),
        epoch: 1,
        key: None,
        attributes: Attributes::default(),
        fault: None,
        stamp: stamp(),
    }
}

fn volume_view() -> parpen_service::volumes::View {
    parpen_service::volumes::View {
        volume: volume(),
        pool: pool(),
        volume_type: None,
        parent: None,
        attachments: vec![Attached { attachment: attachment(AttachState::Attached), host: None }],
        lock: None,
    }
}

fn snapshot_view() -> parpen_service::snapshots::View {
    let v = volume();
    let id = SnapshotId(Uuid::from_u128(3));
    let snapshot = Snapshot {
        id,
        name: "monday".into(),
        handle: Handle::of_snapshot(&v.handle, "monday", id.0, 1),
        aliases: Vec::new(),
        project: v.project,
        pool: v.pool,
        origin: v.id,
        parent: None,
        size: v.size,
        volume_type: None,
        placement: placement(),
        limits: Limits::default(),
        auto_named: false,
        bound: false,
        transient: false,
        life: Life::Ready,
        health: Health::Up,
        declared: None,
        group_snapshot: None,
        hidden: Vec::new(),
        key: None,
        attributes: Attributes::default(),
        fault: None,
        stamp: stamp(),
    };
    parpen_service::snapshots::View {
        snapshot,
        origin: None,
        pool: pool(),
        volume_type: None,
        parent: None,
        attachments: Vec::new(),
    }
}

fn attachment(state: AttachState) -> Attachment {
    Attachment {
        id: AttachmentId(Uuid::from_u128(4)),
        subject: VolumeId(Uuid::from_u128(1)).into(),
        project: ProjectId(Uuid::from_u128(2)),
        host: None,
        rights: Rights::ReadWrite,
        exclusive: true,
        state,
        export: "a-secret".into(),
        slot: None,
        mountpoint: Some("/dev/vdb".into()),
        instance: Some("i".into()),
        attached: None,
        by_volume: false,
        returned: false,
        attributes: Attributes::default(),
        stamp: stamp(),
    }
}

fn keys(document: &Value) -> BTreeSet<&str> {
    document.as_object().unwrap().keys().map(String::as_str).collect()
}

fn set<'a>(parts: &[&[&'a str]]) -> BTreeSet<&'a str> {
    parts.iter().flat_map(|p| p.iter().copied()).collect()
}

fn look(minor: u16) -> Look<'static> {
    Look { base: BASE, within: Some("p"), version: Microversion(minor), admin: true }
}

const VOLUME: &[&str] = &[
    "attachments",
    "links",
    "encrypted",
    "updated_at",
    "replication_status",
    "id",
    "size",
    "user_id",
    "availability_zone",
    "metadata",
    "status",
    "description",
    "multiattach",
    "consistencygroup_id",
    "name",
    "bootable",
    "created_at",
    "volume_type",
    "snapshot_id",
    "source_volid",
];
const VOLUME_FULL: &[&str] = &[
    "os-vol-host-attr:host",
    "os-vol-tenant-attr:tenant_id",
    "os-vol-mig-status-attr:migstat",
    "os-vol-mig-status-attr:name_id",
];

#[test]
fn volumes_have_the_fields_of_their_microversion_and_no_others() {
    let view = volume_view();
    let grown: [(u16, &[&str]); 8] = [
        (0, &[]),
        (13, &["group_id"]),
        (21, &["provider_id"]),
        (48, &["service_uuid", "shared_targets"]),
        (61, &["cluster_name"]),
        (63, &["volume_type_id"]),
        (65, &["consumes_quota"]),
        (71, &[]),
    ];
    for minor in 0..=Microversion::MAX.0 {
        let since: Vec<&str> =
            grown.iter().filter(|(at, _)| *at <= minor).flat_map(|(_, f)| f.iter().copied()).collect();
        let made = to_wire::volume(look(minor), &view, Shape::Made);
        assert_eq!(keys(&made), set(&[VOLUME, &["migration_status"], &since]), "3.{minor}");
        let full = to_wire::volume(look(minor), &view, Shape::Full);
        assert_eq!(keys(&full), set(&[VOLUME, &["migration_status"], VOLUME_FULL, &since]), "3.{minor}");
        // What operators alone see.
        let member = Look { admin: false, ..look(minor) };
        let since: Vec<&str> =
            since.into_iter().filter(|f| !matches!(*f, "provider_id" | "cluster_name")).collect();
        let full = to_wire::volume(member, &view, Shape::Full);
        assert_eq!(keys(&full), set(&[VOLUME, &["os-vol-tenant-attr:tenant_id"], &since]), "3.{minor}");
        assert_eq!(full["attachments"][0]["host_name"], Value::Null);
    }
    assert_eq!(keys(&to_wire::volume_summary(look(0), &view.volume)), set(&[&["id", "name", "links"]]));
    let doc = to_wire::volume(look(63), &view, Shape::Full);
    assert_eq!(doc["size"], 3, "gibibytes, rounded up");
    assert_eq!(doc["bootable"], "false", "a text, not a truth value");
    assert_eq!(doc["created_at"], "2027-01-15T08:00:00.000000");
    assert_eq!(doc["os-vol-host-attr:host"], "parpen@local#local");
    assert_eq!(doc["volume_type"], "__DEFAULT__");
    let at = doc["attachments"][0].clone();
    let wanted = ["server_id", "attachment_id", "attached_at", "host_name", "volume_id", "device", "id"];
    assert_eq!(keys(&at), set(&[&wanted]));
    assert_eq!((at["server_id"].as_str(), at["device"].as_str()), (Some("i"), Some("/dev/vdb")));
}

#[test]
fn snapshots_have_the_fields_of_their_microversion_and_no_others() {
    let view = snapshot_view();
    let base: &[&str] =
        &["status", "description", "created_at", "name", "volume_id", "metadata", "id", "size", "updated_at"];
    let full = ["os-extended-snapshot-attributes:progress", "os-extended-snapshot-attributes:project_id"];
    for minor in 0..=Microversion::MAX.0 {
        let grown = [(14, "group_snapshot_id"), (41, "user_id"), (65, "consumes_quota")];
        let since: Vec<&str> = grown.iter().filter(|(at, _)| *at <= minor).map(|(_, f)| *f).collect();
        let made = to_wire::snapshot(look(minor), &view, Shape::Made);
        assert_eq!(keys(&made), set(&[base, &since]), "3.{minor}");
        let shown = to_wire::snapshot(look(minor), &view, Shape::Full);
        assert_eq!(keys(&shown), set(&[base, &full, &since]), "3.{minor}");
    }
    assert_eq!(keys(&to_wire::snapshot_base(&view)), set(&[base]));
}

#[test]
fn connection_information_is_flat_and_empty_while_nobody_is_named() {
    let nbd = Nbd { host: "127.0.0.1".into(), port: 10809, socket: Some("/x/nbd.socket".into()) };
    let doc = to_wire::attachment(&attachment(AttachState::Attaching), &nbd);
    let wanted = [
        "id",
        "status",
        "instance",
        "volume_id",
        "attached_at",
        "detached_at",
        "attach_mode",
        "connection_info",
    ];
    assert_eq!(keys(&doc), set(&[&wanted]));
    let info = &doc["connection_info"];
    assert_eq!(info["driver_volume_type"], "nbd");
    assert_eq!((info["host"].as_str(), info["port"].as_u64()), (Some("127.0.0.1"), Some(10809)));
    assert_eq!((info["export"].as_str(), info["socket"].as_str()), (Some("a-secret"), Some("/x/nbd.socket")));
    let reserved = to_wire::attachment(&attachment(AttachState::Reserved), &nbd);
    assert_eq!(reserved["connection_info"], json!({}));
    assert!(!reserved.to_string().contains("a-secret"), "who only reserves is told no secret");
}

#[test]
fn the_status_word_follows_from_all_four_axes() {
    let word = |change: fn(&mut Volume)| {
        let mut v = volume();
        change(&mut v);
        states::of_volume(&v)
    };
    assert_eq!(word(|_| ()), "available");
    assert_eq!(word(|v| v.usage = Usage::Attached), "in-use");
    assert_eq!(word(|v| v.work = vec![Work::Copying]), "available");
    assert_eq!(word(|v| (v.usage, v.work) = (Usage::Attached, vec![Work::Resizing])), "extending");
    assert_eq!(word(|v| v.work = vec![Work::RollingBack]), "reverting");
    assert_eq!(word(|v| (v.health, v.usage) = (Health::DataLost, Usage::Attached)), "error");
    assert_eq!(word(|v| (v.life, v.health) = (Life::Creating, Health::Down)), "creating");
    assert_eq!(word(|v| v.life = Life::Deleting), "deleting");
    assert_eq!(word(|v| v.life = Life::Error), "error");
    assert_eq!(word(|v| v.work = vec![Work::Moving]), "available", "it serves while it moves");
    assert_eq!(word(|v| (v.life, v.declared) = (Life::Error, Some(Standing::Maintenance))), "maintenance");
    assert_eq!(word(|v| v.declared = Some(Standing::Managing)), "creating");
}

fn actor() -> Actor {
    Actor {
        principal: PrincipalId(Uuid::from_u128(5)),
        name: "admin".into(),
        api: Side::OpenStack,
        project: ProjectId(Uuid::from_u128(2)),
        scope: Scope::All,
        roles: vec![Role::Admin],
        credential: CredentialId(Uuid::from_u128(6)),
        until: None,
    }
}

fn fields(value: Value) -> Fields {
    Fields(value.as_object().cloned().unwrap_or_default())
}

fn create_text(value: Value) -> String {
    let id = VolumeId(Uuid::from_u128(7));
    let refused = from_wire::new_volume(&fields(value), &actor(), &[], id).unwrap_err();
    let (status, text) = errors::status_and_text(&refused);
    format!("{} {text}", status.as_u16())
}

#[test]
fn wrong_values_are_refused_in_the_words_that_clients_look_for() {
    let size = "400 Invalid input for field/attribute size.";
    assert_eq!(
        create_text(json!({"size": -1})),
        format!("{size} Value: -1. -1 is less than the minimum of 1")
    );
    assert_eq!(create_text(json!({"size": 0})), format!("{size} Value: 0. 0 is less than the minimum of 1"));
    assert!(create_text(json!({"size": "two"})).starts_with(size));
    assert!(create_text(json!({"size": null})).starts_with(size));
    assert!(create_text(json!({"size": 1.5})).starts_with(size));
    let large = create_text(json!({"size": 999_999_999}));
    assert!(large.starts_with("413 VolumeSizeExceedsAvailableQuota"), "{large}");
    let long = create_text(json!({"size": 1, "name": "x".repeat(1 << 20)}));
    assert!(long.starts_with("400 Invalid input for field/attribute name. Value: xxx"), "{long}");
    assert!(long.len() < 400, "the refusal does not repeat a mebibyte");
    assert!(create_text(json!({"size": 1, "metadata": {"a": 1}})).starts_with("400 "));
    assert!(create_text(json!({"size": 1, "availability_zone": "mars"})).starts_with("400 "));
    assert!(create_text(json!({"size": 1, "volume_type": "none"})).starts_with("404 "));
    let extend = from_wire::new_size(&fields(json!({"new_size": -1}))).unwrap_err();
    assert_eq!(
        errors::status_and_text(&extend).1,
        "Invalid input for field/attribute new_size. Value: -1. -1 is less than the minimum of 1"
    );
}

#[test]
fn a_create_with_all_keys_null_is_a_plain_one() {
    let wire = json!({
        "size": "2", "name": " books ", "description": null, "imageRef": null, "snapshot_id": null,
        "source_volid": null, "backup_id": null, "volume_type": null, "availability_zone": null,
        "metadata": {}, "multiattach": null, "consistencygroup_id": null, "group_id": null,
    });
    let id = VolumeId(Uuid::from_u128(7));
    let new = from_wire::new_volume(&fields(wire), &actor(), &[], id).unwrap();
    assert_eq!((new.size, new.naming.name.as_str()), (Some(2 << 30), "books"));
    assert_eq!(
        new.naming.aliases[0].name,
        format!("os--volume-{id}"),
        "as StorPool's bindings will ask for it"
    );
    assert!(!new.options.shared && new.options.keep_failed);
}

/// Any JSON, with the names that this API knows among its keys.
fn hostile() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,300}".prop_map(Value::from),
        Just(json!("00000000-0000-0000-0000-000000000000")),
    ];
    let key = prop_oneof![
        prop::sample::select(vec![
            "size",
            "name",
            "description",
            "metadata",
            "snapshot_id",
            "source_volid",
            "volume_type",
            "multiattach",
            "volume_id",
            "force",
            "new_size",
            "volume_uuid",
            "connector",
            "host",
            "ip",
            "mode",
            "instance_uuid",
            "availability_zone",
            "imageRef",
            "mountpoint",
            "identity",
            "methods",
            "password",
            "user",
            "scope",
            "project",
            "domain",
            "id",
            "token",
        ])
        .prop_map(str::to_string),
        "\\PC{0,8}",
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn hostile_documents_are_refused_or_read_and_never_panic(document in hostile(), minor in 0u16..72) {
        let fields = fields(document);
        let (who, version) = (actor(), Microversion(minor));
        let id = Uuid::from_u128(7);
        if let Ok(new) = from_wire::new_volume(&fields, &who, &[], VolumeId(id)) {
            prop_assert!(new.size.is_none_or(|s| s >= 1 << 30));
        }
        let results = [
            from_wire::new_snapshot(&fields, &who, SnapshotId(id), version).err(),
            from_wire::edit_volume(&fields).err(),
            from_wire::new_size(&fields).err(),
            from_wire::new_attachment(&fields, version).err(),
            from_wire::connector(&fields).err(),
            identity::check_login(&fields).err(),
        ];
        for refused in results.into_iter().flatten() {
            let (status, text) = errors::status_and_text(&refused);
            prop_assert!(status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED);
            prop_assert!(text.len() < 2000);
        }
    }
}

#[test]
fn the_coverage_page_is_up_to_date() {
    let all: Vec<Endpoint> = Endpoint::ALL.iter().copied().filter(|e| !e.is_action_group()).collect();
    let built = all.iter().filter(|e| e.is_built()).count();
    let mut page = format!(
        "## OpenStack Block Storage v3 and Identity v3\n\n{built} of {} operations are built; the others answer \
         501 in the API's own form.\n\n| operation | name | built |\n|---|---|---|\n",
        all.len()
    );
    for e in all {
        let mark = if e.is_built() { "yes" } else { "no" };
        page.push_str(&format!("| `{}` | {e:?} | {mark} |\n", e.title()));
    }
    expect_test::expect_file!["../../../docs/coverage/openstack.md"].assert_eq(&page);
}
