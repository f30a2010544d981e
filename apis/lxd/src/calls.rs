//! One operation each: parse, one use case, print.

mod events;
mod operations;
mod pools;
mod snapshots;
mod volumes;

use http::StatusCode;
use parpen_http::path::Params;
use parpen_http::{HttpRequest, Reply};
use parpen_identity::Actor;
use parpen_model::{Api, Condition, JobId, Kind, Pool, Volume};
use parpen_service::names::Space;
use parpen_service::volumes::Key;
use parpen_service::{Ports, pools as pool_cases, snapshots as snapshot_cases, volumes as volume_cases};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::bus::Bus;
use crate::from_wire::{self, VolumeKind};
use crate::{Endpoint, Lxd, envelope, etag, server, to_wire};

/// Longest body of a request, in bytes.
const BODY_MAX: usize = 4 << 20;

/// One request and what it needs.
pub(crate) struct Cx<'a> {
    pub(crate) lxd: &'a Lxd,
    pub(crate) actor: Actor,
    pub(crate) params: Params,
    pub(crate) request: HttpRequest,
}

impl Cx<'_> {
    fn ports(&self) -> &Ports {
        &self.lxd.ports
    }

    fn bus(&self) -> &std::sync::Arc<Bus> {
        &self.lxd.bus
    }

    fn recursive(&self) -> bool {
        self.request.query_value("recursion").is_some_and(|r| !matches!(r.as_str(), "" | "0"))
    }

    async fn body<T: DeserializeOwned>(&mut self) -> Result<T, Condition> {
        // An object: serde would take a list for a struct as well.
        let object: serde_json::Map<String, Value> = self.request.json(BODY_MAX).await?;
        let other = |e| Condition::invalid("body", format!("it is JSON of another form: {e}"));
        serde_json::from_value(Value::Object(object)).map_err(other)
    }

    /// Refuses when the client has another version in mind.
    fn check_match(&self, hash: &str) -> Result<(), Condition> {
        etag::check(self.request.header("if-match"), hash)
    }

    /// Whether the client has a version in mind. If not, a job that touches the row meanwhile is no
    /// hindrance.
    fn conditional(&self) -> bool {
        self.request.header("if-match").is_some()
    }

    async fn pool(&self) -> Result<Pool, Condition> {
        pool_cases::get(self.ports(), &self.actor, self.params.get("pool")).await
    }

    async fn volume_in(&self, pool: &Pool, name: &str) -> Result<Volume, Condition> {
        let key = Key::Named(Space::within(Api::Lxd, pool.id), name.to_string());
        Ok(volume_cases::get(self.ports(), &self.actor, &key).await?.volume)
    }

    /// The pool and the volume of the path. Only custom volumes are there.
    async fn volume(&self) -> Result<(Pool, Volume), Condition> {
        let name = self.params.get("volume");
        let kind = from_wire::volume_kind(self.params.get("type"))?;
        let pool = self.pool().await?;
        match kind {
            VolumeKind::Custom => {
                let volume = self.volume_in(&pool, name).await?;
                Ok((pool, volume))
            }
            VolumeKind::Other => Err(Condition::not_found(Kind::Volume, name)),
        }
    }

    /// The addresses of volumes and their snapshots, of one pool or all.
    async fn used_by(&self, pool: Option<&Pool>) -> Result<Vec<(parpen_model::PoolId, String)>, Condition> {
        let filter = volume_cases::Filter { pool: pool.map(|p| p.id), project: None };
        let all = volume_cases::list(self.ports(), &self.actor, filter).await?;
        let snapshots = snapshot_cases::list(self.ports(), &self.actor, None, false).await?;
        let by_origin = to_wire::by_origin(snapshots.into_iter().map(|s| s.snapshot).collect());
        let mut used = Vec::new();
        for view in &all {
            let name = view.volume.shown_in(Api::Lxd);
            used.push((view.pool.id, to_wire::volume_url(&view.pool.name, &name)));
            for s in by_origin.get(&view.volume.id).into_iter().flatten() {
                let short = parpen_service::names::short_in(s, Api::Lxd);
                used.push((view.pool.id, to_wire::snapshot_url(&view.pool.name, &name, &short)));
            }
        }
        Ok(used)
    }

    /// Waits for a job whose end the client is to see in this answer.
    async fn finish(&self, job: JobId) -> Result<(), Condition> {
        self.ports().jobs.wait(job).await.map(|_| ())
    }

    /// 202 with the job as an operation.
    async fn accepted(&self, job: JobId) -> Result<Reply, Condition> {
        let job = self.ports().jobs.get(&self.actor, job).await?;
        Ok(envelope::accepted(&self.bus().operation(&self.actor, &job).await))
    }
}

