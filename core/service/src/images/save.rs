//! Making an image of a volume, as it is at one instant of the job.

use parpen_base::Boxed;
use parpen_block::Rights;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{ImageState, Usage, When, Work};
use parpen_model::ports::ImageStore;
use parpen_model::{
    Condition, Image, ImageId, Job, Kind, Scope, Snapshot, SnapshotId, Stamp, Volume, VolumeId, read, write,
};
use serde::{Deserialize, Serialize};

use super::bytes::settle;
use super::edit::{NewImage, draft, spend};
use crate::jobs::{Commit, JobStep, StepCx, plan};
use crate::names::Naming;
use crate::volumes::resize::work_done;
use crate::{Ports, attachments, data, snapshots};

pub(crate) const KIND: &str = "image-save@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Take, &Store, &Release];

/// An image that is to be made of a volume.
#[derive(Clone, Debug)]
pub struct Save {
    /// Of which.
    pub of: VolumeId,
    /// The volume may be attached.
    pub attached: bool,
    /// How the volume may stand.
    pub when: When,
    /// The image.
    pub image: NewImage,
}

#[derive(Serialize, Deserialize)]
struct Args {
    image: ImageId,
    volume: VolumeId,
    snapshot: SnapshotId,
    /// The image, where another service has its record.
    #[serde(default)]
    foreign: Option<Image>,
}

/// Makes an image of a volume: both as they stand while the job works.
pub async fn save(ports: &Ports, actor: &Actor, s: Save) -> Result<(Volume, Image), Condition> {
    let id = s.image.id.unwrap_or_else(|| ImageId(ports.entropy.uuid()));
    let snapshot = SnapshotId(ports.entropy.uuid());
    let (ports_in, actor, stamp) = (ports.clone(), actor.clone(), Stamp::at(ports.clock.now()));
    let elsewhere = ports.images.elsewhere();
    let foreign = elsewhere.is_some();
    let ((v, i, job), _) = write(&*ports.meta, move |tx| {
        let mut v: Volume = tx.read().get(actor.scope, s.of)?;
        may(&actor, Power::Write, Some(v.project))?;
        s.when.check(Kind::Volume, v.id, v.standing())?;
        if v.usage != Usage::Free && !s.attached {
            let held = attachments::holders(tx.read(), v.id.into())?;
            return Err(Condition::in_use(Kind::Volume, &v.handle, held));
        }
        let mut taken = snapshots::draft(tx.read(), &v, snapshot, &Naming::default(), stamp)?;
        (taken.transient, taken.auto_named) = (true, true);
        tx.insert(&mut taken)?;
        let mut i = draft(tx, &actor, &s.image, id, ImageState::Saving, stamp)?;
        if !foreign {
            tx.insert(&mut i)?;
        }
        v.work.push(Work::Uploading);
        tx.update(&mut v)?;
        let args = Args { image: id, volume: v.id, snapshot, foreign: foreign.then(|| i.clone()) };
        let mut job = plan(&ports_in, KIND, v.project, Some(v.id.into()), &args)?;
        tx.insert(&mut job)?;
        Ok((v, i, job.id))
    })
    .await?;
    // The caller may look for the image at once. The job does it again, should we end before it is done.
    if let Some(elsewhere) = elsewhere
        && let Err(why) = elsewhere.announce(&i).await
    {
        forget_half(&*ports.images, id).await;
        write(&*ports.meta, move |tx| {
            tx.delete::<Snapshot>(snapshot)?;
            tx.delete::<Job>(job)?;
            work_done(Work::Uploading, v.id, |_| ())(tx)
        })
        .await?;
        return Err(why);
    }
    ports.jobs.begin(job);
    Ok((v, i))
}

/// Removes an image at another service unless it is whole.
async fn forget_half(images: &dyn ImageStore, id: ImageId) {
    let Some(elsewhere) = images.elsewhere() else { return };
    let gone = match elsewhere.find(id).await {
        Ok(Some(i)) if matches!(i.state, ImageState::Queued | ImageState::Saving) => images.remove(id).await,
        Ok(_) => Ok(()),
        Err(e) => Err(e),
    };
    if let Err(e) = gone {
        tracing::warn!(image = %id, error = %e, "half an image stays behind at {}", elsewhere.address());
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
            if let (Some(elsewhere), Some(i)) = (cx.world.copies.images.elsewhere(), &args.foreign) {
                elsewhere.announce(i).await?;
            }
            snapshots::take(cx, vec![args.snapshot]).await
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            if args.foreign.is_some() {
                forget_half(&*cx.world.copies.images, args.image).await;
            }
            let mut dropped = snapshots::remove(cx, vec![args.snapshot]).await?;
            let mut rested = work_done(Work::Uploading, args.volume, |_| ());
            let stamp = Stamp::at(cx.world.clock.now());
            let commit: Commit = Box::new(move |tx| {
                dropped(tx)?;
                rested(tx)?;
                let half = tx.read().find::<Image>(Scope::All, args.image)?;
                match half.filter(|i| i.state == ImageState::Saving) {
                    Some(i) => spend(tx, i.id, stamp),
                    None => Ok(()),
                }
            });
            Ok(commit)
        })
    }
}

struct Store;
impl JobStep for Store {
    fn name(&self) -> &'static str {
        "store"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let i = match args.foreign {
                Some(i) => i,
                None => read(&*cx.world.meta, move |tx| tx.get(Scope::All, args.image)).await?,
            };
            let source = data::open_for_job(&cx.world, args.snapshot.into(), Rights::ReadOnly).await?;
            let progress = data::progress(cx, source.opened()?.geometry().size);
            let format = i.disk_format.as_deref().unwrap_or("raw");
            let stored = cx.world.copies.images.save(i.id, format, source.opened()?, &progress).await?;
            let mut rested = work_done(Work::Uploading, args.volume, |_| ());
            let commit: Commit = Box::new(move |tx| {
                settle(tx, args.image, Some(&stored))?;
                rested(tx)
            });
            Ok(commit)
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            if args.foreign.is_some() {
                return Ok(crate::jobs::nothing());
            }
            let i: Option<Image> = read(&*cx.world.meta, move |tx| tx.find(Scope::All, args.image)).await?;
            // What is whole stays, whatever else of the job failed.
            if i.is_none_or(|i| i.state == ImageState::Saving)
                && let Err(e) = cx.world.copies.images.remove(args.image).await
            {
                tracing::warn!(image = %args.image, error = %e, "parts of an image that failed stay behind");
            }
            Ok(crate::jobs::nothing())
        })
    }
}

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
            snapshots::remove(cx, vec![args.snapshot]).await
        })
    }
}
