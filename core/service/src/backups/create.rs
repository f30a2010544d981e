//! Making a backup: of a volume as it is now, or of one of its snapshots; whole, or what differs from the one before.

use parpen_base::{Boxed, ByteRange};
use parpen_block::Rights;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{BackupEvent, BackupState, Life, Standing, Usage, When};
use parpen_model::ports::NewArchive;
use parpen_model::{
    Attributes, Backup, BackupId, Condition, Kind, Pin, PinId, Query, Scope, Snapshot, SnapshotId, Stamp,
    Volume, VolumeId, WriteTx, read, write,
};
use serde::{Deserialize, Serialize};

use super::{CONTAINER, Record, check_container, step, unpin};
use crate::jobs::{Commit, JobStep, StepCx, nothing, plan};
use crate::names::{self, Naming};
use crate::quotas::{self, Need};
use crate::{Ports, Started, attachments, data, snapshots};

pub(crate) const KIND: &str = "backup-create@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Take, &Upload, &Release];

/// A backup to be made.
#[derive(Clone, Debug)]
pub struct NewBackup {
    /// Of which volume.
    pub of: VolumeId,
    /// Of this snapshot of it; else of the volume at one instant of the job.
    pub snapshot: Option<SnapshotId>,
    /// What it is called.
    pub name: String,
    /// The set it belongs to; absent: that of the backup it is compared with, else [`CONTAINER`].
    pub container: Option<String>,
    /// Only what differs from the newest backup of the volume.
    pub incremental: bool,
    /// What the API keeps with it.
    pub attributes: Attributes,
}

/// What an API allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct CreateTerms {
    /// The volume may be attached.
    pub attached: bool,
    /// How the volume may stand; of a snapshot's own bytes it is not asked.
    pub when: When,
}

#[derive(Serialize, Deserialize)]
struct Args {
    backup: BackupId,
    snapshot: SnapshotId,
    /// The snapshot is the job's own.
    own: bool,
    /// The base's snapshot, to see what has changed.
    since: Option<SnapshotId>,
}

