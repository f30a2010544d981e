//! What volumes and snapshots share: space, freezing, rebasing, snapshots of a group.

use std::collections::HashMap;

use parpen_model::{Api, Condition, Snapshot, Subject, VolumeId};
use parpen_service::names::Naming;
use parpen_service::snapshots::{self, NewSnapshot};
use parpen_service::{projects, volumes};
use serde_json::{Value, json};

use super::{Call, Done, held_as_called, new_attributes};
use crate::from_wire::{self, GroupSnapshot};
use crate::names::{global_id, snapshot_name, space};
use crate::to_wire;

/// What it costs; nothing where the store does not tell.
async fn cost(c: &Call<'_>, what: Subject) -> Result<(u64, u64), Condition> {
    match volumes::cost(c.ports, c.actor, what).await {
        Ok(found) => Ok(found.map_or((0, 0), |f| (f.stored, f.freed))),
        // It has gone since the list was read.
        Err(Condition::NotFound { .. }) => Ok((0, 0)),
        Err(e) => Err(e),
    }
}

/// `SnapshotsSpace`.
pub async fn snapshots_space(c: &Call<'_>) -> Result<Done, Condition> {
    let mut out = Vec::new();
    for view in snapshots::list(c.ports, c.actor, None, true).await? {
        let figures = cost(c, view.snapshot.id.into()).await?;
        out.push(to_wire::with_space(to_wire::snapshot(&view), figures)?);
    }
    c.shown(out)
}

/// `VolumesSpace`.
pub async fn volumes_space(c: &Call<'_>) -> Result<Done, Condition> {
    let mut out = Vec::new();
    for view in super::volumes::all(c).await? {
        let figures = cost(c, view.volume.id.into()).await?;
        out.push(to_wire::with_space(to_wire::volume(&view), figures)?);
    }
    c.shown(out)
}

/// `VolumeFreeze`: the volume becomes a snapshot of the same name.
pub async fn freeze(c: &Call<'_>) -> Result<Done, Condition> {
    from_wire::volume_freeze(c.body)?;
    let volume = c.volume(c.name()).await?.volume;
    let shown = volume.shown_in(Api::StorPool);
    if snapshot_name("name", &shown).is_err() {
        let why = format!("a snapshot cannot be named {shown}: rename the volume first");
        return Err(Condition::invalid("name", why));
    }
    let held = |e| held_as_called(e, &volume.handle, c.name());
    let started = volumes::freeze(c.ports, c.actor, volume.id, false).await.map_err(held)?;
    c.wait(started.job).await.map_err(held)?;
    c.done(Value::Null).await
}

async fn rebase(c: &Call<'_>, what: Subject) -> Result<Done, Condition> {
    let onto = match from_wire::rebase(c.body)? {
        Some(name) => Some(c.snapshot(&name).await?.snapshot.id),
        None => None,
    };
    let started = volumes::rebase(c.ports, c.actor, what, onto).await?;
    c.wait(started.job).await?;
    c.done(Value::Null).await
}

/// `VolumeRebase`.
pub async fn volume_rebase(c: &Call<'_>) -> Result<Done, Condition> {
    rebase(c, c.volume(c.name()).await?.volume.id.into()).await
}

/// `SnapshotRebase`.
pub async fn snapshot_rebase(c: &Call<'_>) -> Result<Done, Condition> {
    rebase(c, c.snapshot(c.name()).await?.snapshot.id.into()).await
}

/// `VolumesGroupSnapshot`: all at one instant.
pub async fn group(c: &Call<'_>) -> Result<Done, Condition> {
    let want = GroupSnapshot::read(c.body)?;
    let mut all = Vec::new();
    let mut called: HashMap<VolumeId, String> = HashMap::new();
    for one in want.volumes {
        let of = c.volume(&one.volume).await?.volume.id;
        called.insert(of, one.volume);
        let mut tags = want.tags.clone().unwrap_or_default();
        tags.extend(one.tags.unwrap_or_default());
        let new = NewSnapshot {
            id: None,
            naming: one.name.map_or_else(Naming::default, |n| Naming::unique(n, space())),
            bound: false,
            attributes: new_attributes(Some(tags)),
            ..NewSnapshot::default()
        };
        all.push((of, new));
    }
    let started = snapshots::group(c.ports, c.actor, all).await?;
    c.wait(started.job).await?;
    let doc = |s: &Snapshot| {
        let id = global_id(s.id.0);
        json!({
            "volume": called.get(&s.origin), "volumeGlobalId": global_id(s.origin.0),
            "snapshot": to_wire::snapshot_name(s), "snapshotGlobalId": id, "remoteId": id,
        })
    };
    let generation = projects::generation(c.ports).await?;
    let data = json!({ "snapshots": started.now.iter().map(doc).collect::<Vec<_>>() });
    Ok(Done { data, generation })
}
