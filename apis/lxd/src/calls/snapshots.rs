//! Snapshots of custom volumes.

use parpen_http::Reply;
use parpen_model::{Api, Condition, Pool, Snapshot, Volume};
use parpen_service::names::{Rename, Space};
use parpen_service::{Started, names, snapshots};

use super::Cx;
use crate::envelope;
use crate::from_wire::{self, Change};
use crate::to_wire::{self, Resources, Told};
use crate::wire::{SnapshotPost, SnapshotPut, SnapshotsPost};

/// How often another number is tried for an unnamed snapshot when somebody else takes it first.
const TRIES: usize = 16;

async fn of_volume(cx: &Cx<'_>, volume: &Volume) -> Result<Vec<Snapshot>, Condition> {
    let views = snapshots::list(cx.ports(), &cx.actor, Some(volume.id), false).await?;
    Ok(views.into_iter().map(|v| v.snapshot).collect())
}

/// The pool, volume and snapshot of the path.
async fn found(cx: &Cx<'_>) -> Result<(Pool, Volume, Snapshot), Condition> {
    let (pool, volume) = cx.volume().await?;
    let key = snapshots::Key::Of(volume.id, Api::Lxd, cx.params.get("snapshot").to_string());
    let view = snapshots::get(cx.ports(), &cx.actor, &key).await?;
    Ok((pool, volume, view.snapshot))
}

pub(super) async fn list(cx: Cx<'_>) -> Result<Reply, Condition> {
    let (pool, volume) = cx.volume().await?;
    let all = of_volume(&cx, &volume).await?;
    let of = volume.shown_in(Api::Lxd);
    if cx.recursive() {
        let documents: Vec<_> = all.iter().map(|s| to_wire::snapshot_in_list(&of, s)).collect();
        return Ok(envelope::sync(documents));
    }
    let url = |s: &Snapshot| to_wire::snapshot_url(&pool.name, &of, &names::short_in(s, Api::Lxd));
    Ok(envelope::sync(all.iter().map(url).collect::<Vec<_>>()))
}

pub(super) async fn create(mut cx: Cx<'_>) -> Result<Reply, Condition> {
    let body: SnapshotsPost = cx.body().await?;
    let (pool, volume) = cx.volume().await?;
    let started = match body.name.clone().filter(|n| !n.is_empty()) {
        Some(name) => take(&cx, &volume, from_wire::snapshot_name(name)?, body).await?,
        None => take_unnamed(&cx, &volume, body).await?,
    };
    let of = volume.shown_in(Api::Lxd);
    let url = to_wire::snapshot_url(&pool.name, &of, &names::short_in(&started.now, Api::Lxd));
    let resources = Resources::from([
        ("storage_volumes", vec![to_wire::volume_url(&pool.name, &of)]),
        ("storage_volume_snapshots", vec![url.clone()]),
    ]);
    cx.bus().tell(started.job, Told { description: "Creating storage volume snapshot", resources });
    cx.bus().lifecycle_after(started.job, &cx.actor, "storage-volume-snapshot-created", url);
    cx.accepted(started.job).await
}

async fn take(
    cx: &Cx<'_>,
    volume: &Volume,
    name: String,
    body: SnapshotsPost,
) -> Result<Started<Snapshot>, Condition> {
    let new = from_wire::new_snapshot(volume, name, body, cx.ports().clock.now())?;
    snapshots::create(cx.ports(), &cx.actor, volume.id, new).await
}

/// Under the next number; the one after it when somebody else was faster.
async fn take_unnamed(
    cx: &Cx<'_>,
    volume: &Volume,
    body: SnapshotsPost,
) -> Result<Started<Snapshot>, Condition> {
    let mut refused = Condition::Conflict("snapshots of this volume are taken too fast; try again".into());
    for _ in 0..TRIES {
        let name = from_wire::next_snapshot_name(&of_volume(cx, volume).await?);
        let body = SnapshotsPost { name: None, expires_at: body.expires_at.clone() };
        match take(cx, volume, name, body).await {
            Err(e @ Condition::Exists { .. }) => refused = e,
            other => return other,
        }
    }
    Err(refused)
}

pub(super) async fn get(cx: Cx<'_>) -> Result<Reply, Condition> {
    let (_, _, snapshot) = found(&cx).await?;
    Ok(envelope::tagged(to_wire::snapshot(&snapshot), &to_wire::snapshot_etag(&snapshot)))
}

pub(super) async fn change(mut cx: Cx<'_>, replace: bool) -> Result<Reply, Condition> {
    let (pool, volume, snapshot) = found(&cx).await?;
    cx.check_match(&to_wire::snapshot_etag(&snapshot))?;
    let body: SnapshotPut = cx.body().await?;
    let config = from_wire::changed_config(&volume.shown_in(Api::Lxd), body.config, replace)?;
    let expires_at = match body.expires_at {
        Some(date) => Some(from_wire::expires_at(date)?),
        // A PUT without a date takes it away, as in LXD.
        None => replace.then_some(None),
    };
    let change = from_wire::change(Change { description: body.description, config, replace, expires_at });
    let edit = snapshots::Edit {
        attributes: Some(change),
        expect: cx.conditional().then_some(snapshot.stamp.revision),
        ..snapshots::Edit::default()
    };
    snapshots::edit(cx.ports(), &cx.actor, snapshot.id, edit).await?;
    cx.bus().lifecycle(&cx.actor, "storage-volume-snapshot-updated", &url(&pool, &volume, &snapshot));
    Ok(envelope::empty())
}

fn url(pool: &Pool, volume: &Volume, snapshot: &Snapshot) -> String {
    let name = names::short_in(snapshot, Api::Lxd);
    to_wire::snapshot_url(&pool.name, &volume.shown_in(Api::Lxd), &name)
}

/// Done at once here; LXD's clients expect an operation all the same.
pub(super) async fn rename(mut cx: Cx<'_>) -> Result<Reply, Condition> {
    let body: SnapshotPost = cx.body().await?;
    let to = from_wire::snapshot_name(body.name.unwrap_or_default())?;
    let (pool, volume, snapshot) = found(&cx).await?;
    let from = Some(cx.params.get("snapshot").to_string());
    let rename = Rename { space: Space::within(Api::Lxd, volume.id), from, to };
    let (renamed, _) = snapshots::rename(cx.ports(), &cx.actor, snapshot.id, rename).await?;
    let url = url(&pool, &volume, &renamed);
    let resources = Resources::from([("storage_volume_snapshots", vec![url.clone()])]);
    let told = Told { description: "Renaming storage volume snapshot", resources };
    let operation = cx.bus().done_at_once(told);
    cx.bus().lifecycle(&cx.actor, "storage-volume-snapshot-renamed", &url);
    Ok(envelope::accepted(&operation))
}

pub(super) async fn delete(cx: Cx<'_>) -> Result<Reply, Condition> {
    let (pool, volume, snapshot) = found(&cx).await?;
    let url = url(&pool, &volume, &snapshot);
    let terms = snapshots::DeleteTerms::default();
    let started = snapshots::delete(cx.ports(), &cx.actor, snapshot.id, terms).await?;
    let resources = Resources::from([("storage_volume_snapshots", vec![url.clone()])]);
    cx.bus().tell(started.job, Told { description: "Deleting storage volume snapshot", resources });
    cx.bus().lifecycle_after(started.job, &cx.actor, "storage-volume-snapshot-deleted", url);
    cx.accepted(started.job).await
}