/// Makes a backup. The answer shows it creating; the job stores its bytes.
pub async fn create(
    ports: &Ports,
    actor: &Actor,
    new: NewBackup,
    terms: CreateTerms,
) -> Result<Started<Backup>, Condition> {
    names::check(&new.name)?;
    new.container.as_deref().map_or(Ok(()), check_container)?;
    let (id, own) = (BackupId(ports.entropy.uuid()), SnapshotId(ports.entropy.uuid()));
    let pins = [PinId(ports.entropy.uuid()), PinId(ports.entropy.uuid())];
    let (ports_in, actor_in, stamp) = (ports.clone(), actor.clone(), Stamp::at(ports.clock.now()));
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let v: Volume = tx.read().get(actor_in.scope, new.of)?;
        may(&actor_in, Power::Write, Some(v.project))?;
        let s = source(tx, &v, &new, terms, own, stamp)?;
        let base = base(tx, &new, &v, &s)?;
        let since = base.as_ref().and_then(|b| b.held.or(b.snapshot));
        let since = since.map(|id| tx.read().find::<Snapshot>(Scope::All, id)).transpose()?.flatten();
        let since = since.filter(|s| s.life == Life::Ready && s.pool == v.pool).map(|s| s.id);
        let mut b = draft(id, &v, &s, &new, base.as_ref(), stamp);
        quotas::admit(tx.read(), b.project, &Need::backup(b.size))?;
        tx.insert(&mut b)?;
        let args = Args { backup: id, snapshot: s.id, own: s.id == own, since };
        let mut job = plan(&ports_in, KIND, v.project, Some(v.id.into()), &args)?;
        tx.insert(&mut job)?;
        for (pin, snapshot) in pins.into_iter().zip([Some(s.id), since].into_iter().flatten()) {
            tx.insert(&mut Pin { id: pin, snapshot, job: job.id, stamp })?;
        }
        Ok((b, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// The snapshot whose bytes are stored: the named one, or one of the job's own.
fn source(
    tx: &mut dyn WriteTx,
    v: &Volume,
    new: &NewBackup,
    terms: CreateTerms,
    own: SnapshotId,
    stamp: Stamp,
) -> Result<Snapshot, Condition> {
    if let Some(id) = new.snapshot {
        let s: Snapshot = tx.read().get(Scope::All, id)?;
        // One that an earlier owner kept is not this one's to read.
        if s.transient || s.project != v.project {
            return Err(Condition::not_found(Kind::Snapshot, id));
        }
        if s.origin != v.id {
            let why = format!("Volume {} does not match with snapshot.volume_id {}.", v.id, s.origin);
            return Err(Condition::invalid("snapshot_id", why));
        }
        if s.life != Life::Ready {
            let (what, name, actual) = (Kind::Snapshot, s.handle.to_string(), s.life.to_string());
            return Err(Condition::WrongState { what, name, actual, wanted: "ready".into() });
        }
        When::Only(&[Standing::Free]).check(Kind::Snapshot, s.id, s.standing())?;
        return Ok(s);
    }
    terms.when.check(Kind::Volume, v.id, v.standing())?;
    if v.usage != Usage::Free && !terms.attached {
        let held = attachments::holders(tx.read(), v.id.into())?;
        return Err(Condition::in_use(Kind::Volume, &v.handle, held));
    }
    let mut s = snapshots::draft(tx.read(), v, own, &Naming::default(), stamp)?;
    (s.transient, s.auto_named) = (true, true);
    tx.insert(&mut s)?;
    Ok(s)
}

/// The backup that the new one is compared with: the newest that is older than its bytes.
fn base(
    tx: &mut dyn WriteTx,
    new: &NewBackup,
    v: &Volume,
    s: &Snapshot,
) -> Result<Option<Backup>, Condition> {
    if !new.incremental {
        return Ok(None);
    }
    let older = |b: &Backup| s.transient || b.data < s.stamp.created;
    let fits = |b: &Backup| {
        b.project == v.project
            && b.state == BackupState::Available
            && b.shown() == BackupState::Available
            && new.container.as_ref().is_none_or(|c| *c == b.container)
            && older(b)
    };
    let all: Vec<Backup> = tx.read().children(new.of)?;
    let newest = all.into_iter().filter(fits).max_by_key(|b| b.data);
    let none = || Condition::invalid("incremental", "No backups available to do an incremental backup.");
    newest.map(Some).ok_or_else(none)
}

fn draft(
    id: BackupId,
    v: &Volume,
    s: &Snapshot,
    new: &NewBackup,
    base: Option<&Backup>,
    stamp: Stamp,
) -> Backup {
    let named = new.container.clone().or(base.map(|b| b.container.clone()));
    Backup {
        id,
        name: new.name.clone(),
        project: v.project,
        volume: v.id,
        handle: v.handle.to_string(),
        called: v.name.clone(),
        described: v.attributes.clone(),
        snapshot: new.snapshot,
        container: named.unwrap_or_else(|| CONTAINER.to_string()),
        base: base.map(|b| b.id),
        incremental: new.incremental,
        size: s.size,
        stored: 0,
        objects: 0,
        data: s.stamp.created,
        volume_type: v.volume_type,
        key: s.key.clone(),
        held: None,
        state: BackupState::Creating,
        shown: None,
        attributes: new.attributes.clone(),
        fault: None,
        stamp,
    }
}

struct Take;
impl JobStep for Take {
    fn name(&self) -> &'static str {
        "take"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            if !args.own {
                return Ok(nothing());
            }
            let mut taken = snapshots::take(cx, vec![args.snapshot]).await?;
            let now = cx.world.clock.now();
            let commit: Commit = Box::new(move |tx| {
                taken(tx)?;
                let mut b: Backup = tx.read().get(Scope::All, args.backup)?;
                b.data = now;
                tx.update(&mut b)
            });
            Ok(commit)
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let mut dropped = match args.own {
                true => snapshots::remove(cx, vec![args.snapshot]).await?,
                false => nothing(),
            };
            let (job, why) = (cx.job.id, cx.job.error.as_ref().map(Condition::to_string));
            let commit: Commit = Box::new(move |tx| {
                dropped(tx)?;
                broke(tx, &args, job, why.clone())
            });
            Ok(commit)
        })
    }
}

/// The row of a backup that could not be made says why.
fn broke(
    tx: &mut dyn WriteTx,
    args: &Args,
    job: parpen_model::JobId,
    why: Option<String>,
) -> Result<(), Condition> {
    unpin(tx, &[args.snapshot], job)?;
    unpin(tx, args.since.as_slice(), job)?;
    let Some(mut b) = tx.read().find::<Backup>(Scope::All, args.backup)? else { return Ok(()) };
    if b.state == BackupState::Creating {
        step(&mut b, BackupEvent::Broke)?;
        b.fault = why;
        tx.update(&mut b)?;
    }
    Ok(())
}

