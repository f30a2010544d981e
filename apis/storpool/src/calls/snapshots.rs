//! Snapshots.

use std::collections::HashMap;

use parpen_model::Condition;
use parpen_service::names::Naming;
use parpen_service::snapshots::{self, DeleteTerms, Edit, NewSnapshot};
use serde_json::{Value, json};

use super::{Call, Done, change_tags, held_as_called, new_attributes};
use crate::from_wire::{SnapshotCreate, SnapshotUpdate};
use crate::names::{global_id, parse_global_id, space};
use crate::to_wire;

/// `SnapshotsList`.
pub async fn list(c: &Call<'_>) -> Result<Done, Condition> {
    let all = snapshots::list(c.ports, c.actor, None, true).await?;
    c.shown(all.iter().map(to_wire::snapshot).collect::<Vec<_>>())
}

/// `Snapshot`.
pub async fn one(c: &Call<'_>) -> Result<Done, Condition> {
    c.shown([to_wire::snapshot(&c.snapshot(c.name()).await?)])
}

/// `VolumeListSnapshots`: the chain of parents, the nearest first.
pub async fn chain(c: &Call<'_>) -> Result<Done, Condition> {
    let volume = c.volume(c.name()).await?;
    let all = snapshots::list(c.ports, c.actor, None, true).await?;
    let mut by_id: HashMap<_, _> = all.into_iter().map(|s| (s.snapshot.id, s)).collect();
    let mut next = volume.volume.parent;
    // Taking each out of the map ends the walk whatever the rows say.
    let walk = std::iter::from_fn(|| {
        let view = by_id.remove(&next?)?;
        next = view.snapshot.parent;
        Some(to_wire::snapshot(&view))
    });
    c.shown(walk.collect::<Vec<_>>())
}

/// `VolumeSnapshot`.
pub async fn create(c: &Call<'_>) -> Result<Done, Condition> {
    let want = SnapshotCreate::read(c.body)?;
    let of = c.volume(c.name()).await?.volume.id;
    let nameless = want.name.is_none();
    let new = NewSnapshot {
        naming: want.name.map_or_else(Naming::default, |n| Naming::unique(n, space())),
        bound: want.bind,
        attributes: new_attributes(want.tags),
        ..NewSnapshot::default()
    };
    let started = snapshots::create(c.ports, c.actor, of, new).await?;
    c.wait(started.job).await?;
    let s = &started.now;
    let name = nameless.then(|| to_wire::snapshot_name(s));
    let (global, visible) = (global_id(s.id.0), s.stamp.seq);
    c.done(json!({ "autoName": name, "snapshotGlobalId": global, "snapshotVisibleVolumeId": visible })).await
}

/// `SnapshotUpdate`.
pub async fn update(c: &Call<'_>) -> Result<Done, Condition> {
    let want = SnapshotUpdate::read(c.body)?;
    let id = c.snapshot(c.name()).await?.snapshot.id;
    if let Some(to) = want.rename {
        snapshots::rename(c.ports, c.actor, id, c.renamed(to)).await?;
    }
    if want.bind.is_some() || want.tags.is_some() {
        let edit = Edit { bound: want.bind, attributes: change_tags(want.tags), ..Edit::default() };
        snapshots::edit(c.ports, c.actor, id, edit).await?;
    }
    c.done(Value::Null).await
}

/// `SnapshotDelete`, and `SnapshotDeleteById`, which names it by its global id without the mark.
pub async fn delete(c: &Call<'_>) -> Result<Done, Condition> {
    let name = c.name();
    let view = match c.snapshot(name).await {
        Err(Condition::NotFound { .. }) if parse_global_id(name).is_some() => {
            c.snapshot(&format!("~{name}")).await
        }
        found => found,
    }?;
    let s = view.snapshot;
    let held = |e| held_as_called(e, &s.handle, name);
    let started = snapshots::delete(c.ports, c.actor, s.id, DeleteTerms::default()).await.map_err(held)?;
    c.wait(started.job).await.map_err(held)?;
    c.done(Value::Null).await
}
