//! A call of every operation: its method, its path with ids in it, and a document that it takes. A new operation that
//! takes a document and has none here fails the tests.

use http::Method;
use parpen_openstack::Endpoint;
use serde_json::{Value, json};

use super::scene::Ids;

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) endpoint: Endpoint,
    pub(super) method: Method,
    /// The path's pattern, as the router has it.
    pub(super) pattern: String,
    pub(super) path: String,
    /// The document; null where the operation takes none.
    pub(super) body: Value,
}

impl Call {
    /// The headers and the body under a token, in the newest version.
    pub(super) fn is_volume(&self) -> bool {
        self.pattern.starts_with("/volume/v3/")
    }

    /// Answered without a token.
    pub(super) fn is_public(&self) -> bool {
        let open = ["/identity", "/identity/v3", "/image", "/image/v2", "/volume", "/volume/v3"];
        self.endpoint == Endpoint::TokenIssue || open.contains(&self.pattern.as_str())
    }
}

/// All of them with these ids.
pub(super) fn all(ids: &Ids) -> Vec<Call> {
    let groups = [
        Endpoint::VolumeAction,
        Endpoint::SnapshotAction,
        Endpoint::AttachmentAction,
        Endpoint::BackupAction,
        Endpoint::TypeAction,
        Endpoint::GroupAction,
        Endpoint::GroupSnapshotAction,
    ];
    let mut calls = Vec::new();
    for endpoint in Endpoint::ALL.iter().copied().filter(|e| !groups.contains(e)) {
        let title = endpoint.title();
        let (head, action) = match title.split_once(" action ") {
            Some((head, action)) => (head, Some(action)),
            None => (title, None),
        };
        let (method, at) = head.split_once(' ').unwrap();
        // An action names the collection whose path it shares.
        let owner = groups.iter().find(|g| action.is_some() && format!("{g:?}") == at);
        let pattern = owner.map_or(at, |g| g.title().split_once(' ').unwrap().1).to_string();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let path = filled(&pattern, ids);
        for body in bodies(endpoint, &method, action, ids) {
            let (method, pattern, path) = (method.clone(), pattern.clone(), path.clone());
            calls.push(Call { endpoint, method, pattern, path, body });
        }
    }
    calls
}

/// The path with ids for names.
fn filled(pattern: &str, ids: &Ids) -> String {
    let mut before = "";
    let mut path = String::new();
    for segment in pattern.split('/').skip(1) {
        let value = match (before, segment) {
            ("volumes", "{id}") => &ids.volume,
            ("snapshots", "{id}") => &ids.snapshot,
            ("attachments", "{id}") => &ids.attachment,
            ("backups", "{id}") => &ids.backup,
            ("types", "{id}") => &ids.volume_type,
            ("groups" | "consistencygroups", "{id}") => &ids.group,
            ("group_snapshots" | "cgsnapshots", "{id}") => &ids.group_snapshot,
            ("group_types", "{id}") => &ids.group_type,
            ("volume-transfers" | "os-volume-transfer", "{id}") => &ids.transfer,
            ("qos-specs", "{id}") => &ids.qos,
            ("messages", "{id}") => &ids.message,
            ("images", "{id}") => &ids.image,
            ("projects", "{id}") | (_, "{project}") => &ids.project,
            ("users", "{id}") | (_, "{user}") => &ids.user,
            (_, "{credential}") => &ids.credential,
            ("domains", "{id}") | (_, "{domain}" | "{name}") => "default",
            ("roles", "{id}" | "{role}") => "member",
            // A scope that demands nothing of pools.
            ("extra_specs", "{key}") => "any:k",
            (_, "{key}") => "k",
            (_, "{tag}") => "t",
            (_, "{encryption}") => "provider",
            (_, "{alias}") => "os-hosts",
            ("os-hosts", "{host}") => "parpen@local",
            (_, "{host}") => "parpen@local%23local",
            (before, name) if name.starts_with('{') => panic!("nothing is known for {before}/{name}"),
            (_, plain) => plain,
        };
        path.push('/');
        path.push_str(value);
        before = segment;
    }
    path
}