struct Upload;
impl JobStep for Upload {
    fn name(&self) -> &'static str {
        "upload"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let b: Backup = read(&*cx.world.meta, move |tx| tx.get(Scope::All, args.backup)).await?;
            let source = data::open_stored(&cx.world, args.snapshot.into(), Rights::ReadOnly).await?;
            let (changed, can_tell) = changed(cx, &args).await?;
            let facts = serde_json::to_value(Record::of(&b)).map_err(Condition::internal)?;
            let new = NewArchive { place: b.place(), base: b.base, changed, facts };
            let progress = data::progress(cx, source.opened()?.geometry().size);
            let figures = cx.world.copies.archive.store(&new, source.opened()?, &progress).await?;
            let job = cx.job.id;
            let commit: Commit = Box::new(move |tx| {
                let mut b: Backup = tx.read().get(Scope::All, args.backup)?;
                step(&mut b, BackupEvent::Made)?;
                b.is_made(figures);
                let volume = tx.read().find::<Volume>(Scope::All, b.volume)?;
                let stays = volume.is_some_and(|v| v.life == Life::Ready);
                b.held = Some(args.snapshot).filter(|_| args.own && can_tell && stays);
                unpin(tx, &[args.snapshot], job)?;
                unpin(tx, args.since.as_slice(), job)?;
                tx.update(&mut b)
            });
            Ok(commit)
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let b: Option<Backup> = read(&*cx.world.meta, move |tx| tx.find(Scope::All, args.backup)).await?;
            // What is available stays, whatever else of the job failed.
            let Some(b) = b.filter(|b| b.state == BackupState::Creating) else { return Ok(nothing()) };
            // What cannot be removed now is when the backup is deleted.
            if let Err(e) = cx.world.copies.archive.remove(&b.place()).await {
                tracing::warn!(backup = %b.id, error = %e, "parts of a backup that failed stay until it is deleted");
            }
            Ok(nothing())
        })
    }
}

/// What has changed since the base was made, where the pool's store can tell; and whether it can at all.
async fn changed(cx: &StepCx, args: &Args) -> Result<(Option<Vec<ByteRange>>, bool), Condition> {
    let (id, since) = (args.snapshot, args.since);
    let (now, before) = read(&*cx.world.meta, move |tx| {
        let before = since.map(|id| tx.find::<Snapshot>(Scope::All, id)).transpose()?.flatten();
        Ok((tx.get::<Snapshot>(Scope::All, id)?, before))
    })
    .await?;
    let store = cx.world.store(now.pool).await?;
    let (Some(lineage), before) = (store.lineage(), before) else { return Ok((None, false)) };
    let Some(before) = before else { return Ok((None, true)) };
    let (mut at, mut all) = (0, Vec::new());
    while at < now.size {
        let pieces = lineage.diff(Some(before.id.into()), now.id.into(), at, now.size - at).await?;
        let from = at;
        for piece in pieces {
            if piece.changed {
                let len = piece.len.min(now.size - at);
                all.push(ByteRange::within(at, len, now.size).map_err(Condition::internal)?);
            }
            at += piece.len;
        }
        if at == from {
            return Err(Condition::internal("a store compared nothing"));
        }
    }
    Ok((Some(all), true))
}

/// Snapshots of the service's own that nobody needs any more: this job's, unless it is kept for the next backup, and the
/// base's once a newer one is kept.
struct Release;
impl JobStep for Release {
    fn name(&self) -> &'static str {
        "release"
    }
    fn no_way_back(&self) -> bool {
        true
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let (backup, own) = (args.backup, Some(args.snapshot).filter(|_| args.own));
            let (useless, older) = read(&*cx.world.meta, move |tx| {
                let b: Option<Backup> = tx.find(Scope::All, backup)?;
                let held = b.as_ref().and_then(|b| b.held);
                let mut useless: Vec<SnapshotId> = own.into_iter().filter(|s| held != Some(*s)).collect();
                let mut older = Vec::new();
                if let (Some(b), Some(_)) = (b, held) {
                    let all: Vec<Backup> =
                        tx.list(Scope::All, &Query { parent: Some(b.volume.0), ..Query::default() })?;
                    let before = |o: &&Backup| o.id != b.id && o.data < b.data && o.container == b.container;
                    for o in all.iter().filter(before) {
                        let Some(snapshot) = o.held else { continue };
                        if tx.children::<Pin>(snapshot)?.is_empty() {
                            useless.push(snapshot);
                            older.push(o.id);
                        }
                    }
                }
                Ok((useless, older))
            })
            .await?;
            let mut dropped = snapshots::remove(cx, useless).await?;
            let commit: Commit = Box::new(move |tx| {
                dropped(tx)?;
                for id in &older {
                    let Some(mut b) = tx.read().find::<Backup>(Scope::All, *id)? else { continue };
                    b.held = None;
                    tx.update(&mut b)?;
                }
                Ok(())
            });
            Ok(commit)
        })
    }
}
