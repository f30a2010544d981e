//! Every answer of Block Storage that is asked for with GET holds exactly the fields of its microversion, from the
//! first to the newest: one table, which must name every such operation.

use std::collections::BTreeSet;

use http::Method;
use parpen_openstack::Endpoint::{self, *};
use serde_json::{Value, json};

use super::calls::{self, Call};
use super::scene::Scene;
use crate::fields::{
    NEWEST, SNAPSHOT, SNAPSHOT_FULL, SNAPSHOT_LATER, VOLUME, VOLUME_FULL, VOLUME_LATER, fields, keys,
};

/// Where the fields are that a line is about.
struct Line {
    of: Endpoint,
    query: &'static str,
    /// A pointer into the answer.
    at: &'static str,
    base: Vec<&'static str>,
    /// What came later, and when.
    later: &'static [(u16, &'static str)],
}

fn line(of: Endpoint, query: &'static str, at: &'static str, base: &[&'static str]) -> Line {
    Line { of, query, at, base: base.to_vec(), later: &[] }
}

impl Line {
    fn later(self, later: &'static [(u16, &'static str)]) -> Line {
        Line { later, ..self }
    }
}

/// Operations whose answers hold nothing: what this service has none of, and what only acts.
const EMPTY: [Endpoint; 11] = [
    ClustersList,
    ClustersDetail,
    ClusterShow,
    ConsistencyGroupsList,
    ConsistencyGroupsDetail,
    ConsistencyGroupShow,
    CgSnapshotsList,
    CgSnapshotsDetail,
    CgSnapshotShow,
    QosDisassociateAll,
    VolumeEncryptionItem,
];

const NAMED: &[&str] = &["id", "name", "links"];
const ALL: &str = "all_tenants=1&limit=1";

fn volumes() -> Vec<Line> {
    let full = [VOLUME, VOLUME_FULL].concat();
    let manageable = ["reference", "size", "safe_to_manage"];
    let why = ["reason_not_safe", "cinder_id", "extra_info"];
    let here = "host=parpen@local%23local";
    let of_snapshot = [&manageable[..], &["source_reference"]].concat();
    vec![
        line(VolumesList, ALL, "/volumes/0", NAMED),
        line(VolumesList, "all_tenants=1&limit=1&with_count=true", "", &["volumes", "volumes_links"])
            .later(&[(45, "count")]),
        line(VolumesDetail, ALL, "/volumes/0", &full).later(VOLUME_LATER),
        line(VolumeShow, "", "/volume", &full).later(VOLUME_LATER),
        line(VolumesSummary, "", "", &["volume-summary"]),
        line(VolumesSummary, "all_tenants=1", "/volume-summary", &["total_size", "total_count"])
            .later(&[(36, "metadata")]),
        line(VolumeMetadata, "", "", &["metadata"]),
        line(VolumeMetadataItem, "", "", &["meta"]),
        line(VolumeMetadataItem, "", "/meta", &["k"]),
        line(VolumeEncryption, "", "", &["encryption_key_id"]),
        line(VolumeManageOldList, here, "/manageable-volumes/0", &manageable),
        line(VolumeManageOldDetail, here, "/manageable-volumes/0", &[&manageable[..], &why].concat()),
        line(SnapshotManageOldList, here, "/manageable-snapshots/0", &of_snapshot),
        line(SnapshotManageOldDetail, here, "/manageable-snapshots/0", &[&of_snapshot[..], &why].concat()),
        line(VolumeManageableList, here, "/manageable-volumes/0", &manageable),
        line(VolumeManageableDetail, here, "/manageable-volumes/0", &[&manageable[..], &why].concat()),
        line(SnapshotManageableList, here, "/manageable-snapshots/0", &of_snapshot),
        line(SnapshotManageableDetail, here, "/manageable-snapshots/0", &[&of_snapshot[..], &why].concat()),
    ]
}

