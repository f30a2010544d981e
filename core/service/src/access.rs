//! From rows to the gate's rules. What is written here is the whole policy of who may open what.

use parpen_block::{AccessTable, Admits, ExportId, Fenced, Gate, HostId, Rights, SessionInfo, Whom};
use parpen_model::lifecycle::{AttachState, Life, Standing, Work};
use parpen_model::ports::MetaStore;
use parpen_model::{Attachment, Condition, Kind, Lock, ReadTx, Scope, Snapshot, Subject, Volume, read};

/// The rules of one export at one epoch.
pub(crate) struct Rule {
    pub(crate) export: ExportId,
    pub(crate) table: AccessTable,
    pub(crate) epoch: u64,
}

/// The id of the plain export of a volume or snapshot.
pub fn plain_export(subject: Subject) -> ExportId {
    ExportId(subject.uuid())
}

/// The lock on a volume.
pub(crate) fn lock_of(tx: &dyn ReadTx, volume: &Volume) -> Result<Option<Lock>, Condition> {
    tx.find_named(Scope::All, "lock", &volume.id.to_string())
}

fn nobody(why: &str) -> Admits {
    Admits::Nobody(why.to_string())
}

fn of_volume(tx: &dyn ReadTx, v: &Volume) -> Result<Admits, Condition> {
    let exclusive = tx.children::<Attachment>(v.id)?.into_iter().any(|a| a.exclusive);
    Ok(match (v.life, lock_of(tx, v)?) {
        (Life::Creating, _) => nobody("the volume is still being made; try again soon"),
        (Life::Deleting | Life::Error, _) => nobody("the volume is being deleted or is in error"),
        (Life::Ready, _) if v.work.contains(&Work::RollingBack) => nobody("the volume is being rolled back"),
        (Life::Ready, _) if v.work.contains(&Work::Restoring) => nobody("a backup is being restored into it"),
        (Life::Ready, _) if v.work.contains(&Work::Downloading) => nobody("an image is being put into it"),
        (Life::Ready, _) if v.work.contains(&Work::Freezing) => nobody("the volume is becoming a snapshot"),
        (Life::Ready, _) if v.standing() == Standing::Offered => {
            nobody("the volume is on offer to somebody else")
        }
        (Life::Ready, _) if exclusive => {
            nobody("the volume is attached exclusively; use the export of that attachment or detach it first")
        }
        (Life::Ready, Some(lock)) => Admits::Only(lock.host.into()),
        (Life::Ready, None) => Admits::Everyone,
    })
}

/// The rule of a plain export, or `None` when the subject is gone.
pub(crate) fn plain_rule(tx: &dyn ReadTx, subject: Subject) -> Result<Option<Rule>, Condition> {
    let (admits, rights, epoch) = match subject {
        Subject::Volume(id) => {
            let Some(v) = tx.find::<Volume>(Scope::All, id)? else { return Ok(None) };
            let rights = if v.readonly { Rights::ReadOnly } else { Rights::ReadWrite };
            (of_volume(tx, &v)?, rights, v.epoch)
        }
        Subject::Snapshot(id) => {
            let Some(s) = tx.find::<Snapshot>(Scope::All, id)? else { return Ok(None) };
            let admits = match s.life {
                Life::Ready => Admits::Everyone,
                _ => nobody("the snapshot is being made or deleted"),
            };
            (admits, Rights::ReadOnly, s.stamp.revision as u64)
        }
    };
    Ok(Some(Rule { export: plain_export(subject), table: AccessTable { rights, admits }, epoch }))
}

/// The rule of an attachment's own export. Its name is unguessable, so whoever knows it is the holder.
pub(crate) fn attachment_rule(a: &Attachment) -> Rule {
    let admits = match a.state {
        AttachState::Attaching if a.host.is_none() => {
            nobody("the attachment is only announced; connect it first")
        }
        _ if a.returned => nobody("the holder has given the connection back; connect it first"),
        AttachState::Attaching | AttachState::Attached => Admits::Everyone,
        AttachState::Reserved => nobody("the attachment is only reserved; connect it first"),
        AttachState::Detaching => nobody("the attachment is being taken away"),
    };
    let table = AccessTable { rights: a.rights.into(), admits };
    Rule { export: ExportId(a.id.0), table, epoch: a.stamp.revision as u64 }
}

