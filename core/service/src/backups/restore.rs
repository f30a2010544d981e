//! Putting a backup's bytes into a new volume, or over those of an existing one.

use parpen_base::Boxed;
use parpen_block::Rights;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{BackupEvent, BackupState, Life, LifeEvent, Standing, When, Work, life};
use parpen_model::ports::Target;
use parpen_model::{
    Attributes, Backup, BackupId, Condition, Kind, Scope, Stamp, Volume, VolumeId, VolumeType, WriteTx, read,
    write,
};
use serde::{Deserialize, Serialize};

use super::step;
use crate::jobs::{Commit, JobStep, StepCx, nothing, plan};
use crate::quotas::{self, Need};
use crate::volumes::create::draft_to_show;
use crate::volumes::resize::at_rest;
use crate::volumes::target;
use crate::volumes::{NewVolume, core_size};
use crate::{Ports, Started, access, attachments, data, names};

pub(crate) const KIND: &str = "backup-restore@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Look, &Make, &Fill];

/// Where the bytes go.
#[derive(Clone, Debug)]
pub enum Into {
    /// A volume that is made for them; without a size it gets the backup's.
    New(Box<NewVolume>),
    /// A volume that is there, free and large enough, and stands as is said.
    Existing(VolumeId, When),
}

/// What comes back with the bytes, once they are there.
#[derive(Default, Serialize, Deserialize)]
pub struct Brought {
    /// What the volume is called then.
    pub name: Option<String>,
    /// Whole namespaces that take the place of the volume's.
    pub attributes: Attributes,
}

/// Says of a backup, and of the volume as it is before, what comes back in the words of who asks. May be run again.
pub type Bring = fn(&Backup, &Volume) -> Brought;

/// Nothing but the bytes comes back.
pub fn bytes_only(_: &Backup, _: &Volume) -> Brought {
    Brought::default()
}

#[derive(Serialize, Deserialize)]
struct Args {
    backup: BackupId,
    volume: VolumeId,
    /// The volume is the job's own.
    new: bool,
    /// Why no pool takes the new volume; then there is nothing to be restored.
    #[serde(default)]
    refused: Option<Condition>,
    #[serde(default)]
    brought: Brought,
}