fn copies() -> Vec<Line> {
    let full = [SNAPSHOT, SNAPSHOT_FULL].concat();
    let attachment = ["id", "status", "instance", "volume_id"];
    let connected =
        [&attachment[..], &["attached_at", "detached_at", "attach_mode", "connection_info"]].concat();
    let backup = [
        NAMED,
        &["status", "size", "object_count", "availability_zone", "container", "created_at", "updated_at"],
        &["description", "fail_reason", "volume_id", "is_incremental", "has_dependent_backups"],
        &["snapshot_id", "data_timestamp"],
    ]
    .concat();
    let of_backup: &[(u16, &str)] =
        &[(18, "os-backup-project-attr:project_id"), (43, "metadata"), (56, "user_id")];
    let offer = ["id", "volume_id", "name", "links"];
    let offered = [&offer[..], &["created_at"]].concat();
    let of_offer: &[(u16, &str)] =
        &[(55, "no_snapshots"), (57, "source_project_id"), (57, "destination_project_id"), (57, "accepted")];
    vec![
        line(SnapshotsList, ALL, "/snapshots/0", SNAPSHOT),
        line(SnapshotsDetail, ALL, "/snapshots/0", &full).later(SNAPSHOT_LATER),
        line(SnapshotShow, "", "/snapshot", &full).later(SNAPSHOT_LATER),
        line(SnapshotMetadata, "", "", &["metadata"]),
        line(SnapshotMetadataItem, "", "/meta", &["k"]),
        line(AttachmentsList, ALL, "/attachments/0", &attachment),
        line(AttachmentsDetail, ALL, "/attachments/0", &connected),
        line(AttachmentShow, "", "/attachment", &connected),
        line(BackupsList, ALL, "/backups/0", NAMED),
        line(BackupsDetail, ALL, "/backups/0", &backup).later(of_backup),
        line(BackupShow, "", "/backup", &backup).later(of_backup),
        line(BackupExport, "", "/backup-record", &["backup_service", "backup_url"]),
        line(TransfersList, ALL, "/transfers/0", &offer),
        line(TransfersDetail, ALL, "/transfers/0", &offered).later(of_offer),
        line(TransferShow, "", "/transfer", &offered).later(of_offer),
        line(OldTransfersList, ALL, "/transfers/0", &offer),
        line(OldTransfersDetail, ALL, "/transfers/0", &offered).later(of_offer),
        line(OldTransferShow, "", "/transfer", &offered).later(of_offer),
    ]
}

fn groups() -> Vec<Line> {
    let kind = ["id", "name", "description", "is_public", "group_specs"];
    let group = ["id", "status", "availability_zone", "created_at", "name", "description", "group_type"];
    let group = [&group[..], &["volume_types"]].concat();
    let later: &[(u16, &str)] =
        &[(14, "group_snapshot_id"), (14, "source_group_id"), (38, "replication_status"), (58, "project_id")];
    let with_members: &[(u16, &str)] = &[
        (14, "group_snapshot_id"),
        (14, "source_group_id"),
        (25, "volumes"),
        (38, "replication_status"),
        (58, "project_id"),
    ];
    let part = ["id", "name", "group_type_id"];
    let snapshot = [&part[..], &["group_id", "status", "created_at", "description"]].concat();
    vec![
        line(GroupTypesList, "", "/group_types/0", &kind),
        line(GroupTypeShow, "", "/group_type", &kind),
        line(GroupTypeDefault, "", "/itemNotFound", &["code", "message"]),
        line(GroupSpecs, "", "/group_specs", &["k"]),
        line(GroupSpec, "", "", &["k"]),
        line(GroupsList, ALL, "/groups/0", &["id", "name"]),
        line(GroupsDetail, ALL, "/groups/0", &group).later(later),
        line(GroupsDetail, "all_tenants=1&list_volume=True", "/groups/0", &group).later(with_members),
        line(GroupShow, "", "/group", &group).later(later),
        line(GroupShow, "list_volume=True", "/group", &group).later(with_members),
        line(GroupSnapshotsList, ALL, "/group_snapshots/0", &["id", "name"]),
        line(GroupSnapshotsDetail, ALL, "/group_snapshots/0", &snapshot).later(&[(58, "project_id")]),
        line(GroupSnapshotShow, "", "/group_snapshot", &snapshot).later(&[(58, "project_id")]),
    ]
}