/// Documents that the operation takes, each with another way to name something; null for none.
fn bodies(endpoint: Endpoint, method: &Method, action: Option<&str>, ids: &Ids) -> Vec<Value> {
    if matches!(*method, Method::GET | Method::DELETE) {
        return vec![Value::Null];
    }
    match action {
        Some(key) => arguments(endpoint, ids).into_iter().map(|a| json!({ key: a })).collect(),
        None => documents(endpoint, ids),
    }
}

/// What actions are given.
fn arguments(endpoint: Endpoint, ids: &Ids) -> Vec<Value> {
    use Endpoint::*;
    let connector = json!({ "connector": { "host": "h", "ip": "10.0.0.1", "initiator": "iqn" } });
    vec![match endpoint {
        VolumeExtend => json!({ "new_size": 2 }),
        VolumeExtendCompletion => json!({ "error": false }),
        VolumeReadonly => json!({ "readonly": true }),
        VolumeRetype => json!({ "new_type": ids.volume_type, "migration_policy": "never" }),
        VolumeBootable => json!({ "bootable": true }),
        VolumeImageMetadataSet => json!({ "metadata": { "k": "v" } }),
        VolumeImageMetadataUnset => json!({ "key": "k" }),
        VolumeReset => json!({ "status": "error", "attach_status": "detached", "migration_status": "none" }),
        VolumeRevert => json!({ "snapshot_id": ids.snapshot }),
        VolumeAttach => json!({ "mountpoint": "/dev/vdb", "instance_uuid": ids.user, "mode": "rw" }),
        VolumeDetach => json!({ "attachment_id": ids.attachment }),
        VolumeForceDetach => json!({ "attachment_id": ids.attachment, "connector": connector["connector"] }),
        VolumeMigrate => {
            json!({ "host": "parpen@dummy#dummy", "force_host_copy": false, "lock_volume": false })
        }
        VolumeMigrateCompletion => json!({ "new_volume": ids.held, "error": false }),
        VolumeUpload => json!({ "image_name": "i", "force": false, "disk_format": "raw",
                                "container_format": "bare", "visibility": "private", "protected": false }),
        VolumeInitialize | VolumeTerminate => connector,
        VolumeReimage => json!({ "image_id": ids.image, "reimage_reserved": false }),
        SnapshotReset | GroupSnapshotReset | GroupReset | BackupReset => json!({ "status": "error" }),
        SnapshotStatus => json!({ "status": "available", "progress": "80%" }),
        TypeAddAccess | TypeRemoveAccess => json!({ "project": ids.project }),
        GroupDelete => json!({ "delete-volumes": true }),
        GroupFailoverReplication => json!({ "allow_attached_volume": true, "secondary_backend_id": "x" }),
        GroupEnableReplication | GroupDisableReplication | GroupReplicationTargets => json!({}),
        AttachmentComplete | VolumeImageMetadataShow | VolumeForceDelete | VolumeUnmanage | VolumeReserve => {
            Value::Null
        }
        VolumeUnreserve | VolumeBeginDetaching | VolumeRollDetaching | SnapshotForceDelete => Value::Null,
        SnapshotUnmanage | BackupForceDelete => Value::Null,
        other => panic!("nothing is known for {other:?}"),
    }]
}

/// What volumes are made of.
fn volumes(ids: &Ids) -> Vec<Value> {
    let sources = [
        json!({ "name": "v", "description": "d", "metadata": { "a": "b" }, "availability_zone": "nova",
                "volume_type": ids.volume_type, "multiattach": false }),
        json!({ "snapshot_id": ids.snapshot }),
        json!({ "source_volid": ids.volume }),
        json!({ "backup_id": ids.backup }),
        json!({ "imageRef": ids.image }),
        json!({ "group_id": ids.group }),
    ];
    let with = |mut s: Value| {
        s["size"] = json!(1);
        json!({ "volume": s })
    };
    sources.into_iter().map(with).collect()
}

