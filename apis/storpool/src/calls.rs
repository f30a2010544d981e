//! The calls that are built: each looks names up, calls one use case and prints.

mod attachments;
mod cluster;
mod snapshots;
mod templates;
mod volumes;

use parpen_http::path::Params;
use parpen_identity::Actor;
use parpen_model::{Attributes, Condition, JobId, Kind};
use parpen_service::volumes::ChangeAttributes;
use parpen_service::{Ports, projects};
use serde::Serialize;
use serde_json::{Value, json};

use crate::endpoint::Endpoint;
use crate::from_wire::Tags;
use crate::names::{parse_global_id, space};
use crate::to_wire::{ATTRIBUTES, TAGS};

/// One request, read as far as every call needs it.
pub struct Call<'a> {
    /// The use cases' ports.
    pub ports: &'a Ports,
    /// Who calls.
    pub actor: &'a Actor,
    /// The arguments in the path.
    pub params: &'a Params,
    /// The body; an empty object if there was none.
    pub body: &'a Value,
    /// The generation before the call.
    pub generation: u64,
}

/// What a call answers.
#[derive(Debug)]
pub struct Done {
    /// The document.
    pub data: Value,
    /// The generation that it shows.
    pub generation: u64,
}

/// The function of a call.
pub type Handler = for<'a> fn(&'a Call<'a>) -> parpen_http::Boxed<'a, Result<Done, Condition>>;

impl Call<'_> {
    /// The name in the path.
    fn name(&self) -> &str {
        self.params.get("name")
    }

    /// What was looked at.
    fn shown(&self, data: impl Serialize) -> Result<Done, Condition> {
        Ok(Done {
            data: serde_json::to_value(data).map_err(Condition::internal)?,
            generation: self.generation,
        })
    }

    /// `ok`, with the generation after everything that was done, and what else there is to say.
    async fn done(&self, more: Value) -> Result<Done, Condition> {
        let generation = projects::generation(self.ports).await?;
        let mut data = json!({ "ok": true, "generation": generation });
        if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
            data.extend(more.into_iter().filter(|(_, v)| !v.is_null()));
        }
        Ok(Done { data, generation })
    }

    async fn wait(&self, job: JobId) -> Result<(), Condition> {
        self.ports.jobs.wait(job).await.map(|_| ())
    }

    /// A volume by name or global id.
    async fn volume(&self, name: &str) -> Result<parpen_service::volumes::View, Condition> {
        use parpen_service::volumes::{Key, get};
        let key = match name.strip_prefix('~').and_then(parse_global_id) {
            Some(id) => Key::Id(id.into()),
            None => Key::Named(space(), name.to_string()),
        };
        let found = get(self.ports, self.actor, &key).await;
        found.map_err(|e| called(e, Kind::Volume, name)).and_then(|v| volumes::present(v, name))
    }

    /// A snapshot by name or global id. The mark of one that is being deleted is no part of its name.
    async fn snapshot(&self, name: &str) -> Result<parpen_service::snapshots::View, Condition> {
        use parpen_service::snapshots::{Key, get};
        let key = match name.strip_prefix('~').and_then(parse_global_id) {
            Some(id) => Key::Id(id.into()),
            None => Key::Named(space(), name.strip_prefix('*').unwrap_or(name).to_string()),
        };
        get(self.ports, self.actor, &key).await.map_err(|e| called(e, Kind::Snapshot, name))
    }
}

/// What is missing is named as the client named it.
fn called(e: Condition, what: Kind, name: &str) -> Condition {
    match e {
        Condition::NotFound { .. } => Condition::not_found(what, name),
        other => other,
    }
}

/// Hangs tags on something; an empty value takes a name off.
fn change_tags(tags: Option<Tags>) -> Option<ChangeAttributes> {
    let tags = tags?;
    Some(Box::new(move |attributes: &mut Attributes| {
        let entry = attributes.entry(ATTRIBUTES);
        let mut all = entry.get(TAGS).and_then(Value::as_object).cloned().unwrap_or_default();
        for (name, value) in &tags {
            match value.as_str() {
                Some("") => all.shift_remove(name),
                _ => all.insert(name.clone(), value.clone()),
            };
        }
        match all.is_empty() {
            true => entry.shift_remove(TAGS),
            false => entry.insert(TAGS.into(), Value::Object(all)),
        };
    }))
}

/// The attributes of something new.
fn new_attributes(tags: Option<Tags>) -> Attributes {
    let mut attributes = Attributes::default();
    if let Some(mut change) = change_tags(tags) {
        change(&mut attributes);
    }
    attributes
}