fn policy() -> Vec<Line> {
    let kind = ["id", "name", "is_public", "description", "extra_specs", "qos_specs_id"];
    let kind = [&kind[..], &["os-volume-type-access:is_public"]].concat();
    let encryption = ["volume_type_id", "encryption_id", "provider", "cipher", "key_size"];
    let more = ["control_location", "created_at", "updated_at", "deleted_at", "deleted"];
    let qos = ["id", "name", "consumer", "specs"];
    let of_project = ["project_id", "volume_type_id"];
    vec![
        line(TypesList, "is_public=none", "/volume_types/0", &kind),
        line(TypeShow, "", "/volume_type", &kind),
        line(TypeDefault, "", "/volume_type", &kind),
        line(TypeSpecs, "", "/extra_specs", &["any:k"]),
        line(TypeSpec, "", "", &["any:k"]),
        line(TypeAccess, "", "/volume_type_access/0", &of_project),
        line(TypeEncryption, "", "", &[&encryption[..], &more].concat()),
        line(TypeEncryptionItem, "", "", &["provider"]),
        line(DefaultTypesList, "", "/default_types/0", &of_project),
        line(DefaultTypeShow, "", "/default_type", &of_project),
        line(QosList, "", "/qos_specs/0", &qos),
        line(QosShow, "", "", &["qos_specs", "links"]),
        line(QosShow, "", "/qos_specs", &qos),
        line(QosAssociations, "", "/qos_associations/0", &["association_type", "name", "id"]),
        line(QosAssociate, "vol_type_id=none", "/itemNotFound", &["code", "message"]),
        line(QosDisassociate, "vol_type_id=none", "/itemNotFound", &["code", "message"]),
    ]
}

const COUNTED: [&str; 8] = [
    "id",
    "volumes",
    "snapshots",
    "gigabytes",
    "backups",
    "backup_gigabytes",
    "groups",
    "per_volume_gigabytes",
];
/// There are two types: none, and the one of the scene.
const COUNTED_BY_TYPE: [&str; 6] = [
    "volumes___DEFAULT__",
    "snapshots___DEFAULT__",
    "gigabytes___DEFAULT__",
    "volumes_vt",
    "snapshots_vt",
    "gigabytes_vt",
];
const ABSOLUTE: [&str; 10] = [
    "maxTotalVolumes",
    "maxTotalSnapshots",
    "maxTotalVolumeGigabytes",
    "maxTotalBackups",
    "maxTotalBackupGigabytes",
    "totalVolumesUsed",
    "totalSnapshotsUsed",
    "totalGigabytesUsed",
    "totalBackupsUsed",
    "totalBackupGigabytesUsed",
];
const CAPABILITIES: [&str; 11] = [
    "namespace",
    "vendor_name",
    "volume_backend_name",
    "pool_name",
    "driver_version",
    "storage_protocol",
    "display_name",
    "description",
    "visibility",
    "replication_targets",
    "properties",
];

fn house() -> Vec<Line> {
    let service = ["binary", "host", "zone", "status", "state", "updated_at", "disabled_reason"];
    let of_pool = [&service[..], &["frozen", "replication_status", "active_backend_id"]].concat();
    let quotas = [&COUNTED[..], &COUNTED_BY_TYPE].concat();
    let extension = ["name", "alias", "description", "updated", "links"];
    let host = ["host_name", "service", "zone", "service-status", "service-state", "last-update"];
    let held = ["host", "project", "volume_count", "total_volume_gb", "snapshot_count", "total_snapshot_gb"];
    let message = ["id", "event_id", "user_message", "message_level", "created_at", "guaranteed_until"];
    let message = [&message[..], &["request_id", "resource_type", "resource_uuid", "links"]].concat();
    let figures = ["limit", "in_use", "reserved", "allocated"];
    vec![
        line(ServicesList, "binary=cinder-scheduler", "/services/0", &service).later(&[(7, "cluster")]),
        line(ServicesList, "binary=cinder-volume", "/services/0", &of_pool)
            .later(&[(7, "cluster"), (49, "backend_state")]),
        line(QuotaShow, "", "/quota_set", &quotas),
        line(QuotaShow, "usage=True", "/quota_set", &quotas),
        line(QuotaShow, "usage=True", "/quota_set/volumes", &figures),
        line(QuotaDefaults, "", "/quota_set", &quotas),
        line(QuotaClassShow, "", "/quota_class_set", &quotas),
        line(Limits, "", "/limits", &["rate", "absolute"]),
        line(Limits, "", "/limits/absolute", &ABSOLUTE),
        line(Zones, "", "/availabilityZoneInfo/0", &["zoneName", "zoneState"]),
        line(Zones, "", "/availabilityZoneInfo/0/zoneState", &["available"]),
        line(Pools, "", "/pools/0", &["name"]),
        line(Pools, "detail=True", "/pools/0", &["name", "capabilities"]),
        line(Capabilities, "", "", &CAPABILITIES),
        line(Capabilities, "", "/properties/qos", &["title", "type", "description"]),
        line(HostsList, "", "/hosts/0", &host),
        line(HostShow, "", "/host/0", &["resource"]),
        line(HostShow, "", "/host/0/resource", &held),
        line(ResourceFilters, "", "/resource_filters/0", &["resource", "filters"]),
        line(MessagesList, ALL, "/messages/0", &message),
        line(MessageShow, "", "/message", &message),
        line(Extensions, "", "/extensions/0", &extension),
        line(ExtensionShow, "", "/extension", &extension),
    ]
}

