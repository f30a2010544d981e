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
pub use list::{get, list};
pub use save::{Save, save};

use parpen_model::lifecycle::{ImageEvent, ImageState, image};
use parpen_model::{Condition, Image, Job, Kind, Query, Scope, WriteTx};

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
