//! Putting an image's disk into a volume: a new one, or over the bytes of one that is there.

use parpen_base::{Boxed, GIB};
use parpen_block::Rights;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{ImageState, LifeEvent, Usage, When, Work, life};
use parpen_model::{
    Attributes, Condition, Image, ImageId, Kind, ReadTx, Scope, Stamp, Volume, VolumeId, write,
};
use serde::{Deserialize, Serialize};

use crate::jobs::{Commit, JobStep, StepCx, nothing, plan};
use crate::quotas::{self, Need};
use crate::volumes::NewVolume;
use crate::volumes::create::draft_to_show;
use crate::volumes::resize::{at_rest, work_done};
use crate::volumes::target;
use crate::{Ports, Started, access, data, names};

pub(crate) const KIND: &str = "image-fill@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Make, &Fill];

#[derive(Serialize, Deserialize)]
struct Args {
    image: ImageId,
    volume: VolumeId,
    /// The volume is the job's own.
    new: bool,
    /// What is kept with the volume once it has the bytes.
    attributes: Attributes,
    /// Why no pool takes the new volume; then there is nothing to be filled.
    #[serde(default)]
    refused: Option<Condition>,
}

/// Refuses an image that cannot fill a volume of so many bytes.
fn check(i: &Image, size: u64) -> Result<(), Condition> {
    let gib = |n: u64| n.div_ceil(GIB);
    let refuse = |why: String| Err(Condition::invalid("image", why));
    if i.state != ImageState::Active {
        return refuse(format!("Image {} is not active.", i.id));
    }
    if i.size.is_some_and(|s| s > size) {
        let (has, holds) = (gib(i.size.unwrap_or(0)), gib(size));
        return refuse(format!("Size of specified image {has}GB is larger than volume size {holds}GB."));
    }
    if size < i.min_disk {
        let (holds, wants) = (gib(size), gib(i.min_disk));
        return refuse(format!(
            "Volume size {holds}GB cannot be smaller than the image minDisk size {wants}GB."
        ));
    }
    match i.virtual_size.filter(|v| *v > size) {
        Some(v) => {
            let (has, holds) = (gib(v), gib(size));
            refuse(format!("Image virtual size is {has}GB and doesn't fit in a volume of size {holds}GB."))
        }
        None => Ok(()),
    }
}

/// Only formats that are read here can be volumes.
fn known(i: &Image) -> Result<String, Condition> {
    match i.disk_format.as_deref() {
        Some(format @ ("raw" | "qcow2")) => Ok(format.to_string()),
        other => Err(Condition::invalid(
            "image",
            format!(
                "Image {} is unacceptable: disk format {} cannot be converted here",
                i.id,
                other.unwrap_or("None")
            ),
        )),
    }
}

/// The image, where another service has its record: asked for before the transaction.
async fn foreign(ports: &Ports, actor: &Actor, image: ImageId) -> Result<Option<Image>, Condition> {
    match ports.images.elsewhere() {
        Some(_) => super::source(ports, actor, image).await.map(Some),
        None => Ok(None),
    }
}

/// The image as the transaction sees it.
fn found(tx: &dyn ReadTx, foreign: &Option<Image>, scope: Scope, image: ImageId) -> Result<Image, Condition> {
    match foreign {
        Some(i) => Ok(i.clone()),
        None => tx.get(scope, image),
    }
}

