//! Images: one file a verb.

mod bytes;
mod edit;
pub(crate) mod fill;
mod list;
pub(crate) mod save;

pub use bytes::{Uploading, download, upload};
pub(crate) use edit::{KIND_DELETE, STEPS_DELETE};
pub use edit::{NewImage, create, delete, edit};
pub use fill::{Refill, create_volume, refill};
pub use list::{get, list, source};
pub use save::{Save, save};

use parpen_model::lifecycle::{ImageEvent, ImageState, image};
use parpen_model::{Condition, Image, ImageId, Job, Kind, Query, ReadTx, Scope, WriteTx, read};

use crate::Ports;
use crate::jobs::World;

/// Refuses what can only be done where the images are.
fn kept_here(ports: &Ports) -> Result<(), Condition> {
    match ports.images.elsewhere() {
        Some(other) => {
            Err(Condition::Unsupported(format!("images are kept at {}: ask for this there", other.address())))
        }
        None => Ok(()),
    }
}

/// An image as a job finds it now.
async fn of_job(world: &World, id: ImageId) -> Result<Image, Condition> {
    match world.copies.images.elsewhere() {
        Some(other) => other.find(id).await?.ok_or_else(|| Condition::not_found(Kind::Image, id)),
        None => read(&*world.meta, move |tx| tx.get(Scope::All, id)).await,
    }
}

/// Moves an image's state.
fn step(i: &mut Image, event: ImageEvent) -> Result<(), Condition> {
    i.state = image(i.state, event).map_err(|r| r.about(Kind::Image, i.id))?;
    Ok(())
}

/// Images whose bytes broke off with an earlier life of the service: they are being stored, and no job does it.
pub(crate) fn broken(tx: &dyn ReadTx) -> Result<Vec<ImageId>, Condition> {
    let jobs = tx.list::<Job>(Scope::All, &Query::default())?;
    let stored = |id: &str| jobs.iter().any(|j| !j.is_final() && j.args.to_string().contains(id));
    let all = tx.list::<Image>(Scope::All, &Query::default())?.into_iter();
    let saving = all.filter(|i| i.state == ImageState::Saving).map(|i| i.id);
    Ok(saving.filter(|id| !stored(&id.to_string())).collect())
}

/// They wait for other bytes.
pub(crate) fn forget(tx: &mut dyn WriteTx, broken: &[ImageId]) -> Result<(), Condition> {
    for id in broken {
        let mut i: Image = tx.read().get(Scope::All, *id)?;
        step(&mut i, ImageEvent::Broke)?;
        tx.update(&mut i)?;
    }
    Ok(())
}
