//! Making, changing and removing images; their bytes come and go by other verbs.

use parpen_base::Boxed;
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::ImageState;
use parpen_model::{
    Attributes, Condition, Image, ImageId, Kind, Scope, SpentImage, Stamp, Visibility, WriteTx, write,
};
use serde::{Deserialize, Serialize};

use crate::Ports;
use crate::jobs::{Commit, JobStep, StepCx, nothing, plan};

pub(crate) const KIND_DELETE: &str = "image-delete@1";
pub(crate) const STEPS_DELETE: &[&dyn JobStep] = &[&Remove];

/// An image to be made.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// Its id, where the caller chose it.
    pub id: Option<ImageId>,
    /// What it is called.
    pub name: Option<String>,
    /// Who may use it.
    pub visibility: Visibility,
    /// It cannot be deleted.
    pub protected: bool,
    /// Not in lists.
    pub hidden: bool,
    /// How its bytes are laid out.
    pub disk_format: Option<String>,
    /// What is around them.
    pub container_format: Option<String>,
    /// Smallest volume for it, in bytes.
    pub min_disk: u64,
    /// Smallest memory for it, in bytes.
    pub min_ram: u64,
    /// Words on it.
    pub tags: Vec<String>,
    /// What the API keeps with it.
    pub attributes: Attributes,
}

/// What everybody may use is for administrators to say.
fn check_visibility(actor: &Actor, wanted: Visibility) -> Result<(), Condition> {
    match wanted {
        Visibility::Public => may(actor, Power::Operate, None),
        Visibility::Private | Visibility::Shared | Visibility::Community => Ok(()),
    }
}

/// The row of a new image.
pub(crate) fn draft(
    tx: &mut dyn WriteTx,
    actor: &Actor,
    new: &NewImage,
    id: ImageId,
    state: ImageState,
    stamp: Stamp,
) -> Result<Image, Condition> {
    may(actor, Power::Write, Some(actor.project))?;
    check_visibility(actor, new.visibility)?;
    let spent = tx.read().find::<SpentImage>(Scope::All, id)?.is_some();
    if spent || tx.read().find::<Image>(Scope::All, id)?.is_some() {
        return Err(Condition::exists(Kind::Image, id));
    }
    Ok(Image {
        id,
        name: new.name.clone(),
        project: actor.project,
        visibility: new.visibility,
        protected: new.protected,
        hidden: new.hidden,
        disk_format: new.disk_format.clone(),
        container_format: new.container_format.clone(),
        min_disk: new.min_disk,
        min_ram: new.min_ram,
        size: None,
        virtual_size: None,
        md5: None,
        sha512: None,
        tags: new.tags.clone(),
        state,
        attributes: new.attributes.clone(),
        stamp,
    })
}

/// Removes an image's row; its id is nobody's from now on.
pub(crate) fn spend(tx: &mut dyn WriteTx, id: ImageId, stamp: Stamp) -> Result<(), Condition> {
    tx.delete::<Image>(id)?;
    tx.insert(&mut SpentImage { id, stamp })
}

/// Makes an image without bytes.
pub async fn create(ports: &Ports, actor: &Actor, new: NewImage) -> Result<Image, Condition> {
    super::kept_here(ports)?;
    let id = new.id.unwrap_or_else(|| ImageId(ports.entropy.uuid()));
    let (actor, stamp) = (actor.clone(), Stamp::at(ports.clock.now()));
    let (made, _) = write(&*ports.meta, move |tx| {
        let mut i = draft(tx, &actor, &new, id, ImageState::Queued, stamp)?;
        tx.insert(&mut i)?;
        Ok(i)
    })
    .await?;
    Ok(made)
}

/// Changes an image in one transaction; `change` may be run again and may refuse.
pub async fn edit(
    ports: &Ports,
    actor: &Actor,
    id: ImageId,
    mut change: impl FnMut(&mut Image) -> Result<(), Condition> + Send + 'static,
) -> Result<Image, Condition> {
    super::kept_here(ports)?;
    let (actor, now) = (actor.clone(), ports.clock.now());
    let (changed, _) = write(&*ports.meta, move |tx| {
        let mut i: Image = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Write, Some(i.project))?;
        let (before, state) = (i.visibility, i.state);
        change(&mut i)?;
        if i.visibility != before {
            check_visibility(&actor, i.visibility)?;
        }
        if i.state != state {
            may(&actor, Power::Operate, Some(i.project))?;
        }
        i.stamp.updated = Some(now);
        tx.update(&mut i)?;
        Ok(i)
    })
    .await?;
    Ok(changed)
}

#[derive(Serialize, Deserialize)]
struct Args {
    image: ImageId,
}

/// Deletes an image: it is gone at once, its file by a job.
pub async fn delete(ports: &Ports, actor: &Actor, id: ImageId) -> Result<(), Condition> {
    super::kept_here(ports)?;
    let (ports_in, actor, stamp) = (ports.clone(), actor.clone(), Stamp::at(ports.clock.now()));
    let (job, _) = write(&*ports.meta, move |tx| {
        let i: Image = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Write, Some(i.project))?;
        if i.protected {
            return Err(Condition::Forbidden(format!("Image {id} is protected and cannot be deleted.")));
        }
        spend(tx, id, stamp)?;
        let mut job = plan(&ports_in, KIND_DELETE, i.project, None, &Args { image: id })?;
        tx.insert(&mut job)?;
        Ok(job.id)
    })
    .await?;
    ports.jobs.begin(job);
    Ok(())
}

struct Remove;
impl JobStep for Remove {
    fn name(&self) -> &'static str {
        "remove"
    }
    fn no_way_back(&self) -> bool {
        true
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            cx.world.copies.images.remove(args.image).await?;
            Ok(nothing())
        })
    }
}