/// Restores a backup; the answer is the volume.
pub async fn restore(
    ports: &Ports,
    actor: &Actor,
    id: BackupId,
    into: Into,
    bring: Bring,
) -> Result<Started<Volume>, Condition> {
    if let Into::New(new) = &into {
        names::check(&new.naming.name)?;
    }
    let volume = match &into {
        Into::New(new) => new.id.unwrap_or_else(|| VolumeId(ports.entropy.uuid())),
        Into::Existing(id, _) => *id,
    };
    let open = ports.sessions.of(access::plain_export(volume.into()));
    let (ports_in, actor_in, stamp) = (ports.clone(), actor.clone(), Stamp::at(ports.clock.now()));
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut b: Backup = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Write, Some(b.project))?;
        if b.shown() != BackupState::Available {
            let (what, name, actual) = (Kind::Backup, id.to_string(), b.shown().to_string());
            return Err(Condition::WrongState { what, name, actual, wanted: "available".into() });
        }
        let (v, refused) = match &into {
            Into::New(new) => blank(tx, &actor_in, volume, &b, new, stamp)?,
            Into::Existing(..) if !open.is_empty() => {
                return Err(access::in_use_by(Kind::Volume, volume, &open));
            }
            Into::Existing(_, when) => (taken(tx, &actor_in, volume, *when, &b)?, None),
        };
        step(&mut b, BackupEvent::Restore)?;
        tx.update(&mut b)?;
        let args =
            Args { backup: id, volume, new: matches!(into, Into::New(_)), refused, brought: bring(&b, &v) };
        let mut job = plan(&ports_in, KIND, v.project, Some(v.id.into()), &args)?;
        tx.insert(&mut job)?;
        Ok((v, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// The row of a volume that is made for the bytes, and why no pool takes it, where that is to be shown.
fn blank(
    tx: &mut dyn WriteTx,
    actor: &Actor,
    id: VolumeId,
    b: &Backup,
    new: &NewVolume,
    stamp: Stamp,
) -> Result<(Volume, Option<Condition>), Condition> {
    let project = new.options.project.unwrap_or(actor.project);
    may(actor, Power::Write, Some(project))?;
    let mut new = new.clone();
    let size = core_size(new.size.unwrap_or(b.size))?;
    if size < b.size {
        return Err(too_small(size, b));
    }
    new.size = Some(size);
    if new.place.volume_type.is_none()
        && let Some(kind) = b.volume_type
    {
        new.place.volume_type = tx.read().find::<VolumeType>(Scope::All, kind)?.map(|t| t.id);
    }
    let (mut v, refused) = draft_to_show(tx, actor.scope, id, project, &new, None, stamp)?;
    // What was encrypted stays so, whatever became of its type.
    v.key = b.key.clone();
    quotas::admit(tx.read(), project, &Need::volume(&v))?;
    v.work.push(Work::Restoring);
    tx.insert(&mut v)?;
    Ok((v, refused))
}

fn too_small(size: u64, b: &Backup) -> Condition {
    let gib = |n: u64| n.div_ceil(parpen_base::GIB);
    let why = format!("volume size {} is too small to restore backup of size {}.", gib(size), gib(b.size));
    Condition::invalid("size", why)
}

/// An existing volume, from now on closed to everybody else.
fn taken(
    tx: &mut dyn WriteTx,
    actor: &Actor,
    id: VolumeId,
    when: When,
    b: &Backup,
) -> Result<Volume, Condition> {
    let mut v: Volume = tx.read().get(actor.scope, id)?;
    may(actor, Power::Write, Some(v.project))?;
    when.check(Kind::Volume, id, v.standing())?;
    at_rest(&v)?;
    When::AllBut(Standing::Offered).check(Kind::Volume, id, v.standing())?;
    let held = attachments::holders(tx.read(), id.into())?;
    if !held.is_empty() {
        return Err(Condition::in_use(Kind::Volume, &v.handle, held));
    }
    access::check_lock(tx.read(), &v, None)?;
    if v.size < b.size {
        return Err(too_small(v.size, b));
    }
    if b.key.is_some() && v.key.is_none() {
        let why = "the backup is encrypted and the volume is not: restore it into a new one";
        return Err(Condition::invalid("volume", why));
    }
    v.work.push(Work::Restoring);
    v.epoch += 1;
    tx.update(&mut v)?;
    Ok(v)
}

/// The backup is as it was; `volume` says what becomes of the volume.
fn ended(
    args: &Args,
    mut volume: impl FnMut(&mut Volume) -> Result<(), Condition> + Send + 'static,
) -> Commit {
    let (backup, id) = (args.backup, args.volume);
    Box::new(move |tx| {
        if let Some(mut b) = tx.read().find::<Backup>(Scope::All, backup)?
            && b.state == BackupState::Restoring
        {
            step(&mut b, BackupEvent::Restored)?;
            tx.update(&mut b)?;
        }
        let Some(mut v) = tx.read().find::<Volume>(Scope::All, id)? else { return Ok(()) };
        v.work.retain(|w| *w != Work::Restoring);
        v.epoch += 1;
        volume(&mut v)?;
        tx.update(&mut v)
    })
}

/// Refuses a new volume that no pool takes, and a backup that cannot be read, before a byte is lost.
struct Look;
impl JobStep for Look {
    fn name(&self) -> &'static str {
        "look"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            if let Some(why) = args.refused {
                return Err(why);
            }
            let b: Backup = read(&*cx.world.meta, move |tx| tx.get(Scope::All, args.backup)).await?;
            cx.world.copies.archive.facts(&b.place()).await?;
            Ok(nothing())
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let why = cx.job.error.as_ref().map(Condition::to_string);
            Ok(ended(&args, move |v| {
                if v.life == Life::Creating {
                    v.life = life(v.life, LifeEvent::Broke).map_err(|r| r.about(Kind::Volume, &v.handle))?;
                    v.fault = why.clone();
                }
                Ok(())
            }))
        })
    }
}

struct Make;
impl JobStep for Make {
    fn name(&self) -> &'static str {
        "make"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            target::prepare(&cx.world, args.volume, args.new).await?;
            Ok(nothing())
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            target::give_up(&cx.world, args.volume, args.new).await?;
            Ok(nothing())
        })
    }
}

struct Fill;
impl JobStep for Fill {
    fn name(&self) -> &'static str {
        "fill"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let mut args: Args = cx.args()?;
            let brought = std::mem::take(&mut args.brought);
            let b: Backup = read(&*cx.world.meta, move |tx| tx.get(Scope::All, args.backup)).await?;
            let session = data::open_for_job(&cx.world, args.volume.into(), Rights::ReadWrite).await?;
            let cipher = match &b.key {
                Some(key) => Some(cx.world.backends.cipher(key).await?),
                None => None,
            };
            let to = Target { to: session.opened()?.clone(), blank: args.new, cipher };
            let progress = data::progress(cx, b.size);
            cx.world.copies.archive.load(&b.place(), &to, &progress).await?;
            let now = cx.world.clock.now();
            Ok(ended(&args, move |v| {
                if v.life == Life::Creating {
                    v.life = life(v.life, LifeEvent::Made).map_err(|r| r.about(Kind::Volume, &v.handle))?;
                } else {
                    v.stamp.updated = Some(now);
                }
                if let Some(name) = &brought.name {
                    v.name = name.clone();
                }
                v.attributes.merge(brought.attributes.clone());
                Ok(())
            }))
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let why = cx.job.error.as_ref().map(Condition::to_string).unwrap_or_default();
            Ok(ended(&args, move |v| {
                if v.life == Life::Ready {
                    v.life =
                        life(v.life, LifeEvent::Spoiled).map_err(|r| r.about(Kind::Volume, &v.handle))?;
                    v.fault =
                        Some(format!("restoring a backup broke off, its bytes are no longer whole: {why}"));
                }
                Ok(())
            }))
        })
    }
}
