//! Attachments.

use parpen_model::{Api, Condition, Subject};
use parpen_service::attachments::{self, Change, Detach};
use parpen_service::snapshots;
use serde_json::Value;

use super::{Call, Done, volumes};
use crate::from_wire::{Leaving, Reassign, Target};
use crate::to_wire;

/// `AttachmentsList`, the oldest first.
pub async fn list(c: &Call<'_>) -> Result<Done, Condition> {
    let mut all = Vec::new();
    for v in volumes::all(c).await? {
        let name = v.volume.shown_in(Api::StorPool);
        all.extend(to_wire::attachments(&name, v.volume.id.0, false, &v.attachments));
    }
    for s in snapshots::list(c.ports, c.actor, None, true).await? {
        let name = to_wire::snapshot_name(&s.snapshot);
        all.extend(to_wire::attachments(&name, s.snapshot.id.0, true, &s.attachments));
    }
    all.sort_by_key(|(seq, _)| *seq);
    c.shown(all.into_iter().map(|(_, doc)| doc).collect::<Vec<_>>())
}

/// `VolumesReassign`.
pub async fn reassign(c: &Call<'_>) -> Result<Done, Condition> {
    apply(c, Reassign::read_all(c.body)?).await
}

/// `VolumesReassignWait`.
pub async fn reassign_wait(c: &Call<'_>) -> Result<Done, Condition> {
    apply(c, Reassign::read_waiting(c.body)?).await
}

/// Names are looked up before anything is changed; the changes are made all or not at all.
async fn apply(c: &Call<'_>, entries: Vec<Reassign>) -> Result<Done, Condition> {
    if entries.is_empty() {
        return c.done(Value::Null).await;
    }
    let mut changes = Vec::new();
    let mut names = Vec::new();
    for entry in entries {
        let (subject, name): (Subject, String) = match entry.target {
            Target::Volume(name) => (c.volume(&name).await?.volume.id.into(), name),
            Target::Snapshot(name) => (c.snapshot(&name).await?.snapshot.id.into(), name),
        };
        names.push((subject, name));
        changes.push(Change {
            subject,
            detach: match entry.detach {
                Leaving::All => Detach::Everyone,
                Leaving::These(hosts) if hosts.is_empty() => Detach::Nobody,
                Leaving::These(hosts) => Detach::Hosts(hosts),
            },
            read_write: entry.rw,
            read_only: entry.ro,
            force: entry.force,
        });
    }
    let started = attachments::reassign(c.ports, c.actor, changes).await.map_err(|e| as_called(e, &names))?;
    c.wait(started.job).await.map_err(|e| as_called(e, &names))?;
    c.done(Value::Null).await
}

/// What is held is named as the client named it.
fn as_called(e: Condition, names: &[(Subject, String)]) -> Condition {
    match e {
        Condition::InUse { what, name, by } => {
            let called = names.iter().find(|(s, _)| s.uuid().to_string() == name);
            Condition::InUse { what, name: called.map_or(name.clone(), |(_, n)| n.clone()), by }
        }
        other => other,
    }
}