/// Documents of operations that are no actions.
fn documents(endpoint: Endpoint, ids: &Ids) -> Vec<Value> {
    use Endpoint::*;
    let one = match endpoint {
        VolumeCreate => return volumes(ids),
        VolumeUpdate => json!({ "volume": { "name": "n", "description": "d", "metadata": { "a": "b" } } }),
        SnapshotCreate => json!({ "snapshot": { "volume_id": ids.volume, "name": "n", "description": "d",
                                                "metadata": { "a": "b" } } }),
        SnapshotUpdate => json!({ "snapshot": { "name": "n", "description": "d" } }),
        VolumeMetadataMerge | VolumeMetadataReplace | SnapshotMetadataMerge | SnapshotMetadataReplace => {
            json!({ "metadata": { "k": "v" } })
        }
        VolumeMetadataItemSet | SnapshotMetadataItemSet => json!({ "meta": { "k": "v" } }),
        VolumeManage | VolumeManageNew => json!({ "volume": { "host": "parpen@local#local",
            "ref": { "source-name": ids.volume }, "name": "n", "bootable": false, "metadata": {} } }),
        SnapshotManage | SnapshotManageNew => json!({ "snapshot": { "volume_id": ids.volume,
            "ref": { "source-name": ids.snapshot }, "name": "n", "metadata": {} } }),
        BackupCreate => {
            let of = |more: Value| {
                let mut b = json!({ "volume_id": ids.volume, "name": "b", "container": "c",
                                    "incremental": false, "force": true, "metadata": { "a": "b" } });
                b.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                json!({ "backup": b })
            };
            return vec![of(json!({})), of(json!({ "snapshot_id": ids.snapshot }))];
        }
        BackupUpdate => json!({ "backup": { "name": "n", "description": "d", "metadata": { "a": "b" } } }),
        BackupRestore => json!({ "restore": { "volume_id": ids.volume, "name": "r" } }),
        BackupImport => json!({ "backup-record": { "backup_service": "parpen", "backup_url": "e30=" } }),
        AttachmentCreate => json!({ "attachment": { "volume_uuid": ids.volume, "instance_uuid": ids.user,
            "connector": { "host": "h" }, "mode": "rw" } }),
        AttachmentUpdate => json!({ "attachment": { "connector": { "host": "h", "ip": "10.0.0.1" } } }),
        TransferCreate | OldTransferCreate => {
            json!({ "transfer": { "volume_id": ids.volume, "name": "t", "no_snapshots": false } })
        }
        TransferAccept | OldTransferAccept => json!({ "accept": { "auth_key": "0123456789abcdef" } }),
        other => return vec![groups_and_policy(other, ids)],
    };
    vec![one]
}

