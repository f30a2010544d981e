//! What is done to a volume.

use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{Power, may};
use parpen_model::lifecycle::{Standing, When};
use parpen_model::{Condition, Kind, Pool, SnapshotId, VolumeId};
use parpen_service::volumes::{
    self, DeleteTerms, Edit, MoveTerms, ResizeTerms, Retype, RollbackTerms, Said, Snapshots,
};
use parpen_service::{attachments, pools, snapshots, types};
use serde_json::{Value, json};

use crate::bootable;
use crate::cx::Cx;
use crate::fields::{refuse, required};
use crate::from_wire::{self, OWN};
use crate::states::{self, FREE, FREE_OR_HELD, bad, reword};
use crate::to_wire::{self, gib};
use crate::volumes::{get, id};

/// Whence a volume is deleted without force.
const DELETABLE: When = When::Only(&[
    Standing::Free,
    Standing::Error,
    Standing::ErrorRestoring,
    Standing::ErrorResizing,
    Standing::ErrorManaging,
]);

fn accepted() -> Result<Reply, Condition> {
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

/// The truth of a flag that may come as text and must be one.
fn flag(cx: &Cx, name: &str) -> Result<bool, Condition> {
    Ok(cx.argument().flag(name)?.unwrap_or(false))
}

pub(crate) async fn delete(cx: &Cx, cascade: bool, force: bool) -> Result<Reply, Condition> {
    let view = get(cx).await?;
    if force {
        may(cx.actor()?, Power::Operate, Some(view.volume.project))?;
    }
    let snapshots = if cascade { Snapshots::Delete } else { Snapshots::Refuse };
    let when = if force { When::default() } else { DELETABLE };
    let terms = DeleteTerms { snapshots, force, respect: true, when, ..DeleteTerms::default() };
    let status = if force {
        ""
    } else {
        "status must be available or error or error_restoring or error_extending or error_managing and"
    };
    let deleted = volumes::delete(cx.ports(), cx.actor()?, view.volume.id, terms).await;
    reword(deleted, |_| {
        format!(
            "Invalid volume: Volume {status} must not be migrating, attached, belong to a group, have snapshots, \
             awaiting a transfer, or be disassociated from snapshots after volume transfer."
        )
    })?;
    accepted()
}

pub(crate) async fn force_delete(cx: Cx) -> Result<Reply, Condition> {
    delete(&cx, false, true).await
}

pub(crate) async fn extend(cx: Cx) -> Result<Reply, Condition> {
    let bytes = from_wire::new_size(&cx.argument())?;
    let v = get(&cx).await?.volume;
    let while_held = cx.version.has(42) && v.standing() == Standing::Attached;
    let (when, wanted) =
        if while_held { (When::Only(&[Standing::Attached]), "in-use") } else { (FREE, "available") };
    let terms = ResizeTerms { grow_only: true, when, ..ResizeTerms::default() };
    let begun = volumes::resize(cx.ports(), cx.actor()?, v.id, bytes, terms).await;
    let begun = begun.map_err(|condition| match condition {
        Condition::Invalid { field, .. } if field == "size" => bad(format!(
            "Invalid input received: New size for extend must be greater than current size. (current: {}, extended: {}).",
            gib(v.size),
            gib(bytes)
        )),
        other => other,
    });
    reword(begun, |now| {
        format!(
            "Invalid volume: Volume {} status must be '{{'status': '{wanted}'}}' to extend, currently {now}.",
            v.id
        )
    })?;
    accepted()
}

/// Nobody but the service itself finishes an extension here, so there is never one to be finished from outside.
pub(crate) async fn extend_completion(cx: Cx) -> Result<Reply, Condition> {
    let v = get(&cx).await?.volume;
    may(cx.actor()?, Power::Operate, Some(v.project))?;
    Err(bad(match v.standing() {
        Standing::Resizing => "Invalid volume: Required volume admin metadata is malformed or missing.",
        _ => "Invalid volume: Volume is not being extended.",
    }))
}

pub(crate) async fn readonly(cx: Cx) -> Result<Reply, Condition> {
    let readonly = cx.argument().flag("readonly")?.ok_or_else(|| required("readonly"))?;
    let id = id(&cx).await?;
    let change: volumes::ChangeAttributes = Box::new(|attributes| {
        attributes.entry(OWN).insert("readonly_said".into(), json!(true));
    });
    let edit = Edit { readonly: Some(readonly), attributes: Some(change), when: FREE, ..Edit::default() };
    let edited = volumes::edit(cx.ports(), cx.actor()?, id, edit).await;
    reword(edited, |now| {
        format!(
            "Invalid volume: Volume {id} status must be available to update readonly flag, but current status is: {now}."
        )
    })?;
    accepted()
}

pub(crate) async fn bootable(cx: Cx) -> Result<Reply, Condition> {
    let bootable = cx.argument().flag("bootable")?.ok_or_else(|| required("bootable"))?;
    let change: volumes::ChangeAttributes = Box::new(move |attributes| {
        bootable::set(attributes, bootable);
    });
    let edit = Edit { attributes: Some(change), ..Edit::default() };
    crate::volumes::edited(&cx, id(&cx).await?, edit).await?;
    Ok(Reply::empty(StatusCode::OK))
}

pub(crate) async fn revert(cx: Cx) -> Result<Reply, Condition> {
    let to = cx.argument().id("snapshot_id")?;
    let v = get(&cx).await?.volume;
    let all = snapshots::list(cx.ports(), cx.actor()?, Some(v.id), false).await?;
    let latest = all.last().ok_or_else(|| bad(format!("Volume {} doesn't have any snapshots.", v.id)))?;
    let latest = (latest.snapshot.id, latest.snapshot.size);
    let said = to.map_or_else(|| "None".to_string(), |t| t.to_string());
    let older = format!("Specified snapshot {said} is None or not the latest one of volume {}.", v.id);
    let other_size = format!(
        "Can't revert volume {} to its latest snapshot {}. The volume size must be equal to the snapshot size.",
        v.id, latest.0
    );
    if to != Some(latest.0.0) {
        return Err(bad(older));
    }
    if latest.1 != v.size {
        return Err(bad(other_size));
    }
    let to = SnapshotId(latest.0.0);
    let terms = RollbackTerms { only_latest: true, same_size: true, when: FREE, ..RollbackTerms::default() };
    let begun = volumes::rollback(cx.ports(), cx.actor()?, v.id, to, terms).await;
    // Cinder calls a volume that is not at rest a conflict here, and a bad request everywhere else.
    begun.map_err(|condition| match condition {
        // It was changed since it was looked at.
        Condition::Invalid { field, .. } if field == "snapshot" => bad(older),
        Condition::Invalid { field, .. } if field == "size" => bad(other_size),
        Condition::WrongState { what: Kind::Snapshot, .. } => Condition::Conflict(format!(
            "Invalid snapshot: Can't revert volume {} to its latest snapshot {to}. Snapshot's status must be \
             'available'.",
            v.id
        )),
        Condition::InUse { .. } | Condition::WrongState { .. } => Condition::Conflict(format!(
            "Invalid volume: Can't revert volume {} to its latest snapshot {to}. Volume's status must be \
             'available'.",
            v.id
        )),
        other => other,
    })?;
    accepted()
}

pub(crate) async fn retype(cx: Cx) -> Result<Reply, Condition> {
    let argument = cx.argument();
    let name = argument.text("new_type", 255)?.ok_or_else(|| required("new_type"))?;
    let policy = argument.text("migration_policy", 255)?;
    let may_move = match policy.as_deref() {
        None | Some("never") => false,
        Some("on-demand") => true,
        Some(other) => {
            return Err(refuse("migration_policy", &json!(other), "is not one of ['on-demand', 'never']"));
        }
    };
    let v = get(&cx).await?.volume;
    let all = types::list(cx.ports(), cx.actor()?).await?;
    let to = from_wire::volume_type(&all, &name)?;
    if all.iter().any(|t| Some(t.id) == to && t.rules.shared && t.encryption.is_some()) {
        return Err(bad(
            "Invalid input received: Retype requested both encryption and multi-attach, which is not supported.",
        ));
    }
    let done = volumes::retype(cx.ports(), cx.actor()?, v.id, Retype { to, may_move }).await;
    done.map_err(|condition| match condition {
        Condition::WrongState { what: Kind::VolumeType, actual, .. } => bad(format!(
            "Invalid input received: Invalid volume_type passed, retypes affecting multiattach are only allowed on \
             available volumes, the specified volume however currently has a status of: {}.",
            states::in_words(&actual)
        )),
        Condition::WrongState { .. } | Condition::InUse { .. } => bad(
            "Invalid volume: Retype needs volume to be in available or in-use state, not be part of an active \
             migration or a consistency group, requested type has to be different that the one from the volume, and \
             for in-use volumes front-end qos specs cannot change.",
        ),
        Condition::Invalid { field, .. } if field == "pool" => bad(format!(
            "Invalid volume: Retype of volume {} needs it to be migrated, and the migration policy is never.",
            v.id
        )),
        other => other,
    })?;
    accepted()
}

/// The pool that a host names: `host@backend#pool`, `host@backend`, or the pool's own name.
pub(crate) async fn pool_of(cx: &Cx, host: &str) -> Result<Option<Pool>, Condition> {
    let all = pools::list(cx.ports(), cx.actor()?).await?;
    Ok(all.into_iter().find(|p| host == to_wire::pool_name(p) || host == to_wire::backend(p)))
}

pub(crate) async fn migrate(cx: Cx) -> Result<Reply, Condition> {
    let argument = cx.argument();
    let host = argument.text("host", 255)?.filter(|h| !h.is_empty());
    let cluster = argument.text("cluster", 255)?.filter(|c| !c.is_empty() && cx.version.has(16));
    let (shelve, _) = (flag(&cx, "lock_volume")?, flag(&cx, "force_host_copy")?);
    let v = get(&cx).await?.volume;
    may(cx.actor()?, Power::Operate, Some(v.project))?;
    let host = match (host, cluster) {
        (Some(_), Some(_)) => {
            return Err(bad("Invalid input received: Host and cluster are mutually exclusive parameters."));
        }
        (None, Some(c)) => {
            return Err(bad(format!("Invalid host: No available service named '{c}'")));
        }
        (host, None) => host.ok_or_else(|| required("host"))?,
    };
    let to = pool_of(&cx, &host).await?;
    let to = to.ok_or_else(|| bad(format!("Invalid host: No available service named '{host}'")))?;
    let begun = volumes::migrate(cx.ports(), cx.actor()?, v.id, to.id, MoveTerms { shelve }).await;
    let text = format!(
        "Invalid volume: Volume {} status must be available or in-use, must not be migrating, have snapshots, be \
         replicated, be part of a group and destination host/cluster must be different than the current one",
        v.id
    );
    let begun = begun.map_err(|condition| match condition {
        Condition::Invalid { field, .. } if field == "pool" => bad(text.clone()),
        Condition::Unavailable(_) => bad(format!("Invalid host: No available service named '{host}'")),
        other => other,
    });
    reword(begun, |_| text.clone())?;
    accepted()
}

/// A move of ours has no second volume, so what is completed here is a swap that Nova has made by itself.
pub(crate) async fn migrate_completion(cx: Cx) -> Result<Reply, Condition> {
    let argument = cx.argument();
    let to = VolumeId(argument.required_id("new_volume")?);
    let failed = argument.flag("error")?.unwrap_or(false);
    let (ports, actor) = (cx.ports(), cx.actor()?);
    let old = get(&cx).await?;
    may(actor, Power::Operate, Some(old.volume.project))?;
    let new = volumes::get(ports, actor, &volumes::Key::Id(to)).await?;
    match (old.volume.migration, new.volume.migration) {
        (None, None) => {}
        (None, Some(_)) => return Err(bad("Invalid volume: Source volume not mid-migration.")),
        (Some(_), None) => return Err(bad("Invalid volume: Destination volume not mid-migration.")),
        (Some(_), Some(m)) => {
            return Err(bad(format!(
                "Invalid volume: Destination has migration_status {}, expected target:{}.",
                states::of_migration(m),
                old.volume.id
            )));
        }
    }
    if !failed {
        attachments::swap(ports, actor, old.volume.id, to).await?;
    }
    Ok(Reply::json(StatusCode::OK, &json!({ "save_volume_id": to.to_string() })))
}

pub(crate) async fn reset(cx: Cx) -> Result<Reply, Condition> {
    let argument = cx.argument();
    let text = |name: &str| Ok::<_, Condition>(argument.text(name, 255)?.filter(|t| !t.is_empty()));
    let (status, attach, migration) = (text("status")?, text("attach_status")?, text("migration_status")?);
    if status.is_none() && attach.is_none() && migration.is_none() {
        return Err(bad("Must specify 'status', 'attach_status' or 'migration_status' for update."));
    }
    let standing = status.map(|s| states::said("Volume", &s, states::VOLUME)).transpose()?;
    let nobody_holds_it = match attach.map(|a| a.to_lowercase()).as_deref() {
        Some("detached") => true,
        None | Some("attached") => false,
        Some(other) => {
            return Err(bad(format!(
                "Volume attach status: {other} is invalid, valid statuses are: ['attached', 'detached']."
            )));
        }
    };
    let migration = migration.map(|m| states::said_of_migration(&m)).transpose()?;
    let view = get(&cx).await?;
    may(cx.actor()?, Power::Operate, Some(view.volume.project))?;
    if standing == Some(Standing::Deleting) {
        return Err(bad("Cannot reset-state to deleting"));
    }
    if standing == Some(Standing::Attached) && view.attachments.is_empty() {
        return Err(bad("Cannot reset-state to in-use because volume does not have any attachments."));
    }
    let said = Said { standing, nobody_holds_it, migration };
    volumes::say(cx.ports(), cx.actor()?, view.volume.id, said).await?;
    accepted()
}

/// The action that the body names: its key and argument.
pub(crate) async fn named(cx: &mut Cx) -> Result<(String, Value), Condition> {
    let mut entries = crate::fields::document(&mut cx.request).await?.into_iter();
    match (entries.next(), entries.next()) {
        (Some(action), None) => Ok(action),
        _ => Err(Condition::invalid("body", "an action is an object with exactly one key")),
    }
}

/// The standings from which a snapshot is taken of a volume.
pub(crate) fn snapshot_when(while_held: bool) -> When {
    if while_held { FREE_OR_HELD } else { FREE }
}
