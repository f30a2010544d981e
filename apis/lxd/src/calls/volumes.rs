//! Custom volumes.

use parpen_http::Reply;
use parpen_model::{Api, Condition, Kind, Pool, Volume};
use parpen_service::names::{Rename, Space};
use parpen_service::{pools, snapshots, volumes};
use serde_json::Value;

use super::Cx;
use crate::filter::Filter;
use crate::from_wire::{self, Change, VolumeKind, WantedSource, WantedVolume};
use crate::to_wire::{self, Resources, Told, VolumeDoc};
use crate::wire::{VolumePost, VolumePut, VolumesPost};
use crate::{config, envelope};

pub(super) async fn list(cx: Cx<'_>) -> Result<Reply, Condition> {
    let wanted = Wanted::read(&cx)?;
    let pool = cx.pool().await?;
    Ok(envelope::sync(wanted.of(&cx, &pool, false).await?))
}

/// The volumes of all pools. Documents name their pool, which is not in the address here.
pub(super) async fn list_all(cx: Cx<'_>) -> Result<Reply, Condition> {
    let wanted = Wanted::read(&cx)?;
    let mut all = Vec::new();
    for pool in pools::list(cx.ports(), &cx.actor).await? {
        all.extend(wanted.of(&cx, &pool, true).await?);
    }
    Ok(envelope::sync(all))
}

/// What a list is to show.
struct Wanted {
    kind: VolumeKind,
    filter: Filter,
    recursive: bool,
}

impl Wanted {
    fn read(cx: &Cx<'_>) -> Result<Wanted, Condition> {
        let word = cx.params.get("type");
        Ok(Wanted {
            kind: if word.is_empty() { VolumeKind::Custom } else { from_wire::volume_kind(word)? },
            filter: Filter::parse(&cx.request.query_value("filter").unwrap_or_default())?,
            recursive: cx.recursive(),
        })
    }

    /// Addresses or documents of what is wanted of a pool's volumes.
    async fn of(&self, cx: &Cx<'_>, pool: &Pool, with_pool: bool) -> Result<Vec<Value>, Condition> {
        let documents = match self.kind {
            VolumeKind::Custom => documents(cx, pool, self.recursive).await?,
            VolumeKind::Other => Vec::new(),
        };
        let mut wanted = Vec::new();
        for d in documents {
            let mut value = serde_json::to_value(&d).map_err(Condition::internal)?;
            if with_pool {
                value["pool"] = pool.name.as_str().into();
            }
            if self.filter.wants(&value) {
                wanted.push(match self.recursive {
                    true => value,
                    false => to_wire::volume_url(&pool.name, &d.name).into(),
                });
            }
        }
        Ok(wanted)
    }
}

/// The volumes of a pool by name, each followed by its snapshots where they are wanted too. A plain list
/// leaves snapshots out: pylxd would take the last part of their addresses for names of volumes.
async fn documents(cx: &Cx<'_>, pool: &Pool, with_snapshots: bool) -> Result<Vec<VolumeDoc>, Condition> {
    let filter = volumes::Filter { pool: Some(pool.id), project: None };
    let mut all = volumes::list(cx.ports(), &cx.actor, filter).await?;
    all.sort_by_key(|v| v.volume.shown_in(Api::Lxd));
    let snapshots = match with_snapshots {
        true => snapshots::list(cx.ports(), &cx.actor, None, false).await?,
        false => Vec::new(),
    };
    let by_origin = to_wire::by_origin(snapshots.into_iter().map(|s| s.snapshot).collect());
    let mut documents = Vec::new();
    for v in &all {
        let name = v.volume.shown_in(Api::Lxd);
        documents.push(to_wire::volume(&v.volume));
        let of_it = by_origin.get(&v.volume.id).into_iter().flatten();
        documents.extend(of_it.map(|s| to_wire::snapshot_as_volume(&name, s)));
    }
    Ok(documents)
}

pub(super) async fn create(mut cx: Cx<'_>) -> Result<Reply, Condition> {
    // LXD's clients send the bytes of a backup or an ISO image to the same address; they are no JSON.
    let binary = cx.request.header("content-type") == Some("application/octet-stream");
    if binary || cx.request.header("x-lxd-name").is_some() {
        let why = "importing a volume from a backup or an ISO image is not implemented";
        return Err(Condition::Unsupported(why.into()));
    }
    let body: VolumesPost = cx.body().await?;
    let kind = Some(cx.params.get("type").to_string()).filter(|t| !t.is_empty());
    let wanted = from_wire::wanted_volume(kind.as_deref(), body)?;
    let pool = cx.pool().await?;
    let url = to_wire::volume_url(&pool.name, &wanted.name);
    let (new, copies) = match wanted.source {
        WantedSource::Blank => (from_wire::blank_volume(&pool, wanted), false),
        WantedSource::Copy { .. } => (copy(&cx, &pool, wanted).await?, true),
    };
    let started = volumes::create(cx.ports(), &cx.actor, new).await?;
    if !copies {
        cx.finish(started.job).await?;
        cx.bus().lifecycle(&cx.actor, "storage-volume-created", &url);
        return Ok(envelope::empty());
    }
    let resources = Resources::from([("storage_volumes", vec![url.clone()])]);
    cx.bus().tell(started.job, Told { description: "Copying storage volume", resources });
    cx.bus().lifecycle_after(started.job, &cx.actor, "storage-volume-created", url);
    cx.accepted(started.job).await
}

