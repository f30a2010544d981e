//! One arm per operation: parse, call the use case, print.

use std::collections::HashMap;

use http::StatusCode;
use parpen_http::{HttpRequest, Reply};
use parpen_identity::Actor;
use parpen_model::lifecycle::Life;
use parpen_model::{Condition, Kind, PoolId, Project, VolumeId};
use parpen_service::{Ports, projects, volumes};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::router::{self, Endpoint};
use crate::{from_wire, guid, v1, v2};

/// Longest body, in bytes.
const BODY: usize = 1024 * 1024;

fn ok(document: &Value) -> Result<Reply, Condition> {
    Ok(Reply::json(StatusCode::OK, document))
}

pub(crate) async fn call(ports: &Ports, actor: Actor, mut request: HttpRequest) -> Result<Reply, Condition> {
    let (endpoint, params) = match router::route(&request) {
        Ok(found) => found,
        Err(reply) => return Ok(*reply),
    };
    let at = At { ports, actor: &actor };
    match endpoint {
        Endpoint::PackageShow => at.package(&request).await,
        Endpoint::PackageAdd | Endpoint::PackageDelete => Err(Condition::Forbidden(
            "the storage package is for everybody; packages are neither added nor deleted here".into(),
        )),
        Endpoint::DiskList => {
            let wanted: Vec<String> =
                request.query_pairs().filter(|(n, _)| n == "deployment_guid").map(|(_, v)| v).collect();
            let all = at.disks().await?;
            let meant =
                |v: &&volumes::View| wanted.is_empty() || wanted.contains(&guid::deployment(v.volume.id));
            ok(&all.iter().filter(meant).map(v1::disk).collect())
        }
        Endpoint::DiskMake => {
            let wish = from_wire::v1_disk(&request.json(BODY).await?)?;
            Ok(Reply::json(StatusCode::CREATED, &v1::disk(&at.make(wish).await?)))
        }
        Endpoint::DiskShow => ok(&v1::disk(&at.by_guid(params.get("guid"), guid::disk).await?)),
        Endpoint::DiskDelete => {
            let asked = params.get("guid");
            let disk = at.by_guid(asked, guid::disk).await?;
            at.delete(disk.volume.id, asked).await?;
            // The client reads a body, and hands it to its caller: it documents `True`.
            ok(&json!(true))
        }
        Endpoint::InstanceShow => ok(&v1::instance(&at.by_guid(params.get("guid"), guid::deployment).await?)),
        Endpoint::V2DiskList => at.v2_list(from_wire::page(&request)?).await,
        Endpoint::V2DiskMake => {
            let wish = from_wire::v2_disk(&request.json(BODY).await?)?;
            let disk = at.make(wish).await?;
            at.v2_show(StatusCode::CREATED, &disk).await
        }
        Endpoint::V2DiskShow => {
            let disk = at.by_name(params.get("name")).await?;
            at.v2_show(StatusCode::OK, &disk).await
        }
        Endpoint::V2DiskDelete => {
            let asked = params.get("name");
            let disk = at.by_name(asked).await?;
            at.delete(disk.volume.id, asked).await?;
            ok(&json!({}))
        }
    }
}

/// Somebody in his project.
struct At<'a> {
    ports: &'a Ports,
    actor: &'a Actor,
}

