//! Every call of the API, and which one a request asks for.

use http::{Method, StatusCode};
use parpen_http::path::{self, Found, Params, Route};
use parpen_http::{HttpRequest, Reply};

use crate::errors;

/// Where the calls live.
const BASE: &str = "/ctrl/1.0/";

/// Which published bindings know a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// 2.0.0, and gone from 7.3.0.
    Gone,
    /// 2.0.0 and 7.3.0.
    Kept,
    /// 7.3.0 (or integrations) only.
    Later,
}

macro_rules! endpoints {
    ($($name:ident: $method:ident $pattern:literal $since:ident,)*) => {
        /// All calls, in the order of the documents.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Endpoint {
            $(#[doc = concat!("`", stringify!($method), " ", $pattern, "`")] $name),*
        }

        impl Endpoint {
            /// All of them.
            pub const ALL: &'static [Endpoint] = &[$(Endpoint::$name),*];

            /// Method and path below `/ctrl/1.0/`.
            pub fn line(self) -> (&'static str, &'static str) {
                match self { $(Endpoint::$name => (stringify!($method), $pattern)),* }
            }

            /// Which bindings know it.
            pub fn since(self) -> Since {
                match self { $(Endpoint::$name => Since::$since),* }
            }
        }

        static ROUTES: &[Route<Endpoint>] = &[$((Method::$method, $pattern, Endpoint::$name)),*];
    };
}