/// A new volume with the bytes of another volume or of a snapshot. What is missing is said at once.
async fn copy(cx: &Cx<'_>, pool: &Pool, wanted: WantedVolume) -> Result<volumes::NewVolume, Condition> {
    let WantedSource::Copy { pool: from, volume, snapshot, volume_only } = &wanted.source else {
        return Err(Condition::internal("a copy without a source"));
    };
    let of_pool = match from {
        Some(name) => pools::get(cx.ports(), &cx.actor, name).await?,
        None => pool.clone(),
    };
    let of = cx.volume_in(&of_pool, volume).await?;
    if let Some(name) = snapshot {
        let key = snapshots::Key::Of(of.id, Api::Lxd, name.clone());
        let of = snapshots::get(cx.ports(), &cx.actor, &key).await?.snapshot;
        return Ok(from_wire::copy_of_snapshot(pool, wanted, &of));
    }
    let has_snapshots = !snapshots::list(cx.ports(), &cx.actor, Some(of.id), false).await?.is_empty();
    if has_snapshots && !volume_only {
        // Copying less than was asked for would lose the snapshots in `lxc storage volume move`.
        return Err(Condition::Unsupported(
            "copying a volume together with its snapshots is not implemented; copy the volume only \
             (lxc: --volume-only)"
                .into(),
        ));
    }
    Ok(from_wire::copy_of_volume(pool, wanted, &of))
}

pub(super) async fn get(cx: Cx<'_>) -> Result<Reply, Condition> {
    let (_, volume) = cx.volume().await?;
    Ok(envelope::tagged(to_wire::volume(&volume), &to_wire::volume_etag(&volume)))
}

pub(super) async fn change(mut cx: Cx<'_>, replace: bool) -> Result<Reply, Condition> {
    let (pool, volume) = cx.volume().await?;
    cx.check_match(&to_wire::volume_etag(&volume))?;
    let body: VolumePut = cx.body().await?;
    let url = to_wire::volume_url(&pool.name, &volume.shown_in(Api::Lxd));
    if let Some(snapshot) = body.restore.filter(|s| replace && !s.is_empty()) {
        restore(&cx, &volume, snapshot).await?;
        cx.bus().lifecycle(&cx.actor, "storage-volume-restored", &url);
        return Ok(envelope::empty());
    }
    let config = from_wire::changed_config(&volume.shown_in(Api::Lxd), body.config, replace)?;
    let expect = cx.conditional().then_some(volume.stamp.revision);
    let bytes = config.as_ref().and_then(|c| config::resized(c, volume.size));
    let size = bytes.map(|bytes| (bytes.into(), volumes::ResizeTerms::default()));
    let attributes =
        from_wire::change(Change { description: body.description, config, replace, expires_at: None });
    let edit = volumes::Edit { attributes: Some(attributes), expect, ..volumes::Edit::default() };
    let change = volumes::Change { edit, size, rename: None };
    let changed = volumes::change(cx.ports(), &cx.actor, volume.id, change).await?;
    if let Some(job) = changed.job {
        cx.finish(job).await?;
    }
    cx.bus().lifecycle(&cx.actor, "storage-volume-updated", &url);
    Ok(envelope::empty())
}

/// Puts a volume back to one of its snapshots; its description and config stay.
async fn restore(cx: &Cx<'_>, volume: &Volume, snapshot: String) -> Result<(), Condition> {
    let key = snapshots::Key::Of(volume.id, Api::Lxd, snapshot);
    let to = snapshots::get(cx.ports(), &cx.actor, &key).await?.snapshot.id;
    let terms = volumes::RollbackTerms::default();
    let started = volumes::rollback(cx.ports(), &cx.actor, volume.id, to, terms).await?;
    cx.finish(started.job).await
}

pub(super) async fn rename(mut cx: Cx<'_>) -> Result<Reply, Condition> {
    let body: VolumePost = cx.body().await?;
    let (pool, volume) = cx.volume().await?;
    let to = from_wire::renamed(&pool.name, body)?;
    if to == volume.shown_in(Api::Lxd) {
        return Err(Condition::exists(Kind::Volume, to));
    }
    let url = to_wire::volume_url(&pool.name, &to);
    let from = Some(cx.params.get("volume").to_string());
    let rename = Rename { space: Space::within(Api::Lxd, pool.id), from, to };
    volumes::rename(cx.ports(), &cx.actor, volume.id, rename).await?;
    cx.bus().lifecycle(&cx.actor, "storage-volume-renamed", &url);
    Ok(envelope::created(&url))
}

pub(super) async fn delete(cx: Cx<'_>) -> Result<Reply, Condition> {
    let (pool, volume) = cx.volume().await?;
    let url = to_wire::volume_url(&pool.name, &volume.shown_in(Api::Lxd));
    let snapshots = volumes::Snapshots::Delete;
    let terms = volumes::DeleteTerms { snapshots, once: true, ..Default::default() };
    let started = volumes::delete(cx.ports(), &cx.actor, volume.id, terms).await?;
    cx.finish(started.job).await?;
    cx.bus().lifecycle(&cx.actor, "storage-volume-deleted", &url);
    Ok(envelope::empty())
}

/// No backups are kept of volumes.
pub(super) async fn backups(cx: Cx<'_>) -> Result<Reply, Condition> {
    cx.volume().await?;
    Ok(envelope::sync([(); 0]))
}

pub(super) async fn state(cx: Cx<'_>) -> Result<Reply, Condition> {
    let (pool, volume) = cx.volume().await?;
    let stored = volumes::stored(cx.ports(), &pool).await?;
    let used = stored.get(&volume.id.0).copied().unwrap_or(0);
    Ok(envelope::sync(to_wire::volume_state(&volume, used)))
}