impl At<'_> {
    async fn project(&self) -> Result<Project, Condition> {
        projects::find(self.ports, &self.actor.project.to_string()).await
    }

    async fn package(&self, request: &HttpRequest) -> Result<Reply, Condition> {
        let asked = request.query_value("package_uid").unwrap_or_default();
        if asked != v1::PACKAGE {
            return Err(Condition::not_found(Kind::Other, format!("package {asked}")));
        }
        let since = format!("{:.3}", self.project().await?.stamp.created);
        ok(&v1::package(self.actor.project, &since))
    }

    /// All volumes of the project.
    async fn all(&self) -> Result<Vec<volumes::View>, Condition> {
        let filter = volumes::Filter { pool: None, project: Some(self.actor.project) };
        volumes::list(self.ports, self.actor, filter).await
    }

    /// Those that a list shows: what is being deleted would soon fail the client that asks for each one.
    async fn disks(&self) -> Result<Vec<volumes::View>, Condition> {
        Ok(self.all().await?.into_iter().filter(|v| v.volume.life != Life::Deleting).collect())
    }

    /// The volume that has this guid. Guids follow from ids, so the list is the index.
    async fn by_guid(&self, asked: &str, of: fn(VolumeId) -> String) -> Result<volumes::View, Condition> {
        let found = self.all().await?.into_iter().find(|v| of(v.volume.id) == asked);
        found.ok_or_else(|| Condition::not_found(Kind::Volume, asked))
    }

    /// The volume of this name, if the second API shows it.
    async fn by_name(&self, name: &str) -> Result<volumes::View, Condition> {
        let key = volumes::Key::Named(from_wire::space(self.actor.project), name.to_string());
        let view = volumes::get(self.ports, self.actor, &key).await?;
        if v2::is_shown(&view.volume) { Ok(view) } else { Err(Condition::not_found(Kind::Volume, name)) }
    }

    async fn make(&self, wish: from_wire::Wish) -> Result<volumes::View, Condition> {
        let command = wish.command(self.actor.project);
        let started = volumes::create(self.ports, self.actor, command).await?;
        self.ports.jobs.wait(started.job).await?;
        volumes::get(self.ports, self.actor, &volumes::Key::Id(started.now.id)).await
    }

    /// Snapshots are none of this API's nouns: those that others took stay, as do their bytes. To destroy twice is the
    /// same as once: the second caller finds no disk. `asked` is what he calls it.
    async fn delete(&self, id: VolumeId, asked: &str) -> Result<(), Condition> {
        let snapshots = volumes::Snapshots::Keep;
        let terms = volumes::DeleteTerms { snapshots, once: true, ..Default::default() };
        let started = volumes::delete(self.ports, self.actor, id, terms).await.map_err(|e| match e {
            Condition::NotFound { what, .. } => Condition::not_found(what, asked),
            other => other,
        })?;
        self.ports.jobs.wait(started.job).await.map(|_| ())
    }

    /// Bytes by volume, of the pools that these volumes are in. A pool that does not answer gives none.
    async fn stored(&self, views: &[&volumes::View]) -> HashMap<Uuid, u64> {
        let pools: HashMap<PoolId, _> = views.iter().map(|v| (v.pool.id, &v.pool)).collect();
        let mut all = HashMap::new();
        for pool in pools.values() {
            match volumes::stored(self.ports, pool).await {
                Ok(stored) => all.extend(stored),
                Err(e) => tracing::warn!(pool = pool.name, error = ?e, "what volumes hold cannot be had"),
            }
        }
        all
    }

    async fn v2_show(&self, status: StatusCode, view: &volumes::View) -> Result<Reply, Condition> {
        let used = self.stored(&[view]).await.get(&view.volume.id.0).copied();
        Ok(Reply::json(status, &v2::disk(view, &self.project().await?, used)))
    }

    async fn v2_list(&self, page: from_wire::Page) -> Result<Reply, Condition> {
        let (all, project) = (self.disks().await?, self.project().await?);
        let after = all.iter().filter(|v| v.volume.stamp.seq > page.after);
        let fit: Vec<_> = after.filter(|v| v2::is_shown(&v.volume) && v2::passes(&page, &v.volume)).collect();
        let shown = &fit[..fit.len().min(page.limit)];
        let next = shown.last().map(|v| v.volume.stamp.seq).filter(|_| shown.len() < fit.len());
        let stored = self.stored(shown).await;
        let print = |v: &&volumes::View| v2::disk(v, &project, stored.get(&v.volume.id.0).copied());
        ok(&v2::list(shown.iter().map(print).collect(), next))
    }
}