endpoints! {
    NetworkPeersList: GET "NetworkPeersList" Kept,
    TasksList: GET "TasksList" Kept,
    ServicesList: GET "ServicesList" Kept,
    ServersListBlocked: GET "ServersListBlocked" Kept,
    ServerDisksList: GET "ServerDisksList/{id}" Kept,
    ServerDiskDescribe: GET "ServerDiskDescribe/{id}/{disk}" Kept,
    ClientsConfigDump: GET "ClientsConfigDump" Kept,
    ClientConfigWait: GET "ClientConfigWait/{id}" Kept,
    ClientActiveRequests: GET "ClientActiveRequests/{id}" Kept,
    AoeStatus: GET "AoeStatus" Gone,
    AoeExportVolume: POST "AoeExportVolume/{name}" Gone,
    AoeExportSnapshot: POST "AoeExportSnapshot/{name}" Gone,
    AoeUnexportVolume: POST "AoeUnexportVolume/{name}" Gone,
    AoeUnexportSnapshot: POST "AoeUnexportSnapshot/{name}" Gone,
    AoeTargetActiveRequests: GET "AoeTargetActiveRequests/{id}" Gone,
    DisksList: GET "DisksList" Kept,
    DiskDescribe: GET "DiskDescribe/{disk}" Kept,
    DiskGetInfo: GET "DiskGetInfo/{disk}" Gone,
    DiskEject: POST "DiskEject/{disk}" Kept,
    DiskForget: POST "DiskForget/{disk}" Kept,
    DiskIgnore: POST "DiskIgnore/{disk}" Kept,
    DiskSoftEject: POST "DiskSoftEject/{disk}" Kept,
    DiskSoftEjectPause: POST "DiskSoftEjectPause/{disk}" Kept,
    DiskSoftEjectCancel: POST "DiskSoftEjectCancel/{disk}" Kept,
    DiskSetDescription: POST "DiskSetDescription/{disk}" Kept,
    DiskActiveRequests: GET "DiskActiveRequests/{disk}" Kept,
    VolumesList: GET "VolumesList" Kept,
    VolumesGetStatus: GET "VolumesGetStatus" Kept,
    Volume: GET "Volume/{name}" Kept,
    VolumeDescribe: GET "VolumeDescribe/{name}" Kept,
    VolumeGetInfo: GET "VolumeGetInfo/{name}" Kept,
    VolumeListSnapshots: GET "VolumeListSnapshots/{name}" Kept,
    VolumeCreate: POST "VolumeCreate" Kept,
    VolumeUpdate: POST "VolumeUpdate/{name}" Kept,
    VolumeFreeze: POST "VolumeFreeze/{name}" Kept,
    VolumeRebase: POST "VolumeRebase/{name}" Kept,
    VolumeAbandonDisk: POST "VolumeAbandonDisk/{name}" Kept,
    VolumeDelete: POST "VolumeDelete/{name}" Kept,
    SnapshotsList: GET "SnapshotsList" Kept,
    SnapshotsSpace: GET "SnapshotsSpace" Kept,
    Snapshot: GET "Snapshot/{name}" Kept,
    SnapshotDescribe: GET "SnapshotDescribe/{name}" Kept,
    SnapshotGetInfo: GET "SnapshotGetInfo/{name}" Kept,
    VolumeSnapshot: POST "VolumeSnapshot/{name}" Kept,
    SnapshotUpdate: POST "SnapshotUpdate/{name}" Kept,
    SnapshotRebase: POST "SnapshotRebase/{name}" Kept,
    SnapshotDelete: POST "SnapshotDelete/{name}" Kept,
    AttachmentsList: GET "AttachmentsList" Kept,
    VolumesReassign: POST "VolumesReassign" Kept,
    PlacementGroupsList: GET "PlacementGroupsList" Kept,
    PlacementGroupDescribe: GET "PlacementGroupDescribe/{name}" Kept,
    PlacementGroupUpdate: POST "PlacementGroupUpdate/{name}" Kept,
    PlacementGroupDelete: POST "PlacementGroupDelete/{name}" Kept,
    VolumeTemplatesList: GET "VolumeTemplatesList" Kept,
    VolumeTemplatesStatus: GET "VolumeTemplatesStatus" Kept,
    VolumeTemplateDescribe: GET "VolumeTemplateDescribe/{name}" Kept,
    VolumeTemplateCreate: POST "VolumeTemplateCreate" Kept,
    VolumeTemplateUpdate: POST "VolumeTemplateUpdate/{name}" Kept,
    VolumeTemplateDelete: POST "VolumeTemplateDelete/{name}" Kept,
    VolumeRelocatorOn: POST "VolumeRelocatorOn" Gone,
    VolumeRelocatorOff: POST "VolumeRelocatorOff" Gone,
    VolumeRelocatorStatus: GET "VolumeRelocatorStatus" Kept,
    VolumeRelocatorDisksList: GET "VolumeRelocatorDisksList" Kept,
    VolumeRelocatorVolumeDisks: GET "VolumeRelocatorVolumeDisks/{name}" Kept,
    VolumeRelocatorSnapshotDisks: GET "VolumeRelocatorSnapshotDisks/{name}" Kept,
    VolumeBalancerStatusGet: GET "VolumeBalancerStatus" Kept,
    VolumeBalancerStatusSet: POST "VolumeBalancerStatus" Kept,
    VolumeBalancerVolumesStatus: GET "VolumeBalancerVolumesStatus" Kept,
    VolumeBalancerDisksList: GET "VolumeBalancerDisksList" Kept,
    VolumeBalancerVolumeDisks: GET "VolumeBalancerVolumeDisks/{name}" Kept,
    VolumeBalancerSnapshotDisks: GET "VolumeBalancerSnapshotDisks/{name}" Kept,
    VolumeBalancerVolumeDiskSets: GET "VolumeBalancerVolumeDiskSets/{name}" Kept,
    VolumeBalancerSnapshotDiskSets: GET "VolumeBalancerSnapshotDiskSets/{name}" Kept,
    VolumeBalancerGroups: GET "VolumeBalancerGroups" Gone,
    AllPeersActiveRequests: GET "AllPeersActiveRequests" Later,
    ServersList: GET "ServersList" Later,
    DiskScrubStart: POST "DiskScrubStart/{disk}" Later,
    DiskScrubPause: POST "DiskScrubPause/{disk}" Later,
    DiskScrubContinue: POST "DiskScrubContinue/{disk}" Later,
    DiskRetrim: POST "DiskRetrim/{disk}" Later,
    VolumesGetStatusQuick: GET "VolumesGetStatusQuick" Later,
    VolumesSpace: GET "VolumesSpace" Later,
    VolumeBackup: POST "VolumeBackup" Later,
    VolumesGroupBackup: POST "VolumesGroupBackup" Later,
    VolumeMoveToRemote: POST "VolumeMoveToRemote/{name}" Later,
    VolumeExport: POST "VolumeExport/{name}" Later,
    VolumeAcquire: POST "VolumeAcquire/{name}" Later,
    VolumeFromRemote: POST "VolumeFromRemote" Later,
    VolumeRevert: POST "VolumeRevert/{name}" Later,
    SnapshotDeleteById: POST "SnapshotDeleteById/{name}" Later,
    VolumesGroupSnapshot: POST "VolumesGroupSnapshot" Later,
    SnapshotFromRemote: POST "SnapshotFromRemote" Later,
    SnapshotMoveToRemote: POST "SnapshotMoveToRemote/{name}" Later,
    SnapshotExport: POST "SnapshotExport" Later,
    SnapshotUnexport: POST "SnapshotUnexport" Later,
    ExportsList: GET "ExportsList" Later,
    VolumeExportsList: GET "VolumeExportsList" Later,
    SnapshotsRemoteList: GET "SnapshotsRemoteList" Later,
    VolumesRemoteList: GET "VolumesRemoteList" Later,
    SnapshotsRemoteUnexport: POST "SnapshotsRemoteUnexport" Later,
    VolumesReassignWait: POST "VolumesReassignWait" Later,
    FaultSetsList: GET "FaultSetsList" Later,
    VagList: GET "VagList/{name}" Later,
    VolumeUpdateVag: POST "VolumeUpdateVag/{name}" Later,
    SnapshotUpdateVag: POST "SnapshotUpdateVag/{name}" Later,
    VagUpdate: POST "VagUpdate" Later,
    ISCSIConfigGet: GET "iSCSIConfig" Later,
    ISCSIConfigSet: POST "iSCSIConfig" Later,
    ISCSISessionsInfo: GET "iSCSISessionsInfo" Later,
    ISCSInterfacesInfo: GET "iSCSInterfacesInfo" Later,
    LocationsList: GET "LocationsList" Later,
    LocationAdd: POST "LocationAdd" Later,
    LocationRemove: POST "LocationRemove" Later,
    LocationUpdate: POST "LocationUpdate" Later,
    LocationRename: POST "LocationRename" Later,
    ClustersList: GET "ClustersList" Later,
    ClusterAdd: POST "ClusterAdd" Later,
    ClusterRemove: POST "ClusterRemove" Later,
    ClusterRename: POST "ClusterRename" Later,
    RemoteBridgesList: GET "RemoteBridgesList" Later,
    RemoteBridgeAdd: POST "RemoteBridgeAdd" Later,
    RemoteBridgeRemove: POST "RemoteBridgeRemove" Later,
    MaintenanceList: GET "MaintenanceList" Later,
    MaintenanceSet: POST "MaintenanceSet" Later,
    MaintenanceComplete: POST "MaintenanceComplete" Later,
    KV: GET "KV" Later,
    KVList: GET "KV/List/{name}" Later,
    KVGet: GET "KV/Get/{name}/{key}" Later,
    KVCreate: POST "KV/Create/{name}" Later,
    KVDelete: POST "KV/Delete/{name}" Later,
    KVSet: POST "KV/Set/{name}" Later,
    VolumesAndSnapshotsList: GET "VolumesAndSnapshotsList" Later,
}