/// Makes the gate's rules for a volume or snapshot and its attachments those of the rows.
pub(crate) async fn republish(gate: &Gate, meta: &dyn MetaStore, subject: Subject) -> Result<(), Condition> {
    let rules = read(meta, move |tx| {
        let plain = plain_rule(tx, subject)?;
        let own = tx.children::<Attachment>(subject.uuid())?;
        Ok(plain.into_iter().chain(own.iter().map(attachment_rule)).collect::<Vec<_>>())
    })
    .await?;
    for r in rules {
        gate.publish(r.export, r.table, r.epoch);
    }
    Ok(())
}

/// Shuts the plain export of `subject` for good (until it is published anew). Open sessions of `whom` are a refusal
/// that names them, unless `force`, which cuts them.
pub(crate) async fn shut(
    gate: &Gate,
    meta: &dyn MetaStore,
    subject: Subject,
    whom: Whom,
    force: bool,
) -> Result<Option<Fenced>, Condition> {
    let rule = read(meta, move |tx| plain_rule(tx, subject)).await?;
    let Some(rule) = rule else { return Ok(None) };
    let open = gate.close(rule.export, whom, rule.epoch);
    if !open.is_empty() && !force {
        let name = read(meta, move |tx| title(tx, subject)).await?;
        return Err(in_use_by(subject.kind(), name, &open));
    }
    Ok(Some(gate.cut(rule.export, whom).await))
}

/// Shuts the plain export and those of all attachments: after this nobody has `subject` open. Open sessions of the
/// plain export are a refusal, unless `force`.
pub(crate) async fn shut_all(
    gate: &Gate,
    meta: &dyn MetaStore,
    subject: Subject,
    force: bool,
) -> Result<Vec<Fenced>, Condition> {
    let mut fenced: Vec<Fenced> =
        shut(gate, meta, subject, Whom::Everyone, force).await?.into_iter().collect();
    let held: Vec<Attachment> = read(meta, move |tx| tx.children(subject.uuid())).await?;
    for rule in held.iter().map(attachment_rule) {
        gate.close(rule.export, Whom::Everyone, rule.epoch);
        fenced.push(gate.cut(rule.export, Whom::Everyone).await);
    }
    Ok(fenced)
}

/// The refusal that names who has it open.
pub(crate) fn in_use_by(what: Kind, name: impl ToString, open: &[SessionInfo]) -> Condition {
    let by = open.iter().map(|s| format!("{} {}", s.peer.transport, s.peer.address)).collect();
    Condition::in_use(what, name, by)
}

/// The handle of a volume or snapshot, or its id when it is gone: for messages.
pub(crate) fn title(tx: &dyn ReadTx, subject: Subject) -> Result<String, Condition> {
    let handle = match subject {
        Subject::Volume(id) => tx.find::<Volume>(Scope::All, id)?.map(|v| v.handle),
        Subject::Snapshot(id) => tx.find::<Snapshot>(Scope::All, id)?.map(|s| s.handle),
    };
    Ok(handle.map_or_else(|| subject.uuid().to_string(), |h| h.to_string()))
}

/// Refuses when a lock of another host is on the volume. `None`: the caller is no host at all.
pub(crate) fn check_lock(tx: &dyn ReadTx, v: &Volume, host: Option<HostId>) -> Result<(), Condition> {
    match lock_of(tx, v)? {
        Some(l) if host != Some(l.host.into()) => {
            Err(Condition::in_use(Kind::Volume, &v.handle, vec![format!("the lock of {}", l.spelling)]))
        }
        _ => Ok(()),
    }
}
