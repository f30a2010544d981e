//! Volumes.

use parpen_model::lifecycle::Life;
use parpen_model::{Condition, Kind, SnapshotId};
use parpen_service::names::Naming;
use parpen_service::volumes::{
    self, Change, DeleteTerms, Edit, Filter, From, NewSize, NewVolume, Options, Place, ResizeTerms,
    RollbackTerms, Snapshots, View,
};
use parpen_service::{snapshots, types};
use serde_json::{Value, json};

use super::{Call, Done, called, change_tags, held_as_called, new_attributes};
use crate::from_wire::{self, VolumeCreate, VolumeUpdate};
use crate::names::{global_id, space};
use crate::to_wire;

/// A volume whose removal has begun is gone for this API: a delete answers when nobody can reach it any more.
pub fn present(v: View, name: &str) -> Result<View, Condition> {
    if v.volume.life == Life::Deleting { Err(Condition::not_found(Kind::Volume, name)) } else { Ok(v) }
}

/// All volumes that are shown.
pub async fn all(c: &Call<'_>) -> Result<Vec<View>, Condition> {
    let views = volumes::list(c.ports, c.actor, Filter::default()).await?;
    Ok(views.into_iter().filter(|v| v.volume.life != Life::Deleting).collect())
}

/// `VolumesList`.
pub async fn list(c: &Call<'_>) -> Result<Done, Condition> {
    c.shown(all(c).await?.iter().map(to_wire::volume).collect::<Vec<_>>())
}

/// `Volume`.
pub async fn one(c: &Call<'_>) -> Result<Done, Condition> {
    c.shown([to_wire::volume(&c.volume(c.name()).await?)])
}

/// `VolumeCreate`.
pub async fn create(c: &Call<'_>) -> Result<Done, Condition> {
    let want = VolumeCreate::read(c.body)?;
    let from = match (&want.parent, &want.base_on) {
        (Some(parent), _) => From::Snapshot(c.snapshot(parent).await?.snapshot.id),
        (None, Some(base)) => From::Volume(c.volume(base).await?.volume.id),
        (None, None) => From::Blank,
    };
    let template = match &want.template {
        Some(name) => {
            let found = types::get(c.ports, c.actor, name).await;
            Some(found.map_err(|e| called(e, Kind::VolumeType, name))?.id)
        }
        None => None,
    };
    let nameless = want.name.is_none();
    let new = NewVolume {
        id: None,
        naming: want.name.map_or_else(Naming::default, |n| Naming::unique(n, space())),
        size: want.size,
        from,
        place: Place { pool: None, volume_type: template, placement: want.placement, limits: want.ceilings },
        options: Options { attributes: new_attributes(want.tags), ..Options::default() },
    };
    let started = volumes::create(c.ports, c.actor, new).await?;
    // The service's own snapshot of a base may vanish at any time; it is named while it is there.
    let transient = match (from, started.now.parent) {
        (From::Volume(_), Some(id)) => transient_name(c, id).await?,
        _ => None,
    };
    c.wait(started.job).await?;
    let volume = &started.now;
    let name = nameless.then(|| volume.shown_in(parpen_model::Api::StorPool));
    c.done(json!({ "autoName": transient, "name": name, "globalId": global_id(volume.id.0) })).await
}

async fn transient_name(c: &Call<'_>, id: SnapshotId) -> Result<Option<String>, Condition> {
    match snapshots::get(c.ports, c.actor, &snapshots::Key::Id(id)).await {
        Ok(view) => Ok(Some(to_wire::snapshot_name(&view.snapshot))),
        Err(Condition::NotFound { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

/// `VolumeUpdate`.
pub async fn update(c: &Call<'_>) -> Result<Done, Condition> {
    let want = VolumeUpdate::read(c.body)?;
    let view = c.volume(c.name()).await?;
    let id = view.volume.id;
    let rename = want.rename.filter(|to| *to != view.volume.shown_in(parpen_model::Api::StorPool));
    if let Some(to) = &rename {
        refuse_taken(c, to).await?;
    }
    let size = want.resize.filter(|s| *s != NewSize::To(view.volume.size));
    let terms = ResizeTerms { allow_shrink: want.shrink_ok, ..ResizeTerms::default() };
    let change = Change {
        edit: Edit { limits: want.ceilings, attributes: change_tags(want.tags), ..Edit::default() },
        rename: rename.map(|to| c.renamed(to)),
        size: size.map(|size| (size, terms)),
    };
    let held = |e| held_as_called(e, &view.volume.handle, c.name());
    let changed = volumes::change(c.ports, c.actor, id, change).await.map_err(held)?;
    if let Some(job) = changed.job {
        c.wait(job).await.map_err(held)?;
    }
    c.done(Value::Null).await
}

/// A name that is taken is refused before anything else of the call is done.
async fn refuse_taken(c: &Call<'_>, name: &str) -> Result<(), Condition> {
    for (kind, found) in [
        (Kind::Volume, c.volume(name).await.map(|_| ())),
        (Kind::Snapshot, c.snapshot(name).await.map(|_| ())),
    ] {
        match found {
            Ok(()) => return Err(Condition::exists(kind, name)),
            Err(Condition::NotFound { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// `VolumeDelete`.
pub async fn delete(c: &Call<'_>) -> Result<Done, Condition> {
    let force = from_wire::volume_delete(c.body)?;
    let volume = c.volume(c.name()).await?.volume;
    let terms = DeleteTerms { snapshots: Snapshots::Keep, force, ..DeleteTerms::default() };
    let held = |e| held_as_called(e, &volume.handle, c.name());
    let started = volumes::delete(c.ports, c.actor, volume.id, terms).await.map_err(held)?;
    c.wait(started.job).await.map_err(held)?;
    c.done(Value::Null).await
}

/// `VolumeRevert`: the volume's content and size become those of one of its snapshots.
pub async fn revert(c: &Call<'_>) -> Result<Done, Condition> {
    let asked = from_wire::volume_revert(c.body)?;
    let volume = c.volume(c.name()).await?.volume;
    let to = c.snapshot(&asked).await?.snapshot.id;
    let held = |e| match e {
        // It is there, but it is another volume's.
        Condition::NotFound { what: Kind::Snapshot, .. } => Condition::not_found(Kind::Snapshot, &asked),
        other => held_as_called(other, &volume.handle, c.name()),
    };
    let terms = RollbackTerms::default();
    let started = volumes::rollback(c.ports, c.actor, volume.id, to, terms).await.map_err(held)?;
    c.wait(started.job).await.map_err(held)?;
    c.done(Value::Null).await
}