/// What follows the base, without the prefixes that name another cluster or all of them: this is a single
/// cluster.
fn below_base(path: &str) -> Option<&str> {
    let mut rest = path.strip_prefix(BASE)?;
    if let Some(remote) = rest.strip_prefix("RemoteCommand/") {
        rest = remote.split_once('/')?.1;
    }
    Some(rest.strip_prefix("MultiCluster/").unwrap_or(rest))
}

/// The call and its arguments; the error document where there is none.
pub fn route(request: &HttpRequest, generation: u64) -> Result<(Endpoint, Params), Box<Reply>> {
    let refuse = |status, descr: String| {
        Box::new(errors::document(status, "invalidCommand", &descr, false, generation))
    };
    let path = request.path();
    let Some(call) = below_base(path) else {
        return Err(refuse(StatusCode::NOT_FOUND, format!("the calls of this API begin with {BASE}")));
    };
    match path::find(ROUTES, &request.method, call) {
        Found::Endpoint(endpoint, params) => Ok((endpoint, params)),
        Found::OtherMethod(methods) => {
            let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
            let descr = format!("this call is made with {}, not {}", names.join(" or "), request.method);
            Err(refuse(StatusCode::METHOD_NOT_ALLOWED, descr))
        }
        Found::Nothing => {
            Err(refuse(StatusCode::NOT_FOUND, "there is no such call, or not with so many arguments".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::HeaderMap;
    use parpen_http::Via;

    fn asked(method: Method, target: &str) -> Result<(Endpoint, Params), Box<Reply>> {
        route(&HttpRequest::new(method, target, HeaderMap::new(), Via::Unix, Bytes::new()), 7)
    }

    #[test]
    fn all_75_calls_of_the_first_bindings_are_known() {
        // VolumeAbandonDisk is two calls of the bindings: one for volumes, one for snapshots.
        let first = Endpoint::ALL.iter().filter(|e| e.since() != Since::Later).count();
        assert_eq!(first + 1, 75);
        assert_eq!(Endpoint::ALL.iter().filter(|e| e.since() == Since::Gone).count(), 10);
        for endpoint in Endpoint::ALL {
            let (method, pattern) = endpoint.line();
            let target = format!("{BASE}{pattern}").replace(['{', '}'], "");
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(asked(method, &target).map(|(e, _)| e).ok(), Some(*endpoint), "{target}");
        }
    }

    #[test]
    fn names_arrive_raw_and_prefixes_are_passed_over() {
        for (target, name) in [
            ("/ctrl/1.0/Volume/#a", "#a"),
            ("/ctrl/1.0/Volume/a:b.c-d_e", "a:b.c-d_e"),
            ("/ctrl/1.0/Volume/~b.cd.ef", "~b.cd.ef"),
            ("/ctrl/1.0/Volume/%23a", "#a"),
            ("/ctrl/1.0/MultiCluster/Volume/a@1", "a@1"),
            ("/ctrl/1.0/RemoteCommand/other/Volume/*a@1", "*a@1"),
            ("/ctrl/1.0/RemoteCommand/other/MultiCluster/Volume/a", "a"),
            ("/ctrl/1.0/Volume/a?json=%7B%7D", "a"),
        ] {
            let (endpoint, params) = asked(Method::GET, target).unwrap_or_else(|_| panic!("{target}"));
            assert_eq!((endpoint, params.get("name")), (Endpoint::Volume, name), "{target}");
        }
    }

    #[test]
    fn what_is_no_call_gets_a_document() {
        for (method, target, status) in [
            (Method::GET, "/ctrl/1.0/", 404),
            (Method::GET, "/ctrl/1.0", 404),
            (Method::GET, "/ctrl/1.0/Nothing", 404),
            (Method::GET, "/ctrl/1.0/Volume", 404),
            (Method::GET, "/ctrl/1.0/Volume/a/b", 404),
            (Method::GET, "/ctrl/1.0/RemoteCommand/VolumesList", 404),
            (Method::GET, "/ctrl/2.0/VolumesList", 404),
            (Method::GET, "/ctrl/1.0/VolumeCreate", 405),
            (Method::DELETE, "/ctrl/1.0/Volume/a", 405),
        ] {
            let reply = asked(method, target).err().unwrap_or_else(|| panic!("{target} is no call"));
            assert_eq!(reply.status.as_u16(), status, "{target}");
            let body: serde_json::Value = serde_json::from_slice(reply.as_bytes().unwrap()).unwrap();
            assert_eq!((&body["error"]["name"], &body["generation"]), (&"invalidCommand".into(), &7.into()));
        }
    }
}