fn groups_and_policy(endpoint: Endpoint, ids: &Ids) -> Value {
    use Endpoint::*;
    match endpoint {
        GroupCreate => json!({ "group": { "name": "g", "description": "d", "group_type": ids.group_type,
                                          "volume_types": ["__DEFAULT__"], "availability_zone": "nova" } }),
        GroupCreateFrom => json!({ "create-from-src": { "name": "g", "description": "d",
            "group_snapshot_id": null, "source_group_id": ids.group } }),
        GroupUpdate => json!({ "group": { "name": "n", "description": "d", "add_volumes": ids.volume,
                                          "remove_volumes": "" } }),
        GroupSnapshotCreate => {
            json!({ "group_snapshot": { "group_id": ids.group, "name": "s", "description": "d" } })
        }
        GroupTypeCreate => json!({ "group_type": { "name": "another", "description": "d", "is_public": true,
                                                   "group_specs": { "a": "b" } } }),
        GroupTypeUpdate => json!({ "group_type": { "name": "gt2", "description": "d", "is_public": true } }),
        GroupSpecsSet => json!({ "group_specs": { "k": "v" } }),
        GroupSpecSet => json!({ "k": "v" }),
        TypeSpecSet => json!({ "any:k": "v" }),
        TypeCreate => json!({ "volume_type": { "name": "another", "description": "d",
            "extra_specs": { "a": "b" }, "os-volume-type-access:is_public": true } }),
        TypeUpdate => json!({ "volume_type": { "name": "vt2", "description": "d", "is_public": true } }),
        TypeSpecsSet => json!({ "extra_specs": { "k": "v" } }),
        TypeEncryptionCreate | TypeEncryptionUpdate => json!({ "encryption": { "provider": "luks",
            "cipher": "aes-xts-plain64", "key_size": 256, "control_location": "front-end" } }),
        DefaultTypeSet => json!({ "default_type": { "volume_type": ids.volume_type } }),
        QosCreate => json!({ "qos_specs": { "name": "another", "consumer": "back-end", "k": "v" } }),
        QosUpdate => json!({ "qos_specs": { "k": "v" } }),
        QosUnset => json!({ "keys": ["k"] }),
        QuotaUpdate => json!({ "quota_set": { "volumes": 5, "gigabytes": 500, "snapshots": 5 } }),
        QuotaClassUpdate => json!({ "quota_class_set": { "volumes": 5, "gigabytes": 500 } }),
        ConsistencyGroupCreate => json!({ "consistencygroup": { "name": "c", "volume_types": "vt" } }),
        CgSnapshotCreate => json!({ "cgsnapshot": { "consistencygroup_id": ids.group, "name": "c" } }),
        other => house_and_people(other, ids),
    }
}

fn house_and_people(endpoint: Endpoint, ids: &Ids) -> Value {
    use Endpoint::*;
    match endpoint {
        ServiceEnable | ServiceDisable => json!({ "binary": "cinder-volume", "host": "parpen@dummy" }),
        ServiceDisableReason => {
            json!({ "binary": "cinder-volume", "host": "parpen@dummy", "disabled_reason": "r" })
        }
        ServiceThaw | ServiceFreeze => json!({ "host": "parpen@dummy" }),
        ServiceFailover | ServiceFailoverHost => json!({ "host": "parpen@dummy", "backend_id": "b" }),
        ServiceSetLog => json!({ "binary": "", "server": "", "prefix": "p", "level": "INFO" }),
        ServiceGetLog => json!({ "binary": "", "server": "", "prefix": "p" }),
        ClusterEnable | ClusterDisable => json!({ "name": "c", "binary": "cinder-volume" }),
        WorkersCleanup => json!({ "resource_id": ids.volume, "resource_type": "Volume" }),
        TokenIssue => json!({ "auth": { "identity": { "methods": ["password"], "password": { "user": {
            "name": "nobody", "domain": { "id": "default" }, "password": "p" } } },
            "scope": { "project": { "id": ids.project } } } }),
        ProjectCreate => json!({ "project": { "name": "p", "description": "d", "enabled": true } }),
        ProjectUpdate => json!({ "project": { "name": "p2", "description": "d", "enabled": true } }),
        UserCreate => json!({ "user": { "name": "u", "password": "p", "enabled": true,
                                        "default_project_id": ids.project } }),
        UserUpdate => json!({ "user": { "name": "u2", "enabled": true } }),
        UserPassword => json!({ "user": { "original_password": "wrong", "password": "p" } }),
        ApplicationCreate => json!({ "application_credential": { "name": "a", "description": "d",
            "roles": [{ "name": "member" }], "secret": "s", "expires_at": "2100-01-01T00:00:00" } }),
        ImageCreate => json!({ "name": "i", "disk_format": "raw", "container_format": "bare",
            "visibility": "private", "min_disk": 1, "min_ram": 1, "protected": false, "tags": ["t"] }),
        ImageUpdate => json!([{ "op": "replace", "path": "/name", "value": "n" }]),
        ImageUpload => json!("bytes"),
        RoleGrant | DomainRoleGrant | SystemRoleGrant | ImageDeactivate | ImageReactivate | ImageTag => {
            Value::Null
        }
        other => panic!("nothing is known for {other:?}"),
    }
}