/// Makes a volume with the disk of an image in it.
pub async fn create_volume(
    ports: &Ports,
    actor: &Actor,
    image: ImageId,
    new: NewVolume,
) -> Result<Started<Volume>, Condition> {
    let project = new.options.project.unwrap_or(actor.project);
    may(actor, Power::Write, Some(project))?;
    names::check(&new.naming.name)?;
    let foreign = foreign(ports, actor, image).await?;
    let id = new.id.unwrap_or_else(|| VolumeId(ports.entropy.uuid()));
    let (ports_in, actor, stamp) = (ports.clone(), actor.clone(), Stamp::at(ports.clock.now()));
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let i = found(tx.read(), &foreign, actor.scope, image)?;
        let (mut v, refused) = draft_to_show(tx, actor.scope, id, project, &new, None, stamp)?;
        check(&i, v.size)?;
        known(&i)?;
        quotas::admit(tx.read(), project, &Need::volume(&v))?;
        v.work.push(Work::Downloading);
        tx.insert(&mut v)?;
        let args = Args { image, volume: id, new: true, attributes: Attributes::default(), refused };
        let mut job = plan(&ports_in, KIND, project, Some(id.into()), &args)?;
        tx.insert(&mut job)?;
        Ok((v, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// An image whose disk is to be put over a volume's bytes.
#[derive(Clone, Debug)]
pub struct Refill {
    /// Which.
    pub image: ImageId,
    /// The volume may be reserved; else it must be free.
    pub reserved: bool,
    /// How the volume may stand.
    pub when: When,
    /// What is kept with the volume once it has the bytes.
    pub attributes: Attributes,
}

/// Puts the disk of an image over a volume's bytes.
pub async fn refill(
    ports: &Ports,
    actor: &Actor,
    of: VolumeId,
    with: Refill,
) -> Result<Started<Volume>, Condition> {
    let image = with.image;
    let foreign = foreign(ports, actor, image).await?;
    let open = ports.sessions.of(access::plain_export(of.into()));
    let (ports_in, actor) = (ports.clone(), actor.clone());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut v: Volume = tx.read().get(actor.scope, of)?;
        may(&actor, Power::Write, Some(v.project))?;
        with.when.check(Kind::Volume, v.id, v.standing())?;
        let i = found(tx.read(), &foreign, actor.scope, image)?;
        at_rest(&v)?;
        if !open.is_empty() {
            return Err(access::in_use_by(Kind::Volume, &v.handle, &open));
        }
        let fits = v.usage == Usage::Free || (with.reserved && v.usage == Usage::Reserved);
        if !fits {
            let (what, name, actual) = (Kind::Volume, v.handle.to_string(), v.usage.to_string());
            return Err(Condition::WrongState { what, name, actual, wanted: "free".into() });
        }
        access::check_lock(tx.read(), &v, None)?;
        check(&i, v.size)?;
        known(&i)?;
        v.work.push(Work::Downloading);
        v.epoch += 1;
        tx.update(&mut v)?;
        let attributes = with.attributes.clone();
        let args = Args { image, volume: of, new: false, attributes, refused: None };
        let mut job = plan(&ports_in, KIND, v.project, Some(of.into()), &args)?;
        tx.insert(&mut job)?;
        Ok((v, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

struct Make;
impl JobStep for Make {
    fn name(&self) -> &'static str {
        "make"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            if let Some(why) = args.refused {
                return Err(why);
            }
            target::prepare(&cx.world, args.volume, args.new).await?;
            Ok(nothing())
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            target::give_up(&cx.world, args.volume, args.new).await?;
            let why = cx.job.error.as_ref().map(Condition::to_string);
            Ok(work_done(Work::Downloading, args.volume, move |v| {
                if let Ok(next) = life(v.life, LifeEvent::Broke) {
                    v.life = next;
                    v.fault = why.clone();
                }
            }))
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
            let args: Args = cx.args()?;
            let i = super::of_job(&cx.world, args.image).await?;
            let session = data::open_for_job(&cx.world, args.volume.into(), Rights::ReadWrite).await?;
            let format = known(&i)?;
            let progress = data::progress(cx, i.virtual_size.unwrap_or(0));
            let what = (format.as_str(), i.sha512.as_deref());
            cx.world.copies.images.load(i.id, what, (session.opened()?, args.new), &progress).await?;
            let (now, attributes) = (cx.world.clock.now(), args.attributes);
            Ok(work_done(Work::Downloading, args.volume, move |v| {
                v.attributes.merge(attributes.clone());
                match life(v.life, LifeEvent::Made) {
                    Ok(next) => v.life = next,
                    Err(_) => v.stamp.updated = Some(now),
                }
            }))
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let why = cx.job.error.as_ref().map(Condition::to_string).unwrap_or_default();
            Ok(work_done(Work::Downloading, args.volume, move |v| {
                if let Ok(next) = life(v.life, LifeEvent::Spoiled) {
                    v.life = next;
                    v.fault = Some(format!(
                        "putting an image into it broke off, its bytes are no longer whole: {why}"
                    ));
                }
            }))
        })
    }
}
