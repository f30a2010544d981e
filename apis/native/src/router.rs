//! Every operation and its path.

use http::{Method, StatusCode};
use parpen_http::path::{self, Found, Params};
use parpen_http::{HttpRequest, Reply};

macro_rules! endpoints {
    ($($name:ident = $method:ident $path:literal,)*) => {
        /// Every operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // the table below says it
        pub enum Endpoint { $($name),* }
        impl Endpoint {
            /// All of them.
            pub const ALL: &'static [Endpoint] = &[$(Endpoint::$name),*];
        }
        fn table() -> Vec<path::Route<Endpoint>> {
            vec![$((Method::$method, $path, Endpoint::$name)),*]
        }
    };
}

endpoints! {
    Health = GET "/health",
    Metrics = GET "/metrics",
    Status = GET "/api/status",
    PoolList = GET "/api/pools",
    PoolCreate = POST "/api/pools",
    PoolShow = GET "/api/pools/{pool}",
    PoolChange = PATCH "/api/pools/{pool}",
    PoolDelete = DELETE "/api/pools/{pool}",
    BalanceShow = GET "/api/pools/{pool}/balance",
    BalanceStart = POST "/api/pools/{pool}/balance",
    BalanceStop = DELETE "/api/pools/{pool}/balance",
    DiskList = GET "/api/disks",
    DiskAdd = POST "/api/disks",
    DiskShow = GET "/api/disks/{disk}",
    DiskDescribe = PATCH "/api/disks/{disk}",
    DiskVerb = POST "/api/disks/{disk}/{verb}",
    TaskList = GET "/api/tasks",
    VolumeList = GET "/api/volumes",
    VolumeCreate = POST "/api/volumes",
    VolumeShow = GET "/api/volumes/{volume}",
    VolumeChange = PATCH "/api/volumes/{volume}",
    VolumeDelete = DELETE "/api/volumes/{volume}",
    VolumeRollback = POST "/api/volumes/{volume}/rollback",
    VolumeFreeze = POST "/api/volumes/{volume}/freeze",
    VolumeFlatten = POST "/api/volumes/{volume}/flatten",
    VolumeDiff = GET "/api/volumes/{volume}/diff",
    VolumeImport = PUT "/api/volumes/{volume}/data",
    VolumeExport = GET "/api/volumes/{volume}/data",
    SnapshotCreate = POST "/api/volumes/{volume}/snapshots",
    SnapshotList = GET "/api/snapshots",
    SnapshotShow = GET "/api/snapshots/{snapshot}",
    SnapshotDelete = DELETE "/api/snapshots/{snapshot}",
    SnapshotFlatten = POST "/api/snapshots/{snapshot}/flatten",
    SnapshotDiff = GET "/api/snapshots/{snapshot}/diff",
    SnapshotExport = GET "/api/snapshots/{snapshot}/data",
    BackupList = GET "/api/backups",
    BackupCreate = POST "/api/backups",
    BackupImport = POST "/api/backups/import",
    BackupShow = GET "/api/backups/{backup}",
    BackupDelete = DELETE "/api/backups/{backup}",
    BackupRestore = POST "/api/backups/{backup}/restore",
    BackupVerify = POST "/api/backups/{backup}/verify",
    BackupRecord = GET "/api/backups/{backup}/record",
    ImageList = GET "/api/images",
    ImageCreate = POST "/api/images",
    ImageShow = GET "/api/images/{image}",
    ImageDelete = DELETE "/api/images/{image}",
    ImageUpload = PUT "/api/images/{image}/data",
    ImageDownload = GET "/api/images/{image}/data",
    ImageVolume = POST "/api/images/{image}/volume",
    TypeList = GET "/api/types",
    TypeCreate = POST "/api/types",
    TypeShow = GET "/api/types/{type}",
    TypeDelete = DELETE "/api/types/{type}",
    QuotaShow = GET "/api/quotas/{project}",
    QuotaSet = PATCH "/api/quotas/{project}",
    QuotaReset = DELETE "/api/quotas/{project}",
    ProjectList = GET "/api/projects",
    ProjectCreate = POST "/api/projects",
    ProjectDelete = DELETE "/api/projects/{project}",
    UserList = GET "/api/users",
    UserCreate = POST "/api/users",
    UserDelete = DELETE "/api/users/{user}",
    RoleGive = POST "/api/users/{user}/roles",
    RoleTake = POST "/api/users/{user}/roles/revoke",
    CredentialRotate = POST "/api/credentials/rotate",
    HostList = GET "/api/hosts",
    HostJoin = POST "/api/hosts/join",
    JobList = GET "/api/jobs",
    JobShow = GET "/api/jobs/{job}",
}

/// The operation and the names in its path.
pub(crate) fn route(request: &HttpRequest) -> Result<(Endpoint, Params), Box<Reply>> {
    match path::find(&table(), &request.method, request.path()) {
        Found::Endpoint(e, params) => Ok((e, params)),
        Found::OtherMethod(methods) => {
            let allowed = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            let text = format!("this path answers {allowed} only");
            let reply = crate::errors::document(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", &text);
            Err(Box::new(reply.with(http::header::ALLOW, allowed)))
        }
        Found::Nothing => {
            let text = "there is no such path";
            Err(Box::new(crate::errors::document(StatusCode::NOT_FOUND, "not-found", text)))
        }
    }
}