fn table() -> Vec<Line> {
    [volumes(), copies(), groups(), policy(), house()].into_iter().flatten().collect()
}

/// The microversion that brought an operation, as the server itself says it.
async fn since(scene: &Scene, call: &Call) -> u16 {
    for minor in 0..=NEWEST {
        let got = ask(scene, call, "", minor).await;
        if !got.to_string().contains("The resource could not be found.") {
            return minor;
        }
    }
    panic!("{:?} is in no version", call.endpoint);
}

async fn ask(scene: &Scene, call: &Call, query: &str, minor: u16) -> Value {
    // Messages are for their own project.
    let mine = call.pattern.contains("/messages");
    let token = if mine { &scene.member } else { &scene.c.token };
    let target = if query.is_empty() { call.path.clone() } else { format!("{}?{query}", call.path) };
    let version = ("openstack-api-version", format!("volume 3.{minor}").into_bytes());
    let headers = [("x-auth-token", token.clone().into_bytes()), version];
    let got = scene.send_with(call, &target, &headers, Vec::new()).await;
    serde_json::from_str(&got.text).unwrap_or_default()
}

/// Fills in what the scene leaves out: a private type with encryption, specs and a project that takes it by default.
async fn complete(scene: &Scene) {
    let (c, ids) = (&scene.c, &scene.ids);
    let kind = format!("/types/{}", ids.volume_type);
    let encryption = json!({ "encryption": { "provider": "luks", "cipher": "aes-xts-plain64",
                                             "key_size": 256, "control_location": "front-end" } });
    assert_eq!(c.post(&format!("{kind}/encryption"), encryption).await.status, 200);
    let taken = json!({ "default_type": { "volume_type": ids.volume_type } });
    assert_eq!(c.put(&format!("/default-types/{}", ids.project), taken).await.status, 200);
    assert_eq!(c.put(&kind, json!({ "volume_type": { "is_public": false } })).await.status, 200);
    let access = json!({ "addProjectAccess": { "project": ids.project } });
    assert_eq!(c.post(&format!("{kind}/action"), access).await.status, 202);
    let path = format!("/qos-specs/{}/associate?vol_type_id={}", ids.qos, ids.volume_type);
    assert_eq!(c.get(&path).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_asked_for_has_exactly_the_fields_of_its_version() {
    let scene = Scene::start().await;
    complete(&scene).await;
    let calls: Vec<Call> = calls::all(&scene.ids)
        .into_iter()
        .filter(|c| c.method == Method::GET && c.is_volume() && !c.is_public())
        .collect();
    let known: BTreeSet<String> =
        table().iter().map(|l| l.of).chain(EMPTY).map(|e| format!("{e:?}")).collect();
    let there: BTreeSet<String> = calls.iter().map(|c| format!("{:?}", c.endpoint)).collect();
    assert_eq!(known, there, "operations of the table, and those there are");
    let mut faults = Vec::new();
    for line in table() {
        let call = calls.iter().find(|c| c.endpoint == line.of).unwrap();
        for minor in since(&scene, call).await..=NEWEST {
            let got = ask(&scene, call, line.query, minor).await;
            let wanted = fields(&line.base, line.later, minor);
            let found = got.pointer(line.at).filter(|d| d.is_object()).map(keys);
            if found.as_ref() != Some(&wanted) {
                let of = format!("{:?}?{} {} in 3.{minor}", line.of, line.query, line.at);
                faults.push(format!("{of}: {found:?} is not {wanted:?} in {:.300}", got.to_string()));
                break;
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
