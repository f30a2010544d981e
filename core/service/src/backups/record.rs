//! A backup as a record that another service, or this one after it lost its rows, can take over.

use jiff::Timestamp;
use parpen_base::Boxed;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{BackupEvent, BackupState};
use parpen_model::ports::Place;
use parpen_model::{
    Attributes, Backup, BackupId, Condition, DataKey, Kind, Scope, SnapshotId, Stamp, VolumeId, read, write,
};
use serde::{Deserialize, Serialize};

use super::{check_container, step};
use crate::jobs::{Commit, JobStep, StepCx, plan};
use crate::quotas::{self, Need};
use crate::{Ports, Started, names};

pub(crate) const KIND: &str = "backup-import@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Look];

/// All that is needed to take a backup over, where the store that holds its bytes is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this document.
    pub schema: u32,
    /// The backup.
    pub backup: BackupId,
    /// The volume it is of.
    pub volume: VolumeId,
    /// The volume's handle then.
    pub handle: String,
    /// The volume's name then.
    #[serde(default)]
    pub called: String,
    /// What APIs kept with the volume then.
    #[serde(default)]
    pub described: Attributes,
    /// The set it belongs to.
    pub container: String,
    /// What it is called.
    pub name: String,
    /// Bytes of the volume.
    pub size: u64,
    /// From which instant the bytes are.
    pub data: Timestamp,
    /// Only what differed from another one was stored.
    pub incremental: bool,
    /// The snapshot that was backed up.
    pub snapshot: Option<SnapshotId>,
    /// With which key its bytes are encrypted.
    #[serde(default)]
    pub key: Option<DataKey>,
    /// What APIs keep with it.
    pub attributes: Attributes,
}

impl Record {
    /// Of a backup.
    pub(crate) fn of(b: &Backup) -> Record {
        Record {
            schema: 1,
            backup: b.id,
            volume: b.volume,
            handle: b.handle.clone(),
            called: b.called.clone(),
            described: b.described.clone(),
            container: b.container.clone(),
            name: b.name.clone(),
            size: b.size,
            data: b.data,
            incremental: b.incremental,
            snapshot: b.snapshot,
            key: b.key.clone(),
            attributes: b.attributes.clone(),
        }
    }
}

/// The record of a backup.
pub async fn export(ports: &Ports, actor: &Actor, id: BackupId) -> Result<Record, Condition> {
    may(actor, Power::Operate, None)?;
    let scope = actor.scope;
    let b: Backup = read(&*ports.meta, move |tx| tx.get(scope, id)).await?;
    if b.shown() != BackupState::Available {
        let (what, name, actual) = (Kind::Backup, id.to_string(), b.shown().to_string());
        return Err(Condition::WrongState { what, name, actual, wanted: "available".into() });
    }
    Ok(Record::of(&b))
}

#[derive(Serialize, Deserialize)]
struct Args {
    backup: BackupId,
}

/// Takes a backup over into the actor's project; the job looks for its bytes.
pub async fn import(ports: &Ports, actor: &Actor, record: Record) -> Result<Started<Backup>, Condition> {
    may(actor, Power::Operate, None)?;
    if record.schema != 1 {
        return Err(Condition::Unsupported("the record was made by a later version".into()));
    }
    names::check(&record.name)?;
    check_container(&record.container)?;
    let (ports_in, project, stamp) = (ports.clone(), actor.project, Stamp::at(ports.clock.now()));
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        if tx.read().find::<Backup>(Scope::All, record.backup)?.is_some() {
            return Err(Condition::exists(Kind::Backup, record.backup));
        }
        let r = record.clone();
        let mut b = Backup {
            id: r.backup,
            name: r.name,
            project,
            volume: r.volume,
            handle: r.handle,
            called: r.called,
            described: r.described,
            snapshot: r.snapshot,
            container: r.container,
            base: None,
            incremental: r.incremental,
            size: r.size,
            stored: 0,
            objects: 0,
            data: r.data,
            volume_type: None,
            key: r.key,
            held: None,
            state: BackupState::Creating,
            shown: None,
            attributes: r.attributes,
            fault: None,
            stamp,
        };
        quotas::admit(tx.read(), b.project, &Need::backup(b.size))?;
        tx.insert(&mut b)?;
        let mut job = plan(&ports_in, KIND, project, None, &Args { backup: b.id })?;
        tx.insert(&mut job)?;
        Ok((b, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

struct Look;
impl JobStep for Look {
    fn name(&self) -> &'static str {
        "look"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let b: Backup = read(&*cx.world.meta, move |tx| tx.get(Scope::All, args.backup)).await?;
            let place: Place = b.place();
            let (_, figures) = cx.world.copies.archive.facts(&place).await?;
            let commit: Commit = Box::new(move |tx| {
                let mut b: Backup = tx.read().get(Scope::All, args.backup)?;
                step(&mut b, BackupEvent::Made)?;
                b.is_made(figures);
                tx.update(&mut b)
            });
            Ok(commit)
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let why = cx.job.error.as_ref().map(Condition::to_string);
            let commit: Commit = Box::new(move |tx| {
                let Some(mut b) = tx.read().find::<Backup>(Scope::All, args.backup)? else { return Ok(()) };
                if b.state == BackupState::Creating {
                    step(&mut b, BackupEvent::Broke)?;
                    b.fault = why.clone();
                    tx.update(&mut b)?;
                }
                Ok(())
            });
            Ok(commit)
        })
    }
}