/// The function of a call; none where it is not built yet. Without a default arm: a new call must take its
/// place.
pub fn handler(endpoint: Endpoint) -> Option<Handler> {
    use Endpoint as E;
    let handler: Handler = match endpoint {
        E::ServicesList | E::ServersListBlocked => |c| Box::pin(cluster::services(c)),
        E::DisksList => |c| Box::pin(cluster::disks(c)),
        E::ServerDisksList => |c| Box::pin(cluster::server_disks(c)),
        E::PlacementGroupsList => |c| Box::pin(cluster::groups(c)),
        E::PlacementGroupDescribe => |c| Box::pin(cluster::group(c)),
        E::VolumesList => |c| Box::pin(volumes::list(c)),
        E::Volume => |c| Box::pin(volumes::one(c)),
        E::VolumesGetStatus => |c| Box::pin(volumes::status(c)),
        E::VolumeCreate => |c| Box::pin(volumes::create(c)),
        E::VolumeUpdate => |c| Box::pin(volumes::update(c)),
        E::VolumeDelete => |c| Box::pin(volumes::delete(c)),
        E::VolumeListSnapshots => |c| Box::pin(snapshots::chain(c)),
        E::VolumeSnapshot => |c| Box::pin(snapshots::create(c)),
        E::SnapshotsList => |c| Box::pin(snapshots::list(c)),
        E::Snapshot => |c| Box::pin(snapshots::one(c)),
        E::SnapshotUpdate => |c| Box::pin(snapshots::update(c)),
        E::SnapshotDelete | E::SnapshotDeleteById => |c| Box::pin(snapshots::delete(c)),
        E::AttachmentsList => |c| Box::pin(attachments::list(c)),
        E::VolumesReassign => |c| Box::pin(attachments::reassign(c)),
        E::VolumesReassignWait => |c| Box::pin(attachments::reassign_wait(c)),
        E::VolumeTemplatesList => |c| Box::pin(templates::list(c)),
        E::VolumeTemplateDescribe => |c| Box::pin(templates::one(c)),
        E::VolumeTemplateCreate => |c| Box::pin(templates::create(c)),
        E::VolumeTemplateDelete => |c| Box::pin(templates::delete(c)),
        E::NetworkPeersList
        | E::TasksList
        | E::ServerDiskDescribe
        | E::ClientsConfigDump
        | E::ClientConfigWait
        | E::ClientActiveRequests
        | E::AoeStatus
        | E::AoeExportVolume
        | E::AoeExportSnapshot
        | E::AoeUnexportVolume
        | E::AoeUnexportSnapshot
        | E::AoeTargetActiveRequests
        | E::DiskDescribe
        | E::DiskGetInfo
        | E::DiskEject
        | E::DiskForget
        | E::DiskIgnore
        | E::DiskSoftEject
        | E::DiskSoftEjectPause
        | E::DiskSoftEjectCancel
        | E::DiskSetDescription
        | E::DiskActiveRequests
        | E::VolumeDescribe
        | E::VolumeGetInfo
        | E::VolumeFreeze
        | E::VolumeRebase
        | E::VolumeAbandonDisk
        | E::SnapshotsSpace
        | E::SnapshotDescribe
        | E::SnapshotGetInfo
        | E::SnapshotRebase
        | E::PlacementGroupUpdate
        | E::PlacementGroupDelete
        | E::VolumeTemplatesStatus
        | E::VolumeTemplateUpdate
        | E::VolumeRelocatorOn
        | E::VolumeRelocatorOff
        | E::VolumeRelocatorStatus
        | E::VolumeRelocatorDisksList
        | E::VolumeRelocatorVolumeDisks
        | E::VolumeRelocatorSnapshotDisks
        | E::VolumeBalancerStatusGet
        | E::VolumeBalancerStatusSet
        | E::VolumeBalancerVolumesStatus
        | E::VolumeBalancerDisksList
        | E::VolumeBalancerVolumeDisks
        | E::VolumeBalancerSnapshotDisks
        | E::VolumeBalancerVolumeDiskSets
        | E::VolumeBalancerSnapshotDiskSets
        | E::VolumeBalancerGroups
        | E::AllPeersActiveRequests
        | E::ServersList
        | E::DiskScrubStart
        | E::DiskScrubPause
        | E::DiskScrubContinue
        | E::DiskRetrim
        | E::VolumesGetStatusQuick
        | E::VolumesSpace
        | E::VolumeBackup
        | E::VolumesGroupBackup
        | E::VolumeMoveToRemote
        | E::VolumeExport
        | E::VolumeAcquire
        | E::VolumeFromRemote
        | E::VolumeRevert
        | E::VolumesGroupSnapshot
        | E::SnapshotFromRemote
        | E::SnapshotMoveToRemote
        | E::SnapshotExport
        | E::SnapshotUnexport
        | E::ExportsList
        | E::VolumeExportsList
        | E::SnapshotsRemoteList
        | E::VolumesRemoteList
        | E::SnapshotsRemoteUnexport
        | E::FaultSetsList
        | E::VagList
        | E::VolumeUpdateVag
        | E::SnapshotUpdateVag
        | E::VagUpdate
        | E::ISCSIConfigGet
        | E::ISCSIConfigSet
        | E::ISCSISessionsInfo
        | E::ISCSInterfacesInfo
        | E::LocationsList
        | E::LocationAdd
        | E::LocationRemove
        | E::LocationUpdate
        | E::LocationRename
        | E::ClustersList
        | E::ClusterAdd
        | E::ClusterRemove
        | E::ClusterRename
        | E::RemoteBridgesList
        | E::RemoteBridgeAdd
        | E::RemoteBridgeRemove
        | E::MaintenanceList
        | E::MaintenanceSet
        | E::MaintenanceComplete
        | E::KV
        | E::KVList
        | E::KVGet
        | E::KVCreate
        | E::KVDelete
        | E::KVSet
        | E::VolumesAndSnapshotsList => return None,
    };
    Some(handler)
}
