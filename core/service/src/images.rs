//! Images: one file a verb.

mod bytes;
mod edit;
pub(crate) mod fill;
mod list;
pub(crate) mod save;

pub use bytes::{Uploading, download, upload};
pub(crate) use edit::{KIND_DELETE, STEPS_DELETE};
pub use edit::{NewImage, create, delete, edit};
pub use fill::{create_volume, refill};
pub use list::{get, list, source};
pub use save::{Save, save};

use parpen_model::lifecycle::{ImageEvent, ImageState, image};
use parpen_model::{Condition, Image, ImageId, Job, Kind, Query, Scope, WriteTx, read};

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

/// Images whose bytes broke off with an earlier life of the service wait for others.
pub(crate) fn forget_broken(tx: &mut dyn WriteTx, open: &[Job]) -> Result<(), Condition> {
    for mut i in tx.read().list::<Image>(Scope::All, &Query::default())? {
        let id = i.id.to_string();
        if i.state == ImageState::Saving && !open.iter().any(|j| j.args.to_string().contains(&id)) {
            step(&mut i, ImageEvent::Broke)?;
            tx.update(&mut i)?;
        }
    }
    Ok(())
}