/// An answer without an actor: for strangers.
pub(crate) fn stranger(endpoint: Endpoint) -> Result<Reply, Condition> {
    match endpoint {
        Endpoint::Root => Ok(root()),
        Endpoint::ServerGet => Ok(envelope::sync(server::stranger())),
        _ => Err(Condition::Unauthenticated("only / and /1.0 are open".into())),
    }
}

fn root() -> Reply {
    envelope::sync(["/1.0"])
}

/// An answer to somebody who is trusted.
pub(crate) async fn call(endpoint: Endpoint, cx: Cx<'_>) -> Result<Reply, Condition> {
    use Endpoint as E;
    if !endpoint.is_built() {
        return Err(Condition::Unsupported("not implemented".into()));
    }
    from_wire::check_project(cx.request.query_value("project").as_deref())?;
    from_wire::check_target(cx.request.query_value("target").as_deref())?;
    match endpoint {
        E::Root => Ok(root()),
        E::ServerGet => Ok(envelope::sync(server::trusted(cx.lxd.version))),
        E::PoolList => pools::list(cx).await,
        E::PoolCreate => pools::create(cx).await,
        E::PoolGet => pools::get(cx).await,
        E::PoolPut => pools::change(cx, true).await,
        E::PoolPatch => pools::change(cx, false).await,
        E::PoolDelete => pools::delete(cx).await,
        E::PoolResources => pools::resources(cx).await,
        E::VolumeList | E::VolumeTypeList => volumes::list(cx).await,
        E::VolumeListAll | E::VolumeTypeListAll => volumes::list_all(cx).await,
        E::BackupList => volumes::backups(cx).await,
        E::VolumeCreate | E::VolumeTypeCreate => volumes::create(cx).await,
        E::VolumeGet => volumes::get(cx).await,
        E::VolumePut => volumes::change(cx, true).await,
        E::VolumePatch => volumes::change(cx, false).await,
        E::VolumeRename => volumes::rename(cx).await,
        E::VolumeDelete => volumes::delete(cx).await,
        E::VolumeState => volumes::state(cx).await,
        E::SnapshotList => snapshots::list(cx).await,
        E::SnapshotCreate => snapshots::create(cx).await,
        E::SnapshotGet => snapshots::get(cx).await,
        E::SnapshotPut => snapshots::change(cx, true).await,
        E::SnapshotPatch => snapshots::change(cx, false).await,
        E::SnapshotRename => snapshots::rename(cx).await,
        E::SnapshotDelete => snapshots::delete(cx).await,
        E::OperationList => operations::list(cx).await,
        E::OperationGet => operations::get(cx).await,
        E::OperationDelete => operations::delete(cx).await,
        E::OperationWait => operations::wait(cx).await,
        E::Events => events::open(cx),
        E::ProjectList => project_list(cx).await,
        E::ProjectGet => project_get(cx).await,
        other => nobody(other, &cx),
    }
}

/// What this service never has any of: machines, profiles, certificates that it trusts, warnings.
fn nobody(endpoint: Endpoint, cx: &Cx<'_>) -> Result<Reply, Condition> {
    let none = |what: &str| Err(Condition::not_found(Kind::Other, what));
    match endpoint {
        Endpoint::InstanceGet | Endpoint::ContainerGet | Endpoint::MachineGet => none("Instance"),
        Endpoint::ProfileGet => none("Profile"),
        Endpoint::CertificateGet => none("Certificate"),
        Endpoint::WarningGet => none("Warning"),
        Endpoint::InstanceList
        | Endpoint::ContainerList
        | Endpoint::MachineList
        | Endpoint::ProfileList
        | Endpoint::CertificateList
        | Endpoint::WarningList => Ok(envelope::sync(json!([]))),
        _ => {
            let text = format!("{} {} is said to be built", cx.request.method, cx.request.path());
            Err(Condition::internal(text))
        }
    }
}

async fn project_list(cx: Cx<'_>) -> Result<Reply, Condition> {
    if !cx.recursive() {
        return Ok(envelope::sync([format!("/1.0/projects/{}", to_wire::PROJECT)]));
    }
    let (document, _) = project(&cx).await?;
    Ok(envelope::sync([document]))
}

async fn project_get(cx: Cx<'_>) -> Result<Reply, Condition> {
    from_wire::check_project(Some(cx.params.get("project")))?;
    let (document, hash) = project(&cx).await?;
    Ok(envelope::tagged(document, &hash))
}

async fn project(cx: &Cx<'_>) -> Result<(Value, String), Condition> {
    let used = cx.used_by(None).await?.into_iter().map(|(_, url)| url).collect();
    Ok(to_wire::project(used))
}

/// The status of errors that HTTP itself asks for stands in the document too.
pub(crate) fn coat_as(status: StatusCode, condition: &Condition) -> Reply {
    envelope::error(status, &crate::errors::text(condition))
}
