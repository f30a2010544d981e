//! Every operation of LXD's storage API, and of what its clients touch besides: which are built, which are
//! only known.

use http::{Method, StatusCode};
use parpen_http::path::{self, Found, Params};
use parpen_http::{HttpRequest, Reply};

use crate::envelope;

macro_rules! endpoints {
    ($($name:ident = $method:ident $path:literal $state:ident,)*) => {
        /// Every operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // the table below says it
        pub enum Endpoint { $($name),* }

        impl Endpoint {
            /// All of them.
            pub const ALL: &'static [Endpoint] = &[$(Endpoint::$name),*];

            /// Whether it does something; the others answer that they are not implemented.
            pub fn is_built(self) -> bool {
                match self { $(Endpoint::$name => stringify!($state) == "built"),* }
            }

            /// Method and path, for the coverage table.
            pub fn line(self) -> (Method, &'static str) {
                match self { $(Endpoint::$name => (Method::$method, $path)),* }
            }
        }

        fn table() -> Vec<path::Route<Endpoint>> {
            vec![$((Method::$method, $path, Endpoint::$name)),*]
        }
    };
}

endpoints! {
    Root = GET "/" built,
    ServerGet = GET "/1.0" built,
    ServerPut = PUT "/1.0" absent,
    ServerPatch = PATCH "/1.0" absent,
    ResourcesGet = GET "/1.0/resources" absent,
    MetricsGet = GET "/1.0/metrics" absent,
    ClusterGet = GET "/1.0/cluster" absent,

    PoolList = GET "/1.0/storage-pools" built,
    PoolCreate = POST "/1.0/storage-pools" built,
    PoolGet = GET "/1.0/storage-pools/{pool}" built,
    PoolPut = PUT "/1.0/storage-pools/{pool}" built,
    PoolPatch = PATCH "/1.0/storage-pools/{pool}" built,
    PoolDelete = DELETE "/1.0/storage-pools/{pool}" built,
    PoolResources = GET "/1.0/storage-pools/{pool}/resources" built,

    VolumeList = GET "/1.0/storage-pools/{pool}/volumes" built,
    VolumeCreate = POST "/1.0/storage-pools/{pool}/volumes" built,
    VolumeTypeList = GET "/1.0/storage-pools/{pool}/volumes/{type}" built,
    VolumeTypeCreate = POST "/1.0/storage-pools/{pool}/volumes/{type}" built,
    VolumeGet = GET "/1.0/storage-pools/{pool}/volumes/{type}/{volume}" built,
    VolumePut = PUT "/1.0/storage-pools/{pool}/volumes/{type}/{volume}" built,
    VolumePatch = PATCH "/1.0/storage-pools/{pool}/volumes/{type}/{volume}" built,
    VolumeRename = POST "/1.0/storage-pools/{pool}/volumes/{type}/{volume}" built,
    VolumeDelete = DELETE "/1.0/storage-pools/{pool}/volumes/{type}/{volume}" built,
    VolumeState = GET "/1.0/storage-pools/{pool}/volumes/{type}/{volume}/state" built,
    VolumeListAll = GET "/1.0/storage-volumes" built,
    VolumeTypeListAll = GET "/1.0/storage-volumes/{type}" built,

    SnapshotList = GET "/1.0/storage-pools/{pool}/volumes/{type}/{volume}/snapshots" built,
    SnapshotCreate = POST "/1.0/storage-pools/{pool}/volumes/{type}/{volume}/snapshots" built,
    SnapshotGet = GET "/1.0/storage-pools/{pool}/volumes/{type}/{volume}/snapshots/{snapshot}" built,
    SnapshotPut = PUT "/1.0/storage-pools/{pool}/volumes/{type}/{volume}/snapshots/{snapshot}" built,
    SnapshotPatch = PATCH "/1.0/storage-pools/{pool}/volumes/{type}/{volume}/snapshots/{snapshot}" built,
    SnapshotRename = POST "/1.0/storage-pools/{pool}/volumes/{type}/{volume}/snapshots/{snapshot}" built,
    SnapshotDelete = DELETE "/1.0/storage-pools/{pool}/volumes/{type}/{volume}/snapshots/{snapshot}" built,

    BackupList = GET "/1.0/storage-pools/{pool}/volumes/{type}/{volume}/backups" built,
    BackupCreate = POST "/1.0/storage-pools/{pool}/volumes/{type}/{volume}/backups" absent,
    BackupGet = GET "/1.0/storage-pools/{pool}/volumes/{type}/{volume}/backups/{backup}" absent,
    BackupRename = POST "/1.0/storage-pools/{pool}/volumes/{type}/{volume}/backups/{backup}" absent,
    BackupDelete = DELETE "/1.0/storage-pools/{pool}/volumes/{type}/{volume}/backups/{backup}" absent,
    BackupExport = GET "/1.0/storage-pools/{pool}/volumes/{type}/{volume}/backups/{backup}/export" absent,

    BucketList = GET "/1.0/storage-pools/{pool}/buckets" absent,
    BucketCreate = POST "/1.0/storage-pools/{pool}/buckets" absent,
    BucketGet = GET "/1.0/storage-pools/{pool}/buckets/{bucket}" absent,
    BucketPut = PUT "/1.0/storage-pools/{pool}/buckets/{bucket}" absent,
    BucketPatch = PATCH "/1.0/storage-pools/{pool}/buckets/{bucket}" absent,
    BucketDelete = DELETE "/1.0/storage-pools/{pool}/buckets/{bucket}" absent,
    BucketKeyList = GET "/1.0/storage-pools/{pool}/buckets/{bucket}/keys" absent,
    BucketKeyCreate = POST "/1.0/storage-pools/{pool}/buckets/{bucket}/keys" absent,
    BucketKeyGet = GET "/1.0/storage-pools/{pool}/buckets/{bucket}/keys/{key}" absent,
    BucketKeyPut = PUT "/1.0/storage-pools/{pool}/buckets/{bucket}/keys/{key}" absent,
    BucketKeyDelete = DELETE "/1.0/storage-pools/{pool}/buckets/{bucket}/keys/{key}" absent,

    OperationList = GET "/1.0/operations" built,
    OperationGet = GET "/1.0/operations/{operation}" built,
    OperationDelete = DELETE "/1.0/operations/{operation}" built,
    OperationWait = GET "/1.0/operations/{operation}/wait" built,
    OperationWebsocket = GET "/1.0/operations/{operation}/websocket" absent,
    Events = GET "/1.0/events" built,

    ProjectList = GET "/1.0/projects" built,
    ProjectCreate = POST "/1.0/projects" absent,
    ProjectGet = GET "/1.0/projects/{project}" built,
    ProjectPut = PUT "/1.0/projects/{project}" absent,
    ProjectPatch = PATCH "/1.0/projects/{project}" absent,
    ProjectRename = POST "/1.0/projects/{project}" absent,
    ProjectDelete = DELETE "/1.0/projects/{project}" absent,
    ProjectState = GET "/1.0/projects/{project}/state" absent,

    CertificateList = GET "/1.0/certificates" built,
    CertificateCreate = POST "/1.0/certificates" absent,
    CertificateGet = GET "/1.0/certificates/{certificate}" built,
    CertificatePut = PUT "/1.0/certificates/{certificate}" absent,
    CertificatePatch = PATCH "/1.0/certificates/{certificate}" absent,
    CertificateDelete = DELETE "/1.0/certificates/{certificate}" absent,

    WarningList = GET "/1.0/warnings" built,
    WarningGet = GET "/1.0/warnings/{warning}" built,
    WarningPut = PUT "/1.0/warnings/{warning}" absent,
    WarningPatch = PATCH "/1.0/warnings/{warning}" absent,
    WarningDelete = DELETE "/1.0/warnings/{warning}" absent,

    ProfileList = GET "/1.0/profiles" built,
    ProfileCreate = POST "/1.0/profiles" absent,
    ProfileGet = GET "/1.0/profiles/{profile}" built,
    ProfilePut = PUT "/1.0/profiles/{profile}" absent,
    ProfilePatch = PATCH "/1.0/profiles/{profile}" absent,
    ProfileRename = POST "/1.0/profiles/{profile}" absent,
    ProfileDelete = DELETE "/1.0/profiles/{profile}" absent,

    InstanceList = GET "/1.0/instances" built,
    InstanceCreate = POST "/1.0/instances" absent,
    InstanceGet = GET "/1.0/instances/{instance}" built,
    InstancePut = PUT "/1.0/instances/{instance}" absent,
    InstancePatch = PATCH "/1.0/instances/{instance}" absent,
    InstanceDelete = DELETE "/1.0/instances/{instance}" absent,
    // Clients of servers without the extension `instances` ask under the older names.
    ContainerList = GET "/1.0/containers" built,
    ContainerGet = GET "/1.0/containers/{instance}" built,
    MachineList = GET "/1.0/virtual-machines" built,
    MachineGet = GET "/1.0/virtual-machines/{instance}" built,
}

/// The operation and the names in its path. LXD knows no slash at the end, and no HEAD.
pub(crate) fn route(request: &HttpRequest) -> Result<(Endpoint, Params), Box<Reply>> {
    let path = request.path();
    let not_found = || Box::new(envelope::error(StatusCode::NOT_FOUND, "not found"));
    if path.len() > 1 && path.ends_with('/') {
        return Err(not_found());
    }
    match path::find(&table(), &request.method, path) {
        Found::Nothing => Err(not_found()),
        _ if request.method == Method::OPTIONS => Err(Box::new(Reply::empty(StatusCode::OK))),
        Found::Endpoint(e, params) if request.method != Method::HEAD => Ok((e, params)),
        Found::Endpoint(..) | Found::OtherMethod(_) => {
            Err(Box::new(envelope::error(StatusCode::NOT_IMPLEMENTED, "not implemented")))
        }
    }
}
